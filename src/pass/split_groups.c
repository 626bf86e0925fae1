/* split_groups: a convolution in a few groups becomes one convolution for each.
 *
 *     y = relu(conv(x, w, b) group=2)
 *     ->  y = concat(relu(conv(slice(x, 0..C/2), slice(w, 0..K/2), slice(b, 0..K/2))), relu(conv(..)))
 *
 * The slices of x and the concat are views (views.c), those of constants are folded. A group is an
 * ordinary convolution, that Winograd's variants are there for: 3x3, 4 groups of 64 channels at
 * 14x14 take 0.32 ms instead of 0.59, of 128 at 7x7 0.40 instead of 0.76, of 64 at 28x28 0.88
 * instead of 2.55 (one thread).
 *
 * Only where that is cheaper as far as can be told (image_layouts.h), and groups are whole blocks
 * of channels, so that they are views in either layout. What is done to each element of y alone, by
 * operations that nobody else reads, is done to each part, as their kernels do it in passing.
 *
 * Before choose_variants, which takes the variants; behind what looks for convolutions and their
 * neighbours. */
#include "op/op.h"
#include "pass/edit.h"
#include "pass/image_layouts.h"
#include "pass/node_facts.h"

#define MAX_GROUPS 16  /* kernels instead of one .. */
#define KERNEL_NS 200  /* .. each of which takes so long beyond its work */

typedef struct Groups {
    Graph *g;
    NodeId conv;
    int64_t count, in, out; /* channels of a group */
} Groups;

static ValueId append(Graph *g, NodeId before, OpCode op, const char *what, int nin,
                      const ValueId *in)
{
    const NodeId id = insert_node(g, before, op, what, nin, in);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* [from, from + size) of v's dim `axis`. */
static ValueId slice(Graph *g, NodeId before, ValueId v, int64_t axis, int64_t from, int64_t size)
{
    const int64_t end = from + size;
    const ValueId in[4] = {v, graph_const_ints(g, "starts", 1, &from),
                           graph_const_ints(g, "ends", 1, &end),
                           graph_const_ints(g, "axes", 1, &axis)};
    return append(g, before, OP_SLICE, "group", 4, in);
}

/* A copy of node n, of other inputs. */
static NodeId like(Graph *g, NodeId before, NodeId n, const char *what, const ValueId *in)
{
    const Node old = g->node.at[n];
    const NodeId id = insert_node(g, before, old.op, what, old.nin, in);
    for (int k = 0; k < old.nattr; k++) {
        node_set_attr(g, id, old.attr[k]);
    }
    return id;
}

/* Group k alone. */
static NodeId convolve(const Groups *s, Graph *g, NodeId before, int64_t k)
{
    const Node old = g->node.at[s->conv];
    ValueId in[3] = {slice(g, before, old.in[0], 1, k * s->in, s->in),
                     slice(g, before, old.in[1], 0, k * s->out, s->out), -1};
    if (old.nin > 2 && old.in[2] >= 0) {
        in[2] = slice(g, before, old.in[2], 0, k * s->out, s->out);
    }
    const NodeId id = like(g, before, s->conv, "group", in);
    node_set_int(g, id, "group", 1);
    op_infer_node(g, id);
    return id;
}

/* Convolutions of images in a few groups of whole blocks of channels, with weights that are
 * known. */
static bool groups_of(Graph *g, NodeId id, const Target *t, Groups *s)
{
    const Node *n = &g->node.at[id];
    const int64_t count = n->op == OP_CONV ? node_int(n, "group", 1) : 1;
    int64_t in, out;
    if (count < 2 || count > MAX_GROUPS || n->nin > 3 || g->value.at[n->out[0]].rank != 4 ||
        !is_constant_term(g, n->in[1]) ||
        (n->nin > 2 && n->in[2] >= 0 && !is_constant_term(g, n->in[2])) ||
        !expr_is_int(g->x, g->value.at[n->in[0]].dim[1], &in) ||
        !expr_is_int(g->x, g->value.at[n->in[1]].dim[0], &out)) {
        return false;
    }
    *s = (Groups){.g = g, .conv = id, .count = count, .in = in / count, .out = out / count};
    const int block = image_block(g, n->in[0], t), made = image_block(g, n->out[0], t);
    return block > 0 && made > 0 && s->in % block == 0 && s->out % made == 0;
}

/* Has a group a variant that is cheaper than its share of all? Tried in a copy. */
static bool pays(const Groups *s, const PassOptions *opt)
{
    Graph *g = graph_copy(s->g->ctx, s->g);
    const NodeId one = convolve(s, g, s->conv, 0);
    return image_node_cost(g, opt, one, true) + KERNEL_NS < image_node_cost(g, opt, one, false);
}

/* The node that alone reads v, and does something to each of its elements; -1: there is none. */
static NodeId only_pointwise(const Graph *g, ValueId v, const int *uses)
{
    const Block *b = &g->block.at[0];
    NodeId reader = -1;
    for (int i = 0; i < b->node.len && uses[v] == 1; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        if (n->nin > 0 && n->in[0] == v && n->nout == 1) {
            reader = b->node.at[i];
        }
    }
    if (reader < 0 || is_block_output(g, v) || node_facts(g, reader).kind != NODE_POINTWISE) {
        return -1;
    }
    const Node *n = &g->node.at[reader];
    for (int k = 1; k < n->nin; k++) { /* numbers, such as bounds */
        if (n->in[k] >= 0 && (g->value.at[n->in[k]].rank != 0 || !is_constant_term(g, n->in[k]))) {
            return -1;
        }
    }
    return is_same_type(g, v, n->out[0]) ? reader : -1;
}

static void split(const Groups *s)
{
    Graph *g = s->g;
    ValueId part[MAX_GROUPS];
    for (int64_t k = 0; k < s->count; k++) {
        const NodeId id = convolve(s, g, s->conv, k);
        part[k] = g->node.at[id].out[0];
    }
    const int *uses = graph_count_uses(g);
    NodeId last = s->conv;
    for (NodeId next; (next = only_pointwise(g, g->node.at[last].out[0], uses)) >= 0; last = next) {
        for (int64_t k = 0; k < s->count; k++) {
            ValueId *in = arena_dup(g->ctx->arena, g->node.at[next].in,
                                    sizeof(ValueId) * (size_t)g->node.at[next].nin);
            in[0] = part[k];
            const NodeId id = like(g, next, next, "group", in);
            op_infer_node(g, id);
            part[k] = g->node.at[id].out[0];
        }
        block_remove(g, last);
    }
    change_node(g, last, OP_CONCAT, (int)s->count, part);
    node_set_int(g, last, "axis", 1);
}

Graph *pass_split_groups(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    const int known = g->node.len;
    for (NodeId id = 0; id < known; id++) {
        Groups s;
        /* Not in bodies: only what the main block computes from constants is folded. */
        if (g->node.at[id].home == 0 && groups_of(g, id, &opt->target, &s) && pays(&s, opt)) {
            split(&s);
            ++*count;
        }
    }
    return g;
}
