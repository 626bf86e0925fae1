/* Runs one node with the reference executor: the tests of ops.
 *
 *     NodeTest t = node_test_new();
 *     node_input(&t, DT_F32, 1, DIMS(3), data);
 *     node_set_int(t.g, node_make(&t, OP_X, 1), "axis", 0);
 *     node_run(&t);
 *     ... node_float_at(&t, 0, i) ...
 *     node_test_free(&t); */
#ifndef LATHE_TESTS_OP_RUN_NODE_H
#define LATHE_TESTS_OP_RUN_NODE_H

#include "check.h"

#include "op/op.h"
#include "op/reference.h"

#define NODE_TEST_MAX 16
#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

typedef struct NodeTest {
    Arena *arena;
    Error error;
    Graph *g;
    int nin, nfed;
    ValueId in[NODE_TEST_MAX];  /* inputs of the node; -1: absent */
    Tensor *fed[NODE_TEST_MAX]; /* for the graph's inputs */
    int nout;
    Tensor *out[NODE_TEST_MAX];
} NodeTest;

static void node_test_graph(Context *ctx, void *arg)
{
    Context *kept = arena_dup(ctx->arena, ctx, sizeof *ctx); /* outlives the job */
    kept->entry = NULL;
    ((NodeTest *)arg)->g = graph_new(kept);
}

static inline NodeTest node_test_new(void)
{
    NodeTest t = {.arena = arena_new()};
    assert_int_equal(job_run(t.arena, node_test_graph, &t, &t.error, NULL), 0);
    return t;
}

static inline void node_test_free(NodeTest *t)
{
    for (int k = 0; k < t->nfed; k++)
        tensor_unref(t->fed[k]);
    for (int k = 0; k < t->nout; k++)
        tensor_unref(t->out[k]);
    arena_free(t->arena);
}

static inline Tensor *node_tensor(DType type, int rank, const int64_t *dims, const void *data)
{
    Tensor *t = tensor_new(type, rank, dims, NULL);
    assert_non_null(t);
    memcpy(t->data, data, (size_t)tensor_elements(t) * (size_t)dtype_size(type));
    return t;
}

/* The next input of the node: a graph input with this data, a constant, or nothing. */
static inline ValueId node_input(NodeTest *t, DType type, int rank, const int64_t *dims,
                                 const void *data)
{
    Expr d[MAX_RANK];
    for (int k = 0; k < rank; k++)
        d[k] = expr_int(t->g->x, dims[k]);
    const ValueId v = graph_value(t->g, "x", type, rank, d);
    vec_push(t->arena, &t->g->block.at[0].input, v);
    t->fed[t->nfed++] = node_tensor(type, rank, dims, data);
    return t->in[t->nin++] = v;
}

static inline ValueId node_const(NodeTest *t, DType type, int rank, const int64_t *dims,
                                 const void *data)
{
    return t->in[t->nin++] = graph_constant(t->g, "c", node_tensor(type, rank, dims, data));
}

static inline void node_absent(NodeTest *t)
{
    t->in[t->nin++] = -1;
}

static inline void node_outputs(NodeTest *t, NodeId id)
{
    for (int k = 0; k < t->g->node.at[id].nout; k++)
        vec_push(t->arena, &t->g->block.at[0].output, t->g->node.at[id].out[k]);
}

/* The node, with all inputs so far; its outputs become the graph's. */
static inline NodeId node_make(NodeTest *t, OpCode op, int nout)
{
    const NodeId id = graph_node(t->g, 0, op, "tested", t->nin, t->in, nout, NULL);
    node_outputs(t, id);
    return id;
}

static void node_test_job(Context *ctx, void *arg)
{
    NodeTest *t = arg;
    t->g->ctx = t->g->x->ctx = ctx;
    op_infer_graph(t->g);
    reference_run(ctx, t->g, t->fed, t->out);
    t->nout = t->g->block.at[0].output.len;
}

/* Infers, runs, fills out[]; returns 0 or what failed. */
static inline int node_try(NodeTest *t)
{
    return job_run(t->arena, node_test_job, t, &t->error, NULL);
}

static inline void node_run(NodeTest *t)
{
    const int code = node_try(t);
    if (code)
        print_error("%s\n", t->error.message);
    assert_int_equal(code, 0);
}

static inline double node_float_at(const NodeTest *t, int k, int64_t element)
{
    const Tensor *out = t->out[k];
    assert_true(element < tensor_elements(out));
    return dtype_read(out->dtype, (const char *)out->data + element * dtype_size(out->dtype));
}

#endif
