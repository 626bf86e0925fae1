/* Medians of the few values that a pixel has, by insertion. */
#include "watch/learn_mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_NOISE 2.0f /* levels: what rounding does .. */
#define MOST_NOISE 5.0f  /* .. and a bad camera: more than that moves */

#define FINE 16              /* parts of a level */

static void sort(int n, uint16_t *v)
{
    for (int i = 1; i < n; i++) {
        const uint16_t x = v[i];
        int k = i;
        for (; k > 0 && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

static int by_level(const void *x, const void *y)
{
    return *(const uint16_t *)x - *(const uint16_t *)y;
}

static uint8_t median(int n, const Picture *const *p, size_t at, uint16_t *value)
{
    for (int k = 0; k < n; k++)
        value[k] = p[k]->rgb[at];
    sort(n, value);
    return (uint8_t)value[n / 2];
}

/* Of luma, in parts of a level. */
static uint16_t spread(int n, const Picture *const *p, size_t pixel, uint16_t *value)
{
    for (int k = 0; k < n; k++) {
        const uint8_t *const c = p[k]->rgb + 3 * pixel;
        value[k] = (uint16_t)((13933 * c[0] + 46871 * c[1] + 4732 * c[2]) * FINE >> 16);
    }
    sort(n, value);
    const int middle = value[n / 2];
    for (int k = 0; k < n; k++)
        value[k] = (uint16_t)abs(value[k] - middle);
    sort(n, value);
    return value[(n - 1) * 4 / 5];
}

/* Median of the 3 x 3 around it, as far as there are any. */
static uint8_t smooth(const uint8_t *alpha, int width, int height, int x, int y)
{
    uint16_t around[9];
    int n = 0;
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            if (i >= 0 && j >= 0 && i < width && j < height)
                around[n++] = alpha[j * width + i];
    sort(n, around);
    return (uint8_t)around[n / 2];
}

static void bound(Masked *m)
{
    const int width = m->picture->width, height = m->picture->height;
    int x0 = width, y0 = height, x1 = 0, y1 = 0;
    double sum = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const uint8_t a = m->alpha[y * width + x];
            sum += a;
            if (a == 0)
                continue;
            x0 = x < x0 ? x : x0;
            x1 = x + 1 > x1 ? x + 1 : x1;
            y0 = y < y0 ? y : y0;
            y1 = y + 1;
        }
    m->left = x0;
    m->top = y0;
    m->width = x1 > x0 ? x1 - x0 : 0;
    m->height = x1 > x0 ? y1 - y0 : 0;
    m->opaque = m->width > 0 ? (float)(sum / 255 / m->width / m->height) : 0;
}

Masked mask_still(Arena *a, int n, const Picture *const *p)
{
    const int width = p[0]->width, height = p[0]->height;
    const size_t pixels = (size_t)width * (size_t)height;
    Masked m = {.picture = picture_new(a, width, height), .alpha = arena_alloc(a, pixels)};
    Arena *const tmp = arena_new();
    uint16_t *const value = arena_array_of(tmp, n, uint16_t);
    uint16_t *const level = arena_array(tmp, pixels, sizeof *level),
                    *const sorted = arena_array(tmp, pixels, sizeof *sorted);
    uint8_t *const raw = arena_alloc(tmp, pixels);
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < 3; c++)
            m.picture->rgb[3 * i + c] = median(n, p, 3 * i + c, value);
        level[i] = spread(n, p, i, value);
    }
    memcpy(sorted, level, pixels * sizeof *sorted);
    qsort(sorted, pixels, sizeof *sorted, by_level);
    const float noise = fminf(MOST_NOISE, fmaxf(LEAST_NOISE, (float)sorted[pixels / 10] / FINE));
    for (size_t i = 0; i < pixels; i++)
        raw[i] =
            (uint8_t)lrintf(255 *
                            fminf(1, fmaxf(0, (4 * noise - (float)level[i] / FINE) / (2 * noise))));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            m.alpha[y * width + x] = smooth(raw, width, height, x, y);
    arena_free(tmp);
    bound(&m);
    return m;
}
