/* widen_quantized: products of bytes become products of i16 without zero points.
 *
 *     y i32 = matmul_integer(a u8, b i8, za, zb)
 *                      ->   y = matmul_integer(i16(a) - i16(za), i16(b) - i16(zb))
 *
 * The same sums, bit for bit: a byte less a byte fits. What is done to weights is folded, what is
 * done to activations becomes the end of their producer's kernel, and what is left is a sum of
 * plain products, which the templates tile and vector instructions take two at a time (vpmaddwd;
 * loop/intrinsic.h). The border of a convolution is the zero point, so 0 now.
 *
 * Left alone: depthwise convolutions, which are no products of matrices; zero points by rows of
 * a vector's length, and of a convolution's weights by channels, unless all are 0; 8-bit floats;
 * and bytes without zero points that an instruction of the target multiplies as they are
 * (fold_zero_points takes those away that it can). */
#include "op/op.h"
#include "pass/edit.h"
#include "pass/quantized.h"

static bool fits(const Graph *g, const Node *n, const Target *t, Quantized *q)
{
    if (!quantized_product(g, n, q)) {
        return false;
    }
    const ValueId za = quantized_input(n, q->a_zero), zb = quantized_input(n, q->b_zero);
    const bool a_none = zero_point_is_zero(g, za), b_none = zero_point_is_zero(g, zb);
    if (a_none && b_none &&
        target_multiplies(t, g->value.at[n->in[q->a]].dtype, g->value.at[n->in[q->b]].dtype)) {
        return false;
    }
    return (a_none || zero_point_is_single(g, za) || (!q->conv && g->value.at[za].rank > 1)) &&
           (b_none || zero_point_is_single(g, zb) ||
            (!q->conv && g->value.at[n->in[q->b]].rank > 1));
}

typedef struct Widened {
    ValueId of, zero, value;
} Widened;

typedef struct Widen {
    Graph *g;
    VEC(Widened) done;
} Widen;

/* v less its zero point, as i16: made in front of its first reader. */
static ValueId widened(Widen *w, NodeId before, ValueId v, ValueId zero)
{
    Graph *g = w->g;
    zero = zero_point_is_zero(g, zero) ? -1 : zero;
    for (int k = 0; k < w->done.len; k++) {
        if (w->done.at[k].of == v && w->done.at[k].zero == zero) {
            return w->done.at[k].value;
        }
    }
    ValueId made = insert_inferred(g, before, OP_CAST, "i16", DT_I16, 1, &v);
    if (zero >= 0) {
        const ValueId pair[2] = {made,
                                 insert_inferred(g, before, OP_CAST, "zero", DT_I16, 1, &zero)};
        made = insert_inferred(g, before, OP_SUB, "centred", DT_NONE, 2, pair);
    }
    vec_push(g->ctx->arena, &w->done, ((Widened){v, zero, made}));
    return made;
}

static void rewrite(Widen *w, NodeId id, const Quantized *q)
{
    Graph *g = w->g;
    const Node *n = &g->node.at[id];
    const ValueId za = quantized_input(n, q->a_zero), zb = quantized_input(n, q->b_zero);
    const ValueId va = n->in[q->a], vb = n->in[q->b];
    const ValueId a = widened(w, id, va, za), b = widened(w, id, vb, zb);
    const ValueId none = q->needs_zeros ? graph_const_scalar(g, "no_zero_point", DT_I16, 0) : -1;
    Node *changed = &g->node.at[id];
    changed->in[q->a] = a;
    changed->in[q->b] = b;
    const int zeros[2] = {q->a_zero, q->b_zero};
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
        Quantized q;
        if (!fits(g, &g->node.at[id], &opt->target, &q)) {
            continue;
        }
        rewrite(&w, id, &q);
        while (b->node.at[i] != id) {
            i++; /* over what is in front of it now */
        }
        ++*count;
    }
    return g;
}
