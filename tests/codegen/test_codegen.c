/* Kernels written by hand, compiled and interpreted: the shapes that lowering will make. */
#include "kernels.h"

#include "base/parallel.h"

static void fill(float *p, int64_t n, uint32_t seed)
{
    for (int64_t k = 0; k < n; k++) {
        seed = seed * 1664525u + 1013904223u;
        p[k] = (float)(int32_t)seed * 0x1p-31f;
    }
}

static void vector_add(Context *ctx, void *arg)
{
    (void)arg;
    enum { N = 256, LANES = 8 };
    float a[N], b[N];
    fill(a, N, 1);
    fill(b, N, 2);
    Kernel k = kernel_new(ctx, "vector_add", "i", N / LANES);
    const int ba = kernel_buffer(&k, "a", DT_F32, N, false, a);
    const int bb = kernel_buffer(&k, "b", DT_F32, N, false, b);
    const int bc = kernel_buffer(&k, "c", DT_F32, N, true, NULL);
    const Expr at = expr_muli(k.x, kernel_par(&k), LANES);
    const Expr sum = kernel_op2(&k, EX_ADD, DT_F32, LANES, kernel_load(&k, ba, LANES, at),
                                kernel_load(&k, bb, LANES, at));
    kernel_store(&k, k.body, bc, at, 0, sum);
    const Target t = target_native();
    kernel_check(&k, &t, NULL);
    const float *c = k.data[bc];
    for (int i = 0; i < N; i++) /* the interpreter is checked as well */
        assert_true(c[i] == a[i] + b[i]);
}

/* c (12,16) = a (12,K) * b (K,16): rows x 2 vectors of registers, a loop over k inside. */
static void gemm_tile(Context *ctx, void *arg)
{
    (void)arg;
    enum { M = 12, ROWS = 6, N = 16, K = 33, LANES = 8, VECTORS = N / LANES };
    float a[M * K], b[K * N];
    fill(a, M * K, 3);
    fill(b, K * N, 4);
    Kernel k = kernel_new(ctx, "gemm_tile", "m", M / ROWS);
    Exprs *x = k.x;
    const int ba = kernel_buffer(&k, "a", DT_F32, M * K, false, a);
    const int bb = kernel_buffer(&k, "b", DT_F32, K * N, false, b);
    const int bc = kernel_buffer(&k, "c", DT_F32, M * N, true, NULL);
    int reg[ROWS][VECTORS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++) {
            reg[i][j] = kernel_reg(&k, DT_F32, LANES);
            const Expr zero = expr_float(x, DT_F32, 0);
            kernel_set(&k, k.body, reg[i][j], kernel_op1(&k, EX_BROADCAST, DT_F32, LANES, 0, zero));
        }
    const Expr kk = expr_loop_var(x, "k", expr_int(x, K));
    const int loop = kernel_for(&k, k.body, kk, expr_int(x, K));
    const Expr row = expr_muli(x, kernel_par(&k), ROWS);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++) {
            const Expr at = expr_add(x, expr_muli(x, expr_addi(x, row, i), K), kk);
            const Expr one =
                kernel_op1(&k, EX_BROADCAST, DT_F32, LANES, 0, kernel_load(&k, ba, 1, at));
            const Expr bv =
                kernel_load(&k, bb, LANES, expr_addi(x, expr_muli(x, kk, N), j * LANES));
            const Expr fma = kernel_op(&k, EX_FMA, DT_F32, LANES, 0, 3,
                                       (Expr[]){one, bv, kernel_get(&k, reg[i][j])});
            kernel_set(&k, loop, reg[i][j], fma);
        }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++)
            kernel_store(&k, k.body, bc,
                         expr_addi(x, expr_muli(x, expr_addi(x, row, i), N), j * LANES), 0,
                         kernel_get(&k, reg[i][j]));
    const Target t = target_native();
    kernel_check(&k, &t, NULL);
    const float *c = k.data[bc];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            float want = 0;
            for (int q = 0; q < K; q++)
                want = fmaf(a[i * K + q], b[q * N + j], want);
            assert_true(c[i * N + j] == want);
        }
}

/* A tail of every length, of every element size: nothing outside of it is read or written. */
static void masked_tail(Context *ctx, void *arg)
{
    static const DType types[] = {DT_F32, DT_F64, DT_I8, DT_F16, DT_BOOL};
    const Target *t = arg;
    for (int ty = 0; ty < 5; ty++)
        for (int lanes = 1; lanes <= 16; lanes *= 2) {
            const DType compute = dtype_compute(types[ty]);
            Kernel k = kernel_new(ctx, "masked_tail", "n", lanes + 3);
            const int a = kernel_buffer(&k, "a", types[ty], lanes * (lanes + 3), false, NULL);
            const int b = kernel_buffer(&k, "b", types[ty], lanes * (lanes + 3), true, NULL);
            memset(k.data[a], 1, (size_t)(k.elements[a] * dtype_size(types[ty])));
            /* counts from -1 to lanes + 1: what is out of range is clipped */
            const Expr count = expr_addi(k.x, kernel_par(&k), -1);
            const Expr at = expr_muli(k.x, kernel_par(&k), lanes);
            const Expr v = kernel_op(&k, EX_MLOAD, compute, lanes, a, 2, (Expr[]){at, count});
            kernel_store(&k, k.body, b, at, count, v);
            kernel_check(&k, t, NULL);
        }
}

/* Lanes [first, end), up to four elements apart, from buffers that have no element more. */
static void masked_part(Context *ctx, void *arg)
{
    const Target *t = arg;
    for (int lanes = 4; lanes <= 16; lanes *= 2)
        for (int stride = 1; stride <= MAX_MLOAD_STRIDE; stride++)
            for (int first = 0; first < lanes; first += 3)
                for (int end = first + 1; end <= lanes; end += 2) {
                    Kernel k = kernel_new(ctx, "masked_part", "n", 1);
                    const int n = stride * (end - 1 - first) + 1;
                    const int a = kernel_buffer(&k, "a", DT_F32, n, false, NULL);
                    const int b = kernel_buffer(&k, "b", DT_F32, lanes, true, NULL);
                    for (int i = 0; i < n; i++)
                        ((float *)k.data[a])[i] = (float)(i + 1);
                    const Expr v =
                        kernel_op(&k, EX_MLOAD, DT_F32, lanes, a, 4,
                                  (Expr[]){expr_int(k.x, -stride * first), expr_int(k.x, end),
                                           expr_int(k.x, first), expr_int(k.x, stride)});
                    kernel_store(&k, k.body, b, kernel_par(&k), 0, v);
                    kernel_check(&k, t, NULL);
                }
}

static void gather_scatter(Context *ctx, void *arg)
{
    (void)arg;
    enum { N = 64, LANES = 8 };
    float a[N];
    int64_t index[N];
    fill(a, N, 5);
    for (int i = 0; i < N; i++)
        index[i] = (i * 37 + 11) % N;
    Kernel k = kernel_new(ctx, "gather_scatter", "i", N / LANES);
    const int ba = kernel_buffer(&k, "a", DT_F32, N, false, a);
    const int bi = kernel_buffer(&k, "index", DT_I64, N, false, index);
    const int by = kernel_buffer(&k, "y", DT_F32, N, true, NULL);
    const int bz = kernel_buffer(&k, "z", DT_F32, N, true, NULL);
    const int bw = kernel_buffer(&k, "w", DT_F32, N, true, NULL);
    const Expr at = expr_muli(k.x, kernel_par(&k), LANES);
    const Expr offsets = kernel_load(&k, bi, LANES, at);
    const Expr g = kernel_op1(&k, EX_GATHER, DT_F32, LANES, ba, offsets);
    kernel_store(&k, k.body, by, at, 0, g);
    /* transposed 8 x 8: a ramp of offsets, constant steps */
    const Expr ramp = kernel_op1(&k, EX_RAMP, DT_I64, LANES, LANES, kernel_par(&k));
    kernel_store(&k, k.body, bz, ramp, 0, kernel_op1(&k, EX_GATHER, DT_F32, LANES, ba, ramp));
    const Expr vi = kernel_load(&k, bi, LANES, at);
    kernel_store(&k, k.body, bw, vi, expr_addi(k.x, kernel_par(&k), 1), g); /* partial scatter */
    const Target t = target_native();
    kernel_check(&k, &t, NULL);
    for (int i = 0; i < N; i++)
        assert_true(((float *)k.data[by])[i] == a[index[i]]);
}

/* Lanes a few elements apart or backwards are taken from whole vectors: the first and the last
 * element of the array are read, and what lies behind its end is no part of a result. Stores with
 * strides, too. */
static void strided(Context *ctx, void *arg)
{
    static const DType types[] = {DT_F32, DT_F64, DT_I8, DT_F16};
    static const int64_t strides[] = {-1, 2, 3, 4, 5, -2};
    static const int counts[] = {3, 4, 7, 8, 16};
    const Target *t = arg;
    for (int ty = 0; ty < 4; ty++)
        for (int s = 0; s < 6; s++)
            for (int l = 0; l < 5; l++) {
                const int lanes = counts[l];
                const int64_t stride = strides[s], reach = stride < 0 ? -stride : stride;
                const int n = (int)(reach * (lanes - 1)) + 3; /* par 0..2: to the last element */
                Kernel k = kernel_new(ctx, "strided", "i", 3);
                const int a = kernel_buffer(&k, "a", types[ty], n, false, NULL);
                const int y = kernel_buffer(&k, "y", types[ty], 3 * lanes, true, NULL);
                const int z = kernel_buffer(&k, "z", types[ty], 3 * n, true, NULL);
                for (int i = 0; i < n; i++)
                    dtype_write(types[ty], (uint8_t *)k.data[a] + i * dtype_size(types[ty]),
                                i - n / 2, false);
                memset(k.data[z], 0, (size_t)(3 * n * dtype_size(types[ty])));
                const Expr par = kernel_par(&k);
                const int64_t low = stride < 0 ? reach * (lanes - 1) : 0;
                const Expr from = expr_addi(k.x, par, low);
                const Expr to = expr_addi(k.x, expr_muli(k.x, par, n), low);
                const Expr v = kernel_op1(&k, EX_GATHER, dtype_compute(types[ty]), lanes, a,
                                          kernel_op1(&k, EX_RAMP, DT_I64, lanes, stride, from));
                kernel_store(&k, k.body, y, expr_muli(k.x, par, lanes), 0, v);
                kernel_store(&k, k.body, z, kernel_op1(&k, EX_RAMP, DT_I64, lanes, stride, to), 0,
                             v);
                kernel_check(&k, t, NULL);
            }
}

/* Lanes of which several read one element, or that lie at other known distances, are taken from one
 * load, which ends with the last that any lane reads: par + (first + lane * step) / by, and then
 * times `by`. */
static void near(Context *ctx, void *arg)
{
    static const DType types[] = {DT_F32, DT_F64, DT_U8, DT_BF16};
    static const struct {
        int lanes, first, step, by, times;
    } cases[] = {{16, 0, 1, 2, 1}, {8, 0, 1, 2, 1}, {16, 1, 1, 3, 1},
                 {16, 5, 3, 4, 1}, {7, 0, 1, 4, 1}, {16, 0, 1, 4, 3},
                 {16, 0, 1, 4, 9}, {4, 0, 1, 8, 1}, {3, 0, 1, 2, 1}};
    const Target *t = arg;
    for (int ty = 0; ty < 4; ty++)
        for (int c = 0; c < (int)(sizeof cases / sizeof *cases); c++) {
            const int lanes = cases[c].lanes;
            /* par 0..2 */
            const int n =
                3 + (cases[c].first + cases[c].step * (lanes - 1)) / cases[c].by * cases[c].times;
            Kernel k = kernel_new(ctx, "near", "i", 3);
            const int a = kernel_buffer(&k, "a", types[ty], n, false, NULL);
            const int y = kernel_buffer(&k, "y", types[ty], 3 * lanes, true, NULL);
            for (int i = 0; i < n; i++)
                dtype_write(types[ty], (uint8_t *)k.data[a] + i * dtype_size(types[ty]), i, false);
            const Expr ramp = kernel_op1(&k, EX_RAMP, DT_I64, lanes, cases[c].step,
                                         expr_int(k.x, cases[c].first));
            const Expr by[2] = {
                ramp, kernel_op1(&k, EX_BROADCAST, DT_I64, lanes, 0, expr_int(k.x, cases[c].by))};
            const Expr part[2] = {
                kernel_op(&k, EX_DIV, DT_I64, lanes, 0, 2, by),
                kernel_op1(&k, EX_BROADCAST, DT_I64, lanes, 0, expr_int(k.x, cases[c].times))};
            const Expr all = kernel_op1(&k, EX_BROADCAST, DT_I64, lanes, 0, kernel_par(&k));
            const Expr sum[2] = {all, kernel_op(&k, EX_MUL, DT_I64, lanes, 0, 2, part)};
            const Expr v = kernel_op1(&k, EX_GATHER, dtype_compute(types[ty]), lanes, a,
                                      kernel_op(&k, EX_ADD, DT_I64, lanes, 0, 2, sum));
            kernel_store(&k, k.body, y, expr_muli(k.x, kernel_par(&k), lanes), 0, v);
            kernel_check(&k, t, NULL);
        }
}

/* Symbols, a let, a branch, an inner loop of no iterations, scratch, two phases, in place. */
static void control(Context *ctx, void *arg)
{
    (void)arg;
    enum { N = 40 };
    int32_t a[N];
    for (int i = 0; i < N; i++)
        a[i] = i * i - 77;
    Kernel k = kernel_new(ctx, "control", "i", N);
    Exprs *x = k.x;
    Loops *l = k.l;
    const Expr n = expr_sym(x, "n", 0, 100, 1), m = expr_sym(x, "m", 0, 100, 1);
    vec_push(ctx->arena, &l->sym, n);
    vec_push(ctx->arena, &l->sym, m);
    l->phase.at[0].extent = n;
    const int ba = kernel_buffer(&k, "a", DT_I32, N, true, a);
    l->buffer.at[ba].alias = true;
    const int by = kernel_buffer(&k, "y", DT_I32, N, true, NULL);
    LoopBuffer s = {.name = "s", .dtype = DT_I32, .rank = 1, .dim = {expr_int(x, 4)}};
    s.scope = SCOPE_SCRATCH;
    s.offset = 64;
    s.written = true;
    l->scratch_bytes = 128;
    vec_push(ctx->arena, &l->buffer, s);
    const int bs = l->buffer.len - 1;
    const Expr i = kernel_par(&k), zero = expr_int(x, 0);
    /* s[0] = a[i]; for j < m: s[0] = s[0] * 3 + j; if i % 3 == 1: y[i] = s[0] */
    kernel_store(&k, k.body, bs, zero, 0, kernel_load(&k, ba, 1, i));
    const Expr j = expr_loop_var(x, "j", m);
    const int loop = kernel_for(&k, k.body, j, m);
    const Expr t = expr_loop_var(x, "t", expr_int(x, 1000));
    const int let = loops_stmt(l, L_LET);
    l->stmt.at[let].var = t;
    l->stmt.at[let].value = expr_add(x, expr_modi(x, i, 5), j);
    loops_append(l, loop, let);
    const Expr old = kernel_load(&k, bs, 1, zero);
    const Expr three = expr_int_of(x, DT_I32, 3);
    kernel_store(&k, loop, bs, zero, 0,
                 kernel_op2(&k, EX_ADD, DT_I32, 1, kernel_op2(&k, EX_MUL, DT_I32, 1, old, three),
                            kernel_op1(&k, EX_CAST, DT_I32, 1, 0, t)));
    const int branch = loops_stmt(l, L_IF);
    l->stmt.at[branch].value = expr_eq(x, expr_modi(x, i, 3), expr_int(x, 1));
    loops_append(l, k.body, branch);
    kernel_store(&k, branch, by, i, 0, old);
    kernel_store(&k, k.body, ba, i, 0,
                 kernel_op1(&k, EX_NEG, DT_I32, 1, 0, kernel_load(&k, ba, 1, i)));
    /* phase 2: y[q] += a[N-1-q], which phase 1 wrote */
    const Expr q = expr_loop_var(x, "q", expr_int(x, N));
    const int body = loops_stmt(l, L_BLOCK);
    vec_push(ctx->arena, &l->phase,
             ((LoopPhase){.par = q, .extent = expr_int(x, N), .body = body}));
    const Expr back = expr_sub(x, expr_int(x, N - 1), q);
    kernel_store(&k, body, by, q, 0,
                 kernel_op2(&k, EX_ADD, DT_I32, 1, kernel_load(&k, by, 1, q),
                            kernel_load(&k, ba, 1, back)));
    const Target target = target_native();
    for (int64_t count = 0; count < 4; count++)
        kernel_check(&k, &target, (int64_t[]){N - count, count});
}

static void reductions(Context *ctx, void *arg)
{
    const Target *t = arg;
    static const ExprOp ops[] = {EX_REDUCE_ADD, EX_REDUCE_MUL, EX_REDUCE_MIN, EX_REDUCE_MAX};
    static const DType types[] = {DT_F32, DT_F64, DT_I32, DT_U8, DT_BOOL};
    for (int ty = 0; ty < 5; ty++)
        for (int lanes = 2; lanes <= 32; lanes *= 2) {
            Kernel k = kernel_new(ctx, "reductions", "i", 8);
            const int64_t n = 8 * lanes;
            const int a = kernel_buffer(&k, "a", types[ty], n, false, NULL);
            for (int64_t i = 0; i < n; i++)
                dtype_write(types[ty], (uint8_t *)k.data[a] + i * dtype_size(types[ty]),
                            sin((double)i * 1.7) * 3, false);
            const int y = kernel_buffer(&k, "y", types[ty], 8 * 4, true, NULL);
            const Expr v = kernel_load(&k, a, lanes, expr_muli(k.x, kernel_par(&k), lanes));
            for (int o = 0; o < 4; o++)
                kernel_store(&k, k.body, y, expr_addi(k.x, expr_muli(k.x, kernel_par(&k), 4), o), 0,
                             kernel_op1(&k, ops[o], types[ty], 1, 0, v));
            kernel_check(&k, t, NULL);
        }
}

static void asks_for_text(Context *ctx, void *arg)
{
    (void)arg;
    Kernel k = kernel_new(ctx, "texts", "i", 4);
    const int y = kernel_buffer(&k, "y", DT_F32, 4, true, NULL);
    kernel_store(&k, k.body, y, kernel_par(&k), 0, expr_float(k.x, DT_F32, 1));
    const Target t = target_native();
    const CodegenOptions both = {.want_assembly = true, .want_ir = true};
    const CodegenResult r = codegen_compile(ctx, k.l, &t, &both);
    assert_non_null(strstr(r.ir, "define i32 @texts_p0"));
    assert_non_null(strstr(r.assembly, "texts_p0:"));
    assert_int_equal(r.image.nentries, 1);
    assert_string_equal(r.image.entry[0].name, "texts_p0");
    assert_true(r.image.entry[0].size > 0);
    const CodegenResult plain = codegen_compile(ctx, k.l, &t, NULL);
    assert_null(plain.ir);
    assert_int_equal(plain.image.size, r.image.size);
}

/* Kernels of one name in one image: each entry is its own kernel's, and finds its own constants. */
static void several(Context *ctx, void *arg)
{
    enum { KERNELS = 5, N = 16 };
    const Target t = target_native();
    const Loops *l[KERNELS];
    LoadedImage *image;
    Error e;
    (void)arg;
    for (int i = 0; i < KERNELS; i++) {
        Kernel k = kernel_new(ctx, "one", "i", N / 8);
        const int y = kernel_buffer(&k, "y", DT_F32, N, true, NULL);
        const Expr v = expr_float(k.x, DT_F32, 0.1 + i);
        kernel_store(&k, k.body, y, expr_muli(k.x, kernel_par(&k), 8), 0,
                     kernel_op1(&k, EX_BROADCAST, DT_F32, 8, 0, v));
        l[i] = k.l;
    }
    const CodegenResult r = codegen_compile_all(ctx, KERNELS, l, &t, NULL);
    assert_int_equal(r.image.nentries, KERNELS);
    assert_int_equal(image_load(&r.image, &image, &e), 0);
    for (int i = 0; i < KERNELS; i++) {
        _Alignas(64) float y[N] = {0};
        void *buf[] = {y};
        const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION};
        assert_int_equal(image_entry(image, r.image.entry[i].offset)(&env, buf, NULL, NULL, 0,
                                                                     N / 8),
                         0);
        for (int k = 0; k < N; k++)
            assert_true(y[k] == (float)(0.1 + i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(r.image.entry[k].name, r.image.entry[i].name);
    }
    image_unload(image);
}

/* Compiles kernel number `id`, its own context and pool; keeps the code. */
typedef struct Compiled {
    uint8_t *code;
    size_t size;
} Compiled;

static void compile_one(Context *ctx, void *arg)
{
    Compiled *out = arg;
    Kernel k = kernel_new(ctx, "parallel", "i", 4);
    const int a = kernel_buffer(&k, "a", DT_F32, 64, false, NULL);
    const int y = kernel_buffer(&k, "y", DT_F32, 64, true, NULL);
    Expr v = kernel_load(&k, a, 16, expr_muli(k.x, kernel_par(&k), 16));
    for (int i = 0; i < 20; i++)
        v = kernel_op2(&k, i % 3 ? EX_MUL : EX_ADD, DT_F32, 16, v, v);
    kernel_store(&k, k.body, y, expr_muli(k.x, kernel_par(&k), 16), 0, v);
    const Target t = target_native();
    const CodegenResult r = codegen_compile(ctx, k.l, &t, NULL);
    out->size = r.image.size;
    out->code = malloc(r.image.size);
    memcpy(out->code, r.image.code, r.image.size);
}

static void compile_job(int id, void *arg)
{
    Arena *a = arena_new();
    job_run(a, compile_one, (Compiled *)arg + id, NULL, NULL);
    arena_free(a);
}

/* Many at once, each the same code. */
static void test_parallel(void **state)
{
    enum { JOBS = 12 };
    (void)state;
    Compiled c[JOBS] = {0};
    parallel_for(JOBS, 4, compile_job, c);
    for (int k = 0; k < JOBS; k++) {
        assert_non_null(c[k].code);
        assert_int_equal(c[k].size, c[0].size);
        assert_memory_equal(c[k].code, c[0].code, c[0].size);
    }
    for (int k = 0; k < JOBS; k++)
        free(c[k].code);
}

#define IN_JOB(name)                                                                               \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        Target t = target_native();                                                                \
        in_job(name, &t);                                                                          \
    }
/* Also compiled for AVX-512, and run where the machine has it. */
#define IN_JOB_512(name)                                                                           \
    IN_JOB(name)                                                                                   \
    static void test_##name##_512(void **state)                                                    \
    {                                                                                              \
        (void)state;                                                                               \
        Target t;                                                                                  \
        assert_int_equal(target_find("avx512", &t, NULL), ERR_OK);                                 \
        in_job(name, &t);                                                                          \
    }
IN_JOB(vector_add)
IN_JOB(gemm_tile)
IN_JOB_512(masked_tail)
IN_JOB_512(masked_part)
IN_JOB(gather_scatter)
IN_JOB_512(strided)
IN_JOB_512(near)
IN_JOB(control)
IN_JOB_512(reductions)
IN_JOB(asks_for_text)
IN_JOB(several)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_add),      cmocka_unit_test(test_gemm_tile),
        cmocka_unit_test(test_masked_tail),     cmocka_unit_test(test_masked_tail_512),
        cmocka_unit_test(test_masked_part),     cmocka_unit_test(test_masked_part_512),
        cmocka_unit_test(test_gather_scatter),  cmocka_unit_test(test_control),
        cmocka_unit_test(test_strided),         cmocka_unit_test(test_strided_512),
        cmocka_unit_test(test_near),            cmocka_unit_test(test_near_512),
        cmocka_unit_test(test_reductions),      cmocka_unit_test(test_reductions_512),
        cmocka_unit_test(test_asks_for_text),   cmocka_unit_test(test_several),
        cmocka_unit_test(test_parallel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
