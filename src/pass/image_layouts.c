/* Which layout each image gets: by rule.
 *
 * Blocked are rank-4 f32 values that are made by a convolution or window op, or pointwise from such values, or are
 * concatenations and slices of them that keep blocks whole, if the channel count is a multiple of the block. Graph and
 * block inputs and outputs stay plain, and so does what routines of kernel/ and control flow read. */
#include "pass/edit.h"
#include "pass/image_layouts.h"
#include "pass/node_facts.h"

int image_block(const Target *t)
{
    return target_lanes(t, 4);
}

Layout image_layout(ImageLayout kind, const Target *t)
{
    return kind == IMAGE_PLAIN
               ? (Layout){0}
               : (Layout){.n = 5, .dim = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, (int32_t)image_block(t)}}};
}

static bool can_block(const Graph *g, ValueId v, int block)
{
    const Value *value = &g->value.at[v];
    int64_t channels;
    return value->rank == 4 && value->dtype == DT_F32 && !is_block_output(g, v) &&
           expr_is_int(g->x, value->dim[1], &channels) && channels % block == 0;
}

static bool image(const Graph *g, ValueId v)
{
    return v >= 0 && g->value.at[v].rank == 4 && !g->value.at[v].constant;
}

/* All images that the node reads are blocked, and there is one. */
static bool reads_blocked(const Graph *g, const Node *n, const ImageLayout *layout)
{
    bool any = false;
    for (int k = 0; k < n->nin; k++) {
        if (image(g, n->in[k])) {
            if (layout[n->in[k]] == IMAGE_PLAIN) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

/* Boxes of whole blocks of channels, in one array or from several. */
static bool moves_blocks(Graph *g, NodeId id, int block)
{
    const NodeViews views = node_views(g, id);
    if (views.kind != VIEW_SLICES && views.kind != VIEW_CONCAT) {
        return false;
    }
    const Node *n = &g->node.at[id];
    const bool slices = views.kind == VIEW_SLICES;
    for (int k = 0; k < (slices ? n->nout : n->nin); k++) {
        int64_t at, channels;
        const Value *part = &g->value.at[slices ? n->out[k] : n->in[k]];
        if (!expr_is_int(g->x, views.at[k][1], &at) || at % block != 0 ||
            !expr_is_int(g->x, part->dim[1], &channels) || channels % block != 0) {
            return false;
        }
    }
    return true;
}

const ImageLayout *image_layouts_choose(Graph *g, const PassOptions *opt)
{
    const int block = image_block(&opt->target);
    ImageLayout *layout = arena_array_of(g->ctx->arena, g->value.len + 1, ImageLayout);
    const bool *routines = read_by_routines(g);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        bool can = n->nout > 0;
        for (int k = 0; k < n->nout; k++) {
            can &= n->out[k] < 0 || (can_block(g, n->out[k], block) && !routines[n->out[k]]);
        }
        if (!can) {
            continue;
        }
        const NodeFacts f = node_facts(g, b->node.at[i]);
        if (!f.makes_channels && !(reads_blocked(g, n, layout) && (f.keeps_channels || moves_blocks(g, b->node.at[i], block)))) {
            continue;
        }
        for (int k = 0; k < n->nout; k++) {
            if (n->out[k] >= 0) {
                layout[n->out[k]] = IMAGE_BLOCKED;
            }
        }
    }
    return layout;
}
