/* Templates for MAPs and windows. See choose.c for the order of things. */
#include <string.h>

#include "loop/access.h"
#include "record/templates.h"

const char *choice_name(const Choice *c, int stage)
{
    return c->s->tensor.at[c->s->stage.at[stage].result[0]].name;
}

bool choice_has(const Choice *c, int stage)
{
    const StageSchedule *ss = schedule_find(c->sc, choice_name(c, stage));
    return ss && ss->norder > 0; /* one that only has a layout is still to be filled */
}

StageSchedule *choice_entry(Choice *c, int stage)
{
    return schedule_stage(c->sc, c->ctx, choice_name(c, stage));
}

int64_t axis_extent(const Stages *s, const Stage *st, int axis, int64_t missing)
{
    int64_t v;
    return expr_is_int(s->x, st->axis[axis].extent, &v) ? v : missing;
}

int order_add(StageSchedule *ss, int axis, int level)
{
    ss->order[ss->norder] = (LoopRef){.axis = (int8_t)axis, .level = (int8_t)level};
    return ss->norder++;
}

void order_unrolled(StageSchedule *ss, int axis, int level)
{
    ss->unroll |= (uint64_t)1 << order_add(ss, axis, level);
}

void place_at(StageSchedule *ss, const char *stage, LoopRef loop, BufferScope scope)
{
    ss->at_stage = stage;
    ss->at_loop = loop;
    ss->scope = scope;
}

int only_map_reader(const Stages *s, int stage)
{
    int reader = -1;
    return count_readers(s, stage, &reader) == 1 && s->stage.at[reader].form == STAGE_MAP ? reader
                                                                                          : -1;
}

bool is_map_of_rank(const Stages *s, int stage, int rank)
{
    return stage >= 0 && s->stage.at[stage].form == STAGE_MAP && s->stage.at[stage].naxes == rank;
}

int64_t stage_dim(const Stages *s, int stage, int dim)
{
    int64_t n = 0;
    return expr_is_int(s->x, s->tensor.at[s->stage.at[stage].result[0]].dim[dim], &n) ? n : 0;
}

#define WINDOW_ROWS 8   /* most accumulators side by side */
/* .. where the row is of unknown length, or what follows takes many registers beside them .. */
#define HEAVY_ROWS 4
#define HEAVY_COST 20   /* .. which is so many flops a point: an exp */
/* blocks side by side where no axis has neighbours, as in means of images: sums wait */
#define WINDOW_CHAINS 4
#define WINDOW_UNROLL 5 /* window extents up to this are written out */

/* The axis whose neighbours lie side by side in the result's memory. */
static int contiguous_axis(const Stages *s, const Stage *st)
{
    const StageTensor *t = &s->tensor.at[st->result[0]];
    return layout_is_plain(&t->layout) ? st->naxes - 1 : t->layout.dim[t->layout.n - 1].axis;
}

/* Elements of the block that lies innermost; 0: an axis does. */
static int innermost_block(const Layout *l)
{
    return layout_is_plain(l) ? 0 : l->dim[l->n - 1].block;
}

/* Where channels of a pixel lie side by side, loops go through memory only with those of the pixels
 * outside: all vectors of channels of a row (of a pixel, where rows and columns are one axis) are
 * met before the next row. */
static void pixels_first(const Stages *s, const Stage *st, int v, int8_t *order)
{
    const Layout *l = &s->tensor.at[st->result[0]].layout;
    if (v < 0 || v + 1 >= st->naxes || layout_is_plain(l) || l->dim[l->n - 1].block > 0 ||
        l->dim[l->n - 1].axis != v) {
        return;
    }
    /* axes behind v, and how many of them go outside of it */
    const int rest = st->naxes - v - 1, before = rest > 1 ? rest - 1 : 1;
    memmove(&order[v], &order[v + 1], (size_t)before);
    order[v + before] = (int8_t)v;
}

#define BORDERED_ROW 256 /* elements: longer rows are too much code */

/* The axes in order, or, where a MAP is a copy of one array whose pieces lie in another order, as
 * they lie in that: what is read runs through memory, and what is written is a few lines at a time,
 * each of which does. */
static void copy_order(const Stages *s, const Stage *st, int v, int8_t *order)
{
    int64_t stride[MAX_AXES], along;
    const Expr from = st->form == STAGE_MAP && st->nresults == 1 ? st->update[0] : 0;
    bool copies = from && expr_node(s->x, from)->op == EX_LOAD && v >= 0 && v == st->naxes - 1 &&
                  load_stride(s, from, st->axis[v].var, &along) && along == 1;
    for (int a = 0; a < st->naxes; a++) {
        order[a] = (int8_t)a;
        copies = copies && load_stride(s, from, st->axis[a].var, &stride[a]);
    }
    for (int a = 0; copies && a < st->naxes; a++) {
        for (int k = a; k > 0 && stride[order[k]] > stride[order[k - 1]]; k--) {
            const int8_t up = order[k];
            order[k] = order[k - 1];
            order[k - 1] = up;
        }
    }
}

/* The columns of an image's border (pass/halo.c), which read but one element, are written by
 * whoever computes those rows. */
static int share_border(const Choice *c, const Stage *st, int channels, StageSchedule *ss)
{
    const Expr e = st->form == STAGE_MAP && st->nresults == 1 ? st->update[0] : 0;
    const bool reads = !e || expr_node(c->s->x, e)->op != EX_LOAD ||
                       c->s->tensor.at[expr_node(c->s->x, e)->imm.i].rank > 0;
    if (reads || channels < 0 || channels + 2 >= st->naxes) {
        return -1;
    }
    /* about as many columns has the image */
    const double rows = (double)axis_extent(c->s, st, channels + 1, 1);
    const int axis = share_axis_of_window(c, st, channels, rows * rows);
    return axis == channels + 1 && share_halves(c, st, ss, axis) ? axis : -1;
}

/* Vector axis in lanes, the others in parallel, reductions inside. */
void choice_fill_map(const Choice *c, const Stage *st, StageSchedule *ss)
{
    const Stages *s = c->s;
    const int lanes = target_lanes(c->target, 4);
    const int v = st->naxes ? contiguous_axis(s, st) : -1;
    const int64_t extent = v >= 0 ? axis_extent(s, st, v, 1 << 20) : 1;
    const bool vector = v >= 0 && extent > 1 && !(st->form == STAGE_SCAN && v == st->scan_axis);
    const int64_t wide = st->form == STAGE_SCAN ? lanes : 2 * lanes;
    int64_t width = extent < wide ? extent : wide;
    const StageTensor *t = &s->tensor.at[st->result[0]];
    const int block = innermost_block(&t->layout);
    const bool blocked = vector && block > 0;
    const int along = vector && st->form == STAGE_MAP ? load_axis_across(s, st, v) : -1;
    if (blocked) {
        width = block;
    } else if (along >= 0) { /* lines that lie far apart may share a set of L1 */
        width = extent < lanes ? extent : lanes;
    }
    /* A plain row with its border is written out: then only its ends ask where they are. */
    const bool row = v == st->naxes - 1; /* not channels of pixels */
    if (vector && !row && !blocked && width > lanes) {
        width = lanes; /* which others have in blocks of one vector */
    }
    const bool bordered = vector && row && !blocked && along < 0 && st->form == STAGE_MAP &&
                          extent <= BORDERED_ROW && !loads_are_straight(s, st, v);
    if (vector && !bordered) {
        ss->tile[v] = (AxisTile){.n = 1, .factor = {(int32_t)width}, .tail = TAIL_PEEL};
        if (blocked) {
            ss->tile[v].tail = TAIL_GUARD;
        }
    }
    const bool scan = st->form == STAGE_SCAN;
    int8_t order[MAX_AXES];
    copy_order(s, st, v, order);
    pixels_first(s, st, vector ? v : -1, order);
    const int shared = share_border(c, st, v, ss);
    for (int k = 0; k < st->naxes; k++) {
        const int a = order[k];
        const bool last = (along >= 0 && (a == v || a == along)) || (bordered && a == v);
        if (last || (scan && a == st->scan_axis)) {
            continue;
        }
        order_add(ss, a, a == shared);
    }
    /* the lines that the lanes are taken from are used up before others are met */
    if (along >= 0) {
        order_add(ss, v, 0);
        order_add(ss, along, 0);
    }
    ss->nparallel = scan ? 0 : ss->norder;
    if (scan) { /* the ordered axis outside of all that may be read at earlier points */
        memmove(&ss->order[1], &ss->order[0], sizeof(LoopRef) * (size_t)ss->norder);
        ss->order[0] = (LoopRef){.axis = (int8_t)st->scan_axis, .level = 0};
        ss->norder++;
    }
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        order_add(ss, r, 0);
    }
    if (vector) {
        ss->vector = order_add(ss, v, bordered ? 0 : 1);
    }
}

/* A temporary that copies an image (a halo of zeros around it) lies as the image does. */
void choose_layouts(Choice *c)
{
    Stages *s = c->s;
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        StageTensor *t = &s->tensor.at[st->result[0]];
        if (choice_has(c, i) || t->role != TENSOR_TEMP || st->form != STAGE_MAP ||
            !layout_is_plain(&t->layout)) {
            continue;
        }
        for (int k = 0; k < s->tensor.len; k++) {
            const StageTensor *from = &s->tensor.at[k];
            if (from->stage < 0 && from->role == TENSOR_INPUT && from->rank == t->rank &&
                !layout_is_plain(&from->layout) && stage_loads(s, st, k)) {
                StageSchedule *ss = choice_entry(c, i);
                ss->has_layout = true;
                ss->layout = t->layout = from->layout;
                break;
            }
        }
    }
}

void choose_maps(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        const Stage *st = &c->s->stage.at[i];
        if (!choice_has(c, i) && st->form != STAGE_SCATTER) {
            StageSchedule *ss = choice_entry(c, i);
            choice_fill_map(c, st, ss);
            widen_steps(c, st, ss, 1);
        }
    }
}

int choice_epilogue(Choice *c, int stage, int *acc)
{
    int reader = -1;
    Stages *s = c->s;
    const StageTensor *t = &s->tensor.at[s->stage.at[stage].result[0]];
    *acc = stage;
    if (t->role == TENSOR_TEMP && count_readers(s, stage, &reader) == 1 &&
        reads_pointwise(s, reader, stage) && !choice_has(c, reader)) {
        return reader;
    }
    const char *name = t->name;
    *acc = stages_cache_write(s, stage);
    if (*acc < 0) {
        return -1;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_WRITE, .a = name};
    vec_push(c->ctx->arena, &c->sc->step, step);
    return *acc + 1;
}

/* Constants indexed by the vector axis get it innermost, in blocks. */
static void relay_window_weights(Choice *c, const Stage *st, int v, int block)
{
    const Stages *s = c->s;
    for (int t = 0; t < s->tensor.len; t++) {
        const StageTensor *w = &s->tensor.at[t];
        if (w->role != TENSOR_CONST || w->rank < 2 || !stage_loads(s, st, t)) {
            continue;
        }
        const int d = load_dim_of(s, st, t, st->axis[v].var);
        if (d < 0) {
            continue;
        }
        Layout l = {0};
        for (int k = 0; k < w->rank; k++) {
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)k};
        }
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d, .block = block};
        StageSchedule *ws = schedule_stage(c->sc, c->ctx, w->name);
        ws->has_layout = true;
        ws->layout = l;
    }
}

/* How many neighbours run side by side: the more, the fewer loads and the less waiting, but the
 * last ones of a row that is no whole number of tiles are computed twice. Each tile costs about as
 * much as one more neighbour. */
static int window_rows(int64_t extent)
{
    int best = 1;
    int64_t least = INT64_MAX;
    for (int rows = WINDOW_ROWS; rows >= 1; rows--) {
        const int64_t cost = (extent + rows - 1) / rows * (rows + 1);
        if (rows <= extent && cost < least) {
            least = cost;
            best = rows;
        }
    }
    return best;
}

#define LEAST_PARTS 8  /* of a bordered image: fewer are not shared out evenly */
#define SHORT_ROW 20   /* elements: written out, so that none asks whether it is border */

/* The temporary that `acc` alone reads, a copy of an image with its border; -1. */
static int border_of(const Stages *s, int acc)
{
    for (int i = 0; i < acc; i++) {
        const Stage *st = &s->stage.at[i];
        int reader = -1;
        if (st->form == STAGE_MAP && s->tensor.at[st->result[0]].role == TENSOR_TEMP &&
            count_readers(s, i, &reader) == 1 && reader == acc) {
            return i;
        }
    }
    return -1;
}

/* How many of the outermost loops go over parts of the bordered image that are read apart
 * (channels); 0: too few parts. */
static int part_loops(const Stages *s, int acc, int border, const StageSchedule *os)
{
    const Stage *st = &s->stage.at[acc];
    const int tensor = s->stage.at[border].result[0];
    int loops = 0;
    int64_t parts = 1;
    for (; loops < os->norder && os->order[loops].level == 0; loops++) {
        const int a = os->order[loops].axis;
        if (load_dim_of(s, st, tensor, st->axis[a].var) < 0) {
            break;
        }
        const int64_t tile = os->tile[a].n > 0 ? os->tile[a].factor[0] : 1;
        parts *= (axis_extent(s, st, a, 1) + tile - 1) / tile;
    }
    return parts < LEAST_PARTS ? 0 : loops;
}

/* An image with its border is made part by part where it is read: in L1, and no phase of its
 * own. */
static void place_border(Choice *c, int acc, int out, int v)
{
    const Stages *s = c->s;
    const int border = border_of(s, acc);
    const int loops =
        border < 0 ? 0 : part_loops(s, acc, border, schedule_find(c->sc, choice_name(c, out)));
    if (loops == 0) {
        return;
    }
    const int step = border_row_step(s, acc, border, v);
    Schedule tried = {.variant = c->sc->variant, .step = c->sc->step};
    for (int k = 0; k < c->sc->stage.len; k++) {
        vec_push(c->ctx->arena, &tried.stage, c->sc->stage.at[k]);
    }
    const Stage *st = &s->stage.at[border];
    StageSchedule *bs = schedule_stage(&tried, c->ctx, choice_name(c, border));
    choice_fill_map(c, st, bs);
    for (int k = bs->norder - 1; k >= 0; k--) {
        const int axis = bs->order[k].axis;
        if (k != bs->vector && bs->order[k].level == 0 && bs->tile[axis].n == 0) {
            bs->unroll |= (uint64_t)(axis_extent(s, st, axis, SHORT_ROW + 1) <= SHORT_ROW) << k;
            break;
        }
    }
    StageSchedule *os = schedule_stage(&tried, c->ctx, choice_name(c, out));
    os->nparallel = loops;
    bs = schedule_stage(&tried, c->ctx, choice_name(c, border));
    bs->nparallel = 0;
    bs->at_stage = choice_name(c, out);
    bs->at_loop = os->order[loops - 1];
    bs->scope = SCOPE_SCRATCH;
    Str why = {.arena = c->ctx->arena};
    if (schedule_check(&tried, s, c->target, &why) == SCHEDULE_OK) {
        c->sc->stage = tried.stage;
        border_split_phases(c, border, step);
    }
}

/* What takes many registers (an exp) does not run beside many sums, and fewer of them wait for each
 * other: they are kept in L1, and taken from there one by one. Returns the stage that keeps them;
 * -1: not possible. */
static int keep_sums(Choice *c, int *acc, int *out)
{
    const char *name = choice_name(c, *acc);
    const int sums = c->s->stage.at[*acc].naxes > 2 ? stages_cache_write(c->s, *acc) : -1;
    if (sums < 0) {
        return -1;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_WRITE, .a = name};
    vec_push(c->ctx->arena, &c->sc->step, step);
    *acc = sums;
    ++*out;
    return sums + 1;
}

/* Its loops: neighbours side by side, inside the loop of `out`. Returns the loop that the sums are
 * computed in. */
static LoopRef place_sums(Choice *c, int sums, int out, LoopRef loop, int row, int v)
{
    const int naxes = c->s->stage.at[sums].naxes;
    StageSchedule *ss = choice_entry(c, sums);
    place_at(ss, choice_name(c, out), loop, SCOPE_SCRATCH);
    for (int a = 0; a < naxes; a++) {
        if (a != row && a != v) {
            order_add(ss, a, 0);
        }
    }
    const LoopRef last = ss->order[ss->norder - 1];
    order_unrolled(ss, row, 0);
    ss->vector = order_add(ss, v, 0);
    return last;
}

/* A window's accumulators and the stage that they are stored by. */
typedef struct Window {
    int acc, sums, out;   /* stages; sums -1: they stay in registers until `out` takes them */
    /* axes: in lanes, and the one whose neighbours run side by side; -1: none */
    int v, row;
    int width, chains;    /* lanes; blocks of them side by side */
    bool light;           /* what is done with a sum takes few registers */
} Window;

/* How lanes are taken: one vector alone would wait for itself. */
static void window_lanes(Choice *c, Window *w)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[w->acc];
    const int lanes = target_lanes(c->target, 4);
    const bool alone = w->row < 0 && axis_extent(s, st, w->v, 1 << 20) >= 2 * lanes;
    const int block = innermost_block(&s->tensor.at[s->stage.at[w->out].result[0]].layout);
    w->width = block > 0 ? block : (alone ? 2 : 1) * lanes;
    const bool chained = block > 0 && w->row < 0 && point_cost(s, st) < HEAVY_COST;
    const int64_t blocks = chained ? axis_extent(s, st, w->v, 1) / block : 1;
    w->chains = blocks > WINDOW_CHAINS ? WINDOW_CHAINS : blocks > 1 ? (int)blocks : 1;
    relay_window_weights(c, st, w->v, block > 0 ? lanes : w->width);
}

/* The axis whose halves are outermost now; -1: none, or it is outermost as it is. */
static int share_window(Choice *c, const Window *w, const int8_t *order, StageSchedule *os)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[w->out];
    const bool image =
        innermost_block(&s->tensor.at[st->result[0]].layout) > 0 || w->v + 1 < st->naxes;
    int first = 0;
    while (first + 1 < st->naxes && axis_extent(s, st, order[first], 2) == 1) {
        first++;
    }
    double pixels = 1;
    for (int a = 0; a < st->naxes; a++) {
        pixels *= a == w->v ? 1 : (double)axis_extent(s, st, a, 1);
    }
    const int axis =
        image && border_of(s, w->acc) < 0 ? share_axis_of_window(c, st, w->v, pixels) : -1;
    return axis >= 0 && axis != order[first] && share_halves(c, st, os, axis) ? axis : -1;
}

/* The stage that is stored. Returns the innermost of the loops around the neighbours. */
static LoopRef schedule_stored(Choice *c, const Window *w)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[w->acc];
    StageSchedule *os = choice_entry(c, w->out);
    os->tile[w->v] = w->chains > 1
                         ? (AxisTile){.n = 2, .factor = {w->chains, w->width}, .tail = TAIL_PEEL}
                         : (AxisTile){.n = 1, .factor = {w->width}, .tail = TAIL_PEEL};
    if (w->row >= 0) {
        const int64_t extent = axis_extent(s, st, w->row, HEAVY_ROWS);
        const int few = extent < HEAVY_ROWS ? (int)extent : HEAVY_ROWS;
        os->tile[w->row] = (AxisTile){.n = 1, .factor = {w->light ? window_rows(extent) : few},
                                      .tail = w->light ? TAIL_SHIFT : TAIL_PEEL};
    }
    int8_t order[MAX_AXES];
    for (int a = 0; a < st->naxes; a++) {
        order[a] = (int8_t)a;
    }
    pixels_first(s, &s->stage.at[w->out], w->v, order);
    const int shared = share_window(c, w, order, os);
    for (int a = 0; a < st->naxes; a++) {
        order_add(os, order[a], order[a] == shared);
    }
    os->nparallel = os->norder;
    LoopRef innermost = os->order[os->norder - 1];
    const int inside = 1 + (w->row == shared);
    if (w->sums >= 0) {
        order_add(os, w->row, inside);
    } else if (w->row >= 0) {
        order_unrolled(os, w->row, inside);
    }
    if (w->chains > 1) {
        order_unrolled(os, w->v, 1);
    }
    os->vector = order_add(os, w->v, os->tile[w->v].n);
    if (w->light) {
        double taps = 1;
        for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
            taps *= (double)axis_extent(s, st, r, 1);
        }
        const bool whole = os->tile[innermost.axis].n == 0;
        widen_steps(c, &s->stage.at[w->out], os, taps / 2);
        innermost.level += whole && os->tile[innermost.axis].n > 0;
    }
    return innermost;
}

/* The accumulators, in registers. */
static void schedule_window(Choice *c, const Window *w, LoopRef inside)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[w->acc];
    StageSchedule *as = choice_entry(c, w->acc);
    place_at(as, choice_name(c, w->sums >= 0 ? w->sums : w->out), inside, SCOPE_REG);
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        const int pos = order_add(as, r, 0);
        if (axis_extent(s, st, r, 100) <= WINDOW_UNROLL) {
            as->unroll |= (uint64_t)1 << pos;
        }
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != w->v) {
            order_unrolled(as, a, 0);
        }
    }
    if (w->chains > 1) {
        as->tile[w->v] = (AxisTile){.n = 1, .factor = {w->width}, .tail = TAIL_PEEL};
        order_unrolled(as, w->v, 0);
    }
    as->vector = order_add(as, w->v, as->tile[w->v].n);
}

static void choose_window(Choice *c, int stage)
{
    const Stages *s = c->s;
    Window w = {.sums = -1, .row = -1};
    w.out = choice_epilogue(c, stage, &w.acc);
    if (w.out < 0) {
        return;
    }
    w.v = contiguous_axis(s, &s->stage.at[w.out]);
    const Stage *st = &s->stage.at[w.acc];
    for (int a = 0; a < st->naxes; a++) {
        w.row = a != w.v && axis_extent(s, st, a, 4) > 1 ? a : w.row;
    }
    const bool known = w.row >= 0 && axis_extent(s, st, w.row, 0) > 0;
    if (known && point_cost(s, &s->stage.at[w.out]) >= HEAVY_COST) {
        w.sums = keep_sums(c, &w.acc, &w.out);
    }
    w.light = known && (w.sums >= 0 || point_cost(s, &s->stage.at[w.out]) < HEAVY_COST);
    window_lanes(c, &w);
    const LoopRef innermost = schedule_stored(c, &w);
    const LoopRef inside =
        w.sums >= 0 ? place_sums(c, w.sums, w.out, innermost, w.row, w.v) : innermost;
    schedule_window(c, &w, inside);
    if (w.light) {
        place_border(c, w.acc, w.out, w.v);
    }
    c->source = "window";
}

/* Reductions over windows (depthwise convolution, pooling): the vector axis is the contiguous one,
 * a few neighbours of another axis run side by side, and all partial results stay in registers. */
void choose_windows(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        const Stage *st = &c->s->stage.at[i];
        if (!choice_has(c, i) && st->form == STAGE_REDUCE && st->naxes > 0 && st->nresults == 1) {
            choose_window(c, i);
        }
    }
}
