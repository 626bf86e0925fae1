/* Lowering: stages and a schedule -> structured loops (schedule.h, loops.h).
 *
 * Every root stage becomes a phase; one with `steps` becomes phases that advance together. Its nest
 * is opened loop by loop (lower_open); after a loop is open, the stages computed `at` it are
 * lowered inside for the box that is needed there (region.h), then come the deeper loops, then the
 * stage's own statement. A REDUCE emits its initialisation just before its first reduction loop.
 *
 *     gemm, acc at y.n1, scope reg:      for m0, n0, m1, n1:
 *                                          acc[6,16] = 0
 *                                          for k0: for m, n: acc[m,n] += a[..] * b[..]
 *                                          for m2, n2: y[..] = max(0, acc[m2,n2])
 *
 * Buffer ids equal tensor ids; boxes of stages computed `at` a loop are further buffers. */
#include <string.h>

#include "loop/lower_parts.h"

const char *lower_stage_name(const Lowerer *w, int stage)
{
    return w->s->tensor.at[w->s->stage.at[stage].result[0]].name;
}

const StageSchedule *lower_schedule_of(const Lowerer *w, int stage)
{
    return schedule_find(w->sc, lower_stage_name(w, stage));
}

/* ---- loops ---- */

static bool is_last_level(const Nest *n, int pos)
{
    for (int p = pos + 1; p < n->norder; p++) {
        if (n->order[p].axis == n->order[pos].axis) {
            return false;
        }
    }
    return true;
}

/* What an instruction computes on tiles begins as rows of vectors. */
static LoopMark mark_of(const Nest *n, int pos, bool init)
{
    const bool tiles = init && n->mark[pos] == MARK_DOT;
    return !tiles                                  ? n->mark[pos]
           : pos == n->norder - TILE_DOT_LOOPS + 1 ? MARK_VECTOR
                                                   : MARK_SERIAL;
}

static bool is_reduction(const Nest *n, int pos)
{
    return n->order[pos].axis >= n->st->naxes;
}

/* Loop `pos` is open inside `parent`: shift, guards, stages computed here, then the deeper
 * loops. */
static void opened(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
    AxisPlan *p = &n->plan[n->order[pos].axis];
    if (n->order[pos].level == 0 && p->split == SPLIT_SHIFT &&
        expr_node(x, p->shift)->op == EX_VAR) {
        lower_let(w, parent, p->shift, p->shift_to);
    }
    if (is_last_level(n, pos)) {
        if (p->split == SPLIT_GUARD) {
            const Expr local = expr_sub(x, p->value, p->low);
            parent = lower_if(w, parent, expr_lt(x, local, p->size));
        }
        if (p->limit) {
            parent = lower_if(w, parent, expr_lt(x, p->value, p->limit));
        }
    }
    if (!init) {
        lower_at(w, n, pos, parent);
    }
    if (!init && n->fetch && n->fetch->pos == pos) {
        lower_fetch(w, n, parent);
    }
    lower_open(w, n, pos + 1, parent, init);
}

/* The part [from, from + extent) of an untiled axis. */
static void open_part(Lowerer *w, Nest *n, int pos, int parent, Expr from, Expr extent)
{
    Exprs *x = w->x;
    const int axis = n->order[pos].axis;
    AxisPlan *p = &n->plan[axis];
    int64_t none;
    if (expr_is_int(x, extent, &none) && none == 0) {
        return;
    }
    const char *name = arena_printf(w->ctx->arena, "%s0", n->st->axis[axis].name);
    p->var[0] = expr_loop_var(x, name, extent); /* its range is what proofs go by */
    p->base = expr_add(x, from, p->var[0]);
    p->value = expr_add(x, p->low, p->base);
    opened(w, n, pos, lower_for(w, parent, p->var[0], extent, MARK_SERIAL), false);
}

/* A reduction loop whose `where` is an upper bound on its variable: first the part where it
 * holds. */
static bool open_partitioned(Lowerer *w, Nest *n, int pos, int parent)
{
    Exprs *x = w->x;
    const Stage *st = n->st;
    AxisPlan *p = &n->plan[n->order[pos].axis];
    if (!st->where || n->no_where || p->nlevels != 1 || n->mark[pos] != MARK_SERIAL ||
        expr_node(x, p->var[0])->op != EX_VAR || st->form != STAGE_REDUCE) {
        return false;
    }
    const Expr where = nest_bind(x, n, st->where);
    if (expr_node(x, where)->op != EX_LT || expr_node(x, where)->varies) {
        return false;
    }
    const int var = (int)expr_node(x, p->var[0])->imm.i;
    /* a*v + rest < bound, and rest at most rest_high over the deeper loops */
    const Expr side = expr_sub(x, expr_arg(x, where, 0), expr_arg(x, where, 1));
    Expr coef, rest;
    int64_t a;
    if (!expr_linear_in(x, side, var, &coef, &rest) || !expr_is_int(x, coef, &a) || a <= 0) {
        return false;
    }
    bool *inner = arena_array_of(w->ctx->arena, x->var.len, bool);
    for (int k = pos + 1; k < n->norder; k++) {
        region_mark(x, inner, nest_var(n, k));
    }
    Range range;
    if (!region_of_expr(x, rest, inner, x->var.len, &range)) {
        return false;
    }
    /* holds while a*v + low + size - 1 < 0, i.e. v < ceil((1 - low - size) / a) */
    const Expr free = expr_sub(x, expr_int(x, 1), expr_add(x, range.low, range.size));
    Expr main = expr_ceil_div(x, free, expr_int(x, a));
    main = expr_max(x, expr_min(x, main, p->size), expr_int(x, 0));
    Nest full = *n;
    full.no_where = true;
    open_part(w, &full, pos, parent, expr_int(x, 0), main);
    Nest tail = *n;
    open_part(w, &tail, pos, parent, main, expr_sub(x, p->size, main));
    return true;
}

/* A reduction loop whose points outside a range add nothing, where the loops around it say which
 * range. */
static bool open_trimmed(Lowerer *w, Nest *n, int pos, int parent)
{
    Exprs *x = w->x;
    const Axis *axis = &n->st->axis[n->order[pos].axis];
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    if (!axis->low || p->nlevels != 1 || n->mark[pos] != MARK_SERIAL ||
        expr_node(x, p->var[0])->op != EX_VAR) {
        return false;
    }
    Expr low = nest_bind(x, n, axis->low), high = nest_bind(x, n, axis->high);
    const Expr zero = expr_int(x, 0);
    for (int k = pos; k < n->norder; k++) {
        const Expr var = nest_var(n, k);
        int64_t extent;
        if (expr_node(x, var)->op != EX_VAR) {
            continue;
        }
        if (expr_is_int(x, nest_extent(n, k), &extent) && extent == 1) {
            low = expr_subst(x, low, 1, &var, &zero);
            high = expr_subst(x, high, 1, &var, &zero);
        }
        const int id = (int)expr_node(x, var)->imm.i;
        if (expr_uses_var(x, low, id) || expr_uses_var(x, high, id)) {
            return false;
        }
    }
    Nest part = *n;
    const Expr from = expr_min(x, low, p->size);
    open_part(w, &part, pos, parent, from, expr_max(x, expr_sub(x, high, from), expr_int(x, 0)));
    return true;
}

static void open_peeled(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
    const int axis = n->order[pos].axis;
    AxisPlan *p = &n->plan[axis];
    const Expr whole = expr_divi(x, p->size, p->tile);
    bool inner_parallel = false; /* then `par` says where in the tile, for every tile */
    for (int k = pos + 1; k < n->nouter; k++) {
        inner_parallel |= n->order[k].axis == axis;
    }
    Nest tail = *n;
    if (inner_parallel) {
        nest_plan_guard(x, &tail, axis);
    } else {
        nest_plan_tail(x, &tail, axis);
    }
    Nest main = *n;
    nest_plan_main(x, &main, axis, whole);
    if (pos < n->nouter) {
        const int inside = lower_if(w, parent, expr_lt(x, p->var[0], whole));
        lower_let(w, inside, nest_var(&main, pos), p->var[0]);
        opened(w, &main, pos, inside, init);
        opened(w, &tail, pos, lower_if(w, parent, expr_le(x, whole, p->var[0])), init);
        return;
    }
    opened(w, &main, pos, lower_for(w, parent, nest_var(&main, pos), whole, mark_of(n, pos, init)),
           init);
    const Expr rest = expr_modi(x, p->size, p->tile);
    opened(w, &tail, pos, lower_if(w, parent, expr_lt(x, expr_int(x, 0), rest)), init);
}

static void open_loop(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    const bool counted = expr_node(w->x, nest_var(n, pos))->op == EX_VAR && pos >= n->nouter;
    const int inside =
        counted ? lower_for(w, parent, nest_var(n, pos), nest_extent(n, pos), mark_of(n, pos, init))
                : parent;
    opened(w, n, pos, inside, init);
}

/* Tiles that overlap. Extents below one tile cannot be shifted: a guarded copy serves them. `open`
 * makes the loop, if none is there. */
static void open_shifted(Lowerer *w, Nest *n, int pos, int parent, bool init,
                         void (*open)(Lowerer *, Nest *, int, int, bool))
{
    Exprs *x = w->x;
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    const Expr tile = expr_int(x, p->tile);
    if (p->fits || expr_proves_le(x, tile, p->size)) {
        open(w, n, pos, parent, init);
        return;
    }
    Nest small = *n;
    nest_plan_guard(x, &small, n->order[pos].axis);
    const int below = lower_if(w, parent, expr_lt(x, p->size, tile));
    const int other = lower_if(w, parent, expr_le(x, tile, p->size));
    open(w, &small, pos, below, init);
    open(w, n, pos, other, init);
}

/* Equal parts, each a tile of the size that holds it. */
static void open_sizes(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
    const int axis = n->order[pos].axis;
    const AxisTile *tile = &n->ss->tile[axis];
    const char *name = n->st->axis[axis].name;
    const Expr most = expr_int(x, tile->factor[0] + 1);
    const Expr least = expr_loop_var(x, arena_printf(w->ctx->arena, "%s_least", name), most);
    lower_let(w, parent, least, nest_least_part(x, n, axis));
    const bool counted = expr_node(x, nest_var(n, pos))->op == EX_VAR && pos >= n->nouter;
    const int inside =
        counted ? lower_for(w, parent, nest_var(n, pos), nest_extent(n, pos), mark_of(n, pos, init))
                : parent;
    Expr start, size;
    nest_part(x, n, axis, least, &start, &size);
    const Expr var = expr_loop_var(x, arena_printf(w->ctx->arena, "%s_tile", name), most);
    lower_let(w, inside, var, size);
    for (int k = 0; k <= tile->nother; k++) {
        const int32_t t = k ? tile->other[k - 1] : tile->factor[0];
        Nest one = *n;
        nest_plan_size(x, &one, axis, t, start);
        open_shifted(w, &one, pos, lower_if(w, inside, expr_eq(x, var, expr_int(x, t))), init,
                     opened);
    }
}

void lower_open(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    if (init) {
        while (pos < n->norder && is_reduction(n, pos)) {
            pos++;
        }
    }
    const bool reduces = n->st->form == STAGE_REDUCE;
    const bool first_reduction = pos < n->norder && is_reduction(n, pos) &&
                                 (pos == 0 || !is_reduction(n, pos - 1));
    bool earlier = false;
    for (int k = 0; k < pos; k++) {
        earlier |= is_reduction(n, k);
    }
    if (!init && reduces && !earlier && (first_reduction || pos == n->norder)) {
        Nest copy = *n;
        lower_open(w, &copy, pos, parent, true);
    }
    if (pos == n->norder) {
        lower_body(w, n, parent, init);
        return;
    }
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    if (n->order[pos].level == 0 && p->split == SPLIT_SIZES) {
        open_sizes(w, n, pos, parent, init);
        return;
    }
    if (n->order[pos].level == 0 && p->split == SPLIT_SHIFT) {
        open_shifted(w, n, pos, parent, init, open_loop);
        return;
    }
    if (n->order[pos].level == 0 && p->split == SPLIT_PEEL) {
        open_peeled(w, n, pos, parent, init);
        return;
    }
    if (!init && is_reduction(n, pos) &&
        (open_trimmed(w, n, pos, parent) || open_partitioned(w, n, pos, parent))) {
        return;
    }
    open_loop(w, n, pos, parent, init);
}

/* ---- phases ---- */

/* The extent of a parallel loop as the phase sees it: a peeled axis counts its tail tile. */
static Expr parallel_extent(Exprs *x, const Nest *n, int pos)
{
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    if (n->order[pos].level == 0 && p->split == SPLIT_PEEL) {
        return expr_ceil_div(x, p->size, expr_int(x, p->tile));
    }
    return nest_extent(n, pos);
}

/* Loops [first, end) of n are one: how long it is, and what they are at `at`. */
static Expr fused_extent(Exprs *x, const Nest *n, int first, int end)
{
    Expr extent = expr_int(x, 1);
    for (int i = first; i < end; i++) {
        extent = expr_mul(x, extent, parallel_extent(x, n, i));
    }
    return extent;
}

static void let_fused(Lowerer *w, int body, const Nest *n, int first, int end, Expr at)
{
    Exprs *x = w->x;
    Expr rest = at;
    for (int i = end - 1; i >= first; i--) {
        const Expr extent = parallel_extent(x, n, i);
        const Expr var = nest_var(n, i);
        if (expr_node(x, var)->op == EX_VAR) {
            lower_let(w, body, var, i == first ? rest : expr_mod(x, rest, extent));
        }
        rest = i == first ? rest : expr_div(x, rest, extent);
    }
}

/* step: the variable of the steps that the phase is called for, those of the nest `top`; 0: it runs
 * once. */
static void lower_phase(Lowerer *w, Nest *n, const Nest *top, Expr step)
{
    Exprs *x = w->x;
    const int body = loops_stmt(w->l, L_BLOCK);
    LoopPhase phase = {
        .body = body, .extent = fused_extent(x, n, n->nsteps, n->nouter), .step = step};
    if (step) {
        phase.steps = fused_extent(x, top, 0, top->nsteps);
        let_fused(w, body, top, 0, top->nsteps, step);
    }
    phase.par = expr_loop_var(x, "par", phase.extent);
    let_fused(w, body, n, n->nsteps, n->nouter, phase.par);
    lower_open(w, n, 0, body, false);
    vec_push(w->ctx->arena, &w->l->phase, phase);
}

static void lower_root(Lowerer *w, int stage)
{
    const Stage *st = &w->s->stage.at[stage];
    const StageSchedule *ss = lower_schedule_of(w, stage);
    if (st->form == STAGE_SCATTER) {
        /* First the initial values, as a MAP over the base axes. */
        Stage base = {.form = STAGE_MAP, .naxes = st->nreduce, .nresults = 1};
        memcpy(base.axis, st->axis + st->naxes, sizeof(Axis) * (size_t)st->nreduce);
        base.result[0] = st->result[0];
        base.update[0] = st->init[0];
        Nest n = {.stage = stage, .st = &base};
        nest_plan(w->x, &n, NULL);
        lower_phase(w, &n, NULL, 0);
        Stage updates = *st;
        updates.nreduce = 0;
        Nest u = {.stage = stage, .st = &updates};
        nest_plan(w->x, &u, NULL);
        lower_phase(w, &u, NULL, 0);
        return;
    }
    Nest n = {.stage = stage, .st = st, .ss = ss};
    nest_plan(w->x, &n, NULL);
    const Expr steps = fused_extent(w->x, &n, 0, n.nsteps);
    int64_t known; /* that there is one step only can be */
    const bool once = expr_is_int(w->x, steps, &known) && known == 1;
    const Expr step = once ? 0 : expr_loop_var(w->x, "step", steps);
    for (int i = 0; i < w->s->stage.len; i++) {
        if (lower_in_step(w, &n, i)) {
            Nest child = lower_at_nest(w, &n, n.nsteps - 1, i);
            lower_phase(w, &child, &n, step);
        }
    }
    lower_phase(w, &n, &n, step);
}

static bool is_root(const Lowerer *w, int stage)
{
    const StageSchedule *ss = lower_schedule_of(w, stage);
    return !ss || !ss->at_stage;
}

/* Tensors that live in a buffer of their own; boxed ones have none. */
static void make_buffers(Lowerer *w, Lowered *out)
{
    const Stages *s = w->s;
    out->ntensors = s->tensor.len;
    out->tensor_buffer = arena_array_of(w->ctx->arena, s->tensor.len, int);
    w->place = arena_array_of(w->ctx->arena, s->tensor.len, Place);
    for (int t = 0; t < s->tensor.len; t++) {
        const StageTensor *st = &s->tensor.at[t];
        const StageSchedule *ss = schedule_find(w->sc, st->name);
        LoopBuffer b = {.name = st->name, .dtype = st->dtype, .rank = st->rank, .arg = -1,
                        .layout = ss && ss->has_layout ? ss->layout : st->layout,
                        .part = st->part,
                        .scope = SCOPE_ARG};
        memcpy(b.dim, st->dim, sizeof b.dim);
        vec_push(w->ctx->arena, &w->l->buffer, b);
        w->place[t].buffer = t;
    }
    for (int pass = 0; pass < 3; pass++) {
        for (int t = 0; t < s->tensor.len; t++) {
            const StageTensor *st = &s->tensor.at[t];
            const int want = st->role == TENSOR_OUTPUT ? 1 : st->role == TENSOR_TEMP ? 2 : 0;
            const StageSchedule *ss = st->stage < 0 ? NULL : lower_schedule_of(w, st->stage);
            const bool gone = st->role == TENSOR_TEMP && st->stage < 0;
            const bool boxed = gone || (ss && ss->at_stage && ss->scope != SCOPE_ARG);
            if (want == pass) {
                out->tensor_buffer[t] = boxed ? -1 : t;
                if (!boxed) {
                    w->l->buffer.at[t].arg = w->l->nargs++;
                }
            }
        }
    }
}

static void collect_syms(Lowerer *w)
{
    for (int v = 0; v < w->x->var.len; v++) {
        if (w->x->var.at[v].kind == VAR_SYM) {
            vec_push(w->ctx->arena, &w->l->sym, w->x->var.at[v].self);
        }
    }
}

Lowered lower(Context *ctx, const Stages *stages, const Schedule *sc, const Target *t)
{
    (void)t;
    Lowered out = {0};
    Stages *s = stages_copy(ctx, stages);
    for (int i = 0; i < s->tensor.len; i++) {
        const StageSchedule *ss = schedule_find(sc, s->tensor.at[i].name);
        if (ss && ss->has_layout) {
            s->tensor.at[i].layout = ss->layout;
        }
    }
    stages_bound_loads(s);
    Lowerer w = {
        .ctx = ctx,
        .x = s->x,
        .s = s,
        .sc = sc,
        .l = loops_new(ctx, s->x,
                       s->stage.len ? s->tensor.at[vec_last(&s->stage).result[0]].name : "empty")};
    make_buffers(&w, &out);
    collect_syms(&w);
    for (int i = 0; i < s->stage.len; i++) {
        if (is_root(&w, i)) {
            lower_root(&w, i);
        }
    }
    out.loops = w.l;
    return out;
}
