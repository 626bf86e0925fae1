/* Clips of live streams from end to end: an RTSP server, with and without faults; every record of
 * an event names a clip, and that shows the pictures around it, by the numbers burned into them. */
#include "check.h"

#include <sys/stat.h>

#include "base/file.h"
#include "clip_shown.h"
#include "engine_bench.h"
#include "rtsp/serve.h"
#include "watch/isolated.h"

#define FPS 30
#define AROUND 6 /* pictures before an event, and from it on */

/* A bit of the frame's number changes every 32 frames. */
static const char watch_text[] =
    "watch: {name: clip, reference_size: [64, 48], sample: {fps: 5, max_fps: 5, policy: every}, "
    "gap: 1s}\n"
    "region: {slow: [16, 16, 16, 16]}\n"
    "signal: {slow: {from: motion, region: slow, threshold: 40, min_area: 0.5}}\n"
    "event: {flip: {when: slow, emit: point, clip: {pre: 200ms, post: 200ms}}}\n";

static char dir[64], film[80], large[80], folder[80];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/lathe_clips_rtsp_XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(film, sizeof film, "%s/film.mp4", dir);
    snprintf(large, sizeof large, "%s/large.ts", dir);
    snprintf(folder, sizeof folder, "%s/clips", dir);
    clip_write(film, &(ClipOptions){.frames = FPS * 20, .fps = FPS, .gop = 15, .bframes = 0});
    clip_write(large, &(ClipOptions){.frames = FPS * 20, .fps = FPS, .gop = 15, .resize_at = 1});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

typedef struct Clipped { /* of the records of a stream */
    int events, exact, shorter;
} Clipped;

/* "clip":"clips/NAME.mp4" -> its path */
static const char *clip_of(Arena *a, const char *record)
{
    const char *const at = strstr(record, "\"clip\":\"clips/");
    return at ? arena_printf(a, "%s/%.*s", folder, (int)strcspn(at + 14, "\""), at + 14) : NULL;
}

static Clipped look_at(EngineBench *b, const char *stream)
{
    const Told *const t = bench_told(b, stream);
    Clipped out = {0};
    for (const char *line = str_text((Str *)&t->events); *line; line += strcspn(line, "\n") + 1) {
        const char *const record = arena_strndup(b->arena, line, strcspn(line, "\n"));
        const char *const path = clip_of(b->arena, record);
        double start;
        int first, last, n = 0;
        out.events++;
        if (!path || sscanf(strstr(record, "\"t_start\":"), "\"t_start\":%lf", &start) != 1)
            FAIL_MSG("%s: no clip in %s", stream, record);
        if (!file_exists(path))
            FAIL_MSG("%s: %s is not there", stream, path);
        const char *const shown = clip_shown(b->arena, path);
        if (sscanf(shown, "%d-%d %n", &first, &last, &n) != 2 ||
            (shown[n] != '\0' && strcmp(stream, "loss") != 0))
            FAIL_MSG("%s: %s shows %s", stream, path, shown);
        /* the other film counts from 0 again; behind a jump time does */
        const bool counted = strcmp(stream, "change") != 0 &&
                             (strcmp(stream, "jump") != 0 || strstr(record, "\"epoch\":0,"));
        const int middle = counted ? (int)(start * FPS + 0.5) : first + AROUND;
        if (shown[n] == '\0' && first == middle - AROUND && last == middle + AROUND - 1)
            out.exact++;
        else if (last - first < 2 * AROUND)
            out.shorter++;
        else
            FAIL_MSG("%s: %s, of %.3f s, shows %s", stream, path, start, shown);
    }
    print_message("%-8s %d events, %d clips as asked for, %d shorter\n", stream, out.events,
                  out.exact, out.shorter);
    return out;
}

/* Records of events so far. */
static int told_of(EngineBench *b, const char *stream)
{
    pthread_mutex_lock(&b->lock);
    int n = 0;
    for (const char *at = str_text(&bench_told(b, stream)->events); (at = strchr(at, '\n')); at++)
        n++;
    pthread_mutex_unlock(&b->lock);
    return n;
}

static void test_streams(void **state)
{
    (void)state;
    char change[100];
    snprintf(change, sizeof change, "change@3.1:%s", large);
    const struct {
        const char *name, *fault;
        int exact;
        int64_t isolate;
    } cases[] = {
        {"good", NULL, 6, 0},        {"cut", "cut@3.2", 2, 0},
        {"change", change, 3, 0},    {"jump", "jump@3:-1", 2, 0},
        {"loss", "loss@3:40", 3, 0}, {"apart", NULL, 6, ISOLATED_MEMORY},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    Child server[CASES];
    EngineBench b = bench_new();
    Error e;
    b.clip = false;
    assert_int_equal(clips_open(&(ClipsOptions){.folder = folder}, &b.clips, &e), 0);
    const Watch *const w = bench_parse(b.arena, watch_text);
    bench_start(&b, 2);
    for (int i = 0; i < CASES; i++) {
        server[i] = rtsp_serve_fault(film, cases[i].fault);
        bench_add(&b, &(StreamSpec){.name = cases[i].name,
                                    .url = server[i].said,
                                    .watch = w,
                                    .latency = 300000,
                                    .live.video.read_timeout = 3000000,
                                    .live.video.isolate = cases[i].isolate});
    }
    /* The first events, and those that end when all does, may have shorter ones. */
    const double until = time_now() + 40;
    for (int i = 0; i < CASES; i++)
        while (told_of(&b, cases[i].name) < cases[i].exact + 3 && time_now() < until)
            bench_sleep(0.05);
    engine_free(b.engine);
    b.engine = NULL;
    clips_close(b.clips, 60000000);
    for (int i = 0; i < CASES; i++) {
        const Clipped c = look_at(&b, cases[i].name);
        assert_true(c.exact >= cases[i].exact);
        assert_true(cases[i].fault || c.shorter <= 1); /* the last one, when all ended */
    }
    bench_close(&b);
    for (int i = 0; i < CASES; i++)
        child_stop(&server[i]);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
