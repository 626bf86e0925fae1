/* One open instant: verdicts of it are taken in, and once time goes on a choice is made of them.
 * Between instants with verdicts only two things can matter, both of the seat that is shown: that
 * it grows stale, and that its dwell is over. */
#include "watch/spotlight.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

#define NEVER INT64_MAX

struct SpotlightSeat {
    Arena *arena;
    const char *name;
    SpotlightBy by;
    int require; /* as last known; -1: never */
    bool scored, gone;
    double score;
    int64_t t_require, t_score; /* when they were known last */
};

struct Spotlight {
    Arena *arena;
    SpotlightFn fn;
    void *arg;
    VEC(SpotlightSeat *) seat;
    SpotlightSeat *shown; /* NULL: none */
    int64_t since;
    int64_t t;       /* the instant that is open */
    int64_t decided; /* when a choice was made last */
    bool fresh;      /* something was said of the open instant */
};

Spotlight *spotlight_new(SpotlightFn fn, void *arg)
{
    Arena *const a = arena_new();
    Spotlight *const s = arena_new_of(a, Spotlight);
    *s = (Spotlight){.arena = a, .fn = fn, .arg = arg, .t = INT64_MIN, .decided = INT64_MIN};
    return s;
}

void spotlight_free(Spotlight *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->seat.len; i++)
        arena_free(s->seat.at[i]->arena);
    arena_free(s->arena);
}

/* ---- choosing ---- */

/* The first microsecond at which it is stale. */
static int64_t stale_at(const SpotlightSeat *a)
{
    const int64_t known = a->t_require < a->t_score ? a->t_require : a->t_score;
    return known > NEVER - 1 - a->by.stale ? NEVER : known + a->by.stale + 1;
}

static bool eligible(const SpotlightSeat *a, int64_t t)
{
    return !a->gone && a->require == 1 && a->scored && t < stale_at(a);
}

static bool before(const SpotlightSeat *a, const SpotlightSeat *b)
{
    return a->score != b->score ? a->score > b->score : strcmp(a->name, b->name) < 0;
}

static SpotlightSeat *best(const Spotlight *s, int64_t t)
{
    SpotlightSeat *out = NULL;
    for (int i = 0; i < s->seat.len; i++) {
        SpotlightSeat *const a = s->seat.at[i];
        if (a != s->shown && eligible(a, t) && (!out || before(a, out)))
            out = a;
    }
    return out;
}

static SpotlightCause cause_of(const SpotlightSeat *a)
{
    return a->gone ? SPOTLIGHT_GONE : a->require == 0 ? SPOTLIGHT_REQUIRE : SPOTLIGHT_STALE;
}

static void change(Spotlight *s, int64_t t, SpotlightSeat *to, SpotlightCause cause)
{
    const SpotlightChange c = {.t = t,
                               .stream = to ? to->name : NULL,
                               .previous = s->shown ? s->shown->name : NULL,
                               .score = to ? to->score : 0,
                               .cause = cause};
    s->shown = to;
    s->since = t;
    s->fn(s->arg, &c);
}

static int64_t dwell_end(const Spotlight *s)
{
    return s->since > NEVER - s->shown->by.min_dwell ? NEVER : s->since + s->shown->by.min_dwell;
}

static void decide(Spotlight *s, int64_t t)
{
    SpotlightSeat *const is = s->shown;
    s->decided = t;
    if (is && eligible(is, t)) {
        SpotlightSeat *const other = t < dwell_end(s) ? NULL : best(s, t);
        if (other && other->score > is->score && other->score - is->score >= is->by.margin)
            change(s, t, other, SPOTLIGHT_BETTER);
        return;
    }
    SpotlightSeat *const next = best(s, t);
    if (is || next)
        change(s, t, next, is ? cause_of(is) : SPOTLIGHT_FIRST);
}

/* ---- time ---- */

static void drop_gone(Spotlight *s)
{
    int n = 0;
    for (int i = 0; i < s->seat.len; i++) {
        SpotlightSeat *const a = s->seat.at[i];
        if (a->gone)
            arena_free(a->arena);
        else
            s->seat.at[n++] = a;
    }
    s->seat.len = n;
}

/* What time alone brings next, after what was decided. */
static int64_t due(const Spotlight *s)
{
    if (!s->shown)
        return NEVER;
    const int64_t stale = stale_at(s->shown), dwell = dwell_end(s);
    return dwell > s->decided && dwell < stale ? dwell : stale;
}

/* All of the open instant was said, and nothing until t. */
static void go_on(Spotlight *s, int64_t t)
{
    if (t <= s->t)
        return;
    if (s->fresh) {
        s->fresh = false;
        decide(s, s->t);
        drop_gone(s);
    }
    for (int64_t next; (next = due(s)) < t;)
        decide(s, next);
    s->t = t;
}

void spotlight_quiet(Spotlight *s, int64_t t)
{
    go_on(s, t);
}

/* ---- what is said ---- */

static void open_instant(Spotlight *s, int64_t t)
{
    go_on(s, t);
    s->fresh = true;
}

SpotlightSeat *spotlight_join(Spotlight *s, const char *name, const SpotlightBy *by)
{
    Arena *const a = arena_new();
    SpotlightSeat *const seat = arena_new_of(a, SpotlightSeat);
    *seat = (SpotlightSeat){.arena = a, .name = arena_strdup(a, name), .by = *by, .require = -1};
    vec_push(s->arena, &s->seat, seat);
    return seat;
}

void spotlight_rules(Spotlight *s, SpotlightSeat *seat, int64_t t, const SpotlightBy *by)
{
    open_instant(s, t);
    seat->by = *by;
}

void spotlight_see(Spotlight *s, SpotlightSeat *seat, int64_t t, const SpotlightVerdict *v)
{
    open_instant(s, t);
    if (v->require >= 0) {
        seat->require = v->require;
        seat->t_require = s->t;
    }
    if (v->scored && v->require != 0) {
        seat->scored = true;
        seat->score = v->score;
        seat->t_score = s->t;
    }
    seat->scored = seat->scored && v->require != 0;
}

void spotlight_leave(Spotlight *s, SpotlightSeat *seat, int64_t t)
{
    open_instant(s, t);
    seat->gone = true;
}

/* ---- how it stands ---- */

static SpotlightStanding standing(const SpotlightSeat *a, int64_t t)
{
    if (eligible(a, t))
        return SPOTLIGHT_CAN;
    return a->require == 0                ? SPOTLIGHT_MAY_NOT
           : a->require < 0 || !a->scored ? SPOTLIGHT_UNKNOWN
                                          : SPOTLIGHT_TOO_OLD;
}

static int by_rank(const void *x, const void *y)
{
    const SpotlightRank *const a = x, *const b = y;
    const bool p = a->standing == SPOTLIGHT_CAN, q = b->standing == SPOTLIGHT_CAN;
    if (p != q)
        return p ? -1 : 1;
    if (a->scored != b->scored)
        return a->scored ? -1 : 1;
    return a->score != b->score ? (a->score > b->score ? -1 : 1) : strcmp(a->name, b->name);
}

int spotlight_ranking(const Spotlight *s, Arena *a, const SpotlightRank **out)
{
    SpotlightRank *const rank = arena_array_of(a, s->seat.len + 1, SpotlightRank);
    int n = 0;
    for (int i = 0; i < s->seat.len; i++) {
        const SpotlightSeat *const seat = s->seat.at[i];
        if (!seat->gone)
            rank[n++] = (SpotlightRank){.name = arena_strdup(a, seat->name),
                                        .shown = seat == s->shown,
                                        .scored = seat->scored,
                                        .score = seat->scored ? seat->score : 0,
                                        .standing = standing(seat, s->t)};
    }
    qsort(rank, (size_t)n, sizeof *rank, by_rank);
    *out = rank;
    return n;
}

bool spotlight_shown(const Spotlight *s, const char **name, int64_t *since)
{
    *name = s->shown ? s->shown->name : NULL;
    *since = s->since;
    return s->shown != NULL;
}

const char *spotlight_cause_text(SpotlightCause c)
{
    static const char *const text[] = {[SPOTLIGHT_FIRST] = "first",
                                       [SPOTLIGHT_BETTER] = "better",
                                       [SPOTLIGHT_REQUIRE] = "require",
                                       [SPOTLIGHT_STALE] = "stale",
                                       [SPOTLIGHT_GONE] = "gone"};
    return text[c];
}

const char *spotlight_standing_text(SpotlightStanding s)
{
    static const char *const text[] = {[SPOTLIGHT_CAN] = "can",
                                       [SPOTLIGHT_UNKNOWN] = "unknown",
                                       [SPOTLIGHT_MAY_NOT] = "may not",
                                       [SPOTLIGHT_TOO_OLD] = "stale"};
    return text[s];
}
