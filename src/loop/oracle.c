/* The oracle: storage of tensors, and the four forms of stages run over it.
 *
 * oracle_run computes stage after stage, all elements, each nest incrementally (oracle_program.h).
 * A group of stages that a SCAN ties into a cycle is computed element by element on demand, ordered
 * by the scan axis. oracle_elements does everything on demand and keeps what it has computed. */
#include "loop/oracle.h"

#include <assert.h>
#include <math.h>

#include "loop/access.h"
#include "loop/oracle_program.h"

#define DENSE_MAX ((int64_t)1 << 31)

typedef enum Known { UNKNOWN, IN_PROGRESS, KNOWN } Known;

typedef struct Cell {
    Value value;
    Known known;
} Cell;

typedef struct Elements { /* of one tensor */
    int64_t dim[MAX_RANK];
    int64_t count;
    const Tensor *given;
    bool complete; /* dense, and every element is known */
    Cell *dense;   /* or NULL: */
    IntMap place;  /* row-major index -> cell */
    VEC(Cell) cell;
} Elements;

typedef struct StageRun {
    Program *init, *body; /* body: where?, targets, updates */
    int64_t extent[MAX_AXES];
    int cycle; /* first stage of the SCAN cycle it is in; -1: in none */
} StageRun;

/* What is computed on demand: a stage, its cycle, and the time that its later stages may be read
 * before. A load of them at that time or after can only stand in the side of a select that is not
 * taken; following it would compute elements from others that are not done. */
typedef struct Demand {
    int stage, cycle;
    int64_t time;
} Demand;

typedef struct Run {
    Oracle o;
    Elements *tensor;
    StageRun *stage;
    Demand demand;
    Arena *arena; /* holds what the run allocates */
} Run;

/* ---- elements of given tensors ---- */
static Value read_given(const Run *r, const StageTensor *t, const Elements *e, int64_t at,
                        const int64_t *index)
{
    const DType d = t->dtype;
    if (!layout_is_plain(&e->given->layout))
        at = layout_offset(&e->given->layout, t->rank, e->dim, index);
    const char *const p = (const char *)e->given->data + at * dtype_size(d);
    if (!dtype_is_float(d))
        return (Value){.w.i = dtype_read_int(d, p)};
    const double v = d == DT_F32 ? (double)*(const float *)(const void *)p : dtype_read(d, p);
    return (Value){.w.f = v, .magnitude = r->o.mode == ORACLE_DOUBLE ? fabs(v) : 0};
}

static void write_given(const Run *r, int id)
{
    const StageTensor *const t = &r->o.s->tensor.at[id];
    const Elements *const e = &r->tensor[id];
    int64_t index[MAX_RANK] = {0};
    for (int64_t k = 0; k < e->count; k++) {
        const bool plain = layout_is_plain(&e->given->layout);
        const int64_t at = plain ? k
                                 : layout_offset(&e->given->layout, t->rank, e->dim, index);
        char *const p = (char *)e->given->data + at * dtype_size(t->dtype);
        if (dtype_is_float(t->dtype))
            dtype_write(t->dtype, p, e->dense[k].value.w.f, false);
        else
            dtype_write_int(t->dtype, p, e->dense[k].value.w.i);
        for (int d = t->rank - 1; d >= 0 && ++index[d] == e->dim[d]; d--)
            index[d] = 0;
    }
}

/* A value as it comes back from memory. */
static Value stored(const Run *r, DType t, Value v)
{
    const DType c = dtype_compute(t);
    const bool widened = r->o.mode == ORACLE_DOUBLE && dtype_is_float(t);
    if (c == t)
        return v;
    uint8_t room[8] = {0};
    if (!dtype_is_float(t)) {
        dtype_write_int(t, room, v.w.i);
        return (Value){.w.i = dtype_read_int(t, room), .magnitude = v.magnitude};
    }
    dtype_write(t, room, v.w.f, false);
    const double back = dtype_read(t, room);
    return (Value){.w.f = back,
                   .magnitude = widened ? magnitude_stored(t, back, v.magnitude) : 0};
}

/* ---- cells ---- */
static void make_dense(Run *r, int id)
{
    Elements *const e = &r->tensor[id];
    if (e->count > DENSE_MAX)
        fail(r->o.s->ctx, ERR_MEMORY, "tensor '%s' has %lld elements, too many for the oracle",
             r->o.s->tensor.at[id].name, (long long)e->count);
    if (!e->dense)
        e->dense = arena_array_of(r->o.ctx->arena, e->count + 1, Cell);
}

static Cell *cell_at(Run *r, int id, int64_t at)
{
    Elements *const e = &r->tensor[id];
    if (e->dense)
        return &e->dense[at];
    int k = intmap_get(&e->place, (uint64_t)at, -1);
    if (k < 0) {
        k = e->cell.len;
        const Cell empty = {.known = UNKNOWN};
        intmap_put(&e->place, (uint64_t)at, k);
        vec_push(r->o.ctx->arena, &e->cell, empty);
    }
    return &e->cell.at[k];
}

static int64_t position(const Elements *e, int rank, const int64_t *index)
{
    int64_t at = 0;
    for (int i = 0; i < rank; i++) {
        if (index[i] < 0 || index[i] >= e->dim[i])
            return -1;
        at = at * e->dim[i] + index[i];
    }
    return at;
}

static void coordinates(const Elements *e, int rank, int64_t at, int64_t *index)
{
    for (int i = rank - 1; i >= 0; i--) {
        index[i] = at % e->dim[i];
        at /= e->dim[i];
    }
}

static void store(Run *r, int id, int64_t at, Value v)
{
    Cell *const c = cell_at(r, id, at);
    c->value = stored(r, r->o.s->tensor.at[id].dtype, v);
    c->known = KNOWN;
}

/* ---- one point of a stage ---- */
static const Value *root(const Program *p, const Value *frame, int k)
{
    return &frame[p->root[k]];
}

static bool holds(const Stage *st, const Program *body, const Value *frame)
{
    return !st->where || root(body, frame, 0)->w.i != 0;
}

/* Steps index, row-major, over axes [first, first + n). The axis that moved, or -1 at the end. */
static int step(int64_t *index, const int64_t *extent, int first, int n)
{
    for (int i = first + n - 1; i >= first; i--) {
        if (++index[i] < extent[i])
            return i;
        index[i] = 0;
    }
    return -1;
}

static bool is_empty(const int64_t *extent, int first, int n)
{
    for (int i = first; i < first + n; i++)
        if (extent[i] <= 0)
            return true;
    return false;
}

static void set_from(const Program *p, Value *frame, const int64_t *index, int first, int end)
{
    for (int i = first; i < end; i++)
        program_set(p, frame, i, index[i]);
}

/* Runs the program at `index`, of which axis `moved` and later ones are new (-1: all). */
static void run_at(Run *r, const Program *p, Value *frame, const int64_t *index, int moved,
                   int naxes, const Value *state)
{
    set_from(p, frame, index, moved < 0 ? 0 : moved, naxes);
    program_run(&r->o, p, frame, moved + 1, state);
}

static void map_point(Run *r, const Stage *st, Value *frame, const int64_t *index, int moved,
                      Value *out)
{
    const Program *const p = r->stage[st - r->o.s->stage.at].body;
    run_at(r, p, frame, index, moved, st->naxes, NULL);
    for (int k = 0; k < st->nresults; k++)
        out[k] = holds(st, p, frame) ? *root(p, frame, (st->where != 0) + k) : (Value){.w.i = 0};
}

static void reduce_point(Run *r, const Stage *st, Value *init, Value *frame, int64_t *index,
                         int moved, Value *out)
{
    const StageRun *const run = &r->stage[st - r->o.s->stage.at];
    const int all = st->naxes + st->nreduce;
    run_at(r, run->init, init, index, moved, st->naxes, NULL);
    for (int k = 0; k < st->nresults; k++)
        out[k] = *root(run->init, init, k);
    if (is_empty(run->extent, st->naxes, st->nreduce))
        return;
    for (int i = st->naxes; i < all; i++)
        index[i] = 0;
    do {
        run_at(r, run->body, frame, index, moved, all, out);
        if (holds(st, run->body, frame))
            for (int k = 0; k < st->nresults; k++)
                out[k] = *root(run->body, frame, (st->where != 0) + k);
        moved = step(index, run->extent, st->naxes, st->nreduce);
    } while (moved >= 0);
}

/* ---- whole stages ---- */
static void fill_stage(Run *r, int stage)
{
    const Stage *const st = &r->o.s->stage.at[stage];
    const StageRun *const run = &r->stage[stage];
    int64_t index[MAX_AXES] = {0};
    Value out[MAX_RESULTS];
    if (is_empty(run->extent, 0, st->naxes))
        return;
    Value *const frame = program_frame(&r->o, run->body);
    Value *const init = run->init ? program_frame(&r->o, run->init) : NULL;
    int moved = -1;
    int64_t at = 0;
    do {
        if (st->form == STAGE_REDUCE)
            reduce_point(r, st, init, frame, index, moved, out);
        else
            map_point(r, st, frame, index, moved, out);
        for (int k = 0; k < st->nresults; k++)
            store(r, st->result[k], at, out[k]);
        at++;
        moved = step(index, run->extent, 0, st->naxes);
    } while (moved >= 0);
    program_done(run->body, frame);
    if (init)
        program_done(run->init, init);
}

static void scatter_point(Run *r, const Stage *st, Value *frame, const int64_t *index, int moved)
{
    const Program *const p = r->stage[st - r->o.s->stage.at].body;
    const int first = st->where != 0;
    Value old = {.w.i = 0};
    run_at(r, p, frame, index, moved, st->naxes, &old);
    if (!holds(st, p, frame))
        return;
    int64_t target[MAX_RANK];
    for (int i = 0; i < st->nreduce; i++)
        target[i] = root(p, frame, first + i)->w.i;
    const int id = st->result[0];
    const int64_t at = position(&r->tensor[id], st->nreduce, target);
    if (at < 0)
        return;
    old = cell_at(r, id, at)->value;
    program_run(&r->o, p, frame, st->naxes + 1, &old); /* what depends on the old element */
    store(r, id, at, *root(p, frame, first + st->nreduce));
}

static void fill_scatter(Run *r, int stage)
{
    const Stage *const st = &r->o.s->stage.at[stage];
    const StageRun *const run = &r->stage[stage];
    int64_t base[MAX_AXES] = {0};
    int64_t index[MAX_AXES] = {0};
    make_dense(r, st->result[0]);
    Value *const init = program_frame(&r->o, run->init);
    int moved = -1;
    for (int64_t at = 0; at < r->tensor[st->result[0]].count; at++) {
        run_at(r, run->init, init, base, moved, st->nreduce, NULL);
        store(r, st->result[0], at, *root(run->init, init, 0));
        moved = step(base, run->extent + st->naxes, 0, st->nreduce);
    }
    program_done(run->init, init);
    if (!is_empty(run->extent, 0, st->naxes)) {
        Value *const frame = program_frame(&r->o, run->body);
        moved = -1;
        do {
            scatter_point(r, st, frame, index, moved);
            moved = step(index, run->extent, 0, st->naxes);
        } while (moved >= 0);
        program_done(run->body, frame);
    }
    r->tensor[st->result[0]].complete = true;
}

/* ---- on demand ---- */
static Value element(Run *r, int id, int64_t at, const int64_t *index);

/* A SCAN's elements before this one along its axis come first, so that the recursion stays flat. */
static void scan_up_to(Run *r, const Stage *st, const int64_t *index)
{
    const int id = st->result[0];
    const Elements *const e = &r->tensor[id];
    int64_t before[MAX_RANK];
    for (int i = 0; i < st->naxes; i++)
        before[i] = index[i];
    int64_t *const t = &before[st->scan_axis];
    const int64_t end = *t;
    if (end == 0)
        return;
    *t = end - 1;
    if (cell_at(r, id, position(e, st->naxes, before))->known != UNKNOWN)
        return;
    for (*t = 0; *t < end; ++*t)
        element(r, id, position(e, st->naxes, before), before);
}

static void compute_element(Run *r, int id, int64_t at, const int64_t *index)
{
    const int stage = r->o.s->tensor.at[id].stage;
    const Stage *const st = &r->o.s->stage.at[stage];
    const StageRun *const run = &r->stage[stage];
    Value out[MAX_RESULTS];
    int64_t point[MAX_AXES];
    if (st->form == STAGE_SCATTER) {
        fill_scatter(r, stage);
        return;
    }
    if (st->form == STAGE_SCAN)
        scan_up_to(r, st, index);
    const Demand outer = r->demand;
    r->demand = (Demand){.stage = stage, .cycle = run->cycle, .time = INT64_MAX};
    if (st->form == STAGE_SCAN)
        r->demand.time = index[st->scan_axis];
    else if (run->cycle == outer.cycle)
        r->demand.time = outer.time;
    if (st->form == STAGE_SCAN || run->cycle < 0)
        cell_at(r, id, at)->known = IN_PROGRESS;
    for (int i = 0; i < st->naxes; i++)
        point[i] = index[i];
    Value *const frame = program_frame(&r->o, run->body);
    if (st->form == STAGE_REDUCE) {
        Value *const init = program_frame(&r->o, run->init);
        reduce_point(r, st, init, frame, point, -1, out);
        program_done(run->init, init);
    } else {
        map_point(r, st, frame, point, -1, out);
    }
    program_done(run->body, frame);
    r->demand = outer;
    for (int k = 0; k < st->nresults; k++)
        store(r, st->result[k], at, out[k]);
}

static Value element(Run *r, int id, int64_t at, const int64_t *index)
{
    const StageTensor *const t = &r->o.s->tensor.at[id];
    const Elements *const e = &r->tensor[id];
    if (e->given && t->stage < 0)
        return read_given(r, t, e, at, index);
    if (t->stage < 0)
        fail(r->o.s->ctx, ERR_INVALID, "tensor '%s' is read, but not given", t->name);
    if (e->complete)
        return e->dense[at].value;
    const Cell *c = cell_at(r, id, at);
    if (c->known == UNKNOWN) {
        compute_element(r, id, at, index);
        c = cell_at(r, id, at);
    }
    return c->value; /* 0 if in progress: the side of a select that is not taken */
}

static bool is_too_late(const Run *r, int tensor, const int64_t *index)
{
    const int stage = r->o.s->tensor.at[tensor].stage;
    if (r->demand.cycle < 0 || stage < r->demand.stage || r->stage[stage].cycle != r->demand.cycle)
        return false;
    const Stage *const st = &r->o.s->stage.at[stage];
    return st->form == STAGE_SCAN && index[st->scan_axis] >= r->demand.time;
}

static Value load_element(Oracle *o, int tensor, const int64_t *index)
{
    Run *const r = (Run *)o; /* o is its first field */
    const int64_t at = position(&r->tensor[tensor], o->s->tensor.at[tensor].rank, index);
    return at < 0 || is_too_late(r, tensor, index) ? (Value){.w.i = 0}
                                                   : element(r, tensor, at, index);
}

/* ---- cycles of SCANs ---- */
/* The last stage of the cycle that starts at `first`: `first` - 1 if none does. */
static int cycle_end(const Stages *s, int first)
{
    int end = first - 1;
    for (int i = first; i <= (end > first ? end : first); i++) {
        const int producer = last_producer(s, &s->stage.at[i]);
        end = producer > end ? producer : end;
    }
    return end;
}

/* All elements of tensor id, or those with index[axis] == t. */
static void fill_on_demand(Run *r, int id, int axis, int64_t t)
{
    const Elements *const e = &r->tensor[id];
    const int rank = r->o.s->tensor.at[id].rank;
    int64_t index[MAX_RANK] = {0};
    if (e->count == 0 || (axis >= 0 && t >= e->dim[axis]))
        return;
    int64_t dim[MAX_RANK];
    for (int i = 0; i < rank; i++)
        dim[i] = i == axis ? 1 : e->dim[i];
    do {
        if (axis >= 0)
            index[axis] = t;
        element(r, id, position(e, rank, index), index);
        if (axis >= 0)
            index[axis] = 0;
    } while (step(index, dim, 0, rank) >= 0);
}

static void fill_cycle(Run *r, int first, int last)
{
    const Stages *const s = r->o.s;
    int64_t longest = 0;
    for (int i = first; i <= last; i++) {
        const Stage *const st = &s->stage.at[i];
        if (st->form == STAGE_SCAN && r->stage[i].extent[st->scan_axis] > longest)
            longest = r->stage[i].extent[st->scan_axis];
    }
    for (int64_t t = 0; t < longest; t++)
        for (int i = first; i <= last; i++)
            if (s->stage.at[i].form == STAGE_SCAN)
                fill_on_demand(r, s->stage.at[i].result[0], s->stage.at[i].scan_axis, t);
    for (int i = first; i <= last; i++)
        for (int k = 0; k < s->stage.at[i].nresults; k++)
            fill_on_demand(r, s->stage.at[i].result[k], -1, 0);
}

static void mark_complete(Run *r, int stage)
{
    const Stage *const st = &r->o.s->stage.at[stage];
    for (int k = 0; k < st->nresults; k++)
        r->tensor[st->result[k]].complete = true;
}

static void run_all(Run *r)
{
    const Stages *const s = r->o.s;
    for (int i = 0; i < s->stage.len; i++)
        for (int k = 0; k < s->stage.at[i].nresults; k++)
            make_dense(r, s->stage.at[i].result[k]);
    for (int i = 0; i < s->stage.len; i++) {
        const int last = cycle_end(s, i);
        if (s->stage.at[i].form == STAGE_SCATTER)
            fill_scatter(r, i);
        else if (last < i)
            fill_stage(r, i);
        else
            fill_cycle(r, i, last);
        for (; i < last; i++)
            mark_complete(r, i);
        mark_complete(r, i);
    }
}

/* ---- entries ---- */
static void start_tensor(Run *r, int id, Tensor *given)
{
    const Stages *const s = r->o.s;
    const StageTensor *const t = &s->tensor.at[id];
    Elements *const e = &r->tensor[id];
    const bool input = t->role == TENSOR_INPUT || t->role == TENSOR_CONST;
    e->place = intmap_new(r->o.ctx->arena);
    e->given = input || t->role == TENSOR_OUTPUT ? given : NULL;
    e->count = 1;
    for (int i = 0; i < t->rank; i++) {
        e->dim[i] = expr_eval_int(s->x, t->dim[i], r->o.sym);
        e->count *= e->dim[i] > 0 ? e->dim[i] : 0;
        if (e->given && e->given->rank == t->rank && e->given->dim[i] != e->dim[i])
            fail(s->ctx, ERR_INVALID, "tensor '%s': dim %d is %lld, not %lld", t->name, i,
                 (long long)e->given->dim[i], (long long)e->dim[i]);
    }
    if (e->given && (e->given->rank != t->rank || e->given->dtype != t->dtype))
        fail(s->ctx, ERR_INVALID, "tensor '%s' is given as %s of rank %d, not %s of rank %d",
             t->name, dtype_name(e->given->dtype), e->given->rank, dtype_name(t->dtype), t->rank);
}

static void start_stage(Run *r, int i)
{
    const Stages *const s = r->o.s;
    const Stage *const st = &s->stage.at[i];
    StageRun *const run = &r->stage[i];
    const bool scatter = st->form == STAGE_SCATTER;
    const bool reduce = st->form == STAGE_REDUCE;
    for (int k = 0; k < st->naxes + st->nreduce; k++)
        run->extent[k] = expr_eval_int(s->x, st->axis[k].extent, r->o.sym);
    Expr roots[MAX_RANK + MAX_RESULTS + 2];
    int n = 0;
    if (st->where)
        roots[n++] = st->where;
    for (int k = 0; scatter && k < st->nreduce; k++)
        roots[n++] = st->target[k];
    for (int k = 0; k < st->nresults; k++)
        roots[n++] = st->update[k];
    run->body = program_new(&r->o, st->naxes + (reduce ? st->nreduce : 0), st->axis, n, roots);
    if (reduce)
        run->init = program_new(&r->o, st->naxes, st->axis, st->nresults, st->init);
    else if (scatter)
        run->init = program_new(&r->o, st->nreduce, st->axis + st->naxes, 1, st->init);
}

static void start(Run *r, Context *ctx, const Stages *s, const int64_t *sym, Tensor **tensor)
{
    /* Memory of a run is its own: given back at its end, or with the job if it fails. */
    r->arena = arena_child(s->ctx->arena);
    *ctx = *s->ctx;
    ctx->arena = r->arena;
    r->o.ctx = ctx;
    r->o.s = s;
    r->o.sym = sym;
    r->o.load = load_element;
    r->tensor = arena_array_of(ctx->arena, s->tensor.len + 1, Elements);
    r->stage = arena_array_of(ctx->arena, s->stage.len + 1, StageRun);
    for (int i = 0; i < s->tensor.len; i++)
        start_tensor(r, i, tensor[i]);
    r->demand.cycle = -1;
    for (int i = 0; i < s->stage.len; i++) {
        start_stage(r, i);
        r->stage[i].cycle = -1;
    }
    for (int i = 0; i < s->stage.len; i++) {
        const int first = i, last = cycle_end(s, i);
        for (; i <= last; i++)
            r->stage[i].cycle = first;
        i = last > first ? last : first;
    }
}

void oracle_run(const Stages *s, const int64_t *sym, Tensor **tensor)
{
    Run r = {.o.mode = ORACLE_EXACT};
    Context ctx;
    start(&r, &ctx, s, sym, tensor);
    run_all(&r);
    for (int i = 0; i < s->tensor.len; i++)
        if (s->tensor.at[i].role == TENSOR_OUTPUT && r.tensor[i].given)
            write_given(&r, i);
    arena_free(r.arena);
}

void oracle_elements(const Stages *s, const int64_t *sym, Tensor **tensor, OracleMode mode,
                     int which, int64_t n, const int64_t *index, Scalar *value, double *magnitude)
{
    Run r = {.o.mode = mode};
    Context ctx;
    start(&r, &ctx, s, sym, tensor);
    const StageTensor *const t = &s->tensor.at[which];
    const DType c = dtype_compute(t->dtype);
    for (int64_t k = 0; k < n; k++) {
        int64_t at[MAX_RANK];
        assert(index[k] >= 0 && index[k] < r.tensor[which].count);
        coordinates(&r.tensor[which], t->rank, index[k], at);
        const Value v = element(&r, which, index[k], at);
        value[k] = (Scalar){.dtype = c};
        if (dtype_is_float(c))
            value[k].f = v.w.f;
        else
            value[k].i = v.w.i;
        if (magnitude)
            magnitude[k] = v.magnitude;
    }
    arena_free(r.arena);
}
