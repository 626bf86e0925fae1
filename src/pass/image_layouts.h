/* Layouts of images: which there are, and which each value is to get. Private to pass/.
 *
 * The choice is apart from the rewriting (block_channels.c), which only does what was chosen. */
#ifndef LATHE_PASS_IMAGE_LAYOUTS_H
#define LATHE_PASS_IMAGE_LAYOUTS_H

#include "pass/pass.h"

typedef enum ImageLayout {
    IMAGE_PLAIN,   /* N, C, H, W */
    IMAGE_BLOCKED, /* N, C/8, H, W, 8c: as many channels as a vector has lanes */
    IMAGE_LAYOUTS,
} ImageLayout;

/* Channels in a block. */
int image_block(const Target *t);
Layout image_layout(ImageLayout kind, const Target *t);
/* By value of g: its layout. IMAGE_PLAIN also stands for all that is no image. */
const ImageLayout *image_layouts_choose(Graph *g, const PassOptions *opt);

#endif
