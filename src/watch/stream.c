/* The loop over samples, with its clocks. */
#include "watch/stream.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "watch/sample_grid.h"
#include "watch/source.h"

#define SOUND_TIMEOUT 10000000 /* us; of files, too: they may be on a network */

static JudgeOptions judge_options(const StreamOptions *o, const char *name)
{
    return (JudgeOptions){.stream = name,
                          .watch = o->watch,
                          .all = o->record,
                          .sample = o->sample,
                          .event = o->event,
                          .arg = o->arg};
}

static void report(const Judge *j, const Watch *w, StreamReport *r)
{
    const JudgeTimes times = judge_times(j);
    r->samples = times.samples;
    r->look = times.look;
    r->rules = times.rules;
    r->events = judge_events(j);
    r->align = judge_align(j);
    r->nsignal = w->nsignal;
    for (int i = 0; i < r->nsignal; i++) {
        r->signal[i] = judge_signal(j, i);
        r->used[i] = judge_uses(j, i);
    }
    snprintf(r->error, sizeof r->error, "%.250s", judge_error(j));
}

/* The sound of the video, by a reader of its own: pictures may be far ahead of where a file has
 * it. */
typedef struct Sound {
    Source *source; /* NULL: nothing is to be heard */
    bool over;
    Error error;    /* why it is over before its end; "" */
} Sound;

static int open_sound(const Judge *j, const StreamOptions *opt, Sound *out, Error *e)
{
    const Signal *const s = judge_hears(j);
    if (!s)
        return 0;
    out->source = source_new(opt->url, &(SourceOptions){.open_timeout = SOUND_TIMEOUT,
                                                        .read_timeout = SOUND_TIMEOUT,
                                                        .sound = SOUND_NEEDED,
                                                        .alone = true});
    Error why;
    int code = source_connect(out->source, &why);
    if (code == 0 && !source_stored(out->source))
        code = error_set(&why, ERR_UNSUPPORTED, "sound of a live stream comes with its pictures");
    if (code != 0)
        error_set(e, code, "%s:%d:%d: signal '%s': %.700s", opt->watch->path, s->place.line,
                  s->place.column, s->name, why.message);
    return code;
}

/* One more packet for those who hear. */
static void read_sound(Judge *j, Sound *sound)
{
    Packet p;
    Error e = {0};
    const int code = source_read(sound->source, &p, &e);
    sound->over = code <= 0;
    if (code < 0)
        sound->error = e;
    if (sound->over)
        p = (Packet){.info = stream_info_ref(source_info(sound->source))};
    judge_sound(j, &p);
    packet_free(&p);
}

static void hear(Judge *j, Sound *sound, const VideoFrame *f)
{
    while (sound->source && !judge_listen(j, f) && !sound->over)
        read_sound(j, sound);
}

/* The closest grid that samples can be on: that of the highest rate, if those of the others are
 * parts of it. */
static double closest_grid(const Watch *w)
{
    double most = fmax(w->fps, w->max_fps);
    for (int i = 0; i < w->nevent; i++)
        most = fmax(most, w->event[i].recheck.fps);
    bool parts = fmod(most, w->fps) == 0 && fmod(most, w->max_fps) == 0;
    for (int i = 0; i < w->nevent; i++)
        parts = parts && (w->event[i].recheck.fps == 0 || fmod(most, w->event[i].recheck.fps) == 0);
    return parts ? 1e6 / most : 0;
}

static int run(Judge *j, const StreamOptions *opt, Sound *sound, Video *v, StreamReport *r,
               Error *e)
{
    int64_t wanted = 0;
    VideoFrame f;
    for (bool any = false;; any = true) {
        const double start = time_now();
        const int code = video_sample(v, wanted, &f, e);
        r->decode += time_now() - start;
        if (code == 0 && video_duration(v) > 0)
            r->missing = video_duration(v) - video_end(v);
        if (code == 0 && !any && !(opt->stop && *opt->stop))
            return error_set(e, ERR_INVALID, "%s: no frame in it", opt->url);
        if (code <= 0)
            return code;
        if ((opt->stop_at > 0 && f.t >= opt->stop_at) || (opt->stop && *opt->stop))
            return 0;
        r->media = f.t;
        const double heard = time_now();
        hear(j, sound, &f);
        r->hear += time_now() - heard;
        judge_frame(j, &f);
        wanted = grid_next(f.t, judge_step(j));
    }
}

int stream_run(ObserveHost *host, const StreamOptions *opt, StreamReport *out, Error *e)
{
    *out = (StreamReport){0};
    Arena *const a = arena_new();
    const JudgeOptions jopt = judge_options(opt, opt->name);
    VideoOptions video = opt->video;
    video.keyframes = video.keyframes || opt->watch->policy == SAMPLE_KEYFRAMES;
    video.grid = closest_grid(opt->watch);
    Judge *j = NULL;
    Video *v = NULL;
    Sound sound = {0};
    int code = judge_new(a, host, &jopt, &j, e);
    if (code == 0)
        code = open_sound(j, opt, &sound, e);
    if (code == 0)
        code = video_open(opt->url, &video, &v, e);
    if (code == 0)
        code = run(j, opt, &sound, v, out, e);
    if (v) {
        judge_stop(j);
        out->video = video_counts(v);
        report(j, opt->watch, out);
        if (out->error[0] == '\0')
            snprintf(out->error, sizeof out->error, "%.250s", sound.error.message);
    }
    video_close(v);
    source_close(sound.source);
    arena_free(a);
    return code;
}

/* ---- replay ---- */

typedef struct Replay {
    const StreamOptions *opt;
    const char *path;
    Arena *arena;
    const char *name; /* of the stream, by the first line */
    Judge *judge;
} Replay;

static int replay_line(Replay *r, int number, const char *line, size_t size, Error *e)
{
    Arena *const a = arena_new();
    Sample sample;
    Error why = {0};
    int code = sample_parse(a, r->opt->watch, line, size, &sample, &why);
    if (code == 0 && !r->judge) {
        r->name = arena_strdup(r->arena, sample.stream);
        const JudgeOptions opt = judge_options(r->opt, r->name);
        code = judge_new(r->arena, NULL, &opt, &r->judge, &why);
    }
    if (code == 0 && strcmp(sample.stream, r->name) != 0) /* events of two streams are two files' */
        code = error_set(&why, ERR_INVALID, "a sample of '%s' among those of '%s': a stream a file",
                         sample.stream, r->name);
    if (code == 0)
        judge_sample(r->judge, &sample);
    else
        error_set(e, code, "%s:%d: %s", r->path, number, why.message);
    arena_free(a);
    return code;
}

int stream_replay(const char *path, const StreamOptions *opt, StreamReport *out, Error *e)
{
    *out = (StreamReport){0};
    Replay r = {.opt = opt, .path = path, .arena = arena_new()};
    File f = {0};
    int code = file_map(r.arena, path, &f, e);
    const char *at = (const char *)f.at, *const end = at + f.size;
    for (int number = 1; code == 0 && at < end; number++) {
        const char *const newline = memchr(at, '\n', (size_t)(end - at));
        const size_t size = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (size > 0)
            code = replay_line(&r, number, at, size, e);
        at += size + (newline != NULL);
    }
    if (code == 0 && !r.judge)
        code = error_set(e, ERR_INVALID, "%s: no sample in it", path);
    if (code == 0)
        judge_stop(r.judge);
    if (r.judge)
        report(r.judge, opt->watch, out);
    arena_free(r.arena);
    return code;
}
