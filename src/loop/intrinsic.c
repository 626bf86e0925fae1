/* The rows, and their meaning in C. See intrinsic.h. */
#include "loop/intrinsic.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static const Intrinsic rows[] = {
    {"vdpbf16ps", DT_BF16, DT_BF16, DT_F32, 2},
    {"vpdpbusd", DT_U8, DT_I8, DT_I32, 4},
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
        const bool has = i->sum == DT_F32 ? t->bf16 : t->vnni;
        const bool fits = i->first == a && i->second == b, swapped = i->first == b && i->second == a;
        if (has && i->sum == sum && (fits || swapped)) {
            *swap = !fits;
            return k;
        }
    }
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
