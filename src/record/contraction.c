/* The contraction template: GEMM, batched GEMM, 1x1 and direct convolution in one.
 *
 *     acc[rows, n] += A[rows, k] * B[k, n]
 *
 * n, the vector axis, is used by B only; rows are axes used by A only. A register tile of
 * (row tile) x (nv vectors) accumulators stays in registers through the whole reduction, fed by
 * nv vector loads of B and one broadcast of A per row:
 *
 *     out: parallel (batch, rows.0, n.0), register tile inside
 *     acc: at the innermost outer loop, scope reg, order k.. rows n; rows unrolled, n in lanes
 *
 * Where the target has an instruction for the types (bf16 pairs: loop/intrinsic.h) and A lies along
 * k, groups of k are its: `dot` innermost, and B's panels have the groups innermost.
 *
 * How large a tile is: product_tile.c; in which order: product_order.c; long sums: sum_parts.c.
 * B lies in panels of one tile width, so that its loads are contiguous and aligned: panels.c. */

#include "loop/access.h"
#include "loop/intrinsic.h"
#include "record/templates.h"

#define SUM_UNROLL 4   /* points of the sum that are written out */
#define LEAST_USE 0.8  /* of lanes */
#define SHORT_REDUCTION 128 /* points: storing a tile column by column takes longer */

/* Neighbours in A that a vector instruction of the target multiplies and sums at once
 * (loop/intrinsic.h). 1: none. */
static int dot_group(const Choice *c, const Contraction *k, int block)
{
    const int row = schedule_dot_row(c->s, &c->s->stage.at[k->stage], c->target);
    const int group = row < 0 ? 1 : intrinsic_row(row)->group;
    return contraction_groups(c->s, k, block, group) ? group : 1;
}

/* FMAs, which hide the loop: half as many steps are written out, where each of several tiles has
 * them */
#define LARGE_STEP 16

/* that are written out of a block of the sum: more hide the loop no better, and take a compile
 * longer (AVX-512: blocks of 16 by tiles of 20) */
#define BLOCK_FMAS 64

/* Of a block of the sum, steps that are written out. */
static int block_steps(int block, int fmas)
{
    int steps = block;
    while (steps % 2 == 0 && steps / 2 * fmas >= BLOCK_FMAS) {
        steps /= 2;
    }
    return steps;
}

/* The first reduction axis in tiles: its blocks, what is written out, and groups for the
 * instruction. `fmas` are those of a step. */
static AxisTile tile_sum(int64_t extent, SumBlocks k, int steps, int fmas)
{
    const int block = k.block > k.group ? k.block / k.group : 0;
    const int factor = block ? block_steps(block, fmas) : steps;
    AxisTile t = {.tail = TAIL_PEEL};
    if (factor < block) {
        t.factor[t.n++] = block / factor;
    }
    if (extent == 0 || extent >= (block ? block : factor) * k.group) {
        t.factor[t.n++] = factor;
    }
    if (k.group > 1) {
        t.factor[t.n++] = k.group;
    }
    return t.n ? t : (AxisTile){0};
}

/* How many row tiles meet a panel before the next one's turn? 0: not known. */
static int64_t tiles_of_panel(const Stages *s, const Contraction *k, ProductTile tile,
                              const int *row_axis)
{
    const Stage *st = &s->stage.at[k->stage];
    int64_t tiles = 1;
    for (int a = 0; a < st->naxes; a++) {
        if (k->row_axes >> a & 1) {
            const int rows = a == row_axis[0] ? tile.rows[0] : a == row_axis[1] ? tile.rows[1] : 1;
            tiles *= (axis_extent(s, st, a, 0) + rows - 1) / rows;
        }
    }
    return tiles;
}

static int first_rows(const Stages *s, const Stage *st, const Contraction *k)
{
    int a = 0;
    while (a < st->naxes - 1 && (!(k->row_axes >> a & 1) || axis_extent(s, st, a, 2) == 1)) {
        a++;
    }
    return a;
}

/* Bytes of the image that is read and of the one that is made. */
static double image_bytes(const Choice *c, const Contraction *k, int out)
{
    const Stage *st = &c->s->stage.at[out];
    double made = dtype_size(c->s->tensor.at[st->result[0]].dtype);
    for (int a = 0; a < st->naxes; a++) {
        made *= (double)axis_extent(c->s, st, a, 1);
    }
    return contraction_a_bytes(c->s, k) + made;
}

/* Axes of B alone beside its columns, as the phases of a transposed convolution: outside of all
 * else each reads the image again and writes every second pixel of the result. Images beyond L2 are
 * read and written once, if the weights of all phases stay in it. */
typedef struct Phases {
    uint32_t axes;
    int64_t points;
} Phases;

static Phases inner_phases(const Choice *c, const Contraction *k, double image)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    Phases p = {.points = 1};
    for (int a = 0; a < st->naxes; a++) {
        if (k->in_b & ~k->in_a & (uint32_t)1 << a && a != k->vector_axis) {
            p.axes |= (uint32_t)1 << a;
            p.points *= axis_extent(s, st, a, 4096);
        }
    }
    const int64_t weights = contraction_b_bytes(s, k, target_lanes(c->target, 4)) * p.points;
    const bool far = image > (double)c->target->l2;
    return far && weights <= c->target->l2 / 4 ? p : (Phases){.points = 1};
}

#define LEAST_ROWS_OF_PHASES 4 /* for FMAs enough side by side, and each load of weights */

/* Rows of a tile of one vector, so that the sums of all phases fit the registers: then what is read
 * of the image serves all. */
static int rows_of_phases(const Target *t, Phases p)
{
    return (int)((t->vector_regs - 1 - p.points) / p.points);
}

static void order_axes(StageSchedule *os, const Stage *st, uint32_t axes)
{
    for (int a = 0; a < st->naxes; a++) {
        if (axes >> a & 1) {
            order_add(os, a, 0);
        }
    }
}

/* Loops outside of all else. */
typedef struct OuterRows {
    int block;  /* tiles of a block of rows; 0: there are none */
    int shared; /* the axis in halves (share.c); -1: none */
    Phases phases; /* inside of rows and columns */
} OuterRows;

static void schedule_tile(Choice *c, const Contraction *k, int acc, int out, ProductTile tile,
                          const int *row_axis, SumBlocks blocks, OuterRows rows)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[acc];
    const int v = k->vector_axis;
    const int width = tile.vectors * target_lanes(c->target, 4), panel = contraction_panel(c, tile);
    const bool apart = panel < width;
    StageSchedule *os = choice_entry(c, out);
    os->tile[v] = apart ? (AxisTile){.n = 2, .factor = {tile.streams, panel}, .tail = TAIL_PEEL}
                        : (AxisTile){.n = 1, .factor = {width}, .tail = TAIL_PEEL};
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0) {
            const Expr extent = st->axis[row_axis[r]].extent;
            os->tile[row_axis[r]] = product_rows(c->target, tile.rows[r], tile.vectors,
                                                 expr_low(s->x, extent), expr_high(s->x, extent),
                                                 s->tensor.at[k->b_tensor].role == TENSOR_CONST);
        }
    }
    const int block = rows.block;
    const uint32_t phases = rows.phases.axes;
    const uint32_t domain = ((uint32_t)1 << st->naxes) - 1;
    order_axes(os, st, domain & ~phases & ~k->row_axes & ~((uint32_t)1 << v));
    const bool rows_first = contraction_rows_collide(c->target, s, k, tile) ||
                            contraction_rows_first(c, k, tile, row_axis);
    const bool outermost = rows_first || axis_extent(s, st, v, width + 1) <= width;
    const bool again = outermost && rows.shared == first_rows(s, st, k); /* shared out as it is */
    const int shared =
        rows.shared >= 0 && !again && share_halves(c, st, os, rows.shared) ? rows.shared : -1;
    if (block > 0) {
        os->tile[row_axis[1]] =
            (AxisTile){.n = 2, .factor = {block, tile.rows[1]}, .tail = TAIL_PEEL};
        order_add(os, row_axis[1], 0);
        order_add(os, v, 0);
        order_add(os, row_axis[1], 1);
    }
    for (int pass = 0; pass < 2 && block == 0; pass++) {
        if ((pass == 0) == rows_first) {
            for (int a = 0; a < st->naxes; a++) {
                if (k->row_axes >> a & 1) {
                    order_add(os, a, a == shared);
                }
            }
        } else {
            order_add(os, v, 0);
        }
    }
    const bool in_tile = tile.vectors == 1 &&
                         tile.rows[0] * tile.rows[1] <= rows_of_phases(c->target, rows.phases);
    if (!in_tile) {
        order_axes(os, st, phases);
    }
    os->nparallel = os->norder;
    const LoopRef innermost = os->order[os->norder - 1];
    if (in_tile) {
        const int first = os->norder;
        order_axes(os, st, phases);
        for (int o = first; o < os->norder; o++) {
            os->unroll |= (uint64_t)1 << o;
        }
    }
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0) {
            const bool twice = row_axis[r] == shared || (r == 1 && block > 0);
            os->unroll |= (uint64_t)1 << order_add(os, row_axis[r], 1 + twice);
        }
    }
    if (apart) {
        os->unroll |= (uint64_t)1 << order_add(os, v, 1);
    }
    os->vector = order_add(os, v, 1 + apart);

    const char *out_name = choice_name(c, out);
    StageSchedule *as = choice_entry(c, acc);
    as->at_stage = out_name;
    as->at_loop = innermost;
    as->scope = SCOPE_REG;
    const int64_t tiles = block > 0 ? block : tiles_of_panel(s, k, tile, row_axis);
    const bool lies = block > 0 || s->tensor.at[k->b_tensor].role == TENSOR_CONST;
    /* are fast enough; an open count of tiles may be large */
    const bool streams = apart && tiles > 0;
    if (!rows_first && !phases && !streams && tiles != 1 && tiles <= AHEAD_TILES && lies) {
        as->ahead = s->tensor.at[k->b_tensor].name;
        as->ahead_loop = (LoopRef){.axis = (int8_t)v};
    }
    int unrolled = 0; /* levels of the first reduction axis */
    if (st->nreduce > 0) {
        const bool several = row_axis[1] >= 0 && os->tile[row_axis[1]].nother > 0;
        const int steps =
            several && tile.rows[1] * tile.vectors >= LARGE_STEP ? SUM_UNROLL / 2 : SUM_UNROLL;
        as->tile[st->naxes] = tile_sum(axis_extent(s, st, st->naxes, 0), blocks, steps,
                                       tile.rows[0] * tile.rows[1] * tile.vectors);
        unrolled = as->tile[st->naxes].n - (blocks.group > 1);
    }
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        order_add(as, r, 0);
    }
    for (int level = 1; level < unrolled; level++) {
        order_add(as, st->naxes, level);
    }
    if (unrolled) {
        as->unroll |= (uint64_t)1 << order_add(as, st->naxes, unrolled);
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != v) {
            as->unroll |= (uint64_t)1 << order_add(as, a, 0);
        }
    }
    if (apart) {
        as->tile[v] = (AxisTile){.n = 1, .factor = {panel}, .tail = TAIL_PEEL};
        as->unroll |= (uint64_t)1 << order_add(as, v, 0);
    }
    as->vector = order_add(as, v, apart);
    if (blocks.group > 1) {
        order_add(as, st->naxes, unrolled + 1);
        as->ndot = 1;
    }
}
/* Points of the reduction; symbolic extents count as large. */
static int64_t reduction_points(const Stages *s, const Stage *st)
{
    int64_t points = 1;
    for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
        points *= axis_extent(s, st, a, 4096);
    }
    return points;
}

Contraction contraction_swap(const Stages *s, const Contraction *k, int row)
{
    const uint32_t domain = ((uint32_t)1 << s->stage.at[k->stage].naxes) - 1;
    return (Contraction){.stage = k->stage,
                         .a = k->b,
                         .b = k->a,
                         .a_tensor = k->b_tensor,
                         .b_tensor = k->a_tensor,
                         .in_a = k->in_b,
                         .in_b = k->in_a,
                         .vector_axis = row,
                         .row_axes = k->in_b & ~k->in_a & domain};
}

/* Do so many fill vectors well enough? Where masks cost nothing the last one may idle in part, else
 * it is taken in pieces. */
static bool fills_lanes(const Target *t, int64_t extent)
{
    const int lanes = target_lanes(t, 4);
    const int64_t vectors = (extent + lanes - 1) / lanes;
    return extent >= 2 * lanes || (t->masks && extent >= vectors * lanes * LEAST_USE);
}

/* Which side goes in lanes? Constants can be laid out for it; but where the result's rows lie side
 * by side, and A's, as in plain images, columns in lanes are stored one by one. After a short
 * reduction that is most of the time, and columns that do not fill the lanes waste more: then A's
 * rows go in lanes. */
static Contraction choose_lanes(const Choice *c, const Contraction *k)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int lanes = target_lanes(c->target, 4);
    int reader = -1;
    const bool alone =
        count_readers(s, k->stage, &reader) != 1 || !reads_pointwise(s, reader, k->stage);
    const StageTensor *out = &s->tensor.at[alone ? st->result[0] : s->stage.at[reader].result[0]];
    const int64_t width = axis_extent(s, st, k->vector_axis, lanes);
    int row = -1;
    for (int a = k->vector_axis + 1; a < st->naxes; a++) {
        int64_t stride;
        if (k->row_axes >> a & 1 && load_stride(s, k->a, st->axis[a].var, &stride) && stride == 1) {
            row = a;
        }
    }
    const bool pays = width < lanes || reduction_points(s, st) <= SHORT_REDUCTION;
    return row >= 0 && pays && s->tensor.at[k->b_tensor].role == TENSOR_CONST &&
                   layout_is_plain(&out->layout) &&
                   fills_lanes(c->target, axis_extent(s, st, row, 4096))
               ? contraction_swap(s, k, row)
               : *k;
}

/* that meet a panel, or one tile of them: reading it is most of their time; more do better if it
 * is fetched ahead */
#define FEW_ROWS 7
/* beside which one that is no whole vector, and then read lane by lane, does not count */
#define MANY_PANELS 128

/* B is read at the speed of what it lies in, and from beyond L2 several streams side by side are
 * faster than one. Measured, constants in memory: 20 GB/s, in 2 streams 26, in 4 28; in a part of
 * L3: 28, 34, 40. Where rows are open, B lies for the fewest; many lose nothing by it. */
static bool pays_to_stream(const Choice *c, const Contraction *k, ProductTile tile)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    int64_t rows = 1;
    for (int a = 0; a < st->naxes; a++) {
        const int64_t low = expr_low(s->x, st->axis[a].extent);
        rows *= a == k->vector_axis || low < 1 ? 1 : low;
    }
    const int lanes = target_lanes(c->target, 4), width = tile.vectors * lanes;
    const int64_t columns = axis_extent(s, st, k->vector_axis, 0);
    const bool few = rows <= FEW_ROWS || rows <= tile.rows[0] * tile.rows[1];
    return few && columns > 0 && (columns % lanes == 0 || columns >= MANY_PANELS * lanes) &&
           s->tensor.at[k->b_tensor].role == TENSOR_CONST &&
           contraction_b_bytes(s, k, width) > c->target->l2;
}

/* Where each panel of a copied B meets all rows before the next one's turn, it is copied then: it
 * stays in L1 or L2, and is no phase of its own. `copy` is the stage that makes the panels. */
static void place_panels(Choice *c, const char *copy, int out, const Contraction *k)
{
    const Stages *s = c->s;
    const StageSchedule *os = schedule_find(c->sc, choice_name(c, out));
    const Stage *st = &s->stage.at[out];
    int loops = 0;
    int64_t parts = 1;
    while (loops < os->nparallel && !(k->row_axes >> os->order[loops].axis & 1)) {
        const int a = os->order[loops++].axis;
        const int64_t tile = os->tile[a].n > 0 ? os->tile[a].factor[0] : 1;
        parts *= (axis_extent(s, st, a, 1) + tile - 1) / tile;
    }
    if (loops == 0 || os->order[loops - 1].axis != k->vector_axis || parts < LEAST_PANELS) {
        return;
    }
    Schedule tried = {.variant = c->sc->variant, .step = c->sc->step};
    for (int i = 0; i < c->sc->stage.len; i++) {
        vec_push(c->ctx->arena, &tried.stage, c->sc->stage.at[i]);
    }
    const int t = stages_find_tensor(s, copy);
    StageSchedule *bs = schedule_stage(&tried, c->ctx, copy);
    choice_fill_map(c, &s->stage.at[s->tensor.at[t].stage], bs);
    bs->nparallel = 0;
    place_at(bs, choice_name(c, out), os->order[loops - 1], SCOPE_SCRATCH);
    schedule_stage(&tried, c->ctx, choice_name(c, out))->nparallel = loops;
    Str why = {.arena = c->ctx->arena};
    if (schedule_check(&tried, s, c->target, &why) == SCHEDULE_OK) {
        c->sc->stage = tried.stage;
    }
}

/* Taps that lie in the border are left out, where the loops outside of the tile say which do. */
static void trim_sums(Choice *c, int acc, int out, int shared)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[acc];
    const StageSchedule *as = schedule_find(c->sc, choice_name(c, acc)),
                        *os = schedule_find(c->sc, choice_name(c, out));
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        Expr low, high;
        if (as->tile[r].n > 0 || !stages_inner_range(s, acc, r, &low, &high)) {
            continue;
        }
        bool outside = true;
        for (int a = 0; a < st->naxes; a++) {
            const int var = expr_node(s->x, st->axis[a].var)->op == EX_VAR
                                ? (int)expr_node(s->x, st->axis[a].var)->imm.i
                                : -1;
            const bool used =
                var >= 0 && (expr_uses_var(s->x, low, var) || expr_uses_var(s->x, high, var));
            outside &= !used || os->tile[a].n == 0 || (a == shared && os->tile[a].n == 1);
        }
        const ScheduleStep step = {
            .kind = SCHED_TRIM, .a = choice_name(c, acc), .b = st->axis[r].name};
        if (outside && stages_trim(s, acc, step.b)) {
            vec_push(c->ctx->arena, &c->sc->step, step);
        }
    }
}

/* measured, 96 to 16 channels at 112x112: 28 rows 339 us, 20 290, 14 258, 9 222, 7 229 */
#define FAR_ROWS 9

/* That a tile should have; 0: any. The lines that the rows of A lie in come all at once, every few
 * steps; from a slow L3 nothing hides that but the tiles before and behind. One vector reuses
 * nothing, so it loses nothing by small tiles. */
static int most_rows(const Choice *c, const Contraction *k, const int *row_axis, int64_t width)
{
    const Target *t = c->target;
    const int set = contraction_rows_in_l1(t, c->s, k, row_axis[1]);
    const bool far = l3_is_slow(t) && width > 0 && width <= target_lanes(t, 4) &&
                     contraction_a_bytes(c->s, k) > (double)t->l2 / 2;
    return far && (set == 0 || set > FAR_ROWS) ? FAR_ROWS : set;
}

/* Are weights from a slow L3 what takes the time? `rows` meet them, in two axes at most. */
static bool waits_for_few(const Choice *c, const Contraction *k, int64_t rows)
{
    const Stages *s = c->s;
    const Target *t = c->target;
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    double bytes = dtype_size(b->dtype);
    for (int d = 0; d < b->rank; d++) {
        int64_t dim;
        bytes *= expr_is_int(s->x, b->dim[d], &dim) ? (double)dim : 1;
    }
    /* cycles a vector */
    const double products = (double)rows / t->fma_per_cycle,
                 line = (double)t->vector_bytes / t->l3_rate;
    return l3_is_slow(t) && b->role == TENSOR_CONST && bytes > (double)t->l2 && rows > FEW_ROWS &&
           products < 2 * line;
}

/* The rows of two axes, if there are no more and both are known; else 0. */
static int64_t rows_of(const Stages *s, const Contraction *k, const int *row_axis)
{
    const Stage *st = &s->stage.at[k->stage];
    int64_t rows = 1;
    for (int a = 0; a < st->naxes; a++) {
        if (k->row_axes >> a & 1) {
            const int64_t extent = axis_extent(s, st, a, 0);
            rows *= a == row_axis[0] || a == row_axis[1] || extent == 1 ? extent : 0;
        }
    }
    return rows;
}

static void choose_contraction(Choice *c, Contraction *k)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    int row_axis[2] = {-1, -1};
    for (int a = st->naxes - 1, n = 1; a >= 0 && n >= 0; a--) {
        if (k->row_axes >> a & 1 && axis_extent(s, st, a, 0) != 1) {
            row_axis[n--] = a;
        }
    }
    if (choose_tiles(c, k, row_axis)) {
        return;
    }
    const int64_t outer = row_axis[0] >= 0 ? axis_extent(s, st, row_axis[0], 0) : 1;
    const int64_t inner = row_axis[1] >= 0 ? axis_extent(s, st, row_axis[1], 0) : 1;
    const int64_t width = axis_extent(s, st, k->vector_axis, 0);
    Target room = *c->target;
    if (s->tensor.at[st->result[0]].dtype == DT_I32) {
        room.vector_regs--; /* products before they are added */
    }
    const Phases phases = inner_phases(c, k, image_bytes(c, k, k->stage));
    /* Tiling two row axes pays only where the inner one is short. */
    ProductSize size = {.outer = inner >= 28 || inner == 0 ? 1 : outer,
                              .inner = inner,
                              .width = width,
                              .sum = reduction_points(s, st),
                              .whole = contraction_in_groups(s, k),
                              .most_rows = most_rows(c, k, row_axis, width),
                              .far = waits_for_few(c, k, rows_of(s, k, row_axis))};
    const int fit = phases.axes && width > 0 && width <= target_lanes(c->target, 4)
                        ? rows_of_phases(&room, phases)
                        : 0;
    if (fit >= LEAST_ROWS_OF_PHASES && (size.most_rows == 0 || size.most_rows > fit)) {
        size.most_rows = fit;
    }
    ProductTile tile = product_tile(&room, size);
    if (tile.rows[0] == 1) {
        row_axis[0] = -1;
    }
    contraction_pack_a(c, k, tile);
    tile.streams = pays_to_stream(c, k, tile) ? tile.vectors : 1;
    SumBlocks blocks = {.block = contraction_block(s, k)};
    blocks.group = dot_group(c, k, blocks.block);
    if (blocks.block == 1 && blocks.group == 1 && st->nreduce > 1 &&
        axis_extent(s, st, st->naxes, 1) % SUM_UNROLL == 0) {
        blocks.block = SUM_UNROLL; /* B lies in the order that it is read in */
    }
    const int b_was = k->b_tensor;
    if (!contraction_panels(c, k, tile, blocks)) {
        blocks.group = 1; /* B does not lie in groups */
    }
    int acc;
    const int out = choice_epilogue(c, k->stage, &acc);
    const bool lies = s->tensor.at[k->b_tensor].role == TENSOR_CONST || b_was != k->b_tensor;
    OuterRows rows = {
        .block = lies && tile.streams <= 1 ? contraction_row_block(c, k, tile, row_axis) : 0,
        .shared = -1};
    rows.phases = rows.block > 0 ? (Phases){.points = 1} : phases;
    if (rows.block == 0 && b_was == k->b_tensor) {
        const int64_t weights =
            contraction_b_bytes(s, k, tile.vectors * target_lanes(c->target, 4));
        rows.shared =
            share_axis(c, &s->stage.at[acc], k->row_axes, image_bytes(c, k, out), (double)weights);
    }
    schedule_tile(c, k, acc, out, tile, row_axis, blocks, rows);
    trim_sums(c, acc, out, rows.shared);
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    if (b->role == TENSOR_TEMP && b->stage >= 0 && b_was != k->b_tensor) {
        place_panels(c, b->name, out, k);
    }
    c->source = "contraction";
}

int choose_product_inside(Choice *c, const Contraction *k, ProductTile tile)
{
    const char *name = choice_name(c, k->stage);
    const SumBlocks blocks = {contraction_block(c->s, k), 1};
    contraction_lay_out(c, k, tile, blocks);
    const int acc = stages_cache_write(c->s, k->stage);
    const ScheduleStep step = {.kind = SCHED_CACHE_WRITE, .a = name};
    vec_push(c->ctx->arena, &c->sc->step, step);
    int row_axis[2] = {-1, -1};
    for (int a = 0; a < c->s->stage.at[acc].naxes; a++) {
        row_axis[1] = k->row_axes >> a & 1 ? a : row_axis[1];
    }
    schedule_tile(c, k, acc, acc + 1, tile, row_axis, blocks,
                  (OuterRows){.shared = -1, .phases = {.points = 1}});
    choice_entry(c, acc + 1)->nparallel = 0;
    return acc + 1;
}

void choose_contractions(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        Contraction k;
        if (!choice_has(c, i)) {
            choose_sum_parts(c, i);
        }
        if (!choice_has(c, i) && contraction_of(c->s, i, &k) && k.vector_axis >= 0) {
            k = choose_lanes(c, &k);
            choose_contraction(c, &k);
        }
    }
}
