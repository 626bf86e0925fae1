/* fold_batch_norm: a normalisation behind a convolution becomes part of its weights and bias.
 *
 *     y = conv(x, w, b); z = batch_normalization(y, scale, shift, mean, var)
 *     ->  f = scale / sqrt(var + eps);  z = conv(x, w * f, (b - mean) * f + shift)
 *
 * The same behind ConvTranspose and Gemm. Requires that w, b and the statistics depend on constants
 * alone and that y has no other use. The convolution moves to where the normalisation was, under
 * whose name its result goes.
 *
 * Elsewhere a normalisation by constants is what it is at each point, so that it joins others:
 *
 *     z = batch_normalization(y, scale, shift, mean, var)  ->  z = y * f + (shift - mean * f) */
#include "pass/affine.h"

static bool is_constant_f32(const Graph *g, const Node *bn)
{
    for (int k = 1; k < 5; k++) {
        if (!is_constant_term(g, bn->in[k]) || g->value.at[bn->in[k]].dtype != DT_F32) {
            return false;
        }
    }
    return g->value.at[bn->in[0]].dtype == DT_F32;
}

static bool foldable(const Graph *g, const Node *bn, const int *uses, Affine *l)
{
    if (bn->op != OP_BATCH_NORMALIZATION || bn->home < 0 || uses[bn->in[0]] != 1) {
        return false;
    }
    const NodeId p = g->value.at[bn->in[0]].producer;
    if (p < 0 || g->node.at[p].home != bn->home || !affine_of(g, p, l) || !l->takes_bias) {
        return false;
    }
    return is_constant_f32(g, bn);
}

static ValueId factor_of(Graph *g, NodeId id, const Node *bn)
{
    const ValueId e = graph_const_scalar(g, "bn_epsilon", DT_F32, node_float(bn, "epsilon", 1e-5));
    const ValueId var = term_pair(g, id, OP_ADD, "bn_var", bn->in[4], e);
    const ValueId root = term_node(g, id, OP_SQRT, "bn_root", 1, &var);
    return term_pair(g, id, OP_DIV, "bn_factor", bn->in[1], root);
}

static void fold(Graph *g, NodeId id, const Affine *l)
{
    const Node bn = g->node.at[id];
    const ValueId factor = factor_of(g, id, &bn);
    const ValueId weights = affine_scale_out(g, id, l, OP_MUL, factor);
    ValueId bias = l->bias >= 0 ? term_pair(g, id, OP_SUB, "bn_centre", l->bias, bn.in[3])
                                : term_node(g, id, OP_NEG, "bn_centre", 1, &bn.in[3]);
    bias = term_pair(g, id, OP_MUL, "bn_scaled", bias, factor);
    bias = term_pair(g, id, OP_ADD, "bn_bias", bias, bn.in[2]);
    affine_become(g, id, l, weights, bias);
}

/* Of one result, the normalised input, by statistics that are given. */
static bool is_line(const Graph *g, const Node *bn)
{
    return bn->op == OP_BATCH_NORMALIZATION && bn->home >= 0 && bn->nout == 1 &&
           !node_int(bn, "training_mode", 0) && g->value.at[bn->in[0]].rank > 1 &&
           is_constant_f32(g, bn);
}

/* c (C) as it is read along axis 1 of that rank: (C,1,1). */
static ValueId along_channels(Graph *g, NodeId id, ValueId c, int rank)
{
    int64_t shape[MAX_RANK] = {-1};
    for (int k = 1; k < rank - 1; k++) {
        shape[k] = 1;
    }
    return term_pair(g, id, OP_RESHAPE, "bn_wide", c,
                     graph_const_ints(g, "bn_shape", rank - 1, shape));
}

static void become_line(Graph *g, NodeId id)
{
    const Node bn = g->node.at[id];
    const int rank = g->value.at[bn.in[0]].rank;
    const ValueId factor = factor_of(g, id, &bn);
    const ValueId moved = term_pair(g, id, OP_MUL, "bn_moved", bn.in[3], factor);
    const ValueId offset = term_pair(g, id, OP_SUB, "bn_offset", bn.in[2], moved);
    const ValueId scaled =
        term_pair(g, id, OP_MUL, "scaled", bn.in[0], along_channels(g, id, factor, rank));
    const ValueId y = term_pair(g, id, OP_ADD, "y", scaled, along_channels(g, id, offset, rank));
    if (forward_value(g, bn.out[0], y)) {
        block_remove(g, id);
    }
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
        } else if (is_line(g, &g->node.at[i])) {
            become_line(g, i);
            ++*count;
        }
    }
    return g;
}
