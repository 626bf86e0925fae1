/* fold_batch_norm: a normalisation behind a convolution becomes part of its weights and bias.
 *
 *     y = conv(x, w, b); z = batch_normalization(y, scale, shift, mean, var)
 *     ->  f = scale / sqrt(var + eps);  z = conv(x, w * f, (b - mean) * f + shift)
 *
 * The same behind ConvTranspose and Gemm. Requires that w, b and the statistics depend on constants
 * alone and that y has no other use. The convolution moves to where the normalisation was, under
 * whose name its result goes. */
#include "pass/affine.h"

static bool foldable(const Graph *g, const Node *bn, const int *uses, Affine *l)
{
    if (bn->op != OP_BATCH_NORMALIZATION || bn->home < 0 || uses[bn->in[0]] != 1) {
        return false;
    }
    const NodeId p = g->value.at[bn->in[0]].producer;
    if (p < 0 || g->node.at[p].home != bn->home || !affine_of(g, p, l) || !l->takes_bias) {
        return false;
    }
    for (int k = 1; k < 5; k++) {
        if (!is_constant_term(g, bn->in[k])) {
            return false;
        }
    }
    return g->value.at[l->y].dtype == DT_F32;
}

static void fold(Graph *g, NodeId id, const Affine *l)
{
    const Node bn = g->node.at[id];
    const double eps = node_float(&bn, "epsilon", 1e-5);
    const ValueId e = graph_const_scalar(g, "bn_epsilon", DT_F32, eps);
    const ValueId var = term_pair(g, id, OP_ADD, "bn_var", bn.in[4], e);
    const ValueId root = term_node(g, id, OP_SQRT, "bn_root", 1, &var);
    const ValueId factor = term_pair(g, id, OP_DIV, "bn_factor", bn.in[1], root);
    const ValueId weights = affine_scale_out(g, id, l, OP_MUL, factor);
    ValueId bias = l->bias >= 0 ? term_pair(g, id, OP_SUB, "bn_centre", l->bias, bn.in[3])
                                : term_node(g, id, OP_NEG, "bn_centre", 1, &bn.in[3]);
    bias = term_pair(g, id, OP_MUL, "bn_scaled", bias, factor);
    bias = term_pair(g, id, OP_ADD, "bn_bias", bias, bn.in[2]);
    affine_become(g, id, l, weights, bias);
}

Graph *pass_fold_batch_norm(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    const int *uses = graph_count_uses(g);
    const int n = g->node.len;
    for (int i = 0; i < n; i++) {
        Affine l;
        if (foldable(g, &g->node.at[i], uses, &l)) {
            fold(g, i, &l);
            ++*count;
        }
    }
    return g;
}
