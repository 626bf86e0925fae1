/* A generated game (game/game --name game.ts) sent live, and what is told of it.
 *
 *     live_events GAME every.yaml srt                        from its beginning to its end: the events are those of the file
 *     live_events GAME spans.yaml srt --faults 100 SMALL     over and over, with faults: no event is told that is none
 *     .. --others 6 --seconds 50 --csv FILE                  how late six other streams are, with faults and without
 *
 * The number in each frame (game/counter.h) says which moment of the game a sample saw, whatever
 * clock the stream has, so that events are compared by the game's own time. First the file is
 * watched, every frame of it that is wanted, and judged against the truth of GAME/events.jsonl.
 * (The watches are variants of the game's, see generated.py.)
 *
 * Without faults: precision and recall of the live stream, and what differs from the file: event,
 * key, value, and starts more than one sample apart.
 *
 * With faults (live/transmit.h; SMALL is the same game in another size): an event is *false* if
 * the game is not, within one sample, as it says. An event under way is told anew after a
 * connection has ended, with the start that was seen: that is right. Beside it others come
 * undisturbed (one, or as many as --others says), each from a server of its own; how long after
 * capture their samples are judged (95 of 100) while there is a fault and while there is none is
 * printed, and asserted by nobody, as it is a time. They take turns, some seconds each, so that
 * what else the machine does is in both. --seconds ends it after so long; --csv adds a line to
 * FILE, --late one for each sample of theirs. With --only stall\ 7\ s (names: live/transmit.c)
 * that is the only fault; with --only none one sees what chance does. Bytes that were changed
 * may decode without an error, to pictures that are smeared up to the next keyframe; where that
 * hit the number it is taken from the picture before, and counted. Returns 1 if an event was
 * false, or the stream did not come back. */
#include <libavutil/log.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "game/counter.h"
#include "live/transmit.h"
#include "runtime/pool.h"
#include "sched/clock.h"
#include "watch/config.h"
#include "watch/engine.h"
#include "watch/score.h"

#define FPS 30.0
#define SAMPLE 0.5  /* seconds between samples */
#define STEADY 2.0  /* seconds of samples between faults */
#define PATIENCE 45 /* seconds within which a stream is to come back */
#define MOST_OTHERS 16
#define LONG 2.0    /* seconds without samples, of which it says more */
/* us: so much that samples are judged on a busy machine, too, and how late they are is seen */
#define LATENCY 2000000

typedef struct Look { /* a sample that was judged */
    int epoch;
    int64_t t;
    /* the game's time, seconds; of a picture whose number is damaged by that of the one before;
     * NAN: none is known in its epoch */
    double at;
    double wall;  /* when it was judged, time_now() */
    double late;  /* seconds from capture; < 0: not known */
    bool calm;
} Look;

typedef struct Fact { /* an event of the file, by the game's time */
    const char *event;
    double from, to; /* to: of points from */
    double value, prev; /* NAN: none */
} Fact;

typedef struct Watched { /* one stream */
    const char *name;
    VEC(Look) look;
    int64_t unread;
    ScoreList found;
    VEC(Fact) fact;
    bool once, over; /* once: over where the game begins again */
} Watched;

typedef struct Run {
    Arena *arena;        /* the main thread's */
    pthread_mutex_t lock; /* all below */
    Arena *told;
    Watched file, live, other;
    bool faulty, calm;
    int events, false_events;
    /* events that began with a picture whose number is damaged, the first of an epoch */
    int undecided;
    Engine *engine;
    const Watch *watch;
    const char *game;
    int faults, others;  /* faults: 0: once through, without */
    double seconds;      /* no fault after so long */
    const char *small, *csv, *late; /* NULL: none */
    const char *only;    /* fault; NULL: as they are drawn */
} Run;

static Watched *watched(Run *r, const char *stream)
{
    return strcmp(stream, "file") == 0   ? &r->file
           : strcmp(stream, "live") == 0 ? &r->live
                                         : &r->other;
}

/* ---- what is told ---- */

static void on_sample(void *arg, const char *stream, const Sample *s, const Frame *f)
{
    Run *const r = arg;
    uint32_t number;
    pthread_mutex_lock(&r->lock);
    Watched *const w = watched(r, stream);
    const bool read = counter_read(f->plane[0], (int)f->stride[0], f->width, f->height, &number);
    const Look *const before = w->look.len > 0 ? &w->look.at[w->look.len - 1] : NULL;
    const bool goes_on = before && before->epoch == s->epoch;
    const double at = read      ? number / FPS
                      : goes_on ? before->at + 1e-6 * (double)(s->t - before->t)
                                : NAN;
    w->unread += !read;
    w->over |= w->once && before && at < before->at;
    if (!w->over)
        vec_push(r->told, &w->look,
                 ((Look){s->epoch, s->t, at, time_now(),
                         s->clock == CLOCK_RTCP ? 1e-6 * (double)(wall_now() - s->wall) : -1,
                         r->calm}));
    pthread_mutex_unlock(&r->lock);
}

static const Look *look_at(const Watched *w, int epoch, int64_t t)
{
    for (int i = w->look.len - 1; i >= 0; i--)
        if (w->look.at[i].epoch == epoch && w->look.at[i].t == t)
            return &w->look.at[i];
    return NULL;
}

static double number_of(const EventRecord *r, int i)
{
    return i < r->ndata && r->data[i].kind == VALUE_NUMBER ? r->data[i].number : NAN;
}

static bool same_value(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* The value of x that the game shows at a time is that of the last change before. */
static bool shows(const Watched *file, const char *event, double value, double at)
{
    const Fact *before = NULL, *first = NULL;
    for (int i = 0; i < file->fact.len; i++) {
        const Fact *const f = &file->fact.at[i];
        if (strcmp(f->event, event) != 0)
            continue;
        first = first ? first : f;
        if (fabs(f->from - at) <= SAMPLE &&
            (same_value(f->value, value) || same_value(f->prev, value)))
            return true;
        before = f->from <= at ? f : before;
    }
    return before ? same_value(before->value, value) : first && same_value(first->prev, value);
}

static bool shown_before(const Run *r, const char *event, double value)
{
    const Watched *const w = &r->live;
    for (int i = w->look.len - 1; i >= 0; i--)
        if (!isnan(w->look.at[i].at) && shows(&r->file, event, value, w->look.at[i].at))
            return true;
    return false;
}

static bool lasts(const Watched *file, const char *event, double at)
{
    for (int i = 0; i < file->fact.len; i++) {
        const Fact *const f = &file->fact.at[i];
        if (strcmp(f->event, event) == 0 && at >= f->from - SAMPLE && at <= f->to + SAMPLE)
            return true;
    }
    return false;
}

/* `win` follows upon a victory, and may be seen as late as that. */
static bool is_true(const Run *r, const EventRecord *e, double at)
{
    const char *const name = e->rule->name;
    if (strstr(name, "_change"))
        return shows(&r->file, name, number_of(e, 0), at) && shown_before(r, name, number_of(e, 1));
    return lasts(&r->file, strcmp(name, "win") == 0 ? "victory" : name, at);
}

static void on_fault_event(Run *r, const EventRecord *e, const Look *l)
{
    if (e->kind == RECORD_END)
        return;
    r->events++;
    if (l && (isnan(l->at) || is_true(r, e, l->at))) {
        r->undecided += isnan(l->at);
        return;
    }
    r->false_events++;
    printf("  FALSE: %s %g (before: %g) at %.3f s of the game, epoch %d, %.3f s\n", e->rule->name,
           number_of(e, 0), number_of(e, 1), l ? l->at : -1.0, e->epoch, 1e-6 * (double)e->t_start);
    fflush(stdout);
}

static void note(Run *r, Watched *w, const EventRecord *e, const Look *start)
{
    const Look *const end = e->t_end >= 0 ? look_at(w, e->epoch, e->t_end) : NULL;
    EventRecord mapped = *e;
    mapped.t_start = llrint(start->at * 1e6);
    mapped.t_end = end ? llrint(end->at * 1e6) : -1;
    score_add_record(&w->found, &mapped);
    if (e->kind != RECORD_END)
        vec_push(r->told, &w->fact,
                 ((Fact){e->rule->name, start->at, start->at, number_of(e, 0), number_of(e, 1)}));
    for (int i = w->fact.len - 1; e->kind == RECORD_END && end && i >= 0; i--) {
        if (strcmp(w->fact.at[i].event, e->rule->name) == 0 && w->fact.at[i].from == start->at) {
            w->fact.at[i].to = end->at;
            break;
        }
    }
}

static void on_event(void *arg, const EventRecord *e, int64_t latency)
{
    (void)latency;
    Run *const r = arg;
    pthread_mutex_lock(&r->lock);
    Watched *const w = watched(r, e->stream);
    const Look *const start = look_at(w, e->epoch, e->t_start);
    if (r->faulty && w == &r->live)
        on_fault_event(r, e, start);
    else if (start && w != &r->other)
        note(r, w, e, start);
    pthread_mutex_unlock(&r->lock);
}

/* ---- streams ---- */

static void nap(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds,
                                 (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
}

static void must(int code, const Error *e)
{
    if (code == 0)
        return;
    fprintf(stderr, "live_events: %s\n", e->message);
    exit(2);
}

static void add(Run *r, const char *name, const char *url, bool offline)
{
    Error e;
    const StreamSpec spec = {
        .name = name, .url = url, .watch = r->watch, .latency = LATENCY, .offline = offline};
    must(engine_add(r->engine, &spec, &e), &e);
}

static void remove_stream(Run *r, const char *name)
{
    Error e;
    must(engine_remove(r->engine, name, &e), &e);
}

static void print_score(const char *what, const Score *s)
{
    printf("  %-5s of %d events %d found, %d too much: precision %.4f, recall %.4f, starts at most "
           "%.3f s off\n",
           what, s->all.truth, s->all.matched, s->nextra, score_precision(&s->all),
           score_recall(&s->all), s->all.max_start_error);
    for (int i = 0; i < s->nmissed; i++)
        printf("    missed  %.3f s %s %s\n", s->missed[i]->start, s->missed[i]->event,
               s->missed[i]->value ? s->missed[i]->value : "");
    for (int i = 0; i < s->nextra; i++)
        printf("    extra   %.3f s %s %s\n", s->extra[i]->start, s->extra[i]->event,
               s->extra[i]->value ? s->extra[i]->value : "");
}

/* What the watch asks for. What begins with the last samples of the film may be confirmed by those
 * that follow, which the file has not. */
static ScoreList asked_for(Run *r, const ScoreList *all)
{
    const double end = r->file.look.at[r->file.look.len - 1].at - 2 * SAMPLE;
    ScoreList out = score_list(r->arena);
    for (int i = 0; i < all->event.len; i++)
        if (watch_find_event(r->watch, all->event.at[i].event) >= 0 && all->event.at[i].start < end)
            vec_push(r->arena, &out.event, all->event.at[i]);
    return out;
}

static ScoreList read_truth(Run *r)
{
    Error e;
    ScoreList all = score_list(r->arena);
    must(score_read(&all, path_join(r->arena, r->game, "events.jsonl"), &e), &e);
    return asked_for(r, &all);
}

static void watch_file(Run *r, const char *film)
{
    add(r, r->file.name, film, true);
    while (engine_running(r->engine) > 0)
        nap(0.02);
    remove_stream(r, r->file.name);
    const ScoreList truth = read_truth(r), file = asked_for(r, &r->file.found);
    const Score s = score_events(r->arena, &truth, &file, SAMPLE);
    print_score("file", &s);
}

/* ---- once, without faults ---- */

static bool live_over(Run *r)
{
    pthread_mutex_lock(&r->lock);
    const bool over = r->live.over;
    pthread_mutex_unlock(&r->lock);
    return over;
}

static bool run_once(Run *r, Transmission *t, const char *film)
{
    r->live.once = true;
    transmit_start(t, 1, &film, false);
    const double start = time_now();
    add(r, r->live.name, t->url, false);
    while (!live_over(r) && time_now() - start < 300)
        nap(0.02);
    remove_stream(r, r->live.name);
    const ScoreList truth = read_truth(r), file = asked_for(r, &r->file.found),
                    live = asked_for(r, &r->live.found);
    const Score s = score_events(r->arena, &truth, &live, SAMPLE),
                same = score_events(r->arena, &file, &live, SAMPLE);
    print_score(t->name, &s);
    print_score("same", &same);
    if (r->live.look.len > 0)
        printf("  %d samples from %.3f s of the game on, %lld not readable\n", r->live.look.len,
               r->live.look.at[0].at, (long long)r->live.unread);
    return live_over(r) && same.nmissed == 0 && same.nextra == 0 && r->live.unread == 0;
}

/* ---- with faults ---- */

/* When the last sample was judged; and the longest pause between two since `since`, up to now. */
static double last_look(Run *r, double since, double *pause)
{
    pthread_mutex_lock(&r->lock);
    double last = 0;
    for (int i = 0; i < r->live.look.len; i++) {
        const double at = r->live.look.at[i].wall;
        if (pause && at > since && last > 0)
            *pause = fmax(*pause, at - fmax(last, since));
        last = at;
    }
    pthread_mutex_unlock(&r->lock);
    return last;
}

static void set_calm(Run *r, bool calm)
{
    pthread_mutex_lock(&r->lock);
    r->calm = calm;
    pthread_mutex_unlock(&r->lock);
}

/* Until samples have come without a pause for a while. */
static bool wait_until_steady(Run *r)
{
    const double start = time_now();
    for (double well = start; time_now() - start < PATIENCE;) {
        nap(0.05);
        if (time_now() - last_look(r, 0, NULL) > 1.5 * SAMPLE + 0.3)
            well = time_now();
        if (time_now() - well > STEADY)
            return true;
    }
    return false;
}

typedef struct Pauses { /* of one kind of fault */
    double pause[1000]; /* without samples, less the time that nothing could come, seconds */
    int n;
} Pauses;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_pauses(Pauses *p)
{
    printf("  fault            n   p50 s   max s without samples\n");
    for (int k = 0; k < LIVE_FAULTS; k++) {
        qsort(p[k].pause, (size_t)p[k].n, sizeof *p[k].pause, by_value);
        if (p[k].n > 0)
            printf("  %-13s %4d  %6.3f  %6.3f\n", live_fault[k].name, p[k].n,
                   p[k].pause[p[k].n / 2], p[k].pause[p[k].n - 1]);
    }
}

/* How late the undisturbed stream's samples were: 95 of 100, ms. */
static double late_95(Run *r, bool calm, int *n)
{
    double *const late = arena_array_of(r->arena, r->other.look.len, double);
    *n = 0;
    for (int i = 0; i < r->other.look.len; i++)
        if (r->other.look.at[i].calm == calm && r->other.look.at[i].late >= 0)
            late[(*n)++] = r->other.look.at[i].late;
    qsort(late, (size_t)*n, sizeof *late, by_value);
    return *n > 0 ? 1e3 * late[(int)(0.95 * (*n - 1) + 0.5)] : 0;
}

static void print_statuses(Run *r)
{
    const EngineStatus all = engine_status(r->engine, r->arena);
    for (int i = 0; i < all.nstream; i++) {
        const StreamStatus *const s = &all.stream[i];
        printf("  %-6s %lld samples wanted, %lld judged, %lld busy, %lld late, %lld rate, %lld "
               "lost; %d epochs\n",
               s->name, (long long)s->wanted, (long long)s->judged, (long long)s->busy,
               (long long)s->late, (long long)s->rate, (long long)s->lost, s->epoch + 1);
    }
}

static void add_late(const Run *r, const char *transport)
{
    FILE *const f = fopen(r->late, "a");
    if (!f)
        return;
    for (int i = 0; i < r->other.look.len; i++) {
        const Look *const l = &r->other.look.at[i];
        if (l->late >= 0)
            fprintf(f, "%s,%s,%.1f\n", transport, l->calm ? "calm" : "fault", 1e3 * l->late);
    }
    fclose(f);
}

static void report_faults(Run *r, const Transmission *t, int n, Pauses *pauses)
{
    int quiet, loud;
    const double calm = late_95(r, true, &quiet), fault = late_95(r, false, &loud);
    printf("%s: %d faults, %d events told, %d of them false, %d undecided; %d samples, %lld with a "
           "damaged number\n",
           t->name, n, r->events, r->false_events, r->undecided, r->live.look.len,
           (long long)r->live.unread);
    print_pauses(pauses);
    const double ratio = calm > 0 ? fault / calm : 0;
    printf("  %d other streams: %.1f ms after capture (95 of 100) without faults (%d samples), "
           "%.1f ms with (%d): %.2f times\n",
           r->others, calm, quiet, fault, loud, ratio);
    print_statuses(r);
    if (r->late)
        add_late(r, t->name);
    FILE *const f = r->csv ? fopen(r->csv, "a") : NULL;
    if (!f)
        return;
    if (ftell(f) == 0)
        fprintf(f, "transport,faults,events,false,undecided,others,calm_samples,calm_p95_ms,fault_"
                   "samples,fault_p95_ms,ratio\n");
    fprintf(f, "%s,%d,%d,%d,%d,%d,%d,%.1f,%d,%.1f,%.3f\n", t->name, n, r->events, r->false_events,
            r->undecided, r->others, quiet, calm, loud, fault, ratio);
    fclose(f);
}

/* What came around a pause that is worth looking into. */
static void print_long(Run *r, const char *fault, double start, double pause)
{
    const EngineStatus all = engine_status(r->engine, r->arena);
    printf("  %s: %.3f s without samples;", fault, pause);
    for (int i = 0; i < all.nstream; i++)
        if (strcmp(all.stream[i].name, r->live.name) == 0)
            printf(" %lld connections, %lld frames, %lld errors,",
                   (long long)all.stream[i].live.connections,
                   (long long)all.stream[i].live.video.decoded,
                   (long long)all.stream[i].live.video.errors);
    printf(" samples at");
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < r->live.look.len; i++)
        if (r->live.look.at[i].wall > start - 1)
            printf(" %.2f (epoch %d)", r->live.look.at[i].wall - start, r->live.look.at[i].epoch);
    pthread_mutex_unlock(&r->lock);
    printf(" s behind it\n");
    fflush(stdout);
}

static int fault_named(const Transmission *t, const char *name)
{
    for (int k = 0; k < LIVE_FAULTS; k++)
        if (strcmp(live_fault[k].name, name) == 0 && strchr(live_fault[k].transports, t->letter))
            return k;
    fprintf(stderr, "live_events: %s has no fault '%s'\n", t->name, name);
    exit(2);
}

static void start_others(Run *r, Transmission *other, const char *const *film)
{
    for (int i = 0; i < r->others; i++) {
        if (!transmit_new("rtsp", &other[i]))
            abort();
        transmit_start(&other[i], 1, film, false);
        add(r, arena_printf(r->arena, "%s%d", r->other.name, i), other[i].url, false);
    }
}

static bool run_faults(Run *r, Transmission *t, const char *const *film, uint64_t seed)
{
    Pauses *const pauses = arena_array_of(r->arena, LIVE_FAULTS, Pauses);
    Dice dice = dice_new(seed, "faults");
    Transmission other[MOST_OTHERS];
    r->faulty = true;
    start_others(r, other, film);
    transmit_start(t, 2, film, true);
    add(r, r->live.name, t->url, false);
    bool well = wait_until_steady(r);
    const double begun = time_now();
    int done = 0;
    for (; well && done < r->faults && time_now() - begun < r->seconds; done++) {
        set_calm(r, true);
        nap(STEADY);
        const int kind = r->only ? fault_named(t, r->only) : fault_draw(t, &dice);
        const double start = time_now();
        set_calm(r, live_fault[kind].who == FAULT_NOBODY && !r->only);
        fault_inject(t, kind);
        nap(live_fault[kind].away + 0.5);
        well = wait_until_steady(r);
        double pause = 0;
        last_look(r, start, &pause);
        pause = fmax(0, pause - live_fault[kind].away);
        if (pauses[kind].n < 1000)
            pauses[kind].pause[pauses[kind].n++] = pause;
        if (pause > LONG)
            print_long(r, live_fault[kind].name, start, pause);
    }
    report_faults(r, t, done, pauses);
    for (int i = 0; i < r->others; i++)
        transmit_stop(&other[i]);
    return well && r->false_events == 0;
}

/* ---- the program ---- */

typedef struct ReadJob {
    const char *path;
    const Watch *watch;
} ReadJob;

static void read_watch(Context *ctx, void *arg)
{
    ReadJob *const j = arg;
    j->watch = config_read(ctx, j->path);
}

/* Of argv[i], if it is one. */
static void option(Run *r, int argc, char **argv, int i, uint64_t *seed)
{
    const char *const name = argv[i], *const value = argv[i + 1];
    if (strcmp(name, "--faults") == 0 && i + 2 < argc) {
        r->faults = atoi(value);
        r->small = path_join(r->arena, argv[i + 2], "game.ts");
    }
    if (strcmp(name, "--others") == 0)
        r->others = atoi(value);
    if (strcmp(name, "--seconds") == 0)
        r->seconds = atof(value);
    if (strcmp(name, "--csv") == 0)
        r->csv = value;
    if (strcmp(name, "--late") == 0)
        r->late = value;
    if (strcmp(name, "--only") == 0)
        r->only = value;
    if (strcmp(name, "--seed") == 0)
        *seed = strtoull(value, NULL, 10);
}

static Watched stream_new(Arena *a, const char *name)
{
    return (Watched){.name = name, .found = score_list(a)};
}

int main(int argc, char **argv)
{
    Arena *const a = arena_new();
    Transmission t;
    uint64_t seed = 1;
    Run *const r = &(Run){.arena = a,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .game = argc > 1 ? argv[1] : "",
                          .others = 1,
                          .seconds = INFINITY};
    for (int i = 4; i + 1 < argc; i++)
        option(r, argc, argv, i, &seed);
    if (argc < 4 || (r->faults < 1 && argc > 4) || r->others < 0 || r->others > MOST_OTHERS ||
        !transmit_new(argv[3], &t)) {
        fprintf(stderr,
                "live_events GAME WATCH.yaml %s [--faults N SMALL] [--others N] [--seconds S] "
                "[--csv FILE] [--late FILE] [--only FAULT] [--seed S]\n",
                transmit_names);
        return 2;
    }
    av_log_set_level(AV_LOG_QUIET);
    Error e;
    NetHost nets = {.threads = 1, .cache = cache_directory(a)};
    must(pool_new(1, &nets.pool, &e), &e);
    ReadJob j = {.path = path_join(a, argv[1], argv[2])};
    must(job_run(a, read_watch, &j, &e, NULL), &e);
    Arena *const told = r->told = arena_new();
    r->file = stream_new(told, "file");
    r->live = stream_new(told, "live");
    r->other = stream_new(told, "other");
    r->watch = j.watch;
    must(engine_new(&(EngineOptions){.workers = 2,
                                     .nets = &nets,
                                     .event = on_event,
                                     .sample = on_sample,
                                     .arg = r},
                    &r->engine, &e),
         &e);
    const char *const film[] = {path_join(a, argv[1], "game.ts"), r->small};
    watch_file(r, film[0]);
    const bool good = r->faults > 0 ? run_faults(r, &t, film, seed) : run_once(r, &t, film[0]);
    transmit_stop(&t);
    engine_free(r->engine);
    pool_free(nets.pool);
    arena_free(told);
    arena_free(a);
    printf("%s %s\n", t.name, good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
