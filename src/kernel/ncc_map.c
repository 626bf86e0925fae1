/* Scores of places: by the definition, place by place, or four rows of places at a time by
 * correlations in vectors. The sums over an unmasked window of the picture slide: a row comes in
 * and one goes out, a column comes in and one goes out. */
#include <math.h>
#include <string.h>

#include "kernel/ncc_inside.h"

void ncc_scores(const NccKernel *k, int n, const double *c, const double *s1, const double *s2,
                float *score)
{
    const double least = NCC_FLAT * k->mass, per_mass = 1 / k->mass;
    for (int i = 0; i < n; i++) {
        const double spread = s2[i] - s1[i] * s1[i] * per_mass;
        const double r =
            (c[i] - k->mean * s1[i]) / sqrt((spread < least ? least : spread) * k->spread);
        const double inside = r < -1 ? -1 : r > 1 ? 1 : r;
        score[i] = spread < least ? NCC_NOTHING : (float)inside;
    }
}

static float plain_score(const NccKernel *k, const uint8_t *at, ptrdiff_t stride)
{
    int64_t c = 0, s1 = 0, s2 = 0;
    for (int y = 0; y < k->height; y++)
        for (int x = 0; x < k->width; x++) {
            const ptrdiff_t i = (ptrdiff_t)y * 2 * k->pairs + x;
            const int v = at[y * stride + x] - 128, m = k->mask ? k->mask[i] : 1;
            c += k->product[i] * v;
            s1 += m * v;
            s2 += m * v * v;
        }
    const double sums[3] = {(double)c, (double)s1, (double)s2};
    float score;
    ncc_scores(k, 1, &sums[0], &sums[1], &sums[2], &score);
    return score;
}

/* ---- in vectors ---- */

typedef struct Work {
    const NccKernel *k;
    const NccVariant *v;
    int width, height;      /* of the part of the picture that the places see */
    int places, columns;    /* in a row; rounded up to what any variant makes at once */
    ptrdiff_t stride;       /* of level and square */
    int16_t *level;         /* less 128 */
    int16_t *square;        /* masked: of level */
    double *sum[3];         /* (NCC_ROWS, columns): C, S1, S2 */
    int32_t *column[2];     /* not masked: sums of a column of the window, of its squares */
    int64_t bytes;
} Work;

static void *take(Work *w, char *scratch, int64_t bytes)
{
    void *const p = scratch ? scratch + w->bytes : NULL;
    w->bytes += (bytes + 63) / 64 * 64;
    return p;
}

static Work work_make(const NccKernel *k, int width, int height, const NccVariant *v, char *scratch)
{
    Work w = {.k = k, .v = v, .width = width + k->width - 1, .height = height + k->height - 1,
              .places = width};
    w.columns = (width + NCC_WIDEST - 1) / NCC_WIDEST * NCC_WIDEST;
    w.stride = w.columns + 2 * k->pairs + 2;
    const int64_t elements = (int64_t)w.stride * w.height;
    w.level = take(&w, scratch, elements * 2);
    if (k->mask)
        w.square = take(&w, scratch, elements * 2);
    for (int i = 0; i < 3; i++)
        w.sum[i] = take(&w, scratch, (int64_t)NCC_ROWS * w.columns * 8);
    for (int i = 0; i < 2; i++)
        w.column[i] = take(&w, scratch, (int64_t)w.width * 4);
    return w;
}

int64_t ncc_map_scratch(const NccKernel *k, int width, int height)
{
    return work_make(k, width, height, NULL, NULL).bytes;
}

static void fill_levels(const Work *w, const NccImage *image, const NccPlaces *at)
{
    for (int y = 0; y < w->height; y++) {
        const uint8_t *const from = image->at + (ptrdiff_t)(at->y + y) * image->stride + at->x;
        int16_t *const to = w->level + y * w->stride;
        for (int x = 0; x < w->width; x++)
            to[x] = (int16_t)(from[x] - 128);
        memset(to + w->width, 0, (size_t)(w->stride - w->width) * sizeof *to);
        if (w->square)
            for (int x = 0; x < w->stride; x++)
                w->square[y * w->stride + x] = (int16_t)(to[x] * to[x]);
    }
}

/* Sums of `image` times `kernel` for rows of places from y on; no more of the kernel at once than
 * 31 bits hold. */
static void correlate(const Work *w, const int16_t *image, const int16_t *kernel, int y, int rows,
                      double *sum)
{
    const int wide = w->v->wide, height = w->k->height;
    int32_t part[NCC_ROWS * NCC_WIDEST];
    memset(sum, 0, (size_t)rows * (size_t)w->columns * sizeof *sum);
    for (int x = 0; x < w->places; x += wide)
        for (int j = 0; j < height; j += w->k->rows) {
            const int n = height - j < w->k->rows ? height - j : w->k->rows;
            w->v->correlate(image + (y + j) * w->stride + x, w->stride, rows,
                            kernel + (ptrdiff_t)j * 2 * w->k->pairs, n, w->k->pairs, part);
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < wide / 2; i++)
                    for (int odd = 0; odd < 2; odd++)
                        sum[(ptrdiff_t)r * w->columns + x + 2 * i + odd] +=
                            part[r * wide + odd * (wide / 2) + i];
        }
}

static void add_row(const Work *w, int y, int sign)
{
    const int16_t *const row = w->level + y * w->stride;
    for (int x = 0; x < w->width; x++) {
        w->column[0][x] += sign * row[x];
        w->column[1][x] += sign * row[x] * row[x];
    }
}

/* S1 and S2 of the places of row y, whose columns are summed; into row r. */
static void slide(const Work *w, int r)
{
    int64_t s1 = 0, s2 = 0;
    for (int x = 0; x < w->k->width - 1; x++) {
        s1 += w->column[0][x];
        s2 += w->column[1][x];
    }
    double *const to1 = w->sum[1] + (ptrdiff_t)r * w->columns, *const to2 =
                                                                   w->sum[2] +
                                                                   (ptrdiff_t)r * w->columns;
    for (int x = 0; x < w->places; x++) {
        s1 += w->column[0][x + w->k->width - 1];
        s2 += w->column[1][x + w->k->width - 1];
        to1[x] = (double)s1;
        to2[x] = (double)s2;
        s1 -= w->column[0][x];
        s2 -= w->column[1][x];
    }
}

static void window_sums(const Work *w, int y, int rows)
{
    if (w->k->mask) {
        correlate(w, w->level, w->k->mask, y, rows, w->sum[1]);
        correlate(w, w->square, w->k->mask, y, rows, w->sum[2]);
        return;
    }
    for (int r = 0; r < rows; r++) {
        if (y + r > 0)
            add_row(w, y + r - 1, -1);
        add_row(w, y + r + w->k->height - 1, 1);
        slide(w, r);
    }
}

void ncc_map(const NccKernel *k, const NccImage *image, const NccPlaces *at, const NccVariant *v,
             void *scratch, float *map)
{
    if (!v) {
        for (int y = 0; y < at->height; y++)
            for (int x = 0; x < at->width; x++)
                *map++ =
                    plain_score(k, image->at + (ptrdiff_t)(at->y + y) * image->stride + at->x + x,
                                image->stride);
        return;
    }
    const Work w = work_make(k, at->width, at->height, v, scratch);
    fill_levels(&w, image, at);
    for (int i = 0; i < 2; i++)
        memset(w.column[i], 0, (size_t)w.width * sizeof *w.column[i]);
    for (int y = 0; y < k->height - 1 && !k->mask; y++)
        add_row(&w, y, 1);
    for (int y = 0; y < at->height; y += NCC_ROWS) {
        const int rows = at->height - y < NCC_ROWS ? at->height - y : NCC_ROWS;
        correlate(&w, w.level, k->product, y, rows, w.sum[0]);
        window_sums(&w, y, rows);
        for (int r = 0; r < rows; r++) {
            const ptrdiff_t row = (ptrdiff_t)r * w.columns;
            ncc_scores(k, at->width, w.sum[0] + row, w.sum[1] + row, w.sum[2] + row,
                       map + (ptrdiff_t)(y + r) * at->width);
        }
    }
}
