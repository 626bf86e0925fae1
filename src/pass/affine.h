/* Affine nodes: Conv, ConvTranspose, Gemm and MatMul whose weights are constants, or computed from
 * constants. What stands before or after such a node, channel by channel, may go into its weights
 * and bias:
 *
 *     (x * c) w + b = x (c * w) + b        (x w + b) * c = x (w * c) + b * c
 *
 * The weights have one axis of the channels that are read and one of those that are made. Where
 * channels come in groups one of the two, the axis 1 of a convolution, counts within a group only.
 *
 * New terms are nodes on constants, which constant folding computes. Private to pass/. */
#ifndef LATHE_PASS_AFFINE_H
#define LATHE_PASS_AFFINE_H

#include "pass/edit.h"

typedef struct Affine {
    NodeId node;
    ValueId x, y, weights;
    ValueId bias;      /* -1: none */
    bool takes_bias;   /* the op has such an input, and adds it as it is */
    bool pads;         /* reads zeros around x */
    int in_axis, out_axis;     /* of the weights */
    int x_channels, y_channels; /* which axis of x and y */
    int64_t nx, ny;            /* channels of x and y */
    int64_t groups;
} Affine;

/* Of f32 or f64, with constant weights and bias, and numbers of channels that are known? */
bool affine_of(const Graph *g, NodeId n, Affine *l);

/* A term: a node on constants, in front of node `before`. */
ValueId term_node(Graph *g, NodeId before, OpCode op, const char *what, int nin, const ValueId *in);
ValueId term_pair(Graph *g, NodeId before, OpCode op, const char *what, ValueId a, ValueId b);
/* v as it is read along axis `axis` of a value of this rank: f32[n] or f32[1]. -1 if it is no
 * constant term, is larger along another axis, or makes the result larger. */
ValueId term_of_channels(Graph *g, NodeId before, ValueId v, int rank, int axis, int64_t n);
bool is_term_of_channels(const Graph *g, ValueId v, int rank, int axis, int64_t n);

/* The weights `op` (MUL, DIV) c, an f32[n] or f32[1] of the channels that are read or made. */
ValueId affine_scale_in(Graph *g, NodeId before, const Affine *l, OpCode op, ValueId c);
ValueId affine_scale_out(Graph *g, NodeId before, const Affine *l, OpCode op, ValueId c);

/* Node n becomes what l is, with other weights and bias (-1: none): it keeps its place and its
 * result, takes the name for messages. l's own node goes if it is another one. */
void affine_become(Graph *g, NodeId n, const Affine *l, ValueId weights, ValueId bias);

#endif
