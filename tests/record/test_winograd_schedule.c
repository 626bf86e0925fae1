/* The template for Winograd's convolutions: it is what is taken, its record is legal and says all
 * (it prints and parses), and the loops that it makes compute, by the interpreter, what the oracle
 * computes from the stages. For two widths of vectors, on any machine. */
#include "record/chosen_record.h"

#include "compile/compile.h"

typedef struct Case {
    const char *target;
    int m, images, channels, outputs, height, width; /* of x, with a border of 1 */
    /* v is a phase of its own: the weights are larger */
    bool whole;
    /* outputs of a task, where they make equal parts for two threads */
    int block;
} Case;

static const Case cases[] = {
    {"avx2", 2, 1, 16, 16, 4, 4, true, 0},      {"avx2", 4, 1, 16, 12, 13, 19, false, 0},
    {"avx2", 4, 2, 8, 16, 11, 5, true, 0},      {"avx2", 6, 1, 8, 8, 26, 14, false, 0},
    {"avx2", 4, 1, 7, 11, 9, 9, true, 0},       {"avx512", 2, 1, 16, 16, 7, 7, true, 0},
    {"avx512", 2, 1, 8, 128, 7, 7, true, 32}, /* not 48, 48 and 32 */
    {"avx512", 4, 1, 16, 32, 27, 27, false, 0}, {"avx512", 4, 1, 17, 19, 6, 10, true, 0},
    {"avx512", 6, 1, 16, 16, 13, 31, false, 0},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
    const char *stages; /* of the convolution's kernel */
} Job;

/* The group as the compiler defines it: a constant u, a bias, Relu. For this machine, as it lays u
 * out by running. */
static void compile_job(Context *ctx, void *arg)
{
    Job *j = arg;
    const Case *c = j->c;
    const int n = c->m + 2;
    const char *text = arena_printf(ctx->arena,
                                    "graph \"test\"\nconst w f32[%d,%d,3,3] = 0.5\nconst u "
                                    "f32[%d,%d,%d,%d] = 0.5\nconst b f32[%d] = 0.5\n"
                                    "input x f32[%d,%d,%d,%d]\nc = conv(x, w, b, u) winograd=%d "
                                    "pads=[1,1,1,1]\nr = relu(c)\noutput r\n",
                                    c->outputs, c->channels, c->outputs, c->channels, n, n,
                                    c->outputs, c->images, c->channels, c->height, c->width, c->m);
    const CompileOptions opt = {.target = target_native(), .threads = 1, .want_text = true};
    const Compiled out = compile_graph(ctx, graph_parse(ctx, "test", text, strlen(text)), &opt);
    for (int k = 0; k < out.report->nkernels; k++)
        if (strcmp(out.report->kernel[k].source, "winograd") == 0)
            j->stages = out.report->kernel[k].stages;
    if (!j->stages)
        FAIL_MSG("%s F(%d,3): no kernel has the template's schedule", c->target, c->m);
}

/* The product of the factors of the output's second parallel axis. */
static int block_of(Context *ctx, const Job *j)
{
    const Schedule *sc =
        schedule_choose(ctx, stages_parse(ctx, "test", j->stages, strlen(j->stages)), &j->target,
                        NULL);
    for (int i = 0; i < sc->stage.len; i++) {
        const StageSchedule *ss = &sc->stage.at[i];
        const AxisTile *k = ss->norder > 1 ? &ss->tile[ss->order[1].axis] : NULL;
        if (ss->nparallel == 2 && k->n == 2)
            return k->factor[0] * k->factor[1];
    }
    return 0;
}

static void schedule_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    const int phases = check_chosen(ctx, j->stages, &j->target, &source);
    assert_string_equal(source, "winograd");
    assert_int_equal(phases, j->c->whole ? 2 : 1);
    if (j->c->block)
        assert_int_equal(block_of(ctx, j), j->c->block);
}

static void check_case(void **state)
{
    Job j = {.c = *state, .target = chosen_target(((const Case *)*state)->target)};
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, compile_job, &j, &e, NULL) != 0 || job_run(a, schedule_job, &j, &e, NULL) != 0)
        FAIL_MSG("%s F(%d,3): %s", j.c->target, j.c->m, e.message);
    arena_free(a);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
