/* Sums over channels that lie in blocks: of a block so many steps are written out as hide the loop
 * over them. Large tiles take few, small ones all of the block. */
#include "record/chosen_record.h"

/* x (1, C, P, P) in blocks of B, w (K, C, 1, 1) -> y (1, K, P, P) */
#define CONV(C, K, P, B)                                                                           \
    "input x f32 [1, " C ", " P ", " P "] layout 0 1 2 3 1:" B "\nconst w f32 [" K ", " C          \
    ", 1, 1]\ntemp a f32 [1, " K ", " P ", " P "]\noutput y f32 [1, " K ", " P ", " P              \
    "] layout 0 1 2 3 1:" B "\n"                                                                   \
    "reduce a (n: 1, k: " K ", p: " P ", q: " P "; c: " C ", r: 1, s: 1) init 0 update "           \
    "fma(x[n, c, p + r, q + s], w[k, c, r, s], state0) combine state0 + state2_0\n"                \
    "map y (n: 1, k: " K ", p: " P ", q: " P ") = max(a[n, k, p, q], 0)\n"

typedef struct Case {
    const char *target, *stages, *sum;
} Case;

static const Case cases[] = {
    {"avx512", CONV("48", "32", "10", "16"), "a: tile c 4 4 peel; order c0 r0 s0 c1 c2 "},
    {"avx512", CONV("16", "32", "10", "16"), "a: tile c 4 4 peel; order c0 r0 s0 c1 c2 "},
    {"avx512", CONV("48", "32", "7", "16"), "a: tile c 2 8 peel; order c0 r0 s0 c1 c2 "},
    {"avx512", CONV("40", "32", "7", "8"), "a: tile c 8 peel; order c0 r0 s0 c1 n0 "},
    {"avx2", CONV("24", "16", "7", "8"), "a: tile c 8 peel; order c0 r0 s0 c1 n0 "},
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
    assert_int_equal(check_chosen(ctx, j->c->stages, &j->target, &source), 1);
    assert_string_equal(source, "contraction");
    const Chosen chosen = choose_record(ctx, j->c->stages, &j->target);
    expect_part(&chosen, j->c->sum);
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
