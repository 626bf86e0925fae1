/* A region of a frame as a model wants to see it: fitted, filled up, normalised (watch.h:
 * PictureInput). */
#ifndef LATHE_WATCH_PICTURE_INPUT_H
#define LATHE_WATCH_PICTURE_INPUT_H

#include "watch/observe_parts.h"

typedef struct PicturePlace { /* pixel of the region = pixel of the input * scale + shift; frame's
                                 pixels, continuous */
    double scale_x, scale_y, shift_x, shift_y;
} PicturePlace;

/* Width and height: as configured, else as the model says, else `missing`. ERR_INVALID: the model
 * fixes another. */
int picture_input_size(const PictureInput *in, const InferModel *model, int missing, int *width,
                       int *height, Error *e);
/* planes (3, height, width) from a box of the frame. `area`: means where it shrinks, as classifiers
 * are trained; detectors are shown bilinear samples (OpenCV's default). */
PicturePlace picture_input_fill(const Look *l, const FrameBox *box, const PictureInput *in,
                                int width, int height, bool area, float *planes);
/* The labels of a file, or of the model's metadata `names`; NULL and n = 0: the model names
 * none. */
int picture_labels(Arena *a, const char *file, const InferModel *model, const char *const **out,
                   int *n, Error *e);

#endif
