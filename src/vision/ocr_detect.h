/* From a text detector's probability map to boxes: the post-processing of DB ("Real-time Scene Text
 * Detection with Differentiable Binarization", Liao et al. 2020, section 3.4).
 *
 * The map says of each pixel how likely it lies in the *shrunk* core of a text line. So: threshold,
 * connected parts, the smallest rectangle around each (at any angle), its mean probability as the
 * score, and the rectangle grown back by area * unclip / perimeter on every side. */
#ifndef LATHE_VISION_OCR_DETECT_H
#define LATHE_VISION_OCR_DETECT_H

#include "vision/picture.h"

typedef struct OcrDetectOptions {
    float pixel_threshold; /* of the map */
    float box_threshold;   /* of a box's mean */
    float unclip;          /* how much was shrunk away */
    float min_side;        /* of the shrunk rectangle, in pixels of the map */
} OcrDetectOptions;
/* What PP-OCR's detectors are used with. */
#define OCR_DETECT_DEFAULTS                                                                        \
    ((OcrDetectOptions){                                                                           \
        .pixel_threshold = 0.3f, .box_threshold = 0.5f, .unclip = 1.6f, .min_side = 3})

typedef struct OcrBox {
    Quad quad;   /* in pixels of the source */
    float score; /* 0 to 1 */
} OcrBox;

/* map (height, width), the detector's view of a source of source_width x source_height pixels.
 * Boxes in reading order: by lines, then from left to right. */
int ocr_detect(Arena *a, const float *map, int width, int height, int source_width,
               int source_height, const OcrDetectOptions *opt, OcrBox **out);

/* For tests. Smallest rectangle around n points, its corners ordered as in Quad; points
 * are re-ordered. A degenerate set gives a rectangle of no area. */
Quad min_area_rectangle(Point *at, int n);

#endif
