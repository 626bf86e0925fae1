/* Reductions: ReduceSum and the nine like it, ArgMax, ArgMin, Hardmax.
 *
 * Each of the ten is a row: what is done to an element, how elements are joined, what is done to
 * the result. Without axes to reduce the two element functions remain. */
#include "op/reduce.h"

#include <math.h>

#include "op/table.h"
#include "op/window.h"

typedef enum Pre { PRE_NONE, PRE_ABS, PRE_SQUARE } Pre;
typedef enum Post { POST_NONE, POST_MEAN, POST_SQRT, POST_LOG } Post;

typedef struct ReduceRow {
    OpCode op;
    ReduceKind kind;
    Pre pre;
    Post post;
} ReduceRow;

static const ReduceRow reduce_rows[] = {
    {OP_REDUCE_L1, REDUCE_SUM, PRE_ABS, POST_NONE},
    {OP_REDUCE_L2, REDUCE_SUM, PRE_SQUARE, POST_SQRT},
    {OP_REDUCE_LOG_SUM, REDUCE_SUM, PRE_NONE, POST_LOG},
    {OP_REDUCE_MAX, REDUCE_MAX, PRE_NONE, POST_NONE},
    {OP_REDUCE_MEAN, REDUCE_SUM, PRE_NONE, POST_MEAN},
    {OP_REDUCE_MIN, REDUCE_MIN, PRE_NONE, POST_NONE},
    {OP_REDUCE_PROD, REDUCE_PROD, PRE_NONE, POST_NONE},
    {OP_REDUCE_SUM, REDUCE_SUM, PRE_NONE, POST_NONE},
    {OP_REDUCE_SUM_SQUARE, REDUCE_SUM, PRE_SQUARE, POST_NONE},
};

static const ReduceRow *row_of(OpCode op)
{
    const int n = (int)(sizeof reduce_rows / sizeof *reduce_rows);
    for (int k = 0; k < n; k++)
        if (reduce_rows[k].op == op)
            return &reduce_rows[k];
    return NULL;
}

/* ---- axes ---- */

static uint32_t axes_mask(int rank, int n, const int64_t *axes)
{
    uint32_t mask = 0;
    for (int k = 0; k < n; k++)
        mask |= 1u << define_axis(axes[k], rank);
    return mask;
}

/* No axes given: all, or none with noop_with_empty_axes. */
static uint32_t mask_of(const Node *node, int rank, int n, const int64_t *axes)
{
    if (n > 0)
        return axes_mask(rank, n, axes);
    return node_int(node, "noop_with_empty_axes", 0) ? 0 : (1u << rank) - 1;
}

static void reduced_shape(const Infer *f, uint32_t mask, bool keep, DType t)
{
    const Value *x = infer_in(f, 0);
    Expr dims[MAX_RANK];
    int n = 0;
    for (int k = 0; k < x->rank; k++) {
        if (!(mask >> k & 1))
            dims[n++] = x->dim[k];
        else if (keep)
            dims[n++] = expr_int(f->x, 1);
    }
    infer_out(f, 0, t, n, dims);
}

void infer_reduce(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    int64_t axes[MAX_ELEMS];
    const int n = infer_ints_or_attr(f, "axes", 1, axes, MAX_ELEMS);
    for (int k = 0; k < n; k++)
        infer_axis(f, axes[k], x->rank);
    const bool keep = node_int(f->node, "keepdims", 1) != 0;
    reduced_shape(f, mask_of(f->node, x->rank, n, axes), keep, x->dtype);
}

/* Output 0's domain with the masked axes of input 0 as reduction axes; index[] is the load. */
static StageBuild begin_out(const Define *d, uint32_t axes, bool keep, Expr *index)
{
    const StageTensor t = *define_in(d, 0);
    Expr extent[MAX_RANK];
    int nout = 0, nred = 0;
    for (int k = 0; k < t.rank; k++)
        if (axes >> k & 1)
            extent[nred++] = t.dim[k];
    StageBuild b = define_begin(d, 0);
    stage_reduce_axes(d->s, &b, nred, extent);
    nred = 0;
    for (int k = 0; k < t.rank; k++) {
        const bool reduced = axes >> k & 1;
        index[k] = reduced ? b.r[nred++] : b.i[nout];
        nout += keep || !reduced;
    }
    return b;
}

/* ---- the ten ---- */

static Expr before(Exprs *x, Expr v, Pre pre)
{
    if (pre == PRE_ABS)
        return expr_un(x, EX_ABS, v);
    return pre == PRE_SQUARE ? expr_mul(x, v, v) : v;
}

static Expr after(Exprs *x, Expr v, Post post, Expr count)
{
    switch (post) {
    case POST_MEAN:
        return expr_div(x, v, expr_cast(x, expr_type(x, v), count));
    case POST_SQRT:
        return expr_un(x, EX_SQRT, v);
    case POST_LOG:
        return expr_un(x, EX_LOG, v);
    case POST_NONE:
        break;
    }
    return v;
}

typedef struct Reduction {
    uint32_t axes;
    bool keep;
    ReduceKind kind;
} Reduction;

static Reduction reduction_of(const Define *d, ReduceKind kind)
{
    int64_t axes[MAX_ELEMS];
    const int n = define_ints_or_attr(d, "axes", 1, axes, MAX_ELEMS);
    const Reduction r = {
        .axes = mask_of(d->node, define_rank(d, 0), n, axes),
        .keep = define_int(d, "keepdims", 1) != 0,
        .kind = kind,
    };
    return r;
}

static int reduce_value(const Define *d, const StageBuild *b, ReduceKind kind, Expr v, DType store)
{
    Exprs *x = d->x;
    const DType t = expr_type(x, v);
    const Expr state = expr_state(x, t, 0), state2 = expr_state2(x, t, 0);
    return stage_reduce(d->s, b, "reduce", store, reduce_identity(x, kind, t),
                        reduce_join(x, kind, state, v), reduce_join(x, kind, state, state2));
}

void define_reduce(Define *d)
{
    Exprs *x = d->x;
    const ReduceRow *row = row_of(d->node->op);
    const Reduction r = reduction_of(d, row->kind);
    const StageTensor in = *define_in(d, 0);
    Expr index[MAX_RANK], count = expr_int(x, 1);
    for (int k = 0; k < in.rank; k++)
        if (r.axes >> k & 1)
            count = expr_mul(x, count, in.dim[k]);
    StageBuild b = begin_out(d, r.axes, r.keep, index);
    Expr v = define_load(d, 0, index);
    /* means and roots of integers: f64, truncated when stored */
    if (row->post != POST_NONE && !dtype_is_float(expr_type(x, v)))
        v = expr_cast(x, DT_F64, v);
    v = before(x, v, row->pre);
    if (r.axes != 0) {
        const bool exact = row->post == POST_NONE && dtype_compute(in.dtype) == in.dtype;
        const int t = reduce_value(d, &b, r.kind, v, exact ? in.dtype : expr_type(x, v));
        if (row->post == POST_NONE) {
            define_out(d, 0, t);
            return;
        }
        b = define_begin(d, 0);
        v = stages_load(d->s, t, b.i);
    }
    define_map(d, 0, &b, after(x, v, row->post, count));
}

/* log(sum(exp(x - m))) + m with m the maximum; an infinite m is taken as 0. */
void define_reduce_log_sum_exp(Define *d)
{
    Exprs *x = d->x;
    const Reduction r = reduction_of(d, REDUCE_MAX);
    Expr index[MAX_RANK];
    StageBuild b = begin_out(d, r.axes, r.keep, index);
    const DType in = dtype_compute(define_in(d, 0)->dtype), t = dtype_is_float(in) ? in : DT_F64;
    const int max = reduce_value(d, &b, REDUCE_MAX, expr_cast(x, t, define_load(d, 0, index)), t);
    const StageBuild m = define_begin(d, 0);
    const Expr top = stages_load(d->s, max, m.i), infinity = expr_float(x, t, INFINITY);
    const Expr infinite = expr_eq(x, expr_un(x, EX_ABS, top), infinity);
    const Expr finite = expr_select(x, infinite, expr_float(x, t, 0), top);
    const int shift = stage_map(d->s, &m, "shift", t, finite);
    b = begin_out(d, r.axes, r.keep, index);
    const Expr v = expr_cast(x, t, define_load(d, 0, index));
    const Expr e = expr_un(x, EX_EXP, expr_sub(x, v, stages_load(d->s, shift, b.i)));
    const int sum = reduce_value(d, &b, REDUCE_SUM, e, t);
    const StageBuild o = define_begin(d, 0);
    const Expr log = expr_un(x, EX_LOG, stages_load(d->s, sum, o.i));
    define_map(d, 0, &o, expr_add(x, log, stages_load(d->s, shift, o.i)));
}

/* ---- places ---- */

/* v comes before w: larger (smaller), or NaN where w is none. */
static Expr ranks_above(Exprs *x, const ArgReduce *a, Expr v, Expr w)
{
    const Expr within = a->smallest ? expr_le(x, w, v) : expr_le(x, v, w);
    return expr_and(x, expr_not(x, within), expr_eq(x, w, w));
}

/* i64 places from those that a reduction counted in fewer bits. */
static int widen_places(Stages *s, int tensor)
{
    const StageTensor t = s->tensor.at[tensor];
    const StageBuild b = stage_begin(s, t.rank, t.dim);
    return stage_map(s, &b, "index", DT_I64, expr_cast(s->x, DT_I64, stages_load(s, tensor, b.i)));
}

/* Where all points count, the state starts as if the least value stood at place 0: what is no
 * better than that leaves the right answer. Otherwise place -1 says that nothing was seen yet.
 * Places that fit are i32: the masks that select them are then as wide as those of f32 values. */
void reduce_arg(Stages *s, const StageBuild *b, const ArgReduce *a, int out[2])
{
    static const char *const names[] = {"best", "place"};
    Exprs *x = s->x;
    const bool narrow = expr_low(x, a->place) >= -1 && expr_high(x, a->place) <= INT32_MAX;
    const bool all = a->inside == expr_true(x);
    const DType type = expr_type(x, a->value), p = narrow ? DT_I32 : DT_I64;
    const DType types[] = {a->type, p};
    const Expr best = expr_state(x, type, 0), at = expr_state(x, p, 1);
    const Expr best2 = expr_state2(x, type, 0), at2 = expr_state2(x, p, 1);
    const Expr zero = expr_int_of(x, p, 0), place = expr_cast(x, p, a->place);
    Expr take = a->last ? expr_not(x, ranks_above(x, a, best, a->value))
                        : ranks_above(x, a, a->value, best);
    const Expr above = ranks_above(x, a, best2, best), below = ranks_above(x, a, best, best2);
    const Expr tie = expr_lt(x, a->last ? at : at2, a->last ? at2 : at);
    Expr take2 = expr_or(x, above, expr_and(x, expr_not(x, below), tie));
    if (!all) {
        const Expr none = expr_lt(x, at, zero);
        take = expr_and(x, a->inside, expr_or(x, none, take));
        take2 = expr_and(x, expr_le(x, zero, at2), expr_or(x, none, take2));
    }
    const ReduceKind kind = a->smallest ? REDUCE_MIN : REDUCE_MAX;
    const Expr init[] = {reduce_identity(x, kind, type), expr_int_of(x, p, all ? 0 : -1)};
    const Expr update[] = {expr_select(x, take, a->value, best), expr_select(x, take, place, at)};
    const Expr combine[] = {expr_select(x, take2, best2, best), expr_select(x, take2, at2, at)};
    stage_reduce_n(s, b, 2, names, types, init, update, combine, out);
    if (narrow)
        out[1] = widen_places(s, out[1]);
}

void infer_arg(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int axis = infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    reduced_shape(f, 1u << axis, node_int(f->node, "keepdims", 1) != 0, DT_I64);
}

void define_arg(Define *d)
{
    const int axis = define_axis(define_int(d, "axis", 0), define_rank(d, 0));
    Expr index[MAX_RANK];
    const StageBuild b = begin_out(d, 1u << axis, define_int(d, "keepdims", 1) != 0, index);
    const ArgReduce a = {
        .value = define_load(d, 0, index),
        .place = b.r[0],
        .inside = expr_true(d->x),
        .smallest = d->node->op == OP_ARG_MIN,
        .last = define_int(d, "select_last_index", 0) != 0,
        .type = define_in(d, 0)->dtype,
    };
    int out[2];
    reduce_arg(d->s, &b, &a, out);
    define_out(d, 0, out[1]);
}

/* 1 at the first largest element of the axis, 0 elsewhere. */
void define_hardmax(Define *d)
{
    Exprs *x = d->x;
    const StageTensor t = *define_in(d, 0);
    const int axis = define_axis(define_int(d, "axis", -1), t.rank);
    Expr dims[MAX_RANK], index[MAX_RANK];
    for (int k = 0; k < t.rank; k++)
        dims[k] = k == axis ? expr_int(x, 1) : t.dim[k];
    StageBuild b = stage_begin(d->s, t.rank, dims);
    stage_reduce_axes(d->s, &b, 1, &t.dim[axis]);
    for (int k = 0; k < t.rank; k++)
        index[k] = k == axis ? b.r[0] : b.i[k];
    const ArgReduce a = {
        .value = define_load(d, 0, index),
        .place = b.r[0],
        .inside = expr_true(x),
        .type = t.dtype,
    };
    int out[2];
    reduce_arg(d->s, &b, &a, out);
    const StageBuild m = define_begin(d, 0);
    for (int k = 0; k < t.rank; k++)
        index[k] = k == axis ? expr_int(x, 0) : m.i[k];
    const Expr here = expr_eq(x, stages_load(d->s, out[1], index), m.i[axis]);
    const DType type = dtype_compute(t.dtype);
    define_map(d, 0, &m, expr_select(x, here, expr_const(x, type, 1), expr_const(x, type, 0)));
}
