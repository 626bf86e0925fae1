/* combine_parallel: small products of one input become one product.
 *
 *     q = relu(matmul(x, a) + s); k = relu(matmul(x, b) + t)
 *     ->  q, k = split(relu(matmul(x, concat(a, b)) + concat(s, t)))
 *
 * Of Conv without groups, Gemm and MatMul with constant weights, alike but for the number of channels
 * they make. What follows all of them alike goes along: pointwise nodes with one reader, equal but for
 * constants of each channel. The parts are views of the whole, which cost nothing.
 *
 * When it pays. One step instead of several saves starting them, and channels that fill vectors
 * together where they do not alone. What is lost: nothing, if the parts are read as views; but a
 * pointwise reader that does not go along would have been part of its product's step, and becomes one
 * of its own. So:
 *   - no part is read by a pointwise node;
 *   - the products are so short that starting a step is a tenth of each or more; or the vectors that
 *     all of them take separately are an eighth more than together, and no part is a result of the
 *     graph, to which it would be copied.
 * A product takes the larger of the cycles of its multiplications, at the target's rate, and those of
 * reading its weights from the second-level cache. Large products keep their own epilogues and
 * tiles: there is nothing to gain. Shapes that are not known count with their upper bound. */
#include <math.h>

#include "op/op.h"
#include "pass/affine.h"
#include "pass/known.h"
#include "pass/node_facts.h"

enum {
    MAX_PARTS = 16,
    MAX_CHAIN = 8,
    STEP_CYCLES = 2000,       /* to start a step, its threads included */
    LONG_IN_STEPS = 10,       /* a product that takes as long as this many starts gains nothing */
    L2_BYTES_PER_CYCLE = 32,
};

typedef struct Parts {
    int n, length;
    Affine part[MAX_PARTS];
    NodeId chain[MAX_CHAIN][MAX_PARTS]; /* what follows, `length` rows */
    ValueId end[MAX_PARTS];             /* what the last one makes */
} Parts;

typedef struct Combine {
    Graph *g;
    const int *uses;
    NodeId *reader; /* by value: one of the nodes that read it; -1 */
    const PassOptions *opt;
} Combine;

/* ---- what is alike ---- */

static bool same_but_for(const Graph *g, ValueId a, ValueId b, int axis)
{
    const Value *x = &g->value.at[a], *y = &g->value.at[b];
    bool same = x->rank == y->rank && x->dtype == y->dtype;
    for (int k = 0; same && k < x->rank; k++) {
        same = k == axis || x->dim[k] == y->dim[k];
    }
    return same;
}

/* The bias is missing, or has an element for each channel. */
static bool plain_bias(const Graph *g, const Affine *l)
{
    int64_t n;
    return l->bias < 0 || (g->value.at[l->bias].rank == 1 &&
                           expr_is_int(g->x, g->value.at[l->bias].dim[0], &n) && n == l->ny);
}

static bool usable(const Graph *g, NodeId n, Affine *l)
{
    const OpCode op = g->node.at[n].op;
    return affine_of(g, n, l) && op != OP_CONV_TRANSPOSE && l->groups == 1 && plain_bias(g, l) &&
           !(op == OP_MATMUL && g->value.at[l->weights].rank != 2);
}

static bool alike(const Graph *g, const Affine *a, const Affine *b)
{
    const Node *na = &g->node.at[a->node], *nb = &g->node.at[b->node];
    return na->op == nb->op && na->home == nb->home && a->x == b->x && same_attrs(na, nb) &&
           (a->bias < 0) == (b->bias < 0) && same_but_for(g, a->y, b->y, a->y_channels) &&
           same_but_for(g, a->weights, b->weights, a->out_axis);
}

/* ---- what follows ---- */

static int position_of(const Node *n, ValueId v)
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
           x.dtype == y.dtype && known_uniform(g, a, &u) && known_uniform(g, b, &v) && u == v &&
           signbit(u) == signbit(v);
}

/* May node n, which reads `v` of part p, go along with `first`, which reads part 0? */
static bool goes_along(const Combine *c, const Parts *p, int part, NodeId n, ValueId v, NodeId first,
                       int position)
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

static void follow(const Combine *c, Parts *p)
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

/* ---- does it pay? ---- */

static double upper(const Graph *g, Expr dim)
{
    return (double)expr_high(g->x, dim);
}

static double product_cycles(const Combine *c, const Affine *l)
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
    const double products = elements * weights / (double)l->ny;
    const double rate = (double)target_lanes(&c->opt->target, bytes) *
                        (double)(c->opt->target.fma_per_cycle > 0 ? c->opt->target.fma_per_cycle : 1);
    const double reading = weights * bytes / L2_BYTES_PER_CYCLE;
    return products / rate > reading ? products / rate : reading;
}

static bool pays(const Combine *c, const Parts *p)
{
    const Graph *g = c->g;
    const int lanes = target_lanes(&c->opt->target, dtype_size(g->value.at[p->part[0].y].dtype));
    bool quick = true, is_output = false;
    int64_t apart = 0, together = 0;
    for (int k = 0; k < p->n; k++) {
        const Affine *l = &p->part[k];
        quick &= product_cycles(c, l) <= (double)STEP_CYCLES * LONG_IN_STEPS;
        apart += (l->ny + lanes - 1) / lanes;
        together += l->ny;
        is_output |= is_block_output(g, p->end[k]);
    }
    together = (together + lanes - 1) / lanes;
    if (!quick && (apart * 8 < together * 9 || is_output)) {
        return false;
    }
    for (int b = 0; b < g->block.len; b++) {
        for (int i = 0; i < g->block.at[b].node.len; i++) {
            const NodeId n = g->block.at[b].node.at[i];
            for (int k = 0; k < p->n; k++) {
                if (position_of(&g->node.at[n], p->end[k]) >= 0 &&
                    node_facts(g, n).kind == NODE_POINTWISE) {
                    return false;
                }
            }
        }
    }
    return true;
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

/* A term may be computed between the first product and the last: it moves in front of the first. */
static void hoist_term(Graph *g, ValueId v, NodeId before)
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

static ValueId joined(Graph *g, NodeId before, int n, const ValueId *v, int axis)
{
    for (int k = 0; k < n; k++) {
        hoist_term(g, v[k], before);
    }
    const NodeId id = insert_node(g, before, OP_CONCAT, "all", n, v);
    node_set_int(g, id, "axis", axis);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

static bool is_one_number(const Graph *g, const Parts *p, int r, int k)
{
    bool same = true;
    for (int i = 0; same && i < p->n; i++) {
        same = same_number(g, g->node.at[p->chain[r][0]].in[k], g->node.at[p->chain[r][i]].in[k]);
    }
    return same;
}

/* Input k of row r of the chain, for all channels: c (N) or (1) each -> (N+N+.., 1, 1). */
static ValueId joined_constant(Graph *g, const Parts *p, int r, int k, NodeId before)
{
    ValueId v[MAX_PARTS];
    if (is_one_number(g, p, r, k)) {
        const ValueId c = g->node.at[p->chain[r][0]].in[k];
        hoist_term(g, c, before);
        return c;
    }
    const Affine *l = &p->part[0];
    const int rank = g->value.at[l->y].rank;
    for (int i = 0; i < p->n; i++) {
        const Affine *part = &p->part[i];
        const ValueId c = g->node.at[p->chain[r][i]].in[k];
        hoist_term(g, c, before);
        v[i] = term_of_channels(g, before, c, rank, l->y_channels, part->ny);
        int64_t n;
        if (expr_is_int(g->x, g->value.at[v[i]].dim[0], &n) && n != part->ny) {
            const ValueId to = graph_const_ints(g, "all_shape", 1, &part->ny);
            v[i] = term_pair(g, before, OP_EXPAND, "wide", v[i], to);
        }
    }
    const ValueId all = joined(g, before, p->n, v, 0);
    int64_t shape[MAX_RANK] = {-1, 1, 1, 1, 1, 1, 1, 1};
    const int wide = rank - l->y_channels;
    if (wide == 1) {
        return all;
    }
    return term_pair(g, before, OP_RESHAPE, "wide", all, graph_const_ints(g, "all_shape", wide, shape));
}

/* A copy of `like`, with other inputs, in front of node `before`. */
static ValueId copy_node(Graph *g, NodeId like, NodeId before, const ValueId *in)
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

static ValueId whole_product(Graph *g, const Parts *p, NodeId before)
{
    ValueId weights[MAX_PARTS], bias[MAX_PARTS], in[3];
    const Affine *l = &p->part[0];
    for (int k = 0; k < p->n; k++) {
        weights[k] = p->part[k].weights;
        bias[k] = p->part[k].bias;
    }
    in[0] = l->x;
    in[1] = joined(g, before, p->n, weights, l->out_axis);
    in[2] = l->bias < 0 ? -1 : joined(g, before, p->n, bias, 0);
    return copy_node(g, l->node, before, in);
}

static void combine(Graph *g, const Parts *p)
{
    const NodeId before = p->part[0].node; /* everything comes in its place */
    ValueId all = whole_product(g, p, before);
    for (int r = 0; r < p->length; r++) {
        const NodeId like = p->chain[r][0];
        const int nin = g->node.at[like].nin;
        const int position = position_of(&g->node.at[like], r == 0 ? p->part[0].y
                                                                   : g->node.at[p->chain[r - 1][0]].out[0]);
        ValueId *in = arena_array_of(g->ctx->arena, nin, ValueId);
        for (int k = 0; k < nin; k++) {
            in[k] = k == position                  ? all
                    : g->node.at[like].in[k] < 0 ? -1
                                                   : joined_constant(g, p, r, k, before);
        }
        all = copy_node(g, like, before, in);
    }
    int64_t sizes[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        sizes[k] = p->part[k].ny;
    }
    const ValueId in[2] = {all, graph_const_ints(g, "all_sizes", p->n, sizes)};
    const int home = g->node.at[before].home;
    for (int k = 0; k < p->n; k++) {
        for (int r = 0; r < p->length; r++) {
            block_remove(g, p->chain[r][k]);
        }
        if (k > 0) {
            block_remove(g, p->part[k].node);
        }
    }
    const NodeId split = graph_node(g, home, OP_SPLIT, g->node.at[before].name, 2, in, p->n, p->end);
    node_set_int(g, split, "axis", p->part[0].y_channels);
    block_insert_before(g, split, before);
    block_remove(g, before);
}

static bool try_from(const Combine *c, int block, int at)
{
    Graph *g = c->g;
    const Block *b = &g->block.at[block];
    Parts p = {0};
    if (!usable(g, b->node.at[at], &p.part[0])) {
        return false;
    }
    p.n = 1;
    for (int i = at + 1; i < b->node.len && p.n < MAX_PARTS; i++) {
        Affine *next = &p.part[p.n];
        p.n += usable(g, b->node.at[i], next) && alike(g, &p.part[0], next);
    }
    for (int k = 0; k < p.n; k++) {
        p.end[k] = p.part[k].y;
    }
    if (p.n < 2) {
        return false;
    }
    follow(c, &p);
    if (!pays(c, &p)) {
        return false;
    }
    combine(g, &p);
    return true;
}

/* Readers and uses, anew after each change. */
static void look(Combine *c)
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

Graph *pass_combine_parallel(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Combine c = {.g = graph_copy(ctx, old), .opt = opt};
    look(&c);
    for (int b = 0; b < c.g->block.len; b++) {
        for (int i = 0; i < c.g->block.at[b].node.len; i++) {
            if (try_from(&c, b, i)) {
                look(&c);
                ++*count;
            }
        }
    }
    return c.g;
}
