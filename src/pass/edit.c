/* What several passes do to graphs. See edit.h. */
#include "pass/edit.h"

#include <string.h>

void block_insert_before(Graph *g, NodeId node, NodeId before)
{
    const int home = g->node.at[before].home;
    Block *b = &g->block.at[home];
    /* graph_node appended it: it is the last */
    int at = b->node.len - 1;
    for (; at > 0 && b->node.at[at - 1] != before; at--) {
        b->node.at[at] = b->node.at[at - 1];
    }
    b->node.at[at] = b->node.at[at - 1];
    b->node.at[at - 1] = node;
}

void block_remove(Graph *g, NodeId node)
{
    Block *b = &g->block.at[g->node.at[node].home];
    int n = 0;
    for (int k = 0; k < b->node.len; k++) {
        if (b->node.at[k] != node) {
            b->node.at[n++] = b->node.at[k];
        }
    }
    b->node.len = n;
    g->node.at[node].home = -1;
}

NodeId insert_node(Graph *g, NodeId before, OpCode op, const char *what, int nin, const ValueId *in)
{
    const char *name = arena_printf(g->ctx->arena, "%s/%s", g->node.at[before].name, what);
    const NodeId n = graph_node(g, g->node.at[before].home, op, name, nin, in, 1, NULL);
    block_insert_before(g, n, before);
    return n;
}

void change_node(Graph *g, NodeId id, OpCode op, int nin, const ValueId *in)
{
    Node *n = &g->node.at[id];
    n->in = arena_dup(g->ctx->arena, in, (size_t)nin * sizeof *in);
    n->nin = nin;
    n->op = op;
    n->nattr = 0;
}

bool is_block_output(const Graph *g, ValueId v)
{
    for (int b = 0; b < g->block.len; b++) {
        for (int k = 0; k < g->block.at[b].output.len; k++) {
            if (g->block.at[b].output.at[k] == v) {
                return true;
            }
        }
    }
    return false;
}

/* Looks at each value once, however many ways lead to it, and without recursion: graphs may be
 * deep. */
bool is_constant_term(const Graph *g, ValueId v)
{
    if (g->value.at[v].constant) {
        return true;
    }
    Arena *scratch = arena_child(g->ctx->arena);
    IntMap seen = intmap_new(scratch);
    VEC(ValueId) open = {0};
    vec_push(scratch, &open, v);
    bool constant = true;
    while (constant && open.len > 0) {
        const Value *value = &g->value.at[open.at[--open.len]];
        if (value->constant) {
            continue;
        }
        const Node *n = value->producer < 0 ? NULL : &g->node.at[value->producer];
        constant = n && op_rows[n->op].class == 'S';
        for (int k = 0; constant && k < n->nin; k++) {
            if (n->in[k] >= 0 && intmap_put(&seen, (uint64_t)n->in[k], 1)) {
                vec_push(scratch, &open, n->in[k]);
            }
        }
    }
    arena_free(scratch);
    return constant;
}

bool is_same_type(const Graph *g, ValueId a, ValueId b)
{
    const Value *va = &g->value.at[a], *vb = &g->value.at[b];
    bool same = va->rank == vb->rank && va->dtype == vb->dtype;
    for (int k = 0; same && k < va->rank; k++) {
        same = va->dim[k] == vb->dim[k];
    }
    return same;
}

bool same_tensor(const Tensor *a, const Tensor *b)
{
    return a == b ||
           (a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes &&
            memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0 &&
            (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0));
}

static bool same_attr(const Attr *a, const Attr *b)
{
    if (!b || a->kind != b->kind || a->n != b->n) {
        return false;
    }
    switch (a->kind) {
    case ATTR_INT:
        return a->i == b->i;
    case ATTR_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTR_STRING:
        return strcmp(a->s, b->s) == 0;
    case ATTR_INTS:
        return a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0;
    case ATTR_FLOATS:
        return a->n == 0 || memcmp(a->floats, b->floats, (size_t)a->n * sizeof *a->floats) == 0;
    case ATTR_STRINGS:
        for (int k = 0; k < a->n; k++) {
            if (strcmp(a->strings[k], b->strings[k]) != 0) {
                return false;
            }
        }
        return true;
    case ATTR_TENSOR:
        return same_tensor(a->tensor, b->tensor);
    }
    return false;
}

bool same_attrs(const Node *a, const Node *b)
{
    bool same = a->nattr == b->nattr;
    for (int k = 0; same && k < a->nattr; k++) {
        same = same_attr(&a->attr[k], node_attr(b, a->attr[k].name));
    }
    return same;
}

bool forward_value(Graph *g, ValueId from, ValueId to)
{
    if (!is_block_output(g, from)) {
        graph_replace_uses(g, from, to);
        return true;
    }
    Value *named = &g->value.at[from], *made = &g->value.at[to];
    const NodeId maker = made->producer;
    if (maker < 0 || is_block_output(g, to) ||
        g->node.at[maker].home != g->node.at[named->producer].home) {
        return false;
    }
    g->node.at[maker].out[made->output] = from;
    named->producer = maker;
    named->output = made->output;
    made->producer = -1;
    if (!named->elems) {
        named->elems = made->elems;
        named->nelems = made->nelems;
    }
    graph_replace_uses(g, to, from);
    return true;
}
