/* What tests of definition variants need: random tensors, constants of a parsed graph replaced by
 * them, and a compiled module run on so many threads. */
#ifndef LATHE_TESTS_RUN_MODULE_H
#define LATHE_TESTS_RUN_MODULE_H

#include "check.h"

#include "compile/compile.h"
#include "tensor/tensor.h"

static inline Tensor *random_tensor(int rank, const int64_t *dims, uint64_t seed)
{
    Error e = {0};
    Tensor *t = tensor_new(DT_F32, rank, dims, &e);
    assert_non_null(t);
    tensor_fill_random(t, seed);
    return t;
}

/* t goes with the graph. */
static inline void set_constant(Graph *g, const char *name, Tensor *t)
{
    tensor_defer(g->ctx->arena, t);
    for (int v = 0; v < g->value.len; v++) {
        Value *value = &g->value.at[v];
        if (value->constant && strcmp(value->name, name) == 0) {
            value->constant = t;
            value->elems = NULL;
            value->nelems = 0;
        }
    }
}

/* Runs on a pool of its own; the result is the caller's. */
static inline Tensor *run_on(Module *m, int threads, int n, Tensor *const *in)
{
    Pool *pool;
    Run *r;
    Error e = {0};
    assert_int_equal(pool_new(threads, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(run_set_input(r, i, in[i], &e), 0);
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s", e.message);
    Tensor *out = tensor_ref(run_output(r, 0));
    run_free(r);
    pool_free(pool);
    return out;
}

#endif
