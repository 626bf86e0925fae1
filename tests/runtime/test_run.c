/* Programs by hand, with kernels in C: shapes, plan, memory, jumps, host routines, damage. */
#include "check.h"

#include <pthread.h>

#include "runtime/program_build.h"
#include "runtime/run.h"

/* y[i] = x[i] + 1 over syms[0] elements in blocks of 16 */
static int KERNEL_CALL add_one(const KernelEnv *env, void *const *bufs, const int64_t *syms,
                               void *scratch, int64_t begin, int64_t end)
{
    (void)env;
    (void)scratch;
    const float *x = bufs[0];
    float *y = bufs[1];
    for (int64_t b = begin; b < end; b++)
        for (int64_t i = b * 16; i < (b + 1) * 16 && i < syms[0]; i++)
            y[i] = x[i] + 1;
    return 0;
}

typedef struct Chain {
    Arena *arena;
    ProgramBuilder *b;
    int n, blocks;
} Chain;

static Chain chain_start(void)
{
    Arena *a = arena_new();
    ProgramBuilder *b = build_new(a);
    const int n = build_var_value(b, build_var(b, "N", 0, 0));
    const int up = build_add(b, n, build_int(b, 15));
    const int blocks = build_op(b, EX_DIV, DT_I64, 2, (const int32_t[]){up, build_int(b, 16)});
    return (Chain){a, b, n, blocks};
}

static ProgramBuffer vector(BufferKind kind, int dim)
{
    return (ProgramBuffer){.kind = (uint8_t)kind,
                           .dtype = DT_F32,
                           .rank = 1,
                           .dim = {dim},
                           .parent = -1,
                           .offset = -1};
}

static void kernel_step(Chain *c, int kernel, int from, int to)
{
    const int32_t a[] = {kernel, 1, 1, 1, 1, from, to, c->n, c->blocks, KERNEL_ONCE};
    build_step(c->b, PSTEP_KERNEL, 10, a);
}

/* in -> t0 -> t1 -> t2 -> out: each adds one. */
static Module *chain_of(int length, KernelPhase phase)
{
    Chain c = chain_start();
    int at = build_port(c.b, "x", vector(BUF_INPUT, c.n));
    const int out = build_port(c.b, "y", vector(BUF_OUTPUT, c.n));
    const int kernel =
        build_kernel(c.b, (ProgramKernel){.name = "add_one", .nphase = 1, .scratch_bytes = 8});
    for (int i = 0; i < length; i++) {
        const int to = i == length - 1 ? out : build_buffer(c.b, vector(BUF_TEMP, c.n));
        kernel_step(&c, kernel, at, to);
        at = to;
    }
    Module *m;
    Error e = {0};
    assert_int_equal(module_new_native(c.arena, build_finish(c.b), &phase, 1, &m, &e), 0);
    return m;
}

static Module *chain_module(int length)
{
    return chain_of(length, add_one);
}

static Tensor *ramp(int64_t n)
{
    Error e;
    Tensor *t = tensor_new(DT_F32, 1, &n, &e);
    for (int64_t i = 0; i < n; i++)
        ((float *)t->data)[i] = (float)i;
    return t;
}

static void run_size(Run *r, int64_t n, float plus)
{
    Error e = {0};
    Tensor *x = ramp(n);
    assert_int_equal(run_set_input(r, 0, x, &e), 0);
    assert_int_equal(run_execute(r, &e), 0);
    const Tensor *y = run_output(r, 0);
    assert_int_equal(y->dim[0], n);
    for (int64_t i = 0; i < n; i++)
        assert_float_equal(((float *)y->data)[i], (float)i + plus, 0);
    tensor_unref(x);
}

static void shapes_change(void **state)
{
    (void)state;
    Module *m = chain_module(4);
    Pool *pool;
    Run *r;
    Error e;
    assert_int_equal(pool_new(3, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    const int64_t sizes[] = {100, 17, 0, 1000, 100, 1, 33, 100};
    for (int i = 0; i < 8; i++)
        run_size(r, sizes[i], 4);
    const RunMemory memory = run_memory(r);
    assert_int_equal(memory.naive, 3 * 448); /* 400 bytes, rounded up to 64 */
    assert_int_equal(memory.planned, 2 * 448);
    /* Shapes seen before, biggest included: nothing more is asked for. */
    for (int i = 0; i < 8; i++)
        run_size(r, sizes[i] < 101 ? sizes[i] : 100, 4);
    assert_int_equal(run_memory(r).allocations, memory.allocations);
    run_free(r);
    pool_free(pool);
    module_unref(m);
}

static void outputs_may_be_kept(void **state)
{
    (void)state;
    Module *m = chain_module(1);
    Pool *pool;
    Run *r;
    Error e;
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    run_size(r, 10, 1);
    Tensor *kept = tensor_ref(run_output(r, 0));
    run_size(r, 20, 1);
    assert_int_equal(kept->dim[0], 10);
    assert_float_equal(((float *)kept->data)[9], 10, 0);
    assert_ptr_not_equal(kept, run_output(r, 0));
    tensor_unref(kept);
    run_free(r);
    pool_free(pool);
    module_unref(m);
}

static void bad_inputs(void **state)
{
    (void)state;
    Module *m = chain_module(2);
    Pool *pool;
    Run *r;
    Error e;
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    assert_int_equal(run_execute(r, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "'x' was not given"));
    Tensor *t = tensor_new(DT_I32, 1, (const int64_t[]){4}, &e);
    assert_int_equal(run_set_input(r, 0, t, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "is i32, the model wants f32"));
    tensor_unref(t);
    t = tensor_new(DT_F32, 2, (const int64_t[]){4, 4}, &e);
    assert_int_equal(run_set_input(r, 0, t, &e), ERR_INVALID);
    assert_int_equal(run_set_input(r, 1, t, &e), ERR_INVALID);
    tensor_unref(t);
    run_free(r);
    pool_free(pool);
    module_unref(m);
}

/* x, five times plus one, by a loop in the steps: state is copied over itself. */
static Module *loop_module(void)
{
    Chain c = chain_start();
    ProgramBuilder *b = c.b;
    const int x = build_port(b, "x", vector(BUF_INPUT, c.n));
    const int out = build_port(b, "y", vector(BUF_OUTPUT, c.n));
    const int state = build_buffer(b, vector(BUF_TEMP, c.n)),
              next = build_buffer(b, vector(BUF_TEMP, c.n));
    const int other = build_buffer(b, vector(BUF_TEMP, c.n)); /* must not be laid over `state` */
    const int kernel = build_kernel(b, (ProgramKernel){.name = "add_one", .nphase = 1});
    const int i = build_var(b, "i", -1, 0), iv = build_var_value(b, i);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){state, -1, x, -1, -1});
    build_step(b, PSTEP_SET, 2, (const int32_t[]){i, build_int(b, 0)});
    build_step(b, PSTEP_EVAL, 1, &i);
    const int less = build_op(b, EX_LT, DT_BOOL, 2, (const int32_t[]){iv, build_int(b, 5)});
    const int top = build_step(b, PSTEP_BRANCH, 2, (const int32_t[]){less, 0});
    kernel_step(&c, kernel, state, next);
    kernel_step(&c, kernel, x, other);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){state, -1, next, -1, -1});
    build_step(b, PSTEP_SET, 2, (const int32_t[]){i, build_add(b, iv, build_int(b, 1))});
    build_step(b, PSTEP_EVAL, 1, &i);
    build_step(b, PSTEP_JUMP, 1, &top);
    build_patch(b, top, 1, b->step.len);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){out, -1, state, -1, -1});
    const KernelPhase phase = add_one;
    Module *m;
    Error e = {0};
    assert_int_equal(module_new_native(c.arena, build_finish(b), &phase, 1, &m, &e), 0);
    return m;
}

static void loops(void **state)
{
    (void)state;
    Module *m = loop_module();
    Pool *pool;
    Run *r;
    Error e;
    assert_int_equal(pool_new(2, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    run_size(r, 100, 5);
    run_size(r, 7, 5);
    run_free(r);
    pool_free(pool);
    module_unref(m);
}

/* NonZero: its output's size is known only when it runs; then it is copied out. */
static void sizes_from_data(void **state)
{
    (void)state;
    Chain c = chain_start();
    ProgramBuilder *b = c.b;
    const int x = build_port(b, "x", vector(BUF_INPUT, c.n));
    const int var = build_var(b, "count", -1, 0), count = build_var_value(b, var);
    ProgramBuffer found = {.kind = BUF_SLOT,
                           .dtype = DT_I64,
                           .rank = 2,
                           .dim = {build_int(b, 1), count},
                           .parent = -1,
                           .offset = -1};
    const int slot = build_buffer(b, found);
    found.kind = BUF_OUTPUT;
    const int out = build_port(b, "y", found);
    const HostArgs args = {{0}, {0}};
    const int32_t call[] = {
        build_text(b, "non_zero"), build_blob(b, &args, sizeof args), 1, 1, 2, x, slot, -1, var};
    build_step(b, PSTEP_EXTERN, 9, call);
    build_step(b, PSTEP_EVAL, 1, &var);
    build_step(b, PSTEP_ALLOC, 1, &out);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){out, -1, slot, -1, -1});
    Module *m;
    Pool *pool;
    Run *r;
    Error e = {0};
    assert_int_equal(module_new_native(c.arena, build_finish(b), NULL, 0, &m, &e), 0);
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    for (int64_t n = 1; n < 200; n += 50) {
        Tensor *t = ramp(n); /* all but the first are not zero */
        assert_int_equal(run_set_input(r, 0, t, &e), 0);
        assert_int_equal(run_execute(r, &e), 0);
        assert_int_equal(run_output(r, 0)->dim[1], n - 1);
        for (int64_t i = 0; i < n - 1; i++)
            assert_int_equal(((int64_t *)run_output(r, 0)->data)[i], i + 1);
        tensor_unref(t);
    }
    run_free(r);
    pool_free(pool);
    module_unref(m);
}

static void *run_many(void *arg)
{
    Error e;
    Pool *pool;
    Run *r;
    if (pool_new(2, &pool, &e) != 0 || run_new(arg, pool, 0, &r, &e) != 0)
        return arg;
    for (int i = 1; i < 100; i++)
        run_size(r, i * 7, 3);
    run_free(r);
    pool_free(pool);
    return NULL;
}

static void several_threads_one_module(void **state)
{
    (void)state;
    Module *m = chain_module(3);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, run_many, m), 0);
    for (int i = 0; i < 3; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    module_unref(m);
}

/* Random damage to a program: it is refused, or harmless to look at. */
static void damage_is_found(void **state)
{
    (void)state;
    Chain c = chain_start();
    const int x = build_port(c.b, "x", vector(BUF_INPUT, c.n));
    const int t = build_buffer(c.b, vector(BUF_TEMP, c.n)),
              out = build_port(c.b, "y", vector(BUF_OUTPUT, c.n));
    const int kernel = build_kernel(c.b, (ProgramKernel){.name = "add_one", .nphase = 1});
    kernel_step(&c, kernel, x, t);
    kernel_step(&c, kernel, t, out);
    const Program *p = build_finish(c.b);
    Str why = str_new(c.arena);
    assert_true(program_verify(p, 1, &why));
    assert_false(program_verify(p, 0, &why)); /* a phase that the image lacks */
    int32_t *arg = (int32_t *)p->arg;
    for (int i = 0; i < p->narg; i++) {
        const int32_t old = arg[i];
        const int32_t bad[] = {-2, 1000, INT32_MAX, INT32_MIN};
        for (int k = 0; k < 4; k++) {
            arg[i] = bad[k];
            assert_false(program_verify(p, 1, &why));
        }
        arg[i] = old;
    }
    arg[p->step[0].arg + 6] = x; /* writes an input */
    assert_false(program_verify(p, 1, &why));
    arena_free(c.arena);
}

/* As add_one, but one element too many. */
static int KERNEL_CALL adds_beyond(const KernelEnv *env, void *const *bufs, const int64_t *syms,
                                   void *scratch, int64_t begin, int64_t end)
{
    add_one(env, bufs, syms, scratch, begin, end);
    if (syms[0] > 20)
        ((float *)bufs[1])[syms[0]] = 0;
    return 0;
}

static void guards_find_damage(void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        Module *m = chain_of(2, bad ? adds_beyond : add_one);
        Pool *pool;
        Run *r;
        Error e = {0};
        assert_int_equal(pool_new(1, &pool, &e), 0);
        assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
        assert_int_equal(run_set_guard(r, &e), 0);
        run_size(r, 20, 2);
        Tensor *x = ramp(21);
        assert_int_equal(run_set_input(r, 0, x, &e), 0);
        assert_int_equal(run_execute(r, &e), bad ? ERR_INTERNAL : 0);
        assert_string_equal(e.message,
                            bad ? "'add_one' wrote 1 bytes after operand 1 (84 bytes)" : "");
        tensor_unref(x);
        run_free(r);
        pool_free(pool);
        module_unref(m);
    }
}

/* Its four results are one buffer, of which each writes its quarter: as borders of a plane are. */
static int KERNEL_CALL add_in_quarters(const KernelEnv *env, void *const *bufs, const int64_t *syms,
                                       void *scratch, int64_t begin, int64_t end)
{
    (void)env;
    (void)scratch;
    const float *x = bufs[0];
    for (int64_t i = begin * 16; i < end * 16 && i < syms[0]; i++)
        ((float *)bufs[1 + i % 4])[i] = x[i] + 1;
    return 0;
}

static void guards_change_nothing(void **state)
{
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        Chain c = chain_start();
        const int x = build_port(c.b, "x", vector(BUF_INPUT, c.n));
        const int out = build_port(c.b, "y", vector(BUF_OUTPUT, c.n));
        const int kernel =
            build_kernel(c.b, (ProgramKernel){.name = "quarters", .nphase = 1, .scratch_bytes = 8});
        for (int i = 0; i < 2; i++) {
            const int32_t a[] = {kernel, 1,   4,   1,   1,        i ? out : x, out,
                                 out,    out, out, c.n, c.blocks, KERNEL_ONCE};
            build_step(c.b, PSTEP_KERNEL, 13, a);
        }
        Module *m;
        Pool *pool;
        Run *r;
        Error e = {0};
        const KernelPhase phase = add_in_quarters;
        assert_int_equal(module_new_native(c.arena, build_finish(c.b), &phase, 1, &m, &e), 0);
        assert_int_equal(pool_new(2, &pool, &e), 0);
        assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
        if (guarded)
            assert_int_equal(run_set_guard(r, &e), 0);
        run_size(r, 50, 2);
        run_free(r);
        pool_free(pool);
        module_unref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_change),
        cmocka_unit_test(outputs_may_be_kept),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(loops),
        cmocka_unit_test(sizes_from_data),
        cmocka_unit_test(several_threads_one_module),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(guards_find_damage),
        cmocka_unit_test(guards_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
