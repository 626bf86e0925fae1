/* Random legal records: whatever the schedule, the loops mean what the stages mean.
 *
 * For each group of stages records are drawn at random; those that schedule_check takes must print
 * and parse back, lower, expand, pass the verifier in both forms, and compute in both forms, by the
 * interpreter, what the oracle computes, within its error bound. Extents are primes, so every tile
 * has a tail. */
#include "check.h"

#include <math.h>

#include "loop/interp.h"
#include "loop/oracle.h"
#include "loop/schedule.h"
#include "target/target.h"

enum { LEGAL = 36, DRAWS = 4000, FIRST_SEED = 1 };

typedef struct Group {
    const char *name, *text;
} Group;

static const Group groups[] = {
    {"gemm", "input a f32 [7, 13]\n"
             "const b f32 [13, 11]\n"
             "input c f32 [11]\n"
             "temp acc f32 [7, 11]\n"
             "output y f32 [7, 11]\n"
             "reduce acc (m: 7, n: 11; k: 13) init 0 update fma(a[m, k], b[k, n], state0) "
             "combine state0 + state2_0\n"
             "map y (m: 7, n: 11) = max(0, acc[m, n] + c[n])\n"},
    {"conv", "input x f32 [3, 7, 5]\n"
             "const w f32 [5, 3, 3, 3]\n"
             "temp p f32 [3, 9, 7]\n"
             "temp acc f32 [5, 7, 5]\n"
             "output y f32 [5, 7, 5]\n"
             "map p (c: 3, h: 9, v: 7) = select(1 <= h & h < 8 & 1 <= v & v < 6, "
             "x[c, min(max(h - 1, 0), 6), min(max(v - 1, 0), 4)], 0)\n"
             "reduce acc (o: 5, h: 7, v: 5; c: 3, r: 3, s: 3) init 0 "
             "update fma(p[c, h + r, v + s], w[o, c, r, s], state0) combine state0 + state2_0\n"
             "map y (o: 5, h: 7, v: 5) = acc[o, h, v]*2\n"},
    {"window", "input x f32 [3, 23]\n"
               "temp d f32 [3, 23]\n"
               "output y f32 [3, 11]\n"
               "map d (c: 3, i: 23) = x[c, i]*3\n"
               "reduce y (c: 3, i: 11; r: 3) init -1000 update max(state0, d[c, i*2 + r]) "
               "combine max(state0, state2_0)\n"},
    {"softmax", "input x f32 [5, 17]\n"
                "temp top f32 [5]\n"
                "temp e f32 [5, 17]\n"
                "temp sum f32 [5]\n"
                "output y f32 [5, 17]\n"
                "reduce top (m: 5; k: 17) init -1000 update max(state0, x[m, k]) "
                "combine max(state0, state2_0)\n"
                "map e (m: 5, n: 17) = exp(x[m, n] - top[m])\n"
                "reduce sum (m: 5; k: 17) init 0 update state0 + e[m, k] "
                "combine state0 + state2_0\n"
                "map y (m: 5, n: 17) = e[m, n] / sum[m]\n"},
    {"broadcast", "input a f32 [5, 1, 7]\n"
                  "input b f32 [3, 7]\n"
                  "temp t f32 [5, 3, 7]\n"
                  "output y f32 [5, 3, 7]\n"
                  "map t (i: 5, j: 3, k: 7) = a[i, 0, k] + b[j, k]\n"
                  "map y (i: 5, j: 3, k: 7) = t[i, j, k]*b[j, k]\n"},
    {"transpose", "input a f32 [5, 7, 11]\n"
                  "temp t f32 [11, 5, 7]\n"
                  "output y f32 [7, 11, 5]\n"
                  "map t (i: 11, j: 5, k: 7) = a[j, k, i]\n"
                  "map y (i: 7, j: 11, k: 5) = t[j, k, i] + 1\n"},
};
enum { GROUPS = sizeof groups / sizeof groups[0] };

static uint32_t below(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % n;
}

/* ---- drawing ---- */

static void draw_steps(Context *ctx, Stages *s, Schedule *sc, uint64_t *seed)
{
    for (int tries = (int)below(seed, 3); tries > 0; tries--) {
        const Stage *st = &s->stage.at[below(seed, (uint32_t)s->stage.len)];
        const char *name = s->tensor.at[st->result[0]].name;
        ScheduleStep step = {.a = name};
        step.kind = (StepKind[]){SCHED_INLINE, SCHED_CACHE_WRITE, SCHED_RFACTOR}[below(seed, 3)];
        if (step.kind == SCHED_RFACTOR) {
            if (!st->nreduce)
                continue;
            step.b = st->axis[st->naxes + (int)below(seed, (uint32_t)st->nreduce)].name;
            step.n = 2 + (int)below(seed, 3);
        }
        /* applied alone, to see whether it is taken */
        Schedule one = {.variant = "default"};
        vec_push(ctx->arena, &one.step, step);
        Str why = str_new(ctx->arena);
        if (schedule_apply_steps(&one, s, &why))
            vec_push(ctx->arena, &sc->step, step);
    }
}

static void draw_order(const Stage *st, StageSchedule *ss, uint64_t *seed)
{
    int level[MAX_AXES] = {0}, live[MAX_AXES];
    for (;;) {
        int n = 0;
        for (int a = 0; a < st->naxes + st->nreduce; a++)
            if (level[a] <= ss->tile[a].n)
                live[n++] = a;
        if (n == 0)
            return;
        const int a = live[below(seed, (uint32_t)n)];
        ss->order[ss->norder++] = (LoopRef){(int8_t)a, (int8_t)level[a]++};
    }
}

static void draw_stage(Context *ctx, const Stages *s, Schedule *sc, int i, uint64_t *seed)
{
    const Stage *st = &s->stage.at[i];
    StageSchedule *ss = schedule_stage(sc, ctx, s->tensor.at[st->result[0]].name);
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        AxisTile *tile = &ss->tile[a];
        tile->n = (int)below(seed, 3);
        for (int k = 0; k < tile->n; k++)
            tile->factor[k] = 1 + (int32_t)below(seed, k ? 3 : 4);
        if (tile->n)
            tile->tail = (TailMode)below(seed, 5);
    }
    draw_order(st, ss, seed);
    for (int k = 0; k < ss->norder; k++)
        if (below(seed, 4) == 0)
            ss->unroll |= (uint64_t)1 << k;
    if (below(seed, 2)) {
        ss->vector = ss->norder - 1;
        ss->unroll &= ~((uint64_t)1 << ss->vector);
    }
    if (i + 1 < s->stage.len && below(seed, 2)) {
        const int at = i + 1 + (int)below(seed, (uint32_t)(s->stage.len - i - 1));
        const Stage *target = &s->stage.at[at];
        ss->at_stage = s->tensor.at[target->result[0]].name;
        ss->at_loop.axis = (int8_t)below(seed, (uint32_t)(target->naxes + target->nreduce));
        ss->at_loop.level = (int8_t)below(seed, 2);
        ss->scope = below(seed, 2) ? SCOPE_REG : SCOPE_SCRATCH;
    } else {
        const int most = (int)below(seed, 3);
        while (ss->nparallel < most && ss->nparallel < ss->norder &&
               ss->order[ss->nparallel].axis < st->naxes && ss->vector != ss->nparallel)
            ss->nparallel++;
        ss->unroll &= ~(uint64_t)3;
    }
}

/* ---- running ---- */

static void drop(void *t)
{
    tensor_unref(t);
}

static Tensor **tensors_for(Context *ctx, const Stages *s)
{
    Tensor **t = arena_array_of(ctx->arena, s->tensor.len, Tensor *);
    for (int i = 0; i < s->tensor.len; i++) {
        const StageTensor *st = &s->tensor.at[i];
        int64_t dim[MAX_RANK];
        if (st->role == TENSOR_TEMP)
            continue;
        for (int k = 0; k < st->rank; k++)
            dim[k] = expr_eval_int(s->x, st->dim[k], NULL);
        t[i] = tensor_new(st->dtype, st->rank, dim, NULL);
        arena_defer(ctx->arena, drop, t[i]);
        if (st->role != TENSOR_OUTPUT)
            tensor_fill_random(t[i], (uint64_t)i + 1);
    }
    return t;
}

typedef struct Case {
    const Stages *original; /* before the steps */
    Tensor **tensor;        /* of the original; ids stay the same after steps */
    int output;
    int64_t count;
    const Scalar *want;
    const double *magnitude;
    const char *line;
    uint64_t seed;
} Case;

static void check_loops(Context *ctx, const Case *c, const Lowered *low, const Loops *l)
{
    Str why = str_new(ctx->arena);
    if (!loops_verify(l, &why))
        FAIL_MSG("seed %llu: %s\n%s", (unsigned long long)c->seed, str_text(&why), c->line);
    void **bufs = arena_array_of(ctx->arena, l->nargs + 1, void *);
    int64_t *elements = arena_array_of(ctx->arena, l->nargs + 1, int64_t);
    const float *got = NULL;
    for (int b = 0; b < l->buffer.len; b++) {
        const LoopBuffer *buffer = &l->buffer.at[b];
        if (buffer->scope != SCOPE_ARG || buffer->arg < 0)
            continue;
        int64_t dim[MAX_RANK];
        for (int k = 0; k < buffer->rank; k++)
            dim[k] = expr_eval_int(l->x, buffer->dim[k], NULL);
        elements[buffer->arg] = layout_elements(&buffer->layout, buffer->rank, dim);
        float *data = arena_array_of(ctx->arena, elements[buffer->arg] + 1, float);
        for (int t = 0; t < c->original->tensor.len; t++)
            if (c->tensor[t] && low->tensor_buffer[t] == b &&
                c->original->tensor.at[t].role != TENSOR_OUTPUT)
                memcpy(data, c->tensor[t]->data, c->tensor[t]->bytes);
        bufs[buffer->arg] = data;
        if (b == low->tensor_buffer[c->output])
            got = data;
    }
    loops_interpret(ctx, l, bufs, elements, NULL);
    for (int64_t k = 0; k < c->count; k++) {
        const double error = fabs(got[k] - c->want[k].f);
        if (!(error <= 8 * ORACLE_EPS * c->magnitude[k]))
            FAIL_MSG("seed %llu, %s form, element %lld: %g, not %g\n%s",
                     (unsigned long long)c->seed, l->expanded ? "expanded" : "structured",
                     (long long)k, (double)got[k], (double)c->want[k].f, c->line);
    }
}

/* One record; false if it is not legal. */
static bool one_record(Context *ctx, Case *c, const Target *target)
{
    Stages *s = stages_copy(ctx, c->original);
    Schedule *sc = arena_new_of(ctx->arena, Schedule);
    sc->variant = "default";
    uint64_t seed = c->seed * 977;
    draw_steps(ctx, s, sc, &seed);
    for (int i = 0; i < s->stage.len; i++)
        draw_stage(ctx, s, sc, i, &seed);
    Str why = str_new(ctx->arena), text = str_new(ctx->arena), again = str_new(ctx->arena);
    if (schedule_check(sc, s, target, &why) != SCHEDULE_OK)
        return false;
    schedule_print(sc, s, &text);
    c->line = str_text(&text);
    Stages *fresh = stages_copy(ctx, c->original);
    const Schedule *parsed = schedule_parse(ctx, fresh, c->line);
    schedule_print(parsed, fresh, &again);
    assert_string_equal(c->line, str_text(&again));
    const Lowered low = lower(ctx, fresh, parsed, target);
    check_loops(ctx, c, &low, low.loops);
    check_loops(ctx, c, &low, expand(ctx, low.loops, target));
    return true;
}

typedef struct Trial {
    Case *c;
    const Target *target;
    bool legal;
} Trial;

static void trial_job(Context *ctx, void *arg)
{
    Trial *t = arg;
    t->legal = one_record(ctx, t->c, t->target);
}

static void group_job(Context *ctx, void *arg)
{
    const Group *g = arg;
    Stages *s = stages_parse(ctx, g->name, g->text, strlen(g->text));
    Case c = {.original = s, .tensor = tensors_for(ctx, s), .output = stages_find_tensor(s, "y")};
    c.count = tensor_elements(c.tensor[c.output]);
    int64_t *index = arena_array_of(ctx->arena, c.count, int64_t);
    Scalar *want = arena_array_of(ctx->arena, c.count, Scalar);
    double *magnitude = arena_array_of(ctx->arena, c.count, double);
    for (int64_t k = 0; k < c.count; k++)
        index[k] = k;
    oracle_elements(s, NULL, c.tensor, ORACLE_DOUBLE, c.output, c.count, index, want, magnitude);
    c.want = want;
    c.magnitude = magnitude;
    Target target;
    Error e = {0};
    assert_int_equal(target_find("avx2", &target, &e), 0);
    int legal = 0;
    for (int k = 0; k < DRAWS && legal < LEGAL; k++) {
        Arena *arena = arena_new();
        c.seed = (uint64_t)(FIRST_SEED + k);
        c.line = "(not drawn)";
        Trial t = {.c = &c, .target = &target};
        if (job_run(arena, trial_job, &t, &e, NULL) != 0)
            FAIL_MSG("seed %d: %s\n%s", FIRST_SEED + k, e.message, c.line);
        legal += t.legal;
        arena_free(arena);
    }
    if (legal < 8)
        FAIL_MSG("%s: only %d legal records", g->name, legal);
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
    struct CMUnitTest tests[GROUPS];
    for (int k = 0; k < GROUPS; k++)
        tests[k] = (struct CMUnitTest){.name = groups[k].name, .test_func = test_group,
                                       .initial_state = (void *)&groups[k]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
