/* OCR post-processing on maps and scores made by hand; sampling of pictures. */
#include "check.h"

#include <math.h>

#include "vision/ocr_detect.h"
#include "vision/ocr_text.h"

#define W 96
#define H 64

/* Fills the rectangle around (cx, cy), turned by `degrees`, with probability p. */
static void paint(float *map, float cx, float cy, float w, float h, float degrees, float p)
{
    const float a = degrees * 3.14159265f / 180, c = cosf(a), s = sinf(a);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            const float u = ((float)x - cx) * c + ((float)y - cy) * s;
            const float v = ((float)y - cy) * c - ((float)x - cx) * s;
            if (fabsf(u) <= w / 2 && fabsf(v) <= h / 2)
                map[y * W + x] = p;
        }
    }
}

static int detect(Arena *a, const float *map, OcrBox **box)
{
    const OcrDetectOptions opt = OCR_DETECT_DEFAULTS;
    return ocr_detect(a, map, W, H, 2 * W, 2 * H, &opt, box);
}

static void assert_near(float got, float want, float by)
{
    if (fabsf(got - want) > by)
        FAIL_MSG("%g is not within %g of %g", (double)got, (double)by, (double)want);
}

static void a_straight_line_of_text(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float map[W * H] = {0};
    paint(map, 40, 30, 40, 10, 0, 0.9f); /* x 20..60, y 25..35 */
    OcrBox *box;
    assert_int_equal(detect(a, map, &box), 1);
    /* The widening makes it 41 x 11; d = 41 * 11 * 1.6 / (2 * 52) = 6.94; the source is twice as
     * large. */
    assert_near(box[0].quad.corner[0].x, (20 - 6.94f) * 2, 1);
    assert_near(box[0].quad.corner[0].y, (25 - 6.94f) * 2, 1);
    assert_near(box[0].quad.corner[2].x, (61 + 6.94f) * 2, 1);
    assert_near(box[0].quad.corner[2].y, (36 + 6.94f) * 2, 1);
    /* The widened row and column count with nothing. */
    assert_near(box[0].score, 0.9f * (41 * 11) / (42 * 12), 1e-4f);
    arena_free(a);
}

static void a_turned_line_of_text(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float map[W * H] = {0};
    paint(map, 48, 32, 50, 10, 20, 0.9f);
    OcrBox *box;
    assert_int_equal(detect(a, map, &box), 1);
    const Point *const c = box[0].quad.corner;
    const float angle = atan2f(c[1].y - c[0].y, c[1].x - c[0].x) * 180 / 3.14159265f;
    assert_near(angle, 20, 2);
    assert_near((c[0].x + c[2].x) / 4, 48.5f, 1);
    assert_near((c[0].y + c[2].y) / 4, 32.5f, 1);
    arena_free(a);
}

static void what_is_no_text(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float map[W * H] = {0};
    OcrBox *box;
    assert_int_equal(detect(a, map, &box), 0);
    paint(map, 20, 20, 20, 10, 0, 0.4f); /* over the pixels' threshold, under the box's */
    assert_int_equal(detect(a, map, &box), 0);
    paint(map, 60, 40, 1, 1, 0, 1); /* too small */
    assert_int_equal(detect(a, map, &box), 0);
    for (int i = 0; i < W * H; i++)
        map[i] = NAN;
    assert_int_equal(detect(a, map, &box), 0);
    for (int i = 0; i < W * H; i++)
        map[i] = 1;
    assert_int_equal(detect(a, map, &box), 1); /* cut at the border */
    assert_near(box[0].quad.corner[2].x, 2 * W, 0);
    arena_free(a);
}

static void reading_order_is_by_lines(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float map[W * H] = {0};
    paint(map, 70, 13, 20, 6, 0, 0.9f); /* right, a little higher */
    paint(map, 25, 15, 20, 6, 0, 0.8f);
    paint(map, 40, 45, 20, 6, 0, 0.7f);
    OcrBox *box;
    assert_int_equal(detect(a, map, &box), 3);
    assert_true(box[0].quad.corner[0].x < box[1].quad.corner[0].x);
    assert_true(box[2].quad.corner[0].y > box[1].quad.corner[0].y + 20);
    arena_free(a);
}

static void smallest_rectangle(void **state)
{
    (void)state;
    Point diamond[] = {{0, 5}, {5, 0}, {10, 5}, {5, 10}, {5, 5}};
    const Quad q = min_area_rectangle(diamond, 5);
    const Point *const c = q.corner;
    const float w = hypotf(c[1].x - c[0].x, c[1].y - c[0].y),
                h = hypotf(c[3].x - c[0].x, c[3].y - c[0].y);
    assert_near(w * h, 50, 1e-3f);
    Point line[] = {{0, 0}, {4, 0}, {2, 0}};
    const Quad flat = min_area_rectangle(line, 3);
    assert_near(flat.corner[0].y, flat.corner[2].y, 0);
    Point one[] = {{3, 4}};
    assert_near(min_area_rectangle(one, 1).corner[2].x, 3, 0);
}

/* Steps a, a, blank, a, b, space -> "aab": the space at the end is cut off; mean of the kept. */
static void ctc(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const OcrAlphabet abc = ocr_alphabet(a, "a\nb\r\n\xc3\xa9");
    assert_int_equal(abc.n, 5);
    assert_string_equal(abc.class[3], "\xc3\xa9");
    const float prob[6][5] = {
        {0.1f, 0.6f, 0.1f, 0.1f, 0.1f}, {0.1f, 0.9f, 0, 0, 0}, {0.9f, 0.1f, 0, 0, 0},
        {0, 0.8f, 0.2f, 0, 0},          {0, 0, 1, 0, 0},       {0, 0, 0.2f, 0, 0.8f},
    };
    const OcrText t = ocr_text_decode(a, prob[0], 6, &abc, NULL);
    assert_string_equal(t.text, "aab");
    assert_near(t.confidence, (0.6f + 0.8f + 1 + 0.8f) / 4, 1e-6f);
    const float blank[5] = {1, 0, 0, 0, 0};
    const OcrText none = ocr_text_decode(a, blank, 1, &abc, NULL);
    assert_string_equal(none.text, "");
    assert_near(none.confidence, 0, 0);
    arena_free(a);
}

static void boxes_on_end_are_turned(void **state)
{
    (void)state;
    const Quad tall = {.corner = {{10, 0}, {20, 0}, {20, 60}, {10, 60}}};
    const Quad read = ocr_text_quad(&tall);
    assert_near(read.corner[0].x, 20, 0);
    assert_near(read.corner[1].y, 60, 0);
    assert_int_equal(ocr_text_width(&read, 48), 288);
    const Quad wide = {.corner = {{0, 0}, {60, 0}, {60, 10}, {0, 10}}};
    const Quad same = ocr_text_quad(&wide);
    assert_memory_equal(&same, &wide, sizeof wide);
}

static void sampling(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Picture *const p = picture_new(a, 4, 2);
    for (int y = 0; y < 2; y++)
        for (int x = 0; x < 4; x++)
            for (int k = 0; k < 3; k++)
                p->rgb[(y * 4 + x) * 3 + k] = (uint8_t)(x * 10 + y * 100 + k);
    float out[3 * 2 * 5];
    Quad all = picture_quad(p);
    picture_sample(p, &all, 4, 2, 5, &(SampleOptions){.scale = 1, .bgr = true}, out);
    for (int k = 0; k < 3; k++)
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 4; x++)
                assert_near(out[((2 - k) * 2 + y) * 5 + x], (float)(x * 10 + y * 100 + k), 1e-4f);
    /* Half the width: the mean of each pair. */
    picture_sample(p, &all, 2, 2, 2, &(SampleOptions){.scale = 2, .shift = 1}, out);
    assert_near(out[0], 5 * 2 + 1, 1e-4f);
    assert_near(out[3], 125 * 2 + 1, 1e-4f);
    /* Upside down. */
    const Quad turned = {.corner = {{4, 2}, {0, 2}, {0, 0}, {4, 0}}};
    picture_sample(p, &turned, 4, 2, 4, &(SampleOptions){.scale = 1}, out);
    assert_near(out[0], 130, 1e-4f);
    assert_near(out[7], 0, 1e-4f);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_straight_line_of_text), cmocka_unit_test(a_turned_line_of_text),
        cmocka_unit_test(what_is_no_text),         cmocka_unit_test(reading_order_is_by_lines),
        cmocka_unit_test(smallest_rectangle),      cmocka_unit_test(ctc),
        cmocka_unit_test(boxes_on_end_are_turned), cmocka_unit_test(sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
