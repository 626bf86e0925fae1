/* Lowering: stages computed inside a loop of another stage. What the loop's readers touch while the
 * deeper loops run is a box (region.h); the stage is computed for it, into a buffer of that
 * size. */
#include <assert.h>
#include <string.h>

#include "loop/lower_parts.h"

/* The position of the loop of nest `n` inside which stage `i` is computed, at any depth; -1:
 * not. */
static int position_within(const Lowerer *w, const Nest *n, int i)
{
    for (int depth = 0; depth <= w->s->stage.len; depth++) {
        const StageSchedule *ss = lower_schedule_of(w, i);
        if (!ss || !ss->at_stage) {
            return -1;
        }
        const int t = stages_find_tensor(w->s, ss->at_stage);
        const int target = t < 0 ? -1 : w->s->tensor.at[t].stage;
        if (target == n->stage) {
            for (int p = 0; p < n->norder; p++) {
                if (n->order[p].axis == ss->at_loop.axis &&
                    n->order[p].level == ss->at_loop.level) {
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
        region_mark(x, inner, nest_var(n, p));
        const AxisPlan *plan = &n->plan[n->order[p].axis];
        if (n->order[p].level == 0 && plan->shift) {
            region_mark(x, inner, plan->shift);
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
            region_mark(x, inner, v);
            from[a] = st->axis[a].var;
            to[a] = expr_add(x, region[i].axis[a].low, v);
        }
        for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
            region_mark(x, inner, st->axis[a].var);
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
    const int columns = ss->ndot == TILE_DOT_LOOPS ? ss->norder - TILE_DOT_LOOPS + 1 : ss->vector;
    const int last = columns >= 0 ? ss->order[columns].axis : rank - 1;
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

/* Elements of the box lie where those of the stage of nest n will: then the box must be what the
 * loops inside of `pos` go over, or others would find their results overwritten. */
static void place_in_result(Lowerer *w, const Nest *n, int pos, int stage, const Region *r)
{
    if (pos < n->nouter - 1) { /* each turn of a parallel loop would compute all of the box */
        fail(w->ctx, ERR_UNSUPPORTED, "'%s' lies where other threads write",
             lower_stage_name(w, stage));
    }
    for (int a = 0; a < n->st->naxes; a++) {
        const AxisPlan *p = &n->plan[a];
        bool outside = false, inside = false;
        for (int k = 0; k < n->norder; k++) {
            outside |= n->order[k].axis == a && k <= pos;
            inside |= n->order[k].axis == a && k > pos;
        }
        int64_t size;
        if (outside && (inside || r->axis[a].low != p->value ||
                        !expr_is_int(w->x, r->axis[a].size, &size) || size != 1)) {
            fail(w->ctx, ERR_UNSUPPORTED, "the box of '%s' is not what is written there",
                 lower_stage_name(w, stage));
        }
    }
    w->place[w->s->stage.at[stage].result[0]] = w->place[n->st->result[0]];
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

/* Is stage i computed at loop `pos` of n itself? */
static bool is_at(const Lowerer *w, const Nest *n, int pos, int i)
{
    const StageSchedule *ss = lower_schedule_of(w, i);
    return i != n->stage && ss && ss->at_stage &&
           strcmp(ss->at_stage, lower_stage_name(w, n->stage)) == 0 &&
           ss->at_loop.axis == n->order[pos].axis && ss->at_loop.level == n->order[pos].level;
}

bool lower_in_step(const Lowerer *w, const Nest *n, int i)
{
    return n->nsteps && is_at(w, n, n->nsteps - 1, i) &&
           lower_schedule_of(w, i)->scope == SCOPE_ARG;
}

Nest lower_at_nest(Lowerer *w, const Nest *n, int pos, int i)
{
    Region *region = arena_array_of(w->ctx->arena, w->s->stage.len, Region);
    regions_at(w, n, pos, region);
    Nest child = {.stage = i, .st = &w->s->stage.at[i], .ss = lower_schedule_of(w, i)};
    nest_plan(w->x, &child, &region[i]);
    return child;
}

/* Are other stages computed inside its loops? */
static bool has_inside(const Lowerer *w, int stage)
{
    for (int i = 0; i < w->s->stage.len; i++) {
        const StageSchedule *ss = lower_schedule_of(w, i);
        if (ss && ss->at_stage && strcmp(ss->at_stage, lower_stage_name(w, stage)) == 0) {
            return true;
        }
    }
    return false;
}

void lower_at(Lowerer *w, const Nest *n, int pos, int parent)
{
    const int nstages = w->s->stage.len;
    Region *region = NULL;
    for (int i = 0; i < nstages; i++) {
        const StageSchedule *ss = lower_schedule_of(w, i);
        if (!is_at(w, n, pos, i) || (pos == n->nsteps - 1 && lower_in_step(w, n, i))) {
            continue;
        }
        if (!region) {
            region = arena_array_of(w->ctx->arena, nstages, Region);
            regions_at(w, n, pos, region);
        }
        if (region[i].rank > 0 && !region[i].axis[0].size) {
            continue;
        }
        if (ss->in_result) {
            place_in_result(w, n, pos, i, &region[i]);
        } else if (ss->scope != SCOPE_ARG) {
            place_box(w, i, ss, &region[i]);
        }
        Nest child = {.stage = i, .st = &w->s->stage.at[i], .ss = ss};
        nest_plan(w->x, &child, &region[i]);
        if (ss->scope != SCOPE_ARG && !ss->in_result && !has_inside(w, i)) {
            nest_keep_inside(w->x, &child);
        }
        child.fetch = lower_plan_fetch(w, n, pos, &child, parent);
        lower_open(w, &child, 0, parent, false);
    }
}
