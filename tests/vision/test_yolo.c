/* Detectors' outputs against a plain reading of the same numbers; labels. */
#include "check.h"

#include <math.h>
#include <stdbool.h>

#include "vision/labels.h"
#include "vision/yolo.h"

static uint64_t seed = 1;

static float dice(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) / 16777216.0f;
}

static const YoloOptions plain = {
    .min_score = 0.25f, .iou = 0.45f, .scale_x = 1, .scale_y = 1, .width = 320, .height = 320};

/* ---- the plain reading ---- */

static float iou_of(const YoloBox *p, const YoloBox *q)
{
    const float w = fminf(p->x + p->width, q->x + q->width) - fmaxf(p->x, q->x);
    const float h = fminf(p->y + p->height, q->y + q->height) - fmaxf(p->y, q->y);
    return w > 0 && h > 0 ? w * h / (p->width * p->height + q->width * q->height - w * h) : 0;
}

static float value(const float *at, const YoloShape *s, int place, int k)
{
    const int width = (s->head == YOLO_V5 ? 5 : 4) + s->classes;
    return s->head == YOLO_V8 ? at[k * s->places + place] : at[place * width + k];
}

static int reference(const float *at, const YoloShape *s, const YoloOptions *o, YoloBox *out)
{
    const int first = s->head == YOLO_V5 ? 5 : 4;
    YoloBox *const all = calloc((size_t)s->places + 1, sizeof *all);
    int n = 0, kept = 0;
    for (int i = 0; i < s->places; i++) {
        int best = 0;
        for (int c = 1; c < s->classes; c++)
            if (value(at, s, i, first + c) > value(at, s, i, first + best))
                best = c;
        const float score = value(at, s, i, first + best) * (first == 5 ? value(at, s, i, 4) : 1);
        if (score < o->min_score)
            continue;
        const double cx = value(at, s, i, 0), cy = value(at, s, i, 1), w = value(at, s, i, 2),
                     h = value(at, s, i, 3);
        double x0 = (cx - w / 2) * o->scale_x + o->shift_x,
               y0 = (cy - h / 2) * o->scale_y + o->shift_y;
        double x1 = x0 + w * o->scale_x, y1 = y0 + h * o->scale_y;
        if (o->keep_size) {
            x1 += fmax(0, -x0);
            y1 += fmax(0, -y0);
        }
        x0 = fmax(0, fmin(x0, o->width));
        y0 = fmax(0, fmin(y0, o->height));
        x1 = fmin(x1, o->width);
        y1 = fmin(y1, o->height);
        if (x1 > x0 && y1 > y0)
            all[n++] =
                (YoloBox){(float)x0, (float)y0, (float)(x1 - x0), (float)(y1 - y0), score, best};
    }
    for (;;) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (all[i].score >= 0 && (best < 0 || all[i].score > all[best].score))
                best = i;
        if (best < 0)
            break;
        bool alone = true;
        for (int k = 0; k < kept && alone; k++)
            alone = (o->by_class && out[k].label != all[best].label) ||
                    iou_of(&out[k], &all[best]) <= o->iou;
        if (alone)
            out[kept++] = all[best];
        all[best].score = -1;
    }
    free(all);
    return kept;
}

/* ---- */

static float *fill(const YoloShape *s)
{
    const int width = (s->head == YOLO_V5 ? 5 : 4) + s->classes;
    float *const at = calloc((size_t)width * (size_t)s->places, sizeof *at);
    for (int i = 0; i < s->places; i++)
        for (int k = 0; k < width; k++) {
            const float v = k < 2                               ? 340 * dice() - 10
                            : k < 4                             ? 20 + 80 * dice()
                            : dice() < 0.3f / (float)s->classes ? dice()
                                                                : 0.2f * dice();
            at[s->head == YOLO_V8 ? k * s->places + i : i * width + k] =
                k == 4 && s->head == YOLO_V5 ? dice() : v;
        }
    return at;
}

static void heads(void **state)
{
    (void)state;
    const int places[] = {1, 7, 84, 500, 2100}, classes[] = {1, 2, 18, 80};
    for (int trial = 0; trial < 240; trial++) {
        const YoloShape s = {(YoloHead)(trial % 3), places[trial % 5], classes[trial / 5 % 4]};
        const YoloOptions o = {.min_score = 0.25f,
                               .iou = 0.3f + 0.4f * dice(),
                               .by_class = trial % 2,
                               .scale_x = 1 + (double)dice(),
                               .scale_y = 2,
                               .shift_x = -20.5,
                               .shift_y = 3,
                               .width = 400,
                               .height = 333,
                               .keep_size = trial % 7 == 0};
        float *const at = fill(&s);
        YoloBox *const want = calloc((size_t)s.places + 1, sizeof *want), *got;
        Arena *const a = arena_new();
        Error e = {0};
        int n;
        assert_int_equal(yolo_decode(a, at, &s, &o, &got, &n, &e), 0);
        const int m = reference(at, &s, &o, want);
        if (n != m)
            FAIL_MSG("trial %d: %d boxes, %d wanted", trial, n, m);
        for (int i = 0; i < n; i++) {
            assert_true(got[i].score == want[i].score && got[i].label == want[i].label);
            assert_true(fabsf(got[i].x - want[i].x) < 1e-3f &&
                        fabsf(got[i].height - want[i].height) < 1e-3f);
        }
        arena_free(a);
        free(want);
        free(at);
    }
}

static int decode(const float *at, YoloShape s, int *n, YoloBox *first, char *why)
{
    Arena *const a = arena_new();
    Error e = {0};
    YoloBox *box;
    const int code = yolo_decode(a, at, &s, &plain, &box, n, &e);
    strcpy(why, e.message);
    if (code == 0 && *n > 0)
        *first = box[0];
    arena_free(a);
    return code;
}

static void numbers_that_are_none(void **state)
{
    (void)state;
    char why[1024];
    int n;
    YoloBox b = {0};
    for (int head = YOLO_V8; head <= YOLO_END_TO_END; head++) {
        const int width = head == YOLO_V5 ? 7 : 6;
        for (int k = 0; k < width; k++) {
            for (int what = 0; what < 3; what++) {
                float at[7] = {100, 100, 110, 110, 0.9f, 0.5f, 0.6f};
                at[k] = what == 0 ? NAN : what == 1 ? INFINITY : 2;
                const int code = decode(at, (YoloShape){(YoloHead)head, 1, 2}, &n, &b, why);
                const bool label = head == YOLO_END_TO_END && k == 5, score = k >= 4 && !label;
                if (what == 2 && !score)
                    assert_int_equal(code, 0);
                else if (what == 2 && head == YOLO_V5) /* 2 * 0.6 */
                    assert_int_equal(code, ERR_INVALID);
                else
                    assert_int_equal(code, ERR_INVALID);
                assert_true((code == 0) == (why[0] == '\0'));
            }
        }
    }
    const float minus[6] = {100, 100, 110, 110, 0.9f, -1};
    assert_int_equal(decode(minus, (YoloShape){YOLO_END_TO_END, 1, 0}, &n, &b, why), ERR_INVALID);
}

static void end_to_end(void **state)
{
    (void)state;
    const float at[] = {10, 20, 110, 220, 0.9f, 3, 12,  22,  112, 222,  0.8f,  3,
                        0,  0,  5,   5,   0.1f, 0, -50, -50, 50,  1000, 0.95f, 1};
    char why[1024];
    int n;
    YoloBox b = {0};
    assert_int_equal(decode(at, (YoloShape){YOLO_END_TO_END, 4, 0}, &n, &b, why), 0);
    assert_int_equal(n, 3); /* nothing is suppressed */
    assert_true(b.x == 0 && b.width == 50 && b.height == 320 && b.label == 1);
}

/* Every place full: bounded, and the best remain. */
static void all_sure(void **state)
{
    (void)state;
    const YoloShape s = {YOLO_V8, 8400, 3};
    float *const at = calloc(7 * 8400, sizeof *at);
    for (int i = 0; i < 8400; i++) {
        at[i] = (float)(i % 92) * 3.4f;
        at[8400 + i] = (float)(i / 92) * 3.4f;
        at[2 * 8400 + i] = at[3 * 8400 + i] = 2;
        at[4 * 8400 + i] = 0.3f + (float)i / 20000;
    }
    char why[1024];
    int n;
    YoloBox b = {0};
    assert_int_equal(decode(at, s, &n, &b, why), 0);
    assert_int_equal(n, YOLO_MOST);
    assert_true(b.score == 0.3f + 8399.0f / 20000);
    free(at);
}

static void shapes(void **state)
{
    (void)state;
    static const struct { int rank; int64_t dim[3]; int nlabel; bool good; YoloShape s; } row[] = {
        {3, {1, 22, 2100}, 18, true, {YOLO_V8, 2100, 18}},
        {3, {1, 2100, 22}, 18, true, {YOLO_V8_ROWS, 2100, 18}},
        {3, {1, 25200, 85}, 80, true, {YOLO_V5, 25200, 80}},
        {3, {1, 25200, 85}, 0, true, {YOLO_V5, 25200, 80}},
        {3, {1, 84, 8400}, 0, true, {YOLO_V8, 8400, 80}},
        {3, {1, 300, 6}, 80, true, {YOLO_END_TO_END, 300, 0}},
        {3, {1, 2100, 6}, 1, true, {YOLO_V5, 2100, 1}},
        {3, {1, 5, 8400}, 1, true, {YOLO_V8, 8400, 1}},
        {3, {1, 84, 8400}, 79, false, {0}},
        {3, {2, 84, 8400}, 80, false, {0}},
        {3, {1, 4, 8400}, 0, false, {0}},
        {3, {1, 8400, 5}, 0, false, {0}},
        {3, {1, 0, 8400}, 0, false, {0}},
        {3, {1, INT64_MAX / 2, 2}, 0, false, {0}},
        {2, {84, 8400}, 80, false, {0}},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        YoloShape s;
        assert_int_equal(yolo_shape(row[i].rank, row[i].dim, row[i].nlabel, &s), row[i].good);
        if (row[i].good)
            assert_true(s.head == row[i].s.head && s.places == row[i].s.places &&
                        s.classes == row[i].s.classes);
    }
}

static void labels(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    static const struct { const char *text, *want;
    } row[] = {
        {"{0: 'person', 1: \"driver's seat\"}", "person|driver's seat"},
        {"{\"1\": \"b\", \"0\": \"a\"}", "a|b"},
        {"{2: 'c'}", "||c"},
        {"['a', 'b',]", "a|b"},
        {" [ \"a\\\"b\" ] \n", "a\"b"},
        {"a\r\nb\n\nc", "a|b||c"},
        {"n01440764 tench, Tinca tinca\n", "n01440764 tench, Tinca tinca"},
        {"", NULL},
        {"{}", NULL},
        {"[]", NULL},
        {"{0: 'a'", NULL},
        {"{0: 'a", NULL},
        {"{0 'a'}", NULL},
        {"{99999999999: 'a'}", NULL},
        {"{'x': 'a'}", NULL},
        {"['a' 'b']", NULL},
        {"[a]", NULL},
        {"{0: 'a'} x", NULL},
        {"{-1: 'a'}", NULL},
        {"{\"0: 'a'}", NULL},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int n;
        const char *const *const got = labels_parse(a, row[i].text, &n);
        if (!got != !row[i].want)
            FAIL_MSG("%s", row[i].text);
        char all[200] = "";
        for (int k = 0; k < n && got; k++)
            strcat(strcat(all, k ? "|" : ""), got[k]);
        if (got)
            assert_string_equal(all, row[i].want);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),      cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(end_to_end), cmocka_unit_test(all_sure),
        cmocka_unit_test(shapes),     cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests_name("yolo", tests, NULL, NULL);
}
