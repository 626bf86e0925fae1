/* The spotlight of an engine: whose time counts, and that threads change nothing. */
#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "sched/clock.h"
#include "watch/spotlight_desk.h"

#define MS(x) ((int64_t)(x) * 1000)

typedef struct Told {
    Arena *arena;
    Str out;
    int n, offline;
    int64_t wall;
} Told;

static void on_change(void *arg, const DeskChange *d)
{
    Told *const t = arg;
    const SpotlightChange *const c = d->change;
    if (d->offline)
        str_addf(&t->out, "%lld ", (long long)c->t / 1000);
    str_addf(&t->out, "%s>%s %g %s|", c->previous ? c->previous : "-", c->stream ? c->stream : "-",
             c->score, spotlight_cause_text(c->cause));
    t->n++;
    t->offline += d->offline;
    t->wall = d->wall;
}

static Desk *open_desk(Told *t)
{
    *t = (Told){.arena = arena_new()};
    t->out = str_new(t->arena);
    return desk_new(on_change, t);
}

static const char *close_desk(Desk *d, const Told *t)
{
    desk_end(d);
    return str_text((Str *)&t->out);
}

static const SpotlightBy by = {.min_dwell = 1000000, .stale = 60000000, .margin = 5};

static DeskSeat *join(Desk *d, const char *name, bool offline)
{
    DeskSeat *s = NULL;
    Error e;
    assert_int_equal(desk_join(d, name, &by, offline, &s, &e), 0);
    return s;
}

static void see(Desk *d, DeskSeat *s, int epoch, int64_t ms, double score)
{
    desk_see(d, s, epoch, MS(ms),
             &(SpotlightVerdict){.require = 1, .scored = true, .score = score});
}

/* ---- offline ---- */

static void test_waits_for_the_slowest(void **state)
{
    (void)state;
    Told t;
    Desk *const d = open_desk(&t);
    DeskSeat *const a = join(d, "a", true), *const b = join(d, "b", true);
    for (int i = 0; i < 20; i++)
        see(d, a, 0, 500 * i, 10);
    desk_tick(d);
    see(d, b, 0, 0, 1);
    see(d, b, 0, 500, 1);
    desk_tick(d);
    assert_string_equal(str_text(&t.out), ""); /* others may join */
    desk_begin(d);
    desk_tick(d);
    assert_string_equal(str_text(&t.out), "0 ->a 10 first|");
    for (int i = 2; i < 5; i++)
        see(d, b, 0, 500 * i, 15);
    desk_tick(d);
    assert_string_equal(str_text(&t.out), "0 ->a 10 first|1000 a>b 15 better|");
    desk_leave(d, b); /* after its last sample; what a said later counts from then */
    desk_tick(d);
    assert_string_equal(str_text(&t.out), "0 ->a 10 first|1000 a>b 15 better|2000 b>a 10 gone|");
    desk_leave(d, a);
    assert_string_equal(close_desk(d, &t),
                        "0 ->a 10 first|1000 a>b 15 better|2000 b>a 10 gone|9500 a>- 0 gone|");
    assert_true(t.offline == 4 && t.wall == 0);
    arena_free(t.arena);
}

static void test_epochs_follow(void **state)
{
    (void)state;
    Told t;
    Desk *const d = open_desk(&t);
    DeskSeat *const a = join(d, "a", true);
    desk_begin(d);
    see(d, a, 0, 0, 1);
    see(d, a, 0, 500, 1);
    see(d, a, 1, 70000, 1); /* half a second and a microsecond */
    see(d, a, 1, 71000, 1);
    desk_see(d, a, 1, MS(71500), &(SpotlightVerdict){.require = 0});
    desk_leave(d, a);
    assert_string_equal(close_desk(d, &t), "0 ->a 1 first|2000 a>- 0 require|");
    arena_free(t.arena);
}

enum { THREADS = 4, SAMPLES = 400 };

typedef struct Reader {
    Desk *desk;
    DeskSeat *seat;
    int number;
    bool dawdles;
} Reader;

static double score_of(int number, int i)
{
    return (double)((i * 7 + number * 31 + (i / 9) * 13 * (number + 1)) % 40);
}

static void *read_all(void *arg)
{
    const Reader *const r = arg;
    for (int i = 0; i < SAMPLES - 20 * r->number; i++) {
        const SpotlightVerdict v = {.require = i % 50 == 13 ? 0
                                               : i % 7 == 3 ? -1
                                                            : 1,
                                    .scored = i % 5 > 0,
                                    .score = score_of(r->number, i)};
        desk_see(r->desk, r->seat, 0, MS(250 * i), &v);
        if (r->dawdles && i % (20 + r->number) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 300000 * (r->number + 1)}, NULL);
    }
    desk_leave(r->desk, r->seat);
    return NULL;
}

static const char *read_by_threads(Arena *a, bool parallel)
{
    static const char *const name[THREADS] = {"a", "b", "c", "d"};
    Told t;
    Desk *const d = open_desk(&t);
    Reader r[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        r[i] =
            (Reader){.desk = d, .seat = join(d, name[i], true), .number = i, .dawdles = parallel};
    for (int i = 0; i < THREADS && parallel; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_all, &r[i]), 0);
    desk_begin(d);
    for (int i = 0; i < 30 && parallel; i++) {
        desk_tick(d);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        if (parallel)
            pthread_join(thread[i], NULL);
        else
            read_all(&r[i]);
    }
    const char *const out = arena_strdup(a, close_desk(d, &t));
    assert_true(t.n > 20);
    arena_free(t.arena);
    return out;
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const want = read_by_threads(a, false);
    for (int i = 0; i < 10; i++)
        assert_string_equal(read_by_threads(a, true), want);
    arena_free(a);
}

/* ---- by the clock ---- */

static void wait_steps(Desk *d, int n)
{
    for (int i = 0; i < 4 * n; i++) {
        nanosleep(&(struct timespec){.tv_nsec = DESK_STEP / 4 * 1000}, NULL);
        desk_tick(d);
    }
}

static void test_clock(void **state)
{
    (void)state;
    Told t;
    Desk *const d = open_desk(&t);
    DeskSeat *const a = join(d, "a", false), *const b = join(d, "b", false);
    const int64_t before = wall_now();
    see(d, b, 3, 99999, 7);
    see(d, a, 0, 0, 7); /* its own time counts for nothing, nor who came first within a step */
    wait_steps(d, 2);
    assert_non_null(strstr(str_text(&t.out), "->"));
    assert_true(t.offline == 0 && t.wall >= before - 2 * DESK_STEP && t.wall <= wall_now());
    SpotlightStatus now = desk_status(d, t.arena);
    assert_true(now.nrank == 2 && now.seconds >= 0 && now.seconds < 5 && now.changes == t.n);
    desk_rules(d, a,
               &(SpotlightBy){.min_dwell = 0, .stale = 60000000, .margin = 0}); /* another watch */
    desk_rules(d, b, &(SpotlightBy){.min_dwell = 0, .stale = 60000000, .margin = 0});
    see(d, b, 3, 99999, 8);
    wait_steps(d, 2);
    now = desk_status(d, t.arena);
    assert_string_equal(now.shown, "b");
    assert_string_equal(now.rank[0].name, "b");
    desk_stop(d); /* all leave at once, and nothing that is judged meanwhile counts */
    desk_leave(d, b);
    see(d, a, 0, 0, 70);
    wait_steps(d, 2);
    const int n = t.n;
    desk_leave(d, a);
    const char *const out = close_desk(d, &t);
    assert_int_equal(t.n, n + 1);
    assert_string_equal(out + strlen(out) - strlen("b>- 0 gone|"), "b>- 0 gone|");
    arena_free(t.arena);
}

/* Who is far ahead of the others is told so; what waits is bounded by that, and is weighed in the
 * end. */
static void test_ahead(void **state)
{
    (void)state;
    Told t;
    Desk *const d = open_desk(&t);
    DeskSeat *const fast = join(d, "fast", true), *const slow = join(d, "slow", true);
    desk_begin(d);
    see(d, slow, 0, 0, 1);
    int n = 0;
    for (; n < 10000 && !desk_ahead(fast); n++) {
        see(d, fast, 0, 1000 * n, n < 100 ? 2 : 3);
        if (n % 10 == 0)
            desk_tick(d);
    }
    assert_in_range(n, DESK_WAITING, DESK_WAITING + 20);
    assert_false(desk_ahead(slow));
    see(d, slow, 0, 50 * 1000, 40);
    desk_tick(d);
    assert_false(desk_ahead(fast));
    desk_leave(d, slow);
    desk_leave(d, fast);
    assert_string_equal(
        close_desk(d, &t),
        "0 ->fast 2 first|50000 fast>slow 40 better|50000 slow>fast 2 gone|255000 fast>- 0 gone|");
    arena_free(t.arena);
}

static void test_clocks_do_not_mix(void **state)
{
    (void)state;
    Told t;
    Desk *const d = open_desk(&t);
    DeskSeat *const a = join(d, "a", true), *none = NULL;
    Error e;
    desk_begin(d);
    assert_int_equal(desk_join(d, "b", &by, false, &none, &e), ERR_INVALID);
    assert_non_null(
        strstr(e.message, "stream 'b': files that are read as fast as can be (offline)"));
    see(d, a, 0, 0, 3);
    desk_leave(d, a);
    DeskSeat *b = NULL; /* the other has left: nobody asks whether that was told */
    assert_int_equal(desk_join(d, "b", &by, false, &b, &e), 0);
    see(d, b, 0, 0, 4);
    wait_steps(d, 2);
    desk_leave(d, b);
    wait_steps(d, 2);
    DeskSeat *const c = join(d, "c", true);
    see(d, c, 0, 1000, 5);
    desk_leave(d, c);
    assert_string_equal(
        close_desk(d, &t),
        "0 ->a 3 first|0 a>- 0 gone|->b 4 first|b>- 0 gone|1000 ->c 5 first|1000 c>- 0 gone|");
    arena_free(t.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_the_slowest),  cmocka_unit_test(test_epochs_follow),
        cmocka_unit_test(test_threads_change_nothing), cmocka_unit_test(test_clock),
        cmocka_unit_test(test_clocks_do_not_mix),     cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
