/* remove_dead: nodes that nobody reads disappear, also in bodies.
 *
 *     y = exp(x); z = neg(x); output z   ->   z = neg(x); output z
 *
 * Kept is what tells a size: a result whose dims or elements have a symbol that no input knows,
 * since other shapes may use it. */
#include "pass/edit.h"

typedef struct Dead {
    Graph *g;
    int *uses;
    int count;
} Dead;

static bool is_symbol(const Graph *g, Expr e)
{
    return expr_node(g->x, e)->op == EX_VAR;
}

static bool tells(const Value *v, Expr symbol)
{
    bool found = false;
    for (int k = 0; k < v->rank; k++) {
        found |= v->dim[k] == symbol;
    }
    for (int k = 0; k < v->nelems; k++) {
        found |= v->elems[k] == symbol;
    }
    return found;
}

static bool known_before(const Graph *g, const Node *n, Expr symbol)
{
    bool known = false;
    for (int k = 0; k < n->nin; k++) {
        known |= n->in[k] >= 0 && tells(&g->value.at[n->in[k]], symbol);
    }
    for (int k = 0; k < g->block.at[0].input.len; k++) {
        known |= tells(&g->value.at[g->block.at[0].input.at[k]], symbol);
    }
    return known;
}

static bool tells_a_size(const Graph *g, const Node *n)
{
    for (int k = 0; k < n->nout; k++) {
        const Value *v = n->out[k] < 0 ? NULL : &g->value.at[n->out[k]];
        for (int d = 0; v && d < v->rank; d++) {
            if (is_symbol(g, v->dim[d]) && !known_before(g, n, v->dim[d])) {
                return true;
            }
        }
        for (int d = 0; v && d < v->nelems; d++) {
            if (is_symbol(g, v->elems[d]) && !known_before(g, n, v->elems[d])) {
                return true;
            }
        }
    }
    return false;
}

/* Takes back what the nodes of a body read. */
static void forget_body(Dead *d, int block)
{
    Block *b = &d->g->block.at[block];
    for (int i = 0; i < b->node.len; i++) {
        Node *n = &d->g->node.at[b->node.at[i]];
        for (int k = 0; k < n->nin; k++) {
            d->uses[n->in[k] < 0 ? d->g->value.len : n->in[k]]--;
        }
        for (int k = 0; k < n->nblock; k++) {
            forget_body(d, n->block[k]);
        }
        n->home = -1;
    }
    for (int k = 0; k < b->output.len; k++) {
        d->uses[b->output.at[k]]--;
    }
    b->node.len = b->input.len = b->output.len = 0;
}

static void remove_from(Dead *d, int block)
{
    Graph *g = d->g;
    for (int i = g->block.at[block].node.len - 1; i >= 0; i--) {
        const NodeId id = g->block.at[block].node.at[i];
        const Node *n = &g->node.at[id];
        bool read = false;
        for (int k = 0; k < n->nout; k++) {
            read |= n->out[k] >= 0 && d->uses[n->out[k]] > 0;
        }
        for (int k = 0; read && k < n->nblock; k++) {
            remove_from(d, n->block[k]);
        }
        if (read || tells_a_size(g, n)) {
            continue;
        }
        for (int k = 0; k < n->nin; k++) {
            d->uses[n->in[k] < 0 ? g->value.len : n->in[k]]--;
        }
        for (int k = 0; k < n->nblock; k++) {
            forget_body(d, n->block[k]);
        }
        block_remove(g, id);
        d->count++;
    }
}

Graph *pass_remove_dead(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Dead d = {.g = graph_copy(ctx, old)};
    const int *uses = graph_count_uses(d.g);
    d.uses = arena_array_of(ctx->arena, d.g->value.len + 1, int); /* the last: absent inputs */
    for (int v = 0; v < d.g->value.len; v++) {
        d.uses[v] = uses[v];
    }
    remove_from(&d, 0);
    *count += d.count;
    return d.g;
}
