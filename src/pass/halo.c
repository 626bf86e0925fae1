/* halo: the border that a convolution reads around its input becomes part of the array that the
 * input lies in.
 *
 *     y = conv(x, w) pads=[1,1,1,1]
 *     ->  t, b, l, r = fill(0);  p = concat(t, concat(l, x, r), b);  y = conv(p, w) pads=[0,0,0,0]
 *
 * `views`, which comes next, makes nothing of both concats: x is computed inside p. Instead of
 * copying x into a larger array before each such convolution, the border alone is written, by each
 * run, as other values share the memory.
 *
 * For x that a product or reduction computes and nothing but compiled code reads: what is
 * computed point by point stays free to join its reader's kernel. And for rows that are long:
 * kernels that take rows and columns for one axis cannot do so here, which costs those that
 * compute x, and other readers, a share of the last tile of each row. */
#include <string.h>

#include "op/conv.h"
#include "pass/edit.h"
#include "pass/known.h"
#include "pass/node_facts.h"

#define LEAST_ROW 12      /* elements */
#define MAX_EPILOGUE 8   /* pointwise nodes behind a product */
#define OPEN_SIZE 4096    /* elements: what open sizes are taken for, if they may be so large */
#define LEAST_BYTES 65536 /* of x: what lies in L1 is copied faster than steps are started */

typedef struct Border {
    ValueId x, whole;     /* whole: -1 until it is made */
    int64_t pad[2], pad_end[2];
    double value;
} Border;

typedef struct Halo {
    Graph *g;
    const bool *routines;
    const int *uses;
    VEC(Border) made;
} Halo;

/* ---- which ---- */

static bool known_dim(const Graph *g, ValueId v, int k, int64_t *to)
{
    return expr_is_int(g->x, g->value.at[v].dim[k], to);
}

static int64_t most(const Graph *g, ValueId v, int k)
{
    const int64_t high = expr_high(g->x, g->value.at[v].dim[k]);
    return high < OPEN_SIZE || expr_is_int(g->x, g->value.at[v].dim[k], NULL) ? high : OPEN_SIZE;
}

/* Does a kernel compute v that would compute it alone, if v lay elsewhere? */
static bool is_anchored(const Halo *h, ValueId v, int depth)
{
    const Graph *g = h->g;
    const NodeId n = g->value.at[v].producer;
    if (n < 0 || depth > MAX_EPILOGUE || !node_has_stages(g, n)) {
        return false;
    }
    const NodeKind kind = node_facts(g, n).kind;
    if (kind != NODE_POINTWISE) {
        return kind == NODE_CONTRACTION || kind == NODE_REDUCE;
    }
    for (int k = 0; k < g->node.at[n].nin; k++) {
        const ValueId in = g->node.at[n].in[k];
        if (in >= 0 && h->uses[in] == 1 && is_anchored(h, in, depth + 1)) {
            return true;
        }
    }
    return false;
}

/* What the border is of: 0, or the zero point of integers, if it is known. */
static bool border_value(const Graph *g, const Node *n, int zero, double *value)
{
    *value = (double)node_int(n, "border", 0); /* fold_zero_points: without a zero point */
    return *value != 0 || zero < 0 || zero >= n->nin || n->in[zero] < 0 ||
           known_uniform(g, n->in[zero], value);
}

static bool border_of(const Halo *h, NodeId id, Border *b)
{
    const Graph *g = h->g;
    const Node *n = &g->node.at[id];
    const ConvInputs in = conv_inputs(n->op);
    *b = (Border){.x = n->nin > 0 ? n->in[0] : -1, .whole = -1};
    if (in.w < 0 || !border_value(g, n, in.x_zero, &b->value)) {
        return false;
    }
    const Value *x = &g->value.at[b->x], *w = &g->value.at[n->in[in.w]];
    int64_t channels;
    if (x->rank != 4 || x->constant || x->elems || h->routines[b->x] || is_block_output(g, b->x) ||
        !known_dim(g, b->x, 1, &channels)) {
        return false;
    }
    const int64_t height = most(g, b->x, 2), width = most(g, b->x, 3);
    if (width < LEAST_ROW || channels * height * width * dtype_size(x->dtype) < LEAST_BYTES) {
        return false;
    }
    const Window win = window_of(g->x, n, 2, x->dim + 2, w->dim + 2);
    bool any = false;
    for (int k = 0; k < 2; k++) {
        if (!expr_is_int(g->x, win.pad[k], &b->pad[k]) ||
            !expr_is_int(g->x, win.pad_end[k], &b->pad_end[k]) || b->pad[k] < 0 ||
            b->pad_end[k] < 0) {
            return false;
        }
        any |= b->pad[k] > 0 || b->pad_end[k] > 0;
    }
    return any && is_anchored(h, b->x, 0) && g->node.at[x->producer].home == n->home;
}

/* ---- rewriting ---- */

static ValueId add_node(Graph *g, NodeId before, OpCode op, int nin, const ValueId *in)
{
    const NodeId id = insert_node(g, before, op, "halo", nin, in);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* The shape of a part of the border: rows above or below, or columns beside x. Where sizes of x are
 * open it is computed from x's shape: what is kept of that, and the rest. */
static ValueId part_shape(Graph *g, NodeId before, const Border *b, bool row, int64_t size,
                          ValueId *shape_of_x)
{
    const int64_t kept[4] = {1, 1, !row, row};
    const int64_t rest[4] = {0, 0, row ? size : 0, row ? b->pad[1] + b->pad_end[1] : size};
    int64_t known[4];
    bool all = true;
    for (int d = 0; d < 4; d++) {
        all &= known_dim(g, b->x, d, &known[d]);
    }
    if (all) {
        for (int d = 0; d < 4; d++) {
            known[d] = known[d] * kept[d] + rest[d];
        }
        return graph_const_ints(g, "halo_shape", 4, known);
    }
    if (*shape_of_x < 0) {
        *shape_of_x = add_node(g, before, OP_SHAPE, 1, &b->x);
    }
    const ValueId product[2] = {*shape_of_x, graph_const_ints(g, "halo_kept", 4, kept)};
    const ValueId sum[2] = {add_node(g, before, OP_MUL, 2, product),
                            graph_const_ints(g, "halo_rest", 4, rest)};
    return add_node(g, before, OP_ADD, 2, sum);
}

/* One node fills all parts of the border: they are one kernel. */
static void fill_parts(Graph *g, NodeId before, const Border *b, ValueId *part)
{
    const Value x = g->value.at[b->x];
    const int64_t size[4] = {b->pad[0], b->pad_end[0], b->pad[1], b->pad_end[1]};
    ValueId in[5] = {graph_const_scalar(g, "halo_zero", x.dtype, b->value)}, out[4];
    int nout = 0;
    ValueId shape_of_x = -1;
    for (int k = 0; k < 4; k++) {
        part[k] = -1;
        if (size[k] == 0) {
            continue;
        }
        in[1 + nout] = part_shape(g, before, b, k < 2, size[k], &shape_of_x);
        part[k] = out[nout++] = graph_value(g, "halo", DT_NONE, -1, NULL);
    }
    const NodeId fill = graph_node(g, g->node.at[before].home, OP_FILL, g->node.at[before].name,
                                   1 + nout, in, nout, out);
    block_insert_before(g, fill, before);
    op_infer_node(g, fill);
    for (int k = 0; k < nout; k++) {
        g->value.at[out[k]].layout = x.layout;
    }
}

/* first, x and last one after another; x itself if it is alone. */
static ValueId join(Graph *g, NodeId before, int axis, ValueId first, ValueId x, ValueId last)
{
    ValueId in[3];
    int n = 0;
    for (int k = 0; k < 3; k++) {
        const ValueId v = k == 0 ? first : k == 1 ? x : last;
        if (v >= 0) {
            in[n++] = v;
        }
    }
    if (n == 1) {
        return x;
    }
    const NodeId id = insert_node(g, before, OP_CONCAT, "halo", n, in);
    node_set_int(g, id, "axis", axis);
    op_infer_node(g, id);
    const ValueId y = g->node.at[id].out[0];
    g->value.at[y].layout = g->value.at[x].layout;
    return y;
}

/* x with that border; -1: x lies within another already. */
static ValueId add_border(Halo *h, NodeId before, const Border *b)
{
    for (int i = 0; i < h->made.len; i++) {
        const Border *m = &h->made.at[i];
        if (m->x == b->x) {
            const bool same = m->value == b->value && memcmp(m->pad, b->pad, sizeof b->pad) == 0 &&
                              memcmp(m->pad_end, b->pad_end, sizeof b->pad_end) == 0;
            return same ? m->whole : -1;
        }
    }
    ValueId part[4];
    fill_parts(h->g, before, b, part);
    Border made = *b;
    made.whole =
        join(h->g, before, 2, part[0], join(h->g, before, 3, part[2], b->x, part[3]), part[1]);
    vec_push(h->g->ctx->arena, &h->made, made);
    return made.whole;
}

Graph *pass_halo(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    Halo h = {.g = g, .routines = read_by_routines(g), .uses = graph_count_uses(g)};
    for (int b = 0; b < g->block.len; b++) {
        const int len = g->block.at[b].node.len;
        const NodeId *order =
            arena_dup(ctx->arena, g->block.at[b].node.at, sizeof *order * (size_t)len);
        h.made.len = 0;
        for (int i = 0; i < len; i++) {
            Border border;
            const ValueId whole =
                border_of(&h, order[i], &border) ? add_border(&h, order[i], &border) : -1;
            if (whole < 0) {
                continue;
            }
            g->node.at[order[i]].in[0] = whole;
            node_set_ints(g, order[i], "pads", 4, (const int64_t[]){0, 0, 0, 0});
            node_set_string(g, order[i], "auto_pad", "NOTSET");
            ++*count;
        }
    }
    return g;
}
