/* What several passes do to graphs. Private to pass/. */
#ifndef LATHE_PASS_EDIT_H
#define LATHE_PASS_EDIT_H

#include "loop/stage.h"
#include "pass/pass.h"

/* Moves `node`, which graph_node has just appended to the block of `before`, in front of it. */
void block_insert_before(Graph *g, NodeId node, NodeId before);
void block_remove(Graph *g, NodeId node); /* its home is -1 from then on */
bool is_block_output(const Graph *g, ValueId v);
/* A constant, or computed from constants alone. */
bool is_constant_term(const Graph *g, ValueId v);
/* Same element type, rank and dims. */
bool is_same_type(const Graph *g, ValueId a, ValueId b);
/* Every reader of `from` reads `to`, a value of the same type that is visible wherever `from` is. A
 * graph or block output keeps its name: whatever makes `to` makes `from` instead. False, and
 * nothing is changed, where that cannot be (`to` is an input, a constant, another output). The
 * node that made `from` is to be removed. */
bool forward_value(Graph *g, ValueId from, ValueId to);

/* The elements of a value that are numbers already: a constant's, or those that inference found. */
typedef struct Known {
    DType dtype;
    int64_t count;
    const Tensor *tensor; /* plain; NULL: elems */
    const Expr *elems;
    const Exprs *x;
} Known;
bool known_elements(const Graph *g, ValueId v, Known *k);
double known_float(const Known *k, int64_t i);  /* as dtype_read */
int64_t known_int(const Known *k, int64_t i);   /* integers and bool */
/* All elements are equal, bit by bit but for NaN: their number. False: no elements, or unknown. */
bool known_uniform(const Graph *g, ValueId v, double *number);

/* What a node is to fusion, derived from its stages. */
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
    bool makes_channels; /* a product of rank 4 whose vector axis is axis 1: a convolution */
    bool keeps_channels; /* reads images at its own batch and channel: windows, pointwise, resizing */
} NodeFacts;
NodeFacts node_facts(const Graph *g, NodeId n);

/* A node that only puts elements elsewhere, in boxes: derived from its stages. */
typedef enum ViewKind {
    VIEW_NONE,
    VIEW_SAME,    /* the result is the first input in row-major order: Reshape, Identity */
    VIEW_SLICES,  /* every result is a box of the first input: Slice, Split */
    VIEW_CONCAT,  /* the result is its inputs, one after another */
} ViewKind;
typedef struct NodeViews {
    ViewKind kind;
    const Expr *const *at; /* SLICES: by result, CONCAT: by input: where the box begins. Graph's pool */
} NodeViews;
NodeViews node_views(Graph *g, NodeId n);

/* The stages of one node alone, with the tensors of its inputs and results. */
Stages *node_stages(Context *ctx, const Graph *g, NodeId n, int **in, int **out);
bool node_has_stages(const Graph *g, NodeId n);

#endif
