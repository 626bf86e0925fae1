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
 * Where the target has an instruction for the types (bf16 pairs: loop/intrinsic.h) and A lies along k, groups of k are its:
 * `dot` innermost, and B's panels have the groups innermost.
 *
 * Constant B is re-laid in panels of one tile width, so its loads are contiguous and aligned.
 *
 * The tile is chosen analytically: the accumulators, one row of B vectors and one broadcast fit the
 * register file; per step of k it costs max(FMA, load, latency) cycles; remainders waste work. */
#include <string.h>

#include "loop/access.h"
#include "loop/intrinsic.h"
#include "record/templates.h"

#define FMA_SLACK 4.4   /* cycles between uses of an accumulator: latency 4 and some slack */
#define LOADS_PER_CYCLE 2
#define SHORT_REDUCTION 128 /* points: storing a tile column by column takes longer */
#define LOAD_SLACK 1.4 /* measured: tiles that fill the load ports run at two thirds of the model */

/* Share of useful work when `extent` is covered by tiles of `tile` (symbolic: as if large). */
static double use_of(int64_t extent, int64_t tile)
{
    if (extent <= 0) {
        return 0.97;
    }
    const int64_t tiles = (extent + tile - 1) / tile;
    return (double)extent / (double)(tiles * tile);
}

/* Cycles of one step of the sum, in a tile of so many rows and vectors. */
static double step_cycles(const Target *t, int rows, int vectors)
{
    const double fma = (double)rows * vectors / t->fma_per_cycle;
    const double load = LOAD_SLACK * (vectors + rows) / LOADS_PER_CYCLE;
    const double cycles = fma > load ? fma : load;
    return cycles > FMA_SLACK ? cycles : FMA_SLACK;
}

ProductTile product_tile(const Target *t, int64_t outer, int64_t inner, int64_t width)
{
    ProductTile best = {.rows = {1, 1}, .vectors = 1, .score = 0};
    const int lanes = target_lanes(t, 4);
    for (int nv = 1; nv <= 4; nv++) {
        if (nv > 1 && width > 0 && width <= (nv - 1) * lanes) {
            continue;
        }
        for (int ro = 1; ro <= 4; ro++) {
            for (int ri = 1; ri <= 28; ri++) {
                const int acc = ro * ri * nv;
                if (acc + nv + 1 > t->vector_regs || (outer > 0 && ro > outer) ||
                    (inner > 0 && ri > inner)) {
                    continue;
                }
                double score = acc / step_cycles(t, ro * ri, nv) * use_of(outer, ro) * use_of(inner, ri) *
                               use_of(width, (int64_t)nv * lanes);
                score *= 1 + 0.001 * acc - 0.002 * ro; /* ties: more reuse, simpler */
                if (score > best.score) {
                    best = (ProductTile){.rows = {ro, ri}, .vectors = nv, .score = score};
                }
            }
        }
    }
    return best;
}

/* ---- open counts of rows ---- */

#define OPEN_WASTE 1.1 /* of the time: what it may take longer than in tiles of the best size */
#define ROW_CYCLES 0.5 /* measured: few rows wait for B to come from memory, and the fewer their instructions, the less */

/* Cycles a step of the sum for so many rows. */
static double rows_cycles(const Target *t, int64_t rows, int size, int vectors)
{
    return (double)((rows + size - 1) / size) * (step_cycles(t, size, vectors) + ROW_CYCLES * size);
}

/* The worst count of rows from `low` on: how much longer does it take in the tile's sizes than in the best of all? */
static double worst_waste(const Target *t, const AxisTile *tile, int vectors, int64_t low, int64_t high)
{
    double worst = 1;
    for (int64_t rows = low; rows <= high; rows++) {
        double least = rows_cycles(t, rows, 1, vectors);
        for (int size = 2; size <= tile->factor[0]; size++) {
            const double cycles = rows_cycles(t, rows, size, vectors);
            least = cycles < least ? cycles : least;
        }
        const double waste = rows_cycles(t, rows, tile_size_for(tile, rows), vectors) / least;
        worst = waste > worst ? waste : worst;
    }
    return worst;
}

/* How many rows there will be is not known: where one size of tiles may waste too much, others stand beside it, those
 * that help most, as few as will do. */
static AxisTile open_rows(const Target *t, int rows, int vectors, int64_t low, int64_t high)
{
    AxisTile tile = {.n = 1, .factor = {rows}, .tail = TAIL_SHIFT};
    if (low == high) {
        return tile; /* what `rows` was chosen for */
    }
    low = low > 1 ? low : 1;
    high = high < low + 3 * rows ? high : low + 3 * rows; /* beyond, one tile more or less is little */
    double waste = worst_waste(t, &tile, vectors, low, high);
    while (waste > OPEN_WASTE && tile.nother < MAX_OTHERS) {
        AxisTile best = tile;
        for (int size = rows - 1; size > 0; size--) {
            AxisTile more = tile;
            int at = more.nother++;
            for (; at > 0 && more.other[at - 1] < size; at--) {
                more.other[at] = more.other[at - 1];
            }
            more.other[at] = size;
            const double w = worst_waste(t, &more, vectors, low, high);
            if (w < waste && (at == 0 || more.other[at - 1] != size)) {
                waste = w;
                best = more;
            }
        }
        if (best.nother == tile.nother) {
            break;
        }
        tile = best;
    }
    return tile;
}

/* The dim of B that the first reduction axis alone counts along; -1. */
static int summed_dim(const Stages *s, const Contraction *c)
{
    const Stage *st = &s->stage.at[c->stage];
    for (int d = 0; d < s->tensor.at[c->b_tensor].rank && st->nreduce > 0; d++) {
        if (expr_arg(s->x, c->b, d) == st->axis[st->naxes].var) {
            return d;
        }
    }
    return -1;
}

/* B in panels: outer parts of its dims (the vector axis first, then the batch, then what is summed over), its block
 * last but for groups. Groups of columns that are no whole panels: rows of all columns. */
static bool panel_layout(const Stages *s, const Contraction *c, int width, SumBlocks k, Layout *out)
{
    Exprs *x = s->x;
    const Stage *st = &s->stage.at[c->stage];
    const StageTensor *b = &s->tensor.at[c->b_tensor];
    Expr first;
    const int n_dim = load_dim_along(s, st, c->b, c->vector_axis, &first), k_dim = summed_dim(s, c);
    uint32_t batch = 0; /* dims */
    for (int d = 0; d < b->rank; d++) {
        const Expr index = expr_arg(x, c->b, d);
        for (int a = 0; a < st->naxes; a++) {
            batch |= (uint32_t)(index == st->axis[a].var) << d;
        }
    }
    if (n_dim < 0) {
        return false;
    }
    const bool panels = expr_proves_multiple(x, first, width);
    Layout l = {0};
    if (panels) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim};
    }
    for (int summed = 0; summed < 2; summed++) {
        for (int d = 0; d < b->rank; d++) {
            if (d != n_dim && (batch >> d & 1) != (uint32_t)summed) {
                l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d};
            }
        }
    }
    if (k.block > k.group && k_dim >= 0) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)k_dim, .block = k.block / k.group};
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim, .block = panels ? width : 0};
    if (k.group > 1) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)k_dim, .block = k.group};
    }
    *out = l;
    return true;
}

int contraction_block(const Stages *s, const Contraction *c)
{
    const Stage *st = &s->stage.at[c->stage];
    const StageTensor *a = &s->tensor.at[c->a_tensor];
    Expr first;
    const int d = st->nreduce > 0 ? load_dim_along(s, st, c->a, st->naxes, &first) : -1;
    const int block = d < 0 ? 1 : (int)layout_block(&a->layout, d);
    return expr_proves_multiple(s->x, d < 0 ? expr_int(s->x, 0) : first, block) ? block : 1;
}

bool contraction_groups(const Stages *s, const Contraction *k, int block, int group)
{
    const Stage *st = &s->stage.at[k->stage];
    if (st->nreduce == 0 || summed_dim(s, k) < 0) {
        return false;
    }
    const Layout *a = &s->tensor.at[k->a_tensor].layout;
    Expr first;
    int64_t stride;
    const int d = load_dim_along(s, st, k->a, st->naxes, &first);
    const bool runs = load_stride(s, k->a, st->axis[st->naxes].var, &stride) && stride == 1;
    const bool in_blocks = block > 1 && block % group == 0 && d >= 0 && a->dim[a->n - 1].axis == d;
    return axis_extent(s, st, st->naxes, group) >= group && (in_blocks || (block == 1 && runs));
}

/* Neighbours in A that a vector instruction of the target multiplies and sums at once (loop/intrinsic.h). 1: none. */
static int dot_group(const Choice *c, const Contraction *k, int block)
{
    const int row = schedule_dot_row(c->s, &c->s->stage.at[k->stage], c->target);
    const int group = row < 0 ? 1 : intrinsic_row(row)->group;
    return contraction_groups(c->s, k, block, group) ? group : 1;
}

/* Bytes of B for one point of its other axes (the batch, phases); symbolic extents count as large. */
static int64_t b_bytes(const Stages *s, const Contraction *k, int width)
{
    const Stage *st = &s->stage.at[k->stage];
    int64_t bytes = 4;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        if (k->in_b >> a & 1 && (a == k->vector_axis || a >= st->naxes)) {
            const int64_t extent = axis_extent(s, st, a, 4096);
            bytes *= a == k->vector_axis ? (extent + width - 1) / width * width : extent;
        }
    }
    return bytes;
}

/* Bytes of A for one point of the axes that A and B share (the batch); symbolic extents count as large. */
static double a_bytes(const Stages *s, const Contraction *k)
{
    const Stage *st = &s->stage.at[k->stage];
    const StageTensor *a = &s->tensor.at[k->a_tensor];
    double all = 4, read = 4;
    for (int d = 0; d < a->rank; d++) {
        int64_t dim;
        all *= expr_is_int(s->x, a->dim[d], &dim) ? (double)dim : 4096;
    }
    for (int i = 0; i < st->naxes + st->nreduce; i++) {
        const double extent = (double)axis_extent(s, st, i, 4096);
        const bool in_a = k->in_a >> i & 1, in_b = k->in_b >> i & 1;
        if (in_a && in_b && i < st->naxes) {
            all /= extent;
        } else if (in_a) {
            read *= extent;
        }
    }
    return all < read ? all : read; /* windows overlap; strides leave gaps */
}

/* A panel may also meet all rows. What does not stay in L2 until it is used again comes from further away, so the order that
 * brings less is taken. */
bool contraction_rows_first(const Choice *c, const Contraction *k, ProductTile tile, const int *row_axis)
{
    const Stages *s = c->s;
    const int width = tile.vectors * target_lanes(c->target, 4);
    const Stage *st = &s->stage.at[k->stage];
    const double l2 = (double)c->target->l2;
    const double panels = (double)((axis_extent(s, st, k->vector_axis, 4096) + width - 1) / width);
    double tiles = 1;
    for (int a = 0; a < st->naxes; a++) {
        if (k->row_axes >> a & 1) {
            const int rows = a == row_axis[0] ? tile.rows[0] : a == row_axis[1] ? tile.rows[1] : 1;
            tiles *= (double)((axis_extent(s, st, a, 4096) + rows - 1) / rows);
        }
    }
    const double a = a_bytes(s, k), b = (double)b_bytes(s, k, width), panel = b / panels;
    const double rows_first = a + (b <= l2 / 2 ? b : tiles * b);
    const double panels_first = (a + panel <= 0.9 * l2 ? a : panels * a) + (panel <= 0.8 * l2 ? b : tiles * b);
    return rows_first <= panels_first;
}

/* Rows of A a multiple of 4 KiB apart fall into one set of L1. More of them than its ways, but for two that B passes
 * through, must be read as seldom as can be. */
static bool rows_collide(const Target *t, const Stages *s, const Contraction *k, ProductTile tile)
{
    const Stage *st = &s->stage.at[k->stage];
    if (tile.rows[0] * tile.rows[1] <= t->l1_ways - 2) {
        return false;
    }
    for (int a = 0; a < st->naxes; a++) {
        int64_t stride;
        if (k->row_axes >> a & 1 && axis_extent(s, st, a, 2) > 1 &&
            load_stride(s, k->a, st->axis[a].var, &stride) && stride > 0 &&
            stride * 4 % 4096 == 0) {
            return true;
        }
    }
    return false;
}

/* The first reduction axis in tiles: written out, and in groups for the instruction. */
static AxisTile tile_sum(int64_t extent, SumBlocks k)
{
    const int factor = k.block > k.group ? k.block / k.group : 4;
    AxisTile t = {.tail = TAIL_PEEL};
    if (extent == 0 || extent >= factor * k.group) {
        t.factor[t.n++] = factor;
    }
    if (k.group > 1) {
        t.factor[t.n++] = k.group;
    }
    return t.n ? t : (AxisTile){0};
}

static void schedule_tile(Choice *c, const Contraction *k, int acc, int out, ProductTile tile,
                          const int *row_axis, SumBlocks blocks)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[acc];
    const int v = k->vector_axis;
    const int width = tile.vectors * target_lanes(c->target, 4);
    StageSchedule *os = choice_entry(c, out);
    os->tile[v] = (AxisTile){.n = 1, .factor = {width}, .tail = TAIL_PEEL};
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0) {
            const Expr extent = st->axis[row_axis[r]].extent;
            os->tile[row_axis[r]] = open_rows(c->target, tile.rows[r], tile.vectors, expr_low(s->x, extent),
                                              expr_high(s->x, extent));
        }
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != v && !(k->row_axes >> a & 1)) {
            order_add(os, a, 0);
        }
    }
    const bool rows_first = rows_collide(c->target, s, k, tile) || contraction_rows_first(c, k, tile, row_axis);
    for (int pass = 0; pass < 2; pass++) {
        if ((pass == 0) == rows_first) {
            for (int a = 0; a < st->naxes; a++) {
                if (k->row_axes >> a & 1) {
                    order_add(os, a, 0);
                }
            }
        } else {
            order_add(os, v, 0);
        }
    }
    os->nparallel = os->norder;
    const LoopRef innermost = os->order[os->norder - 1];
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0) {
            os->unroll |= (uint64_t)1 << order_add(os, row_axis[r], 1);
        }
    }
    os->vector = order_add(os, v, 1);

    const char *out_name = choice_name(c, out);
    StageSchedule *as = choice_entry(c, acc);
    as->at_stage = out_name;
    as->at_loop = innermost;
    as->scope = SCOPE_REG;
    int unrolled = 0; /* levels of the first reduction axis */
    if (st->nreduce > 0) {
        as->tile[st->naxes] = tile_sum(axis_extent(s, st, st->naxes, 0), blocks);
        unrolled = as->tile[st->naxes].n - (blocks.group > 1);
    }
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        order_add(as, r, 0);
    }
    if (unrolled) {
        as->unroll |= (uint64_t)1 << order_add(as, st->naxes, 1);
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != v) {
            as->unroll |= (uint64_t)1 << order_add(as, a, 0);
        }
    }
    as->vector = order_add(as, v, 0);
    if (blocks.group > 1) {
        order_add(as, st->naxes, unrolled + 1);
        as->ndot = 1;
    }
}

/* May the B of product k lie in panels? A constant is packed at compile time; what a MAP computes for this product alone, as
 * attention's transposed keys, is written there at once, where that pays: rows of many keys lie in few sets of L1. Not of
 * open sizes, which may be small, and not in groups, which such a MAP writes slowly. */
static bool is_free_to_lie(const Choice *c, const Contraction *k, int width, SumBlocks blocks)
{
    const Stages *s = c->s;
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    if (b->role != TENSOR_TEMP) {
        return b->role == TENSOR_CONST;
    }
    const Stage *st = &s->stage.at[k->stage];
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        if (k->in_b >> a & 1 && axis_extent(s, st, a, 0) == 0) {
            return false;
        }
    }
    int reader = -1;
    return b->stage >= 0 && s->stage.at[b->stage].form == STAGE_MAP && layout_is_plain(&b->layout) &&
           !choice_has(c, b->stage) && k->a_tensor != k->b_tensor && blocks.group == 1 &&
           b_bytes(s, k, width) >= c->target->l2 / 4 && count_readers(s, b->stage, &reader) == 1;
}

/* False: B stays as it is. */
static bool lay_out_panels(Choice *c, const Contraction *k, ProductTile tile, SumBlocks blocks)
{
    Stages *s = c->s;
    StageTensor *b = &s->tensor.at[k->b_tensor];
    const int width = tile.vectors * target_lanes(c->target, 4);
    Layout l;
    if (!is_free_to_lie(c, k, width, blocks) || !panel_layout(s, k, width, blocks, &l)) {
        return false;
    }
    StageSchedule *bs = schedule_stage(c->sc, c->ctx, b->name);
    bs->has_layout = true;
    bs->layout = l;
    if (b->role == TENSOR_TEMP) {
        b->layout = l;
    }
    return true;
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

/* A and B exchanged: A's axis `row` goes in lanes. */
static Contraction swap_sides(const Stages *s, const Contraction *k, int row)
{
    const uint32_t domain = ((uint32_t)1 << s->stage.at[k->stage].naxes) - 1;
    return (Contraction){.stage = k->stage, .a = k->b, .b = k->a, .a_tensor = k->b_tensor, .b_tensor = k->a_tensor,
                         .in_a = k->in_b, .in_b = k->in_a, .vector_axis = row,
                         .row_axes = k->in_b & ~k->in_a & domain};
}

/* Which side goes in lanes? Constants can be laid out for it; but where the result's rows lie side by side, and A's, as
 * in plain images, columns in lanes are stored one by one. After a short reduction that is most of the time, and columns
 * that do not fill the lanes waste more: then A's rows go in lanes. */
static Contraction choose_lanes(const Choice *c, const Contraction *k)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int lanes = target_lanes(c->target, 4);
    int reader = -1;
    const bool alone = count_readers(s, k->stage, &reader) != 1 || !reads_pointwise(s, reader, k->stage);
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
    return row >= 0 && pays && s->tensor.at[k->b_tensor].role == TENSOR_CONST && layout_is_plain(&out->layout) &&
                   axis_extent(s, st, row, 4096) >= 2 * lanes
               ? swap_sides(s, k, row)
               : *k;
}

#define PACK_TILES 8 /* row tiles that must meet a panel for a copy of B to pay, and .. */
#define PACK_TILES_APART 2 /* .. where its lanes lie apart */

static bool pays_to_pack(const Choice *c, const Contraction *k, ProductTile tile)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int width = tile.vectors * target_lanes(c->target, 4);
    int64_t rows = 1, stride; /* an open count of rows may be small */
    for (int a = 0; a < st->naxes; a++) {
        rows *= k->row_axes >> a & 1 ? axis_extent(s, st, a, 0) : 1;
    }
    const int64_t tiles = rows / (tile.rows[0] * tile.rows[1]);
    if (!load_stride(s, k->b, st->axis[k->vector_axis].var, &stride) || stride != 1) {
        return tiles >= PACK_TILES_APART;
    }
    /* Where all of it is one panel already, or stays in L2 and is seldom read, nothing is gained. */
    return tiles >= PACK_TILES && axis_extent(s, st, k->vector_axis, 1 << 20) > width &&
           b_bytes(s, k, width) > c->target->l2 / 4;
}

/* An input B is copied into panels first, where that pays: from its own layout a panel's rows lie apart, in few sets of
 * the caches and many pages, or its lanes do. */
static bool pack_b(Choice *c, Contraction *k, ProductTile tile, SumBlocks blocks)
{
    Stages *s = c->s;
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    const int width = tile.vectors * target_lanes(c->target, 4);
    Layout panels;
    if (b->role != TENSOR_INPUT || k->a_tensor == k->b_tensor || !pays_to_pack(c, k, tile) ||
        !panel_layout(s, k, width, blocks, &panels)) {
        return false;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_READ, .a = b->name, .b = choice_name(c, k->stage),
                               .c = arena_printf(c->ctx->arena, "%s.panels", b->name)};
    const int copy = stages_cache_read(s, k->b_tensor, k->stage, step.c);
    if (copy < 0) {
        return false;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    const int row = k->vector_axis;
    contraction_of(s, copy + 1, k);
    if (k->vector_axis != row) {
        *k = swap_sides(s, k, row);
    }
    StageSchedule *bs = choice_entry(c, copy);
    bs->has_layout = true;
    bs->layout = s->tensor.at[k->b_tensor].layout = panels;
    return true;
}

#define PANELS_TO_PACK 4 /* that meet A, for a copy of it to pay */
#define CACHE_LINE 64    /* bytes */

/* An input A whose rows lie side by side, as in plain images, gives a tile one line of the cache for each point of the sum;
 * where these fill L1 it is copied into blocks along the sum first. */
static bool pack_a(Choice *c, Contraction *k, ProductTile tile)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const StageTensor *a = &s->tensor.at[k->a_tensor];
    const int lanes = target_lanes(c->target, 4);
    const int64_t width = axis_extent(s, st, k->vector_axis, 0);
    int64_t stride;
    Expr first;
    const int d = st->nreduce == 1 ? load_dim_along(s, st, k->a, st->naxes, &first) : -1;
    if (d < 0 || a->role != TENSOR_INPUT || k->a_tensor == k->b_tensor || !layout_is_plain(&a->layout) ||
        a->rank == MAX_RANK || expr_arg(s->x, k->a, d) != st->axis[st->naxes].var ||
        !load_stride(s, k->a, st->axis[st->naxes].var, &stride) || stride == 1 ||
        axis_extent(s, st, st->naxes, 0) * CACHE_LINE < c->target->l1 / 3 ||
        width < PANELS_TO_PACK * tile.vectors * lanes) {
        return false;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_READ, .a = a->name, .b = choice_name(c, k->stage),
                               .c = arena_printf(c->ctx->arena, "%s.blocks", a->name)};
    const int copy = stages_cache_read(s, k->a_tensor, k->stage, step.c);
    if (copy < 0) {
        return false;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    const int v = k->vector_axis;
    contraction_of(s, copy + 1, k);
    if (k->vector_axis != v) {
        *k = swap_sides(s, k, v);
    }
    Layout l = {0};
    for (int i = 0; i < s->tensor.at[k->a_tensor].rank; i++) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)i};
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d, .block = lanes};
    StageSchedule *as = choice_entry(c, copy);
    as->has_layout = true;
    as->layout = s->tensor.at[k->a_tensor].layout = l;
    return true;
}

bool contraction_panels(Choice *c, Contraction *k, ProductTile tile, SumBlocks blocks)
{
    return lay_out_panels(c, k, tile, blocks) || pack_b(c, k, tile, blocks);
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
    /* Tiling two row axes pays only where the inner one is short. */
    const ProductTile tile = product_tile(&room, inner >= 28 || inner == 0 ? 1 : outer, inner, width);
    if (tile.rows[0] == 1) {
        row_axis[0] = -1;
    }
    pack_a(c, k, tile);
    SumBlocks blocks = {.block = contraction_block(s, k)};
    blocks.group = dot_group(c, k, blocks.block);
    if (!contraction_panels(c, k, tile, blocks)) {
        blocks.group = 1; /* B does not lie in groups */
    }
    int acc;
    const int out = choice_epilogue(c, k->stage, &acc);
    schedule_tile(c, k, acc, out, tile, row_axis, blocks);
    c->source = "contraction";
}

int choose_product_inside(Choice *c, const Contraction *k, ProductTile tile)
{
    const char *name = choice_name(c, k->stage);
    const SumBlocks blocks = {contraction_block(c->s, k), 1};
    lay_out_panels(c, k, tile, blocks);
    const int acc = stages_cache_write(c->s, k->stage);
    const ScheduleStep step = {.kind = SCHED_CACHE_WRITE, .a = name};
    vec_push(c->ctx->arena, &c->sc->step, step);
    int row_axis[2] = {-1, -1};
    for (int a = 0; a < c->s->stage.at[acc].naxes; a++) {
        row_axis[1] = k->row_axes >> a & 1 ? a : row_axis[1];
    }
    schedule_tile(c, k, acc, acc + 1, tile, row_axis, blocks);
    choice_entry(c, acc + 1)->nparallel = 0;
    return acc + 1;
}

void choose_contractions(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        Contraction k;
        if (!choice_has(c, i) && contraction_of(c->s, i, &k) && k.vector_axis >= 0) {
            k = choose_lanes(c, &k);
            choose_contraction(c, &k);
        }
    }
}
