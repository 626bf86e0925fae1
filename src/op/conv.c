/* Conv, ConvInteger, QLinearConv.
 *
 * x (N,C,in...), w (K,C/group,kernel...) -> y (N,K,out...). Stages:
 *
 *     conv.pad  x with its border, if there is one (zeros; the zero point of x for integers)
 *     acc       REDUCE (n, k, p, q; c, r, s) of pad[n, c, p*stride + r*dilation, ...] * w[k, c, r, s]
 *     conv      MAP: bias, requantization
 *
 * In groups of several channels and outputs acc is (n, g, k, p, q): a product for each group.
 *
 * Axes of extent 1 are left out of the reduction: a 1x1 convolution reduces over c alone, a
 * depthwise one over r, s. Another way to compute Conv: op/winograd.c. */
#include "op/conv.h"

#include <string.h>

#include "op/quant.h"
#include "op/table.h"
#include "op/winograd.h"

ConvInputs conv_inputs(OpCode op)
{
    return op == OP_CONV           ? (ConvInputs){1, -1}
           : op == OP_CONV_INTEGER ? (ConvInputs){1, 2}
           : op == OP_QLINEAR_CONV ? (ConvInputs){3, 2}
                                   : (ConvInputs){-1, -1};
}

/* ---- inference ---- */

Window conv_check(const Infer *f, int x_input, int w_input, int bias_input)
{
    const Value *x = infer_in(f, x_input), *w = infer_in(f, w_input);
    const int n = x->rank - 2;
    if (x->rank < 3 || w->rank != x->rank)
        infer_fail(f, "x has rank %d, the weight %d", x->rank, w->rank);
    window_check(f, n);
    const int64_t group = node_int(f->node, "group", 1);
    if (group < 1)
        infer_fail(f, "group is %lld", (long long)group);
    const Expr channels = expr_muli(f->x, w->dim[1], group);
    infer_require_equal(f, x->dim[1], channels, "channels of x, and of the weight times group");
    infer_require_equal(f, expr_modi(f->x, w->dim[0], group), expr_int(f->x, 0),
                        "output channels modulo group, and 0");
    Expr kernel[MAX_SPATIAL];
    if (window_kernel(f->x, f->node, n, kernel))
        for (int k = 0; k < n; k++)
            infer_require_equal(f, kernel[k], w->dim[2 + k], "kernel_shape and the weight");
    const Value *bias = infer_in(f, bias_input);
    if (bias) {
        if (bias->rank != 1)
            infer_fail(f, "bias has rank %d", bias->rank);
        infer_require_equal(f, bias->dim[0], w->dim[0], "bias and output channels");
    }
    return window_of(f->x, f->node, n, x->dim + 2, w->dim + 2);
}

static Window conv_out(const Infer *f, int x_input, int w_input, int bias_input, DType t)
{
    const Window win = conv_check(f, x_input, w_input, bias_input);
    const Value *x = infer_in(f, x_input);
    Expr dims[MAX_RANK] = {x->dim[0], infer_in(f, w_input)->dim[0]};
    for (int k = 0; k < win.n; k++) {
        if (expr_high(f->x, win.out[k]) < 1 && expr_low(f->x, x->dim[2 + k]) > 0)
            infer_fail(f, "the kernel is larger than the padded input in spatial dim %d", k);
        if (dim_is(f->x, x->dim[2 + k], 0) && !dim_is(f->x, win.out[k], 0))
            infer_unsupported(f, "only padding in spatial dim %d", k);
        dims[2 + k] = win.out[k];
    }
    infer_out(f, 0, t, 2 + win.n, dims);
    return win;
}

void infer_conv(const Infer *f)
{
    const DType t = infer_in(f, 0)->dtype;
    if (infer_in(f, 1)->dtype != t)
        infer_fail(f, "x is %s, the weight %s", dtype_name(t), dtype_name(infer_in(f, 1)->dtype));
    const Window win = conv_out(f, 0, 1, 2, t);
    infer_winograd(f, &win);
}

/* A scale or zero point k, if present: one element, or (w) one for each output channel. */
static void check_param(const Infer *f, int k, const Value *w)
{
    const Value *p = infer_in(f, k);
    if (!p || p->rank == 0)
        return;
    if (p->rank > 1)
        infer_fail(f, "input %d has rank %d", k, p->rank);
    if (!dim_is(f->x, p->dim[0], 1))
        infer_require_equal(f, p->dim[0], w ? w->dim[0] : expr_int(f->x, 1),
                            "elements of a scale or zero point");
}

void infer_conv_integer(const Infer *f)
{
    conv_out(f, 0, 1, f->node->nin, DT_I32);
    check_param(f, 2, NULL);
    check_param(f, 3, infer_in(f, 1));
}

void infer_qlinear_conv(const Infer *f)
{
    conv_out(f, 0, 3, 8, infer_in(f, 7)->dtype);
    for (int k = 1; k < 8; k++)
        if (k != 3)
            check_param(f, k, k == 4 || k == 5 ? infer_in(f, 3) : NULL);
}

/* ---- definition ---- */

Expr conv_channel(Exprs *x, const ConvGroup *g, Expr k, Expr c)
{
    if (g->count == 1)
        return c;
    return expr_add(x, expr_mul(x, expr_div(x, k, g->outputs), g->channels), c);
}

int conv_split_groups(Exprs *x, const ConvGroup *g, int rank, Expr *dims)
{
    if (g->count == 1 || dim_is(x, g->channels, 1) || dim_is(x, g->outputs, 1) || rank == MAX_RANK)
        return 0;
    memmove(&dims[2], &dims[1], sizeof *dims * (size_t)(rank - 1));
    dims[1] = expr_int(x, g->count);
    dims[2] = g->outputs;
    return 1;
}

ConvPlace conv_place(Exprs *x, const ConvGroup *g, int split, const Expr *i)
{
    if (!split)
        return (ConvPlace){i[1], conv_channel(x, g, i[1], expr_int(x, 0))};
    return (ConvPlace){expr_add(x, expr_mul(x, i[1], g->outputs), i[2]),
                       expr_mul(x, i[1], g->channels)};
}

Expr conv_load_acc(const Define *d, int acc, int rank, const Expr *index)
{
    const StageTensor *t = &d->s->tensor.at[acc];
    if (t->rank == rank)
        return stages_load(d->s, acc, index);
    Expr split[MAX_RANK] = {index[0], expr_div(d->x, index[1], t->dim[2]),
                            expr_mod(d->x, index[1], t->dim[2])};
    memcpy(&split[3], &index[2], sizeof *index * (size_t)(rank - 2));
    return stages_load(d->s, acc, split);
}

Window conv_window(const Define *d, int x_input, int w_input)
{
    const StageTensor *x = define_in(d, x_input), *w = define_in(d, w_input);
    return window_of(d->x, d->node, x->rank - 2, x->dim + 2, w->dim + 2);
}

typedef struct ConvArgs {
    int x, w;    /* tensors; x padded */
    Expr x_zero; /* integers: 0 or the zero point of x */
    int w_zero;  /* integers: tensor, scalar or (K), or -1 */
    DType acc;
} ConvArgs;

static Expr load_channel_param(const Define *d, int tensor, Expr k)
{
    const StageTensor t = d->s->tensor.at[tensor];
    const bool one = t.rank == 0 || dim_is(d->x, t.dim[0], 1);
    const Expr index = one ? expr_int(d->x, 0) : k;
    return stages_load(d->s, tensor, &index);
}

static Expr less_zero(const Define *d, Expr v, Expr zero)
{
    const Expr a = expr_cast(d->x, DT_I32, v);
    return zero ? expr_sub(d->x, a, expr_cast(d->x, DT_I32, zero)) : a;
}

/* The sum's axes: channels first, whose neighbours are multiplied at once where they are narrow. Of
 * one channel taps are neighbours, the innermost ones. */
static void conv_taps(const Define *d, StageBuild *b, int n, const Expr *w_dim,
                      const char *const *names, Expr *tap)
{
    Stages *s = d->s;
    const bool narrow = define_int(d, "widen", 0) != 0 || conv_inputs(d->node->op).x_zero >= 0;
    const bool reversed = narrow && dim_is(s->x, w_dim[0], 1) && define_int(d, "group", 1) == 1;
    Expr dims[1 + MAX_SPATIAL], made[1 + MAX_SPATIAL];
    const char *name[1 + MAX_SPATIAL];
    for (int k = 0; k < n; k++) {
        dims[k] = w_dim[reversed ? n - 1 - k : k];
        name[k] = names[reversed ? n - 1 - k : k];
    }
    window_taps(s, b, n, dims, name, made);
    for (int k = 0; k < n; k++) {
        tap[k] = made[reversed ? n - 1 - k : k];
    }
}

static int conv_reduce(const Define *d, const Window *win, const ConvArgs *a)
{
    static const char *const outer[] = {"n", "k"}, *const grouped[] = {"n", "g", "k"};
    Exprs *x = d->x;
    const StageTensor w = d->s->tensor.at[a->w];
    const int64_t groups = define_int(d, "group", 1);
    const ConvGroup group = {groups, w.dim[1], expr_divi(x, w.dim[0], groups)};
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    const int split = conv_split_groups(x, &group, w.rank, dims);
    StageBuild b = stage_begin(d->s, w.rank + split, dims);
    const char *names[1 + MAX_SPATIAL] = {"c"};
    for (int k = 0; k < win->n; k++)
        names[1 + k] = kernel_names(win->n)[k];
    Expr tap[1 + MAX_SPATIAL];
    conv_taps(d, &b, 1 + win->n, w.dim + 1, names, tap);
    stage_name_axes(d->s, &b, 0, 2 + split, split ? grouped : outer);
    stage_name_axes(d->s, &b, 2 + split, win->n, spatial_names(win->n));
    const ConvPlace place = conv_place(x, &group, split, b.i);
    Expr xi[MAX_RANK] = {b.i[0], expr_add(x, place.first, tap[0])};
    Expr wi[MAX_RANK] = {place.output, tap[0]};
    for (int k = 0; k < win->n; k++) {
        xi[2 + k] = window_at(x, win, k, b.i[2 + split + k], tap[1 + k]);
        wi[2 + k] = tap[1 + k];
    }
    Expr vx = stages_load(d->s, a->x, xi), vw = stages_load(d->s, a->w, wi);
    if (a->acc == DT_I32) {
        vx = less_zero(d, vx, a->x_zero);
        vw = less_zero(d, vw, a->w_zero < 0 ? 0 : load_channel_param(d, a->w_zero, place.output));
    }
    const Expr state = expr_state(x, a->acc, 0), state2 = expr_state2(x, a->acc, 0);
    const Expr update = dtype_is_float(a->acc) ? expr_fma(x, vx, vw, state)
                                               : expr_add(x, state, expr_mul(x, vx, vw));
    return stage_reduce(d->s, &b, "acc", a->acc, expr_const(x, a->acc, 0), update,
                        expr_add(x, state, state2));
}

/* x with its border; the window then has no padding. */
static int pad_input(const Define *d, int tensor, Window *win, Expr fill)
{
    const int t = block_pad(d->s, tensor, "conv.pad", 2, win->n, win->pad, win->pad_end, fill);
    for (int k = 0; k < win->n; k++)
        win->pad[k] = win->pad_end[k] = expr_int(d->x, 0);
    return t;
}

void conv_finish(Define *d, int acc, int bias)
{
    const bool split = d->s->tensor.at[acc].rank > define_out_rank(d, 0);
    if (!define_has(d, bias) && !split) {
        define_out(d, 0, acc);
        return;
    }
    const StageBuild b = define_begin(d, 0);
    const Expr v = conv_load_acc(d, acc, b.naxes, b.i);
    define_map(d, 0, &b,
               define_has(d, bias) ? expr_add(d->x, v, define_load(d, bias, &b.i[1])) : v);
}

void define_conv(Define *d)
{
    if (d->variants && winograd_of(d->node)) {
        define_winograd(d);
        return;
    }
    Window win = conv_window(d, 0, 1);
    const DType acc = dtype_compute(define_out_type(d, 0));
    const ConvArgs a = {
        .x = pad_input(d, d->in[0], &win, expr_const(d->x, acc, 0)),
        .w = d->in[1],
        .w_zero = -1,
        .acc = acc,
    };
    conv_finish(d, conv_reduce(d, &win, &a), 2);
}

/* Sum of (x - x_zero) * (w - w_zero); the border is x_zero, so that it counts as 0. Where
 * pass/fold_zero_points.c has taken the zero point off the sums it is still attribute border. */
static int integer_conv(Define *d, int x_input, int x_zero, int w_input, int w_zero)
{
    Window win = conv_window(d, x_input, w_input);
    const bool has_zero = quant_zero(d, x_zero) >= 0;
    const DType t = dtype_compute(define_in(d, x_input)->dtype);
    const Expr zero = has_zero ? define_load_scalar(d, x_zero)
                               : expr_int_of(d->x, t, node_int(d->node, "border", 0));
    const ConvArgs a = {
        .x = pad_input(d, d->in[x_input], &win, zero),
        .w = d->in[w_input],
        .x_zero = has_zero ? zero : 0,
        .w_zero = quant_zero(d, w_zero),
        .acc = DT_I32,
    };
    return conv_reduce(d, &win, &a);
}

void define_conv_integer(Define *d)
{
    conv_finish(d, integer_conv(d, 0, 2, 1, 3), d->node->nin);
}

/* y = saturate(round((acc + bias) * (x_scale * w_scale / y_scale)) + y_zero_point) */
void define_qlinear_conv(Define *d)
{
    Exprs *x = d->x;
    const int acc = integer_conv(d, 0, 2, 3, 5);
    const StageBuild b = define_begin(d, 0);
    const Expr k = b.i[1];
    Expr sum = conv_load_acc(d, acc, b.naxes, b.i);
    if (define_has(d, 8))
        sum = expr_add(x, sum, define_load(d, 8, &k));
    const Expr sx = define_load_scalar(d, 1), sw = load_channel_param(d, d->in[4], k);
    const Expr scale = expr_div(x, expr_mul(x, sx, sw), define_load_scalar(d, 6));
    const Expr v = quant_rescale(x, sum, scale, define_load_scalar(d, 7), define_out_type(d, 0));
    define_map(d, 0, &b, v);
}
