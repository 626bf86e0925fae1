/* Products on tile registers (AMX): the contraction template for targets that have them.
 *
 *     out: parallel (batch, rows, n), one block of up to four tiles inside
 *     acc: at the innermost of these, in scratch; order k.. rows n, written out; dot m n k g
 *
 * A block is rows of one or two axes by columns, at most four tiles of 16 x 16 sums, which live in
 * registers through the whole reduction; operands take the other four. Two by two loads least. Rows
 * and columns that are left get smaller tiles. A row of A is 64 bytes along the sum; B is in panels
 * of 16 columns, pairs or quads innermost, a tile of it one after the other.
 *
 * Chosen by a count of cycles: a product takes one a row, a load half of one a row; what is left
 * of the registers is nothing to choose. Short sums, few columns and sums that fill no groups
 * are left to the vector instructions. */
#include "loop/access.h"
#include "loop/intrinsic.h"
#include "record/templates.h"

enum {
    MIN_ROWS = 4, /* below, a product is bound by the bytes of B, which vectors read as fast */
    MIN_COLUMNS = 16,
    MIN_GROUPS =
        8, /* of the sum: else the tiles' way through memory costs more than the products */
};

typedef struct Block {
    int outer, inner, columns; /* rows of the two axes; tiles of columns */
    double cycles;             /* of the whole product, for one group of tiles along the sum */
} Block;

static int64_t tiles_of(int64_t extent, int64_t size)
{
    return (extent + size - 1) / size;
}

static double cycles_of(const Block *b, int64_t outer, int64_t inner, int64_t width)
{
    const int64_t columns = tiles_of(width, TILE_ROWS);
    const double products = (double)(outer * inner * columns);
    const double loads_a = (double)(outer * inner * tiles_of(columns, b->columns)) / 2;
    const double loads_b =
        (double)(tiles_of(outer, b->outer) * tiles_of(inner, b->inner) * columns) * TILE_ROWS / 2;
    const double loads = loads_a + loads_b;
    return (products > loads ? products : loads) + loads / 4;
}

static Block choose_block(int64_t outer, int64_t inner, int64_t width)
{
    Block best = {0};
    for (int o = 1; o <= TILE_SUMS && o <= outer; o++) {
        for (int i = 1; i * o <= TILE_SUMS && i <= tiles_of(inner, TILE_ROWS); i++) {
            for (int n = 1; n * i * o <= TILE_SUMS && n <= tiles_of(width, TILE_ROWS); n++) {
                Block b = {o, inner < i * TILE_ROWS ? (int)inner : i * TILE_ROWS, n, 0};
                b.cycles = cycles_of(&b, outer, inner, width);
                if (best.cycles == 0 || b.cycles < best.cycles) {
                    best = b;
                }
            }
        }
    }
    return best;
}

/* Groups of the sum in a tile: whole tiles where they are nearly full, and always where there are
 * more sums around, whose tails would need shapes of their own. 0: tiles do not fit. */
static int groups_in_tile(int64_t groups, int limit, bool must_divide)
{
    int divisor = 1;
    for (int k = 1; k <= limit; k++) {
        divisor = groups % k == 0 ? k : divisor;
    }
    if (divisor * 4 >= limit * 3 || must_divide) {
        return divisor >= MIN_GROUPS ? divisor : 0;
    }
    return limit;
}

/* Tiles of the sum and its groups; 0 groups: not for tiles. */
typedef struct Sum {
    int groups, group, row;
    SumBlocks blocks;
} Sum;

static Sum sum_of(const Choice *c, const Contraction *k, int row_axis)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    Sum sum = {.row = schedule_tile_row(s, st, c->target, row_axis)};
    if (sum.row < 0 || st->nreduce == 0) {
        return sum;
    }
    const int block = contraction_block(s, k), group = intrinsic_row(sum.row)->group;
    const int64_t extent = axis_extent(s, st, st->naxes, 0);
    if (extent < MIN_GROUPS * group || extent % group != 0 ||
        !contraction_groups(s, k, block, group)) {
        return sum;
    }
    const int limit = block > 1 && block / group < TILE_ROWS ? block / group : TILE_ROWS;
    sum.groups = groups_in_tile(extent / group, limit, st->nreduce > 1 || block > 1);
    sum.group = group;
    sum.blocks = (SumBlocks){.block = sum.groups * group, .group = group};
    return sum;
}

/* The stage that is stored, block by block. */
static LoopRef schedule_blocks(Choice *c, const Contraction *k, int out, const Block *b,
                               const int *row_axis, bool rows_first)
{
    const Stage *st = &c->s->stage.at[out];
    StageSchedule *os = choice_entry(c, out);
    const int v = k->vector_axis, size[2] = {b->outer, b->inner};
    os->tile[v] = (AxisTile){.n = 1, .factor = {b->columns * TILE_ROWS}, .tail = TAIL_PEEL};
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0 && (r == 1 || size[r] > 1)) {
            os->tile[row_axis[r]] = (AxisTile){.n = 1, .factor = {size[r]}, .tail = TAIL_PEEL};
        }
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != v && !(k->row_axes >> a & 1)) {
            order_add(os, a, 0);
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int a = 0; a < st->naxes; a++) {
            if ((pass == 0) == rows_first ? k->row_axes >> a & 1 : a == v) {
                order_add(os, a, 0);
            }
        }
    }
    os->nparallel = os->norder;
    const LoopRef innermost = os->order[os->norder - 1];
    for (int r = 0; r < 2; r++) {
        if (row_axis[r] >= 0 && os->tile[row_axis[r]].n) {
            order_add(os, row_axis[r], 1);
        }
    }
    os->vector = order_add(os, v, 1);
    return innermost;
}

static void schedule_sums(Choice *c, const Contraction *k, int acc, int row, const Sum *sum)
{
    const Stage *st = &c->s->stage.at[acc];
    StageSchedule *as = choice_entry(c, acc);
    const int v = k->vector_axis, first = st->naxes;
    as->scope = SCOPE_SCRATCH;
    as->tile[row] = as->tile[v] = (AxisTile){.n = 1, .factor = {TILE_ROWS}, .tail = TAIL_PEEL};
    as->tile[first] = (AxisTile){.n = 2, .factor = {sum->groups, sum->group}, .tail = TAIL_PEEL};
    for (int r = first; r < first + st->nreduce; r++) {
        order_add(as, r, 0);
    }
    for (int a = 0; a < st->naxes; a++) {
        if (a != v) {
            as->unroll |= (uint64_t)1 << order_add(as, a, 0);
        }
    }
    as->unroll |= (uint64_t)1 << order_add(as, v, 0);
    order_add(as, row, 1);
    order_add(as, v, 1);
    order_add(as, first, 1);
    order_add(as, first, 2);
    as->ndot = TILE_DOT_LOOPS;
}

/* How many blocks of rows meet a panel of B. */
static int64_t blocks_of_panel(const Stages *s, const Contraction *k, const Block *b,
                               const int *row_axis)
{
    const Stage *st = &s->stage.at[k->stage];
    int64_t blocks = 1;
    for (int a = 0; a < st->naxes; a++) {
        if (k->row_axes >> a & 1) {
            blocks *= tiles_of(axis_extent(s, st, a, 0), a == row_axis[0]   ? b->outer
                                                         : a == row_axis[1] ? b->inner
                                                                            : 1);
        }
    }
    return blocks;
}

/* The next panel of constant weights comes while blocks of rows meet this one. */
static void fetch_ahead(Choice *c, const Contraction *k, const Block *b, const int *row_axis,
                        int acc)
{
    const StageTensor *w = &c->s->tensor.at[k->b_tensor];
    const int64_t blocks = blocks_of_panel(c->s, k, b, row_axis);
    if (w->role == TENSOR_CONST && blocks > 1 && blocks <= AHEAD_TILES) {
        StageSchedule *as = choice_entry(c, acc);
        as->ahead = w->name;
        as->ahead_loop = (LoopRef){.axis = (int8_t)k->vector_axis};
    }
}

/* The innermost axis of rows; -1: there is none. */
static int last_row_axis(const Contraction *k)
{
    return k->row_axes ? 31 - __builtin_clz(k->row_axes) : -1;
}

bool tiles_fit_inside(const Choice *c, const Contraction *k)
{
    return c->target->amx && k->vector_axis >= 0 && last_row_axis(k) >= 0 &&
           c->s->tensor.at[k->b_tensor].role == TENSOR_CONST &&
           sum_of(c, k, last_row_axis(k)).groups > 0;
}

bool choose_tiles_inside(Choice *c, const Contraction *k)
{
    const Sum sum = sum_of(c, k, last_row_axis(k));
    const int panel = TILE_ROWS / target_lanes(c->target, 4); /* vectors */
    if (!contraction_lay_out(c, k, (ProductTile){.rows = {1, 1}, .vectors = panel}, sum.blocks)) {
        return false;
    }
    schedule_sums(c, k, k->stage, last_row_axis(k), &sum);
    return true;
}

bool choose_tiles(Choice *c, Contraction *k, const int *row_axis)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    if (!c->target->amx || row_axis[1] < 0) {
        return false;
    }
    const int64_t outer = row_axis[0] >= 0 ? axis_extent(s, st, row_axis[0], 0) : 1;
    const int64_t inner = axis_extent(s, st, row_axis[1], 0),
                  width = axis_extent(s, st, k->vector_axis, 0);
    const Sum sum = sum_of(c, k, row_axis[1]);
    if (outer == 0 || inner < MIN_ROWS || width < MIN_COLUMNS || sum.groups == 0) {
        return false;
    }
    const Block b = choose_block(outer, inner, width);
    const int panel = TILE_ROWS / target_lanes(c->target, 4); /* vectors */
    const ProductTile tile = {.rows = {b.outer, b.inner}, .vectors = b.columns * panel};
    const bool rows_first = contraction_rows_first(c, k, tile, row_axis);
    if (!contraction_panels(c, k, (ProductTile){.rows = {b.outer, b.inner}, .vectors = panel},
                            sum.blocks)) {
        return false;
    }
    int acc;
    const int out = choice_epilogue(c, k->stage, &acc);
    const LoopRef at = schedule_blocks(c, k, out, &b, row_axis, rows_first);
    schedule_sums(c, k, acc, row_axis[1], &sum);
    StageSchedule *as = choice_entry(c, acc);
    as->at_stage = choice_name(c, out);
    as->at_loop = at;
    if (!rows_first) {
        fetch_ahead(c, k, &b, row_axis, acc);
    }
    c->source = "tiles";
    return true;
}
