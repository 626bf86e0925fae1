/* The template for rows: reductions and MAPs over the same row of a MAP's result, as softmax and
 * the normalisations are.
 *
 *     max (i; r), weight (i, j) = exp(x - max), sum (i; r), y (i, j) = weight / sum
 *
 * Each of them alone would pass over memory. Here all are computed inside y's loop over rows: the
 * row is in L1 or L2 when it is read again, what is one element of a row stays in a register, and
 * what is a row of its own (weight) lies in scratch. The rows are the parallel loop, so each of
 * them is computed in the same order by any number of threads.
 *
 * Rows are the axes by which y reads everything that is computed for it, if they are its
 * outermost loops; the others are inside a row. Where rows are few, of unknown length, or longer
 * than L2, stages stay phases of their own. */
#include <string.h>

#include "loop/access.h"
#include "record/templates.h"

#define MIN_ROWS 8 /* fewer are not shared out evenly */

/* Stages that are computed for `out` alone: temporaries read by it or by others of them. */
static bool collect_members(const Choice *c, int out, bool *member)
{
    const Stages *s = c->s;
    bool any = false;
    for (int i = out - 1; i >= 0; i--) {
        const Stage *st = &s->stage.at[i];
        const StageSchedule *ss = schedule_find(c->sc, choice_name(c, i));
        Contraction k;
        if (contraction_of(s, i, &k) && k.vector_axis >= 0) {
            return false; /* their tiles are others' business */
        }
        member[i] = false;
        if (!ss || ss->at_stage || ss->has_layout || st->nresults > 1 ||
            (st->form != STAGE_MAP && st->form != STAGE_REDUCE) ||
            s->tensor.at[st->result[0]].role != TENSOR_TEMP) {
            continue;
        }
        bool inside = true, read = false;
        for (int r = 0; r < s->stage.len; r++) {
            if (r == i || !stage_loads(s, &s->stage.at[r], st->result[0])) {
                continue;
            }
            read = true;
            const StageSchedule *rs = schedule_find(c->sc, choice_name(c, r));
            const int t =
                rs && rs->at_stage ? stages_find_tensor(s, rs->at_stage) : s->stage.at[r].result[0];
            const int home = t < 0 ? -1 : s->tensor.at[t].stage;
            inside &= home == out || (home > i && home < out && member[home]);
        }
        member[i] = inside && read;
        any |= member[i];
    }
    return any;
}

typedef struct RowAxes {
    const Choice *c;
    const Stage *out;
    const bool *member;
    uint32_t axes;
} RowAxes;

/* Keeps the axes that index a dim of this load of a member, as they are. */
static void keep_axes(const Exprs *x, Expr e, void *arg)
{
    RowAxes *w = arg;
    const ExprNode *n = expr_node(x, e);
    const int producer = n->op == EX_LOAD ? w->c->s->tensor.at[n->imm.i].stage : -1;
    if (producer < 0 || !w->member[producer]) {
        return;
    }
    uint32_t own = 0;
    for (int k = 0; k < n->nargs; k++) {
        for (int a = 0; a < w->out->naxes; a++) {
            own |= (uint32_t)(expr_arg(x, e, k) == w->out->axis[a].var) << a;
        }
    }
    w->axes &= own;
}

/* How many of the outermost loops of `out` go over rows; 0: none, or too few rows, or too long
 * ones. */
static int count_row_loops(const Choice *c, int out, const bool *member)
{
    const Stage *st = &c->s->stage.at[out];
    const StageSchedule *os = schedule_find(c->sc, choice_name(c, out));
    RowAxes w = {.c = c, .out = st, .member = member, .axes = ((uint32_t)1 << st->naxes) - 1};
    stage_walk(c->s, st, keep_axes, &w);
    int n = 0;
    double rows = 1, length = 4;
    while (n < os->norder && w.axes >> os->order[n].axis & 1 &&
           os->tile[os->order[n].axis].n == 0) {
        w.axes &= ~((uint32_t)1 << os->order[n].axis);
        rows *= (double)axis_extent(c->s, st, os->order[n++].axis, MIN_ROWS);
    }
    for (int k = n; k < os->norder; k++) {
        length *= os->order[k].level == 0 ? (double)axis_extent(c->s, st, os->order[k].axis, 1) : 1;
    }
    return rows >= MIN_ROWS && length <= (double)c->target->l2 ? n : 0;
}

/* Is the member one element of a row? Then none of its axes is longer than 1 there. */
static bool is_single(const Stages *s, const Stage *out, const Stage *st, int rows,
                      const StageSchedule *os)
{
    for (int a = 0; a < st->naxes; a++) {
        bool row = axis_extent(s, st, a, 0) == 1;
        for (int k = 0; k < rows; k++) {
            row |=
                st->axis[a].extent == out->axis[os->order[k].axis].extent && a <= os->order[k].axis;
        }
        if (!row) {
            return false;
        }
    }
    return true;
}

/* A row of scratch may lie where the result's row will: its lines are on their way then while it is
 * computed, not when it is written last. */
static void place_in_result(const Choice *c, Schedule *sc, int out, const bool *member)
{
    for (int i = out - 1; i >= 0; i--) {
        StageSchedule *ss = member[i] ? schedule_stage(sc, c->ctx, choice_name(c, i)) : NULL;
        if (ss && ss->scope == SCOPE_SCRATCH && reads_pointwise(c->s, out, i)) {
            ss->in_result = true;
            Str why = {.arena = c->ctx->arena};
            ss->in_result = schedule_check(sc, c->s, c->target, &why) == SCHEDULE_OK;
            if (ss->in_result) {
                return;
            }
        }
    }
}

static bool place_rows(Choice *c, int out)
{
    const Stages *s = c->s;
    bool *member = arena_array_of(c->ctx->arena, s->stage.len, bool);
    const int rows = collect_members(c, out, member) ? count_row_loops(c, out, member) : 0;
    if (rows == 0) {
        return false;
    }
    Schedule tried = {.variant = c->sc->variant, .step = c->sc->step};
    for (int k = 0; k < c->sc->stage.len; k++) {
        vec_push(c->ctx->arena, &tried.stage, c->sc->stage.at[k]);
    }
    StageSchedule *os = schedule_stage(&tried, c->ctx, choice_name(c, out));
    os->nparallel = rows;
    for (int i = 0; i < out; i++) {
        if (!member[i]) {
            continue;
        }
        StageSchedule *ss = schedule_stage(&tried, c->ctx, choice_name(c, i));
        ss->nparallel = 0;
        ss->at_stage = choice_name(c, out);
        ss->at_loop = os->order[rows - 1];
        ss->scope =
            is_single(s, &s->stage.at[out], &s->stage.at[i], rows, os) ? SCOPE_REG : SCOPE_SCRATCH;
    }
    Str why = {.arena = c->ctx->arena};
    if (schedule_check(&tried, s, c->target, &why) != SCHEDULE_OK) {
        return false; /* a row of unknown length, say */
    }
    place_in_result(c, &tried, out, member);
    c->sc->stage = tried.stage;
    return true;
}

void choose_rows(Choice *c)
{
    for (int i = c->s->stage.len - 1; i > 0; i--) {
        const StageSchedule *ss = schedule_find(c->sc, choice_name(c, i));
        if (c->s->stage.at[i].form == STAGE_MAP && ss && !ss->at_stage && ss->norder > 0 &&
            place_rows(c, i)) {
            c->source = "rows";
        }
    }
}
