/* Correlations of ncc.c in vectors: included by one file for each width, which names NCC_VARIANT.
 *
 * A load at column x + i holds the pairs (i, i + 1) of the places x, x + 2, x + 4 ..; one at x + i
 * + 1 those of the places between. Each is multiplied by the same pair of the template, and added
 * up: two products an element and instruction. */
#include <string.h>

#define INLINE static inline TARGET __attribute__((always_inline))
#define WIDE (8 * LANES) /* places beside each other */

typedef struct Sums { /* of one row of places: the even ones, those between */
    V even, odd;
} Sums;

INLINE V pair_at(const int16_t *kernel)
{
    int32_t pair;
    memcpy(&pair, kernel, sizeof pair);
    return v_set32(pair);
}

INLINE void add(Sums *s, V kernel, V even, V odd)
{
    s->even = v_dot16(s->even, kernel, even);
    s->odd = v_dot16(s->odd, kernel, odd);
}

/* Row by row of the picture. For row r of places it is row i - r of the template: the pairs that
 * are loaded serve all of them, but for the first and last rows of the picture. */
INLINE void correlate_rows(const int16_t *image, ptrdiff_t stride, int rows, const int16_t *kernel,
                           int height, int pairs, int32_t *out)
{
    Sums sum[NCC_ROWS];
    for (int r = 0; r < rows; r++)
        sum[r] = (Sums){v_zero(), v_zero()};
    for (int i = 0; i < height + rows - 1; i++, image += stride) {
        const int16_t *const row = kernel + (ptrdiff_t)i * 2 * pairs;
        if (i >= rows - 1 && i < height) {
            for (int k = 0; k < 2 * pairs; k += 2) {
                const V even = v_load(image + k), odd = v_load(image + k + 1);
#pragma GCC unroll 4
                for (int r = 0; r < rows; r++)
                    add(&sum[r], pair_at(row + k - (ptrdiff_t)r * 2 * pairs), even, odd);
            }
            continue;
        }
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < 2 * pairs && i - r >= 0 && i - r < height; k += 2)
                add(&sum[r], pair_at(row + k - (ptrdiff_t)r * 2 * pairs), v_load(image + k),
                    v_load(image + k + 1));
    }
    for (int r = 0; r < rows; r++) {
        v_store(out + r * WIDE, sum[r].even);
        v_store(out + r * WIDE + WIDE / 2, sum[r].odd);
    }
}

static TARGET void correlate(const int16_t *image, ptrdiff_t stride, int rows,
                             const int16_t *kernel, int height, int pairs, int32_t *out)
{
    switch (rows) {
    case 1:
        correlate_rows(image, stride, 1, kernel, height, pairs, out);
        break;
    case 2:
        correlate_rows(image, stride, 2, kernel, height, pairs, out);
        break;
    case 3:
        correlate_rows(image, stride, 3, kernel, height, pairs, out);
        break;
    default:
        correlate_rows(image, stride, 4, kernel, height, pairs, out);
    }
}

const NccVariant NCC_VARIANT = {.wide = WIDE, .correlate = correlate};
