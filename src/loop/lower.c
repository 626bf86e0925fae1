/* Lowering: stages and a schedule -> structured loops (schedule.h, loops.h).
 *
 * Every root stage becomes a phase. Its nest is opened loop by loop (open_from); after a loop is
 * open, the stages computed `at` it are lowered inside for the box that is needed there (region.h),
 * then come the deeper loops, then the stage's own statement. A REDUCE emits its initialisation
 * just before its first reduction loop.
 *
 *     gemm, acc at y.n1, scope reg:      for m0, n0, m1, n1:
 *                                          acc[6,16] = 0
 *                                          for k0: for m, n: acc[m,n] += a[..] * b[..]
 *                                          for m2, n2: y[..] = max(0, acc[m2,n2])
 *
 * Buffer ids equal tensor ids; boxes of stages computed `at` a loop are further buffers. */
#include <assert.h>
#include <string.h>

#include "loop/nest.h"

typedef struct Place { /* where the elements of a tensor are to be found now */
    int buffer;
    bool boxed;
    Expr low[MAX_RANK]; /* corner of the box */
} Place;

typedef struct Lowerer {
    Context *ctx;
    Exprs *x;
    const Stages *s;
    const Schedule *sc;
    Loops *l;
    Place *place; /* by tensor */
} Lowerer;

static void open_from(Lowerer *w, Nest *n, int pos, int parent, bool init);

static const char *stage_name(const Lowerer *w, int stage)
{
    return w->s->tensor.at[w->s->stage.at[stage].result[0]].name;
}

static const StageSchedule *schedule_of(const Lowerer *w, int stage)
{
    return schedule_find(w->sc, stage_name(w, stage));
}

/* ---- statements ---- */

static int emit_for(Lowerer *w, int parent, Expr var, Expr extent, LoopMark mark)
{
    if ((mark == MARK_VECTOR || mark == MARK_UNROLL) && !expr_is_int(w->x, extent, NULL)) {
        fail(w->ctx, ERR_UNSUPPORTED, "loop '%s' has no constant extent",
             w->x->var.at[expr_node(w->x, var)->imm.i].name);
    }
    const int id = loops_stmt(w->l, L_FOR);
    LoopStmt *st = &w->l->stmt.at[id];
    st->var = var;
    st->extent = extent;
    st->mark = mark;
    loops_append(w->l, parent, id);
    return id;
}

static int emit_if(Lowerer *w, int parent, Expr condition)
{
    int64_t known;
    if (expr_is_int(w->x, condition, &known) && known) {
        return parent;
    }
    const int id = loops_stmt(w->l, L_IF);
    w->l->stmt.at[id].value = condition;
    loops_append(w->l, parent, id);
    return id;
}

static void emit_let(Lowerer *w, int parent, Expr var, Expr value)
{
    const int id = loops_stmt(w->l, L_LET);
    w->l->stmt.at[id].var = var;
    w->l->stmt.at[id].value = value;
    loops_append(w->l, parent, id);
}

/* ---- expressions: stage terms -> loop terms ---- */

typedef struct Binder {
    Lowerer *w;
    const Nest *n;
    const Expr *own; /* index of the element being computed */
} Binder;

static Expr bind_node(Exprs *x, Expr e, void *arg)
{
    const Binder *b = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op == EX_STATE) {
        const int tensor = b->n->st->result[n.imm.i];
        const Place *p = &b->w->place[tensor];
        const StageTensor *t = &b->w->s->tensor.at[tensor];
        return expr_load(x, (DType)n.dtype, p->buffer, t->rank, b->own);
    }
    if (n.op != EX_LOAD) {
        return 0;
    }
    const Place *p = &b->w->place[n.imm.i];
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expr_rewrite(x, expr_arg(x, e, k), bind_node, arg);
        if (p->boxed) {
            index[k] = expr_sub(x, index[k], p->low[k]);
        }
    }
    return expr_load(x, (DType)n.dtype, p->buffer, n.nargs, index);
}

/* e of nest n, with loads pointing at buffers. own: the (placed) index of the element. */
static Expr bind(Lowerer *w, const Nest *n, Expr e, const Expr *own)
{
    Binder b = {.w = w, .n = n, .own = own};
    return expr_rewrite(w->x, nest_bind(w->x, n, e), bind_node, &b);
}

static int emit_store(Lowerer *w, int parent, int tensor, const Expr *index, Expr value)
{
    const StageTensor *t = &w->s->tensor.at[tensor];
    const Place *p = &w->place[tensor];
    const int id = loops_stmt(w->l, L_STORE);
    LoopStmt *st = &w->l->stmt.at[id];
    st->buffer = p->buffer;
    st->nindex = t->rank;
    for (int k = 0; k < t->rank; k++) {
        st->index[k] = index[k];
    }
    st->value = value;
    w->l->buffer.at[p->buffer].written = true;
    loops_append(w->l, parent, id);
    return id;
}

/* The placed index of the element of result k that the nest computes. */
static void own_index(Lowerer *w, const Nest *n, int k, Expr *index)
{
    const Place *p = &w->place[n->st->result[k]];
    for (int a = 0; a < n->st->naxes; a++) {
        index[a] = n->plan[a].value;
        if (p->boxed) {
            index[a] = expr_sub(w->x, index[a], p->low[a]);
        }
    }
}

static void emit_values(Lowerer *w, const Nest *n, int parent, const Expr *source)
{
    Expr index[MAX_RANK];
    Expr value[MAX_RESULTS];
    for (int k = 0; k < n->st->nresults; k++) {
        own_index(w, n, k, index);
        value[k] = bind(w, n, source[k], index);
    }
    /* All states change at once: with several results the new values are named first. */
    for (int k = 0; k < n->st->nresults && n->st->nresults > 1; k++) {
        const char *name = arena_printf(w->ctx->arena, "new%d", k);
        const Expr var = expr_value_var(w->x, name, expr_type(w->x, value[k]));
        emit_let(w, parent, var, value[k]);
        value[k] = var;
    }
    for (int k = 0; k < n->st->nresults; k++) {
        own_index(w, n, k, index);
        emit_store(w, parent, n->st->result[k], index, value[k]);
    }
}

static void emit_scatter_update(Lowerer *w, const Nest *n, int parent)
{
    Exprs *x = w->x;
    const StageTensor *t = &w->s->tensor.at[n->st->result[0]];
    Expr index[MAX_RANK];
    Expr inside = expr_int_of(x, DT_BOOL, 1);
    for (int k = 0; k < t->rank; k++) {
        const Expr at = bind(w, n, n->st->target[k], NULL);
        inside = expr_and(x, inside, expr_le(x, expr_int(x, 0), at));
        inside = expr_and(x, inside, expr_lt(x, at, t->dim[k]));
        index[k] = expr_max(x, expr_min(x, at, expr_addi(x, t->dim[k], -1)), expr_int(x, 0));
    }
    if (n->st->where) {
        inside = expr_and(x, inside, bind(w, n, n->st->where, index));
    }
    const int guarded = emit_if(w, parent, inside);
    emit_store(w, guarded, n->st->result[0], index, bind(w, n, n->st->update[0], index));
}

static void emit_body(Lowerer *w, const Nest *n, int parent, bool init)
{
    Exprs *x = w->x;
    const Stage *st = n->st;
    if (init) {
        emit_values(w, n, parent, st->init);
        return;
    }
    if (st->form == STAGE_SCATTER) {
        emit_scatter_update(w, n, parent);
        return;
    }
    const bool where = st->where && !n->no_where;
    if (st->form == STAGE_REDUCE) {
        const int inside = where ? emit_if(w, parent, bind(w, n, st->where, NULL)) : parent;
        emit_values(w, n, inside, st->update);
        return;
    }
    Expr value = st->update[0];
    if (where) {
        value = expr_select(x, st->where, value, expr_const(x, expr_type(x, value), 0));
    }
    emit_values(w, n, parent, &value);
}

/* ---- stages computed at a loop ---- */

/* The position of the loop of nest `n` inside which stage `i` is computed, at any depth; -1: not. */
static int position_within(const Lowerer *w, const Nest *n, int i)
{
    for (int depth = 0; depth <= w->s->stage.len; depth++) {
        const StageSchedule *ss = schedule_of(w, i);
        if (!ss || !ss->at_stage) {
            return -1;
        }
        const int t = stages_find_tensor(w->s, ss->at_stage);
        const int target = t < 0 ? -1 : w->s->tensor.at[t].stage;
        if (target == n->stage) {
            for (int p = 0; p < n->norder; p++) {
                if (n->order[p].axis == ss->at_loop.axis && n->order[p].level == ss->at_loop.level) {
                    return p;
                }
            }
            return -1;
        }
        i = target;
        if (i < 0) {
            return -1;
        }
    }
    return -1;
}

static void mark_inner(const Exprs *x, bool *inner, Expr var)
{
    const ExprNode *n = expr_node(x, var);
    if (n->op == EX_VAR) {
        inner[n->imm.i] = true;
    }
}

/* Adds to r the box of stage `producer` that the bodies of a reader touch. */
static void add_reader(Lowerer *w, int producer, const Expr *bodies, int nbodies,
                       const bool *inner, Region *r)
{
    const Stage *p = &w->s->stage.at[producer];
    for (int k = 0; k < p->nresults; k++) {
        const StageTensor *t = &w->s->tensor.at[p->result[k]];
        for (int b = 0; b < nbodies; b++) {
            if (bodies[b]) {
                region_add_loads(w->x, bodies[b], p->result[k], t->rank, t->dim, inner,
                                 w->x->var.len, r);
            }
        }
    }
}

static int bodies_of(const Stage *st, Expr *out)
{
    int n = 0;
    for (int k = 0; k < st->nresults; k++) {
        out[n++] = st->form == STAGE_SCATTER ? 0 : st->init[k];
        out[n++] = st->update[k];
    }
    out[n++] = st->where;
    return n;
}

/* Boxes, at position `pos` of nest n, of all stages computed at or inside that loop. */
static void regions_at(Lowerer *w, const Nest *n, int pos, Region *region)
{
    Exprs *x = w->x;
    const int nstages = w->s->stage.len;
    const size_t room = (size_t)x->var.len + (size_t)nstages * MAX_AXES + 64;
    bool *inner = arena_array_of(w->ctx->arena, room, bool);
    for (int p = pos + 1; p < n->norder; p++) {
        mark_inner(x, inner, nest_var(n, p));
        const AxisPlan *plan = &n->plan[n->order[p].axis];
        if (n->order[p].level == 0 && plan->shift) {
            mark_inner(x, inner, plan->shift);
        }
    }
    Expr (*bodies)[2 * MAX_RESULTS + 1] =
        arena_array(w->ctx->arena, (size_t)nstages, sizeof *bodies);
    int *nbodies = arena_array_of(w->ctx->arena, nstages, int);
    nbodies[n->stage] = bodies_of(n->st, bodies[n->stage]);
    for (int b = 0; b < nbodies[n->stage]; b++) {
        bodies[n->stage][b] = nest_bind(x, n, bodies[n->stage][b]);
    }
    for (int i = nstages - 1; i >= 0; i--) {
        const int at = i == n->stage ? -1 : position_within(w, n, i);
        if (at < pos) {
            continue;
        }
        region[i].rank = w->s->stage.at[i].naxes;
        for (int c = 0; c < nstages; c++) {
            if (c != i && nbodies[c] && (c > i || c == n->stage)) {
                add_reader(w, i, bodies[c], nbodies[c], inner, &region[i]);
            }
        }
        if (!region[i].axis[0].size && region[i].rank > 0) {
            continue; /* nobody here reads it */
        }
        /* As a reader of earlier stages it runs over its box. */
        const Stage *st = &w->s->stage.at[i];
        Expr from[MAX_AXES], to[MAX_AXES];
        for (int a = 0; a < st->naxes; a++) {
            const Expr v = expr_loop_var(x, st->axis[a].name, region[i].axis[a].size);
            mark_inner(x, inner, v);
            from[a] = st->axis[a].var;
            to[a] = expr_add(x, region[i].axis[a].low, v);
        }
        for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
            mark_inner(x, inner, st->axis[a].var);
        }
        nbodies[i] = bodies_of(st, bodies[i]);
        for (int b = 0; b < nbodies[i]; b++) {
            bodies[i][b] = bodies[i][b] ? expr_subst(x, bodies[i][b], st->naxes, from, to) : 0;
        }
        assert((size_t)x->var.len <= room);
    }
}

/* Order of a box's axes in memory: the one that is computed in lanes last. */
static Layout box_layout(const StageSchedule *ss, int rank)
{
    Layout l = {0};
    const int last = ss->vector >= 0 ? ss->order[ss->vector].axis : rank - 1;
    if (last == rank - 1 || last >= rank) {
        return l;
    }
    for (int a = 0; a < rank; a++) {
        if (a != last) {
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)a};
        }
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)last};
    return l;
}

/* Gives the results of `stage` a private buffer for the box. */
static void place_box(Lowerer *w, int stage, const StageSchedule *ss, const Region *r)
{
    const Stage *st = &w->s->stage.at[stage];
    for (int k = 0; k < st->nresults; k++) {
        const StageTensor *t = &w->s->tensor.at[st->result[k]];
        LoopBuffer b = {.name = t->name, .dtype = t->dtype, .rank = t->rank, .scope = ss->scope,
                        .written = true, .layout = box_layout(ss, t->rank)};
        Place *p = &w->place[st->result[k]];
        int64_t bytes = dtype_size(t->dtype);
        for (int a = 0; a < t->rank; a++) {
            b.dim[a] = r->axis[a].size;
            p->low[a] = r->axis[a].low;
            int64_t size = 0;
            if (!expr_is_int(w->x, b.dim[a], &size)) {
                fail(w->ctx, ERR_UNSUPPORTED, "the box of '%s' has no constant size", t->name);
            }
            bytes *= size;
        }
        if (ss->scope == SCOPE_SCRATCH) {
            b.offset = w->l->scratch_bytes;
            w->l->scratch_bytes += (bytes + 127) / 64 * 64; /* room for one vector beyond */
        }
        vec_push(w->ctx->arena, &w->l->buffer, b);
        p->buffer = w->l->buffer.len - 1;
        p->boxed = true;
    }
}

static void lower_children(Lowerer *w, const Nest *n, int pos, int parent)
{
    const int nstages = w->s->stage.len;
    Region *region = NULL;
    for (int i = 0; i < nstages; i++) {
        const StageSchedule *ss = schedule_of(w, i);
        if (i == n->stage || !ss || !ss->at_stage ||
            strcmp(ss->at_stage, stage_name(w, n->stage)) != 0 ||
            ss->at_loop.axis != n->order[pos].axis || ss->at_loop.level != n->order[pos].level) {
            continue;
        }
        if (!region) {
            region = arena_array_of(w->ctx->arena, nstages, Region);
            regions_at(w, n, pos, region);
        }
        if (region[i].rank > 0 && !region[i].axis[0].size) {
            continue;
        }
        if (ss->scope != SCOPE_ARG) {
            place_box(w, i, ss, &region[i]);
        }
        Nest child = {.stage = i, .st = &w->s->stage.at[i], .ss = ss};
        nest_plan(w->x, &child, &region[i]);
        open_from(w, &child, 0, parent, false);
    }
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

static bool is_reduction(const Nest *n, int pos)
{
    return n->order[pos].axis >= n->st->naxes;
}

/* Loop `pos` is open inside `parent`: shift, guards, stages computed here, then the deeper loops. */
static void opened(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
    AxisPlan *p = &n->plan[n->order[pos].axis];
    if (n->order[pos].level == 0 && p->split == SPLIT_SHIFT && expr_node(x, p->shift)->op == EX_VAR) {
        const Expr last = expr_addi(x, p->size, -p->tile);
        emit_let(w, parent, p->shift, expr_min(x, expr_muli(x, p->var[0], p->tile), last));
    }
    if (is_last_level(n, pos)) {
        if (p->split == SPLIT_GUARD) {
            const Expr local = expr_sub(x, p->value, p->low);
            parent = emit_if(w, parent, expr_lt(x, local, p->size));
        }
        if (p->limit) {
            parent = emit_if(w, parent, expr_lt(x, p->value, p->limit));
        }
    }
    if (!init) {
        lower_children(w, n, pos, parent);
    }
    open_from(w, n, pos + 1, parent, init);
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
    opened(w, n, pos, emit_for(w, parent, p->var[0], extent, MARK_SERIAL), false);
}

/* A reduction loop whose `where` is an upper bound on its variable: first the part where it holds. */
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
        mark_inner(x, inner, nest_var(n, k));
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

static void open_peeled(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
    const int axis = n->order[pos].axis;
    AxisPlan *p = &n->plan[axis];
    const Expr whole = expr_divi(x, p->size, p->tile);
    bool inner_parallel = false; /* then `par` says where in the tile, for every tile */
    for (int k = pos + 1; k < n->nparallel; k++) {
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
    if (pos < n->nparallel) {
        const int inside = emit_if(w, parent, expr_lt(x, p->var[0], whole));
        emit_let(w, inside, nest_var(&main, pos), p->var[0]);
        opened(w, &main, pos, inside, init);
        opened(w, &tail, pos, emit_if(w, parent, expr_le(x, whole, p->var[0])), init);
        return;
    }
    opened(w, &main, pos, emit_for(w, parent, nest_var(&main, pos), whole, n->mark[pos]), init);
    const Expr rest = expr_modi(x, p->size, p->tile);
    opened(w, &tail, pos, emit_if(w, parent, expr_lt(x, expr_int(x, 0), rest)), init);
}

static void open_from(Lowerer *w, Nest *n, int pos, int parent, bool init)
{
    Exprs *x = w->x;
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
        open_from(w, &copy, pos, parent, true);
    }
    if (pos == n->norder) {
        emit_body(w, n, parent, init);
        return;
    }
    AxisPlan *p = &n->plan[n->order[pos].axis];
    if (n->order[pos].level == 0 && p->split == SPLIT_SHIFT &&
        !expr_proves_le(x, expr_int(x, p->tile), p->size)) {
        /* Extents below one tile cannot be shifted: a guarded copy serves them. */
        const Expr tile = expr_int(x, p->tile);
        Nest small = *n;
        nest_plan_guard(x, &small, n->order[pos].axis);
        const int below = emit_if(w, parent, expr_lt(x, p->size, tile));
        Nest large = *n;
        const int other = emit_if(w, parent, expr_le(x, tile, p->size));
        if (pos < n->nparallel) {
            opened(w, &small, pos, below, init);
            opened(w, &large, pos, other, init);
        } else {
            opened(w, &small, pos,
                   emit_for(w, below, nest_var(&small, pos), nest_extent(&small, pos),
                            n->mark[pos]),
                   init);
            opened(w, &large, pos,
                   emit_for(w, other, nest_var(n, pos), nest_extent(n, pos), n->mark[pos]), init);
        }
        return;
    }
    if (n->order[pos].level == 0 && p->split == SPLIT_PEEL) {
        open_peeled(w, n, pos, parent, init);
        return;
    }
    if (!init && is_reduction(n, pos) && open_partitioned(w, n, pos, parent)) {
        return;
    }
    const bool counted = expr_node(x, nest_var(n, pos))->op == EX_VAR && pos >= n->nparallel;
    const int inside = counted ? emit_for(w, parent, nest_var(n, pos), nest_extent(n, pos),
                                          n->mark[pos])
                               : parent;
    opened(w, n, pos, inside, init);
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

static void lower_phase(Lowerer *w, Nest *n)
{
    Exprs *x = w->x;
    const int body = loops_stmt(w->l, L_BLOCK);
    LoopPhase phase = {.body = body, .extent = expr_int(x, 1)};
    for (int i = 0; i < n->nparallel; i++) {
        phase.extent = expr_mul(x, phase.extent, parallel_extent(x, n, i));
    }
    phase.par = expr_loop_var(x, "par", phase.extent);
    Expr rest = phase.par;
    for (int i = n->nparallel - 1; i >= 0; i--) {
        const Expr extent = parallel_extent(x, n, i);
        const Expr var = nest_var(n, i);
        if (expr_node(x, var)->op == EX_VAR) {
            emit_let(w, body, var, i == 0 ? rest : expr_mod(x, rest, extent));
        }
        rest = i == 0 ? rest : expr_div(x, rest, extent);
    }
    open_from(w, n, 0, body, false);
    vec_push(w->ctx->arena, &w->l->phase, phase);
}

static void lower_root(Lowerer *w, int stage)
{
    const Stage *st = &w->s->stage.at[stage];
    const StageSchedule *ss = schedule_of(w, stage);
    if (st->form == STAGE_SCATTER) {
        /* First the initial values, as a MAP over the base axes. */
        Stage base = {.form = STAGE_MAP, .naxes = st->nreduce, .nresults = 1};
        memcpy(base.axis, st->axis + st->naxes, sizeof(Axis) * (size_t)st->nreduce);
        base.result[0] = st->result[0];
        base.update[0] = st->init[0];
        Nest n = {.stage = stage, .st = &base};
        nest_plan(w->x, &n, NULL);
        lower_phase(w, &n);
        Stage updates = *st;
        updates.nreduce = 0;
        Nest u = {.stage = stage, .st = &updates};
        nest_plan(w->x, &u, NULL);
        lower_phase(w, &u);
        return;
    }
    Nest n = {.stage = stage, .st = st, .ss = ss};
    nest_plan(w->x, &n, NULL);
    lower_phase(w, &n);
}

static bool is_root(const Lowerer *w, int stage)
{
    const StageSchedule *ss = schedule_of(w, stage);
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
            const StageSchedule *ss = st->stage < 0 ? NULL : schedule_of(w, st->stage);
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
    Lowerer w = {.ctx = ctx, .x = s->x, .s = s, .sc = sc,
                 .l = loops_new(ctx, s->x, s->stage.len ? s->tensor.at[vec_last(&s->stage).result[0]].name
                                                        : "empty")};
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
