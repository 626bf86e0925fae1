/* Is `dot` legal for a stage? The stage is a product, and the target has an instruction for its
 * types (loop/intrinsic.h) whose group is what the loop runs over. */
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

int schedule_tile_row(const Stages *s, const Stage *st, const Target *t, int m)
{
    Expr a, b, sum;
    if (st->form != STAGE_REDUCE || st->nresults != 1 || st->where ||
        !product_terms(s->x, st->update[0], &a, &b, &sum) || expr_node(s->x, sum)->op != EX_STATE) {
        return -1;
    }
    const bool rows_in_a = expr_uses_var(s->x, a, (int)expr_node(s->x, st->axis[m].var)->imm.i);
    const DType first = type_of_load(s, rows_in_a ? a : b),
                second = type_of_load(s, rows_in_a ? b : a);
    return intrinsic_find_tile(t, first, second, expr_type(s->x, sum));
}

static ScheduleVerdict check_tile_dot(const Stages *s, const Stage *st, const StageSchedule *ss,
                                      const Target *t, const char **what)
{
    const LoopRef *r = ss->order + ss->norder - TILE_DOT_LOOPS; /* m n k g */
    for (int i = 0; i < TILE_DOT_LOOPS; i++) {
        const AxisTile *tile = &ss->tile[r[i].axis];
        const int from_last = i == 2; /* groups, then members of one */
        if ((i < 2) != (r[i].axis < st->naxes) || r[i].level == 0 ||
            r[i].level != tile->n - from_last ||
            (i < 3 && tile->factor[r[i].level - 1] > TILE_ROWS)) {
            *what = "dot of four loops is not over rows, columns, groups and a group";
            return SCHEDULE_BAD_DOT;
        }
    }
    const int row = r[0].axis == r[1].axis || r[2].axis != r[3].axis
                        ? -1
                        : schedule_tile_row(s, st, t, r[0].axis);
    if (row < 0 || ss->tile[r[3].axis].factor[r[3].level - 1] != intrinsic_row(row)->group ||
        ss->vector >= 0 || ss->scope != SCOPE_SCRATCH) {
        *what = "dot of four loops is not what an instruction computes on tiles, from scratch";
        return SCHEDULE_BAD_DOT;
    }
    return SCHEDULE_OK;
}

ScheduleVerdict schedule_check_dot(const Stages *s, const Stage *st, const StageSchedule *ss,
                                   const Target *t, const char **what)
{
    if (ss->ndot == TILE_DOT_LOOPS) {
        return check_tile_dot(s, st, ss, t, what);
    }
    const int row = schedule_dot_row(s, st, t);
    if (row < 0) {
        *what = "dot of what no instruction computes";
        return SCHEDULE_BAD_DOT;
    }
    const LoopRef r = ss->order[ss->norder - 1];
    const AxisTile *tile = &ss->tile[r.axis];
    if (ss->ndot != 1 || ss->vector < 0 || r.axis < st->naxes || r.level == 0 ||
        r.level != tile->n || tile->factor[tile->n - 1] != intrinsic_row(row)->group ||
        ss->scope != SCOPE_REG) {
        *what = "dot is not over a group of the sum, in registers";
        return SCHEDULE_BAD_DOT;
    }
    return SCHEDULE_OK;
}
