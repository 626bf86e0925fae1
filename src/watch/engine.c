/* The engine: its list of streams, and what they share. */
#include "watch/engine.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/heap.h"
#include "base/parallel.h"
#include "watch/clip_plan.h"
#include "watch/engine_parts.h"
#include "watch/source.h"

#define TICK 100000 /* us between looks at the load */

struct Engine {
    Task tick;               /* first: workers know it by this */
    Arena *arena;
    EngineOptions opt;
    int nworker;
    Workers *workers;
    pthread_mutex_t control; /* adding, removing, editing: one at a time */
    pthread_mutex_t lock;    /* stream */
    Stream **stream;         /* in the order in which they were added */
    int nstream, room;
    Arena *models;           /* of the host */
    ObserveHost *host;
    Desk *desk;
    int added;               /* streams so far */
    pthread_mutex_t load;    /* governor, told */
    Governor governor;
    double told;             /* the factor of the last overload record */
};

/* ---- what streams ask ---- */

const EngineOptions *engine_options(const Engine *g) { return &g->opt; }

/* Under the lock of `load`. */
static void give_turns(Engine *g)
{
    for (GovernorShare *s; (s = governor_next(&g->governor)) != NULL;) {
        Stream *const of = (Stream *)((char *)s - offsetof(Stream, share));
        engine_wake(of, atomic_load(&of->deadline), 0);
    }
}

static void join(Engine *g, GovernorShare *share, int number)
{
    pthread_mutex_lock(&g->load);
    governor_join(&g->governor, share, number);
    pthread_mutex_unlock(&g->load);
}

static void leave(Engine *g, GovernorShare *share)
{
    pthread_mutex_lock(&g->load);
    governor_leave(&g->governor, share);
    give_turns(g);
    pthread_mutex_unlock(&g->load);
}

bool engine_ask(Engine *g, GovernorShare *share, double dear)
{
    pthread_mutex_lock(&g->load);
    bool out = governor_ask(&g->governor, share, dear);
    if (!out) {
        give_turns(g);
        out = share->open;
    }
    pthread_mutex_unlock(&g->load);
    return out;
}

void engine_withdraw(Engine *g, GovernorShare *share)
{
    pthread_mutex_lock(&g->load);
    governor_withdraw(&g->governor, share);
    pthread_mutex_unlock(&g->load);
}

void engine_close(Engine *g, GovernorShare *share, bool used)
{
    pthread_mutex_lock(&g->load);
    governor_close(&g->governor, share, used);
    give_turns(g);
    pthread_mutex_unlock(&g->load);
}

bool engine_overload(Engine *g)
{
    pthread_mutex_lock(&g->load);
    const bool out = g->governor.factor < 1;
    pthread_mutex_unlock(&g->load);
    return out;
}

void engine_report(Engine *g, bool late)
{
    pthread_mutex_lock(&g->load);
    governor_report(&g->governor, late);
    pthread_mutex_unlock(&g->load);
}

void engine_miss(Engine *g, GovernorShare *share)
{
    pthread_mutex_lock(&g->load);
    governor_miss(&g->governor, share);
    pthread_mutex_unlock(&g->load);
}

void engine_wake(Stream *s, int64_t deadline, int64_t ready)
{
    workers_submit(s->engine->workers, &s->task, deadline, ready);
}

ObserveHost *engine_host(Engine *g) { return g->host; }
Desk *engine_desk(Engine *g) { return g->desk; }

static void on_spotlight(void *arg, const DeskChange *d)
{
    const Engine *const g = arg;
    const SpotlightChange *const c = d->change;
    if (g->opt.system)
        g->opt.system(g->opt.arg, &(SystemRecord){.kind = SYSTEM_SPOTLIGHT,
                                                  .stream = c->stream ? c->stream : "",
                                                  .previous = c->previous,
                                                  .cause = spotlight_cause_text(c->cause),
                                                  .wall = d->wall,
                                                  .t = d->offline ? c->t : 0,
                                                  .value = c->score});
}

/* ---- load ---- */

/* Told where it begins, where it is over, and where it changed by half. */
static bool worth_telling(double factor, double told)
{
    return factor != told &&
           (factor == 1 || told == 1 || factor < told / 1.5 || factor > told * 1.5);
}

static void tick(Task *t, int worker)
{
    (void)worker;
    Engine *const g = (Engine *)t;
    const int64_t now = machine_now();
    pthread_mutex_lock(&g->load);
    governor_tick(&g->governor, now, workers_counts(g->workers).busy / g->nworker);
    give_turns(g);
    const double factor = g->governor.factor;
    const bool tell = worth_telling(factor, g->told);
    g->told = tell ? factor : g->told;
    pthread_mutex_unlock(&g->load);
    if (tell && g->opt.system)
        g->opt.system(g->opt.arg, &(SystemRecord){.kind = SYSTEM_OVERLOAD,
                                                  .stream = "",
                                                  .wall = wall_now(),
                                                  .value = factor});
    desk_tick(g->desk);
    workers_submit(g->workers, &g->tick, now + 2 * TICK, now + TICK);
}

/* ---- streams ---- */

/* From outside its task. A lock is not fair: a stream that has work without end would take it again
 * and again. */
static void lock_stream(Stream *s)
{
    atomic_fetch_add(&s->asked, 1);
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->asked, 1);
}

static void unlock_stream(Stream *s) { pthread_mutex_unlock(&s->lock); }

static void run_stream(Task *t, int worker)
{
    (void)worker;
    Stream *const s = (Stream *)t;
    if (atomic_load(&s->asked) > 0) {
        engine_wake(s, atomic_load(&s->deadline), machine_now() + 500);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (!s->gone && !s->over && !stream_held(s))
        stream_step(s);
    pthread_mutex_unlock(&s->lock);
}

static int find(const Engine *g, const char *name)
{
    for (int i = 0; i < g->nstream; i++)
        if (strcmp(g->stream[i]->spec.name, name) == 0)
            return i;
    return -1;
}

static void stream_free(Stream *s)
{
    leave(s->engine, &s->share);
    sound_close(s);
    arena_free(s->judging.arena);
    clip_stream_free(s->clips);
    pthread_mutex_destroy(&s->lock);
    arena_free(s->arena);
}

static void copy_spec(Stream *s, const StreamSpec *spec)
{
    s->spec = *spec;
    s->spec.name = arena_strdup(s->arena, spec->name);
    s->spec.url = arena_strdup(s->arena, spec->url);
    s->spec.latency = spec->latency ? spec->latency : 300000;
}

static int stream_new(Engine *g, const StreamSpec *spec, Stream **out, Error *e)
{
    Arena *const a = arena_new();
    Stream *const s = arena_new_of(a, Stream);
    s->task.run = run_stream;
    s->engine = g;
    s->arena = a;
    s->number = g->added++;
    join(g, &s->share, s->number);
    copy_spec(s, spec);
    s->run = source_is_file(spec->url) ? 0 : (uint64_t)wall_now();
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    int code = stream_judging(s, &s->spec, &s->judging, e);
    if (code == 0)
        code = stream_compete(s, s->spec.watch, e);
    if (code == 0) {
        s->clips = g->opt.clips
                       ? clip_stream_new(g->opt.clips, s->spec.name, s->spec.url,
                                         s->spec.live.video.isolate, s->spec.watch)
                       : NULL;
        lock_stream(s); /* packets may come before `live` is known here */
        code = stream_start(s, e);
        unlock_stream(s);
    }
    if (code != 0) {
        workers_cancel(g->workers, &s->task);
        stream_compete(s, NULL, NULL);
        stream_free(s);
    }
    return code;
}

static bool add_to_list(Engine *g, Stream *s)
{
    pthread_mutex_lock(&g->lock);
    if (g->nstream == g->room) {
        const int room = g->room ? 2 * g->room : 16;
        Stream **const more = heap_alloc((size_t)room * sizeof *more, 16);
        if (more) {
            if (g->nstream > 0)
                memcpy(more, g->stream, (size_t)g->nstream * sizeof *more);
            heap_free(g->stream);
            g->stream = more;
            g->room = room;
        }
    }
    const bool fits = g->nstream < g->room;
    if (fits)
        g->stream[g->nstream++] = s;
    pthread_mutex_unlock(&g->lock);
    return fits;
}

/* Of a stream that is in no list any more. */
static void end_stream(Engine *g, Stream *s)
{
    lock_stream(s);
    stream_end(s, "stopped");
    s->gone = true;
    unlock_stream(s);
    live_close(s->live); /* nothing wakes it afterwards */
    workers_cancel(g->workers, &s->task);
    stream_free(s);
}

static int add(Engine *g, const StreamSpec *spec, Error *e)
{
    Stream *s = NULL;
    if (find(g, spec->name) >= 0)
        return error_set(e, ERR_INVALID, "stream '%s': there is one of this name", spec->name);
    const int code = stream_new(g, spec, &s, e);
    if (code != 0)
        return code;
    if (!add_to_list(g, s)) {
        end_stream(g, s);
        return error_set(e, ERR_MEMORY, "stream '%s': no memory", spec->name);
    }
    return 0;
}

static int take_out(Engine *g, const char *name, Error *e)
{
    pthread_mutex_lock(&g->lock);
    const int at = find(g, name);
    Stream *const s = at >= 0 ? g->stream[at] : NULL;
    if (s) {
        g->nstream--;
        memmove(g->stream + at, g->stream + at + 1, (size_t)(g->nstream - at) * sizeof *g->stream);
    }
    pthread_mutex_unlock(&g->lock);
    if (!s)
        return error_set(e, ERR_INVALID, "stream '%s': there is none of this name", name);
    end_stream(g, s);
    return 0;
}

/* Does the source stay as it is? */
static bool same_source(const StreamSpec *a, const StreamSpec *b)
{
    const LiveOptions *const x = &a->live, *const y = &b->live;
    return strcmp(a->url, b->url) == 0 && a->offline == b->offline &&
           (a->watch->policy == SAMPLE_KEYFRAMES) == (b->watch->policy == SAMPLE_KEYFRAMES) &&
           x->video.open_timeout == y->video.open_timeout &&
           x->video.read_timeout == y->video.read_timeout &&
           x->video.keyframes == y->video.keyframes && x->video.threads == y->video.threads &&
           x->frame_timeout == y->frame_timeout && x->retry_min == y->retry_min &&
           x->retry_max == y->retry_max && x->max_bytes == y->max_bytes &&
           x->video.isolate == y->video.isolate;
}

/* Takes the place of `s`, as removed and added. */
static int begin_anew(Engine *g, Stream *s, const StreamSpec *spec, Error *e)
{
    lock_stream(s);
    const DeskSeat *const seat = s->seat; /* a worker may take it off where the stream ends */
    unlock_stream(s);
    int code = spec->watch->spotlight ? desk_check(g->desk, seat, spec->name, spec->offline, e) : 0;
    if (code == 0)
        code = take_out(g, spec->name, e);
    return code == 0 ? add(g, spec, e) : code;
}

static int edit(Engine *g, const StreamSpec *spec, Error *e)
{
    const int at = find(g, spec->name);
    if (at < 0)
        return error_set(e, ERR_INVALID, "stream '%s': there is none of this name", spec->name);
    Stream *const s = g->stream[at]; /* only `control` changes the list */
    Judging next = {0};
    /* also for who begins anew: what cannot be judged leaves all as it was */
    int code = stream_judging(s, spec, &next, e);
    if (code != 0)
        return code;
    const bool clips = s->clips && clip_plan_wanted(spec->watch) && !source_is_file(spec->url);
    /* its connection has none */
    const bool needs_sound = (judge_hears(next.judge) && !s->hears) || (clips && !s->sounds);
    if (!same_source(&s->spec, spec) || needs_sound) {
        arena_free(next.arena);
        return begin_anew(g, s, spec, e);
    }
    lock_stream(s);
    code = s->over ? 0 : stream_compete(s, spec->watch, e);
    if (code == 0)
        stream_change(s, spec, next);
    unlock_stream(s);
    if (code != 0)
        arena_free(next.arena);
    return code;
}

int engine_add(Engine *g, const StreamSpec *spec, Error *e)
{
    pthread_mutex_lock(&g->control);
    const int code = add(g, spec, e);
    pthread_mutex_unlock(&g->control);
    return code;
}

void engine_begin(Engine *g) { desk_begin(g->desk); }

int engine_remove(Engine *g, const char *name, Error *e)
{
    pthread_mutex_lock(&g->control);
    const int code = take_out(g, name, e);
    pthread_mutex_unlock(&g->control);
    return code;
}

int engine_edit(Engine *g, const StreamSpec *spec, Error *e)
{
    pthread_mutex_lock(&g->control);
    const int code = edit(g, spec, e);
    pthread_mutex_unlock(&g->control);
    return code;
}

/* ---- the whole ---- */

int engine_new(const EngineOptions *opt, Engine **out, Error *e)
{
    Arena *const a = arena_new();
    Engine *const g = arena_new_of(a, Engine);
    *g = (Engine){.tick.run = tick,
                  .arena = a,
                  .opt = *opt,
                  .nworker = opt->workers > 0 ? opt->workers : parallel_cpus(),
                  .governor = governor_new(machine_now()),
                  .told = 1};
    pthread_mutex_init(&g->control, NULL);
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->load, NULL);
    g->desk = desk_new(on_spotlight, g);
    const int code = workers_new(g->nworker, &g->workers, e);
    if (code != 0) {
        engine_free(g);
        return code;
    }
    g->models = arena_new();
    g->host = observe_host_new(g->models, opt->nets, g->workers);
    workers_submit(g->workers, &g->tick, machine_now() + TICK, 0);
    *out = g;
    return 0;
}

void engine_free(Engine *g)
{
    if (!g)
        return;
    desk_stop(g->desk);
    while (g->nstream > 0)
        end_stream(g, g->stream[--g->nstream]);
    arena_free(g->models); /* before the workers that run them */
    if (g->workers)
        workers_cancel(g->workers, &g->tick);
    workers_free(g->workers);
    desk_end(g->desk);
    heap_free(g->stream);
    pthread_mutex_destroy(&g->control);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->load);
    arena_free(g->arena);
}

EngineStatus engine_status(Engine *g, Arena *a)
{
    pthread_mutex_lock(&g->lock);
    StreamStatus *const out = arena_array_of(a, g->nstream + 1, StreamStatus);
    const int64_t now = machine_now();
    for (int i = 0; i < g->nstream; i++) {
        Stream *const s = g->stream[i];
        lock_stream(s);
        out[i] = stream_status(s, a, now);
        unlock_stream(s);
    }
    const int n = g->nstream;
    pthread_mutex_unlock(&g->lock);
    pthread_mutex_lock(&g->load);
    const EngineStatus status = {
        .nstream = n, .stream = out, .factor = g->governor.factor, .busy = g->governor.busy};
    pthread_mutex_unlock(&g->load);
    return status;
}

SpotlightStatus engine_spotlight(Engine *g, Arena *a) { return desk_status(g->desk, a); }

int engine_running(Engine *g)
{
    int n = 0;
    pthread_mutex_lock(&g->lock);
    for (int i = 0; i < g->nstream; i++) {
        lock_stream(g->stream[i]);
        n += !g->stream[i]->over;
        unlock_stream(g->stream[i]);
    }
    pthread_mutex_unlock(&g->lock);
    return n;
}
