/* Is a record legal for its stages? (schedule.h) Everything that can be read off the record is
 * checked here; what depends on the boxes of stages computed `at` a loop is found by a trial
 * lowering. Where legality would need a proof the answer is no: the search then leaves it out. */
#include <string.h>

#include "loop/access.h"
#include "loop/schedule_parts.h"

#define MAX_BOX_BYTES ((int64_t)1 << 26)

static int stage_of(const Stages *s, const char *name)
{
    const int t = stages_find_tensor(s, name);
    return t < 0 ? -1 : s->tensor.at[t].stage;
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
    const int pos = check_position(order, n, child->at_loop);
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
        if (i == target && check_is_step_phase(c, ss)) {
            return check_is_step_phase(c, child); /* it stands before the other loops */
        }
        if (i == target) {
            return check_position(order, n, ss->at_loop) >= pos;
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
    return check_position(ss && ss->norder ? ss->order : order, n, r);
}

/* Do stages inside of `root` read each other only at their own point of axis a? */
static bool separate(const Check *c, int root, int a)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        for (int j = 0; j < c->s->stage.len && root_of(c, i) == root; j++) {
            const Stage *reader = &c->s->stage.at[i], *st = &c->s->stage.at[j];
            for (int k = 0; k < st->nresults && root_of(c, j) == root; k++) {
                StepLoads l = {
                    .reader = reader, .tensor = st->result[k], .axis = a, .same_step = true};
                stage_walk(c->s, reader, scan_step_load, &l);
                if (!l.same_step) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* The position of the ordered axis of this SCAN if all of one step is done before the next: the
 * loops outside of it, if any, are such that what they separate does not meet; else -1. */
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

/* May the results of `stage`, computed at a loop of the SCAN `target`, lie in buffers that keep all
 * steps? Each step must be computed once: others read it in that step only, and what is computed
 * inside a deeper loop is what this loop's point reads. */
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

/* A SCAN that earlier stages read: all that depends on it and stands before it is computed inside
 * one loop over its steps. */
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
        return ss->scope == SCOPE_ARG
                   ? SCHEDULE_OK
                   : check_no(c, SCHEDULE_BAD_SCOPE, ss, "a root needs a buffer");
    }
    const int target = stage_of(c->s, ss->at_stage);
    if (target <= stage) { /* a later one: so no cycles either */
        return check_no(c, SCHEDULE_BAD_AT, ss, "not computed at a later stage");
    }
    const Stage *ts = &c->s->stage.at[target];
    const StageSchedule *tss = schedule_find(c->sc, ss->at_stage);
    if (st->form == STAGE_SCATTER || ts->form == STAGE_SCATTER ||
        ts->result[0] != stages_find_tensor(c->s, ss->at_stage) ||
        !check_loop_exists(ts, tss, ss->at_loop)) {
        return check_no(c, SCHEDULE_BAD_AT, ss, "no such loop to be computed at");
    }
    const bool kept = st->form == STAGE_SCAN || ss->scope == SCOPE_ARG;
    for (int k = 0; k < st->nresults; k++) {
        /* only what is read inside is computed, perhaps not all of it; and overlapping boxes of a
         * shared buffer would be summed by two threads at once */
        if (c->s->tensor.at[st->result[k]].role != TENSOR_TEMP ||
            (kept && !keeps_whole(c, stage, ss, target))) {
            return check_no(c, SCHEDULE_BAD_SCOPE, ss, "computed at a loop without a box");
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
            return check_no(c, SCHEDULE_BAD_AT, ss, "read outside of the loop it is computed at");
        }
    }
    if (!read) {
        return check_no(c, SCHEDULE_BAD_AT, ss, "nothing there reads it");
    }
    LoopRef order[MAX_LOOPS];
    int n = tss && tss->norder ? tss->norder : schedule_default_order(ts, tss, order);
    if (tss && tss->norder) {
        memcpy(order, tss->order, sizeof order);
    }
    if (check_position(order, n, ss->at_loop) >= check_first_reduction(ts, order, n) &&
        init_reads_stage(c, ts, st)) {
        return check_no(c, SCHEDULE_BAD_AT, ss, "read before the loop it is computed at");
    }
    if (ss->in_result && !schedule_may_lie_in_result(c->sc, c->s, stage, ss)) {
        return check_no(c, SCHEDULE_BAD_SCOPE, ss, "cannot lie where the result is written");
    }
    return SCHEDULE_OK;
}

static ScheduleVerdict check_entry(const Check *c, const StageSchedule *ss)
{
    const int t = stages_find_tensor(c->s, ss->name);
    if (t < 0) {
        return check_no(c, SCHEDULE_NO_STAGE, ss, "no such stage or constant");
    }
    const StageTensor *tensor = &c->s->tensor.at[t];
    if (ss->has_layout && (!layout_valid(&ss->layout, tensor->rank) ||
                           (tensor->role != TENSOR_TEMP && tensor->role != TENSOR_CONST))) {
        return check_no(c, SCHEDULE_BAD_LAYOUT, ss, "layout");
    }
    if (tensor->stage < 0) {
        return tensor->role == TENSOR_CONST
                   ? SCHEDULE_OK
                   : check_no(c, SCHEDULE_NO_STAGE, ss, "nothing computes it");
    }
    const Stage *st = &c->s->stage.at[tensor->stage];
    if (st->result[0] != t) {
        return check_no(c, SCHEDULE_NO_STAGE, ss, "a stage goes by its first result");
    }
    if (st->form == STAGE_SCATTER && ss->norder) {
        return check_no(c, SCHEDULE_BAD_ORDER, ss, "a scatter runs in its own order");
    }
    ScheduleVerdict v = check_order(c, st, ss);
    v = v ? v : check_marks(c, st, ss);
    v = v ? v : check_tails(c, st, ss);
    const char *what = "";
    if (v == SCHEDULE_OK && ss->ahead && !schedule_check_ahead(c->s, st, c->sc, ss, &what)) {
        return check_no(c, SCHEDULE_BAD_AHEAD, ss, what);
    }
    if (v == SCHEDULE_OK && ss->ndot) {
        v = schedule_check_dot(c->s, st, ss, c->t, &what);
        return v ? check_no(c, v, ss, what) : check_at(c, tensor->stage, ss);
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
