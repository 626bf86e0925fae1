/* What users of other analysers complained of, and what the engine promises those who run it:
 * bounded memory, how often to look. */
#include "check.h"

#include "feed.h"

static int count_of(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

/* ---- complaints ---- */

/* A flicker of one frame is counted as a crossing in the opposite direction. */
static void complaint_flicker_is_no_crossing(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const in = add_event(ctx, w, "in", "rises(player.area == 'base')");
    EventRule *const out = add_event(ctx, w, "out", "rises(player.area == 'hill')");
    EventRule *const any = add_event(ctx, w, "any", "changed(player.area)");
    in->confirm = out->confirm = any->confirm = in->release = out->release = (Window){2, 2};
    Feed f;
    feed_init(&f, ctx, w);
    static const char *const where = "bbbhbbhbbbb"; /* in the base, with flickers */
    for (int i = 0; where[i]; i++) {
        Sample s = feed_sample(&f, "0 player=0.9");
        s.t = i * 500000;
        Observation *const o = (Observation *)&s.at[PLAYER];
        o->x = where[i] == 'b' ? 50 : 180;
        o->y = where[i] == 'b' ? 50 : 150;
        events_sample(f.events, &s);
    }
    assert_string_equal(feed_records(&f), "");
    static const char *const crossing = "hhhbhhh"; /* over, with one flicker back */
    for (int i = 0; crossing[i]; i++) {
        Sample s = feed_sample(&f, "0 player=0.9");
        s.t = (11 + i) * 500000;
        Observation *const o = (Observation *)&s.at[PLAYER];
        o->x = crossing[i] == 'b' ? 50 : 180;
        o->y = crossing[i] == 'b' ? 50 : 150;
        events_sample(f.events, &s);
    }
    assert_string_equal(feed_records(&f), "point out 5.5@6|point any 5.5@6|");
}

/* Unconfirmed tracks all share one id, and inflate counts. */
static void complaint_unconfirmed_tracks_have_no_events(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = name_event(w, "seen");
    e->each = UNSAFE;
    e->when = rule_by_hand(ctx, w, "unsafe", UNSAFE);
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 20; i++) {
        char line[80];
        snprintf(line, sizeof line, "%g unsafe=0:KNIFE:0.9,0:KNIFE:0.8%s", i * 0.1,
                 i >= 10 ? ",5:KNIFE:0.9" : "");
        feed(&f, line);
    }
    assert_string_equal(feed_records(&f), "start seen/5 1@1|");
}

/* Buffers in frames break at other frame rates: the same scene at 2, 10 and 25 samples a second. */
static void complaint_durations_are_seconds(Context *ctx)
{
    static const int rates[] = {4, 10, 20};
    for (int i = 0; i < 3; i++) {
        Watch *const w = watch_by_hand(ctx);
        EventRule *const e = add_event(ctx, w, "e", "badge");
        e->min = 1000000;
        e->merge = 2500000;
        Feed f;
        feed_init(&f, ctx, w);
        for (int k = 0; k < 16 * rates[i]; k++) {
            const double t = (double)k / rates[i];
            char line[60];
            snprintf(line, sizeof line, "%g badge=%d", t,
                     (t >= 1 && t < 1.5) || (t >= 4 && t < 6) || (t >= 8 && t < 10));
            feed(&f, line);
        }
        /* half a second is too short; two spells that are two seconds apart are one */
        const char *const got = feed_records(&f);
        assert_int_equal(count_of(got, "|"), 2);
        assert_true(strncmp(got, "start e 4@5|end e 4-", 20) == 0);
        const double end = atof(got + 20);
        assert_true(end <= 10 && end >= 10 - 1.01 / rates[i]);
    }
}

/* Floods of notifications. */
static void complaint_no_floods(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const cool = add_event(ctx, w, "cool", "badge"), *const limited =
                                                                    add_event(ctx, w, "limited",
                                                                              "badge");
    cool->cooldown = 30000000;
    limited->limit = 20;
    limited->limit_per = 3600000000;
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 3600; i++) { /* an hour of flicker each second */
        char line[60];
        snprintf(line, sizeof line, "%d badge=%d", i, i % 2);
        feed(&f, line);
    }
    const char *const got = feed_records(&f);
    assert_int_equal(count_of(got, "start cool "), 120);
    assert_int_equal(count_of(got, "start limited "), 20);
    assert_int_equal(events_counts(f.events).limited, 1780);
}

/* 6 % of false images are false videos, all of them; a streak of 3 of 5 is not. */
static void complaint_streaks(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "each", "count(unsafe) >= 1");
    EventRule *const streak = add_event(ctx, w, "streak", "count(unsafe) >= 1");
    streak->confirm = (Window){4, 5};
    streak->release = (Window){5, 5};
    Feed f;
    feed_init(&f, ctx, w);
    uint64_t seed = 1;
    for (int i = 0; i < 4000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const bool false_alarm = (seed >> 33) % 100 < 6, real = i >= 3000 && i < 3020;
        char line[60];
        snprintf(line, sizeof line, "%g unsafe=%s", i * 0.2,
                 false_alarm || real ? "1:KNIFE:0.9" : "-");
        feed(&f, line);
    }
    const char *const got = feed_records(&f);
    assert_true(count_of(got, "start each ") > 150);
    assert_int_equal(count_of(got, "start streak "), 1);
    assert_non_null(strstr(got, "start streak 600@600.6|"));
}

/* ---- laws ---- */

/* Kleene's tables, through the engine's own conditions: badge and skull by 1, 0, unknown. */
static void kleene(Context *ctx)
{
    static const char *const value[] = {"0", "?", "1"};
    Watch *const w = watch_by_hand(ctx);
    static const char *const rules[] = {"badge && skull", "badge || skull", "!badge"};
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            const int want[] = {a < b ? a : b, a > b ? a : b, 2 - a};
            for (int k = 0; k < 3; k++) {
                /* It is unknown if neither it nor its negation is true. */
                w->nevent = 0;
                add_event(ctx, w, "yes", rules[k]);
                add_event(ctx, w, "no", arena_printf(ctx->arena, "!(%s)", rules[k]));
                Feed f;
                feed_init(&f, ctx, w);
                feed(&f, arena_printf(ctx->arena, "0 badge=%s skull=%s", value[a], value[b]));
                assert_string_equal(feed_records(&f), want[k] == 2   ? "start yes 0@0|"
                                                      : want[k] == 0 ? "start no 0@0|"
                                                                     : "");
            }
        }
    }
}

/* Catastrophic patterns, division by zero, texts that are no numbers: unknown, not false. */
static void unknown_operators(Context *ctx)
{
    static const char *const rules[] = {
        "title =~ '^(a+)+$'",    "alive / 0 > 1",    "alive / 0 <= 1",
        "1e300 * 1e300 > alive", "alive.prev > 0",   "changed(alive).delta == 0",
        "skull.x > 0",           "unsafe.score > 0", "count(feed, text =~ '^(a+)+$') > 0",
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        Watch *const w = watch_by_hand(ctx);
        add_event(ctx, w, "yes", rules[i]);
        add_event(ctx, w, "no", arena_printf(ctx->arena, "!(%s)", rules[i]));
        Feed f;
        feed_init(&f, ctx, w);
        feed(&f, "0 alive=5 skull=0.9 unsafe=- "
                 "title=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! "
                 "feed=0:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
        if (strcmp(feed_records(&f), "") != 0)
            FAIL_MSG("%s is known", rules[i]);
    }
}

/* Two engines side by side, however their samples are mixed, tell what each tells alone; ids depend
 * on the stream. */
static void no_shared_state(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "e", "badge && changed(alive) || alive > 3")->confirm = (Window){2, 3};
    Feed alone, first, second;
    feed_init(&alone, ctx, w);
    feed_init(&first, ctx, w);
    feed_init(&second, ctx, w);
    static const char *const line[] = {"0 badge=1 alive=2", "0.5 badge=1 alive=5",
                                       "1 badge=? alive=7", "1.5 badge=0 alive=2",
                                       "2 alive=1 badge=1"};
    for (int i = 0; i < 5; i++)
        feed(&alone, line[i]);
    for (int i = 0; i < 5; i++) {
        feed(&first, line[i]);
        feed(&second, line[4 - i]); /* late ones, all but the first */
    }
    assert_string_equal(str_text(&first.json), str_text(&alone.json));
    assert_int_equal(events_counts(second.events).late, 4);
    assert_true(alone.json.len > 0);
}

/* ---- memory ---- */

static void count_record(void *arg, const EventRecord *r)
{
    (void)r;
    ++*(int64_t *)arg;
}

/* Nothing grows, however long a stream is. */
static void constant_memory(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    signal_of(w, ALIVE)->text.vote = 3;
    signal_of(w, ALIVE)->text.guard =
        (Guard){.given = true, .max_up_per_s = 5, .max_down_per_s = 5, .rebaseline_after = 3};
    set_pattern(ctx, signal_of(w, TITLE), "t(.*)");
    EventRule *const e =
        add_event(ctx, w, "e", "seq(badge, skull, 3s) || changed(title) || rate(badge, 10s) > 0.4");
    e->merge = 700000;
    add_data(ctx, w, e, "title");
    add_data(ctx, w, e, "unsafe");
    EventRule *const each = name_event(w, "each");
    each->each = UNSAFE;
    each->when = rule_by_hand(ctx, w, "unsafe && !changed(unsafe.label)", UNSAFE);
    EventRule *const line = name_event(w, "line");
    line->each = FEED;
    line->when = rule_by_hand(ctx, w, "feed.text =~ '[1-5]'", FEED);
    Arena *const own = arena_new();
    int64_t records = 0;
    Events *const v = events_new(own, w, "s1", count_record, &records);
    const size_t before = arena_used(own);
    Observation at[BY_HAND_SIGNALS] = {{0}};
    uint64_t seed = 5;
    for (int i = 0; i < 100000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint32_t x = (uint32_t)(seed >> 33);
        char title[20], text[20];
        snprintf(title, sizeof title, "t%u", x >> 20 & 3);
        snprintf(text, sizeof text, "%u", x >> 5 & 255);
        const Found found[2] = {
            {.box = {1, 2, 3, 4}, .score = 0.9f, .label = "KNIFE", .track = 1 + i / 3},
            {.box = {1, 2, 3, 4}, .score = 0.9f, .label = text}};
        at[BADGE] = (Observation){.state = OBSERVE_SEEN, .score = (float)(x & 1)};
        at[SKULL] = (Observation){.state = OBSERVE_SEEN, .score = (float)(x >> 1 & 1)};
        at[TITLE] = (Observation){.state = OBSERVE_SEEN, .score = 0.9f, .text = title};
        at[ALIVE] = (Observation){.state = OBSERVE_SEEN, .score = 0.9f, .text = text};
        at[UNSAFE] = (Observation){.state = OBSERVE_SEEN, .nfound = 1, .found = found};
        at[FEED] = (Observation){.state = OBSERVE_SEEN, .nfound = 1, .found = found + 1};
        const Sample s = {
            .stream = "s1", .epoch = i / 30000, .t = i * INT64_C(100000), .frame = i, .at = at};
        events_sample(v, &s);
    }
    events_stop(v);
    assert_int_equal(arena_used(own), before);
    assert_int_equal(events_counts(v).records, records);
    assert_true(records > 50000);
    arena_free(own);
}

/* ---- what is wanted next ---- */

static void rates(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx); /* 2, at most 10 */
    EventRule *const e = add_event(ctx, w, "e", "badge");
    e->confirm = e->release = (Window){2, 3};
    EventRule *const recheck = add_event(ctx, w, "r", "skull");
    recheck->confirm = (Window){2, 2};
    recheck->recheck.fps = 5;
    recheck->recheck.span = 2000000;
    Feed f;
    feed_init(&f, ctx, w);
    static const struct { const char *line; double want;
    } row[] = {
        {"0 badge=0 skull=0", 2},  {"0.5 badge=1 skull=0", 10}, {"0.6 badge=1 skull=0", 2},
        {"1 badge=0 skull=0", 10}, {"1.1 badge=1 skull=0", 10}, {"1.2 badge=0 skull=0", 2},
        {"2 badge=0 skull=1", 5},  {"2.2 badge=0 skull=0", 5},  {"3 badge=0 skull=0", 5},
        {"4 badge=0 skull=0", 2},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        feed(&f, row[i].line);
        if (events_rate(f.events) != row[i].want)
            FAIL_MSG("%s: %g, wanted %g", row[i].line, events_rate(f.events), row[i].want);
    }
}

#define CASES(X)                                                                                   \
    X(complaint_flicker_is_no_crossing)                                                            \
    X(complaint_unconfirmed_tracks_have_no_events)                                                 \
    X(complaint_durations_are_seconds) X(complaint_no_floods) X(complaint_streaks) X(kleene)       \
        X(unknown_operators) X(no_shared_state) X(constant_memory) X(rates)
#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
CASES(CASE)
#define ROW(name) cmocka_unit_test(test_##name),

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(ROW)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
