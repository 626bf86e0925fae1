/* Finding the operands of attention behind Transposes, Reshapes, factors, repeated heads and
 * Einsums; see the header.
 *
 *     BERT           k (B,T,H,d) -> Transpose 0,2,3,1 -> t (B,H,d,T)
 *     torch, sdpa    k (B,H,T,d) -> Reshape (BH,T,d) -> Transpose 0,2,1 -> Reshape (B,H,d,T) -> Mul by a factor
 *     Llama          k (B,G,T,d) -> Unsqueeze -> Expand (B,G,n,T,d) -> Reshape (B,H,T,d) -> Transpose 0,1,3,2
 *     Keras          scores = Einsum("aecd,abcd->acbe", k, q)
 */
#include "pass/attention_operands.h"

#include <string.h>

#include "op/einsum.h"
#include "op/op.h"
#include "pass/known.h"

static const Node *producer(const Graph *g, ValueId v, OpCode op)
{
    const NodeId n = g->value.at[v].producer;
    return n >= 0 && g->node.at[n].op == op ? &g->node.at[n] : NULL;
}

static bool same_dims(int rank, const Expr *a, const Expr *b)
{
    return memcmp(a, b, (size_t)rank * sizeof *a) == 0;
}

static bool has_dims(const Value *v, int rank, const Expr *dim)
{
    return v->rank == rank && same_dims(rank, v->dim, dim);
}

/* The one input of a Mul or Div by a number that is no number; -1: it is neither. */
static ValueId unscaled(const Graph *g, ValueId v, double *scale)
{
    const Node *n = producer(g, v, OP_MUL);
    const bool divides = !n && (n = producer(g, v, OP_DIV));
    for (int k = divides; n && k < 2; k++) {
        double by;
        const ValueId other = n->in[1 - k];
        if (known_uniform(g, n->in[k], &by) && is_same_type(g, other, v)) {
            *scale = divides ? *scale / by : *scale * by;
            return other;
        }
    }
    return -1;
}

static ValueId without_factors(const Graph *g, ValueId v, double *scale)
{
    for (ValueId next; scale && (next = unscaled(g, v, scale)) >= 0;)
        v = next;
    return v;
}

Operand operand_of(const Graph *g, ValueId v, double *scale)
{
    const ValueId from = without_factors(g, v, scale);
    Operand o = {.from = from, .rank = g->value.at[from].rank};
    memcpy(o.dim, g->value.at[from].dim, sizeof o.dim);
    return o;
}

void operand_transpose(Operand *o, const int *order)
{
    const Operand old = *o;
    bool turns = false;
    for (int k = 0; k < o->rank; k++) {
        o->perm[k] = old.turns ? old.perm[order[k]] : order[k];
        o->dim[k] = old.dim[order[k]];
        turns |= o->perm[k] != k;
    }
    o->turns = turns;
}

static void swap_last(Operand *o)
{
    int order[MAX_RANK];
    for (int k = 0; k < o->rank; k++)
        order[k] = k < o->rank - 2 ? k : 2 * o->rank - 3 - k;
    operand_transpose(o, order);
}

static Operand before_transpose(const Graph *g, const Node *transpose, double *scale)
{
    const int64_t *perm;
    const int given = node_ints(transpose, "perm", &perm);
    Operand o = operand_of(g, transpose->in[0], scale);
    int order[MAX_RANK];
    for (int k = 0; k < o.rank; k++)
        order[k] = given ? (int)perm[k] : o.rank - 1 - k;
    operand_transpose(&o, order);
    return o;
}

bool operand_turned(const Graph *g, ValueId t, double *scale, Operand *keys)
{
    double all = *scale;
    const ValueId v = without_factors(g, t, &all);
    const Node *reshape = producer(g, v, OP_RESHAPE);
    const Node *transpose = producer(g, reshape ? reshape->in[0] : v, OP_TRANSPOSE);
    if (!transpose)
        return false;
    Operand o = before_transpose(g, transpose, &all);
    if (reshape) {
        Operand outer = operand_of(g, v, NULL);
        if (o.rank < 2 || outer.rank < 2 ||
            !same_dims(2, &o.dim[o.rank - 2], &outer.dim[outer.rank - 2]))
            return false;
        swap_last(&outer);
        swap_last(&o);
        if (!operand_reshape(g, &o, &(Sizes){0}, outer.rank, outer.dim))
            return false;
    } else {
        swap_last(&o);
    }
    *scale = all;
    *keys = o;
    return true;
}

static int open_dims(const Graph *g, int rank, const Expr *dim)
{
    int open = 0;
    for (int k = 0; k < rank; k++)
        open += !expr_is_int(g->x, dim[k], NULL);
    return open;
}

/* A value with this dim, and where; -1: none. */
static ValueId find_size(const Graph *g, const Sizes *sizes, Expr dim, int *at)
{
    for (int i = 0; i < sizes->n; i++) {
        const Value *v = &g->value.at[sizes->of[i]];
        for (*at = 0; *at < v->rank; ++*at)
            if (v->dim[*at] == dim)
                return sizes->of[i];
    }
    return -1;
}

bool dims_reachable(const Graph *g, const Sizes *sizes, int rank, const Expr *dim)
{
    bool all = true;
    int at;
    for (int k = 0; k < rank; k++)
        all &= expr_is_int(g->x, dim[k], NULL) || find_size(g, sizes, dim[k], &at) >= 0;
    return all || open_dims(g, rank, dim) <= 1;
}

bool operand_reshape(const Graph *g, Operand *o, const Sizes *sizes, int rank, const Expr *dim)
{
    if (o->rank == rank && same_dims(rank, o->dim, dim))
        return true;
    ValueId v = o->from;
    for (const Node *n; !o->turns && (n = producer(g, v, OP_RESHAPE));) {
        v = n->in[0];
        if (has_dims(&g->value.at[v], rank, dim))
            o->from = v;
    }
    o->rank = rank;
    memcpy(o->dim, dim, (size_t)rank * sizeof *dim);
    return has_dims(&g->value.at[o->from], rank, dim) || dims_reachable(g, sizes, rank, dim);
}

/* ---- repeated heads ---- */

/* (B,G,T,d) of v (B,G*n,T,d) = reshape(expand(u (B,G,1,T,d))); -1: v is something else. */
static ValueId ungrouped(const Graph *g, const Operand *o)
{
    enum { HEADS = 1, TIMES = 2, RANK = 4 };
    const Node *reshape = o->turns || o->rank != RANK ? NULL : producer(g, o->from, OP_RESHAPE);
    const Node *expand = reshape ? producer(g, reshape->in[0], OP_EXPAND) : NULL;
    const NodeId wide = expand ? g->value.at[expand->in[0]].producer : -1;
    if (wide < 0 || !has_dims(&g->value.at[o->from], RANK, o->dim))
        return -1;
    const OpCode op = g->node.at[wide].op;
    const Value *e = &g->value.at[expand->out[0]], *u = &g->value.at[expand->in[0]];
    const ValueId from = g->node.at[wide].in[0];
    const Value *v = &g->value.at[from];
    int64_t one, groups, times, heads;
    if ((op != OP_UNSQUEEZE && op != OP_RESHAPE) || e->rank != RANK + 1 || u->rank != RANK + 1 ||
        v->rank != RANK || !expr_is_int(g->x, u->dim[TIMES], &one) || one != 1 ||
        !expr_is_int(g->x, v->dim[HEADS], &groups) || !expr_is_int(g->x, e->dim[TIMES], &times) ||
        !expr_is_int(g->x, o->dim[HEADS], &heads) || groups * times != heads)
        return -1;
    for (int k = 0; k < RANK; k++) {
        const int wider = k < TIMES ? k : k + 1;
        if (u->dim[wider] != v->dim[k] || e->dim[wider] != v->dim[k] ||
            (k != HEADS && o->dim[k] != v->dim[k]))
            return -1;
    }
    return from;
}

void operands_ungroup(const Graph *g, Operand *k, Operand *v)
{
    const ValueId keys = ungrouped(g, k), values = ungrouped(g, v);
    if (keys < 0 || values < 0 || g->value.at[keys].dim[1] != g->value.at[values].dim[1])
        return;
    *k = operand_of(g, keys, NULL);
    *v = operand_of(g, values, NULL);
}

/* ---- Einsum ---- */

static EinsumEquation equation_of(const Graph *g, NodeId einsum)
{
    const Node *n = &g->node.at[einsum];
    const int rank[2] = {g->value.at[n->in[0]].rank, g->value.at[n->in[1]].rank};
    return einsum_equation(g, einsum, 2, rank);
}

static int find_label(const EinsumTerm *t, int label)
{
    for (int k = 0; k < t->n; k++)
        if (t->label[k] == label)
            return k;
    return -1;
}

/* Puts the dims of o, which `term` names, into the order of `want`. False: it has others. */
static bool order_labels(Operand *o, const EinsumTerm *term, const EinsumTerm *want)
{
    int order[MAX_RANK];
    if (term->n != want->n || o->rank != want->n)
        return false;
    for (int k = 0; k < want->n; k++)
        if ((order[k] = find_label(term, want->label[k])) < 0)
            return false;
    operand_transpose(o, order);
    return true;
}

/* The label of `a` that the result lacks; -1: none, or several. */
static int summed_label(const EinsumTerm *a, const EinsumTerm *out)
{
    int label = -1, n = 0;
    for (int k = 0; k < a->n; k++)
        if (find_label(out, a->label[k]) < 0) {
            label = a->label[k];
            n++;
        }
    return n == 1 ? label : -1;
}

bool operands_of_scores(const Graph *g, NodeId einsum, Operand *q, Operand *k)
{
    const EinsumEquation e = equation_of(g, einsum);
    const int rank = e.out.n,
              keys = rank > 2 && find_label(&e.in[0], e.out.label[rank - 1]) >= 0 ? 0 : 1;
    const int size = rank > 2 ? summed_label(&e.in[0], &e.out) : -1;
    if (size < 0)
        return false;
    EinsumTerm want = e.out; /* (.., S, d) and (.., T, d) */
    want.label[rank - 1] = size;
    Operand query = keys == 0 ? *k : *q, key = keys == 0 ? *q : *k;
    if (!order_labels(&query, &e.in[1 - keys], &want))
        return false;
    want.label[rank - 2] = e.out.label[rank - 1];
    if (!order_labels(&key, &e.in[keys], &want))
        return false;
    *q = query;
    *k = key;
    return true;
}

bool operands_of_result(const Graph *g, NodeId einsum, bool weights_first, Operand *v, int *order)
{
    const EinsumEquation e = equation_of(g, einsum);
    const EinsumTerm *weights = &e.in[!weights_first], *values = &e.in[weights_first];
    const int rank = weights->n, size = summed_label(values, weights);
    if (rank < 3 || e.out.n != rank || size < 0 ||
        summed_label(weights, &e.out) != weights->label[rank - 1])
        return false;
    EinsumTerm want = *weights; /* (.., T, D), then (.., S, D) */
    want.label[rank - 2] = weights->label[rank - 1];
    want.label[rank - 1] = size;
    Operand o = *v;
    if (!order_labels(&o, values, &want))
        return false;
    want.label[rank - 2] = weights->label[rank - 2];
    for (int k = 0; k < rank; k++)
        if ((order[k] = find_label(&want, e.out.label[k])) < 0)
            return false;
    *v = o;
    return true;
}

/* ---- nodes ---- */

static ValueId insert(Graph *g, NodeId before, OpCode op, const char *what, int nin,
                      const ValueId *in)
{
    const NodeId n = insert_node(g, before, op, what, nin, in);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

static ValueId size_of(Graph *g, NodeId before, ValueId v, int at)
{
    const NodeId n = insert_node(g, before, OP_SHAPE, "size", 1, &v);
    node_set_int(g, n, "start", at);
    node_set_int(g, n, "end", at + 1);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

ValueId shape_of_dims(Graph *g, NodeId before, const char *what, const Sizes *sizes, int rank,
                      const Expr *dim)
{
    const char *name = arena_printf(g->ctx->arena, "%s_shape", what);
    int64_t shape[MAX_RANK];
    ValueId part[MAX_RANK];
    const bool parts = open_dims(g, rank, dim) > 1;
    for (int k = 0; k < rank; k++) {
        const bool known = expr_is_int(g->x, dim[k], &shape[k]);
        if (!known)
            shape[k] = -1;
        int at = 0;
        const ValueId from = parts && !known ? find_size(g, sizes, dim[k], &at) : -1;
        if (parts)
            part[k] =
                from >= 0 ? size_of(g, before, from, at) : graph_const_ints(g, name, 1, &shape[k]);
    }
    if (!parts)
        return graph_const_ints(g, name, rank, shape);
    const NodeId n = insert_node(g, before, OP_CONCAT, name, rank, part);
    node_set_int(g, n, "axis", 0);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

ValueId reshape_to(Graph *g, NodeId before, const char *what, ValueId v, const Sizes *sizes,
                   int rank, const Expr *dim)
{
    if (has_dims(&g->value.at[v], rank, dim))
        return v;
    const ValueId in[2] = {v, shape_of_dims(g, before, what, sizes, rank, dim)};
    return insert(g, before, OP_RESHAPE, what, 2, in);
}

ValueId operand_make(Graph *g, NodeId before, const char *what, const Operand *o,
                     const Sizes *sizes)
{
    ValueId v = o->from;
    if (o->turns) {
        const NodeId n = insert_node(g, before, OP_TRANSPOSE, "transpose", 1, &v);
        node_set_ints(g, n, "perm", g->value.at[v].rank, o->perm);
        op_infer_node(g, n);
        v = g->node.at[n].out[0];
    }
    return reshape_to(g, before, what, v, sizes, o->rank, o->dim);
}
