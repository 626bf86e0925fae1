/* Is a record legal for its stages? (schedule.h) Everything that can be read off the record is
 * checked here; what depends on the boxes of stages computed `at` a loop is found by a trial
 * lowering. Where legality would need a proof the answer is no: the search then leaves it out. */
#include <string.h>

#include "loop/access.h"
#include "loop/schedule.h"

#define MAX_UNROLL 1024 /* copies of the innermost statement */
#define MAX_BOX_BYTES ((int64_t)1 << 26)

typedef struct Check {
    const Schedule *sc;
    const Stages *s;
    const Target *t;
    Str *why;
} Check;

static ScheduleVerdict no(const Check *c, ScheduleVerdict v, const StageSchedule *ss,
                          const char *what)
{
    str_addf(c->why, "%s: %s", ss->name, what);
    return v;
}

static int stage_of(const Stages *s, const char *name)
{
    const int t = stages_find_tensor(s, name);
    return t < 0 ? -1 : s->tensor.at[t].stage;
}

/* The layout that the record leaves a tensor with. */
static const Layout *layout_of(const Schedule *sc, const Stages *s, int tensor)
{
    const StageSchedule *ss = schedule_find(sc, s->tensor.at[tensor].name);
    return ss && ss->has_layout ? &ss->layout : &s->tensor.at[tensor].layout;
}

/* ---- loads ---- */

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
    const Layout *layout = layout_of(l->sc, l->s, (int)n->imm.i);
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

static bool reads_stage(const Check *c, const Stage *reader, const Stage *producer)
{
    for (int k = 0; k < producer->nresults; k++) {
        if (stage_loads(c->s, reader, producer->result[k])) {
            return true;
        }
    }
    return false;
}

/* Does the reader's init? */
static bool init_reads_stage(const Check *c, const Stage *reader, const Stage *producer)
{
    Stage init = {.nresults = reader->nresults};
    memcpy(init.init, reader->init, sizeof init.init);
    return reads_stage(c, &init, producer);
}

/* ---- loops of one stage ---- */

static bool loop_exists(const Stage *st, const StageSchedule *ss, LoopRef r)
{
    return r.axis >= 0 && r.axis < st->naxes + st->nreduce && r.level >= 0 &&
           r.level <= (ss ? ss->tile[r.axis].n : 0);
}

static ScheduleVerdict check_order(const Check *c, const Stage *st, const StageSchedule *ss)
{
    int next[MAX_AXES] = {0}; /* level of the axis that comes next */
    int total = 0;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        total += ss->tile[a].n + 1;
    }
    if (total > MAX_LOOPS) {
        return no(c, SCHEDULE_TOO_BIG, ss, "too many loops");
    }
    if (ss->norder == 0) {
        const bool marked = ss->nparallel || ss->unroll || ss->vector >= 0 || ss->ndot;
        return marked ? no(c, SCHEDULE_BAD_ORDER, ss, "marks without an order") : SCHEDULE_OK;
    }
    if (ss->norder != total) {
        return no(c, SCHEDULE_BAD_ORDER, ss, "the order does not name every loop once");
    }
    for (int i = 0; i < ss->norder; i++) {
        const LoopRef r = ss->order[i];
        if (!loop_exists(st, ss, r)) {
            return no(c, SCHEDULE_BAD_LOOP, ss, "no such loop");
        }
        if (r.level != next[r.axis]++) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "levels of an axis out of order");
        }
    }
    return SCHEDULE_OK;
}

static int first_reduction(const Stage *st, const LoopRef *order, int n)
{
    for (int i = 0; i < n; i++) {
        if (order[i].axis >= st->naxes) {
            return i;
        }
    }
    return n;
}

static int position_of(const LoopRef *order, int n, LoopRef r)
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
    const int at = position_of(ss->order, ss->norder, r);
    return at >= ss->nsteps && at < ss->nsteps + ss->nparallel;
}

static ScheduleVerdict check_tails(const Check *c, const Stage *st, const StageSchedule *ss)
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
                return no(c, SCHEDULE_TOO_BIG, ss, "tile too big");
            }
        }
        for (int k = 0; k < tile->nother; k++) {
            if (tile->n != 1 || tile->tail != TAIL_SHIFT || tile->other[k] < 1 ||
                tile->other[k] >= (k ? tile->other[k - 1] : tile->factor[0])) {
                return no(c, SCHEDULE_BAD_TAIL, ss, "other sizes of a tile that is not shifted, or not falling");
            }
            if (ss->at_stage || is_parallel(ss, (LoopRef){.axis = (int8_t)a, .level = 1})) {
                return no(c, SCHEDULE_BAD_TAIL, ss, "other sizes of a tile inside another stage, or run in parallel");
            }
        }
        if (expr_proves_multiple(c->s->x, st->axis[a].extent, t) && !ss->at_stage && tile->nother == 0) {
            continue; /* no tail */
        }
        if (tile->n == 0 || (tile->tail != TAIL_SHIFT && tile->tail != TAIL_PAD)) {
            continue;
        }
        if (a >= st->naxes || (st->form == STAGE_SCAN && a == st->scan_axis)) {
            return no(c, SCHEDULE_BAD_TAIL, ss, "shift or pad of an ordered or reduction axis");
        }
        /* The overlap is accumulated twice if the tiles run inside a reduction, and by two threads
         * at once if they run in parallel. */
        const int at = position_of(order, n, (LoopRef){.axis = (int8_t)a});
        if (tile->tail == TAIL_SHIFT && st->form == STAGE_REDUCE &&
            ((at >= ss->nsteps && at < ss->nsteps + ss->nparallel) || at > first_reduction(st, order, n))) {
            return no(c, SCHEDULE_BAD_TAIL, ss, "overlapping tiles of a sum");
        }
        if (tile->tail == TAIL_PAD) {
            LoadScan l = {.sc = c->sc, .s = c->s, .st = st, .axis = a, .tensor = -1, .tile = t};
            stage_walk(c->s, st, scan_load, &l);
            const Layout *layout = layout_of(c->sc, c->s, st->result[0]);
            if (l.unpadded || ss->at_stage || st->nresults > 1 ||
                layout_block(layout, a) % t != 0) {
                return no(c, SCHEDULE_BAD_TAIL, ss, "pad without padded storage");
            }
        }
    }
    return SCHEDULE_OK;
}

/* Is it a phase of each step of another stage? */
static bool is_step_phase(const Check *c, const StageSchedule *ss)
{
    const StageSchedule *of = ss->at_stage ? schedule_find(c->sc, ss->at_stage) : NULL;
    if (!of || of->nsteps < 1 || of->nsteps > of->norder || ss->scope != SCOPE_ARG) {
        return false;
    }
    const LoopRef last = of->order[of->nsteps - 1];
    return last.axis == ss->at_loop.axis && last.level == ss->at_loop.level;
}

static ScheduleVerdict check_marks(const Check *c, const Stage *st, const StageSchedule *ss)
{
    const Exprs *x = c->s->x;
    const int outer = ss->nsteps + ss->nparallel;
    if (ss->nparallel < 0 || ss->nsteps < 0 || outer > ss->norder) {
        return no(c, SCHEDULE_BAD_ORDER, ss, "more loops are parallel than there are");
    }
    if (ss->at_stage && (ss->nsteps || (ss->nparallel && !is_step_phase(c, ss)))) {
        return no(c, SCHEDULE_BAD_ORDER, ss, "parallel loops of a stage that is not a root");
    }
    for (int i = 0; i < ss->nsteps; i++) {
        if (ss->order[i].axis >= st->naxes || ss->tile[ss->order[i].axis].n) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "steps of a reduction or of tiles");
        }
    }
    int64_t copies = 1;
    for (int i = 0; i < ss->norder; i++) {
        const LoopRef r = ss->order[i];
        const bool ordered = r.axis >= st->naxes ||
                             (st->form == STAGE_SCAN && r.axis == st->scan_axis);
        const bool unrolled = ss->unroll >> i & 1, vector = ss->vector == i;
        if (ordered && ((i >= ss->nsteps && i < outer) || vector)) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "a parallel or vector loop that carries values");
        }
        if ((unrolled || vector) && i < outer) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "a loop with two marks");
        }
        if ((unrolled || vector || i < outer) && i >= ss->norder - ss->ndot) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "a loop with two marks");
        }
        if (vector && (i != ss->norder - ss->ndot - 1 || unrolled)) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "the vector loop is not the innermost");
        }
        if (!unrolled && !vector) {
            continue;
        }
        int64_t extent = 1;
        if (r.level > 0) {
            extent = ss->tile[r.axis].factor[r.level - 1];
        } else if (!ss->at_stage && !expr_is_int(x, st->axis[r.axis].extent, &extent)) {
            return no(c, SCHEDULE_NOT_CONSTANT, ss, "unrolled or vector loop");
        }
        copies *= unrolled && extent > 0 ? extent : 1;
        if (copies > MAX_UNROLL) {
            return no(c, SCHEDULE_TOO_BIG, ss, "unrolled too far");
        }
    }
    return SCHEDULE_OK;
}

/* A scan whose elements read other places of the axes beside: nothing may run ahead of the order. */
static ScheduleVerdict check_scan(const Check *c, const Stage *st, const StageSchedule *ss)
{
    LoadScan l = {.sc = c->sc, .s = c->s, .st = st, .axis = 0, .tensor = st->result[0], .tile = 1};
    stage_walk(c->s, st, scan_load, &l);
    if (!l.crosses) {
        return SCHEDULE_OK;
    }
    for (int i = 0; i < ss->norder && i <= ss->tile[st->scan_axis].n; i++) {
        if (ss->order[i].axis != st->scan_axis) {
            return no(c, SCHEDULE_BAD_ORDER, ss, "the ordered axis of this scan must be outermost");
        }
    }
    if (ss->norder == 0 && (st->scan_axis != 0 || ss->tile[0].n)) {
        return no(c, SCHEDULE_BAD_ORDER, ss, "this scan needs an order");
    }
    return SCHEDULE_OK;
}

/* ---- places ---- */

/* Is stage `i` computed, at any depth, inside the loop of `target` that `child` is computed at? */
static bool within(const Check *c, int i, int target, const StageSchedule *child)
{
    const Stage *st = &c->s->stage.at[target];
    const StageSchedule *ts = schedule_find(c->sc, child->at_stage);
    LoopRef order[MAX_LOOPS];
    int n = ts && ts->norder ? ts->norder : schedule_default_order(st, ts, order);
    if (ts && ts->norder) {
        memcpy(order, ts->order, sizeof order);
    }
    const int pos = position_of(order, n, child->at_loop);
    for (int depth = 0; depth < c->s->stage.len; depth++) {
        if (i == target) {
            return true; /* its own statement */
        }
        const StageSchedule *ss =
            schedule_find(c->sc, c->s->tensor.at[c->s->stage.at[i].result[0]].name);
        if (!ss || !ss->at_stage) {
            return false;
        }
        i = stage_of(c->s, ss->at_stage);
        if (i == target && is_step_phase(c, ss)) {
            return is_step_phase(c, child); /* it stands before the other loops */
        }
        if (i == target) {
            return position_of(order, n, ss->at_loop) >= pos;
        }
        if (i < 0) {
            return false;
        }
    }
    return false;
}

/* ---- recurrences ---- */

typedef struct StepLoads {
    const Stage *reader;
    int tensor, axis;
    bool same_step, same_point; /* so far */
} StepLoads;

static void scan_step_load(const Exprs *x, Expr e, void *arg)
{
    StepLoads *l = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD || n->imm.i != l->tensor) {
        return;
    }
    for (int k = 0; k < n->nargs; k++) {
        const bool own = is_axis(x, l->reader, k, expr_arg(x, e, k));
        l->same_point &= own;
        l->same_step &= own || k != l->axis;
    }
}

/* The root that a stage is computed inside of. */
static int root_of(const Check *c, int i)
{
    for (int depth = 0; depth < c->s->stage.len && i >= 0; depth++) {
        const StageSchedule *ss =
            schedule_find(c->sc, c->s->tensor.at[c->s->stage.at[i].result[0]].name);
        if (!ss || !ss->at_stage) {
            break;
        }
        i = stage_of(c->s, ss->at_stage);
    }
    return i;
}

/* Position of loop r of a stage. */
static int loop_position(const Check *c, int stage, LoopRef r)
{
    const Stage *st = &c->s->stage.at[stage];
    const StageSchedule *ss = schedule_find(c->sc, c->s->tensor.at[st->result[0]].name);
    LoopRef order[MAX_LOOPS];
    const int n = ss && ss->norder ? ss->norder : schedule_default_order(st, ss, order);
    return position_of(ss && ss->norder ? ss->order : order, n, r);
}

/* Do stages inside of `root` read each other only at their own point of axis a? */
static bool separate(const Check *c, int root, int a)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        for (int j = 0; j < c->s->stage.len && root_of(c, i) == root; j++) {
            const Stage *reader = &c->s->stage.at[i], *st = &c->s->stage.at[j];
            for (int k = 0; k < st->nresults && root_of(c, j) == root; k++) {
                StepLoads l = {.reader = reader, .tensor = st->result[k], .axis = a, .same_step = true};
                stage_walk(c->s, reader, scan_step_load, &l);
                if (!l.same_step) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* The position of the ordered axis of this SCAN if all of one step is done before the next: the loops outside of it,
 * if any, are such that what they separate does not meet; else -1. */
static int steps_position(const Check *c, int scan)
{
    const Stage *st = &c->s->stage.at[scan];
    const StageSchedule *ss = schedule_find(c->sc, c->s->tensor.at[st->result[0]].name);
    if (st->form != STAGE_SCAN || (ss && ss->tile[st->scan_axis].n > 0)) {
        return -1;
    }
    const int at = loop_position(c, scan, (LoopRef){.axis = (int8_t)st->scan_axis});
    for (int a = 0; a < st->naxes; a++) {
        const int first = loop_position(c, scan, (LoopRef){.axis = (int8_t)a});
        if (first < at && ((ss && ss->tile[a].n > 0) || !separate(c, scan, a))) {
            return -1;
        }
    }
    return at;
}

static bool same_domain(const Stage *a, const Stage *b)
{
    for (int k = 0; k < a->naxes && a->naxes == b->naxes; k++) {
        if (a->axis[k].extent != b->axis[k].extent) {
            return false;
        }
    }
    return a->naxes == b->naxes;
}

/* May the results of `stage`, computed at a loop of the SCAN `target`, lie in buffers that keep all steps? Each step
 * must be computed once: others read it in that step only, and what is computed inside a deeper loop is what
 * this loop's point reads. */
static bool keeps_whole(const Check *c, int stage, const StageSchedule *ss, int target)
{
    const Stage *st = &c->s->stage.at[stage], *ts = &c->s->stage.at[target];
    const StageSchedule *tss = schedule_find(c->sc, ss->at_stage);
    const int steps = steps_position(c, target), at = loop_position(c, target, ss->at_loop);
    if (ss->scope != SCOPE_ARG || steps < 0 || at < steps || (tss && at < tss->nsteps - 1) ||
        (st->form == STAGE_SCAN && st->scan_axis != ts->scan_axis)) {
        return false;
    }
    const bool deeper = at > steps;
    if (deeper && st->form == STAGE_REDUCE) {
        return false;
    }
    bool covered = false; /* its readers in the loop run over all of it */
    bool outside = false;
    for (int i = 0; i < c->s->stage.len; i++) {
        const Stage *reader = &c->s->stage.at[i];
        if (root_of(c, i) != target) {
            outside |= reads_stage(c, reader, st);
            continue;
        }
        const StageSchedule *rs = schedule_find(c->sc, c->s->tensor.at[reader->result[0]].name);
        for (int k = 0; k < st->nresults && i != stage; k++) {
            StepLoads l = {.reader = reader, .tensor = st->result[k], .axis = ts->scan_axis,
                           .same_step = true, .same_point = true};
            stage_walk(c->s, reader, scan_step_load, &l);
            const bool beside = i == target || (rs && rs->at_stage && rs->scope == SCOPE_ARG &&
                                                strcmp(rs->at_stage, ss->at_stage) == 0 &&
                                                rs->at_loop.axis == ss->at_loop.axis &&
                                                rs->at_loop.level == ss->at_loop.level);
            if (stage_loads(c->s, reader, st->result[k]) &&
                (!l.same_step || (deeper && !(l.same_point && beside)))) {
                return false;
            }
            covered |= i == target && l.same_point && same_domain(st, ts) &&
                       stage_loads(c->s, reader, st->result[k]);
        }
    }
    return covered || !outside;
}

/* Is stage i computed inside the ordered loop of the SCAN `root`? */
static bool in_steps_of(const Check *c, int i, int root)
{
    const int steps = steps_position(c, root);
    for (int depth = 0; depth < c->s->stage.len && steps >= 0 && i >= 0; depth++) {
        const StageSchedule *ss =
            schedule_find(c->sc, c->s->tensor.at[c->s->stage.at[i].result[0]].name);
        if (!ss || !ss->at_stage) {
            return false;
        }
        i = stage_of(c->s, ss->at_stage);
        if (i == root) {
            return loop_position(c, root, ss->at_loop) >= steps;
        }
    }
    return false;
}

/* A SCAN that earlier stages read: all that depends on it and stands before it is computed inside one loop over its
 * steps. */
static ScheduleVerdict check_cycle(const Check *c, int scan)
{
    const int root = root_of(c, scan), n = c->s->stage.len;
    bool *depends = arena_array_of(c->s->ctx->arena, n, bool);
    depends[scan] = true;
    for (int j = 0; j < scan; j++) {
        for (int i = 0; i < n && !depends[j]; i++) {
            depends[j] = depends[i] && (i < j || i == scan) &&
                         reads_stage(c, &c->s->stage.at[j], &c->s->stage.at[i]);
        }
        if (depends[j] && (root_of(c, j) != root || !in_steps_of(c, j, root))) {
            str_addf(c->why, "%s: part of a recurrence, but not computed in its steps",
                     c->s->tensor.at[c->s->stage.at[j].result[0]].name);
            return SCHEDULE_BAD_AT;
        }
    }
    return SCHEDULE_OK;
}

static ScheduleVerdict check_at(const Check *c, int stage, const StageSchedule *ss)
{
    const Stage *st = &c->s->stage.at[stage];
    if (!ss->at_stage) {
        return ss->scope == SCOPE_ARG ? SCHEDULE_OK
                                      : no(c, SCHEDULE_BAD_SCOPE, ss, "a root needs a buffer");
    }
    const int target = stage_of(c->s, ss->at_stage);
    if (target <= stage) { /* a later one: so no cycles either */
        return no(c, SCHEDULE_BAD_AT, ss, "not computed at a later stage");
    }
    const Stage *ts = &c->s->stage.at[target];
    const StageSchedule *tss = schedule_find(c->sc, ss->at_stage);
    if (st->form == STAGE_SCATTER || ts->form == STAGE_SCATTER ||
        ts->result[0] != stages_find_tensor(c->s, ss->at_stage) ||
        !loop_exists(ts, tss, ss->at_loop)) {
        return no(c, SCHEDULE_BAD_AT, ss, "no such loop to be computed at");
    }
    const bool kept = st->form == STAGE_SCAN || ss->scope == SCOPE_ARG;
    for (int k = 0; k < st->nresults; k++) {
        /* only what is read inside is computed, perhaps not all of it; and overlapping boxes of a
         * shared buffer would be summed by two threads at once */
        if (c->s->tensor.at[st->result[k]].role != TENSOR_TEMP ||
            (kept && !keeps_whole(c, stage, ss, target))) {
            return no(c, SCHEDULE_BAD_SCOPE, ss, "computed at a loop without a box");
        }
    }
    bool read = false;
    for (int i = 0; i < c->s->stage.len; i++) {
        if (i == stage || !reads_stage(c, &c->s->stage.at[i], st)) {
            continue;
        }
        if (kept && root_of(c, i) != root_of(c, stage)) {
            continue; /* after it */
        }
        read = true;
        if (!within(c, i, target, ss)) {
            return no(c, SCHEDULE_BAD_AT, ss, "read outside of the loop it is computed at");
        }
    }
    if (!read) {
        return no(c, SCHEDULE_BAD_AT, ss, "nothing there reads it");
    }
    LoopRef order[MAX_LOOPS];
    int n = tss && tss->norder ? tss->norder : schedule_default_order(ts, tss, order);
    if (tss && tss->norder) {
        memcpy(order, tss->order, sizeof order);
    }
    if (position_of(order, n, ss->at_loop) >= first_reduction(ts, order, n) &&
        init_reads_stage(c, ts, st)) {
        return no(c, SCHEDULE_BAD_AT, ss, "read before the loop it is computed at");
    }
    if (ss->in_result && !schedule_may_lie_in_result(c->sc, c->s, stage, ss)) {
        return no(c, SCHEDULE_BAD_SCOPE, ss, "cannot lie where the result is written");
    }
    return SCHEDULE_OK;
}

static ScheduleVerdict check_entry(const Check *c, const StageSchedule *ss)
{
    const int t = stages_find_tensor(c->s, ss->name);
    if (t < 0) {
        return no(c, SCHEDULE_NO_STAGE, ss, "no such stage or constant");
    }
    const StageTensor *tensor = &c->s->tensor.at[t];
    if (ss->has_layout && (!layout_valid(&ss->layout, tensor->rank) ||
                           (tensor->role != TENSOR_TEMP && tensor->role != TENSOR_CONST))) {
        return no(c, SCHEDULE_BAD_LAYOUT, ss, "layout");
    }
    if (tensor->stage < 0) {
        return tensor->role == TENSOR_CONST ? SCHEDULE_OK
                                            : no(c, SCHEDULE_NO_STAGE, ss, "nothing computes it");
    }
    const Stage *st = &c->s->stage.at[tensor->stage];
    if (st->result[0] != t) {
        return no(c, SCHEDULE_NO_STAGE, ss, "a stage goes by its first result");
    }
    if (st->form == STAGE_SCATTER && ss->norder) {
        return no(c, SCHEDULE_BAD_ORDER, ss, "a scatter runs in its own order");
    }
    ScheduleVerdict v = check_order(c, st, ss);
    v = v ? v : check_marks(c, st, ss);
    v = v ? v : check_tails(c, st, ss);
    const char *what = "";
    if (v == SCHEDULE_OK && ss->ahead && !schedule_check_ahead(c->s, st, c->sc, ss, &what)) {
        return no(c, SCHEDULE_BAD_AHEAD, ss, what);
    }
    if (v == SCHEDULE_OK && ss->ndot) {
        v = schedule_check_dot(c->s, st, ss, c->t, &what);
        return v ? no(c, v, ss, what) : check_at(c, tensor->stage, ss);
    }
    v = v || st->form != STAGE_SCAN ? v : check_scan(c, st, ss);
    return v ? v : check_at(c, tensor->stage, ss);
}

/* ---- trial lowering: sizes of boxes ---- */

typedef struct Trial {
    const Check *c;
    const Target *t;
    ScheduleVerdict verdict;
} Trial;

static void try_lowering(Context *ctx, void *arg)
{
    Trial *trial = arg;
    const Lowered low = lower(ctx, trial->c->s, trial->c->sc, trial->t);
    if (!loops_verify(low.loops, trial->c->why)) {
        trial->verdict = SCHEDULE_DEFECT;
    } else if (low.loops->scratch_bytes > MAX_BOX_BYTES) {
        str_add(trial->c->why, "too much scratch");
        trial->verdict = SCHEDULE_TOO_BIG;
    }
}

ScheduleVerdict schedule_check(const Schedule *sc, const Stages *after_steps, const Target *t,
                               Str *why)
{
    const Check c = {.sc = sc, .s = after_steps, .t = t, .why = why};
    for (int i = 0; i < sc->stage.len; i++) {
        const ScheduleVerdict v = check_entry(&c, &sc->stage.at[i]);
        if (v != SCHEDULE_OK) {
            return v;
        }
    }
    for (int i = 0; i < after_steps->stage.len; i++) {
        const ScheduleVerdict v =
            after_steps->stage.at[i].form == STAGE_SCAN ? check_cycle(&c, i) : SCHEDULE_OK;
        if (v != SCHEDULE_OK) {
            return v;
        }
    }
    Trial trial = {.c = &c, .t = t};
    Error e = {0};
    Arena *arena = arena_child(after_steps->ctx->arena);
    const int code = job_run(arena, try_lowering, &trial, &e, NULL);
    if (code != 0) { /* a box, or a vector loop in one, without constant size */
        str_add(why, e.message);
        trial.verdict = code == ERR_UNSUPPORTED ? SCHEDULE_NOT_CONSTANT
                        : code == ERR_MEMORY    ? SCHEDULE_TOO_BIG
                                                : SCHEDULE_DEFECT;
    }
    arena_free(arena);
    return trial.verdict;
}
