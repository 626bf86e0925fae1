/* The default schedule of a group: which stages are inlined, which template each of the others
 * gets.
 *
 * 1. Inline: temporary MAPs that are cheap to compute again, or read once per point by one MAP.
 *    What reads a product at k / n and k % n takes its axes; axes that are always used together are fused.
 * 2. Contractions get the register-tiled template (contraction.c) and pull their pointwise reader
 *    in as epilogue.
 * 3. Other reductions over a contiguous axis are split into lanes (rfactor); all others and MAPs
 * run
 *    with the innermost axis in lanes and the outer ones in parallel. */
#include "record/choose.h"

#include <string.h>

#include "loop/access.h"
#include "record/templates.h"

#define INLINE_COST 6 /* flops a point that may be done again for every reader */
#define SMALL_IMAGE 8 /* rows and columns: written out, all of them */

static bool row_of_unknown_length(const Stages *s, const Stage *st)
{
    return st->naxes > 0 && axis_extent(s, st, st->naxes - 1, 0) == 0;
}

/* A plain image with a border, of few rows of one vector: where masks cost nothing windows read it
 * as it lies, under masks that are known. A copy with the border has to be made, under masks as
 * well, and what reads it waits for those stores. */
static bool is_masked_border(const Stages *s, int stage, int reader, const Target *t)
{
    const Stage *st = &s->stage.at[stage], *r = &s->stage.at[reader];
    const Expr load = load_of(s, r, st->result[0]);
    const int last = r->naxes - 1;
    int64_t step;
    Contraction c;
    if (!t->masks || r->form != STAGE_REDUCE || last < 1 || !load ||
        (contraction_of(s, reader, &c) && c.vector_axis >= 0) ||
        axis_extent(s, r, last - 1, SMALL_IMAGE + 1) > SMALL_IMAGE ||
        axis_extent(s, r, last, SMALL_IMAGE + 1) > SMALL_IMAGE ||
        !load_stride(s, load, r->axis[last].var, &step) || step != 1) {
        return false;
    }
    for (int k = 0; k < s->tensor.len; k++) {
        if (stage_loads(s, st, k) && !layout_is_plain(&s->tensor.at[k].layout)) {
            return false;
        }
    }
    return true;
}

#define MOST_JOINED 8 /* elements of a pixel */

/* Does the stage put what lies apart side by side, a few for each point of a row, as channels of
 * pixels are? Then lanes go over both axes, what it reads lies in rows, and a vector is put
 * together from a few of them (codegen/emit_memory.c). */
static bool interleaves(const Stages *s, int stage, const Target *t)
{
    const Stage *st = &s->stage.at[stage];
    const int last = st->naxes - 1, lanes = target_lanes(t, 4);
    if (st->form != STAGE_MAP || st->nresults != 1 || last < 1 || st->where ||
        expr_node(s->x, st->update[0])->op != EX_LOAD ||
        !layout_is_plain(&s->tensor.at[st->result[0]].layout)) {
        return false;
    }
    const Expr load = st->update[0];
    const int64_t few = axis_extent(s, st, last, 0);
    int64_t row, point;
    return few >= 2 && few <= MOST_JOINED && lanes % few == 0 &&
           axis_extent(s, st, last - 1, 0) >= lanes &&
           load_stride(s, load, st->axis[last - 1].var, &row) && row == 1 &&
           load_stride(s, load, st->axis[last].var, &point) && point > 1;
}

static void join_all(Context *ctx, Stages *s, Schedule *sc, const Target *t)
{
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        const int a = st->naxes - 2;
        if (interleaves(s, i, t)) {
            const ScheduleStep step = {.kind = SCHED_JOIN, .a = s->tensor.at[st->result[0]].name,
                                       .b = st->axis[a].name, .c = st->axis[a + 1].name};
            if (stages_join(s, i, a)) {
                vec_push(ctx->arena, &sc->step, step);
            }
        }
    }
}

static bool inlinable(const Stages *s, int stage, const Target *t)
{
    const Stage *st = &s->stage.at[stage];
    if (st->form != STAGE_MAP || s->tensor.at[st->result[0]].role != TENSOR_TEMP) {
        return false;
    }
    int reader = -1;
    const int readers = count_readers(s, stage, &reader);
    if (readers == 0) {
        return false;
    }
    const int cost = point_cost(s, st);
    if (readers == 1 && cost <= INLINE_COST && is_masked_border(s, stage, reader, t)) {
        return true;
    }
    Contraction c;
    bool only_maps = true;
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *r = &s->stage.at[i];
        if (i == stage || !stage_loads(s, r, st->result[0])) {
            continue;
        }
        only_maps &= r->form == STAGE_MAP;
        if (interleaves(s, i, t)) {
            return false; /* wants rows */
        }
        /* A contraction reads each element many times and wants plain loads. */
        if (contraction_of(s, i, &c) || r->form == STAGE_SCAN) {
            return false;
        }
    }
    if (readers == 2 && row_of_unknown_length(s, st)) {
        /* else it would be a whole array in memory: rows.c keeps it in scratch if that can be of a
         * known size */
        return true;
    }
    return cost <= INLINE_COST || (readers == 1 && only_maps && reads_pointwise(s, reader, stage));
}

static void inline_all(Context *ctx, Stages *s, Schedule *sc, const Target *t)
{
    for (int i = 0; i < s->stage.len;) {
        const char *name = s->tensor.at[s->stage.at[i].result[0]].name;
        if (inlinable(s, i, t) && stages_inline(s, i)) {
            const ScheduleStep step = {.kind = SCHED_INLINE, .a = name};
            vec_push(ctx->arena, &sc->step, step);
        } else {
            i++;
        }
    }
}

/* Are the load's indices the axes in order, or axis / n and axis % n? `inner` gets n (or 0) by
 * axis. */
static bool reads_divided(const Stages *s, const Stage *st, Expr load, int64_t *inner)
{
    Exprs *x = s->x;
    const StageTensor *t = &s->tensor.at[expr_node(x, load)->imm.i];
    int a = 0;
    for (int k = 0; k < t->rank; k++, a++) {
        if (a == st->naxes) {
            return false;
        }
        inner[a] = 0;
        const Expr var = st->axis[a].var;
        if (is_axis(x, st, a, expr_arg(x, load, k)) && st->axis[a].extent == t->dim[k]) {
            continue;
        }
        if (k + 1 == t->rank || !expr_is_int(x, t->dim[k + 1], &inner[a]) || inner[a] < 2 ||
            expr_arg(x, load, k) != expr_divi(x, var, inner[a]) ||
            expr_arg(x, load, k + 1) != expr_modi(x, var, inner[a])) {
            return false;
        }
        k++;
    }
    return a == st->naxes;
}

/* Do neither columns nor rows of the product fill half a vector? What reads it is faster on its own
 * then, in whole ones. */
static bool is_narrow(const Stages *s, const Contraction *c, const Target *t)
{
    const Stage *st = &s->stage.at[c->stage];
    const int few = target_lanes(t, 4) / 2;
    bool narrow = c->vector_axis >= 0 && axis_extent(s, st, c->vector_axis, few) < few;
    for (int a = 0; a < st->naxes; a++) {
        int64_t stride;
        if (c->row_axes >> a & 1 && load_stride(s, c->a, st->axis[a].var, &stride)) {
            narrow &= stride != 1 || axis_extent(s, st, a, few) < few;
        }
    }
    return narrow;
}

/* A MAP that reads a product at (k / n, k % n) takes the product's axes: it can then be computed
 * where the product is. */
static void split_all(Context *ctx, Stages *s, Schedule *sc, const Target *t)
{
    for (int i = 0; i < s->stage.len; i++) {
        Contraction c;
        int reader = -1;
        if (!contraction_of(s, i, &c) || count_readers(s, i, &reader) != 1 ||
            is_narrow(s, &c, t)) {
            continue;
        }
        int64_t inner[MAX_AXES];
        const Expr load = load_of(s, &s->stage.at[reader], s->stage.at[i].result[0]);
        if (s->stage.at[reader].form != STAGE_MAP || !load ||
            !reads_divided(s, &s->stage.at[reader], load, inner)) {
            continue;
        }
        for (int a = s->stage.at[reader].naxes - 1; a >= 0; a--) {
            const Stage *st = &s->stage.at[reader];
            const ScheduleStep step = {.kind = SCHED_SPLIT, .a = s->tensor.at[st->result[0]].name,
                                       .b = st->axis[a].name, .n = (int)inner[a]};
            if (inner[a] > 0 && stages_split(s, reader, a, inner[a])) {
                vec_push(ctx->arena, &sc->step, step);
            }
        }
    }
}

/* Axes that are always used together are one: longer rows, no remainder at the end of each. */
static void fuse_all(Context *ctx, Stages *s, Schedule *sc)
{
    for (int i = s->stage.len - 1; i >= 0; i--) {
        for (int a = s->stage.at[i].naxes + s->stage.at[i].nreduce - 2; a >= 0; a--) {
            const Stage *st = &s->stage.at[i];
            const ScheduleStep step = {.kind = SCHED_FUSE, .a = s->tensor.at[st->result[0]].name,
                                       .b = st->axis[a].name, .c = st->axis[a + 1].name};
            if (stages_fuse(s, i, a)) {
                vec_push(ctx->arena, &sc->step, step);
            }
        }
    }
}

Schedule *schedule_choose(Context *ctx, const Stages *stages, const Target *t, const char **source)
{
    Stages *s = stages_copy(ctx, stages);
    Schedule *sc = arena_new_of(ctx->arena, Schedule);
    sc->variant = "default";
    inline_all(ctx, s, sc, t);
    split_all(ctx, s, sc, t);
    fuse_all(ctx, s, sc);
    join_all(ctx, s, sc, t);
    Choice choice = {.ctx = ctx, .s = s, .target = t, .sc = sc, .source = "default"};
    choose_winograd(&choice);
    choose_strassen(&choice);
    choose_layouts(&choice);
    choose_scans(&choice);
    choose_contractions(&choice);
    choose_reductions(&choice);
    choose_windows(&choice);
    choose_maps(&choice);
    choose_row_blocks(&choice);
    choose_rows(&choice);
    if (source) {
        *source = choice.source;
    }
    return sc;
}
