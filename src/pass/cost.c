/* See cost.h: the estimates. */
#include "pass/cost.h"

#include <math.h>

#include "loop/intrinsic.h"
#include "op/conv.h"
#include "op/winograd.h"
#include "pass/edit.h"
#include "pass/node_facts.h"

#define GHZ 3.0                /* nominal: estimates are in cycles */
#define DIRECT_SHARE 0.85      /* of the peak, in a network */
#define PRODUCTS_SHARE 0.8
#define CACHE_BYTES_PER_CYCLE 16.0 /* images */
/* it rounds more coarsely: it must be faster by this, as far as can be told */
#define WINOGRAD_MARGIN 1.15
#define COPY_CYCLES 1.2        /* an element, across layouts: one side is not contiguous */
#define SCATTER_CYCLES 1.0     /* an element of a product's result, stored one by one */
#define START_CYCLES 1500.0    /* a kernel of its own */
#define PAIRS_RATE 1.3         /* of i16: each product of pairs takes an addition; measured */
#define TILES_RATE 16.0
/* of a vector, or a row of a tile, that are worth having side by side */
#define PART_CHANNELS 8
/* factors that an instruction on tiles multiplies at once: pairs of bf16 */
#define GROUP_BYTES 4
#define LEAST_USE 0.8          /* of lanes, for vectors whose last one is no whole one */
#define WIDENED_RATE 0.5       /* each element is converted first */

/* f32 and what is narrower; sums of integers. */
static bool is_pixel(DType t)
{
    return t == DT_F32 || t == DT_BF16 ||
           (dtype_is_int(t) && dtype_bits(t) >= 8 && dtype_bits(t) <= 32);
}

/* Are elements of the type factors on the target's tiles? */
static bool on_tiles(DType type, const Target *t)
{
    return intrinsic_find_tile(t, type, type, DT_F32) >= 0 ||
           intrinsic_find_tile(t, type, type, DT_I32) >= 0;
}

/* Channels in a block: of a row of tiles, or of a vector; 0: some would be left over. */
static int whole_block(const Value *v, int64_t channels, const Target *t)
{
    const int row = TILE_ROW_BYTES / dtype_size(v->dtype), lanes = target_lanes(t, 4);
    return on_tiles(v->dtype, t) && channels % row == 0 ? row : channels % lanes == 0 ? lanes : 0;
}

/* Do so many fill vectors well enough, where masks cost nothing? The last one may idle in part. */
static bool fills_vectors(int64_t channels, const Target *t)
{
    const int lanes = target_lanes(t, 4);
    const int64_t vectors = (channels + lanes - 1) / lanes;
    return t->masks && (double)channels >= LEAST_USE * (double)(vectors * lanes);
}

/* Channels that are worth having side by side come in these: parts of a vector, groups of an
 * instruction on tiles. */
static int part_channels(DType type, int64_t channels, const Target *t)
{
    const bool pairs =
        (type == DT_BF16 && on_tiles(type, t)) || (type == DT_F32 && fills_vectors(channels, t));
    return pairs ? GROUP_BYTES / dtype_size(DT_BF16) : PART_CHANNELS;
}

/* Where whole blocks would leave some over, or fill but half a row of a tile, channels of a pixel
 * lie side by side, if they fill parts of vectors: 24, 40, 120 with 16 lanes; under masks also 58,
 * and such images of bf16 are made and read without being turned; of bf16 for tiles all pairs, as
 * no other layout has them. */
static bool in_pixels(const Value *v, int64_t channels, const Target *t)
{
    const int block = whole_block(v, channels, t);
    const bool half =
        on_tiles(v->dtype, t) && block > 0 && block * dtype_size(v->dtype) < TILE_ROW_BYTES;
    return channels >= PART_CHANNELS && channels % part_channels(v->dtype, channels, t) == 0 &&
           (block == 0 || half);
}

int image_block(const Graph *g, ValueId v, const Target *t)
{
    const Value *value = &g->value.at[v];
    int64_t channels;
    if (value->rank != 4 || !is_pixel(value->dtype) ||
        !expr_is_int(g->x, value->dim[1], &channels)) {
        return 0;
    }
    return in_pixels(value, channels, t) ? part_channels(value->dtype, channels, t)
                                         : whole_block(value, channels, t);
}

Layout image_layout(const Graph *g, ValueId v, ImageLayout kind, const Target *t)
{
    int64_t channels = 0;
    expr_is_int(g->x, g->value.at[v].dim[1], &channels);
    return kind == IMAGE_PLAIN ? (Layout){0}
           : in_pixels(&g->value.at[v], channels, t)
               ? (Layout){.n = 4, .dim = {{0, 0}, {2, 0}, {3, 0}, {1, 0}}}
               : (Layout){
                     .n = 5,
                     .dim = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, (int32_t)image_block(g, v, t)}}};
}

bool image_fits(const Graph *g, ValueId v, ImageLayout kind, const Target *t)
{
    const Value *value = &g->value.at[v];
    return value->rank == 4 && is_pixel(value->dtype) &&
           (kind == IMAGE_PLAIN || image_block(g, v, t) > 0);
}

/* ---- sizes ---- */

/* Open sizes count as `open`. */
static double dim_of(const Graph *g, ValueId v, int k, double open)
{
    int64_t n;
    return expr_is_int(g->x, g->value.at[v].dim[k], &n) ? (double)n : open;
}

static double elements(const Graph *g, ValueId v)
{
    double n = 1;
    for (int k = 0; k < g->value.at[v].rank; k++) {
        n *= dim_of(g, v, k, k == 0 ? 1 : 64);
    }
    return n;
}

static double whole_vectors(const Target *t, double n)
{
    const double lanes = target_lanes(t, 4);
    return ceil(n / lanes) * lanes;
}

/* Of the images that the node reads, or makes. */
typedef struct Images {
    double elements, bytes;
} Images;

static Images images_of(const Graph *g, const Node *n, bool out)
{
    Images sum = {0};
    for (int k = 0; k < (out ? n->nout : n->nin); k++) {
        const ValueId v = out ? n->out[k] : n->in[k];
        if (v >= 0 && !g->value.at[v].constant) {
            sum.elements += elements(g, v);
            sum.bytes += elements(g, v) * dtype_size(g->value.at[v].dtype);
        }
    }
    return sum;
}

/* ---- convolutions ---- */

/* Vector products a cycle, times lanes. */
static double product_rate(const Target *t)
{
    return (double)target_lanes(t, 4) * (t->fma_per_cycle > 0 ? t->fma_per_cycle : 1);
}

static bool all_are(const Node *n, const char *name, int64_t value)
{
    const int64_t *v;
    const int count = node_ints(n, name, &v);
    for (int k = 0; k < count; k++) {
        if (v[k] != value) {
            return false;
        }
    }
    return true;
}

int winograd_tiles(const Graph *g, NodeId id, int m[COST_TILES])
{
    const Node *n = &g->node.at[id];
    if (n->op != OP_CONV || node_int(n, "group", 1) != 1 || !all_are(n, "strides", 1) ||
        !all_are(n, "dilations", 1) || !is_constant_term(g, n->in[1])) {
        return 0;
    }
    const ValueId w = n->in[1], y = n->out[0];
    if (g->value.at[w].rank != 4 || g->value.at[w].dtype != DT_F32 ||
        dim_of(g, w, 2, 0) != WINOGRAD_KERNEL || dim_of(g, w, 3, 0) != WINOGRAD_KERNEL) {
        return 0;
    }
    for (int k = 0; k < 4; k++) {
        if (dim_of(g, w, k, 0) <= 0 || (k >= 2 && dim_of(g, y, k, 0) <= 0)) {
            return 0;
        }
    }
    m[0] = 2;
    m[1] = 4;
    return COST_TILES;
}

static ValueId weight_of(const Node *n)
{
    const int w = conv_inputs(n->op).w;
    return n->in[w < 0 ? 1 : w]; /* of other products the second factor */
}

/* How much faster than f32 a convolution goes that reads its image so. */
static double narrow_rate(const Costs *c, const Graph *g, const Node *n, NodeForm form)
{
    const Target *t = &c->target;
    const DType x = g->value.at[n->in[0]].dtype, w = g->value.at[weight_of(n)].dtype;
    if (x == DT_F32 || w == DT_F32) {
        return c->products;
    }
    const DType sum = dtype_is_int(x) ? DT_I32 : DT_F32;
    bool swap;
    const int row = intrinsic_find(t, x, w, sum, &swap);
    if (form.in == IMAGE_PLAIN) {
        return WIDENED_RATE; /* no group of channels is side by side */
    }
    return intrinsic_find_tile(t, x, w, sum) >= 0 ? TILES_RATE
           : row < 0                              ? WIDENED_RATE
           : x == DT_I16                          ? PAIRS_RATE
                                                  : intrinsic_row(row)->group;
}

/* Bytes a cycle that weights come at: where L3 is slow, memory behind it gives one core half as
 * much (Granite Rapids: 30 and 15 GB/s). */
static double weights_rate(const Target *t)
{
    return t->l3_rate > 0 ? fmin(MEMORY_BYTES_PER_CYCLE, t->l3_rate / 2.0) : MEMORY_BYTES_PER_CYCLE;
}

/* Products at the target's rate; weights, which come from memory once a run. */
static double direct_cycles(const Costs *c, const Graph *g, NodeId id, const NodeFacts *f,
                            NodeForm form)
{
    const Target *t = &c->target;
    const Node *n = &g->node.at[id];
    const ValueId w = weight_of(n);
    const double outputs = dim_of(g, n->out[0], 1, 64);
    const double lanes_used = outputs / whole_vectors(t, outputs);
    const double rate = product_rate(t) * narrow_rate(c, g, n, form) * DIRECT_SHARE * lanes_used;
    const double bytes = dtype_size(g->value.at[w].dtype) * elements(g, w);
    return fmax(f->work / rate, bytes / lanes_used / weights_rate(t));
}

/* The same for n*n/9 times as many weights, and the transforms: a few operations and a load or
 * store for each element of a tile. */
static double winograd_cycles(const Graph *g, NodeId id, int m, const Target *t)
{
    const Node *node = &g->node.at[id];
    const ValueId w = node->in[1], y = node->out[0];
    const double n = m + WINOGRAD_KERNEL - 1, channels = dim_of(g, w, 1, 0),
                 outputs = whole_vectors(t, dim_of(g, w, 0, 0));
    const double pairs = channels * outputs;
    const double tiles =
        dim_of(g, y, 0, 1) * ceil(dim_of(g, y, 2, 0) / m) * ceil(dim_of(g, y, 3, 0) / m);
    /* Two products of n x n matrices, half of whose elements are 0 or shared; what does not fit
     * registers is spilled. */
    const double transform = n * n * (n / 2 + 2.5);
    const double transforms =
        tiles * (whole_vectors(t, channels) + outputs) / target_lanes(t, 4) * transform;
    const double products = n * n * tiles * pairs / (product_rate(t) * PRODUCTS_SHARE);
    return WINOGRAD_MARGIN * (fmax(products, n * n * 4 * pairs / weights_rate(t)) + transforms);
}

static double convolution_cycles(const Costs *c, const Graph *g, NodeId id, const NodeFacts *f,
                                 NodeForm form)
{
    const double cycles = form.variant ? winograd_cycles(g, id, form.variant, &c->target)
                                       : direct_cycles(c, g, id, f, form);
    return cycles + (form.out == IMAGE_PLAIN
                         ? SCATTER_CYCLES * images_of(g, &g->node.at[id], true).elements
                         : 0);
}

/* ---- the rest ---- */

/* Of rows of w in whole vectors. */
static double row_use(const Graph *g, const Node *n, const Target *t)
{
    const Value *y = &g->value.at[n->out[0]];
    const double w = y->rank == 4 ? dim_of(g, n->out[0], 3, 64) : 64;
    return fmax(w / whole_vectors(t, w), 1.0 / target_lanes(t, 4));
}

static double pass_cycles(const Graph *g, NodeId id, const NodeFacts *f, const Target *t,
                          NodeForm form)
{
    const Node *n = &g->node.at[id];
    const Images in = images_of(g, n, false), out = images_of(g, n, true);
    const bool windows = f->keeps_channels && f->kind != NODE_POINTWISE && form.out == IMAGE_PLAIN;
    const double use = windows ? row_use(g, n, t) : 1;
    double cycles =
        fmax(f->work / (target_lanes(t, 4) * use), (in.bytes + out.bytes) / CACHE_BYTES_PER_CYCLE);
    if (form.in != form.out) {
        cycles += COPY_CYCLES * fmin(in.elements, out.elements);
    }
    return cycles;
}

static double estimate(const Costs *c, const Graph *g, NodeId id, const NodeFacts *f, NodeForm form)
{
    const double cycles = f->makes_channels ? convolution_cycles(c, g, id, f, form)
                                            : pass_cycles(g, id, f, &c->target, form);
    return cycles / GHZ;
}

bool node_may_be_view(Graph *g, NodeId id, const NodeFacts *f)
{
    return (f->kind == NODE_POINTWISE || f->kind == NODE_MOVE) &&
           node_views(g, id).kind != VIEW_NONE;
}

void cost_forms(const Costs *c, Graph *g, NodeId id, const NodeFacts *f, int nforms,
                const NodeForm *form, double *ns)
{
    /* before casts it would say f32's */
    bool measured = c->table && (c->products == 1 || !f->makes_channels);
    const bool view = nforms > 1 && node_may_be_view(g, id, f);
    Arena *scratch = arena_child(g->ctx->arena);
    for (int k = 0; k < nforms && measured; k++) {
        const char *key = cost_key(scratch, g, id, &c->target, form[k]);
        ns[k] = key ? cost_table_find(c->table, c->name, key) : 0;
        measured = ns[k] > 0 || (view && form[k].in == form[k].out);
    }
    arena_free(scratch);
    for (int k = 0; k < nforms; k++) {
        if (view && form[k].in == form[k].out) {
            ns[k] = 0;
        } else if (!measured) {
            ns[k] = estimate(c, g, id, f, form[k]);
        }
    }
}

double cost_copy(const Costs *c, Graph *g, ValueId v, ImageLayout from, ImageLayout to)
{
    Arena *scratch = arena_child(g->ctx->arena);
    const char *key = c->table ? cost_copy_key(scratch, g, v, &c->target, from, to) : NULL;
    const double ns = key ? cost_table_find(c->table, c->name, key) : 0;
    arena_free(scratch);
    return ns > 0 ? ns : (COPY_CYCLES * elements(g, v) + START_CYCLES) / GHZ;
}
