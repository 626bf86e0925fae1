/* Are the loops of one stage legal by themselves: their order, tails, marks, and what scans ask of
 * them? */
#include <string.h>

#include "loop/access.h"
#include "loop/schedule_parts.h"

#define MAX_UNROLL 1024 /* copies of the innermost statement */

ScheduleVerdict check_no(const Check *c, ScheduleVerdict v, const StageSchedule *ss,
                          const char *what)
{
    str_addf(c->why, "%s: %s", ss->name, what);
    return v;
}

const Layout *check_layout(const Schedule *sc, const Stages *s, int tensor)
{
    const StageSchedule *ss = schedule_find(sc, s->tensor.at[tensor].name);
    return ss && ss->has_layout ? &ss->layout : &s->tensor.at[tensor].layout;
}

typedef struct LoadScan {
    const Schedule *sc;
    const Stages *s;
    const Stage *st;
    int tensor;    /* looked for */
    int axis;      /* looked at */
    int64_t tile;
    bool unpadded; /* a load by the axis that is not padded to whole tiles */
    bool crosses;  /* the tensor is loaded at another place of some unordered axis */
} LoadScan;

static void scan_load(const Exprs *x, Expr e, void *arg)
{
    LoadScan *l = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD) {
        return;
    }
    const Layout *layout = check_layout(l->sc, l->s, (int)n->imm.i);
    for (int k = 0; k < n->nargs; k++) {
        const Expr index = expr_arg(x, e, k);
        const Expr var = l->st->axis[l->axis].var;
        if (expr_uses_var(x, index, (int)expr_node(x, var)->imm.i) &&
            (index != var || layout_block(layout, k) % l->tile != 0)) {
            l->unpadded = true;
        }
        if (n->imm.i == l->tensor && k != l->st->scan_axis && index != l->st->axis[k].var) {
            l->crosses = true;
        }
    }
}

bool check_loop_exists(const Stage *st, const StageSchedule *ss, LoopRef r)
{
    return r.axis >= 0 && r.axis < st->naxes + st->nreduce && r.level >= 0 &&
           r.level <= (ss ? ss->tile[r.axis].n : 0);
}

ScheduleVerdict check_order(const Check *c, const Stage *st, const StageSchedule *ss)
{
    int next[MAX_AXES] = {0}; /* level of the axis that comes next */
    int total = 0;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        total += ss->tile[a].n + 1;
    }
    if (total > MAX_LOOPS) {
        return check_no(c, SCHEDULE_TOO_BIG, ss, "too many loops");
    }
    if (ss->norder == 0) {
        const bool marked = ss->nparallel || ss->unroll || ss->vector >= 0 || ss->ndot;
        return marked ? check_no(c, SCHEDULE_BAD_ORDER, ss, "marks without an order") : SCHEDULE_OK;
    }
    if (ss->norder != total) {
        return check_no(c, SCHEDULE_BAD_ORDER, ss, "the order does not name every loop once");
    }
    for (int i = 0; i < ss->norder; i++) {
        const LoopRef r = ss->order[i];
        if (!check_loop_exists(st, ss, r)) {
            return check_no(c, SCHEDULE_BAD_LOOP, ss, "no such loop");
        }
        if (r.level != next[r.axis]++) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss, "levels of an axis out of order");
        }
    }
    return SCHEDULE_OK;
}

int check_first_reduction(const Stage *st, const LoopRef *order, int n)
{
    for (int i = 0; i < n; i++) {
        if (order[i].axis >= st->naxes) {
            return i;
        }
    }
    return n;
}

int check_position(const LoopRef *order, int n, LoopRef r)
{
    for (int i = 0; i < n; i++) {
        if (order[i].axis == r.axis && order[i].level == r.level) {
            return i;
        }
    }
    return -1;
}

static bool is_parallel(const StageSchedule *ss, LoopRef r)
{
    const int at = check_position(ss->order, ss->norder, r);
    return at >= ss->nsteps && at < ss->nsteps + ss->nparallel;
}

ScheduleVerdict check_tails(const Check *c, const Stage *st, const StageSchedule *ss)
{
    LoopRef order[MAX_LOOPS];
    const int n = ss->norder ? ss->norder : schedule_default_order(st, ss, order);
    if (ss->norder) {
        memcpy(order, ss->order, sizeof order);
    }
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        const AxisTile *tile = &ss->tile[a];
        int64_t t = 1;
        for (int k = 0; k < tile->n; k++) {
            t *= tile->factor[k];
            if (tile->factor[k] < 1 || t > INT32_MAX) {
                return check_no(c, SCHEDULE_TOO_BIG, ss, "tile too big");
            }
        }
        for (int k = 0; k < tile->nother; k++) {
            if (tile->n != 1 || tile->tail != TAIL_SHIFT || tile->other[k] < 1 ||
                tile->other[k] >= (k ? tile->other[k - 1] : tile->factor[0])) {
                return check_no(c, SCHEDULE_BAD_TAIL, ss,
                                "other sizes of a tile that is not shifted, or not falling");
            }
            if (ss->at_stage || is_parallel(ss, (LoopRef){.axis = (int8_t)a, .level = 1})) {
                return check_no(c, SCHEDULE_BAD_TAIL, ss,
                                "other sizes of a tile inside another stage, or run in parallel");
            }
        }
        if (expr_proves_multiple(c->s->x, st->axis[a].extent, t) && !ss->at_stage &&
            tile->nother == 0) {
            continue; /* no tail */
        }
        if (tile->n == 0 || (tile->tail != TAIL_SHIFT && tile->tail != TAIL_PAD)) {
            continue;
        }
        if (a >= st->naxes || (st->form == STAGE_SCAN && a == st->scan_axis)) {
            return check_no(c, SCHEDULE_BAD_TAIL, ss,
                            "shift or pad of an ordered or reduction axis");
        }
        /* The overlap is accumulated twice if the tiles run inside a reduction, and by two threads
         * at once if they run in parallel. */
        const int at = check_position(order, n, (LoopRef){.axis = (int8_t)a});
        if (tile->tail == TAIL_SHIFT && st->form == STAGE_REDUCE &&
            ((at >= ss->nsteps && at < ss->nsteps + ss->nparallel) ||
             at > check_first_reduction(st, order, n))) {
            return check_no(c, SCHEDULE_BAD_TAIL, ss, "overlapping tiles of a sum");
        }
        if (tile->tail == TAIL_PAD) {
            LoadScan l = {.sc = c->sc, .s = c->s, .st = st, .axis = a, .tensor = -1, .tile = t};
            stage_walk(c->s, st, scan_load, &l);
            const Layout *layout = check_layout(c->sc, c->s, st->result[0]);
            if (l.unpadded || ss->at_stage || st->nresults > 1 ||
                layout_block(layout, a) % t != 0) {
                return check_no(c, SCHEDULE_BAD_TAIL, ss, "pad without padded storage");
            }
        }
    }
    return SCHEDULE_OK;
}

/* Is it a phase of each step of another stage? */
bool check_is_step_phase(const Check *c, const StageSchedule *ss)
{
    const StageSchedule *of = ss->at_stage ? schedule_find(c->sc, ss->at_stage) : NULL;
    if (!of || of->nsteps < 1 || of->nsteps > of->norder || ss->scope != SCOPE_ARG) {
        return false;
    }
    const LoopRef last = of->order[of->nsteps - 1];
    return last.axis == ss->at_loop.axis && last.level == ss->at_loop.level;
}

ScheduleVerdict check_marks(const Check *c, const Stage *st, const StageSchedule *ss)
{
    const Exprs *x = c->s->x;
    const int outer = ss->nsteps + ss->nparallel;
    if (ss->nparallel < 0 || ss->nsteps < 0 || outer > ss->norder) {
        return check_no(c, SCHEDULE_BAD_ORDER, ss, "more loops are parallel than there are");
    }
    if (ss->at_stage && (ss->nsteps || (ss->nparallel && !check_is_step_phase(c, ss)))) {
        return check_no(c, SCHEDULE_BAD_ORDER, ss, "parallel loops of a stage that is not a root");
    }
    for (int i = 0; i < ss->nsteps; i++) {
        if (ss->order[i].axis >= st->naxes || ss->tile[ss->order[i].axis].n) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss, "steps of a reduction or of tiles");
        }
    }
    int64_t copies = 1;
    for (int i = 0; i < ss->norder; i++) {
        const LoopRef r = ss->order[i];
        const bool ordered = r.axis >= st->naxes ||
                             (st->form == STAGE_SCAN && r.axis == st->scan_axis);
        const bool unrolled = ss->unroll >> i & 1, vector = ss->vector == i;
        if (ordered && ((i >= ss->nsteps && i < outer) || vector)) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss,
                            "a parallel or vector loop that carries values");
        }
        if ((unrolled || vector) && i < outer) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss, "a loop with two marks");
        }
        if ((unrolled || vector || i < outer) && i >= ss->norder - ss->ndot) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss, "a loop with two marks");
        }
        if (vector && (i != ss->norder - ss->ndot - 1 || unrolled)) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss, "the vector loop is not the innermost");
        }
        if (!unrolled && !vector) {
            continue;
        }
        int64_t extent = 1;
        if (r.level > 0) {
            extent = ss->tile[r.axis].factor[r.level - 1];
        } else if (!ss->at_stage && !expr_is_int(x, st->axis[r.axis].extent, &extent)) {
            return check_no(c, SCHEDULE_NOT_CONSTANT, ss, "unrolled or vector loop");
        }
        copies *= unrolled && extent > 0 ? extent : 1;
        if (copies > MAX_UNROLL) {
            return check_no(c, SCHEDULE_TOO_BIG, ss, "unrolled too far");
        }
    }
    return SCHEDULE_OK;
}

/* A scan whose elements read other places of the axes beside: nothing may run ahead of the
 * order. */
ScheduleVerdict check_scan(const Check *c, const Stage *st, const StageSchedule *ss)
{
    LoadScan l = {.sc = c->sc, .s = c->s, .st = st, .axis = 0, .tensor = st->result[0], .tile = 1};
    stage_walk(c->s, st, scan_load, &l);
    if (!l.crosses) {
        return SCHEDULE_OK;
    }
    for (int i = 0; i < ss->norder && i <= ss->tile[st->scan_axis].n; i++) {
        if (ss->order[i].axis != st->scan_axis) {
            return check_no(c, SCHEDULE_BAD_ORDER, ss,
                            "the ordered axis of this scan must be outermost");
        }
    }
    if (ss->norder == 0 && (st->scan_axis != 0 || ss->tile[0].n)) {
        return check_no(c, SCHEDULE_BAD_ORDER, ss, "this scan needs an order");
    }
    return SCHEDULE_OK;
}
