/* Sums over so much that not even one panel of weights stays in L2 are taken in parts, which a second phase adds up: where many
 * rows meet the panels, the parts come out even and the image is plain. */
#include "record/chosen_record.h"

#define CONV(C, Q, K, R)                                                                                               \
    "input x f32 [1, " C ", " Q " + 4]\nconst w f32 [" K ", " C ", 5]\noutput y f32 [1, " K ", " Q "]\n"                 \
    "reduce y (n: 1, k: " K ", q: " Q "; c: " C ", r: " R ") init 0 update fma(x[n, c, q + r], w[k, c, r], state0) "     \
    "combine state0 + state2_0\n"
/* .. as a transposed convolution reads its weights: the parts' phases and its own */
#define PHASES                                                                                                         \
    "input x f32 [1, 16, 261]\nconst w f32 [16, 9, 10]\noutput y f32 [1, 9, 256, 2]\n"                                  \
    "reduce y (n: 1, k: 9, q: 256, u: 2; c: 16, r: 5) init 0 update fma(x[n, c, q + r], w[c, k, r * 2 + u], state0) "   \
    "combine state0 + state2_0\n"

typedef struct Case {
    const char *target, *stages;
    int phases;
} Case;

static const Case cases[] = {
    {"avx2", CONV("16", "256", "9", "5"), 2},
    {"avx2", CONV("15", "257", "24", "5"), 2}, /* five parts of three channels; rows left over */
    {"avx2", CONV("16", "255", "9", "5"), 1},  /* too few rows */
    {"avx2", CONV("13", "256", "9", "5"), 1},  /* no even parts */
    {"avx2", CONV("16", "256", "9", "3"), 1},  /* fits L2 */
    {"avx512", CONV("16", "256", "17", "5"), 2},
    {"avx2", PHASES, 2},
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
    assert_int_equal(check_chosen(ctx, j->c->stages, &j->target, &source), j->c->phases);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l2 = 200 * target_lanes(&j.target, 4) * 4;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
