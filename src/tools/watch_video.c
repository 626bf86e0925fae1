/* The one stream, its score and its report. */
#include "tools/watch_video.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "tools/watch_clips.h"
#include "watch/score.h"

typedef struct VideoRun {
    WatchOutput *output;
    ScoreList found;
    ClipMoments moments;
} VideoRun;

static void on_event(void *arg, const EventRecord *r)
{
    VideoRun *const v = arg;
    score_add_record(&v->found, r);
    clip_moments_add(&v->moments, r);
    output_event(v->output, r);
}

static void on_sample(void *arg, const Sample *s, const Frame *f)
{
    (void)f;
    const VideoRun *const v = arg;
    output_sample(v->output, s);
}

/* ---- what is told of it ---- */

static void print_row(const ScoreRow *r)
{
    printf("%-20s %6d %6d %8d   %9.4f  %6.4f   %7.3f  %7.3f\n", r->event, r->truth, r->found,
           r->matched, score_precision(r), score_recall(r), r->start_error, r->max_start_error);
}

static void print_some(const char *what, const ScoreEvent *const *at, int n)
{
    for (int i = 0; i < n && i < 20; i++)
        printf("%s %9.3f s  %s%s%s%s%s\n", what, at[i]->start, at[i]->event, at[i]->key ? "  " : "",
               at[i]->key ? at[i]->key : "", at[i]->value ? "  " : "",
               at[i]->value ? at[i]->value : "");
    if (n > 20)
        printf("%s .. and %d more\n", what, n - 20);
}

static const char *names_of_events(Arena *a, const Watch *w)
{
    Str s = str_new(a);
    for (int i = 0; i < w->nevent; i++)
        str_addf(&s, "%s%s", i > 0 ? ", " : "", w->event[i].name);
    return str_text(&s);
}

/* The watch can tell what the truth speaks of. */
static int read_truth(ScoreList *truth, const WatchVideo *w, Error *e)
{
    int code = score_read(truth, w->expect, e);
    for (int i = 0; i < truth->event.len && code == 0; i++)
        if (watch_find_event(w->watch, truth->event.at[i].event) < 0)
            code = error_set(e, ERR_INVALID, "%s: the watch has no event '%s': it has %s",
                             w->expect, truth->event.at[i].event,
                             names_of_events(truth->arena, w->watch));
    return code;
}

/* True: all of the truth was found, and nothing else. */
static bool print_score(Arena *a, const WatchVideo *w, const ScoreList *truth,
                        const ScoreList *found)
{
    const Score s =
        score_events(a, truth, found, w->tolerance > 0 ? w->tolerance : 1 / w->watch->fps);
    printf("\n%-20s %6s %6s %8s   %9s  %6s   %7s  %7s\n", "event", "truth", "found", "matched",
           "precision", "recall", "start s", "most");
    for (int i = 0; i < s.nrow; i++)
        print_row(&s.row[i]);
    print_row(&s.all);
    print_some("missed  ", s.missed, s.nmissed);
    print_some("too much", s.extra, s.nextra);
    for (int i = 0; i < s.nother; i++)
        printf("not judged  %s (%d found): the truth has no event of this name\n",
               s.other[i].event, s.other[i].found);
    return s.nmissed == 0 && s.nextra == 0;
}

static void print_report(const Watch *w, const StreamReport *r, double wall)
{
    fprintf(stderr,
            "watched %.1f s in %.2f s (%.0f times real time): %lld samples; reading and decoding "
            "%.2f s, signals %.2f s, rules %.3f s\n",
            (double)r->media * 1e-6, wall, (double)r->media * 1e-6 / wall, (long long)r->samples,
            r->decode, r->look, r->rules);
    for (int i = 0; i < r->nsignal; i++) {
        const SignalCounts *const c = &r->signal[i];
        fprintf(stderr,
                "  %-20s %6lld looked at, %lld reused, %lld unknown, %lld errors, %.3f ms each\n",
                w->signal[i].name, (long long)c->seen, (long long)c->reused, (long long)c->unknown,
                (long long)c->errors, c->seen > 0 ? c->seconds * 1e3 / (double)c->seen : 0);
    }
    if (r->video.errors > 0)
        fprintf(stderr, "  %lld packets could not be decoded\n", (long long)r->video.errors);
    if (r->error[0] != '\0')
        fprintf(stderr, "  first error of a signal: %s\n", r->error);
}

static void print_warnings(const Watch *w, const StreamReport *r)
{
    if (r->events.late > 0)
        fprintf(stderr,
                "  warning: %lld samples were passed over: their time is before that of the one "
                "before\n",
                (long long)r->events.late);
    for (int i = 0; i < r->nsignal; i++)
        if (r->used[i] && r->signal[i].seen + r->signal[i].reused == 0)
            fprintf(stderr, "  warning: no sample has the signal '%s', which rules use\n",
                    w->signal[i].name);
    if (r->align.lost > 0)
        fprintf(stderr,
                "  warning: the anchors of 'align' were not to be found in %lld of %lld samples: "
                "all is unknown in these\n",
                (long long)r->align.lost, (long long)r->align.looks);
    if (r->missing > 1000000)
        fprintf(
            stderr,
            "  warning: the video ended %.1f s before its head says: it is cut off or damaged\n",
            (double)r->missing * 1e-6);
}

/* ---- the run ---- */

static void on_slow(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static int run(const WatchVideo *w, const StreamOptions *opt, StreamReport *report, Error *e)
{
    if (w->replay)
        return stream_replay(w->replay, opt, report, e);
    NetHost nets = w->nets;
    nets.slow = on_slow;
    int code = pool_new(nets.threads, &nets.pool, e);
    Arena *const models = arena_new();
    if (code == 0)
        code = stream_run(observe_host_new(models, &nets, NULL), opt, report, e);
    arena_free(models); /* before the pool that they run on */
    pool_free(nets.pool);
    return code;
}

int watch_video(const WatchVideo *w, WatchOutput *o, bool *good, Error *e)
{
    Arena *const a = arena_new();
    VideoRun v = {.output = o, .found = score_list(a), .moments.arena = a};
    ScoreList truth = score_list(a);
    const StreamOptions opt = {
        .name = w->video,
        .url = w->video,
        .watch = w->watch,
        .video.keyframes = w->keyframes,
        .video.isolate = w->isolate,
        .event = on_event,
        .sample = on_sample,
        .arg = &v,
        .record = o->record_path != NULL,
        .stop_at = llrint(1e6 * w->seconds),
        .stop = w->stop,
    };
    StreamReport report = {0};
    const double start = time_now();
    o->watch = w->watch;
    int code = w->expect ? read_truth(&truth, w, e) : 0;
    if (code == 0)
        code = output_open(o, e);
    if (code == 0)
        code = run(w, &opt, &report, e);
    code = output_close(o, code, e);
    if (!w->replay && report.samples > 0)
        print_report(w->watch, &report, time_now() - start);
    if (report.samples > 0)
        print_warnings(w->watch, &report);
    bool perfect = true;
    if (code == 0 && (w->clips || w->reel))
        code = watch_clips(&(WatchClips){w->video, w->clips, w->reel, w->top, w->isolate},
                           &v.moments, e);
    if (code == 0 && w->expect)
        perfect = print_score(a, w, &truth, &v.found);
    *good = perfect || !w->test;
    arena_free(a);
    return code;
}
