/* raise_attention: softmax(q k^T * scale + mask) v becomes one Attention.
 *
 *     t = transpose(k, [0,1,3,2]); s = matmul(q, t); d = div(s, 8); m = add(d, mask)
 *     p = softmax(m); y = matmul(p, v)
 *     ->  y = attention(q, k, v, mask) scale=0.125
 *
 * The scale may stand at q, at k or both, or behind the product; the mask may be added, or chosen by
 * where(keep, s, low). Operands are (B,H,length,size) with the same B and H, or (B,length,size): one
 * head. The keys must come out of a Transpose, which then gives them as they were; a Reshape may stand
 * behind it that leaves length and size alone (PyTorch's multi-head attention).
 *
 * Windows of several images have a second mask, of the windows (N) of an image (I); B is I * N (Swin):
 *
 *     u = reshape(m, [I,N,H,S,T]); w = add(u, windows); m' = reshape(w, [B,H,S,T])
 *     ->  mask + reshape(windows, [N,H,S,T]), where I is 1 or the images are told apart
 *
 * Requires inference; leaves shapes as they were. A row that is masked with -inf altogether was NaN
 * and is zero afterwards. */
#include "pass/match.h"

#include <math.h>

#include "op/op.h"

static const Macro macros[] = {
    {"query", "{mul($1, Q)|div($1, R)|$1}"},
    {"turned", "{transpose($1)|reshape(transpose($1), t)}"},
    {"keys", "{transpose({mul($1, K)|div($1, L)|$1})|mul(turned($1), K)|div(turned($1), L)|reshape(transpose($1), t)}"},
    {"product_of", "matmul(query(q), keys(k))"},
    {"scaled", "{mul($1, A)|div($1, D)|$1}"},
    {"scores", "scaled(product_of(q))"},
    {"windows", "reshape(add(reshape($1, u), w), x)"},
    {"masked", "{add($1, m)|where(c, $1, N)|where(c, N, $1)|windows(add($1, m))|windows($1)|$1}"},
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

/* Is dim k of the value a number? */
static bool known_dim(const Graph *g, const Value *v, int k, int64_t *n)
{
    return expr_is_int(g->x, v->dim[k], n);
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
        if (mask->dim[k] != scores->dim[k + shift] && !(known_dim(g, mask, k, &one) && one == 1))
            return false;
    }
    return true;
}

/* The keys as (.., d, T): what the Transpose t makes, or a Reshape behind it that only gives it other leading dims. -1:
 * there is more to that Reshape, or dims are not known. */
static ValueId turned_keys(const Graph *g, const Match *m, const Node *t)
{
    const Node *reshape = NULL;
    for (int k = 0; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        reshape = n->op == OP_RESHAPE && n->in[0] == t->out[0] ? n : reshape;
    }
    if (!reshape)
        return t->out[0];
    const Value *from = &g->value.at[t->out[0]], *to = &g->value.at[reshape->out[0]];
    bool same = from->rank >= 2 && to->rank >= 2;
    for (int k = 1; same && k <= 2; k++)
        same = from->dim[from->rank - k] == to->dim[to->rank - k];
    int64_t n;
    for (int k = 0; same && k < to->rank; k++)
        same = known_dim(g, to, k, &n);
    return same ? reshape->out[0] : -1;
}

static ValueId append(Graph *g, const Match *m, OpCode op, const char *what, ValueId a, ValueId b)
{
    const ValueId in[2] = {a, b};
    const NodeId id = insert_node(g, m->node[0], op, what, 2, in);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* The keys as (.., T, d), of `rank`: the source of the Transpose `n` with the last two dims back in order. `turned` is
 * (.., d, T) as the product reads it. */
static ValueId keys_in_order(Graph *g, const Match *m, const Node *n, ValueId turned)
{
    const int rank = g->value.at[n->out[0]].rank;
    const int64_t *perm;
    int64_t order[MAX_RANK], shape[MAX_RANK];
    const int given = node_ints(n, "perm", &perm);
    bool same = true;
    for (int k = 0; k < rank; k++) {
        const int at = k < rank - 2 ? k : 2 * rank - 3 - k; /* the last two change places */
        order[k] = given ? perm[at] : rank - 1 - at;
        same &= order[k] == k;
    }
    ValueId k = match_value(m, 'k');
    const bool reshaped = !is_same_type(g, n->out[0], turned);
    if (!same) {
        const NodeId id = insert_node(g, m->node[0], OP_TRANSPOSE, "transpose", 1, &k);
        node_set_ints(g, id, "perm", rank, order);
        op_infer_node(g, id);
        k = g->node.at[id].out[0];
    }
    if (!reshaped)
        return k;
    const int to = g->value.at[turned].rank;
    for (int d = 0; d < to; d++)
        known_dim(g, &g->value.at[turned], d < to - 2 ? d : 2 * to - 3 - d, &shape[d]);
    return append(g, m, OP_RESHAPE, "keys", k, graph_const_ints(g, "keys_shape", to, shape));
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

/* The mask of the windows of an image, added to (I,N,H,S,T), as one that is added to `logits` (I*N,H,S,T): (N,..) or
 * (1,..), with dims of 1 kept. -1: it is none. */
static ValueId mask_of_windows(Graph *g, const Match *m, ValueId windows, ValueId logits)
{
    enum { IMAGES, WINDOWS, RANK = 5 };
    const Value *w = &g->value.at[windows], *l = &g->value.at[logits];
    const Node *split = NULL; /* into images and windows */
    for (int k = 0; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        split = n->op == OP_RESHAPE && n->out[0] != logits && g->value.at[n->out[0]].rank == RANK ? n : split;
    }
    int64_t dim[RANK], all[RANK], batch;
    if (!split || l->rank != RANK - 1 || w->rank > RANK || w->rank < 1 || !known_dim(g, l, 0, &batch))
        return -1;
    const Value *s = &g->value.at[split->out[0]];
    for (int k = 0; k < RANK; k++) {
        dim[k] = 1;
        if (!known_dim(g, s, k, &all[k]) || (k > WINDOWS && s->dim[k] != l->dim[k - 1]) ||
            (k >= RANK - w->rank && !known_dim(g, w, k - RANK + w->rank, &dim[k])) ||
            (dim[k] != all[k] && (dim[k] != 1 || k == RANK - 1)))
            return -1;
    }
    /* Windows are repeated for each image: only where there is one, or nothing to repeat. */
    const int64_t given = dim[IMAGES] * dim[WINDOWS];
    if (all[IMAGES] * all[WINDOWS] != batch || (given != 1 && given != batch))
        return -1;
    dim[WINDOWS] = given;
    return append(g, m, OP_RESHAPE, "windows", windows, graph_const_ints(g, "windows_shape", RANK - 1, &dim[WINDOWS]));
}

/* The mask that is added to `logits`, and in front of it that of windows. -1: there is none; *fits gets whether they do. */
static ValueId mask_of_sums(Graph *g, const Match *m, ValueId logits, bool *fits)
{
    const ValueId windows = match_value(m, 'w'), each = match_value(m, 'm');
    const Value *l = &g->value.at[logits];
    *fits = each < 0 || mask_fits(g, &g->value.at[each], l);
    if (windows < 0 || !*fits)
        return each;
    const ValueId mask = mask_of_windows(g, m, windows, logits);
    *fits = mask >= 0;
    return *fits && each >= 0 ? append(g, m, OP_ADD, "mask", each, mask) : mask;
}

static bool attention(Graph *g, const Match *m, const RaiseRule *rule)
{
    const Node softmax = *matched(g, m, OP_SOFTMAX);
    const Node transpose = *matched(g, m, OP_TRANSPOSE), *where = matched(g, m, OP_WHERE);
    const Value *logits = &g->value.at[softmax.in[0]];
    const ValueId q = match_value(m, 'q'), v = match_value(m, 'v'), turned = turned_keys(g, m, &transpose);
    const double scale = factor(m, 'A', 'D') * factor(m, 'Q', 'R') * factor(m, 'K', 'L');
    const int64_t axis = node_int(&softmax, "axis", -1);
    const int rank = logits->rank;
    if (turned < 0 || !operands_fit(g, &g->value.at[q], &g->value.at[turned], &g->value.at[v]) ||
        g->value.at[q].rank != rank || (axis != -1 && axis != rank - 1) || !isfinite(scale))
        return false;
    if (where && (!is_lowest(match_number(m, 'N')) ||
                  !mask_fits(g, &g->value.at[match_value(m, 'c')], logits)))
        return false;
    bool fits;
    const ValueId mask = mask_of_sums(g, m, softmax.in[0], &fits);
    if (!fits)
        return false;
    ValueId in[4] = {q, keys_in_order(g, m, &transpose, turned), v, mask};
    if (where)
        in[3] = mask_of_choice(g, m, matched(g, m, OP_WHERE));
    if (rank == 3 && in[3] >= 0 && g->value.at[in[3]].rank == 3) /* (B,S,T): of the one head */
        in[3] = append(g, m, OP_UNSQUEEZE, "heads", in[3], graph_const_ints(g, "heads_axis", 1, (const int64_t[]){1}));
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
