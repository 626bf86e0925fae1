/* RGB to planar YUV, and noise: see yuv.h. Coefficients of ITU-R BT.709 3.3 in 1/65536. */
#include "game/yuv.h"

#include <math.h>

#include "game/dice.h"

Yuv yuv_new(Arena *a, int width, int height)
{
    return (Yuv){
        .width = width,
        .height = height,
        .plane = {arena_array_of(a, width * height, uint8_t),
                  arena_array_of(a, width * height / 4, uint8_t),
                  arena_array_of(a, width * height / 4, uint8_t)},
        .stride = {width, width / 2, width / 2},
    };
}

static void luma_row(uint8_t *to, const uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, rgb += 3)
        to[x] =
            (uint8_t)((11966 * rgb[0] + 40254 * rgb[1] + 4064 * rgb[2] + (16 << 16) + 32768) >> 16);
}

/* Two rows of pixels to one of chroma: the mean of the rows, and 1 2 1 around each even column. */
static void chroma_row(uint8_t *u, uint8_t *v, const uint8_t *top, const uint8_t *bottom, int width)
{
    for (int x = 0; x < width; x += 2) {
        const int left = x > 0 ? (x - 1) * 3 : 0, here = x * 3, right = here + 3;
        int c[3];
        for (int k = 0; k < 3; k++)
            c[k] = top[left + k] + 2 * top[here + k] + top[right + k] + bottom[left + k] +
                   2 * bottom[here + k] + bottom[right + k];
        u[x / 2] =
            (uint8_t)((-6596 * c[0] - 22189 * c[1] + 28785 * c[2] + 8 * (128 << 16) + (1 << 18)) >>
                      19);
        v[x / 2] =
            (uint8_t)((28785 * c[0] - 26146 * c[1] - 2639 * c[2] + 8 * (128 << 16) + (1 << 18)) >>
                      19);
    }
}

void yuv_from_picture(const Yuv *out, const Picture *p)
{
    const size_t row = (size_t)p->width * 3;
    for (int y = 0; y < p->height; y++)
        luma_row(out->plane[0] + (size_t)y * (size_t)out->stride[0], p->rgb + (size_t)y * row,
                 p->width);
    for (int y = 0; y < p->height; y += 2) {
        const size_t at = (size_t)(y / 2) * (size_t)out->stride[1];
        const uint8_t *const top = p->rgb + (size_t)y * row;
        chroma_row(out->plane[1] + at, out->plane[2] + at, top, top + row, p->width);
    }
}

#define TABLE 4096

void yuv_add_noise(const Yuv *out, double sigma, uint64_t seed, int frame)
{
    if (sigma <= 0)
        return;
    Dice d = dice_new(seed + (uint64_t)frame, "noise");
    int16_t table[TABLE];
    for (int i = 0; i < TABLE; i += 2) { /* Box and Muller's pairs */
        const double r = sigma * sqrt(-2 * log(1 - dice_unit(&d))),
                     angle = dice_real(&d, 0, 6.283185307179586);
        table[i] = (int16_t)lrint(r * cos(angle));
        table[i + 1] = (int16_t)lrint(r * sin(angle));
    }
    for (int y = 0; y < out->height; y++) {
        uint8_t *const to = out->plane[0] + (size_t)y * (size_t)out->stride[0];
        const uint32_t from = (uint32_t)dice_next(&d);
        for (int x = 0; x < out->width; x++) {
            const int v = to[x] + table[(from + (uint32_t)x) % TABLE];
            to[x] = (uint8_t)(v < 16 ? 16 : v > 235 ? 235 : v);
        }
    }
}
