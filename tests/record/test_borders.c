/* Taps of convolutions that lie in the border are left out (steps `trim`), where a loop outside of
 * the tile says which: what is computed is the same. */
#include "record/chosen_record.h"

/* 3x3, 12 channels, H x H with a border of 1 (LAST = H - 1, ABOVE = H + 1, PADDED = H + 2) to Q x
 * Q, taps at P. */
#define CONV(H, LAST, ABOVE, PADDED, Q, P)                                                         \
    "input x f32 [1, 12, " H ", " H "]\nconst w f32 [16, 12, 3, 3]\ntemp pad f32 [1, 12, " PADDED  \
    ", " PADDED "]\n"                                                                              \
    "output y f32 [1, 16, " Q ", " Q "]\n"                                                         \
    "map pad (i: 1, j: 12, k: " PADDED ", m: " PADDED ") = select(k < " ABOVE                      \
    " & 0 < k & m < " ABOVE " & 0 < m, "                                                           \
    "x[i, j, max(min(k - 1, " LAST "), 0), max(min(m - 1, " LAST "), 0)], 0)\n"                    \
    "reduce y (n: 1, k: 16, p: " Q ", q: " Q "; c: 12, r: 3, s: 3) init 0 "                        \
    "update fma(" P ", w[k, c, r, s], state0) combine state0 + state2_0\n"

typedef struct Case {
    const char *target, *stages;
    int trims;
} Case;

static const Case cases[] = {
    {"avx2", CONV("30", "29", "31", "32", "30", "pad[n, c, p + r, q + s]"), 1},
    {"avx2", CONV("7", "6", "8", "9", "5", "pad[n, c, p + r * 2, q + s * 2]"), 1},
    {"avx2", CONV("9", "8", "10", "11", "5", "pad[n, c, p * 2 + r, q * 2 + s]"), 1},
    {"avx2", CONV("6", "5", "7", "8", "6", "pad[n, c, 2 - r + p, q + 2 - s]"),
     1},                                                                 /* as transposed ones go */
    {"avx2", CONV("7", "6", "8", "9", "3", "x[n, c, p + r, q + s]"), 0}, /* no border */
    {"avx512", CONV("30", "29", "31", "32", "30", "pad[n, c, p + r, q + s]"), 1},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
} Job;

static void run_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    check_chosen(ctx, j->c->stages, &j->target, &source);
    assert_string_equal(source, "contraction");
    const Chosen chosen = choose_record(ctx, j->c->stages, &j->target);
    const Schedule *sc = chosen.schedule;
    int trims = 0;
    for (int k = 0; k < sc->step.len; k++)
        trims += sc->step.at[k].kind == SCHED_TRIM;
    assert_int_equal(trims, j->c->trims);
    Str text = str_new(ctx->arena);
    const Lowered low = lower(ctx, chosen.applied, sc, &j->target);
    loops_print(low.loops, &text);
    if ((strstr(str_text(&text), " - max(") != NULL) != (trims > 0))
        FAIL_MSG("%d trims\n%s", trims, str_text(&text));
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
