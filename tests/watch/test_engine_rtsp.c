/* Live streams in one engine, each with another fault: every sample has one fate, what happened is
 * told, and the stream that has no fault loses nothing by the others'. */
#include "check.h"

#include "base/file.h"
#include "engine_bench.h"
#include "rtsp/serve.h"

#define FRAMES (30 * 20)

static char clip[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(clip, "/tmp/lathe_live_XXXXXX.mp4");
    close(mkstemps(clip, 4));
    clip_write(clip, &(ClipOptions){.frames = FRAMES, .fps = 30, .gop = 15});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(clip);
    return 0;
}

static const struct {
    const char *name, *fault;
    const char *told[3]; /* of the system, in this order */
    bool lost;           /* samples of it are */
} cases[] = {
    {"good", NULL, {"stream.up|"}, false},
    {"stall", "stall@2:2.5", {"stream.up|", "stream.gap|"}, true},
    {"rest",
     "rest@2:2.5",
     {"stream.up|", "stream.gap|", "stream.epoch|"},
     true} /* it is late from then on */,
    {"cut", "cut@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"tear", "tear@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"end", "end@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"garbage", "garbage@2:500", {"stream.up|"}, true} /* nothing more can be made of it */,
    {"corrupt", "corrupt@2:20", {"stream.up|"}, false},
    {"loss", "loss@2:40", {"stream.up|"}, false},
    {"jump", "jump@2:-1", {"stream.up|", "stream.epoch|"}, false},
};
#define CASES (int)(sizeof cases / sizeof *cases)

/* NULL: all was told, in its order; else what was not. */
static const char *not_told(const char *text, const char *const *told)
{
    for (int i = 0; i < 3 && told[i]; i++) {
        text = strstr(text, told[i]);
        if (!text)
            return told[i];
        text++;
    }
    return NULL;
}

static bool was_told(EngineBench *b, int i)
{
    pthread_mutex_lock(&b->lock);
    const bool out =
        not_told(str_text(&bench_told(b, cases[i].name)->system), cases[i].told) == NULL;
    pthread_mutex_unlock(&b->lock);
    return out;
}

/* What its fault brings about, two seconds after the beginning, has come about. */
static bool is_over(EngineBench *b, int i)
{
    const StreamStatus s = bench_status(b, cases[i].name);
    return s.judged >= (cases[i].lost ? 6 : 20) && (s.lost > 0 || !cases[i].lost) && was_told(b, i);
}

/* On a machine that has much else to do all this takes as long as it takes. */
static void wait_for_all(EngineBench *b)
{
    const double until = time_now() + 50;
    for (int i = 0; i < CASES; i++)
        while (!is_over(b, i) && time_now() < until)
            bench_sleep(0.05);
}

static void test_faults(void **state)
{
    (void)state;
    Child server[CASES];
    StreamStatus status[CASES];
    double start[CASES];
    EngineBench b = bench_new();
    const Watch *const newest = bench_parse(b.arena, BENCH_WATCH("newest")),
                       *const every = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    for (int i = 0; i < CASES; i++) {
        server[i] = rtsp_serve_fault(clip, cases[i].fault);
        start[i] = time_now();
        bench_add(&b, &(StreamSpec){.name = cases[i].name,
                                    .url = server[i].said,
                                    .watch = i == 0 ? every : newest,
                                    .latency = 300000,
                                    .live.video.read_timeout = 3000000});
    }
    wait_for_all(&b);
    for (int i = 0; i < CASES; i++) {
        StreamStatus *const s = &status[i];
        *s = bench_status(&b, cases[i].name); /* checks its counts */
        print_message(
            "%-8s %3lld wanted, %lld judged, %lld busy, %lld late, %lld rate, %lld lost\n",
            cases[i].name, (long long)s->wanted, (long long)s->judged, (long long)s->busy,
            (long long)s->late, (long long)s->rate, (long long)s->lost);
        const double all = 5 * (time_now() - start[i]); /* since it was added */
        /* an epoch begins and ends anywhere */
        assert_true((double)s->wanted <= all + 2 * (s->epoch + 1));
        assert_true(s->judged >= 6);
        assert_true(!cases[i].lost || s->lost > 0);
    }
    engine_free(b.engine);
    b.engine = NULL;
    for (int i = 0; i < CASES; i++) {
        const char *const text = str_text(&bench_told(&b, cases[i].name)->system),
                          *const missing = not_told(text, cases[i].told);
        if (missing)
            FAIL_MSG("%s: no '%s' in its place in %s", cases[i].name, missing, text);
    }
    const Told *const t = bench_told(&b, "good");
    assert_int_equal(status[0].judged, status[0].wanted);
    for (int k = 0; k < t->samples && k < FRAMES / 6; k++) /* then the film begins again */
        assert_int_equal(t->number[k], k * 6);
    assert_non_null(strstr(str_text(&bench_told(&b, "stall")->events), "\"reason\":\"lost\""));
    assert_non_null(strstr(str_text(&bench_told(&b, "good")->events), "\"clock\":\"rtcp\""));
    bench_close(&b);
    for (int i = 0; i < CASES; i++)
        child_stop(&server[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
