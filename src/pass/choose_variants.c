/* choose_variants: which of its definitions an op is computed by, where there are several.
 *
 *     y = conv(x, w, b)  ->  y = conv(x, w, b, u) winograd=4,  u = einsum(w, GG)
 *
 * Convolutions of 3x3 kernels, stride 1, with constant weights: directly, or by Winograd's F(m x m, 3 x 3)
 * (op/winograd.h). u, n*n/9 times as large as w, is computed by constant folding; w then has no reader left.
 *
 * The cheaper one is taken, by cycles of one core: products at the target's rate; the transforms, a few operations and
 * a load or store for each element of a tile; and weights, which come from memory once a run, as those of a whole
 * model do not stay in a cache. The model only has to tell twice from half: a variant must be MARGIN faster.
 *
 * m is 2 or 4: 6 was 5 to 15 % faster than 4 on about half of the shapes tried, up to twice as slow on others, and
 * rounds eight times as coarsely. */
#include <math.h>

#include "base/map.h"
#include "op/winograd.h"
#include "pass/edit.h"

#define DIRECT_SHARE 0.85       /* of the peak, in a network */
#define PRODUCTS_SHARE 0.8
#define MEMORY_BYTES_PER_CYCLE 6.0
#define MARGIN 1.15

typedef struct Conv3x3 {
    double images, height, width; /* of the output */
    double channels, outputs;     /* outputs: in whole vectors */
} Conv3x3;

static double positive_dim(const Graph *g, Expr dim)
{
    int64_t n;
    return expr_is_int(g->x, dim, &n) && n > 0 ? (double)n : 0;
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

static double whole_vectors(const Target *t, double n)
{
    const double lanes = target_lanes(t, 4);
    return ceil(n / lanes) * lanes;
}

/* Is it a convolution that the variant can compute, of sizes that are known (but for the batch)? */
static bool conv3x3_of(const Graph *g, NodeId id, const Target *t, Conv3x3 *c)
{
    const Node *n = &g->node.at[id];
    if (n->op != OP_CONV || n->nin > WINOGRAD_INPUT || node_int(n, "group", 1) != 1 || !all_are(n, "strides", 1) ||
        !all_are(n, "dilations", 1) || !is_constant_term(g, n->in[1])) {
        return false;
    }
    const Value *w = &g->value.at[n->in[1]], *y = &g->value.at[n->out[0]];
    if (w->rank != 4 || w->dtype != DT_F32 || positive_dim(g, w->dim[2]) != WINOGRAD_KERNEL ||
        positive_dim(g, w->dim[3]) != WINOGRAD_KERNEL) {
        return false;
    }
    const double images = positive_dim(g, y->dim[0]);
    *c = (Conv3x3){.images = images > 0 ? images : 1, .height = positive_dim(g, y->dim[2]),
                   .width = positive_dim(g, y->dim[3]),
                   .channels = positive_dim(g, w->dim[1]),
                   .outputs = whole_vectors(t, positive_dim(g, w->dim[0]))};
    return c->height > 0 && c->width > 0 && c->channels > 0 && c->outputs > 0;
}

/* Vector products a cycle. */
static double product_rate(const Target *t)
{
    return (double)target_lanes(t, 4) * (t->fma_per_cycle > 0 ? t->fma_per_cycle : 1);
}

/* Products of bf16 go as often faster; 16: AMX. */
static double bf16_rate(const PassOptions *opt)
{
    return opt->precision == PRECISION_F32 ? 1 : opt->target.amx ? 16 : opt->target.bf16 ? 2 : 1;
}

static double direct_cycles(const Conv3x3 *c, const PassOptions *opt)
{
    const Target *t = &opt->target;
    const double rate = bf16_rate(opt);
    const double pairs = c->channels * c->outputs, products = 9 * c->images * c->height * c->width * pairs;
    return fmax(products / (product_rate(t) * rate * DIRECT_SHARE), 9 * 4 * pairs / MEMORY_BYTES_PER_CYCLE);
}

static double winograd_cycles(const Conv3x3 *c, int m, const Target *t)
{
    const double n = m + WINOGRAD_KERNEL - 1, pairs = c->channels * c->outputs;
    const double tiles = c->images * ceil(c->height / m) * ceil(c->width / m);
    /* Two products of n x n matrices, half of whose elements are 0 or shared; what does not fit registers is spilled. */
    const double transform = n * n * (n / 2 + 2.5);
    const double vectors = (whole_vectors(t, c->channels) + c->outputs) / target_lanes(t, 4);
    const double transforms = tiles * vectors * transform;
    const double products = n * n * tiles * pairs / (product_rate(t) * PRODUCTS_SHARE);
    return fmax(products, n * n * 4 * pairs / MEMORY_BYTES_PER_CYCLE) + transforms;
}

static int choose_tile(const Conv3x3 *c, const PassOptions *opt)
{
    const Target *t = &opt->target;
    if (opt->precision == PRECISION_BF16_ALL) {
        return 0; /* Winograd's tiles are not rounded */
    }
    double best = direct_cycles(c, opt) / MARGIN;
    int tile = 0;
    for (int m = 2; m <= 4; m += 2) {
        const double cycles = winograd_cycles(c, m, t);
        if (cycles < best) {
            best = cycles;
            tile = m;
        }
    }
    return tile;
}

/* ---- rewriting ---- */

/* Both steps of G w G' as one: [r][s][i][j] = G[i][r] * G[j][s]. */
static ValueId weight_transform(Graph *g, const Winograd *w)
{
    const int64_t dims[4] = {WINOGRAD_KERNEL, WINOGRAD_KERNEL, w->n, w->n};
    Error e = {0};
    Tensor *t = tensor_new(DT_F32, 4, dims, &e);
    if (!t) {
        fail(g->ctx, e.code, "%s", e.message);
    }
    float *to = t->data;
    for (int tap = 0; tap < WINOGRAD_KERNEL * WINOGRAD_KERNEL; tap++) {
        for (int at = 0; at < w->n * w->n; at++) {
            *to++ = (float)(w->g[at / w->n][tap / WINOGRAD_KERNEL] * w->g[at % w->n][tap % WINOGRAD_KERNEL]);
        }
    }
    return graph_constant(g, "winograd_g", t);
}

/* What is there for others to use: the matrices by m, and u by w and m. */
typedef struct Shared {
    ValueId g[WINOGRAD_MAX + 1]; /* 0: not made yet (0 is w) */
    IntMap u;
} Shared;

static ValueId transformed_weight(Graph *g, NodeId id, int m, Shared *shared)
{
    const ValueId w = g->node.at[id].in[1];
    const uint64_t key = (uint64_t)w * (WINOGRAD_MAX + 1) + (uint64_t)m;
    ValueId u = intmap_get(&shared->u, key, -1);
    if (u < 0) {
        const Winograd matrices = winograd_matrices(m);
        shared->g[m] = shared->g[m] ? shared->g[m] : weight_transform(g, &matrices);
        const ValueId terms[2] = {w, shared->g[m]};
        const NodeId product = insert_node(g, id, OP_EINSUM, "winograd", 2, terms);
        node_set_string(g, product, "equation", "kcrs,rsij->kcij");
        op_infer_node(g, product);
        u = g->node.at[product].out[0];
        intmap_put(&shared->u, key, u);
    }
    return u;
}

static void use_winograd(Graph *g, NodeId id, int m, Shared *shared)
{
    const ValueId u = transformed_weight(g, id, m, shared);
    Node *n = &g->node.at[id];
    ValueId *in = arena_array_of(g->ctx->arena, WINOGRAD_INPUT + 1, ValueId);
    for (int k = 0; k < WINOGRAD_INPUT; k++) {
        in[k] = k < n->nin ? n->in[k] : -1;
    }
    in[WINOGRAD_INPUT] = u;
    n->in = in;
    n->nin = WINOGRAD_INPUT + 1;
    node_set_int(g, id, "winograd", m);
}

Graph *pass_choose_variants(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    Shared shared = {.u = intmap_new(ctx->arena)};
    /* Not in bodies: only what the main block computes from constants is folded. */
    for (int i = 0; i < g->block.at[0].node.len; i++) {
        const NodeId id = g->block.at[0].node.at[i];
        Conv3x3 c;
        const int tile = conv3x3_of(g, id, &opt->target, &c) ? choose_tile(&c, opt) : 0;
        if (tile > 0) {
            use_winograd(g, id, tile, &shared);
            ++*count;
            while (g->block.at[0].node.at[i] != id) {
                i++; /* over what was put in front of it */
            }
        }
    }
    return g;
}
