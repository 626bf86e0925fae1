/* What several passes do to graphs. Private to pass/. */
#ifndef LATHE_PASS_EDIT_H
#define LATHE_PASS_EDIT_H

#include "loop/stage.h"
#include "pass/pass.h"

/* Moves `node`, which graph_node has just appended to the block of `before`, in front of it. */
void block_insert_before(Graph *g, NodeId node, NodeId before);
void block_remove(Graph *g, NodeId node);
bool is_block_output(const Graph *g, ValueId v);
/* A constant, or computed from constants alone. */
bool is_constant_term(const Graph *g, ValueId v);

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

#endif
