/* One stream of an engine: decode a little, or judge a sample, or wait. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "watch/engine_parts.h"

#define AHEAD 1000000   /* us: decoding begins so long before a frame is wanted */
#define DOWN_TICK 250000 /* us */
#define HELD_TICK 50000  /* us */
#define BUSY_TICK 2000   /* us after which it is looked again whether a process has decoded */
/* samples that decoding for a step costs, and as much again so that the cheap ones are preferred */
#define DEAR 1.0
#define MOST_DEAR 4.0   /* who has few keyframes has samples, too */

/* ---- of late ---- */

void recent_add(Recent *r, int64_t now, int64_t latency)
{
    r->at[r->n % RECENT] = now;
    r->latency[r->n % RECENT] = latency;
    r->n++;
}

static int recent_count(const Recent *r) { return r->n < RECENT ? r->n : RECENT; }

double recent_rate(const Recent *r, int64_t now)
{
    const int64_t span = 10000000;
    int64_t oldest = now;
    int n = 0;
    for (int i = 0; i < recent_count(r); i++) {
        if (now - r->at[i] > span)
            continue;
        n++;
        oldest = r->at[i] < oldest ? r->at[i] : oldest;
    }
    return n > 1 ? 1e6 * (n - 1) / (double)(now - oldest > 0 ? now - oldest : 1) : 0;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double recent_latency(const Recent *r, double share)
{
    int64_t v[RECENT];
    const int n = recent_count(r);
    memcpy(v, r->latency, (size_t)n * sizeof *v);
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n > 0 ? 1e-6 * (double)v[(int)(share * (n - 1) + 0.5)] : 0;
}

/* ---- what is told ---- */

void stream_tell(Stream *s, SystemKind kind, const char *cause, double value)
{
    const EngineOptions *const o = engine_options(s->engine);
    if (o->system)
        o->system(o->arg, &(SystemRecord){.kind = kind,
                                          .stream = s->spec.name,
                                          .cause = cause,
                                          .wall = wall_now(),
                                          .value = value});
}

static void on_event(void *arg, const EventRecord *r)
{
    Stream *const s = arg;
    const EngineOptions *const o = engine_options(s->engine);
    EventRecord shown = *r;
    shown.clip = clip_stream_record(s->clips, r);
    s->events += r->kind != RECORD_END;
    if (o->event)
        o->event(o->arg, &shown, machine_now() - s->grid.arrival);
    s->held = s->held || (o->behind && o->behind(o->arg));
}

static void on_sample(void *arg, const Sample *sample, const Frame *f)
{
    const Stream *const s = arg;
    const EngineOptions *const o = engine_options(s->engine);
    o->sample(o->arg, s->spec.name, sample, f);
}

static void on_judged(void *arg, const Sample *sample, const Reading *reading, const Frame *f)
{
    const Stream *const s = arg;
    const EngineOptions *const o = engine_options(s->engine);
    o->judged(o->arg, s->spec.watch, sample, reading, f);
}

int stream_judging(Stream *s, const StreamSpec *spec, Judging *out, Error *e)
{
    out->arena = arena_new();
    const JudgeOptions opt = {.stream = s->spec.name,
                              .watch = spec->watch,
                              .all = spec->all,
                              .run = s->run,
                              .event = on_event,
                              .evidence = engine_options(s->engine)->evidence,
                              .sample = engine_options(s->engine)->sample ? on_sample : NULL,
                              .judged = engine_options(s->engine)->judged ? on_judged : NULL,
                              .arg = s};
    const int code = judge_new(out->arena, engine_host(s->engine), &opt, &out->judge, e);
    if (code != 0) {
        arena_free(out->arena);
        *out = (Judging){0};
    }
    return code;
}

int stream_compete(Stream *s, const Watch *w, Error *e)
{
    Desk *const desk = engine_desk(s->engine);
    const SpotlightRule *const rule = w ? w->spotlight : NULL;
    if (s->seat && rule) {
        desk_rules(desk, s->seat, &rule->by);
    } else if (s->seat) {
        desk_leave(desk, s->seat);
        s->seat = NULL;
    } else if (rule) {
        return desk_join(desk, s->spec.name, &rule->by, s->spec.offline, &s->seat, e);
    }
    return 0;
}

/* Connections that came and went, also between two looks: a short file may be over at the first. */
static void tell_state(Stream *s)
{
    LiveCause cause;
    const LiveState state = live_state(s->live, &cause);
    const LiveCounts counts = live_counts(s->live);
    const bool anew = counts.connections > s->connections;
    if (s->seen_up &&
        (state == LIVE_DOWN || state == LIVE_CONNECTING || (anew && state == LIVE_UP))) {
        stream_tell(s, SYSTEM_DOWN, live_cause_text(cause), 0);
        s->seen_up = false;
    }
    if (!s->seen_up && (state == LIVE_UP || (state == LIVE_ENDED && anew))) {
        stream_tell(s, SYSTEM_UP, NULL, 0);
        s->seen_up = true;
    }
    if (state != LIVE_CONNECTING) /* one that gave nothing yet may be over at the next look */
        s->connections = counts.connections;
}

/* Anchors that are lost, or found (again). */
static void tell_align(Stream *s)
{
    const AlignCounts c = judge_align(s->judging.judge);
    const enum AlignTold now = judge_lost(s->judging.judge) ? ALIGN_TOLD_LOST : ALIGN_TOLD_FOUND;
    if (c.looks == 0 || s->align == now)
        return;
    s->align = now;
    stream_tell(s, now == ALIGN_TOLD_LOST ? SYSTEM_ALIGN_LOST : SYSTEM_ALIGN_FOUND, NULL, c.scale);
}

/* ---- samples ---- */

static double step_of(const Stream *s) { return judge_step(s->judging.judge); }

/* Else each sample is judged, however late; and its lateness is no sign of overload. */
static bool may_be_late(const Stream *s)
{
    return !s->spec.offline && s->spec.watch->policy != SAMPLE_EVERY;
}

static FramesMissed missed(Stream *s)
{
    const LiveCounts c = live_counts(s->live);
    const FramesMissed m = {
        .waited = s->spec.offline || s->idle >= grid_expected(&s->grid) + llrint(step_of(s) / 2),
        .lost = c.full > s->full || c.video.errors > s->errors,
    };
    s->full = c.full;
    s->errors = c.video.errors;
    return m;
}

/* What was granted is over. */
static void close_grant(Stream *s, bool used)
{
    s->granted = false;
    engine_close(s->engine, &s->share, used);
}

static void finish(Stream *s, SampleFate fate, bool late)
{
    if (may_be_late(s))
        engine_report(s->engine, late);
    close_grant(s, fate == SAMPLE_JUDGED);
    grid_done(&s->grid, fate, step_of(s));
}

static void finish_look(Stream *s)
{
    s->looking = false;
    const bool in_time = judge_end(s->judging.judge);
    tell_align(s);
    const int64_t end = machine_now(), latency = end - s->frame.arrival, cost = end - s->began;
    /* what waiting is in it is not to be counted on */
    s->cost += (cost - s->cost) / (cost < s->cost ? 2 : 16);
    if (in_time)
        recent_add(&s->recent, end, latency);
    if (in_time && s->seat) {
        const SpotlightVerdict v = judge_spotlight(s->judging.judge);
        desk_see(engine_desk(s->engine), s->seat, s->frame.frame.epoch, s->frame.frame.t, &v);
        s->held = s->held || desk_ahead(s->seat);
    }
    finish(s, in_time ? SAMPLE_JUDGED : SAMPLE_LATE, !in_time || latency > s->spec.latency);
}

/* From whoever ran the model. */
static void on_answer(void *arg)
{
    Stream *const s = arg;
    atomic_store(&s->answered, true);
    engine_wake(s, atomic_load(&s->deadline), 0);
}

static void begin_look(Stream *s)
{
    s->began = machine_now();
    s->looking = true;
    atomic_store(&s->answered, false);
    judge_left_out(s->judging.judge, s->grid.left_out);
    const ObserverAsk ask = {.arrival = s->frame.arrival,
                             .source = s->number,
                             .ready = on_answer,
                             .arg = s,
                             .deadline =
                                 may_be_late(s) ? s->frame.arrival + s->spec.latency : INT64_MAX};
    if (judge_begin(s->judging.judge, &s->frame.frame, &ask))
        finish_look(s);
}

/* Looks once all was heard that belongs to the frame, or time is up. */
static void listen(Stream *s)
{
    if (s->listening)
        sound_listen(s);
    if (!s->listening)
        begin_look(s);
}

static void take(Stream *s, const LiveFrame *f)
{
    const FramesMissed m = missed(s);
    const bool next_epoch = s->grid.begun && f->frame.epoch != s->grid.epoch;
    const int64_t busy = grid_frame(&s->grid, &f->frame, f->arrival, &m, step_of(s));
    for (int64_t i = 0; i < busy && may_be_late(s); i++)
        engine_miss(s->engine, &s->share);
    if (next_epoch)
        stream_tell(s, SYSTEM_EPOCH, NULL, f->frame.epoch);
    s->silent = false;
    s->frame = *f;
    clip_stream_frame(s->clips, f);
    if (may_be_late(s) && machine_now() + s->cost > f->arrival + s->spec.latency) {
        s->cost -= s->cost / 8; /* else one slow sample would forbid all that follow */
        finish(s, SAMPLE_LATE, true);
        return;
    }
    sound_expect(s);
    listen(s);
}

/* ---- silence ---- */

/* Nothing came though it should have: what waits for time to pass is told in time, and what comes
 * from then before is too late. (Where all that comes would be, as the other side goes on where it
 * had stopped, it is a new epoch.) A stream that takes each frame in turn waits for them as long as
 * the connection stands. */
static void check_silence(Stream *s, int64_t now)
{
    const bool up = live_state(s->live, NULL) == LIVE_UP;
    if (!s->grid.begun || s->spec.offline || (up && s->spec.watch->policy == SAMPLE_EVERY))
        return;
    if (now <= s->left_out + s->spec.watch->gap + s->spec.latency)
        return; /* frames come, and are not looked at */
    const int64_t t = s->grid.t + (now - s->grid.arrival) - s->spec.latency;
    const int64_t usual = s->grid.keyframes ? s->grid.spacing : 0;
    if (t <= s->grid.point || t <= s->grid.t + usual + s->spec.watch->gap)
        return;
    if (!s->silent && up)
        stream_tell(s, SYSTEM_GAP, NULL, 1e-6 * (double)(t - s->grid.t));
    s->silent = true;
    close_grant(s, false);
    judge_quiet(s->judging.judge, t);
    grid_quiet(&s->grid, t, step_of(s));
    if (live_lags(s->live, t - s->spec.watch->gap, s->grid.arrival))
        live_anew(s->live);
}

/* Until a packet comes (notify), its turn, or it is time to see how silent it is. */
static void wait_for_more(Stream *s, int64_t now, bool due, int64_t deadline)
{
    bool stuck;
    if (!due) /* else its turn has not come */
        s->idle = now;
    if (sound_take(s, &stuck))
        engine_wake(s, deadline, 0);
    check_silence(s, now);
    if (s->spec.offline || !s->grid.begun)
        return;
    int64_t look = grid_expected(&s->grid) + s->spec.latency;
    const int64_t gap = s->grid.arrival + s->spec.watch->gap + s->spec.latency;
    look = look > gap ? look : gap;
    look = look > now + DOWN_TICK ? look : now + DOWN_TICK;
    engine_wake(s, deadline, look);
}

/* ---- steps ---- */

/* By when what is awaited has to be done. A stream that runs late competes as if it had just begun:
 * it has its share. */
static int64_t deadline_of(const Stream *s, int64_t now, bool due, int64_t arrival)
{
    if (s->spec.offline)
        return INT64_MAX / 2; /* after all that has a deadline */
    const int64_t at = (due             ? arrival
                        : s->grid.begun ? grid_expected(&s->grid)
                                        : now) +
                       s->spec.latency;
    return at > now ? at : now + s->spec.latency;
}

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What reaching the next point takes, where not all points are. */
typedef struct Way {
    bool key;        /* a keyframe, at `start`, stands for it: it has just come */
    bool due;        /* its frame has come */
    int64_t start;
    int64_t arrival; /* of what has come */
    double dear;     /* governor_ask */
} Way;

/* Half of its latency: the other is for decoding and looking. */
static int64_t patience(const Stream *s) { return s->spec.latency / 2; }

/* The longer the way from the last frame that was decoded, or from the last keyframe, the dearer is
 * a point. A keyframe less than a step before it stands for it, from there on all would have to be
 * decoded; or behind it, as long as it is not left out. */
static Way way_to(const Stream *s, int64_t now, double step)
{
    Way w = {0};
    const int64_t point = s->grid.point;
    w.due = live_due(s->live, point, &w.arrival);
    if (s->grid.keyframes)
        return w;
    const LiveStart from = live_start(s->live, point + (int64_t)step - 1);
    /* what has come since is decoded, too */
    const int64_t behind = from.key ? now - from.arrival : 0;
    w.start = from.t;
    w.key = from.key && (double)(point - from.t) < step && behind < patience(s);
    w.arrival = w.key ? from.arrival : w.arrival;
    w.dear =
        w.key ? 0 : fmin(DEAR * fmax((double)(point - from.t), (double)behind) / step, MOST_DEAR);
    return w;
}

/* In overload, granted: it stays so as long as it can be in time. */
static bool keep_grant(Stream *s, int64_t now, double step)
{
    if (s->asked_for == 0) {
        s->granted = false;
        return false;
    }
    if (now + s->cost <= s->asked_for + s->spec.latency)
        return true;
    s->cost -= s->cost / 8;
    engine_report(s->engine, true);
    close_grant(s, false);
    s->left_out = now;
    grid_skip(&s->grid, SAMPLE_LATE, step);
    return false;
}

/* Overload: a point is asked for once it is known what it takes, and left out if its turn does not
 * come soon. True: there is no more to decide. */
static bool ask(Stream *s, int64_t now, double step)
{
    const Way w = way_to(s, now, step);
    if (!w.key && !w.due) {
        engine_withdraw(s->engine, &s->share);
        return true;
    }
    /* No packet of this epoch has come from then: it is the next epoch that is due, at whatever
     * point. */
    const bool next = !w.key && grid_expected(&s->grid) - now >= AHEAD;
    s->granted = next || engine_ask(s->engine, &s->share, w.dear);
    s->asked_for = next ? now : w.arrival;
    s->exact = w.key;
    if (s->granted && w.key)
        grid_pull(&s->grid, w.start);
    if (s->granted || now < w.arrival + patience(s))
        return true;
    s->left_out = now;
    engine_close(s->engine, &s->share, false);
    grid_skip(&s->grid, SAMPLE_RATE, step);
    live_skip(s->live, s->grid.point);
    return false;
}

/* Decides whether the next point is left out; who is not in overload does not look where decoding
 * begins. */
static void leave_out(Stream *s, int64_t now)
{
    if (!s->grid.begun || !may_be_late(s))
        return;
    const double step = step_of(s);
    while (engine_overload(s->engine)) {
        if (s->granted ? keep_grant(s, now, step) : ask(s, now, step))
            return;
    }
    if (s->granted || grid_expected(&s->grid) - now >= AHEAD)
        return;
    s->granted = true;
    s->exact = false;
    s->asked_for = 0;
}

/* Decodes a little, towards the next sample. */
static void fetch(Stream *s, double start)
{
    const int64_t now = machine_now();
    tell_state(s);
    leave_out(s, now);
    int64_t arrival = now;
    const bool due = live_due(s->live, s->grid.point, &arrival);
    const int64_t deadline = deadline_of(s, now, due, arrival);
    atomic_store(&s->deadline, deadline);
    LiveFrame f;
    LiveResult r = LIVE_NOTHING;
    /* Frames long before the next one that is wanted may not be needed: a keyframe may come
     * between. */
    const bool sure = s->granted || !may_be_late(s);
    if (s->spec.offline || !s->grid.begun ||
        (sure && (due || grid_expected(&s->grid) - now < AHEAD)))
        r = live_frame(s->live, s->grid.point, may_be_late(s) && !s->exact, &f);
    s->decode += thread_seconds() - start;
    switch (r) {
    case LIVE_NOTHING: wait_for_more(s, now, due, deadline); break;
    case LIVE_MORE: engine_wake(s, deadline, 0); break;
    case LIVE_BUSY: engine_wake(s, deadline, now + BUSY_TICK); break;
    case LIVE_FRAME: take(s, &f); break;
    case LIVE_OVER: {
        Arena *const tmp = arena_new();
        const char *const error = live_error(s->live, tmp);
        stream_end(s, error[0] != '\0' ? error : "ended");
        arena_free(tmp);
    } break;
    }
    if (r == LIVE_FRAME && !s->looking && !s->listening)
        engine_wake(s, deadline, 0);
}

bool stream_held(Stream *s)
{
    const EngineOptions *const o = engine_options(s->engine);
    s->held = s->held && ((o->behind && o->behind(o->arg)) || (s->seat && desk_ahead(s->seat)));
    if (s->held)
        engine_wake(s, atomic_load(&s->deadline), machine_now() + HELD_TICK);
    return s->held;
}

void stream_step(Stream *s)
{
    const double start = thread_seconds();
    if (s->listening) {
        listen(s);
        if (!s->listening && !s->looking)
            engine_wake(s, atomic_load(&s->deadline), 0);
    } else if (!s->looking) {
        fetch(s, start);
    } else if (atomic_exchange(&s->answered, false) && judge_advance(s->judging.judge)) {
        finish_look(s);
        engine_wake(s, atomic_load(&s->deadline), 0);
    }
    s->cpu += thread_seconds() - start;
}

/* The sample that is under way is looked at anew. */
void stream_change(Stream *s, const StreamSpec *spec, Judging next)
{
    judge_cancel(s->judging.judge);
    judge_stop(s->judging.judge);
    clip_stream_watch(s->clips, spec->watch);
    s->models += judge_times(s->judging.judge).models;
    s->unheard += judge_unheard(s->judging.judge);
    arena_free(s->judging.arena);
    s->judging = next;
    s->spec.watch = spec->watch;
    s->align = ALIGN_UNTOLD;
    s->spec.latency = spec->latency;
    s->spec.all = spec->all;
    sound_change(s);
    if (s->looking)
        begin_look(s);
    if (!s->looking)
        engine_wake(s, atomic_load(&s->deadline), 0);
}

void stream_end(Stream *s, const char *cause)
{
    if (s->over)
        return;
    s->over = true;
    close_grant(s, false);
    judge_cancel(s->judging.judge);
    s->looking = s->listening = false;
    judge_stop(s->judging.judge);
    clip_stream_end(s->clips);
    stream_compete(s, NULL, NULL);
    stream_tell(s, SYSTEM_END, cause, 0);
}

static void on_packet(void *arg)
{
    Stream *const s = arg;
    engine_wake(s, atomic_load(&s->deadline), 0);
}

static void keep_packet(void *arg, const Packet *p)
{
    const Stream *const s = arg;
    clip_stream_packet(s->clips, p);
}

int stream_start(Stream *s, Error *e)
{
    LiveOptions live = s->spec.live;
    live.notify = on_packet;
    live.packet = s->clips ? keep_packet : NULL;
    live.arg = s;
    live.paced = !s->spec.offline;
    live.video.keyframes = live.video.keyframes || s->spec.watch->policy == SAMPLE_KEYFRAMES;
    s->grid.keyframes = live.video.keyframes;
    s->grid.live = live.paced;
    sound_options(s, &live);
    s->hears = live.hear;
    if (live.video.sound == SOUND_NOT && clip_stream_keeps(s->clips))
        live.video.sound = SOUND_WANTED;
    s->sounds = live.video.sound != SOUND_NOT;
    return live_open(s->spec.url, &live, &s->live, e);
}

StreamStatus stream_status(const Stream *s, Arena *a, int64_t now)
{
    const SampleGrid *const g = &s->grid;
    StreamStatus out = {
        .name = arena_strdup(a, s->spec.name),
        .live = live_counts(s->live),
        .wanted = g->wanted,
        .judged = g->count[SAMPLE_JUDGED],
        .busy = g->count[SAMPLE_BUSY],
        .late = g->count[SAMPLE_LATE],
        .rate = g->count[SAMPLE_RATE],
        .lost = g->count[SAMPLE_LOST],
        .events = s->events,
        .fps = recent_rate(&s->recent, now),
        .latency_p50 = recent_latency(&s->recent, 0.5),
        .latency_p95 = recent_latency(&s->recent, 0.95),
        .cpu = s->cpu + s->models + judge_times(s->judging.judge).models +
               live_counts(s->live).isolated,
        .decode = s->decode + live_counts(s->live).isolated,
        .epoch = g->epoch,
        .t = g->t,
    };
    out.live.unheard += s->unheard + judge_unheard(s->judging.judge);
    out.state = live_state(s->live, &out.cause);
    const char *error = judge_error(s->judging.judge);
    error = error[0] == '\0' && s->sound.mute && judge_hears(s->judging.judge) ? "it has no sound"
                                                                               : error;
    snprintf(out.error, sizeof out.error, "%s", error[0] != '\0' ? error : live_error(s->live, a));
    return out;
}
