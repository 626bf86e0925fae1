/* The template for rows: it is what is taken where rows are many and of known length, all stages are one phase, its record
 * is legal and says all, and the loops that it makes compute, by the interpreter, what the oracle computes. */
#include "record/chosen_record.h"

#define SOFTMAX(M, N)                                                                                                  \
    "input x f32 [" M ", " N "]\ntemp max f32 [" M "]\ntemp weight f32 [" M ", " N "]\ntemp sum f32 [" M "]\n"         \
    "output y f32 [" M ", " N "]\n"                                                                                    \
    "reduce max (i: " M "; r: " N ") init -inf update max(x[i, r], state0) combine max(state0, state2_0)\n"            \
    "map weight (i: " M ", j: " N ") = exp(x[i, j] - max[i])\n"                                                        \
    "reduce sum (i: " M "; r: " N ") init 0 update state0 + weight[i, r] combine state0 + state2_0\n"                  \
    "map y (i: " M ", j: " N ") = weight[i, j] / sum[i]\n"

typedef struct Case {
    const char *target, *stages;
    int phases; /* 1: by rows */
} Case;

static const Case cases[] = {
    {"avx2", SOFTMAX("9", "64"), 1},   {"avx2", SOFTMAX("8", "197"), 1}, {"avx2", SOFTMAX("11", "3"), 1},
    {"avx2", SOFTMAX("12", "17"), 1},  {"avx512", SOFTMAX("9", "256"), 1}, {"avx512", SOFTMAX("8", "131"), 1},
    {"avx2", SOFTMAX("2", "64"), 4}, /* too few rows */
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
    const int phases = check_chosen(ctx, j->c->stages, &j->target, &source);
    assert_int_equal(strcmp(source, "rows") == 0, j->c->phases == 1);
    assert_int_equal(phases, j->c->phases);
}

static void check_case(void **state)
{
    Job j = {.c = *state};
    Arena *a = arena_new();
    Error e = {0};
    if (target_find(j.c->target, &j.target, &e) != 0 || job_run(a, run_job, &j, &e, NULL) != 0)
        FAIL_MSG("%s %s", j.c->target, e.message);
    arena_free(a);
}

int main(void)
{
    struct CMUnitTest tests[CASES];
    for (int k = 0; k < CASES; k++)
        tests[k] = (struct CMUnitTest){.name = cases[k].target, .test_func = check_case,
                                       .initial_state = (void *)&cases[k]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
