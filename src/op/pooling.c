/* Pools: MaxPool, AveragePool, LpPool, their Global forms, MaxUnpool.
 *
 * x (N,C,in...) -> y (N,C,out...): a REDUCE (n, c, p, q; r, s) over the window; what lies in the
 * padding adds nothing. An average divides by the number of positions that count. */
#include "op/reduce.h"
#include "op/table.h"
#include "op/window.h"

/* ---- inference ---- */

static Window pool_check(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int n = x->rank - 2;
    if (n < 1)
        infer_fail(f, "x has rank %d", x->rank);
    window_check(f, n);
    Expr kernel[MAX_SPATIAL];
    if (!window_kernel(f->x, f->node, n, kernel))
        infer_fail(f, "kernel_shape must have %d entries", n);
    return window_of(f->x, f->node, n, x->dim + 2, kernel);
}

void infer_pool(const Infer *f)
{
    const Window w = pool_check(f);
    const Value *x = infer_in(f, 0);
    Expr dims[MAX_RANK] = {x->dim[0], x->dim[1]};
    for (int k = 0; k < w.n; k++) {
        if (expr_high(f->x, w.out[k]) < 1 && expr_low(f->x, x->dim[2 + k]) > 0)
            infer_fail(f, "the window is larger than the padded input in spatial dim %d", k);
        if (dim_is(f->x, x->dim[2 + k], 0) && !dim_is(f->x, w.out[k], 0))
            infer_unsupported(f, "only padding in spatial dim %d", k);
        dims[2 + k] = w.out[k];
    }
    infer_out(f, 0, x->dtype, x->rank, dims);
    infer_out(f, 1, DT_I64, x->rank, dims);
}

void infer_global_pool(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    if (x->rank < 3)
        infer_fail(f, "x has rank %d", x->rank);
    Expr dims[MAX_RANK] = {x->dim[0], x->dim[1]};
    for (int k = 2; k < x->rank; k++)
        dims[k] = expr_int(f->x, 1);
    infer_out(f, 0, x->dtype, x->rank, dims);
}

/* Spatial dim k of the pool's input: (x - 1)*stride + kernel - pads. */
static Expr unpooled_dim(Exprs *x, const Node *node, int n, int k, Expr dim)
{
    const int64_t *stride, *pad, *kernel;
    const int strides = node_ints(node, "strides", &stride), pads = node_ints(node, "pads", &pad);
    node_ints(node, "kernel_shape", &kernel);
    const int64_t less = pads ? pad[k] + pad[n + k] : 0;
    const Expr last = expr_muli(x, expr_addi(x, dim, -1), strides ? stride[k] : 1);
    return expr_addi(x, last, kernel[k] - less);
}

void infer_max_unpool(const Infer *f)
{
    pool_check(f);
    const Value *x = infer_in(f, 0), *index = infer_in(f, 1);
    Expr dims[MAX_RANK] = {x->dim[0], x->dim[1]};
    if (index->rank != x->rank || index->dtype != DT_I64)
        infer_fail(f, "the indices must be i64 of the shape of x");
    for (int k = 0; k < x->rank; k++) {
        infer_require_equal(f, x->dim[k], index->dim[k], "indices and x");
        if (k >= 2)
            dims[k] = unpooled_dim(f->x, f->node, x->rank - 2, k - 2, x->dim[k]);
    }
    if (infer_has(f, 2)) {
        int n;
        const Expr *shape = infer_elems(f, 2, &n);
        if (n != x->rank)
            infer_fail(f, "output_shape has %d entries, x rank %d", n, x->rank);
        for (int k = 0; k < n; k++)
            dims[k] = shape[k];
    }
    infer_out(f, 0, x->dtype, x->rank, dims);
}

/* ---- definition ---- */

typedef struct Pool {
    Window w;
    StageBuild b;
    Expr index[MAX_RANK]; /* of x, in range */
    Expr inside;          /* is the position in x, not in the padding? */
} Pool;

static Pool pool_begin(Define *d)
{
    static const char *const outer[] = {"n", "c"};
    const StageTensor in = *define_in(d, 0);
    Pool p = {.w = window_of_pool(d->x, d->node, in.rank - 2, in.dim + 2)};
    const int n = p.w.n;
    p.b = define_begin(d, 0);
    Expr tap[MAX_SPATIAL];
    window_taps(d->s, &p.b, n, p.w.kernel, kernel_names(n), tap);
    stage_name_axes(d->s, &p.b, 0, 2, outer);
    stage_name_axes(d->s, &p.b, 2, n, spatial_names(n));
    p.index[0] = p.b.i[0];
    p.index[1] = p.b.i[1];
    p.inside = expr_true(d->x);
    for (int k = 0; k < n; k++)
        p.index[2 + k] = window_index(d->x, &p.w, k, p.b.i[2 + k], tap[k], &p.inside);
    return p;
}

/* The element's place in x as MaxPool counts: row-major, or with storage_order 1 the spatial dims
 * column-major. */
static Expr place_of(const Define *d, const Pool *p)
{
    const StageTensor t = *define_in(d, 0);
    const bool column_major = define_int(d, "storage_order", 0) != 0;
    Expr at = expr_add(d->x, expr_mul(d->x, p->index[0], t.dim[1]), p->index[1]);
    for (int k = 2; k < t.rank; k++) {
        const int axis = column_major ? t.rank + 1 - k : k;
        at = expr_add(d->x, expr_mul(d->x, at, t.dim[axis]), p->index[axis]);
    }
    return at;
}

static void define_max_pool_indices(Define *d, const Pool *p)
{
    const Expr v = define_load(d, 0, p->index);
    const ArgReduce a = {
        .value = v,
        .place = place_of(d, p),
        .inside = expr_and(d->x, p->inside, expr_eq(d->x, v, v)),
        .type = define_out_type(d, 0),
    };
    int out[2];
    reduce_arg(d->s, &p->b, &a, out);
    define_out(d, 0, out[0]);
    define_out(d, 1, out[1]);
}

/* NaN does not count, as in ONNX's reference: with one, max gives its second operand, the state. */
void define_max_pool(Define *d)
{
    Exprs *x = d->x;
    const Pool p = pool_begin(d);
    if (d->node->nout > 1 && d->node->out[1] >= 0) {
        define_max_pool_indices(d, &p);
        return;
    }
    const DType t = define_out_type(d, 0), type = dtype_compute(t);
    const Expr least = reduce_identity(x, REDUCE_MAX, type);
    const Expr v = expr_select(x, p.inside, define_load(d, 0, p.index), least);
    const Expr update = expr_max(x, v, expr_state(x, type, 0));
    const Expr combine = expr_max(x, expr_state(x, type, 0), expr_state2(x, type, 0));
    define_out(d, 0, stage_reduce(d->s, &p.b, "max_pool", t, least, update, combine));
}

static int pool_sum(Define *d, const Pool *p, Expr v)
{
    Exprs *x = d->x;
    const DType t = expr_type(x, v);
    const Expr zero = expr_const(x, t, 0), state = expr_state(x, t, 0);
    const Expr term = expr_select(x, p->inside, v, zero);
    return stage_reduce(d->s, &p->b, "sum", t, zero, expr_add(x, state, term),
                        expr_add(x, state, expr_state2(x, t, 0)));
}

/* Kernel positions of dim k that count at output o: those in x, or in x and its pads. (Windows of
 * ceil_mode may reach beyond both.) */
static Expr count_dim(Exprs *x, const Window *w, int k, Expr o, bool with_pads)
{
    const bool padded = !dim_is(x, w->pad[k], 0) || !dim_is(x, w->pad_end[k], 0);
    if (!w->ceil_mode && (with_pads || !padded))
        return w->kernel[k];
    const Expr start = window_at(x, w, k, o, expr_int(x, 0)), step = expr_int(x, w->dilation[k]);
    const Expr end = with_pads ? expr_add(x, w->in[k], w->pad_end[k]) : w->in[k];
    const Expr to = expr_ceil_div(x, expr_sub(x, end, start), step);
    const Expr high = expr_min(x, w->kernel[k], to);
    if (with_pads)
        return high;
    const Expr from = expr_ceil_div(x, expr_sub(x, expr_int(x, 0), start), step);
    return expr_sub(x, high, expr_max(x, from, expr_int(x, 0)));
}

void define_average_pool(Define *d)
{
    Exprs *x = d->x;
    const Pool p = pool_begin(d);
    const bool with_pads = define_int(d, "count_include_pad", 0) != 0;
    const int sum = pool_sum(d, &p, define_load(d, 0, p.index));
    const StageBuild b = define_begin(d, 0);
    const Expr total = stages_load(d->s, sum, b.i);
    const DType t = expr_type(x, total);
    Expr count = expr_const(x, t, 1);
    for (int k = 0; k < p.w.n; k++) {
        const Expr n = count_dim(x, &p.w, k, b.i[2 + k], with_pads);
        count = expr_mul(x, count, expr_cast(x, t, n));
    }
    define_map(d, 0, &b, expr_div(x, total, count));
}

/* |v|^p */
static Expr power_of(Exprs *x, Expr v, int64_t p)
{
    if (p == 2)
        return expr_mul(x, v, v);
    const Expr a = expr_un(x, EX_ABS, v);
    return p == 1 ? a : expr_bin(x, EX_POW, a, expr_const(x, expr_type(x, v), (double)p));
}

/* Output 0 = v^(1/p), v a tensor of its shape. */
static void root_out(Define *d, int tensor, int64_t p)
{
    Exprs *x = d->x;
    if (p == 1) {
        define_out(d, 0, tensor);
        return;
    }
    const StageBuild b = define_begin(d, 0);
    const Expr v = stages_load(d->s, tensor, b.i);
    const Expr e = expr_const(x, expr_type(x, v), 1.0 / (double)p);
    define_map(d, 0, &b, p == 2 ? expr_un(x, EX_SQRT, v) : expr_bin(x, EX_POW, v, e));
}

void define_lp_pool(Define *d)
{
    const int64_t p = define_int(d, "p", 2);
    const Pool pool = pool_begin(d);
    root_out(d, pool_sum(d, &pool, power_of(d->x, define_load(d, 0, pool.index), p)), p);
}

static uint32_t spatial_axes(const Define *d)
{
    return ((1u << define_rank(d, 0)) - 1) & ~3u;
}

void define_global_average_pool(Define *d)
{
    const DType acc = dtype_compute(define_out_type(d, 0));
    define_out(d, 0, block_reduce(d->s, d->in[0], spatial_axes(d), true, REDUCE_MEAN, acc));
}

void define_global_max_pool(Define *d)
{
    const DType t = define_out_type(d, 0);
    define_out(d, 0, block_reduce(d->s, d->in[0], spatial_axes(d), true, REDUCE_MAX, t));
}

void define_global_lp_pool(Define *d)
{
    const int64_t p = define_int(d, "p", 2);
    const StageTensor t = *define_in(d, 0);
    const StageBuild b = stage_begin(d->s, t.rank, t.dim);
    const DType acc = dtype_compute(t.dtype);
    const int powers =
        stage_map(d->s, &b, "powers", acc, power_of(d->x, define_load(d, 0, b.i), p));
    root_out(d, block_reduce(d->s, powers, spatial_axes(d), true, REDUCE_SUM, acc), p);
}

/* x[i] goes to the place that its index names in the pool's input (N,C,inferred...), which lies at
 * the origin of the output. */
void define_max_unpool(Define *d)
{
    Exprs *x = d->x;
    const StageTensor in = *define_in(d, 0);
    const StageBuild b = stage_begin(d->s, in.rank, in.dim), base = define_begin(d, 0);
    const DType t = define_out_type(d, 0), type = dtype_compute(t);
    Expr left = define_load(d, 1, b.i), target[MAX_RANK];
    for (int k = in.rank - 1; k > 0; k--) {
        const Expr dim =
            k == 1 ? in.dim[1] : unpooled_dim(x, d->node, in.rank - 2, k - 2, in.dim[k]);
        target[k] = expr_mod(x, left, dim);
        left = expr_div(x, left, dim);
    }
    target[0] = left;
    define_out(d, 0,
               stage_scatter(d->s, &b, &base, "max_unpool", t, expr_const(x, type, 0), target,
                             define_load(d, 0, b.i), 0));
}
