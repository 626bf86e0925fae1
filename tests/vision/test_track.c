/* The tracker on scenes whose truth is known: the same scene gives the same tracks at every rate of
 * samples. */
#include "check.h"

#include <math.h>
#include <stdbool.h>

#include "vision/track.h"

#define MOST 64
#define CONFIRM 500000
#define LOST 2000000

static const int rates[] = {2, 5, 10, 25};

static Tracker *tracker(Arena *a)
{
    const TrackOptions opt = {.high = 0.5, .iou = 0.45, .confirm = CONFIRM, .lost = LOST};
    return tracker_new(a, &opt, MOST);
}

static TrackSeen box(double cx, double cy, double side)
{
    return (TrackSeen){.x = (float)(cx - side / 2),
                       .y = (float)(cy - side / 2),
                       .width = (float)side,
                       .height = (float)side,
                       .score = 0.9f,
                       .label = 1};
}

/* ---- scenes by hand ---- */

/* Two that cross come out as they went in. */
static void two_cross(void **state)
{
    (void)state;
    for (int r = 0; r < 4; r++) {
        Arena *const a = arena_new();
        Tracker *const t = tracker(a);
        int64_t left = 0, right = 0;
        for (int i = 0; i <= 8 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            const TrackSeen seen[] = {box(100 + 60 * s, 200 + 4 * s, 60),
                                      box(580 - 60 * s, 230 + 4 * s, 60)};
            /* the detector gives one for both */
            const bool merged = fabs((double)(seen[0].x - seen[1].x)) < 15;
            int64_t track[2];
            tracker_step(t, (int64_t)(s * 1e6), seen, merged ? 1 : 2, track);
            if (s > 0.9 && s < 1.1) {
                left = track[0];
                right = track[1];
                assert_true(left > 0 && right > 0 && left != right);
            }
            if (s > 7) {
                assert_int_equal(track[0], left);
                assert_int_equal(track[1], right);
            }
        }
        arena_free(a);
    }
}

/* What is seen for less than `confirm`, however often, is nobody, takes no number, and is not away
 * afterwards. */
static void flicker(void **state)
{
    (void)state;
    for (int r = 0; r < 4; r++) {
        Arena *const a = arena_new();
        Tracker *const t = tracker(a);
        const TrackSeen steady = box(500, 500, 80);
        int64_t number = 0;
        for (int i = 0; i <= 20 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            const bool shows = fmod(s, 2.5) < 0.35; /* one sample at 2 a second, nine at 25 */
            const TrackSeen seen[] = {steady, box(100, 100, 50)};
            int64_t track[2] = {0};
            const int64_t *away;
            tracker_step(t, (int64_t)(s * 1e6), seen, shows ? 2 : 1, track);
            assert_int_equal(track[1], 0);
            assert_int_equal(tracker_away(t, &away), 0);
            number = track[0];
        }
        assert_int_equal(number, 1);
        arena_free(a);
    }
}

/* Durations are seconds: when a track is confirmed, how long it is away, when it is lost. */
static void durations(void **state)
{
    (void)state;
    for (int r = 0; r < 4; r++) {
        Arena *const a = arena_new();
        Tracker *const t = tracker(a);
        const TrackSeen seen = box(100, 100, 50);
        double confirmed = -1, gone = -1;
        int64_t track;
        const int64_t *away;
        for (int i = 0; i <= 10 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            tracker_step(t, (int64_t)llround(s * 1e6), &seen, s <= 3, &track);
            if (s <= 3 && track > 0 && confirmed < 0)
                confirmed = s;
            if (s > 3 && tracker_away(t, &away) == 0 && gone < 0)
                gone = s;
            if (s > 3 && gone < 0)
                assert_int_equal(away[0], 1);
        }
        const double step = 1.0 / rates[r];
        assert_true(confirmed >= 0.5 && confirmed < 0.5 + step);
        assert_true(gone > 5 && gone <= 5 + 2 * step);
        arena_free(a);
    }
}

/* Numbers are not used again before a reset; what was lost comes back as another. */
static void numbers(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Tracker *const t = tracker(a);
    const TrackSeen seen = box(100, 100, 50);
    int64_t track = 0, now = 0;
    for (int life = 1; life <= 5; life++) {
        for (int i = 0; i < 10; i++, now += 200000)
            tracker_step(t, now, &seen, 1, &track);
        assert_int_equal(track, life);
        if (life % 2)
            tracker_forget(t);
        for (int i = 0; i < 20; i++, now += 200000)
            tracker_step(t, now, &seen, 0, &track);
    }
    tracker_reset(t);
    for (int i = 0; i < 10; i++, now += 200000)
        tracker_step(t, now, &seen, 1, &track);
    assert_int_equal(track, 1);
    arena_free(a);
}

/* Half hidden: hardly seen, it stays who it was. But what is hardly seen begins nothing. */
static void hardly_seen(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Tracker *const t = tracker(a);
    int64_t track[2];
    for (int i = 0; i < 100; i++) {
        TrackSeen seen[] = {box(100 + i, 100, 50), box(400 + i, 100, 50)};
        seen[0].score = i > 20 ? 0.2f : 0.9f;
        seen[1].score = 0.3f;
        tracker_step(t, i * 100000, seen, 2, track);
        assert_int_equal(track[0], i >= 5);
        assert_int_equal(track[1], 0);
    }
    arena_free(a);
}

/* Another label is another object, and two boxes on one object are one. */
static void labels_and_doubles(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Tracker *const t = tracker(a);
    int64_t track[3];
    for (int i = 0; i < 20; i++) {
        TrackSeen seen[] = {box(100, 100, 50), box(103, 100, 50), box(100, 100, 50)};
        seen[2].label = 2;
        tracker_step(t, i * 100000, seen, 3, track);
    }
    assert_true(track[0] + track[1] > 0 && track[0] * track[1] == 0); /* one of the two */
    assert_true(track[2] > 0 && track[2] != track[0] && track[2] != track[1]);
    arena_free(a);
}

/* Hundreds at a time are bounded, and extreme boxes do no harm. */
static void many(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Tracker *const t = tracker(a);
    TrackSeen seen[MOST];
    int64_t track[MOST];
    for (int i = 0; i < 30; i++) {
        for (int k = 0; k < MOST; k++)
            seen[k] = box(20.0 * k + (i % 3) * 1000, 10 * i, k % 7 ? 10 : 0);
        seen[5] = box(1e30, -1e30, 1e30);
        seen[6].width = -5;
        tracker_step(t, i * 100000, seen, MOST, track);
        for (int k = 0; k < MOST; k++)
            for (int j = 0; j < k; j++)
                assert_true(track[k] == 0 || track[k] != track[j]);
    }
    arena_free(a);
}

/* ---- scenes by chance ---- */

typedef struct Thing { /* moves on a line from one time to another */
    double from, to, x, y, vx, vy, width, height;
    double hidden_from, hidden_to; /* behind something */
} Thing;

#define THINGS 12
#define SECONDS 40

typedef struct Scene {
    Thing thing[THINGS];
} Scene;

static double dice(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) / 9007199254740992.0;
}

static void place(const Thing *k, double now, double *x, double *y)
{
    /* as who walks sways */
    const double life = now - k->from, sway = 0.2 * k->width * sin(2 * life);
    *x = k->x + k->vx * life + sway;
    *y = k->y + k->vy * life + sway;
}

/* Nobody could tell them apart: one appears where the other has just been, or they go together. */
static bool like_one(const Thing *a, const Thing *b)
{
    double x0, y0, x1, y1;
    const double near = 2.5 * fmax(fmax(a->width, a->height), fmax(b->width, b->height));
    const double times[] = {a->from, a->to, b->from, b->to};
    for (int i = 0; i < 4; i++) {
        const double now = times[i], away = 2.5;
        if (now < fmax(a->from, b->from) - away || now > fmin(a->to, b->to) + away)
            continue;
        place(a, fmin(fmax(now, a->from), a->to), &x0, &y0);
        place(b, fmin(fmax(now, b->from), b->to), &x1, &y1);
        if (hypot(x0 - x1, y0 - y1) < near)
            return true;
    }
    const bool both = fmax(a->from, b->from) < fmin(a->to, b->to);
    return both && hypot(a->vx - b->vx, a->vy - b->vy) < 0.7 * fmin(a->width, b->width);
}

static Thing thing_new(uint64_t *seed)
{
    const double side = 40 + 60 * dice(seed), from = (SECONDS - 12) * dice(seed),
                 angle = 6.2832 * dice(seed);
    const double speed = side * (0.2 + 0.8 * dice(seed)), long_for = 4 + 8 * dice(seed),
                 hidden = from + 2 + dice(seed) * (long_for - 3);
    return (Thing){.from = from,
                   .to = from + long_for,
                   .x = 1280 * dice(seed),
                   .y = 720 * dice(seed),
                   .vx = speed * cos(angle),
                   .vy = speed * sin(angle),
                   .width = side,
                   .height = side * (1 + dice(seed)),
                   .hidden_from = hidden,
                   .hidden_to = hidden + 0.8 * dice(seed)};
}

static Scene scene_new(uint64_t seed)
{
    Scene s;
    for (int i = 0; i < THINGS;) {
        s.thing[i] = thing_new(&seed);
        bool good = true;
        for (int k = 0; k < i && good; k++)
            good = !like_one(&s.thing[i], &s.thing[k]);
        i += good;
    }
    return s;
}

static double iou(const TrackSeen *p, const TrackSeen *q)
{
    const double w = (double)(fminf(p->x + p->width, q->x + q->width) - fmaxf(p->x, q->x));
    const double h = (double)(fminf(p->y + p->height, q->y + q->height) - fmaxf(p->y, q->y));
    const double both = (double)(p->width * p->height + q->width * q->height);
    return w > 0 && h > 0 ? w * h / (both - w * h) : 0;
}

/* What a detector sees: a tenth is missed, an eighth is hardly seen, places are a little off, and
 * what overlaps is one. `of`: which thing each is; -1: none, a flash. */
static int look(const Scene *s, double now, uint64_t *seed, TrackSeen *seen, int *of)
{
    int n = 0;
    for (int i = 0; i < THINGS; i++) {
        const Thing *const k = &s->thing[i];
        double x, y;
        place(k, now, &x, &y);
        if (now < k->from || now > k->to || (now > k->hidden_from && now < k->hidden_to) ||
            dice(seed) < 0.1)
            continue;
        const double off = 0.03 * k->width;
        TrackSeen b = {.x = (float)(x + off * (2 * dice(seed) - 1)),
                       .y = (float)(y + off * (2 * dice(seed) - 1)),
                       .width = (float)(k->width * (0.95 + 0.1 * dice(seed))),
                       .height = (float)(k->height * (0.95 + 0.1 * dice(seed))),
                       .score = dice(seed) < 0.12 ? 0.3f : 0.8f, .label = 1};
        bool merged = false;
        for (int j = 0; j < n && !merged; j++)
            merged = iou(&b, &seen[j]) > 0.45;
        if (merged)
            continue;
        of[n] = i;
        seen[n++] = b;
    }
    if (dice(seed) < 0.05) {
        of[n] = -1;
        seen[n++] =
            (TrackSeen){(float)(1200 * dice(seed)), (float)(700 * dice(seed)), 60, 60, 0.7f, 1};
    }
    return n;
}

typedef struct Tally {
    int tracks;   /* numbers given */
    int things;   /* that had a track at all */
    int switches; /* a thing's track became another */
    int flashes;  /* with a track of their own */
} Tally;

static Tally follow(const Scene *s, int rate, uint64_t seed)
{
    Arena *const a = arena_new();
    Tracker *const t = tracker(a);
    Tally out = {0};
    int64_t last[THINGS] = {0}, most = 0;
    for (int i = 0; i <= SECONDS * rate; i++) {
        const double now = (double)i / rate;
        TrackSeen seen[MOST];
        int of[MOST];
        int64_t track[MOST];
        const int n = look(s, now, &seed, seen, of);
        tracker_step(t, (int64_t)llround(now * 1e6), seen, n, track);
        for (int k = 0; k < n; k++) {
            if (track[k] == 0)
                continue;
            out.flashes += of[k] < 0 && track[k] > most;
            most = track[k] > most ? track[k] : most;
            if (of[k] < 0)
                continue;
            out.things += last[of[k]] == 0;
            out.switches += last[of[k]] != 0 && last[of[k]] != track[k];
            last[of[k]] = track[k];
        }
    }
    out.tracks = (int)most;
    arena_free(a);
    return out;
}

static void the_same_counts_at_every_rate(void **state)
{
    (void)state;
    enum { SCENES = 60 };
    for (int r = 0; r < 4; r++) {
        Tally all = {0};
        int other = 0;
        for (uint64_t seed = 1; seed <= SCENES; seed++) {
            const Scene s = scene_new(seed * 9176 + 3);
            const Tally t = follow(&s, rates[r], seed * 1000003 + (uint64_t)rates[r]);
            all.tracks += t.tracks;
            all.things += t.things;
            all.switches += t.switches;
            all.flashes += t.flashes;
            other += t.tracks != THINGS;
        }
        print_message("%2d a second: %d things, %d found, %d tracks, %d switches, %d flashes; %d "
                      "of %d scenes with another "
                      "count\n",
                      rates[r], SCENES * THINGS, all.things, all.tracks, all.switches, all.flashes,
                      other, SCENES);
        /* Each is one track, but where two that look alike meet; at two a second some are hardly
         * seen twice running, and flashes may follow each other. */
        const int may = rates[r] == 2 ? SCENES / 10 : SCENES / 20;
        assert_true(other <= may && abs(all.tracks - SCENES * THINGS) <= may &&
                    all.switches <= 2 * may && all.flashes <= may / 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_cross),   cmocka_unit_test(flicker),
        cmocka_unit_test(durations),   cmocka_unit_test(numbers),
        cmocka_unit_test(hardly_seen), cmocka_unit_test(labels_and_doubles),
        cmocka_unit_test(many),        cmocka_unit_test(the_same_counts_at_every_rate),
    };
    return cmocka_run_group_tests_name("track", tests, NULL, NULL);
}
