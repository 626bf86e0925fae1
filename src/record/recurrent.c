/* Recurrences: scans that earlier stages read (an RNN's h), and what they are computed from.
 *
 * The ordered axis goes in steps; each step is a parallel loop over tiles of the last axis:
 *
 *     h:       steps s; parallel (directions, batch, tiles of j)     or steps directions s
 *     before:  at h.j0, in scratch                     the state that the products read
 *     gates:   at h.j0, in registers                   all gates of the tile: G x nv accumulators,
 *                                                      one broadcast of `before` a step of k for all of them
 *     c:       at h.j0                                 its history is kept, as h's is
 *
 * or, where the state is rounded to what tiles multiply, gates on tiles of one row, in scratch.
 *
 * so a step is one pass over the weights, which lie in panels of a tile's width; a thread meets
 * the same tiles in each step, and what it reads of the weights stays in its cache. What all of
 * a step's tiles need complete, and is a product itself (the reset state of a GRU), is a phase
 * of its own before. */
#include <string.h>

#include "loop/access.h"
#include "loop/intrinsic.h"
#include "record/templates.h"

typedef struct Cycle {
    Choice *c;
    int first, sink;  /* stages [first, sink] */
    /* of [first, sink]: the stage inside whose phase it is computed; itself: its own */
    int *phase;
    bool *product;    /* depends on a product of the same step */
    bool tiles;       /* its products are of tiles of the target */
} Cycle;

static bool is_member(const Cycle *y, int i)
{
    return i >= y->first && i <= y->sink;
}

static const Stage *stage_at(const Cycle *y, int i)
{
    return &y->c->s->stage.at[i];
}

static bool loads(const Cycle *y, int reader, int stage)
{
    return reader != stage &&
           stage_loads(y->c->s, stage_at(y, reader), stage_at(y, stage)->result[0]);
}

/* Does a product read it along its reduction axis? */
static bool feeds_product(const Cycle *y, int stage, int *reader)
{
    Contraction k;
    for (int i = stage + 1; i <= y->sink; i++) {
        if (loads(y, i, stage) && contraction_of(y->c->s, i, &k) &&
            k.a_tensor == stage_at(y, stage)->result[0]) {
            *reader = i;
            return true;
        }
    }
    return false;
}

static bool read_outside(const Cycle *y, int stage)
{
    for (int i = 0; i < y->c->s->stage.len; i++) {
        if (!is_member(y, i) && loads(y, i, stage)) {
            return true;
        }
    }
    return false;
}

/* The phase that member i is computed in: that of its readers if they have one in common. */
static int phase_of(const Cycle *y, int i)
{
    const Stage *st = stage_at(y, i);
    int phase = -1;
    for (int r = i + 1; r <= y->sink; r++) {
        if (loads(y, r, i)) {
            const int of = y->phase[r];
            if (phase >= 0 && phase != of) {
                return i;
            }
            phase = of;
        }
    }
    Contraction k;
    int reader;
    const bool tile = st->naxes > 0 && st->naxes >= stage_at(y, y->sink)->naxes;
    if (phase < 0 || !tile || (st->form == STAGE_REDUCE && !contraction_of(y->c->s, i, &k)) ||
        (st->form == STAGE_REDUCE && read_outside(y, i)) ||
        (st->form == STAGE_MAP && read_outside(y, i))) {
        return i;
    }
    return feeds_product(y, i, &reader) && y->product[i] ? i : phase;
}

/* Rows of one product at a point of the sink: how many accumulators a vector of the tile needs. */
static int64_t gates_in(const Cycle *y, int phase)
{
    int64_t gates = 0;
    const int rank = stage_at(y, y->sink)->naxes;
    for (int i = y->first; i < y->sink; i++) {
        const Stage *st = stage_at(y, i);
        if (st->form != STAGE_REDUCE || y->phase[i] != phase) {
            continue;
        }
        int64_t own = 1;
        for (int a = rank - 1; a < st->naxes - 1; a++) {
            own *= axis_extent(y->c->s, st, a, 64);
        }
        gates = own > gates ? own : gates;
    }
    return gates;
}

/* Width of a phase's tiles: as many vectors as leave all accumulators in registers and divide the
 * extent. */
static int tile_width(const Cycle *y, int phase)
{
    const Stage *st = stage_at(y, phase);
    const int lanes = target_lanes(y->c->target, 4);
    const int64_t extent = axis_extent(y->c->s, st, st->naxes - 1, 0);
    const int64_t gates = gates_in(y, phase);
    if (y->tiles && gates > 0) {
        int columns = TILE_ROWS;
        while (gates * 2 * columns <= TILE_SUMS * TILE_ROWS && extent % (2 * columns) == 0) {
            columns *= 2;
        }
        return columns;
    }
    for (int nv = 8; nv > 1; nv /= 2) {
        if (gates * nv <= y->c->target->vector_regs - 4 && extent % (nv * lanes) == 0) {
            return nv * lanes;
        }
    }
    return lanes;
}

static void place(const Cycle *y, int i, StageSchedule *ss, LoopRef loop, BufferScope scope)
{
    ss->at_stage = choice_name(y->c, y->phase[i]);
    ss->at_loop = loop;
    ss->scope = scope;
}

/* Axes (bits) of the sink that have weights of their own: directions. Where these are many,
 * directions go one after the other, so that a thread's share of one stays in its cache from step
 * to step (and all of it in the last cache). */
static uint32_t outer_axes(const Cycle *y)
{
    const Stages *s = y->c->s;
    const int rank = stage_at(y, y->sink)->naxes;
    uint32_t axes = 0;
    int64_t bytes = 0;
    for (int i = y->first; i < y->sink; i++) {
        const Stage *st = stage_at(y, i);
        Contraction k;
        if (!contraction_of(s, i, &k) || s->tensor.at[k.b_tensor].role != TENSOR_CONST) {
            continue;
        }
        int64_t own = 4;
        for (int a = 0; a < st->naxes + st->nreduce; a++) {
            own *= k.in_b >> a & 1 ? axis_extent(s, st, a, 1) : 1;
        }
        bytes += own;
        axes |= k.in_a & k.in_b & (((uint32_t)1 << (rank - 1)) - 2);
    }
    return bytes > y->c->target->l2 / 2 ? axes : 0;
}

/* order: all domain axes (those of `outer` first), the last in lanes; with `width`, in tiles of it,
 * the loops outside in parallel. */
static void domain_order(const Stage *st, StageSchedule *ss, uint32_t outer, int width)
{
    const int last = st->naxes - 1;
    for (int a = 0; a < st->naxes; a++) {
        if (outer >> a & 1) {
            order_add(ss, a, 0);
            ss->nsteps += ss->nsteps > 0;
        }
    }
    for (int a = 0; a < st->naxes; a++) {
        if (outer >> a & 1) {
            continue;
        }
        const int pos = order_add(ss, a, 0);
        if (a == last && !width) {
            ss->vector = pos;
        }
    }
    if (width) {
        ss->tile[last] = (AxisTile){.n = 1, .factor = {width}, .tail = TAIL_PEEL};
        ss->nparallel = ss->norder - ss->nsteps;
        ss->vector = order_add(ss, last, 1);
    }
}

/* The dim of the weights that the tile's axis runs along goes innermost, in blocks of a tile. */
static void panels(const Cycle *y, const Contraction *k, int width)
{
    const Stages *s = y->c->s;
    const Stage *st = stage_at(y, k->stage);
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    const Expr axis = st->axis[st->naxes - 1].var;
    int along = -1;
    for (int d = 0; d < b->rank; d++) {
        if (expr_uses_var(s->x, expr_arg(s->x, k->b, d), (int)expr_node(s->x, axis)->imm.i)) {
            along = d;
        }
    }
    if (b->role != TENSOR_CONST || along < 0) {
        return;
    }
    /* or rows of gates share blocks */
    const bool whole = axis_extent(s, st, st->naxes - 1, 1) % width == 0;
    Layout l = {0};
    for (int d = 0; d < b->rank; d++) {
        if (whole || d != along) {
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d};
        }
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)along, .block = whole ? width : 0};
    StageSchedule *bs = schedule_stage(y->c->sc, y->c->ctx, b->name);
    bs->has_layout = true;
    bs->layout = l;
}

static void choose_product(const Cycle *y, const Contraction *k, StageSchedule *ss, LoopRef loop,
                           int width)
{
    const Stage *st = stage_at(y, k->stage);
    if (y->tiles && choose_tiles_inside(y->c, k)) {
        place(y, k->stage, choice_entry(y->c, k->stage), loop, SCOPE_SCRATCH);
        return;
    }
    place(y, k->stage, ss, loop, SCOPE_REG);
    const int r = st->naxes;
    const bool tiled = axis_extent(y->c->s, st, r, 0) >= 4;
    if (tiled) {
        ss->tile[r] = (AxisTile){.n = 1, .factor = {4}, .tail = TAIL_PEEL};
    }
    for (int a = r; a < r + st->nreduce; a++) {
        order_add(ss, a, 0);
    }
    if (tiled) {
        ss->unroll |= (uint64_t)1 << order_add(ss, r, 1);
    }
    for (int a = 0; a < st->naxes; a++) {
        const int pos = order_add(ss, a, 0);
        if (a < st->naxes - 1) {
            ss->unroll |= (uint64_t)1 << pos;
        } else {
            ss->vector = pos;
        }
    }
    panels(y, k, width);
}

static void choose_member(const Cycle *y, int i)
{
    Choice *c = y->c;
    const Stage *st = stage_at(y, i);
    StageSchedule *ss = choice_entry(c, i);
    const int phase = y->phase[i];
    const int last = stage_at(y, y->sink)->naxes - 1;
    if (phase == i) {
        ss->nsteps = i == y->sink;
        if (st->form == STAGE_REDUCE) {
            choice_fill_map(c, st, ss);
        } else {
            domain_order(st, ss, i == y->sink ? outer_axes(y) : 0, tile_width(y, i));
        }
        if (i != y->sink) {
            ss->at_stage = choice_name(c, y->sink);
            ss->at_loop = (LoopRef){.axis = (int8_t)stage_at(y, y->sink)->scan_axis};
            ss->scope = SCOPE_ARG;
        }
        return;
    }
    const LoopRef loop = {.axis = (int8_t)last};
    Contraction k;
    int reader;
    if (st->form == STAGE_REDUCE && contraction_of(c->s, i, &k)) {
        choose_product(y, &k, ss, loop, tile_width(y, phase));
    } else if (feeds_product(y, i, &reader)) { /* all of its last axis, of constant extent */
        place(y, i, ss, loop, SCOPE_SCRATCH);
        domain_order(st, ss, 0, 2 * target_lanes(c->target, 4));
        ss->nparallel = 0;
    } else {
        place(y, i, ss, loop, st->form == STAGE_SCAN ? SCOPE_ARG : SCOPE_REG);
        domain_order(st, ss, 0, 0);
    }
}

/* Can the cycle be computed so? The ordered axis is the first, the members lie along it. */
static bool fits(const Cycle *y)
{
    const Stage *sink = stage_at(y, y->sink);
    if (sink->scan_axis != 0 || sink->naxes < 2) {
        return false;
    }
    for (int i = y->first; i <= y->sink; i++) {
        const Stage *st = stage_at(y, i);
        if (st->form == STAGE_SCATTER || st->naxes < sink->naxes || st->nresults > 1 || st->where ||
            st->axis[0].extent != sink->axis[0].extent ||
            axis_extent(y->c->s, st, st->naxes - 1, 0) < 1) {
            return false;
        }
    }
    return true;
}

/* Do tiles of the target multiply what its products read? */
static bool fits_tiles(const Cycle *y)
{
    Contraction k;
    const Stage *sink = stage_at(y, y->sink);
    bool any = false, all = axis_extent(y->c->s, sink, sink->naxes - 1, 0) % TILE_ROWS == 0;
    for (int i = y->first; i < y->sink && all; i++) {
        if (contraction_of(y->c->s, i, &k) && y->phase[i] != i) {
            any = true;
            all = gates_in(y, y->phase[i]) <= TILE_SUMS && tiles_fit_inside(y->c, &k);
        }
    }
    return any && all;
}

static void choose_cycle(Cycle *y)
{
    const int n = y->sink + 1;
    y->phase = arena_array_of(y->c->ctx->arena, n, int);
    y->product = arena_array_of(y->c->ctx->arena, n, bool);
    for (int i = y->first; i <= y->sink; i++) {
        Contraction k;
        y->product[i] = contraction_of(y->c->s, i, &k);
        for (int j = y->first; j < i; j++) {
            y->product[i] |= y->product[j] && loads(y, i, j);
        }
    }
    for (int i = y->sink; i >= y->first; i--) {
        y->phase[i] = i == y->sink ? i : phase_of(y, i);
    }
    y->tiles = fits_tiles(y);
    for (int i = y->first; i <= y->sink; i++) {
        choose_member(y, i);
    }
    y->c->source = "recurrent";
}

/* Members run inside the ordered loop of the cycle's last stage, one after the other. */
static void choose_serial(const Cycle *y)
{
    Choice *c = y->c;
    for (int j = y->first; j <= y->sink; j++) {
        StageSchedule *in = choice_entry(c, j);
        if (in->norder == 0) {
            choice_fill_map(c, stage_at(y, j), in);
        }
        if (j < y->sink) {
            in->nparallel = 0;
            in->at_stage = choice_name(c, y->sink);
            in->at_loop = (LoopRef){.axis = (int8_t)stage_at(y, y->sink)->scan_axis};
            in->scope = SCOPE_ARG;
        }
    }
}

void choose_scans(Choice *c)
{
    const Stages *s = c->s;
    for (int i = s->stage.len - 1; i >= 0; i--) {
        if (s->stage.at[i].form != STAGE_SCAN || choice_has(c, i)) {
            continue;
        }
        Cycle y = {.c = c, .first = i, .sink = i};
        for (int j = 0; j < i; j++) {
            if (loads(&y, j, i)) {
                y.first = j;
                break;
            }
        }
        if (y.first < i && fits(&y)) {
            choose_cycle(&y);
        } else {
            choose_serial(&y);
        }
    }
}
