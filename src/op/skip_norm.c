/* SkipLayerNormalization (com.microsoft): the sum of x, skip and a bias, normalised along the last
 * axis.
 *
 *     s = x + skip + bias;  y = (s - mean(s)) / sqrt(variance(s) + epsilon) * gamma + beta
 *
 * The inputs are x, skip, gamma, beta and bias; the results y, the mean, the inverse deviation
 * and s. */
#include "op/table.h"

enum { X, SKIP, GAMMA, BETA, BIAS };

void infer_skip_layer_norm(const Infer *f)
{
    const Value *x = infer_in(f, X), *skip = infer_in(f, SKIP);
    if (x->rank < 2 || skip->rank > x->rank)
        infer_fail(f, "x has rank %d, skip %d", x->rank, skip->rank);
    Expr dims[MAX_RANK];
    infer_broadcast(f, x->rank, x->dim, skip->rank, skip->dim, dims);
    for (int k = 0; k < x->rank; k++)
        infer_require_equal(f, dims[k], x->dim[k], "skip does not broadcast to x");
    for (int k = GAMMA; k <= BIAS; k++) {
        const Value *p = infer_in(f, k);
        if (p && p->rank != 1)
            infer_fail(f, "input %d has rank %d, not 1", k, p->rank);
        if (p)
            infer_require_equal(f, p->dim[0], x->dim[x->rank - 1],
                                "a parameter and the last axis of x");
    }
    dims[x->rank - 1] = expr_int(f->x, 1);
    const DType moments = x->dtype == DT_F64 ? DT_F64 : DT_F32;
    const int rank = x->rank;
    infer_same(f, 0, X);
    infer_out(f, 1, moments, rank, dims);
    infer_out(f, 2, moments, rank, dims);
    infer_same(f, 3, X);
}

/* At the output's index, in the type that is computed in. */
static Expr load(const Define *d, int k, const StageBuild *b)
{
    return define_load_broadcast(d, k, b->naxes, b->i);
}

/* A tensor of rows, whose last dim is 1. */
static Expr load_row(Stages *s, int tensor, const StageBuild *b)
{
    Expr index[MAX_RANK];
    for (int k = 0; k < b->naxes; k++)
        index[k] = k < b->naxes - 1 ? b->i[k] : expr_int(s->x, 0);
    return stages_load(s, tensor, index);
}

void define_skip_layer_norm(Define *d)
{
    Stages *s = d->s;
    Exprs *x = d->x;
    const DType t = dtype_compute(define_in(d, X)->dtype);
    const int rank = define_rank(d, X);
    const uint32_t last = 1u << (rank - 1);
    const StageBuild b = define_begin(d, 0);
    Expr v = expr_add(x, load(d, X, &b), load(d, SKIP, &b));
    if (define_has(d, BIAS))
        v = expr_add(x, v, load(d, BIAS, &b));
    const int sum = stage_map(s, &b, "sum", t, v);
    const int mean = block_reduce(s, sum, last, true, REDUCE_MEAN, t);

    const StageBuild o = define_begin(d, 0);
    const Expr off = expr_sub(x, stages_load(s, sum, o.i), load_row(s, mean, &o));
    const int offset = stage_map(s, &o, "offset", t, off);
    const int variance = block_reduce(s, offset, last, true, REDUCE_SUMSQ, t);

    const StageTensor tv = s->tensor.at[variance];
    const StageBuild m = stage_begin(s, tv.rank, tv.dim);
    const Expr count = expr_cast(x, t, define_dim(d, X, rank - 1));
    const Expr spread = expr_add(x, expr_div(x, stages_load(s, variance, m.i), count),
                                 expr_const(x, t, define_float(d, "epsilon", 1e-12)));
    const Expr one = expr_const(x, t, 1);
    const int inverse =
        stage_map(s, &m, "inverse", t, expr_div(x, one, expr_un(x, EX_SQRT, spread)));

    const StageBuild y = define_begin(d, 0);
    v = expr_mul(x, stages_load(s, offset, y.i), load_row(s, inverse, &y));
    v = expr_mul(x, v, load(d, GAMMA, &y));
    if (define_has(d, BETA))
        v = expr_add(x, v, load(d, BETA, &y));
    define_map(d, 0, &y, v);
    define_out(d, 1, mean);
    define_out(d, 2, inverse);
    define_out(d, 3, sum);
}
