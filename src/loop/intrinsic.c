/* The rows, and their meaning in C. See intrinsic.h. */
#include "loop/intrinsic.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static const Intrinsic rows[] = {
    {"vdpbf16ps", DT_BF16, DT_BF16, DT_F32, 2, false, PEAK_BF16},
    {"vpdpbusd", DT_U8, DT_I8, DT_I32, 4, false, PEAK_INT8},
    {"vpmaddwd", DT_I16, DT_I16, DT_I32, 2, false, PEAK_I16},
    {"tdpbf16ps", DT_BF16, DT_BF16, DT_F32, 2, true, PEAK_TILE_BF16},
    {"tdpbssd", DT_I8, DT_I8, DT_I32, 4, true, PEAK_TILE_INT8},
    {"tdpbsud", DT_I8, DT_U8, DT_I32, 4, true, PEAK_TILE_INT8},
    {"tdpbusd", DT_U8, DT_I8, DT_I32, 4, true, PEAK_TILE_INT8},
    {"tdpbuud", DT_U8, DT_U8, DT_I32, 4, true, PEAK_TILE_INT8},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const Intrinsic *intrinsic_row(int64_t id)
{
    assert(id >= 0 && id < ROWS);
    return &rows[id];
}

const char *intrinsic_name(int64_t id)
{
    return id >= 0 && id < ROWS ? rows[id].name : "dot";
}

int intrinsic_find(const Target *t, DType a, DType b, DType sum, bool *swap)
{
    for (int k = 0; k < ROWS; k++) {
        const Intrinsic *i = &rows[k];
        const bool has = !i->tile && (i->sum == DT_F32 ? t->bf16 : t->vnni || i->group == 2);
        const bool fits = i->first == a && i->second == b,
                   swapped = i->first == b && i->second == a;
        if (has && i->sum == sum && (fits || swapped)) {
            *swap = !fits;
            return k;
        }
    }
    return -1;
}

int intrinsic_find_tile(const Target *t, DType a, DType b, DType sum)
{
    for (int k = 0; k < ROWS; k++)
        if (t->amx && rows[k].tile && rows[k].first == a && rows[k].second == b &&
            rows[k].sum == sum)
            return k;
    return -1;
}

/* ---- meaning ---- */

static float flush(float f)
{
    return fabsf(f) < FLT_MIN ? copysignf(0, f) : f;
}

static float fma_flushed(double a, double b, double c)
{
    return flush(fmaf(flush((float)a), flush((float)b), flush((float)c)));
}

void intrinsic_apply(const Intrinsic *i, int n, const Scalar *a, const Scalar *b, Scalar *sum)
{
    for (int lane = 0; lane < n; lane++, a += i->group, b += i->group) {
        if (i->sum == DT_F32) {
            const float odd = fma_flushed(a[1].f, b[1].f, sum[lane].f);
            sum[lane].f = (double)fma_flushed(a[0].f, b[0].f, (double)odd);
            continue;
        }
        uint32_t s = (uint32_t)sum[lane].i;
        for (int k = 0; k < i->group; k++) {
            s += (uint32_t)(a[k].i * b[k].i);
        }
        sum[lane].i = (int32_t)s;
    }
}

static float tile_bf16(int groups, const Scalar *a, const Scalar *b, int b_row, float sum)
{
    float part[2] = {0, 0};
    for (int k = 0; k < groups; k++)
        for (int odd = 0; odd < 2; odd++)
            part[odd] = fma_flushed(a[2 * k + odd].f, b[k * b_row + odd].f, part[odd]);
    return flush(flush(sum) + flush(part[0] + part[1]));
}

void intrinsic_apply_tile(const Intrinsic *i, int m, int n, int groups, const Scalar *a,
                          const Scalar *b, Scalar *sum)
{
    const int a_row = groups * i->group, b_row = n * i->group;
    for (int r = 0; r < m; r++, a += a_row)
        for (int c = 0; c < n; c++, sum++) {
            if (i->sum == DT_F32)
                sum->f = (double)tile_bf16(groups, a, b + c * i->group, b_row, (float)sum->f);
            for (int k = 0; k < groups && i->sum != DT_F32; k++)
                intrinsic_apply(i, 1, a + k * i->group, b + k * b_row + c * i->group, sum);
        }
}
