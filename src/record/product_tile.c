/* How many rows and vectors a register tile of a product has: chosen analytically. The accumulators, one row of B vectors and
 * one broadcast fit the register file; per step of the sum a tile costs max(FMA, load, latency) cycles; remainders waste work.
 * An open count of rows gets tiles of several sizes, of which a run takes one (`tile j 6 shift or 4 2`). */
#include "record/templates.h"

#define FMA_SLACK 4.4   /* cycles between uses of an accumulator: latency 4 and some slack */
#define LOADS_PER_CYCLE 2
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
AxisTile product_rows(const Target *t, int rows, int vectors, int64_t low, int64_t high)
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
