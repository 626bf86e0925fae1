/* Where the reference picture lies in frames: what is rendered there by a known shift and scale is
 * found there, what is not is lost, and regions follow. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "vision/picture.h"
#include "watch/align.h"
#include "watch/config.h"
#include "watch/observe.h"

#define WIDTH 320 /* reference */
#define HEIGHT 180
#define ANCHORS 3

static const int anchor_at[ANCHORS][4] = {{6, 10, 40, 30}, {270, 12, 36, 36}, {120, 140, 60, 28}};
static const int icon_at[4] = {200, 100, 24, 24};
static char folder[64];

static uint32_t hash(uint32_t a, uint32_t b)
{
    uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (h ^ h >> 12) * 0x297a2d39u >> 8;
}

static uint32_t seed;
static double dice(double low, double high)
{
    return low + (high - low) * (double)(hash(++seed, 77) % 10000) / 9999;
}

/* Smooth noise of cells of 6 pixels. */
static double noise(double x, double y, uint32_t s)
{
    const double i = floor(x / 6), j = floor(y / 6), u = x / 6 - i, v = y / 6 - j;
    double sum = 0;
    for (int k = 0; k < 4; k++)
        sum +=
            (k % 2 ? u : 1 - u) * (k / 2 ? v : 1 - v) *
            (hash((uint32_t)((int)i + k % 2 + 1000), (uint32_t)((int)j + k / 2 + 1000) + s * 7919) %
             200);
    return 28 + sum;
}

static bool in(const int *box, double x, double y)
{
    return x >= box[0] && y >= box[1] && x < box[0] + box[2] && y < box[1] + box[3];
}

/* The reference picture: anchors and an icon, which stand still, before what does not. hidden: a
 * bit for each anchor. */
static double reference(double x, double y, uint32_t moment, unsigned hidden)
{
    for (int k = 0; k < ANCHORS; k++)
        if (in(anchor_at[k], x, y) && !(hidden >> k & 1))
            return noise(x, y, 1);
    return in(icon_at, x, y) ? noise(x, y, 2) : noise(x, y, 10 + moment);
}

typedef struct Scene {
    Frame frame;
    uint8_t *luma, *chroma;
} Scene;

/* Four samples a pixel each way. */
static Scene render(Arena *a, int width, int height, const FramePlace *p, uint32_t moment,
                    unsigned hidden)
{
    Scene s = {.luma = arena_alloc(a, (size_t)(width * height)),
               .chroma = arena_alloc(a, (size_t)(width * height))};
    memset(s.chroma, 128, (size_t)(width * height));
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++) {
            double sum = 0;
            for (int k = 0; k < 9; k++) {
                const double x = (i + (k % 3 + 0.5) / 3 - p->shift_x) / p->scale_x,
                             y = (j + (k / 3 + 0.5) / 3 - p->shift_y) / p->scale_y;
                sum += x >= 0 && y >= 0 && x < WIDTH && y < HEIGHT ? reference(x, y, moment, hidden)
                                                                   : 16;
            }
            const int v = (int)lrint(16 + sum / 9 * 219 / 255) +
                          (int)(hash((uint32_t)(i + j * width), moment) % 5) - 2;
            s.luma[j * width + i] = (uint8_t)(v < 16 ? 16 : v > 235 ? 235 : v);
        }
    s.frame = (Frame){.format = FRAME_I420,
                      .width = width,
                      .height = height,
                      .plane = {s.luma, s.chroma, s.chroma},
                      .stride = {width, (width + 1) / 2, (width + 1) / 2}};
    return s;
}

static void write_box(const char *name, const int *box)
{
    Arena *const a = arena_new();
    Picture *const p = picture_new(a, box[2], box[3]);
    Error e;
    for (int y = 0; y < box[3]; y++)
        for (int x = 0; x < box[2]; x++)
            memset(p->rgb + 3 * (y * box[2] + x),
                   (int)lrint(reference(box[0] + x + 0.5, box[1] + y + 0.5, 0, 0)), 3);
    assert_int_equal(picture_write_png(arena_printf(a, "%s/%s.png", folder, name), p, &e), 0);
    arena_free(a);
}

typedef struct Parse {
    const char *text;
    const Watch *watch;
} Parse;

static void parse(Context *ctx, void *arg)
{
    Parse *const p = arg;
    p->watch =
        config_parse(ctx, arena_printf(ctx->arena, "%s/w.yaml", folder), p->text, strlen(p->text));
}

static const Watch *watch_of(Arena *a, int anchors, const char *more)
{
    Str s = str_new(a);
    str_add(&s, "watch: {reference_size: [320, 180]}\nregion: {r: [190, 90, 50, 50]}\nsignal: {i: "
                "{from: icon, region: r, template: icon.png}}\nalign: {anchors: [");
    for (int k = 0; k < anchors; k++)
        str_addf(&s, "%s{template: a%d.png, at: [%d, %d]}", k ? ", " : "", k, anchor_at[k][0],
                 anchor_at[k][1]);
    str_addf(&s, "], %s}\n", more);
    Parse p = {.text = str_text(&s)};
    Error e;
    if (job_run(a, parse, &p, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    return p.watch;
}

static Aligner *aligner(Arena *a, const Watch *w)
{
    Aligner *g;
    Error e;
    if (align_new(a, w, &g, &e) != 0)
        FAIL_MSG("%s", e.message);
    return g;
}

/* The most that corners of the reference picture are off, in its pixels. */
static double error_of(const FramePlace *p, const FramePlace *q)
{
    double most = 0;
    for (int i = 0; i < 4; i++) {
        const double x = i % 2 * WIDTH, y = i / 2 * HEIGHT;
        most = fmax(most, hypot(x * (p->scale_x - q->scale_x) + p->shift_x - q->shift_x,
                                y * (p->scale_y - q->scale_y) + p->shift_y - q->shift_y) /
                              q->scale_x);
    }
    return most;
}

/* By `scale` about the middle of the frame, then shifted by (dx, dy) reference pixels; whole in it,
 * or stretched over it. */
static FramePlace place_about(int width, int height, bool stretched, double scale, double dx,
                              double dy)
{
    const double x = (double)width / WIDTH, y = (double)height / HEIGHT,
                 bx = stretched ? x : fmin(x, y), by = stretched ? y : fmin(x, y);
    return (FramePlace){bx * scale, by * scale, 0.5 * width - 0.5 * bx * scale * WIDTH + bx * dx,
                        0.5 * height - 0.5 * by * scale * HEIGHT + by * dy};
}

/* ---- tests ---- */

static void found_where_it_is(void **state)
{
    (void)state;
    static const int size[][3] = {{320, 180, 1}, {480, 270, 1}, {320, 240, 0},
                                  {320, 240, 1}, {400, 180, 0}, {240, 136, 1}};
    double worst = 0;
    for (int round = 0; round < 36; round++) {
        Arena *const a = arena_new();
        const int *const s = size[round % 6];
        Aligner *const g = aligner(a, watch_of(a, ANCHORS, "search: 16"));
        const FramePlace p =
            place_about(s[0], s[1], s[2], round < 6 ? 1 : dice(0.82, 1.02),
                        round < 6 ? 0 : dice(-12, 12), round < 6 ? 0 : dice(-12, 12));
        const Scene f =
            render(a, s[0], s[1], &p, (uint32_t)round, round % 5 == 4 ? 1u << round % 3 : 0);
        align_look(g, &f.frame, 0);
        const FramePlace got = align_place(g, &f.frame);
        if (!align_found(g))
            FAIL_MSG("round %d, %d x %d: not found: %g %g %g %g", round, s[0], s[1], p.scale_x,
                     p.scale_y, p.shift_x, p.shift_y);
        worst = fmax(worst, error_of(&got, &p));
        if (error_of(&got, &p) > 1)
            FAIL_MSG("round %d, %d x %d: %.2f pixels off: %g %g instead of %g %g", round, s[0],
                     s[1], error_of(&got, &p), got.scale_x, got.shift_x, p.scale_x, p.shift_x);
        assert_false(align_look(g, &f.frame, 500000)); /* as before */
        arena_free(a);
    }
    fprintf(stderr, "at most %.2f pixels off\n", worst);
}

static void one_anchor(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        Arena *const a = arena_new();
        Aligner *const g =
            aligner(a, watch_of(a, 1, round < 3 ? "scales: [1, 1]" : "scales: [0.9, 1.1]"));
        const FramePlace p = place_about(640, 360, true, round < 3 ? 1 : dice(0.92, 1.05),
                                         dice(-15, 15), dice(-15, 15));
        const Scene f = render(a, 640, 360, &p, (uint32_t)round, 6);
        assert_true(align_look(g, &f.frame, 0) && align_found(g));
        const FramePlace got = align_place(g, &f.frame);
        /* its scale is told roughly, its place is not */
        const double x = anchor_at[0][0] + 20, y = anchor_at[0][1] + 15;
        assert_true(hypot(x * (got.scale_x - p.scale_x) + got.shift_x - p.shift_x,
                          y * (got.scale_y - p.scale_y) + got.shift_y - p.shift_y) < 1);
        if (fabs(got.scale_x / p.scale_x - 1) > (round < 3 ? 1e-9 : 0.02))
            FAIL_MSG("round %d: scale %g instead of %g", round, got.scale_x, p.scale_x);
        arena_free(a);
    }
}

/* A margin that creeps is followed, one that jumps is found again. */
static void followed(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Aligner *const g = aligner(a, watch_of(a, ANCHORS, "search: 20"));
    for (int i = 0; i < 30; i++) {
        const double dx = i < 20 ? 0.4 * i : -14;
        const FramePlace p = place_about(320, 180, true, 0.9, dx, 2);
        const Scene f = render(a, 320, 180, &p, (uint32_t)i, 0);
        align_look(g, &f.frame, i * 500000);
        const FramePlace got = align_place(g, &f.frame);
        assert_true(align_found(g) && error_of(&got, &p) < 1.2);
    }
    assert_true(align_counts(g).searches <= 4); /* first, after 10 s, after the jump */
    arena_free(a);
}

static void lost_and_found(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Aligner *const g = aligner(a, watch_of(a, ANCHORS, "search: 16, hold: 3s"));
    const FramePlace p = place_about(320, 180, true, 0.95, 3, -4),
                     q = place_about(320, 180, true, 1, -9, 5);
    const Scene with = render(a, 320, 180, &p, 1, 0), without = render(a, 320, 180, &p, 2, 7),
                half = render(a, 320, 180, &p, 3, 4), two = render(a, 320, 180, &p, 3, 6),
                after = render(a, 320, 180, &q, 4, 0);
    assert_true(align_look(g, &without.frame, 0));
    assert_false(align_found(g));
    const FramePlace whole = align_place(g, &without.frame);
    assert_true(whole.scale_x == 1 && whole.shift_x == 0);
    assert_false(align_look(g, &without.frame, 400000));
    assert_int_equal(align_counts(g).searches, 1); /* twice a second */
    assert_true(align_look(g, &with.frame, 1000000));
    assert_true(align_found(g));
    assert_false(align_look(g, &half.frame, 1500000)); /* two of three are enough */
    assert_true(align_found(g));
    const FramePlace held = align_place(g, &with.frame);
    for (int64_t t = 2000000; t <= 4500000; t += 500000) {
        /* one is not; kept for three seconds */
        assert_false(align_look(g, t % 1000000 ? &two.frame : &without.frame, t));
        assert_true(align_found(g));
    }
    const FramePlace still = align_place(g, &with.frame);
    assert_memory_equal(&still, &held, sizeof held);
    assert_true(align_look(g, &without.frame, 5000000));
    assert_false(align_found(g));
    assert_true(align_look(g, &after.frame, 6000000));
    const FramePlace now = align_place(g, &after.frame);
    assert_true(align_found(g) && error_of(&now, &q) < 1);
    align_reset(g);
    assert_false(align_found(g));
    const Scene large = render(a, 480, 270, &(FramePlace){1.5, 1.5, 0, 0}, 1, 0);
    assert_true(align_look(g, &large.frame, 0) && align_found(g));
    assert_true(align_look(g, &with.frame, 500000) && align_found(g)); /* of another size */
    assert_int_equal(align_counts(g).lost, 3);
    arena_free(a);
}

/* Regions lie where anchors say; without them nothing is known. */
static void regions_follow(void **state)
{
    (void)state;
    static const NetHost nets = {.threads = 1};
    Arena *const a = arena_new();
    const Watch *const w = watch_of(a, ANCHORS, "search: 16, hold: 0s");
    Observer *o;
    Observation seen;
    Error e;
    const bool need = true;
    if (observer_new(a, observe_host_new(a, &nets, NULL), w, &o, &e) != 0)
        FAIL_MSG("%s", e.message);
    for (int i = 0; i < 8; i++) {
        const FramePlace p = place_about(320, 240, false, 0.9 + 0.02 * i, 5 - i, i);
        const Scene f = render(a, 320, 240, &p, (uint32_t)i, i == 5 ? 7 : 0);
        observer_look(o, &f.frame, i * 2000000, &need, &seen);
        assert_int_equal(seen.state, i == 5 ? OBSERVE_UNKNOWN : OBSERVE_SEEN);
        assert_true(observer_lost(o) == (i == 5));
        if (i == 5) {
            assert_string_equal(seen.reason, "align lost");
            continue;
        }
        assert_true(seen.score > 0.9f && !seen.reused);
        assert_true(fabsf(seen.found[0].box.x - 200) < 1.2f &&
                    fabsf(seen.found[0].box.y - 100) < 1.2f);
    }
    arena_free(a);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"align: {search: 3}\n", "'anchors' is missing"},
        {"align: {anchors: []}\n", "list of 1 to 16"},
        {"align: {anchors: a0.png}\n", "list of 1 to 16"},
        {"align: {anchors: [{template: a0.png}]}\n", "'at' is missing"},
        {"align: {anchors: [{template: none.png, at: [1, 2]}]}\n", "no file"},
        {"align: {anchors: [{template: a0.png, at: [1280, 2]}]}\n", "top left"},
        {"align: {anchors: [{template: a0.png, at: [1, 2]}], scales: [1.1, 1]}\n",
         "least, greatest"},
        {"align: {anchors: [{template: a0.png, at: [1, 2]}], search: 1000}\n", "search"},
        {"align: {anchors: [{template: a0.png, at: [1, 2]}], more: 1}\n", "more"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Arena *const a = arena_new();
        Parse p = {.text = bad[i].text};
        Error e;
        assert_int_equal(job_run(a, parse, &p, &e, NULL), ERR_INVALID);
        if (!strstr(e.message, bad[i].why) || !strstr(e.message, "w.yaml:1:"))
            FAIL_MSG("'%s' instead of '%s'", e.message, bad[i].why);
        arena_free(a);
    }
    Arena *const a = arena_new();
    Watch w = *watch_of(a, 1, "on: 0.8");
    Anchor off = {w.align.anchor[0].path, 300, 10};
    Aligner *g;
    Error e;
    w.align.anchor = &off;
    assert_int_equal(align_new(a, &w, &g, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "outside the reference size"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_where_it_is), cmocka_unit_test(one_anchor),
        cmocka_unit_test(followed),          cmocka_unit_test(lost_and_found),
        cmocka_unit_test(regions_follow),    cmocka_unit_test(refused),
    };
    Error e;
    snprintf(folder, sizeof folder, "/tmp/lathe_align_%d", (int)getpid());
    if (file_make_dirs(folder, &e) != 0)
        return 1;
    for (int k = 0; k < ANCHORS; k++)
        write_box(k == 0 ? "a0" : k == 1 ? "a1" : "a2", anchor_at[k]);
    write_box("icon", icon_at);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failed;
}
