/* lathe watch: videos through a watch; what happens in them, line by line. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/str.h"
#include "compile/cache.h"
#include "tools/tool.h"
#include "tools/watch_learn.h"
#include "tools/watch_search.h"
#include "tools/watch_streams.h"
#include "tools/watch_video.h"
#include "watch/config.h"
#include "watch/isolated.h"
#include "watch/pictures.h"
#include "watch/source.h"

const char help_watch[] =
    "lathe watch [WATCH.yaml] VIDEO.. [options]\n"
    "lathe watch SERVICE.yaml [options]\n"
    "lathe watch test WATCH.yaml VIDEO --expect EVENTS.jsonl [options]\n"
    "lathe watch WATCH.yaml --replay SAMPLES.jsonl [options]\n"
    "lathe watch search QUERY [--db FILE] [--limit N] [--json]\n"
    "lathe watch learn VIDEO [options]\n"
    "\n"
    "Watches videos and prints the events of their watch as they come: text, icons, screens, "
    "motion, and rules\n"
    "over them (doc/watch.md). Without a watch it tells which lines of text appear, and motion. A "
    "VIDEO is a file,\n"
    "or rtsp://, rtmp://, http://..m3u8, srt://, udp://. A file alone that names streams is a "
    "service: it runs\n"
    "until SIGTERM, and takes up changes of its files. Of several videos it tells which one is "
    "worth showing, if\n"
    "their watch says how (spotlight).\n"
    "\n"
    "    --events FILE    writes the events' records, a line of JSON each\n"
    "    --json           prints these instead of short lines\n"
    "    --record FILE    writes what was seen, a line of JSON a sample: all signals, before any "
    "threshold or rule\n"
    "    --replay FILE    judges such a file anew, without the video: the same events, bit for "
    "bit, or those of a\n"
    "                     watch whose thresholds and rules were changed\n"
    "    --expect FILE    events that are in the video, a line of JSON each (event, key, t_start, "
    "t_end, value):\n"
    "                     prints precision and recall, what was missed, and what is too much\n"
    "    --tolerance S    how far a start may be off, in seconds (default: one sample)\n"
    "    --clips DIR      cuts out the highlights: events of rules with a 'clip', the best first "
    "(of one stored\n"
    "                     video; a service with a folder 'clips' cuts them of live streams as "
    "well)\n"
    "    --reel FILE      one video of all of them, a chapter each (MP4)\n"
    "    --top N          so many highlights (default: 10)\n"
    "    --seconds S      only the first S seconds\n"
    "    --keyframes      look at keyframes only\n"
    "    --isolate        reads and decodes in processes of their own, which may do little else: "
    "for videos that are\n"
    "                     not to be trusted (of a service: 'isolate: true' of a stream)\n"
    "    --threads N      that work (default: all CPUs)\n"
    "    --no-cache       compile models even if the disk cache ($LATHE_CACHE, ~/.cache/lathe) has "
    "them\n"
    "\n"
    "`search` finds what a service with a 'store' has seen: texts, screens, objects, events. "
    "Words, all of which\n"
    "must be there, \"a phrase\", stream:NAME, kind:event, since:2h, and what streams show now, as "
    "alive<20.\n"
    "\n"
    "    --db FILE        the store (default: seen.db)\n"
    "    --limit N        so many at most (default: 20)\n"
    "\n"
    "`learn` cuts pictures for icons and screens out of a video, and proposes thresholds (lathe "
    "watch learn --help).\n"
    "\n"
    "Models of text are looked for below $LATHE_MODELS, or .models; a watch can name others. "
    "`test` fails if an\n"
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

typedef struct ReadJob {
    const char *path; /* NULL: the default */
    const Watch *watch;
} ReadJob;

static void read_job(Context *ctx, void *arg)
{
    ReadJob *const j = arg;
    j->watch = j->path
                   ? config_read(ctx, j->path)
                   : config_parse(ctx, "(default watch)", default_watch, sizeof default_watch - 1);
}

/* ---- signals ---- */

static volatile sig_atomic_t stops, reloads; /* the one thing that a handler may touch */

/* seconds: clips and sinks have ten each; more has who waits for a disk that does not answer */
#define STOP_TIME 30
static unsigned stop_time; /* 0: clips and the reel of a long video may take what they take */

static void ask_to_stop(int number)
{
    if (stops++ > 0)
        _exit(128 + number); /* asked twice */
    alarm(stop_time);
}

static void give_up(int number)
{
    static int again;
    static const char text[] =
        "lathe: something does not end (a disk that does not answer?): given up\n";
    if (again++ > 0)
        _exit(128 + number); /* nobody takes the message, either */
    alarm(1);
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(128 + number);
}

static void ask_to_reload(int number)
{
    (void)number;
    reloads++;
}

static void catch_signals(bool service, bool cuts)
{
    stop_time = cuts ? 0 : STOP_TIME;
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = ask_to_stop}, NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = give_up, .sa_flags = SA_NODEFER}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = ask_to_stop}, NULL);
    if (service)
        sigaction(SIGHUP, &(struct sigaction){.sa_handler = ask_to_reload, .sa_flags = SA_RESTART},
                  NULL);
}

/* ---- the command ---- */

typedef struct WatchArgs {
    Arena *arena;
    bool test;
    const char *watch;  /* NULL: the default */
    int nvideo;
    char **video;
    WatchVideo one;
    WatchOutput output;
    NetHost nets;
} WatchArgs;

/* A file that is written must be no other one of the command line. */
static int check_output(const WatchArgs *a, const char *output, Error *e)
{
    const char *const named[] = {
        a->watch,   a->one.replay, a->one.expect, a->output.events_path, a->output.record_path,
        a->one.reel};
    int same = 0;
    for (int i = 0; i < 6 && output; i++)
        same += named[i] && (strcmp(named[i], output) == 0 || file_same(named[i], output));
    for (int i = 0; i < a->nvideo && output; i++)
        same += strcmp(a->video[i], output) == 0 || file_same(a->video[i], output);
    /* it is in the list itself */
    return same > 1 ? error_set(e, ERR_INVALID, "%s: named twice: it would be written over", output)
                    : 0;
}

static bool is_yaml(const char *path) { return str_ends(path, ".yaml") || str_ends(path, ".yml"); }

/* One stored video is judged at leisure, with a report; else streams. */
static bool is_one(const WatchArgs *a)
{
    return a->one.replay || (a->nvideo == 1 && source_is_file(a->video[0]));
}

/* What is for one stored video alone. */
static int check_many(const WatchArgs *a, Error *e)
{
    if (a->one.expect || a->test)
        return error_set(e, ERR_INVALID, "--expect is for one stored video");
    if (a->nvideo == 0 && a->one.isolate > 0)
        return error_set(e, ERR_INVALID,
                         "--isolate is for videos: streams of a service say so themselves");
    if (a->one.clips || a->one.reel)
        return error_set(e, ERR_INVALID, "--clips and --reel are for one stored video");
    if (a->one.seconds > 0)
        return error_set(e, ERR_INVALID, "--seconds is for one stored video");
    if (a->output.record_path && a->nvideo != 1)
        return error_set(e, ERR_INVALID,
                         "--record is for one video: samples of two streams are two files'");
    return 0;
}

static int run_many(WatchArgs *a, bool *good, Error *e)
{
    heap_for_long();
    const bool service = a->nvideo == 0;
    WatchStreams w = {.service = service ? a->watch : NULL,
                      .watch = a->one.watch,
                      .nvideo = a->nvideo,
                      .video = a->video,
                      .keyframes = a->one.keyframes,
                      .isolate = a->one.isolate,
                      .workers = a->nets.threads,
                      .stop = &stops,
                      .reload = &reloads,
                      .nets = a->nets};
    int code = check_many(a, e);
    if (code == 0)
        code = pool_new(1, &w.nets.pool, e);
    if (code == 0)
        code = watch_streams(&w, &a->output, good, e);
    pool_free(w.nets.pool);
    return code;
}

/* What would fail once all was watched. */
static int check_clips(const WatchArgs *a, Error *e)
{
    struct stat st;
    if (a->one.replay)
        return error_set(e, ERR_INVALID,
                         "--clips and --reel need the video: a recording has no pictures");
    if (a->nvideo == 1 && pictures_are(a->video[0]))
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: clips are cut of videos, and this is a folder of pictures",
                         a->video[0]);
    if (a->one.clips && stat(a->one.clips, &st) == 0 && !S_ISDIR(st.st_mode))
        return error_set(e, ERR_INVALID, "--clips: %s is no folder", a->one.clips);
    if (a->one.reel && access(path_dir(a->arena, a->one.reel), W_OK) != 0)
        return error_set(e, ERR_IO, "--reel: %s: %s", a->one.reel, strerror(errno));
    return 0;
}

static int check_order(const WatchArgs *a, Error *e)
{
    for (int i = 0; i < a->nvideo; i++)
        if (is_yaml(a->video[i]))
            return error_set(e, ERR_INVALID, "%s: the watch goes first: lathe watch %s VIDEO..",
                             a->video[i], a->video[i]);
    return 0;
}

static int run_watch(WatchArgs *a, bool *good, Error *e)
{
    ReadJob j = {.path = a->watch};
    const bool service = a->nvideo == 0 && !a->one.replay;
    int code = check_order(a, e);
    if (code == 0 && !service)
        code = job_run(a->arena, read_job, &j, e, NULL);
    a->one.watch = j.watch;
    if (code == 0 && a->test && !a->one.expect)
        code =
            error_set(e, ERR_INVALID, "watch test: --expect names the events that should be found");
    if (code == 0)
        code = check_output(a, a->output.events_path, e);
    if (code == 0)
        code = check_output(a, a->output.record_path, e);
    if (code == 0)
        code = check_output(a, a->one.reel, e);
    if (code == 0 && (a->one.clips || a->one.reel))
        code = check_clips(a, e);
    if (code != 0)
        return code;
    catch_signals(service, a->one.clips || a->one.reel); /* what is active ends as "stopped" */
    return is_one(a) ? watch_video(&a->one, &a->output, good, e) : run_many(a, good, e);
}

/* [WATCH] VIDEO..: with more than one, the first is the watch if it looks like one, or if there are
 * just two. */
static void take_names(WatchArgs *w, const Args *a)
{
    const bool watch = w->one.replay || is_yaml(a->argv[1]) || a->argc == 3;
    w->watch = watch ? a->argv[1] : NULL;
    w->video = a->argv + 1 + watch;
    w->nvideo = a->argc - 1 - watch;
    w->one.video = w->nvideo > 0 ? w->video[0] : NULL;
}

/* As messages call it. */
static char **with_name(char **argv, char *name)
{
    argv[0] = name;
    return argv;
}

int cmd_watch(int argc, char **argv)
{
    static char learn_name[] = "watch learn", search_name[] = "watch search";
    if (argc > 1 && strcmp(argv[1], "learn") == 0)
        return watch_learn(argc - 1, with_name(argv + 1, learn_name));
    if (argc > 1 && strcmp(argv[1], "search") == 0)
        return watch_search(argc - 1, with_name(argv + 1, search_name));
    const bool test = argc > 1 && strcmp(argv[1], "test") == 0; /* a word of its own */
    Args a = test ? args_begin(argc - 1, argv + 1) : args_begin(argc, argv);
    WatchArgs w = {.arena = arena_new(), .test = test, .nets = {.progress = tool_progress}};
    Error e = {0};
    w.output.events_path = args_value(&a, "--events", NULL);
    w.output.record_path = args_value(&a, "--record", NULL);
    w.output.json = args_flag(&a, "--json");
    w.one = (WatchVideo){.replay = args_value(&a, "--replay", NULL),
                         .expect = args_value(&a, "--expect", NULL),
                         .tolerance = args_double(&a, "--tolerance", 0, 0),
                         .test = test,
                         .stop = &stops,
                         .clips = args_value(&a, "--clips", NULL),
                         .reel = args_value(&a, "--reel", NULL),
                         .top = (int)args_int(&a, "--top", 10, 1, 1000),
                         .seconds = args_double(&a, "--seconds", 0, 0.001),
                         .keyframes = args_flag(&a, "--keyframes"),
                         .isolate = args_flag(&a, "--isolate") ? ISOLATED_MEMORY : 0};
    w.one.nets.threads = w.nets.threads = tool_threads(&a);
    w.nets.cache = args_flag(&a, "--no-cache") ? NULL : cache_directory(w.arena);
    w.one.nets = w.nets;
    int code = EXIT_ERROR;
    bool good = true;
    if (args_done(&a, 1, w.one.replay ? 1 : 1000, "a watch and videos")) {
        take_names(&w, &a);
        code = run_watch(&w, &good, &e);
        code = code != 0 ? tool_fail(&e) : good ? EXIT_OK : EXIT_ERROR;
    }
    arena_free(w.arena);
    return code;
}
