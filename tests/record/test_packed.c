/* Products whose input A lies in rows side by side (plain images): where one line of the cache for each point of the sum would
 * fill L1 and many panels meet them, A is copied into blocks first, as a phase of its own. */
#include "record/chosen_record.h"

#define CONV1X1(C, K)                                                                                                  \
    "input x f32 [1, " C ", 13]\nconst w f32 [" K ", " C "]\noutput y f32 [1, " K ", 13]\n"                              \
    "reduce y (n: 1, k: " K ", q: 13; c: " C ") init 0 update fma(x[n, c, q], w[k, c], state0) "                        \
    "combine state0 + state2_0\n"

typedef struct Case {
    const char *target, *stages;
    int phases;
} Case;

static const Case cases[] = {
    {"avx2", CONV1X1("176", "64"), 2},
    {"avx2", CONV1X1("179", "130"), 2},  /* no whole blocks, no whole panels */
    {"avx2", CONV1X1("160", "64"), 1},   /* fits L1 */
    {"avx2", CONV1X1("176", "32"), 1},   /* too few panels */
    {"avx512", CONV1X1("176", "128"), 2},
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
    assert_string_equal(source, "contraction");
}

static void check_case(void **state)
{
    Job j = {.c = *state};
    Arena *a = arena_new();
    Error e = {0};
    if (target_find(j.c->target, &j.target, &e) != 0)
        FAIL_MSG("%s %s", j.c->target, e.message);
    j.target.l1 = 32768;
    if (job_run(a, run_job, &j, &e, NULL) != 0)
        FAIL_MSG("%s %s", j.c->target, e.message);
    arena_free(a);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
