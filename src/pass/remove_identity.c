/* remove_identity: nodes that give their input unchanged disappear.
 *
 *     b = identity(a); c = relu(b)   ->   c = relu(a)
 *
 * Identity, Dropout without a used mask, Cast to the same type, Reshape and Expand to the same
 * shape. Graph and block outputs keep their names: what makes the input makes the output then,
 * unless the input is an output too, or of another block, or nobody makes it. Requires
 * inference; leaves shapes as they were. */
#include "pass/edit.h"

static bool does_nothing(const Graph *g, const Node *n)
{
    const bool may = n->op == OP_IDENTITY || n->op == OP_DROPOUT || n->op == OP_CAST ||
                     n->op == OP_RESHAPE || n->op == OP_EXPAND;
    return may && n->home >= 0 && n->in[0] >= 0 && n->out[0] >= 0 &&
           is_same_type(g, n->in[0], n->out[0]);
}

Graph *pass_remove_identity(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    const int *uses = graph_count_uses(g);
    for (int i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        const bool mask = n->nout > 1 && n->out[1] >= 0 && uses[n->out[1]] > 0;
        if (does_nothing(g, n) && !mask && forward_value(g, n->out[0], n->in[0])) {
            block_remove(g, i);
            ++*count;
        }
    }
    return g;
}
