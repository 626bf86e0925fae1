/* What several passes do to graphs. Private to pass/. */
#ifndef LATHE_PASS_EDIT_H
#define LATHE_PASS_EDIT_H

#include "pass/pass.h"

/* Every pass, in its own file. */
#define PASS(name, phase) \
    Graph *pass_##name(Context *ctx, const Graph *g, const PassOptions *opt, int *count);
#include "pass/pass.def"
#undef PASS

/* Moves `node`, which graph_node has just appended to the block of `before`, in front of it. */
void block_insert_before(Graph *g, NodeId node, NodeId before);
void block_remove(Graph *g, NodeId node); /* its home is -1 from then on */
/* A new node with one result in front of `before`, named after it: NAME/what. Not yet inferred. */
NodeId insert_node(Graph *g, NodeId before, OpCode op, const char *what, int nin,
                   const ValueId *in);
/* n keeps its result, but is `op` of these inputs, without attributes. */
void change_node(Graph *g, NodeId n, OpCode op, int nin, const ValueId *in);
bool is_block_output(const Graph *g, ValueId v);
/* A constant, or computed from constants alone. */
bool is_constant_term(const Graph *g, ValueId v);
/* Same element type, rank and dims. */
bool is_same_type(const Graph *g, ValueId a, ValueId b);
/* Same names and same values, bit by bit. */
bool same_attrs(const Node *a, const Node *b);
bool same_tensor(const Tensor *a, const Tensor *b);
/* Every reader of `from` reads `to`, a value of the same type that is visible wherever `from` is. A
 * graph or block output keeps its name: whatever makes `to` makes `from` instead. False, and
 * nothing is changed, where that cannot be (`to` is an input, a constant, another output). The
 * node that made `from` is to be removed. */
bool forward_value(Graph *g, ValueId from, ValueId to);

#endif
