/* Random schedules of small groups of stages, and what they must compute.
 *
 * A group's extents are primes, so that every tile has a tail; free extents are bound to several
 * sets of values when the loops run, smaller than a tile too. Records are drawn without regard to
 * what is legal: schedule_check says. */
#ifndef LATHE_TESTS_RANDOM_RECORD_H
#define LATHE_TESTS_RANDOM_RECORD_H

#include "check.h"

#include <math.h>

#include "loop/access.h"
#include "loop/oracle.h"
#include "loop/schedule.h"
#include "target/target.h"

enum { BINDINGS = 3, TAIL_MODES = 5, GUARD_BYTES = 64, BINDING_SYMS = 3 };

typedef struct RecordGroup {
    const char *name, *text;
} RecordGroup;

static const RecordGroup record_groups[] = {
    {"gemm", "input a f32 [7, 13]\n"
             "const b f32 [13, 11]\n"
             "input c f32 [11]\n"
             "temp acc f32 [7, 11]\n"
             "output y f32 [7, 11]\n"
             "reduce acc (m: 7, n: 11; k: 13) init 0 update fma(a[m, k], b[k, n], state0) "
             "combine state0 + state2_0\n"
             "map y (m: 7, n: 11) = max(0, acc[m, n] + c[n])\n"},
    {"free_gemm", "sym K 1 500\nsym M 1 500\nsym N 1 500\n"
                  "input a f32 [M, K]\n"
                  "input b f32 [K, N]\n"
                  "temp acc f32 [M, N]\n"
                  "output y f32 [M, N]\n"
                  "reduce acc (m: M, n: N; k: K) init 0 update fma(a[m, k], b[k, n], state0) "
                  "combine state0 + state2_0\n"
                  "map y (m: M, n: N) = max(0, acc[m, n])\n"},
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
    {"free_conv",
     "sym H 1 2147483647\nsym W 1 2147483647\n"
     "input x f32 [2, H, W]\n"
     "const w f32 [5, 2, 3, 3]\n"
     "temp p f32 [2, H + 2, W + 2]\n"
     "temp acc f32 [5, H, W]\n"
     "output y f32 [5, H, W]\n"
     "map p (c: 2, h: H + 2, v: W + 2) = select(1 <= h & h < H + 1 & 1 <= v & v < W + 1"
     ", x[c, min(max(h - 1, 0), H - 1), min(max(v - 1, 0), W - 1)], 0)\n"
     "reduce acc (o: 5, h: H, v: W; c: 2, r: 3, s: 3) init 0 "
     "update fma(p[c, h + r, v + s], w[o, c, r, s], state0) combine state0 + state2_0\n"
     "map y (o: 5, h: H, v: W) = acc[o, h, v]*2\n"},
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
    {"free_softmax", "sym M 1 500\nsym N 1 500\n"
                     "input x f32 [M, N]\n"
                     "temp top f32 [M]\n"
                     "temp sum f32 [M]\n"
                     "output y f32 [M, N]\n"
                     "reduce top (m: M; k: N) init -1000 update max(state0, x[m, k]) "
                     "combine max(state0, state2_0)\n"
                     "reduce sum (m: M; k: N) init 0 update state0 + exp(x[m, k] - top[m]) "
                     "combine state0 + state2_0\n"
                     "map y (m: M, n: N) = exp(x[m, n] - top[m]) / sum[m]\n"},
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
    {"blocked", "input x f32 [13, 5, 7] layout 0 1 2 0:4\n"
                "const c f32 [13] layout 0 0:4\n"
                "temp t f32 [13, 5, 7]\n"
                "output y f32 [13, 5, 7] layout 0 1 2 0:4\n"
                "map t (c: 13, h: 5, w: 7) = max(0, x[c, h, w])\n"
                "map y (c: 13, h: 5, w: 7) = t[c, h, w] + x[c, h, w]*c[c]\n"},
    {"planes", "input x f32 [6, 7, 5]\n"
               "const w f32 [11, 6]\n"
               "input r f32 [11, 7, 5]\n"
               "temp acc f32 [11, 7, 5]\n"
               "output y f32 [11, 7, 5]\n"
               "reduce acc (o: 11, h: 7, v: 5; c: 6) init 0 "
               "update fma(x[c, h, v], w[o, c], state0) combine state0 + state2_0\n"
               "map y (o: 11, h: 7, v: 5) = max(0, acc[o, h, v]) + r[o, h, v]\n"},
    /* a transposed convolution: all that reads y can be split as acc is */
    {"phases", "input x f32 [3, 6]\n"
               "const w f32 [3, 4, 4]\n"
               "temp acc f32 [4, 5, 2]\n"
               "temp t f32 [4, 10]\n"
               "output y f32 [4, 10]\n"
               "reduce acc (k: 4, p: 5, u: 2; c: 3, r: 2) init 0 "
               "update fma(x[c, p - r + 1], w[c, k, r*2 + u], state0) combine state0 + state2_0\n"
               "map t (k: 4, o: 10) = acc[k, o/2, o%2]*0.5\n"
               "map y (k: 4, o: 10) = max(0, t[k, o])\n"},
    {"free_planes", "sym H 1 500\nsym W 1 500\n"
                    "input x f32 [3, H, W]\n"
                    "temp sum f32 [3]\n"
                    "output y f32 [3, H, W]\n"
                    "reduce sum (c: 3; h: H, v: W) init 0 update state0 + x[c, h, v] "
                    "combine state0 + state2_0\n"
                    "map y (c: 3, h: H, v: W) = x[c, h, v] - sum[c]\n"},
    {"scan", "sym B 1 500\n"
             "input x f32 [B, 13]\n"
             "temp d f32 [B, 13]\n"
             "temp s f32 [B, 13]\n"
             "output y f32 [B, 13]\n"
             "map d (b: B, t: 13) = x[b, t]*3\n"
             "scan s (b: B, t: 13) along t = "
             "select(t == 0, d[b, t], s[b, max(t - 1, 0)]*0.5 + d[b, t])\n"
             "map y (b: B, t: 13) = s[b, t] + x[b, t]\n"},
    {"cell", "sym T 1 500\n"
             "input x f32 [T, 5]\n"
             "const r f32 [2, 5, 5]\n"
             "temp before f32 [T, 5]\n"
             "temp gates f32 [T, 2, 5]\n"
             "temp c f32 [T, 5]\n"
             "temp h f32 [T, 5]\n"
             "output y f32 [T, 5]\n"
             "map before (t: T, j: 5) = select(t == 0, 0.25, h[max(t - 1, 0), j])\n"
             "reduce gates (t: T, g: 2, j: 5; k: 5) init 0 "
             "update fma(before[t, k], r[g, j, k], state0) combine state0 + state2_0\n"
             "scan c (t: T, j: 5) along t = 0.5*select(t == 0, 0, c[max(t - 1, 0), j]) + "
             "tanh(gates[t, 0, j] + x[t, j])\n"
             "scan h (t: T, j: 5) along t = tanh(c[t, j])*tanh(gates[t, 1, j])\n"
             "map y (t: T, j: 5) = h[t, j]*2\n"},
    {"cells",
     "sym T 1 500\n"
     "input x f32 [2, T, 3]\n"
     "const r f32 [2, 3, 3]\n"
     "temp g f32 [T, 2, 3]\n"
     "temp h f32 [T, 2, 3]\n"
     "output y f32 [T, 2, 3]\n"
     "reduce g (t: T, d: 2, j: 3; k: 3) init select(d == 0, x[0, t, j], x[1, T - 1 - t, j]) "
     "update fma(select(t == 0, 0.25, h[max(t - 1, 0), d, k]), r[d, j, k], state0) "
     "combine state0 + state2_0\n"
     "scan h (t: T, d: 2, j: 3) along t = tanh(g[t, d, j])\n"
     "map y (t: T, d: 2, j: 3) = h[t, d, j]*2\n"},
    {"scatter", "sym E 1 500\n"
                "input x f32 [7, 3]\n"
                "input u f32 [E, 3]\n"
                "temp d f32 [E, 3]\n"
                "temp s f32 [7, 3]\n"
                "output y f32 [7, 3]\n"
                "map d (e: E, c: 3) = u[e, c]*2\n"
                "scatter s (e: E, c: 3; p: 7, q: 3) where e < 19 init x[p, q] at [e*5 % 9, c] "
                "update state0 + d[e, c]\n"
                "map y (p: 7, q: 3) = s[p, q]*x[p, q]\n"},
};
enum { RECORD_GROUPS = sizeof record_groups / sizeof record_groups[0] };

static inline uint32_t below(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % n;
}

/* ---- what a group computes ---- */

typedef struct RecordBinding { /* the group at some sizes */
    int64_t *var;              /* by variable id of the stages' pool */
    Tensor **tensor;           /* inputs, constants and the output's shape */
    int64_t count;             /* of the output */
    const Scalar *want;
    const double *magnitude;
} RecordBinding;

typedef struct RecordCase {
    const Stages *stages; /* before any step: ids of tensors stay the same after */
    int output, nbindings;
    RecordBinding binding[BINDINGS];
} RecordCase;

static inline void record_drop(void *t)
{
    tensor_unref(t);
}

static inline Tensor **record_tensors(Context *ctx, const Stages *s, const int64_t *var)
{
    Tensor **t = arena_array_of(ctx->arena, s->tensor.len, Tensor *);
    for (int i = 0; i < s->tensor.len; i++) {
        const StageTensor *st = &s->tensor.at[i];
        int64_t dim[MAX_RANK];
        if (st->role == TENSOR_TEMP)
            continue;
        for (int k = 0; k < st->rank; k++)
            dim[k] = expr_eval_int(s->x, st->dim[k], var);
        t[i] = tensor_new(st->dtype, st->rank, dim, NULL);
        arena_defer(ctx->arena, record_drop, t[i]);
        if (st->role != TENSOR_OUTPUT)
            tensor_fill_random(t[i], (uint64_t)i + 1);
    }
    return t;
}

static inline RecordBinding record_bind(Context *ctx, const Stages *s, int output,
                                        const int64_t *values)
{
    RecordBinding b = {.var = arena_array_of(ctx->arena, s->x->var.len, int64_t)};
    for (int v = 0, next = 0; v < s->x->var.len; v++)
        if (s->x->var.at[v].kind == VAR_SYM)
            b.var[v] = values[next++ % BINDING_SYMS];
    b.tensor = record_tensors(ctx, s, b.var);
    b.count = tensor_elements(b.tensor[output]);
    int64_t *index = arena_array_of(ctx->arena, b.count, int64_t);
    Scalar *want = arena_array_of(ctx->arena, b.count, Scalar);
    double *magnitude = arena_array_of(ctx->arena, b.count, double);
    for (int64_t k = 0; k < b.count; k++)
        index[k] = k;
    oracle_elements(s, b.var, b.tensor, ORACLE_DOUBLE, output, b.count, index, want, magnitude);
    b.want = want;
    b.magnitude = magnitude;
    return b;
}

static inline RecordCase record_case(Context *ctx, const RecordGroup *g)
{
    static const int64_t values[BINDINGS][BINDING_SYMS] = {{11, 7, 13}, {2, 5, 3}, {1, 17, 1}};
    const Stages *s = stages_parse(ctx, g->name, g->text, strlen(g->text));
    RecordCase c = {.stages = s, .output = stages_find_tensor(s, "y"), .nbindings = 1};
    for (int v = 0; v < s->x->var.len; v++)
        if (s->x->var.at[v].kind == VAR_SYM)
            c.nbindings = BINDINGS;
    for (int k = 0; k < c.nbindings; k++)
        c.binding[k] = record_bind(ctx, s, c.output, values[k]);
    return c;
}

/* ---- drawing ---- */

static inline void draw_steps(Context *ctx, Stages *s, Schedule *sc, uint64_t *seed)
{
    static const StepKind kinds[] = {SCHED_INLINE, SCHED_CACHE_WRITE, SCHED_RFACTOR,
                                     SCHED_CACHE_READ, SCHED_FUSE, SCHED_SPLIT};
    for (int tries = (int)below(seed, 4); tries > 0; tries--) {
        const Stage *st = &s->stage.at[below(seed, (uint32_t)s->stage.len)];
        const char *name = s->tensor.at[st->result[0]].name;
        ScheduleStep step = {.kind = kinds[below(seed, 6)], .a = name};
        if (step.kind == SCHED_RFACTOR) {
            if (!st->nreduce)
                continue;
            step.b = st->axis[st->naxes + (int)below(seed, (uint32_t)st->nreduce)].name;
            step.n = 2 + (int)below(seed, 3);
            step.kind = below(seed, 2) ? SCHED_RFACTOR : SCHED_PARTS;
            step.meet = step.kind == SCHED_RFACTOR && step.n == 4 ? 2 * (int)below(seed, 2) : 0;
        } else if (step.kind == SCHED_CACHE_READ) {
            step.a = s->tensor.at[below(seed, (uint32_t)s->tensor.len)].name;
            step.b = name;
            step.c = arena_printf(ctx->arena, "copy%d", tries);
        } else if (step.kind == SCHED_FUSE) {
            const int axes = st->naxes + st->nreduce;
            if (axes < 2)
                continue;
            const int a = (int)below(seed, (uint32_t)axes - 1);
            step.b = st->axis[a].name;
            step.c = st->axis[a + 1].name;
        } else if (step.kind == SCHED_SPLIT) {
            if (!st->naxes)
                continue;
            step.b = st->axis[below(seed, (uint32_t)st->naxes)].name;
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

static inline void draw_order(const Stage *st, StageSchedule *ss, uint64_t *seed)
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

/* A permutation of the axes, and a block of one of them behind. */
static inline Layout draw_layout(int rank, uint64_t *seed)
{
    Layout l = {0};
    bool used[MAX_RANK] = {false};
    while (l.n < rank) {
        const int a = (int)below(seed, (uint32_t)rank);
        if (!used[a])
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)a};
        used[a] = true;
    }
    if (below(seed, 2))
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)below(seed, (uint32_t)rank),
                                   .block = 2 << below(seed, 2)};
    return l;
}

static inline void draw_layouts(Context *ctx, const Stages *s, Schedule *sc, uint64_t *seed)
{
    for (int t = 0; t < s->tensor.len; t++) {
        const StageTensor *st = &s->tensor.at[t];
        const bool temporary = st->role == TENSOR_TEMP && st->stage >= 0;
        if ((!temporary && st->role != TENSOR_CONST) || st->rank == 0 || below(seed, 3))
            continue;
        StageSchedule *ss = schedule_stage(sc, ctx, st->name);
        ss->has_layout = true;
        ss->layout = draw_layout(st->rank, seed);
    }
}

static inline void draw_tiles(const Stages *s, const Stage *st, StageSchedule *ss, uint64_t *seed)
{
    const Layout *layout = &s->tensor.at[st->result[0]].layout;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        AxisTile *tile = &ss->tile[a];
        tile->n = (int)below(seed, 3);
        for (int k = 0; k < tile->n; k++)
            tile->factor[k] = 1 + (int32_t)below(seed, k ? 3 : 4);
        if (tile->n)
            tile->tail = (TailMode)below(seed, TAIL_MODES);
        for (int32_t size = tile->factor[0] - 1;
             tile->n == 1 && tile->tail == TAIL_SHIFT && size > 0; size--)
            if (*seed >> (32 + size) & 1) /* the draws that follow stay as they were */
                tile->other[tile->nother++] = size;
        if (a < st->naxes && layout_block(layout, a) > 1 && below(seed, 4)) /* or pad is rare */
            *tile = (AxisTile){.n = 1, .factor = {(int32_t)layout_block(layout, a)},
                               .tail = TAIL_PAD};
    }
}

static inline void draw_parallel(const Stage *st, StageSchedule *ss, uint64_t *seed)
{
    const int most = (int)below(seed, 3);
    int outer = ss->nsteps;
    while (ss->nparallel < most && outer < ss->norder && ss->order[outer].axis < st->naxes &&
           ss->vector != outer) {
        ss->nparallel++;
        outer++;
    }
    ss->unroll &= ~(uint64_t)(ss->nsteps ? 7 : 3);
}

/* A constant, if any, and a loop of the stage that this one is computed at. */
static inline void draw_ahead(const Stages *s, const Stage *st, const Stage *target,
                              StageSchedule *ss, uint64_t *seed)
{
    for (int t = 0; t < s->tensor.len; t++)
        if (s->tensor.at[t].role == TENSOR_CONST && stage_loads(s, st, t) && below(seed, 2))
            ss->ahead = s->tensor.at[t].name;
    ss->ahead_loop.axis = (int8_t)below(seed, (uint32_t)(target->naxes + target->nreduce));
    ss->ahead_loop.level = (int8_t)below(seed, 2);
}

static inline void draw_stage(Context *ctx, const Stages *s, Schedule *sc, int i, uint64_t *seed)
{
    const Stage *st = &s->stage.at[i];
    StageSchedule *ss = schedule_stage(sc, ctx, s->tensor.at[st->result[0]].name);
    if (st->form == STAGE_SCATTER)
        return; /* runs in its own order */
    draw_tiles(s, st, ss, seed);
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
        if (st->form == STAGE_MAP && below(seed, 2)) { /* what a later stage reads may lie in it */
            for (int r = i + 1; r < s->stage.len; r++)
                if (reads_pointwise(s, r, i))
                    ss->at_stage = s->tensor.at[s->stage.at[r].result[0]].name;
            ss->at_loop = (LoopRef){0};
            ss->scope = SCOPE_SCRATCH;
            ss->in_result = true;
            memset(ss->tile, 0, sizeof ss->tile);
            ss->norder = 0;
            ss->unroll = 0;
            ss->vector = -1;
        } else {
            draw_ahead(s, st, target, ss, seed);
        }
    } else {
        ss->nsteps = st->form == STAGE_SCAN ? (int)below(seed, 2) : 0;
        draw_parallel(st, ss, seed);
    }
}

/* Scans that earlier stages read, and these stages, run in the steps of the last of them: other
 * records are not legal, so those that might be are drawn more often. */
static inline void draw_cycle(const Stages *s, Schedule *sc, Context *ctx, uint64_t *seed)
{
    int first = s->stage.len, last = -1;
    for (int i = 0; i < s->stage.len; i++)
        for (int j = 0; j < i && s->stage.at[i].form == STAGE_SCAN; j++)
            if (stage_loads(s, &s->stage.at[j], s->stage.at[i].result[0])) {
                first = j < first ? j : first;
                last = i;
            }
    if (last < 0)
        return;
    const bool outside = below(seed, 2);
    const uint32_t kept = below(seed, 3); /* members with whole storage: some, most, few */
    for (int j = first; j <= last; j++) {
        const Stage *st = &s->stage.at[j], *top = &s->stage.at[last];
        const StageSchedule *ts = schedule_find(sc, s->tensor.at[top->result[0]].name);
        StageSchedule *ss = schedule_stage(sc, ctx, s->tensor.at[st->result[0]].name);
        if (j == last || st->form == STAGE_SCAN || below(seed, 3)) {
            /* the ordered axis first */
            ss->tile[0].n = 0;
            const StageSchedule old = *ss;
            int n = 1;
            for (int k = 0; k < old.norder; k++)
                if (old.order[k].axis != 0)
                    ss->order[n++] = old.order[k];
            ss->order[0] = (LoopRef){0};
            if (top->naxes > 2 && ss->tile[1].n == 0 && outside) { /* directions outside of time */
                for (int k = 1; k < n; k++)
                    if (ss->order[k].axis == 1)
                        ss->order[k] = ss->order[1];
                ss->order[0].axis = 1;
                ss->order[1] = (LoopRef){0};
            }
            ss->norder = n;
            ss->vector = ss->vector >= 0 && n > 1 ? n - 1 : -1;
            ss->unroll = 0;
            ss->nparallel = 0;
        }
        if (j == last) {
            ss->nsteps = (int)below(seed, 3) > 0;
            ss->nsteps += ss->nsteps && ss->order[0].axis == 1;
            if (ss->nsteps || ss->order[0].axis == 1)
                draw_parallel(st, ss, seed);
            continue;
        }
        ss->nsteps = ss->nparallel = 0;
        for (int a = 0; a < st->naxes && below(seed, 4); a++)
            ss->tile[a].tail = TAIL_PEEL;
        if (st->form != STAGE_SCAN && ss->at_stage && below(seed, 4) == 0)
            continue;
        ss->at_stage = s->tensor.at[top->result[0]].name;
        ss->at_loop = ts->order[below(seed, (uint32_t)ts->norder)];
        const bool whole = below(seed, 8) < (kept == 0 ? 4 : kept == 1 ? 7 : 1);
        ss->scope = st->form == STAGE_SCAN || whole ? SCOPE_ARG
                    : below(seed, 2)                ? SCOPE_REG
                                                    : SCOPE_SCRATCH;
        if (ss->scope == SCOPE_ARG && (st->form != STAGE_SCAN || below(seed, 2)))
            ss->at_loop = (LoopRef){0};
        if (ss->scope == SCOPE_ARG && ts->nsteps && ss->at_loop.axis == 0 && below(seed, 2))
            draw_parallel(st, ss, seed);
    }
}

typedef struct Record {
    uint64_t seed;
    Stages *stages; /* after the steps */
    const Schedule *schedule;
    const char *line;
    ScheduleVerdict verdict;
    bool tail[TAIL_MODES], form[4]; /* what occurs in it; forms by StageForm, in a root */
    bool fused, split, in_steps, step_phases; /* steps; more than one phase in each */
    bool ahead;      /* constants are fetched ahead */
    bool in_result;
    bool open_sizes; /* tiles of several sizes, of which a run takes one */
} Record;

static inline void record_count(Record *r)
{
    const Stages *s = r->stages;
    for (int i = 0; i < r->schedule->step.len; i++) {
        r->fused |= r->schedule->step.at[i].kind == SCHED_FUSE;
        r->split |= r->schedule->step.at[i].kind == SCHED_SPLIT;
    }
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        const StageSchedule *ss =
            schedule_find(r->schedule, s->tensor.at[st->result[0]].name);
        r->form[st->form] = true;
        r->in_steps |= ss && ss->nsteps;
        r->ahead |= ss && ss->ahead;
        r->in_result |= ss && ss->in_result;
        const StageSchedule *at =
            ss && ss->at_stage ? schedule_find(r->schedule, ss->at_stage) : NULL;
        r->step_phases |= at && at->nsteps && ss->scope == SCOPE_ARG &&
                          ss->at_loop.axis == at->order[at->nsteps - 1].axis;
        for (int a = 0; ss && a < st->naxes + st->nreduce; a++) {
            int64_t tile = 1, extent;
            for (int k = 0; k < ss->tile[a].n; k++)
                tile *= ss->tile[a].factor[k];
            const bool divides = expr_is_int(s->x, st->axis[a].extent, &extent) &&
                                 (extent < tile || extent % tile == 0);
            r->tail[ss->tile[a].tail] |= tile > 1 && !divides;
            r->open_sizes |= ss->tile[a].nother && !expr_is_int(s->x, st->axis[a].extent, &extent);
        }
    }
}

/* The record of this seed, as read back from its line if it is legal. */
static inline Record record_draw(Context *ctx, const RecordCase *c, uint64_t seed,
                                 const Target *target)
{
    Record r = {.seed = seed, .stages = stages_copy(ctx, c->stages)};
    Schedule *sc = arena_new_of(ctx->arena, Schedule);
    Str why = str_new(ctx->arena), text = str_new(ctx->arena), again = str_new(ctx->arena);
    sc->variant = "default";
    seed *= 977;
    draw_steps(ctx, r.stages, sc, &seed);
    if (!stages_verify(r.stages, &why))
        FAIL_MSG("seed %llu: %s", (unsigned long long)r.seed, str_text(&why));
    for (int i = 0; i < r.stages->stage.len; i++)
        draw_stage(ctx, r.stages, sc, i, &seed);
    draw_cycle(r.stages, sc, ctx, &seed);
    draw_layouts(ctx, r.stages, sc, &seed);
    schedule_print(sc, r.stages, &text);
    r.line = str_text(&text);
    r.verdict = schedule_check(sc, r.stages, target, &why);
    if (r.verdict == SCHEDULE_DEFECT)
        FAIL_MSG("seed %llu: %s\n%s", (unsigned long long)r.seed, str_text(&why), r.line);
    if (r.verdict != SCHEDULE_OK)
        return r;
    r.stages = stages_copy(ctx, c->stages);
    r.schedule = schedule_parse(ctx, r.stages, r.line);
    schedule_print(r.schedule, r.stages, &again);
    assert_string_equal(r.line, str_text(&again));
    record_count(&r);
    return r;
}

/* ---- running ---- */

typedef struct RecordRun { /* arguments of the loops at one binding */
    void **data;           /* by argument, with guard bytes behind */
    int64_t *elements, *syms;
    size_t *bytes;
} RecordRun;

/* The layout that a buffer has for the tensor as the group gives it: fused dims do not show in
 * memory. */
static inline const Layout *record_layout(const RecordCase *c, int tensor, const LoopBuffer *b)
{
    const StageTensor *given = &c->stages->tensor.at[tensor];
    return b->rank == given->rank ? &b->layout : &given->layout;
}

/* The elements of a tensor in the order of a buffer's layout, or back from there. */
static inline void record_place(const Tensor *t, const Layout *l, void *data, bool back)
{
    int64_t index[MAX_RANK] = {0};
    const size_t size = (size_t)dtype_size(t->dtype);
    for (int64_t k = tensor_elements(t), e = 0; e < k; e++) {
        char *plain = (char *)t->data + size * (size_t)e;
        char *placed = (char *)data + size * (size_t)layout_offset(l, t->rank, t->dim, index);
        memcpy(back ? plain : placed, back ? placed : plain, size);
        for (int a = t->rank - 1; a >= 0 && ++index[a] == t->dim[a]; a--)
            index[a] = 0;
    }
}

static inline RecordRun record_run(Context *ctx, const RecordCase *c, const RecordBinding *b,
                                   const Lowered *low, const Loops *l)
{
    RecordRun r = {.data = arena_array_of(ctx->arena, l->nargs + 1, void *),
                   .elements = arena_array_of(ctx->arena, l->nargs + 1, int64_t),
                   .bytes = arena_array_of(ctx->arena, l->nargs + 1, size_t),
                   .syms = arena_array_of(ctx->arena, l->sym.len + 1, int64_t)};
    int64_t *var = arena_array_of(ctx->arena, l->x->var.len + 1, int64_t);
    for (int k = 0; k < l->sym.len; k++) {
        const int id = (int)expr_node(l->x, l->sym.at[k])->imm.i;
        for (int v = 0; v < c->stages->x->var.len; v++)
            if (strcmp(c->stages->x->var.at[v].name, l->x->var.at[id].name) == 0)
                r.syms[k] = var[id] = b->var[v];
    }
    for (int k = 0; k < l->buffer.len; k++) {
        const LoopBuffer *buffer = &l->buffer.at[k];
        int64_t dim[MAX_RANK];
        if (buffer->scope != SCOPE_ARG || buffer->arg < 0)
            continue;
        for (int i = 0; i < buffer->rank; i++)
            dim[i] = expr_eval_int(l->x, buffer->dim[i], var);
        const int64_t n = layout_elements(&buffer->layout, buffer->rank, dim);
        const size_t bytes = (size_t)n * (size_t)dtype_size(buffer->dtype);
        r.elements[buffer->arg] = n;
        r.bytes[buffer->arg] = bytes;
        r.data[buffer->arg] = arena_alloc_aligned(ctx->arena, bytes + GUARD_BYTES, 64);
        memset(r.data[buffer->arg], 0, bytes);
        memset((char *)r.data[buffer->arg] + bytes, 0x5a, GUARD_BYTES);
        for (int t = 0; t < c->stages->tensor.len; t++)
            if (b->tensor[t] && low->tensor_buffer[t] == k &&
                c->stages->tensor.at[t].role != TENSOR_OUTPUT)
                record_place(b->tensor[t], record_layout(c, t, buffer), r.data[buffer->arg], false);
    }
    return r;
}

/* The output is what the oracle says, and nothing was written behind a buffer. */
static inline void record_compare(const RecordCase *c, const RecordBinding *b, const Record *r,
                                  const Lowered *low, const Loops *l, const RecordRun *run,
                                  const char *how)
{
    const LoopBuffer *out = &l->buffer.at[low->tensor_buffer[c->output]];
    Tensor *got = b->tensor[c->output];
    record_place(got, record_layout(c, c->output, out), run->data[out->arg], true);
    for (int64_t k = 0; k < b->count; k++) {
        const double value = ((const float *)got->data)[k], want = b->want[k].f;
        if (!(fabs(value - want) <= 8 * ORACLE_EPS * b->magnitude[k]))
            FAIL_MSG("seed %llu, %s, element %lld: %g, not %g\n%s", (unsigned long long)r->seed,
                     how, (long long)k, value, want, r->line);
    }
    for (int a = 0; a < l->nargs; a++)
        for (int k = 0; k < GUARD_BYTES && run->data[a]; k++)
            if (((const uint8_t *)run->data[a])[run->bytes[a] + k] != 0x5a)
                FAIL_MSG("seed %llu, %s: argument %d is overrun\n%s",
                         (unsigned long long)r->seed, how, a, r->line);
}

#endif
