/* block_channels: images between convolutions get their channels in vector-sized blocks.
 *
 *     y f32[N,C,H,W] of a convolution      layout N, C/8, H, W, 8c   (16c with 512-bit vectors)
 *
 * Every op understands every layout (index maps are logical), so no conversion nodes are needed:
 * what reads a blocked value reads it where it lies. But for convolutions of narrow types, which
 * are to read blocks: where what they read is plain, as a caller's image is, a copy comes
 * before. Which values, and why: image_layouts.c. */
#include "base/map.h"
#include "op/conv.h"
#include "op/op.h"
#include "pass/edit.h"
#include "pass/image_layouts.h"

/* The value in blocks, made in front of its first reader. */
static ValueId copy_to_blocks(Graph *g, NodeId before, ValueId x, const Target *t, IntMap *copies)
{
    const int made = intmap_get(copies, (uint64_t)x, -1);
    if (made >= 0) {
        return made;
    }
    const NodeId id = insert_node(g, before, OP_IDENTITY, "blocks", 1, &x);
    op_infer_node(g, id);
    const ValueId y = g->node.at[id].out[0];
    g->value.at[y].layout = image_layout(g, y, IMAGE_BLOCKED, t);
    intmap_put(copies, (uint64_t)x, y);
    return y;
}

static bool wants_copy(const Graph *g, NodeId id, const NodeForm *form, const Target *t)
{
    const Node *n = &g->node.at[id];
    return form->in == IMAGE_BLOCKED && conv_inputs(n->op).w >= 0 && is_narrow_image(g, n->in[0]) &&
           layout_is_plain(&g->value.at[n->in[0]].layout) &&
           image_fits(g, n->in[0], IMAGE_BLOCKED, t);
}

Graph *pass_block_channels(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    const ImageForms forms = image_forms_choose(g, opt, false);
    const Block *b = &g->block.at[0];
    const int len = b->node.len;
    const NodeId *order = arena_dup(ctx->arena, b->node.at, sizeof *order * (size_t)len);
    for (int i = 0; i < len; i++) {
        const Node *n = &g->node.at[order[i]];
        const ImageLayout out = forms.form[order[i]].out;
        for (int k = 0; k < n->nout && out != IMAGE_PLAIN; k++) {
            if (n->out[k] >= 0) {
                g->value.at[n->out[k]].layout = image_layout(g, n->out[k], out, &opt->target);
            }
        }
        *count += out != IMAGE_PLAIN;
    }
    IntMap copies = intmap_new(ctx->arena);
    for (int i = 0; i < len; i++) {
        if (wants_copy(g, order[i], &forms.form[order[i]], &opt->target)) {
            const ValueId blocks =
                copy_to_blocks(g, order[i], g->node.at[order[i]].in[0], &opt->target, &copies);
            g->node.at[order[i]].in[0] = blocks;
            ++*count;
        }
    }
    return g;
}
