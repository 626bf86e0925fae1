/* Building blocks of definitions: pieces that several op families are made of. */
#include "op/op.h"

#include <math.h>

int block_cast(Stages *s, int tensor, DType to)
{
    const StageTensor t = s->tensor.at[tensor];
    const StageBuild b = stage_begin(s, t.rank, t.dim);
    const Expr v = expr_cast(s->x, dtype_compute(to), stages_load(s, tensor, b.i));
    return stage_map(s, &b, "cast", to, v);
}

int block_transpose(Stages *s, int tensor, const int *perm)
{
    const StageTensor t = s->tensor.at[tensor];
    Expr dims[MAX_RANK] = {0}, index[MAX_RANK];
    for (int k = 0; k < t.rank; k++)
        dims[k] = t.dim[perm[k]];
    const StageBuild b = stage_begin(s, t.rank, dims);
    for (int k = 0; k < t.rank; k++)
        index[perm[k]] = b.i[k];
    return stage_map(s, &b, "transpose", t.dtype, stages_load(s, tensor, index));
}

/* ---- reshape ---- */

static Expr product(Exprs *x, int n, const Expr *dims)
{
    Expr p = expr_int(x, 1);
    for (int k = 0; k < n; k++)
        p = expr_mul(x, p, dims[k]);
    return p;
}

/* The next pair of dim runs (of n[0] and n[1] dims) with one product: (a,b,c)->(a*b,c) gives the
 * runs a,b | a*b and c | c. When no equal product is found the runs take all that is left. */
static void next_runs(Exprs *x, const int left[2], const Expr *const dims[2], int n[2])
{
    n[0] = n[1] = 0;
    for (int total = 1; total <= left[0] + left[1]; total++) {
        for (int a = 0; a <= total && a <= left[0]; a++) {
            const int b = total - a;
            if (b > left[1] || a == 0 || b == 0)
                continue;
            if (product(x, a, dims[0]) == product(x, b, dims[1])) {
                n[0] = a;
                n[1] = b;
                return;
            }
        }
    }
    n[0] = left[0];
    n[1] = left[1];
}

/* One run: the linear index over `to`, taken apart over `dims`. */
static void run_index(Exprs *x, int n, const Expr *dims, int to_n, const Expr *to,
                      const Expr *index, Expr *out)
{
    Expr linear = expr_int(x, 0);
    for (int k = 0; k < to_n; k++)
        linear = expr_add(x, expr_mul(x, linear, to[k]), index[k]);
    for (int k = n - 1; k > 0; k--) {
        out[k] = expr_mod(x, linear, dims[k]);
        linear = expr_div(x, linear, dims[k]);
    }
    if (n > 0)
        out[0] = linear;
}

/* The index into `dims` of the element at `index` of the row-major tensor reshaped to `to`. Dims
 * that the two shapes share keep their index as it is. */
static void reshape_index(Exprs *x, int rank, const Expr *dims, int to_rank, const Expr *to,
                   const Expr *index, Expr *out)
{
    int at[2] = {0, 0};
    while (at[0] < rank || at[1] < to_rank) {
        const int left[2] = {rank - at[0], to_rank - at[1]};
        const Expr *const rest[2] = {dims + at[0], to + at[1]};
        int n[2];
        next_runs(x, left, rest, n);
        run_index(x, n[0], rest[0], n[1], rest[1], index + at[1], out + at[0]);
        at[0] += n[0];
        at[1] += n[1];
    }
}

int block_reshape(Stages *s, int tensor, int rank, const Expr *dims)
{
    const StageTensor t = s->tensor.at[tensor];
    const StageBuild b = stage_begin(s, rank, dims);
    Expr index[MAX_RANK];
    reshape_index(s->x, t.rank, t.dim, rank, dims, b.i, index);
    return stage_map(s, &b, "reshape", t.dtype, stages_load(s, tensor, index));
}

/* ---- reductions ---- */

Expr reduce_identity(Exprs *x, ReduceKind kind, DType t)
{
    const bool max = kind == REDUCE_MAX || kind == REDUCE_MAX_NUMBER;
    if (!max && kind != REDUCE_MIN)
        return expr_const(x, t, kind == REDUCE_PROD);
    if (dtype_is_float(t))
        return expr_float(x, t, max ? -INFINITY : INFINITY);
    if (t == DT_BOOL)
        return expr_int_of(x, t, !max);
    const int unused = 64 - dtype_bits(t);
    const int64_t ones = (int64_t)(UINT64_MAX >> unused);
    if (!dtype_is_signed(t))
        return expr_int_of(x, t, max ? 0 : ones);
    return expr_int_of(x, t, max ? INT64_MIN >> unused : INT64_MAX >> unused);
}

Expr reduce_join(Exprs *x, ReduceKind kind, Expr state, Expr v)
{
    const bool logic = expr_type(x, v) == DT_BOOL;
    switch (kind) {
    case REDUCE_MAX:
    case REDUCE_MIN: {
        const bool max = kind == REDUCE_MAX;
        if (logic)
            return max ? expr_or(x, state, v) : expr_and(x, state, v);
        /* With a NaN the second operand is the result: a NaN in the state stays, and one in v is
         * chosen by a comparison that does not wait for the state. */
        const Expr best = max ? expr_max(x, v, state) : expr_min(x, v, state);
        return expr_select(x, expr_ne(x, v, v), v, best);
    }
    case REDUCE_MAX_NUMBER:
        return expr_max(x, v, state);
    case REDUCE_PROD:
        return expr_mul(x, state, v);
    default:
        return expr_add(x, state, v);
    }
}

/* Splits t's axes: kept ones are the stage's domain, masked ones its reduction axes. index[] gets
 * the load index. Returns the build. */
static StageBuild reduce_begin(Stages *s, const StageTensor *t, uint32_t axes, bool keep,
                               Expr *index)
{
    Expr out[MAX_RANK], red[MAX_RANK];
    int nout = 0, nred = 0;
    for (int k = 0; k < t->rank; k++) {
        if (axes >> k & 1)
            red[nred++] = t->dim[k];
        if (keep || !(axes >> k & 1))
            out[nout++] = axes >> k & 1 ? expr_int(s->x, 1) : t->dim[k];
    }
    StageBuild b = stage_begin(s, nout, out);
    stage_reduce_axes(s, &b, nred, red);
    nout = nred = 0;
    for (int k = 0; k < t->rank; k++) {
        index[k] = axes >> k & 1 ? b.r[nred++] : b.i[nout];
        nout += keep || !(axes >> k & 1);
    }
    return b;
}

static int divide_by_count(Stages *s, int sum, const StageTensor *t, uint32_t axes)
{
    Exprs *x = s->x;
    const StageTensor ts = s->tensor.at[sum];
    const DType type = dtype_compute(ts.dtype);
    Expr count = expr_int(x, 1);
    for (int k = 0; k < t->rank; k++)
        if (axes >> k & 1)
            count = expr_mul(x, count, t->dim[k]);
    const StageBuild b = stage_begin(s, ts.rank, ts.dim);
    const Expr v = stages_load(s, sum, b.i), n = expr_cast(x, type, count);
    const ExprOp div = dtype_is_float(type) ? EX_DIV : EX_TDIV;
    return stage_map(s, &b, "mean", ts.dtype, expr_bin(x, div, v, n));
}

int block_reduce(Stages *s, int tensor, uint32_t axes, bool keep, ReduceKind kind, DType acc)
{
    static const char *const names[] = {"sum", "sum", "max", "min", "prod", "sumsq", "max"};
    Exprs *x = s->x;
    const StageTensor t = s->tensor.at[tensor];
    const DType type = dtype_compute(acc);
    Expr index[MAX_RANK];
    const StageBuild b = reduce_begin(s, &t, axes, keep, index);
    Expr v = expr_cast(x, type, stages_load(s, tensor, index));
    if (kind == REDUCE_SUMSQ)
        v = expr_mul(x, v, v);
    const Expr init = reduce_identity(x, kind, type);
    const Expr state = expr_state(x, type, 0), state2 = expr_state2(x, type, 0);
    const int r = stage_reduce(s, &b, names[kind], acc, init, reduce_join(x, kind, state, v),
                               reduce_join(x, kind, state, state2));
    return kind == REDUCE_MEAN ? divide_by_count(s, r, &t, axes) : r;
}

int block_softmax(Stages *s, int tensor, int axis)
{
    Exprs *x = s->x;
    const StageTensor t = s->tensor.at[tensor];
    const DType acc = t.dtype == DT_F64 ? DT_F64 : DT_F32;
    const int max = block_reduce(s, tensor, 1u << axis, false, REDUCE_MAX_NUMBER, acc);
    const StageBuild b = stage_begin(s, t.rank, t.dim);
    Expr row[MAX_RANK];
    int n = 0;
    for (int k = 0; k < t.rank; k++)
        if (k != axis)
            row[n++] = b.i[k];
    const Expr v = expr_cast(x, acc, stages_load(s, tensor, b.i));
    const Expr e = expr_un(x, EX_EXP_DOWN, expr_sub(x, v, stages_load(s, max, row)));
    const int weight = stage_map(s, &b, "weight", acc, e);
    const int sum = block_reduce(s, weight, 1u << axis, false, REDUCE_SUM, acc);
    const StageBuild m = stage_begin(s, t.rank, t.dim);
    n = 0;
    for (int k = 0; k < t.rank; k++)
        if (k != axis)
            row[n++] = m.i[k];
    /* one a row */
    const Expr inverse = expr_div(x, expr_const(x, acc, 1), stages_load(s, sum, row));
    const Expr y = expr_mul(x, stages_load(s, weight, m.i), inverse);
    return stage_map(s, &m, "softmax", t.dtype, y);
}
