/* Weights of a convolution lie in the order that they are read in. Where they come from a slow L3
 * and meet few rows, one tile has all of those, so that it takes both at once; where several tiles
 * meet a panel, the first waits for it. */
#include "record/chosen_record.h"

/* x (1, C, 7, 7), padded already, w (K, C, 3, 3), taps two apart -> y (1, K, 3, 3), or, where taps
 * are one apart, (1, K, 5, 5) */
#define CONV(C, K, P, APART)                                                                       \
    "input x f32 [1, " C ", 7, 7]\nconst w f32 [" K ", " C ", 3, 3]\ntemp a f32 [1, " K ", " P     \
    ", " P "]\n"                                                                                   \
    "output y f32 [1, " K ", " P ", " P "]\n"                                                      \
    "reduce a (n: 1, k: " K ", p: " P ", q: " P "; c: " C ", r: 3, s: 3) init 0 update "           \
    "fma(x[n, c, p + r*" APART ", q + s*" APART                                                    \
    "], w[k, c, r, s], state0) combine state0 + state2_0\n"                                        \
    "map y (n: 1, k: " K ", p: " P ", q: " P ") = max(a[n, k, p, q], 0)\n"

typedef struct Case {
    const char *target, *stages, *layout, *tile;
    int l3_rate; /* bytes a cycle */
} Case;

static const Case cases[] = {
    {"avx512", CONV("8", "48", "5", "1"), "w: layout 0 1 2 3 1:4 0:16 ",
     "tile k 16 peel, p 5 shift, q 5 shift;", 8},
    {"avx512", CONV("8", "48", "3", "2"), "w: layout 0 1 2 3 1:4 0:16 ",
     "tile k 3 16 peel, p 3 shift, q 3 shift;", 4},
    {"avx512", CONV("8", "48", "5", "1"), "w: layout 0 1 2 3 1:4 0:48 ",
     "tile k 48 peel, q 5 shift;", 16},
    {"avx512", CONV("6", "48", "5", "1"), "w: layout 0 1 2 3 0:16 ",
     "tile k 16 peel, p 5 shift, q 5 shift;", 8},
    {"avx2", CONV("8", "48", "5", "1"), "w: layout 0 1 2 3 1:4 0:16 ", "tile k 16 peel, q 5 shift;",
     16},
};
enum { CASES = sizeof cases / sizeof *cases, L2 = 4096 };

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
    expect_part(&chosen, j->c->layout);
    expect_part(&chosen, j->c->tile);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l2 = L2;
    j.target.l3_rate = c->l3_rate;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
