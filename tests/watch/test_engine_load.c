/* More to do than can be done: rates go down evenly, latency stays bounded, each sample has one
 * fate; and where the load is gone, all is done again.
 *
 * How much, how evenly and how soon is looked at with the argument "measured" alone
 * (scripts/check-all): it is only so where the machine has nothing else to do.
 * (tests/sched/test_overload.c has it by a virtual clock.) */
#include "check.h"

#include "base/file.h"
#include "engine_bench.h"

#define STREAMS 8
/* us a sample: eight streams of five a second on two workers, twice what can be done */
#define WORK 100000

#define GOP 5
#define SECONDS 60 /* of the clip */

static char clip[64];
static bool measured;

static int set_up(void **state)
{
    (void)state;
    strcpy(clip, "/tmp/lathe_load_XXXXXX.mp4");
    close(mkstemps(clip, 4));
    clip_write(clip, &(ClipOptions){.frames = 15 * SECONDS, .fps = 15, .gop = GOP});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(clip);
    return 0;
}

static void add_streams(EngineBench *b, const Watch *w, int n, int64_t latency)
{
    for (int i = 0; i < n; i++)
        bench_add(b, &(StreamSpec){.name = arena_printf(b->arena, "s%d", i),
                                   .url = clip,
                                   .watch = w,
                                   .latency = latency});
}

/* Share of samples that are keyframes. */
static double keyframes(EngineBench *b)
{
    int keys = 0, all = 0;
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < STREAMS; i++) {
        const Told *const t = bench_told(b, arena_printf(b->arena, "s%d", i));
        for (int k = t->samples / 2; k < t->samples; k++, all++)
            keys += t->number[k] % GOP == 0;
    }
    pthread_mutex_unlock(&b->lock);
    return all > 0 ? (double)keys / all : 0;
}

/* Samples of each stream that were judged in the last while. */
static void judged(EngineBench *b, int64_t *out)
{
    for (int i = 0; i < STREAMS; i++)
        out[i] = bench_status(b, arena_printf(b->arena, "s%d", i)).judged;
}

static double factor(EngineBench *b)
{
    pthread_mutex_lock(&b->lock);
    const double out = b->factor;
    pthread_mutex_unlock(&b->lock);
    return out;
}

/* Each of the first n has had so many samples judged, and of all so many were left out for want of
 * time. */
static bool have_judged(EngineBench *b, int n, int64_t least, int64_t left_out)
{
    bool out = true;
    for (int i = 0; i < n; i++) {
        const StreamStatus s = bench_status(b, arena_printf(b->arena, "s%d", i));
        assert_int_equal(s.lost, 0);
        out = out && s.judged >= least;
        left_out -= s.rate;
    }
    return out && left_out <= 0;
}

static void wait_judged(EngineBench *b, int n, int64_t least, int64_t left_out)
{
    const double until = time_now() + SECONDS - 10;
    while (!have_judged(b, n, least, left_out) && time_now() < until)
        bench_sleep(0.1);
    assert_true(have_judged(b, n, least, left_out));
}

static void measure_overload(EngineBench *b)
{
    bench_sleep(10); /* for the governor to find out, and to make up for what was uneven before */
    int64_t before[STREAMS], after[STREAMS];
    judged(b, before);
    bench_sleep(12);
    judged(b, after);
    int64_t least = INT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < STREAMS; i++) {
        const int64_t n = after[i] - before[i];
        least = n < least ? n : least;
        most = n > most ? n : most;
        sum += n;
    }
    print_message("judged %lld of %d that can be, %lld to %lld a stream, factor down to %.2f\n",
                  (long long)sum, (int)(2 * 12e6 / WORK), (long long)least, (long long)most,
                  factor(b));
    const double keys = keyframes(b); /* these cost least: they stand for the points behind them */
    print_message("%.0f %% are keyframes\n", 100 * keys);
    assert_true(keys > 0.3); /* a fifth by chance */
    assert_true((double)sum >= 0.8 * 2 * 12e6 / WORK);
    /* a sample more or less at the edges of the time that is counted */
    assert_true((double)most <= 1.2 * (double)least + 1);
    for (int i = 0; i < STREAMS; i++)
        assert_true(bench_status(b, arena_printf(b->arena, "s%d", i)).latency_p95 < 0.6);
}

static void test_overload(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("newest"));
    bench_start(&b, 2);
    bench_set_work(&b, WORK);
    add_streams(&b, w, STREAMS, 400000);
    if (measured)
        measure_overload(&b);
    wait_judged(&b, STREAMS, 10, STREAMS);
    assert_true(factor(&b) < 0.8);
    bench_close(&b);
}

/* Has an event of stream i ended because nothing came for too long? */
static bool says_lost(EngineBench *b, int i)
{
    pthread_mutex_lock(&b->lock);
    Told *const t = bench_told(b, arena_printf(b->arena, "s%d", i));
    const bool lost = strstr(str_text(&t->events), "\"lost\"") != NULL;
    pthread_mutex_unlock(&b->lock);
    return lost;
}

/* Samples are further apart than the gap after which a stream is silent; but frames come. Where a
 * machine has no time to read them, either, that is a silence. */
static void test_not_silent(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("newest"));
    bench_start(&b, 2);
    bench_set_work(&b, 250000);
    add_streams(&b, w, 2 * STREAMS, 600000); /* each is looked at every two seconds */
    wait_judged(&b, 2 * STREAMS, 4, 1);
    for (int i = 0; i < 2 * STREAMS; i++) /* nor is it one to events */
        assert_true(!says_lost(&b, i) ||
                    bench_status(&b, arena_printf(b.arena, "s%d", i)).lost > 0);
    bench_close(&b);
}

/* A stream whose samples are no trouble beside one that takes every frame there is. */
static void test_every(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("newest"));
    const Watch *const every =
        bench_parse(b.arena, "watch: {name: every, reference_size: [64, 48], sample: {fps: 15, "
                             "max_fps: 15, policy: every}}\n"
                             "signal: {any: {from: motion}}\n"
                             "event: {moves: {when: any}}\n");
    bench_start(&b, 1);
    bench_set_work(&b, 100000); /* fifteen a second cannot be done, ten can */
    bench_add(&b, &(StreamSpec){.name = "every", .url = clip, .watch = every});
    StreamStatus s = {0};
    for (const double until = time_now() + 40; s.judged < 20 && time_now() < until;) {
        bench_sleep(0.1);
        s = bench_status(&b, "every");
        assert_int_equal(s.wanted, s.judged); /* none is left out: it runs behind */
    }
    assert_true(s.judged >= 20);
    pthread_mutex_lock(&b.lock);
    const Told *const t = bench_told(&b, "every");
    for (int i = 0; i < t->samples; i++)
        assert_int_equal(t->number[i], i);
    pthread_mutex_unlock(&b.lock);
    bench_set_work(&b, 5000);
    bench_add(&b, &(StreamSpec){.name = "s0", .url = clip, .watch = w});
    if (measured) {
        bench_sleep(3);
        const StreamStatus o = bench_status(&b, "s0");
        assert_int_equal(o.judged, o.wanted);
        assert_true(o.latency_p95 < 0.2);
    }
    wait_judged(&b, 1, 10, 0);
    bench_close(&b);
}

int main(int argc, char **argv)
{
    measured = argc > 1 && strcmp(argv[1], "measured") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overload),
                                       cmocka_unit_test(test_not_silent),
                                       cmocka_unit_test(test_every)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
