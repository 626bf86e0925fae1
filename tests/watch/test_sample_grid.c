/* Points of samples and their fates: each point has one, whatever frames come. */
#include "check.h"

#include <math.h>

#include "watch/sample_grid.h"

#define STEP 500000.0
#define S 1000000

static int64_t total(const SampleGrid *g)
{
    int64_t n = 0;
    for (int i = 0; i < SAMPLE_FATES; i++)
        n += g->count[i];
    return n;
}

static int64_t give(SampleGrid *g, int epoch, int64_t t, int64_t number, int64_t arrival,
                    FramesMissed m)
{
    return grid_frame(g, &(VideoFrame){.epoch = epoch, .t = t, .number = number}, arrival, &m,
                      STEP);
}

/* A frame for each point, judged at once. */
static void judge(SampleGrid *g, int epoch, int64_t t)
{
    give(g, epoch, t, t * 30 / S, 100 * S + t, (FramesMissed){.waited = true});
    grid_done(g, SAMPLE_JUDGED, STEP);
}

static void check(const SampleGrid *g, int judged, int busy, int late, int rate, int lost)
{
    assert_int_equal(g->count[SAMPLE_JUDGED], judged);
    assert_int_equal(g->count[SAMPLE_BUSY], busy);
    assert_int_equal(g->count[SAMPLE_LATE], late);
    assert_int_equal(g->count[SAMPLE_RATE], rate);
    assert_int_equal(g->count[SAMPLE_LOST], lost);
    assert_int_equal(g->wanted, total(g));
}

static void test_grid(void **state)
{
    (void)state;
    assert_int_equal(grid_next(0, STEP), 500000);
    assert_int_equal(grid_next(499999, STEP), 500000);
    assert_int_equal(grid_next(500000, STEP), 1000000);
    for (int fps = 1; fps <= 240; fps++) /* most have no exact grid */
        for (int64_t t = 0, i = 0; i < 3 * fps; i++) {
            t = grid_next(t, 1e6 / fps);
            assert_int_equal(t, llrint(1e6 / fps * (double)(i + 1)));
        }
    SampleGrid g = {0};
    for (int i = 0; i < 10; i++) {
        judge(&g, 0, i * 500000);
        assert_int_equal(g.point, (i + 1) * 500000);
    }
    check(&g, 10, 0, 0, 0, 0);
}

static void test_busy(void **state)
{
    (void)state;
    SampleGrid g = {0};
    judge(&g, 0, 0);
    /* .5, 1 and 1.5 had frames, 2 is taken */
    assert_int_equal(give(&g, 0, 2 * S, 60, 102 * S, (FramesMissed){0}), 3);
    check(&g, 1, 3, 0, 0, 0);
    grid_done(&g, SAMPLE_LATE, STEP);
    check(&g, 1, 3, 1, 0, 0);
    assert_int_equal(g.point, 2500000);
}

/* Points that had frames and were not judged, since the last that was. */
static void test_left_out(void **state)
{
    (void)state;
    SampleGrid g = {0};
    judge(&g, 0, 0);
    assert_int_equal(g.left_out, 0);
    grid_skip(&g, SAMPLE_RATE, STEP);                   /* 0.5 */
    give(&g, 0, 2 * S, 60, 102 * S, (FramesMissed){0}); /* 1 and 1.5 are busy */
    assert_int_equal(g.left_out, 1500000);
    grid_done(&g, SAMPLE_LATE, STEP); /* 2 */
    assert_int_equal(g.left_out, 2 * S);
    give(&g, 0, 4 * S, 120, 104 * S, (FramesMissed){.lost = true}); /* 2.5 to 3.5 never came */
    assert_int_equal(g.left_out, 2 * S);
    grid_done(&g, SAMPLE_JUDGED, STEP);
    assert_int_equal(g.left_out, 0);
    grid_skip(&g, SAMPLE_LATE, STEP / 5); /* closer for a while */
    assert_int_equal(g.left_out, 100000);
    give(&g, 1, 0, 0, 107 * S, (FramesMissed){0});
    assert_int_equal(g.left_out, 0); /* another epoch */
    grid_done(&g, SAMPLE_JUDGED, STEP);
    /* Keyframes two seconds apart: one that is passed over stands for so long. */
    SampleGrid k = {.keyframes = true};
    judge(&k, 0, 0);
    judge(&k, 0, 2 * S);
    give(&k, 0, 6 * S, 180, 106 * S, (FramesMissed){0});
    assert_int_equal(k.left_out, 2 * S);
}

/* A keyframe at 1.8 stands for 2. */
static void test_pull(void **state)
{
    (void)state;
    SampleGrid g = {0};
    judge(&g, 0, 1500000);
    grid_pull(&g, 1800000);
    assert_int_equal(g.point, 1800000);
    judge(&g, 0, 1800000);
    assert_int_equal(g.point, 2500000); /* 2 is done */
    check(&g, 2, 0, 0, 0, 0);
    grid_pull(&g, 2400000);
    judge(&g, 0, 3 * S); /* it was not there, nor what came behind it: 2.5 is lost */
    check(&g, 3, 0, 0, 0, 1);
    assert_int_equal(g.point, 3500000);
    grid_pull(&g, 3100000);
    grid_quiet(&g, 4 * S, STEP); /* 3.5, 4 */
    check(&g, 3, 0, 0, 0, 3);
    grid_pull(&g, 4200000);
    judge(&g, 1, 0); /* another epoch */
    assert_int_equal(g.point, 500000);
    grid_pull(&g, 600000); /* a later one stands for it, too */
    judge(&g, 1, 600000);
    assert_int_equal(g.point, S);
    grid_pull(&g, 1200000);
    grid_skip(&g, SAMPLE_RATE, STEP); /* neither stands for it */
    assert_int_equal(g.point, 1500000);
    grid_pull(&g, 1100000);
    grid_skip(&g, SAMPLE_LATE, STEP);
    assert_int_equal(g.point, 2 * S);
    assert_int_equal(g.wanted, total(&g));
}

static void test_lost(void **state)
{
    (void)state;
    SampleGrid g = {0};
    judge(&g, 0, 0);
    judge(&g, 0, 3 * S); /* nothing came between: 0.5 .. 2.5 */
    check(&g, 2, 0, 0, 0, 5);
    grid_quiet(&g, 5 * S, STEP); /* 3.5, 4, 4.5, 5 */
    check(&g, 2, 0, 0, 0, 9);
    assert_int_equal(g.point, 5500000);
    /* The next connection: 5.5, 6 and 6.5 would have come before it, by the clock of arrivals. */
    give(&g, 1, 0, 0, 107 * S, (FramesMissed){0});
    grid_done(&g, SAMPLE_JUDGED, STEP);
    check(&g, 3, 0, 0, 0, 12);
    assert_int_equal(g.point, 500000);
    assert_int_equal(grid_expected(&g), 107500000);
}

/* A file whose clock jumps: no time passed. */
static void test_jump(void **state)
{
    (void)state;
    SampleGrid g = {0};
    judge(&g, 0, 0);
    give(&g, 1, 0, 0, 100 * S + 33333, (FramesMissed){0});
    grid_done(&g, SAMPLE_JUDGED, STEP);
    check(&g, 2, 0, 0, 0, 0);
}

/* Frames further apart than samples: none is wanted between. */
static void test_few_frames(void **state)
{
    (void)state;
    SampleGrid g = {0};
    for (int i = 0; i < 5; i++) {
        give(&g, 0, i * 2 * S, i, 100 * S + i * 2 * S, (FramesMissed){0});
        grid_done(&g, SAMPLE_JUDGED, STEP);
    }
    check(&g, 5, 0, 0, 0, 0);
}

static void test_keyframes(void **state)
{
    (void)state;
    SampleGrid g = {.keyframes = true};
    judge(&g, 0, 0);
    judge(&g, 0, 2 * S);
    check(&g, 2, 0, 0, 0, 0);
    give(&g, 0, 8 * S, 240, 108 * S, (FramesMissed){.lost = true}); /* 4 and 6 */
    grid_done(&g, SAMPLE_JUDGED, STEP);
    check(&g, 3, 0, 0, 0, 2);
    give(&g, 0, 14 * S, 420, 114 * S, (FramesMissed){0}); /* 10 and 12 */
    grid_done(&g, SAMPLE_JUDGED, STEP);
    check(&g, 4, 2, 0, 0, 2);
    grid_quiet(&g, 19 * S, STEP); /* those that would have come at 16 and 18 */
    assert_int_equal(g.count[SAMPLE_LOST] - 2, 3); /* 14.5, as the grid has it, 16.5, 18.5 */
    assert_int_equal(g.wanted, total(&g));
}

/* Points that are left out, one of two. */
static void test_rate(void **state)
{
    (void)state;
    SampleGrid g = {0};
    for (int i = 0; i < 6; i++) {
        judge(&g, 0, i * S);
        grid_skip(&g, SAMPLE_RATE, STEP);
        assert_int_equal(g.point, (i + 1) * S);
    }
    check(&g, 6, 0, 0, 6, 0);
}

/* Whatever comes: each point of the media time that passed has one fate. */
static void test_random(void **state)
{
    (void)state;
    srand(5);
    SampleGrid g = {0};
    give(&g, 0, 0, 0, 100 * S, (FramesMissed){0});
    for (int i = 0; i < 2000; i++) {
        grid_done(&g, rand() % 2 ? SAMPLE_JUDGED : SAMPLE_LATE, STEP);
        for (int k = rand() % 3; k > 0; k--)
            grid_skip(&g, SAMPLE_RATE, STEP);
        const int64_t passed = g.point / (int64_t)STEP; /* those before the one that waits */
        assert_int_equal(g.wanted, passed);
        assert_int_equal(g.wanted, total(&g));
        if (rand() % 10 == 0)
            grid_quiet(&g, g.point + rand() % (3 * S), STEP);
        assert_int_equal(g.wanted, g.point / (int64_t)STEP);
        const int64_t t = g.point + (rand() % 4 ? rand() % 33333 : rand() % (5 * S));
        give(&g, 0, t, t * 30 / S, 100 * S + t,
             (FramesMissed){.waited = rand() % 2, .lost = rand() % 5 == 0});
    }
}

/* Clocks that wrap, jump either way and stand at the edges of what a time can be: of a live stream
 * one frame counts no more points than time went by, and ten seconds. */
static void test_clocks(void **state)
{
    (void)state;
    static const int64_t wrap = INT64_C(95443717689), far = INT64_C(1) << 60;
    static const double steps[] = {STEP, 1e6 / 240, 10e6};
    const int64_t jumps[] = {wrap, -wrap, 102 * S, -30 * S, far, -far, far - 1, 1, 0, 40000};
    srand(7);
    for (int round = 0; round < 300; round++) {
        const double step = steps[round % 3];
        SampleGrid g = {.live = round % 2, .keyframes = round % 5 == 0};
        int64_t t = 0, arrival = 100 * S;
        int epoch = 0;
        grid_frame(&g, &(VideoFrame){.number = -1}, arrival, &(FramesMissed){0}, step);
        for (int i = 0; i < 50; i++) {
            grid_done(&g, SAMPLE_JUDGED, step);
            assert_true(g.point > g.t);
            const int64_t passed = rand() % (2 * S), before = g.wanted, old = g.arrival;
            arrival += passed;
            const int64_t jump = rand() % 3 ? passed : jumps[rand() % 10];
            const bool anew = rand() % 4 == 0 || t + jump < g.point || t + jump > far;
            epoch += anew;
            t = anew ? (rand() % 2 ? 0 : jumps[rand() % 10]) : t + jump;
            grid_frame(&g, &(VideoFrame){.epoch = epoch, .t = t, .number = -1}, arrival,
                       &(FramesMissed){.waited = rand() % 2, .lost = rand() % 2}, step);
            assert_int_equal(g.wanted, total(&g));
            assert_true(g.wanted >= before);
            if (g.live)
                assert_true((double)(g.wanted - before) * step <= (double)(arrival - old + 10 * S));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),      cmocka_unit_test(test_busy),
        cmocka_unit_test(test_pull),      cmocka_unit_test(test_lost),
        cmocka_unit_test(test_jump),      cmocka_unit_test(test_few_frames),
        cmocka_unit_test(test_keyframes), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
