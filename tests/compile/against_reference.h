/* A graph's text compiled for this machine, run, and compared with the reference executor. */
#ifndef LATHE_TESTS_COMPILE_AGAINST_REFERENCE_H
#define LATHE_TESTS_COMPILE_AGAINST_REFERENCE_H

#include "check.h"

#include "compile/compile.h"
#include "op/op.h"
#include "op/reference.h"

/* Ends the test with a message. */
#define give_up(...)                                                                               \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        assert_true(false);                                                                        \
    } while (0)

typedef struct Built {
    const char *text;
    int64_t memory_limit;
    const char *level; /* of the target; NULL: this machine */
    Compiled c;
    Error error;
} Built;

static inline CompileOptions options(void)
{
    return (CompileOptions){.target = target_native(), .threads = 2};
}

static inline void build_job(Context *ctx, void *arg)
{
    Built *b = arg;
    CompileOptions opt = options();
    opt.memory_limit = b->memory_limit;
    if (b->level)
        assert_int_equal(target_find(b->level, &opt.target, &b->error), 0);
    Graph *g = graph_parse(ctx, "test", b->text, strlen(b->text));
    b->c = compile_graph(ctx, g, &opt);
}

static inline Module *build(Built *b)
{
    Arena *a = arena_new();
    Module *m;
    if (job_run(a, build_job, b, &b->error, NULL) != 0)
        give_up("%s", b->error.message);
    if (module_new(a, b->c.program, &b->c.image, &m, &b->error) != 0)
        give_up("%s", b->error.message);
    return m;
}

typedef struct Want {
    const char *text;
    Tensor *const *in;
    Tensor *out[8];
} Want;

static inline void reference_job(Context *ctx, void *arg)
{
    Want *w = arg;
    Graph *g = graph_parse(ctx, "test", w->text, strlen(w->text));
    op_infer_graph(g);
    reference_run(ctx, g, w->in, w->out);
}

/* Runs with these inputs and compares all outputs with the reference's. */
static inline void compare(Run *r, const Module *m, const char *text, Tensor *const *in)
{
    Arena *a = arena_new();
    Want w = {.text = text, .in = in};
    Error e = {0};
    if (job_run(a, reference_job, &w, &e, NULL) != 0)
        give_up("reference: %s", e.message);
    for (int i = 0; i < module_program(m)->ninput; i++)
        if (run_set_input(r, i, in[i], &e) != 0)
            give_up("%s", e.message);
    if (run_execute(r, &e) != 0)
        give_up("%s", e.message);
    for (int i = 0; i < module_program(m)->noutput; i++) {
        /* by Winograd's way terms may cancel that are larger than those of the plain sum */
        const TensorDiff d = tensor_compare(run_output(r, i), w.out[i], 1e-5, 1e-5);
        if (!d.same_type || !d.same_shape || d.mismatches)
            give_up("output %d: %s, expected %s, %lld differ", i,
                    tensor_describe(a, run_output(r, i)), tensor_describe(a, w.out[i]),
                    (long long)d.mismatches);
        tensor_unref(w.out[i]);
    }
    arena_free(a);
}

static inline Tensor *tensor_of(DType t, int rank, const int64_t *dims, uint64_t seed)
{
    Error e;
    Tensor *x = tensor_new(t, rank, dims, &e);
    tensor_fill_random(x, seed);
    return x;
}

/* f32 of one size. */
static inline Tensor *random2(int64_t m, int64_t n, uint64_t seed)
{
    return tensor_of(DT_F32, 2, (const int64_t[]){m, n}, seed);
}

typedef struct Fixture {
    Built b;
    Module *m;
    Pool *pool;
    Run *r;
} Fixture;

static inline Fixture fixture(const char *text)
{
    Fixture f = {.b.text = text};
    Error e;
    f.m = build(&f.b);
    assert_int_equal(pool_new(3, &f.pool, &e), 0);
    assert_int_equal(run_new(f.m, f.pool, 0, &f.r, &e), 0);
    return f;
}

static inline void finish(Fixture *f)
{
    run_free(f->r);
    pool_free(f->pool);
    module_unref(f->m);
}

static inline void check2(Fixture *f, int64_t m, int64_t n)
{
    Tensor *x = random2(m, n, (uint64_t)(m * 100 + n));
    compare(f->r, f->m, f->b.text, &x);
    tensor_unref(x);
}

#endif
