/* Random legal records: whatever the schedule, the loops mean what the stages mean.
 *
 * For each group of stages records are drawn at random; those that schedule_check takes must print
 * and parse back, lower, expand, pass the verifier in both forms, and compute in both forms, by the
 * interpreter, what the oracle computes, within its error bound, whatever the sizes that are free.
 * (Generated code: codegen/test_schedule_native.c.) */
#include "random_record.h"

#include "loop/interp.h"

enum { LEGAL = 48, DRAWS = 4000, FIRST_SEED = 1 };

typedef struct Job {
    const RecordGroup *group;
    RecordCase *c;
    Target target;
    uint64_t seed;
    bool legal;
    /* legal records that have them */
    int tails[TAIL_MODES], forms[4], fused, split, in_steps, step_phases, open_sizes, ahead,
        in_result;
} Job;

static void check_loops(Context *ctx, const RecordCase *c, const Record *r, const Lowered *low,
                        const Loops *l)
{
    Str why = str_new(ctx->arena);
    if (!loops_verify(l, &why))
        FAIL_MSG("seed %llu: %s\n%s", (unsigned long long)r->seed, str_text(&why), r->line);
    for (int k = 0; k < c->nbindings; k++) {
        const RecordRun run = record_run(ctx, c, &c->binding[k], low, l);
        loops_interpret(ctx, l, run.data, run.elements, run.syms);
        record_compare(c, &c->binding[k], r, low, l, &run, l->expanded ? "expanded" : "structured");
    }
}

static void record_job(Context *ctx, void *arg)
{
    Job *j = arg;
    const Record r = record_draw(ctx, j->c, j->seed, &j->target);
    j->legal = r.verdict == SCHEDULE_OK;
    if (!j->legal)
        return;
    const Lowered low = lower(ctx, r.stages, r.schedule, &j->target);
    check_loops(ctx, j->c, &r, &low, low.loops);
    check_loops(ctx, j->c, &r, &low, expand(ctx, low.loops, &j->target));
    for (int k = 0; k < TAIL_MODES; k++)
        j->tails[k] += r.tail[k];
    for (int k = 0; k < 4; k++)
        j->forms[k] += r.form[k];
    j->fused += r.fused;
    j->split += r.split;
    j->in_steps += r.in_steps;
    j->step_phases += r.step_phases;
    j->open_sizes += r.open_sizes;
    j->ahead += r.ahead;
    j->in_result += r.in_result;
}

static void group_job(Context *ctx, void *arg)
{
    Job *j = arg;
    Error e = {0};
    RecordCase c = record_case(ctx, j->group);
    j->c = &c;
    assert_int_equal(target_find("avx2", &j->target, &e), 0);
    int legal = 0;
    for (int k = 0; k < DRAWS && legal < LEGAL; k++) {
        Arena *arena = arena_new();
        j->seed = (uint64_t)(FIRST_SEED + k);
        if (job_run(arena, record_job, j, &e, NULL) != 0)
            FAIL_MSG("seed %d: %s", FIRST_SEED + k, e.message);
        legal += j->legal;
        arena_free(arena);
    }
    if (legal < 8)
        FAIL_MSG("%s: only %d legal records", j->group->name, legal);
}

static void test_group(void **state)
{
    Arena *arena = arena_new();
    Error e = {0};
    if (job_run(arena, group_job, *state, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(arena);
}

/* After the groups: nothing was left out. */
static void test_all_occur(void **state)
{
    const Job *job = *state;
    for (int k = 0; k < TAIL_MODES; k++) {
        int n = 0;
        for (int g = 0; g < RECORD_GROUPS; g++)
            n += job[g].tails[k];
        if (n < 5)
            FAIL_MSG("tail mode %d in %d records", k, n);
    }
    for (int k = 0; k < 4; k++) {
        int n = 0;
        for (int g = 0; g < RECORD_GROUPS; g++)
            n += job[g].forms[k];
        if (n < 20)
            FAIL_MSG("stage form %d in %d records", k, n);
    }
    int fused = 0, split = 0, in_steps = 0, step_phases = 0, open_sizes = 0, ahead = 0,
        in_result = 0;
    for (int g = 0; g < RECORD_GROUPS; g++) {
        fused += job[g].fused;
        split += job[g].split;
        in_steps += job[g].in_steps;
        step_phases += job[g].step_phases;
        open_sizes += job[g].open_sizes;
        ahead += job[g].ahead;
        in_result += job[g].in_result;
    }
    if (ahead < 10)
        FAIL_MSG("constants fetched ahead in %d records", ahead);
    if (in_steps < 20 || step_phases < 5)
        FAIL_MSG("steps in %d records, several phases a step in %d", in_steps, step_phases);
    if (in_result < 5)
        FAIL_MSG("boxes that lie in the result in %d records", in_result);
    if (open_sizes < 10)
        FAIL_MSG("tiles of several sizes in %d records", open_sizes);
    if (fused < 20)
        FAIL_MSG("axes fused in %d records", fused);
    if (split < 5)
        FAIL_MSG("axes split in %d records", split);
}

int main(void)
{
    Job job[RECORD_GROUPS] = {0};
    struct CMUnitTest tests[RECORD_GROUPS + 1];
    for (int k = 0; k < RECORD_GROUPS; k++) {
        job[k].group = &record_groups[k];
        tests[k] = (struct CMUnitTest){.name = record_groups[k].name, .test_func = test_group,
                                       .initial_state = &job[k]};
    }
    tests[RECORD_GROUPS] = (struct CMUnitTest){.name = "all_occur", .test_func = test_all_occur,
                                               .initial_state = job};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
