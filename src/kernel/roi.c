/* RoiAlign (He et al., Mask R-CNN) and MaxRoiPool (Girshick, Fast R-CNN). */
#include "kernel/host.h"

#include <math.h>

/* ---- RoiAlign ---- */

/* Samples along one side of a bin: position of sample i is at + (i + 0.5) * step. Samples outside
 * [-1, size] read zero; [lo, hi) are the others, so that a huge region costs no more than the map.
 */
typedef struct RoiSamples {
    double at, step;
    int64_t count, lo, hi;
} RoiSamples;

static RoiSamples roi_samples(double start, double bin, int64_t p, int64_t count, int64_t size)
{
    RoiSamples s = {.at = start + (double)p * bin, .step = bin / (double)count, .count = count};
    if (s.step > 0) {
        const double lo = ceil((-1.0 - s.at) / s.step - 0.5) - 1;
        const double hi = floor(((double)size - s.at) / s.step - 0.5) + 2;
        s.lo = lo > 0 ? (lo < (double)count ? (int64_t)lo : count) : 0;
        s.hi = hi < (double)count ? (hi > 0 ? (int64_t)hi : 0) : count;
    } else {
        s.hi = count;
    }
    return s;
}

/* Two neighbours and the weight of the upper one; false: outside. */
static bool roi_neighbours(const RoiSamples *s, int64_t i, int64_t size, int64_t *low,
                           int64_t *high, double *weight)
{
    double v = s->at + ((double)i + 0.5) * s->step;
    if (!(v >= -1.0 && v <= (double)size))
        return false;
    v = v > 0 ? v : 0;
    *low = (int64_t)v;
    if (*low >= size - 1) {
        *low = *high = size - 1;
        *weight = 0;
    } else {
        *high = *low + 1;
        *weight = v - (double)*low;
    }
    return true;
}

/* One output bin for all channels into acc[C]. */
static void roi_bin(const HostCall *call, const char *image, RoiSamples ys, RoiSamples xs,
                    double *acc)
{
    const HostTensor *const x = &call->in[0];
    const int64_t channels = x->dim[1], height = x->dim[2], width = x->dim[3];
    const int size = dtype_size(x->dtype);
    const bool max = call->ints[1] != 0;
    int64_t inside = 0;
    for (int64_t c = 0; c < channels; c++)
        acc[c] = max ? -INFINITY : 0;
    for (int64_t iy = ys.lo; iy < ys.hi; iy++) {
        int64_t y0, y1, x0, x1;
        double ly, lx;
        if (!roi_neighbours(&ys, iy, height, &y0, &y1, &ly))
            continue;
        for (int64_t ix = xs.lo; ix < xs.hi; ix++) {
            if (!roi_neighbours(&xs, ix, width, &x0, &x1, &lx))
                continue;
            inside++;
            const int64_t at[4] = {y0 * width + x0, y0 * width + x1, y1 * width + x0,
                                   y1 * width + x1};
            const double w[4] = {(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx};
            for (int64_t c = 0; c < channels; c++) {
                const char *const plane = image + c * height * width * size;
                double v = 0;
                for (int k = 0; k < 4; k++) {
                    const double part = w[k] * dtype_read(x->dtype, plane + at[k] * size);
                    /* As the reference has it, max mode takes the largest weighted corner. */
                    v = !max ? v + part : k == 0 || part > v ? part : v;
                }
                acc[c] = !max ? acc[c] + v : v > acc[c] ? v : acc[c];
            }
        }
    }
    const double count = (double)ys.count * (double)xs.count;
    for (int64_t c = 0; c < channels; c++) {
        if (!max)
            acc[c] = count > 0 ? acc[c] / count : 0;
        else if ((double)inside < count || count == 0)
            acc[c] = acc[c] > 0 ? acc[c] : 0; /* samples outside read zero */
    }
}

static int64_t grid_size(double roi, int64_t bins, int64_t ratio)
{
    if (ratio > 0)
        return ratio;
    const double n = ceil(roi / (double)bins);
    return n > 0 ? (n < 1e15 ? (int64_t)n : (int64_t)1e15) : 0;
}

static void roi_align_one(const HostCall *call, int64_t r, const char *image)
{
    const HostTensor *const x = &call->in[0], *const rois = &call->in[1], *const y = &call->out[0];
    const int64_t channels = x->dim[1], height = x->dim[2], width = x->dim[3];
    const int64_t rows = call->ints[2], cols = call->ints[3], ratio = call->ints[4];
    const bool half_pixel = call->ints[0] != 0;
    double side[4]; /* x1, y1, x2, y2 */
    bool finite = height > 0 && width > 0;
    for (int k = 0; k < 4; k++) {
        const void *const p = (const char *)rois->data + (r * 4 + k) * dtype_size(rois->dtype);
        side[k] = dtype_read(rois->dtype, p) * call->floats[0] - (half_pixel ? 0.5 : 0.0);
        finite = finite && isfinite(side[k]);
    }
    double roi_w = side[2] - side[0], roi_h = side[3] - side[1];
    if (!half_pixel) { /* malformed regions are forced to be 1x1 */
        roi_w = roi_w > 1 ? roi_w : 1;
        roi_h = roi_h > 1 ? roi_h : 1;
    }
    double *const acc = call->scratch;
    const int64_t ny = grid_size(roi_h, rows, ratio), nx = grid_size(roi_w, cols, ratio);
    for (int64_t p = 0; p < rows; p++) {
        const RoiSamples ys =
            roi_samples(side[1], roi_h / (double)rows, p, finite ? ny : 0, height);
        for (int64_t q = 0; q < cols; q++) {
            const RoiSamples xs =
                roi_samples(side[0], roi_w / (double)cols, q, finite ? nx : 0, width);
            roi_bin(call, image, ys, xs, acc);
            for (int64_t c = 0; c < channels; c++) {
                const int64_t at = ((r * channels + c) * rows + p) * cols + q;
                dtype_write(y->dtype, (char *)y->data + at * dtype_size(y->dtype), acc[c], false);
            }
        }
    }
}

int host_roi_align(HostCall *call)
{
    const HostTensor *const x = &call->in[0], *const rois = &call->in[1],
                            *const batch = &call->in[2];
    const int64_t dims[4] = {rois->dim[0], x->dim[1], call->ints[2], call->ints[3]};
    if (call->phase != HOST_RUN) {
        call->scratch_bytes = (size_t)x->dim[1] * sizeof(double);
        host_shape(&call->out[0], 4, dims);
        return 0;
    }
    for (int64_t r = 0; r < dims[0]; r++) {
        const int64_t b =
            dtype_read_int(batch->dtype, (const char *)batch->data + r * dtype_size(batch->dtype));
        if (b < 0 || b >= x->dim[0])
            return host_fail(call, ERR_INVALID,
                             "roi_align: batch index %lld of region %lld, there are %lld images",
                             (long long)b, (long long)r, (long long)x->dim[0]);
        roi_align_one(call, r,
                      (const char *)x->data + b * host_product(x, 1, 4) * dtype_size(x->dtype));
    }
    return 0;
}

/* ---- MaxRoiPool ---- */

static int64_t clamp_index(double v, int64_t high)
{
    return v > 0 ? (v < (double)high ? (int64_t)v : high) : 0;
}

/* Rows or columns [lo, hi) of bin p of `bins` over [start, end] of the map. */
static void pool_range(double start, double end, int64_t p, int64_t bins, int64_t size, int64_t *lo,
                       int64_t *hi)
{
    const double extent = end - start + 1 > 1 ? end - start + 1 : 1;
    const double bin = extent / (double)bins;
    *lo = clamp_index(floor((double)p * bin) + start, size);
    *hi = clamp_index(ceil((double)(p + 1) * bin) + start, size);
}

int host_max_roi_pool(HostCall *call)
{
    const HostTensor *const x = &call->in[0], *const rois = &call->in[1];
    HostTensor *const y = &call->out[0];
    const int64_t dims[4] = {rois->dim[0], x->dim[1], call->ints[0], call->ints[1]};
    if (call->phase != HOST_RUN) {
        host_shape(y, 4, dims);
        return 0;
    }
    const int64_t height = x->dim[2], width = x->dim[3];
    const int size = dtype_size(x->dtype);
    char *out = y->data;
    for (int64_t r = 0; r < dims[0]; r++) {
        double v[5]; /* batch, x1, y1, x2, y2 */
        for (int k = 0; k < 5; k++) {
            const double scale = k ? call->floats[0] : 1;
            v[k] =
                round(scale * dtype_read(rois->dtype, (const char *)rois->data +
                                                          (r * 5 + k) * dtype_size(rois->dtype)));
        }
        if (!(v[0] >= 0 && v[0] < (double)x->dim[0]))
            return host_fail(call, ERR_INVALID,
                             "max_roi_pool: batch index %g of region %lld, there are %lld images",
                             v[0], (long long)r, (long long)x->dim[0]);
        for (int64_t i = 0; i < dims[1] * dims[2] * dims[3]; i++, out += size) {
            const int64_t c = i / (dims[2] * dims[3]), p = i / dims[3] % dims[2], q = i % dims[3];
            const char *const plane =
                (const char *)x->data + ((int64_t)v[0] * dims[1] + c) * height * width * size;
            int64_t y0, y1, x0, x1;
            pool_range(v[2], v[4], p, dims[2], height, &y0, &y1);
            pool_range(v[1], v[3], q, dims[3], width, &x0, &x1);
            double best = y0 < y1 && x0 < x1 ? -INFINITY : 0;
            for (int64_t h = y0; h < y1; h++) {
                for (int64_t w = x0; w < x1; w++) {
                    const double e = dtype_read(x->dtype, plane + (h * width + w) * size);
                    best = e > best ? e : best;
                }
            }
            dtype_write(y->dtype, out, best, false);
        }
    }
    return 0;
}
