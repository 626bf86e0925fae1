/* Is `dot` legal for a stage? The stage is a product, and the target has an instruction for its types
 * (loop/intrinsic.h) whose group is what the loop runs over. */
#include "loop/access.h"
#include "loop/schedule.h"

static DType type_of_load(const Stages *s, Expr load)
{
    return s->tensor.at[expr_node(s->x, load)->imm.i].dtype;
}

int schedule_dot_row(const Stages *s, const Stage *st, const Target *t)
{
    Expr a, b, sum;
    if (st->form != STAGE_REDUCE || st->nresults != 1 || st->where ||
        !product_terms(s->x, st->update[0], &a, &b, &sum) || expr_node(s->x, sum)->op != EX_STATE) {
        return -1;
    }
    bool swap;
    return intrinsic_find(t, type_of_load(s, a), type_of_load(s, b), expr_type(s->x, sum), &swap);
}

ScheduleVerdict schedule_check_dot(const Stages *s, const Stage *st, const StageSchedule *ss, const Target *t,
                                   const char **what)
{
    const int row = schedule_dot_row(s, st, t);
    if (row < 0) {
        *what = "dot of what no instruction computes";
        return SCHEDULE_BAD_DOT;
    }
    const LoopRef r = ss->order[ss->norder - 1];
    const AxisTile *tile = &ss->tile[r.axis];
    if (ss->ndot != 1 || ss->vector < 0 || r.axis < st->naxes || r.level == 0 || r.level != tile->n ||
        tile->factor[tile->n - 1] != intrinsic_row(row)->group || ss->scope != SCOPE_REG) {
        *what = "dot is not over a group of the sum, in registers";
        return SCHEDULE_BAD_DOT;
    }
    return SCHEDULE_OK;
}
