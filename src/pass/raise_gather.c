/* raise_gather: rows of a matrix that are picked by a product, as exporters for other hardware
 * write an embedding, are gathered.
 *
 *     matmul(cast(equal(x, {0, 1, .. K-1})), w)   x (.., 1) integers, w (K, N)
 *     ->  gather(pad(w), min(max(x, -1), K) + 1)
 *
 * All products but one are by 0. What equals none of the numbers picks a row of zeros, which w gets
 * before its first and behind its last. The result is the same to the bit if w is known, finite and
 * without -0. Not in bodies, where nothing folds what w gets. */
#include "op/op.h"
#include "pass/known.h"
#include "pass/match.h"

#include <math.h>

/* Is it 0, 1, .. along the last dim, and not along others? K; 0: it is not. */
static int64_t counts_up(const Graph *g, ValueId v)
{
    Known k;
    const Value *c = &g->value.at[v];
    int64_t last = 0;
    if (c->rank == 0 || (c->dtype != DT_I32 && c->dtype != DT_I64) || !known_elements(g, v, &k) ||
        !expr_is_int(g->x, c->dim[c->rank - 1], &last) || last != k.count)
        return 0;
    for (int64_t i = 0; i < k.count; i++)
        if (known_int(&k, i) != i)
            return 0;
    return last;
}

/* Products of its elements by 0 are 0, and 0 plus one of them is that. */
static bool vanishes(const Graph *g, ValueId w)
{
    Known k;
    if (!known_elements(g, w, &k))
        return false;
    for (int64_t i = 0; i < k.count; i++) {
        const double e = known_float(&k, i);
        if (!isfinite(e) || (e == 0 && signbit(e)))
            return false;
    }
    return true;
}

static bool has_dim(const Graph *g, ValueId v, int d, int64_t n)
{
    int64_t dim;
    return expr_is_int(g->x, g->value.at[v].dim[d], &dim) && dim == n;
}

/* v op the number, in front of n. */
static ValueId with_number(Graph *g, NodeId n, OpCode op, ValueId v, int64_t number)
{
    const ValueId in[2] = {v, graph_const_scalar(g, "bound", g->value.at[v].dtype, (double)number)};
    const NodeId made = insert_node(g, n, op, "row", 2, in);
    op_infer_node(g, made);
    return g->node.at[made].out[0];
}

static bool picked_rows(Graph *g, const Match *m, const RaiseRule *rule)
{
    const ValueId a = match_value(m, 'a'), b = match_value(m, 'b'), w = match_value(m, 'w');
    const ValueId numbers = counts_up(g, b) > 0 ? b : a, x = numbers == b ? a : b;
    const int64_t k = counts_up(g, numbers);
    const int rank = g->value.at[x].rank;
    const Value *sum = &g->value.at[g->node.at[m->node[0]].out[0]], *rows = &g->value.at[w];
    if (g->node.at[m->node[0]].home != 0 || k == 0 || rank == 0 ||
        rank < g->value.at[numbers].rank || !has_dim(g, x, rank - 1, 1) || rows->rank != 2 ||
        rows->dtype != sum->dtype || !has_dim(g, w, 0, k) || !vanishes(g, w))
        return false;
    const NodeId n = m->node[0];
    const ValueId row[2] = {x, graph_const_ints(g, "last", 1, (const int64_t[]){-1})};
    const NodeId flat = insert_node(g, n, OP_SQUEEZE, "row", 2, row);
    op_infer_node(g, flat);
    const ValueId least = with_number(g, n, OP_MAX, g->node.at[flat].out[0], -1);
    const ValueId most = with_number(g, n, OP_MIN, least, k);
    const ValueId pad[2] = {w, graph_const_ints(g, "pads", 4, (const int64_t[]){1, 0, 1, 0})};
    const NodeId padded = insert_node(g, n, OP_PAD, "rows", 2, pad);
    op_infer_node(g, padded);
    const ValueId in[2] = {g->node.at[padded].out[0], with_number(g, n, OP_ADD, most, 1)};
    match_replace(g, m, rule->op, 2, in);
    return true;
}

static const RaiseRule rules[] = {{"matmul(cast(equal(a, b)), w)", OP_GATHER, picked_rows}};

Graph *pass_raise_gather(Context *ctx, const Graph *g, const PassOptions *opt, int *count)
{
    (void)opt;
    return raise_chains(ctx, g, 1, rules, NULL, count);
}
