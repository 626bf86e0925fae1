/* What passes know of a node: read off its stages, never declared by hand. Private to pass/. */
#ifndef LATHE_PASS_NODE_FACTS_H
#define LATHE_PASS_NODE_FACTS_H

#include "graph/graph.h"
#include "loop/stage.h"

/* What a node is to fusion. */
typedef enum NodeKind {
    NODE_OTHER,       /* no stages, or ordered ones: never fused */
    NODE_POINTWISE,   /* MAPs; input 0.. read at the output's own point or broadcast */
    NODE_MOVE,        /* MAPs that read elsewhere: transpose, pad, gather, concat */
    NODE_REDUCE,      /* reductions that are no products */
    NODE_CONTRACTION, /* has a product reduction */
} NodeKind;

typedef struct NodeFacts {
    NodeKind kind;
    int cost;            /* flops a point of all stages */
    /* operations of all points, a product one; open sizes count as 64, or the nearest they may
     * be */
    double work;
    /* a product whose vector axis is that of the channels, before rows: a convolution */
    bool makes_channels;
    /* a product that reads images at its own batch, row and column: a 1x1 convolution */
    bool keeps_pixels;
    bool is_uniform;     /* the same at every point: a mask of the lower triangle is not */
    /* reads images at its own batch and channel: windows, pointwise, resizing */
    bool keeps_channels;
} NodeFacts;
NodeFacts node_facts(const Graph *g, NodeId n);

/* A node that only puts elements elsewhere, in boxes. */
typedef enum ViewKind {
    VIEW_NONE,
    VIEW_SAME,    /* the result is the first input in row-major order: Reshape, Identity */
    VIEW_SLICES,  /* every result is a box of the first input: Slice, Split */
    VIEW_CONCAT,  /* the result is its inputs, one after another */
} ViewKind;
typedef struct NodeViews {
    ViewKind kind;
    /* SLICES: by result, CONCAT: by input: where the box begins. Graph's pool */
    const Expr *const *at;
} NodeViews;
NodeViews node_views(Graph *g, NodeId n);

bool node_has_stages(const Graph *g, NodeId n);
/* Calls fn with the stages of one node alone, in memory that is gone afterwards. False: it has
 * none, or one of them cannot be made, and what fn has found does not count. */
typedef struct NodeStages {
    const Node *node;
    Stages *s;
    int *in, *out; /* tensors of its inputs and results; -1: absent */
} NodeStages;
typedef void (*NodeStagesFn)(Context *ctx, const NodeStages *n, void *arg);
bool node_with_stages(const Graph *g, NodeId n, NodeStagesFn fn, void *arg);
/* By value: is it read by a node that is not compiled from stages (a routine of kernel/, control
 * flow)? */
bool *read_by_routines(const Graph *g);

#endif
