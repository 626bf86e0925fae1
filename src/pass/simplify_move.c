/* Rules of simplify on what moves, converts and chooses elements. */
#include "pass/simplify.h"

bool rule_one_input(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    return g->node.at[n].nin == 1 && drop_node(g, n, input(g, n, 0));
}

bool rule_one_output(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    return drop_node(g, n, input(g, n, 0));
}

bool rule_same_shape(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    return drop_node(g, n, input(g, n, 0));
}

bool rule_uniform(Graph *g, NodeId n, const Rule *r)
{
    double c;
    return known_uniform(g, input(g, n, 1), &c) && c == r->number &&
           drop_node(g, n, input(g, n, 0));
}

/* ---- transpose ---- */

static int permutation(const Graph *g, const Node *n, int64_t *perm)
{
    const int rank = g->value.at[n->in[0]].rank;
    const int64_t *given;
    const bool there = node_ints(n, "perm", &given) == rank;
    for (int k = 0; k < rank; k++) {
        perm[k] = there ? given[k] : rank - 1 - k;
    }
    return rank;
}

static bool in_order(int rank, const int64_t *perm)
{
    bool same = true;
    for (int k = 0; k < rank; k++) {
        same &= perm[k] == k;
    }
    return same;
}

bool rule_in_order(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    int64_t perm[MAX_RANK];
    const int rank = permutation(g, &g->node.at[n], perm);
    return in_order(rank, perm) && drop_node(g, n, input(g, n, 0));
}

/* Axis k of the result is axis p[k] of what the inner one made, and that is axis q[p[k]] of x. */
bool rule_transpose_twice(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *m = maker_is(g, n, 0, OP_TRANSPOSE);
    if (!m) {
        return false;
    }
    int64_t p[MAX_RANK], q[MAX_RANK];
    const int rank = permutation(g, &g->node.at[n], p);
    permutation(g, m, q);
    for (int k = 0; k < rank; k++) {
        p[k] = q[p[k]];
    }
    change_node(g, n, OP_TRANSPOSE, 1, &m->in[0]);
    node_set_ints(g, n, "perm", rank, p);
    return true;
}

/* ---- reshape ---- */

static const Node *reshaped(const Graph *g, NodeId n)
{
    static const OpCode like[] = {OP_RESHAPE, OP_FLATTEN, OP_SQUEEZE, OP_UNSQUEEZE};
    const Node *m = NULL;
    for (int k = 0; k < 4 && !m; k++) {
        m = maker_is(g, n, 0, like[k]);
    }
    return m;
}

/* The result's shape as Reshape wants it: numbers, at most one dim left to it (-1). No zeros, which
 * mean other things there, and which leave a -1 open. */
static bool shape_numbers(const Graph *g, ValueId id, int unknowns, int64_t *dim)
{
    const Value *v = &g->value.at[id];
    for (int k = 0; k < v->rank; k++) {
        if (!expr_is_int(g->x, v->dim[k], &dim[k])) {
            dim[k] = -1;
            unknowns--;
        } else if (dim[k] == 0) {
            return false;
        }
    }
    return unknowns >= 0;
}

/* Does this Reshape say the same of any input with as many elements? Not with a zero in its shape,
 * which copies a dim of the input. */
static bool shape_of_its_own(const Graph *g, const Node *n)
{
    if (n->op != OP_RESHAPE || !g->value.at[n->in[1]].elems) {
        return false;
    }
    const Value *shape = &g->value.at[n->in[1]];
    bool own = true;
    for (int k = 0; k < shape->nelems; k++) {
        int64_t dim;
        own &= expr_is_int(g->x, shape->elems[k], &dim) ? dim != 0
                                                        : expr_low(g->x, shape->elems[k]) > 0;
    }
    return own;
}

bool rule_reshape_back(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *m = reshaped(g, n);
    return m && drop_node(g, n, m->in[0]);
}

bool rule_reshape_twice(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *m = reshaped(g, n);
    int64_t dim[MAX_RANK];
    if (!m) {
        return false;
    }
    const ValueId x = m->in[0];
    if (shape_of_its_own(g, &g->node.at[n])) {
        change_node(g, n, OP_RESHAPE, 2, (const ValueId[]){x, input(g, n, 1)});
        return true;
    }
    if (!shape_numbers(g, result(g, n), 1, dim)) {
        return false;
    }
    const ValueId shape = graph_const_ints(g, "shape", g->value.at[result(g, n)].rank, dim);
    change_node(g, n, OP_RESHAPE, 2, (const ValueId[]){x, shape});
    return true;
}

/* The order of dims that are not 1 stays. */
bool rule_transpose_of_ones(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    int64_t perm[MAX_RANK], dim[MAX_RANK], last = -1;
    const ValueId x = input(g, n, 0);
    const int rank = permutation(g, &g->node.at[n], perm);
    for (int k = 0; k < rank; k++) {
        int64_t one;
        if (expr_is_int(g->x, g->value.at[x].dim[perm[k]], &one) && one == 1) {
            continue;
        }
        if (perm[k] < last) {
            return false;
        }
        last = perm[k];
    }
    if (!shape_numbers(g, result(g, n), 1, dim)) {
        return false;
    }
    change_node(g, n, OP_RESHAPE, 2, (const ValueId[]){x, graph_const_ints(g, "shape", rank, dim)});
    return true;
}

bool rule_expand_twice(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *m = maker_is(g, n, 0, OP_EXPAND);
    int64_t dim[MAX_RANK];
    if (!m || !shape_numbers(g, result(g, n), 0, dim)) {
        return false;
    }
    const ValueId x = m->in[0];
    const ValueId shape = graph_const_ints(g, "shape", g->value.at[result(g, n)].rank, dim);
    change_node(g, n, OP_EXPAND, 2, (const ValueId[]){x, shape});
    return true;
}

/* ---- cast ---- */

static int mantissa_bits(DType t)
{
    return t == DT_F64 ? 53 : t == DT_F32 ? 24 : t == DT_F16 ? 11 : t == DT_BF16 ? 8 : 0;
}

/* Is every number of type `t` one of type `wide`? */
static bool holds(DType wide, DType t)
{
    const int bits = dtype_bits(t), sign = dtype_is_signed(t) ? 1 : 0;
    if (dtype_is_float(t)) {
        return t == wide || wide == DT_F64 || (wide == DT_F32 && t != DT_F64);
    }
    if (dtype_is_float(wide)) {
        return (t == DT_BOOL ? 1 : bits - sign) <= mantissa_bits(wide);
    }
    if (!dtype_is_int(wide)) {
        return wide == t;
    }
    if (t == DT_BOOL) {
        return true;
    }
    return dtype_is_signed(wide) == (sign == 1) ? dtype_bits(wide) >= bits
                                                : sign == 0 && dtype_bits(wide) > bits;
}

/* Is from -> by -> to the same as from -> to? `by` must hold every number of `from`. Then floats
 * become anything alike, and so do integers by way of integers, all of which wrap; but by way of
 * floats they saturate, and may be rounded twice. */
static bool is_detour(DType from, DType by, DType to)
{
    if (!holds(by, from)) {
        return false;
    }
    if (dtype_is_float(from) || !dtype_is_float(by)) {
        return true;
    }
    return holds(to, from) || to == DT_BOOL || to == DT_F32 || to == DT_F64;
}

bool rule_cast_twice(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *m = maker_is(g, n, 0, OP_CAST);
    if (!m || !is_detour(g->value.at[m->in[0]].dtype, g->value.at[m->out[0]].dtype,
                         g->value.at[result(g, n)].dtype)) {
        return false;
    }
    g->node.at[n].in[0] = m->in[0];
    return true;
}

/* ---- concat ---- */

static int64_t axis_of(const Graph *g, const Node *n, int64_t missing)
{
    const int64_t axis = node_int(n, "axis", missing);
    return axis < 0 ? axis + g->value.at[n->in[0]].rank : axis;
}

/* The split whose results, all and in order, are inputs k.. of the concat along the same axis. */
static const Node *split_at(const Graph *g, NodeId id, int k)
{
    const Node *n = &g->node.at[id], *m = maker_is(g, id, k, OP_SPLIT);
    bool all = m && n->nin - k >= m->nout && axis_of(g, m, 0) == axis_of(g, n, 1);
    for (int i = 0; all && i < m->nout; i++) {
        all = n->in[k + i] == m->out[i];
    }
    return all ? m : NULL;
}

bool rule_concat_of_split(Graph *g, NodeId id, const Rule *r)
{
    (void)r;
    Node *n = &g->node.at[id];
    for (int k = 0; k < n->nin; k++) {
        const Node *m = split_at(g, id, k);
        if (!m) {
            continue;
        }
        n->in[k] = m->in[0];
        for (int i = k + 1; i + m->nout - 1 < n->nin; i++) {
            n->in[i] = n->in[i + m->nout - 1];
        }
        n->nin -= m->nout - 1;
        return true;
    }
    return false;
}

/* ---- slice, where ---- */

/* With steps of 1, as many elements as there are can only be all of them, in order. */
bool rule_slice_all(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const ValueId steps = input(g, n, 4);
    double step = 1;
    return (steps < 0 || (known_uniform(g, steps, &step) && step == 1)) &&
           drop_node(g, n, input(g, n, 0));
}

bool rule_where_known(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    double c;
    return known_uniform(g, input(g, n, 0), &c) && drop_node(g, n, input(g, n, c != 0 ? 1 : 2));
}

bool rule_where_same(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    return input(g, n, 1) == input(g, n, 2) && drop_node(g, n, input(g, n, 1));
}
