/* One picture out of many of the same place: what stays the same counts, the rest is transparent.
 *
 *     colour   the median of each channel
 *     spread   the deviation of luma from its median that four fifths of the pictures keep to: covers and flashes in
 *              some of them do not count
 *     alpha    255 up to twice the noise, 0 from four times on; noise: the spread of the stillest tenth of the pixels, which
 *              is what compression does to a picture that stands still, 2 to 5 levels
 *
 * A pixel that differs from most of those around it is one by chance, and follows them. */
#ifndef LATHE_WATCH_LEARN_MASK_H
#define LATHE_WATCH_LEARN_MASK_H

#include "vision/picture.h"

typedef struct Masked {
    Picture *picture;
    uint8_t *alpha;      /* (height, width) */
    int left, top, width, height; /* the part that is not all transparent; width 0: there is none */
    float opaque;        /* mean of alpha in it, 0 to 1 */
} Masked;

/* n > 0 pictures of one size. */
Masked mask_still(Arena *a, int n, const Picture *const *p);

#endif
