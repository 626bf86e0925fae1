/* halve_products: products by constant matrices in seven products of halves instead of eight
 * (op/strassen.h).
 *
 *     y = matmul(x, w)        ->  y = matmul(x, w, u) strassen=1,  u = einsum(reshape(w), sums)
 *     y = gemm(x, w, c)       ->  the same, and an addition
 *
 * if asked to (--precision f32-fast), where it is cheaper: an eighth of the products is worth more
 * than the sums of parts of x and of the products, and than reading u, 7/4 times as large as w,
 * which comes from memory once a run. u is computed by constant folding; w then has no reader left.
 *
 * It must be asked for, as rows are paired, and one is rounded as coarsely as its neighbour is
 * large: beside a row 1000 times as large its error is 6e-4, where plain sums have 3e-7. Of a
 * batch of vectors (x of rank 2) nobody knows that they have to do with each other, and what is
 * wrong with one must not be felt by another: only rows are paired that are the last but one dim
 * of a tensor of rank 3 or more, positions of one sequence say, also where it is reshaped into a
 * matrix first. */
#include <math.h>
#include <string.h>

#include "base/map.h"
#include "op/strassen.h"
#include "pass/cost.h"
#include "pass/edit.h"

#define PEAK_SHARE 0.85            /* of products, in a network */
/* cycles for a vector of each of the four parts of x, by what products lose beside them .. */
#define SUMS_BEFORE 48.0
#define SUMS_BEHIND 56.0           /* .. and of the result */
/* of fewer, tiles are too few, and weights come too seldom to use */
#define LEAST_ROWS 96
#define MARGIN 1.03                /* it rounds more coarsely, and takes memory */

typedef struct Product {
    int64_t matrices, rows, sum, columns;
} Product;

static int64_t known_dim(const Graph *g, ValueId v, int k)
{
    int64_t n;
    return expr_is_int(g->x, g->value.at[v].dim[k], &n) ? n : 0;
}

/* The dims that a matrix x is reshaped from where its last, of extent `sum`, is made of the last of
 * them: how many these are. 0: it is not. */
static int dims_of_rows(const Graph *g, ValueId from, int64_t sum)
{
    int d = g->value.at[from].rank;
    int64_t n = 1;
    while (d > 1 && n < sum) {
        n *= known_dim(g, from, --d);
    }
    return n == sum ? d : 0;
}

/* May rows of x be paired? Gives their count, and that of matrices; 0: open. */
static bool rows_of(const Graph *g, ValueId x, Product *p)
{
    const Value *v = &g->value.at[x];
    const int row = strassen_row_axis(g->x, v->rank, v->dim);
    p->matrices = 1;
    p->rows = known_dim(g, x, row);
    for (int k = 0; k < row; k++) {
        p->matrices *= known_dim(g, x, k);
    }
    if (v->rank > 2) {
        return true;
    }
    const NodeId made = v->producer;
    if (made < 0 || g->node.at[made].op != OP_RESHAPE) {
        return false;
    }
    const ValueId from = g->node.at[made].in[0];
    const int d = dims_of_rows(g, from, known_dim(g, x, 1));
    const int64_t rows =
        d < 2 ? 0 : known_dim(g, from, strassen_row_axis(g->x, d + 1, g->value.at[from].dim));
    return rows > 0 && (rows == p->rows || rows % 2 == 0);
}

/* Is it a product by a constant matrix that can be taken in halves? */
static bool product_of(const Graph *g, NodeId id, const Target *t, Product *p)
{
    const Node *n = &g->node.at[id];
    const bool gemm = n->op == OP_GEMM, trans = gemm && node_int(n, "transB", 0) != 0;
    if ((n->op != OP_MATMUL && !gemm) || (!gemm && n->nin > STRASSEN_INPUT) ||
        !is_constant_term(g, n->in[1]) ||
        (gemm && (node_int(n, "transA", 0) != 0 || node_float(n, "alpha", 1) != 1 ||
                  node_float(n, "beta", 1) != 1))) {
        return false;
    }
    const Value *x = &g->value.at[n->in[0]], *w = &g->value.at[n->in[1]];
    if (w->rank != 2 || x->rank < 2 || w->dtype != DT_F32 || !rows_of(g, n->in[0], p)) {
        return false;
    }
    p->sum = known_dim(g, n->in[1], trans);
    p->columns = known_dim(g, n->in[1], !trans);
    const int64_t whole = 2 * target_lanes(t, 4);
    return p->matrices > 0 && p->rows >= LEAST_ROWS && p->sum > 0 && p->sum % whole == 0 &&
           p->columns > 0 && p->columns % whole == 0;
}

/* Cycles of one core. */
static bool is_cheaper(const Product *p, const Target *t)
{
    const double lanes = target_lanes(t, 4),
                 rate = lanes * (t->fma_per_cycle > 0 ? t->fma_per_cycle : 1) * PEAK_SHARE;
    const double rows = (double)(p->matrices * p->rows),
                 pairs = (double)(p->matrices * ((p->rows + 1) / 2));
    const double weights = (double)(p->sum * p->columns);
    const double plain = fmax(rows * weights / rate, 4 * weights / MEMORY_BYTES_PER_CYCLE);
    const double products = STRASSEN_PRODUCTS * pairs * weights / 4 / rate;
    const double sums =
        pairs / 2 / lanes * ((double)p->sum * SUMS_BEFORE + (double)p->columns * SUMS_BEHIND);
    return (fmax(products, STRASSEN_PRODUCTS * weights / MEMORY_BYTES_PER_CYCLE) + sums) * MARGIN <
           plain;
}

/* ---- rewriting ---- */

/* What is there for others to use: the sums' factors (0: not made yet), and u by w. */
typedef struct Shared {
    ValueId factors;
    IntMap u;
} Shared;

static ValueId factors_of_sums(Graph *g)
{
    Error e = {0};
    Tensor *t = tensor_new(DT_F32, 3, (const int64_t[]){STRASSEN_PRODUCTS, 2, 2}, &e);
    if (!t) {
        fail(g->ctx, e.code, "%s", e.message);
    }
    memcpy(t->data, strassen_weights, sizeof strassen_weights);
    return graph_constant(g, "strassen_sums", t);
}

static ValueId insert(Graph *g, NodeId before, OpCode op, const char *what, ValueId a, ValueId b,
                      const char *equation)
{
    const ValueId in[2] = {a, b};
    const NodeId n = insert_node(g, before, op, what, b < 0 ? 1 : 2, in);
    if (equation) {
        node_set_string(g, n, "equation", equation);
    }
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

/* (7, K/2, N/2), of w's halves: (2, K/2, 2, N/2), or of those of its transposed form. */
static ValueId summed_weight(Graph *g, NodeId id, const Product *p, bool trans, Shared *shared)
{
    const ValueId w = g->node.at[id].in[1];
    const uint64_t key = (uint64_t)w * 2 + trans;
    ValueId u = intmap_get(&shared->u, key, -1);
    if (u < 0) {
        shared->factors = shared->factors ? shared->factors : factors_of_sums(g);
        const int64_t rows = p->sum / 2, columns = p->columns / 2;
        const int64_t halves[4] = {2, trans ? columns : rows, 2, trans ? rows : columns};
        const ValueId parts =
            insert(g, id, OP_RESHAPE, "halves", w, graph_const_ints(g, "halves", 4, halves), NULL);
        u = insert(g, id, OP_EINSUM, "strassen", parts, shared->factors,
                   trans ? "hnak,qah->qkn" : "akhn,qah->qkn");
        intmap_put(&shared->u, key, u);
    }
    return u;
}

/* Makes of node id, a Gemm, a MatMul and what is added; returns the MatMul. */
static NodeId split_gemm(Graph *g, NodeId id, bool trans)
{
    const Node gemm = g->node.at[id];
    const ValueId w =
        trans ? insert(g, id, OP_TRANSPOSE, "transposed", gemm.in[1], -1, NULL) : gemm.in[1];
    const ValueId terms[2] = {gemm.in[0], w};
    const NodeId product = insert_node(g, id, OP_MATMUL, "product", 2, terms);
    op_infer_node(g, product);
    const ValueId y = g->node.at[product].out[0];
    const bool adds = gemm.nin > 2 && gemm.in[2] >= 0;
    change_node(g, id, adds ? OP_ADD : OP_IDENTITY, adds ? 2 : 1,
                (const ValueId[]){y, adds ? gemm.in[2] : -1});
    return product;
}

static void use_halves(Graph *g, NodeId id, const Product *p, Shared *shared)
{
    const bool gemm = g->node.at[id].op == OP_GEMM,
               trans = gemm && node_int(&g->node.at[id], "transB", 0) != 0;
    const ValueId u = summed_weight(g, id, p, trans, shared);
    const NodeId product = gemm ? split_gemm(g, id, trans) : id;
    Node *n = &g->node.at[product];
    ValueId *in = arena_array_of(g->ctx->arena, STRASSEN_INPUT + 1, ValueId);
    in[0] = n->in[0];
    in[1] = n->in[1];
    in[STRASSEN_INPUT] = u;
    n->in = in;
    n->nin = STRASSEN_INPUT + 1;
    node_set_int(g, product, "strassen", 1);
}

Graph *pass_halve_products(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    Shared shared = {.u = intmap_new(ctx->arena)};
    /* Not in bodies: only what the main block computes from constants is folded. */
    for (int i = 0; i < g->block.at[0].node.len && opt->precision == PRECISION_F32_FAST; i++) {
        const NodeId id = g->block.at[0].node.at[i];
        Product p;
        if (product_of(g, id, &opt->target, &p) && is_cheaper(&p, &opt->target)) {
            use_halves(g, id, &p, &shared);
            ++*count;
            while (g->block.at[0].node.at[i] != id) {
                i++; /* over what was put in front of it */
            }
        }
    }
    return g;
}
