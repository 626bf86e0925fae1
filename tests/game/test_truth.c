/* The truth of a game against its script: what is written in the script is told once each, at the
 * right frame, and nothing else is. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "game/path.h"
#include "game/truth.h"

#define SEEDS 60

typedef struct Case {
    Arena *arena;
    const Script *s;
    TruthList truth;
} Case;

static Case make(uint64_t seed, double seconds)
{
    Case c = {.arena = arena_new()};
    c.s = script_new(c.arena, seed, 30, seconds);
    c.truth = truth_new(c.arena, c.s);
    return c;
}

static int count(const Case *c, const char *event)
{
    int n = 0;
    for (int i = 0; i < c->truth.len; i++)
        n += strcmp(c->truth.at[i].event, event) == 0;
    return n;
}

/* The n-th of an event, from 0. */
static const Truth *nth(const Case *c, const char *event, int n)
{
    for (int i = 0; i < c->truth.len; i++) {
        if (strcmp(c->truth.at[i].event, event) == 0 && n-- == 0)
            return &c->truth.at[i];
    }
    return NULL;
}

/* Late by no more than what can hide it: a cover of 0.9 s, black frames, a fade. */
static void assert_soon(int from, int frame, int late)
{
    if (from < frame || from > frame + late)
        FAIL_MSG("told at frame %d, is so from %d", from, frame);
}

/* Each step of a number, but for those that begin a match with the value the last one ended
 * with. */
static void check_number(const Case *c, const char *event, const Step *step, int n)
{
    int told = 0;
    for (int i = 1; i < n; i++) {
        if (step[i].value == step[i - 1].value)
            continue;
        const Truth *const t = nth(c, event, told++);
        assert_non_null(t);
        assert_true(t->point && t->change);
        assert_int_equal(t->value, step[i].value);
        assert_int_equal(t->prev, step[i - 1].value);
        assert_soon(t->from, step[i].frame, 30);
    }
    assert_int_equal(count(c, event), told);
}

static void numbers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, seed % 4 == 3 ? 90 : 30);
        check_number(&c, "alive_change", c.s->alive.at, c.s->alive.len);
        check_number(&c, "score_change", c.s->score.at, c.s->score.len);
        assert_true(seed % 4 == 3 || count(&c, "alive_change") >= 10);
        arena_free(c.arena);
    }
}

/* A kill is told where a skull comes while no other is on. */
static void kills(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, 30);
        int told = 0, until = -1;
        for (int i = 0; i < c.s->feed.len; i++) {
            const FeedLine *const l = &c.s->feed.at[i];
            if (l->kind != LINE_KILL)
                continue;
            if (l->at.from >= until) {
                const Truth *const t = nth(&c, "kill", told++);
                assert_non_null(t);
                assert_soon(t->from, l->at.from, 3);
                assert_true(until < 0 || l->at.from - until >= 30 * SCRIPT_DWELL);
            }
            until = l->at.to;
        }
        assert_int_equal(count(&c, "kill"), told);
        assert_true(told >= 3);
        arena_free(c.arena);
    }
}

static void shields(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, 30);
        int told = 0;
        for (int i = 0; i < c.s->state.len; i++) {
            const StateSpan *const span = &c.s->state.at[i];
            if (span->state != STATE_SHIELD)
                continue;
            const Truth *const t = nth(&c, "shield", told++);
            assert_non_null(t);
            assert_soon(t->from, span->at.from, 4);
            /* a fade at the end of the play hides the last frames */
            assert_soon(span->at.to, t->last, 8);
            assert_true(t->last < span->at.to);
        }
        assert_int_equal(count(&c, "shield"), told);
        arena_free(c.arena);
    }
}

/* Screens, final ten and victory, from the acts. */
static void matches(void **state)
{
    (void)state;
    int wins = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, 120);
        int play = 0, victory = 0;
        for (int i = 0; i < c.s->act.len; i++) {
            const Act *const act = &c.s->act.at[i];
            assert_int_equal(act->at.from, i ? act[-1].at.to : 0);
            if (act->screen == SCREEN_PLAY)
                assert_soon(nth(&c, "match", play++)->from, act->at.from, 8);
            if (act->screen == SCREEN_VICTORY) {
                assert_soon(nth(&c, "victory", victory)->from, act->at.from, 8);
                assert_int_equal(nth(&c, "win", victory)->from, nth(&c, "victory", victory)->from);
                victory++;
            }
        }
        assert_int_equal(vec_last(&c.s->act).at.to, c.s->nframe);
        assert_int_equal(play, 3);
        assert_int_equal(count(&c, "match"), play);
        assert_int_equal(count(&c, "victory"), victory);
        assert_int_equal(count(&c, "win"), victory);
        assert_true(count(&c, "final_ten") >= victory && count(&c, "final_ten") <= play);
        wins += victory;
        arena_free(c.arena);
    }
    assert_in_range(wins, SEEDS * 3 / 2, SEEDS * 3 - 1);
}

/* Stays in areas follow the way frame by frame, and are long enough to be seen. */
static void areas(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, 30);
        int stays = 0;
        for (int i = 0; i < SCRIPT_AREAS; i++) {
            const char *const event = arena_printf(c.arena, "in_%s", c.s->area[i].name);
            for (int k = 0; k < count(&c, event); k++) {
                const Truth *const t = nth(&c, event, k);
                stays++;
                float turn;
                assert_int_equal(path_area(c.s, path_at(c.s, t->from, &turn)), i);
                assert_int_equal(path_area(c.s, path_at(c.s, t->last, &turn)), i);
                assert_true(t->last - t->from >= 30 * SCRIPT_DWELL - 14);
            }
        }
        assert_true(stays >= 1);
        arena_free(c.arena);
    }
}

/* What is meant to be missed is there: glitches, covers, black and white frames; and is unknown,
 * not false. */
static void disturbances(void **state)
{
    (void)state;
    int glitches[GLITCH_COUNT] = {0}, covers = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const Case c = make(seed, 30);
        for (int i = 0; i < c.s->glitch.len; i++) {
            const Glitch *const g = &c.s->glitch.at[i];
            const Facts f = truth_facts(c.s, g->frame);
            glitches[g->kind]++;
            assert_true(g->kind != GLITCH_ALIVE || f.alive == FACT_NONE);
            assert_true(g->kind != GLITCH_SCORE || f.score == FACT_NONE);
            assert_true(g->kind != GLITCH_SHIELD || f.shield == FACT_UNKNOWN);
            assert_true(g->kind != GLITCH_SCREEN || f.screen == FACT_NONE);
        }
        for (int i = 0; i < c.s->cover.len; i++) {
            const Cover *const v = &c.s->cover.at[i];
            const Facts f = truth_facts(c.s, v->at.from);
            assert_true(v->cell != CELL_ALIVE || f.alive == FACT_NONE);
            assert_true(v->cell != CELL_STATES || f.shield == FACT_UNKNOWN);
            covers++;
        }
        for (int i = 0; i < c.s->blink.len; i++)
            assert_int_equal(truth_facts(c.s, c.s->blink.at[i].at.from).screen, FACT_NONE);
        arena_free(c.arena);
    }
    for (int k = 0; k < GLITCH_COUNT; k++)
        assert_true(glitches[k] >= SEEDS / 6);
    assert_true(covers >= SEEDS);
}

static void odd_lengths(void **state)
{
    (void)state;
    static const double seconds[] = {1, 1.5, 2, 3, 5, 8, 13, 55};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            const Case c = make(seed, seconds[i]);
            assert_int_equal(c.s->nframe, (int)lrint(seconds[i] * 30));
            assert_true(count(&c, "match") >= 1);
            for (int k = 0; k < c.truth.len; k++) {
                assert_in_range(c.truth.at[k].from, 0, c.s->nframe - 1);
                assert_in_range(c.truth.at[k].last, c.truth.at[k].from, c.s->nframe - 1);
                assert_true(k == 0 || c.truth.at[k - 1].from <= c.truth.at[k].from);
            }
            arena_free(c.arena);
        }
    }
}

static void lines(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const Script s = {.fps = 30};
    Truth t[] = {{.event = "match", .from = 30, .last = 44},
                 {.event = "score_change",
                  .point = true,
                  .from = 31,
                  .last = 31,
                  .change = true,
                  .value = 7,
                  .prev = 3}};
    const TruthList list = {.at = t, .len = 2};
    Str out = str_new(a);
    truth_print(&out, &s, &list);
    assert_string_equal(str_text(&out), "{\"event\":\"match\",\"key\":null,\"t_start\":1.000000,"
                                        "\"t_end\":1.466667,\"value\":null}\n"
                                        "{\"event\":\"score_change\",\"key\":null,\"t_start\":1."
                                        "033333,\"t_end\":null,\"value\":7,\"prev\":3}\n");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),     cmocka_unit_test(kills), cmocka_unit_test(shields),
        cmocka_unit_test(matches),     cmocka_unit_test(areas), cmocka_unit_test(disturbances),
        cmocka_unit_test(odd_lengths), cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
