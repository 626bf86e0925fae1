/* Random small graphs: whatever the early passes do, the results stay.
 *
 * Each graph runs on the reference executor before, and after each pass in order. Graphs come in
 * two kinds. Exact ones have elementwise and moving ops on constants that are powers of two and on
 * inputs with NaN, infinities and both zeros: results must not change by a bit (but for which NaN
 * it is). Others have products, normalisations and any constants: results may be rounded
 * differently, by little against the largest number anywhere in the graph. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "op/op.h"
#include "op/reference.h"
#include "pass/pass.h"

enum { GRAPHS = 400, NODES = 14, FIRST_SEED = 1, POOL = 64 };

typedef struct Random {
    Graph *g;
    uint64_t state;
    bool exact;
    int nvalues;
    ValueId value[POOL]; /* f32, of rank 1 to 4 */
} Random;

static uint64_t draw(Random *r)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return r->state >> 33;
}

static int below(Random *r, int n)
{
    return (int)(draw(r) % (uint64_t)n);
}

#define PICK(r, list) ((list)[below(r, (int)(sizeof(list) / sizeof *(list)))])

/* ---- values ---- */

static float number(Random *r)
{
    static const float exact[] = {0.0f, -0.0f, 1, -1, 2, 0.5f, 8, -4}, plain[] = {1, -1, 2};
    if (r->exact)
        return PICK(r, exact);
    if (below(r, 4) == 0)
        return PICK(r, plain);
    return 0.25f + (float)below(r, 1000) / 500 * (below(r, 2) ? 1 : -1);
}

static void fill(Random *r, Tensor *t)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, 3e38f};
    float *p = t->data;
    for (int64_t k = 0; k < tensor_elements(t); k++) {
        p[k] = (float)below(r, 2001) / 500 - 2;
        if (r->exact && below(r, 3) == 0)
            p[k] = PICK(r, special);
    }
}

static ValueId constant(Random *r, int rank, const int64_t *dims, bool uniform)
{
    Tensor *t = tensor_new(DT_F32, rank, dims, NULL);
    assert_non_null(t);
    float *p = t->data;
    const float same = number(r);
    for (int64_t k = 0; k < tensor_elements(t); k++)
        p[k] = uniform ? same : number(r);
    return graph_constant(r->g, "c", t);
}

static ValueId ints(Random *r, int n, const int64_t *v)
{
    return graph_const_ints(r->g, "i", n, v);
}

static const Value *value_of(const Random *r, ValueId v)
{
    return &r->g->value.at[v];
}

static ValueId some(Random *r)
{
    return r->value[below(r, r->nvalues)];
}

/* The size of axis k, -1 if it is a symbol. */
static int64_t size(const Random *r, ValueId v, int k)
{
    int64_t n = -1;
    expr_is_int(r->g->x, value_of(r, v)->dim[k], &n);
    return n;
}

static void keep(Random *r, ValueId v)
{
    if (r->nvalues < POOL && value_of(r, v)->rank > 0 && value_of(r, v)->rank <= 4)
        r->value[r->nvalues++] = v;
}

static NodeId node(Random *r, OpCode op, int nin, const ValueId *in)
{
    return graph_node(r->g, 0, op, NULL, nin, in, 1, NULL);
}

static ValueId done(Random *r, NodeId n)
{
    op_infer_node(r->g, n);
    return r->g->node.at[n].out[0];
}

static ValueId make(Random *r, OpCode op, int nin, const ValueId *in)
{
    return done(r, node(r, op, nin, in));
}

static ValueId pair(Random *r, OpCode op, ValueId a, ValueId b)
{
    return make(r, op, 2, (const ValueId[]){a, b});
}

/* ---- steps ---- */

static ValueId unary(Random *r, ValueId x)
{
    static const OpCode smooth[] = {OP_NEG, OP_ABS, OP_RELU, OP_SIGMOID, OP_TANH, OP_IDENTITY};
    static const OpCode exact[] = {OP_NEG, OP_ABS,  OP_RELU,  OP_FLOOR,   OP_CEIL,
                                   OP_SIGN, OP_ROUND, OP_IDENTITY, OP_RECIPROCAL};
    return make(r, r->exact ? PICK(r, exact) : PICK(r, smooth), 1, &x);
}

/* With a constant: one number, one a last axis, or one an axis 1; sometimes of a larger rank. */
static ValueId with_constant(Random *r, ValueId x)
{
    static const OpCode ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_MUL, OP_MAX, OP_MIN, OP_SUM};
    const int rank = value_of(r, x)->rank;
    int64_t dims[MAX_RANK] = {1, 1, 1, 1, 1};
    int n = below(r, 3) == 0 ? below(r, 5) : 0;
    if (below(r, 3) == 0 && size(r, x, rank - 1) > 0)
        dims[0] = size(r, x, rank - 1), n = 1;
    else if (below(r, 3) == 0 && rank == 4 && size(r, x, 1) > 0)
        dims[0] = size(r, x, 1), n = 3;
    const bool uniform = n == 0 || below(r, 2);
    const ValueId c = constant(r, n, dims, uniform);
    const OpCode op = PICK(r, ops);
    if (r->exact && below(r, 5) == 0)
        return pair(r, OP_DIV, x, c);
    if (r->exact && below(r, 8) == 0)
        return pair(r, OP_POW, x, graph_const_scalar(r->g, "e", DT_F32, 1 + below(r, 2)));
    return below(r, 2) ? pair(r, op, x, c) : pair(r, op, c, x);
}

static ValueId same_shape_pair(Random *r, ValueId x)
{
    static const OpCode ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_SUM};
    ValueId y = x;
    for (int k = 0; k < 6; k++) {
        const ValueId v = some(r);
        const Value *a = value_of(r, x), *b = value_of(r, v);
        bool same = a->rank == b->rank;
        for (int d = 0; same && d < a->rank; d++)
            same = a->dim[d] == b->dim[d];
        y = same ? v : y;
    }
    const ValueId z = pair(r, PICK(r, ops), x, y);
    return r->exact ? z : make(r, OP_TANH, 1, &z); /* keeps numbers small */
}

static ValueId transpose(Random *r, ValueId x)
{
    const int rank = value_of(r, x)->rank;
    int64_t perm[MAX_RANK];
    for (int k = 0; k < rank; k++) {
        const int at = below(r, k + 1);
        perm[k] = perm[at];
        perm[at] = k;
    }
    const NodeId n = node(r, OP_TRANSPOSE, 1, &x);
    if (below(r, 3))
        node_set_ints(r->g, n, "perm", rank, perm);
    return done(r, n);
}

static ValueId reshape(Random *r, ValueId x)
{
    const int rank = value_of(r, x)->rank;
    const int64_t axis = below(r, rank + 1);
    int64_t shape[MAX_RANK] = {0};
    NodeId n;
    switch (below(r, 4)) {
    case 0:
        return pair(r, OP_UNSQUEEZE, x, ints(r, 1, &axis));
    case 1:
        for (int k = 0; k < rank; k++)
            if (size(r, x, k) == 1 && rank > 1)
                return pair(r, OP_SQUEEZE, x, ints(r, 1, (const int64_t[]){k}));
        return x;
    case 2:
        n = node(r, OP_FLATTEN, 1, &x);
        node_set_int(r->g, n, "axis", axis);
        return done(r, n);
    default: /* joins the axes from one on, or splits the last */
        for (int k = 0; k < rank; k++)
            shape[k] = 0;
        if (below(r, 2) && size(r, x, rank - 1) > 0 && size(r, x, rank - 1) % 2 == 0 && rank < 4) {
            shape[rank - 1] = size(r, x, rank - 1) / 2;
            shape[rank] = 2;
            return pair(r, OP_RESHAPE, x, ints(r, rank + 1, shape));
        }
        shape[axis < rank ? axis : rank - 1] = -1;
        return pair(r, OP_RESHAPE, x, ints(r, (int)(axis < rank ? axis + 1 : rank), shape));
    }
}

static ValueId cast(Random *r, ValueId x, DType to)
{
    const NodeId n = node(r, OP_CAST, 1, &x);
    node_set_int(r->g, n, "to", to);
    return done(r, n);
}

static ValueId casts(Random *r, ValueId x)
{
    static const DType exact[] = {DT_F64, DT_F16, DT_I32, DT_I8, DT_BOOL, DT_BF16, DT_I64};
    for (int k = below(r, 3); k >= 0; k--)
        x = cast(r, x, r->exact ? PICK(r, exact) : DT_F64);
    return cast(r, x, DT_F32);
}

static ValueId choose(Random *r, ValueId x)
{
    const int rank = value_of(r, x)->rank;
    const int64_t all = INT64_MAX, zero = 0, pads[2 * MAX_RANK] = {0};
    const int64_t axis = below(r, rank), start = below(r, 3) == 0 && size(r, x, (int)axis) > 1;
    const bool yes = below(r, 2);
    Tensor *t;
    switch (below(r, 6)) {
    case 0:
        return make(r, OP_CLIP, 3,
                    (const ValueId[]){x, graph_const_scalar(r->g, "low", DT_F32, number(r)),
                                      graph_const_scalar(r->g, "high", DT_F32, number(r))});
    case 1:
        return make(r, OP_SLICE, 4,
                    (const ValueId[]){x, ints(r, 1, &start), ints(r, 1, &all), ints(r, 1, &axis)});
    case 2:
        return pair(r, OP_PAD, x, ints(r, 2 * rank, pads));
    case 3: {
        const NodeId n = node(r, OP_CONCAT, 1 + below(r, 2), (const ValueId[]){x, x});
        node_set_int(r->g, n, "axis", axis);
        return done(r, n);
    }
    case 4:
        t = tensor_new(DT_BOOL, 0, NULL, NULL);
        *(bool *)t->data = yes;
        return make(r, OP_WHERE, 3,
                    (const ValueId[]){graph_constant(r->g, "which", t), x,
                                      graph_const_scalar(r->g, "other", DT_F32, 1)});
    default:
        return pair(r, OP_EXPAND, x, ints(r, 1, (const int64_t[]){zero + 1}));
    }
}

/* The same once more: what common_subexpressions is for. */
static ValueId again(Random *r)
{
    const Block *b = &r->g->block.at[0];
    if (b->node.len == 0)
        return some(r);
    const Node old = r->g->node.at[b->node.at[below(r, b->node.len)]];
    if (value_of(r, old.out[0])->dtype != DT_F32)
        return some(r);
    const NodeId n = node(r, old.op, old.nin, old.in);
    for (int k = 0; k < old.nattr; k++)
        node_set_attr(r->g, n, old.attr[k]);
    return done(r, n);
}

/* ---- products ---- */

static ValueId per_channel(Random *r, int64_t channels, int rank)
{
    return constant(r, rank, (const int64_t[]){channels, 1, 1}, false);
}

static ValueId convolution(Random *r, ValueId x)
{
    static const OpCode scales[] = {OP_MUL, OP_ADD, OP_SUB, OP_DIV};
    const int64_t c = size(r, x, 1);
    if (value_of(r, x)->rank != 4 || c < 1 || size(r, x, 2) < 3 || size(r, x, 3) < 3)
        return x;
    const bool across = below(r, 4) == 0, grouped = below(r, 3) == 0;
    const int64_t k = across ? c : grouped ? c : 2 + below(r, 3), size_of = 1 + 2 * below(r, 2);
    const int64_t group = grouped ? c : 1;
    const bool pad = below(r, 2);
    if (below(r, 3) == 0)
        x = pair(r, PICK(r, scales), x, per_channel(r, c, 3));
    const int64_t forward[] = {k, c / group, size_of, size_of};
    const int64_t back[] = {c, k / group, size_of, size_of};
    const ValueId variance = pair(r, OP_MAX, graph_const_scalar(r->g, "v", DT_F32, 0.5),
                                  per_channel(r, k, 1));
    const ValueId in[3] = {x, constant(r, 4, across ? back : forward, false), per_channel(r, k, 1)};
    const NodeId n = node(r, across ? OP_CONV_TRANSPOSE : OP_CONV, 2 + below(r, 2), in);
    node_set_int(r->g, n, "group", group);
    if (pad && size_of == 3)
        node_set_ints(r->g, n, "pads", 4, (const int64_t[]){1, 1, 1, 1});
    ValueId y = done(r, n);
    if (below(r, 3) == 0)
        y = make(r, OP_BATCH_NORMALIZATION, 5,
                 (const ValueId[]){y, per_channel(r, k, 1), per_channel(r, k, 1),
                                   per_channel(r, k, 1), variance});
    for (int i = below(r, 3); i > 0; i--)
        y = pair(r, PICK(r, scales), y, per_channel(r, k, 3));
    return make(r, OP_TANH, 1, &y);
}

static ValueId product(Random *r, ValueId x)
{
    static const OpCode scales[] = {OP_MUL, OP_ADD, OP_SUB, OP_DIV};
    const int rank = value_of(r, x)->rank;
    const int64_t k = size(r, x, rank - 1), n = 2 + below(r, 3);
    if (rank < 2 || k < 1)
        return x;
    const int64_t columns[] = {n};
    ValueId y = -1;
    for (int several = 1 + below(r, 3); several > 0; several--) {
        if (y >= 0)
            keep(r, make(r, OP_TANH, 1, &y));
        if (rank == 2 && below(r, 2)) {
            const ValueId w = constant(r, 2, (const int64_t[]){n, k}, false);
            const ValueId in[3] = {x, w, constant(r, 1, columns, false)};
            const NodeId id = node(r, OP_GEMM, 2 + below(r, 2), in);
            node_set_int(r->g, id, "transB", 1);
            node_set_float(r->g, id, "alpha", 1 + below(r, 2));
            y = done(r, id);
        } else {
            y = pair(r, OP_MATMUL, x, constant(r, 2, (const int64_t[]){k, n}, false));
        }
        for (int i = below(r, 3); i > 0; i--)
            y = pair(r, PICK(r, scales), y, constant(r, 1, columns, below(r, 2)));
    }
    return make(r, OP_TANH, 1, &y);
}

/* ---- towers ---- */

/* x (24,6), or (2,3,4,6), and weights: (6,64), turned, or for each of the batch. */
typedef struct Tower {
    int form;
    bool bias, clip, second;
} Tower;

static ValueId tower_product(Random *r, const Tower *t, ValueId x, int64_t k, int64_t n)
{
    const ValueId bias = constant(r, 1, &n, false);
    if (t->form == 0) {
        const ValueId in[3] = {x, constant(r, 2, (const int64_t[]){n, k}, false), bias};
        const NodeId id = node(r, OP_GEMM, 2 + t->bias, in);
        node_set_int(r->g, id, "transB", 1);
        return done(r, id);
    }
    const bool own = t->form == 2;
    const ValueId w =
        constant(r, own ? 4 : 2, own ? (const int64_t[]){2, 3, k, n} : (const int64_t[]){k, n},
                 false);
    const ValueId y = pair(r, OP_MATMUL, x, w);
    return t->bias ? pair(r, OP_ADD, y, below(r, 2) ? bias : constant(r, 0, NULL, true)) : y;
}

/* What combine_batch is for: products of different inputs, one or two behind each other. */
static void towers(Random *r)
{
    const Tower t = {below(r, 4), below(r, 2), below(r, 2), below(r, 2)};
    const ValueId low = graph_const_scalar(r->g, "low", DT_F32, 0);
    const ValueId high = graph_const_scalar(r->g, "high", DT_F32, 1);
    ValueId x = r->value[0];
    if (t.form == 0)
        x = pair(r, OP_RESHAPE, x, ints(r, 2, (const int64_t[]){-1, 6}));
    const int64_t k = 6;
    for (int i = 0; i < 3 + below(r, 3); i++) {
        const ValueId scaled = pair(r, OP_MUL, x, constant(r, 1, &k, false));
        ValueId y = tower_product(r, &t, make(r, OP_SOFTMAX, 1, &scaled), 6, 64);
        if (t.clip)
            y = make(r, OP_CLIP, 3, (const ValueId[]){y, low, below(r, 8) ? high : low});
        if (t.second)
            y = tower_product(r, &t, y, 64, 6);
        keep(r, make(r, OP_SOFTMAX, 1, &y));
    }
}

static ValueId step(Random *r)
{
    const ValueId x = some(r);
    switch (below(r, r->exact ? 9 : 12)) {
    case 0:
        return unary(r, x);
    case 1:
    case 2:
        return with_constant(r, x);
    case 3:
        return same_shape_pair(r, x);
    case 4:
        return transpose(r, x);
    case 5:
        return reshape(r, x);
    case 6:
        return casts(r, x);
    case 7:
        return choose(r, x);
    case 8:
        return again(r);
    case 9:
        return product(r, x);
    default:
        return convolution(r, r->value[0]);
    }
}

/* ---- a graph ---- */

static void make_graph(Random *r, bool symbolic, bool has_towers)
{
    Graph *g = r->g;
    static const int64_t dims[2][4] = {{2, 3, 4, 6}, {2, 6, 1, 1}};
    for (int k = 0; k < 2; k++) {
        Expr d[4];
        for (int i = 0; i < 4; i++)
            d[i] = expr_int(g->x, dims[k][i]);
        if (symbolic)
            d[0] = expr_sym(g->x, "N", 1, 64, 1);
        const ValueId v = graph_value(g, "x", DT_F32, k == 0 ? 4 : 2, d);
        vec_push(g->ctx->arena, &g->block.at[0].input, v);
        keep(r, v);
    }
    if (has_towers)
        towers(r);
    for (int k = 0; k < NODES; k++)
        keep(r, step(r));
    const int *uses = graph_count_uses(g);
    for (int v = 0; v < g->value.len; v++)
        if (g->value.at[v].producer >= 0 && (uses[v] == 0 || below(r, 8) == 0))
            vec_push(g->ctx->arena, &g->block.at[0].output, v);
}

static void run(Context *ctx, const Graph *g, Tensor *const *in, Tensor **out)
{
    Graph view = *g;
    view.ctx = ctx;
    reference_run(ctx, &view, in, out);
}

/* The largest finite number that any node makes. */
static double largest(Context *ctx, const Graph *g, Tensor *const *in)
{
    Reference *ref = reference_new(ctx, g);
    for (int k = 0; k < g->block.at[0].input.len; k++)
        reference_set(ref, g->block.at[0].input.at[k], in[k]);
    reference_block(ref, 0);
    double most = 1;
    for (int v = 0; v < g->value.len; v++) {
        const Tensor *t = ref->value[v];
        for (int64_t k = 0; t && t->dtype == DT_F32 && k < tensor_elements(t); k++) {
            const double x = fabs((double)((const float *)t->data)[k]);
            most = isfinite(x) && x > most ? x : most;
        }
    }
    return most;
}

static bool same(const Tensor *got, const Tensor *want, double tolerance)
{
    const bool exact = tolerance == 0;
    for (int64_t k = 0; k < tensor_elements(want); k++) {
        const size_t at = (size_t)k * (size_t)dtype_size(want->dtype);
        const double a = dtype_read(got->dtype, (const char *)got->data + at);
        const double b = dtype_read(want->dtype, (const char *)want->data + at);
        if (isnan(a) && isnan(b))
            continue;
        if (a == b && !exact)
            continue;
        if (exact ? a != b || signbit(a) != signbit(b) : !(fabs(a - b) <= tolerance))
            return false;
    }
    return true;
}

/* It says all of a graph, so one that stays the same needs no other run; what a pass does without
 * counting it is seen. */
static const char *text_of(const Graph *g)
{
    Str s = str_new(g->ctx->arena);
    graph_print(g, &s);
    return str_text(&s);
}

static void show(const Graph *before, const Graph *after, const char *what, int seed, int output)
{
    Str s = str_new(before->ctx->arena);
    graph_print(before, &s);
    str_add(&s, "---- becomes ----\n");
    graph_print(after, &s);
    fprintf(stderr, "%s\nseed %d, output %d: %s\n", str_text(&s), seed, output, what);
}

typedef struct Trial {
    int seed;
    int *done; /* by pass: how often it did something, over all seeds */
} Trial;

static void check_seed(Context *ctx, void *arg)
{
    const Trial *trial = arg;
    const int seed = trial->seed;
    Random r = {.state = (uint64_t)seed * 0x9e3779b97f4a7c15u, .exact = seed % 2 == 0};
    r.g = graph_new(ctx);
    const bool has_towers = seed % 15 == 1; /* not of open sizes */
    make_graph(&r, seed % 3 == 0, has_towers);
    PassOptions opt = {0};
    Error e = {0};
    assert_int_equal(target_find("avx2", &opt.target, &e), 0);
    if (has_towers) /* slow enough for small products to be work */
        opt.target.vector_bytes = 4, opt.target.fma_per_cycle = 1;
    Tensor *in[2], *want[POOL * 4], *got[POOL * 4];
    in[0] = tensor_new(DT_F32, 4, (const int64_t[]){2, 3, 4, 6}, NULL);
    in[1] = tensor_new(DT_F32, 2, (const int64_t[]){2, 6}, NULL);
    fill(&r, in[0]);
    fill(&r, in[1]);
    run(ctx, r.g, in, want);
    const double tolerance = r.exact ? 0 : 2e-5 * largest(ctx, r.g, in);
    const Graph *g = r.g;
    const char *text = text_of(g);
    const int noutput = g->block.at[0].output.len;
    for (int p = 0; p < pass_count; p++) {
        if (pass_rows[p].phase != PASS_EARLY)
            continue;
        int count = 0, more = 0;
        const Graph *next = pass_rows[p].run(ctx, g, &opt, &count);
        Str why = str_new(ctx->arena);
        if (!graph_verify(next, true, &why)) {
            show(g, next, str_text(&why), seed, -1);
            FAIL_MSG("%s breaks the graph", pass_rows[p].name);
        }
        pass_rows[p].run(ctx, next, &opt, &more);
        if (more > 0) {
            show(g, next, "not at rest", seed, -1);
            FAIL_MSG("%s has %d more to do when it is done", pass_rows[p].name, more);
        }
        const char *before = text;
        text = text_of(next);
        if (count == 0 && strcmp(text, before) == 0)
            continue;
        run(ctx, next, in, got);
        for (int k = 0; k < noutput; k++) {
            const Value *a = &g->value.at[g->block.at[0].output.at[k]];
            const Value *b = &next->value.at[next->block.at[0].output.at[k]];
            if (!same(got[k], want[k], tolerance) || strcmp(a->name, b->name) != 0) {
                show(g, next, a->name, seed, k);
                FAIL_MSG("%s changes a result", pass_rows[p].name);
            }
            tensor_unref(got[k]);
        }
        trial->done[p] += count;
        g = next;
    }
    for (int k = 0; k < noutput; k++)
        tensor_unref(want[k]);
    tensor_unref(in[0]);
    tensor_unref(in[1]);
}

static void test_results_stay(void **state)
{
    /* what the graphs are made for: each must have had something to do */
    static const char *const meant[] = {"remove_identity", "common_subexpressions", "simplify",
                                        "remove_dead", "fold_batch_norm", "fold_scale",
                                        "combine_parallel", "combine_batch"};
    (void)state;
    int *done_by = calloc((size_t)pass_count, sizeof *done_by);
    for (int k = 0; k < GRAPHS; k++) {
        Trial trial = {.seed = FIRST_SEED + k, .done = done_by};
        Arena *a = arena_new();
        Error e = {0};
        if (job_run(a, check_seed, &trial, &e, NULL) != 0)
            FAIL_MSG("seed %d: %s", trial.seed, e.message);
        arena_free(a);
    }
    for (size_t k = 0; k < sizeof meant / sizeof *meant; k++) {
        const int p = pass_find(meant[k]);
        assert_true(p >= 0 && done_by[p] > 0);
        print_message("%s: %d\n", meant[k], done_by[p]);
    }
    free(done_by);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
