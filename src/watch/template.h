/* Reference pictures as signals compare them: gray, with a mask, in any size and rotation. */
#ifndef LATHE_WATCH_TEMPLATE_H
#define LATHE_WATCH_TEMPLATE_H

#include "kernel/ncc.h"
#include "watch/watch.h"

typedef struct Gray { /* rows without padding */
    int width, height;
    uint8_t *luma, *mask; /* mask: 255 where it counts */
} Gray;

/* A file of Reference. Luma is 0..255 by BT.709's weights, as frame.h makes it of a frame. */
int gray_read(Arena *a, const char *path, bool mask, Gray *out, Error *e);
/* By `scale`, then turned clockwise by `degrees` about its middle; large enough for all of it. What
 * lies outside has mask 0. Shrinking takes means, so that small marks do not vanish. */
Gray gray_transform(Arena *a, const Gray *g, double scale, double degrees);
/* Nothing in it that a correlation could hold on to (NCC_FLAT). */
bool gray_is_flat(const Gray *g);
NccTemplate *gray_template(Arena *a, const Gray *g);

#endif
