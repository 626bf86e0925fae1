/* DeformConv: a convolution whose kernel positions are moved by data.
 *
 * x (N,C,in...), w (K,C/group,kernel...), offset (N,G*|kernel|*n,out...), mask
 * (N,G*|kernel|,out...). Stages: MAP columns[n, c, r..., p...], the samples, each a linear
 * interpolation times its mask; then a plain REDUCE of columns with the weight. */
#include "op/conv.h"
#include "op/sample.h"
#include "op/table.h"

void infer_deform_conv(const Infer *f)
{
    const Window win = conv_check(f, 0, 1, 3);
    const Value *x = infer_in(f, 0), *offset = infer_in(f, 2), *mask = infer_in(f, 4);
    const int64_t groups = node_int(f->node, "offset_group", 1);
    if (win.n > 3)
        infer_unsupported(f, "%d spatial dims", win.n);
    if (groups < 1 || offset->rank != x->rank || (mask && mask->rank != x->rank))
        infer_fail(f, "offset_group %lld, offset of rank %d", (long long)groups, offset->rank);
    infer_require_equal(f, expr_modi(f->x, x->dim[1], groups), expr_int(f->x, 0),
                        "channels modulo offset_group, and 0");
    const Expr taps = expr_muli(f->x, infer_product(f, win.n, win.kernel), groups);
    infer_require_equal(f, offset->dim[1], expr_muli(f->x, taps, win.n), "channels of offset");
    if (mask)
        infer_require_equal(f, mask->dim[1], taps, "channels of mask");
    Expr dims[MAX_RANK] = {x->dim[0], infer_in(f, 1)->dim[0]};
    for (int k = 0; k < win.n; k++) {
        dims[2 + k] = win.out[k];
        infer_require_equal(f, offset->dim[2 + k], win.out[k], "offset and output");
        if (mask)
            infer_require_equal(f, mask->dim[2 + k], win.out[k], "mask and output");
    }
    infer_out(f, 0, x->dtype, x->rank, dims);
}

/* The samples (N, C, kernel..., out...). */
static int columns(Define *d, const Window *win)
{
    Exprs *x = d->x;
    const int n = win->n;
    const DType t = dtype_compute(define_in(d, 0)->dtype);
    Expr dims[MAX_RANK] = {define_dim(d, 0, 0), define_dim(d, 0, 1)};
    for (int k = 0; k < n; k++) {
        dims[2 + k] = win->kernel[k];
        dims[2 + n + k] = win->out[k];
    }
    const StageBuild b = stage_begin(d->s, 2 + 2 * n, dims);
    const Expr *tap = b.i + 2, *out = b.i + 2 + n;
    const Expr each = expr_divi(x, dims[1], define_int(d, "offset_group", 1));
    Expr channel = expr_div(x, b.i[1], each);
    for (int k = 0; k < n; k++)
        channel = expr_add(x, expr_mul(x, channel, win->kernel[k]), tap[k]);
    Expr index[MAX_RANK] = {b.i[0]};
    Sample p = {.s = d->s, .tensor = d->in[0], .lead = 2, .n = n, .index = {b.i[0], b.i[1]}};
    for (int k = 0; k < n; k++)
        index[2 + k] = out[k];
    for (int k = 0; k < n; k++) {
        index[1] = expr_addi(x, expr_muli(x, channel, n), k);
        const Expr at = expr_cast(x, t, window_at(x, win, k, out[k], tap[k]));
        p.at[k] = expr_add(x, at, expr_cast(x, t, define_load(d, 2, index)));
    }
    Expr v = sample(&p);
    index[1] = channel;
    if (define_has(d, 4))
        v = expr_mul(x, v, expr_cast(x, t, define_load(d, 4, index)));
    return stage_map(d->s, &b, "columns", t, v);
}

void define_deform_conv(Define *d)
{
    Exprs *x = d->x;
    const Window win = conv_window(d, 0, 1);
    const int n = win.n, cols = columns(d, &win);
    const StageTensor w = *define_in(d, 1);
    const int64_t groups = define_int(d, "group", 1);
    const ConvGroup group = {groups, w.dim[1], expr_divi(x, w.dim[0], groups)};
    const char *names[1 + MAX_SPATIAL] = {"c"};
    for (int k = 0; k < n; k++)
        names[1 + k] = kernel_names(n)[k];
    StageBuild b = define_begin(d, 0);
    Expr tap[1 + MAX_SPATIAL];
    window_taps(d->s, &b, 1 + n, w.dim + 1, names, tap);
    Expr ci[MAX_RANK] = {b.i[0], conv_channel(x, &group, b.i[1], tap[0])};
    Expr wi[MAX_RANK] = {b.i[1], tap[0]};
    for (int k = 0; k < n; k++) {
        wi[2 + k] = ci[2 + k] = tap[1 + k];
        ci[2 + n + k] = b.i[2 + k];
    }
    const Expr v = stages_load(d->s, cols, ci), vw = stages_load(d->s, d->in[1], wi);
    const DType t = expr_type(x, v);
    const Expr state = expr_state(x, t, 0);
    const int acc = stage_reduce(d->s, &b, "acc", t, expr_const(x, t, 0), expr_fma(x, v, vw, state),
                                 expr_add(x, state, expr_state2(x, t, 0)));
    conv_finish(d, acc, 3);
}
