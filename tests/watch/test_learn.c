/* Learning references: masks of what stays the same, thresholds from scores, what people write, and
 * frames that are cut at the right time. (With icons of the generated game: test_learn_game.c) */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/clip.h"
#include "watch/config.h"
#include "watch/learn_list.h"
#include "watch/learn_mask.h"

static uint32_t seed = 7;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* ---- masks ---- */

#define SIDE 40
#define FRAMES 24

static bool in_disc(int x, int y) { return (x - 18) * (x - 18) + (y - 22) * (y - 22) < 12 * 12; }

static uint8_t clamp(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* A disc of two colours before a background that is another in each frame; a few frames are
 * covered. */
static void paint(Picture *p, int number, int noise, bool still)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            uint8_t *const c = p->rgb + 3 * (y * SIDE + x);
            const int shade = in_disc(x, y) ? (x < 18 ? 200 : 90) : 30 + (int)dice(200);
            for (int k = 0; k < 3; k++)
                c[k] = clamp(number % 8 == 3 ? 15
                             : !still && in_disc(x, y)
                                 ? (int)dice(255)
                                 : shade + (k == 0 ? 20 : 0) +
                                       (noise ? (int)dice((uint32_t)(2 * noise + 1)) - noise : 0));
        }
}

static Masked masked(Arena *a, int noise, bool still)
{
    const Picture *p[FRAMES];
    for (int i = 0; i < FRAMES; i++) {
        Picture *const one = picture_new(a, SIDE, SIDE);
        paint(one, i, noise, still);
        p[i] = one;
    }
    return mask_still(a, FRAMES, p);
}

static void masks(void **state)
{
    (void)state;
    for (int noise = 0; noise <= 4; noise += 2) {
        Arena *const a = arena_new();
        const Masked m = masked(a, noise, true);
        int wrong = 0;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const int i = y * SIDE + x;
                wrong += in_disc(x, y) != (m.alpha[i] > 127);
                if (in_disc(x, y))
                    assert_in_range(m.picture->rgb[3 * i + 1] + 4, x < 18 ? 200 : 90,
                                    (x < 18 ? 200 : 90) + 8);
            }
        assert_true(wrong <= 12); /* along its edge */
        assert_in_range(m.left, 5, 8);
        assert_in_range(m.top, 9, 12);
        assert_in_range(m.width, 21, 26);
        assert_in_range(m.height, 21, 26);
        assert_true(fabsf(m.opaque - 0.78f) < 0.1f);
        arena_free(a);
    }
}

static void nothing_still(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    assert_int_equal(masked(a, 2, false).width, 0);
    arena_free(a);
}

/* ---- thresholds ---- */

static SampleScore at(int64_t t, SampleShows shows, double score)
{
    return (SampleScore){t, shows, (float)score};
}

static void thresholds(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const SampleScore s[] = {at(0, SHOWS_OPEN, -1),   at(1, SHOWS_OPEN, 0.2),
                             at(2, SHOWS_IT, 0.98),   at(3, SHOWS_IT, 0.96),
                             at(4, SHOWS_OPEN, 0.9),  at(5, SHOWS_NOT, 0.55),
                             at(6, SHOWS_OPEN, 0.62), at(7, SHOWS_OPEN, 0.93),
                             at(8, SHOWS_OPEN, 0.95), at(9, SHOWS_OPEN, 0.3)};
    const Separation g = separate_scores(a, 10, s);
    assert_true(g.parts);
    assert_true(g.low == 0.62f && g.high == 0.9f);
    assert_true(g.on == 0.79 && g.off == 0.72);
    assert_int_equal(g.with.n, 2);
    assert_true(g.with.least == 0.96f && g.with.least_at == 3 && g.without.best == 0.55f &&
                g.without.best_at == 5);
    assert_int_equal(g.above.n, 3);
    assert_int_equal(g.below.n, 4);
    assert_int_equal(g.nseen, 2);
    assert_true(g.seen[0].from == 4 && g.seen[0].to == 4 && g.seen[1].from == 7 &&
                g.seen[1].to == 8);
    /* what is absent scores as high as what is there */
    const SampleScore bad[] = {at(0, SHOWS_IT, 0.8), at(1, SHOWS_NOT, 0.85),
                               at(2, SHOWS_OPEN, 0.3)};
    assert_false(separate_scores(a, 3, bad).parts);
    /* no gap at all */
    SampleScore even[100];
    for (int i = 0; i < 100; i++)
        even[i] = at(i, i == 99 ? SHOWS_IT : SHOWS_OPEN, 0.01 * i);
    assert_false(separate_scores(a, 100, even).parts);
    /* a flash over one in forty is no limit, and always there is no fault */
    for (int i = 0; i < 100; i++)
        even[i] = at(i, i < 40 ? SHOWS_IT : SHOWS_OPEN, i == 7 ? 0.1 : 0.95);
    const Separation always = separate_scores(a, 100, even);
    assert_true(always.parts && always.low == SEPARATE_FLOOR && always.high == 0.95f &&
                always.below.n == 0);
    arena_free(a);
}

/* No gap between the bounds is wider, and the proposal lies in it. */
static void widest_gap(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        Arena *const a = arena_new();
        SampleScore s[30];
        const int n = 2 + (int)dice(28);
        for (int i = 0; i < n; i++)
            s[i] = at(i,
                      i == 0         ? SHOWS_IT
                      : dice(5) == 0 ? SHOWS_NOT
                                     : SHOWS_OPEN,
                      dice(1000) * 1e-3);
        s[0].score = 0.6f + (float)dice(400) * 1e-3f;
        const Separation g = separate_scores(a, n, s);
        float low = SEPARATE_FLOOR, best = 0;
        for (int i = 0; i < n; i++)
            low = s[i].shows == SHOWS_NOT ? fmaxf(low, s[i].score) : low;
        for (int i = 0; i < n; i++) { /* from each to the next above */
            const float from = s[i].shows == SHOWS_OPEN ? fmaxf(low, s[i].score) : low;
            float next = s[0].score;
            for (int k = 0; k < n; k++)
                if (s[k].shows == SHOWS_OPEN && s[k].score > from)
                    next = fminf(next, s[k].score);
            best = fmaxf(best, next - from);
        }
        assert_true(fabsf(best - (g.high - g.low)) < 1e-6f);
        assert_true(g.parts == (g.high - g.low >= SEPARATE_GAP));
        if (g.parts)
            assert_true(g.off > (double)g.low && g.off < g.on && g.on < (double)g.high);
        arena_free(a);
    }
}

/* ---- what people write ---- */

static const char watch_text[] =
    "watch: {reference_size: [320, 180]}\n"
    "region: {feed: [10, 20, 100, 60], odd: [1.5, 2, 40, 40]}\n"
    "signal:\n"
    "  skull: {from: icon, region: feed, template: refs/skull.png}\n"
    "  badge: {from: icon, region: feed, method: embed, refs: [old.png, refs/badge*.png]}\n"
    "  screen: {from: screen, classes: {lobby: refs/l*.png, play: [refs/play?.png]}}\n"
    "  moves: {from: motion}\n";

typedef struct PlanJob {
    LearnAsk ask;
    const char *path;
    const LearnItem *item;
    bool no_watch;
} PlanJob;

static void plan(Context *ctx, void *arg)
{
    PlanJob *const j = arg;
    Error e;
    if (file_write(j->path, watch_text, sizeof watch_text - 1, &e) != 0)
        fail(ctx, e.code, "%s", e.message);
    const Watch *const w = j->no_watch ? NULL : config_read_names(ctx, j->path);
    j->item = learn_plan(ctx, w, 320, 180, 1, &j->ask);
}

#define PLAN "/tmp/lathe_learn_watch.yaml"

static const LearnItem *must_plan(Arena *a, LearnAsk ask)
{
    PlanJob j = {.ask = ask, .path = PLAN, .no_watch = !ask.signal};
    Error e;
    j.ask.name = "it";
    if (job_run(a, plan, &j, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    return j.item;
}

static void must_refuse(LearnAsk ask, const char *why)
{
    Arena *const a = arena_new();
    PlanJob j = {.ask = ask, .path = PLAN};
    Error e;
    j.ask.name = "it";
    assert_int_equal(job_run(a, plan, &j, &e, NULL), ERR_INVALID);
    if (!strstr(e.message, why))
        FAIL_MSG("'%s' instead of '%s'", e.message, why);
    arena_free(a);
}

static void is_box(Box b, float x, float y, float width, float height)
{
    assert_true(b.x == x && b.y == y && b.width == width && b.height == height);
}

static void plans(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const LearnItem *i =
        must_plan(a, (LearnAsk){.to = "x.png", .at = "1:02.5", .box = "10, 20,30,40"});
    assert_true(i->judged && i->from == 62500000 && i->last == i->from &&
                i->signal.kind == SIGNAL_ICON);
    is_box(i->box, 10, 20, 30, 40);
    is_box(i->region, 0, 0, 64, 84);
    i = must_plan(a, (LearnAsk){.to = "x.png",
                                .over = "12..20.5s",
                                .box = "10,20,30,40",
                                .region = "0,0,50,60",
                                .absent = "1s..2s,1m..1:30"});
    assert_true(i->from == 12000000 && i->last == 20500000 && i->nabsent == 2 &&
                i->absent[1].from == 60000000 && i->absent[1].to == 90000000);
    is_box(i->region, 0, 0, 50, 60);
    i = must_plan(a, (LearnAsk){.to = "x.png", .at = "0"});
    assert_false(i->judged);
    is_box(i->box, 0, 0, 320, 180);
    i = must_plan(a, (LearnAsk){.at = "1", .signal = "skull", .box = "10,20,8,8"});
    assert_string_equal(i->to, "/tmp/refs/skull.png");
    is_box(i->region, 10, 20, 100, 60);
    i = must_plan(a, (LearnAsk){.at = "1", .signal = "badge", .to = "/tmp/refs/badge7.png"});
    assert_string_equal(i->to, "/tmp/refs/badge7.png");
    is_box(i->box, 10, 20, 100, 60);
    assert_true(i->signal.icon.method == ICON_EMBED);
    i = must_plan(a, (LearnAsk){.at = "1", .signal = "screen", .label = "lobby"});
    assert_string_equal(i->to, "/tmp/refs/l1.png");
    is_box(i->box, 0, 0, 320, 180);
    arena_free(a);
    unlink(PLAN);
}

static void refused(void **state)
{
    (void)state;
    const struct {
        LearnAsk ask;
        const char *why;
    } bad[] = {
        {{.to = "x"}, "one of both"},
        {{.to = "x", .at = "1", .over = "1..2"}, "one of both"},
        {{.to = "x", .at = "-1"}, "is no time"},
        {{.to = "x", .at = "1:75"}, "is no time"},
        {{.to = "x", .at = "1e"}, "is no time"},
        {{.to = "x", .at = ""}, "is no time"},
        {{.to = "x", .over = "5"}, "is no span"},
        {{.to = "x", .over = "5..5"}, "is no span"},
        {{.to = "x", .over = "5s..4s"}, "is no span"},
        {{.to = "x", .at = "1", .box = "1,2,3"}, "is no box"},
        {{.to = "x", .at = "1", .box = "1,2,3,4,5"}, "is no box"},
        {{.to = "x", .at = "1", .box = "1,2,nan,4"}, "is no box"},
        {{.to = "x", .at = "1", .box = "1,2,0,4"}, "is no box"},
        {{.to = "x", .at = "1", .box = "1,2,9,9", .absent = "0..2"}, "cannot be absent"},
        {{.to = "x", .at = "1", .absent = "3..2"}, "is no span"},
        {{.to = "x", .at = "1", .absent = "3..4"}, "box is missing"},
        {{.to = "x", .at = "1", .box = "1,2,9,9", .region = "0,0,400,40"}, "outside the picture"},
        {{.to = "x", .at = "1", .screen = true, .region = "0,0,40,40"}, "its box"},
        {{.to = "x", .at = "1", .label = "play"}, "label"},
        {{.at = "1"}, "no file is named"},
        {{.at = "1", .signal = "skull"}, "box is missing"},
        {{.at = "1", .signal = "none", .box = "1,2,3,4"}, "no signal 'none'"},
        {{.at = "1", .signal = "moves"}, "compares with no pictures"},
        {{.at = "1", .signal = "skull", .box = "1,2,3,4", .region = "0,0,9,9"}, "says that"},
        {{.at = "1", .signal = "skull", .box = "1,2,3,4", .label = "a"}, "for screens"},
        {{.at = "1", .signal = "skull", .box = "1,2,3,4", .to = "/tmp/refs/other.png"},
         "reads /tmp/refs/skull.png"},
        {{.at = "1", .signal = "screen"}, "lobby, play"},
        {{.at = "1", .signal = "screen", .label = "menu"}, "lobby, play"},
        {{.at = "1", .signal = "screen", .label = "play"}, "by --to"},
        {{.at = "1", .signal = "screen", .label = "lobby", .box = "1,2,3,4"}, "all of its region"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        must_refuse(bad[i].ask, bad[i].why);
    unlink(PLAN);
}

/* ---- frames ---- */

#define CLIP "/tmp/lathe_learn_clip.mp4"

/* The number that blocks of a PNG of the whole frame say. */
static int number_of(Arena *a, const char *path)
{
    Picture *p;
    Error e;
    uint8_t *alpha;
    assert_int_equal(picture_read_alpha(a, path, &p, &alpha, &e), 0);
    assert_true(p->width == CLIP_WIDTH && p->height == CLIP_HEIGHT && alpha[0] == 255);
    Frame f = {.width = CLIP_WIDTH,
               .height = CLIP_HEIGHT,
               .plane = {arena_alloc(a, CLIP_WIDTH * CLIP_HEIGHT)},
               .stride = {CLIP_WIDTH}};
    for (int i = 0; i < CLIP_WIDTH * CLIP_HEIGHT; i++)
        ((uint8_t *)f.plane[0])[i] = p->rgb[3 * i];
    return clip_number(&f);
}

static int learn(Arena *a, int n, const LearnItem *item, LearnResult *out, Error *e)
{
    static const NetHost nets = {.threads = 1};
    Arena *const tmp = arena_new();
    const int code = learn_run(a, observe_host_new(tmp, &nets, NULL),
                               &(LearnOptions){.url = CLIP, .nitem = n, .item = item}, out, e);
    arena_free(tmp);
    return code;
}

static void right_frames(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e = {0};
    enum { N = 6 };
    /* not in order; steps over ten seconds */
    static const int64_t t[N] = {39960000, 0, 12040000, 12040000, 1, 27000000};
    static const int want[N] = {999, 0, 301, 301, 1, 675};
    LearnItem item[N];
    LearnResult r[N];
    clip_write(CLIP, &(ClipOptions){.frames = 1000, .fps = 25, .gop = 50, .bframes = 2});
    for (int i = 0; i < N; i++)
        item[i] = (LearnItem){.name = "it",
                              .to = arena_printf(a, "/tmp/lathe_learn_%d/%d.png", (int)getpid(), i),
                              .from = t[i],
                              .last = t[i],
                              .box = {0, 0, CLIP_WIDTH, CLIP_HEIGHT},
                              .region = {0, 0, CLIP_WIDTH, CLIP_HEIGHT}};
    if (learn(a, N, item, r, &e) != 0)
        FAIL_MSG("%s", e.message);
    for (int i = 0; i < N; i++) {
        assert_int_equal(number_of(a, item[i].to), want[i]);
        assert_true(r[i].frames == 1 && r[i].first == want[i] * 40000);
    }
    assert_int_equal(learn(a, 1, item, r, &e), ERR_INVALID); /* they are there now */
    assert_non_null(strstr(e.message, "there already"));
    for (int i = 0; i < N; i++)
        unlink(item[i].to);
    LearnItem end = item[0]; /* the last frame is shown up to the end: nothing lacks there */
    end.from = 39000000;
    end.last = 40000000;
    if (learn(a, 1, &end, r, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(r[0].last, 39960000);
    unlink(end.to);
    const struct {
        LearnItem item;
        const char *why;
    } bad[] = {
        {{.from = 40000000, .last = 40000000, .box = {0, 0, 8, 8}}, "no frame at 40.000 s"},
        {{.from = 39000000, .last = 40100000, .box = {0, 0, 8, 8}}, "no frame at 40.0"},
        {{.from = 0, .last = 0, .box = {60, 0, 8, 8}}, "outside the picture of 64 x 48"},
        {{.from = 0, .last = 0, .box = {0, 0.5f, 8, 8}}, "whole pixels"},
        {{.from = 0, .last = 100000, .box = {0, 0, 8, 8}}, "frames from 0.000 s to 0.100 s: 3"},
        {{.from = 0, .last = 0, .judged = true, .box = {0, 0, 8, 8}, .region = {0, 0, 64, 48}},
         "one colour"},
        {{.from = 0, .last = 0, .judged = true, .box = {0, 0, 8, 8}, .region = {4, 0, 60, 48}},
         "outside the region"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) { /* the good one is not written either */
        LearnItem two[2] = {item[1], bad[i].item};
        two[1].name = "bad";
        two[1].to = item[2].to;
        assert_int_equal(learn(a, 2, two, r, &e), ERR_INVALID);
        if (!strstr(e.message, bad[i].why) || !strstr(e.message, "bad"))
            FAIL_MSG("'%s' instead of '%s'", e.message, bad[i].why);
        assert_false(file_exists(two[0].to) || file_exists(two[1].to));
    }
    rmdir(path_dir(a, item[0].to));
    unlink(CLIP);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks),        cmocka_unit_test(nothing_still),
        cmocka_unit_test(thresholds),   cmocka_unit_test(widest_gap),
        cmocka_unit_test(plans),        cmocka_unit_test(refused),
        cmocka_unit_test(right_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
