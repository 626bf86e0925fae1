/* Which clips events make: the same parts as highlights of a stored video, though nobody knows what
 * comes. */
#include "check.h"

#include <stdlib.h>

#include "base/vec.h"
#include "engine_bench.h"
#include "watch/clip_plan.h"
#include "watch/highlight.h"

#define SECOND 1000000

static const char watch_text[] =
    "watch: {name: w, sample: {fps: 2, max_fps: 2}}\n"
    "signal: {a: {from: motion}}\n"
    "event:\n"
    "  none: {when: a}\n"
    "  kill: {when: a, emit: point, confirm: [1, 1], clip: {pre: 3s, post: 2s}}\n"
    "  round: {when: a, confirm: [2, 4], release: [3, 3], clip: {pre: 5s, post: 1s, weight: 4}}\n";

typedef struct Bench {
    Arena *arena;
    const Watch *watch;
    ClipPlan *plan;
    int nid;
    int64_t now;
} Bench;

static Bench bench(void)
{
    Bench b = {.arena = arena_new(), .now = INT64_C(1763774526437) * 1000};
    b.watch = bench_parse(b.arena, watch_text);
    b.plan = clip_plan_new(b.arena, "cam/1 ü", b.watch);
    return b;
}

static EventRecord record(const Bench *b, RecordKind kind, const char *event, uint64_t id,
                          int64_t start, int64_t end)
{
    return (EventRecord){.kind = kind,
                         .id = id,
                         .stream = "s",
                         .watch = b->watch,
                         .rule = &b->watch->event[watch_find_event(b->watch, event)],
                         .t_start = start,
                         .t_end = end};
}

/* What the record's clip is called; "": none. *part: what began or became longer. */
static const char *tell(Bench *b, RecordKind kind, const char *event, uint64_t id, int64_t start,
                        int64_t end, ClipPart **part)
{
    ClipPart *ignored;
    const EventRecord r = record(b, kind, event, id, start, end);
    const char *const name = clip_plan_record(b->plan, &r, b->now, part ? part : &ignored);
    return name ? arena_strdup(b->arena, name) : "";
}

static void expect_part(const ClipPart *p, int64_t from, int64_t to, int events)
{
    assert_non_null(p);
    assert_int_equal(p->from, from);
    assert_int_equal(p->to, to);
    assert_int_equal(p->nevent, events);
}

static void test_names(void **state)
{
    (void)state;
    Bench b = bench();
    assert_string_equal(tell(&b, RECORD_START, "none", 1, 0, -1, NULL), "");
    assert_null(clip_plan_part(b.plan, 0));
    assert_string_equal(tell(&b, RECORD_POINT, "kill", 0xabc, 10 * SECOND, -1, NULL),
                        "20251122T012206.437Z-cam_1___-kill-0000000000000abc");
    EventRecord r = record(&b, RECORD_POINT, "kill", 0xdef, 50 * SECOND, -1);
    ClipPart *part;
    r.wall = b.now + 5 * SECOND; /* its own time, if it has one */
    assert_string_equal(clip_plan_record(b.plan, &r, b.now, &part),
                        "20251122T012211.437Z-cam_1___-kill-0000000000000def");
    assert_true(clip_plan_wanted(b.watch));
    assert_int_equal(clip_plan_reach(b.watch), (5 + 4 + 1) * SECOND);
    arena_free(b.arena);
}

static void test_joins(void **state)
{
    (void)state;
    Bench b = bench();
    ClipPart *part, *other;
    const char *const name = tell(&b, RECORD_POINT, "kill", 1, 10 * SECOND, -1, &part);
    expect_part(part, 7 * SECOND, 12 * SECOND, 1);
    /* 11 to 16 */
    assert_string_equal(tell(&b, RECORD_POINT, "kill", 2, 14 * SECOND, -1, &other), name);
    assert_ptr_equal(part, other);
    expect_part(part, 7 * SECOND, 16 * SECOND, 2);
    /* told late: it begins before */
    assert_string_equal(tell(&b, RECORD_START, "round", 3, 11 * SECOND, -1, NULL), name);
    expect_part(part, 6 * SECOND, 126 * SECOND, 3);
    assert_string_equal(tell(&b, RECORD_END, "round", 3, 11 * SECOND, 20 * SECOND, &other), name);
    assert_null(other);
    expect_part(part, 6 * SECOND, 21 * SECOND, 3);
    /* from 22 on */
    const char *const next = tell(&b, RECORD_POINT, "kill", 4, 25 * SECOND, -1, &other);
    assert_string_not_equal(next, name);
    expect_part(other, 22 * SECOND, 27 * SECOND, 1);
    /* a round may still be told that began at 26, and is shown from 21 on */
    clip_plan_seen(b.plan, 0, 30 * SECOND);
    assert_false(part->over);
    clip_plan_seen(b.plan, 0, 31 * SECOND);
    assert_true(part->over && !other->over);
    clip_plan_take(b.plan, part);
    arena_free(part->arena);
    assert_ptr_equal(clip_plan_part(b.plan, 0), other);
    /* what is gone shows it */
    assert_string_equal(tell(&b, RECORD_POINT, "kill", 5, 19 * SECOND, -1, &part), name);
    assert_null(part);
    clip_plan_end(b.plan);
    assert_true(other->over);
    arena_free(b.arena);
}

static void test_long_ones(void **state)
{
    (void)state;
    Bench b = bench();
    ClipPart *part, *next;
    const char *const name = tell(&b, RECORD_START, "round", 1, 10 * SECOND, -1, &part);
    expect_part(part, 5 * SECOND, 125 * SECOND, 1);
    assert_string_not_equal(tell(&b, RECORD_POINT, "kill", 2, 126 * SECOND, -1, &next), name);
    expect_part(next, 125 * SECOND, 128 * SECOND, 1); /* parts do not overlap */
    clip_plan_seen(b.plan, 0, 135 * SECOND);
    assert_true(part->over); /* though its event is not */
    clip_plan_take(b.plan, part);
    arena_free(part->arena);
    assert_string_equal(tell(&b, RECORD_END, "round", 1, 10 * SECOND, 300 * SECOND, &part), name);
    assert_null(part);
    arena_free(b.arena);
}

/* Another epoch is another clock. */
static void test_epochs(void **state)
{
    (void)state;
    Bench b = bench();
    ClipPart *part, *next;
    const char *const name = tell(&b, RECORD_START, "round", 1, 10 * SECOND, -1, &part);
    clip_plan_seen(b.plan, 1, 0);
    assert_false(part->over); /* its end is told with the next sample */
    assert_string_equal(tell(&b, RECORD_END, "round", 1, 10 * SECOND, 12 * SECOND, NULL), name);
    EventRecord r = record(&b, RECORD_POINT, "kill", 2, SECOND, -1);
    r.epoch = 1;
    assert_string_not_equal(clip_plan_record(b.plan, &r, b.now, &next), name);
    assert_int_equal(next->from, 0);
    clip_plan_seen(b.plan, 1, SECOND);
    assert_true(part->over && !next->over);
    clip_plan_close(next, 2 * SECOND);
    assert_int_equal(next->to, 2 * SECOND);
    assert_true(next->over);
    arena_free(b.arena);
}

typedef struct Random {
    Moment m[40];
    int64_t told[40];
    int n;
} Random;

static int by_told(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static int by_start(const void *x, const void *y)
{
    const Highlight *const a = x, *const b = y;
    return (a->from > b->from) - (a->from < b->from);
}

/* Points, told up to their delay late, in the order in which they are told. */
static Random random_moments(const Watch *w)
{
    Random r = {.n = rand() % 39 + 1};
    int64_t key[40][2];
    for (int i = 0; i < r.n; i++) {
        const int64_t t = rand() % 600000 * INT64_C(1000);
        /* confirm: [1, 1] at 2 a second: within a second */
        key[i][0] = t + rand() % 1000 * INT64_C(900);
        key[i][1] = t;
    }
    qsort(key, (size_t)r.n, sizeof key[0], by_told);
    const EventRule *const kill = &w->event[watch_find_event(w, "kill")];
    for (int i = 0; i < r.n; i++) {
        r.told[i] = key[i][0];
        r.m[i] = (Moment){.event = "kill",
                          .t_start = key[i][1],
                          .t_end = key[i][1],
                          .pre = kill->clip.pre,
                          .post = kill->clip.post,
                          .weight = 1};
    }
    return r;
}

static void test_as_highlights(void **state)
{
    (void)state;
    int parts = 0, joined = 0;
    for (unsigned seed = 1; seed <= 300; seed++) {
        srand(seed);
        Bench b = bench();
        const Random r = random_moments(b.watch);
        VEC(Highlight) made = {0};
        for (int i = 0; i <= r.n; i++) {
            const int64_t now = i < r.n ? r.told[i] : INT64_C(1) << 50;
            for (int64_t t = i > 0 ? r.told[i - 1] : 0; t < now;
                 t = t + SECOND < now ? t + SECOND : now) {
                clip_plan_seen(b.plan, 0, t); /* in between, as often as frames come */
                if (i == r.n)
                    clip_plan_end(b.plan);
                for (ClipPart *p; (p = clip_plan_part(b.plan, 0)) != NULL && p->over;) {
                    vec_push(b.arena, &made,
                             ((Highlight){.from = p->from, .to = p->to, .n = p->nevent}));
                    clip_plan_take(b.plan, p);
                    arena_free(p->arena);
                }
                if (i == r.n)
                    break;
            }
            if (i < r.n)
                assert_string_not_equal(tell(&b, RECORD_POINT, "kill", (uint64_t)i + 1,
                                             r.m[i].t_start, -1, NULL),
                                        "");
        }
        const Highlight *h;
        const int n = highlights(b.arena, r.n, r.m, r.n, CLIP_LONGEST, &h);
        Highlight *const want = arena_dup(b.arena, h, (size_t)n * sizeof *h);
        qsort(want, (size_t)n, sizeof *want, by_start);
        bool longest = false; /* what to do with longer ones each says for itself */
        for (int i = 0; i < n; i++)
            longest = longest || want[i].to - want[i].from > CLIP_LONGEST - 10 * SECOND;
        if (!longest) {
            assert_int_equal(made.len, n);
            for (int i = 0; i < n; i++) {
                assert_int_equal(made.at[i].from, want[i].from);
                assert_int_equal(made.at[i].to, want[i].to);
                assert_int_equal(made.at[i].n, want[i].n);
                joined += want[i].n > 1;
            }
        }
        for (int i = 0; i < made.len; i++) {
            assert_in_range(made.at[i].to - made.at[i].from, 1, CLIP_LONGEST);
            assert_true(i == 0 || made.at[i].from >= made.at[i - 1].to);
        }
        parts += n;
        arena_free(b.arena);
    }
    assert_true(parts > 1000 && joined > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_joins),
                                       cmocka_unit_test(test_long_ones),
                                       cmocka_unit_test(test_epochs),
                                       cmocka_unit_test(test_as_highlights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
