/* The template for products of transformed tiles (op/winograd.c):
 *
 *     v = transform(image)      MAP, perhaps by way of t
 *     acc[i, j, p, k] += v[i, j, p, c] * u[i, j, c, k]
 *     y = transform(acc)        MAPs z and tile; the output reads an element of a tile
 *
 * What matters is where v and acc lie between the steps: as much of both as stays in the
 * second-level cache. Two forms, by which of image and weights is larger:
 *
 *     rows of tiles    parallel (image, rows of tiles): v of these tiles, then for each block of outputs the products and
 *                      the output's transform. Weights are read once a task, from L2 or L3.
 *     all tiles        a phase for v; parallel (image, block of outputs) for the rest. v is read once a task.
 *
 * The transforms are written out, in registers, a vector of channels at a time; so is what
 * follows them, if it is short. */
#include "loop/access.h"
#include "record/templates.h"

typedef struct Transformed {
    int t, v, acc, z, tile, out; /* stages; t is -1 where v reads the image itself */
    int h, w, k, n;              /* axes of out: rows, columns, outputs, image */
    int m;                       /* elements of a tile along h and w */
    int64_t down, across;        /* tiles */
} Transformed;

/* The stage whose result `stage` loads and that is a temporary MAP; -1: none, or several. */
static int only_producer(const Stages *s, int stage)
{
    int found = -1;
    for (int i = 0; i < s->stage.len; i++) {
        const StageTensor *t = &s->tensor.at[s->stage.at[i].result[0]];
        if (i != stage && t->role == TENSOR_TEMP &&
            stage_loads(s, &s->stage.at[stage], s->stage.at[i].result[0])) {
            if (found >= 0) {
                return -1;
            }
            found = i;
        }
    }
    return found;
}

/* acc's product is batched over two axes, its A is a transform's result, and what reads it is
 * another. */
static bool transformed_of(const Stages *s, int acc, Transformed *w)
{
    Contraction c;
    if (!contraction_of(s, acc, &c) || c.vector_axis != 3 || s->stage.at[acc].naxes != 4 ||
        (c.in_a & c.in_b) != 0x13) { /* i, j and the reduction's c */
        return false;
    }
    *w = (Transformed){
        .acc = acc, .v = s->tensor.at[c.a_tensor].stage, .n = 0, .k = 1, .h = 2, .w = 3};
    w->z = only_map_reader(s, acc);
    w->tile = w->z < 0 ? -1 : only_map_reader(s, w->z);
    w->out = w->tile < 0 ? -1 : only_map_reader(s, w->tile);
    if (!is_map_of_rank(s, w->v, 4) || !is_map_of_rank(s, w->z, 4) ||
        !is_map_of_rank(s, w->tile, 4) || !is_map_of_rank(s, w->out, 4)) {
        return false;
    }
    w->t = only_producer(s, w->v);
    w->m = (int)stage_dim(s, w->tile, 0);
    const Stage *out = &s->stage.at[w->out];
    const int tile = s->stage.at[w->tile].result[0];
    const int64_t height = axis_extent(s, out, w->h, 0), width = axis_extent(s, out, w->w, 0);
    if (!is_map_of_rank(s, w->t, 4) || w->m < 1 || height < 1 || width < 1 ||
        load_dim_of(s, out, tile, out->axis[w->k].var) != 3) {
        return false;
    }
    w->down = (height + w->m - 1) / w->m;
    w->across = (width + w->m - 1) / w->m;
    return true;
}

/* ---- sizes ---- */

/* Tiles whose v is made together: rows of tiles, or a part of one. All rows: v is a phase of its
 * own. */
typedef struct Blocks {
    int rows, columns;
    int outputs; /* of a block */
} Blocks;

/* of an image, at least, where its rows are shared out: two cores get equal parts */
#define TASKS 6

static int largest_share(int64_t whole, int64_t most)
{
    int64_t n = most < whole ? most : whole;
    while (n > 1 && whole % n != 0) {
        n--;
    }
    return n < 1 ? 1 : (int)n;
}

/* v fills half of L2, in whole shares of rows or columns. Where weights are larger than v, they are
 * what should be read once. */
static Blocks choose_blocks(const Choice *c, const Transformed *w)
{
    const Stages *s = c->s;
    const int64_t n2 = stage_dim(s, w->acc, 0) * stage_dim(s, w->acc, 1);
    const int64_t channels = stage_dim(s, w->v, 3), outputs = stage_dim(s, w->acc, 3);
    const int64_t tile_bytes = n2 * channels * 4, weight_bytes = tile_bytes * outputs;
    const Blocks whole = {.rows = (int)w->down, .columns = (int)w->across};
    if (w->down == 1 || w->down * w->across * tile_bytes <= weight_bytes) {
        return whole;
    }
    const int64_t tiles = c->target->l2 / 2 / tile_bytes, rows = tiles / w->across;
    const int64_t most = w->down / TASKS > 1 ? w->down / TASKS : 1;
    return (Blocks){.rows = largest_share(w->down, rows < most ? rows : most),
                    .columns = rows >= 1 ? (int)w->across : largest_share(w->across, tiles)};
}

/* ---- entries ---- */

static bool is_whole(const Transformed *w, Blocks b)
{
    return b.rows == w->down;
}

static void count_math(const Exprs *x, Expr e, void *arg)
{
    const ExprNode *n = expr_node(x, e);
    *(int *)arg += dtype_is_float((DType)n->dtype) && n->op >= EX_SQRT && n->op <= EX_POW;
}

/* Does what is done to each element take many instructions? Then it is a loop over the tile:
 * written out, it would be most of the code, and of the time that compiling takes. */
static bool is_long(const Stages *s, const Transformed *w)
{
    const Stage *out = &s->stage.at[w->out];
    int n = 0;
    for (int k = 0; k < out->nresults; k++)
        expr_walk(s->x, out->update[k], count_math, &n);
    return n > 0;
}

/* The output, tile by tile. Returns the loop over blocks of outputs; *block gets that over blocks
 * of tiles. */
static LoopRef schedule_output(Choice *c, const Transformed *w, Blocks b, LoopRef *block)
{
    const int lanes = target_lanes(c->target, 4);
    StageSchedule *os = choice_entry(c, w->out);
    os->tile[w->h] = (AxisTile){.n = 2, .factor = {b.rows, w->m}, .tail = TAIL_PEEL};
    os->tile[w->w] = (AxisTile){.n = 2, .factor = {b.columns, w->m}, .tail = TAIL_PEEL};
    os->tile[w->k] = (AxisTile){.n = 2, .factor = {b.outputs / lanes, lanes}, .tail = TAIL_PEEL};
    order_add(os, w->n, 0);
    LoopRef outputs = {.axis = (int8_t)w->k, .level = 0};
    if (is_whole(w, b)) {
        order_add(os, w->k, 0);
    }
    order_add(os, w->h, 0);
    *block = os->order[order_add(os, w->w, 0)];
    if (is_whole(w, b)) {
        os->nparallel = 2;
    } else {
        os->nparallel = os->norder;
        order_add(os, w->k, 0);
    }
    order_add(os, w->h, 1);
    order_add(os, w->w, 1);
    const LoopRef vector = os->order[order_add(os, w->k, 1)];
    const bool loops = is_long(c->s, w);
    if (loops) {
        order_add(os, w->h, 2);
        order_add(os, w->w, 2);
    } else {
        order_unrolled(os, w->h, 2);
        order_unrolled(os, w->w, 2);
    }
    os->vector = order_add(os, w->k, 2);
    const char *out = choice_name(c, w->out);
    const int stages[2] = {w->z, w->tile};
    for (int i = 0; i < 2; i++) {
        StageSchedule *ss = choice_entry(c, stages[i]);
        place_at(ss, out, vector, loops && i == 1 ? SCOPE_SCRATCH : SCOPE_REG);
        order_unrolled(ss, 0, 0);
        order_unrolled(ss, 1, 0);
        order_add(ss, 2, 0);
        ss->vector = order_add(ss, 3, 0);
    }
    return outputs;
}

/* `block`: the loop of out over blocks of tiles. */
static void schedule_input(Choice *c, const Transformed *w, Blocks b, LoopRef block)
{
    const int lanes = target_lanes(c->target, 4);
    StageSchedule *vs = choice_entry(c, w->v);
    vs->tile[3] = (AxisTile){.n = 1, .factor = {lanes}, .tail = TAIL_PEEL};
    order_add(vs, 3, 0);
    const LoopRef each = vs->order[order_add(vs, 2, 0)];
    if (is_whole(w, b)) {
        vs->nparallel = 2;
    } else {
        place_at(vs, choice_name(c, w->out), block, SCOPE_SCRATCH);
    }
    order_unrolled(vs, 0, 0);
    order_unrolled(vs, 1, 0);
    vs->vector = order_add(vs, 3, 1);
    StageSchedule *ts = choice_entry(c, w->t);
    place_at(ts, choice_name(c, w->v), each, SCOPE_REG);
    order_unrolled(ts, 0, 0);
    order_unrolled(ts, 1, 0);
    order_add(ts, 2, 0);
    ts->vector = order_add(ts, 3, 0);
}

/* Of blocks of so many outputs: what the larger of two equal parts takes, against half of all. */
static double imbalance(int64_t outputs, int64_t block)
{
    const int64_t blocks = (outputs + block - 1) / block, part = (blocks + 1) / 2 * block;
    return 2.0 * (double)(part < outputs ? part : outputs) / (double)outputs;
}

/* Where blocks of outputs are the tasks, they are few: a tile that is as good and makes equal parts
 * is better on two threads (128 outputs: four blocks of 2 vectors of 16, not 48, 48 and 32). One
 * thread and two count alike. */
static ProductTile choose_products(const Choice *c, const Transformed *w, Blocks b, int64_t outputs)
{
    const int lanes = target_lanes(c->target, 4);
    ProductSize size = {.outer = 1, .inner = (int64_t)b.rows * b.columns, .width = outputs};
    ProductTile best = product_tile(c->target, size);
    double most = 0;
    for (int vectors = is_whole(w, b) ? best.vectors : 0; vectors > 0; vectors--) {
        size.width = vectors * lanes < outputs ? vectors * lanes : outputs;
        const ProductTile tile = product_tile(c->target, size);
        const double score =
            tile.score * 2 / (1 + imbalance(outputs, (int64_t)tile.vectors * lanes));
        if (tile.vectors == vectors && score > most) {
            most = score;
            best = tile;
        }
    }
    return best;
}

/* The products of one (i, j) after the other: a GEMM of tiles and channels, for a block of
 * outputs. */
static bool choose_transformed(Choice *c, int stage)
{
    Transformed w;
    Contraction k;
    if (choice_has(c, stage) || !transformed_of(c->s, stage, &w) ||
        !contraction_of(c->s, stage, &k)) {
        return false;
    }
    const int64_t outputs = stage_dim(c->s, w.acc, 3);
    Blocks b = choose_blocks(c, &w);
    const ProductTile tile = choose_products(c, &w, b, outputs);
    b.outputs = tile.vectors * target_lanes(c->target, 4);
    const int products = choose_product_inside(c, &k, tile);
    w.z++;
    w.tile++;
    w.out++;
    LoopRef tiles;
    const LoopRef block = schedule_output(c, &w, b, &tiles);
    place_at(choice_entry(c, products), choice_name(c, w.out), block, SCOPE_SCRATCH);
    schedule_input(c, &w, b, tiles);
    c->source = "winograd";
    return true;
}

void choose_winograd(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        if (choose_transformed(c, i)) {
            return;
        }
    }
}
