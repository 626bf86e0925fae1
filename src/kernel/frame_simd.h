/* Rows of frame.c in vectors: included by one file for each width (simd256.h, simd512.h), which
 * names FRAME_ROWS.
 *
 * Horizontal bilinear: outputs come in quads, one a lane. A quad's pairs of neighbours are
 * collected by one load and byte shuffle where they lie within 16 bytes, else by two; one
 * multiply-add of pairs does the rest. Two vectors of quads packed give 8 * LANES outputs in order:
 *
 *     lane l of the first: outputs 8l .. 8l+3      of the second: 8l+4 .. 8l+7      packed: 8l .. 8l+7 */
#include <assert.h>
#include <string.h>

#define WIDE (8 * LANES) /* elements of 16 bits */
#define INLINE static inline TARGET __attribute__((always_inline))

/* ---- vertical ---- */

/* Which bytes of [0, 16) (first) and [8, 24) (second) are component c of eight pixels of three
 * bytes. */
INLINE void thirds(int component, V mask[2])
{
    uint8_t m[2][16];
    memset(m, 0x80, sizeof m);
    for (int k = 0; k < 8; k++) {
        const int at = 3 * k + component;
        m[k >= 4][2 * k] = (uint8_t)(k >= 4 ? at - 8 : at);
    }
    mask[0] = v_same(m[0]);
    mask[1] = v_same(m[1]);
}

INLINE V pixels(const uint8_t *p, int step, int component, const V mask[2])
{
    static const int each24[] = {0, 24, 48, 72};
    if (step == 1)
        return v_widen8(p);
    if (step == 2)
        return component ? v_srl16(v_load(p), 8) : v_and(v_load(p), v_set16(255));
    return v_or(v_shuffle8(v_lanes(p, each24, 1), mask[0]),
                v_shuffle8(v_lanes(p + 8, each24, 1), mask[1]));
}

typedef struct Pixels { /* how a vector of them is read */
    const FrameSource *source;
    int step;
    V mask[2];
} Pixels;

INLINE Pixels pixels_of(const FrameSource *s, int step)
{
    Pixels p = {.source = s, .step = step, .mask = {v_zero(), v_zero()}};
    if (step == 3)
        thirds(s->component, p.mask);
    return p;
}

INLINE void fetch(const uint8_t *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

/* WIDE elements of two rows from i on. Where a row of the frame is not read to its end, or not
 * every row is, the next one comes as a surprise to the CPU: it is asked for here. */
INLINE void bilinear_at(const Pixels *x, int i, int weight, V w, int16_t *t)
{
    const FrameSource *const s = x->source;
    const uint8_t *const p = s->row + (ptrdiff_t)i * x->step;
    const V a = v_sll16(pixels(p, x->step, s->component, x->mask), 7);
    fetch(p + s->ahead);
    if (weight == 0) {
        v_store(t + i, a);
        return;
    }
    fetch(p + s->ahead + s->stride);
    const V b = v_sll16(pixels(p + s->stride, x->step, s->component, x->mask), 7);
    v_store(t + i, v_add16(a, v_mulhrs16(v_sub16(b, a), w)));
}

/* The last vector is moved back to end with the row. */
INLINE void bilinear_rows(const FrameSource *s, int step, int weight, int16_t *t)
{
    /* (1 - w) a + w b = a + w (b - a); mulhrs takes 1/2^15 of the product and rounds, as the plain
     * routine does. */
    const V w = v_set16(weight * (32768 / FRAME_LINEAR));
    const Pixels x = pixels_of(s, step);
    const int last = s->n - WIDE;
    if (weight == 0)
        for (int i = 0; i < last; i += WIDE)
            bilinear_at(&x, i, 0, w, t);
    else
        for (int i = 0; i < last; i += WIDE)
            bilinear_at(&x, i, weight, w, t);
    bilinear_at(&x, last, weight, w, t);
}

static TARGET void vertical_bilinear(const FrameSource *s, int weight, int16_t *t)
{
    if (s->n < WIDE)
        frame_rows_plain.vertical_bilinear(s, weight, t);
    else if (s->step == 1)
        bilinear_rows(s, 1, weight, t);
    else if (s->step == 2)
        bilinear_rows(s, 2, weight, t);
    else
        bilinear_rows(s, 3, weight, t);
}

INLINE V scaled(V sum, float by)
{
    return vf_to32(vf_mul(vf_from32(sum), vf_set(by)));
}

INLINE V pair32(int16_t low, int16_t high)
{
    return v_set32((int32_t)((uint16_t)low | (uint32_t)(uint16_t)high << 16));
}

INLINE void area_at(const Pixels *x, int i, int taps, const int16_t *weight, float inverse,
                    int16_t *t)
{
    const FrameSource *const s = x->source;
    const uint8_t *p = s->row + (ptrdiff_t)i * x->step;
    V lo = v_zero(), hi = v_zero();
    int k = 0;
    for (; k + 1 < taps; k += 2, p += 2 * s->stride) {
        const V a = pixels(p, x->step, s->component, x->mask),
                b = pixels(p + s->stride, x->step, s->component, x->mask);
        const V w = pair32(weight[k], weight[k + 1]);
        lo = v_add32(lo, v_madd16(v_lo16(a, b), w));
        hi = v_add32(hi, v_madd16(v_hi16(a, b), w));
    }
    if (k < taps) {
        const V a = pixels(p, x->step, s->component, x->mask), w = pair32(weight[k], 0);
        lo = v_add32(lo, v_madd16(v_lo16(a, v_zero()), w));
        hi = v_add32(hi, v_madd16(v_hi16(a, v_zero()), w));
    }
    v_store(t + i, v_packs32(scaled(lo, inverse), scaled(hi, inverse)));
}

INLINE void area_rows(const FrameSource *s, int step, int taps, const int16_t *weight,
                      float inverse, int16_t *t)
{
    const Pixels x = pixels_of(s, step);
    const int last = s->n - WIDE;
    for (int i = 0; i < last; i += WIDE)
        area_at(&x, i, taps, weight, inverse, t);
    area_at(&x, last, taps, weight, inverse, t);
}

static TARGET void vertical_area(const FrameSource *s, int taps, const int16_t *weight,
                                 float inverse, int16_t *t)
{
    if (s->n < WIDE)
        frame_rows_plain.vertical_area(s, taps, weight, inverse, t);
    else if (s->step == 1)
        area_rows(s, 1, taps, weight, inverse, t);
    else if (s->step == 2)
        area_rows(s, 2, taps, weight, inverse, t);
    else
        area_rows(s, 3, taps, weight, inverse, t);
}

#include "kernel/frame_near.h"

/* ---- horizontal ---- */

typedef struct Quads { /* LANES quads of outputs: where their first elements are */
    int32_t offset[2][LANES];
    uint8_t mask[2][16 * LANES];
} Quads;

typedef struct Shuffle {
    int loads; /* of a quad: 1 or 2 */
    Quads *quads;    /* two for each group of WIDE outputs */
    int16_t *weight; /* (quads, pairs, 8 * LANES) */
} Shuffle;

static Shuffle shuffle_of(const FrameAxis *x)
{
    const int groups = (x->count + WIDE - 1) / WIDE;
    Quads *const quads = (Quads *)((char *)x->shuffle + 64);
    return (Shuffle){.loads = *(const int *)x->shuffle,
                     .quads = quads,
                     .weight = (int16_t *)(quads + (ptrdiff_t)2 * groups)};
}

static void fill_quad(const FrameAxis *x, Quads *q, int lane, int output, int loads)
{
    const int each = 4 / loads;
    for (int part = 0; part < loads; part++) {
        const int start = output_at(x, output + part * each);
        q->offset[part][lane] = start;
        uint8_t *const mask = q->mask[part] + 16 * lane;
        memset(mask, 0x80, 16);
        for (int k = part * each; k < (part + 1) * each; k++)
            for (int b = 0; b < 4; b++)
                mask[4 * k + b] = (uint8_t)(2 * (output_at(x, output + k) - start) + b);
    }
}

/* Weights of four outputs, pair by pair, `each` elements apart. */
static void fill_weights(const FrameAxis *x, int output, int16_t *to, int each)
{
    for (int k = 0; k < 4; k++, to += 2) {
        const int i = output + k < x->count ? output + k : x->count - 1;
        const int16_t *const w = x->weight + (ptrdiff_t)i * x->taps;
        for (int pair = 0; pair < x->pairs; pair++)
            for (int side = 0; side < 2; side++) {
                const int tap = 2 * pair + side;
                to[pair * each + side] = !x->area ? (int16_t)(side ? w[0] : FRAME_LINEAR - w[0])
                                         : tap < x->taps ? w[tap]
                                                         : 0;
            }
    }
}

static void prepare_quads(const FrameAxis *x)
{
    int loads = 1;
    for (int i = 0; i < x->count; i += 4)
        if (output_at(x, i + 3) + 1 - output_at(x, i) > 7)
            loads = 2;
    *(int *)x->shuffle = loads;
    const Shuffle s = shuffle_of(x);
    for (int i = 0; i < x->count; i += 4) {
        const int q = i / WIDE * 2 + i / 4 % 2, lane = i % WIDE / 8;
        fill_quad(x, &s.quads[q], lane, i, loads);
        fill_weights(x, i, s.weight + (ptrdiff_t)q * x->pairs * WIDE + 8 * lane, WIDE);
    }
    /* no more outputs: loads must be legal all the same */
    for (int i = (x->count + 3) / 4 * 4; i % WIDE; i += 4) {
        const int q = i / WIDE * 2 + i / 4 % 2, lane = i % WIDE / 8;
        fill_quad(x, &s.quads[q], lane, i, loads);
    }
}

static void prepare(FrameAxis *x)
{
    x->at_once = prepare_near(x);
    if (!x->at_once)
        prepare_quads(x);
}

/* Sums of the quads' products. */
INLINE V quads(const Quads *q, const int16_t *t, const int16_t *weight, int pairs, int loads)
{
    V sum = v_zero();
    for (int k = 0; k < pairs; k++) {
        V pair = v_shuffle8(v_lanes(t + 2 * k, q->offset[0], 1), v_load(q->mask[0]));
        if (loads == 2)
            pair = v_or(pair, v_shuffle8(v_lanes(t + 2 * k, q->offset[1], 1), v_load(q->mask[1])));
        const V product = v_madd16(pair, v_load(weight + k * WIDE));
        sum = k ? v_add32(sum, product) : product;
    }
    return sum;
}

INLINE void bilinear_quads(const FrameAxis *x, const int16_t *t, int loads, int16_t *out)
{
    const Shuffle s = shuffle_of(x);
    const Quads *q = s.quads;
    const int16_t *w = s.weight;
    for (int i = 0; i < x->count; i += WIDE, q += 2, w += 2 * WIDE)
        v_store(out + i, v_packs32(rounded(v_add32(half(), quads(&q[0], t, w, 1, loads))),
                                   rounded(v_add32(half(), quads(&q[1], t, w + WIDE, 1, loads)))));
}

static TARGET void horizontal_bilinear(const FrameAxis *x, const int16_t *t, int16_t *out)
{
    if (*(const int *)x->shuffle == 1)
        bilinear_quads(x, t, 1, out);
    else
        bilinear_quads(x, t, 2, out);
}

/* Areas' sums times their inverses, from those of output i on; quad l lies 8l behind. */
INLINE V divided(const FrameAxis *x, V sum, int i)
{
    static const int each8[] = {0, 8, 16, 24};
    const V inverse = v_lanes((const char *)(x->inverse + i), each8, (int)sizeof(float));
    return vf_to32(vf_mul(vf_from32(sum), vf_cast(inverse)));
}

INLINE void near_areas(const FrameAxis *x, const int16_t *t, int pairs, int loads, int16_t *out)
{
    const Shuffle s = shuffle_of(x);
    const Quads *q = s.quads;
    const int16_t *w = s.weight;
    for (int i = 0; i < x->count; i += WIDE, q += 2, w += 2 * pairs * WIDE) {
        const V a = quads(&q[0], t, w, pairs, loads),
                b = quads(&q[1], t, w + pairs * WIDE, pairs, loads);
        v_store(out + i, v_packs32(divided(x, a, i), divided(x, b, i + 4)));
    }
}

/* Areas of many elements: sums of four outputs a lane, output + 8 * lane + 0 .. 3, eight elements
 * at a time. */
INLINE V wide_quads(const FrameAxis *x, const int16_t *t, int output)
{
    V sum[4];
    for (int k = 0; k < 4; k++) {
        int32_t at[LANES], weight[LANES];
        int taps = 0;
        for (int lane = 0; lane < LANES; lane++) {
            const int i = output + 8 * lane + k < x->count ? output + 8 * lane + k : x->count - 1;
            at[lane] = x->first[i] - x->lo;
            weight[lane] = i * x->taps;
            taps = x->used[i] > taps ? x->used[i] : taps;
        }
        sum[k] = v_zero();
        for (int j = 0; j < taps; j += 8)
            sum[k] =
                v_add32(sum[k], v_madd16(v_lanes(t + j, at, 1), v_lanes(x->weight + j, weight, 1)));
    }
    return v_hadd32(v_hadd32(sum[0], sum[1]), v_hadd32(sum[2], sum[3]));
}

static TARGET void horizontal_area(const FrameAxis *x, const int16_t *t, int16_t *out)
{
    if (!x->pairs)
        for (int i = 0; i < x->count; i += WIDE)
            v_store(out + i, v_packs32(divided(x, wide_quads(x, t, i), i),
                                       divided(x, wide_quads(x, t, i + 4), i + 4)));
    else if (*(const int *)x->shuffle == 1)
        near_areas(x, t, x->pairs, 1, out);
    else if (x->pairs == 2)
        near_areas(x, t, 2, 2, out);
    else
        near_areas(x, t, x->pairs, 2, out);
}

/* ---- colour and type ---- */

static TARGET void colour(const FrameColour *m, int nout, int n, const int16_t *const *in,
                          int16_t *const *out)
{
    const V four = v_set16(FRAME_FOURTH), none = v_zero(), most = v_set16(255);
    V first[3], second[3];
    for (int c = 0; c < nout; c++) {
        first[c] = pair32(m[c].m[0], m[c].m[1]);
        second[c] = pair32(m[c].m[2], m[c].m[3]);
    }
    for (int i = 0; i < n; i += WIDE) {
        const V a = v_load(in[0] + i), b = v_load(in[1] + i), c = v_load(in[2] + i);
        const V ab0 = v_lo16(a, b), ab1 = v_hi16(a, b), c0 = v_lo16(c, four), c1 = v_hi16(c, four);
        for (int k = 0; k < nout; k++) {
            const V lo = v_add32(v_madd16(ab0, first[k]), v_madd16(c0, second[k]));
            const V hi = v_add32(v_madd16(ab1, first[k]), v_madd16(c1, second[k]));
            const V v = v_packs32(v_sra32(lo, FRAME_COLOUR), v_sra32(hi, FRAME_COLOUR));
            v_store(out[k] + i, v_min16(v_max16(v, none), most));
        }
    }
}

/* Levels, not yet clamped, of pairs (a, b) and (c, four). */
INLINE V coloured(V ab, V cd, V first, V second)
{
    return v_sra32(v_dot16(v_madd16(cd, second), ab, first), FRAME_COLOUR);
}

INLINE VF level_f32(V v, VF scale, VF shift)
{
    const V level = v_min32(v_max32(v, v_zero()), v_set32(255));
    return vf_fma(vf_from32(level), scale, shift);
}

typedef struct ColourF32 { /* of one row of output */
    V first, second;
    VF scale, shift;
} ColourF32;

/* WIDE elements of the rows from i on; spread, they come out of v_lo16 and v_hi16 in order. */
INLINE void colour_f32_at(const ColourF32 *k, int nout, const int16_t *const *in, int i,
                          float *const *out, int at)
{
    const V a = v_spread64(v_load(in[0] + i)), b = v_spread64(v_load(in[1] + i)),
            c = v_spread64(v_load(in[2] + i)), four = v_set16(FRAME_FOURTH);
    const V ab0 = v_lo16(a, b), ab1 = v_hi16(a, b), c0 = v_lo16(c, four), c1 = v_hi16(c, four);
    for (int r = 0; r < nout; r++) {
        vf_store(out[r] + at,
                 level_f32(coloured(ab0, c0, k[r].first, k[r].second), k[r].scale, k[r].shift));
        vf_store(out[r] + at + WIDE / 2,
                 level_f32(coloured(ab1, c1, k[r].first, k[r].second), k[r].scale, k[r].shift));
    }
}

INLINE void colour_f32_rows(const ColourF32 *k, int nout, int n, const int16_t *const *in,
                            float *const *out)
{
    int i = 0;
    for (; i + WIDE <= n; i += WIDE)
        colour_f32_at(k, nout, in, i, out, i);
    if (i == n)
        return;
    float rest[3][WIDE];
    float *const to[3] = {rest[0], rest[1], rest[2]};
    colour_f32_at(k, nout, in, i, to, 0);
    for (int r = 0; r < nout; r++)
        memcpy(out[r] + i, rest[r], (size_t)(n - i) * sizeof **out);
}

static TARGET void colour_f32(const FrameColour *m, int nout, int n, const int16_t *const *in,
                              const float *scale, const float *shift, float *const *out)
{
    ColourF32 k[3];
    for (int r = 0; r < nout; r++)
        k[r] = (ColourF32){pair32(m[r].m[0], m[r].m[1]), pair32(m[r].m[2], m[r].m[3]),
                           vf_set(scale[r]), vf_set(shift[r])};
    if (nout == 3)
        colour_f32_rows(k, 3, n, in, out);
    else
        colour_f32_rows(k, nout, n, in, out);
}

INLINE void normalise_f32(const int16_t *in, int n, float scale, float shift, float *out)
{
    const VF a = vf_set(scale), b = vf_set(shift);
    int i = 0;
    for (; i + WIDE / 2 <= n; i += WIDE / 2)
        vf_store(out + i, vf_fma(vf_from32(v_widen16(in + i)), a, b));
    if (i < n) {
        float rest[WIDE / 2];
        vf_store(rest, vf_fma(vf_from32(v_widen16(in + i)), a, b));
        memcpy(out + i, rest, (size_t)(n - i) * sizeof *out);
    }
}

INLINE V clamped(V v, VF a, VF b, VF low, VF high)
{
    return vf_to32(vf_min(vf_max(vf_fma(vf_from32(v), a, b), low), high));
}

INLINE void normalise_bytes(const int16_t *in, int n, float scale, float shift, bool sign,
                            uint8_t *out)
{
    const VF a = vf_set(scale), b = vf_set(shift);
    const VF low = vf_set(sign ? -128 : 0), high = vf_set(sign ? 127 : 255);
    for (int i = 0; i < n; i += WIDE) {
        const V v = v_load(in + i); /* not negative: the upper half of a wider element is zero */
        const V lo = clamped(v_lo16(v, v_zero()), a, b, low, high),
                hi = clamped(v_hi16(v, v_zero()), a, b, low, high);
        uint8_t rest[WIDE];
        v_narrow16(i + WIDE <= n ? out + i : rest, v_packs32(lo, hi));
        if (i + WIDE > n)
            memcpy(out + i, rest, (size_t)(n - i));
    }
}

static TARGET void normalise(const int16_t *in, int n, float scale, float shift, DType t, void *out)
{
    if (t == DT_F32)
        normalise_f32(in, n, scale, shift, out);
    else
        normalise_bytes(in, n, scale, shift, t == DT_I8, out);
}

/* ---- layout ---- */

/* Pixels are made four at a time, each by stores of four elements. What the last store writes too
 * many, one to three, the next pixel overwrites: the last pixels are left to the plain routine.
 * Returns how many pixels are done. */
INLINE int interleave_f32(const float *const *in, int block, int n, float *out)
{
    int i = 0;
    for (; i + 4 < n; i += 4) {
        const __m128 r = _mm_loadu_ps(in[0] + i), g = _mm_loadu_ps(in[1] + i),
                     b = _mm_loadu_ps(in[2] + i);
        const __m128 z = _mm_setzero_ps();
        const __m128 rg0 = _mm_unpacklo_ps(r, g), rg1 = _mm_unpackhi_ps(r, g);
        const __m128 b0 = _mm_unpacklo_ps(b, z), b1 = _mm_unpackhi_ps(b, z);
        const __m128 pixel[4] = {_mm_movelh_ps(rg0, b0), _mm_movehl_ps(b0, rg0),
                                 _mm_movelh_ps(rg1, b1), _mm_movehl_ps(b1, rg1)};
        for (int k = 0; k < 4; k++) {
            float *const to = out + (ptrdiff_t)(i + k) * block;
            _mm_storeu_ps(to, pixel[k]);
            for (int c = 4; c < block; c += 4)
                _mm_storeu_ps(to + c, z);
        }
    }
    return i;
}

INLINE int interleave_bytes(const uint8_t *const *in, int block, int n, uint8_t *out)
{
    const __m128i closer = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    int i = 0;
    /* a store of twelve bytes and four more; the inputs hold n and slack */
    for (; i + 8 < n; i += 4) {
        __m128i p[3];
        for (int c = 0; c < 3; c++)
            p[c] = _mm_loadl_epi64((const __m128i *)(in[c] + i));
        const __m128i rg = _mm_unpacklo_epi8(p[0], p[1]),
                      b = _mm_unpacklo_epi8(p[2], _mm_setzero_si128());
        const __m128i pixel = _mm_unpacklo_epi16(rg, b);
        _mm_storeu_si128((__m128i *)(out + (ptrdiff_t)i * block),
                         block == 3 ? _mm_shuffle_epi8(pixel, closer) : pixel);
    }
    return i;
}

static TARGET void interleave(const void *const *in, int channels, int block, int n, int size,
                              void *out)
{
    int done = 0;
    if (channels == 3 && size == 4)
        done = interleave_f32((const float *const *)in, block, n, out);
    else if (channels == 3 && size == 1 && (block == 3 || block == 4))
        done = interleave_bytes((const uint8_t *const *)in, block, n, out);
    const void *rest[3];
    for (int c = 0; c < channels; c++)
        rest[c] = (const char *)in[c] + (ptrdiff_t)done * size;
    frame_rows_plain.interleave(rest, channels, block, n - done, size,
                                (char *)out + (ptrdiff_t)done * block * size);
}

const FrameRows FRAME_ROWS = {
    .vertical_bilinear = vertical_bilinear,
    .vertical_area = vertical_area,
    .prepare = prepare,
    .bilinear = bilinear,
    .horizontal_bilinear = horizontal_bilinear,
    .horizontal_area = horizontal_area,
    .colour = colour,
    .normalise = normalise,
    .colour_f32 = colour_f32,
    .interleave = interleave,
};
