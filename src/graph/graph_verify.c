/* Structure of a graph: what every pass may rely on and must leave true. */
#include <string.h>

#include "graph/graph.h"

typedef struct Verify {
    const Graph *g;
    bool inferred;
    Str *why;
    char *defined; /* per value: has a definition */
    char *visible; /* per value: may be used here */
    char *placed;  /* per node: stands in a block */
    char *entered; /* per block */
} Verify;

static bool wrong(const Verify *v, NodeId n, const char *what, int k)
{
    if (n >= 0)
        str_addf(v->why, "%s '%s': ", op_rows[v->g->node.at[n].op].name, v->g->node.at[n].name);
    str_addf(v->why, what, k);
    return false;
}

/* In a value that exists and is no constant, of its type; not round in a circle. */
static bool check_view(const Verify *v, ValueId id)
{
    const Value *const value = &v->g->value.at[id];
    if (value->within >= v->g->value.len)
        return false;
    const Value *const whole = &v->g->value.at[value->within];
    if (value->constant || whole->constant || whole->dtype != value->dtype ||
        (value->at &&
         (whole->rank != value->rank || !layout_equal(&whole->layout, &value->layout))))
        return false;
    for (int i = 0; i < value->rank && value->at; i++)
        if (value->at[i] == 0)
            return false;
    int steps = 0;
    for (ValueId at = id; at >= 0; at = v->g->value.at[at].within)
        if (++steps > v->g->value.len || at >= v->g->value.len)
            return false;
    return true;
}

static bool check_value(const Verify *v, NodeId n, ValueId id)
{
    const Value *const value = &v->g->value.at[id];
    if (value->rank > MAX_RANK)
        return wrong(v, n, "value %d has a rank over the limit", id);
    if (v->inferred && (dtype_size(value->dtype) == 0 || value->rank < 0))
        return wrong(v, n, "value %d is not inferred", id);
    for (int i = 0; i < value->rank; i++)
        if (value->dim[i] == 0 || (int64_t)value->dim[i] >= v->g->x->node.len)
            return wrong(v, n, "value %d has a dim that is no expression", id);
    if (value->within >= 0 && !check_view(v, id))
        return wrong(v, n, "value %d is a view of what it cannot lie in", id);
    if (value->constant &&
        (value->constant->dtype != value->dtype || value->constant->rank != value->rank))
        return wrong(v, n, "constant %d does not have its tensor's type", id);
    return true;
}

static bool define(Verify *v, NodeId n, ValueId id, int output)
{
    if (id < 0 || id >= v->g->value.len)
        return wrong(v, n, "defines value %d, which does not exist", id);
    const Value *const value = &v->g->value.at[id];
    if (v->defined[id])
        return wrong(v, n, "value %d is defined twice", id);
    if (value->constant)
        return wrong(v, n, "value %d is a constant and is defined", id);
    if (value->producer != n || (n >= 0 && value->output != output))
        return wrong(v, n, "value %d does not name its producer", id);
    v->defined[id] = v->visible[id] = 1;
    return check_value(v, n, id);
}

static bool use(const Verify *v, NodeId n, ValueId id)
{
    if (id < 0 || id >= v->g->value.len)
        return wrong(v, n, "uses value %d, which does not exist", id);
    if (v->g->value.at[id].constant)
        return check_value(v, n, id);
    return v->visible[id] ? true : wrong(v, n, "uses value %d, which is not defined there", id);
}

static bool check_block(Verify *v, int block, NodeId owner);

/* Inputs and outputs of the bodies against those of the node. */
static bool check_bodies(Verify *v, NodeId id)
{
    const Node *const n = &v->g->node.at[id];
    const int want = n->op == OP_IF ? 2 : op_rows[n->op].class == 'C' ? 1 : 0;
    if (n->nblock != want)
        return wrong(v, id, "has %d blocks", n->nblock);
    for (int i = 0; i < n->nblock; i++) {
        if (n->block[i] <= 0 || n->block[i] >= v->g->block.len)
            return wrong(v, id, "has block %d, which does not exist", n->block[i]);
        const Block *const b = &v->g->block.at[n->block[i]];
        if (b->input.len != (n->op == OP_IF ? 0 : n->nin))
            return wrong(v, id, "its block has %d inputs", b->input.len);
        if (b->output.len != n->nout + (n->op == OP_LOOP))
            return wrong(v, id, "its block has %d outputs", b->output.len);
        if (!check_block(v, n->block[i], id))
            return false;
    }
    return true;
}

static bool check_node(Verify *v, int block, NodeId id)
{
    if (id < 0 || id >= v->g->node.len)
        return wrong(v, -1, "node %d does not exist", id);
    const Node *const n = &v->g->node.at[id];
    if ((int)n->op < 0 || n->op >= OP_COUNT)
        return wrong(v, -1, "node %d has no op", id);
    const OpRow *const row = &op_rows[n->op];
    if (v->placed[id]++)
        return wrong(v, id, "stands twice", 0);
    if (n->home != block)
        return wrong(v, id, "does not know its block, %d", block);
    if (n->nin < row->min_in || (row->max_in >= 0 && n->nin > row->max_in))
        return wrong(v, id, "has %d inputs", n->nin);
    if (n->nout < row->min_out || (row->max_out >= 0 && n->nout > row->max_out))
        return wrong(v, id, "has %d outputs", n->nout);
    for (int k = 0; k < n->nin; k++) {
        if (n->in[k] == -1 && (k >= row->min_in || row->class == 'C'))
            continue;
        if (!use(v, id, n->in[k]))
            return false;
    }
    if (!check_bodies(v, id))
        return false;
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] != -1 && !define(v, id, n->out[k], k))
            return false;
    return true;
}

static bool check_block(Verify *v, int block, NodeId owner)
{
    const Block *const b = &v->g->block.at[block];
    if (v->entered[block]++)
        return wrong(v, owner, "block %d belongs to two nodes", block);
    for (int i = 0; i < b->input.len; i++)
        if (!define(v, -1, b->input.at[i], 0))
            return false;
    for (int i = 0; i < b->node.len; i++)
        if (!check_node(v, block, b->node.at[i]))
            return false;
    for (int i = 0; i < b->output.len; i++)
        if (!use(v, owner, b->output.at[i]))
            return false;
    /* What was defined here is not visible outside. */
    for (int i = 0; i < b->input.len; i++)
        v->visible[b->input.at[i]] = 0;
    for (int i = 0; i < b->node.len; i++) {
        const Node *const n = &v->g->node.at[b->node.at[i]];
        for (int k = 0; k < n->nout; k++)
            if (n->out[k] >= 0)
                v->visible[n->out[k]] = 0;
    }
    return true;
}

bool graph_verify(const Graph *g, bool inferred, Str *why)
{
    Arena *const a = g->ctx->arena;
    Verify v = {
        .g = g,
        .inferred = inferred,
        .why = why,
        .defined = arena_alloc(a, (size_t)g->value.len),
        .visible = arena_alloc(a, (size_t)g->value.len),
        .placed = arena_alloc(a, (size_t)g->node.len),
        .entered = arena_alloc(a, (size_t)g->block.len),
    };
    return check_block(&v, 0, -1);
}
