/* Normalised cross-correlation: where in a gray picture does a template lie, and how well does it
 * fit?
 *
 *     r(x, y) = sum m (I - mean_m I)(T - mean_m T) / sqrt( sum m (I - mean_m I)^2 * sum m (T - mean_m T)^2 )
 *
 * over the template's pixels at offset (x, y), weights m (0..255) of its mask (Lewis, "Fast
 * Normalized Cross-Correlation", 1995; with a mask: Padfield 2012). -1 to 1. Where the picture
 * under the template, or the template itself, is flat (a variance below NCC_FLAT levels squared
 * a pixel) nothing can be said: such places are no match, and if all are, the result is flat. No
 * place gives NaN. Integer sums throughout: every variant gives the same result to the bit. */
#ifndef LATHE_KERNEL_NCC_H
#define LATHE_KERNEL_NCC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "kernel/simd_level.h"

#define NCC_FLAT 4.0
#define NCC_MAX_SIDE 512 /* of templates */

typedef struct NccImage {
    int width, height, stride; /* stride in bytes */
    const uint8_t *at;
} NccImage;

typedef struct NccTemplate NccTemplate;

/* Template (height, width) of `image`; mask of the same size, NULL: all 255. The sums that do not
 * depend on the picture are made here. */
NccTemplate *ncc_template(Arena *a, const NccImage *image, const NccImage *mask);

typedef struct NccMatch {
    bool flat;   /* nothing can be said */
    float score; /* of the best place */
    int x, y;    /* its top left */
    /* the peak's place between pixels, by a parabola through its neighbours: -0.5 to 0.5 */
    float dx, dy;
} NccMatch;

/* Bytes of scratch that a search in pictures of this size needs. */
int64_t ncc_scratch(const NccTemplate *t, int width, int height);
/* All places in the picture, each exactly. A picture smaller than the template: flat. The first of
 * equal scores wins. */
NccMatch ncc_search(const NccTemplate *t, const NccImage *image, SimdLevel level, void *scratch);
/* A coarse search at half the size, twice if the template is large enough, and an exact one around
 * its best places. Its score is exact for the place it gives; it may miss the best place where a
 * coarse view cannot tell places apart. */
NccMatch ncc_search_coarse(const NccTemplate *t, const NccImage *image, SimdLevel level,
                           void *scratch);

#endif
