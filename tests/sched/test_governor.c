/* When there is overload, what is granted then, and what a clock is. */
#include "check.h"

#include <math.h>

#include "sched/clock.h"
#include "sched/governor.h"

#define SECOND 1000000

static void report(Governor *g, int n, int late)
{
    for (int i = 0; i < n; i++)
        governor_report(g, i < late);
}

static void near(double a, double b)
{
    if (fabs(a - b) > 1e-9)
        FAIL_MSG("%.12g, expected %.12g", a, b);
}

/* In overload, with nothing under way. */
static Governor lowered(double factor, double window)
{
    Governor g = governor_new(0);
    g.factor = factor;
    g.window = window;
    return g;
}

static void begins_with_what_was_late(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    near(g.factor, 1);
    report(&g, 100, 40);
    assert_false(governor_tick(&g, SECOND / 2, 0.5)); /* the period is not over */
    near(g.factor, 1);
    assert_true(governor_tick(&g, SECOND, 1.0));
    near(g.factor, 0.6);
    near(g.busy, 1);
    near(g.window, 12); /* what is done in 200 ms */
    assert_int_equal(g.done, 0);
    g = governor_new(0);
    report(&g, 100, 100);
    assert_true(governor_tick(&g, SECOND, 1.0));
    near(g.factor, 0.5); /* at most; and something goes on */
    near(g.window, 2);
}

static void what_is_late_although_there_is_time_is_its_own_fault(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    report(&g, 100, 50);
    assert_false(governor_tick(&g, SECOND, 0.8));
    near(g.factor, 1);
    g = lowered(0.5, 10);
    g.asked = g.granted = 100;
    report(&g, 100, 50);
    assert_true(governor_tick(&g, SECOND, 0.8));
    assert_true(g.factor > 0.5);
    near(g.window, 10);
}

/* Of n streams in turn; what is granted is done at once, or stays under way. */
static int grants(Governor *g, GovernorShare *s, int n, double put_off, bool stay)
{
    int all = 0;
    for (int i = 0; i < n; i++) {
        all += governor_grants(g, &s[i], put_off);
        if (!stay)
            governor_close(g, &s[i], true);
    }
    return all;
}

static void grants_all_that_there_is_time_for(void **state)
{
    (void)state;
    enum { N = 50 };
    GovernorShare s[N] = {0};
    Governor g = governor_new(0);
    assert_int_equal(grants(&g, s, N, 0, true), N); /* no overload: all, and it does not count */
    assert_int_equal(g.open, 0);
    g = lowered(0.5, 10);
    assert_int_equal(grants(&g, s, N, 0, false), N); /* nothing is under way, whatever the factor .. */
    assert_int_equal(g.open, 0);
    memset(s, 0, sizeof s);
    const int n = grants(&g, s, N, 0, true);
    print_message("%d under way beside a window of 10\n", n);
    assert_in_range(n, 8, 10); /* .. until the window is full */
    assert_int_equal(g.open, n);
    for (int i = 0; i < N; i++) {
        governor_close(&g, &s[i], true);
        governor_close(&g, &s[i], true); /* it counts once */
    }
    assert_int_equal(g.open, 0);
}

static void gives_to_who_had_least(void **state)
{
    (void)state;
    Governor g = lowered(0.3, 10);
    GovernorShare poor = {.credit = 0.9}, rich = {.credit = -0.9};
    g.open = 8;
    assert_false(governor_grants(&g, &rich, 0));
    assert_true(governor_grants(&g, &poor, 0));
    near(poor.credit, 0.2);
    near(rich.credit, -0.6);
    governor_close(&g, &poor, false); /* it came to nothing */
    near(poor.credit, 1.2);
    assert_true(governor_grants(&g, &poor, 0));
    near(poor.credit, 0.5);
    g.open = 1000;
    for (int i = 0; i < 100; i++)
        assert_false(governor_grants(&g, &poor, 0));
    near(poor.credit, GOVERNOR_CREDIT); /* who asked in vain does not take all afterwards */
}

/* A keyframe every fourth point; the others are dear. */
static void waits_for_what_is_cheap(void **state)
{
    (void)state;
    Governor g = lowered(0.2, 10);
    GovernorShare s = {0};
    int cheap = 0, dear = 0;
    g.open = 10;
    for (int i = 0; i < 400; i++) {
        const bool key = i % 4 == 0, yes = governor_grants(&g, &s, key ? 0 : 4);
        g.open = 10;
        cheap += key && yes;
        dear += !key && yes;
    }
    assert_in_range(cheap, 78, 80);
    assert_int_equal(dear, 0);
    for (int i = 0; i < 400; i++, g.open = 10) /* no keyframe comes: it does not wait for ever, nor takes less */
        dear += governor_grants(&g, &s, 4);
    assert_in_range(dear, 78, 81);
}

/* One period with a share granted, beside workers that are busy. */
static bool period(Governor *g, int asked, int granted, double busy)
{
    g->asked = asked;
    g->granted = granted;
    return governor_tick(g, g->since + SECOND, g->busy_then + busy);
}

static void follows_what_is_granted(void **state)
{
    (void)state;
    Governor g = lowered(0.8, 10);
    for (int i = 0; i < 60; i++)
        period(&g, 100, 40, 0.99);
    near(round(g.factor * 1e6), 4e5);
    near(g.window, 10);
    for (int i = 0; i < 60; i++) {
        g.credits = 100; /* one for each that asks */
        period(&g, 100, 40, 0.99);
    }
    near(round(g.factor * 1e6), 3.5e5); /* they come down */
    int periods = 0;
    for (; g.factor < 1; periods++) {
        g.credits = -100;
        period(&g, 100, 100, 0.5);
    }
    print_message("over after %d s\n", periods);
    assert_in_range(periods, 1, 15);
    g = lowered(0.5, 10);
    GovernorShare s = {0};
    for (int i = 0; i < 3; i++)
        governor_miss(&g, &s); /* not granted, and its credit rises */
    assert_int_equal(g.asked, 3);
    assert_int_equal(g.late, 0);
    near(s.credit, 1.5);
    g = governor_new(0);
    governor_miss(&g, &s);
    assert_int_equal(g.late, 1);
    assert_false(period(&g, 0, 0, 0.5));
}

static void window_is_as_wide_as_needed(void **state)
{
    (void)state;
    Governor g = lowered(0.5, 10);
    g.open = g.most = 9;
    report(&g, 100, 0);
    period(&g, 100, 50, 0.95);
    near(g.window, 10 * 1.05); /* time was left */
    report(&g, 100, 0);
    period(&g, 100, 50, 0.99);
    near(g.window, 10 * 1.05); /* none was */
    report(&g, 100, 10);
    period(&g, 100, 50, 0.99);
    near(g.window, 10 * 1.05 * 0.9); /* and some were late */
    for (int i = 0; i < 50; i++) {
        report(&g, 100, 100);
        period(&g, 100, 1, 1);
    }
    near(g.window, 2);
    assert_true(g.factor >= GOVERNOR_MIN);
}

static void clocks(void **state)
{
    (void)state;
    int64_t now = 5;
    const Clock v = clock_virtual(&now), m = clock_machine();
    assert_int_equal(clock_now(&v), 5);
    now = 9;
    assert_int_equal(clock_now(&v), 9);
    const int64_t a = clock_now(&m), b = clock_now(&m);
    assert_true(a > 0 && b >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_with_what_was_late),
        cmocka_unit_test(what_is_late_although_there_is_time_is_its_own_fault),
        cmocka_unit_test(grants_all_that_there_is_time_for),
        cmocka_unit_test(gives_to_who_had_least),
        cmocka_unit_test(waits_for_what_is_cheap),
        cmocka_unit_test(follows_what_is_granted),
        cmocka_unit_test(window_is_as_wide_as_needed),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
