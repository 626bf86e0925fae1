/* How many live streams this machine watches: build/bench/streams DIR full|keyframes[-ungated]
 * SECONDS N..
 *
 * DIR is a generated game (build/game/game --seconds 60 -o DIR). Its video is N streams that play
 * by their own clock, begun one after another over two seconds. The watch is 2 samples a second of
 * 4 icons and 3 cells of text. After five seconds, for the models to be compiled and measured,
 * SECONDS are counted. A line of CSV for each N: what became of the samples that were wanted; how
 * long after the arrival of its frame a sample was judged and an event told; cores that decoding
 * took, and all the rest; CPU for each sample besides decoding; how many times as many samples the
 * stream with the most had as the one with the fewest (fair). Longer runs give a line a minute.
 * `-ungated`: each sample is looked at, also of what has not changed. N streams fit if nothing is
 * skipped and 95 % of events are told within 300 ms. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "runtime/pool.h"
#include "watch/config.h"
#include "watch/engine.h"

#define WARM 5.0
#define MOST 200000
#define MOST_STREAMS 512
#define ROW 60.0 /* seconds of a line at most */

typedef struct Latencies {
    int n;
    double at[MOST]; /* seconds */
} Latencies;

typedef struct Bench {
    pthread_mutex_t lock; /* events, counting */
    bool counting;
    Latencies events;
} Bench;

static void on_event(void *arg, const EventRecord *r, int64_t latency)
{
    Bench *const b = arg;
    pthread_mutex_lock(&b->lock);
    if (b->counting && r->kind != RECORD_END && b->events.n < MOST)
        b->events.at[b->events.n++] = (double)latency * 1e-6;
    pthread_mutex_unlock(&b->lock);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(Latencies *l, double share)
{
    qsort(l->at, (size_t)l->n, sizeof *l->at, by_value);
    return l->n > 0 ? l->at[(int)(share * (l->n - 1) + 0.5)] * 1e3 : 0;
}

/* ---- the watch ---- */

static void add_region(Str *s, const Watch *w, const char *name)
{
    for (int i = 0; i < w->nregion; i++) {
        const Box b = w->region[i].box;
        if (strcmp(w->region[i].name, name) == 0)
            str_addf(s, "  %s: [%g, %g, %g, %g]\n", name, (double)b.x, (double)b.y, (double)b.width,
                     (double)b.height);
    }
}

/* The game's regions, with signals and events of this measurement. */
static const char *watch_text(Arena *a, const Watch *game, bool gated)
{
    const char *const age = gated ? "" : ", max_age: 0s";
    Str s = str_new(a);
    str_add(&s, "watch: {name: bench, reference_size: [1280, 720], sample: {fps: 2, max_fps: 2}, "
                "gap: 3s}\nregion:\n");
    static const char *const region[] = {"score", "clock", "alive", "feed", "states"};
    for (int i = 0; i < 5; i++)
        add_region(&s, game, region[i]);
    str_add(&s, "signal:\n");
    for (int i = 0; i < 3; i++)
        str_addf(&s, "  %s: {from: text, region: %s, charset: \"0123456789:\", min_conf: 0.6%s}\n",
                 region[i], region[i], age);
    static const char *const icon[][2] = {
        {"skull", "feed"}, {"shield", "feed"}, {"shield", "states"}, {"skull", "states"}};
    for (int i = 0; i < 4; i++)
        str_addf(&s, "  icon%d: {from: icon, region: %s, template: refs/%s.png, mask: alpha%s}\n",
                 i, icon[i][1], icon[i][0], age);
    str_add(&s, "event:\n");
    for (int i = 0; i < 3; i++)
        str_addf(&s, "  %s_change: {when: \"changed(%s)\", emit: point, data: [%s]}\n", region[i],
                 region[i], region[i]);
    for (int i = 0; i < 4; i++)
        str_addf(&s, "  there%d: {when: icon%d}\n", i, i);
    return str_text(&s);
}

typedef struct ReadJob {
    const char *dir;
    bool gated;
    const Watch *watch;
} ReadJob;

static void read_job(Context *ctx, void *arg)
{
    ReadJob *const j = arg;
    const char *const text =
        watch_text(ctx->arena, config_read(ctx, path_join(ctx->arena, j->dir, "game.yaml")),
                   j->gated);
    j->watch = config_parse(ctx, path_join(ctx->arena, j->dir, "bench.yaml"), text, strlen(text));
}

/* ---- one measurement ---- */

typedef struct Totals {
    int64_t wanted, judged, busy, late, rate, lost;
    double decode, cpu; /* seconds; cpu: of the process */
    double p50, p95;    /* of samples, the worst stream's */
    double at;
    double factor;      /* that the governor lowers all rates by, now */
    int nstream;
    int64_t of[MOST_STREAMS]; /* judged, each stream's */
} Totals;

static Totals totals(Engine *g)
{
    Arena *const a = arena_new();
    const EngineStatus s = engine_status(g, a);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    Totals t = {.factor = s.factor,
                .at = time_now(),
                .cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                       1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec)};
    for (int i = 0; i < s.nstream; i++) {
        const StreamStatus *const x = &s.stream[i];
        t.wanted += x->wanted;
        t.judged += x->judged;
        t.of[t.nstream++] = x->judged;
        t.busy += x->busy;
        t.late += x->late;
        t.rate += x->rate;
        t.lost += x->lost;
        t.decode += x->decode;
        t.p50 = x->latency_p50 > t.p50 ? x->latency_p50 : t.p50;
        t.p95 = x->latency_p95 > t.p95 ? x->latency_p95 : t.p95;
    }
    arena_free(a);
    return t;
}

static void nap(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds,
                                 (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
}

/* 0: a stream had none. */
static double fairness(const Totals *x, const Totals *y)
{
    int64_t most = 0, fewest = INT64_MAX;
    for (int i = 0; i < y->nstream; i++) {
        const int64_t n = y->of[i] - x->of[i];
        most = n > most ? n : most;
        fewest = n < fewest ? n : fewest;
    }
    return fewest > 0 && most > 0 ? (double)most / (double)fewest : 0;
}

/* Memory of this process that is resident: all of it, and counting what others share by its
 * part. */
typedef struct Memory {
    double rss, pss; /* MB */
} Memory;

static Memory memory_now(void)
{
    Memory m = {0};
    char line[256];
    FILE *const f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f)) {
        double kb;
        if (sscanf(line, "Rss: %lf", &kb) == 1)
            m.rss = kb / 1024;
        if (sscanf(line, "Pss: %lf", &kb) == 1)
            m.pss = kb / 1024;
    }
    if (f)
        fclose(f);
    return m;
}

static void print_row(const char *mode, int n, const Totals *x, const Totals *y, const Memory *none,
                      Bench *b)
{
    const Memory now = memory_now();
    const double seconds = y->at - x->at, decode = y->decode - x->decode,
                 rest = y->cpu - x->cpu - decode;
    const int64_t judged = y->judged - x->judged;
    printf("%s,%d,%.1f,%lld,%lld,%lld,%lld,%lld,%lld,%.1f,%.1f,%d,%.1f,%.3f,%.3f,%.3f,%.3f,%.2f,%."
           "1f,%.1f\n",
           mode, n, seconds, (long long)(y->wanted - x->wanted), (long long)judged,
           (long long)(y->busy - x->busy), (long long)(y->late - x->late),
           (long long)(y->rate - x->rate), (long long)(y->lost - x->lost), y->p50 * 1e3,
           y->p95 * 1e3, b->events.n, percentile(&b->events, 0.95), decode / seconds,
           rest / seconds, judged > 0 ? rest * 1e3 / (double)judged : 0, fairness(x, y), y->factor,
           (now.rss - none->rss) / n, (now.pss - none->pss) / n);
    fflush(stdout);
}

static void count(Bench *b, bool on)
{
    pthread_mutex_lock(&b->lock);
    b->counting = on;
    pthread_mutex_unlock(&b->lock);
}

static void measure_row(Engine *g, const char *mode, int n, double seconds, const Memory *none,
                        Bench *b)
{
    const Totals before = totals(g);
    b->events.n = 0;
    count(b, true);
    nap(seconds);
    const Totals after = totals(g);
    count(b, false);
    print_row(mode, n, &before, &after, none, b);
}

/* Loads the models: with one stream that goes again. What is left is what no stream takes. */
static int memory_of_none(Engine *g, StreamSpec spec, Memory *out, Error *e)
{
    spec.name = "first";
    int code = engine_add(g, &spec, e);
    nap(3);
    if (code == 0)
        code = engine_remove(g, spec.name, e);
    nap(0.5);
    *out = memory_now();
    return code;
}

static int measure(const ReadJob *j, const NetHost *nets, const char *mode, int n, double seconds,
                   Error *e)
{
    Arena *const a = arena_new();
    Bench *const b = arena_new_of(a, Bench);
    pthread_mutex_init(&b->lock, NULL);
    const EngineOptions opt = {.nets = nets, .event = on_event, .arg = b};
    Engine *g = NULL;
    StreamSpec spec = {.url = path_join(a, j->dir, "game.mp4"),
                       .watch = j->watch,
                       .live.video.keyframes = strncmp(mode, "keyframes", 9) == 0};
    Memory none = {0};
    int code = engine_new(&opt, &g, e);
    if (code == 0)
        code = memory_of_none(g, spec, &none, e);
    for (int i = 0; i < n && code == 0; i++) {
        spec.name = arena_printf(a, "s%d", i);
        code = engine_add(g, &spec, e);
        nap(2.0 / n);
    }
    if (code == 0) {
        nap(WARM);
        for (double left = seconds; left > 0; left -= ROW)
            measure_row(g, mode, n, left < ROW ? left : ROW, &none, b);
    }
    engine_free(g);
    arena_free(a);
    return code;
}

int main(int argc, char **argv)
{
    for (int i = 4; i < argc; i++) {
        if (atoi(argv[i]) < 1 || atoi(argv[i]) > MOST_STREAMS) {
            fprintf(stderr, "streams: 1 to %d streams, not %s\n", MOST_STREAMS, argv[i]);
            return 2;
        }
    }
    static const char *const mode[] = {"full", "full-ungated", "keyframes", "keyframes-ungated"};
    bool known = false;
    for (int i = 0; i < 4 && argc > 2; i++)
        known = known || strcmp(argv[2], mode[i]) == 0;
    if (argc < 5 || !known) {
        fprintf(stderr, "streams DIR full|keyframes[-ungated] SECONDS N..\n");
        return 2;
    }
    Arena *const a = arena_new();
    ReadJob j = {.dir = argv[1], .gated = strstr(argv[2], "ungated") == NULL};
    NetHost nets = {.threads = 1, .cache = cache_directory(a)};
    Error e;
    int code = job_run(a, read_job, &j, &e, NULL);
    if (code == 0)
        code = pool_new(1, &nets.pool, &e);
    printf("decode,streams,seconds,wanted,judged,busy,late,rate,lost,sample_p50_ms,sample_p95_ms,"
           "events,event_p95_ms,decode_cores,"
           "other_cores,ms_a_sample,fair,factor,rss_mb_each,pss_mb_each\n");
    for (int i = 4; i < argc && code == 0; i++)
        code = measure(&j, &nets, argv[2], atoi(argv[i]), atof(argv[3]), &e);
    if (code != 0)
        fprintf(stderr, "streams: %s\n", e.message);
    pool_free(nets.pool);
    arena_free(a);
    return code != 0;
}
