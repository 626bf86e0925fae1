/* What the convolutions share. */
#ifndef LATHE_OP_CONV_H
#define LATHE_OP_CONV_H

#include "op/window.h"

/* Where a convolution has its weight and x's zero point; x itself is input 0. Of other ops: no
 * weight; -1: no such input. */
typedef struct ConvInputs {
    int w, x_zero;
} ConvInputs;
ConvInputs conv_inputs(OpCode op);

/* Channels (C/group) and outputs of a group (K/group), and where the channels of output k begin. */
typedef struct ConvGroup {
    int64_t count;
    Expr channels, outputs;
} ConvGroup;

/* (k / outputs) * channels + c; k and c variables. Just c for one group. */
Expr conv_channel(Exprs *x, const ConvGroup *g, Expr k, Expr c);
/* acc's dims (n, k, ..) become (n, g, k, ..) where groups have several channels and outputs, so
 * that each is a product of its own. Returns by how many the rank grows: 0 or 1. */
int conv_split_groups(Exprs *x, const ConvGroup *g, int rank, Expr *dims);
/* Of an acc so begun: its output channel, and the first channel of x that it reads. */
typedef struct ConvPlace {
    Expr output, first;
} ConvPlace;
ConvPlace conv_place(Exprs *x, const ConvGroup *g, int split, const Expr *i);
/* acc at (n, k, ..), split or not. */
Expr conv_load_acc(const Define *d, int acc, int rank, const Expr *index);
/* Spatial dims of the weight, from the tensor. */
Window conv_window(const Define *d, int x_input, int w_input);
/* Checks x (N,C,...), w (K,C/group,...) and bias (K), and gives the window. */
Window conv_check(const Infer *f, int x_input, int w_input, int bias_input);
/* acc (N,K,...) plus bias (K), input `bias` (absent: acc itself) as output 0. */
void conv_finish(Define *d, int acc, int bias);

#endif
