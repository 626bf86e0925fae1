/* See quantized.h. */
#include "pass/quantized.h"

#include "loop/intrinsic.h"
#include "op/op.h"
#include "pass/edit.h"
#include "pass/known.h"

static bool places_of(OpCode op, Quantized *q)
{
    switch (op) {
    case OP_MATMUL_INTEGER: *q = (Quantized){0, 1, 2, 3, -1, false, false}; return true;
    case OP_CONV_INTEGER: *q = (Quantized){0, 1, 2, 3, -1, true, false}; return true;
    case OP_QLINEAR_MATMUL: *q = (Quantized){0, 3, 2, 5, 8, false, true}; return true;
    case OP_QLINEAR_CONV: *q = (Quantized){0, 3, 2, 5, 8, true, true}; return true;
    default: return false;
    }
}

static bool is_bytes(const Graph *g, ValueId v)
{
    const DType t = g->value.at[v].dtype;
    return t == DT_I8 || t == DT_U8;
}

static bool is_depthwise(const Graph *g, const Node *n, const Quantized *q)
{
    int64_t channels;
    return q->conv && node_int(n, "group", 1) > 1 &&
           (!expr_is_int(g->x, g->value.at[n->in[q->b]].dim[1], &channels) || channels == 1);
}

bool quantized_product(const Graph *g, const Node *n, Quantized *q)
{
    return n->home == 0 && places_of(n->op, q) && is_bytes(g, n->in[q->a]) &&
           is_bytes(g, n->in[q->b]) && !is_depthwise(g, n, q);
}

ValueId quantized_input(const Node *n, int k)
{
    return k >= 0 && k < n->nin ? n->in[k] : -1;
}

bool zero_point_is_zero(const Graph *g, ValueId v)
{
    double number;
    return v < 0 || (known_uniform(g, v, &number) && number == 0);
}

bool zero_point_is_single(const Graph *g, ValueId v)
{
    const Value *z = &g->value.at[v];
    int64_t one;
    return z->rank == 0 || (z->rank == 1 && expr_is_int(g->x, z->dim[0], &one) && one == 1);
}

bool target_multiplies(const Target *t, DType a, DType b)
{
    bool swap;
    return intrinsic_find(t, a, b, DT_I32, &swap) >= 0 || intrinsic_find_tile(t, a, b, DT_I32) >= 0;
}

ValueId insert_inferred(Graph *g, NodeId before, OpCode op, const char *what, DType to, int n,
                        const ValueId *in)
{
    const NodeId id = insert_node(g, before, op, what, n, in);
    if (op == OP_CAST) {
        node_set_int(g, id, "to", to);
    }
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}
