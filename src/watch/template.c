/* Resampling by four samples a pixel each way where it shrinks: templates are made once. */
#include "watch/template.h"

#include <math.h>

#include "vision/picture.h"

int gray_read(Arena *a, const char *path, bool mask, Gray *out, Error *e)
{
    Picture *p;
    uint8_t *alpha;
    const int code = picture_read_alpha(a, path, &p, &alpha, e);
    if (code != 0)
        return code;
    const size_t n = (size_t)p->width * (size_t)p->height;
    *out = (Gray){p->width, p->height, arena_alloc(a, n), arena_alloc(a, n)};
    for (size_t i = 0; i < n; i++) {
        const uint8_t *const c = p->rgb + 3 * i;
        out->luma[i] = (uint8_t)lrint(0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]);
        out->mask[i] = mask ? alpha[i] : 255;
    }
    return 0;
}

typedef struct Sum { /* of samples */
    double luma, mask; /* luma: weighted by the mask */
} Sum;

static void add_pixel(const Gray *g, int x, int y, double weight, Sum *s)
{
    if (x < 0 || y < 0 || x >= g->width || y >= g->height)
        return;
    const size_t i = (size_t)y * (size_t)g->width + (size_t)x;
    s->mask += weight * g->mask[i];
    s->luma += weight * g->mask[i] * g->luma[i];
}

/* Bilinear, at a place in pixels. */
static void add_sample(const Gray *g, double x, double y, Sum *s)
{
    const double fx = floor(x - 0.5), fy = floor(y - 0.5), u = x - 0.5 - fx, v = y - 0.5 - fy;
    const int i = (int)fx, j = (int)fy;
    add_pixel(g, i, j, (1 - u) * (1 - v), s);
    add_pixel(g, i + 1, j, u * (1 - v), s);
    add_pixel(g, i, j + 1, (1 - u) * v, s);
    add_pixel(g, i + 1, j + 1, u * v, s);
}

Gray gray_transform(Arena *a, const Gray *g, double scale, double degrees)
{
    const double turn = degrees * M_PI / 180, c = cos(turn) / scale, s = sin(turn) / scale;
    const double w = scale * (fabs(cos(turn)) * g->width + fabs(sin(turn)) * g->height);
    const double h = scale * (fabs(sin(turn)) * g->width + fabs(cos(turn)) * g->height);
    Gray out = {.width = (int)fmax(1, ceil(w - 1e-6)), .height = (int)fmax(1, ceil(h - 1e-6))};
    const size_t n = (size_t)out.width * (size_t)out.height;
    out.luma = arena_alloc(a, n);
    out.mask = arena_alloc(a, n);
    const int fine = scale < 1 ? (int)fmin(16, ceil(2 / scale)) : 1;
    for (int y = 0; y < out.height; y++) {
        for (int x = 0; x < out.width; x++) {
            Sum sum = {0};
            /* from the middle of `out` to the middle of g */
            for (int k = 0; k < fine * fine; k++) {
                const double dx = x + (k % fine + 0.5) / fine - 0.5 * out.width;
                const double dy = y + (k / fine + 0.5) / fine - 0.5 * out.height;
                add_sample(g, c * dx + s * dy + 0.5 * g->width, c * dy - s * dx + 0.5 * g->height,
                           &sum);
            }
            const size_t i = (size_t)y * (size_t)out.width + (size_t)x;
            out.mask[i] = (uint8_t)lrint(sum.mask / (fine * fine));
            out.luma[i] = (uint8_t)(sum.mask > 0 ? lrint(sum.luma / sum.mask) : 0);
        }
    }
    return out;
}

bool gray_is_flat(const Gray *g)
{
    double n = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < (size_t)g->width * (size_t)g->height; i++) {
        n += g->mask[i];
        sum += (double)g->mask[i] * g->luma[i];
        squares += (double)g->mask[i] * g->luma[i] * g->luma[i];
    }
    return n == 0 || squares / n - sum / n * (sum / n) < NCC_FLAT;
}

NccTemplate *gray_template(Arena *a, const Gray *g)
{
    const NccImage luma = {g->width, g->height, g->width, g->luma},
                   mask = {g->width, g->height, g->width, g->mask};
    return ncc_template(a, &luma, &mask);
}
