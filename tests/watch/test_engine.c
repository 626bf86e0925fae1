/* Many streams in one engine: the same events as one stream at leisure; streams come, go and change
 * while others lose nothing; each sample that was wanted has one fate. */
#include "check.h"

#include <stdatomic.h>

#include "engine_bench.h"
#include "vision/picture.h"

static char clip[64]; /* 2 s, 30 a second, a keyframe each half second */
static char film[64]; /* the same for 6 s: it goes on while much else is done */

static int set_up(void **state)
{
    (void)state;
    strcpy(clip, "/tmp/lathe_engine_XXXXXX.mp4");
    close(mkstemps(clip, 4));
    clip_write(clip, &(ClipOptions){.frames = 60, .fps = 30, .gop = 15, .bframes = 2});
    strcpy(film, "/tmp/lathe_engine_XXXXXX.mp4");
    close(mkstemps(film, 4));
    clip_write(film, &(ClipOptions){.frames = 180, .fps = 30, .gop = 15, .bframes = 2});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(clip);
    unlink(film);
    return 0;
}

static const char *name_of(EngineBench *b, int i) { return arena_printf(b->arena, "s%d", i); }

static void check_events_of(EngineBench *b, const char *name, const char *url, const Watch *w)
{
    int64_t samples;
    const char *const expected = bench_offline(b, name, url, w, &samples);
    Told *const t = bench_told(b, name);
    assert_true(strlen(expected) > 400);
    assert_string_equal(str_text(&t->events), expected);
    assert_int_equal(t->samples, samples);
    assert_string_equal(str_text(&t->system), "stream.up|stream.end/ended|");
    const StreamStatus s = bench_status(b, name);
    assert_int_equal(s.wanted, samples);
    assert_int_equal(s.judged, samples);
    assert_int_equal(s.state, LIVE_ENDED);
    assert_true(s.cpu > 0 && s.decode > 0 && s.decode <= s.cpu);
}

static void check_events(EngineBench *b, const char *name, const Watch *w)
{
    check_events_of(b, name, clip, w);
}

static bool says(EngineBench *b, const char *stream, const char *text)
{
    pthread_mutex_lock(&b->lock);
    Told *const t = bench_told(b, stream);
    const bool out = strstr(str_text(&t->system), text) || strstr(str_text(&t->events), text);
    pthread_mutex_unlock(&b->lock);
    return out;
}

/* Until this was told of the stream. */
static void wait_told(EngineBench *b, const char *stream, const char *text)
{
    for (int i = 0; i < 3000 && !says(b, stream, text); i++)
        bench_sleep(0.01);
    assert_true(says(b, stream, text));
}

static void run_files(bool offline, int n)
{
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    for (int i = 0; i < n; i++)
        bench_add(&b, &(StreamSpec){.name = name_of(&b, i),
                                    .url = clip,
                                    .watch = w,
                                    .offline = offline,
                                    .latency = 1000000});
    bench_wait(&b, 30);
    for (int i = 0; i < n; i++)
        check_events(&b, name_of(&b, i), w);
    bench_close(&b);
}

static void test_offline(void **state)
{
    (void)state;
    run_files(true, 5);
}

/* By its own clock: nothing is left out. */
static void test_paced(void **state)
{
    (void)state;
    run_files(false, 3);
}

static atomic_bool is_behind;

static bool behind(void *arg)
{
    (void)arg;
    return atomic_load(&is_behind);
}

/* Who is told cannot follow: streams with something to tell wait for that, and nobody else does,
 * not who asks how things are. */
static void test_behind(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    b.behind = behind;
    const Watch *const w = bench_parse(b.arena, bench_watch),
                       *const quiet =
                           bench_parse(b.arena, "watch: {name: quiet, reference_size: [64, 48], "
                                                "sample: {fps: 5, max_fps: 5, policy: every}}\n"
                                                "signal: {any: {from: motion}}\n"
                                                "event: {never: {when: \"any && !any\"}}\n");
    atomic_store(&is_behind, true);
    bench_start(&b, 2);
    for (int i = 0; i < 3; i++)
        bench_add(&b, &(StreamSpec){.name = name_of(&b, i),
                                    .url = clip,
                                    .watch = i < 2 ? w : quiet,
                                    .offline = true,
                                    .all = true});
    int64_t judged = 0;
    for (int i = 0; i < 500 && judged < 10;
         i++, bench_sleep(0.02)) /* they wait, and can be asked */
        judged = bench_status(&b, "s2").judged;
    assert_int_equal(judged, 10);
    bench_sleep(0.1);
    assert_int_equal(engine_running(b.engine), 2);
    assert_true(bench_status(&b, "s0").events > 0);
    assert_true(bench_status(&b, "s0").judged < 10);
    atomic_store(&is_behind, false);
    bench_wait(&b, 30);
    check_events(&b, "s0", w); /* nothing was lost */
    check_events(&b, "s1", w);
    bench_close(&b);
}

/* An edit that the spotlight refuses leaves the stream as it is. */
static void test_edit_refused(void **state)
{
    (void)state;
    Error e;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("every") "spotlight: {score: '1'}\n");
    bench_start(&b, 2);
    StreamSpec spec = {.name = "a", .url = film, .watch = w, .latency = 1000000};
    bench_add(&b, &spec);
    spec.name = "b";
    bench_add(&b, &spec);
    spec.offline = true;
    assert_int_equal(engine_edit(b.engine, &spec, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "cannot share one spotlight"));
    assert_int_equal(engine_running(b.engine), 2);
    assert_int_equal(engine_remove(b.engine, "a", &e), 0);
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0); /* its own seat is no hindrance */
    bench_wait(&b, 30);
    bench_close(&b);
}

static void test_keyframes(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    StreamSpec spec = {
        .name = "k", .url = clip, .watch = w, .offline = true, .live.video.keyframes = true};
    bench_add(&b, &spec);
    bench_wait(&b, 30);
    const StreamStatus s = bench_status(&b, "k");
    assert_int_equal(s.judged, 4);
    assert_int_equal(s.wanted, 4); /* none is wanted where no keyframe is */
    bench_close(&b);
}

/* Samples of an undisturbed stream: each point of the grid, in order. */
static void check_undisturbed(EngineBench *b, const char *name)
{
    const Told *const t = bench_told(b, name);
    const StreamStatus s = bench_status(b, name);
    assert_int_equal(s.judged, t->samples);
    assert_int_equal(s.judged, s.wanted);
    for (int i = 0; i < t->samples; i++)
        assert_int_equal(t->number[i], i * 6);
}

/* Streams come, go, and change: the others lose no sample, the one that changes keeps its
 * connection. */
static void test_changes(void **state)
{
    (void)state;
    Error e;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    const Watch *const other = bench_parse(b.arena,
        "watch: {name: other, reference_size: [64, 48], "
        "sample: {fps: 5, max_fps: 5, policy: every}}\n"
        "signal: {any: {from: motion}}\n"
        "event: {moves: {when: any}}\n");
    bench_start(&b, 2);
    StreamSpec spec = {.name = "stays", .url = film, .watch = w, .latency = 1000000};
    bench_add(&b, &spec);
    spec.name = "changes";
    bench_add(&b, &spec);
    wait_told(&b, "changes", "\"event\":\"still\"");
    spec.name = "comes";
    bench_add(&b, &spec);
    assert_int_equal(engine_add(b.engine, &spec, &e), ERR_INVALID); /* the name is taken */
    spec.name = "changes";
    spec.watch = other;
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0);
    wait_told(&b, "comes", "stream.up");
    wait_told(&b, "changes", "\"reason\":\"stopped\"");
    assert_int_equal(engine_remove(b.engine, "comes", &e), 0);
    assert_int_equal(engine_remove(b.engine, "comes", &e), ERR_INVALID);
    assert_int_equal(engine_edit(b.engine, &(StreamSpec){.name = "comes", .url = film, .watch = w},
                                 &e),
                     ERR_INVALID);
    bench_wait(&b, 60);
    check_events_of(&b, "stays", film, w);
    check_undisturbed(&b, "stays");
    check_undisturbed(&b, "changes"); /* its samples are judged by one watch or the other */
    const Told *const t = bench_told(&b, "changes");
    const char *const events = t->events.at;
    assert_non_null(strstr(events, "\"event\":\"still\""));
    assert_non_null(strstr(events, "\"reason\":\"stopped\""));
    assert_non_null(strstr(events, "\"watch\":\"other\""));
    assert_true(strstr(events, "\"watch\":\"other\"") > strstr(events, "\"reason\":\"stopped\""));
    assert_string_equal(t->system.at, "stream.up|stream.end/ended|"); /* one connection */
    assert_string_equal(bench_told(&b, "comes")->system.at, "stream.up|stream.end/stopped|");
    bench_close(&b);
}

/* An anchor that stands in the second half of the clip: the corner of the block of its number's
 * sixth bit. */
static void test_anchors(void **state)
{
    (void)state;
    Error e;
    EngineBench b = bench_new();
    const char *const path = arena_printf(b.arena, "%s.png", clip);
    Picture *const corner = picture_new(b.arena, 24, 24);
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 24; x++)
            memset(corner->rgb + 3 * (y * 24 + x), x < 12 && y < 12 ? 220 : 30, 3);
    assert_int_equal(picture_write_png(path, corner, &e), 0);
    const Watch *const w = bench_parse(b.arena, arena_printf(b.arena,
        "watch: {name: a, reference_size: [64, 48], sample: {fps: 5, max_fps: 5}, gap: 10s}\n"
        "align: {anchors: [{template: %s, at: [20, 20]}], search: 2, scales: [1, 1], hold: 0s}\n"
        "signal: {any: {from: motion}}\n"
        "event: {still: {when: \"!any\", release: [3, 3]}}\n", path));
    bench_start(&b, 2);
    bench_add(&b, &(StreamSpec){.name = "s", .url = clip, .watch = w, .offline = true});
    bench_wait(&b, 30);
    const Told *const t = bench_told(&b, "s");
    assert_string_equal(t->system.at, "stream.up|align.lost|align.found|stream.end/ended|");
    bench_close(&b);
    unlink(path);
}

/* With another source it is removed and added. */
static void test_other_source(void **state)
{
    (void)state;
    Error e;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    StreamSpec spec = {.name = "s", .url = film, .watch = w};
    bench_add(&b, &spec);
    wait_told(&b, "s", "stream.up");
    spec.live.video.keyframes = true;
    spec.offline = true;
    assert_int_equal(engine_edit(b.engine, &spec, &e), 0);
    bench_wait(&b, 30);
    assert_string_equal(bench_told(&b, "s")->system.at,
                        "stream.up|stream.end/stopped|stream.up|stream.end/ended|");
    assert_int_equal(bench_status(&b, "s").judged, 12);
    bench_close(&b);
}

/* What is active when the engine ends, ends as "stopped". */
static void test_stop(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    bench_add(&b, &(StreamSpec){.name = "s", .url = film, .watch = w});
    wait_told(&b, "s", "\"event\":\"still\"");
    engine_free(b.engine);
    b.engine = NULL;
    const char *const events = bench_told(&b, "s")->events.at;
    assert_non_null(strstr(events, "\"event\":\"still\""));
    assert_non_null(strstr(events, "\"reason\":\"stopped\""));
    bench_close(&b);
}

/* Nothing there, or no video: the others go on. */
static void test_bad_sources(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    bench_add(&b, &(StreamSpec){
                      .name = "refused", .url = "rtsp://me:secret@127.0.0.1:1/x", .watch = w});
    bench_add(&b, &(StreamSpec){
                      .name = "none", .url = "/nonexistent.mp4", .watch = w, .offline = true});
    bench_add(&b, &(StreamSpec){.name = "good", .url = clip, .watch = w, .offline = true});
    for (int i = 0; i < 3000 && (engine_running(b.engine) > 1 ||
                                 bench_status(&b, "refused").error[0] == '\0');
         i++)
        bench_sleep(0.01);
    check_events(&b, "good", w);
    const StreamStatus refused = bench_status(&b, "refused"), none = bench_status(&b, "none");
    assert_true(refused.state == LIVE_DOWN || refused.state == LIVE_CONNECTING);
    assert_true(refused.error[0] != '\0');
    assert_null(strstr(refused.error, "secret"));
    assert_int_equal(refused.wanted, 0);
    assert_int_equal(none.state, LIVE_FAILED);
    assert_true(none.error[0] != '\0');
    bench_close(&b);
}

/* A watch that cannot be observed is refused, and changes nothing. */
static void test_bad_watch(void **state)
{
    (void)state;
    Error e;
    setenv("LATHE_MODELS", "/nonexistent", 1);
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, bench_watch);
    const Watch *const bad =
        bench_parse(b.arena, "signal: {a: {from: text}}\nevent: {x: {when: \"a == 'b'\"}}\n");
    bench_start(&b, 2);
    bench_add(&b, &(StreamSpec){.name = "good", .url = clip, .watch = w, .offline = true});
    assert_int_equal(engine_add(b.engine, &(StreamSpec){.name = "bad", .url = clip, .watch = bad},
                                &e),
                     ERR_IO);
    assert_int_equal(engine_edit(b.engine,
                                 &(StreamSpec){
                                     .name = "good", .url = clip, .watch = bad, .offline = true},
                                 &e),
                     ERR_IO);
    bench_wait(&b, 30);
    check_events(&b, "good", w);
    assert_int_equal(engine_status(b.engine, b.arena).nstream, 1);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offline),   cmocka_unit_test(test_paced),
        cmocka_unit_test(test_behind),    cmocka_unit_test(test_edit_refused),
        cmocka_unit_test(test_keyframes), cmocka_unit_test(test_changes),
        cmocka_unit_test(test_anchors),   cmocka_unit_test(test_other_source),
        cmocka_unit_test(test_stop),      cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_bad_watch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
