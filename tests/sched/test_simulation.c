/* Streams, a batcher, workers and the governor for ten minutes of a virtual clock, at loads below,
 * at and above what can be done.
 *
 * A stream wants samples at its own rate, one at a time, each within 300 ms; half of that it waits
 * for its turn. A batch takes up to a fifth more or less than the profile says, by chance; the
 * profile learns. */
#include "check.h"

#include <stddef.h>

#include "sched/batcher.h"
#include "sched/governor.h"
#include "sched/random.h"

#define STREAMS 200
#define WORKERS 2
#define SECOND 1000000
#define LATENCY (300 * 1000)
#define PATIENCE (LATENCY / 2)
#define END (600LL * SECOND)

typedef struct Stream {
    Request r;       /* one sample at a time */
    bool under_way;
    int64_t asked;   /* it waits for its turn since then; 0: it does not */
    double rate;     /* wanted, a second */
    int64_t next;
    GovernorShare share; /* of what the governor grants */
    int64_t wanted, judged, busy, late, skipped;
} Stream;

typedef struct Simulation {
    Arena *arena;
    uint64_t seed;
    double fixed, each, load; /* seconds of a batch; of the capacity */
    bool idle;       /* what the batcher is told */
    int64_t now;
    BatchProfile profile;
    Batcher *b;
    Governor governor;
    Stream stream[STREAMS];
    BatcherStep running[WORKERS];
    int64_t ends[WORKERS]; /* INT64_MAX: it is free */
    int64_t next_sample;   /* the earliest that is wanted */
    int64_t asked_again;   /* by a batcher that holds requests back */
    double busy;           /* seconds, of all workers */
    int64_t most, done;    /* latency, us; requests done */
    int64_t longest[10];   /* latency, by the minute */
} Simulation;

static double capacity(const Simulation *s) /* requests a second */
{
    return WORKERS * s->profile.max / (s->fixed + s->each * s->profile.max);
}

static void end_sample(Simulation *s, Stream *st, bool late)
{
    st->under_way = false;
    *(late ? &st->late : &st->judged) += 1;
    governor_close(&s->governor, &st->share, !late);
    governor_report(&s->governor, late);
}

static void end_batch(Simulation *s, int worker)
{
    for (int i = 0; i < s->running[worker].n; i++) {
        Stream *const st = (Stream *)s->running[worker].batch[i];
        const int64_t latency = s->now - st->r.arrival;
        int64_t *const longest = &s->longest[s->now / (60 * SECOND) % 10];
        *longest = *longest > latency ? *longest : latency;
        s->done++;
        end_sample(s, st, s->now > st->r.deadline);
    }
    s->ends[worker] = INT64_MAX;
}

static void begin_sample(Simulation *s, Stream *st)
{
    st->asked = 0;
    st->r =
        (Request){.arrival = s->now, .deadline = s->now + LATENCY, .source = (int)(st - s->stream)};
    st->under_way = true;
    batcher_add(s->b, &st->r);
}

static void leave_out(Simulation *s, Stream *st)
{
    st->asked = 0;
    st->skipped++;
    governor_close(&s->governor, &st->share, false);
}

static void want_sample(Simulation *s, Stream *st)
{
    st->next += (int64_t)(SECOND / st->rate);
    st->wanted++;
    if (st->asked > 0)
        leave_out(s, st);
    if (st->under_way) {
        st->busy++;
        governor_miss(&s->governor, &st->share);
    } else if (governor_ask(&s->governor, &st->share, 0)) {
        begin_sample(s, st);
    } else {
        st->asked = s->now;
    }
}

static void give_turns(Simulation *s)
{
    for (GovernorShare *share; (share = governor_next(&s->governor)) != NULL;)
        begin_sample(s, (Stream *)((char *)share - offsetof(Stream, share)));
}

static void want_samples(Simulation *s)
{
    if (s->now < s->next_sample)
        return;
    s->next_sample = INT64_MAX;
    for (int i = 0; i < STREAMS; i++) {
        Stream *const st = &s->stream[i];
        if (st->next <= s->now)
            want_sample(s, st);
        if (st->asked > 0 && st->asked + PATIENCE <= s->now)
            leave_out(s, st);
        const int64_t at =
            st->asked > 0 && st->asked + PATIENCE < st->next ? st->asked + PATIENCE : st->next;
        s->next_sample = s->next_sample < at ? s->next_sample : at;
    }
}

static void start_batches(Simulation *s)
{
    s->asked_again = INT64_MAX;
    for (int w = 0; w < WORKERS; w++) {
        if (s->ends[w] != INT64_MAX)
            continue;
        BatcherStep *const step = &s->running[w];
        batcher_next(s->b, s->now, s->idle, step);
        for (Request *r = step->dropped, *next; r; r = next) {
            next = r->next;
            end_sample(s, (Stream *)r, true);
        }
        if (step->n == 0) {
            s->asked_again = step->wake;
            return;
        }
        const double takes = (s->fixed + s->each * step->n) * (0.8 + 0.4 * random_unit(&s->seed));
        s->ends[w] = s->now + (int64_t)(takes * SECOND);
        s->busy += takes;
        batch_profile_add(&s->profile, step->n, takes);
    }
}

static int64_t next_event(const Simulation *s)
{
    int64_t at = s->asked_again < s->next_sample ? s->asked_again : s->next_sample;
    for (int w = 0; w < WORKERS; w++)
        at = at < s->ends[w] ? at : s->ends[w];
    return at;
}

static void simulate(Simulation *s)
{
    s->arena = arena_new();
    s->profile.max = 16;
    for (int n = 1; n <= 16; n *= 2)
        s->profile.seconds[n] = s->fixed + s->each * n;
    s->b = batcher_new(s->arena, &s->profile);
    s->governor = governor_new(0);
    double rates = 0;
    for (int i = 0; i < STREAMS; i++)
        rates += s->stream[i].rate = 1 + i % 4;
    for (int i = 0; i < STREAMS; i++) {
        s->stream[i].rate *= s->load * capacity(s) / rates;
        s->stream[i].next = random_below(&s->seed, SECOND);
        governor_join(&s->governor, &s->stream[i].share, i);
    }
    for (int w = 0; w < WORKERS; w++)
        s->ends[w] = INT64_MAX;
    for (s->now = 0; s->now < END; s->now = next_event(s)) {
        for (int w = 0; w < WORKERS; w++)
            if (s->ends[w] == s->now)
                end_batch(s, w);
        want_samples(s);
        give_turns(s);
        start_batches(s);
        governor_tick(&s->governor, s->now, s->busy / WORKERS);
    }
}

/* judged / wanted of the stream that fares worst and best. */
static void shares(const Simulation *s, double *least, double *most)
{
    *least = 1e9;
    *most = 0;
    for (int i = 0; i < STREAMS; i++) {
        const Stream *const st = &s->stream[i];
        const double share =
            (double)st->judged / (double)(st->wanted - st->under_way - (st->asked > 0));
        *least = share < *least ? share : *least;
        *most = share > *most ? share : *most;
        assert_int_equal(st->wanted, st->judged + st->late + st->busy + st->skipped +
                                         st->under_way + (st->asked > 0));
    }
}

/* enough: throughput, of what can be done; even: ratio of the streams' shares. */
static void check(double fixed, double each, double load, bool idle, double enough, double even)
{
    static Simulation s;
    s = (Simulation){.seed = 7, .fixed = fixed, .each = each, .load = load, .idle = idle};
    simulate(&s);
    double least, most;
    shares(&s, &least, &most);
    const double full = capacity(&s), rate = (double)s.done / 600;
    const double due = load < 1 ? load : 1;
    print_message("l(n) = %.1f + %.1f n ms, load %.1f%s: %.1f of %.1f a second (%.1f %%), judged "
                  "of wanted %.3f to %.3f,"
                  " longest %.0f ms\n",
                  fixed * 1e3, each * 1e3, load, idle ? "" : ", others wait", rate, full,
                  100 * rate / full, least, most, (double)s.longest[9] * 1e-3);
    assert_true(rate >= enough * due * full);
    assert_true(load > 0.9 || least > 0.999);
    assert_true(most / least < even);
    for (int m = 0; m < 10; m++) /* in time, but for batches that take longer than the profile
                                    says: 1.2 where it says 0.8 */
        assert_true(s.longest[m] < LATENCY * 15 / 10);
    arena_free(s.arena);
}

static void half_of_the_capacity(void **state)
{
    (void)state;
    check(0.002, 0.004, 0.5, true, 0.95, 1.2);
    check(0.020, 0.002, 0.5, false, 0.95, 1.2);
}

static void the_capacity(void **state)
{
    (void)state;
    check(0, 0.004, 1, true, 0.95, 1.2);
    check(0.002, 0.004, 1, false, 0.95, 1.2);
}

static void three_times_the_capacity(void **state)
{
    (void)state;
    check(0, 0.004, 3, true, 0.95, 1.1);      /* batches save nothing */
    check(0.002, 0.004, 3, true, 0.95, 1.1);
    check(0.020, 0.002, 3, false, 0.95, 1.1); /* batches save most */
    /* a request takes a tenth of the time there is for it */
    check(0.001, 0.030, 3, true, 0.95, 1.15);
}

/* ---- one source floods, and nobody governs ---- */

static void a_flood_takes_from_itself(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    BatchProfile profile = {.max = 8,
                            .seconds = {[1] = 0.005, [2] = 0.009, [4] = 0.017, [8] = 0.033}};
    Batcher *const b = batcher_new(a, &profile);
    enum { OTHERS = 10, FLOOD = 200 };
    static Request other[OTHERS], flood[FLOOD];
    bool waits[OTHERS] = {0}, floods[FLOOD] = {0};
    int64_t wanted = 0, done = 0, flooded = 0;
    for (int64_t now = 0; now < 60 * SECOND;) {
        /* four a second and source: a sixth of what can be done */
        for (int i = 0; i < OTHERS; i++) {
            if (waits[i] || (now / 250000) == (other[i].arrival - 1) / 250000)
                continue;
            other[i] = (Request){.arrival = now + 1, .deadline = now + LATENCY, .source = i};
            batcher_add(b, &other[i]);
            waits[i] = true;
            wanted++;
        }
        for (int i = 0; i < FLOOD; i++) { /* ever new ones, more urgent */
            if (floods[i])
                continue;
            flood[i] = (Request){.arrival = now, .deadline = now + LATENCY / 2, .source = 77};
            batcher_add(b, &flood[i]);
            floods[i] = true;
        }
        BatcherStep s;
        batcher_next(b, now, false, &s);
        for (const Request *r = s.dropped; r; r = r->next)
            *(r->source == 77 ? &floods[r - flood] : &waits[r - other]) = false;
        for (int i = 0; i < s.n; i++) {
            const Request *const r = s.batch[i];
            *(r->source == 77 ? &floods[r - flood] : &waits[r - other]) = false;
            *(r->source == 77 ? &flooded : &done) += 1;
        }
        now += s.n > 0 ? batch_profile_time(&profile, s.n) : 1000;
    }
    print_message("others: %lld of %lld, the flood %lld\n", (long long)done, (long long)wanted,
                  (long long)flooded);
    assert_true(done >= wanted * 98 / 100);
    assert_true(done + flooded >= 60 * 8 / 0.033 * 0.95);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_the_capacity),
        cmocka_unit_test(the_capacity),
        cmocka_unit_test(three_times_the_capacity),
        cmocka_unit_test(a_flood_takes_from_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
