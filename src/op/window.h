/* Windows over spatial dims: what convolutions and pools share. x is (N, C, in...), the result
 * (N, K, out...); output position o and kernel position k meet at o*stride + k*dilation - pad.
 *
 * All sizes are expressions, so the same functions serve inference (the graph's pool) and
 * definition (the stages' pool). */
#ifndef LATHE_OP_WINDOW_H
#define LATHE_OP_WINDOW_H

#include "op/op.h"

#define MAX_SPATIAL (MAX_RANK - 2)

typedef struct Window {
    int n; /* spatial dims */
    int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL];
    Expr in[MAX_SPATIAL], kernel[MAX_SPATIAL], out[MAX_SPATIAL];
    Expr pad[MAX_SPATIAL], pad_end[MAX_SPATIAL];
    bool ceil_mode;
} Window;

/* Fails unless strides, dilations, pads and kernel_shape (where present) have n valid entries. */
void window_check(const Infer *f, int n);
/* The first n of a list attribute; `missing` where there are fewer. */
void window_list(const Node *node, const char *name, int n, int64_t missing, int64_t *out);
/* From the node's attributes: strides, dilations, pads, auto_pad, ceil_mode. */
Window window_of(Exprs *x, const Node *node, int n, const Expr *in, const Expr *kernel);
/* The same with the kernel from attribute kernel_shape. */
Window window_of_pool(Exprs *x, const Node *node, int n, const Expr *in);
/* kernel dims from attribute kernel_shape; false if it is absent. */
bool window_kernel(Exprs *x, const Node *node, int n, Expr *kernel);
/* o*stride + k*dilation - pad of spatial dim `dim`. */
Expr window_at(Exprs *x, const Window *w, int dim, Expr o, Expr k);

/* The same brought into the input; *inside gets "and it was in". */
Expr window_index(Exprs *x, const Window *w, int dim, Expr o, Expr k, Expr *inside);
/* Adds reduction axes over those of n dims that have more than one step; tap[] gets the variable,
 * or 0, of each. */
void window_taps(Stages *s, StageBuild *b, int n, const Expr *dims, const char *const *names,
                 Expr *tap);

/* i brought into [0, extent); *inside gets "and it was in". What is proven costs nothing. */
Expr window_clamp(Exprs *x, Expr i, Expr extent, Expr *inside);
Expr expr_true(Exprs *x);

/* A copy of the tensor with `before` and `after` elements of `fill` around the n dims from
 * `first`; the tensor itself if there are none. */
int block_pad(Stages *s, int tensor, const char *name, int first, int n, const Expr *before,
              const Expr *after, Expr fill);

bool dim_is(const Exprs *x, Expr dim, int64_t value);

/* Names n axes of a build from `first` on (the reduction's follow the domain's). One letter each,
 * unique in the stage, and then for all axes: loops are numbered after them. */
void stage_name_axes(Stages *s, StageBuild *b, int first, int n, const char *const *names);
/* Names of n spatial axes: of outputs (p, q) and of kernels (r, s). */
const char *const *spatial_names(int n);
const char *const *kernel_names(int n);

#endif
