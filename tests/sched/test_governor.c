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
    g.factor = g.each = factor;
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
    near(g.window, 6); /* what is done in 100 ms */
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
    near(g.narrow, 1);
}

/* Those whose turn comes. */
static int turns(Governor *g)
{
    int n = 0;
    while (governor_next(g))
        n++;
    return n;
}

static void as_many_are_under_way_as_fit(void **state)
{
    (void)state;
    enum { N = 50 };
    GovernorShare s[N] = {0};
    Governor g = governor_new(0);
    for (int i = 0; i < N; i++) /* no overload: all, and it does not count */
        assert_true(governor_ask(&g, &s[i], 0));
    assert_int_equal(g.open, 0);
    g = lowered(0.5, 10);
    for (int i = 0; i < N; i++) {
        assert_false(governor_ask(&g, &s[i], 0));
        assert_false(governor_ask(&g, &s[i], 0)); /* it asks again: that is the same sample */
    }
    assert_int_equal(g.asked, N);
    assert_int_equal(turns(&g), 10);
    assert_int_equal(g.open, 10);
    assert_int_equal(turns(&g), 0);
    for (int i = 0; i < N; i++) {
        const bool open = s[i].open;
        assert_int_equal(governor_ask(&g, &s[i], 0), open);
        governor_close(&g, &s[i], true);
        governor_close(&g, &s[i], true); /* it counts once */
        assert_false(s[i].waits || s[i].open);
    }
    assert_int_equal(g.open, 0);
    assert_null(g.first);
}

static void the_next_begins_when_one_ends(void **state)
{
    (void)state;
    GovernorShare s[3] = {{.credit = 0.2}, {.credit = 0.1}, {.credit = 0.3}};
    Governor g = lowered(0.5, 2);
    for (int i = 0; i < 3; i++)
        governor_ask(&g, &s[i], 0);
    assert_ptr_equal(governor_next(&g), &s[2]); /* had least */
    assert_ptr_equal(governor_next(&g), &s[0]);
    assert_null(governor_next(&g));
    governor_close(&g, &s[0], true);
    governor_withdraw(&g, &s[1]);
    assert_null(governor_next(&g)); /* nobody wants */
    governor_ask(&g, &s[1], 0);
    assert_ptr_equal(governor_next(&g), &s[1]);
    governor_ask(&g, &s[0], 0);
    g.factor = 1;
    assert_ptr_equal(governor_next(&g), &s[0]); /* overload is over */
    assert_false(s[0].open);
}

static void who_owes_waits(void **state)
{
    (void)state;
    GovernorShare rich = {.credit = 2.5}, poor = {.credit = 2 - GOVERNOR_DEBT - 0.6};
    Governor g = lowered(0.5, 10);
    g.usual = 2;
    governor_ask(&g, &poor, 0);
    assert_null(governor_next(&g)); /* though it is the first that asks */
    governor_ask(&g, &rich, 0);
    assert_ptr_equal(governor_next(&g), &rich);
    assert_null(governor_next(&g));
    governor_close(&g, &poor, false);
    governor_ask(&g, &poor, 0);
    assert_ptr_equal(governor_next(&g), &poor);
}

/* Who owes is passed over, also where what others wait for is dear. */
static void who_owes_holds_up_nobody(void **state)
{
    (void)state;
    GovernorShare dear = {.credit = 0.5}, poor = {.credit = -GOVERNOR_DEBT - 0.6};
    Governor g = lowered(0.5, 10);
    g.usual = 0;
    governor_ask(&g, &poor, 0);
    governor_ask(&g, &dear, 10 + GOVERNOR_DEBT);
    assert_ptr_equal(governor_next(&g), &dear);
    assert_null(governor_next(&g));
}

/* A turn that came, of a stream that is not ready for it after all, is free again; it costs nothing,
 * and the part for the point is not given twice. */
static void a_turn_that_is_withdrawn(void **state)
{
    (void)state;
    GovernorShare s = {.credit = 1};
    Governor g = lowered(0.5, 10);
    g.usual = 0;
    governor_ask(&g, &s, 0);
    const double before = s.credit;
    assert_ptr_equal(governor_next(&g), &s);
    assert_int_equal(g.open, 1);
    governor_withdraw(&g, &s);
    assert_int_equal(g.open, 0);
    assert_false(s.open);
    governor_ask(&g, &s, 0);
    assert_true(s.credit == before);
    governor_close(&g, &s, false);
}

/* More may be given back in a period than was granted in it. */
static void what_is_given_back_late(void **state)
{
    (void)state;
    GovernorShare s[4] = {0};
    Governor g = lowered(0.5, 10);
    g.usual = -INFINITY;
    for (int i = 0; i < 4; i++)
        governor_ask(&g, &s[i], 0);
    while (governor_next(&g))
        ;
    governor_tick(&g, g.since + GOVERNOR_PERIOD, 1);
    const double before = g.factor;
    governor_ask(&g, &(GovernorShare){0}, 0);
    for (int i = 0; i < 4; i++)
        governor_close(&g, &s[i], false);
    governor_tick(&g, g.since + GOVERNOR_PERIOD, 1);
    assert_true(g.factor >= before / 2 - 1e-9);
}

static double all_credits(const Governor *g, const GovernorShare *s, int n)
{
    double sum = g->pot;
    for (int i = 0; i < n; i++)
        sum += s[i].credit;
    return sum;
}

static void what_one_pays_the_others_have(void **state)
{
    (void)state;
    enum { N = 5 };
    GovernorShare s[N];
    Governor g = lowered(0.3, 1);
    for (int i = 0; i < N; i++)
        governor_join(&g, &s[i], i);
    near(all_credits(&g, s, N), 0);
    for (int k = 0; k < 1000; k++) {
        for (int i = 0; i < N; i++)
            governor_ask(&g, &s[i], 0);
        GovernorShare *const of = governor_next(&g);
        governor_close(&g, of, k % 7 != 0); /* sometimes it came to nothing */
        for (int i = 0; i < N; i++)
            governor_close(&g, &s[i], false);
        if (k % 10 == 9)
            governor_tick(&g, g.since + SECOND, g.busy_then + 0.99);
    }
    if (fabs(all_credits(&g, s, N)) > 1e-6)
        FAIL_MSG("%g", all_credits(&g, s, N));
    for (int i = 0; i < N; i++)
        assert_true(fabs(s[i].credit) < 1.5);
    for (int i = 0; i < N; i++)
        governor_leave(&g, &s[i]);
    assert_true(fabs(g.pot) < 1e-6);
    g.open = 1000;
    for (int i = 0; i < 100; i++) { /* who asked in vain does not take all afterwards */
        governor_ask(&g, &s[0], 0);
        governor_close(&g, &s[0], false);
    }
    near(s[0].credit, GOVERNOR_CREDIT);
}

/* Keyframes every fourth point, of one stream after the other; from one to the next points become
 * dearer. One has none. */
static void waits_for_what_is_cheap(void **state)
{
    (void)state;
    enum { N = 16 };
    GovernorShare s[N];
    int had[N] = {0}, cheap = 0, all = 0;
    Governor g = lowered(0.25, 4);
    for (int i = 0; i < N; i++)
        governor_join(&g, &s[i], i);
    for (int k = 0; k < 4000; k++) {
        for (int i = 0; i < N; i++)
            governor_ask(&g, &s[i], i == 0 ? 3 : (i + k) % 4);
        turns(&g);
        for (int i = 0; i < N; i++) {
            all += s[i].open;
            cheap += s[i].open && (i + k) % 4 == 0;
            had[i] += s[i].open;
            governor_close(&g, &s[i], true);
        }
    }
    print_message("%d of %d were cheap; who has none had %d, another %d\n", cheap, all, had[0],
                  had[1]);
    assert_int_equal(all, 4 * 4000);
    assert_true(cheap > 0.85 * all);
    for (int i = 0; i < N; i++)
        assert_in_range(had[i], 990, 1010);
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
    near(round(g.each * 1e6), 4e5);
    g.pot = -10; /* more was given than paid */
    period(&g, 100, 40, 0.99);
    near(round(g.each * 1e6), 3.8e5);
    int periods = 0;
    for (; g.factor < 1; periods++)
        period(&g, 100, 100, 0.5);
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

static void window_is_what_can_be_done_in_its_span(void **state)
{
    (void)state;
    Governor g = lowered(0.5, 10);
    for (int i = 0; i < 20; i++) {
        report(&g, 100, 0);
        period(&g, 200, 100, 1);
    }
    near(round(g.window * 1e3), 1e4);
    for (int i = 0; i < 20; i++) { /* half of the time was left: twice as much can be done */
        report(&g, 100, 0);
        period(&g, 200, 100, 0.5);
    }
    near(round(g.window * 1e3), 2e4);
    const double before = g.window;
    report(&g, 100, 20);
    period(&g, 200, 100, 1);
    assert_true(g.window < 0.7 * before); /* some were late */
    for (int i = 0; i < 20; i++) {
        report(&g, 100, 0);
        period(&g, 200, 100, 1);
    }
    near(round(g.window * 1e3), 1e4);
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
        cmocka_unit_test(as_many_are_under_way_as_fit),
        cmocka_unit_test(the_next_begins_when_one_ends),
        cmocka_unit_test(who_owes_waits),
        cmocka_unit_test(who_owes_holds_up_nobody),
        cmocka_unit_test(a_turn_that_is_withdrawn),
        cmocka_unit_test(what_is_given_back_late),
        cmocka_unit_test(what_one_pays_the_others_have),
        cmocka_unit_test(waits_for_what_is_cheap),
        cmocka_unit_test(follows_what_is_granted),
        cmocka_unit_test(window_is_what_can_be_done_in_its_span),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
