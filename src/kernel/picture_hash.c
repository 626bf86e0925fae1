/* The integer cosine transform behind picture_hash. */
#include "kernel/picture_hash.h"

enum { SIDE = PICTURE_HASH_SIDE, WAVES = 8, BITS = WAVES * WAVES };

/* 4096 cos(k pi / 64) */
static int cosine(int k)
{
    static const int16_t quarter[] = {
        4096, 4091, 4076, 4052, 4017, 3973, 3920, 3857, 3784, 3703, 3612,
        3513, 3406, 3290, 3166, 3035, 2896, 2751, 2598, 2440, 2276, 2106,
        1931, 1751, 1567, 1380, 1189, 995, 799, 601, 401, 201, 0
    };
    k %= 4 * SIDE;
    k = k > 2 * SIDE ? 4 * SIDE - k : k; /* the second half turns back */
    return k > SIDE ? -quarter[2 * SIDE - k] : quarter[k];
}

/* WAVES coefficients of SIDE values, `step` apart. */
static void transform(const int64_t *in, int step, int64_t *out, int out_step)
{
    for (int u = 0; u < WAVES; u++) {
        int64_t sum = 0;
        for (int x = 0; x < SIDE; x++)
            sum += in[x * step] * cosine((2 * x + 1) * u);
        out[u * out_step] = sum;
    }
}

/* The middle of an odd number of values. */
static int64_t median_of(const int64_t *v, int n)
{
    for (int i = 0;; i++) {
        int below = 0, same = 0;
        for (int k = 0; k < n; k++) {
            below += v[k] < v[i];
            same += v[k] == v[i];
        }
        if (below <= n / 2 && below + same > n / 2)
            return v[i];
    }
}

static bool is_flat(const uint8_t *gray)
{
    int64_t sum = 0, squares = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        sum += gray[i];
        squares += gray[i] * gray[i];
    }
    /* a variance below 4 */
    return SIDE * SIDE * squares - sum * sum < (int64_t)4 * SIDE * SIDE * SIDE * SIDE;
}

PictureHash picture_hash(const uint8_t *gray)
{
    int64_t level[SIDE * SIDE], across[SIDE * WAVES], all[BITS];
    for (int i = 0; i < SIDE * SIDE; i++)
        level[i] = gray[i];
    for (int y = 0; y < SIDE; y++)
        transform(level + y * SIDE, 1, across + y * WAVES, 1);
    for (int u = 0; u < WAVES; u++)
        transform(across + u, WAVES, all + u, WAVES);
    const int64_t median = median_of(all + 1, BITS - 1);
    PictureHash h = {.flat = is_flat(gray)};
    for (int i = 1; i < BITS; i++)
        h.bits |= (uint64_t)(all[i] > median) << i;
    return h;
}

int picture_hash_distance(uint64_t a, uint64_t b)
{
    return __builtin_popcountll(a ^ b);
}
