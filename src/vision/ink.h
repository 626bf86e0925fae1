/* Where in a cell does the writing stand?
 *
 * Recognisers of text are trained on lines that are cut out closely: of a single digit in the
 * middle of a wide cell most read nothing. So the cell is cut down to its ink first, with a
 * margin. */
#ifndef LATHE_VISION_INK_H
#define LATHE_VISION_INK_H

#include <stdbool.h>
#include <stdint.h>

#define INK_MIN_CONTRAST 24 /* levels; less is no writing */

typedef struct InkBox { /* pixels [x0, x1) x [y0, y1) */
    int x0, y0, x1, y1;
} InkBox;

/* luma (height, width) without padding. Background is the median, ink what differs from it by more
 * than half of the greatest contrast. False: there is none, the cell is blank. */
bool ink_find(const uint8_t *luma, int width, int height, InkBox *out);

#endif
