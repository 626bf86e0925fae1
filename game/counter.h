/* The number of a frame, drawn into the frame: a bar of black and white cells at its top left.
 *
 *     # . # .  24 bits of the number, most significant first  8 bits of CRC     (# white)
 *
 * A cell is a square of an 80th of the picture's width (16 pixels of 1280), so that it is found
 * again after scaling, and covers whole macroblocks where H.264 works at a low bit rate. Reading
 * looks at luma alone. The four cells at the start give the levels; the CRC (polynomial 0x07
 * over the three bytes, inverted at the end) refuses what is damaged, and a picture without a
 * bar. */
#ifndef LATHE_GAME_COUNTER_H
#define LATHE_GAME_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

#include "vision/picture.h"

#define COUNTER_CELLS 36 /* wide */
#define COUNTER_UNITS 80 /* cells in the width of the picture */
#define COUNTER_MAX ((1u << 24) - 1)

/* Draws number & COUNTER_MAX. */
void counter_draw(Picture *p, uint32_t number);
/* False: no bar, or a damaged one. The picture has to be at least 160 pixels wide. */
bool counter_read(const uint8_t *luma, int stride, int width, int height, uint32_t *number);

#endif
