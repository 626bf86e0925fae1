/* raise_attention: softmax(q k^T * scale + mask) v becomes one Attention.
 *
 *     t = transpose(k, [0,1,3,2]); s = matmul(q, t); d = div(s, 8); m = add(d, mask)
 *     p = softmax(m); y = matmul(p, v)
 *     ->  y = attention(q, k, v, mask) scale=0.125
 *
 * The scale may stand at q, at k or both, or behind the product; the mask may be added, or chosen by
 * where(keep, s, low). Operands are (B,H,length,size) with the same B and H, or (B,length,size): one
 * head. The keys must come out of a Transpose, which then gives them as they were.
 *
 * Requires inference; leaves shapes as they were. A row that is masked with -inf altogether was NaN
 * and is zero afterwards. */
#include "pass/match.h"

#include <math.h>

#include "op/op.h"

static const Macro macros[] = {
    {"query", "{mul($1, Q)|div($1, R)|$1}"},
    {"keys", "{transpose({mul($1, K)|div($1, L)|$1})|mul(transpose($1), K)|div(transpose($1), L)}"},
    {"product_of", "matmul(query(q), keys(k))"},
    {"scaled", "{mul($1, A)|div($1, D)|$1}"},
    {"scores", "scaled(product_of(q))"},
    {"masked", "{add($1, m)|where(c, $1, N)|where(c, N, $1)|$1}"},
    {NULL, NULL},
};

static double factor(const Match *m, char times, char divisor)
{
    const double a = m->known[times - 'A'] ? match_number(m, times) : 1;
    return m->known[divisor - 'A'] ? a / match_number(m, divisor) : a;
}

static const Node *matched(const Graph *g, const Match *m, OpCode op)
{
    for (int k = 0; k < m->nnodes; k++)
        if (g->node.at[m->node[k]].op == op)
            return &g->node.at[m->node[k]];
    return NULL;
}

/* Inputs of one type, (B,S,d) (B,d,T) (B,T,D) with B one or two dims, all B the same. */
static bool operands_fit(const Graph *g, const Value *q, const Value *kt, const Value *v)
{
    const int rank = q->rank;
    bool fit = (rank == 3 || rank == 4) && kt->rank == rank && v->rank == rank &&
               dtype_is_float(q->dtype) && kt->dtype == q->dtype && v->dtype == q->dtype;
    for (int k = 0; fit && k < rank - 2; k++)
        fit = kt->dim[k] == q->dim[k] && v->dim[k] == q->dim[k];
    return fit && (rank == 3 || expr_is_int(g->x, q->dim[1], NULL)) &&
           q->dim[rank - 1] == kt->dim[rank - 2] && v->dim[rank - 2] == kt->dim[rank - 1];
}

/* Does the mask span the scores (B,H,S,T), each dim whole or 1, T whole? What is shorter than T would
 * mean that nothing is seen beyond it. */
static bool mask_fits(const Graph *g, const Value *mask, const Value *scores)
{
    const int shift = scores->rank - mask->rank;
    if (mask->rank < 1 || shift < 0 || mask->dim[mask->rank - 1] != scores->dim[scores->rank - 1])
        return false;
    for (int k = 0; k < mask->rank; k++) {
        int64_t one;
        const bool whole = mask->dim[k] == scores->dim[k + shift];
        /* Without heads the batch is not where Attention looks for it. */
        const bool batch = scores->rank == 3 && k + shift == 0;
        if (!(expr_is_int(g->x, mask->dim[k], &one) && one == 1) && (!whole || batch))
            return false;
    }
    return true;
}

/* The keys as (.., T, d): the source of the Transpose `n` with the last two dims back in order. */
static ValueId keys_in_order(Graph *g, const Match *m, const Node *n)
{
    const int rank = g->value.at[n->out[0]].rank;
    const int64_t *perm;
    int64_t order[MAX_RANK];
    const int given = node_ints(n, "perm", &perm);
    bool same = true;
    for (int k = 0; k < rank; k++) {
        const int at = k < rank - 2 ? k : 2 * rank - 3 - k; /* the last two change places */
        order[k] = given ? perm[at] : rank - 1 - at;
        same &= order[k] == k;
    }
    const ValueId k = match_value(m, 'k');
    if (same)
        return k;
    const NodeId id = insert_node(g, m->node[0], OP_TRANSPOSE, "transpose", 1, &k);
    node_set_ints(g, id, "perm", rank, order);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* where(c, s, low) as a mask that is added: where(c, 0, low). */
static ValueId mask_of_choice(Graph *g, const Match *m, const Node *where)
{
    const ValueId c = match_value(m, 'c');
    const DType t = g->value.at[where->out[0]].dtype;
    bool first = false; /* are the scores the first? */
    for (int k = 0; k < m->nnodes; k++)
        first |= m->node[k] == g->value.at[where->in[1]].producer;
    const ValueId zero = graph_const_scalar(g, "seen", t, 0);
    const ValueId low = graph_const_scalar(g, "unseen", t, match_number(m, 'N'));
    const ValueId in[3] = {c, first ? zero : low, first ? low : zero};
    const NodeId id = insert_node(g, m->node[0], OP_WHERE, "where", 3, in);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* Is low so low that adding it to a score gives it unchanged? */
static bool is_lowest(double low)
{
    return low <= -1e30;
}

static bool attention(Graph *g, const Match *m, const RaiseRule *rule)
{
    const Node softmax = *matched(g, m, OP_SOFTMAX);
    const Node transpose = *matched(g, m, OP_TRANSPOSE), *where = matched(g, m, OP_WHERE);
    const Value *logits = &g->value.at[softmax.in[0]];
    const ValueId q = match_value(m, 'q'), v = match_value(m, 'v'), mask = match_value(m, 'm');
    const double scale = factor(m, 'A', 'D') * factor(m, 'Q', 'R') * factor(m, 'K', 'L');
    const int64_t axis = node_int(&softmax, "axis", -1);
    const int rank = logits->rank;
    if (!operands_fit(g, &g->value.at[q], &g->value.at[transpose.out[0]], &g->value.at[v]) ||
        g->value.at[q].rank != rank || (axis != -1 && axis != rank - 1) || !isfinite(scale) ||
        (mask >= 0 && !mask_fits(g, &g->value.at[mask], logits)))
        return false;
    if (where && (!is_lowest(match_number(m, 'N')) ||
                  !mask_fits(g, &g->value.at[match_value(m, 'c')], logits)))
        return false;
    ValueId in[4] = {q, keys_in_order(g, m, &transpose), v, mask};
    if (where)
        in[3] = mask_of_choice(g, m, matched(g, m, OP_WHERE));
    const NodeId n = match_replace(g, m, rule->op, in[3] < 0 ? 3 : 4, in);
    node_set_float(g, n, "scale", scale);
    if (rank == 3) {
        node_set_int(g, n, "q_num_heads", 1);
        node_set_int(g, n, "kv_num_heads", 1);
    }
    return true;
}

static const RaiseRule rules[] = {
    {"matmul(softmax(masked(scores(q))), v)", OP_ATTENTION, attention},
};

Graph *pass_raise_attention(Context *ctx, const Graph *g, const PassOptions *opt, int *count)
{
    (void)opt;
    return raise_chains(ctx, g, (int)(sizeof rules / sizeof *rules), rules, macros, count);
}
