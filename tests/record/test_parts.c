/* Sums over so much that not even one panel of weights stays in L2 are taken in parts, which a
 * second phase adds up: where many rows meet the panels, the parts come out even and the image is
 * plain. Matrices whose rows do not stay in L2 beside a panel are, where reading them again for
 * each panel takes too long: parts of neighbours. */
#include "record/chosen_record.h"

#define TYPED(W, C, Q, K, R)                                                                       \
    "input x f32 [1, " C ", " Q " + 4]\nconst w " W " [" K ", " C ", 5]\n"                         \
    "output y f32 [1, " K ", " Q "]\n"                                                             \
    "reduce y (n: 1, k: " K ", q: " Q "; c: " C ", r: " R                                          \
    ") init 0 update fma(x[n, c, q + r], w[k, c, r], state0) "                                     \
    "combine state0 + state2_0\n"
#define CONV(C, Q, K, R) TYPED("f32", C, Q, K, R)
/* .. as a transposed convolution reads its weights: the parts' phases and its own */
#define PHASES                                                                                     \
    "input x f32 [1, 16, 261]\nconst w f32 [16, 9, 10]\noutput y f32 [1, 9, 256, 2]\n"             \
    "reduce y (n: 1, k: 9, q: 256, u: 2; c: 16, r: 5) init 0 update fma(x[n, c, q + r], w[c, k, "  \
    "r * 2 + u], state0) "                                                                         \
    "combine state0 + state2_0\n"

#define MATRIX(M, K, N)                                                                            \
    "input x f32 [" M ", " K "]\nconst w f32 [" K ", " N "]\noutput y f32 [" M ", " N "]\n"        \
    "reduce y (m: " M ", n: " N "; k: " K                                                          \
    ") init 0 update fma(x[m, k], w[k, n], state0) combine state0 + state2_0\n"

typedef struct Case {
    const char *target, *stages;
    int phases;
    int l2, l3_rate; /* 0: 200 vectors of f32, and that of the test's CPU */
} Case;

static const Case cases[] = {
    {"avx2", CONV("16", "256", "9", "5"), 2, 0, 0},
    {"avx2", TYPED("bf16", "16", "256", "9", "5"), 1, 0, 0}, /* half as long */
    {"avx2", CONV("15", "257", "24", "5"), 2, 0,
     0}, /* five parts of three channels; rows left over */
    {"avx2", CONV("16", "255", "9", "5"), 1, 0, 0}, /* too few rows */
    {"avx2", CONV("13", "256", "9", "5"), 1, 0, 0}, /* no even parts */
    {"avx2", CONV("16", "256", "9", "3"), 1, 0, 0}, /* fits L2 */
    {"avx512", CONV("16", "256", "17", "5"), 2, 0, 0},
    {"avx2", PHASES, 2, 0, 0},
    {"avx2", MATRIX("24", "1280", "32"), 2, 264 << 10, 1},
    {"avx2", MATRIX("24", "1280", "32"), 1, 264 << 10, 64}, /* is read in time */
    {"avx2", MATRIX("24", "1280", "32"), 1, 512 << 10, 1},  /* fits */
    {"avx2", MATRIX("24", "600", "32"), 1, 128 << 10, 1},   /* adding up takes too long */
    {"avx512", MATRIX("50", "1408", "56"), 2, 574 << 10, 1},
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
    j.target.l2 = c->l2 ? c->l2 : 200 * target_lanes(&j.target, 4) * 4;
    j.target.l3_rate = c->l3_rate ? c->l3_rate : j.target.l3_rate;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
