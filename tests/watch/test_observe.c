/* Looks in rounds, many streams at once on workers: the same observations to the bit as one after
 * another; looks that come too late or are cancelled leave no trace. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "sched/blocker.h"
#include "watch/config.h"
#include "watch/event.h"
#include "watch/observe.h"

#define WIDTH 320
#define HEIGHT 180
#define STREAMS 5
#define FRAMES 12

static const char text[] =
    "watch: {name: w, reference_size: [320, 180], sample: {fps: 2}}\n"
    "model: {recogniser: read_lines.onnx, detector: find_lines.onnx}\n"
    "region: {a: [10, 10, 60, 24], b: [100, 8, 120, 24], page: [0, 60, 320, 120]}\n"
    "signal:\n"
    "  first: {from: text, region: a, charset: \"0123456789\"}\n"
    "  second: {from: text, region: b}\n"
    "  lines: {from: text, region: page, mode: page, min_conf: 0}\n"
    "  moves: {from: motion, region: page}\n"
    "  what: {from: class, region: page, model: classify.onnx}\n"
    "event: {any: {when: \"moves\"}}\n";

typedef struct WatchJob {
    const Watch *watch;
} WatchJob;

static void parse(Context *ctx, void *arg)
{
    WatchJob *const j = arg;
    j->watch = config_parse(ctx, TEST_DIR "/data/watch.yaml", text, sizeof text - 1);
}

static const Watch *make_watch(Arena *a)
{
    WatchJob j = {0};
    Error e;
    if (job_run(a, parse, &j, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    return j.watch;
}

/* ---- frames: bars of a few shades, which stand still now and then ---- */

typedef struct Picture {
    Frame frame;
    uint8_t luma[WIDTH * HEIGHT], chroma[WIDTH * HEIGHT / 4];
} Picture;

static void bar(Picture *p, int x, int y, int w, int h, int shade)
{
    for (int i = y; i < y + h && i < HEIGHT; i++)
        memset(p->luma + i * WIDTH + x, shade, (size_t)(x + w < WIDTH ? w : WIDTH - x));
}

static void paint(Picture *p, int stream, int number)
{
    /* the second of two is like the first.. */
    uint32_t seed = (uint32_t)(stream * 1000 + number / 2 * 2);
    memset(p->luma, 20, sizeof p->luma);
    memset(p->chroma, 128, sizeof p->chroma);
    for (int i = 0; i < 30; i++) {
        seed = seed * 1664525 + 1013904223;
        const int x = (int)(seed >> 8) % 300, shade = 90 + (int)(seed >> 20) % 160;
        if (i < 12)
            bar(p, i < 6 ? 12 + x % 50 : 104 + x % 100, i < 6 ? 14 : 12, 3 + i % 4, 12, shade);
        else
            bar(p, x, 64 + (i - 12) / 3 * 19, 16 + x % 50, 10, 235);
    }
    if (number % 2 == 1)
        bar(p, 0, 170, 100 + number * 5, 8, 235); /* ..but for its page */
    p->frame = (Frame){.format = FRAME_I420,
                       .width = WIDTH,
                       .height = HEIGHT,
                       .plane = {p->luma, p->chroma, p->chroma},
                       .stride = {WIDTH, WIDTH / 2, WIDTH / 2}};
}

static const char *say(Arena *a, const Watch *w, int number, const Observation *at)
{
    Str s = str_new(a);
    sample_json(&s, w, &(Sample){.stream = "s", .t = number, .frame = number, .at = at});
    return str_text(&s);
}

/* ---- hosts ---- */

typedef struct Set {
    Arena *arena;
    NetHost nets;
    Workers *workers;
    ObserveHost *host;
    const Watch *watch;
    bool need[8];
} Set;

static Set *set_up(int workers)
{
    Arena *const a = arena_new();
    Set *const s = arena_new_of(a, Set);
    Error e;
    s->arena = a;
    s->nets.threads = 1;
    assert_int_equal(pool_new(1, &s->nets.pool, &e), 0);
    if (workers > 0)
        assert_int_equal(workers_new(workers, &s->workers, &e), 0);
    s->watch = make_watch(a);
    s->host = observe_host_new(a, &s->nets, s->workers);
    memset(s->need, true, sizeof s->need);
    return s;
}

static Observer *observer(Set *s)
{
    Observer *o;
    Error e;
    if (observer_new(s->arena, s->host, s->watch, &o, &e) != 0)
        FAIL_MSG("%s", e.message);
    return o;
}

static void tear_down(Set *s)
{
    Workers *const workers = s->workers;
    Pool *const pool = s->nets.pool;
    arena_free(s->arena);
    workers_free(workers);
    pool_free(pool);
}

/* What each stream sees in each frame, one after another. */
static const char **expected(Set *s)
{
    static Picture p;
    const char **const out = arena_array_of(s->arena, STREAMS * FRAMES, const char *);
    int texts = 0, found = 0, reused = 0, kinds = 0;
    for (int i = 0; i < STREAMS; i++) {
        Observer *const o = observer(s);
        for (int k = 0; k < FRAMES; k++) {
            Observation at[8];
            paint(&p, i, k);
            observer_look(o, &p.frame, k * 500000, s->need, at);
            out[i * FRAMES + k] = say(s->arena, s->watch, k, at);
            texts += at[0].text[0] != '\0';
            found += at[2].nfound;
            reused += at[0].reused;
            kinds += at[4].text != NULL;
        }
        for (int signal = 0; signal < s->watch->nsignal; signal++)
            assert_string_equal(observer_error(o, signal), "");
    }
    assert_int_equal(kinds, STREAMS * FRAMES);
    /* there is something to tell apart */
    assert_true(texts > STREAMS && found > 2 * STREAMS * FRAMES && reused > 0);
    return out;
}

/* ---- streams on workers ---- */

typedef struct Runner {
    Task task;         /* first */
    Set *set;
    Observer *o;
    Picture picture;
    int stream, number;
    bool looks;        /* a look is under way */
    atomic_int done;
    const char *said[FRAMES];
    Arena *arena;
} Runner;

static void wake(void *arg)
{
    Runner *const r = arg;
    workers_submit(r->set->workers, &r->task, INT64_MAX, 0);
}

static void step(Task *t, int worker)
{
    (void)worker;
    Runner *const r = (Runner *)t;
    while (r->number < FRAMES) {
        if (!r->looks)
            paint(&r->picture, r->stream, r->number);
        const ObserverAsk ask = {
            .deadline = INT64_MAX, .source = r->stream, .ready = wake, .arg = r};
        const bool over = r->looks ? observer_advance(r->o)
                                   : observer_begin(r->o, &r->picture.frame, r->number * 500000,
                                                    r->set->need, &ask);
        r->looks = !over;
        if (!over)
            return;
        Observation at[8];
        assert_true(observer_end(r->o, at));
        memset(r->picture.luma, 0x77, sizeof r->picture.luma); /* it is not needed any more */
        r->said[r->number] = say(r->arena, r->set->watch, r->number, at);
        r->number++;
    }
    atomic_store(&r->done, 1);
}

static void the_same_in_rounds(void **state)
{
    (void)state;
    Set *const one = set_up(0), *const s = set_up(3);
    const char *const *const all = expected(one);
    Runner *const r = arena_array_of(s->arena, STREAMS, Runner);
    for (int i = 0; i < STREAMS; i++) {
        r[i] = (Runner){
            .task.run = step, .set = s, .o = observer(s), .stream = i, .arena = arena_new()};
        wake(&r[i]);
    }
    for (int i = 0; i < STREAMS; i++) {
        for (int k = 0; k < 300000 && !atomic_load(&r[i].done); k++)
            usleep(100);
        assert_int_equal(atomic_load(&r[i].done), 1);
        for (int k = 0; k < FRAMES; k++)
            assert_string_equal(r[i].said[k], all[i * FRAMES + k]);
        for (int signal = 0; signal < s->watch->nsignal; signal++)
            assert_string_equal(observer_error(r[i].o, signal), "");
        workers_cancel(s->workers, &r[i].task);
        arena_free(r[i].arena);
    }
    tear_down(s);
    tear_down(one);
}

/* ---- too late ---- */

static void count(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

/* A whole look on this thread, its models' answers on the workers; NULL: it was too late. */
static const char *look(Set *s, Observer *o, int number, int64_t deadline)
{
    static Picture p;
    atomic_int ready = 0;
    int rounds = 0;
    Observation at[8];
    paint(&p, 3, number);
    bool over = observer_begin(o, &p.frame, number * 500000, s->need,
                               &(ObserverAsk){.deadline = deadline, .ready = count, .arg = &ready});
    while (!over) {
        wait_for(&ready, ++rounds);
        over = observer_advance(o);
    }
    return observer_end(o, at) ? say(s->arena, s->watch, number, at) : NULL;
}

static void what_comes_too_late_leaves_no_trace(void **state)
{
    (void)state;
    Set *const one = set_up(0), *const s = set_up(1);
    Observer *const plain = observer(one), *const o = observer(s);
    s->need[3] = one->need[3] = false; /* motion remembers the frame before, late or not */
    for (int k = 0; k < 12; k++) {
        Picture p;
        Observation at[8];
        paint(&p, 3, 2 * k);
        observer_look(plain, &p.frame, 2 * k * 500000, one->need, at);
        assert_false(at[2].reused);
        /* the same picture, for what it shows must not be known then */
        assert_null(look(s, o, 2 * k, 1));
        assert_string_equal(look(s, o, 2 * k, INT64_MAX), say(one->arena, one->watch, 2 * k, at));
    }
    tear_down(s);
    tear_down(one);
}

static void a_look_is_cancelled(void **state)
{
    (void)state;
    Set *const s = set_up(1);
    Observer *const o = observer(s);
    observer_cancel(o); /* none is under way */
    const char *const first = look(s, o, 0, INT64_MAX);
    assert_non_null(first);
    for (int k = 0; k < 20; k++) {
        Picture p;
        atomic_int ready = 0;
        Blocker b = {0};
        if (k % 2 == 0) /* else models answer meanwhile, or have answered */
            blocker_start(&b, s->workers);
        paint(&p, 3, 2 * k + 2);
        const ObserverAsk ask = {.deadline = INT64_MAX, .source = 1, .ready = count, .arg = &ready};
        /* models may be as quick as that */
        const bool over = observer_begin(o, &p.frame, k, s->need, &ask);
        assert_true(!over || k % 2 == 1);
        usleep(k * 300u);
        observer_cancel(o);
        const int then = atomic_load(&ready);
        assert_true(then == 0 || k % 2 == 1);
        atomic_store(&b.let_go, 1);
        usleep(500);
        assert_int_equal(atomic_load(&ready), then);
        workers_cancel(s->workers, &b.task);
    }
    assert_non_null(look(s, o, 0, INT64_MAX));
    tear_down(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_in_rounds),
        cmocka_unit_test(what_comes_too_late_leaves_no_trace),
        cmocka_unit_test(a_look_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
