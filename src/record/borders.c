/* Bordered copies of plain images whose readers take steps (stride 2): rows lie phase by phase.
 *
 *     m      0 1 2 3 4 5 6 7        lanes read m = 2q + s: s = 0 the first phase, s = 1 the second, s = 2 the first again,
 *     lies   0 2 4 6 | 1 3 5 7      one element further on: vectors, where else each tap would shuffle two */
#include <string.h>

#include "loop/access.h"
#include "record/templates.h"

/* vectors of all rows: written out, so that none asks whether it is border */
#define SHORT_IMAGE 40

/* Every how many-th element of a bordered row do neighbours in lanes read? 1: all, or it cannot be
 * told. */
int border_row_step(const Stages *s, int acc, int border, int v)
{
    const Stage *st = &s->stage.at[acc];
    const int tensor = s->stage.at[border].result[0];
    const StageTensor *t = &s->tensor.at[tensor];
    const Expr load = load_of(s, st, tensor);
    int64_t step;
    const bool along = load && layout_is_plain(&t->layout) &&
                       load_stride(s, load, st->axis[v].var, &step) &&
                       expr_uses_var(s->x, expr_arg(s->x, load, t->rank - 1),
                                     (int)expr_node(s->x, st->axis[v].var)->imm.i);
    return along && step > 1 && step <= MAX_MLOAD_STRIDE &&
                   expr_proves_multiple(s->x, t->dim[t->rank - 1], step)
               ? (int)step
               : 1;
}

/* With steps a bordered row lies phase by phase, m%2 before m/2: it is taken apart once, when it is
 * made, and read in whole vectors for every tap. */
void border_split_phases(Choice *c, int border, int step)
{
    const int last = c->s->stage.at[border].naxes - 1;
    const char *name = choice_name(c, border);
    Stages *s = stages_copy(c->ctx, c->s);
    const ScheduleStep split = {
        .kind = SCHED_SPLIT, .a = name, .b = s->stage.at[border].axis[last].name, .n = step};
    if (step == 1 || !stages_split(s, border, last, step)) {
        return;
    }
    Schedule tried = {.variant = c->sc->variant, .step = c->sc->step};
    for (int k = 0; k < c->sc->stage.len; k++) {
        vec_push(c->ctx->arena, &tried.stage, c->sc->stage.at[k]);
    }
    StageSchedule *bs = schedule_stage(&tried, c->ctx, name);
    memset(bs->tile, 0, sizeof bs->tile);
    bs->norder = 0;
    bs->unroll = 0;
    for (int a = 0; a < last; a++) {
        order_add(bs, a, 0);
    }
    order_unrolled(bs, last + 1, 0);
    bs->vector = order_add(bs, last, 0);
    const int lanes = target_lanes(c->target, 4);
    const int64_t vectors =
        (axis_extent(s, &s->stage.at[border], last, SHORT_IMAGE * lanes) + lanes - 1) / lanes *
        step;
    if (last > 0 &&
        axis_extent(s, &s->stage.at[border], last - 1, SHORT_IMAGE) * vectors <= SHORT_IMAGE) {
        bs->unroll |= (uint64_t)1 << (last - 1);
    }
    Str why = {.arena = c->ctx->arena};
    if (schedule_check(&tried, s, c->target, &why) == SCHEDULE_OK) {
        stages_split(c->s, border, last, step);
        vec_push(c->ctx->arena, &c->sc->step, split);
        c->sc->stage = tried.stage;
    }
}

