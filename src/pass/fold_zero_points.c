/* fold_zero_points: bytes are multiplied as they are; what their zero point adds to each sum is
 * taken off afterwards.
 *
 *     y i32 = matmul_integer(a u8, b i8, za)      ->   y = matmul_integer(a, b) - za * reduce_sum(b over the sum's axis)
 *     y u8 = qlinear_conv(a, .., za, w, .., bias) ->   y = qlinear_conv(a, .., w, .., bias - za * reduce_sum(w)) border=za
 *
 * The same sums, bit for bit, also where they wrap. b is constant and without zero points, so its
 * sums are folded, and with a constant za all that is left is a bias. The border of a convolution
 * is za (attribute border of op/conv.c), as the sums take all of b off everywhere. QLinearMatMul
 * gets a bias as input 8, which ONNX does not know: op/matmul.c asks for attribute folded beside
 * it.
 *
 * For targets that multiply bytes, on vectors or tiles; where vectors want one factor unsigned,
 * a i8 becomes u8 by adding 128 to it and to za. The rest is widen_quantized's. */
#include "loop/intrinsic.h"
#include "op/op.h"
#include "pass/edit.h"
#include "pass/known.h"
#include "pass/quantized.h"

typedef struct Fold {
    Quantized q;
    bool shift;   /* a is to be made u8 */
    double border; /* of convolutions: a's zero point, after that */
} Fold;

typedef struct Shifted {
    ValueId of, value;
} Shifted;

typedef struct Folding {
    Graph *g;
    const Target *t;
    VEC(Shifted) done;
} Folding;

static bool vectors_multiply(const Target *t, DType a, DType b)
{
    bool swap;
    return intrinsic_find(t, a, b, DT_I32, &swap) >= 0;
}

static bool fits(const Graph *g, const Node *n, const Target *t, Fold *f)
{
    if (!quantized_product(g, n, &f->q)) {
        return false;
    }
    const ValueId a = n->in[f->q.a], b = n->in[f->q.b], za = quantized_input(n, f->q.a_zero);
    const DType ta = g->value.at[a].dtype, tb = g->value.at[b].dtype;
    f->shift = ta == DT_I8 && !vectors_multiply(t, ta, tb) && vectors_multiply(t, DT_U8, tb);
    f->border = 0;
    const bool none = zero_point_is_zero(g, za);
    if (!(f->shift || (target_multiplies(t, ta, tb) && !none)) || !is_constant_term(g, b) ||
        is_constant_term(g, a) || !zero_point_is_zero(g, quantized_input(n, f->q.b_zero)) ||
        (za >= 0 && !zero_point_is_single(g, za)) || g->value.at[b].rank < 2 ||
        (f->q.conv && za >= 0 && !known_uniform(g, za, &f->border))) {
        return false;
    }
    f->border += f->shift ? 128 : 0;
    return true;
}

static ValueId cast_to(Graph *g, NodeId before, const char *what, DType to, ValueId v)
{
    return insert_inferred(g, before, OP_CAST, what, to, 1, &v);
}

static ValueId combine(Graph *g, NodeId before, OpCode op, const char *what, ValueId a, ValueId b)
{
    return insert_inferred(g, before, op, what, DT_NONE, 2, (const ValueId[]){a, b});
}

/* a + 128 as u8. */
static ValueId shifted(Folding *w, NodeId before, ValueId a)
{
    Graph *g = w->g;
    for (int k = 0; k < w->done.len; k++) {
        if (w->done.at[k].of == a) {
            return w->done.at[k].value;
        }
    }
    const ValueId half = graph_const_scalar(g, "half", DT_I16, 128);
    const ValueId sum =
        combine(g, before, OP_ADD, "sum", cast_to(g, before, "i16", DT_I16, a), half);
    const ValueId made = cast_to(g, before, "unsigned", DT_U8, sum);
    vec_push(g->ctx->arena, &w->done, ((Shifted){a, made}));
    return made;
}

/* -za * the sums of b, i32: (.., 1, N), or (K) of a convolution. */
static ValueId correction(Graph *g, NodeId id, const Fold *f)
{
    const Node *n = &g->node.at[id];
    const ValueId za = quantized_input(n, f->q.a_zero), b = n->in[f->q.b];
    const int rank = g->value.at[b].rank;
    int64_t axes[MAX_RANK] = {rank - 2};
    for (int k = 1; k < rank && f->q.conv; k++) {
        axes[k - 1] = k;
    }
    const ValueId in[2] = {cast_to(g, id, "i32", DT_I32, b),
                           graph_const_ints(g, "axes", f->q.conv ? rank - 1 : 1, axes)};
    const NodeId sum = insert_node(g, id, OP_REDUCE_SUM, "sums", 2, in);
    node_set_int(g, sum, "keepdims", !f->q.conv);
    op_infer_node(g, sum);
    ValueId zero = graph_const_scalar(g, "shift", DT_I32, f->shift ? -128 : 0);
    if (za >= 0) {
        zero = combine(g, id, OP_SUB, "less", zero, cast_to(g, id, "zero", DT_I32, za));
    }
    return combine(g, id, OP_MUL, "correction", g->node.at[sum].out[0], zero);
}

/* (K) against the sums of a convolution, (N, K, ..). */
static ValueId beside_channels(Graph *g, NodeId id, ValueId v, int spatial)
{
    int64_t shape[MAX_RANK];
    for (int k = 0; k <= spatial; k++) {
        shape[k] = k == 0 ? -1 : 1;
    }
    return combine(g, id, OP_RESHAPE, "channels", v,
                   graph_const_ints(g, "shape", 1 + spatial, shape));
}

/* The product without zero points, in front of n, which adds the correction. */
static void add_behind(Graph *g, NodeId id, const Fold *f, ValueId correction)
{
    const NodeId product =
        insert_node(g, id, g->node.at[id].op, "bytes", g->node.at[id].nin, g->node.at[id].in);
    const Node n = g->node.at[id];
    for (int k = 0; k < n.nattr; k++) {
        node_set_attr(g, product, n.attr[k]);
    }
    op_infer_node(g, product);
    const ValueId y = g->node.at[product].out[0];
    if (f->q.conv) {
        correction = beside_channels(g, id, correction, g->value.at[y].rank - 2);
    }
    change_node(g, id, OP_ADD, 2, (const ValueId[]){y, correction});
    op_infer_node(g, id);
}

static void set_bias(Graph *g, NodeId id, int k, ValueId correction)
{
    const ValueId bias = quantized_input(&g->node.at[id], k);
    if (bias >= 0) {
        correction = combine(g, id, OP_ADD, "bias", bias, correction);
    }
    Node *n = &g->node.at[id];
    ValueId *in = arena_array_of(g->ctx->arena, k + 1, ValueId);
    for (int i = 0; i < k; i++) {
        in[i] = n->in[i];
    }
    in[k] = correction;
    n->in = in;
    n->nin = k + 1;
}

static void rewrite(Folding *w, NodeId id, const Fold *f)
{
    Graph *g = w->g;
    const ValueId fix = correction(g, id, f);
    const ValueId a =
        f->shift ? shifted(w, id, g->node.at[id].in[f->q.a]) : g->node.at[id].in[f->q.a];
    const ValueId none =
        f->q.needs_zeros ? graph_const_scalar(g, "no_zero_point", g->value.at[a].dtype, 0) : -1;
    g->node.at[id].in[f->q.a] = a;
    if (f->q.a_zero < g->node.at[id].nin) {
        g->node.at[id].in[f->q.a_zero] = none;
    }
    if (f->q.conv && f->border != 0) {
        node_set_int(g, id, "border", (int64_t)f->border);
    }
    if (f->q.bias < 0) {
        add_behind(g, id, f, fix);
        return;
    }
    set_bias(g, id, f->q.bias, fix);
    if (!f->q.conv) {
        node_set_int(g, id, "folded", 1);
    }
    op_infer_node(g, id);
}

Graph *pass_fold_zero_points(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    Folding w = {.g = g, .t = &opt->target};
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        Fold f;
        if (!fits(g, &g->node.at[id], w.t, &f)) {
            continue;
        }
        rewrite(&w, id, &f);
        while (b->node.at[i] != id) {
            i++; /* over what is in front of it now */
        }
        ++*count;
    }
    return g;
}
