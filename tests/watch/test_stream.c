/* One stream to its end: what is no picture at all is an error, and not a video in which nothing
 * happens. */
#include "check.h"

#include <libavutil/log.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/clip.h"
#include "watch/config.h"
#include "watch/stream.h"

static void read_watch(Context *ctx, void *arg)
{
    const Watch **const w = arg;
    static const char text[] =
        "watch: {name: s, reference_size: [64, 48], sample: {fps: 5, max_fps: 5}}\n"
        "region: {all: [0, 0, 64, 48]}\nsignal: {moves: {from: motion, region: all}}\n"
        "event: {moved: {when: moves}}\n";
    *w = config_parse(ctx, "s.yaml", text, sizeof text - 1);
}

static int watch(const char *path, int64_t stop_at, StreamReport *r, Error *e)
{
    Arena *const a = arena_new();
    const Watch *w = NULL;
    const NetHost nets = {.threads = 1};
    assert_int_equal(job_run(a, read_watch, &w, e, NULL), 0);
    const StreamOptions opt = {.name = "s", .url = path, .watch = w, .stop_at = stop_at};
    const int code = stream_run(observe_host_new(a, &nets, NULL), &opt, r, e);
    arena_free(a);
    return code;
}

static void test_no_picture(void **state)
{
    (void)state;
    char path[64];
    StreamReport r;
    Error e = {0};
    snprintf(path, sizeof path, "/tmp/lathe_stream_%d.mp4", (int)getpid());
    clip_write(path, &(ClipOptions){.frames = 20, .fps = 10, .gop = 10});
    assert_int_equal(watch(path, 0, &r, &e), 0);
    assert_int_equal(r.samples, 10);
    /* told to look at almost nothing: no fault of the video */
    assert_int_equal(watch(path, 1, &r, &e), 0);
    clip_empty(path);
    assert_int_equal(watch(path, 0, &r, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, path));
    assert_non_null(strstr(e.message, "no frame in it"));
    assert_int_equal(r.samples, 0);
    unlink(path);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_picture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
