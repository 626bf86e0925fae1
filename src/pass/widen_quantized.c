/* widen_quantized: products of bytes become products of i16 without zero points.
 *
 *     y i32 = matmul_integer(a u8, b i8, za, zb)
 *                      ->   y = matmul_integer(i16(a) - i16(za), i16(b) - i16(zb))
 *
 * The same sums, bit for bit: a byte less a byte fits. What is done to weights is folded, what is done to activations becomes
 * the end of their producer's kernel, and what is left is a sum of plain products, which the templates tile and vector
 * instructions take two at a time (vpmaddwd; loop/intrinsic.h). The border of a convolution is the zero point, so 0 now.
 *
 * Left alone: depthwise convolutions, which are no products of matrices; zero points by rows of a vector's length, and of a
 * convolution's weights by channels, unless all are 0; 8-bit floats; and bytes without zero points that an instruction of the
 * target multiplies as they are. */
#include "loop/intrinsic.h"
#include "op/op.h"
#include "pass/edit.h"
#include "pass/known.h"

/* Inputs of the ops that this is about. */
typedef struct Places {
    int a, b, a_zero, b_zero;
    bool conv, needs_zeros;
} Places;

static bool places_of(OpCode op, Places *p)
{
    switch (op) {
    case OP_MATMUL_INTEGER: *p = (Places){0, 1, 2, 3, false, false}; return true;
    case OP_CONV_INTEGER: *p = (Places){0, 1, 2, 3, true, false}; return true;
    case OP_QLINEAR_MATMUL: *p = (Places){0, 3, 2, 5, false, true}; return true;
    case OP_QLINEAR_CONV: *p = (Places){0, 3, 2, 5, true, true}; return true;
    default: return false;
    }
}

static ValueId input(const Node *n, int k)
{
    return k < n->nin ? n->in[k] : -1;
}

static bool is_zero(const Graph *g, ValueId v)
{
    double number;
    return v < 0 || (known_uniform(g, v, &number) && number == 0);
}

static bool is_single(const Graph *g, ValueId v)
{
    const Value *z = &g->value.at[v];
    int64_t one;
    return z->rank == 0 || (z->rank == 1 && expr_is_int(g->x, z->dim[0], &one) && one == 1);
}

static bool is_bytes(const Graph *g, ValueId v)
{
    const DType t = g->value.at[v].dtype;
    return t == DT_I8 || t == DT_U8;
}

static bool is_depthwise(const Graph *g, const Node *n, const Places *p)
{
    int64_t channels;
    return p->conv && node_int(n, "group", 1) > 1 &&
           (!expr_is_int(g->x, g->value.at[n->in[p->b]].dim[1], &channels) || channels == 1);
}

static bool multiplies(const Graph *g, const Target *t, ValueId a, ValueId b)
{
    const DType ta = g->value.at[a].dtype, tb = g->value.at[b].dtype;
    bool swap;
    return intrinsic_find(t, ta, tb, DT_I32, &swap) >= 0 || intrinsic_find_tile(t, ta, tb, DT_I32) >= 0;
}

static bool fits(const Graph *g, const Node *n, const Target *t, Places *p)
{
    if (n->home != 0 || !places_of(n->op, p) || !is_bytes(g, n->in[p->a]) || !is_bytes(g, n->in[p->b]) ||
        is_depthwise(g, n, p)) {
        return false;
    }
    const ValueId za = input(n, p->a_zero), zb = input(n, p->b_zero);
    if (is_zero(g, za) && is_zero(g, zb) && multiplies(g, t, n->in[p->a], n->in[p->b])) {
        return false;
    }
    const bool a_fits = is_zero(g, za) || is_single(g, za) || (!p->conv && g->value.at[za].rank > 1);
    const bool b_fits = is_zero(g, zb) || is_single(g, zb) || (!p->conv && g->value.at[n->in[p->b]].rank > 1);
    return a_fits && b_fits;
}

typedef struct Widened {
    ValueId of, zero, value;
} Widened;

typedef struct Widen {
    Graph *g;
    VEC(Widened) done;
} Widen;

static ValueId insert(Graph *g, NodeId before, OpCode op, const char *what, int n, const ValueId *in)
{
    const NodeId id = insert_node(g, before, op, what, n, in);
    if (op == OP_CAST) {
        node_set_int(g, id, "to", DT_I16);
    }
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* v less its zero point, as i16: made in front of its first reader. */
static ValueId widened(Widen *w, NodeId before, ValueId v, ValueId zero)
{
    Graph *g = w->g;
    zero = is_zero(g, zero) ? -1 : zero;
    for (int k = 0; k < w->done.len; k++) {
        if (w->done.at[k].of == v && w->done.at[k].zero == zero) {
            return w->done.at[k].value;
        }
    }
    ValueId made = insert(g, before, OP_CAST, "i16", 1, &v);
    if (zero >= 0) {
        const ValueId pair[2] = {made, insert(g, before, OP_CAST, "zero", 1, &zero)};
        made = insert(g, before, OP_SUB, "centred", 2, pair);
    }
    vec_push(g->ctx->arena, &w->done, ((Widened){v, zero, made}));
    return made;
}

static void rewrite(Widen *w, NodeId id, const Places *p)
{
    Graph *g = w->g;
    const Node *n = &g->node.at[id];
    const ValueId za = input(n, p->a_zero), zb = input(n, p->b_zero);
    const ValueId va = n->in[p->a], vb = n->in[p->b];
    const ValueId a = widened(w, id, va, za), b = widened(w, id, vb, zb);
    const ValueId none = p->needs_zeros ? graph_const_scalar(g, "no_zero_point", DT_I16, 0) : -1;
    Node *changed = &g->node.at[id];
    changed->in[p->a] = a;
    changed->in[p->b] = b;
    const int zeros[2] = {p->a_zero, p->b_zero};
    for (int k = 0; k < 2; k++) {
        if (zeros[k] < changed->nin) {
            changed->in[zeros[k]] = none;
        }
    }
    op_infer_node(g, id);
}

Graph *pass_widen_quantized(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    Widen w = {.g = g};
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        Places p;
        if (!fits(g, &g->node.at[id], &opt->target, &p)) {
            continue;
        }
        rewrite(&w, id, &p);
        while (b->node.at[i] != id) {
            i++; /* over what is in front of it now */
        }
        ++*count;
    }
    return g;
}
