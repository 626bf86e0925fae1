/* Live streams in one engine, each with another fault: every sample has one fate, what happened is told, and the stream that
 * has no fault loses nothing by the others'. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/file.h"
#include "engine_bench.h"

static char clip[64];

typedef struct Server {
    pid_t pid;
    char url[64];
} Server;

static int set_up(void **state)
{
    (void)state;
    strcpy(clip, "/tmp/lathe_live_XXXXXX.mp4");
    close(mkstemps(clip, 4));
    clip_write(clip, &(ClipOptions){.frames = 30 * 20, .fps = 30, .gop = 15});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(clip);
    return 0;
}

static Server serve(const char *fault)
{
    Server s = {0};
    int out[2];
    assert_int_equal(pipe(out), 0);
    s.pid = fork();
    if (s.pid == 0) {
        dup2(out[1], 1);
        close(out[0]);
        execl(RTSP_SERVER, RTSP_SERVER, clip, fault ? "--fault" : NULL, fault, NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *const f = fdopen(out[0], "r");
    assert_non_null(fgets(s.url, sizeof s.url, f));
    s.url[strcspn(s.url, "\n")] = 0;
    fclose(f);
    return s;
}

static const struct {
    const char *name, *fault;
    const char *told[3]; /* of the system, in this order */
    bool lost;           /* samples of it are */
} cases[] = {
    {"good", NULL, {"stream.up|"}, false},
    {"stall", "stall@2:2.5", {"stream.up|", "stream.gap|"}, true},
    {"cut", "cut@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"tear", "tear@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"end", "end@2", {"stream.up|", "stream.down/", "stream.up|"}, true},
    {"garbage", "garbage@2:500", {"stream.up|"}, true} /* nothing more can be made of it */,
    {"corrupt", "corrupt@2:20", {"stream.up|"}, false},
    {"loss", "loss@2:40", {"stream.up|"}, false},
    {"jump", "jump@2:-1", {"stream.up|", "stream.epoch|"}, false},
};
#define CASES (int)(sizeof cases / sizeof *cases)

static void check_told(const char *name, const char *text, const char *const *told)
{
    const char *at = text;
    for (int i = 0; i < 3 && told[i]; i++) {
        at = strstr(at, told[i]);
        if (!at)
            FAIL_MSG("%s: no '%s' in its place in %s", name, told[i], text);
        at++;
    }
}

static void test_faults(void **state)
{
    (void)state;
    Server server[CASES];
    StreamStatus status[CASES];
    double start[CASES];
    EngineBench b = bench_new();
    const Watch *const newest = bench_parse(b.arena, BENCH_WATCH("newest")), *const every = bench_parse(b.arena, bench_watch);
    bench_start(&b, 2);
    for (int i = 0; i < CASES; i++) {
        server[i] = serve(cases[i].fault);
        start[i] = time_now();
        bench_add(&b, &(StreamSpec){.name = cases[i].name, .url = server[i].url, .watch = i == 0 ? every : newest,
                                    .latency = 300000, .live.video.read_timeout = 3000000});
    }
    bench_sleep(8);
    for (int i = 0; i < CASES; i++) {
        StreamStatus *const s = &status[i];
        *s = bench_status(&b, cases[i].name); /* checks its counts */
        print_message("%-8s %3lld wanted, %lld judged, %lld busy, %lld late, %lld rate, %lld lost\n", cases[i].name,
                      (long long)s->wanted, (long long)s->judged, (long long)s->busy, (long long)s->late, (long long)s->rate,
                      (long long)s->lost);
        const double all = 5 * (time_now() - start[i]); /* since it was added; to connect takes a second or two */
        assert_true((double)s->wanted > all - 20 && (double)s->wanted <= all + 1 + s->epoch); /* an epoch begins anywhere */
        assert_true(s->judged >= 6);
        assert_true(!cases[i].lost || s->lost > 0);
    }
    engine_free(b.engine);
    b.engine = NULL;
    for (int i = 0; i < CASES; i++)
        check_told(cases[i].name, str_text(&bench_told(&b, cases[i].name)->system), cases[i].told);
    const Told *const t = bench_told(&b, "good");
    assert_int_equal(status[0].judged, status[0].wanted);
    for (int k = 0; k < t->samples; k++)
        assert_int_equal(t->number[k], k * 6);
    assert_non_null(strstr(str_text(&bench_told(&b, "stall")->events), "\"reason\":\"lost\""));
    assert_non_null(strstr(str_text(&bench_told(&b, "good")->events), "\"clock\":\"rtcp\""));
    bench_close(&b);
    for (int i = 0; i < CASES; i++) {
        kill(server[i].pid, SIGTERM);
        waitpid(server[i].pid, NULL, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
