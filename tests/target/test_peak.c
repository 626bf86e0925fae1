/* The measured peaks are possible figures, in the order that memories have. */
#include "check.h"

#include "target/peak.h"
#include "target/target.h"

static void figures_are_possible(void **state)
{
    (void)state;
    double gflops = 0;
    Error e = {0};
    assert_int_equal(peak_gops(1, PEAK_F32, &gflops, &e), ERR_OK);
    assert_true(gflops > 4 && gflops < 1000);
    PeakResult r;
    assert_int_equal(peak_measure(1, &r, &e), ERR_OK);
    assert_int_equal(r.threads, 1);
    assert_true(r.ghz > 0.3 && r.ghz < 10);
    gflops = r.gops[PEAK_F32];
    assert_true(gflops > 4 && gflops < r.ghz * 1.5 * 128);
    assert_true(r.gops[PEAK_I16] > gflops / 4 && r.gops[PEAK_I16] < gflops * 8);
    const Target t = target_native();
    assert_int_equal(r.gops[PEAK_BF16] > 0, t.bf16);
    assert_int_equal(r.gops[PEAK_INT8] > 0, t.vnni);
    assert_int_equal(r.gops[PEAK_TILE_BF16] > 0, t.amx);
    double tiles = 0;
    assert_int_equal(peak_gops(1, PEAK_TILE_INT8, &tiles, &e), ERR_OK);
    assert_int_equal(tiles > 0, t.amx);
    for (int a = 0; a < PEAK_ACCESSES; a++) {
        assert_true(r.gbs[PEAK_DRAM][a] > 0.2);
        assert_true(r.gbs[PEAK_L1][a] > r.gbs[PEAK_DRAM][a]);
    }
}

static void too_many_threads_are_refused(void **state)
{
    (void)state;
    double gflops;
    Error e = {0};
    assert_int_equal(peak_gops(0, PEAK_F32, &gflops, &e), ERR_INVALID);
    assert_int_equal(peak_gops(1 << 20, PEAK_F32, &gflops, &e), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_possible),
        cmocka_unit_test(too_many_threads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
