/* Random legal records as machine code: of every group of loop/random_record.h some, at all sizes
 * bound, the parallel range in two parts, the second first. */
#include "loop/random_record.h"

#include "codegen/run_phases.h"

enum { LEGAL = 5, DRAWS = 600, FIRST_SEED = 5000 };

typedef struct Job {
    const RecordGroup *group;
    const RecordCase *c;
    Target target;
    uint64_t seed;
    bool legal;
} Job;

static void execute(Context *ctx, const Loops *l, const LoadedImage *image, const Image *of,
                    const RecordRun *run)
{
    void *scratch = arena_alloc_aligned(ctx->arena, (size_t)l->scratch_bytes + 1, 64);
    int64_t *var = arena_array_of(ctx->arena, l->x->var.len, int64_t);
    for (int k = 0; k < l->sym.len; k++)
        var[expr_node(l->x, l->sym.at[k])->imm.i] = run->syms[k];
    run_phases(l, image, of, run->data, run->syms, scratch, var);
}

static void record_job(Context *ctx, void *arg)
{
    Job *j = arg;
    const Record r = record_draw(ctx, j->c, j->seed, &j->target);
    j->legal = r.verdict == SCHEDULE_OK;
    if (!j->legal)
        return;
    const Lowered low = lower(ctx, r.stages, r.schedule, &j->target);
    const Loops *l = expand(ctx, low.loops, &j->target);
    const CodegenResult code = codegen_compile(ctx, l, &j->target, NULL);
    LoadedImage *image;
    Error e;
    if (image_load(&code.image, &image, &e) != ERR_OK)
        fail(ctx, e.code, "%s", e.message);
    for (int k = 0; k < j->c->nbindings; k++) {
        const RecordRun run = record_run(ctx, j->c, &j->c->binding[k], &low, l);
        execute(ctx, l, image, &code.image, &run);
        record_compare(j->c, &j->c->binding[k], &r, &low, l, &run, "native");
    }
    image_unload(image);
}

static void group_job(Context *ctx, void *arg)
{
    Job *j = arg;
    Error e = {0};
    const RecordCase c = record_case(ctx, j->group);
    j->c = &c;
    j->target = target_native();
    int legal = 0;
    for (int k = 0; k < DRAWS && legal < LEGAL; k++) {
        Arena *arena = arena_new();
        j->seed = (uint64_t)(FIRST_SEED + k);
        if (job_run(arena, record_job, j, &e, NULL) != 0)
            FAIL_MSG("seed %d: %s", FIRST_SEED + k, e.message);
        legal += j->legal;
        arena_free(arena);
    }
    assert_int_equal(legal, LEGAL);
}

static void test_group(void **state)
{
    Arena *arena = arena_new();
    Error e = {0};
    if (job_run(arena, group_job, *state, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(arena);
}

int main(void)
{
    Job job[RECORD_GROUPS] = {0};
    struct CMUnitTest tests[RECORD_GROUPS];
    for (int k = 0; k < RECORD_GROUPS; k++) {
        job[k].group = &record_groups[k];
        tests[k] = (struct CMUnitTest){.name = record_groups[k].name, .test_func = test_group,
                                       .initial_state = &job[k]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
