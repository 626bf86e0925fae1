/* Looks after what runs: signals, files that changed, lines of status. */
#include "tools/watch_streams.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "tools/watch_status.h"
#include "watch/service_run.h"
#include "watch/source.h"
#include "watch/url.h"

#define DRAIN 10000000 /* us for sinks to deliver what waits */

#define LOSS_PAUSE 10.0 /* seconds between two lines of the same */
#define SINK_PAUSE 60.0 /* .. of a sink that cannot be reached, which may take days */

typedef struct Loss { /* as it was told */
    int64_t told;
    double at;
} Loss;

typedef struct Running {
    const WatchStreams *opt;
    WatchOutput *output;
    StatusLines status; /* under the output's lock */
    ServiceRun *service;
    Engine *engine;
    NetHost nets;
    Loss sink[SERVICE_MAX_SINKS]; /* failures; by its place in the file */
    double sinks_asked;
    Loss outbox, rewritten, displaced, store, renewed, dropped, untold, held;
} Running;

/* ---- what the streams tell ---- */

static void on_event(void *arg, const EventRecord *r, int64_t latency)
{
    (void)latency;
    const Running *const run = arg;
    output_event(run->output, r);
}

static void on_system(void *arg, const SystemRecord *r)
{
    const Running *const run = arg;
    output_system(run->output, r);
}

static void on_sample(void *arg, const char *stream, const Sample *s, const Frame *f)
{
    (void)stream, (void)f;
    const Running *const run = arg;
    output_sample(run->output, s);
}

static void before_line(void *arg)
{
    Running *const run = arg;
    status_lines_clear(&run->status);
}

static void show(Running *run)
{
    Arena *const a = arena_new();
    const EngineStatus now = engine_status(run->engine, a);
    pthread_mutex_lock(&run->output->lock);
    status_lines_show(&run->status, &now, time_now());
    pthread_mutex_unlock(&run->output->lock);
    arena_free(a);
}

static void say(Running *run, const char *text)
{
    pthread_mutex_lock(&run->output->lock);
    status_lines_clear(&run->status);
    fprintf(stderr, "%s\n", text);
    pthread_mutex_unlock(&run->output->lock);
}

static void on_clip(void *arg, const char *line)
{
    say(arg, line);
}

static void on_slow(void *arg, const char *line) { say(arg, line); }

/* ---- reload ---- */

static void reload(Running *run)
{
    ServiceChange c;
    Error e = {0};
    Arena *const a = arena_new();
    const int code = service_reload(run->service, &c, &e);
    const int sinks = c.sinks_added + c.sinks_removed + c.sinks_edited,
              changed = c.added + c.removed + c.edited + sinks;
    if (code != 0)
        say(run, arena_printf(a, "reload: %s; %s", e.message,
                              changed == 0 ? "all goes on as it was" : "the others are changed"));
    if (sinks > 0)
        memset(run->sink, 0, sizeof run->sink); /* others may stand in their places */
    const char *const of_sinks = sinks == 0
                                     ? ""
                                     : arena_printf(a, "; sinks: %d added, %d removed, %d changed",
                                                    c.sinks_added, c.sinks_removed, c.sinks_edited);
    if (code == 0 || changed > 0)
        say(run,
            arena_printf(a,
                         "reload: %d added, %d removed, %d changed, %d as they were%s, in %.0f ms",
                         c.added, c.removed, c.edited, c.same, of_sinks, c.seconds * 1e3));
    arena_free(a);
}

/* ---- what goes wrong meanwhile ---- */

/* At once, and then no more often than this. */
static void tell_loss(Running *run, Loss *l, int64_t n, const char *what, const char *why)
{
    const double now = time_now();
    if (n == l->told || (l->told > 0 && now - l->at < LOSS_PAUSE))
        return;
    Arena *const a = arena_new();
    say(run, arena_printf(a, "%s: %s (%lld so far)", what, why, (long long)n));
    arena_free(a);
    *l = (Loss){n, now};
}

/* A sink to which nothing goes through, though something waits. */
static void tell_sinks(Running *run)
{
    const double now = time_now();
    const Service *const s = service_now(run->service);
    if (now - run->sinks_asked < 1)
        return;
    run->sinks_asked = now;
    Arena *const a = arena_new();
    for (int i = 0; i < s->nsink; i++) {
        Loss *const l = &run->sink[i];
        const SinkCounts c = sinks_counts(service_sinks(run->service), i);
        if (c.waiting == 0 || c.failures <= l->told || (l->told > 0 && now - l->at < SINK_PAUSE))
            continue;
        say(run, arena_printf(a, "sink '%s': %s; %lld records wait", s->sink[i].name, c.error,
                              (long long)c.waiting));
        *l = (Loss){c.failures, now};
    }
    arena_free(a);
}

static void tell_losses(Running *run)
{
    const TellingCounts told = service_telling(run->service);
    tell_loss(run, &run->untold, told.dropped, "records were lost",
              "the outbox takes them too slowly");
    tell_loss(run, &run->held, told.full, "records came faster than they could be told",
              "the outbox takes them too slowly");
    if (service_sinks(run->service)) {
        tell_sinks(run);
        const SinksTrouble t = sinks_trouble(service_sinks(run->service));
        tell_loss(run, &run->outbox, t.lost, "records were lost for the sinks", t.why);
        tell_loss(run, &run->rewritten, t.renewed,
                  "the outbox was removed while it was in use, and written anew",
                  service_now(run->service)->outbox);
        if (t.displaced &&
            (run->displaced.told == 0 || time_now() - run->displaced.at >= LOSS_PAUSE)) {
            say(run, t.displaced_why);
            run->displaced = (Loss){1, time_now()};
        }
    }
    if (service_store(run->service)) {
        const StoreCounts c = store_counts(service_store(run->service));
        tell_loss(run, &run->store, c.failures,
                  "the store could not be written, and it is tried again", c.error);
        tell_loss(run, &run->renewed, c.renewed,
                  "the store was removed or replaced while it was in use, and begun anew",
                  service_now(run->service)->store);
        tell_loss(run, &run->dropped, c.dropped,
                  "spans, records and values were lost for the store", c.error);
    }
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

static void look_after(Running *run)
{
    const WatchStreams *const w = run->opt;
    sig_atomic_t reloads = *w->reload;
    while (!*w->stop && (run->service || engine_running(run->engine) > 0)) {
        nap();
        const bool asked = reloads != *w->reload;
        reloads = *w->reload;
        if (run->service && (asked || service_changed(run->service)))
            reload(run);
        if (run->service)
            tell_losses(run);
        show(run);
    }
}

/* ---- start and end ---- */

static int start_service(Running *run, Error *e)
{
    const ServiceOptions opt = {
        .nets = &run->nets, .event = on_event, .clip = on_clip, .system = on_system, .arg = run};
    const int code = service_start(run->opt->service, &opt, &run->service, e);
    if (code == 0 && service_port(run->service) > 0)
        fprintf(stderr, "page: http://%s\n", service_address(run->service));
    run->engine = code == 0 ? service_engine(run->service) : NULL;
    return code;
}

static int start_videos(Running *run, Error *e)
{
    const WatchStreams *const w = run->opt;
    const EngineOptions opt = {.workers = w->workers,
                               .nets = &run->nets,
                               .event = on_event,
                               .system = on_system,
                               .sample = on_sample,
                               .arg = run};
    Arena *const a = arena_new();
    int code = engine_new(&opt, &run->engine, e);
    for (int i = 0; i < w->nvideo && code == 0; i++) {
        const char *const url = w->video[i];
        const StreamSpec spec = {.name = url_shown(a, url),
                                 .url = url,
                                 .watch = w->watch,
                                 .offline = source_is_file(url),
                                 .all = run->output->record_path != NULL,
                                 .live.video.keyframes = w->keyframes,
                                 .live.video.isolate = w->isolate};
        code = engine_add(run->engine, &spec, e);
    }
    if (code == 0)
        engine_begin(run->engine);
    arena_free(a);
    return code;
}

/* What no disk took until the end. */
static void tell_unwritten(Running *run)
{
    const StoreCounts c = store_counts(service_store(run->service));
    if (c.waiting > 0)
        fprintf(stderr, "store: %lld spans, records and values could not be written: %s\n",
                (long long)c.waiting, c.error);
}

static void tell_undelivered(Running *run)
{
    /* what was not told yet */
    run->outbox.at = run->store.at = run->dropped.at = run->untold.at = 0;
    run->sinks_asked = time_now();                        /* each is told of below */
    tell_losses(run);
    if (service_store(run->service))
        tell_unwritten(run);
    const Service *const s = service_now(run->service);
    for (int i = 0; i < s->nsink; i++) {
        const SinkCounts c = sinks_counts(service_sinks(run->service), i);
        if (c.waiting > 0 || c.dead > 0)
            fprintf(stderr, "sink '%s': %lld records wait, %lld were given up%s%s\n",
                    s->sink[i].name, (long long)c.waiting, (long long)c.dead,
                    c.error[0] ? ": " : "", c.error);
    }
}

static bool all_good(const EngineStatus *s)
{
    for (int i = 0; i < s->nstream; i++)
        if (s->stream[i].state == LIVE_FAILED)
            return false;
    return true;
}

static void end(Running *run, bool *good)
{
    Arena *const a = arena_new();
    const EngineStatus last = engine_status(run->engine, a);
    *good = all_good(&last);
    if (run->service) {
        service_drain(run->service, DRAIN);
        tell_undelivered(run);
        service_stop(run->service, 0);
    } else {
        engine_free(run->engine); /* what is active ends now, and is printed */
    }
    status_lines_end(&run->status, &last);
    arena_free(a);
}

int watch_streams(const WatchStreams *w, WatchOutput *o, bool *good, Error *e)
{
    Running run = {.opt = w, .output = o, .status = status_lines_new(), .nets = w->nets};
    run.nets.progress = NULL; /* its place on the terminal is that of the lines of status */
    run.nets.slow = on_slow;
    run.nets.slow_arg = &run;
    o->before = before_line;
    o->arg = &run;
    o->names = true;
    o->watch = w->watch;
    o->keep = w->service != NULL;
    int code = output_open(o, e);
    if (code == 0)
        code = w->service ? start_service(&run, e) : start_videos(&run, e);
    if (code == 0) {
        look_after(&run);
        end(&run, good);
    } else {
        engine_free(run.service ? NULL : run.engine);
    }
    code = output_close(o, code, e);
    status_lines_free(&run.status);
    return code;
}
