/* Affine nodes and terms that go into their weights. See affine.h. */
#include "pass/affine.h"

#include <string.h>

#include "op/op.h"

/* ---- what a node is ---- */

static bool known_dim(const Graph *g, ValueId v, int axis, int64_t *n)
{
    return axis < g->value.at[v].rank && expr_is_int(g->x, g->value.at[v].dim[axis], n);
}

static bool pads_zeros(const Node *n)
{
    const int64_t *pads;
    const char *automatic = node_string(n, "auto_pad", "NOTSET");
    bool any = strncmp(automatic, "SAME", 4) == 0;
    for (int k = node_ints(n, "pads", &pads) - 1; k >= 0; k--) {
        any |= pads[k] != 0;
    }
    return any;
}

bool affine_of(const Graph *g, NodeId id, Affine *l)
{
    const Node *n = &g->node.at[id];
    if (n->home < 0 || n->nin < 2 || n->in[1] < 0 || n->nout != 1) {
        return false;
    }
    *l = (Affine){
        .node = id,
        .x = n->in[0],
        .y = n->out[0],
        .weights = n->in[1],
        .bias = n->nin > 2 ? n->in[2] : -1,
        .groups = 1,
    };
    const Value *x = &g->value.at[l->x], *w = &g->value.at[l->weights], *y = &g->value.at[l->y];
    if (n->op == OP_CONV || n->op == OP_CONV_TRANSPOSE) {
        l->groups = node_int(n, "group", 1);
        l->takes_bias = true;
        l->in_axis = n->op == OP_CONV;
        l->out_axis = n->op != OP_CONV;
        l->pads = n->op != OP_CONV || pads_zeros(n);
        l->x_channels = l->y_channels = 1;
    } else if (n->op == OP_GEMM && !node_int(n, "transA", 0)) {
        l->takes_bias = node_float(n, "beta", 1) == 1;
        l->out_axis = node_int(n, "transB", 0) ? 0 : 1;
        l->in_axis = 1 - l->out_axis;
        l->x_channels = l->y_channels = 1;
    } else if (n->op == OP_MATMUL && w->rank >= 2 && x->rank >= w->rank) {
        l->out_axis = w->rank - 1;
        l->in_axis = w->rank - 2;
        l->x_channels = x->rank - 1;
        l->y_channels = y->rank - 1;
    } else {
        return false;
    }
    int64_t unused;
    for (int k = 0; k < w->rank; k++) {
        if (!known_dim(g, l->weights, k, &unused)) {
            return false;
        }
    }
    return (y->dtype == DT_F32 || y->dtype == DT_F64) &&
           known_dim(g, l->x, l->x_channels, &l->nx) && known_dim(g, l->y, l->y_channels, &l->ny) &&
           is_constant_term(g, l->weights) && (l->bias < 0 || is_constant_term(g, l->bias));
}

/* ---- terms ---- */

ValueId term_node(Graph *g, NodeId before, OpCode op, const char *what, int nin, const ValueId *in)
{
    const NodeId n = insert_node(g, before, op, what, nin, in);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

ValueId term_pair(Graph *g, NodeId before, OpCode op, const char *what, ValueId a, ValueId b)
{
    return term_node(g, before, op, what, 2, (const ValueId[]){a, b});
}

bool is_term_of_channels(const Graph *g, ValueId v, int rank, int axis, int64_t n)
{
    const Value *c = &g->value.at[v];
    bool fits = c->rank <= rank && is_constant_term(g, v);
    for (int k = 0; fits && k < c->rank; k++) {
        int64_t dim = 0;
        fits = known_dim(g, v, k, &dim) && (dim == 1 || (dim == n && k + rank - c->rank == axis));
    }
    return fits;
}

static ValueId reshaped(Graph *g, NodeId before, ValueId v, int rank, const int64_t *shape)
{
    const ValueId to = graph_const_ints(g, "term_shape", rank, shape);
    return term_pair(g, before, OP_RESHAPE, "term_wide", v, to);
}

ValueId term_of_channels(Graph *g, NodeId before, ValueId v, int rank, int axis, int64_t n)
{
    const int64_t all = -1;
    if (!is_term_of_channels(g, v, rank, axis, n)) {
        return -1;
    }
    return g->value.at[v].rank == 1 ? v : reshaped(g, before, v, 1, &all);
}

/* ---- weights ---- */

/* Along `axis` of the weights. Axis 1 of a grouped convolution:
 *     w (G*A, B, R, S) -> (G, A, B, R, S) * c (G, 1, B, 1, 1) -> (G*A, B, R, S) */
static ValueId scale(Graph *g, NodeId before, const Affine *l, int axis, OpCode op, ValueId c)
{
    const Value *w = &g->value.at[l->weights];
    const int rank = w->rank;
    int64_t one, dims[MAX_RANK], wide[MAX_RANK], shape[MAX_RANK];
    if (expr_is_int(g->x, g->value.at[c].dim[0], &one) && one == 1) {
        return term_pair(g, before, op, "weights", l->weights, c);
    }
    for (int k = 0; k < rank; k++) {
        known_dim(g, l->weights, k, &dims[k]);
        shape[k] = k == axis ? -1 : 1;
    }
    if (l->groups == 1 || axis == 0) {
        return term_pair(g, before, op, "weights", l->weights, reshaped(g, before, c, rank, shape));
    }
    wide[0] = l->groups;
    wide[1] = dims[0] / l->groups;
    shape[0] = l->groups;
    shape[1] = 1;
    for (int k = 1; k < rank; k++) {
        wide[k + 1] = dims[k];
        shape[k + 1] = k == 1 ? dims[1] : 1;
    }
    const ValueId groups = reshaped(g, before, l->weights, rank + 1, wide);
    const ValueId factor = reshaped(g, before, c, rank + 1, shape);
    return reshaped(g, before, term_pair(g, before, op, "weights", groups, factor), rank, dims);
}

ValueId affine_scale_in(Graph *g, NodeId before, const Affine *l, OpCode op, ValueId c)
{
    return scale(g, before, l, l->in_axis, op, c);
}

ValueId affine_scale_out(Graph *g, NodeId before, const Affine *l, OpCode op, ValueId c)
{
    return scale(g, before, l, l->out_axis, op, c);
}

void affine_become(Graph *g, NodeId id, const Affine *l, ValueId weights, ValueId bias)
{
    const Node from = g->node.at[l->node];
    Node *n = &g->node.at[id];
    const int nin = bias < 0 ? 2 : 3;
    ValueId *in = arena_array_of(g->ctx->arena, 3, ValueId);
    in[0] = l->x;
    in[1] = weights;
    in[2] = bias;
    n->op = from.op;
    n->name = from.name;
    n->attr = from.attr;
    n->nattr = from.nattr;
    n->in = in;
    n->nin = nin;
    if (l->node != id) {
        block_remove(g, l->node);
    }
}
