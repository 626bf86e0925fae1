/* Frames to tensors: every variant against plain C to the bit, with guard bytes around all that is
 * written and nothing readable around the frame; plain C against known answers and the definition
 * in doubles. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "kernel/frame_rows.h"

extern const FrameRows frame_rows_pair; /* the rows of AVX-512 on AVX2 */

/* ---- variants this CPU runs ---- */

static int variants(const FrameRows *list[4])
{
    const SimdLevel best = simd_level();
    int n = 0;
    if (best >= SIMD_256) {
        list[n++] = &frame_rows_avx2;
        list[n++] = &frame_rows_pair;
    }
    if (best >= SIMD_512)
        list[n++] = &frame_rows_avx512;
    if (best >= SIMD_512_VBMI)
        list[n++] = &frame_rows_vbmi;
    return n;
}

/* ---- random cases ---- */

static uint64_t next(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r * 0x2545f4914f6cdd1d;
}

static int upto(uint64_t *r, int n) /* 1 to n */
{
    return 1 + (int)((next(r) >> 33) % (uint64_t)n);
}

static double unit(uint64_t *r)
{
    return (double)(next(r) >> 11) * 0x1p-53;
}

/* A frame whose planes are each one allocation that ends with their last pixel. */
typedef struct Made {
    Frame frame;
    uint8_t *memory[3];
} Made;

static int planes(FrameFormat f)
{
    return f == FRAME_NV12 ? 2 : f == FRAME_GRAY || f == FRAME_RGB24 || f == FRAME_BGR24 ? 1 : 3;
}

static Made make_frame(FrameFormat format, int width, int height, bool turned, uint64_t *r)
{
    Made m = {.frame = {.format = format,
                        .width = width,
                        .height = height,
                        .matrix = (FrameMatrix)(next(r) % 3),
                        .full = next(r) & 1,
                        .centre = next(r) & 1}};
    const int noise = upto(r, 255), base = (int)(next(r) % (uint64_t)(256 - noise));
    for (int p = 0; p < planes(format); p++) {
        const bool half_x = p && format != FRAME_I444, half_y = half_x && format != FRAME_I422;
        const int w = half_x ? (width + 1) / 2 : width, h = half_y ? (height + 1) / 2 : height;
        const int bytes = w * (format == FRAME_NV12 && p                        ? 2
                               : format == FRAME_RGB24 || format == FRAME_BGR24 ? 3
                                                                                : 1);
        const int stride = bytes + (int)(next(r) % 20);
        const size_t all = (size_t)stride * (size_t)(h - 1) + (size_t)bytes;
        m.memory[p] = malloc(all);
        for (size_t i = 0; i < all; i++)
            m.memory[p][i] = (uint8_t)(base + (int)(next(r) >> 40) % (noise + 1));
        m.frame.plane[p] = turned ? m.memory[p] + (size_t)stride * (size_t)(h - 1) : m.memory[p];
        m.frame.stride[p] = turned ? -stride : stride;
    }
    return m;
}

static void free_frame(Made *m)
{
    for (int p = 0; p < 3; p++)
        free(m->memory[p]);
}

static FrameBox make_box(int width, int height, uint64_t *r)
{
    switch (next(r) % 4) {
    case 0:
        return (FrameBox){0, 0, width, height};
    case 1: /* whole pixels */
        return (FrameBox){upto(r, width) - 1, upto(r, height) - 1, upto(r, width), upto(r, height)};
    case 2: /* over the edges, at times all outside */
        return (FrameBox){(unit(r) - 0.5) * 3 * width, (unit(r) - 0.5) * 3 * height,
                          0.01 + unit(r) * 2 * width, 0.01 + unit(r) * 2 * height};
    }
    return (FrameBox){unit(r) * width, unit(r) * height, 0.01 + unit(r) * width,
                      0.01 + unit(r) * height};
}

static FrameTensor make_tensor(int most, uint64_t *r)
{
    static const DType types[] = {DT_F32, DT_U8, DT_I8};
    FrameTensor t = {.dtype = types[next(r) % 3],
                     .order = (FrameOrder)(next(r) % 3),
                     .width = upto(r, most),
                     .height = upto(r, most),
                     .channels = next(r) & 1 ? 3 : 1,
                     .bgr = next(r) & 1,
                     .block = next(r) % 4 ? 4 * upto(r, 4) : 3 + upto(r, 9)};
    const int pixel = t.order == FRAME_NCHW ? 1 : t.order == FRAME_NHWC ? t.channels : t.block;
    if (next(r) & 1)
        t.row = (int64_t)t.width * pixel + (int64_t)(next(r) % 9);
    if (t.order == FRAME_NCHW && next(r) & 1)
        t.plane = (t.row ? t.row : t.width) * t.height + (int64_t)(next(r) % 40);
    for (int c = 0; c < 3; c++) {
        const bool plain = next(r) & 1;
        t.scale[c] = plain ? 1 : (float)(unit(r) * 4 - 2);
        t.shift[c] = plain ? 0 : (float)(unit(r) * 200 - 100);
    }
    return t;
}

static int64_t tensor_bytes(const FrameTensor *t)
{
    const int pixel = t->order == FRAME_NCHW ? 1 : t->order == FRAME_NHWC ? t->channels : t->block;
    const int64_t row = t->row ? t->row : (int64_t)t->width * pixel;
    int64_t n = row * (t->height - 1) + (int64_t)t->width * pixel;
    if (t->order == FRAME_NCHW)
        n += (t->channels - 1) * (t->plane ? t->plane : row * t->height);
    return n * dtype_size(t->dtype);
}

enum { GUARD = 64 };

/* The tensor between guards, by the given routines; freed by the caller. */
static uint8_t *converted(const Frame *f, const FrameBox *box, FrameFilter filter, FrameTensor t,
                          const FrameRows *rows)
{
    const size_t size = (size_t)tensor_bytes(&t),
                 scratch = (size_t)frame_scratch(f, box, filter, &t);
    uint8_t *const out = malloc(size + 2 * GUARD);
    memset(out, 0xa5, size + 2 * GUARD);
    uint8_t *const mem = heap_alloc(scratch + GUARD, 64);
    memset(mem, 0xfd, scratch + GUARD); /* what was there before makes no difference */
    t.data = out + GUARD;
    frame_by_rows(f, box, filter, &t, rows, mem);
    for (int i = 0; i < GUARD; i++) {
        assert_int_equal(mem[scratch + (size_t)i], 0xfd);
        assert_int_equal(out[i], 0xa5);
        assert_int_equal(out[GUARD + size + (size_t)i], 0xa5);
    }
    heap_free(mem);
    return out;
}

static void same(const Frame *f, const FrameBox *box, FrameFilter filter, const FrameTensor *t)
{
    const FrameRows *list[4];
    const int n = variants(list);
    const size_t size = (size_t)tensor_bytes(t);
    uint8_t *const want = converted(f, box, filter, *t, &frame_rows_plain);
    for (int k = 0; k < n; k++) {
        uint8_t *const got = converted(f, box, filter, *t, list[k]);
        if (memcmp(got + GUARD, want + GUARD, size)) {
            size_t i = 0;
            while (got[GUARD + i] == want[GUARD + i])
                i++;
            FAIL_MSG("variant %d: format %d, %dx%d, box %g %g %g %g, filter %d -> %dx%d of %s, "
                     "order %d, channels %d, "
                     "block %d: byte %zu of %zu is %d, not %d",
                     k, f->format, f->width, f->height, box->x, box->y, box->width, box->height,
                     filter, t->width, t->height, dtype_name(t->dtype), t->order, t->channels,
                     t->block, i, size, got[GUARD + i], want[GUARD + i]);
        }
        free(got);
    }
    free(want);
}

static void random_case(uint64_t *r, int most_in, int most_out)
{
    Made m =
        make_frame((FrameFormat)(next(r) % 7), upto(r, most_in), upto(r, most_in), next(r) & 1, r);
    const FrameBox box = make_box(m.frame.width, m.frame.height, r);
    const FrameTensor t = make_tensor(most_out, r);
    same(&m.frame, &box, (FrameFilter)(next(r) & 1), &t);
    free_frame(&m);
}

static void variants_agree(void **state)
{
    (void)state;
    uint64_t r = 20261121;
    for (int i = 0; i < 1500; i++)
        random_case(&r, 80, 80);
    for (int i = 0; i < 400; i++)
        random_case(&r, 400, 60); /* far apart */
    for (int i = 0; i < 200; i++)
        random_case(&r, 40, 200);
    for (int i = 0; i < 200; i++)
        random_case(&r, 3, 70);
}

/* The largest sides, along and across; every format and filter. */
static void largest(void **state)
{
    (void)state;
    uint64_t r = 7;
    for (int i = 0; i < 7 * 4; i++) {
        const bool high = i & 2;
        Made m = make_frame((FrameFormat)(i / 4), high ? 5 : 16384, high ? 16384 : 5, i & 1, &r);
        const FrameBox whole = {0, 0, m.frame.width, m.frame.height};
        const int sizes[] = {1, 3, 37, 5000};
        for (int k = 0; k < 4; k++) {
            const FrameTensor t = {.dtype = DT_U8,
                                   .width = high ? 2 : sizes[k],
                                   .height = high ? sizes[k] : 2,
                                   .channels = 3,
                                   .scale = {1, 1, 1}};
            same(&m.frame, &whole, i & 1 ? FRAME_AREA : FRAME_BILINEAR, &t);
        }
        free_frame(&m);
    }
}

/* ---- known answers ---- */

static void picture(const uint8_t *pixels, int width, int height, FrameBox box, FrameFilter filter,
                    int w, int h, uint8_t *out)
{
    const Frame f = {.format = FRAME_GRAY,
                     .width = width,
                     .height = height,
                     .plane = {pixels},
                     .stride = {width},
                     .full = true};
    const FrameTensor t = {.dtype = DT_U8, .width = w, .height = h, .channels = 1, .scale = {1}};
    uint8_t *const got = converted(&f, &box, filter, t, &frame_rows_plain);
    memcpy(out, got + GUARD, (size_t)(w * h));
    free(got);
    same(&f, &box, filter, &t);
}

static void resizing(void **state)
{
    (void)state;
    const uint8_t four[] = {10, 20, 30, 41};
    uint8_t out[64];
    picture(four, 2, 2, (FrameBox){0, 0, 2, 2}, FRAME_AREA, 1, 1, out);
    assert_int_equal(out[0], 25); /* 25.25 */
    picture(four, 2, 2, (FrameBox){0, 0, 2, 2}, FRAME_BILINEAR, 1, 1, out);
    assert_int_equal(out[0], 25);
    picture(four, 2, 2, (FrameBox){0, 0, 2, 2}, FRAME_BILINEAR, 2, 2, out);
    assert_memory_equal(out, four, 4);
    /* 4/3 each: (10 + 20/3) / (4/3) = 12.5 */
    picture(four, 4, 1, (FrameBox){0, 0, 4, 1}, FRAME_AREA, 3, 1, out);
    assert_in_range(out[0], 12, 13);
    assert_int_equal(out[1], 25);
    assert_in_range(out[2], 38, 39); /* (30/3 + 41) / (4/3) = 38.25 */
    /* centres at -0.25, 0.25, 0.75 .. */
    picture(four, 4, 1, (FrameBox){0, 0, 4, 1}, FRAME_BILINEAR, 8, 1, out);
    const uint8_t twice[] = {10, 13, 18, 23, 28, 33, 38, 41};
    for (int i = 0; i < 8; i++)
        assert_in_range(out[i] - twice[i] + 1, 0, 2);
    /* outside: the nearest pixel */
    picture(four, 4, 1, (FrameBox){-100, -7, 10, 3}, FRAME_AREA, 2, 2, out);
    assert_int_equal(out[0], 10);
    picture(four, 4, 1, (FrameBox){90, 0, 50, 1}, FRAME_BILINEAR, 2, 1, out);
    assert_int_equal(out[1], 41);
    /* two outside, as the first; 10; 20 */
    picture(four, 4, 1, (FrameBox){-2, 0, 4, 1}, FRAME_AREA, 1, 1, out);
    assert_in_range(out[0], 12, 13);
    picture(four, 1, 1, (FrameBox){0, 0, 1, 1}, FRAME_BILINEAR, 5, 3, out);
    for (int i = 0; i < 15; i++)
        assert_int_equal(out[i], 10);
}

/* A picture of one colour stays it, whatever the filter, the box and the level. */
static void constants(void **state)
{
    (void)state;
    uint64_t r = 3;
    for (int v = 0; v < 256; v++) {
        uint8_t pixels[33 * 21], out[64];
        memset(pixels, v, sizeof pixels);
        for (int k = 0; k < 4; k++) {
            picture(pixels, 33, 21, make_box(33, 21, &r), (FrameFilter)(k & 1), upto(&r, 8), 8,
                    out);
            assert_int_equal(out[0], v);
        }
    }
}

/* Colour of one pixel by its definition (ITU-R BT.601, BT.709, BT.2020). */
static void colour_of(const Frame *f, double y, double cb, double cr, double rgb[3])
{
    static const double weights[][2] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}};
    const double kr = weights[f->matrix][0], kb = weights[f->matrix][1];
    const double luma = f->full ? y / 255 : (y - 16) / 219;
    const double u = (cb - 128) / (f->full ? 255 : 224), v = (cr - 128) / (f->full ? 255 : 224);
    rgb[0] = luma + 2 * (1 - kr) * v;
    rgb[2] = luma + 2 * (1 - kb) * u;
    rgb[1] = (luma - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
    for (int c = 0; c < 3; c++)
        rgb[c] = 255 * fmin(fmax(rgb[c], 0), 1);
}

static void colours(void **state)
{
    (void)state;
    uint64_t r = 5;
    for (int i = 0; i < 400; i++) {
        Made m = make_frame(FRAME_I444, 16, 16, false, &r);
        const FrameBox whole = {0, 0, 16, 16};
        const FrameTensor t = {
            .dtype = DT_F32, .width = 16, .height = 16, .channels = 3, .scale = {1, 1, 1}};
        uint8_t *const got = converted(&m.frame, &whole, FRAME_BILINEAR, t, &frame_rows_plain);
        for (int p = 0; p < 256; p++) {
            double want[3];
            const Frame *const f = &m.frame;
            colour_of(f, f->plane[0][p / 16 * f->stride[0] + p % 16],
                      f->plane[1][p / 16 * f->stride[1] + p % 16],
                      f->plane[2][p / 16 * f->stride[2] + p % 16], want);
            for (int c = 0; c < 3; c++) {
                float level;
                memcpy(&level, got + GUARD + 4 * (256 * c + p), 4);
                if (fabs(level - want[c]) > 0.55)
                    FAIL_MSG("case %d, pixel %d, channel %d: %g, not %g", i, p, c, (double)level,
                             want[c]);
            }
        }
        free(got);
        free_frame(&m);
    }
}

static double reading(const Frame *f, FrameBox box, FrameTensor t, int at)
{
    uint8_t *const got = converted(f, &box, FRAME_BILINEAR, t, &frame_rows_plain);
    float v;
    memcpy(&v, got + GUARD + 4 * at, 4);
    free(got);
    return v;
}

/* Chroma's samples lie on luma's even columns, or between them; gray is luma; black, white and the
 * order of channels. */
static void places_of_chroma(void **state)
{
    (void)state;
    uint8_t y[16], u[4], v[4];
    memset(y, 128, sizeof y);
    memset(u, 128, sizeof u);
    for (int i = 0; i < 4; i++)
        v[i] = i & 1 ? 168 : 128; /* a step between two columns of chroma */
    Frame f = {.format = FRAME_I420,
               .width = 4,
               .height = 4,
               .plane = {y, u, v},
               .stride = {4, 2, 2},
               .full = true};
    FrameTensor t = {.dtype = DT_F32, .width = 4, .height = 4, .channels = 3, .scale = {1, 1, 1}};
    const FrameBox whole = {0, 0, 4, 4};
    /* sited left: column 0 has the first, column 2 the second, column 1 half of each */
    assert_float_equal(reading(&f, whole, t, 0), 128, 0.6);
    assert_float_equal(reading(&f, whole, t, 1), 128 + 20 * 1.402, 0.6);
    assert_float_equal(reading(&f, whole, t, 2), 128 + 40 * 1.402, 0.6);
    f.centre = true; /* columns 1 and 2 lie a quarter off the middle */
    assert_float_equal(reading(&f, whole, t, 0), 128, 0.6);
    assert_float_equal(reading(&f, whole, t, 1), 128 + 10 * 1.402, 0.6);
    assert_float_equal(reading(&f, whole, t, 2), 128 + 30 * 1.402, 0.6);
    t.bgr = true;
    t.scale[2] = 0.5F;
    t.shift[2] = -1;
    assert_float_equal(reading(&f, whole, t, 2 * 16 + 3), (128 + 40 * 1.402) / 2 - 1, 0.6);
    t.channels = 1;
    assert_float_equal(reading(&f, whole, t, 3), 128, 0);
    f.full = false;
    memset(y, 235, sizeof y);
    assert_float_equal(reading(&f, whole, t, 3), 255, 0);
    memset(y, 16, sizeof y);
    assert_float_equal(reading(&f, whole, t, 3), 0, 0);
}

/* Odd sides: the last column and row of luma have chroma of their own. */
static void odd_sides(void **state)
{
    (void)state;
    uint8_t y[15], u[6], v[6];
    memset(y, 128, sizeof y);
    memset(u, 128, sizeof u);
    memset(v, 128, sizeof v);
    v[5] = 168; /* of 3 columns and 2 rows the last */
    const Frame f = {.format = FRAME_I420,
                     .width = 5,
                     .height = 3,
                     .plane = {y, u, v},
                     .stride = {5, 3, 3},
                     .full = true};
    const FrameTensor t = {
        .dtype = DT_F32, .width = 5, .height = 3, .channels = 3, .scale = {1, 1, 1}};
    const FrameBox whole = {0, 0, 5, 3};
    /* a quarter of the row above */
    assert_float_equal(reading(&f, whole, t, 14), 128 + 30 * 1.402, 0.6);
    assert_float_equal(reading(&f, whole, t, 12), 128, 0.6);
    assert_float_equal(reading(&f, whole, t, 4), 128, 0.6);
}

/* Every order and stride holds what dense planes hold, and nothing else is written. */
static void layouts(void **state)
{
    (void)state;
    uint64_t r = 21;
    for (int i = 0; i < 200; i++) {
        Made m = make_frame(FRAME_I420, 40, 30, false, &r);
        const FrameBox whole = {0, 0, 40, 30};
        FrameTensor t = make_tensor(30, &r);
        t.bgr = false;
        const FrameTensor dense = {.dtype = t.dtype,
                                   .width = t.width,
                                   .height = t.height,
                                   .channels = t.channels,
                                   .scale = {t.scale[0], t.scale[1], t.scale[2]},
                                   .shift = {t.shift[0], t.shift[1], t.shift[2]}};
        uint8_t *const want = converted(&m.frame, &whole, FRAME_AREA, dense, &frame_rows_plain);
        uint8_t *const got = converted(&m.frame, &whole, FRAME_AREA, t, &frame_rows_plain);
        const int size = dtype_size(t.dtype), pixel = t.order == FRAME_NCHW   ? 1
                                                      : t.order == FRAME_NHWC ? t.channels
                                                                              : t.block;
        const int64_t row = t.row ? t.row : t.width * pixel,
                      plane = t.plane ? t.plane : row * t.height;
        uint8_t *const seen = calloc((size_t)tensor_bytes(&t), 1);
        for (int y = 0; y < t.height; y++)
            for (int x = 0; x < t.width; x++)
                for (int c = 0; c < (pixel == 1 ? t.channels : pixel); c++) {
                    const int64_t at =
                        pixel == 1 ? c * plane + y * row + x : y * row + x * pixel + c;
                    const int64_t from = ((int64_t)c * t.height + y) * t.width + x;
                    const uint8_t zero[4] = {0};
                    assert_memory_equal(got + GUARD + at * size,
                                        c < t.channels ? want + GUARD + from * size : zero,
                                        (size_t)size);
                    memset(seen + at * size, 1, (size_t)size);
                }
        for (int64_t k = 0; k < tensor_bytes(&t); k++)
            assert_true(seen[k] || got[GUARD + k] == 0xa5);
        free(seen);
        free(want);
        free(got);
        free_frame(&m);
    }
}

static void rgb_stays(void **state)
{
    (void)state;
    const uint8_t rgb[] = {1, 2, 3, 250, 251, 252};
    const FrameBox whole = {0, 0, 2, 1};
    for (int k = 0; k < 4; k++) {
        const Frame f = {.format = k & 1 ? FRAME_BGR24 : FRAME_RGB24,
                         .width = 2,
                         .height = 1,
                         .plane = {rgb},
                         .stride = {6}};
        const FrameTensor t = {.dtype = DT_U8,
                               .order = FRAME_NHWC,
                               .width = 2,
                               .height = 1,
                               .channels = 3,
                               .bgr = k & 2,
                               .scale = {1, 1, 1}};
        uint8_t *const got = converted(&f, &whole, FRAME_AREA, t, &frame_rows_plain);
        const bool turned = (k & 1) != (k >> 1);
        for (int i = 0; i < 6; i++)
            assert_int_equal(got[GUARD + i], rgb[turned ? i / 3 * 3 + 2 - i % 3 : i]);
        free(got);
        same(&f, &whole, FRAME_AREA, &t);
    }
}

/* ---- turned frames ---- */

/* The same picture in memory as it is shown, pixel by pixel. Chroma of half size would be sited
 * elsewhere. */
static Made turned_by_hand(const Frame *f)
{
    Made m = {.frame = *f};
    const int pixel = f->format == FRAME_RGB24 || f->format == FRAME_BGR24 ? 3 : 1;
    m.frame.turn = (FrameTurn){0};
    for (int p = 0; p < planes(f->format); p++) {
        m.memory[p] = malloc((size_t)(f->width * f->height * pixel));
        for (int y = 0; y < f->height; y++)
            for (int x = 0; x < f->width; x++) {
                const int u = f->turn.flip_x ? f->width - 1 - x : x,
                          v = f->turn.flip_y ? f->height - 1 - y : y;
                const int row = f->turn.swapped ? u : v, column = f->turn.swapped ? v : u;
                memcpy(m.memory[p] + (y * f->width + x) * pixel,
                       f->plane[p] + (ptrdiff_t)row * f->stride[p] + column * pixel, (size_t)pixel);
            }
        m.frame.plane[p] = m.memory[p];
        m.frame.stride[p] = f->width * pixel;
    }
    return m;
}

/* All eight turns: what is shown is what a turned copy shows, but for the rounding between the two
 * axes; every variant the same to the bit. */
static void turned_frames(void **state)
{
    (void)state;
    static const FrameFormat format[] = {FRAME_GRAY, FRAME_I444, FRAME_RGB24};
    uint64_t r = 4711;
    int most = 0;
    for (int round = 0; round < 240; round++) {
        Made m = make_frame(format[round % 3], upto(&r, 60), upto(&r, 60), false, &r);
        const Frame shown =
            frame_shown(&m.frame, (FrameTurn){round & 1, round >> 1 & 1, round >> 2 & 1});
        assert_int_equal(shown.width, round & 1 ? m.frame.height : m.frame.width);
        const FrameBox box = make_box(shown.width, shown.height, &r);
        FrameTensor t = make_tensor(40, &r);
        same(&shown, &box, (FrameFilter)(next(&r) & 1), &t);
        t.dtype = DT_U8;
        for (int c = 0; c < 3; c++) {
            t.scale[c] = 1;
            t.shift[c] = 0;
        }
        const FrameFilter filter = (FrameFilter)(round / 8 % 2);
        Made copy = turned_by_hand(&shown);
        uint8_t *const got = converted(&shown, &box, filter, t, &frame_rows_plain),
                       *const want = converted(&copy.frame, &box, filter, t, &frame_rows_plain);
        for (int64_t i = 0; i < tensor_bytes(&t); i++) {
            const int d = abs(got[GUARD + i] - want[GUARD + i]);
            most = d > most ? d : most;
            if (d >
                (shown.format == FRAME_I444 ? 3 : 1)) /* a level of chroma is nearly two of blue */
                FAIL_MSG("round %d, turn %d: byte %lld is %d, not %d", round, round % 8,
                         (long long)i, got[GUARD + i], want[GUARD + i]);
        }
        free(got);
        free(want);
        free_frame(&m);
        free_frame(&copy);
    }
    fprintf(stderr, "at most %d level\n", most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turned_frames),    cmocka_unit_test(variants_agree),
        cmocka_unit_test(largest),          cmocka_unit_test(resizing),
        cmocka_unit_test(constants),        cmocka_unit_test(colours),
        cmocka_unit_test(places_of_chroma), cmocka_unit_test(odd_sides),
        cmocka_unit_test(layouts),          cmocka_unit_test(rgb_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
