/* Det: determinants of (..., M, M) by Gaussian elimination with partial pivoting.
 *
 * M is a constant, so the steps are written out. Step t has an (M-t)-square matrix A: the row p
 * with the largest |A[p, 0]| changes places with row 0, and
 *
 *     next[i, j] = S[i+1, j+1] - S[i+1, 0] / S[0, 0] * S[0, j+1]        S: A with the rows swapped
 *     det        = product of all S[0, 0], negated for every real swap */
#include "op/reduce.h"
#include "op/table.h"
#include "op/window.h"

#include <string.h>

enum { MAX_DET = 64 }; /* three stages a step: larger matrices want a routine */

void infer_det(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    int64_t m;
    if (x->rank < 2)
        infer_fail(f, "x has rank %d", x->rank);
    infer_require_equal(f, x->dim[x->rank - 1], x->dim[x->rank - 2], "rows and columns");
    if (!expr_is_int(f->x, x->dim[x->rank - 1], &m) || m > MAX_DET)
        infer_unsupported(f, "only matrices of a known size up to %d", MAX_DET);
    infer_out(f, 0, x->dtype, x->rank - 2, x->dim);
}

typedef struct Step {
    int a;       /* tensor (..., m, m) */
    int row;     /* tensor (...): the pivot row, i64 */
    int product; /* tensor (...): the determinant so far; -1: none */
} Step;

static Expr load_a(const Define *d, const Step *st, const Expr *batch, int n, Expr i, Expr j)
{
    Expr index[MAX_RANK];
    memcpy(index, batch, (size_t)n * sizeof *index);
    index[n] = i;
    index[n + 1] = j;
    return stages_load(d->s, st->a, index);
}

static int pivot_row(const Define *d, const Step *st, int n, int64_t m)
{
    Exprs *x = d->x;
    const Expr extent = expr_int(x, m);
    StageBuild b = define_begin(d, 0);
    stage_reduce_axes(d->s, &b, 1, &extent);
    const Expr v = expr_un(x, EX_ABS, load_a(d, st, b.i, n, b.r[0], expr_int(x, 0)));
    const ArgReduce a = {
        .value = v,
        .place = b.r[0],
        .inside = expr_true(x),
        .type = expr_type(x, v),
    };
    int out[2];
    reduce_arg(d->s, &b, &a, out);
    return out[1];
}

static Expr load_row(const Define *d, const Step *st, const Expr *batch, int64_t m)
{
    Expr inside = expr_true(d->x);
    const Expr row = stages_load(d->s, st->row, batch);
    return window_clamp(d->x, row, expr_int(d->x, m), &inside);
}

static int next_product(const Define *d, const Step *st, int n, int64_t m)
{
    Exprs *x = d->x;
    const Expr zero = expr_int(x, 0);
    const StageBuild b = define_begin(d, 0);
    const Expr row = load_row(d, st, b.i, m), pivot = load_a(d, st, b.i, n, row, zero);
    const Expr v = expr_select(x, expr_eq(x, row, zero), pivot, expr_un(x, EX_NEG, pivot));
    const Expr all = st->product < 0 ? v : expr_mul(x, stages_load(d->s, st->product, b.i), v);
    return stage_map(d->s, &b, "product", expr_type(x, all), all);
}

static int eliminate(const Define *d, const Step *st, int n, int64_t m)
{
    Exprs *x = d->x;
    const Expr zero = expr_int(x, 0);
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    dims[n] = dims[n + 1] = expr_int(x, m - 1);
    const StageBuild b = stage_begin(d->s, n + 2, dims);
    const Expr row = load_row(d, st, b.i, m);
    const Expr below = expr_addi(x, b.i[n], 1), j = expr_addi(x, b.i[n + 1], 1);
    const Expr i = expr_select(x, expr_eq(x, below, row), zero, below); /* row in A of S[below] */
    const Expr pivot = load_a(d, st, b.i, n, row, zero);
    const DType t = expr_type(x, pivot);
    const Expr none = expr_eq(x, pivot, expr_const(x, t, 0));
    const Expr ratio = expr_div(x, load_a(d, st, b.i, n, i, zero), pivot);
    const Expr factor = expr_select(x, none, expr_const(x, t, 0), ratio);
    const Expr top = load_a(d, st, b.i, n, row, j);
    const Expr v = expr_sub(x, load_a(d, st, b.i, n, i, j), expr_mul(x, factor, top));
    return stage_map(d->s, &b, "eliminate", t, v);
}

void define_det(Define *d)
{
    const int n = define_rank(d, 0) - 2;
    int64_t m = 0;
    expr_is_int(d->x, define_dim(d, 0, n + 1), &m);
    if (m == 0) {
        const StageBuild b = define_begin(d, 0);
        const DType t = dtype_compute(define_out_type(d, 0));
        define_map(d, 0, &b, expr_const(d->x, t, 1));
        return;
    }
    Step st = {.a = d->in[0], .product = -1};
    for (; m > 0; m--) {
        st.row = pivot_row(d, &st, n, m);
        st.product = next_product(d, &st, n, m);
        if (m > 1)
            st.a = eliminate(d, &st, n, m);
    }
    define_out(d, 0, st.product);
}
