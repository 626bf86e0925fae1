/* raise_attention: softmax(q k^T * scale + mask) v becomes one Attention.
 *
 *     t = transpose(k, [0,1,3,2]); s = matmul(q, t); d = div(s, 8); m = add(d, mask)
 *     p = softmax(m); y = matmul(p, v)
 *     ->  y = attention(q, k, v, mask) scale=0.125
 *
 * Products may be Einsums. The scale may stand at q, at k or both, or behind the product, before a
 * soft cap or none (cap * tanh(s / cap)). There may be two masks, added or chosen by where(keep, s,
 * low). Operands are (B,H,length,size) with the same B, or (B,length,size): one head.
 * attention_operands.h says how they are found; if an Expand repeats the heads of keys and values,
 * or a product broadcasts their one head, Attention shares them.
 *
 * What low is decides what becomes of where(keep, s, low): if adding it to a score gives it
 * unchanged, the mask where(keep, 0, low); else (-1e4, -1e9) `keep` is an input of its own and low
 * the attribute `unseen`: a row in which nothing is seen weighs all keys alike, and a score may be
 * less than low.
 *
 * Scores of one rank may be masked in another: (B*H,S,T) as (B,H,S,T) (Bart), and in windows of
 * several images, where B is I * N (Swin):
 *
 *     u = reshape(m, [I,N,H,S,T]); w = add(u, windows); m' = reshape(w, [B,H,S,T])
 *     ->  mask + reshape(windows, [N,H,S,T]), where I is 1 or the images are told apart
 *
 * Requires inference; leaves shapes as they were. A row that is masked with -inf altogether was
 * NaN and is zero afterwards; where(is_nan(p), 0, p) behind the softmax says so and is the
 * attribute `nan_is_zero`. */
#include "pass/match.h"

#include <math.h>
#include <string.h>

#include "op/op.h"
#include "pass/attention_operands.h"

enum { WHOLE = 4 }; /* rank of (B,H,S,T) */

static const Macro macros[] = {
    {"scaled", "{mul($1, $2)|div($1, $3)|$1}"},
    {"products",
     "{matmul(scaled(q, Q, R), scaled(k, K, L))|einsum(scaled(q, Q, R), scaled(k, K, L))}"},
    {"capped", "{mul(tanh($1), G)|$1}"},
    {"masked", "{add($1, $2)|where($3, $1, $4)|where($3, $4, $1)|$1}"},
    {"shaped", "{reshape($1, $2)|$1}"},
    {"floored", "{max($1, F)|$1}"},
    {"scores", "capped(scaled(scaled(products(0), A, D), B, E))"},
    {"logits", "shaped(floored(masked(shaped(masked(scores(0), m, c, N), u), w, d, M)), x)"},
    {"safe", "{where(is_nan($1), 0, $1)|$1}"},
    {"weights", "shaped(safe(softmax(logits(0))), y)"},
    {NULL, NULL},
};

/* One step from scores to logits. */
typedef struct MaskStep {
    ValueId value;  /* added, or what says where scores are seen; -1: no step */
    bool chooses, scores_first;
    double low;     /* where they are not */
} MaskStep;

typedef struct Attention {
    Graph *g;
    const Match *m;
    Operand q, k, v;
    Sizes sizes;
    double scale, cap; /* cap 0: none */
    int rank;          /* of operands and scores: 3 or 4 */
    Value logits;      /* the scores in this rank */
    MaskStep step[2];
    double floor; /* 0: none */
    bool zero_nan;
    int order[MAX_RANK]; /* of the result's dims: of an Einsum */
} Attention;

static double factor(const Match *m, char times, char divisor)
{
    const double a = m->known[times - 'A'] ? match_number(m, times) : 1;
    return m->known[divisor - 'A'] ? a / match_number(m, divisor) : a;
}

/* The scores as the second mask finds them: behind the Reshape to the shape `u`, if there is
 * one. */
static const Value *between_masks(const Graph *g, const Match *m, const Value *scores)
{
    const Value *v = scores;
    for (int i = 0; i < m->nnodes; i++) { /* the deepest comes last */
        const Node *n = &g->node.at[m->node[i]];
        if (n->op == OP_RESHAPE && n->in[1] == match_value(m, 'u'))
            v = &g->value.at[n->out[0]];
    }
    return v;
}

static bool is_matched(const Match *m, NodeId n)
{
    bool is = false;
    for (int k = 0; n >= 0 && k < m->nnodes; k++)
        is |= m->node[k] == n;
    return is;
}

static const Node *matched(const Graph *g, const Match *m, OpCode op)
{
    for (int k = 0; k < m->nnodes; k++)
        if (g->node.at[m->node[k]].op == op)
            return &g->node.at[m->node[k]];
    return NULL;
}

static bool dim_is(const Graph *g, Expr dim, int64_t want)
{
    int64_t n;
    return expr_is_int(g->x, dim, &n) && n == want;
}

/* Is low so low that adding it to a score gives it unchanged? */
static bool is_lowest(double low)
{
    return low <= -1e30;
}

/* ---- reading the match ---- */

/* The product of q and k: the last node of the match that is one, as the root may be one, too. */
static const Node *scores_of(const Graph *g, const Match *m)
{
    const Node *last = NULL;
    for (int k = 1; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        last = n->op == OP_MATMUL || n->op == OP_EINSUM ? n : last;
    }
    return last;
}

static bool read_operands(Attention *a)
{
    Graph *g = a->g;
    const Match *m = a->m;
    const Node *scores = scores_of(g, m), *root = &g->node.at[m->node[0]];
    const ValueId v = match_value(m, 'v');
    a->scale =
        factor(m, 'A', 'D') * factor(m, 'B', 'E') * factor(m, 'Q', 'R') * factor(m, 'K', 'L');
    a->q = operand_of(g, match_value(m, 'q'), &a->scale);
    a->v = operand_of(g, v, NULL);
    for (int k = 0; k < MAX_RANK; k++)
        a->order[k] = k;
    if (root->op == OP_EINSUM &&
        !operands_of_result(g, m->node[0], root->in[1] == v, &a->v, a->order))
        return false;
    if (scores->op == OP_MATMUL)
        return operand_turned(g, match_value(m, 'k'), &a->scale, &a->k);
    a->k = operand_of(g, match_value(m, 'k'), &a->scale);
    return operands_of_scores(g, (NodeId)(scores - g->node.at), &a->q, &a->k);
}

static MaskStep step_of(const Graph *g, const Match *m, char added, char chooses, char low)
{
    const ValueId sum = match_value(m, added), choice = match_value(m, chooses);
    if (choice < 0)
        return (MaskStep){.value = sum};
    MaskStep s = {.value = choice, .chooses = true, .low = match_number(m, low)};
    for (int k = 0; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        if (n->op == OP_WHERE && n->in[0] == choice)
            s.scores_first = is_matched(m, g->value.at[n->in[1]].producer);
    }
    return s;
}

/* Does v hold the logits, in other leading dims at most? */
static bool holds_logits(const Attention *a, const Value *v)
{
    const Value *l = &a->logits;
    const int same = v->rank == l->rank ? v->rank : 2;
    return v->rank >= 2 && memcmp(&v->dim[v->rank - same], &l->dim[l->rank - same],
                                  (size_t)same * sizeof *v->dim) == 0;
}

/* The rank of operands and logits: 4 if the scores or what a Reshape makes of them have it, else
 * 3. */
static bool read_rank(Attention *a, const Value *weights, const Value *v)
{
    const Graph *g = a->g;
    const Value *scores = &g->value.at[scores_of(g, a->m)->out[0]],
                *between = between_masks(g, a->m, scores);
    const Value *softmax = &g->value.at[matched(g, a->m, OP_SOFTMAX)->in[0]];
    const Value *all[4] = {scores, between, softmax, weights};
    a->logits = *scores;
    for (int k = 3; k >= 0; k--)
        if (all[k]->rank == WHOLE)
            a->logits = *all[k];
    a->rank = a->logits.rank;
    bool fit = a->q.rank == scores->rank && a->k.rank == scores->rank && v->rank == weights->rank;
    for (int k = 0; k < 4; k++)
        fit = fit && (holds_logits(a, all[k]) || (all[k] == between && between->rank == WHOLE + 1));
    return fit && (a->rank == WHOLE || a->rank == WHOLE - 1);
}

static void add_sizes(Attention *a, ValueId q, ValueId k, ValueId v)
{
    const ValueId of[3] = {q, k, v};
    memcpy(&a->sizes.of[a->sizes.n], of, sizeof of);
    a->sizes.n += 3;
}

/* Gives the operands the logits' leading dims, where the products had others. */
static bool lift_operands(Attention *a)
{
    add_sizes(a, match_value(a->m, 'q'), match_value(a->m, 'k'), match_value(a->m, 'v'));
    const Expr *l = a->logits.dim;
    Operand *const all[3] = {&a->q, &a->k, &a->v};
    for (int k = 0; k < 3; k++) {
        Operand *o = all[k];
        if (o->rank == a->rank)
            continue;
        if (o->rank != WHOLE - 1)
            return false;
        const Expr dim[WHOLE] = {l[0], l[1], o->dim[1], o->dim[2]};
        if (!operand_reshape(a->g, o, &a->sizes, WHOLE, dim))
            return false;
    }
    add_sizes(a, a->q.from, a->k.from, a->v.from);
    if (a->rank == WHOLE)
        operands_ungroup(a->g, &a->k, &a->v);
    return true;
}

/* Inputs of one type, (B,S,d) (B,T,d) (B,T,D) with B one or two dims, all B the same; keys and
 * values may have fewer heads. */
static bool operands_fit(const Attention *a)
{
    const Graph *g = a->g;
    const int rank = a->rank;
    const Operand *q = &a->q, *k = &a->k, *v = &a->v;
    const DType t = g->value.at[q->from].dtype;
    bool fit =
        dtype_is_float(t) && g->value.at[k->from].dtype == t && g->value.at[v->from].dtype == t;
    fit = fit && k->dim[0] == q->dim[0] && v->dim[0] == q->dim[0] &&
          q->dim[rank - 1] == k->dim[rank - 1] && v->dim[rank - 2] == k->dim[rank - 2];
    int64_t heads, shared;
    return fit && (rank == 3 ||
                   (expr_is_int(g->x, q->dim[1], &heads) && expr_is_int(g->x, k->dim[1], &shared) &&
                    shared > 0 && heads % shared == 0 && v->dim[1] == k->dim[1]));
}

/* ---- masks ---- */

/* A mask of the windows of an image, added to (I,N,H,S,T), as one that is added to the logits
 * (I*N,H,S,T): dims (N,..) or (1,..), with dims of 1 kept. False: it is none. */
static bool window_dims(const Attention *a, ValueId windows, Expr to[WHOLE])
{
    enum { IMAGES, WINDOWS, RANK = WHOLE + 1 };
    const Graph *g = a->g;
    const Value *w = &g->value.at[windows], *l = &a->logits;
    const Value *s = between_masks(g, a->m, l); /* split into images and windows */
    int64_t dim[RANK], all[RANK], batch;
    if (w->rank > RANK || w->rank < 1 || !expr_is_int(g->x, l->dim[0], &batch))
        return false;
    for (int k = 0; k < RANK; k++) {
        dim[k] = 1;
        if (!expr_is_int(g->x, s->dim[k], &all[k]) || (k > WINDOWS && s->dim[k] != l->dim[k - 1]) ||
            (k >= RANK - w->rank && !expr_is_int(g->x, w->dim[k - RANK + w->rank], &dim[k])) ||
            (dim[k] != all[k] && (dim[k] != 1 || k == RANK - 1)))
            return false;
    }
    /* Windows are repeated for each image: only where there is one, or nothing to repeat. */
    const int64_t given = dim[IMAGES] * dim[WINDOWS];
    for (int k = 0; k < WHOLE; k++)
        to[k] = expr_int(g->x, k > 0 ? dim[k + 1] : given);
    return all[IMAGES] * all[WINDOWS] == batch && (given == 1 || given == batch);
}

/* The rank and dims in which a mask of scores of `rank` dims spans the logits: each whole or 1, the
 * last whole. What is shorter than T would mean that nothing is seen beyond it. 0: it does not. */
static int mask_dims(const Attention *a, ValueId mask, int rank, Expr to[WHOLE])
{
    const Graph *g = a->g;
    const Value *v = &g->value.at[mask], *l = &a->logits;
    int n = v->rank;
    if (n < 1 || n > rank)
        return 0;
    if (rank > WHOLE)
        return window_dims(a, mask, to) ? WHOLE : 0;
    memcpy(to, v->dim, (size_t)n * sizeof *to);
    if (rank < a->rank && n == rank && !dim_is(g, v->dim[0], 1)) { /* (B*H,..) */
        const Expr whole[WHOLE] = {l->dim[0], l->dim[1], v->dim[1], v->dim[2]};
        memcpy(to, whole, sizeof whole);
        n = WHOLE;
        if (!dims_reachable(g, &a->sizes, n, to))
            return 0;
    }
    const int shift = a->rank - n;
    for (int k = 0; k < n; k++)
        if (to[k] != l->dim[k + shift] && (k == n - 1 || !dim_is(g, to[k], 1)))
            return 0;
    return n;
}

/* Rank of the scores that a step masks. */
static int step_rank(const Attention *a, int step)
{
    const Value *scores = &a->g->value.at[scores_of(a->g, a->m)->out[0]];
    return step > 0 ? between_masks(a->g, a->m, scores)->rank : scores->rank;
}

static bool masks_fit(const Attention *a)
{
    bool none_yet = true;
    for (int k = 0; k < 2; k++) {
        const MaskStep *s = &a->step[k];
        Expr dim[WHOLE];
        if (s->value < 0)
            continue;
        if (!mask_dims(a, s->value, step_rank(a, k), dim) ||
            (s->chooses && !is_lowest(s->low) && !none_yet))
            return false;
        none_yet = false;
    }
    const bool twice =
        a->step[0].chooses && a->step[1].chooses && a->step[0].value == a->step[1].value;
    return !twice && (a->floor == 0 || is_lowest(a->floor));
}

static ValueId append(const Attention *a, OpCode op, const char *what, int n, const ValueId *in)
{
    const NodeId id = insert_node(a->g, a->m->node[0], op, what, n, in);
    op_infer_node(a->g, id);
    return a->g->node.at[id].out[0];
}

static ValueId number(const Attention *a, const char *name, double v)
{
    return graph_const_scalar(a->g, name, a->g->value.at[a->q.from].dtype, v);
}

/* One head: (B,S,T) as (B,1,S,T). */
static ValueId with_heads(const Attention *a, ValueId mask)
{
    if (a->rank == WHOLE || mask < 0 || a->g->value.at[mask].rank < WHOLE - 1)
        return mask;
    const ValueId in[2] = {mask, graph_const_ints(a->g, "heads_axis", 1, (const int64_t[]){1})};
    return append(a, OP_UNSQUEEZE, "heads", 2, in);
}

/* What masks become: one that is added, and one that chooses between a score and `low`; -1:
 * none. */
typedef struct Masks {
    ValueId added, seen;
    double low;
} Masks;

static ValueId choose(const Attention *a, const MaskStep *s, ValueId seen, ValueId added)
{
    const ValueId zero = added < 0 ? number(a, "seen", 0) : added,
                  low = number(a, "unseen", s->low);
    const ValueId in[3] = {seen, s->scores_first ? zero : low, s->scores_first ? low : zero};
    return append(a, OP_WHERE, "where", 3, in);
}

static Masks make_masks(const Attention *a)
{
    Masks to = {.added = -1, .seen = -1};
    for (int k = 0; k < 2; k++) {
        const MaskStep *s = &a->step[k];
        Expr dim[WHOLE];
        if (s->value < 0)
            continue;
        const int rank = mask_dims(a, s->value, step_rank(a, k), dim);
        const ValueId v = reshape_to(a->g, a->m->node[0], k > 0 ? "windows" : "mask", s->value,
                                     &a->sizes, rank, dim);
        if (!s->chooses)
            to.added =
                to.added < 0 ? v : append(a, OP_ADD, "mask", 2, (const ValueId[]){to.added, v});
        else if (is_lowest(s->low))
            to.added = choose(a, s, v, to.added);
        else
            to = (Masks){.added = -1,
                         .seen = s->scores_first ? v : append(a, OP_NOT, "seen", 1, &v),
                         .low = s->low};
    }
    if (a->floor != 0 && to.added >= 0)
        to.added = append(a, OP_MAX, "floor", 2,
                          (const ValueId[]){to.added, number(a, "lowest", a->floor)});
    to.added = with_heads(a, to.added);
    to.seen = with_heads(a, to.seen);
    return to;
}

/* ---- the node ---- */

/* The root in rank or order of its own: what makes it of the attention's result. */
static bool result_fits(const Attention *a, const Value *y)
{
    bool ordered = true;
    for (int k = 0; k < a->rank; k++)
        ordered &= a->order[k] == k;
    return y->rank == a->rank ||
           (ordered && y->rank == WHOLE - 1 && dims_reachable(a->g, &a->sizes, y->rank, y->dim));
}

static NodeId make_node(const Attention *a, const RaiseRule *rule, int nin, const ValueId *in)
{
    Graph *g = a->g;
    const NodeId root = a->m->node[0];
    const Value y = g->value.at[g->node.at[root].out[0]];
    bool ordered = true;
    int64_t perm[MAX_RANK];
    for (int k = 0; k < y.rank; k++) {
        perm[k] = a->order[k];
        ordered &= perm[k] == k;
    }
    if (ordered && y.rank == a->rank)
        return match_replace(g, a->m, rule->op, nin, in);
    const NodeId id = insert_node(g, root, rule->op, "attention", nin, in);
    const ValueId from = g->node.at[id].out[0];
    if (ordered) {
        const ValueId in_shape[2] = {from,
                                     shape_of_dims(g, root, "result", &a->sizes, y.rank, y.dim)};
        match_replace(g, a->m, OP_RESHAPE, 2, in_shape);
    } else {
        match_replace(g, a->m, OP_TRANSPOSE, 1, &from);
        node_set_ints(g, root, "perm", y.rank, perm);
    }
    return id;
}

static void replace(const Attention *a, const RaiseRule *rule)
{
    enum { MASK = 3, SEEN = 7 };
    Graph *g = a->g;
    const NodeId root = a->m->node[0];
    const char *const what[3] = {"query", "keys", "values"};
    const Operand *const operand[3] = {&a->q, &a->k, &a->v};
    ValueId in[SEEN + 1];
    for (int k = 0; k <= SEEN; k++)
        in[k] = k < 3 ? operand_make(g, root, what[k], operand[k], &a->sizes) : -1;
    const Masks masks = make_masks(a);
    in[MASK] = masks.added;
    in[SEEN] = masks.seen;
    const NodeId n = make_node(a, rule,
                               in[SEEN] >= 0   ? SEEN + 1
                               : in[MASK] >= 0 ? MASK + 1
                                               : MASK,
                               in);
    node_set_float(g, n, "scale", a->scale);
    if (a->cap > 0)
        node_set_float(g, n, "softcap", a->cap);
    if (in[SEEN] >= 0)
        node_set_float(g, n, "unseen", masks.low);
    if (a->zero_nan)
        node_set_int(g, n, "nan_is_zero", 1);
    if (a->rank == 3) {
        node_set_int(g, n, "q_num_heads", 1);
        node_set_int(g, n, "kv_num_heads", 1);
    }
    if (n != root)
        op_infer_node(g, n);
}

static bool attention(Graph *g, const Match *m, const RaiseRule *rule)
{
    const Node *softmax = matched(g, m, OP_SOFTMAX), *root = &g->node.at[m->node[0]];
    const int64_t axis = node_int(softmax, "axis", -1);
    const ValueId v = match_value(m, 'v');
    const Value *weights = &g->value.at[root->in[0] == v ? root->in[1] : root->in[0]];
    Attention a = {.g = g, .m = m, .zero_nan = matched(g, m, OP_IS_NAN) != NULL};
    a.step[0] = step_of(g, m, 'm', 'c', 'N');
    a.step[1] = step_of(g, m, 'w', 'd', 'M');
    a.floor = m->known['F' - 'A'] ? match_number(m, 'F') : 0;
    a.cap = m->known['G' - 'A'] ? match_number(m, 'G') : 0;
    if ((axis != -1 && axis != g->value.at[softmax->in[0]].rank - 1) || !read_operands(&a) ||
        !read_rank(&a, weights, &g->value.at[v]))
        return false;
    if (a.cap > 0)
        a.scale *= a.cap;
    if (!lift_operands(&a) || !operands_fit(&a) || !masks_fit(&a) ||
        !result_fits(&a, &g->value.at[root->out[0]]) || !isfinite(a.scale) || !isfinite(a.cap) ||
        a.cap < 0)
        return false;
    replace(&a, rule);
    return true;
}

static const RaiseRule rules[] = {
    {"matmul(weights(0), v)", OP_ATTENTION, attention},
    {"einsum(weights(0), v)", OP_ATTENTION, attention},
    {"einsum(v, weights(0))", OP_ATTENTION, attention},
};

Graph *pass_raise_attention(Context *ctx, const Graph *g, const PassOptions *opt, int *count)
{
    Graph *raised = raise_chains(ctx, g, (int)(sizeof rules / sizeof *rules), rules, macros, count);
    /* operands as they were, which nothing reads any more: readers are counted by what comes
     * next */
    int dead = 0;
    return *count > 0 ? pass_remove_dead(ctx, raised, opt, &dead) : raised;
}
