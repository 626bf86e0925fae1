/* fold_scale: factors and summands that are constant for each channel become part of the weights
 * and the bias of the affine node beside them.
 *
 *     y = conv(x, w, b); z = mul(y, c)     ->  z = conv(x, w * c, b * c)
 *     y = mul(x, c); z = matmul(y, w)      ->  z = matmul(x, c * w)
 *     y = add(x, c); z = conv(y, w, b)     ->  z = conv(x, w, b + sum of w * c)
 *
 * After: Mul, Div and Sub by c, Add of c; what adds needs an op with a bias. Before: Mul and
 * Div, and Add and Sub where no zeros are read around the image, since c was not added to those.
 * Requires that c, w and b depend on constants alone, that y has no other reader, and that
 * nobody else reads w, which would have to be kept twice. Constants are taken to be finite: 0 *
 * inf is not looked for. */
#include "op/op.h"
#include "pass/affine.h"

/* y op c with c on the right, or on either side where that is the same. */
typedef struct Step {
    OpCode op;
    ValueId y, c;
} Step;

static bool is_step(const Graph *g, const Node *n, Step *s)
{
    const bool adds = n->op == OP_ADD || n->op == OP_SUB;
    if (n->home < 0 || !(adds || n->op == OP_MUL || n->op == OP_DIV)) {
        return false;
    }
    const bool turn = (n->op == OP_ADD || n->op == OP_MUL) && is_constant_term(g, n->in[0]);
    *s = (Step){.op = n->op, .y = n->in[turn], .c = n->in[!turn]};
    return is_same_type(g, s->y, n->out[0]);
}

static bool adds(const Step *s)
{
    return s->op == OP_ADD || s->op == OP_SUB;
}

static NodeId maker(const Graph *g, ValueId v, int home)
{
    const NodeId p = g->value.at[v].producer;
    return p >= 0 && g->node.at[p].home == home ? p : -1;
}

/* ---- after ---- */

/* The bias of a convolution has an element for each channel; that of a Gemm broadcasts. */
static ValueId whole(Graph *g, NodeId before, const Affine *l, ValueId c)
{
    int64_t n;
    const bool short_of_one =
        expr_is_int(g->x, g->value.at[c].dim[0], &n) && n != l->ny;
    if (!short_of_one) {
        return c;
    }
    return term_pair(g, before, OP_EXPAND, "bias", c, graph_const_ints(g, "bias_shape", 1, &l->ny));
}

static bool fold_after(Graph *g, NodeId id, const int *uses)
{
    Step s;
    Affine l;
    if (!is_step(g, &g->node.at[id], &s) || uses[s.y] != 1) {
        return false;
    }
    const NodeId p = maker(g, s.y, g->node.at[id].home);
    if (p < 0 || !affine_of(g, p, &l) || (adds(&s) && !l.takes_bias) ||
        (!adds(&s) && uses[l.weights] != 1) ||
        !is_term_of_channels(g, s.c, g->value.at[l.y].rank, l.y_channels, l.ny)) {
        return false;
    }
    ValueId c = term_of_channels(g, id, s.c, g->value.at[l.y].rank, l.y_channels, l.ny);
    ValueId weights = l.weights, bias = l.bias;
    if (!adds(&s)) {
        weights = affine_scale_out(g, id, &l, s.op, c);
        bias = bias < 0 ? -1 : term_pair(g, id, s.op, "bias", bias, c);
    } else if (bias >= 0) {
        bias = term_pair(g, id, s.op, "bias", bias, c);
    } else {
        c = s.op == OP_SUB ? term_node(g, id, OP_NEG, "bias", 1, &c) : c;
        bias = whole(g, id, &l, c);
    }
    affine_become(g, id, &l, weights, bias);
    return true;
}

/* ---- before ---- */

/* What a constant c of each channel gives: the sum of w * c over all axes but that of the
 * results. */
static ValueId given_by(Graph *g, const Affine *l, ValueId c)
{
    int64_t axes[MAX_RANK];
    int n = 0;
    for (int k = 0; k < g->value.at[l->weights].rank; k++) {
        if (k != l->out_axis) {
            axes[n++] = k;
        }
    }
    const ValueId product = affine_scale_in(g, l->node, l, OP_MUL, c);
    const ValueId over = graph_const_ints(g, "bias_axes", n, axes);
    const NodeId sum =
        insert_node(g, l->node, OP_REDUCE_SUM, "given", 2, (const ValueId[]){product, over});
    node_set_int(g, sum, "keepdims", 0);
    op_infer_node(g, sum);
    return g->node.at[sum].out[0];
}

static bool fold_before(Graph *g, NodeId id, const int *uses)
{
    Step s;
    Affine l;
    if (!affine_of(g, id, &l) || uses[l.x] != 1) {
        return false;
    }
    const NodeId p = maker(g, l.x, g->node.at[id].home);
    const bool scaled =
        g->node.at[id].op == OP_GEMM && node_float(&g->node.at[id], "alpha", 1) != 1;
    if (p < 0 || !is_step(g, &g->node.at[p], &s) ||
        (adds(&s) && (!l.takes_bias || l.pads || scaled)) || (!adds(&s) && uses[l.weights] != 1) ||
        !is_term_of_channels(g, s.c, g->value.at[l.x].rank, l.x_channels, l.nx)) {
        return false;
    }
    const ValueId c = term_of_channels(g, id, s.c, g->value.at[l.x].rank, l.x_channels, l.nx);
    ValueId weights = l.weights, bias = l.bias;
    if (!adds(&s)) {
        weights = affine_scale_in(g, id, &l, s.op, c);
    } else {
        const ValueId sum = given_by(g, &l, c);
        if (bias >= 0) {
            bias = term_pair(g, id, s.op, "bias", bias, sum);
        } else {
            bias = s.op == OP_SUB ? term_node(g, id, OP_NEG, "bias", 1, &sum) : sum;
        }
    }
    l.x = s.y;
    affine_become(g, id, &l, weights, bias);
    block_remove(g, p);
    return true;
}

Graph *pass_fold_scale(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    const int *uses = graph_count_uses(g);
    const int n = g->node.len; /* terms are no candidates */
    for (int i = 0; i < n; i++) {
        while (fold_after(g, i, uses) || fold_before(g, i, uses)) {
            uses = graph_count_uses(g);
            ++*count;
        }
    }
    return g;
}
