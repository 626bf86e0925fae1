/* ConvTranspose, as a sum over the inputs that reach an output (no scatter).
 *
 * x (N,C,in...), w (C,K/group,kernel...) -> y (N,K,out...). Input i and kernel position r reach
 * output o = i*stride + r*dilation - pad. With stride 1 that is a convolution with i = o + pad -
 * r*dilation. With stride > 1 only every stride-th r reaches a given o. Write o = P*stride + u, 0
 * <= u < stride, and U = (u + pad) % stride, e = (u + pad) / stride: for dilation 1 exactly r = U +
 * t*stride and i = P + e - t do, t = 0, 1... So
 *
 *     pad   x with the border that P + e - t runs into
 *     acc   REDUCE (n, k, P, u, Q, v; c, t, s) of pad[n, c, P + e - t, ...] * w[c, k, U + t*stride, ...]
 *     MAP   y[n, k, p, q] = acc[n, k, p / stride, p % stride, ...] + bias
 *
 * wastes nothing, and for each phase (u, v) acc is a plain contraction. Where stride divides the
 * output, acc lies as y does. The weight is padded with zeros where stride does not divide the
 * kernel. A dim with both stride > 1 and dilation > 1 tests (o + pad - r*dilation) % stride
 * instead. */
#include "op/conv.h"

#include "op/table.h"

#include <string.h>

/* ---- inference ---- */

/* pads from the wanted output size: total = stride*(in-1) + output_padding + reach - out. */
static void pads_from_size(Exprs *x, const Node *node, Window *w, int k, Expr full)
{
    const Expr zero = expr_int(x, 0);
    const Expr total = expr_max(x, expr_sub(x, full, w->out[k]), zero);
    const Expr half = expr_divi(x, total, 2), rest = expr_sub(x, total, half);
    const bool upper = strcmp(node_string(node, "auto_pad", "NOTSET"), "SAME_UPPER") == 0;
    w->pad[k] = upper ? half : rest;
    w->pad_end[k] = upper ? rest : half;
}

/* ONNX: out = stride*(in-1) + output_padding + (kernel-1)*dilation + 1 - pads; output_shape gives
 * it directly and the pads follow; auto_pad SAME makes it in*stride. */
static Window transpose_window(Exprs *x, const Node *node, int n, const Expr *in,
                               const Expr *kernel)
{
    Window w = window_of(x, node, n, in, kernel);
    const char *mode = node_string(node, "auto_pad", "NOTSET");
    const int64_t *more, *size, *pads;
    const int nmore = node_ints(node, "output_padding", &more);
    const int nsize = node_ints(node, "output_shape", &size);
    const int npads = node_ints(node, "pads", &pads);
    for (int k = 0; k < n; k++) {
        const Expr reach = expr_muli(x, expr_addi(x, kernel[k], -1), w.dilation[k]);
        const Expr start = expr_muli(x, expr_addi(x, in[k], -1), w.stride[k]);
        const Expr full = expr_addi(x, expr_add(x, start, reach), 1 + (k < nmore ? more[k] : 0));
        const bool same = strncmp(mode, "SAME", 4) == 0;
        if (k < nsize || same) {
            w.out[k] =
                k < nsize ? expr_int(x, size[nsize - n + k]) : expr_muli(x, in[k], w.stride[k]);
            pads_from_size(x, node, &w, k, full);
            continue;
        }
        w.pad[k] = expr_int(x, npads ? pads[k] : 0);
        w.pad_end[k] = expr_int(x, npads ? pads[n + k] : 0);
        w.out[k] = expr_sub(x, full, expr_add(x, w.pad[k], w.pad_end[k]));
    }
    return w;
}

void infer_conv_transpose(const Infer *f)
{
    const Value *x = infer_in(f, 0), *w = infer_in(f, 1), *bias = infer_in(f, 2);
    const int n = x->rank - 2;
    const int64_t group = node_int(f->node, "group", 1), *list;
    if (x->rank < 3 || w->rank != x->rank)
        infer_fail(f, "x has rank %d, the weight %d", x->rank, w->rank);
    if (group < 1)
        infer_fail(f, "group is %lld", (long long)group);
    window_check(f, n);
    const int nsize = node_ints(f->node, "output_shape", &list);
    if (nsize != 0 && nsize != n && nsize != x->rank)
        infer_fail(f, "output_shape has %d entries", nsize);
    const int nmore = node_ints(f->node, "output_padding", &list);
    if (nmore != 0 && nmore < n)
        infer_fail(f, "output_padding has %d entries", nmore);
    infer_require_equal(f, x->dim[1], w->dim[0], "channels of x and of the weight");
    infer_require_equal(f, expr_modi(f->x, x->dim[1], group), expr_int(f->x, 0),
                        "channels modulo group, and 0");
    Expr dims[MAX_RANK] = {x->dim[0], expr_muli(f->x, w->dim[1], group)};
    if (bias && bias->rank != 1)
        infer_fail(f, "bias has rank %d", bias->rank);
    if (bias)
        infer_require_equal(f, bias->dim[0], dims[1], "bias and output channels");
    const Window win = transpose_window(f->x, f->node, n, x->dim + 2, w->dim + 2);
    for (int k = 0; k < n; k++)
        dims[2 + k] = win.out[k];
    infer_out(f, 0, x->dtype, x->rank, dims);
}

/* ---- definition ---- */

/* How one spatial dim is written. */
typedef struct Dim {
    bool phases;        /* split into P and u */
    bool tested;        /* by a remainder test */
    Expr taps;          /* extent of the reduction axis */
    Expr blocks;        /* phases: extent of P */
    Expr before, after; /* border of x */
    Expr more_kernel;   /* zeros behind the weight */
} Dim;

static Dim plan_dim(Exprs *x, const Window *w, int k)
{
    const int64_t stride = w->stride[k], step = w->dilation[k];
    const Expr zero = expr_int(x, 0);
    Dim p = {.taps = w->kernel[k], .before = zero, .after = zero, .more_kernel = zero};
    if (stride > 1 && step > 1) {
        p.tested = true;
        return p;
    }
    p.phases = stride > 1;
    const Expr s = expr_int(x, stride);
    p.taps = expr_ceil_div(x, w->kernel[k], s);
    p.more_kernel = expr_sub(x, expr_muli(x, p.taps, stride), w->kernel[k]);
    p.blocks = expr_ceil_div(x, w->out[k], s);
    const Expr first = expr_div(x, w->pad[k], s); /* smallest and largest P + e */
    const Expr last = expr_addi(x, expr_muli(x, p.blocks, stride), -1);
    const Expr low = expr_sub(x, first, expr_muli(x, expr_addi(x, p.taps, -1), step));
    const Expr high = expr_div(x, expr_add(x, last, w->pad[k]), s);
    p.before = expr_max(x, zero, expr_sub(x, zero, low));
    p.after = expr_max(x, zero, expr_addi(x, expr_sub(x, high, w->in[k]), 1));
    return p;
}

typedef struct Plan {
    Window w;
    Dim dim[MAX_SPATIAL];
    int at[MAX_SPATIAL]; /* index of the dim's first axis in acc */
    int rank;            /* of acc */
} Plan;

static Plan plan_of(const Define *d)
{
    const StageTensor *x = define_in(d, 0), *w = define_in(d, 1);
    Plan p = {.w = transpose_window(d->x, d->node, x->rank - 2, x->dim + 2, w->dim + 2), .rank = 2};
    for (int k = 0; k < p.w.n; k++) {
        p.dim[k] = plan_dim(d->x, &p.w, k);
        p.at[k] = p.rank;
        p.rank += p.dim[k].phases ? 2 : 1;
    }
    if (p.rank > MAX_RANK)
        define_fail(d, "strides in %d spatial dims are not supported", p.w.n);
    return p;
}

static int pad_tensor(const Define *d, const Plan *p, int tensor, bool weight)
{
    Expr before[MAX_SPATIAL], after[MAX_SPATIAL];
    for (int k = 0; k < p->w.n; k++) {
        before[k] = weight ? expr_int(d->x, 0) : p->dim[k].before;
        after[k] = weight ? p->dim[k].more_kernel : p->dim[k].after;
    }
    const DType t = dtype_compute(d->s->tensor.at[tensor].dtype);
    const char *name = weight ? "weight.pad" : "conv_transpose.pad";
    return block_pad(d->s, tensor, name, 2, p->w.n, before, after, expr_const(d->x, t, 0));
}

/* Index of x and w in spatial dim k for the axes of acc; *inside for tested dims. */
static void dim_index(const Define *d, const Plan *p, int k, const StageBuild *b, Expr tap,
                      Expr *xi, Expr *wi, Expr *inside)
{
    Exprs *x = d->x;
    const Window *w = &p->w;
    const Expr o = b->i[p->at[k]];
    if (p->dim[k].tested) {
        const Expr moved =
            expr_sub(x, expr_add(x, o, w->pad[k]), expr_muli(x, tap, w->dilation[k]));
        const Expr rest = expr_modi(x, moved, w->stride[k]);
        *inside = expr_and(x, *inside, expr_eq(x, rest, expr_int(x, 0)));
        *xi = window_clamp(x, expr_divi(x, moved, w->stride[k]), w->in[k], inside);
        *wi = tap;
        return;
    }
    const Expr moved = p->dim[k].phases ? expr_add(x, b->i[p->at[k] + 1], w->pad[k]) : w->pad[k];
    const Expr start = expr_add(x, o, expr_divi(x, moved, w->stride[k]));
    const Expr i = expr_sub(x, start, expr_muli(x, tap, w->dilation[k]));
    *xi = expr_add(x, i, p->dim[k].before);
    *wi = p->dim[k].phases
              ? expr_add(x, expr_muli(x, tap, w->stride[k]), expr_modi(x, moved, w->stride[k]))
              : tap;
}

/* Of a plan whose places in acc are those without groups; they move with the split. */
static StageBuild begin_acc(const Define *d, Plan *p, const ConvGroup *group, int *split)
{
    static const char *const outer[] = {"n", "k"}, *const grouped[] = {"n", "g", "k"};
    static const char *const phase[] = {"u", "v", "w"};
    Expr dims[MAX_RANK], out[MAX_RANK];
    define_out_dims(d, 0, out);
    dims[0] = out[0];
    dims[1] = out[1];
    for (int k = 0; k < p->w.n; k++) {
        dims[p->at[k]] = p->dim[k].phases ? p->dim[k].blocks : out[2 + k];
        if (p->dim[k].phases)
            dims[p->at[k] + 1] = expr_int(d->x, p->w.stride[k]);
    }
    *split = conv_split_groups(d->x, group, p->rank, dims);
    p->rank += *split;
    for (int k = 0; k < p->w.n; k++)
        p->at[k] += *split;
    StageBuild b = stage_begin(d->s, p->rank, dims);
    stage_name_axes(d->s, &b, 0, 2 + *split, *split ? grouped : outer);
    for (int k = 0, u = 0; k < p->w.n; k++) {
        stage_name_axes(d->s, &b, p->at[k], 1, &spatial_names(p->w.n)[k]);
        if (p->dim[k].phases)
            stage_name_axes(d->s, &b, p->at[k] + 1, 1, &phase[u++]);
    }
    return b;
}

static int reduce_acc(const Define *d, Plan plan, int xt, int wt)
{
    Exprs *x = d->x;
    const StageTensor w = *define_in(d, 1);
    const int64_t groups = define_int(d, "group", 1);
    const ConvGroup group = {groups, expr_divi(x, w.dim[0], groups), w.dim[1]};
    const Plan *p = &plan;
    int split;
    StageBuild b = begin_acc(d, &plan, &group, &split);
    Expr extents[1 + MAX_SPATIAL] = {group.channels}, tap[1 + MAX_SPATIAL];
    const char *names[1 + MAX_SPATIAL] = {"c"};
    for (int k = 0; k < p->w.n; k++) {
        extents[1 + k] = p->dim[k].taps;
        names[1 + k] = kernel_names(p->w.n)[k];
    }
    window_taps(d->s, &b, 1 + p->w.n, extents, names, tap);
    const ConvPlace place = conv_place(x, &group, split, b.i);
    const Expr c = expr_add(x, place.first, tap[0]);
    Expr xi[MAX_RANK] = {b.i[0], c};
    Expr wi[MAX_RANK] = {c, split ? b.i[2] : groups == 1 ? b.i[1] : expr_mod(x, b.i[1], w.dim[1])};
    Expr inside = expr_true(x);
    for (int k = 0; k < p->w.n; k++)
        dim_index(d, p, k, &b, tap[1 + k], &xi[2 + k], &wi[2 + k], &inside);
    const Expr vx = stages_load(d->s, xt, xi), vw = stages_load(d->s, wt, wi);
    const DType acc = expr_type(x, vx);
    const Expr zero = expr_const(x, acc, 0), state = expr_state(x, acc, 0);
    const Expr update = expr_fma(x, expr_select(x, inside, vx, zero), vw, state);
    return stage_reduce(d->s, &b, "acc", acc, zero, update,
                        expr_add(x, state, expr_state2(x, acc, 0)));
}

void define_conv_transpose(Define *d)
{
    Exprs *x = d->x;
    const Plan p = plan_of(d);
    const int xt = pad_tensor(d, &p, d->in[0], false), wt = pad_tensor(d, &p, d->in[1], true);
    const int acc = reduce_acc(d, p, xt, wt);
    const StageBuild b = define_begin(d, 0);
    Expr index[MAX_RANK] = {b.i[0], b.i[1]};
    for (int k = 0; k < p.w.n; k++) {
        const Expr o = b.i[2 + k];
        index[p.at[k]] = o;
        if (!p.dim[k].phases)
            continue;
        index[p.at[k]] = expr_divi(x, o, p.w.stride[k]);
        index[p.at[k] + 1] = expr_modi(x, o, p.w.stride[k]);
    }
    Expr v = conv_load_acc(d, acc, p.rank, index);
    if (define_has(d, 2))
        v = expr_add(x, v, define_load(d, 2, &b.i[1]));
    define_map(d, 0, &b, v);
}
