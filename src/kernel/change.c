/* Signatures of regions and their differences. Bytes are summed by PSADBW, which every x86-64
 * has. */
#include "kernel/change.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include <emmintrin.h>

enum { LEAST = 8, CELL = 8, ROWS = 16 };

/* Pixels [from, from + size) of a frame, cut into cells. */
typedef struct Side {
    int from, size, cells;
} Side;

static int whole(double v, int low, int high)
{
    return v <= low ? low : v >= high ? high : (int)floor(v + 0.5);
}

static Side side_of(double from, double length, int frame)
{
    const int a = whole(from, 0, frame - 1), b = whole(from + length, a + 1, frame);
    Side s = {.from = a, .size = b - a};
    s.cells = s.size / CELL < LEAST ? LEAST : s.size / CELL;
    s.cells = s.cells > CHANGE_MOST ? CHANGE_MOST : s.cells > s.size ? s.size : s.cells;
    return s;
}

static int cell_start(const Side *s, int cell)
{
    return s->from + (int)((int64_t)cell * s->size / s->cells);
}

static uint32_t sum_of(const uint8_t *p, int n)
{
    __m128i sum = _mm_setzero_si128();
    int i = 0;
    for (; i + 16 <= n; i += 16)
        sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(p + i)),
                                              _mm_setzero_si128()));
    if (n >= 8)
        for (; i < n; i += 8) { /* the last eight bytes less those that are counted */
            uint64_t v;
            memcpy(&v, i + 8 <= n ? p + i : p + n - 8, sizeof v);
            v >>= i + 8 <= n ? 0 : 8 * (i + 8 - n);
            sum = _mm_add_epi64(sum,
                                _mm_sad_epu8(_mm_cvtsi64_si128((long long)v), _mm_setzero_si128()));
        }
    uint32_t all = (uint32_t)(_mm_cvtsi128_si32(sum) + _mm_cvtsi128_si32(_mm_srli_si128(sum, 8)));
    for (; i < n; i++)
        all += p[i];
    return all;
}

void change_signature(const Frame *shown, const FrameBox *place, ChangeSignature *out)
{
    /* two of one frame are turned alike */
    const Frame stored = frame_stored(shown), *const f = &stored;
    const FrameBox there = frame_stored_box(shown, place), *const box = &there;
    const Side x = side_of(box->x, box->width, f->width),
               y = side_of(box->y, box->height, f->height);
    const int step = f->format == FRAME_RGB24 || f->format == FRAME_BGR24 ? 3 : 1;
    int start[CHANGE_MOST + 1]; /* bytes, of columns */
    for (int c = 0; c <= x.cells; c++)
        start[c] = cell_start(&x, c) * step;
    out->columns = x.cells;
    out->rows = y.cells;
    for (int r = 0; r < y.cells; r++) {
        const int top = cell_start(&y, r), height = cell_start(&y, r + 1) - top;
        const int rows = height < ROWS ? height : ROWS;
        uint32_t sum[CHANGE_MOST] = {0};
        for (int k = 0; k < rows; k++) {
            const uint8_t *const row =
                f->plane[0] + (ptrdiff_t)(top + k * height / rows) * f->stride[0];
            for (int c = 0; c < x.cells; c++)
                sum[c] += sum_of(row + start[c], start[c + 1] - start[c]);
        }
        for (int c = 0; c < x.cells; c++) {
            const uint32_t n = (uint32_t)((start[c + 1] - start[c]) * rows);
            out->cell[r * x.cells + c] = (uint8_t)((sum[c] + n / 2) / n);
        }
    }
}

Change change_between(const ChangeSignature *a, const ChangeSignature *b)
{
    const int n = a->columns * a->rows;
    if (n == 0 || a->columns != b->columns || a->rows != b->rows)
        return (Change){.mean = 255, .largest = 255};
    int sum = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        const int d = a->cell[i] > b->cell[i] ? a->cell[i] - b->cell[i] : b->cell[i] - a->cell[i];
        sum += d;
        largest = d > largest ? d : largest;
    }
    return (Change){.mean = (float)sum / (float)n, .largest = largest};
}

float change_share(const uint8_t *a, int stride_a, const uint8_t *b, int stride_b, int width,
                   int height, int threshold)
{
    int64_t changed = 0;
    for (int y = 0; y < height; y++, a += stride_a, b += stride_b) {
        int row = 0;
        for (int x = 0; x < width; x++) {
            const int d = a[x] - b[x];
            row += (d < 0 ? -d : d) > threshold;
        }
        changed += row;
    }
    return (float)((double)changed / ((double)width * height));
}
