/* lathe watch: a video through a watch; what happens in it, line by line. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "tools/tool.h"
#include "watch/config.h"
#include "watch/score.h"
#include "watch/stream.h"

const char help_watch[] =
    "lathe watch [WATCH.yaml] VIDEO [options]\n"
    "lathe watch test WATCH.yaml VIDEO --expect EVENTS.jsonl [options]\n"
    "lathe watch WATCH.yaml --replay SAMPLES.jsonl [options]\n"
    "\n"
    "Watches a video and prints the events of its watch as they come: text, icons, screens, motion, and rules\n"
    "over them (doc/watch.md). Without a watch it tells which lines of text appear, and motion.\n"
    "\n"
    "    --events FILE    writes the events' records, a line of JSON each\n"
    "    --json           prints these instead of short lines\n"
    "    --record FILE    writes what was seen, a line of JSON a sample: all signals, before any threshold or rule\n"
    "    --replay FILE    judges such a file anew, without the video: the same events, bit for bit, or those of a\n"
    "                     watch whose thresholds and rules were changed\n"
    "    --expect FILE    events that are in the video, a line of JSON each (event, key, t_start, t_end, value):\n"
    "                     prints precision and recall, what was missed, and what is too much\n"
    "    --tolerance S    how far a start may be off, in seconds (default: one sample)\n"
    "    --seconds S      only the first S seconds\n"
    "    --keyframes      look at keyframes only\n"
    "    --threads N      of the models (default: all CPUs)\n"
    "    --no-cache       compile models even if the disk cache ($LATHE_CACHE, ~/.cache/lathe) has them\n"
    "\n"
    "Models of text are looked for below $LATHE_MODELS, or .models; a watch can name others. `test` fails if an\n"
    "event is missed or too much.\n"
    "\n"
    "    lathe watch royale.yaml clip.mp4 --events events.jsonl\n";

/* What is told of a video without a watch. */
static const char default_watch[] =
    "watch: {name: default, sample: {fps: 1, max_fps: 2}}\n"
    "signal:\n"
    "  page: {from: text, mode: page, min_conf: 0.8}\n"
    "  activity: {from: motion}\n"
    "event:\n"
    "  text: {when: page, each: page, confirm: [2, 2], release: [2, 2], data: [page.score]}\n"
    "  motion: {when: activity, confirm: [2, 2], release: [3, 3]}\n";

typedef struct WatchRun {
    Arena *arena;
    const Watch *watch;
    FILE *events, *record;
    bool json;
    ScoreList found;
    int64_t records;
    bool begun; /* a sample came */
} WatchRun;

/* ---- files ---- */

/* What was in the file stays until there is something to write: whatever fails before costs nobody a recording. Lines go out
 * whole and at once, so that who reads along, or comes after a kill, has them. */
static int open_file(const char *path, FILE **out, Error *e)
{
    *out = path ? fopen(path, "a") : NULL;
    if (path && !*out)
        return error_set(e, ERR_IO, "%s: cannot be written: %m", path);
    return 0;
}

/* Before the first line. */
static void empty_file(FILE *f)
{
    if (f && ftruncate(fileno(f), 0) != 0)
        clearerr(f); /* no regular file: nothing to empty */
}

static void write_line(FILE *f, Str *line)
{
    str_addc(line, '\n');
    fwrite(str_text(line), 1, line->len, f);
    fflush(f);
}

/* ---- output ---- */

static void print_value(const char *name, const RuleValue *v)
{
    switch (v->kind) {
    case VALUE_UNKNOWN: printf("  %s=?", name); break;
    case VALUE_TRUTH: printf("  %s=%s", name, v->number != 0 ? "true" : "false"); break;
    case VALUE_NUMBER: printf("  %s=%g", name, v->number); break;
    case VALUE_TEXT: printf("  %s=\"%s\"", name, v->text); break;
    case VALUE_LIST: printf("  %s=%d", name, v->n); break;
    }
}

static void print_record(const EventRecord *r)
{
    static const char *const kind[] = {"start", "end", "point"};
    Arena *const a = arena_new();
    const double at = (double)(r->kind == RECORD_END ? r->t_end : r->t_start) * 1e-6;
    printf("%9.3f s  %-6s %s", at, kind[r->kind], r->rule->name);
    if (r->key)
        printf("  \"%s\"", r->key);
    for (int i = 0; i < r->ndata; i++) {
        Str name = str_new(a);
        rule_print(&name, r->watch, r->rule->data[i]);
        print_value(str_text(&name), &r->data[i]);
    }
    if (r->kind == RECORD_END)
        printf("  after %.3f s", (double)(r->t_end - r->t_start) * 1e-6);
    if (r->reason)
        printf("  (%s)", r->reason);
    printf("\n");
    fflush(stdout);
    arena_free(a);
}

static void on_event(void *arg, const EventRecord *r)
{
    WatchRun *const w = arg;
    w->records++;
    score_add_record(&w->found, r);
    if (!w->json)
        print_record(r);
    if (!w->json && !w->events)
        return;
    Arena *const a = arena_new();
    Str line = str_new(a);
    event_json(&line, r);
    if (w->json)
        printf("%s\n", str_text(&line));
    if (w->events)
        write_line(w->events, &line);
    arena_free(a);
}

/* When the first sample comes all that can be checked is. */
static void on_sample(void *arg, const Sample *s, const Frame *f)
{
    (void)f;
    WatchRun *const w = arg;
    if (!w->begun) {
        empty_file(w->events);
        empty_file(w->record);
    }
    w->begun = true;
    if (!w->record)
        return;
    Arena *const a = arena_new();
    Str line = str_new(a);
    sample_json(&line, w->watch, s);
    write_line(w->record, &line);
    arena_free(a);
}

static void print_row(const ScoreRow *r)
{
    printf("%-20s %6d %6d %8d   %9.4f  %6.4f   %7.3f  %7.3f\n", r->event, r->truth, r->found, r->matched, score_precision(r),
           score_recall(r), r->start_error, r->max_start_error);
}

static void print_some(const char *what, const ScoreEvent *const *at, int n)
{
    for (int i = 0; i < n && i < 20; i++)
        printf("%s %9.3f s  %s%s%s%s%s\n", what, at[i]->start, at[i]->event, at[i]->key ? "  " : "",
               at[i]->key ? at[i]->key : "", at[i]->value ? "  " : "", at[i]->value ? at[i]->value : "");
    if (n > 20)
        printf("%s .. and %d more\n", what, n - 20);
}

/* All of the truth was found, and nothing else? */
static int print_score(WatchRun *w, const char *expect, double tolerance, bool *perfect, Error *e)
{
    ScoreList truth = score_list(w->arena);
    const int code = score_read(&truth, expect, e);
    if (code != 0)
        return code;
    const Score s = score_events(w->arena, &truth, &w->found, tolerance);
    printf("\n%-20s %6s %6s %8s   %9s  %6s   %7s  %7s\n", "event", "truth", "found", "matched", "precision", "recall", "start s",
           "most");
    for (int i = 0; i < s.nrow; i++)
        print_row(&s.row[i]);
    print_row(&s.all);
    print_some("missed  ", s.missed, s.nmissed);
    print_some("too much", s.extra, s.nextra);
    *perfect = s.nmissed == 0 && s.nextra == 0;
    return 0;
}

static void print_report(const Watch *w, const StreamReport *r, double wall)
{
    fprintf(stderr, "watched %.1f s in %.2f s (%.0f times real time): %lld samples; reading and decoding %.2f s, signals %.2f s, rules %.3f s\n",
            (double)r->media * 1e-6, wall, (double)r->media * 1e-6 / wall, (long long)r->samples, r->decode, r->look, r->rules);
    for (int i = 0; i < r->nsignal; i++) {
        const SignalCounts *const c = &r->signal[i];
        fprintf(stderr, "  %-20s %6lld looked at, %lld reused, %lld unknown, %lld errors, %.3f ms each\n", w->signal[i].name,
                (long long)c->seen, (long long)c->reused, (long long)c->unknown, (long long)c->errors,
                c->seen > 0 ? c->seconds * 1e3 / (double)c->seen : 0);
    }
    if (r->video.errors > 0)
        fprintf(stderr, "  %lld packets could not be decoded\n", (long long)r->video.errors);
    if (r->error[0] != '\0')
        fprintf(stderr, "  first error of a signal: %s\n", r->error);
}

/* ---- the command ---- */

static void print_warnings(const Watch *w, const StreamReport *r)
{
    if (r->events.late > 0)
        fprintf(stderr, "  warning: %lld samples were passed over: their time is before that of the one before\n",
                (long long)r->events.late);
    for (int i = 0; i < r->nsignal; i++)
        if (r->used[i] && r->signal[i].seen + r->signal[i].reused == 0)
            fprintf(stderr, "  warning: no sample has the signal '%s', which rules use\n", w->signal[i].name);
    if (r->missing > 1000000)
        fprintf(stderr, "  warning: the video ended %.1f s before its head says: it is cut off or damaged\n",
                (double)r->missing * 1e-6);
}

typedef struct ReadJob {
    const char *path; /* NULL: the default */
    const Watch *watch;
} ReadJob;

static void read_job(Context *ctx, void *arg)
{
    ReadJob *const j = arg;
    j->watch = j->path ? config_read(ctx, j->path)
                       : config_parse(ctx, "(default watch)", default_watch, sizeof default_watch - 1);
}

static int close_file(FILE *f, const char *path, int code, Error *e)
{
    const bool bad = f && ferror(f) != 0;
    if (f && (fclose(f) != 0 || bad) && code == 0)
        return error_set(e, ERR_IO, "%s: could not be written whole", path);
    return code;
}

/* A file that is written must be no other one of the command line. */
static int check_outputs(int n, const char *const *path, const char *output, Error *e)
{
    int same = 0;
    for (int i = 0; i < n && output; i++)
        same += path[i] && (strcmp(path[i], output) == 0 || file_same(path[i], output));
    /* it is in the list itself */
    return same > 1 ? error_set(e, ERR_INVALID, "%s: named twice: it would be written over", output) : 0;
}

static volatile sig_atomic_t stop_asked; /* by a signal: the one thing that a handler may touch */

static void ask_to_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

typedef struct WatchArgs {
    const char *watch, *video, *events, *record, *replay, *expect;
    double tolerance;
    StreamOptions stream;
    NetHost nets;
} WatchArgs;

static int watch_video(WatchArgs *a, StreamReport *report, Error *e)
{
    int code = pool_new(a->nets.threads, &a->nets.pool, e);
    Arena *const models = arena_new();
    if (code == 0)
        code = stream_run(observe_host_new(models, &a->nets, NULL), &a->stream, report, e);
    arena_free(models); /* before the pool that they run on */
    pool_free(a->nets.pool);
    return code;
}

static int run_watch(WatchRun *w, WatchArgs *a, bool test, bool *good, Error *e)
{
    ReadJob j = {.path = a->watch};
    int code = job_run(w->arena, read_job, &j, e, NULL);
    if (code != 0)
        return code;
    w->watch = j.watch;
    a->stream.watch = j.watch;
    const char *const named[] = {a->watch, a->video, a->replay, a->expect, a->events, a->record};
    code = check_outputs(6, named, a->events, e);
    if (code == 0)
        code = check_outputs(6, named, a->record, e);
    if (code == 0)
        code = open_file(a->events, &w->events, e);
    if (code == 0)
        code = open_file(a->record, &w->record, e);
    signal(SIGTERM, ask_to_stop); /* what is active ends as "stopped" */
    signal(SIGINT, ask_to_stop);
    StreamReport report = {0};
    const double start = time_now();
    if (code == 0)
        code = a->replay ? stream_replay(a->replay, &a->stream, &report, e) : watch_video(a, &report, e);
    code = close_file(w->events, a->events, code, e);
    code = close_file(w->record, a->record, code, e);
    if (!a->replay && report.samples > 0)
        print_report(w->watch, &report, time_now() - start);
    if (report.samples > 0)
        print_warnings(w->watch, &report);
    bool perfect = true;
    if (code == 0 && a->expect)
        code = print_score(w, a->expect, a->tolerance > 0 ? a->tolerance : 1 / w->watch->fps, &perfect, e);
    *good = perfect || !test;
    return code;
}

int cmd_watch(int argc, char **argv)
{
    const bool test = argc > 1 && strcmp(argv[1], "test") == 0; /* a word of its own */
    Args a = test ? args_begin(argc - 1, argv + 1) : args_begin(argc, argv);
    WatchArgs o = {.nets = {.progress = tool_progress}};
    Error e = {0};
    WatchRun w = {.arena = arena_new()};
    w.found = score_list(w.arena);
    o.events = args_value(&a, "--events", NULL);
    o.record = args_value(&a, "--record", NULL);
    o.replay = args_value(&a, "--replay", NULL);
    o.expect = args_value(&a, "--expect", NULL);
    o.tolerance = args_double(&a, "--tolerance", 0, 0);
    w.json = args_flag(&a, "--json");
    o.stream = (StreamOptions){.event = on_event, .sample = on_sample, .arg = &w, .record = o.record != NULL,
                               .stop = &stop_asked,
                               .stop_at = llrint(1e6 * args_double(&a, "--seconds", 0, 0))};
    o.stream.video.keyframes = args_flag(&a, "--keyframes");
    o.nets.threads = tool_threads(&a);
    o.nets.cache = args_flag(&a, "--no-cache") ? NULL : cache_directory(w.arena);
    int code = EXIT_ERROR;
    bool good = true;
    if (args_done(&a, 1, o.replay ? 1 : 2, "a watch and a video")) {
        o.video = o.replay ? NULL : a.argv[a.argc - 1];
        o.watch = o.replay || a.argc == 3 ? a.argv[1] : NULL;
        o.stream.name = o.stream.url = o.video ? o.video : o.replay;
        if (test && !o.expect)
            code = error_set(&e, ERR_INVALID, "watch test: --expect names the events that should be found");
        else
            code = run_watch(&w, &o, test, &good, &e);
        code = code != 0 ? tool_fail(&e) : good ? EXIT_OK : EXIT_ERROR;
    }
    arena_free(w.arena);
    return code;
}
