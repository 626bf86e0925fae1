/* Has a picture changed? Cheap looks at luma, before anything dear is done with it.
 *
 *     signature   means of a grid of cells of a region: two of them tell whether what a signal reads there has to be read
 *                 again. 0.001 ms for a score's 60x26 pixels
 *     share       how many pixels of two small gray pictures differ: motion */
#ifndef LATHE_KERNEL_CHANGE_H
#define LATHE_KERNEL_CHANGE_H

#include "kernel/frame.h"

#define CHANGE_MOST 32 /* cells along an axis */

typedef struct ChangeSignature {
    int columns, rows; /* 0: nothing seen yet */
    uint8_t cell[CHANGE_MOST * CHANGE_MOST]; /* (rows, columns), mean level */
} ChangeSignature;

/* Cells of 8 to 15 pixels a side, but at least 8 along each axis, if there are as many pixels, and
 * at most CHANGE_MOST: so small that one letter shows in one of them. The region is taken in whole
 * pixels; outside the frame the nearest pixel. Of cells of more than 16 rows 16 are looked at,
 * evenly spaced. RGB: the mean of the three. Of turned frames the cells are as they lie in
 * memory. */
void change_signature(const Frame *f, const FrameBox *box, ChangeSignature *out);

typedef struct Change {
    float mean;  /* absolute difference of levels, of all cells */
    int largest; /* of one cell */
} Change;
/* Signatures of different grids, or none: 255, 255. */
Change change_between(const ChangeSignature *a, const ChangeSignature *b);

/* Share of pixels that differ by more than `threshold` levels, 0 to 1; pictures of `width` x
 * `height`. */
float change_share(const uint8_t *a, int stride_a, const uint8_t *b, int stride_b, int width,
                   int height, int threshold);

#endif
