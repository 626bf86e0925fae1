/* Pictures as inputs of models.
 *
 *     picture (h, w, rgb)  ->  resized to the input's H, W  ->  (value - mean) * scale  ->  (1,3,H,W) or (1,H,W,3)
 *
 * Resizing is bilinear with half-pixel centres. The dim of 3 (colours) or 1 (grey) says which of
 * the two it is. */
#ifndef LATHE_TOOLS_IMAGE_INPUT_H
#define LATHE_TOOLS_IMAGE_INPUT_H

#include "tools/tool.h"

typedef struct ImageOptions {
    bool bgr;
    bool given;              /* mean or scale: else u8 inputs get the pixels as they are */
    double mean[3], scale[3]; /* of 0 .. 255, by channel of the input */
} ImageOptions;

/* --mean, --scale, --bgr. */
int image_options(Args *a, ImageOptions *out, Error *e);
bool image_is_file(const char *path); /* by its name: .png, .jpg, .jpeg */
/* Refuses an input that is no image. Open sizes: the picture's own; an open first dim: 1. */
int image_read(const char *path, const struct Port *p, const ImageOptions *opt, Tensor **out,
               Error *e);

#endif
