/* The template for products of halves: it is what is taken, and what it makes is right
 * (record/chosen_record.h). For two widths of vectors, on any machine. */
#include "record/chosen_record.h"

#include <stdio.h>

#include "compile/compile.h"

typedef struct Case {
    const char *target;
    int matrices, rows, sum, columns;
} Case;

static const Case cases[] = {
    {"avx2", 1, 12, 16, 32},  {"avx2", 1, 7, 8, 64},     {"avx2", 2, 9, 16, 96},
    {"avx2", 1, 140, 8, 32},  {"avx512", 1, 12, 32, 64}, {"avx512", 1, 7, 16, 96},
    {"avx512", 3, 4, 32, 64}, {"avx512", 1, 131, 8, 32},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
    const char *stages; /* of the product's kernel */
} Job;

/* The group as the compiler defines it: a constant u, a bias, Relu. For this machine, as it lays u
 * out by running. */
static void compile_job(Context *ctx, void *arg)
{
    Job *j = arg;
    const Case *c = j->c;
    const char *text =
        arena_printf(ctx->arena,
                     "graph \"test\"\nconst w f32[%d,%d] = 0.5\nconst u f32[7,%d,%d] = 0.5\nconst "
                     "b f32[%d] = 0.5\ninput x f32[%d,%d,%d]\n"
                     "m = matmul(x, w, u) strassen=1\na = add(m, b)\nr = relu(a)\noutput r\n",
                     c->sum, c->columns, c->sum / 2, c->columns / 2, c->columns, c->matrices,
                     c->rows, c->sum);
    const CompileOptions opt = {.target = target_native(), .threads = 1, .want_text = true};
    const Compiled out = compile_graph(ctx, graph_parse(ctx, "test", text, strlen(text)), &opt);
    for (int k = 0; k < out.report->nkernels; k++)
        if (strstr(out.report->kernel[k].stages, "acc"))
            j->stages = out.report->kernel[k].stages;
    if (!j->stages)
        FAIL_MSG("%s: no kernel has the product", c->target);
}

static void schedule_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    const int phases = check_chosen(ctx, j->stages, &j->target, &source);
    assert_string_equal(source, "strassen");
    assert_int_equal(phases, 2);
}

static void check_case(void **state)
{
    Job j = {.c = *state, .target = chosen_target(((const Case *)*state)->target)};
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, compile_job, &j, &e, NULL) != 0 || job_run(a, schedule_job, &j, &e, NULL) != 0)
        FAIL_MSG("%s %dx%dx%d: %s", j.c->target, j.c->rows, j.c->sum, j.c->columns, e.message);
    arena_free(a);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
