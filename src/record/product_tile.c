/* How many rows and vectors a register tile of a product has: chosen analytically. The
 * accumulators, one row of B vectors and one broadcast fit the register file; per step of the sum a
 * tile costs max(FMA, load, latency) cycles; remainders waste work. An open count of rows gets
 * tiles of several sizes, of which a run takes those it needs (`tile j 6 shift or 5 4 2 1`). */
#include "record/templates.h"

#define FMA_SLACK 4.4   /* cycles between uses of an accumulator: latency 4 and some slack */
#define LOADS_PER_CYCLE 2
#define OPEN_USE 0.97   /* of a tile, where an extent is not known */
#define REST_USE 0.99   /* .. whose last rows take code of their own */
/* .. whose last tile overlaps the one before; measured: rows that tiles divide take 4 to 10 %
 * less */
#define SHIFT_USE 0.96
#define PEEL_GAIN 0.02  /* of the time: for the rows that are left to get code of their own */
#define L2_SLACK 1.33  /* cycles a vector of a panel that comes from L2 .. */
#define PANEL_SHARE 0.1 /* .. of which so much is not hidden */
#define MOST_OUTER 5    /* rows of the outer axis in a tile */
#define LOAD_SLACK 1.4 /* measured: tiles that fill the load ports run at two thirds of the model */

/* Cycles of one step of the sum, in a tile of so many rows and vectors whose panel is in L1. */
static double step_cycles(const Target *t, int rows, int vectors)
{
    const double fma = (double)rows * vectors / t->fma_per_cycle;
    const double load = LOAD_SLACK * (vectors + rows) / LOADS_PER_CYCLE;
    const double cycles = fma > load ? fma : load;
    return cycles > FMA_SLACK ? cycles : FMA_SLACK;
}

/* .. or comes from L2, where it is too large. */
static double tile_cycles(const Target *t, int rows, int vectors, int64_t sum)
{
    const double cycles = step_cycles(t, rows, vectors), panel = L2_SLACK * vectors;
    const bool fits = sum * vectors * t->vector_bytes <= t->l1;
    return fits ? cycles : (cycles > panel ? cycles : panel) + PANEL_SHARE * panel;
}

/* Cycles of one step of the sum for all rows (0: an open count; for one of them), in tiles of
 * `size` and one of what is left. */
static double all_rows(const Target *t, int64_t rows, int size, int vectors, int64_t sum)
{
    if (rows == 0) {
        return tile_cycles(t, size, vectors, sum) / size / OPEN_USE;
    }
    const int rest = (int)(rows % size);
    return (double)(rows / size) * tile_cycles(t, size, vectors, sum) +
           (rest ? tile_cycles(t, rest, vectors, sum) : 0);
}

/* Does it pay to give the rows that are left code of their own? Else the last tile overlaps the one
 * before. */
static bool peels(const Target *t, int64_t rows, int size, int vectors)
{
    const double shifted = (double)((rows + size - 1) / size) * step_cycles(t, size, vectors);
    return rows > 0 && all_rows(t, rows, size, vectors, 0) < (1 - PEEL_GAIN) * shifted;
}

static bool is_open(ProductTile tile, ProductSize p)
{
    return p.inner == 0 || (tile.rows[0] > 1 && p.outer == 0);
}

/* Cycles of one step of the sum for all rows (one, where they are open) and so many vectors of
 * columns. Where rows are so few that their products take not much longer than the panel takes to
 * come, only one tile of all rows takes both at once: where several meet it, each from L2 again,
 * nothing was hidden. */
static double column_cycles(const Target *t, ProductTile tile, ProductSize p, int vectors)
{
    if (is_open(tile, p)) {
        return all_rows(t, 0, tile.rows[0] * tile.rows[1], vectors, p.sum);
    }
    const int64_t outer = p.outer > 0 ? p.outer : 1;
    const int64_t tiles =
        (outer + tile.rows[0] - 1) / tile.rows[0] * ((p.inner + tile.rows[1] - 1) / tile.rows[1]);
    const double cycles =
        tile.rows[0] > 1
            ? (double)tiles * tile_cycles(t, tile.rows[0] * tile.rows[1], vectors, p.sum)
            : (double)outer * all_rows(t, p.inner, tile.rows[1], vectors, p.sum);
    const double far = p.far ? (double)vectors * t->vector_bytes / t->l3_rate : 0;
    return tiles > 1 ? cycles + far : cycles > far ? cycles : far;
}

/* Useful FMAs per cycle. */
static double tile_score(const Target *t, ProductTile tile, ProductSize p)
{
    const int lanes = target_lanes(t, 4), nv = tile.vectors;
    const int64_t vectors = (p.width + lanes - 1) / lanes;
    double useful = is_open(tile, p) ? 1 : (double)(p.inner * (p.outer > 0 ? p.outer : 1));
    if (tile.rows[0] == 1 && p.inner % tile.rows[1]) {
        useful *= peels(t, p.inner, tile.rows[1], nv) ? REST_USE : SHIFT_USE;
    }
    if (p.width == 0) {
        return useful * nv * OPEN_USE / column_cycles(t, tile, p, nv);
    }
    const double cycles = (double)(vectors / nv) * column_cycles(t, tile, p, nv) +
                          (vectors % nv ? column_cycles(t, tile, p, (int)(vectors % nv)) : 0);
    return useful * (double)p.width / lanes / cycles;
}

ProductTile product_tile(const Target *t, ProductSize p)
{
    ProductTile best = {.rows = {1, 1}, .vectors = 1, .score = 0};
    const int lanes = target_lanes(t, 4);
    for (int nv = 1; nv <= 4; nv++) {
        if (nv > 1 && p.width > 0 &&
            (p.width <= (nv - 1) * lanes ||
             (p.whole && p.width % lanes == 0 && p.width % (nv * lanes) != 0))) {
            continue;
        }
        for (int ro = 1; ro <= MOST_OUTER; ro++) {
            for (int ri = 1; ri <= 28; ri++) {
                const int acc = ro * ri * nv;
                if (acc + nv + 1 > t->vector_regs || (p.most_rows > 0 && ro * ri > p.most_rows) ||
                    (p.outer > 0 && ro > p.outer) || (p.inner > 0 && ri > p.inner)) {
                    continue;
                }
                ProductTile tile = {.rows = {ro, ri}, .vectors = nv};
                tile.score = tile_score(t, tile, p);
                const double used =
                    p.inner > 0 ? (double)p.inner / (double)((p.inner + ri - 1) / ri * ri) : 1;
                tile.score *= 1 + 0.001 * used * acc - 0.002 * ro; /* ties: more reuse, simpler */
                best = tile.score > best.score ? tile : best;
            }
        }
    }
    return best;
}

/* ---- open counts of rows ---- */

/* of the time: what it may take longer than in tiles of the best size .. */
#define OPEN_WASTE 1.1
/* .. where B is no constant either: attention, which takes next to no time where rows are few */
#define INPUTS_WASTE 2.0
/* measured: few rows wait for B to come from memory, and the fewer their instructions, the less */
#define ROW_CYCLES 0.5

/* Cycles a step of the sum for one tile of so many rows. */
static double rows_cycles(const Target *t, int rows, int vectors)
{
    return step_cycles(t, rows, vectors) + ROW_CYCLES * rows;
}

/* The worst count of rows from `low` on: how much longer does it take than with tiles of any
 * size? */
static double worst_waste(const Target *t, const AxisTile *tile, int vectors, int64_t low,
                          int64_t high)
{
    double worst = 1;
    for (int64_t rows = low; rows <= high; rows++) {
        const int parts = (int)((rows + tile->factor[0] - 1) / tile->factor[0]);
        const int part = (int)(rows / parts), more = (int)(rows % parts); /* of one row more */
        const double best = (parts - more) * rows_cycles(t, part, vectors) +
                            more * rows_cycles(t, part + 1, vectors);
        const double taken = (parts - more) * rows_cycles(t, tile_size_for(tile, part), vectors) +
                             more * rows_cycles(t, tile_size_for(tile, part + 1), vectors);
        worst = taken / best > worst ? taken / best : worst;
    }
    return worst;
}

/* How many rows there will be is not known: where tiles of one size may waste too much, others
 * stand beside it, those that help most, as few as will do. */
AxisTile product_rows(const Target *t, int rows, int vectors, int64_t low, int64_t high,
                      bool weights)
{
    AxisTile tile = {.n = 1, .factor = {rows}, .tail = TAIL_SHIFT};
    if (low == high) { /* what `rows` was chosen for */
        tile.tail = peels(t, low, rows, vectors) ? TAIL_PEEL : TAIL_SHIFT;
        return tile;
    }
    low = low > 1 ? low : 1;
    /* beyond, one tile more or less is little */
    high = high < low + 3 * rows ? high : low + 3 * rows;
    double waste = worst_waste(t, &tile, vectors, low, high);
    while (waste > (weights ? OPEN_WASTE : INPUTS_WASTE) && tile.nother < MAX_OTHERS) {
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
