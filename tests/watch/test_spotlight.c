/* Who is shown: cases by hand; random ones against a reference that goes through the whole history
 * at every microsecond. */
#include "check.h"

#include <stdio.h>

#include "base/str.h"
#include "watch/spotlight.h"

#define SEATS 5
#define WORDS 60
#define END 400 /* us: after all random words */

typedef enum WordKind { SEE, RULES, LEAVE, QUIET } WordKind;
typedef struct Word {
    int64_t t;
    int seat;
    WordKind kind;
    SpotlightVerdict v;
    SpotlightBy by;
} Word;

static const char *const name[SEATS] = {"d", "b", "a", "c",
                                        "e"}; /* not in the order of the alphabet */

typedef struct Play {
    Arena *arena;
    Str out;
    Spotlight *s;
    SpotlightSeat *seat[SEATS];
} Play;

static void add_change(Str *out, const SpotlightChange *c)
{
    str_addf(out, "%lld %s>%s %g %s|", (long long)c->t, c->previous ? c->previous : "-",
             c->stream ? c->stream : "-", c->score, spotlight_cause_text(c->cause));
}

static void on_change(void *arg, const SpotlightChange *c)
{
    Play *const p = arg;
    add_change(&p->out, c);
}

static void play_open(Play *p, const SpotlightBy *by)
{
    p->arena = arena_new();
    p->out = str_new(p->arena);
    p->s = spotlight_new(on_change, p);
    for (int i = 0; i < SEATS; i++)
        p->seat[i] = spotlight_join(p->s, name[i], &by[i]);
}

static void play_close(Play *p)
{
    spotlight_free(p->s);
    arena_free(p->arena);
}

static void play(Play *p, const Word *w)
{
    switch (w->kind) {
    case SEE:
        spotlight_see(p->s, p->seat[w->seat], w->t, &w->v);
        break;
    case RULES:
        spotlight_rules(p->s, p->seat[w->seat], w->t, &w->by);
        break;
    case LEAVE:
        spotlight_leave(p->s, p->seat[w->seat], w->t);
        break;
    case QUIET:
        spotlight_quiet(p->s, w->t);
    }
}

/* ---- by hand ---- */

static Word see(int64_t t, int seat, int require, double score)
{
    return (Word){.t = t, .seat = seat, .v = {require, true, score}};
}

static Word unknown(int64_t t, int seat)
{
    return (Word){.t = t, .seat = seat, .v = {.require = -1}};
}
static Word quiet(int64_t t)
{
    return (Word){.t = t, .kind = QUIET};
}
static Word leave(int64_t t, int seat)
{
    return (Word){.t = t, .seat = seat, .kind = LEAVE};
}

/* All by the same rules: at least 20 us, 8 better, known for 10. */
static void expect(const Word *w, int n, const char *want)
{
    SpotlightBy by[SEATS];
    for (int i = 0; i < SEATS; i++)
        by[i] = (SpotlightBy){.min_dwell = 20, .stale = 10, .margin = 8};
    Play p;
    play_open(&p, by);
    for (int i = 0; i < n; i++)
        play(&p, &w[i]);
    assert_string_equal(str_text(&p.out), want);
    play_close(&p);
}

#define EXPECT(want, ...)                                                                          \
    do {                                                                                           \
        const Word words[] = {__VA_ARGS__};                                                        \
        expect(words, sizeof words / sizeof *words, want);                                         \
    } while (0)

enum { D, B, A, C };

static void test_first_and_ties(void **state)
{
    (void)state;
    EXPECT("", see(0, A, 1, 5)); /* the instant is open */
    EXPECT("0 ->a 5 first|", see(0, A, 1, 5), quiet(1));
    EXPECT("0 ->a 5 first|", see(0, B, 1, 5), see(0, A, 1, 5), see(0, C, 1, 4), quiet(9));
    EXPECT("", see(0, A, 0, 5), see(0, B, -1, 5), unknown(0, C), quiet(50));
}

static void test_dwell_and_margin(void **state)
{
    (void)state;
    /* Better by less, better too early, better in time; what was there before then has to be better
     * by the margin itself. */
    EXPECT("0 ->a 50 first|", see(0, A, 1, 50), see(9, A, 1, 50), see(18, A, 1, 50),
           see(25, A, 1, 50), see(25, B, 1, 57.9), quiet(30));
    EXPECT("0 ->a 50 first|20 a>b 58 better|", see(0, A, 1, 50), see(5, B, 1, 90),
           see(10, A, 1, 50), see(15, A, 1, 50), see(15, B, 1, 58), quiet(22));
    EXPECT("0 ->a 50 first|30 a>b 58 better|", see(0, A, 1, 50), see(9, A, 1, 50),
           see(18, A, 1, 50), see(27, A, 1, 50), see(30, B, 1, 58), see(35, A, 1, 90),
           see(40, B, 1, 58), quiet(45));
}

static void test_left_at_once(void **state)
{
    (void)state;
    EXPECT("0 ->a 50 first|3 a>b 1 require|", see(0, A, 1, 50), see(2, B, 1, 1), see(3, A, 0, 99),
           quiet(5));
    EXPECT("0 ->a 50 first|4 a>b 1 gone|", see(0, A, 1, 50), see(2, B, 1, 1), leave(4, A),
           quiet(5));
    EXPECT("0 ->a 50 first|11 a>b 1 stale|18 b>- 0 stale|", see(0, A, 1, 50), see(7, B, 1, 1),
           quiet(90)); /* told late, dated right */
    EXPECT("0 ->a 50 first|5 a>- 0 require|", see(0, A, 1, 50), see(5, A, 0, 1), see(6, A, -1, 7),
           unknown(8, A), quiet(90));
}

static void test_unknown(void **state)
{
    (void)state;
    /* What is not known leaves what was known, until it is too old; a score of a round that is over
     * is none. */
    EXPECT("0 ->a 50 first|", see(0, A, 1, 50), unknown(4, A), unknown(9, A), quiet(11));
    EXPECT("0 ->a 50 first|11 a>- 0 stale|", see(0, A, 1, 50), unknown(4, A), unknown(9, A),
           quiet(12));
    EXPECT("0 ->a 50 first|1 a>- 0 require|", see(0, A, 1, 50), see(1, A, 0, 60),
           {.t = 2, .seat = A, .v = {.require = 1}}, quiet(5));
    EXPECT("0 ->a 50 first|1 a>- 0 require|4 ->a 3 first|", see(0, A, 1, 50), see(1, A, 0, 60),
           {.t = 2, .seat = A, .v = {.require = 1}}, see(4, A, -1, 3), quiet(5));
}

/* ---- the reference ---- */

typedef struct Known {
    int require;
    bool scored, gone;
    double score;
    int64_t t_require, t_score;
    SpotlightBy by;
} Known;

/* All that was said of a seat up to t. */
static Known known_at(const Word *w, int n, int seat, const SpotlightBy *by, int64_t t)
{
    Known k = {.require = -1, .by = *by};
    for (int i = 0; i < n; i++) {
        if (w[i].seat != seat || w[i].t > t || w[i].kind == QUIET)
            continue;
        if (w[i].kind == LEAVE)
            k.gone = true;
        if (w[i].kind == RULES)
            k.by = w[i].by;
        if (w[i].kind != SEE)
            continue;
        const SpotlightVerdict v = w[i].v;
        if (v.require != -1) {
            k.require = v.require;
            k.t_require = w[i].t;
        }
        if (v.require == 0)
            k.scored = false;
        else if (v.scored) {
            k.scored = true;
            k.score = v.score;
            k.t_score = w[i].t;
        }
    }
    return k;
}

static bool may_be_shown(const Known *k, int64_t t)
{
    return !k->gone && k->require == 1 && k->scored && t - k->t_require <= k->by.stale &&
           t - k->t_score <= k->by.stale;
}

typedef struct Totals {
    long changes, better, stale, require, held;
} Totals;

static const char *reference(Arena *a, const Word *w, int n, const SpotlightBy *by, Totals *totals)
{
    Str out = str_new(a);
    int shown = -1;
    int64_t since = 0;
    for (int64_t t = 0; t < END; t++) {
        Known k[SEATS];
        int best = -1; /* of the others */
        for (int i = 0; i < SEATS; i++) {
            k[i] = known_at(w, n, i, &by[i], t);
            if (i == shown || !may_be_shown(&k[i], t))
                continue;
            if (best < 0 || k[i].score > k[best].score ||
                (k[i].score == k[best].score && strcmp(name[i], name[best]) < 0))
                best = i;
        }
        SpotlightCause cause = SPOTLIGHT_FIRST;
        if (shown >= 0 && may_be_shown(&k[shown], t)) {
            const Known *const is = &k[shown];
            const bool wins = best >= 0 && k[best].score > is->score &&
                              k[best].score - is->score >= is->by.margin;
            totals->held += wins && t - since < is->by.min_dwell;
            if (!wins || t - since < is->by.min_dwell)
                continue;
            cause = SPOTLIGHT_BETTER;
        } else if (shown >= 0) {
            cause = k[shown].gone           ? SPOTLIGHT_GONE
                    : k[shown].require == 0 ? SPOTLIGHT_REQUIRE
                                            : SPOTLIGHT_STALE;
        } else if (best < 0) {
            continue;
        }
        add_change(&out, &(SpotlightChange){t, best >= 0 ? name[best] : NULL,
                                            shown >= 0 ? name[shown] : NULL,
                                            best >= 0 ? k[best].score : 0, cause});
        shown = best;
        since = t;
        totals->changes++;
        totals->better += cause == SPOTLIGHT_BETTER;
        totals->stale += cause == SPOTLIGHT_STALE;
        totals->require += cause == SPOTLIGHT_REQUIRE;
    }
    return str_text(&out);
}

static uint64_t seed;
static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static SpotlightBy random_rules(void)
{
    return (SpotlightBy){.min_dwell = below(60), .stale = below(50), .margin = below(5) * 2};
}

static int random_words(Word *w)
{
    int n = 0;
    bool left[SEATS] = {0};
    int64_t t = 0, said[SEATS] = {-1, -1, -1, -1, -1};
    while (n < WORDS) {
        t += below(3) ? below(4) : below(30) == 0 ? 60 : 0;
        const int seat = (int)below(SEATS);
        if (t >= END - 80 || left[seat] || said[seat] == t) {
            t++;
            if (t >= END)
                break;
            continue;
        }
        said[seat] = t; /* at most once an instant: the order of these counts */
        Word *const one = &w[n++];
        *one = (Word){.t = t, .seat = seat, .by = random_rules()};
        one->kind = below(40) == 0 ? LEAVE : below(20) == 0 ? RULES : SEE;
        left[seat] = one->kind == LEAVE;
        static const int require[] = {1, 1, 1, 1, 1, 1, 0, -1};
        one->v = (SpotlightVerdict){require[below(8)], below(6) > 0, (double)below(12)};
    }
    return n;
}

/* What is said of one instant, in another order. */
static void shuffle(Word *w, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const int k = (int)below((uint32_t)i + 1);
        const Word one = w[i];
        if (w[k].t != one.t)
            continue;
        bool same = true;
        for (int j = k; j <= i; j++)
            same = same && w[j].t == one.t;
        if (!same)
            continue;
        w[i] = w[k];
        w[k] = one;
    }
}

static void compare(const Word *w, int n, const SpotlightBy *by, bool ask, const char *want)
{
    Play p;
    play_open(&p, by);
    for (int i = 0; i < n; i++) {
        if (ask && below(2) && (i == 0 || w[i].t > w[i - 1].t))
            spotlight_quiet(p.s, w[i].t - below(3));
        play(&p, &w[i]);
    }
    spotlight_quiet(p.s, END);
    if (strcmp(str_text(&p.out), want) != 0) {
        for (int i = 0; i < n; i++)
            print_error("%lld %s kind %d require %d score %g known %d; by %lld %lld %g\n",
                        (long long)w[i].t, name[w[i].seat], (int)w[i].kind, w[i].v.require,
                        w[i].v.score, w[i].v.scored, (long long)w[i].by.min_dwell,
                        (long long)w[i].by.stale, w[i].by.margin);
        FAIL_MSG("\nis     %s\nshould %s", str_text(&p.out), want);
    }
    play_close(&p);
}

static void test_as_the_reference(void **state)
{
    (void)state;
    Totals totals = {0};
    for (uint64_t k = 1; k <= 400; k++) {
        Arena *const a = arena_new();
        Word w[WORDS];
        SpotlightBy by[SEATS];
        seed = k;
        for (int i = 0; i < SEATS; i++)
            by[i] = random_rules();
        const int n = random_words(w);
        const char *const want = reference(a, w, n, by, &totals);
        compare(w, n, by, false, want);
        for (int i = 0; i < 3; i++) {
            shuffle(w, n);
            compare(w, n, by, true, want);
        }
        arena_free(a);
    }
    print_message("%ld changes: %ld better, %ld stale, %ld require; held back %ld times\n",
                  totals.changes, totals.better, totals.stale, totals.require, totals.held);
    assert_true(totals.better > 300 && totals.stale > 300 && totals.require > 300 &&
                totals.held > 1000);
}

/* ---- properties, of the changes alone ---- */

typedef struct Watcher { /* knows what it was told, and what it said */
    const Word *w;
    int n;
    const SpotlightBy *by;
    int shown;
    int64_t since;
} Watcher;

static int seat_of(const char *text)
{
    for (int i = 0; text && i < SEATS; i++)
        if (strcmp(text, name[i]) == 0)
            return i;
    return -1;
}

static void check_change(void *arg, const SpotlightChange *c)
{
    Watcher *const x = arg;
    assert_int_equal(seat_of(c->previous), x->shown);
    const int to = seat_of(c->stream);
    assert_true(to != x->shown);
    if (to >= 0) { /* none that may not be shown */
        const Known k = known_at(x->w, x->n, to, &x->by[to], c->t);
        assert_true(may_be_shown(&k, c->t) && k.score == c->score);
    }
    if (x->shown >= 0) {
        const Known k = known_at(x->w, x->n, x->shown, &x->by[x->shown], c->t);
        if (may_be_shown(&k, c->t)) { /* left of free will */
            assert_true(to >= 0 && c->t - x->since >= k.by.min_dwell &&
                        c->score - k.score >= k.by.margin);
            assert_int_equal(c->cause, SPOTLIGHT_BETTER);
        }
    }
    x->shown = to;
    x->since = c->t;
}

static void test_properties(void **state)
{
    (void)state;
    for (uint64_t k = 1000; k < 1300; k++) {
        Word w[WORDS];
        SpotlightBy by[SEATS];
        seed = k;
        for (int i = 0; i < SEATS; i++)
            by[i] = random_rules();
        Watcher x = {.w = w, .n = random_words(w), .by = by, .shown = -1};
        Spotlight *const s = spotlight_new(check_change, &x);
        Play p = {.s = s};
        for (int i = 0; i < SEATS; i++)
            p.seat[i] = spotlight_join(s, name[i], &by[i]);
        for (int i = 0; i < x.n; i++)
            play(&p, &w[i]);
        spotlight_quiet(s, END);
        const char *shown;
        int64_t since;
        assert_int_equal(spotlight_shown(s, &shown, &since), x.shown >= 0);
        assert_int_equal(seat_of(shown), x.shown);
        spotlight_free(s);
    }
}

static void test_ranking(void **state)
{
    (void)state;
    const SpotlightBy by[SEATS] = {{20, 10, 0}, {20, 10, 0}, {20, 10, 0}, {20, 10, 0}, {20, 10, 0}};
    const Word w[] = {see(0, D, 1, 70), see(8, A, 1, 5), see(8, C, 1, 5), see(8, B, 0, 9),
                      quiet(12)};
    Play p;
    play_open(&p, by);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        play(&p, &w[i]);
    const SpotlightRank *rank;
    Str out = str_new(p.arena);
    const int n = spotlight_ranking(p.s, p.arena, &rank);
    for (int i = 0; i < n; i++)
        str_addf(&out, "%s%s %g %s|", rank[i].shown ? "*" : "", rank[i].name, rank[i].score,
                 spotlight_standing_text(rank[i].standing));
    assert_string_equal(str_text(&out), "*a 5 can|c 5 can|d 70 stale|b 0 may not|e 0 unknown|");
    assert_string_equal(str_text(&p.out), "0 ->d 70 first|11 d>a 5 stale|");
    play_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_and_ties),   cmocka_unit_test(test_dwell_and_margin),
        cmocka_unit_test(test_left_at_once),     cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_as_the_reference), cmocka_unit_test(test_properties),
        cmocka_unit_test(test_ranking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
