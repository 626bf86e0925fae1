/* The loop over samples, with its clocks. */
#include "watch/stream.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "watch/rule.h"

typedef struct Stream {
    const StreamOptions *opt;
    StreamReport *report;
    Arena *arena;
    Observer *observer;
    const char *name;
    Events *events;
    Observation *observation;
    bool *need;
    int epoch;
} Stream;

/* Signals that some rule uses; all of them for a recording. */
static void find_used(Stream *s)
{
    const Watch *const w = s->opt->watch;
    for (int i = 0; i < w->nevent; i++) {
        const EventRule *const r = &w->event[i];
        rule_needs(r->when, w, s->need);
        if (r->within)
            rule_needs(r->within, w, s->need);
        for (int k = 0; k < r->ndata; k++)
            rule_needs(r->data[k], w, s->need);
    }
    for (int i = 0; i < w->nsignal; i++)
        if (s->need[i] && w->signal[i].kind == SIGNAL_TEXT && w->signal[i].text.guard.reset_on)
            rule_needs(w->signal[i].text.guard.reset_on, w, s->need);
    for (int i = 0; i < w->nsignal; i++) {
        s->report->used[i] = s->need[i];
        s->need[i] = s->need[i] || s->opt->record;
    }
}

static int open_stream(Stream *s, ObserveHost *host, Error *e)
{
    const Watch *const w = s->opt->watch;
    s->arena = arena_new();
    s->observation = arena_array_of(s->arena, w->nsignal + 1, Observation);
    s->need = arena_array_of(s->arena, w->nsignal + 1, bool);
    find_used(s);
    return host ? observer_new(s->arena, host, w, &s->observer, e) : 0;
}

static void begin_events(Stream *s, const char *name)
{
    s->name = arena_strdup(s->arena, name);
    s->events = events_new(s->arena, s->opt->watch, name, s->opt->event, s->opt->arg);
}

static void close_stream(Stream *s)
{
    StreamReport *const r = s->report;
    r->events = s->events ? events_counts(s->events) : (EventCounts){0};
    r->nsignal = s->opt->watch->nsignal;
    for (int i = 0; i < r->nsignal && s->observer; i++) {
        r->signal[i] = observer_counts(s->observer, i);
        if (r->error[0] == '\0')
            snprintf(r->error, sizeof r->error, "%s", observer_error(s->observer, i));
    }
    arena_free(s->arena);
}

static void judge(Stream *s, const Sample *sample)
{
    if (s->opt->sample)
        s->opt->sample(s->opt->arg, sample);
    const double start = time_now();
    events_sample(s->events, sample);
    s->report->rules += time_now() - start;
    s->report->samples++;
}

static void look(Stream *s, const VideoFrame *f)
{
    const double start = time_now();
    if (f->epoch != s->epoch)
        observer_reset(s->observer);
    s->epoch = f->epoch;
    observer_look(s->observer, &f->picture, f->t, s->need, s->observation);
    s->report->look += time_now() - start;
    judge(s, &(Sample){.stream = s->opt->name, .epoch = f->epoch, .t = f->t, .frame = f->number, .wall = f->wall,
                       .clock = f->clock, .at = s->observation});
}

/* The next point of the grid of `rate` samples a second. Half a microsecond is nothing: 1/3 s has no exact grid. */
static int64_t next_wanted(int64_t t, double rate)
{
    const double step = 1e6 / rate;
    return llrint(step * (floor((double)t / step + 1e-6) + 1));
}

static int run(Stream *s, Video *v, Error *e)
{
    int64_t wanted = 0;
    VideoFrame f;
    for (;;) {
        const double start = time_now();
        const int code = video_sample(v, wanted, &f, e);
        s->report->decode += time_now() - start;
        if (code == 0 && video_duration(v) > 0)
            s->report->missing = video_duration(v) - video_end(v);
        if (code <= 0)
            return code;
        if ((s->opt->stop_at > 0 && f.t >= s->opt->stop_at) || (s->opt->stop && *s->opt->stop))
            return 0;
        s->report->media = f.t;
        look(s, &f);
        wanted = next_wanted(f.t, events_rate(s->events));
    }
}

int stream_run(ObserveHost *host, const StreamOptions *opt, StreamReport *out, Error *e)
{
    *out = (StreamReport){0};
    Stream s = {.opt = opt, .report = out};
    Video *v = NULL;
    VideoOptions video = opt->video;
    video.keyframes = video.keyframes || opt->watch->policy == SAMPLE_KEYFRAMES;
    int code = open_stream(&s, host, e);
    begin_events(&s, opt->name);
    if (code == 0)
        code = video_open(opt->url, &video, &v, e);
    if (code == 0)
        code = run(&s, v, e);
    if (v) {
        events_stop(s.events);
        out->video = video_counts(v);
    }
    video_close(v);
    close_stream(&s);
    return code;
}

/* ---- replay ---- */

static int replay_line(Stream *s, const char *path, int number, const char *line, size_t size, Error *e)
{
    Arena *const a = arena_new();
    Sample sample;
    Error why = {0};
    int code = sample_parse(a, s->opt->watch, line, size, &sample, &why);
    if (code == 0 && !s->events)
        begin_events(s, sample.stream);
    if (code == 0 && strcmp(sample.stream, s->name) != 0) /* events of two streams are two files' */
        code = error_set(&why, ERR_INVALID, "a sample of '%s' among those of '%s': a stream a file", sample.stream, s->name);
    for (int i = 0; i < s->opt->watch->nsignal && code == 0; i++)
        s->report->signal[i].seen += sample.at[i].state != OBSERVE_SKIPPED;
    if (code == 0)
        judge(s, &sample);
    else
        error_set(e, code, "%s:%d: %s", path, number, why.message);
    arena_free(a);
    return code;
}

int stream_replay(const char *path, const StreamOptions *opt, StreamReport *out, Error *e)
{
    *out = (StreamReport){0};
    Stream s = {.opt = opt, .report = out};
    int code = open_stream(&s, NULL, e);
    File f = {0};
    if (code == 0)
        code = file_map(s.arena, path, &f, e);
    const char *at = (const char *)f.at, *const end = at + f.size;
    for (int number = 1; code == 0 && at < end; number++) {
        const char *const newline = memchr(at, '\n', (size_t)(end - at));
        const size_t size = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (size > 0)
            code = replay_line(&s, path, number, at, size, e);
        at += size + (newline != NULL);
    }
    if (code == 0 && !s.events)
        code = error_set(e, ERR_INVALID, "%s: no sample in it", path);
    if (code == 0)
        events_stop(s.events);
    close_stream(&s);
    return code;
}
