/* Templates: each adds entries to a schedule for the stages it knows. Private to record/. */
#ifndef LATHE_RECORD_TEMPLATES_H
#define LATHE_RECORD_TEMPLATES_H

#include "loop/access.h"
#include "loop/schedule.h"

typedef struct Choice {
    Context *ctx;
    Stages *s;          /* after the steps chosen so far */
    const Target *target;
    Schedule *sc;
    const char *source; /* the template of the most expensive stage */
} Choice;

void choose_winograd(Choice *c);     /* products of transformed tiles, with both transforms */
void choose_strassen(Choice *c);     /* products of halves, with the sums before and behind */
void choose_layouts(Choice *c);      /* of temporaries, first: templates look at them */
void choose_scans(Choice *c);        /* ordered axes and what runs inside them */
void choose_contractions(Choice *c); /* register-tiled products */
void choose_reductions(Choice *c);   /* row reductions in lanes */
void choose_windows(Choice *c);      /* depthwise, pooling: accumulators in registers */
void choose_maps(Choice *c);         /* everything that has no entry yet */
/* then: products of products, as attention has them, go inside blocks of rows */
void choose_row_blocks(Choice *c);
void choose_rows(Choice *c);         /* last: what is computed row by row goes inside the rows */

/* A register tile of a product: rows of the two innermost row axes (outer, inner) and vectors. */
typedef struct ProductTile {
    int rows[2];
    int vectors;
    int streams;  /* panels of B that the vectors lie in, side by side; 0: one */
    double score; /* useful FMAs per cycle; higher is better */
} ProductTile;
typedef struct ProductSize {
    int64_t outer, inner, width; /* extents of those axes and of the columns; 0: open */
    int64_t sum;                 /* points; 0: few */
    bool whole;                  /* no panel may be shared with the next group of columns */
    int most_rows;               /* that a tile may have; 0: any */
    /* B comes from a slow L3, and rows are so few that this takes about as long as their
     * products */
    bool far;
} ProductSize;
ProductTile product_tile(const Target *t, ProductSize p);
/* The tiles of a row axis of low to high points, `rows` chosen for the most: where one size may
 * waste too much, others stand beside it. `weights`: B is constant. */
AxisTile product_rows(const Target *t, int rows, int vectors, int64_t low, int64_t high,
                      bool weights);

#define LEAST_PANELS 16 /* to be shared out: fewer are not equal parts */
#define AHEAD_TILES 128 /* that meet a panel: of more, the first one's waiting is next to nothing */
/* bytes a cycle of l3_rate: below, order and blocks avoid it; Zen 3's gains nothing by that */
#define SLOW_L3 12
/* that B's panels keep apart: of a transposed convolution, of a sum in parts */
#define MAX_PHASES 8

static inline bool l3_is_slow(const Target *t)
{
    return t->l3_rate > 0 && t->l3_rate < SLOW_L3;
}

/* A and B exchanged: A's axis `row` goes in lanes. */
Contraction contraction_swap(const Stages *s, const Contraction *k, int row);
/* Do the columns lie in groups, side by side in B: g*32 + n? */
bool contraction_in_groups(const Stages *s, const Contraction *k);
/* Bytes of B for one point of its other axes (the batch, phases); symbolic extents count as
 * large. */
int64_t contraction_b_bytes(const Stages *s, const Contraction *k, int width);
/* How B's summed axis lies in the panels: in blocks of `block` (as in A), and `group` neighbours
 * innermost. 1: neither. */
typedef struct SumBlocks {
    int block, group;
} SumBlocks;
/* The block that A's layout puts on the axis indexed by the first reduction axis; 1: none. */
int contraction_block(const Stages *s, const Contraction *c);
/* Do groups of the first reduction axis lie side by side in A, and may B's panels follow? */
bool contraction_groups(const Stages *s, const Contraction *k, int block, int group);
/* An input A whose rows lie side by side, as in plain images, gives a tile one line of the cache
 * for each point of the sum; where these fill L1 it is copied into blocks along the sum first (k is
 * then of the copy). False: it is not. */
bool contraction_pack_a(Choice *c, Contraction *k, ProductTile tile);
int contraction_panel(const Choice *c, ProductTile tile); /* columns */
/* B in panels of tile.vectors vectors, or of one each, if it can be laid out so without a copy. */
bool contraction_lay_out(Choice *c, const Contraction *k, ProductTile tile, SumBlocks blocks);
/* B in such panels: a constant is laid out so, an input copied where that pays (k is then of the
 * copy). False: it stays as it is. */
bool contraction_panels(Choice *c, Contraction *k, ProductTile tile, SumBlocks blocks);

/* Bytes of A for one point of the axes that A and B share (the batch); symbolic extents count as
 * large. */
double contraction_a_bytes(const Stages *s, const Contraction *k);
/* Which is outermost: row tiles (of these row axes), each of which meets all panels of B, or
 * panels? */
bool contraction_rows_first(const Choice *c, const Contraction *k, ProductTile tile,
                            const int *row_axis);
/* Rows along this axis that stay in L1 if they lie in one set of it: its ways but for two that B
 * passes through. 0: they do not. */
int contraction_rows_in_l1(const Target *t, const Stages *s, const Contraction *k, int axis);
/* Does a tile have more of such rows? It must read them as seldom as can be. */
bool contraction_rows_collide(const Target *t, const Stages *s, const Contraction *k,
                              ProductTile tile);
/* Where A does not stay in L2 while a panel meets all rows, blocks of rows that do may each meet
 * all panels: B is then read once a block. How many tiles a block has; 0: there are none, or they
 * bring more. Measured, 1024 x 1024 x 1024: 0.93 of the time, with constant weights 0.90. A block,
 * its panel and the next one have to stay. */
int contraction_row_block(const Choice *c, const Contraction *k, ProductTile tile,
                          const int *row_axis);
/* The sum of a product in parts, if that pays (sum_parts.c). */
void choose_sum_parts(Choice *c, int stage);

/* The axis of an image, of `axes`, whose halves are to be shared out by threads before all else;
 * -1: none (share.c). Of a product that reads and writes so many bytes of images and reads so many
 * of weights; of a window, or a border, of an image of so many pixels. */
int share_axis(const Choice *c, const Stage *st, uint32_t axes, double image, double weights);
int share_axis_of_window(const Choice *c, const Stage *st, int channels, double pixels);
/* Its loop over halves, now that its tile is known: all other loops of the axis are one level
 * further in. False: tiles do not divide a half, and nothing is changed. */
bool share_halves(const Choice *c, const Stage *st, StageSchedule *os, int axis);
/* Steps of the parallel loop get enough work, of `each` a point (widen.c). */
void widen_steps(const Choice *c, const Stage *st, StageSchedule *ss, double each);

/* The product on tiles of the target (loop/intrinsic.h). False, and nothing is chosen: there are
 * none, or they do not pay. */
bool choose_tiles(Choice *c, Contraction *k, const int *row_axis);

#define TILE_SUMS 4 /* tiles of sums that stay in registers, beside those of operands */
/* The product k by constants on tiles, at a loop of the caller's with at most TILE_SUMS of them
 * inside: can it be? */
bool tiles_fit_inside(const Choice *c, const Contraction *k);
bool choose_tiles_inside(Choice *c, const Contraction *k);

/* The product k in tiles, with one row axis, to be computed at some loop: returns the stage that is
 * to be placed there. Stages from k's on move up by one. */
int choose_product_inside(Choice *c, const Contraction *k, ProductTile tile);

/* Of a bordered image that `acc` alone reads (borders.c): the distance of what neighbours along
 * axis v read in a row, and its rows phase by phase, if they can be. */
int border_row_step(const Stages *s, int acc, int border, int v);
void border_split_phases(Choice *c, int border, int step);

bool choice_has(const Choice *c, int stage); /* an entry exists */
const char *choice_name(const Choice *c, int stage);
StageSchedule *choice_entry(Choice *c, int stage);
/* A plain order for a stage: vector axis in lanes, the others in parallel, reductions inside. */
void choice_fill_map(const Choice *c, const Stage *st, StageSchedule *ss);
/* The stage that becomes the tiled nest around an accumulator: a MAP that reads `stage` point by
 * point, or a copy made for the purpose (cache_write). *acc gets the accumulator's stage. -1: not
 * possible. */
int choice_epilogue(Choice *c, int stage, int *acc);
/* Constant extent of an axis, or `missing`. */
int64_t axis_extent(const Stages *s, const Stage *st, int axis, int64_t missing);
/* Appends a loop to the entry's order; returns its position. */
int order_add(StageSchedule *ss, int axis, int level);
/* The same, unrolled. */
void order_unrolled(StageSchedule *ss, int axis, int level);
/* To be computed inside a loop of `stage`. */
void place_at(StageSchedule *ss, const char *stage, LoopRef loop, BufferScope scope);
/* The MAP that alone reads what `stage` makes; -1: there is none. */
int only_map_reader(const Stages *s, int stage);
bool is_map_of_rank(const Stages *s, int stage, int rank); /* false for stage -1 */
/* Constant dim of what the stage makes; 0: it is open. */
int64_t stage_dim(const Stages *s, int stage, int dim);

#endif
