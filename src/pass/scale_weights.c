/* scale_weights: a 1x1 convolution behind squeeze-excitation has its weights scaled, not its image.
 *
 *     y = mul(x, s); z = conv(y, w)     ->  v = mul(w, s); z = conv(x, v)
 *     x (1,C,H,W), s (1,C,1,1), w (K,C,1,1): K*C products instead of C*H*W, and no pass over x
 *
 * s is computed by each run, for one image: (w s) x is w (s x) but for rounding (that w s is too
 * large for its type where w (s x) is not is not looked for: s mostly is a sigmoid). Where images
 * are several, or pixels not many more than results, all stays as it is. Runs when layouts are
 * chosen, which see the network as it was; `fuse` then puts the scaled weights into the
 * convolution's kernel. */
#include "op/op.h"
#include "pass/edit.h"
#include "pass/node_facts.h"

#define LEAST_GAIN 1.5 /* pixels by results */

typedef struct Scaled {
    NodeId mul;
    ValueId image, scale;
} Scaled;

static int64_t least_dim(const Graph *g, ValueId v, int k)
{
    return expr_low(g->x, g->value.at[v].dim[k]);
}

static bool is_dim(const Graph *g, ValueId v, int k, int64_t n)
{
    int64_t dim;
    return expr_is_int(g->x, g->value.at[v].dim[k], &dim) && dim == n;
}

/* Is s one factor for each channel of x, one image, that each run computes? */
static bool is_scale(const Graph *g, ValueId s, ValueId x)
{
    const Value *scale = &g->value.at[s], *image = &g->value.at[x];
    return scale->rank == 4 && image->rank == 4 && scale->dtype == DT_F32 &&
           image->dtype == DT_F32 && !scale->constant && is_dim(g, x, 0, 1) && is_dim(g, s, 0, 1) &&
           scale->dim[1] == image->dim[1] && is_dim(g, s, 2, 1) && is_dim(g, s, 3, 1);
}

/* Does the convolution read an image that is nothing but scaled for it? */
static bool scaled_of(const Graph *g, NodeId conv, const int *uses, Scaled *to)
{
    const Node *n = &g->node.at[conv];
    const ValueId y = n->nin > 0 ? n->in[0] : -1;
    const NodeId mul = y < 0 ? -1 : g->value.at[y].producer;
    if (mul < 0 || g->node.at[mul].op != OP_MUL || g->node.at[mul].home != n->home ||
        uses[y] != 1 || is_block_output(g, y) || g->value.at[y].within >= 0) {
        return false;
    }
    const Node *m = &g->node.at[mul];
    for (int k = 0; k < 2; k++) {
        *to = (Scaled){.mul = mul, .image = m->in[k], .scale = m->in[1 - k]};
        const Value *image = &g->value.at[to->image];
        if (is_same_type(g, to->image, y) && is_scale(g, to->scale, y) && !image->constant &&
            layout_equal(&image->layout, &g->value.at[y].layout)) {
            return true;
        }
    }
    return false;
}

/* Weights (K,C,1,1) of one group, constant, and pixels enough? */
static bool pays(const Graph *g, NodeId conv)
{
    const Node *n = &g->node.at[conv];
    const ValueId w = n->in[1], x = n->in[0];
    const NodeFacts f = node_facts(g, conv);
    const double pixels = (double)least_dim(g, x, 2) * (double)least_dim(g, x, 3);
    return f.kind == NODE_CONTRACTION && f.keeps_pixels && g->value.at[w].constant &&
           g->value.at[w].rank == 4 && g->value.at[w].dtype == DT_F32 &&
           g->value.at[w].dim[1] == g->value.at[x].dim[1] &&
           LEAST_GAIN * (double)least_dim(g, w, 0) <= pixels;
}

static void scale_weights(Graph *g, NodeId conv, const Scaled *s)
{
    const ValueId in[2] = {g->node.at[conv].in[1], s->scale};
    const NodeId scaled = insert_node(g, conv, OP_MUL, "scaled", 2, in);
    op_infer_node(g, scaled);
    g->node.at[conv].in[0] = s->image;
    g->node.at[conv].in[1] = g->node.at[scaled].out[0];
    block_remove(g, s->mul);
}

Graph *pass_scale_weights(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    const int *uses = graph_count_uses(g);
    for (int b = 0; b < g->block.len; b++) {
        const int len = g->block.at[b].node.len;
        const NodeId *order =
            arena_dup(ctx->arena, g->block.at[b].node.at, sizeof *order * (size_t)len);
        for (int i = 0; i < len; i++) {
            Scaled s;
            const NodeId conv = order[i];
            if (g->node.at[conv].op == OP_CONV && scaled_of(g, conv, uses, &s) && pays(g, conv)) {
                scale_weights(g, conv, &s);
                ++*count;
            }
        }
    }
    return g;
}
