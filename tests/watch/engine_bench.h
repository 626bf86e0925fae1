/* An engine under test: clips with a watch of theirs, and what the engine told, by stream. */
#ifndef LATHE_TESTS_WATCH_ENGINE_BENCH_H
#define LATHE_TESTS_WATCH_ENGINE_BENCH_H

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "clip.h"
#include "watch/config.h"
#include "watch/engine.h"
#include "watch/stream.h"
#include "watch/system_json.h"

#define BENCH_STREAMS 64
#define BENCH_SAMPLES 4000

typedef struct Told { /* of one stream */
    char name[32];
    Str events;  /* records, a line each */
    Str system;  /* "stream.up|stream.down/closed|" */
    int samples;
    int number[BENCH_SAMPLES]; /* of the frames that were judged */
    int64_t t[BENCH_SAMPLES];
    double latency; /* the most of all records that a frame confirmed, seconds */
} Told;

typedef struct EngineBench {
    Arena *arena;         /* the test's own */
    pthread_mutex_t lock; /* up to `factor`: for who asks while streams run */
    Arena *told_arena;
    int n;
    Told *told;
    int64_t work;         /* us that each sample is made to cost */
    bool clip;            /* frames have numbers */
    double factor;        /* the least that was told */
    Pool *pool;
    NetHost nets;
    Clips *clips;         /* NULL: none are cut */
    bool (*behind)(void *arg);
    Engine *engine;
} EngineBench;

/* Bits of the frame's number: one changes every 32 frames, one every 8. */
#define BENCH_WATCH(policy)                                                                        \
    "watch: {name: clip, reference_size: [64, 48], sample: {fps: 5, max_fps: 5, policy: " policy   \
    "}, gap: 1s}\n"                                                                                \
    "region: {slow: [16, 16, 16, 16], fast: [48, 0, 16, 16]}\n"                                    \
    "signal:\n"                                                                                    \
    "  slow: {from: motion, region: slow, threshold: 40, min_area: 0.5}\n"                         \
    "  fast: {from: motion, region: fast, threshold: 40, min_area: 0.5}\n"                         \
    "event:\n"                                                                                     \
    "  flip: {when: slow, emit: point}\n"                                                          \
    "  still: {when: \"!slow\", confirm: [2, 2]}\n"                                                \
    "  blink: {when: fast}\n"

/* Whatever else the machine has to do, no sample is left out. */
static const char bench_watch[] = BENCH_WATCH("every");

static inline Told *bench_told(EngineBench *b, const char *stream)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->told[i].name, stream) == 0)
            return &b->told[i];
    assert_true(b->n < BENCH_STREAMS);
    Told *const t = &b->told[b->n++];
    snprintf(t->name, sizeof t->name, "%s", stream);
    t->events = str_new(b->told_arena);
    t->system = str_new(b->told_arena);
    return t;
}

static inline void bench_event(void *arg, const EventRecord *r, int64_t latency)
{
    EngineBench *const b = arg;
    pthread_mutex_lock(&b->lock);
    Told *const t = bench_told(b, r->stream);
    event_json(&t->events, r);
    str_addc(&t->events, '\n');
    if (r->kind == RECORD_POINT && (double)latency * 1e-6 > t->latency)
        t->latency = (double)latency * 1e-6;
    pthread_mutex_unlock(&b->lock);
}

static inline void bench_system(void *arg, const SystemRecord *r)
{
    EngineBench *const b = arg;
    pthread_mutex_lock(&b->lock);
    if (r->kind == SYSTEM_OVERLOAD) {
        b->factor = r->value < b->factor ? r->value : b->factor;
    } else {
        Told *const t = bench_told(b, r->stream);
        str_addf(&t->system, "%s%s%s|", system_name(r->kind), r->cause ? "/" : "",
                 r->cause ? r->cause : "");
    }
    pthread_mutex_unlock(&b->lock);
}

static inline void bench_sample(void *arg, const char *stream, const Sample *s, const Frame *f)
{
    EngineBench *const b = arg;
    pthread_mutex_lock(&b->lock);
    Told *const t = bench_told(b, stream);
    if (t->samples < BENCH_SAMPLES) {
        t->number[t->samples] = b->clip ? clip_number(f) : (int)s->frame;
        t->t[t->samples++] = s->t;
    }
    const int64_t work = b->work;
    pthread_mutex_unlock(&b->lock);
    if (work > 0)
        nanosleep(&(struct timespec){work / 1000000, work % 1000000 * 1000}, NULL);
}

static inline EngineBench bench_new(void)
{
    Error e;
    EngineBench b = {.arena = arena_new(), .told_arena = arena_new(), .clip = true, .factor = 1};
    b.told = arena_array_of(b.arena, BENCH_STREAMS, Told);
    pthread_mutex_init(&b.lock, NULL);
    assert_int_equal(pool_new(1, &b.pool, &e), 0);
    b.nets = (NetHost){.pool = b.pool, .threads = 1};
    return b;
}

static inline void bench_start(EngineBench *b, int workers)
{
    Error e;
    const EngineOptions opt = {.workers = workers,
                               .nets = &b->nets,
                               .clips = b->clips,
                               .event = bench_event,
                               .system = bench_system,
                               .behind = b->behind,
                               .sample = bench_sample,
                               .arg = b};
    if (engine_new(&opt, &b->engine, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static inline void bench_close(EngineBench *b)
{
    engine_free(b->engine);
    pool_free(b->pool);
    pthread_mutex_destroy(&b->lock);
    arena_free(b->told_arena);
    arena_free(b->arena);
}

static inline void bench_set_work(EngineBench *b, int64_t us)
{
    pthread_mutex_lock(&b->lock);
    b->work = us;
    pthread_mutex_unlock(&b->lock);
}

typedef struct BenchWatch {
    const char *text;
    const Watch *watch;
} BenchWatch;

static inline void bench_read(Context *ctx, void *arg)
{
    BenchWatch *const w = arg;
    w->watch = config_parse(ctx, "clip.yaml", w->text, strlen(w->text));
}

static inline const Watch *bench_parse(Arena *a, const char *text)
{
    Error e;
    BenchWatch w = {.text = text};
    if (job_run(a, bench_read, &w, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    return w.watch;
}

static inline void bench_add(EngineBench *b, const StreamSpec *spec)
{
    Error e;
    if (engine_add(b->engine, spec, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static inline void bench_sleep(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds,
                                 (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
}

/* Each sample that was wanted has one fate. */
static inline void bench_check(const StreamStatus *s)
{
    assert_int_equal(s->wanted, s->judged + s->busy + s->late + s->rate + s->lost);
}

static inline StreamStatus bench_status(EngineBench *b, const char *name)
{
    const EngineStatus all = engine_status(b->engine, b->arena);
    for (int i = 0; i < all.nstream; i++)
        bench_check(&all.stream[i]);
    for (int i = 0; i < all.nstream; i++)
        if (strcmp(all.stream[i].name, name) == 0)
            return all.stream[i];
    FAIL_MSG("no stream '%s'", name);
    return (StreamStatus){0};
}

/* Until all are over. */
static inline void bench_wait(EngineBench *b, double timeout)
{
    for (double t = 0; engine_running(b->engine) > 0; t += 0.02) {
        if (t > timeout)
            FAIL_MSG("%d streams still run after %g s", engine_running(b->engine), timeout);
        bench_sleep(0.02);
    }
}

static inline void bench_record(void *arg, const EventRecord *r)
{
    Str *const out = arg;
    event_json(out, r);
    str_addc(out, '\n');
}

/* What stream_run says of the same video. */
static inline const char *bench_offline(EngineBench *b, const char *name, const char *url,
                                        const Watch *w, int64_t *samples)
{
    Str out = str_new(b->arena);
    StreamReport report;
    Error e;
    Arena *const a = arena_new();
    const StreamOptions opt = {
        .name = name, .url = url, .watch = w, .event = bench_record, .arg = &out};
    if (stream_run(observe_host_new(a, &b->nets, NULL), &opt, &report, &e) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(a);
    if (samples)
        *samples = report.samples;
    return str_text(&out);
}

#endif
