/* A generated game that is shifted, smaller, letterboxed or of other pixels gives the events of the
 * plain one, by anchors that are learnt from it. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/vec.h"
#include "watch/config.h"
#include "watch/game_icons.h"
#include "watch/judge.h"
#include "watch/learn.h"
#include "watch/sample_grid.h"

typedef struct Seen {
    const char *event;
    RecordKind kind;
    int64_t t;
} Seen;

typedef struct Run {
    Arena *arena;
    VEC(Seen) seen;
    int64_t lost;
} Run;

static void on_event(void *arg, const EventRecord *r)
{
    Run *const run = arg;
    vec_push(run->arena, &run->seen,
             ((Seen){r->rule->name, r->kind, r->kind == RECORD_END ? r->t_end : r->t_start}));
}

/* ---- the watch ---- */

static void cut_out(char *text, const char *from, const char *to)
{
    char *const a = strstr(text, from), *const b = a ? strstr(a, to) : NULL;
    assert_true(a && b);
    memmove(a, b, strlen(b) + 1);
}

/* The game's own without texts, which take models and time. */
static char *plain_text(Arena *a, const char *dir)
{
    File f;
    Error e;
    assert_int_equal(file_read(a, path_join(a, dir, "game.yaml"), &f, &e), 0);
    char *const text = arena_strdup(a, (const char *)f.at);
    cut_out(text, "  alive: {from", "  skull: {");
    static const char *const event[] = {
        "  final_ten:", "  alive_change:", "  score_change:", "  win:"};
    for (int i = 0; i < 4; i++) {
        char *const line = strstr(text, event[i]), *const next = strchr(line, '\n') + 1;
        memmove(line, next, strlen(next) + 1);
    }
    cut_out(text, ", data: [clock]", "}");
    return text;
}

static LearnItem anchor(Arena *a, const char *dir, int number, Box b, int64_t from, int64_t last)
{
    return (LearnItem){.name = "anchor",
                       .to = arena_printf(a, "%s/refs/anchor%d.png", dir, number),
                       .box = b,
                       .region = b,
                       .from = from,
                       .last = last,
                       .signal = {.kind = SIGNAL_ICON}};
}

/* With anchors: the map, and both ends of the band. */
static const char *aligned_text(Arena *a, const GameIcons *g, const char *dir)
{
    static const NetHost nets = {.threads = 1};
    int from, last;
    Error e;
    LearnResult r[3];
    game_icons_play(g, &from, &last);
    const int64_t t0 = (int64_t)(from + 20) * 1000000 / GAME_ICONS_FPS,
                  t1 = (int64_t)(last - 20) * 1000000 / GAME_ICONS_FPS;
    const Box map = game_icons_map(g), band = game_icons_band(g);
    const LearnItem item[3] = {
        anchor(a, dir, 0, map, t0, t1),
        anchor(a, dir, 1, (Box){band.x, band.y, 40, band.height}, t0, t1),
        anchor(a, dir, 2, (Box){band.x + band.width - 40, band.y, 40, band.height}, t0, t1)};
    Arena *const tmp = arena_new();
    const LearnOptions opt = {.url = path_join(a, dir, "game.mp4"),
                              .width = 1280,
                              .height = 720,
                              .nitem = 3,
                              .item = item};
    if (learn_run(a, observe_host_new(tmp, &nets, NULL), &opt, r, &e) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(tmp);
    Str out = str_new(a);
    str_add(&out, "align: {hold: 60s, anchors: [");
    for (int i = 0; i < 3; i++)
        str_addf(&out, "%s{template: refs/anchor%d.png, at: [%g, %g]}", i ? ", " : "", i,
                 (double)r[i].box.x, (double)r[i].box.y);
    str_addf(&out, "]}\n%s", plain_text(a, dir));
    return str_text(&out);
}

typedef struct Parse {
    const char *path, *text;
    const Watch *watch;
} Parse;

static void parse(Context *ctx, void *arg)
{
    Parse *const p = arg;
    p->watch = config_parse(ctx, p->path, p->text, strlen(p->text));
}

/* ---- frames ---- */

typedef struct Shape { /* the game as a part of a larger picture */
    const char *name;
    int width, height, x, y, inner_width, inner_height;
} Shape;

static Frame placed(Arena *a, const uint8_t *rgb, const Shape *s)
{
    uint8_t *const out = arena_alloc(a, (size_t)(s->width * s->height * 3)); /* black around it */
    const Frame from = {.format = FRAME_RGB24,
                        .width = GAME_ICONS_WIDTH,
                        .height = GAME_ICONS_HEIGHT,
                        .plane = {rgb},
                        .stride = {GAME_ICONS_WIDTH * 3},
                        .full = true,
                        .matrix = FRAME_BT709};
    const FrameBox all = {0, 0, GAME_ICONS_WIDTH, GAME_ICONS_HEIGHT};
    const FrameTensor t = {.data = out + (s->y * s->width + s->x) * 3,
                           .dtype = DT_U8,
                           .order = FRAME_NHWC,
                           .width = s->inner_width,
                           .height = s->inner_height,
                           .channels = 3,
                           .row = (int64_t)s->width * 3,
                           .scale = {1, 1, 1}};
    const FrameFilter filter = s->inner_width < GAME_ICONS_WIDTH ? FRAME_AREA : FRAME_BILINEAR;
    frame_to_tensor(&from, &all, filter, &t, simd_level(),
                    arena_alloc_aligned(a, (size_t)frame_scratch(&from, &all, filter, &t), 64));
    Frame f = from;
    f.width = s->width;
    f.height = s->height;
    f.plane[0] = out;
    f.stride[0] = s->width * 3;
    return f;
}

static Run judge_game(GameIcons *g, const char *dir, const char *text, const Shape *s)
{
    static const NetHost nets = {.threads = 1};
    Run run = {.arena = arena_new()};
    Parse p = {.path = path_join(run.arena, dir, "w.yaml"), .text = text};
    Error e;
    Judge *j = NULL;
    if (job_run(run.arena, parse, &p, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    const JudgeOptions opt = {.stream = "s", .watch = p.watch, .event = on_event, .arg = &run};
    Arena *const a = arena_new();
    if (judge_new(a, observe_host_new(a, &nets, NULL), &opt, &j, &e) != 0)
        FAIL_MSG("%s", e.message);
    int64_t wanted = 0;
    for (;;) {
        const int i = (int)((wanted * GAME_ICONS_FPS + 999999) / 1000000);
        if (i >= GAME_ICONS_SECONDS * GAME_ICONS_FPS)
            break;
        Arena *const tmp = arena_new();
        const VideoFrame f = {.picture = placed(tmp, game_icons_frame(g, i), s),
                              .t = (int64_t)i * 1000000 / GAME_ICONS_FPS,
                              .number = i};
        judge_frame(j, &f);
        wanted = grid_next(f.t, judge_step(j));
        arena_free(tmp);
    }
    judge_stop(j);
    run.lost = judge_align(j).lost;
    arena_free(a);
    return run;
}

static bool near(const Seen *a, const Seen *b)
{
    return strcmp(a->event, b->event) == 0 && a->kind == b->kind && llabs(a->t - b->t) <= 500000;
}

/* The same events, each at most a sample off. */
static int differences(const Run *a, const Run *b)
{
    int n = 0;
    for (int i = 0; i < a->seen.len; i++) {
        bool found = false;
        for (int k = 0; k < b->seen.len && !found; k++)
            found = near(&a->seen.at[i], &b->seen.at[k]);
        n += !found;
    }
    return n;
}

static void games(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const dir = arena_printf(a, "/tmp/lathe_align_game_%d", (int)getpid());
    GameIcons *const g = game_icons_make(a, dir, 31, 0);
    static const Shape shape[] = {
        {"plain", 640, 360, 0, 0, 640, 360},     {"shifted", 664, 374, 20, 4, 640, 360},
        {"smaller", 640, 360, 50, 30, 560, 315}, {"letterboxed", 640, 480, 0, 60, 640, 360},
        {"stretched", 800, 360, 0, 0, 800, 360},
    };
    const char *const plain = plain_text(a, dir), *const aligned = aligned_text(a, g, dir);
    Run truth = judge_game(g, dir, plain, &shape[0]);
    assert_true(truth.seen.len >= 10);
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        Run run = judge_game(g, dir, aligned, &shape[i]);
        const int missed = differences(&truth, &run), more = differences(&run, &truth);
        fprintf(stderr, "%s: %d records, %d missed, %d too much; lost in %lld samples\n",
                shape[i].name, run.seen.len, missed, more, (long long)run.lost);
        assert_true(missed == 0 && more == 0);
        arena_free(run.arena);
    }
    Run without = judge_game(g, dir, plain, &shape[2]); /* that it takes anchors */
    assert_true(differences(&truth, &without) > 5);
    arena_free(without.arena);
    arena_free(truth.arena);
    assert_int_equal(system(arena_printf(a, "rm -r '%s'", dir)), 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(games)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
