/* In which order a product meets panels of B and rows of A: by what comes from beyond L2. A panel
 * may meet all rows, or a tile of rows all panels; what does not stay in L2 until it is used again
 * comes from further away, so the order that brings less is taken. Rows of A that lie in one set of
 * L1 must be read as seldom as can be. */
#include "loop/access.h"
#include "record/templates.h"

double contraction_a_bytes(const Stages *s, const Contraction *k)
{
    const Stage *st = &s->stage.at[k->stage];
    const StageTensor *a = &s->tensor.at[k->a_tensor];
    double all = dtype_size(a->dtype), read = all;
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

/* What comes from beyond L2 where each panel meets all rows, these times. */
static double panels_first_bytes(const Choice *c, double a, double b, double panel, double panels,
                                 double tiles)
{
    const double l2 = (double)c->target->l2;
    return (a + panel <= 0.9 * l2 ? a : panels * a) + (panel <= 0.8 * l2 ? b : tiles * b);
}

#define L2_RATE 50.0    /* bytes a cycle */
#define AGAIN_SHARE 0.1 /* of reading A from L2 once more: is not hidden */

/* Weights come from beyond L2 once a run. Rows first, the first tile of rows waits for all of them;
 * panels first, each is fetched while the one before is in use, but A is read for each. */
static bool waits_for_weights(const Target *t, double a, double b, double panels)
{
    return l3_is_slow(t) && b / t->l3_rate > AGAIN_SHARE * panels * a / L2_RATE;
}

/* Is B a copy in panels, enough of them? Where panels are outermost, each is copied when its turn
 * comes (place_panels). */
static bool is_copied_in_turn(const Stages *s, int b_tensor, double panels)
{
    const StageTensor *b = &s->tensor.at[b_tensor];
    return b->role == TENSOR_TEMP && b->stage >= 0 && s->stage.at[b->stage].form == STAGE_MAP &&
           panels >= LEAST_PANELS &&
           expr_node(s->x, s->stage.at[b->stage].update[0])->op == EX_LOAD;
}

bool contraction_rows_first(const Choice *c, const Contraction *k, ProductTile tile,
                            const int *row_axis)
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
    const double a = contraction_a_bytes(s, k), b = (double)contraction_b_bytes(s, k, width),
                 panel = b / panels;
    const double rows_first = a + (b <= l2 / 2 ? b : tiles * b);
    if (s->tensor.at[k->b_tensor].role == TENSOR_CONST && tiles > 1 && tiles <= AHEAD_TILES &&
        a + panel <= 0.9 * l2 && waits_for_weights(c->target, a, b, panels)) {
        return false;
    }
    const double panels_first = panels_first_bytes(c, a, b, panel, panels, tiles);
    return is_copied_in_turn(s, k->b_tensor, panels) ? rows_first < panels_first
                                                     : rows_first <= panels_first;
}

/* Do A's rows along this axis lie a multiple of 4 KiB apart, and so in one set of L1? */
static bool lies_in_one_set(const Stages *s, const Contraction *k, int axis)
{
    const Stage *st = &s->stage.at[k->stage];
    const int size = dtype_size(s->tensor.at[k->a_tensor].dtype);
    int64_t stride;
    return axis >= 0 && k->row_axes >> axis & 1 && axis_extent(s, st, axis, 2) > 1 &&
           load_stride(s, k->a, st->axis[axis].var, &stride) && stride > 0 &&
           stride * size % 4096 == 0;
}

int contraction_rows_in_l1(const Target *t, const Stages *s, const Contraction *k, int axis)
{
    if (!lies_in_one_set(s, k, axis)) {
        return 0;
    }
    return t->l1_ways > 3 ? t->l1_ways - 2 : 1;
}

bool contraction_rows_collide(const Target *t, const Stages *s, const Contraction *k,
                              ProductTile tile)
{
    const Stage *st = &s->stage.at[k->stage];
    bool any = false;
    for (int a = 0; a < st->naxes; a++) {
        const int most = contraction_rows_in_l1(t, s, k, a);
        any |= most > 0 && tile.rows[0] * tile.rows[1] > most;
    }
    return any;
}

#define LEAST_BLOCK 4 /* tiles of rows: each panel is worth fetching */

/* FMAs a cycle for each float of B: a block of so many rows takes a byte of B a cycle from beyond
 * L2, which is seldom too much where it is fetched ahead. */
static int64_t enough_rows(const Target *t)
{
    return (int64_t)sizeof(float) * target_lanes(t, 4) * t->fma_per_cycle;
}

int contraction_row_block(const Choice *c, const Contraction *k, ProductTile tile,
                          const int *row_axis)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int width = tile.vectors * target_lanes(c->target, 4), size = tile.rows[1];
    const int64_t rows = row_axis[1] >= 0 ? axis_extent(s, st, row_axis[1], 0) : 0,
                  tiles = rows / size;
    const double a = contraction_a_bytes(s, k), b = (double)contraction_b_bytes(s, k, width);
    const double panels = (double)((axis_extent(s, st, k->vector_axis, 4096) + width - 1) / width);
    for (int r = 0; r < st->naxes; r++) {
        if (r != row_axis[1] && k->row_axes >> r & 1) {
            return 0;
        }
    }
    if (rows == 0 || rows % size != 0 || contraction_rows_collide(c->target, s, k, tile) ||
        contraction_rows_first(c, k, tile, row_axis)) {
        return 0;
    }
    const double half = (double)c->target->l2 / 2, left = (double)c->target->l2 - 2 * b / panels;
    const double room = left < half ? left : half,
                 enough = (double)(enough_rows(c->target) / size) * a / (double)tiles;
    int64_t block = (int64_t)((room < enough ? room : enough) / (a / (double)tiles));
    while (block > 1 && tiles % block != 0) {
        block--;
    }
    const double bytes = a + (double)(tiles / (block > 0 ? block : 1)) * b;
    const bool fits =
        block >= LEAST_BLOCK && block < tiles && b / panels <= 0.3 * (double)c->target->l2;
    return fits && bytes < panels_first_bytes(c, a, b, b / panels, panels, (double)tiles)
               ? (int)block
               : 0;
}
