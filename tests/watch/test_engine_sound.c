/* Sound in an engine: of a file the same to the bit as where one file is watched; of streams as
 * soon as it comes, and unknown, with the reason, where it does not. The model of voice is
 * loudness; clips beep in every other second. */
#include "check.h"

#include <libavutil/log.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include "base/file.h"
#include "rtsp/serve.h"
#include "sound_clip.h"
#include "watch/clip_tcp.h"
#include "watch/config.h"
#include "watch/engine.h"
#include "watch/isolated_part.h"
#include "watch/stream.h"
#include "watch/system_json.h"

#define SECONDS 6
#define MANY 400

/* A child with so much is of a test: the sound of its first connection kills it. */
#define DYING_MEMORY (ISOLATED_MEMORY + 1)

typedef struct Heard {
    int64_t t;
    int epoch;
    float score;
    char unknown[32]; /* "": score */
} Heard;

typedef struct Told { /* of all streams of an engine, or of one run */
    pthread_mutex_t lock;
    Arena *arena;
    const Watch *watch;
    Str samples; /* lines */
    Str system;
    int n;
    Heard heard[MANY];
} Told;

static char folder[64];

static const char *in_folder(Arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", folder, name);
}

static void read_watch(Context *ctx, void *arg)
{
    const Watch **const w = arg;
    const char *const text =
        arena_printf(ctx->arena,
                     "watch: {name: s, reference_size: [64, 48], sample: {fps: 5, max_fps: 5, "
                     "policy: every}, gap: 1s}\nregion: {all: [0, 0, 64, 48]}\nsignal:\n"
                     "  beep: {from: audio, model: %s/data/loud.onnx, on: 0.6, off: 0.4}\n"
                     "  moves: {from: motion, region: all, threshold: 40, min_area: 0.5}\n"
                     "event:\n  beeps: {when: beep}\n  moved: {when: moves}\n",
                     TEST_DIR);
    *w = config_parse(ctx, "s.yaml", text, strlen(text));
}

static void read_mute(Context *ctx, void *arg)
{
    const Watch **const w = arg;
    static const char text[] = "watch: {name: s, reference_size: [64, 48], sample: {fps: 5, "
                               "max_fps: 5, policy: every}, gap: 1s}\n"
                               "region: {all: [0, 0, 64, 48]}\nsignal:\n"
                               "  moves: {from: motion, region: all, threshold: 40, min_area: "
                               "0.5}\nevent:\n  moved: {when: moves}\n";
    *w = config_parse(ctx, "m.yaml", text, sizeof text - 1);
}

static const Watch *parse(Arena *a, void (*fn)(Context *, void *))
{
    const Watch *w;
    Error e;
    if (job_run(a, fn, &w, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    return w;
}

static void tell(Told *t, const Sample *s)
{
    pthread_mutex_lock(&t->lock);
    sample_json(&t->samples, t->watch, s);
    str_addc(&t->samples, '\n');
    const Observation *const o = &s->at[0];
    assert_true(t->n < MANY);
    Heard *const h = &t->heard[t->n++];
    *h = (Heard){.t = s->t, .epoch = s->epoch, .score = o->score};
    if (o->state != OBSERVE_SEEN)
        snprintf(h->unknown, sizeof h->unknown, "%s",
                 o->state == OBSERVE_UNKNOWN ? o->reason : "skipped");
    pthread_mutex_unlock(&t->lock);
}

static void on_engine_sample(void *arg, const char *stream, const Sample *s, const Frame *f)
{
    (void)stream;
    (void)f;
    tell(arg, s);
}

static void on_sample(void *arg, const Sample *s, const Frame *f)
{
    (void)f;
    tell(arg, s);
}

static void on_event(void *arg, const EventRecord *r)
{
    (void)arg;
    (void)r;
}

static void on_system(void *arg, const SystemRecord *r)
{
    Told *const t = arg;
    pthread_mutex_lock(&t->lock);
    str_addf(&t->system, "%s%s%s|", system_name(r->kind), r->cause ? "/" : "",
             r->cause ? r->cause : "");
    pthread_mutex_unlock(&t->lock);
}

typedef struct Bench {
    Arena *arena;
    Told *told;
    NetHost *nets;
    Engine *engine;
} Bench;

static Bench bench_new(void)
{
    Bench b = {.arena = arena_new()};
    Error e;
    b.told = arena_new_of(b.arena, Told);
    *b.told = (Told){.arena = b.arena,
                     .samples = str_new(b.arena),
                     .system = str_new(b.arena),
                     .watch = parse(b.arena, read_watch)};
    pthread_mutex_init(&b.told->lock, NULL);
    b.nets = arena_new_of(b.arena, NetHost);
    *b.nets = (NetHost){.threads = 1};
    assert_int_equal(pool_new(1, &b.nets->pool, &e), 0);
    const EngineOptions opt = {.workers = 2,
                               .nets = b.nets,
                               .system = on_system,
                               .sample = on_engine_sample,
                               .arg = b.told};
    if (engine_new(&opt, &b.engine, &e) != 0)
        FAIL_MSG("%s", e.message);
    return b;
}

static void bench_add(const Bench *b, const StreamSpec *spec)
{
    Error e;
    if (engine_add(b->engine, spec, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static void bench_wait(const Bench *b, double timeout)
{
    for (double t = 0; engine_running(b->engine) > 0; t += 0.01) {
        if (t > timeout)
            FAIL_MSG("still running after %g s", timeout);
        usleep(10000);
    }
}

/* Frees all but what was told. */
static void bench_stop(Bench *b)
{
    engine_free(b->engine);
    b->engine = NULL;
}

static void bench_close(Bench *b)
{
    engine_free(b->engine);
    pool_free(b->nets->pool);
    pthread_mutex_destroy(&b->told->lock);
    arena_free(b->arena);
}

/* What stream_run says of a file. */
static Told *alone(const Bench *b, const char *name, const char *url)
{
    Told *const t = arena_new_of(b->arena, Told);
    *t = (Told){.arena = b->arena, .samples = str_new(b->arena), .watch = b->told->watch};
    pthread_mutex_init(&t->lock, NULL);
    StreamReport report;
    Error e;
    Arena *const a = arena_new();
    const StreamOptions opt = {.name = name,
                               .url = url,
                               .watch = t->watch,
                               .sample = on_sample,
                               .event = on_event,
                               .arg = t};
    if (stream_run(observe_host_new(a, b->nets, NULL), &opt, &report, &e) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(a);
    pthread_mutex_destroy(&t->lock);
    return t;
}

/* A beep is heard in the odd seconds: samples well inside one or the other, from this one on.
 * Returns how many were heard. */
static int check_beeps(const Told *t, int from, int n, int epoch)
{
    int heard = 0;
    for (int i = from; i < n; i++) {
        const Heard *const h = &t->heard[i];
        const double in = (double)(h->t % 1000000) * 1e-6;
        if (h->unknown[0] || h->epoch != epoch)
            continue;
        heard++;
        if (in < 0.3) /* it hears what was before */
            continue;
        const bool beep = h->t / 1000000 % 2 == 1;
        if (beep ? h->score < 0.6f : h->score > 0.4f)
            FAIL_MSG("at %lld us: %.3f", (long long)h->t, (double)h->score);
    }
    return heard;
}

static void check_file(const char *suffix, bool offline)
{
    Bench b = bench_new();
    const char *const path = in_folder(b.arena, arena_printf(b.arena, "clip%s", suffix));
    sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(b.arena, SECONDS)});
    Told *const want = alone(&b, "s", path);
    assert_int_equal(want->n, SECONDS * 5);
    assert_true(check_beeps(want, 0, want->n, 0) >= SECONDS * 5 - 2);
    bench_add(&b, &(StreamSpec){.name = "s",
                                .url = path,
                                .watch = b.told->watch,
                                .offline = offline,
                                .live.max_bytes = 6000});
    bench_wait(&b, 60);
    bench_stop(&b);
    if (strcmp(str_text(&b.told->samples), str_text(&want->samples)) != 0)
        FAIL_MSG("%s: alone:\n%s\nin an engine:\n%s", path, str_text(&want->samples),
                 str_text(&b.told->samples));
    assert_null(strstr(str_text(&b.told->system), "stream.mute"));
    bench_close(&b);
}

static void files_give_the_same(void **state)
{
    (void)state;
    check_file(".mp4", true);
    check_file(".mkv", true);
    check_file(".ts", true);
    check_file(".flv", true);
}

/* By its own clock nothing is late, either. */
static void a_paced_file_gives_the_same(void **state)
{
    (void)state;
    check_file(".mp4", false);
}

static void a_file_without_sound_is_refused(void **state)
{
    (void)state;
    Bench b = bench_new();
    const char *const path = in_folder(b.arena, "mute.mp4");
    sound_clip_write(path, &(SoundClip){2, NULL});
    bench_add(&b, &(StreamSpec){.name = "s", .url = path, .watch = b.told->watch, .offline = true});
    bench_wait(&b, 60);
    assert_int_equal(b.told->n, 0);
    assert_non_null(strstr(str_text(&b.told->system), "it has no sound"));
    bench_close(&b);
}

/* ---- streams ---- */

static int count_unknown(const Told *t, const char *reason)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += strcmp(t->heard[i].unknown, reason) == 0;
    return n;
}

static int wait_for_samples(const Bench *b, int n, double timeout)
{
    for (double t = 0; t < timeout; t += 0.05) {
        pthread_mutex_lock(&b->told->lock);
        const int have = b->told->n;
        pthread_mutex_unlock(&b->told->lock);
        if (have >= n)
            return have;
        usleep(50000);
    }
    FAIL_MSG("not %d samples in %g s", n, timeout);
    return 0;
}

/* Two connections, two epochs: in each, sound is that of its pictures. */
static void a_stream_is_heard(void **state)
{
    (void)state;
    Bench b = bench_new();
    const char *const path = in_folder(b.arena, "live.ts");
    sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(b.arena, SECONDS)});
    const Server s = serve(path, SECONDS);
    bench_add(&b,
              &(StreamSpec){.name = "s", .url = s.url, .watch = b.told->watch, .latency = 1000000});
    wait_for_samples(&b, SECONDS * 5 + 12, 60);
    bench_stop(&b);
    end_server(&s);
    const int first = check_beeps(b.told, 0, b.told->n, 0),
              second = check_beeps(b.told, 0, b.told->n, 1);
    print_message("heard %d and %d of %d; %d late, %d without\n", first, second, b.told->n,
                  count_unknown(b.told, "late"), count_unknown(b.told, "no sound"));
    assert_true(first >= SECONDS * 5 - 6);
    assert_true(second >= 6);
    assert_null(strstr(str_text(&b.told->system), "stream.mute"));
    bench_close(&b);
}

/* The process that decodes the sound of the first connection dies: there is another connection, and
 * its sound is heard. */
static void a_process_of_sound_dies(void **state)
{
    (void)state;
    Bench b = bench_new();
    const char *const path = in_folder(b.arena, "live.ts");
    sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(b.arena, SECONDS)});
    const Server s = serve(path, SECONDS);
    bench_add(&b, &(StreamSpec){.name = "s",
                                .url = s.url,
                                .watch = b.told->watch,
                                .latency = 1000000,
                                .live.video.isolate = DYING_MEMORY});
    int heard = 0;
    for (double t = 0; t < 50 && heard < 5; t += 0.05) {
        usleep(50000);
        pthread_mutex_lock(&b.told->lock);
        heard = 0;
        for (int i = 0; i < b.told->n; i++)
            heard += b.told->heard[i].epoch == 1 && !b.told->heard[i].unknown[0];
        pthread_mutex_unlock(&b.told->lock);
    }
    bench_stop(&b);
    end_server(&s);
    if (heard < 5 || !strstr(str_text(&b.told->system), "stream.down/crashed|"))
        FAIL_MSG("%d heard, %s", heard, str_text(&b.told->system));
    bench_close(&b);
}

/* The signal is unknown, all else is as ever, and it is told once, however often it connects. */
static void a_stream_without_sound(void **state)
{
    (void)state;
    Bench b = bench_new();
    const char *const path = in_folder(b.arena, "still.ts");
    sound_clip_write(path, &(SoundClip){1.6, NULL});
    const Server s = serve(path, 1.6);
    bench_add(&b,
              &(StreamSpec){.name = "s", .url = s.url, .watch = b.told->watch, .latency = 300000});
    wait_for_samples(&b, 14, 60);
    const EngineStatus status = engine_status(b.engine, b.arena);
    assert_int_equal(status.nstream, 1);
    assert_string_equal(status.stream[0].error, "it has no sound");
    bench_stop(&b);
    end_server(&s);
    assert_int_equal(count_unknown(b.told, "no sound"), b.told->n);
    const char *const told = strstr(str_text(&b.told->system), "stream.mute/no sound|");
    assert_non_null(told);
    assert_null(strstr(told + 1, "stream.mute"));
    bench_close(&b);
}

/* ---- RTSP ---- */

static const struct {
    const char *option, *value;
    int64_t latency;
    /* samples that are heard at least, of 30: of the first epoch, of the second */
    int first, second;
    bool late;         /* nothing is heard */
} rtsp[] = {
    {NULL, NULL, 1000000, 25, 0, false},
    {"--late", "0.3", 1000000, 25, 0, false},
    {"--late", "-0.5", 1000000, 25, 0, false},
    {"--late", "0.7", 400000, 0, 0, true},
    {"--fault", "jump@2:-1", 1000000, 25, 0,
     false}, /* beside sound, reports put a clock right that jumps */
    {"--fault", "jump@2:20", 1000000, 25, 0, false},
    {"--fault", "cut@2", 1000000, 7, 8, false},
};
#define RTSP (int)(sizeof rtsp / sizeof *rtsp)

static void check_rtsp(Bench *b, int i)
{
    Told *const t = b->told;
    const int first = check_beeps(t, 0, t->n, 0), second = check_beeps(t, 0, t->n, 1),
              late = count_unknown(t, "late");
    print_message("%s %s: heard %d and %d of %d; %d late, %d without\n",
                  rtsp[i].option ? rtsp[i].option : "", rtsp[i].option ? rtsp[i].value : "well",
                  first, second, t->n, late, count_unknown(t, "no sound"));
    assert_true(first >= rtsp[i].first && second >= rtsp[i].second);
    assert_true(!rtsp[i].late || (first + second == 0 && late >= 25));
}

static void streams_of_rtsp(void **state)
{
    (void)state;
    Child server[RTSP];
    Bench b[RTSP];
    const char *path = NULL;
    for (int i = 0; i < RTSP; i++) {
        b[i] = bench_new();
        if (i == 0) {
            path = in_folder(b[0].arena, "clip.mp4");
            sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(b[0].arena, SECONDS)});
        }
        server[i] = rtsp_serve(path, RTSP_OPTIONS(rtsp[i].option, rtsp[i].value));
        bench_add(&b[i], &(StreamSpec){.name = "s",
                                       .url = server[i].said,
                                       .watch = b[i].told->watch,
                                       .latency = rtsp[i].latency});
    }
    for (int i = 0; i < RTSP; i++)
        wait_for_samples(&b[i], 30, 60);
    for (int i = 0; i < RTSP; i++) {
        bench_stop(&b[i]);
        child_stop(&server[i]);
        check_rtsp(&b[i], i);
        bench_close(&b[i]);
    }
}

static void set_watch(const Bench *b, const Watch *w)
{
    pthread_mutex_lock(&b->told->lock);
    b->told->watch = w;
    pthread_mutex_unlock(&b->told->lock);
}

/* A watch that does not hear gives way to one that does, and back. */
static void edits(void **state)
{
    (void)state;
    Bench b = bench_new();
    Error e;
    const Watch *const mute = parse(b.arena, read_mute);
    const char *const path = in_folder(b.arena, "edit.ts");
    sound_clip_write(path, &(SoundClip){3 * SECONDS, sound_tone(b.arena, 3 * SECONDS)});
    const Server s = serve(path, 3 * SECONDS);
    StreamSpec spec = {.name = "s", .url = s.url, .watch = b.told->watch, .latency = 1000000};
    bench_add(&b, &spec);
    const Watch *const hears = b.told->watch;
    wait_for_samples(&b, 5, 60);
    set_watch(&b, mute); /* it has fewer signals */
    const int before = wait_for_samples(&b, 0, 1);
    spec.watch = mute;
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0);
    wait_for_samples(&b, wait_for_samples(&b, 0, 1) + 4, 60);
    spec.watch = hears;
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0);
    set_watch(&b, hears);
    const int after = wait_for_samples(&b, 0, 1);
    wait_for_samples(&b, after + 6, 60);
    bench_stop(&b);
    end_server(&s);
    assert_true(check_beeps(b.told, 0, before, 0) >= 3);
    assert_true(check_beeps(b.told, after, b.told->n, 0) >= 3);
    /* its connection stayed */
    assert_null(strstr(str_text(&b.told->system), "stream.end/stopped|stream.up"));
    bench_close(&b);
}

/* A stream that was not heard is connected to anew. */
static void an_edit_that_wants_to_hear(void **state)
{
    (void)state;
    Bench b = bench_new();
    Error e;
    const Watch *const hears = b.told->watch;
    const char *const path = in_folder(b.arena, "edit.ts");
    sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(b.arena, SECONDS)});
    const Server s = serve(path, SECONDS);
    set_watch(&b, parse(b.arena, read_mute));
    StreamSpec spec = {.name = "s", .url = s.url, .watch = b.told->watch, .latency = 1000000};
    bench_add(&b, &spec);
    wait_for_samples(&b, 3, 60);
    spec.watch = hears;
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0);
    set_watch(&b, hears);
    const int after = wait_for_samples(&b, 0, 1);
    wait_for_samples(&b, after + 10, 60);
    bench_stop(&b);
    end_server(&s);
    assert_true(check_beeps(b.told, after, b.told->n, 0) >= 8);
    bench_close(&b);
}

static int make_folder(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    strcpy(folder, "/tmp/lathe_engine_sound_XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    static const char *const name[] = {"clip.mp4", "clip.mkv", "clip.ts",  "clip.flv",
                                       "mute.mp4", "live.ts",  "still.ts", "edit.ts"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        unlink(in_folder(a, name[i]));
    arena_free(a);
    return rmdir(folder);
}

static bool dies(char **argv)
{
    if (atoi(argv[2]) != ISOLATED_CODEC || atoll(argv[3]) != DYING_MEMORY)
        return false;
    const StreamInfo *const info = part_to_decode();
    return info && info->sound && info->connection == 1;
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return dies(argv) ? 3 : isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_give_the_same),
        cmocka_unit_test(a_paced_file_gives_the_same),
        cmocka_unit_test(a_file_without_sound_is_refused),
        cmocka_unit_test(a_stream_is_heard),
        cmocka_unit_test(a_process_of_sound_dies),
        cmocka_unit_test(a_stream_without_sound),
        cmocka_unit_test(streams_of_rtsp),
        cmocka_unit_test(edits),
        cmocka_unit_test(an_edit_that_wants_to_hear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
