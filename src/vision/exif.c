#include "vision/exif.h"

#include <string.h>

#define ORIENTATION 0x0112
#define SHORT 3

static unsigned u16(const uint8_t *at, bool little)
{
    return little ? at[0] | (unsigned)at[1] << 8 : (unsigned)at[0] << 8 | at[1];
}

static uint32_t u32(const uint8_t *at, bool little)
{
    const uint32_t low = u16(at + (little ? 0 : 2), little),
                   high = u16(at + (little ? 2 : 0), little);
    return high << 16 | low;
}

/* Of the first directory; 1: it does not say. */
static unsigned tiff_orientation(const uint8_t *at, size_t n)
{
    if (n < 8 || (memcmp(at, "II*\0", 4) != 0 && memcmp(at, "MM\0*", 4) != 0))
        return 1;
    const bool little = at[0] == 'I';
    const size_t first = u32(at + 4, little);
    if (first > n - 2)
        return 1;
    const unsigned count = u16(at + first, little);
    for (size_t i = 0, p = first + 2; i < count && p + 12 <= n; i++, p += 12)
        if (u16(at + p, little) == ORIENTATION && u16(at + p + 2, little) == SHORT)
            return u16(at + p + 8, little);
    return 1;
}

/* Of the segments before the picture the first that is EXIF. */
static unsigned jpeg_orientation(const uint8_t *at, size_t n)
{
    if (n < 4 || at[0] != 0xff || at[1] != 0xd8)
        return 1;
    for (size_t i = 2; i + 4 <= n && at[i] == 0xff && at[i + 1] != 0xda && at[i + 1] != 0xd9;) {
        const size_t size = u16(at + i + 2, false);
        if (at[i + 1] == 0xff) { /* filled up */
            i++;
            continue;
        }
        if (size < 2 || size > n - i - 2)
            return 1;
        if (at[i + 1] == 0xe1 && size >= 8 && memcmp(at + i + 4, "Exif\0\0", 6) == 0)
            return tiff_orientation(at + i + 10, size - 8);
        i += 2 + size;
    }
    return 1;
}

FrameTurn exif_turn(const uint8_t *at, size_t n)
{
    static const FrameTurn of[] = {
        [2] = {.flip_x = true},
        [3] = {.flip_x = true, .flip_y = true},
        [4] = {.flip_y = true},
        [5] = {.swapped = true},
        [6] = {.swapped = true, .flip_x = true},
        [7] = {.swapped = true, .flip_x = true, .flip_y = true},
        [8] = {.swapped = true, .flip_y = true},
    };
    const unsigned o = jpeg_orientation(at, n);
    return o < sizeof of / sizeof *of ? of[o] : (FrameTurn){0};
}
