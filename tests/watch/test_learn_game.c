/* References that are learnt from the generated game, whose truth is known, find what the drawn
 * ones find. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/game_icons.h"
#include "watch/learn.h"
#include "watch/video.h"

typedef struct Made {
    Arena *arena;
    const char *dir;
    GameIcons *game;
} Made;

/* The longest run of frames that have it, or have it not. */
static LearnSpan longest(const Made *m, bool skull, int want)
{
    int best = 0, end = 0, run = 0;
    for (int i = 0; i < GAME_ICONS_SECONDS * GAME_ICONS_FPS; i++) {
        run = game_icons_shown(m->game, skull, i) == want ? run + 1 : 0;
        if (run > best) {
            best = run;
            end = i;
        }
    }
    assert_true(best > 20);
    return (LearnSpan){(int64_t)(end - best + 2) * 1000000 / GAME_ICONS_FPS,
                       (int64_t)(end - 1) * 1000000 / GAME_ICONS_FPS};
}

static const double one = 1;
static Signal icon(const char *name)
{
    return (Signal){.name = name,
                    .kind = SIGNAL_ICON,
                    .icon = {.nscale = 1, .scale = &one, .mask = true, .on = 0.8, .off = 0.7}};
}

typedef struct Seer { /* one icon, looked for in all frames at two a second */
    Arena *arena;
    Watch watch;
    Region region;
    Signal signal;
    Reference ref;
    Observer *observer;
    Video *video;
} Seer;

static NetHost nets = {.threads = 1};

static Seer *seer_new(const Made *m, const char *path, double scale, Box region)
{
    Arena *const a = arena_new();
    Seer *const s = arena_new_of(a, Seer);
    Error e;
    double *const sizes = arena_new_of(a, double);
    *sizes = scale;
    s->arena = a;
    s->ref.path = path;
    s->region = (Region){"r", region};
    s->signal = icon("i");
    s->signal.icon.nref = 1;
    s->signal.icon.ref = &s->ref;
    s->signal.icon.scale = sizes;
    s->watch = (Watch){.name = "w",
                       .path = "w",
                       .dir = ".",
                       .width = GAME_ICONS_WIDTH,
                       .height = GAME_ICONS_HEIGHT,
                       .fps = 2,
                       .max_fps = 2,
                       .nregion = 1,
                       .nsignal = 1,
                       .region = &s->region,
                       .signal = &s->signal};
    if (observer_new(a, observe_host_new(a, &nets, NULL), &s->watch, &s->observer, &e) != 0 ||
        video_open(path_join(a, m->dir, "game.mp4"), &(VideoOptions){0}, &s->video, &e) != 0)
        FAIL_MSG("%s", e.message);
    return s;
}

static bool seer_next(Seer *s, int64_t t, VideoFrame *f, Observation *out)
{
    Error e;
    const bool need = true;
    if (video_sample(s->video, t, f, &e) != 1)
        return false;
    observer_look(s->observer, &f->picture, f->t, &need, out);
    return true;
}

static void seer_free(Seer *s)
{
    video_close(s->video);
    arena_free(s->arena);
}

typedef struct Quality {
    int right, wrong, missed;
} Quality;

static Quality quality(const Made *m, bool skull, const char *path, double scale, Box region,
                       double on)
{
    Quality q = {0};
    Seer *const s = seer_new(m, path, scale, region);
    VideoFrame f;
    Observation o;
    for (int64_t t = 0; seer_next(s, t, &f, &o); t += 200000) {
        const int truth = game_icons_shown(m->game, skull, (int)f.number);
        const bool seen = o.state == OBSERVE_SEEN && (double)o.score >= on;
        if (truth < 0)
            continue;
        q.right += seen && truth == 1;
        q.wrong += seen && truth == 0;
        q.missed += !seen && truth == 1;
    }
    seer_free(s);
    return q;
}

/* Where the drawn one is found best in a frame: a skull moves with its line. */
static Box found_box(const Made *m, const char *drawn, Box region, int64_t *t)
{
    Seer *const seer = seer_new(m, drawn, 0.5, region);
    VideoFrame f;
    Observation o;
    Box best = {0};
    float score = -1;
    for (int64_t at = 0; seer_next(seer, at, &f, &o); at += 100000) {
        if (game_icons_shown(m->game, true, (int)f.number) != 1 || o.state != OBSERVE_SEEN ||
            o.score <= score)
            continue;
        score = o.score;
        best = o.found[0].box;
        *t = f.t;
    }
    seer_free(seer);
    return (Box){roundf(best.x) - 1, roundf(best.y) - 1, best.width + 2, best.height + 2};
}

static void check(const Made *m, bool skull, const LearnItem *item, const char *drawn)
{
    Error e = {0};
    LearnResult r;
    Arena *const a = arena_new();
    const char *const video = path_join(a, m->dir, "game.mp4");
    if (learn_run(a, observe_host_new(a, &nets, NULL),
                  &(LearnOptions){.url = video, .nitem = 1, .item = item}, &r, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_true(r.judged.parts);
    const Quality learnt = quality(m, skull, item->to, 1, item->region, r.judged.on);
    const Quality old = quality(m, skull, drawn, 0.5, item->region, 0.8);
    fprintf(stderr,
            "%s: learnt (on %.2f, %.0f %% opaque): %d right, %d wrong, %d missed; drawn: %d right, "
            "%d wrong, %d missed\n",
            skull ? "skull" : "shield", r.judged.on, (double)r.opaque * 100, learnt.right,
            learnt.wrong, learnt.missed, old.right, old.wrong, old.missed);
    assert_true(learnt.right > 10);
    assert_true(learnt.wrong <= old.wrong && learnt.missed <= old.missed);
    arena_free(a);
}

static void one_game(uint64_t seed, double noise)
{
    Arena *const a = arena_new();
    const char *const dir = arena_printf(a, "/tmp/lathe_learn_game_%d", (int)getpid());
    const Made m = {a, dir, game_icons_make(a, dir, seed, noise)};
    const LearnSpan with = longest(&m, false, 1), without = longest(&m, false, 0);
    LearnItem item = {.name = "shield",
                      .to = path_join(a, dir, "learnt/shield.png"),
                      .judged = true,
                      .signal = icon("shield"),
                      .region = game_icons_region(m.game, false),
                      .box = game_icons_shield(m.game),
                      .from = with.from,
                      .last = with.to,
                      .nabsent = 1,
                      .absent = &without};
    check(&m, false, &item, path_join(a, dir, "refs/shield.png"));
    const char *const drawn = path_join(a, dir, "refs/skull.png");
    item.name = "skull";
    item.to = path_join(a, dir, "learnt/skull.png");
    item.region = game_icons_region(m.game, true);
    item.box = found_box(&m, drawn, item.region, &item.from);
    item.last = item.from;
    item.nabsent = 0;
    check(&m, true, &item, drawn);
    assert_int_equal(system(arena_printf(a, "rm -r '%s'", dir)), 0);
    arena_free(a);
}

static void games(void **state)
{
    (void)state;
    one_game(21, 0);
    one_game(22, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(games)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
