/* Is `scope result` legal: may the elements of a stage lie where those of the stage that it is
 * computed at will be written?
 *
 *     for i:  weight[i, j] = exp(x[i, j] - max) for all j;  sum = sum of weight[i, j];  y[i, j] = weight[i, j] / sum
 *
 * weight can lie in y: each element is read where it is written, and the sum is taken before.
 * Lowering sees to it that the box is what y writes inside the loop (lower_at.c). */
#include "loop/access.h"
#include "loop/schedule.h"

static const StageSchedule *schedule_of(const Schedule *sc, const Stages *s, int stage)
{
    return schedule_find(sc, s->tensor.at[s->stage.at[stage].result[0]].name);
}

static bool same_elements(const StageTensor *a, const StageTensor *b)
{
    bool same = a->dtype == b->dtype && a->rank == b->rank;
    for (int d = 0; d < a->rank && same; d++) {
        same = a->dim[d] == b->dim[d];
    }
    return same;
}

/* Is all of what `reader` computes for `target` done at loop `at`, before `target` writes? */
static bool reads_at(const Schedule *sc, const Stages *s, int reader, int target, LoopRef at)
{
    const StageSchedule *rs = schedule_of(sc, s, reader);
    for (int depth = 0; rs && rs->at_stage && depth < s->stage.len; depth++) {
        if (s->tensor.at[stages_find_tensor(s, rs->at_stage)].stage == target) {
            return rs->at_loop.axis == at.axis && rs->at_loop.level == at.level;
        }
        rs = schedule_find(sc, rs->at_stage);
    }
    return false;
}

bool schedule_may_lie_in_result(const Schedule *sc, const Stages *s, int stage,
                                const StageSchedule *ss)
{
    const int target = s->tensor.at[stages_find_tensor(s, ss->at_stage)].stage;
    const Stage *st = &s->stage.at[stage], *ts = &s->stage.at[target];
    const StageSchedule *tss = schedule_of(sc, s, target);
    if (st->form != STAGE_MAP || ts->form != STAGE_MAP || st->nresults > 1 || ts->nresults > 1 ||
        ss->has_layout || (tss && tss->at_stage) || !reads_pointwise(s, target, stage) ||
        !same_elements(&s->tensor.at[st->result[0]], &s->tensor.at[ts->result[0]])) {
        return false;
    }
    for (int a = 0; a < ts->naxes; a++) { /* what overlaps would be computed from results */
        if ((tss && (tss->tile[a].tail == TAIL_SHIFT || tss->tile[a].tail == TAIL_PAD)) ||
            ss->tile[a].tail == TAIL_PAD) {
            return false;
        }
    }
    for (int i = 0; i < s->stage.len; i++) {
        if (i != stage && i != target && stage_loads(s, &s->stage.at[i], st->result[0]) &&
            !reads_at(sc, s, i, target, ss->at_loop)) {
            return false;
        }
    }
    return true;
}
