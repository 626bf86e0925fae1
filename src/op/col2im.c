/* Col2Im: columns (N, C * prod(block), L) added back into an image (N, C, image...).
 *
 * Each image element gathers: for each place k in the block, the window that has the element at k,
 * if there is one, starts at (i + pad - k * dilation) / stride.
 *
 *     y[n, c, i...] = sum over k... of x[n, c * prod(block) + row(k), window(i, k)] */
#include "op/index.h"
#include "op/table.h"
#include "op/window.h"

typedef struct Windows {
    int n; /* spatial dims */
    int64_t block[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL], pad[2 * MAX_SPATIAL];
} Windows;

static void read_windows(const Node *node, Windows *w)
{
    window_list(node, "strides", w->n, 1, w->stride);
    window_list(node, "dilations", w->n, 1, w->dilation);
    window_list(node, "pads", 2 * w->n, 0, w->pad);
}

/* Windows that fit along dim k. */
static Expr count_windows(Exprs *x, const Windows *w, int k, Expr image)
{
    const int64_t span = w->dilation[k] * (w->block[k] - 1) + 1;
    const Expr room = expr_addi(x, image, w->pad[k] + w->pad[w->n + k] - span);
    return expr_addi(x, expr_divi(x, room, w->stride[k]), 1);
}

void infer_col2im(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    Windows w;
    int n;
    const Expr *image = infer_elems(f, 1, &n);
    w.n = infer_ints(f, 2, w.block, MAX_SPATIAL);
    if (in->rank != 3 || n != w.n || w.n < 1)
        infer_fail(f, "input of rank %d, %d image dims, %d block dims", in->rank, n, w.n);
    read_windows(f->node, &w);
    int64_t size = 1;
    Expr windows = expr_int(f->x, 1), dims[MAX_RANK];
    for (int k = 0; k < w.n; k++) {
        if (w.block[k] < 1 || w.stride[k] < 1 || w.dilation[k] < 1)
            infer_fail(f, "block, strides and dilations must be positive");
        size *= w.block[k];
        dims[2 + k] = expr_cast(f->x, DT_I64, image[k]);
        windows = expr_mul(f->x, windows, count_windows(f->x, &w, k, dims[2 + k]));
    }
    infer_require_equal(f, windows, in->dim[2], "number of windows");
    dims[0] = in->dim[0];
    dims[1] = expr_divi(f->x, in->dim[1], size);
    infer_require_equal(f, expr_muli(f->x, dims[1], size), in->dim[1], "channels times block");
    infer_out(f, 0, in->dtype, 2 + w.n, dims);
}

void define_col2im(Define *d)
{
    Exprs *x = d->x;
    Windows w;
    w.n = define_ints(d, 2, w.block, MAX_SPATIAL);
    read_windows(d->node, &w);
    const DType t = define_out_type(d, 0), acc = dtype_compute(t);
    StageBuild b = define_begin(d, 0);
    Expr block[MAX_SPATIAL];
    for (int k = 0; k < w.n; k++)
        block[k] = expr_int(x, w.block[k]);
    stage_reduce_axes(d->s, &b, w.n, block);
    Expr row = b.i[1], window = expr_int(x, 0), hit = expr_int_of(x, DT_BOOL, 1);
    for (int k = 0; k < w.n; k++) {
        const Expr count = count_windows(x, &w, k, b.axis[2 + k].extent);
        const Expr at =
            expr_sub(x, expr_addi(x, b.i[2 + k], w.pad[k]), expr_muli(x, b.r[k], w.dilation[k]));
        const Expr l = expr_divi(x, at, w.stride[k]);
        hit = expr_and(x, hit, expr_eq(x, expr_modi(x, at, w.stride[k]), expr_int(x, 0)));
        hit = expr_and(x, hit, index_inside(x, l, count));
        row = expr_add(x, expr_muli(x, row, w.block[k]), b.r[k]);
        window = expr_add(x, expr_mul(x, window, count), index_clamp(x, l, count));
    }
    const Expr index[] = {b.i[0], row, window};
    const Expr state = expr_state(x, acc, 0), state2 = expr_state2(x, acc, 0);
    const int y =
        stage_reduce(d->s, &b, "col2im", t, expr_const(x, acc, 0),
                     expr_add(x, state, define_load(d, 0, index)), expr_add(x, state, state2));
    stage_where(d->s, y, hit);
    define_out(d, 0, y);
}
