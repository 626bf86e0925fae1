/* Order keys and the index sort: see order.h. */
#include "kernel/order.h"

#include <math.h>
#include <string.h>

/* IEEE bits order like signed magnitude: flipping the sign bit of positives and all bits of
 * negatives makes them order like unsigned integers. */
static uint64_t float_key(double v)
{
    if (isnan(v))
        return UINT64_MAX;
    uint64_t bits;
    const double z = v + 0.0; /* -0 becomes +0 */
    memcpy(&bits, &z, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static uint64_t signed_key(int64_t v)
{
    return (uint64_t)v ^ UINT64_C(1) << 63;
}

void order_keys(DType t, const void *data, int64_t start, int64_t stride, int64_t n, uint64_t *key)
{
    const char *p = (const char *)data + start * dtype_size(t);
    const int64_t step = stride * dtype_size(t);
    if (t == DT_F32) {
        for (int64_t i = 0; i < n; i++, p += step) {
            float v;
            memcpy(&v, p, sizeof v);
            key[i] = float_key(v);
        }
    } else if (dtype_is_float(t)) {
        for (int64_t i = 0; i < n; i++, p += step)
            key[i] = float_key(dtype_read(t, p));
    } else if (dtype_is_signed(t)) {
        for (int64_t i = 0; i < n; i++, p += step)
            key[i] = signed_key(dtype_read_int(t, p));
    } else {
        for (int64_t i = 0; i < n; i++, p += step)
            key[i] = (uint64_t)dtype_read_int(t, p);
    }
}

void order_sort(int64_t n, int64_t *index, int64_t *tmp, OrderLess less, const void *arg)
{
    int64_t *from = index, *to = tmp;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            const int64_t mid = lo + width < n ? lo + width : n;
            const int64_t hi = mid + width < n ? mid + width : n;
            int64_t a = lo, b = mid;
            for (int64_t k = lo; k < hi; k++) {
                const bool take_b = a == mid || (b < hi && less(arg, from[b], from[a]));
                to[k] = take_b ? from[b++] : from[a++];
            }
        }
        int64_t *const swap = from;
        from = to;
        to = swap;
    }
    if (from != index)
        memcpy(index, from, (size_t)n * sizeof *index);
}
