/* Matrix products: MatMul, Gemm, MatMulInteger, QLinearMatMul, FusedMatMul.
 *
 * All are one REDUCE over k of domain (batch..., m, n); transposed operands are index maps, not
 * copies. Quantized ones sum (a - za) * (b - zb) in i32. */
#include "op/quant.h"
#include "op/strassen.h"
#include "op/table.h"
#include "op/window.h"

/* ---- inference ---- */

/* (...,M,K) x (...,K,N), each with its matrix axes the other way round where it is transposed; or
 * vectors (K) on either side, whose axis the result lacks. */
static void infer_transposed(const Infer *f, int ka, int kb, bool trans_a, bool trans_b, DType t)
{
    const Value *a = infer_in(f, ka), *b = infer_in(f, kb);
    if (a->rank < 1 || b->rank < 1)
        infer_fail(f, "a scalar operand");
    const int ba = a->rank > 2 ? a->rank - 2 : 0, bb = b->rank > 2 ? b->rank - 2 : 0;
    infer_require_equal(f, a->dim[a->rank - (trans_a && a->rank > 1 ? 2 : 1)],
                        b->dim[b->rank - (trans_b || b->rank == 1 ? 1 : 2)],
                        "the inner dims of the product");
    Expr dims[MAX_RANK];
    int n = infer_broadcast(f, ba, a->dim, bb, b->dim, dims);
    if (a->rank > 1)
        dims[n++] = a->dim[a->rank - (trans_a ? 1 : 2)];
    if (b->rank > 1)
        dims[n++] = b->dim[b->rank - (trans_b ? 2 : 1)];
    infer_out(f, 0, t, n, dims);
}

static void infer_product_shape(const Infer *f, int ka, int kb, DType t)
{
    infer_transposed(f, ka, kb, false, false, t);
}

static void require_same_type(const Infer *f, int a, int b)
{
    if (infer_in(f, a)->dtype != infer_in(f, b)->dtype)
        infer_fail(f, "inputs of types %s and %s", dtype_name(infer_in(f, a)->dtype),
                   dtype_name(infer_in(f, b)->dtype));
}

void infer_matmul(const Infer *f)
{
    require_same_type(f, 0, 1);
    infer_product_shape(f, 0, 1, infer_in(f, 0)->dtype);
    infer_strassen(f);
}

void infer_fused_matmul(const Infer *f)
{
    if (node_int(f->node, "transBatchA", 0) || node_int(f->node, "transBatchB", 0))
        infer_unsupported(f, "an operand whose batch axes are transposed");
    infer_transposed(f, 0, 1, node_int(f->node, "transA", 0) != 0,
                     node_int(f->node, "transB", 0) != 0, infer_in(f, 0)->dtype);
}

/* A parameter k (if present) of the rows of operand a, or of the columns: a scalar, one per line,
 * or of the result's batch dims with the other matrix dim 1. All dims may be 1. */
static void check_line_param(const Infer *f, int k, int operand, bool rows, int batch,
                             const Expr *out)
{
    const Value *p = infer_in(f, k), *a = infer_in(f, operand);
    if (!p)
        return;
    const int back = rows ? 2 : 1;
    const bool vector = a->rank < 2;
    const Expr one = expr_int(f->x, 1), line = vector ? one : a->dim[a->rank - back];
    if (p->rank > 2 && (vector || p->rank - 2 > batch))
        infer_fail(f, "input %d has rank %d", k, p->rank);
    for (int i = 0; i < p->rank; i++) {
        const int from_end = p->rank - 1 - i;
        Expr want = from_end == back - 1 || p->rank == 1 ? line : one;
        if (p->rank > 2 && from_end >= 2)
            want = out[batch - (p->rank - 2) + i];
        if (!dim_is(f->x, p->dim[i], 1))
            infer_require_equal(f, p->dim[i], want, "a scale or zero point and its operand");
    }
}

/* Quantized products: parameters of a and y go by rows, those of b by columns. */
static void check_params(const Infer *f, int a, int b, int na, const int *of_a, int nb,
                         const int *of_b)
{
    const Value *va = infer_in(f, a), *vb = infer_in(f, b);
    if (f->node->out[0] < 0)
        return;
    const Value *out = &f->g->value.at[f->node->out[0]];
    const int batch = out->rank - (va->rank > 1) - (vb->rank > 1);
    for (int k = 0; k < na; k++)
        check_line_param(f, of_a[k], a, true, batch, out->dim);
    for (int k = 0; k < nb; k++)
        check_line_param(f, of_b[k], b, false, batch, out->dim);
}

void infer_matmul_integer(const Infer *f)
{
    infer_product_shape(f, 0, 1, DT_I32);
    check_params(f, 0, 1, 1, (const int[]){2}, 1, (const int[]){3});
}

void infer_qlinear_matmul(const Infer *f)
{
    infer_product_shape(f, 0, 3, infer_in(f, 7)->dtype);
    check_params(f, 0, 3, 4, (const int[]){1, 2, 6, 7}, 3, (const int[]){4, 5, 8});
    if (infer_has(f, 8) && node_int(f->node, "folded", 0) == 0)
        infer_fail(f, "there are more than 8 inputs"); /* the bias is pass/fold_zero_points.c's */
}

void infer_gemm(const Infer *f)
{
    const Value *a = infer_in(f, 0), *b = infer_in(f, 1);
    require_same_type(f, 0, 1);
    if (a->rank != 2 || b->rank != 2)
        infer_fail(f, "operands of rank %d and %d, not 2", a->rank, b->rank);
    const int ta = node_int(f->node, "transA", 0) != 0, tb = node_int(f->node, "transB", 0) != 0;
    infer_require_equal(f, a->dim[1 - ta], b->dim[tb], "the inner dims of the product");
    const Expr dims[2] = {a->dim[ta], b->dim[1 - tb]};
    const Value *c = infer_in(f, 2);
    if (c) {
        Expr out[MAX_RANK];
        if (c->rank > 2)
            infer_fail(f, "C has rank %d", c->rank);
        infer_broadcast(f, 2, dims, c->rank, c->dim, out);
        for (int k = 0; k < 2; k++)
            infer_require_equal(f, dims[k], out[k], "C does not broadcast to the product");
    }
    infer_out(f, 0, a->dtype, 2, dims);
}

/* ---- definition ---- */

typedef struct Operand {
    int tensor;
    bool trans;
    int zero; /* zero point tensor: scalar, one per row of A (column of B), or none: -1 */
} Operand;

/* Element of an operand with its matrix axes at (row, col), its batch axes right-aligned with
 * the result's, of which there are nbatch. */
static Expr operand_load(const Define *d, const Operand *o, int nbatch, const Expr *batch, Expr row,
                         Expr col)
{
    const StageTensor t = d->s->tensor.at[o->tensor];
    const Expr zero = expr_int(d->x, 0);
    Expr index[MAX_RANK];
    for (int k = 0; k < t.rank - 2; k++)
        index[k] = dim_is(d->x, t.dim[k], 1) ? zero : batch[nbatch - (t.rank - 2) + k];
    if (t.rank > 1) {
        index[t.rank - 2] = o->trans ? col : row;
        index[t.rank - 1] = o->trans ? row : col;
    } else {
        index[0] = row ? row : col;
    }
    return stages_load(d->s, o->tensor, index);
}

/* A parameter of the rows of A (or the columns of B): scalar; one per row; or (..., M, 1), which is
 * (..., 1, N) for B. `line` is the row or column, `is_row` which of them. */
static Expr line_param(const Define *d, int tensor, int nbatch, const Expr *batch, Expr line,
                       bool is_row)
{
    const StageTensor t = d->s->tensor.at[tensor];
    const Expr zero = expr_int(d->x, 0);
    Expr index[MAX_RANK];
    for (int k = 0; k < t.rank; k++) {
        const int from_end = t.rank - 1 - k;
        const bool is_line = t.rank == 1 || from_end == (is_row ? 1 : 0);
        Expr i = zero;
        if (t.rank > 2 && from_end >= 2)
            i = batch[nbatch - (t.rank - 2) + k];
        else if (is_line && line)
            i = line;
        index[k] = dim_is(d->x, t.dim[k], 1) ? zero : i;
    }
    return stages_load(d->s, tensor, index);
}

static Expr minus_zero(const Define *d, Expr v, Expr zero)
{
    const Expr a = expr_cast(d->x, DT_I32, v);
    return zero ? expr_sub(d->x, a, expr_cast(d->x, DT_I32, zero)) : a;
}

typedef struct Axes { /* of a product's result */
    int nbatch;
    Expr m, n; /* 0: absent (a vector operand) */
} Axes;

static Axes product_axes(const Define *d, const Operand *a, const Operand *b, const StageBuild *s)
{
    const bool has_m = d->s->tensor.at[a->tensor].rank > 1;
    const bool has_n = d->s->tensor.at[b->tensor].rank > 1;
    const Axes r = {
        .nbatch = s->naxes - has_m - has_n,
        .m = has_m ? s->i[s->naxes - 1 - has_n] : 0,
        .n = has_n ? s->i[s->naxes - 1] : 0,
    };
    return r;
}

static void name_product_axes(const Define *d, StageBuild *b, const Axes *axes)
{
    static const char *const batch[] = {"a", "b", "c", "d", "e", "f"}, *const m = "m",
                             *const n = "n", *const k = "k";
    stage_name_axes(d->s, b, 0, axes->nbatch, batch);
    if (axes->m)
        stage_name_axes(d->s, b, axes->nbatch, 1, &m);
    if (axes->n)
        stage_name_axes(d->s, b, b->naxes - 1, 1, &n);
    stage_name_axes(d->s, b, b->naxes, 1, &k);
}

/* The REDUCE; integers of 8 bits are summed in i32. */
static int product(Define *d, const Operand *a, const Operand *b, DType acc)
{
    Exprs *x = d->x;
    const StageTensor ta = d->s->tensor.at[a->tensor];
    StageBuild s = define_begin(d, 0);
    stage_reduce_axes(d->s, &s, 1, &ta.dim[ta.rank - (a->trans ? 2 : 1)]);
    const Axes axes = product_axes(d, a, b, &s);
    name_product_axes(d, &s, &axes);
    Expr va = operand_load(d, a, axes.nbatch, s.i, axes.m, s.r[0]);
    Expr vb = operand_load(d, b, axes.nbatch, s.i, s.r[0], axes.n);
    if (acc == DT_I32) {
        const Expr za = a->zero < 0 ? 0 : line_param(d, a->zero, axes.nbatch, s.i, axes.m, true);
        const Expr zb = b->zero < 0 ? 0 : line_param(d, b->zero, axes.nbatch, s.i, axes.n, false);
        va = minus_zero(d, va, za);
        vb = minus_zero(d, vb, zb);
    }
    const Expr state = expr_state(x, acc, 0), state2 = expr_state2(x, acc, 0);
    const Expr update =
        dtype_is_float(acc) ? expr_fma(x, va, vb, state) : expr_add(x, state, expr_mul(x, va, vb));
    return stage_reduce(d->s, &s, "acc", acc, expr_const(x, acc, 0), update,
                        expr_add(x, state, state2));
}

void define_matmul(Define *d)
{
    if (d->variants && strassen_of(d->node)) {
        define_strassen(d);
        return;
    }
    const Operand a = {.tensor = d->in[0], .zero = -1}, b = {.tensor = d->in[1], .zero = -1};
    define_out(d, 0, product(d, &a, &b, dtype_compute(define_out_type(d, 0))));
}

void define_matmul_integer(Define *d)
{
    const Operand a = {.tensor = d->in[0], .zero = quant_zero(d, 2)};
    const Operand b = {.tensor = d->in[1], .zero = quant_zero(d, 3)};
    define_out(d, 0, product(d, &a, &b, DT_I32));
}

/* y = saturate(round((acc + bias) * (a_scale * b_scale / y_scale)) + y_zero_point) */
void define_qlinear_matmul(Define *d)
{
    const Operand a = {.tensor = d->in[0], .zero = quant_zero(d, 2)};
    const Operand b = {.tensor = d->in[3], .zero = quant_zero(d, 5)};
    const int acc = product(d, &a, &b, DT_I32);
    const StageBuild s = define_begin(d, 0);
    const Axes axes = product_axes(d, &a, &b, &s);
    const Expr sa = line_param(d, d->in[1], axes.nbatch, s.i, axes.m, true);
    const Expr sb = line_param(d, d->in[4], axes.nbatch, s.i, axes.n, false);
    const Expr sy = line_param(d, d->in[6], axes.nbatch, s.i, axes.m, true);
    const Expr zy = line_param(d, d->in[7], axes.nbatch, s.i, axes.m, true);
    const Expr scale = expr_div(d->x, expr_mul(d->x, sa, sb), sy);
    Expr sum = stages_load(d->s, acc, s.i);
    if (define_has(d, 8))
        sum = expr_add(d->x, sum, line_param(d, d->in[8], axes.nbatch, s.i, axes.n, false));
    const Expr v = quant_rescale(d->x, sum, scale, zy, define_out_type(d, 0));
    define_map(d, 0, &s, v);
}

/* factor * v; the product of an integer type with a fraction is taken in f64. */
static Expr times(Exprs *x, Expr v, double factor)
{
    const DType t = expr_type(x, v);
    if (factor == 1)
        return v;
    if (dtype_is_float(t))
        return expr_mul(x, v, expr_const(x, t, factor));
    if (factor == (double)(int64_t)factor)
        return expr_mul(x, v, expr_int_of(x, t, (int64_t)factor));
    return expr_cast(x, t, expr_mul(x, expr_cast(x, DT_F64, v), expr_float(x, DT_F64, factor)));
}

void define_gemm(Define *d)
{
    const Operand a = {.tensor = d->in[0], .trans = define_int(d, "transA", 0) != 0, .zero = -1};
    const Operand b = {.tensor = d->in[1], .trans = define_int(d, "transB", 0) != 0, .zero = -1};
    const double alpha = define_float(d, "alpha", 1), beta = define_float(d, "beta", 1);
    const bool has_c = define_has(d, 2) && beta != 0;
    const int acc = product(d, &a, &b, dtype_compute(define_out_type(d, 0)));
    if (alpha == 1 && !has_c) {
        define_out(d, 0, acc);
        return;
    }
    const StageBuild s = define_begin(d, 0);
    Expr v = times(d->x, stages_load(d->s, acc, s.i), alpha);
    if (has_c)
        v = expr_add(d->x, v, times(d->x, define_load_broadcast(d, 2, 2, s.i), beta));
    define_map(d, 0, &s, v);
}

/* alpha * A B, A and B transposed as in Gemm, batched as in MatMul; vectors are never
 * transposed. */
void define_fused_matmul(Define *d)
{
    const Operand a = {.tensor = d->in[0],
                       .trans = define_int(d, "transA", 0) != 0 && define_rank(d, 0) > 1,
                       .zero = -1};
    const Operand b = {.tensor = d->in[1],
                       .trans = define_int(d, "transB", 0) != 0 && define_rank(d, 1) > 1,
                       .zero = -1};
    const int acc = product(d, &a, &b, dtype_compute(define_out_type(d, 0)));
    const StageBuild s = define_begin(d, 0);
    define_map(d, 0, &s, times(d->x, stages_load(d->s, acc, s.i), define_float(d, "alpha", 1)));
}
