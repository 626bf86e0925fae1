/* join_taps: a convolution of few channels, as of pictures, reads a row of its kernel as one piece
 * of memory.
 *
 *     y = conv(x (N,3,H,W), w (K,3,R,7)) strides=[2,2] pads=..
 *     ->  rows = reshape(transpose(pad(x)))         (N, 1, H', W'*4): pixels one after another, 4 channels side by side
 *         taps = reshape(transpose(pad(w)))         (K, 1, R, 8*4)
 *         y = conv(rows, taps) strides=[2, 2*4]
 *
 * Blocks of channels have no room for 3. But the taps of a row are neighbours where the channels of
 * a pixel are, 7 x 3 of them, and a load of tiles takes rows that overlap: 16 pixels of the result
 * are 16 rows of 32 elements, each 16 bytes behind the one before. Channels are filled up to an
 * even count and taps to whole groups, by zeros: the products are so few that those by zero do not
 * count. Writing x so is one copy, which rounds and brings the border along.
 *
 * For targets with tiles of bf16, if asked for bf16. Before lower_precision, which rounds what
 * the new convolution reads. */
#include "loop/intrinsic.h"
#include "op/conv.h"
#include "op/op.h"
#include "pass/edit.h"

#define MOST_CHANNELS 8
#define LEAST_USES 32 /* products of an element: else the copy costs what is gained */
#define TILE_ROW (TILE_ROW_BYTES / 2) /* elements of bf16 */

typedef struct Joined {
    int64_t channels, height, width; /* of x */
    int64_t outputs, rows, columns;  /* of w */
    int64_t pads[4], strides[2], dilation;
    int64_t pixel, taps;             /* channels and columns with zeros */
} Joined;

static bool dims_of(const Graph *g, ValueId v, int first, int64_t *a, int64_t *b)
{
    return expr_is_int(g->x, g->value.at[v].dim[first], a) &&
           expr_is_int(g->x, g->value.at[v].dim[first + 1], b);
}

/* Groups of the instruction in a row of taps: tiles of equal size, half full or more. */
static int64_t whole_taps(int64_t columns, int64_t pixel)
{
    for (int64_t taps = columns;; taps++) {
        const int64_t row = taps * pixel;
        const int64_t tiles = (row + TILE_ROW - 1) / TILE_ROW;
        if (row >= TILE_ROW / 2 && row % (2 * tiles) == 0) {
            return taps;
        }
    }
}

static bool joins(const Graph *g, NodeId id, Joined *j)
{
    const Node *n = &g->node.at[id];
    if (n->op != OP_CONV || n->nin > 3 || node_attr(n, "winograd") ||
        node_int(n, "group", 1) != 1 || g->value.at[n->in[0]].rank != 4 ||
        g->value.at[n->in[0]].dtype != DT_F32 || !is_constant_term(g, n->in[1])) {
        return false;
    }
    const ValueId x = n->in[0], w = n->in[1];
    if (!dims_of(g, x, 1, &j->channels, &j->height) || !dims_of(g, x, 2, &j->height, &j->width) ||
        !dims_of(g, w, 0, &j->outputs, &j->channels) || !dims_of(g, w, 2, &j->rows, &j->columns)) {
        return false;
    }
    const Window win = window_of(g->x, n, 2, g->value.at[x].dim + 2, g->value.at[w].dim + 2);
    for (int k = 0; k < 2; k++) {
        if (!expr_is_int(g->x, win.pad[k], &j->pads[k]) ||
            !expr_is_int(g->x, win.pad_end[k], &j->pads[2 + k]) || j->pads[k] < 0 ||
            j->pads[2 + k] < 0) {
            return false;
        }
        j->strides[k] = win.stride[k];
    }
    j->dilation = win.dilation[0];
    j->pixel = j->channels == 1 ? 1 : (j->channels + 1) / 2 * 2;
    j->taps = whole_taps(j->columns, j->pixel);
    const int64_t uses = j->outputs * j->rows * j->columns / (j->strides[0] * j->strides[1]);
    return j->channels <= MOST_CHANNELS && j->columns > 1 && win.dilation[1] == 1 &&
           j->outputs >= TILE_ROWS && uses >= LEAST_USES;
}

static ValueId append(Graph *g, NodeId before, OpCode op, const char *what, ValueId a, ValueId b)
{
    const ValueId in[2] = {a, b};
    const NodeId id = insert_node(g, before, op, what, b < 0 ? 1 : 2, in);
    if (op == OP_TRANSPOSE) {
        node_set_ints(g, id, "perm", 4, (const int64_t[]){0, 2, 3, 1});
    }
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

/* v (A, C, H, W) with zeros around it, as (A, 1, H', W'*C'): channels side by side. */
static ValueId in_rows(Graph *g, NodeId before, ValueId v, const int64_t *pads, int64_t height,
                       int64_t row)
{
    const ValueId padded =
        append(g, before, OP_PAD, "pad", v, graph_const_ints(g, "pads", 8, pads));
    const ValueId pixels = append(g, before, OP_TRANSPOSE, "pixels", padded, -1);
    const int64_t shape[4] = {0, 1, height, row};
    return append(g, before, OP_RESHAPE, "rows", pixels, graph_const_ints(g, "shape", 4, shape));
}

static void join(Graph *g, NodeId id, const Joined *j)
{
    const Node *n = &g->node.at[id];
    const int64_t more = j->pixel - j->channels, columns = j->taps - j->columns;
    const int64_t around[8] = {0, 0,    j->pads[0], j->pads[1],
                               0, more, j->pads[2], j->pads[3] + columns};
    const int64_t behind[8] = {0, 0, 0, 0, 0, more, 0, columns};
    const int64_t height = j->height + j->pads[0] + j->pads[2],
                  width = j->width + j->pads[1] + j->pads[3] + columns;
    const ValueId x = in_rows(g, id, n->in[0], around, height, width * j->pixel);
    n = &g->node.at[id];
    const ValueId w = in_rows(g, id, n->in[1], behind, j->rows, j->taps * j->pixel);
    n = &g->node.at[id];
    const ValueId in[3] = {x, w, n->nin > 2 ? n->in[2] : -1};
    change_node(g, id, OP_CONV, n->nin, in);
    node_set_ints(g, id, "strides", 2, (const int64_t[]){j->strides[0], j->strides[1] * j->pixel});
    node_set_ints(g, id, "dilations", 2, (const int64_t[]){j->dilation, 1});
}

Graph *pass_join_taps(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    if (precision_is_f32(opt->precision) ||
        intrinsic_find_tile(&opt->target, DT_BF16, DT_BF16, DT_F32) < 0) {
        return g;
    }
    const int known = g->node.len;
    for (NodeId id = 0; id < known; id++) {
        Joined j;
        /* Not in bodies: only what the main block computes from constants is folded. */
        if (g->node.at[id].home == 0 && joins(g, id, &j)) {
            join(g, id, &j);
            ++*count;
        }
    }
    return g;
}
