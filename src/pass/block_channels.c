/* block_channels: images between convolutions get their channels in vector-sized blocks.
 *
 *     y f32[N,C,H,W] of a convolution      layout N, C/8, H, W, 8c   (16c with 512-bit vectors)
 *
 * Every op understands every layout (index maps are logical), so no conversion nodes are needed: what
 * reads a blocked value reads it where it lies. Which values, and why: image_layouts.c. */
#include "pass/edit.h"
#include "pass/image_layouts.h"

Graph *pass_block_channels(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    const ImageForms forms = image_forms_choose(g, opt, false);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        const ImageLayout out = forms.form[b->node.at[i]].out;
        for (int k = 0; k < n->nout && out != IMAGE_PLAIN; k++) {
            if (n->out[k] >= 0) {
                g->value.at[n->out[k]].layout = image_layout(g, n->out[k], out, &opt->target);
            }
        }
        *count += out != IMAGE_PLAIN;
    }
    return g;
}
