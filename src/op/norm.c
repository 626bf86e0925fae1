/* Normalisation: Softmax, LogSoftmax, LRN, LpNormalization, MeanVariance-, Batch-, Instance-,
 * Group-, Layer- and RMSNormalization. All arithmetic is in f32 (f64 for f64 inputs). */
#include "op/table.h"
#include "op/window.h"

#include <string.h>

/* ---- inference ---- */

/* Ops with an `axis` along which they work; default -1. */
void infer_norm_axis(const Infer *f)
{
    infer_axis(f, node_int(f->node, "axis", -1), infer_in(f, 0)->rank);
    infer_same(f, 0, 0);
}

static void require_channels(const Infer *f, int k, Expr channels)
{
    const Value *v = infer_in(f, k);
    if (v->rank != 1)
        infer_fail(f, "input %d has rank %d, not 1", k, v->rank);
    infer_require_equal(f, v->dim[0], channels, "a parameter and the channels of x");
}

/* x (N,C,...), all other inputs (C). */
void infer_norm_channels(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    if (x->rank < 1)
        infer_fail(f, "x is a scalar");
    const Expr channels = x->rank > 1 ? x->dim[1] : expr_int(f->x, 1);
    for (int k = 1; k < f->node->nin; k++)
        require_channels(f, k, channels);
    infer_same(f, 0, 0);
}

void infer_group_norm(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int64_t groups = node_int(f->node, "num_groups", 0);
    if (x->rank < 2 || groups < 1)
        infer_fail(f, "x of rank %d in %lld groups", x->rank, (long long)groups);
    infer_require_equal(f, expr_modi(f->x, x->dim[1], groups), expr_int(f->x, 0),
                        "channels modulo num_groups, and 0");
    if (x->rank >= MAX_RANK)
        infer_unsupported(f, "x has rank %d", x->rank);
    infer_norm_channels(f);
}

void infer_mean_variance(const Infer *f)
{
    const int64_t *axes;
    const int n = node_ints(f->node, "axes", &axes);
    for (int k = 0; k < n; k++)
        infer_axis(f, axes[k], infer_in(f, 0)->rank);
    if (n == 0)
        infer_axis(f, 3, infer_in(f, 0)->rank);
    infer_same(f, 0, 0);
}

/* Layer and RMS: axes from `axis` on; scale and bias broadcast to x. */
void infer_layer_norm(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int axis = infer_axis(f, node_int(f->node, "axis", -1), x->rank);
    const int64_t stash = node_int(f->node, "stash_type", 1);
    Expr dims[MAX_RANK];
    for (int k = 1; k < f->node->nin; k++) {
        const Value *p = infer_in(f, k);
        if (!p)
            continue;
        if (p->rank > x->rank)
            infer_fail(f, "input %d has rank %d, x %d", k, p->rank, x->rank);
        infer_broadcast(f, x->rank, x->dim, p->rank, p->dim, dims);
        for (int i = 0; i < x->rank; i++)
            infer_require_equal(f, dims[i], x->dim[i], "a parameter does not broadcast to x");
    }
    if (stash < 0 || stash >= DT_COUNT || !dtype_is_float((DType)stash))
        infer_fail(f, "stash_type is %lld", (long long)stash);
    for (int k = 0; k < x->rank; k++)
        dims[k] = k < axis ? x->dim[k] : expr_int(f->x, 1);
    infer_same(f, 0, 0);
    infer_out(f, 1, (DType)stash, x->rank, dims);
    infer_out(f, 2, (DType)stash, x->rank, dims);
}

/* ---- softmax ---- */

void define_softmax(Define *d)
{
    const int axis = define_axis(define_int(d, "axis", -1), define_rank(d, 0));
    define_out(d, 0, block_softmax(d->s, d->in[0], axis));
}

/* A REDUCE (sum) of `tensor` over the masked axes, kept with extent 1: the caller gives the term.
 */
typedef struct Sum {
    StageBuild b;
    Expr index[MAX_RANK]; /* of the tensor */
    Expr kept[MAX_RANK];  /* of a tensor with the reduced dims 1 */
    Expr count;           /* elements summed */
} Sum;

static Sum sum_begin(Stages *s, int tensor, uint32_t axes)
{
    Exprs *x = s->x;
    const StageTensor t = s->tensor.at[tensor];
    Expr dims[MAX_RANK], extent[MAX_RANK];
    int n = 0;
    Sum r = {.count = expr_int(x, 1)};
    for (int k = 0; k < t.rank; k++) {
        const bool reduced = axes >> k & 1;
        dims[k] = reduced ? expr_int(x, 1) : t.dim[k];
        if (!reduced)
            continue;
        extent[n++] = t.dim[k];
        r.count = expr_mul(x, r.count, t.dim[k]);
    }
    r.b = stage_begin(s, t.rank, dims);
    stage_reduce_axes(s, &r.b, n, extent);
    n = 0;
    for (int k = 0; k < t.rank; k++) {
        r.kept[k] = r.b.i[k];
        r.index[k] = axes >> k & 1 ? r.b.r[n++] : r.b.i[k];
    }
    return r;
}

static int sum_end(Stages *s, const Sum *r, Expr term)
{
    Exprs *x = s->x;
    const DType t = expr_type(x, term);
    const Expr state = expr_state(x, t, 0);
    return stage_reduce(s, &r->b, "sum", t, expr_const(x, t, 0), expr_add(x, state, term),
                        expr_add(x, state, expr_state2(x, t, 0)));
}

/* index[] with the masked axes at 0: of a tensor whose reduced dims are 1. */
static void kept_index(Exprs *x, int rank, uint32_t axes, const Expr *index, Expr *out)
{
    for (int k = 0; k < rank; k++)
        out[k] = axes >> k & 1 ? expr_int(x, 0) : index[k];
}

static DType acc_type(const Define *d)
{
    return dtype_compute(define_in(d, 0)->dtype);
}

/* x - max - log(sum(exp(x - max))) */
void define_log_softmax(Define *d)
{
    Exprs *x = d->x;
    const int rank = define_rank(d, 0);
    const uint32_t axes = 1u << define_axis(define_int(d, "axis", -1), rank);
    const int max = block_reduce(d->s, d->in[0], axes, true, REDUCE_MAX, acc_type(d));
    const Sum r = sum_begin(d->s, d->in[0], axes);
    const Expr shifted = expr_sub(x, define_load(d, 0, r.index), stages_load(d->s, max, r.kept));
    const int sum = sum_end(d->s, &r, expr_un(x, EX_EXP_DOWN, shifted));
    const StageBuild b = define_begin(d, 0);
    Expr kept[MAX_RANK];
    kept_index(x, rank, axes, b.i, kept);
    const Expr v = expr_sub(x, define_load(d, 0, b.i), stages_load(d->s, max, kept));
    define_map(d, 0, &b, expr_sub(x, v, expr_un(x, EX_LOG, stages_load(d->s, sum, kept))));
}

/* ---- moments ---- */

typedef struct Moments {
    int mean;      /* tensor, reduced dims 1 */
    int deviation; /* sqrt(variance + epsilon), or its inverse */
} Moments;

/* Two passes: the variance is the mean of (x - mean)^2. */
static Moments moments_of(const Define *d, int tensor, uint32_t axes, double epsilon, bool inverse)
{
    Stages *s = d->s;
    Exprs *x = d->x;
    const DType t = acc_type(d);
    const int mean = block_reduce(s, tensor, axes, true, REDUCE_MEAN, t);
    const Sum r = sum_begin(s, tensor, axes);
    const Expr off = expr_sub(x, stages_load(s, tensor, r.index), stages_load(s, mean, r.kept));
    const int sum = sum_end(s, &r, expr_mul(x, off, off));
    const StageTensor ts = s->tensor.at[sum];
    const StageBuild b = stage_begin(s, ts.rank, ts.dim);
    const Expr n = expr_cast(x, t, r.count);
    const Expr variance = expr_div(x, stages_load(s, sum, b.i), n);
    const Expr root = expr_un(x, EX_SQRT, expr_add(x, variance, expr_const(x, t, epsilon)));
    const Expr v = inverse ? expr_div(x, expr_const(x, t, 1), root) : root;
    const Moments m = {mean, stage_map(s, &b, inverse ? "inverse" : "deviation", t, v)};
    return m;
}

/* (x - mean) * inverse at the axes of b. */
static Expr normalized(const Define *d, const Moments *m, const StageBuild *b, uint32_t axes)
{
    Expr kept[MAX_RANK];
    kept_index(d->x, define_rank(d, 0), axes, b->i, kept);
    const Expr off = expr_sub(d->x, define_load(d, 0, b->i), stages_load(d->s, m->mean, kept));
    return expr_mul(d->x, off, stages_load(d->s, m->deviation, kept));
}

/* v*scale + bias with parameters of the channels, inputs k and k + 1. */
static Expr affine(const Define *d, Expr v, int k, const Expr *channel)
{
    const DType t = expr_type(d->x, v);
    const Expr scale = expr_cast(d->x, t, define_load(d, k, channel));
    return expr_fma(d->x, v, scale, expr_cast(d->x, t, define_load(d, k + 1, channel)));
}

void define_instance_norm(Define *d)
{
    const uint32_t axes = ((1u << define_rank(d, 0)) - 1) & ~3u;
    const Moments m = moments_of(d, d->in[0], axes, define_float(d, "epsilon", 1e-5), true);
    const StageBuild b = define_begin(d, 0);
    define_map(d, 0, &b, affine(d, normalized(d, &m, &b, axes), 1, &b.i[1]));
}

/* Groups of channels as an axis of their own: moments over a view (N, groups, C/groups, ...). */
void define_group_norm(Define *d)
{
    Exprs *x = d->x;
    const StageTensor t = *define_in(d, 0);
    const int64_t groups = define_int(d, "num_groups", 1);
    const Expr each = expr_divi(x, t.dim[1], groups);
    Expr dims[MAX_RANK] = {t.dim[0], expr_int(x, groups), each};
    memcpy(dims + 3, t.dim + 2, (size_t)(t.rank - 2) * sizeof *dims);
    const int view = block_reshape(d->s, d->in[0], t.rank + 1, dims);
    const uint32_t axes = ((1u << (t.rank + 1)) - 1) & ~3u;
    const Moments m = moments_of(d, view, axes, define_float(d, "epsilon", 1e-5), true);
    const StageBuild b = define_begin(d, 0);
    Expr group[MAX_RANK];
    for (int k = 2; k <= t.rank; k++)
        group[k] = expr_int(x, 0);
    group[0] = b.i[0];
    group[1] = expr_div(x, b.i[1], each);
    const Expr off = expr_sub(x, define_load(d, 0, b.i), stages_load(d->s, m.mean, group));
    const Expr v = expr_mul(x, off, stages_load(d->s, m.deviation, group));
    define_map(d, 0, &b, affine(d, v, 1, &b.i[1]));
}

static uint32_t axes_from(const Define *d)
{
    const int rank = define_rank(d, 0);
    const int axis = define_axis(define_int(d, "axis", -1), rank);
    return ((1u << rank) - 1) & ~((1u << axis) - 1);
}

void define_layer_norm(Define *d)
{
    Exprs *x = d->x;
    const int rank = define_rank(d, 0);
    const uint32_t axes = axes_from(d);
    const Moments m = moments_of(d, d->in[0], axes, define_float(d, "epsilon", 1e-5), true);
    const StageBuild b = define_begin(d, 0);
    Expr v = normalized(d, &m, &b, axes);
    const DType t = expr_type(x, v);
    v = expr_mul(x, v, expr_cast(x, t, define_load_broadcast(d, 1, rank, b.i)));
    if (define_has(d, 2))
        v = expr_add(x, v, expr_cast(x, t, define_load_broadcast(d, 2, rank, b.i)));
    define_map(d, 0, &b, v);
    define_out(d, 1, m.mean);
    define_out(d, 2, m.deviation);
}

/* x / sqrt(mean(x^2) + epsilon) * scale */
void define_rms_norm(Define *d)
{
    Exprs *x = d->x;
    const DType t = acc_type(d);
    const int rank = define_rank(d, 0);
    const uint32_t axes = axes_from(d);
    const Sum r = sum_begin(d->s, d->in[0], axes);
    const Expr e = define_load(d, 0, r.index);
    const int sum = sum_end(d->s, &r, expr_mul(x, e, e));
    const StageTensor ts = d->s->tensor.at[sum];
    const StageBuild m = stage_begin(d->s, ts.rank, ts.dim);
    const Expr mean = expr_div(x, stages_load(d->s, sum, m.i), expr_cast(x, t, r.count));
    const Expr epsilon = expr_const(x, t, define_float(d, "epsilon", 1e-5));
    const Expr root = expr_un(x, EX_SQRT, expr_add(x, mean, epsilon));
    const int inverse = stage_map(d->s, &m, "inverse", t, expr_div(x, expr_const(x, t, 1), root));
    const StageBuild b = define_begin(d, 0);
    Expr kept[MAX_RANK];
    kept_index(x, rank, axes, b.i, kept);
    const Expr v = expr_mul(x, define_load(d, 0, b.i), stages_load(d->s, inverse, kept));
    const Expr scale = expr_cast(x, t, define_load_broadcast(d, 1, rank, b.i));
    define_map(d, 0, &b, expr_mul(x, v, scale));
}

/* (x - mean) / (sqrt(variance) + 1e-9) */
void define_mean_variance(Define *d)
{
    static const int64_t usual[] = {0, 2, 3};
    Exprs *x = d->x;
    const int rank = define_rank(d, 0);
    const int64_t *list;
    const int n = node_ints(d->node, "axes", &list);
    uint32_t axes = 0;
    for (int k = 0; k < (n ? n : 3); k++)
        axes |= 1u << define_axis(n ? list[k] : usual[k], rank);
    const Moments m = moments_of(d, d->in[0], axes, 0, false);
    const StageBuild b = define_begin(d, 0);
    Expr kept[MAX_RANK];
    kept_index(x, rank, axes, b.i, kept);
    const Expr off = expr_sub(x, define_load(d, 0, b.i), stages_load(d->s, m.mean, kept));
    const Expr floor = expr_const(x, acc_type(d), 1e-9);
    define_map(d, 0, &b,
               expr_div(x, off, expr_add(x, stages_load(d->s, m.deviation, kept), floor)));
}

/* ---- given statistics ---- */

/* y = x*a + c per channel, a = scale / sqrt(var + epsilon), c = bias - mean*a. */
void define_batch_norm(Define *d)
{
    Exprs *x = d->x;
    const DType t = acc_type(d);
    const StageBuild p = stage_begin(d->s, 1, define_in(d, 1)->dim);
    Expr v[5];
    for (int k = 1; k < 5; k++)
        v[k] = expr_cast(x, t, define_load(d, k, p.i));
    const Expr epsilon = expr_const(x, t, define_float(d, "epsilon", 1e-5));
    const Expr root = expr_un(x, EX_SQRT, expr_add(x, v[4], epsilon));
    const int a = stage_map(d->s, &p, "slope", t, expr_div(x, v[1], root));
    const Expr moved = expr_mul(x, v[3], stages_load(d->s, a, p.i));
    const int c = stage_map(d->s, &p, "offset", t, expr_sub(x, v[2], moved));
    const StageBuild b = define_begin(d, 0);
    const Expr channel = define_rank(d, 0) > 1 ? b.i[1] : expr_int(x, 0);
    define_map(d, 0, &b,
               expr_fma(x, define_load(d, 0, b.i), stages_load(d->s, a, &channel),
                        stages_load(d->s, c, &channel)));
}

/* ---- others ---- */

/* x / (bias + alpha/size * sum over `size` channels around of x^2)^beta */
void infer_lrn(const Infer *f)
{
    if (infer_in(f, 0)->rank < 2)
        infer_fail(f, "x has rank %d", infer_in(f, 0)->rank);
    if (node_int(f->node, "size", 0) < 1)
        infer_fail(f, "size is %lld", (long long)node_int(f->node, "size", 0));
    infer_same(f, 0, 0);
}

void define_lrn(Define *d)
{
    Exprs *x = d->x;
    const int64_t size = define_int(d, "size", 1);
    const Expr extent = expr_int(x, size);
    const DType t = acc_type(d);
    StageBuild b = define_begin(d, 0);
    stage_reduce_axes(d->s, &b, 1, &extent);
    Expr index[MAX_RANK], inside = expr_true(x);
    memcpy(index, b.i, sizeof index);
    const Expr c = expr_addi(x, expr_add(x, b.i[1], b.r[0]), -((size - 1) / 2));
    index[1] = window_clamp(x, c, define_dim(d, 0, 1), &inside);
    const Expr v = expr_select(x, inside, define_load(d, 0, index), expr_const(x, t, 0));
    const Expr state = expr_state(x, t, 0);
    const int sum = stage_reduce(d->s, &b, "sum", t, expr_const(x, t, 0), expr_fma(x, v, v, state),
                                 expr_add(x, state, expr_state2(x, t, 0)));
    const StageBuild m = define_begin(d, 0);
    const Expr factor = expr_const(x, t, define_float(d, "alpha", 1e-4) / (double)size);
    const Expr bias = expr_const(x, t, define_float(d, "bias", 1));
    const Expr base = expr_fma(x, factor, stages_load(d->s, sum, m.i), bias);
    const Expr beta = expr_const(x, t, define_float(d, "beta", 0.75));
    define_map(d, 0, &m, expr_div(x, define_load(d, 0, m.i), expr_bin(x, EX_POW, base, beta)));
}

/* x over its L1 or L2 norm along the axis; 0 where the norm is 0. */
void define_lp_normalization(Define *d)
{
    Exprs *x = d->x;
    const DType t = acc_type(d);
    const int rank = define_rank(d, 0);
    const uint32_t axes = 1u << define_axis(define_int(d, "axis", -1), rank);
    const bool l1 = define_int(d, "p", 2) == 1;
    const Sum r = sum_begin(d->s, d->in[0], axes);
    const Expr e = define_load(d, 0, r.index);
    const int sum = sum_end(d->s, &r, l1 ? expr_un(x, EX_ABS, e) : expr_mul(x, e, e));
    const StageBuild b = define_begin(d, 0);
    Expr kept[MAX_RANK];
    kept_index(x, rank, axes, b.i, kept);
    const Expr s = stages_load(d->s, sum, kept), zero = expr_const(x, t, 0);
    const Expr norm = l1 ? s : expr_un(x, EX_SQRT, s);
    const Expr v = expr_div(x, define_load(d, 0, b.i), norm);
    define_map(d, 0, &b, expr_select(x, expr_eq(x, norm, zero), zero, v));
}
