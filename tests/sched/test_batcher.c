/* Batches: profiles, single rules, and arrivals by chance with what must hold for each step. */
#include "check.h"

#include "sched/batcher.h"
#include "sched/random.h"

#define MS 1000

/* l(n) = fixed + n * each, ms. */
static BatchProfile profile_of(int max, double fixed, double each)
{
    BatchProfile p = {.max = max};
    for (int n = 1; n <= max; n++)
        p.seconds[n] = (fixed + each * n) * 1e-3;
    return p;
}

/* ---- profiles ---- */

static void what_was_not_measured_is_interpolated(void **state)
{
    (void)state;
    BatchProfile p = {.max = 16};
    assert_int_equal(batch_profile_time(&p, 16), 0);
    batch_profile_add(&p, 3, 0.015); /* no power of two: nothing is known yet */
    assert_int_equal(batch_profile_time(&p, 16), 0);
    p.seconds[2] = 0.010;
    assert_int_equal(batch_profile_time(&p, 1), 5 * MS);
    assert_int_equal(batch_profile_time(&p, 8), 40 * MS);
    p.seconds[1] = 0.008;
    p.seconds[8] = 0.022;
    assert_int_equal(batch_profile_time(&p, 1), 8 * MS);
    assert_int_equal(batch_profile_time(&p, 2), 10 * MS);
    assert_int_equal(batch_profile_time(&p, 4), 14 * MS);
    assert_int_equal(batch_profile_time(&p, 16), 38 * MS); /* 2 ms for each more */
    p.seconds[16] = 0.012; /* less for more: not believed */
    assert_int_equal(batch_profile_time(&p, 16), 22 * MS);
}

static void a_profile_follows_what_is_measured(void **state)
{
    (void)state;
    BatchProfile p = {.max = 8};
    batch_profile_add(&p, 1, 0.010);
    assert_int_equal(batch_profile_time(&p, 1), 10 * MS);
    batch_profile_add(&p, 1, 1.0); /* interrupted: counts as twice */
    assert_int_equal(batch_profile_time(&p, 1), 10625);
    for (int i = 0; i < 200; i++)
        batch_profile_add(&p, 1, 0.030);
    assert_in_range(batch_profile_time(&p, 1), 29900, 30000);
    batch_profile_add(&p, 2, 0); /* a clock too coarse to see it */
    assert_true(p.seconds[2] > 0);
    p = (BatchProfile){.max = 8, .seconds = {[1] = 0.010, [2] = 0.016, [4] = 0.028, [8] = 0.052}};
    for (int i = 0; i < 200; i++)
        batch_profile_add(&p, 1, 0.005); /* the machine has become faster */
    assert_in_range(batch_profile_time(&p, 1), 5000, 5010);
    /* by the square root of that, as long as it is not seen */
    assert_in_range(batch_profile_time(&p, 8), 35000, 38000);
    for (int i = 0; i < 400; i++) {
        batch_profile_add(&p, 3, 0.011);
        batch_profile_add(&p, 8, 0.026);
    }
    assert_in_range(batch_profile_time(&p, 3), 10500, 11500);
    assert_in_range(batch_profile_time(&p, 8), 25000, 27000);
}

/* ---- single rules ---- */

typedef struct Set {
    Arena *arena;
    BatchProfile profile;
    Batcher *b;
    BatcherStep step;
} Set;

static Set set_up(int max, double fixed, double each)
{
    Set s = {.arena = arena_new(), .profile = profile_of(max, fixed, each)};
    return s;
}

static void ask(Set *s, int64_t now, bool idle) { batcher_next(s->b, now, idle, &s->step); }

static void as_many_as_are_in_time(void **state)
{
    (void)state;
    Set s = set_up(16, 10, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request r[10];
    for (int i = 0; i < 10; i++) {
        r[i] = (Request){.arrival = i, .deadline = i == 9 ? 15 * MS : 100 * MS, .source = i};
        batcher_add(s.b, &r[i]);
    }
    ask(&s, 0, true);
    assert_int_equal(s.step.n, 5); /* 15 ms: the last that came is the first */
    assert_ptr_equal(s.step.batch[0], &r[9]);
    for (int i = 1; i < 5; i++)
        assert_ptr_equal(s.step.batch[i], &r[i - 1]);
    assert_int_equal(s.step.wake, 0); /* there are more */
    assert_int_equal(batcher_latest(s.b), 89 * MS);
    ask(&s, 0, true);
    assert_int_equal(s.step.n, 5);
    assert_int_equal(s.step.wake, INT64_MAX);
    ask(&s, 0, true);
    assert_int_equal(s.step.n, 0);
    const BatcherCounts c = batcher_counts(s.b);
    assert_int_equal(c.requests, 10);
    assert_int_equal(c.size[5], 2);
    assert_int_equal(c.dropped + c.waiting, 0);
    assert_int_equal(batcher_latest(s.b), INT64_MAX);
    arena_free(s.arena);
}

static void no_larger_than_what_gains(void **state)
{
    (void)state;
    Set s = set_up(16, 0, 5); /* a batch saves nothing */
    s.b = batcher_new(s.arena, &s.profile);
    Request r[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        r[i].deadline = 1000 * MS;
        batcher_add(s.b, &r[i]);
    }
    ask(&s, 0, false);
    assert_int_equal(s.step.n, 1);
    arena_free(s.arena);
}

static void sizes_are_tried(void **state)
{
    (void)state;
    Set s = set_up(16, 0, 0);
    s.profile = (BatchProfile){.max = 16};
    s.b = batcher_new(s.arena, &s.profile);
    static Request r[BATCH_TRY * 3][16];
    const int first[] = {1, 2, 4, 8, 16, 8};
    int others = 0;
    for (int i = 0; i < BATCH_TRY * 3; i++) {
        for (int k = 0; k < 16; k++) {
            r[i][k] = (Request){.deadline = INT64_MAX};
            batcher_add(s.b, &r[i][k]);
        }
        ask(&s, 0, true);
        if (i < 6)
            assert_int_equal(s.step.n, first[i]);
        else
            others += s.step.n != 8;
        /* 8 is best */
        batch_profile_add(&s.profile, s.step.n, s.step.n == 8 ? 0.001 * 8 : 0.002 * s.step.n);
        Request *rest = NULL;
        batcher_clear(s.b, &rest);
        for (int k = s.step.n; k < 16; k++, rest = rest->next)
            assert_ptr_equal(rest, &r[i][k]);
        assert_null(rest);
    }
    assert_int_equal(others, 3);
    arena_free(s.arena);
}

static void waits_as_long_as_company_saves(void **state)
{
    (void)state;
    Set s = set_up(16, 10, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request a = {.arrival = 0, .deadline = 100 * MS}, b = {.arrival = 4 * MS, .deadline = 22 * MS};
    batcher_add(s.b, &a);
    ask(&s, 0, false);
    assert_int_equal(s.step.n, 0);
    assert_int_equal(s.step.wake, 10 * MS); /* l(1) + l(1) - l(2) */
    batcher_add(s.b, &b);
    ask(&s, 4 * MS, false);
    assert_int_equal(s.step.n, 0);
    assert_int_equal(s.step.wake, 9 * MS); /* 22 ms - l(3) */
    ask(&s, 9 * MS, false);
    assert_int_equal(s.step.n, 2);
    Request c = {.arrival = 9 * MS, .deadline = 100 * MS};
    batcher_add(s.b, &c);
    ask(&s, 9 * MS, true); /* nobody else wants the processor */
    assert_int_equal(s.step.n, 1);
    arena_free(s.arena);
}

static void late_ones_are_given_up(void **state)
{
    (void)state;
    Set s = set_up(16, 10, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request a = {.deadline = 40 * MS}, b = {.deadline = 30 * MS}, c = {.deadline = 60 * MS},
            gone = {.deadline = 35 * MS};
    batcher_add(s.b, &a);
    batcher_add(s.b, &b);
    batcher_add(s.b, &c);
    batcher_add(s.b, &gone);
    batcher_remove(s.b, &gone);
    ask(&s, 30 * MS, true);
    assert_int_equal(s.step.n, 1);
    assert_ptr_equal(s.step.batch[0], &c);
    assert_ptr_equal(s.step.dropped, &b);
    assert_ptr_equal(b.next, &a);
    assert_null(a.next);
    assert_int_equal(batcher_counts(s.b).dropped, 2);
    arena_free(s.arena);
}

/* Requests so urgent that only one is in time would cost most of the time: after one was lost, a
 * large batch of others goes first. */
static void overload_prefers_large_batches(void **state)
{
    (void)state;
    Set s = set_up(8, 10, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request r[20];
    for (int i = 0; i < 20; i++) {
        r[i] = (Request){.deadline = i == 0 ? 0 : (12 + i) * MS, .source = i};
        batcher_add(s.b, &r[i]);
    }
    ask(&s, 1 * MS, true);
    assert_ptr_equal(s.step.dropped, &r[0]);
    assert_int_equal(s.step.n, 8);
    assert_ptr_equal(s.step.batch[0], &r[7]); /* 19 ms = 1 + l(8) */
    arena_free(s.arena);
}

static void sources_share(void **state)
{
    (void)state;
    Set s = set_up(4, 1, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request late = {.deadline = -1, .source = 9}, flood[30], other[2];
    batcher_add(s.b, &late);
    for (int i = 0; i < 30; i++) {
        flood[i] = (Request){.deadline = 50 * MS, .source = 1};
        batcher_add(s.b, &flood[i]);
    }
    for (int i = 0; i < 2; i++) {
        other[i] = (Request){.deadline = 60 * MS, .source = 2 + i};
        batcher_add(s.b, &other[i]);
    }
    ask(&s, 0, true);
    int others = 0;
    for (int i = 0; i < s.step.n; i++)
        others += s.step.batch[i]->source != 1;
    assert_int_equal(s.step.n, 4);
    assert_int_equal(others, 2);
    arena_free(s.arena);
}

/* What has no deadline takes what others leave. */
static void undated_ones_come_last(void **state)
{
    (void)state;
    Set s = set_up(4, 1, 1);
    s.b = batcher_new(s.arena, &s.profile);
    Request late = {.deadline = -1}, any = {.deadline = INT64_MAX, .source = 1},
            dated = {.deadline = 50 * MS, .source = 2};
    batcher_add(s.b, &late);
    batcher_add(s.b, &any);
    batcher_add(s.b, &dated);
    ask(&s, 0, true);
    assert_int_equal(s.step.n, 1);
    assert_ptr_equal(s.step.batch[0], &dated);
    ask(&s, 0, true);
    assert_ptr_equal(s.step.batch[0], &any);
    arena_free(s.arena);
}

/* ---- by chance ---- */

typedef struct Known { /* a request, and what became of it */
    Request r;
    bool added;
    int given;
} Known;

#define REQUESTS 400

static bool is_earliest(const Known *all, const BatcherStep *s)
{
    int64_t last = INT64_MIN, left = INT64_MAX;
    for (int i = 0; i < s->n; i++)
        last = last > s->batch[i]->deadline ? last : s->batch[i]->deadline;
    for (int i = 0; i < REQUESTS; i++)
        if (all[i].added && all[i].given == 0 && all[i].r.deadline < left)
            left = all[i].r.deadline;
    return last <= left;
}

typedef struct Walk {
    Known all[REQUESTS];
    BatchProfile profile;
    Batcher *b;
    int64_t strained_until;
    int left;
} Walk;

/* What must hold for a step at `now`. */
static void check_step(Walk *w, int64_t now, bool idle, const BatcherStep *s)
{
    const int64_t least = batch_profile_time(&w->profile, 1);
    for (const Request *r = s->dropped; r; r = r->next) {
        assert_true(r->deadline < now + least);
        assert_int_equal(((Known *)r)->given++, 0);
        w->strained_until = now + BATCH_STRAIN;
        w->left--;
    }
    assert_true(s->n <= w->profile.max);
    for (int i = 0; i < s->n; i++) {
        assert_true(((Known *)s->batch[i])->added);
        assert_int_equal(((Known *)s->batch[i])->given++, 0);
        if (s->batch[i]->deadline < now + batch_profile_time(&w->profile, s->n))
            FAIL_MSG("a batch of %d misses a deadline", s->n);
        w->left--;
    }
    if (s->n > 0 && now >= w->strained_until)
        assert_true(is_earliest(w->all, s));
    const int64_t waiting = batcher_counts(w->b).waiting;
    assert_int_equal(waiting, w->left);
    /* never idle while something waits */
    assert_true(s->n > 0 || waiting == 0 || (!idle && s->wake > now));
    assert_true((s->wake == INT64_MAX) == (waiting == 0));
    if (s->n == 0 && waiting > 0) { /* what is held back is in time, even in company */
        for (int i = 0; i < REQUESTS; i++)
            if (w->all[i].added && w->all[i].given == 0)
                assert_true(w->all[i].r.deadline >=
                            s->wake + batch_profile_time(&w->profile, (int)waiting + 1));
    }
}

static void walk(uint64_t seed)
{
    static Walk w;
    memset(&w, 0, sizeof w);
    Arena *const a = arena_new();
    w.profile = profile_of(1 + (int)random_below(&seed, 20), (double)random_below(&seed, 10),
                           0.5 + random_unit(&seed) * 5);
    w.b = batcher_new(a, &w.profile);
    w.strained_until = INT64_MIN;
    const int64_t gap = 1 + random_below(&seed, 12 * MS), slack = 1 + random_below(&seed, 200 * MS);
    const int sources = 1 + (int)random_below(&seed, 9);
    int64_t now = 0;
    for (int next = 0; next < REQUESTS || w.left > 0;) {
        for (; next < REQUESTS && w.all[next].r.arrival <= now; next++) {
            Known *const k = &w.all[next];
            const bool undated = random_below(&seed, 30) == 0;
            k->r.arrival = now;
            k->r.deadline = undated ? INT64_MAX : now + random_below(&seed, slack) + slack / 4;
            k->r.source = (int)random_below(&seed, sources);
            k->added = true;
            batcher_add(w.b, &k->r);
            w.left++;
            if (next + 1 < REQUESTS)
                w.all[next + 1].r.arrival = now + random_below(&seed, 2 * gap);
        }
        const bool idle = random_below(&seed, 2) == 0;
        BatcherStep s;
        batcher_next(w.b, now, idle, &s);
        check_step(&w, now, idle, &s);
        const int64_t arrival = next < REQUESTS ? w.all[next].r.arrival : INT64_MAX;
        if (s.n > 0) /* one worker, that is not always as quick as thought */
            now += batch_profile_time(&w.profile, s.n) * (90 + random_below(&seed, 40)) / 100;
        else if (s.wake < arrival || arrival < INT64_MAX)
            now = s.wake < arrival ? s.wake : arrival > now ? arrival : now;
    }
    const BatcherCounts c = batcher_counts(w.b);
    assert_int_equal(c.requests, REQUESTS);
    int64_t done = c.dropped;
    for (int n = 1; n <= BATCH_MAX; n++)
        done += n * c.size[n];
    assert_int_equal(done, REQUESTS);
    for (int i = 0; i < REQUESTS; i++)
        assert_int_equal(w.all[i].given, 1);
    arena_free(a);
}

static void arrivals_by_chance(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++)
        walk(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_measured_is_interpolated),
        cmocka_unit_test(a_profile_follows_what_is_measured),
        cmocka_unit_test(as_many_as_are_in_time),
        cmocka_unit_test(no_larger_than_what_gains),
        cmocka_unit_test(sizes_are_tried),
        cmocka_unit_test(waits_as_long_as_company_saves),
        cmocka_unit_test(late_ones_are_given_up),
        cmocka_unit_test(overload_prefers_large_batches),
        cmocka_unit_test(sources_share),
        cmocka_unit_test(undated_ones_come_last),
        cmocka_unit_test(arrivals_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
