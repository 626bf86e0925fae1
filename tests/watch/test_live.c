/* Live sources: frames as of a file, connections that go and come back, other sides that misbehave
 * in every way. */
#include "check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/clip.h"
#include "watch/clip_server.h"
#include "watch/isolated.h"
#include "watch/live.h"

static char path[64];
static int64_t isolate; /* VideoOptions.isolate of all */

static const char *temporary(const char *suffix)
{
    snprintf(path, sizeof path, "/tmp/lathe_live_%d%s", (int)getpid(), suffix);
    return path;
}

typedef struct Bell { /* what notify rings */
    pthread_mutex_t lock;
    pthread_cond_t rung;
    int n;
} Bell;

static void ring(void *arg)
{
    Bell *const b = arg;
    pthread_mutex_lock(&b->lock);
    b->n++;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

static Bell bell_new(void)
{
    return (Bell){.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
}

static void listen_to(Bell *b, double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const double until = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + seconds;
    t = (struct timespec){(time_t)until, (long)((until - (double)(time_t)until) * 1e9)};
    pthread_mutex_lock(&b->lock);
    while (b->n == 0 && pthread_cond_timedwait(&b->rung, &b->lock, &t) == 0)
        ;
    b->n = 0;
    pthread_mutex_unlock(&b->lock);
}

typedef struct Viewer {
    Live *live;
    Bell bell;
} Viewer;

static Viewer *open_live(const char *url, LiveOptions opt)
{
    Viewer *const v = test_malloc(sizeof *v);
    v->bell = bell_new();
    opt.notify = ring;
    opt.video.isolate = isolate;
    opt.arg = &v->bell;
    Error e = {0};
    if (live_open(url, &opt, &v->live, &e) != 0)
        FAIL_MSG("%s", e.message);
    return v;
}

/* What is closed in the middle would go on for so long by itself: far longer than a machine that
 * has much else to do takes for anything. */
#define LONG 90000000
static const LiveOptions patient = {
    .video = {.open_timeout = LONG, .read_timeout = LONG}, .retry_min = LONG, .retry_max = LONG};

static void close_live(Viewer *v)
{
    const double start = time_now();
    live_close(v->live);
    const double took = time_now() - start;
    if (took > 30)
        FAIL_MSG("closing took %.2f s", took);
    test_free(v);
}

/* The next frame, or what there is instead after so long. */
static LiveResult next(Viewer *v, int64_t wanted, bool newest, double seconds, LiveFrame *out)
{
    const double until = time_now() + seconds;
    for (;;) {
        const LiveResult r = live_frame(v->live, wanted, newest, out);
        if (r == LIVE_FRAME || r == LIVE_OVER || (r == LIVE_NOTHING && time_now() > until))
            return r;
        if (r == LIVE_NOTHING)
            listen_to(&v->bell, 0.05);
        if (r == LIVE_BUSY)
            usleep(500);
    }
}

static void check_state(const Viewer *v, LiveState state, LiveCause cause)
{
    LiveCause c;
    assert_int_equal(live_state(v->live, &c), state);
    assert_int_equal(c, cause);
}

/* ---- files ---- */

/* Whatever is skipped, the frame is the right one: frame i is at i / fps. */
static void check_samples(const ClipOptions *o, int64_t step, bool paced)
{
    clip_write(temporary(".mkv"), o);
    const double start = time_now();
    Viewer *const v = open_live(path, (LiveOptions){.paced = paced, .max_bytes = 30000});
    LiveFrame f;
    int n = 0;
    for (int64_t t = 0;; t += step) {
        const LiveResult r = next(v, t, false, 5, &f);
        if (r == LIVE_OVER)
            break;
        assert_int_equal(r, LIVE_FRAME);
        const int64_t want = (t * o->fps + 999999) / 1000000; /* rounded up */
        if (clip_number(&f.frame.picture) != (int)want)
            FAIL_MSG("gop %d, %d b-frames, step %lld: at %lld us frame %d instead of %lld", o->gop,
                     o->bframes, (long long)step, (long long)t, clip_number(&f.frame.picture),
                     (long long)want);
        assert_int_equal(f.frame.clock, CLOCK_MEDIA);
        n++;
    }
    assert_int_equal(n, (int)((int64_t)(o->frames - 1) * 1000000 / o->fps / step) + 1);
    const LiveCounts c = live_counts(v->live);
    assert_int_equal(c.video.errors, 0);
    assert_int_equal(c.video.packets, o->frames);
    assert_int_equal(c.full, 0);
    check_state(v, LIVE_ENDED, LIVE_NONE);
    if (paced)
        assert_true(time_now() - start > (double)(o->frames - 4) / o->fps);
    close_live(v);
    unlink(path);
}

static void samples_are_exact(void **state)
{
    (void)state;
    static const int gop[] = {1, 7, 25, 250}, bframes[] = {0, 3};
    static const int64_t step[] = {40000, 100000, 500000, 1700000};
    for (size_t g = 0; g < 4; g++)
        for (size_t b = 0; b < 2; b++)
            for (size_t s = 0; s < 4; s++)
                check_samples(
                    &(ClipOptions){.frames = 130, .fps = 25, .gop = gop[g], .bframes = bframes[b]},
                    step[s], false);
    check_samples(&(ClipOptions){.frames = 25, .fps = 25, .gop = 7, .bframes = 2}, 200000, true);
}

static void files_that_are_none(void **state)
{
    (void)state;
    Viewer *v = open_live("/nowhere/at/all.mp4", (LiveOptions){0});
    LiveFrame f;
    assert_int_equal(next(v, 0, false, 5, &f), LIVE_OVER);
    check_state(v, LIVE_FAILED, LIVE_REFUSED);
    Arena *const a = arena_new();
    assert_non_null(strstr(live_error(v->live, a), "/nowhere/at/all.mp4"));
    arena_free(a);
    close_live(v);
    v = open_live("nonsense://127.0.0.1/x", (LiveOptions){0});
    assert_int_equal(next(v, 0, false, 5, &f), LIVE_OVER);
    assert_int_equal(live_state(v->live, NULL), LIVE_FAILED);
    close_live(v);
}

/* It is over before it showed anything: an error, as for who reads it at leisure. */
static void file_without_pictures(void **state)
{
    (void)state;
    clip_write(temporary(".mp4"), &(ClipOptions){.frames = 20, .fps = 10, .gop = 10});
    clip_empty(path);
    Viewer *const v = open_live(path, (LiveOptions){0});
    LiveFrame f;
    assert_int_equal(next(v, 0, false, 10, &f), LIVE_OVER);
    check_state(v, LIVE_FAILED, LIVE_BROKEN);
    Arena *const a = arena_new();
    assert_non_null(strstr(live_error(v->live, a), "no frame in it"));
    arena_free(a);
    close_live(v);
    unlink(path);
}

/* ---- connections, and what goes wrong with them ---- */

/* Each connection is an epoch whose frames begin anew; after all there is to tell, the counts say
 * what happened. */
static void connections_that_end(void **state)
{
    (void)state;
    Server *const s = clip_server_start(&(ClipOptions){.frames = 60, .fps = 25, .gop = 10}, 4,
                                        MANNERS(CUT, SERVE, REFUSE, SERVE));
    Viewer *const v = open_live(s->url, (LiveOptions){.retry_min = 50000});
    LiveFrame f;
    int64_t t = 0;
    int epoch = -1, first = 0, n = 0;
    while (epoch < 2 && next(v, t, false, 30, &f) == LIVE_FRAME) {
        const int number = clip_number(&f.frame.picture);
        if (f.frame.epoch != epoch) {
            assert_int_equal(f.frame.epoch, epoch + 1);
            assert_int_equal(f.frame.t, 0);
            assert_int_equal(number, 0);
            assert_true(epoch != 0 || (n > 20 && n <= 30)); /* half of them */
            assert_true(epoch != 1 || n == 60);
            epoch = f.frame.epoch;
            first = number;
            n = 0;
        }
        assert_int_equal(number - first, (int)((f.frame.t + 20000) / 40000));
        assert_int_equal(f.frame.clock, CLOCK_ARRIVAL);
        t = f.frame.t + 1;
        n++;
    }
    assert_int_equal(epoch, 2);
    const LiveCounts c = live_counts(v->live);
    assert_int_equal(c.connections, 3);
    assert_int_equal(c.video.epochs, 3);
    assert_true(c.down[LIVE_CLOSED] >= 2);
    assert_int_equal(c.down[LIVE_SILENT], 0);
    close_live(v);
    clip_server_stop(s);
}

/* Connections that give rubbish, between two that are well, make the second one no slower to begin:
 * what libav looked at before it began arrives at once, and is a quarter of a second, not two. */
static void damage_that_passes(void **state)
{
    (void)state;
    Server *const s = clip_server_start(&(ClipOptions){.frames = 40, .fps = 10, .gop = 5}, 1,
                                        MANNERS(CUT, RUBBISH, RUBBISH, SERVE));
    Viewer *const v = open_live(s->url, (LiveOptions){.retry_min = 50000});
    LiveFrame f = {0};
    for (int64_t t = 0; f.frame.epoch == 0; t = f.frame.t + 1)
        assert_int_equal(next(v, t, false, 8, &f), LIVE_FRAME);
    assert_int_equal(live_counts(v->live).down[LIVE_BROKEN], 2);
    const int64_t began = f.arrival;
    assert_int_equal(next(v, 1500000, false, 8, &f), LIVE_FRAME);
    if (f.arrival - began < 300000)
        FAIL_MSG("1.5 s of a stream arrived within %lld us", (long long)(f.arrival - began));
    close_live(v);
    clip_server_stop(s);
}

/* A server that accepts and says nothing, one that stops in the middle, noise, nobody: each has its
 * cause. */
static void other_sides(void **state)
{
    (void)state;
    static const struct {
        Manner manner;
        LiveCause cause;
        bool frames;
    } row[] = {
        {SILENT, LIVE_SILENT, false}, {HEAD, LIVE_SILENT, true}, {REFUSE, LIVE_CLOSED, false}};
    enum { N = sizeof row / sizeof *row };
    Server *s[N];
    Viewer *v[N];
    for (int i = 0; i < N; i++) {
        s[i] = clip_server_start(&(ClipOptions){.frames = 50, .fps = 25, .gop = 10}, 8, 1,
                                 &row[i].manner);
        v[i] = open_live(s[i]->url,
                         (LiveOptions){.video = {.open_timeout = 300000, .read_timeout = 300000},
                                       .retry_min = 50000});
    }
    LiveFrame f;
    int n[N] = {0}, missing = N;
    int64_t t[N] = {0};
    for (const double until = time_now() + 40; missing > 0 && time_now() < until;) {
        missing = 0;
        for (int i = 0; i < N; i++) {
            if (next(v[i], t[i], false, 0.01, &f) == LIVE_FRAME) {
                t[i] = f.frame.t + 1;
                n[i]++;
            }
            missing += live_counts(v[i]->live).down[row[i].cause] < 2 ||
                       (row[i].frames && n[i] <= 10);
        }
    }
    for (int i = 0; i < N; i++) {
        const LiveCounts c = live_counts(v[i]->live);
        if (c.down[row[i].cause] < 2 || (n[i] > 10) != row[i].frames)
            FAIL_MSG("row %d: down %lld times by %s, %d frames", i, (long long)c.down[row[i].cause],
                     live_cause_text(row[i].cause), n[i]);
        close_live(v[i]); /* in the middle of whatever it does */
        clip_server_stop(s[i]);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    Viewer *const v =
        open_live("tcp://127.0.0.1:9/", (LiveOptions){.retry_min = 20000, .retry_max = 100000});
    LiveFrame f;
    const double start = time_now();
    int64_t refused = 0;
    while (refused < 6 && time_now() - start < 30) {
        assert_int_equal(next(v, 0, false, 0.02, &f), LIVE_NOTHING);
        refused = live_counts(v->live).down[LIVE_REFUSED];
    }
    assert_true(refused >= 6);
    /* after 20, 40, 80, 100, 100 .. ms and up to a quarter */
    assert_true(time_now() - start >= (refused - 4) * 0.1);
    close_live(v);
}

/* Protocols that wait for a greeting, and those that nobody answers. */
static void closing_protocols(void **state)
{
    (void)state;
    static const char *const scheme[] = {"http", "https", "rtsp", "rtmp", "tcp", "srt", "udp"};
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 10, .fps = 25, .gop = 10}, 8, MANNERS(SILENT));
    for (size_t i = 0; i < sizeof scheme / sizeof *scheme; i++) {
        char url[96];
        snprintf(url, sizeof url, "%s%s/x", scheme[i], strchr(s->url, ':'));
        Viewer *const v = open_live(url, patient);
        usleep(100000);
        check_state(v, LIVE_CONNECTING, LIVE_NONE);
        close_live(v);
    }
    clip_server_stop(s);
}

/* While it waits in a protocol, for noise to become a video, or for the next attempt. */
static void closing(void **state)
{
    (void)state;
    static const Manner manner[] = {SILENT, HEAD, NOISE, REFUSE, SERVE};
    for (size_t i = 0; i < sizeof manner / sizeof *manner; i++) {
        Server *const s =
            clip_server_start(&(ClipOptions){.frames = 50, .fps = 25, .gop = 10}, 8, 1, &manner[i]);
        Viewer *const v = open_live(s->url, patient);
        usleep(150000);
        close_live(v);
        clip_server_stop(s);
    }
}

/* Packets without end, and no frame among them that can be decoded. */
static void frozen(void **state)
{
    (void)state;
    /* 200 frames of which only the first is a keyframe; it is cut off */
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 200, .fps = 25, .gop = 250}, 2, MANNERS(SERVE));
    memset((uint8_t *)s->file.at + 564, 0xff, 188 * 6);
    Viewer *const v = open_live(s->url, (LiveOptions){.frame_timeout = 300000, .retry_min = 50000});
    LiveFrame f;
    LiveResult r = LIVE_NOTHING;
    for (int i = 0; i < 300 && r != LIVE_FRAME && live_counts(v->live).down[LIVE_FROZEN] == 0; i++)
        r = next(v, 0, false, 0.1, &f);
    const LiveCounts c = live_counts(v->live);
    if (r == LIVE_FRAME || c.down[LIVE_FROZEN] < 1)
        FAIL_MSG("%d, frozen %lld times, %lld packets, %lld errors", r,
                 (long long)c.down[LIVE_FROZEN], (long long)c.video.packets,
                 (long long)c.video.errors);
    close_live(v);
    clip_server_stop(s);
}

/* ---- who looks is slow ---- */

static void wait_for_packets(const Viewer *v, int64_t n)
{
    const double until = time_now() + 30;
    while (live_counts(v->live).video.packets < n && time_now() < until)
        usleep(5000);
    assert_true(live_counts(v->live).video.packets >= n);
}

/* With `newest` the last frame that has come; what was passed over is counted. */
static void newest_frame(void **state)
{
    (void)state;
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 100, .fps = 25, .gop = 10}, 0, MANNERS(FLOOD));
    Viewer *const v = open_live(s->url, (LiveOptions){.video.read_timeout = LONG});
    LiveFrame f;
    assert_int_equal(next(v, 0, true, 5, &f), LIVE_FRAME);
    assert_int_equal(clip_number(&f.frame.picture), 0);
    wait_for_packets(v, 97); /* libav keeps the last ones until it knows that they are whole */
    int64_t arrival = 0;
    assert_true(live_due(v->live, 200000, &arrival));
    assert_int_equal(next(v, 200000, true, 1, &f), LIVE_FRAME);
    assert_in_range(clip_number(&f.frame.picture), 97, 99);
    assert_true(f.arrival >= arrival && (double)f.arrival * 1e-6 <= time_now());
    assert_true(live_counts(v->live).video.decoded < 30); /* from the last keyframe on */
    assert_false(live_due(v->live, 5000000, &arrival));
    close_live(v);
    clip_server_stop(s);
}

/* A ring that is full throws its oldest away, up to a keyframe: what comes out is whole, and what
 * is missing is counted. */
static void full_ring(void **state)
{
    (void)state;
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 200, .fps = 25, .gop = 10}, 0, MANNERS(FLOOD));
    Viewer *const v =
        open_live(s->url, (LiveOptions){.video.read_timeout = LONG, .max_bytes = 20000});
    wait_for_packets(v, 197); /* nobody looks */
    LiveFrame f;
    int n = 0, last = -1;
    for (int64_t t = 0; next(v, t, false, last < 197 ? 30 : 1, &f) == LIVE_FRAME;
         t = f.frame.t + 1) {
        const int number = clip_number(&f.frame.picture);
        assert_true(n == 0 ? number % 10 == 0 && number > 50 : number == last + 1);
        last = number;
        n++;
    }
    assert_in_range(last, 197, 199);
    const LiveCounts c = live_counts(v->live);
    assert_true(n > 5 && c.full > 50);
    assert_int_equal(c.full + n, c.video.packets);
    close_live(v);
    clip_server_stop(s);
}

typedef struct Ahead {
    int64_t decoded; /* frames, by the time the frame at 1.5 s is there */
    int64_t late;    /* of these only when it was there */
} Ahead;

static Ahead look_ahead(int gop)
{
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 100, .fps = 25, .gop = gop}, 4, MANNERS(SERVE));
    Viewer *const v = open_live(s->url, (LiveOptions){0});
    LiveFrame f;
    assert_int_equal(next(v, 0, false, 30, &f), LIVE_FRAME);
    const int64_t wanted = 1500000;
    int64_t arrival;
    while (!live_due(v->live, wanted, &arrival)) {
        listen_to(&v->bell, 0.05);
        LiveResult r = LIVE_MORE;
        while (!live_due(v->live, wanted, &arrival) && (r == LIVE_MORE || r == LIVE_BUSY))
            r = live_frame(v->live, wanted, false, &f);
    }
    const int64_t before = live_counts(v->live).video.decoded;
    assert_int_equal(next(v, wanted, false, 30, &f), LIVE_FRAME);
    assert_int_equal(clip_number(&f.frame.picture), 38);
    const int64_t decoded = live_counts(v->live).video.decoded;
    close_live(v);
    clip_server_stop(s);
    return (Ahead){decoded, decoded - before};
}

/* What has to be decoded anyway is decoded as it comes, unless the machine is not there for a
 * while: of many runs one has been left in peace. */
static void ahead(void **state)
{
    (void)state;
    Ahead a = {.late = INT64_MAX};
    for (int i = 0; i < 20 && a.late > 4; i++) {
        a = look_ahead(250);
        assert_in_range(a.decoded, 37, 39);
    }
    if (a.late > 4)
        FAIL_MSG("%lld of %lld frames were decoded late", (long long)a.late,
                 (long long)a.decoded);
    a = look_ahead(10); /* what a keyframe makes needless is not */
    assert_in_range(a.decoded, 2, 24);
}

/* With the argument "isolated" all of it with libav in processes of its own. */
int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    isolate = argc > 1 ? ISOLATED_MEMORY : 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_exact),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(file_without_pictures),
        cmocka_unit_test(connections_that_end),
        cmocka_unit_test(damage_that_passes),
        cmocka_unit_test(other_sides),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(closing),
        cmocka_unit_test(closing_protocols),
        cmocka_unit_test(frozen),
        cmocka_unit_test(newest_frame),
        cmocka_unit_test(full_ring),
        cmocka_unit_test(ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
