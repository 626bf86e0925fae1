/* The text that Prometheus reads, and quantiles. */
#include "check.h"

#include <math.h>

#include "net/metrics.h"

static void test_text(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Str s = str_new(a);
    metrics_family(&s, "x_total", "counter", "All \\ of\nthem.");
    metrics_value(&s, "x_total", 2, (MetricLabel[]){{"stream", "a\"b\\c\nd"}, {"kind", "start"}},
                  3);
    metrics_value(&s, "x_total", 0, NULL, 0.25);
    assert_string_equal(str_text(&s),
                        "# HELP x_total All \\\\ of\\nthem.\n# TYPE x_total counter\n"
                        "x_total{stream=\"a\\\"b\\\\c\\nd\",kind=\"start\"} 3\nx_total 0.25\n");
    arena_free(a);
}

static void test_histogram(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Histogram h;
    histogram_init(&h, 3, 0.1, 10); /* 0.1 1 10 */
    assert_true(histogram_quantile(&h, 0.5) == 0);
    const double value[] = {0.05, 0.1, 0.5, 2, 100};
    for (int i = 0; i < 5; i++)
        histogram_add(&h, value[i]);
    Str s = str_new(a);
    metrics_histogram(&s, "t", 1, (MetricLabel[]){{"k", "v"}}, &h);
    assert_string_equal(
        str_text(&s),
        "t_bucket{k=\"v\",le=\"0.1\"} 2\nt_bucket{k=\"v\",le=\"1\"} 3\nt_bucket{k=\"v\",le=\"10\"} "
        "4\n"
        "t_bucket{k=\"v\",le=\"+Inf\"} 5\nt_sum{k=\"v\"} 102.65\nt_count{k=\"v\"} 5\n");
    assert_int_equal(histogram_count(&h), 5);
    assert_true(histogram_quantile(&h, 0) == 0);
    assert_true(histogram_quantile(&h, 0.6) == 1);
    assert_true(histogram_quantile(&h, 1) == 10); /* no more is known */
    arena_free(a);
}

/* Of evenly spread values a quantile is near the truth. */
static void test_quantiles(void **state)
{
    (void)state;
    Histogram h;
    histogram_init(&h, 24, 0.001, 1.5);
    for (int i = 1; i <= 10000; i++)
        histogram_add(&h, i * 1e-4);
    for (double q = 0.1; q < 0.99; q += 0.1)
        assert_true(fabs(histogram_quantile(&h, q) - q) < 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_histogram),
                                       cmocka_unit_test(test_quantiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
