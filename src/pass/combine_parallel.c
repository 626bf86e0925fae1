/* combine_parallel: small products of one input become one product.
 *
 *     q = relu(matmul(x, a) + s); k = relu(matmul(x, b) + t)
 *     ->  q, k = split(relu(matmul(x, concat(a, b)) + concat(s, t)))
 *
 * Of Conv without groups, Gemm and MatMul with constant weights, alike but for the number of
 * channels they make. What follows all of them alike goes along: pointwise nodes with one reader,
 * equal but for constants of each channel. The parts are views of the whole, which cost nothing.
 *
 * When it pays. One step instead of several saves starting them, and channels that fill vectors
 * together where they do not alone. What is lost: nothing, if the parts are read as views; but a
 * pointwise reader that does not go along would have been part of its product's step, and becomes
 * one of its own. So:
 *   - no part is read by a pointwise node;
 *   - the products are so short that starting a step is a tenth of each or more; or the vectors that
 *     all of them take separately are an eighth more than together, and no part is a result of the
 *     graph, to which it would be copied.
 * A product takes the larger of the cycles of its multiplications, at the target's rate, and
 * those of reading its weights from the second-level cache. Large products keep their own
 * epilogues and tiles: there is nothing to gain. Shapes that are not known count with their
 * upper bound. */
#include "op/op.h"
#include "pass/node_facts.h"
#include "pass/combine.h"

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

static bool usable(const Graph *g, NodeId n, Affine *l)
{
    const OpCode op = g->node.at[n].op;
    return affine_of(g, n, l) && op != OP_CONV_TRANSPOSE && l->groups == 1 &&
           has_plain_bias(g, l) && !(op == OP_MATMUL && g->value.at[l->weights].rank != 2);
}

static bool alike(const Graph *g, const Affine *a, const Affine *b)
{
    const Node *na = &g->node.at[a->node], *nb = &g->node.at[b->node];
    return na->op == nb->op && na->home == nb->home && a->x == b->x && same_attrs(na, nb) &&
           (a->bias < 0) == (b->bias < 0) && same_but_for(g, a->y, b->y, a->y_channels) &&
           same_but_for(g, a->weights, b->weights, a->out_axis);
}

/* ---- does it pay? ---- */

static bool pays(const Parallel *c, const Parts *p)
{
    const Graph *g = c->g;
    const int lanes = target_lanes(&c->opt->target, dtype_size(g->value.at[p->part[0].y].dtype));
    bool quick = true, is_output = false;
    int64_t apart = 0, together = 0;
    for (int k = 0; k < p->n; k++) {
        const Affine *l = &p->part[k];
        quick &= is_short_product(product_cycles(c, l));
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

/* (N) or (1) each -> (N+N+.., 1, 1) */
static ValueId join_channels(Graph *g, const Parts *p, const ValueId *term, NodeId before)
{
    ValueId v[MAX_PARTS];
    for (int i = 0; i < p->n; i++) {
        const int64_t ny = p->part[i].ny;
        int64_t n;
        v[i] = term[i];
        if (expr_is_int(g->x, g->value.at[v[i]].dim[0], &n) && n != ny) {
            v[i] = term_pair(g, before, OP_EXPAND, "wide", v[i],
                             graph_const_ints(g, "all_shape", 1, &ny));
        }
    }
    const ValueId all = parallel_join(g, before, p->n, v, 0);
    int64_t shape[MAX_RANK] = {-1, 1, 1, 1, 1, 1, 1, 1};
    const Affine *l = &p->part[0];
    const int wide = g->value.at[l->y].rank - l->y_channels;
    if (wide == 1) {
        return all;
    }
    return term_pair(g, before, OP_RESHAPE, "wide", all,
                     graph_const_ints(g, "all_shape", wide, shape));
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
    in[1] = parallel_join(g, before, p->n, weights, l->out_axis);
    in[2] = l->bias < 0 ? -1 : parallel_join(g, before, p->n, bias, 0);
    return parallel_copy(g, l->node, before, in);
}

static void combine(Graph *g, const Parts *p)
{
    const NodeId before = p->part[0].node; /* everything comes in its place */
    const ValueId all = parallel_chain(g, p, before, whole_product(g, p, before), join_channels);
    int64_t sizes[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        sizes[k] = p->part[k].ny;
    }
    parallel_split(g, p, before, all, p->part[0].y_channels, sizes);
}

static bool try_from(const Parallel *c, int block, int at)
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
    parallel_follow(c, &p);
    if (!pays(c, &p)) {
        return false;
    }
    combine(g, &p);
    return true;
}

Graph *pass_combine_parallel(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Parallel c = {.g = graph_copy(ctx, old), .opt = opt};
    parallel_look(&c);
    for (int b = 0; b < c.g->block.len; b++) {
        for (int i = 0; i < c.g->block.at[b].node.len; i++) {
            if (try_from(&c, b, i)) {
                parallel_look(&c);
                ++*count;
            }
        }
    }
    return c.g;
}
