/* Frames to tensors: where the samples of a frame lie, and the loop over rows of output
 * (frame_rows.h has what a row goes through). Both axes are separable; positions and weights are
 * made once for a call, for luma and for chroma. One row of output is finished before the next
 * begins, so that all in between stays in the first-level cache. */
#include "kernel/frame.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/frame_rows.h"

typedef struct FormatInfo {
    int components;
    uint8_t plane[3], offset[3]; /* of component c: its plane, and its byte within a pixel of it */
    uint8_t step[3];             /* bytes from pixel to pixel in plane p */
    uint8_t half_x, half_y;      /* components 1 and 2 have half the size */
    bool rgb;
} FormatInfo;

static const FormatInfo formats[] = {
    [FRAME_I420] =
        {.components = 3, .plane = {0, 1, 2}, .step = {1, 1, 1}, .half_x = 1, .half_y = 1},
    [FRAME_I422] = {.components = 3, .plane = {0, 1, 2}, .step = {1, 1, 1}, .half_x = 1},
    [FRAME_I444] = {.components = 3, .plane = {0, 1, 2}, .step = {1, 1, 1}},
    [FRAME_NV12] = {.components = 3,
                    .plane = {0, 1, 1},
                    .offset = {0, 0, 1},
                    .step = {1, 2},
                    .half_x = 1,
                    .half_y = 1},
    [FRAME_GRAY] = {.components = 1, .step = {1}},
    [FRAME_RGB24] = {.components = 3, .offset = {0, 1, 2}, .step = {3}, .rgb = true},
    [FRAME_BGR24] = {.components = 3, .offset = {2, 1, 0}, .step = {3}, .rgb = true},
};

/* ---- axes ---- */

/* One axis of the box in a plane: output i covers [from + i * scale, from + (i + 1) * scale). */
typedef struct Span {
    double from, scale;
    int size, count;
    bool area;
} Span;

static Span span_of(const Frame *f, double from, double length, int count, bool vertical,
                    bool chroma, FrameFilter filter)
{
    const FormatInfo *const info = &formats[f->format];
    Span s = {.from = from,
              .scale = length / count,
              .size = vertical ? f->height : f->width,
              .count = count};
    if (chroma && (vertical ? info->half_y : info->half_x)) {
        /* Sited left, chroma's first sample lies on luma's first, a quarter of its own width from
         * its middle. */
        s.from = from / 2 + (vertical || f->centre ? 0 : 0.25);
        s.scale /= 2;
        s.size = (s.size + 1) / 2;
    }
    s.area = filter == FRAME_AREA && s.scale > 1;
    return s;
}

static int span_taps(const Span *s)
{
    const double most = ceil(s->scale) + 2;
    const int taps = most < s->size ? (int)most : s->size;
    return (taps + 7) / 8 * 8;
}

static void fill_bilinear(FrameAxis *x, const Span *s)
{
    for (int i = 0; i < s->count; i++) {
        const double centre = s->from + (i + 0.5) * s->scale - 0.5, last = s->size - 1;
        const double p = centre < 0 ? 0 : centre > last ? last : centre;
        int at = (int)p, w = (int)((p - at) * FRAME_LINEAR + 0.5);
        if (w == FRAME_LINEAR) {
            at++;
            w = 0;
        }
        x->first[i] = at;
        x->weight[i] = (int16_t)w;
    }
    const int last = x->first[s->count - 1];
    x->hi = last + (last + 1 < s->size ? 2 : 1);
}

/* Length of [a, b) within element k, where the first element and the last one stand for all that
 * lies outside. */
static double overlap(const Span *s, double a, double b, int k)
{
    const double from = k == 0 || a > k ? a : k, to = k == s->size - 1 || b < k + 1 ? b : k + 1;
    return to > from ? to - from : 0;
}

static double power_of_two_below(double v) /* of a positive number */
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= (uint64_t)0x7ff << 52;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static int clamped(double v, int low, int high)
{
    return v < low ? low : v > high ? high : (int)v;
}

/* Weights of output i, in the largest unit with which no weight and no sum overflows: all together
 * are `most` at most. */
static void fill_taps(FrameAxis *x, const Span *s, int i, double most, double whole)
{
    const double a = s->from + i * s->scale, b = a + s->scale;
    int lo = clamped(floor(a), 0, s->size - 1);
    const int end = lo + x->taps < s->size ? lo + x->taps : s->size;
    const int hi = clamped(ceil(b) - 1, lo, end - 1);
    const double first = overlap(s, a, b, lo), last = overlap(s, a, b, hi),
                 edge = first > last ? first : last;
    const double by_weight = 16384 / (edge > 1 ? edge : 1), by_sum = most / s->scale;
    const double unit = power_of_two_below(by_weight < by_sum ? by_weight : by_sum);
    while (lo < hi && overlap(s, a, b, lo) * unit < 0.5)
        lo++;
    int16_t *const w = x->weight + (int64_t)i * x->taps;
    int32_t sum = 0, used = 0;
    for (int k = lo; k <= hi; k++) {
        w[k - lo] = (int16_t)(overlap(s, a, b, k) * unit + 0.5);
        sum += w[k - lo];
        used = w[k - lo] ? k - lo + 1 : used;
    }
    assert(!x->pairs || used <= 2 * x->pairs);
    memset(w + used, 0, (size_t)(x->taps - used) * sizeof *w);
    x->first[i] = lo;
    x->used[i] = used;
    x->inverse[i] = (float)(whole / sum);
}

static void fill_area(FrameAxis *x, const Span *s, bool vertical)
{
    /* Half of what 31 bits hold, as each of the weights may be rounded up. */
    const double most = vertical ? 0x1p30 / 255 : 0x1p30 / (255 * FRAME_FINE);
    const double whole = vertical ? FRAME_FINE : 1.0 / FRAME_FINE;
    x->hi = 0;
    for (int i = 0; i < s->count; i++) {
        fill_taps(x, s, i, most, whole);
        x->hi = x->first[i] + x->used[i] > x->hi ? x->first[i] + x->used[i] : x->hi;
    }
}

/* ---- scratch ---- */

typedef struct Scratch {
    char *base; /* NULL: sizes only */
    int64_t used;
} Scratch;

static void *take(Scratch *s, int64_t bytes)
{
    void *const p = s->base ? s->base + s->used : NULL;
    s->used += (bytes + 63) / 64 * 64;
    return p;
}

static void axis_make(FrameAxis *x, const Span *s, bool vertical, int step, const FrameRows *rows,
                      Scratch *mem)
{
    *x = (FrameAxis){
        .count = s->count, .area = s->area, .step = step, .taps = s->area ? span_taps(s) : 1};
    if (!vertical && s->scale <= FRAME_WIDEST)
        x->pairs = s->area ? ((int)ceil(s->scale) + 2) / 2 : 1;
    x->first = take(mem, (int64_t)s->count * 4);
    x->weight = take(mem, (int64_t)s->count * x->taps * 2);
    if (s->area) {
        x->used = take(mem, (int64_t)s->count * 4);
        x->inverse = take(mem, ((int64_t)s->count + FRAME_SLACK) * 4);
    }
    if (x->pairs)
        x->shuffle = take(mem, frame_shuffle_bytes(s->count, x->pairs));
    if (!mem->base)
        return;
    if (s->area)
        fill_area(x, s, vertical);
    else
        fill_bilinear(x, s);
    x->lo = x->first[0];
    if (x->pairs && rows->prepare)
        rows->prepare(x);
}

typedef struct Job {
    const Frame *frame;
    const FrameTensor *out;
    const FrameRows *rows;
    FrameAxis x[2], y[2];        /* of luma (or R, G and B), of chroma */
    bool sparse[2];              /* pixels one by one */
    int components;              /* those read */
    bool convert;
    FrameColour colour[3];
    int16_t *t, *level[3], *converted[3];
    void *normal[3];             /* rows to be interleaved */
    bool planar;                 /* channels are written where they belong at once */
    int64_t row, plane;
} Job;

static int64_t row_bytes(int64_t elements, int size)
{
    return (elements + FRAME_SLACK) * size;
}

/* Everything of the call but the rows; sizes only if there is no memory. */
static int64_t job_make(Job *j, const Frame *f, const FrameBox *box, FrameFilter filter,
                        const FrameTensor *out, const FrameRows *rows, void *scratch)
{
    Scratch mem = {.base = scratch};
    const FormatInfo *const info = &formats[f->format];
    j->components = out->channels == 1 && !info->rgb ? 1 : info->components;
    int64_t widest = 0;
    for (int k = 0; k < (j->components == 3 && !info->rgb ? 2 : 1); k++) {
        const Span x = span_of(f, box->x, box->width, out->width, false, k, filter);
        const Span y = span_of(f, box->y, box->height, out->height, true, k, filter);
        const int step = x.area || y.area ? 0 : info->step[info->plane[k]];
        axis_make(&j->x[k], &x, false, step, rows, &mem);
        axis_make(&j->y[k], &y, true, 0, rows, &mem);
        j->sparse[k] = rows != &frame_rows_plain && !x.area && !y.area && x.scale > FRAME_WIDEST;
        const int64_t n = fmin(fabs(x.scale) * x.count + 4, x.size) + j->x[k].taps;
        widest = n > widest ? n : widest;
    }
    j->t = take(&mem, row_bytes(widest, 2));
    for (int c = 0; c < 3; c++) {
        j->level[c] = take(&mem, row_bytes(out->width, 2));
        j->converted[c] = take(&mem, row_bytes(out->width, 2));
        j->normal[c] = take(&mem, row_bytes(out->width, 4));
    }
    return mem.used;
}

int64_t frame_scratch(const Frame *f, const FrameBox *box, FrameFilter filter,
                      const FrameTensor *out)
{
    if (frame_is_turned(f))
        return frame_turned_scratch(f, box, filter, out);
    Job j = {.frame = f};
    return job_make(&j, f, box, filter, out, &frame_rows_plain, NULL);
}

/* ---- colour ---- */

static int16_t coefficient(double v)
{
    return (int16_t)lrint(v * (1 << FRAME_COLOUR));
}

/* m[3] that rounds, and takes away `black` of luma and 128 of chroma. */
static int16_t fourth(const int16_t *m, int black)
{
    const double sum = (1 << (FRAME_COLOUR - 1)) - black * m[0] - 128.0 * (m[1] + m[2]);
    return (int16_t)lrint(sum / FRAME_FOURTH);
}

static void colour_make(Job *j)
{
    static const double weights[][2] = {[FRAME_BT601] = {0.299, 0.114},
                                        [FRAME_BT709] = {0.2126, 0.0722},
                                        [FRAME_BT2020] = {0.2627, 0.0593}};
    const Frame *const f = j->frame;
    const double kr = weights[f->matrix][0], kb = weights[f->matrix][1], kg = 1 - kr - kb;
    FrameColour *const m = j->colour;
    if (formats[f->format].rgb) {
        j->convert = j->out->channels == 1;
        m[0] = (FrameColour){
            {coefficient(kr), 0, coefficient(kb), (1 << (FRAME_COLOUR - 1)) / FRAME_FOURTH}};
        /* gray stays as it is */
        m[0].m[1] = (int16_t)((1 << FRAME_COLOUR) - m[0].m[0] - m[0].m[2]);
        return;
    }
    const bool chroma = j->components == 3;
    j->convert = chroma || !f->full;
    const double gain = chroma ? (f->full ? 1 : 255.0 / 224) : 0;
    const int16_t y = coefficient(f->full ? 1 : 255.0 / 219);
    const int16_t rv = coefficient(gain * 2 * (1 - kr)), bu = coefficient(gain * 2 * (1 - kb));
    const int16_t gv = coefficient(-gain * 2 * (1 - kr) * kr / kg),
                  gu = coefficient(-gain * 2 * (1 - kb) * kb / kg);
    m[0] = (FrameColour){{y, 0, rv}};
    m[1] = (FrameColour){{y, gu, gv}};
    m[2] = (FrameColour){{y, bu, 0}};
    for (int c = 0; c < 3; c++)
        m[c].m[3] = fourth(m[c].m, f->full ? 0 : 16);
}

/* ---- rows ---- */

/* Bilinear pixels far apart: the same steps as those of frame_plain.c, on the four elements that
 * matter. */
static void sparse_row(const FrameSource *s, const FrameAxis *x, int weight, int16_t *out)
{
    for (int i = 0; i < x->count; i++) {
        const bool pair = x->weight[i] != 0;
        const FrameSource two = {.row = s->row + (ptrdiff_t)(x->first[i] - x->lo) * s->step,
                                 .stride = s->stride,
                                 .step = s->step,
                                 .component = s->component,
                                 .n = 1 + pair};
        int16_t t[2];
        frame_rows_plain.vertical_bilinear(&two, weight, t);
        const FrameAxis one = {.count = 1, .first = &(int32_t){0}, .weight = &x->weight[i]};
        frame_rows_plain.horizontal_bilinear(&one, t, &out[i]);
    }
}

/* Component c of output row `row`, as levels. */
static void component_row(const Job *j, int c, int row)
{
    const Frame *const f = j->frame;
    const FormatInfo *const info = &formats[f->format];
    const int k = info->rgb ? 0 : c > 0, p = info->plane[c];
    const FrameAxis *const x = &j->x[k], *const y = &j->y[k];
    const FrameSource s = {
        .row = f->plane[p] + (ptrdiff_t)y->first[row] * f->stride[p] +
               (ptrdiff_t)x->lo * info->step[p],
        .stride = f->stride[p],
        .step = info->step[p],
        .component = info->offset[c],
        .n = x->hi - x->lo,
        .ahead =
            row + 1 < y->count ? (ptrdiff_t)(y->first[row + 1] - y->first[row]) * f->stride[p] : 0};
    if (j->sparse[k]) {
        sparse_row(&s, x, y->weight[row], j->level[c]);
        return;
    }
    if (x->at_once) {
        j->rows->bilinear(&s, x, y->weight[row], j->level[c]);
        return;
    }
    if (y->area)
        j->rows->vertical_area(&s, y->used[row], y->weight + (int64_t)row * y->taps,
                               y->inverse[row], j->t);
    else
        j->rows->vertical_bilinear(&s, y->weight[row], j->t);
    if (x->area)
        j->rows->horizontal_area(x, j->t, j->level[c]);
    else
        j->rows->horizontal_bilinear(x, j->t, j->level[c]);
}

/* Colours of a row of floats, each channel where it belongs. */
static void colour_row(const Job *j, float *const *to)
{
    const FrameTensor *const out = j->out;
    FrameColour m[3];
    for (int c = 0; c < out->channels; c++)
        m[c] = j->colour[out->bgr && out->channels == 3 ? 2 - c : c];
    j->rows->colour_f32(m, out->channels, out->width, (const int16_t *const *)j->level, out->scale,
                        out->shift, to);
}

static void output_row(const Job *j, int row)
{
    const FrameTensor *const out = j->out;
    const int16_t *const *in = (const int16_t *const *)j->level;
    /* gray to three: made once */
    const int made = j->components == 3 || out->channels == 1 ? out->channels : 1;
    const int size = dtype_size(out->dtype);
    char *const data = (char *)out->data + row * j->row * size;
    void *to[3];
    for (int c = 0; c < out->channels; c++)
        to[c] = j->planar ? data + c * j->plane * size : j->normal[c];
    const bool at_once =
        j->convert && made == out->channels && out->dtype == DT_F32 && j->rows->colour_f32;
    if (at_once) {
        colour_row(j, (float *const *)to);
    } else if (j->convert) {
        j->rows->colour(j->colour, made, out->width, in, j->converted);
        in = (const int16_t *const *)j->converted;
    }
    for (int c = 0; !at_once && c < out->channels; c++) {
        const int from = made == 1 ? 0 : out->bgr ? 2 - c : c;
        j->rows->normalise(in[from], out->width, out->scale[c], out->shift[c], out->dtype, to[c]);
    }
    if (!j->planar)
        j->rows->interleave((const void *const *)j->normal, out->channels,
                            out->order == FRAME_NHWC ? out->channels : out->block, out->width, size,
                            data);
}

void frame_to_tensor(const Frame *f, const FrameBox *box, FrameFilter filter,
                     const FrameTensor *out, SimdLevel level, void *scratch)
{
    static const FrameRows *const levels[] = {[SIMD_PLAIN] = &frame_rows_plain,
                                              [SIMD_256] = &frame_rows_avx2,
                                              [SIMD_512] = &frame_rows_avx512,
                                              [SIMD_512_VNNI] = &frame_rows_avx512,
                                              [SIMD_512_VBMI] = &frame_rows_vbmi};
    frame_by_rows(f, box, filter, out, levels[level], scratch);
}

void frame_by_rows(const Frame *f, const FrameBox *box, FrameFilter filter, const FrameTensor *out,
                   const FrameRows *rows, void *scratch)
{
    if (frame_is_turned(f)) {
        frame_turned(f, box, filter, out, rows, scratch);
        return;
    }
    assert(f->width >= 1 && f->height >= 1 && out->width >= 1 && out->height >= 1);
    assert(box->width > 0 && box->height > 0);
    assert(out->channels == 1 || out->channels == 3);
    assert(out->order != FRAME_NCHW_BLOCKED || out->block >= out->channels);
    assert(out->dtype == DT_F32 || out->dtype == DT_U8 || out->dtype == DT_I8);
    Job j = {.frame = f, .out = out, .rows = rows};
    job_make(&j, f, box, filter, out, rows, scratch);
    colour_make(&j);
    const int pixel = out->order == FRAME_NCHW   ? 1
                      : out->order == FRAME_NHWC ? out->channels
                                                 : out->block;
    j.planar = pixel == 1;
    j.row = out->row ? out->row : (int64_t)out->width * pixel;
    j.plane = out->plane ? out->plane : j.row * out->height;
    for (int row = 0; row < out->height; row++) {
        for (int c = 0; c < j.components; c++)
            component_row(&j, c, row);
        output_row(&j, row);
    }
}
