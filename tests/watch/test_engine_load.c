/* More to do than can be done: rates go down evenly, latency stays bounded, each sample has one
 * fate; and where the load is gone, all is done again. */
#include "check.h"

#include "engine_bench.h"

#define STREAMS 8
/* us a sample: eight streams of five a second on two workers, twice what can be done */
#define WORK 100000

#define GOP 5

static char clip[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(clip, "/tmp/lathe_load_XXXXXX.mp4");
    close(mkstemps(clip, 4));
    clip_write(clip, &(ClipOptions){.frames = 15 * 24, .fps = 15, .gop = GOP});
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

static void test_overload(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("newest"));
    bench_start(&b, 2);
    bench_set_work(&b, WORK);
    add_streams(&b, w, STREAMS, 400000);
    bench_sleep(10); /* for the governor to find out, and to make up for what was uneven before */
    int64_t before[STREAMS], after[STREAMS];
    judged(&b, before);
    bench_sleep(12);
    judged(&b, after);
    int64_t least = INT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < STREAMS; i++) {
        const int64_t n = after[i] - before[i];
        least = n < least ? n : least;
        most = n > most ? n : most;
        sum += n;
    }
    pthread_mutex_lock(&b.lock);
    const double factor = b.factor;
    pthread_mutex_unlock(&b.lock);
    print_message("judged %lld of %d that can be, %lld to %lld a stream, factor down to %.2f\n",
                  (long long)sum, (int)(2 * 12e6 / WORK), (long long)least, (long long)most,
                  factor);
    assert_true(factor < 0.8);
    const double keys = keyframes(&b); /* these cost least: they stand for the points behind them */
    print_message("%.0f %% are keyframes\n", 100 * keys);
    assert_true(keys > 0.3); /* a fifth by chance */
    assert_true((double)sum >= 0.8 * 2 * 12e6 / WORK);
    /* a sample more or less at the edges of the time that is counted */
    assert_true((double)most <= 1.2 * (double)least + 1);
    for (int i = 0; i < STREAMS; i++) {
        const StreamStatus s = bench_status(&b, arena_printf(b.arena, "s%d", i));
        assert_true(s.latency_p95 < 0.6);
        assert_true(s.rate > 0);
        assert_int_equal(s.lost, 0);
    }
    bench_close(&b);
}

/* Samples are further apart than the gap after which a stream is silent; but frames come. */
static void test_not_silent(void **state)
{
    (void)state;
    EngineBench b = bench_new();
    const Watch *const w = bench_parse(b.arena, BENCH_WATCH("newest"));
    bench_start(&b, 2);
    bench_set_work(&b, 250000);
    add_streams(&b, w, 2 * STREAMS, 600000); /* each is looked at every two seconds */
    bench_sleep(9);
    int64_t left_out = 0;
    for (int i = 0; i < 2 * STREAMS; i++) {
        const StreamStatus s = bench_status(&b, arena_printf(b.arena, "s%d", i));
        assert_int_equal(s.lost, 0);
        left_out += s.rate;
    }
    assert_true(left_out > 0);
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
    bench_sleep(3);
    const StreamStatus s = bench_status(&b, "every");
    assert_int_equal(s.wanted, s.judged); /* none is left out: it runs behind */
    pthread_mutex_lock(&b.lock);
    const Told *const t = bench_told(&b, "every");
    for (int i = 0; i < t->samples; i++)
        assert_int_equal(t->number[i], i);
    pthread_mutex_unlock(&b.lock);
    bench_set_work(&b, 5000);
    bench_add(&b, &(StreamSpec){.name = "other", .url = clip, .watch = w});
    bench_sleep(3);
    const StreamStatus o = bench_status(&b, "other");
    assert_int_equal(o.judged, o.wanted);
    assert_true(o.latency_p95 < 0.2);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overload),
                                       cmocka_unit_test(test_not_silent),
                                       cmocka_unit_test(test_every)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
