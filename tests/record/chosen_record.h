/* What the templates choose for a group of one output, checked without running code: the record is
 * legal and says all (it prints and parses), and the loops that it makes compute, by the
 * interpreter, what the oracle computes from the stages. For any target, on any machine. */
#ifndef LATHE_TESTS_CHOSEN_RECORD_H
#define LATHE_TESTS_CHOSEN_RECORD_H

#include "loop/random_record.h"

#include "loop/interp.h"
#include "record/choose.h"

static inline void interpret_chosen(Context *ctx, const RecordCase *c, const Record *r,
                                    const Lowered *low, const Loops *l)
{
    Str why = str_new(ctx->arena);
    if (!loops_verify(l, &why))
        FAIL_MSG("%s\n%s", str_text(&why), r->line);
    const RecordRun run = record_run(ctx, c, &c->binding[0], low, l);
    loops_interpret(ctx, l, run.data, run.elements, run.syms);
    record_compare(c, &c->binding[0], r, low, l, &run, l->expanded ? "expanded" : "structured");
}

/* By output, as the group has only one. */
static inline RecordCase chosen_case(Context *ctx, const Stages *s)
{
    RecordCase c = {.stages = s, .nbindings = 1};
    for (int t = 0; t < s->tensor.len; t++)
        c.output = s->tensor.at[t].role == TENSOR_OUTPUT ? t : c.output;
    c.binding[0] = record_bind(ctx, s, c.output, (const int64_t[BINDING_SYMS]){1, 1, 1});
    return c;
}

/* What is chosen for stages. */
typedef struct Chosen {
    const Stages *stages; /* as they are written */
    Stages *applied;      /* after the schedule's steps */
    const Schedule *schedule;
    const char *source; /* which template it was */
    const char *line;   /* the record */
} Chosen;

static inline Chosen choose_record(Context *ctx, const char *text, const Target *t)
{
    Chosen c = {.stages = stages_parse(ctx, "test", text, strlen(text))};
    Str why = str_new(ctx->arena), line = str_new(ctx->arena);
    c.schedule = schedule_choose(ctx, c.stages, t, &c.source);
    c.applied = stages_copy(ctx, c.stages);
    assert_true(schedule_apply_steps(c.schedule, c.applied, &why));
    schedule_print(c.schedule, c.applied, &line);
    c.line = str_text(&line);
    return c;
}

/* The record has this part. */
static inline void expect_part(const Chosen *c, const char *part)
{
    if (!strstr(c->line, part))
        FAIL_MSG("no '%s' in %s", part, c->line);
}

/* Returns how many phases the loops have; *source: which template it was. */
static inline int check_chosen(Context *ctx, const char *text, const Target *t, const char **source)
{
    const Chosen chosen = choose_record(ctx, text, t);
    const Schedule *sc = chosen.schedule;
    const Record r = {.stages = chosen.applied, .schedule = sc, .line = chosen.line};
    Str why = str_new(ctx->arena), again = str_new(ctx->arena);
    *source = chosen.source;
    if (schedule_check(sc, r.stages, t, &why) != SCHEDULE_OK)
        FAIL_MSG("%s\n%s", str_text(&why), r.line);
    Stages *other = stages_copy(ctx, chosen.stages);
    schedule_print(schedule_parse(ctx, other, r.line), other, &again);
    assert_string_equal(str_text(&again), r.line);
    const RecordCase c = chosen_case(ctx, chosen.stages);
    const Lowered low = lower(ctx, r.stages, sc, t);
    interpret_chosen(ctx, &c, &r, &low, low.loops);
    interpret_chosen(ctx, &c, &r, &low, expand(ctx, low.loops, t));
    return low.loops->phase.len;
}

/* Of a CPU that is the same wherever the test runs: target_find has this machine's caches and
 * rates. */
static inline Target chosen_target(const char *name)
{
    Target t;
    Error e = {0};
    if (target_find(name, &t, &e) != 0)
        FAIL_MSG("%s %s", name, e.message);
    t.l1 = 32 << 10;
    t.l1_ways = 8;
    t.l3_rate = 16;
    t.l2 = 512 << 10;
    t.l3 = 32 << 20;
    t.fma_per_cycle = 2;
    return t;
}

/* Runs a job in an arena of its own; `name`, of the target, is for the message if it fails. */
static inline void run_chosen_job(JobFn fn, void *job, const char *name)
{
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, fn, job, &e, NULL) != 0)
        FAIL_MSG("%s %s", name, e.message);
    arena_free(a);
}

#define MAX_CHOSEN_CASES 32

/* A test for each of n cases of `size` bytes, which begin with the name of their target: it names
 * the test. `check` gets the case as its state. */
static inline int run_chosen_cases(const void *cases, int n, size_t size, CMUnitTestFunction check)
{
    struct CMUnitTest tests[MAX_CHOSEN_CASES];
    assert_in_range(n, 1, MAX_CHOSEN_CASES);
    for (int k = 0; k < n; k++) {
        const char *const *at = (const char *const *)((const char *)cases + (size_t)k * size);
        tests[k] =
            (struct CMUnitTest){.name = *at, .test_func = check, .initial_state = (void *)at};
    }
    return _cmocka_run_group_tests("cases", tests, (size_t)n, NULL, NULL);
}

#endif
