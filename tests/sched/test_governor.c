/* The factor of rates: down at once by what was late, up slowly; and what a clock is. */
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

static void falls_by_what_was_late(void **state)
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
    assert_int_equal(g.done, 0);
    report(&g, 100, 100); /* begun before it fell: not counted */
    assert_false(governor_tick(&g, 2 * SECOND, 2.0));
    assert_int_equal(g.done, 0);
    report(&g, 60, 60); /* too few to go by, until four periods are over */
    assert_false(governor_tick(&g, 3 * SECOND, 3.0));
    assert_true(governor_tick(&g, 6 * SECOND, 6.0));
    near(g.factor, 0.3); /* to a half at most */
    for (int i = 7; i < 30; i++) {
        report(&g, 100, 100);
        governor_tick(&g, i * SECOND, i);
    }
    near(g.factor, GOVERNOR_MIN);
}

static void what_is_late_although_there_is_time_is_its_own_fault(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    report(&g, 100, 50);
    assert_false(governor_tick(&g, SECOND, 0.8));
    near(g.factor, 1);
    g.factor = 0.5;
    report(&g, 100, 50);
    assert_true(governor_tick(&g, 2 * SECOND, 1.6));
    assert_true(g.factor > 0.5);
}

static void rises_to_where_there_is_no_time_left(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    g.factor = 0.2;
    assert_true(governor_tick(&g, SECOND, 0.2)); /* most of the time is left; by how few samples does not matter */
    near(g.factor, 0.3);
    report(&g, 100, 0);
    assert_true(governor_tick(&g, 2 * SECOND, 0.9));
    near(g.factor, 0.3 * 0.8 / 0.7);
    report(&g, 100, 0);
    assert_true(governor_tick(&g, 3 * SECOND, 1.9)); /* none is left */
    near(g.factor, 0.3 * 0.8 / 0.7 * 1.01);
    const double before = g.factor;
    report(&g, 200, 5); /* a little late: about right */
    assert_false(governor_tick(&g, 4 * SECOND, 2.9));
    near(g.factor, before);
    for (int i = 5; i < 30; i++) {
        report(&g, 100, 0);
        governor_tick(&g, i * SECOND, 2.9 + i * 0.1);
    }
    near(g.factor, 1);
    report(&g, 100, 0);
    assert_false(governor_tick(&g, 30 * SECOND, 6)); /* never more */
}

static void is_careful_where_it_fell(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    g.factor = 0.5;
    report(&g, 100, 50);
    assert_true(governor_tick(&g, SECOND, 1));
    near(g.factor, 0.25);
    governor_tick(&g, 2 * SECOND, 1.1);
    report(&g, 100, 0);
    assert_true(governor_tick(&g, 3 * SECOND, 1.2));
    near(g.factor, 0.375); /* far below: quickly */
    assert_true(governor_tick(&g, 4 * SECOND, 1.3));
    near(g.factor, 0.375 * 1.08); /* near it: slowly, though nobody has anything to do .. */
    for (int i = 5; g.factor < 0.5 && i < 20; i++)
        governor_tick(&g, i * SECOND, 1.3 + 0.1 * (i - 4));
    const double before = g.factor;
    const int64_t now = g.since + SECOND;
    governor_tick(&g, now, g.busy_then + 0.1);
    near(g.factor, 1.5 * before); /* .. until it was not too much this time */
}

static void grants_an_even_share(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    double credit = governor_phase(3);
    for (int i = 0; i < 10; i++)
        assert_true(governor_grants(&g, &credit, 0)); /* all, whatever the phase */
    g.factor = 0.3;
    int granted[50] = {0}, all = 0;
    for (int stream = 0; stream < 100; stream++) {
        credit = governor_phase(stream);
        int n = 0;
        for (int i = 0; i < 50; i++) {
            const bool yes = governor_grants(&g, &credit, 0);
            granted[i] += yes;
            n += yes;
        }
        assert_in_range(n, 14, 16);
        all += n;
    }
    assert_in_range(all, 1450, 1550);
    for (int i = 0; i < 50; i++) /* of 100 streams, at every moment about 30 */
        assert_in_range(granted[i], 27, 33);
}

/* A keyframe every fourth point; the others are dear. */
static void waits_for_what_is_cheap(void **state)
{
    (void)state;
    Governor g = governor_new(0);
    g.factor = 0.2;
    double credit = 0;
    int cheap = 0, dear = 0;
    for (int i = 0; i < 400; i++) {
        const bool key = i % 4 == 0, yes = governor_grants(&g, &credit, key ? 0 : 4);
        cheap += key && yes;
        dear += !key && yes;
    }
    assert_in_range(cheap, 78, 80);
    assert_int_equal(dear, 0);
    for (int i = 0; i < 400; i++) /* no keyframe comes: it does not wait for ever, nor takes less */
        dear += governor_grants(&g, &credit, 4);
    assert_in_range(dear, 78, 81);
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
        cmocka_unit_test(falls_by_what_was_late),
        cmocka_unit_test(what_is_late_although_there_is_time_is_its_own_fault),
        cmocka_unit_test(rises_to_where_there_is_no_time_left),
        cmocka_unit_test(is_careful_where_it_fell),
        cmocka_unit_test(waits_for_what_is_cheap),
        cmocka_unit_test(grants_an_even_share),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
