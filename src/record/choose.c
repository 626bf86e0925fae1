/* The default schedule of a group: which stages are inlined, which template each of the others gets.
 *
 * 1. Inline: temporary MAPs that are cheap to compute again, or read once per point by one MAP.
 *    Axes that are always used together are fused.
 * 2. Contractions get the register-tiled template (contraction.c) and pull their pointwise reader
 *    in as epilogue.
 * 3. Other reductions over a contiguous axis are split into lanes (rfactor); all others and MAPs run
 *    with the innermost axis in lanes and the outer ones in parallel. */
#include "record/choose.h"

#include <string.h>

#include "loop/access.h"
#include "record/templates.h"

#define INLINE_COST 6 /* flops a point that may be done again for every reader */

static bool inlinable(const Stages *s, int stage)
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
    Contraction c;
    bool only_maps = true;
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *r = &s->stage.at[i];
        if (i == stage || !stage_loads(s, r, st->result[0])) {
            continue;
        }
        only_maps &= r->form == STAGE_MAP;
        /* A contraction reads each element many times and wants plain loads. */
        if (contraction_of(s, i, &c) || r->form == STAGE_SCAN) {
            return false;
        }
    }
    return cost <= INLINE_COST || (readers == 1 && only_maps && reads_pointwise(s, reader, stage));
}

static void inline_all(Context *ctx, Stages *s, Schedule *sc)
{
    for (int i = 0; i < s->stage.len;) {
        const char *name = s->tensor.at[s->stage.at[i].result[0]].name;
        if (inlinable(s, i) && stages_inline(s, i)) {
            const ScheduleStep step = {.kind = SCHED_INLINE, .a = name};
            vec_push(ctx->arena, &sc->step, step);
        } else {
            i++;
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
    inline_all(ctx, s, sc);
    fuse_all(ctx, s, sc);
    Choice choice = {.ctx = ctx, .s = s, .target = t, .sc = sc, .source = "default"};
    choose_winograd(&choice);
    choose_layouts(&choice);
    choose_scans(&choice);
    choose_contractions(&choice);
    choose_reductions(&choice);
    choose_windows(&choice);
    choose_maps(&choice);
    if (source) {
        *source = choice.source;
    }
    return sc;
}
