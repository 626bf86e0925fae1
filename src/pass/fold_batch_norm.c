/* fold_batch_norm: a normalisation behind a convolution becomes part of its weights and bias.
 *
 *     y = conv(x, w, b); z = batch_normalization(y, scale, shift, mean, var)
 *     ->  f = scale / sqrt(var + eps);  z = conv(x, w * f, (b - mean) * f + shift)
 *
 * Requires that w, b and the statistics depend on constants alone and that y has no other use. The
 * new terms are constants too: folding computes them. */
#include "op/op.h"
#include "pass/edit.h"

Graph *pass_fold_batch_norm(Context *ctx, const Graph *g, const PassOptions *opt, int *count);

typedef struct Fold {
    Graph *g;
    NodeId conv;
} Fold;

static ValueId add_node(Fold *f, OpCode op, const char *what, int nin, const ValueId *in)
{
    Graph *g = f->g;
    const char *name = arena_printf(g->ctx->arena, "%s/%s", g->node.at[f->conv].name, what);
    const NodeId n = graph_node(g, g->node.at[f->conv].home, op, name, nin, in, 1, NULL);
    block_insert_before(g, n, f->conv);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

static ValueId add_pair(Fold *f, OpCode op, const char *what, ValueId a, ValueId b)
{
    const ValueId in[2] = {a, b};
    return add_node(f, op, what, 2, in);
}

static bool foldable(const Graph *g, const Node *bn, const int *uses)
{
    const Value *y = &g->value.at[bn->in[0]];
    if (bn->op != OP_BATCH_NORMALIZATION || y->producer < 0 || uses[bn->in[0]] != 1) {
        return false;
    }
    const Node *conv = &g->node.at[y->producer];
    if (conv->op != OP_CONV || conv->home != bn->home || y->dtype != DT_F32) {
        return false;
    }
    for (int k = 1; k < 5; k++) {
        if (bn->in[k] < 0 || !is_constant_term(g, bn->in[k])) {
            return false;
        }
    }
    return is_constant_term(g, conv->in[1]) &&
           (conv->nin < 3 || conv->in[2] < 0 || is_constant_term(g, conv->in[2]));
}

static bool before_in_block(const Graph *g, int home, NodeId first, NodeId second)
{
    const Block *b = &g->block.at[home];
    for (int k = 0; k < b->node.len; k++) {
        if (b->node.at[k] == first || b->node.at[k] == second) {
            return b->node.at[k] == first;
        }
    }
    return false;
}

/* The statistics may be computed by nodes that stand between the two. */
static bool terms_ready(const Graph *g, const Node *bn, NodeId conv)
{
    for (int k = 1; k < 5; k++) {
        const NodeId p = g->value.at[bn->in[k]].producer;
        if (p >= 0 && !before_in_block(g, bn->home, p, conv)) {
            return false;
        }
    }
    return true;
}

static void fold(Graph *g, NodeId bn_id)
{
    const Node bn = g->node.at[bn_id];
    Fold f = {.g = g, .conv = g->value.at[bn.in[0]].producer};
    const double eps = node_float(&bn, "epsilon", 1e-5);
    const ValueId e = graph_const_scalar(g, "bn_epsilon", DT_F32, eps);
    const ValueId var = add_pair(&f, OP_ADD, "bn_var", bn.in[4], e);
    const ValueId root = add_node(&f, OP_SQRT, "bn_root", 1, &var);
    const ValueId factor = add_pair(&f, OP_DIV, "bn_factor", bn.in[1], root);
    const Node conv = g->node.at[f.conv];
    const Value *w = &g->value.at[conv.in[1]];
    int64_t shape[MAX_RANK] = {-1, 1, 1, 1, 1, 1, 1, 1};
    const int rank = w->rank;
    const ValueId to = graph_const_ints(g, "bn_shape", rank, shape);
    const ValueId wide = add_pair(&f, OP_RESHAPE, "bn_wide", factor, to);
    const ValueId weights = add_pair(&f, OP_MUL, "bn_weights", conv.in[1], wide);
    ValueId bias;
    if (conv.nin > 2 && conv.in[2] >= 0) {
        bias = add_pair(&f, OP_SUB, "bn_centre", conv.in[2], bn.in[3]);
    } else {
        bias = add_node(&f, OP_NEG, "bn_centre", 1, &bn.in[3]);
    }
    bias = add_pair(&f, OP_MUL, "bn_scaled", bias, factor);
    bias = add_pair(&f, OP_ADD, "bn_bias", bias, bn.in[2]);
    Node *changed = &g->node.at[f.conv];
    ValueId *in = arena_array_of(g->ctx->arena, 3, ValueId);
    in[0] = conv.in[0];
    in[1] = weights;
    in[2] = bias;
    changed->in = in;
    changed->nin = 3;
    /* The convolution makes the normalised value itself, under its name: it may be an output. */
    changed->out[0] = bn.out[0];
    g->value.at[bn.out[0]].producer = f.conv;
    g->value.at[bn.out[0]].output = 0;
    block_remove(g, bn_id);
}

Graph *pass_fold_batch_norm(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    const int *uses = graph_count_uses(g);
    const int n = g->node.len;
    for (int i = 0; i < n; i++) {
        const Node *bn = &g->node.at[i];
        if (bn->home >= 0 && bn->nin >= 5 && bn->in[0] >= 0 && foldable(g, bn, uses) &&
            terms_ready(g, bn, g->value.at[bn->in[0]].producer)) {
            fold(g, i);
            ++*count;
        }
    }
    return g;
}
