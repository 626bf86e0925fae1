/* Which part of an image a thread computes: where l3 is slow images of more pixels than weights are
 * halved outside of all else. */
#include "record/chosen_record.h"

/* 1x1, C to K channels at H x H, in blocks of 16. */
#define POINTWISE(C, K, H)                                                                         \
    "input x f32 [1, " C ", " H ", " H "] layout 0 1 2 3 1:16\nconst w f32 [" K ", " C ", 1, 1]\n" \
    "output y f32 [1, " K ", " H ", " H "] layout 0 1 2 3 1:16\n"                                  \
    "reduce y (n: 1, k: " K ", p: " H ", q: " H "; c: " C ") init 0 "                              \
    "update fma(x[n, c, p, q], w[k, c, 0, 0], state0) combine state0 + state2_0\n"
/* 3x3 without a border, C channels, P x Q from H x W. */
#define WINDOW(C, H, W, P, Q, LAYOUT)                                                              \
    "input x f32 [1, " C ", " H ", " W "]" LAYOUT "\nconst w f32 [" C ", 1, 3, 3]\n"               \
    "output y f32 [1, " C ", " P ", " Q "]" LAYOUT "\n"                                            \
    "reduce y (n: 1, k: " C ", p: " P ", q: " Q "; r: 3, s: 3) init 0 "                            \
    "update fma(x[n, k, p + r, q + s], w[k, 0, r, s], state0) combine state0 + state2_0\n"
/* The first columns of an image of 20 columns and P rows of C channels. */
#define COLUMNS(C, P, LAYOUT)                                                                      \
    "const v f32 []\noutput y f32 [1, " C ", " P ", 2]" LAYOUT " in [1, " C ", " P                 \
    ", 20] at [0, 0, 0, 0]\n"                                                                      \
    "map y (i: 1, j: " C ", k: " P ", m: 2) = v[]\n"
#define BLOCKS " layout 0 1 2 3 1:16"
#define PIXELS " layout 0 2 3 1"

typedef struct Case {
    const char *target, *stages;
    int l3_rate;
    const char *order; /* a part of the record */
} Case;

static const Case cases[] = {
    {"avx512", POINTWISE("32", "64", "14"), 8, "order pq0 k0"},
    {"avx512", POINTWISE("32", "64", "14"), 16,
     "order n0 pq0 k0"}, /* rows meet all panels as it is */
    {"avx512", POINTWISE("32", "64", "13"), 8, "order k0 n0 pq0"}, /* has no halves */
    {"avx512", POINTWISE("64", "96", "5"), 8, "order k0 n0 pq0"},  /* more weights than pixels */
    {"avx512", WINDOW("32", "16", "16", "14", "14", BLOCKS), 8, "order p0 n0 k0 p1"},
    {"avx512", WINDOW("32", "16", "16", "14", "14", BLOCKS), 16, "order n0 k0 p0"},
    {"avx512", WINDOW("32", "5", "34", "3", "32", BLOCKS), 8,
     "order q0 n0 k0 p0 q1 q2"}, /* few rows: columns */
    {"avx512", WINDOW("40", "5", "34", "3", "32", PIXELS), 8, "order q0 n0 p0 k0 q1 q2"},
    {"avx512", WINDOW("40", "16", "16", "14", "14", PIXELS), 8,
     "order n0 p0 k0"}, /* rows are outermost as it is */
    {"avx512", WINDOW("80", "8", "8", "6", "6", BLOCKS), 8,
     "order n0 k0 p0"}, /* more channels than pixels */
    /* channels of little work are joined, not left to one thread */
    {"avx512", WINDOW("64", "9", "9", "7", "7", ""), 16, "order n0 k0 k1 p0"},
    {"avx512", COLUMNS("32", "14", BLOCKS), 8, "order k0 i0 j0 k1"},
    {"avx512", COLUMNS("32", "14", BLOCKS), 16, "order i0 j0 k0"},
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
    if (!strstr(j->c->stages, " in [")) /* the check has no memory around an output */
        check_chosen(ctx, j->c->stages, &j->target, &source);
    const Chosen chosen = choose_record(ctx, j->c->stages, &j->target);
    Str why = str_new(ctx->arena);
    assert_int_equal(schedule_check(chosen.schedule, chosen.applied, &j->target, &why),
                     SCHEDULE_OK);
    expect_part(&chosen, j->c->order);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l3_rate = c->l3_rate;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
