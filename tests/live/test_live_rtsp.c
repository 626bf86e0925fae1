/* A live stream over RTSP from end to end: the sender's clock, and what a server does that is not
 * well. (Many more faults on all transports: live_faults.c.) */
#include "check.h"

#include <libavutil/log.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "live/film.h"
#include "rtsp/serve.h"
#include "watch/isolated.h"
#include "watch/live.h"

static char film[2][64]; /* 320 x 180 and 640 x 360 */

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(film[i], sizeof film[i], "/tmp/lathe_live_rtsp_%d_%d.ts", (int)getpid(), i);
        film_make(film[i], i ? 640 : 320, i ? 360 : 180);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        unlink(film[i]);
    return 0;
}

/* False: there is none yet; a moment has passed. */
static bool next_frame(Live *l, int64_t t, LiveFrame *f)
{
    const LiveResult r = live_frame(l, t, false, f);
    if (r == LIVE_NOTHING || r == LIVE_BUSY)
        usleep(2000);
    return r == LIVE_FRAME;
}

typedef struct Seen {
    int64_t frames, lost, closed;
    int epochs, widths;
} Seen;

/* What the faults bring about: a clock that jumps, another size, a connection that is cut, all
 * within two seconds of the film. */
static bool is_enough(const Seen *s)
{
    return s->epochs >= 4 && s->widths >= 4 && s->frames >= 60 && s->closed >= 1;
}

/* Every frame until all has come about; each has to be the one that its time says. */
static void watch(Live *l, double wall0, Seen *s)
{
    const double start = time_now();
    int64_t t = 0, before = 0;
    int epoch = -1, width = 0;
    uint32_t number = 0, previous = 0;
    while (!is_enough(s) && time_now() - start < 40) {
        LiveFrame f;
        if (!next_frame(l, t, &f))
            continue;
        assert_true(film_number(&f.frame.picture, &number));
        const bool begins = f.frame.epoch != epoch;
        if (!begins && f.frame.picture.width == width) {
            const int64_t passed = (f.frame.t - before + 16667) / 33333;
            assert_int_equal((previous + passed) % FILM_FRAMES, number);
            s->lost += passed - 1;
        }
        if (f.frame.clock == CLOCK_RTCP) { /* captured in time, whatever RTP's clock does */
            const double since = (double)f.frame.wall * 1e-6 - wall0;
            if (since < -0.1 || since > 60) /* not 100 */
                FAIL_MSG("captured %.3f s after the beginning", since);
        } else
            assert_int_equal(f.frame.clock, CLOCK_ARRIVAL);
        s->epochs += begins;
        s->widths += f.frame.picture.width != width;
        s->frames++;
        s->closed = live_counts(l).down[LIVE_CLOSED];
        epoch = f.frame.epoch;
        width = f.frame.picture.width;
        previous = number;
        before = f.frame.t;
        t = f.frame.t + 1;
    }
}

/* A clock that jumps, another size, the connection reset, and all again. */
static void faults(void **state)
{
    (void)state;
    char change[96];
    snprintf(change, sizeof change, "change@1.2:%s", film[1]);
    Child server =
        rtsp_serve(film[0], RTSP_OPTIONS("--wall", "1000000000", "--fault", "jump@0.6:100",
                                         "--fault", change, "--fault", "cut@1.8"));
    Live *l = NULL;
    Error e = {0};
    assert_int_equal(live_open(server.said, &(LiveOptions){0}, &l, &e), 0);
    Seen s = {0};
    watch(l, 1e9, &s);
    if (!is_enough(&s) || s.lost > 0)
        FAIL_MSG("%d epochs, %d sizes, %lld frames, %lld lost, %lld times closed", s.epochs,
                 s.widths, (long long)s.frames, (long long)s.lost, (long long)s.closed);
    live_close(l);
    child_stop(&server);
}

/* Bytes that go on coming, in which libav finds no packets: another connection is made long before
 * one would be given up that gives nothing. */
static void framing_is_lost(void **state)
{
    (void)state;
    Child server = rtsp_serve(film[1], RTSP_OPTIONS("--fault", "slip@1.2"));
    Live *l = NULL;
    Error e = {0};
    const LiveOptions patient = {.video.read_timeout = 3600000000};
    assert_int_equal(live_open(server.said, &patient, &l, &e), 0);
    const double start = time_now();
    int64_t t = 0, frames = 0;
    int epochs = 0;
    while (epochs < 3 && time_now() - start < 60) {
        LiveFrame f;
        if (!next_frame(l, t, &f))
            continue;
        t = f.frame.t + 1;
        epochs = f.frame.epoch + 1;
        frames++;
    }
    const LiveCounts c = live_counts(l);
    if (epochs < 3 || frames < 60 || c.down[LIVE_BROKEN] < 2)
        FAIL_MSG("%d epochs, %lld frames, %lld times broken", epochs, (long long)frames,
                 (long long)c.down[LIVE_BROKEN]);
    live_close(l);
    child_stop(&server);
}

/* A camera whose clock was never set tells times before 1970: odd, and no reason to end its
 * process. */
static void a_clock_of_1910(void **state)
{
    (void)state;
    Child server = rtsp_serve(film[0], RTSP_OPTIONS("--wall", "-1900000000"));
    Live *l = NULL;
    Error e = {0};
    const LiveOptions apart = {.video.isolate = ISOLATED_MEMORY};
    assert_int_equal(live_open(server.said, &apart, &l, &e), 0);
    const double start = time_now();
    int64_t t = 0, told = 0;
    while (told < 10 && time_now() - start < 60) {
        LiveFrame f;
        if (!next_frame(l, t, &f))
            continue;
        t = f.frame.t + 1;
        told += f.frame.clock == CLOCK_RTCP && f.frame.wall < 0;
    }
    assert_true(told >= 10);
    assert_int_equal(live_counts(l).down[LIVE_CRASHED], 0);
    live_close(l);
    child_stop(&server);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults),
                                       cmocka_unit_test(framing_is_lost),
                                       cmocka_unit_test(a_clock_of_1910)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
