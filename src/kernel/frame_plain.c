/* Rows of frame.c in plain C: the reference that the variants equal to the bit. */
#include "kernel/frame_rows.h"

#include <math.h>
#include <string.h>

static void vertical_bilinear(const FrameSource *s, int weight, int16_t *t)
{
    const uint8_t *const a = s->row + s->component, *const b = weight ? a + s->stride : a;
    for (int i = 0; i < s->n; i++) {
        const int p = a[(ptrdiff_t)i * s->step], q = b[(ptrdiff_t)i * s->step];
        const int round = FRAME_LINEAR / FRAME_FINE / 2;
        t[i] = (int16_t)((p * (FRAME_LINEAR - weight) + q * weight + round) /
                         (FRAME_LINEAR / FRAME_FINE));
    }
}

static void vertical_area(const FrameSource *s, int taps, const int16_t *weight, float inverse,
                          int16_t *t)
{
    for (int i = 0; i < s->n; i++) {
        const uint8_t *p = s->row + s->component + (ptrdiff_t)i * s->step;
        int32_t sum = 0;
        for (int k = 0; k < taps; k++)
            sum += p[k * s->stride] * weight[k];
        t[i] = (int16_t)lrintf((float)sum * inverse);
    }
}

static void horizontal_bilinear(const FrameAxis *x, const int16_t *t, int16_t *out)
{
    const int unit = FRAME_LINEAR * FRAME_FINE;
    for (int i = 0; i < x->count; i++) {
        const int16_t *const p = t + (x->first[i] - x->lo);
        const int w = x->weight[i];
        out[i] = (int16_t)((p[0] * (FRAME_LINEAR - w) + (w ? p[1] * w : 0) + unit / 2) / unit);
    }
}

static void horizontal_area(const FrameAxis *x, const int16_t *t, int16_t *out)
{
    for (int i = 0; i < x->count; i++) {
        const int16_t *const p = t + (x->first[i] - x->lo), *const w =
                                                                x->weight + (ptrdiff_t)i * x->taps;
        int32_t sum = 0;
        for (int k = 0; k < x->used[i]; k++)
            sum += p[k] * w[k];
        out[i] = (int16_t)lrintf((float)sum * x->inverse[i]);
    }
}

static void colour(const FrameColour *m, int nout, int n, const int16_t *const *in,
                   int16_t *const *out)
{
    for (int c = 0; c < nout; c++) {
        const int16_t *const k = m[c].m;
        for (int i = 0; i < n; i++) {
            const int32_t sum =
                k[0] * in[0][i] + k[1] * in[1][i] + k[2] * in[2][i] + k[3] * FRAME_FOURTH;
            /* floor: gcc and clang shift signed numbers so */
            const int32_t v = sum >> FRAME_COLOUR;
            out[c][i] = (int16_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static void normalise(const int16_t *in, int n, float scale, float shift, DType t, void *out)
{
    const float low = t == DT_U8 ? 0 : -128, high = t == DT_U8 ? 255 : 127;
    for (int i = 0; i < n; i++) {
        const float v = fmaf(in[i], scale, shift);
        if (t == DT_F32) {
            ((float *)out)[i] = v;
            continue;
        }
        const float w = v > low ? v : low;
        ((uint8_t *)out)[i] = (uint8_t)lrintf(w < high ? w : high);
    }
}

static void interleave(const void *const *in, int channels, int block, int n, int size, void *out)
{
    uint8_t *to = out;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < block; c++, to += size)
            if (c < channels)
                memcpy(to, (const uint8_t *)in[c] + (ptrdiff_t)i * size, (size_t)size);
            else
                memset(to, 0, (size_t)size);
}

const FrameRows frame_rows_plain = {
    .vertical_bilinear = vertical_bilinear,
    .vertical_area = vertical_area,
    .horizontal_bilinear = horizontal_bilinear,
    .horizontal_area = horizontal_area,
    .colour = colour,
    .normalise = normalise,
    .interleave = interleave,
};
