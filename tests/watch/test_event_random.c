/* Random watches over random samples: the engine tells what the reference interpreter tells, to the
 * letter. Then once more with questions in between, and once more by way of the samples' JSON. */
#include "check.h"

#include <stdio.h>

#include "base/map.h"
#include "feed.h"
#include "reference.h"

#define WATCHES 600
#define SAMPLES 45

typedef struct World {
    Context *ctx;
    Watch *w;
    uint64_t seed;
    int nevent; /* made so far */
    bool each;  /* of the event that is made */
} World;

static uint32_t below(World *r, uint32_t n)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->seed >> 33) % n;
}

static const char *pick(World *r, const char *const *of, uint32_t n)
{
    return of[below(r, n)];
}

/* ---- rules ---- */

static void add_condition(World *r, Str *out, int depth);

static void add_number(World *r, Str *out)
{
    static const char *const leaf[] = {
        "alive",     "alive",      "3",           "2.5",
        "alive.age", "alive.prev", "skull.score", "count(unsafe, score > 0.7)"};
    str_add(out, pick(r, leaf, r->each ? 7 : 8)); /* `unsafe` is no list there */
}

static void add_leaf(World *r, Str *out)
{
    static const char *const leaf[] = {
        "badge",           "skull", "badge", "skull", "screen == 'play'", "screen != 'lobby'",
        "skull.age > 0.6s"};
    static const char *const item[] = {"unsafe", "unsafe.score > 0.7", "unsafe.age > 1s",
                                       "unsafe.label == 'KNIFE'", "unsafe.x < 20"};
    static const char *const relation[] = {"<", "<=", ">", ">=", "==", "!="};
    const uint32_t k = below(r, 10);
    if (r->each && below(r, 2)) {
        str_add(out, pick(r, item, 5));
    } else if (k < 6) {
        str_add(out, pick(r, leaf, 7));
    } else if (k < 8) {
        add_number(r, out);
        str_addf(out, " %s ", pick(r, relation, 6));
        add_number(r, out);
        str_addf(out, " %c 1", "+-*/"[below(r, 4)]);
    } else if (!r->each && k == 8) {
        str_add(out, below(r, 2) ? "unsafe" : "unsafe.score > 0.75");
    } else {
        str_addf(out, "e%d%s", (int)below(r, 3), below(r, 3) ? "" : ".age > 0.5s");
    }
}

static void add_function(World *r, Str *out, int depth)
{
    static const char *const value[] = {"alive", "alive", "screen", "badge", "alive.age"};
    switch (below(r, 4)) {
    case 0: str_addf(out, "changed(%s)", pick(r, value, 5)); return;
    case 1: str_add(out, "rises("); break;
    case 2:
        str_add(out, "seq(");
        add_condition(r, out, depth - 1);
        str_add(out, ", ");
        break;
    default: str_add(out, "rate(");
    }
    const char last = str_text(out)[out->len - 2];
    add_condition(r, out, depth - 1);
    /* ris(e)s, rat(e, seq(.., */
    str_add(out, last == 's' ? ")" : last == 'e' ? ", 4s) > 0.3" : ", 3s)");
}

static void add_condition(World *r, Str *out, int depth)
{
    const uint32_t k = depth <= 0 ? 0 : below(r, 10);
    if (k < 4) {
        add_leaf(r, out);
    } else if (k < 6) {
        add_function(r, out, depth);
    } else if (k == 6) {
        str_add(out, "!(");
        add_condition(r, out, depth - 1);
        str_addc(out, ')');
    } else {
        str_addc(out, '(');
        add_condition(r, out, depth - 1);
        str_add(out, k < 8 ? ") && (" : ") || (");
        add_condition(r, out, depth - 1);
        str_addc(out, ')');
    }
}

static const Rule *random_rule(World *r, int depth, int each)
{
    Str text = str_new(r->ctx->arena);
    r->each = each >= 0;
    add_condition(r, &text, depth);
    return rule_by_hand(r->ctx, r->w, str_text(&text), each);
}

static Window random_window(World *r)
{
    const int m = 1 + (int)below(r, 4);
    return (Window){1 + (int)below(r, (uint32_t)m), m};
}

static int64_t random_time(World *r, uint32_t odds, uint32_t most)
{
    return below(r, odds) ? 0 : 100000 * (int64_t)(1 + below(r, most));
}

static void random_event(World *r, EventRule *e)
{
    static const char *const data[] = {
        "alive",  "screen",     "changed(alive).prev", "changed(alive).delta",
        "e0.age", "alive.prev", "rate(badge, 2s)",     "changed(screen).prev",
        "badge"};
    e->each = below(r, 4) ? -1 : UNSAFE;
    e->when = random_rule(r, 2, e->each);
    e->within = below(r, 4) ? NULL : random_rule(r, 1, e->each);
    e->confirm = random_window(r);
    e->release = random_window(r);
    e->point = below(r, 5) == 0;
    e->min = random_time(r, 4, 20);
    e->max = random_time(r, 4, 50);
    e->merge = random_time(r, 3, 30);
    e->cooldown = random_time(r, 4, 40);
    e->limit = below(r, 4) ? 0 : 1 + (int)below(r, 3);
    e->limit_per = 100000 * (int64_t)(1 + below(r, 60));
    for (uint32_t i = below(r, 3); i > 0; i--)
        add_data(r->ctx, r->w, e, pick(r, data, 9));
}

/* A number of all that rules can calculate with. */
static void add_score(World *r, Str *out, int depth)
{
    const uint32_t k = depth <= 0 ? below(r, 4) : below(r, 9);
    if (k < 2) {
        add_number(r, out);
    } else if (k < 4) {
        str_addf(out, "%s(", below(r, 2) ? "10 * rate" : "rate");
        if (below(r, 2))
            str_addf(out, "e%d", (int)below(r, 3));
        else
            add_condition(r, out, 1);
        str_add(out, ", 4s)");
    } else if (k == 4) {
        str_add(out, "-(");
        add_score(r, out, depth - 1);
        str_addc(out, ')');
    } else {
        str_addc(out, '(');
        add_score(r, out, depth - 1);
        str_addf(out, ") %c (", "+-*/"[k - 5]);
        add_score(r, out, depth - 1);
        str_addc(out, ')');
    }
}

static void random_spotlight(World *r)
{
    SpotlightRule *const s = arena_new_of(r->ctx->arena, SpotlightRule);
    Str text = str_new(r->ctx->arena);
    r->each = false;
    add_score(r, &text, 2);
    s->score = rule_parse_number(r->ctx, r->w, "royale.yaml", (Place){1, 1}, str_text(&text));
    s->require = below(r, 3) ? random_rule(r, 2, -1) : NULL;
    r->w->spotlight = s;
}

static void random_watch(World *r)
{
    static const double fps[] = {1, 2, 5}, gap[] = {0.7, 2, 4};
    r->w = watch_by_hand(r->ctx);
    r->w->fps = fps[below(r, 3)];
    r->w->gap = (int64_t)(gap[below(r, 3)] * 1e6);
    signal_of(r->w, BADGE)->icon = (IconSignal){.on = 0.5, .off = below(r, 2) ? 0.5 : 0.3};
    TextSignal *const alive = &signal_of(r->w, ALIVE)->text;
    alive->vote = below(r, 2) ? 1 : 3;
    alive->vote_within = 1500000;
    alive->max = 8;
    if (below(r, 3) == 0)
        alive->guard = (Guard){.given = true,
                               .max_up_per_s = below(r, 2) ? (double)INFINITY : 2,
                               .max_down_per_s = 4,
                               .rebaseline_after = 2 + (int)below(r, 2)};
    if (alive->guard.given && below(r, 2))
        alive->guard.reset_on =
            rule_by_hand(r->ctx, r->w, below(r, 2) ? "screen == 'lobby'" : "rises(badge)", -1);
    for (int i = 0; i < 3; i++)
        name_event(r->w, i == 0 ? "e0" : i == 1 ? "e1" : "e2");
    for (int i = 0; i < 3; i++)
        random_event(r, (EventRule *)&r->w->event[i]);
    if (below(r, 6) == 0)
        random_spotlight(r);
}

/* ---- samples ---- */

static Observation random_seen(World *r, int signal, const Observation *before)
{
    static const char *const screens[] = {"play", "lobby", "play", "menu"};
    static const char *const numbers[] = {"1", "2", "3", "4", "5", "7", "9", "x"};
    static const float scores[] = {0.9f, 0.6f, 0.4f, 0.2f, 0.85f, 0.75f, 0.1f, 0.95f};
    static const char *const labels[] = {"KNIFE", "BELLY_EXPOSED", "SPOON"};
    if (before->state == OBSERVE_SEEN && below(r, 5) < 3)
        return *before;
    Observation o = {.state = OBSERVE_SEEN, .score = scores[below(r, 8)]};
    if (signal == SCREEN)
        o.text = pick(r, screens, 4);
    if (signal == ALIVE)
        o.text = pick(r, numbers, 8);
    if (signal == SKULL && below(r, 12) == 0)
        o.score = NAN;
    if (signal != UNSAFE)
        return o;
    Found *const found = arena_array_of(r->ctx->arena, 4, Found);
    for (uint32_t n = below(r, 4); n > 0; n--)
        found[o.nfound++] = (Found){.box = {(float)below(r, 40), 5, 10, 12},
                                    .score = scores[below(r, 8)],
                                    .label = pick(r, labels, 3),
                                    .track = below(r, 4)};
    for (int i = 0; i < o.nfound; i++) /* a track is seen once */
        for (int k = 0; k < i; k++)
            if (found[k].track == found[i].track)
                found[i].track = 0;
    o.found = found;
    return o;
}

static void random_samples(World *r, Sample *out)
{
    static const int64_t steps[] = {100000, 250000,  500000, 500000,  500000,
                                    500000, 1000000, 0,      1700000, 4500000};
    static const int used[] = {ALIVE, BADGE, SKULL, SCREEN, UNSAFE};
    int64_t t = 0;
    int epoch = 0;
    const Observation *before = arena_array_of(r->ctx->arena, BY_HAND_SIGNALS, Observation);
    for (int k = 0; k < SAMPLES; k++) {
        Observation *const at = arena_array_of(r->ctx->arena, BY_HAND_SIGNALS, Observation);
        if (below(r, 40) == 0) {
            epoch++;
            t = 100000 * (int64_t)below(r, 100);
        }
        const int64_t step = steps[below(r, k % 3 ? 7 : 10)];
        t += step;
        for (int i = 0; i < 5; i++) {
            at[used[i]] = random_seen(r, used[i], &before[used[i]]);
            if (below(r, 8) == 0)
                at[used[i]] =
                    (Observation){.state = below(r, 2) ? OBSERVE_UNKNOWN : OBSERVE_SKIPPED};
        }
        out[k] = (Sample){.stream = "s1",
                          .epoch = epoch,
                          .t = t,
                          .frame = k,
                          .at = at,
                          .left_out = step > 500000 && below(r, 2) ? step - 400000 : 0,
                          .clock = CLOCK_PDT,
                          .wall = 1700000000000000 + t + (int64_t)below(r, 3)};
        before = at;
    }
}

/* ---- comparing ---- */

static const char *engine_records(World *r, const Sample *s, bool ask)
{
    Feed f;
    feed_init(&f, r->ctx, r->w);
    for (int k = 0; k < SAMPLES; k++) {
        for (int i = 0; ask && k > 0 && s[k].left_out == 0 && s[k].epoch == s[k - 1].epoch && i < 3;
             i++)
            events_quiet(f.events, s[k - 1].t + (s[k].t - s[k - 1].t) * (int64_t)(i + 1) / 3);
        events_sample(f.events, &s[k]);
        events_rate(f.events);
    }
    events_stop(f.events);
    assert_int_equal(events_counts(f.events).late, 0);
    return str_text(&f.json);
}

static void replay(World *r, const Sample *s, Sample *out)
{
    for (int k = 0; k < SAMPLES; k++) {
        Str once = str_new(r->ctx->arena), again = str_new(r->ctx->arena);
        Error e;
        sample_json(&once, r->w, &s[k]);
        if (sample_parse(r->ctx->arena, r->w, str_text(&once), once.len, &out[k], &e) != 0)
            FAIL_MSG("%s", e.message);
        sample_json(&again, r->w, &out[k]);
        assert_string_equal(str_text(&once), str_text(&again));
    }
}

static void show_watch(const Watch *w)
{
    for (int i = 0; i < w->nevent; i++) {
        const EventRule *const e = &w->event[i];
        print_error(
            "%s: when %s; within %s; each %d confirm %d/%d release %d/%d min %g max %g merge %g "
            "cooldown %g limit %d/%g%s\n",
            e->name, rule_text(e->when), e->within ? rule_text(e->within) : "-", e->each,
            e->confirm.n, e->confirm.m, e->release.n, e->release.m, (double)e->min / 1e6,
            (double)e->max / 1e6, (double)e->merge / 1e6, (double)e->cooldown / 1e6, e->limit,
            (double)e->limit_per / 1e6, e->point ? " point" : "");
        for (int k = 0; k < e->ndata; k++)
            print_error("    data %s\n", rule_text(e->data[k]));
    }
    print_error("fps %g gap %g\n", w->fps, (double)w->gap / 1e6);
}

typedef struct Totals {
    long records, watches_with, kinds[4];
    long scored, unscored, required[3]; /* of verdicts */
} Totals;

typedef struct Job {
    uint64_t seed;
    Totals *totals;
} Job;

static void compare_verdicts(const World *r, const Sample *s, const char *want, Totals *totals)
{
    Feed f;
    Str got = str_new(r->ctx->arena);
    feed_init(&f, r->ctx, r->w);
    for (int k = 0; k < SAMPLES; k++) {
        events_sample(f.events, &s[k]);
        const SpotlightVerdict v = events_spotlight(f.events);
        verdict_text(&got, &v);
        totals->scored += v.scored;
        totals->unscored += !v.scored;
        totals->required[v.require + 1]++;
    }
    events_stop(f.events);
    const SpotlightVerdict none = events_spotlight(f.events);
    assert_true(none.require == -1 && !none.scored);
    if (strcmp(str_text(&got), want) != 0) {
        show_watch(r->w);
        FAIL_MSG("seed %llu: score %s, require %s\n engine\n%s reference\n%s",
                 (unsigned long long)r->seed, rule_text(r->w->spotlight->score),
                 r->w->spotlight->require ? rule_text(r->w->spotlight->require) : "-",
                 str_text(&got), want);
    }
}

static void compare(Context *ctx, void *arg)
{
    const Job *const job = arg;
    World r = {.ctx = ctx, .seed = job->seed};
    Sample s[SAMPLES], again[SAMPLES];
    random_watch(&r);
    random_samples(&r, s);
    const char *verdicts, *const want =
                              reference_records(ctx->arena, r.w, "s1", s, SAMPLES, &verdicts);
    const char *const got = engine_records(&r, s, false);
    if (strcmp(got, want) != 0) {
        show_watch(r.w);
        for (int k = 0; k < SAMPLES; k++) {
            Str line = str_new(ctx->arena);
            sample_json(&line, r.w, &s[k]);
            print_error("%s\n", str_text(&line));
        }
        size_t same = 0, line = 0;
        for (; got[same] && got[same] == want[same]; same++)
            line = got[same] == '\n' ? same + 1 : line;
        FAIL_MSG("seed %llu, first difference\n engine    %.600s\n reference %.600s",
                 (unsigned long long)job->seed, got + line, want + line);
    }
    assert_string_equal(engine_records(&r, s, true), want);
    replay(&r, s, again);
    assert_string_equal(engine_records(&r, again, false), want);
    if (r.w->spotlight)
        compare_verdicts(&r, s, verdicts, job->totals);
    job->totals->watches_with += want[0] != 0;
    for (const char *c = want; *c; c++)
        job->totals->records += *c == '\n';
    static const char *const kind[] = {"\"kind\":\"start\"", "\"lost\"", "\"max\"",
                                       "\"kind\":\"point\""};
    for (int i = 0; i < 4; i++)
        for (const char *c = want; (c = strstr(c, kind[i])) != NULL; c++)
            job->totals->kinds[i]++;
}

static void as_the_reference(void **state)
{
    (void)state;
    Totals totals = {0};
    const char *const first = getenv("SEED"), *const count = getenv("COUNT");
    const uint64_t from = first ? strtoull(first, NULL, 10) : 1,
                   n = count ? strtoull(count, NULL, 10) : WATCHES;
    for (uint64_t seed = from; seed < from + n; seed++) {
        Arena *const a = arena_new();
        Error e;
        Job job = {seed, &totals};
        if (job_run(a, compare, &job, &e, NULL) != 0)
            FAIL_MSG("seed %llu: %s", (unsigned long long)seed, e.message);
        arena_free(a);
    }
    print_message("%ld records of %ld watches: %ld starts, %ld points, %ld lost, %ld by max\n",
                  totals.records, totals.watches_with, totals.kinds[0], totals.kinds[3],
                  totals.kinds[1], totals.kinds[2]);
    print_message("verdicts: %ld scores, %ld unknown; required: %ld unknown, %ld no, %ld yes\n",
                  totals.scored, totals.unscored, totals.required[0], totals.required[1],
                  totals.required[2]);
    assert_true(first || (totals.scored > 1000 && totals.unscored > 1000 &&
                          totals.required[0] > 400 && totals.required[1] > 400));
    assert_true(first || (totals.watches_with > WATCHES / 2 && totals.kinds[1] > 100 &&
                          totals.kinds[2] > 100));
}

/* ---- best samples ---- */

enum { BEST_MAX = 4096 };

typedef struct Held { /* as who keeps pictures holds them */
    int event, epoch;
    uint64_t key;
    int64_t t;
} Held;

typedef struct Keeper {
    uint64_t seed;
    const Watch *w;
    Held held[BEST_MAX];
    int n;
    int64_t t;            /* of the sample that is judged; NO_TIME: none is */
    int epoch;
    int records, early;   /* early: their best sample was not the one that told */
} Keeper;

static uint64_t key_hash(const char *key) { return key ? hash_bytes(key, strlen(key), 0) + 1 : 0; }

static bool is_held(const Keeper *k, const Held *one)
{
    for (int i = 0; i < k->n; i++) {
        const Held *const h = &k->held[i];
        if (h->event == one->event && h->epoch == one->epoch && h->key == one->key &&
            h->t == one->t)
            return true;
    }
    return false;
}

static void ask_for_best(void *arg, const EventRecord *r)
{
    Keeper *const k = arg;
    const Held want = {(int)(r->rule - k->w->event), r->epoch, key_hash(r->key), r->t_best};
    const bool here = k->t == r->t_best && k->epoch == r->epoch;
    if (!here && !is_held(k, &want))
        FAIL_MSG("seed %llu: the best sample of %s, at %lld, was not to be kept",
                 (unsigned long long)k->seed, r->rule->name, (long long)r->t_best);
    k->records++;
    k->early += !here;
}

static void keep_best(Keeper *k, const Events *v)
{
    static EventBest best[BEST_MAX];
    static Held next[BEST_MAX];
    const int n = events_best(v, BEST_MAX, best);
    int kept = 0;
    assert_true(n < BEST_MAX);
    for (int i = 0; i < n; i++) {
        const Held one = {best[i].event, k->epoch, key_hash(best[i].key), best[i].t};
        if (is_held(k, &one) || best[i].t == k->t)
            next[kept++] = one;
    }
    memcpy(k->held, next, (size_t)kept * sizeof *next);
    k->n = kept;
}

static void keep_pictures(Context *ctx, void *arg)
{
    Keeper *const k = arg;
    World r = {.ctx = ctx, .seed = k->seed};
    Sample s[SAMPLES];
    random_watch(&r);
    random_samples(&r, s);
    k->w = r.w;
    k->n = 0;
    k->epoch = 0;
    Events *const v = events_new(ctx->arena, r.w, "s1", ask_for_best, k);
    for (int i = 0; i < SAMPLES; i++) {
        k->t = s[i].t;
        k->epoch = s[i].epoch;
        events_sample(v, &s[i]);
        keep_best(k, v);
    }
    k->t = INT64_MIN;
    events_stop(v);
}

/* Whoever keeps what events_best names can show the best sample of every record. */
static void best_is_named_before(void **state)
{
    (void)state;
    static Keeper k;
    for (k.seed = 1; k.seed <= 400; k.seed++) {
        Arena *const a = arena_new();
        Error e;
        if (job_run(a, keep_pictures, &k, &e, NULL) != 0)
            FAIL_MSG("seed %llu: %s", (unsigned long long)k.seed, e.message);
        arena_free(a);
    }
    assert_true(k.records > 2000 && k.early > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_reference),
                                       cmocka_unit_test(best_is_named_before)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
