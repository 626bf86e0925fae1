/* The bar of cells that tells a frame's number: see counter.h. */
#include "game/counter.h"

#include "vision/draw.h"

#define MARK 4 /* cells: white, black, white, black */
#define MIN_CONTRAST 48

static uint8_t crc8(uint32_t number)
{
    uint8_t crc = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        crc ^= (uint8_t)(number >> shift);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
    }
    return crc ^ 0xff; /* so that a bar that is black behind its mark is no number */
}

/* Where cell i begins, in pixels: cells of a width that is no multiple of 80 differ by one. */
static int edge(int width, int i)
{
    return (int)((int64_t)width * i / COUNTER_UNITS);
}

void counter_draw(Picture *p, uint32_t number)
{
    number &= COUNTER_MAX;
    const uint32_t bits[2] = {number, crc8(number)};
    const int height = edge(p->width, 1);
    for (int i = 0; i < COUNTER_CELLS; i++) {
        const int bit = i - MARK;
        const bool white = bit < 0 ? i % 2 == 0
                           : bit < 24 ? bits[0] >> (23 - bit) & 1
                                      : bits[1] >> (31 - bit) & 1;
        const uint8_t level = white ? 255 : 0;
        draw_rectangle(p, edge(p->width, i), 0, edge(p->width, i + 1) - edge(p->width, i), height,
                       (Colour){level, level, level});
    }
}

/* Mean of the middle of a cell: its edges carry the blur of scaling and the ringing of
 * transforms. */
static int cell_level(const uint8_t *luma, int stride, int width, int i)
{
    const int x0 = edge(width, i), size = edge(width, i + 1) - x0, height = edge(width, 1);
    const int margin = size / 4, top = height / 4;
    int sum = 0, n = 0;
    for (int y = top; y < height - top; y++) {
        for (int x = x0 + margin; x < x0 + size - margin; x++) {
            sum += luma[(int64_t)y * stride + x];
            n++;
        }
    }
    return sum / n;
}

bool counter_read(const uint8_t *luma, int stride, int width, int height, uint32_t *number)
{
    if (width < 160 || height < edge(width, 1))
        return false;
    int level[COUNTER_CELLS];
    for (int i = 0; i < COUNTER_CELLS; i++)
        level[i] = cell_level(luma, stride, width, i);
    const int white = (level[0] + level[2]) / 2, black = (level[1] + level[3]) / 2;
    if (white - black < MIN_CONTRAST)
        return false;
    uint32_t bits[2] = {0, 0};
    for (int i = 0; i < COUNTER_CELLS; i++) {
        const bool on = level[i] * 2 > white + black;
        if (i < MARK) {
            if (on != (i % 2 == 0))
                return false;
        } else {
            uint32_t *const b = &bits[i >= MARK + 24];
            *b = *b << 1 | on;
        }
    }
    if (bits[1] != crc8(bits[0]))
        return false;
    *number = bits[0];
    return true;
}
