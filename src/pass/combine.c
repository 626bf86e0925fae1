/* What combine_parallel and combine_batch share. See combine.h. */
#include "pass/combine.h"

#include <math.h>

#include "op/op.h"
#include "pass/known.h"
#include "pass/node_facts.h"

enum {
    STEP_CYCLES = 2000,       /* to start a step, its threads included */
    LONG_IN_STEPS = 10,       /* a product that takes as long as this many starts is not short */
    L2_BYTES_PER_CYCLE = 32,
};

void parallel_look(Parallel *c)
{
    Graph *g = c->g;
    c->uses = graph_count_uses(g);
    c->reader = arena_array_of(g->ctx->arena, g->value.len + 1, NodeId);
    for (int v = 0; v < g->value.len; v++) {
        c->reader[v] = -1;
    }
    for (int b = 0; b < g->block.len; b++) {
        for (int i = 0; i < g->block.at[b].node.len; i++) {
            const Node *n = &g->node.at[g->block.at[b].node.at[i]];
            for (int k = 0; k < n->nin; k++) {
                if (n->in[k] >= 0) {
                    c->reader[n->in[k]] = g->block.at[b].node.at[i];
                }
            }
        }
    }
}

/* ---- the chain ---- */

bool has_plain_bias(const Graph *g, const Affine *l)
{
    int64_t n;
    return l->bias < 0 || (g->value.at[l->bias].rank == 1 &&
                           expr_is_int(g->x, g->value.at[l->bias].dim[0], &n) && n == l->ny);
}

int position_of(const Node *n, ValueId v)
{
    int at = -1, found = 0;
    for (int k = 0; k < n->nin; k++) {
        if (n->in[k] == v) {
            at = k;
            found++;
        }
    }
    return found == 1 ? at : -1;
}

/* Do both hold the same single number? */
static bool same_number(const Graph *g, ValueId a, ValueId b)
{
    Known x, y;
    double u, v;
    return known_elements(g, a, &x) && known_elements(g, b, &y) && x.count == 1 && y.count == 1 &&
           x.dtype == y.dtype && g->value.at[a].rank <= 1 && known_uniform(g, a, &u) &&
           known_uniform(g, b, &v) && u == v && signbit(u) == signbit(v);
}

/* May node n, which reads `v` of part p, go along with `first`, which reads part 0? */
static bool goes_along(const Parallel *c, const Parts *p, int part, NodeId n, ValueId v,
                       NodeId first, int position)
{
    const Graph *g = c->g;
    const Node *a = &g->node.at[first], *b = &g->node.at[n];
    const Affine *l = &p->part[part];
    const bool broadcasts = op_rows[b->op].max_in == 2 || op_rows[b->op].max_in < 0;
    if (b->op != a->op || b->nin != a->nin || b->nout != 1 || b->home != g->node.at[l->node].home ||
        !same_attrs(a, b) || position_of(b, v) != position || !is_same_type(g, v, b->out[0]) ||
        node_facts(g, n).kind != NODE_POINTWISE || !node_facts(g, n).is_uniform) {
        return false;
    }
    for (int k = 0; k < b->nin; k++) {
        if (k == position || (a->in[k] < 0 && b->in[k] < 0)) {
            continue;
        }
        if (a->in[k] >= 0 && b->in[k] >= 0 && same_number(g, a->in[k], b->in[k])) {
            continue; /* stays as it is: Clip's bounds */
        }
        if (a->in[k] < 0 || b->in[k] < 0 || !broadcasts ||
            !is_term_of_channels(g, b->in[k], g->value.at[l->y].rank, l->y_channels, l->ny) ||
            g->value.at[b->in[k]].dtype != g->value.at[v].dtype) {
            return false;
        }
    }
    return true;
}

void parallel_follow(const Parallel *c, Parts *p)
{
    const Graph *g = c->g;
    for (; p->length < MAX_CHAIN; p->length++) {
        const NodeId first = c->uses[p->end[0]] == 1 ? c->reader[p->end[0]] : -1;
        const int position = first < 0 ? -1 : position_of(&g->node.at[first], p->end[0]);
        if (position < 0) {
            return;
        }
        for (int k = 0; k < p->n; k++) {
            const ValueId v = p->end[k];
            const NodeId n = c->uses[v] == 1 ? c->reader[v] : -1;
            if (n < 0 || !goes_along(c, p, k, n, v, first, position)) {
                return;
            }
            p->chain[p->length][k] = n;
        }
        for (int k = 0; k < p->n; k++) {
            p->end[k] = g->node.at[p->chain[p->length][k]].out[0];
        }
    }
}

/* ---- cost ---- */

static double upper(const Graph *g, Expr dim)
{
    return (double)expr_high(g->x, dim);
}

double product_cycles(const Parallel *c, const Affine *l)
{
    const Graph *g = c->g;
    const Value *w = &g->value.at[l->weights], *y = &g->value.at[l->y];
    const int bytes = dtype_size(y->dtype);
    double elements = 1, weights = 1;
    for (int k = 0; k < y->rank; k++) {
        elements *= upper(g, y->dim[k]);
    }
    for (int k = 0; k < w->rank; k++) {
        weights *= upper(g, w->dim[k]);
    }
    const bool batched = g->node.at[l->node].op == OP_MATMUL; /* weights for each of a batch */
    const double products = elements * (batched ? (double)l->nx : weights / (double)l->ny);
    const double rate =
        (double)target_lanes(&c->opt->target, bytes) *
        (double)(c->opt->target.fma_per_cycle > 0 ? c->opt->target.fma_per_cycle : 1);
    const double reading = weights * bytes / L2_BYTES_PER_CYCLE;
    return products / rate > reading ? products / rate : reading;
}

bool is_short_product(double cycles)
{
    return cycles <= (double)STEP_CYCLES * LONG_IN_STEPS;
}

/* ---- rewriting ---- */

static bool stands_after(const Graph *g, NodeId n, NodeId before)
{
    const Block *b = &g->block.at[g->node.at[before].home];
    if (g->node.at[n].home != g->node.at[before].home) {
        return false; /* of an outer block: visible */
    }
    for (int k = 0; k < b->node.len; k++) {
        if (b->node.at[k] == n || b->node.at[k] == before) {
            return b->node.at[k] == before;
        }
    }
    return false;
}

void hoist_term(Graph *g, ValueId v, NodeId before)
{
    const NodeId p = v < 0 ? -1 : g->value.at[v].producer;
    if (p < 0 || !stands_after(g, p, before)) {
        return;
    }
    for (int k = 0; k < g->node.at[p].nin; k++) {
        hoist_term(g, g->node.at[p].in[k], before);
    }
    const int home = g->node.at[p].home;
    block_remove(g, p);
    g->node.at[p].home = home;
    vec_push(g->ctx->arena, &g->block.at[home].node, p);
    block_insert_before(g, p, before);
}

ValueId parallel_join(Graph *g, NodeId before, int n, const ValueId *v, int axis)
{
    for (int k = 0; k < n; k++) {
        hoist_term(g, v[k], before);
    }
    const NodeId id = insert_node(g, before, OP_CONCAT, "all", n, v);
    node_set_int(g, id, "axis", axis);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

ValueId parallel_copy(Graph *g, NodeId like, NodeId before, const ValueId *in)
{
    const Node old = g->node.at[like];
    const NodeId n = graph_node(g, old.home, old.op, old.name, old.nin, in, 1, NULL);
    for (int k = 0; k < old.nattr; k++) {
        node_set_attr(g, n, old.attr[k]);
    }
    block_insert_before(g, n, before);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

static bool is_one_number(const Graph *g, const Parts *p, int r, int k)
{
    bool same = true;
    for (int i = 0; same && i < p->n; i++) {
        same = same_number(g, g->node.at[p->chain[r][0]].in[k], g->node.at[p->chain[r][i]].in[k]);
    }
    return same;
}

/* Input k of row r of the chain, for the whole. */
static ValueId joined_input(Graph *g, const Parts *p, int r, int k, NodeId before, JoinTerms join)
{
    const Affine *l = &p->part[0];
    const int rank = g->value.at[l->y].rank;
    const ValueId first = g->node.at[p->chain[r][0]].in[k];
    if (first < 0) {
        return -1;
    }
    if (is_one_number(g, p, r, k)) {
        hoist_term(g, first, before);
        return first;
    }
    ValueId v[MAX_PARTS];
    for (int i = 0; i < p->n; i++) {
        v[i] = g->node.at[p->chain[r][i]].in[k];
        hoist_term(g, v[i], before);
        v[i] = term_of_channels(g, before, v[i], rank, l->y_channels, p->part[i].ny);
    }
    return join(g, p, v, before);
}

ValueId parallel_chain(Graph *g, const Parts *p, NodeId before, ValueId whole, JoinTerms join)
{
    for (int r = 0; r < p->length; r++) {
        const NodeId like = p->chain[r][0];
        const int nin = g->node.at[like].nin;
        const ValueId from = r == 0 ? p->part[0].y : g->node.at[p->chain[r - 1][0]].out[0];
        const int position = position_of(&g->node.at[like], from);
        ValueId *in = arena_array_of(g->ctx->arena, nin, ValueId);
        for (int k = 0; k < nin; k++) {
            in[k] = k == position ? whole : joined_input(g, p, r, k, before, join);
        }
        whole = parallel_copy(g, like, before, in);
    }
    return whole;
}

void parallel_split(Graph *g, const Parts *p, NodeId before, ValueId whole, int axis,
                    const int64_t *sizes)
{
    const ValueId in[2] = {whole, graph_const_ints(g, "all_sizes", p->n, sizes)};
    const int home = g->node.at[before].home;
    for (int k = 0; k < p->n; k++) {
        for (int r = 0; r < p->length; r++) {
            block_remove(g, p->chain[r][k]);
        }
        if (p->part[k].node != before) {
            block_remove(g, p->part[k].node);
        }
    }
    const NodeId split =
        graph_node(g, home, OP_SPLIT, g->node.at[before].name, 2, in, p->n, p->end);
    node_set_int(g, split, "axis", axis);
    block_insert_before(g, split, before);
    block_remove(g, before);
}
