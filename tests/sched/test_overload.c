/* Streams that have to be decoded, the governor, and two workers, for five minutes of a virtual clock: from what can just be
 * done to five times that.
 *
 * A stream wants two samples a second. A keyframe costs 10 ms to decode, what follows 26 ms a second of it, a sample 13 ms
 * besides: as 720p30 does on a machine of 2026. All have the same irregular keyframes, one stream a little after
 * the other, so that what they ask for comes in bursts. */
#include "check.h"

#include <math.h>

#include "sched/governor.h"

#define STREAMS 200
#define WORKERS 2
#define MINUTES 5
#define BEGIN 20000   /* ms, not counted */
#define LATENCY 300   /* ms */
#define STEP 500      /* ms from sample to sample */
#define BEHIND 400    /* ms behind which a point is passed over while the sample before is under way */

static const int spacing[] = {2000, 2000, 400, 2000, 1400, 900, 2000, 2000, 1100, 500, 2000, 2000, 1600, 700, 2000, 2000, 1000};

typedef struct Stream {
    GovernorShare share;
    int begin;              /* ms */
    int gop;                /* ms between its keyframes; 0: as above */
    int keys;               /* so far */
    int64_t key, next_key;  /* ms of its own time: the last one that has come, the one after it */
    int64_t point, last;    /* the next sample's; the last frame that was decoded */
    bool under_way;
    int64_t wanted, judged, late, busy, rate;
    int64_t in[MINUTES];    /* judged in each minute */
} Stream;

typedef struct Job {
    Stream *of;
    int64_t arrival;
    int cost; /* ms */
} Job;

typedef struct Simulation {
    int64_t now; /* ms */
    int streams;
    Governor governor;
    Stream stream[STREAMS];
    Job queue[STREAMS];
    int n;
    Job running[WORKERS];
    int64_t ends[WORKERS]; /* 0: it is free */
    double busy;           /* seconds */
    int64_t judged, worst; /* of what is counted: ms at most from arrival to end */
    double spent;          /* busy seconds when counting began */
} Simulation;

/* As watch/engine_stream.c does it. */
typedef struct Way {
    bool key, from_key;
    int64_t start;
    double put_off;
} Way;

static Way way_to(const Stream *s)
{
    Way w = {.from_key = s->key > s->last && s->key <= s->point};
    w.start = w.from_key ? s->key : s->last;
    const double beyond = (double)(s->point - w.start) / STEP - 1.1;
    w.key = w.from_key && beyond <= 0;
    if (beyond > 0 && s->gop < 5000)
        w.put_off = (double)(s->gop ? s->gop : 2000) / STEP * (w.from_key ? 2 : fmin(beyond, 1));
    return w;
}

static void pass_over(Stream *s, int64_t *counted)
{
    s->point += STEP;
    s->wanted++;
    ++*counted;
}

static void start_sample(Simulation *m, Stream *s, const Way *w, bool pull)
{
    const int64_t to = pull ? w->start : s->point;
    const double decoding = 0.026 * (double)(to - w->start) + (w->from_key ? 10 : 0);
    m->queue[m->n++] = (Job){s, m->now, (int)lrint(13 + decoding)};
    s->last = to;
    s->point += STEP;
    s->wanted++;
    s->under_way = true;
}

static void decide(Simulation *m, Stream *s)
{
    const int64_t t = m->now - s->begin;
    for (; s->next_key <= t; s->keys++) {
        s->key = s->next_key;
        s->next_key += s->gop ? s->gop : spacing[s->keys % (int)(sizeof spacing / sizeof *spacing)];
    }
    while (s->point <= t || m->governor.factor < 1) {
        const Way w = way_to(s);
        const bool pull = w.key && m->governor.factor < 1;
        if (s->under_way && t > s->point + BEHIND) {
            governor_miss(&m->governor, &s->share);
            pass_over(s, &s->busy);
        } else if (s->under_way || (s->point > t && !pull)) {
            return;
        } else if (governor_grants(&m->governor, &s->share, w.put_off)) {
            start_sample(m, s, &w, pull);
        } else {
            pass_over(s, &s->rate);
        }
    }
}

static void end_sample(Simulation *m, const Job *j, bool late)
{
    Stream *const s = j->of;
    s->under_way = false;
    *(late ? &s->late : &s->judged) += 1;
    governor_close(&m->governor, &s->share, !late);
    governor_report(&m->governor, late);
    if (late || m->now < BEGIN)
        return;
    const int64_t took = m->now - j->arrival;
    m->judged++;
    m->worst = took > m->worst ? took : m->worst;
    s->in[(m->now - BEGIN) / 60000]++;
}

/* What cannot be in time is not begun. */
static void work(Simulation *m, int worker)
{
    if (m->ends[worker] == m->now)
        end_sample(m, &m->running[worker], false);
    while (m->ends[worker] <= m->now && m->n > 0) {
        const Job j = m->queue[0];
        memmove(m->queue, m->queue + 1, (size_t)--m->n * sizeof j);
        if (m->now + j.cost > j.arrival + LATENCY) {
            end_sample(m, &j, true);
            continue;
        }
        m->running[worker] = j;
        m->ends[worker] = m->now + j.cost;
    }
    m->busy += m->ends[worker] > m->now ? 1e-3 : 0;
}

static void simulate(Simulation *m)
{
    m->governor = governor_new(0);
    for (int i = 0; i < m->streams; i++) {
        Stream *const s = &m->stream[i];
        s->share.credit = governor_phase(i);
        s->begin = 2000 * i / m->streams;
        s->point = STEP;
        s->last = s->key = -100000;
    }
    for (m->now = 1; m->now < BEGIN + MINUTES * 60000; m->now++) {
        for (int i = 0; i < m->streams; i++)
            if (m->now >= m->stream[i].begin)
                decide(m, &m->stream[i]);
        for (int w = 0; w < WORKERS; w++)
            work(m, w);
        if (m->now % 100 == 0)
            governor_tick(&m->governor, m->now * 1000, m->busy / WORKERS);
        if (m->now == BEGIN)
            m->spent = m->busy;
    }
}

/* The most that a stream had in a minute beside the fewest, of the worst minute. */
static double unfairness(const Simulation *m)
{
    double out = 1;
    for (int k = 0; k < MINUTES; k++) {
        int64_t most = 0, fewest = INT64_MAX;
        for (int i = 0; i < m->streams; i++) {
            const int64_t n = m->stream[i].in[k];
            most = n > most ? n : most;
            fewest = n < fewest ? n : fewest;
        }
        out = fmax(out, (double)most / (double)(fewest > 0 ? fewest : 1));
    }
    return out;
}

static Simulation sim; /* of the test that runs */

/* full: share of the workers' time. Returns samples a second. */
static double check(int streams, int sparse, double full, double unfair)
{
    sim = (Simulation){.streams = streams};
    for (int i = 0; i < streams && sparse > 0; i += sparse)
        sim.stream[i].gop = 8000;
    simulate(&sim);
    const double seconds = MINUTES * 60.0, rate = (double)sim.judged / seconds;
    const double busy = (sim.busy - sim.spent) / seconds / WORKERS;
    print_message("%d streams: %.1f a second, workers busy %.3f, within %.2f of each other, %lld ms at most, factor %.2f, window %.1f\n",
                  streams, rate, busy, unfairness(&sim), (long long)sim.worst, sim.governor.factor, sim.governor.window);
    int64_t late = 0;
    for (int i = 0; i < streams; i++) {
        const Stream *const s = &sim.stream[i];
        assert_int_equal(s->wanted, s->judged + s->late + s->busy + s->rate + s->under_way);
        late += s->late;
    }
    assert_true((double)late < 0.02 * (double)sim.judged);
    assert_true(busy >= full);
    assert_true(unfairness(&sim) <= unfair);
    return rate;
}

static void what_can_be_done_is_done(void **state)
{
    (void)state;
    const double rate = check(36, 0, 0.95, 1.05);
    assert_true(rate > 71.9);
}

static void more_than_can_be_done(void **state)
{
    (void)state;
    check(40, 0, 0.95, 1.2);
    check(50, 0, 0.97, 1.2);
    assert_true(check(60, 0, 0.97, 1.2) >= 0.95 * 75);
}

static void far_more(void **state)
{
    (void)state;
    assert_true(check(110, 0, 0.97, 1.2) >= 0.95 * 75);
    assert_true(check(180, 0, 0.97, 1.25) >= 0.95 * 75); /* a sample in two seconds each: one more in a minute is a thirtieth */
}

/* Every fourth stream has keyframes eight seconds apart: its samples are dearer, and as many. */
static void who_has_few_keyframes(void **state)
{
    (void)state;
    check(60, 4, 0.95, 1.3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_done_is_done),
        cmocka_unit_test(more_than_can_be_done),
        cmocka_unit_test(far_more),
        cmocka_unit_test(who_has_few_keyframes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
