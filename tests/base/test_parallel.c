/* parallel_for runs each index once, on any number of threads. */
#include "check.h"

#include <stdatomic.h>

#include "base/parallel.h"

static void count(int i, void *arg)
{
    atomic_int *hits = arg;
    atomic_fetch_add(&hits[i], 1);
}

static void test_each_once(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 5; threads++) {
        atomic_int hits[1000] = {0};
        parallel_for(1000, threads, count, hits);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(hits[i], 1);
    }
    parallel_for(0, 4, count, NULL);
    assert_true(parallel_cpus() >= 1);
}

static void test_quota(void **state)
{
    (void)state;
    assert_int_equal(parallel_quota("max 100000\n"), 0);
    assert_int_equal(parallel_quota("200000 100000\n"), 2);
    assert_int_equal(parallel_quota("250000 100000\n"), 3);
    assert_int_equal(parallel_quota("1000 100000\n"), 1);
    assert_int_equal(parallel_quota("9223372036854775807 1\n"), 256);
    assert_int_equal(parallel_quota("-1 100000\n"), 0);
    assert_int_equal(parallel_quota("100000 0\n"), 0);
    assert_int_equal(parallel_quota(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_once),
                                       cmocka_unit_test(test_quota)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
