/* fuse: nodes that become one kernel get one group.
 *
 *     conv -> add(residual) -> relu      one group: the contraction and its epilogue
 *     relu -> reduce_mean                 one group: a cheap map is computed where it is read
 *
 * Node P joins the group of its reader C when all of P's results are read in that group only, so a
 * group is a tree that ends in one node and always stands where that node stands. Then:
 *   a contraction or reduction P joins a group of pointwise nodes (its epilogue), one per group;
 *   a map P of weights (scale_weights) joins the convolution that reads them;
 *   a map P joins a group if it is pointwise or cheap and nobody there multiplies its work: readers
 *   that are contractions read each element many times, so maps in front of them stay apart.
 * External calls and control flow are never fused into. */
#include "pass/edit.h"
#include "pass/node_facts.h"

#define MAX_GROUP 24   /* nodes: bounds the size of one kernel */
#define CHEAP_COST 2   /* flops a point that a moving reader may do again */

typedef struct Group {
    bool anchored;   /* holds a contraction or reduction */
    bool pointwise;  /* all others are pointwise */
    int nodes;
} Group;

typedef struct Fuse {
    Graph *g;
    NodeKind *kind;
    int *cost;
    Group *group;    /* by group id = id of the last node */
} Fuse;

/* The only group that reads all results of n; -1: several, or outside of nodes. */
static int only_reader(const int *reader, const Node *n)
{
    int found = -1;
    for (int k = 0; k < n->nout; k++) {
        if (n->out[k] < 0 || reader[n->out[k]] == -1) {
            continue;
        }
        if (reader[n->out[k]] < 0 || (found >= 0 && found != reader[n->out[k]])) {
            return -1;
        }
        found = reader[n->out[k]];
    }
    return found;
}

/* Does P make the weights of a product in the group, of constant ones? That kernel then makes them
 * in the order in which it reads them. */
static bool makes_weights(const Fuse *f, NodeId p, int group)
{
    const Graph *g = f->g;
    const Node *n = &g->node.at[p];
    if (f->kind[p] != NODE_POINTWISE || n->nin != 2 || n->nout != 1 ||
        !g->value.at[n->in[0]].constant || !is_same_type(g, n->in[0], n->out[0])) {
        return false;
    }
    const Block *b = &g->block.at[n->home];
    for (int i = 0; i < b->node.len; i++) {
        const Node *r = &g->node.at[b->node.at[i]];
        if (r->group == group && r->op == OP_CONV && r->in[1] == n->out[0]) {
            return f->kind[b->node.at[i]] == NODE_CONTRACTION && r->in[0] != n->out[0];
        }
    }
    return false;
}

static bool may_join(const Fuse *f, NodeId p, int group)
{
    const Group *to = &f->group[group];
    if (to->nodes >= MAX_GROUP || f->kind[p] == NODE_OTHER || f->kind[group] == NODE_OTHER ||
        f->g->node.at[p].home != f->g->node.at[group].home) {
        return false;
    }
    switch (f->kind[p]) {
    case NODE_CONTRACTION:
        return !to->anchored && to->pointwise;
    case NODE_REDUCE:
        return !to->anchored && to->pointwise && f->kind[group] == NODE_POINTWISE;
    case NODE_POINTWISE:
    case NODE_MOVE:
        if (f->kind[group] == NODE_CONTRACTION || to->anchored) {
            const bool read_once = f->kind[p] == NODE_POINTWISE && to->anchored &&
                                   f->kind[group] == NODE_REDUCE && f->cost[p] <= CHEAP_COST;
            return read_once || makes_weights(f, p, group);
        }
        return f->cost[p] <= CHEAP_COST || (f->kind[p] == NODE_POINTWISE && to->pointwise);
    default:
        return false;
    }
}

static void join(Fuse *f, NodeId p, int group)
{
    Group *to = &f->group[group];
    to->nodes++;
    to->anchored |= f->kind[p] == NODE_CONTRACTION || f->kind[p] == NODE_REDUCE;
    to->pointwise &= f->kind[p] != NODE_MOVE;
    f->g->node.at[p].group = group;
}

/* Notes that `group` reads v: the group, or -2 for several. */
static void note_reader(int *reader, ValueId v, int group)
{
    if (v >= 0) {
        reader[v] = reader[v] == -1 || reader[v] == group ? group : -2;
    }
}

static void fuse_block(Fuse *f, int block, int *reader, int *count)
{
    const Block *b = &f->g->block.at[block];
    for (int i = b->node.len - 1; i >= 0; i--) {
        const NodeId id = b->node.at[i];
        const Node *n = &f->g->node.at[id];
        const int group = only_reader(reader, n);
        if (group >= 0 && may_join(f, id, group)) {
            join(f, id, group);
            ++*count;
        } else {
            f->g->node.at[id].group = id;
            f->group[id] = (Group){
                .anchored = f->kind[id] == NODE_CONTRACTION || f->kind[id] == NODE_REDUCE,
                .pointwise = f->kind[id] == NODE_POINTWISE,
                .nodes = 1,
            };
        }
        for (int k = 0; k < n->nin; k++) {
            note_reader(reader, n->in[k], f->g->node.at[id].group);
        }
    }
}

/* Before any group is made: what the block's nodes are, and which values are read outside of all
 * groups. */
static void look_at_block(Fuse *f, int block, int *reader)
{
    const Graph *g = f->g;
    const Block *b = &g->block.at[block];
    for (int k = 0; k < b->output.len; k++) {
        reader[b->output.at[k]] = -2;
    }
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        const Node *n = &g->node.at[id];
        const NodeFacts facts = node_facts(g, id);
        f->kind[id] = node_is_view(g, id) ? NODE_OTHER : facts.kind;
        f->cost[id] = facts.cost;
        for (int k = 0; k < n->nin; k++) { /* from an inner block: by no group of the value's own */
            const NodeId p = n->in[k] < 0 ? -1 : g->value.at[n->in[k]].producer;
            if (p >= 0 && g->node.at[p].home != block) {
                reader[n->in[k]] = -2;
            }
        }
    }
}

/* A group stands where its last node stands: the others move down to it. */
static void gather_groups(Graph *g, int block)
{
    Block *b = &g->block.at[block];
    NodeId *order = arena_array_of(g->ctx->arena, b->node.len + 1, NodeId);
    int n = 0;
    for (int i = 0; i < b->node.len; i++) {
        if (g->node.at[b->node.at[i]].group != b->node.at[i]) {
            continue;
        }
        for (int k = 0; k <= i; k++) {
            if (g->node.at[b->node.at[k]].group == b->node.at[i]) {
                order[n++] = b->node.at[k];
            }
        }
    }
    for (int i = 0; i < n; i++) {
        b->node.at[i] = order[i];
    }
}

Graph *pass_fuse(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Fuse f = {.g = graph_copy(ctx, old)};
    Graph *g = f.g;
    f.kind = arena_array_of(ctx->arena, g->node.len + 1, NodeKind);
    f.cost = arena_array_of(ctx->arena, g->node.len + 1, int);
    f.group = arena_array_of(ctx->arena, g->node.len + 1, Group);
    int *reader = arena_array_of(ctx->arena, g->value.len + 1, int);
    for (int v = 0; v < g->value.len; v++) {
        reader[v] = -1;
    }
    for (int b = 0; b < g->block.len; b++) {
        look_at_block(&f, b, reader);
    }
    for (int b = 0; b < g->block.len; b++) {
        fuse_block(&f, b, reader, count);
        gather_groups(g, b);
    }
    return g;
}
