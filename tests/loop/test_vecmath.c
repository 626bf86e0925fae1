/* Vector math through code generation: error in units of the last place over all exponents and
 * signs against libm in a wider type, special values, and the interpreter bit for bit.
 *
 * LATHE_TEST_VERBOSE=1 prints the largest error of each function and where it is. */
#include "../codegen/kernels.h"

#include "loop/vecmath.h"

typedef long double (*Libm)(long double);

static long double sigmoidl(long double v)
{
    return 1 / (1 + expl(-v));
}

typedef struct Function {
    ExprOp op;
    Libm libm;
    double ulp32, ulp64; /* bounds; measured and rounded up */
    double from, to;     /* half of the samples lie here, evenly; the others have any bits */
} Function;

static const Function functions[] = {
    {EX_EXP, expl, 2, 2, -105, 90},       {EX_LOG, logl, 2, 2, 0, 4},
    {EX_EXP_DOWN, expl, 2, 2, -105, 0},
    {EX_SIGMOID, sigmoidl, 4, 3, -20, 20}, {EX_TANH, tanhl, 6, 4, -3, 3},
    {EX_ERF, erfl, 6, 4, -4, 4},          {EX_SIN, sinl, 1, 2, -100, 100},
    {EX_COS, cosl, 1, 2, -100, 100},      {EX_TAN, tanl, 1, 4, -100, 100},
    {EX_ASIN, asinl, 1, 4, -1, 1},        {EX_ACOS, acosl, 1, 4, -1, 1},
    {EX_ATAN, atanl, 1, 4, -5, 5},        {EX_SINH, sinhl, 1, 4, -5, 5},
    {EX_COSH, coshl, 1, 4, -5, 5},        {EX_ASINH, asinhl, 1, 4, -5, 5},
    {EX_ACOSH, acoshl, 1, 4, 1, 5},       {EX_ATANH, atanhl, 1, 4, -1, 1},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0], SAMPLES = 1 << 16 };

static const double specials[] = {
    0.0,
    -0.0,
    1,
    -1,
    0.5,
    -0.5,
    2,
    -2,
    3,
    -3,
    INFINITY,
    -INFINITY,
    NAN,
    1e-45,
    -1e-45,
    1e-40,
    0x1p-126,
    0x1.fffffep127,
    -0x1.fffffep127,
    88.72,
    88.73,
    -87.3,
    -103.9,
    -104.1,
    89,
    709.7,
    709.79,
    -745,
    -746,
    710.4,
    711,
    8.9,
    9.1,
    20,
    1e-10,
    100000,
    1e15,
    1.1e15,
};
enum { SPECIALS = sizeof specials / sizeof specials[0] };

static uint64_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s ^ *s >> 29;
}

/* Specials first, then an even sweep and random bits in turn. */
static void fill_samples(DType t, double from, double to, void *out, int n)
{
    uint64_t seed = 42;
    for (int k = 0; k < n; k++) {
        double v = from + (to - from) * k / n;
        if (k < SPECIALS)
            v = specials[k];
        if (t == DT_F32)
            ((float *)out)[k] = (float)v;
        else
            ((double *)out)[k] = v;
        const uint64_t random = next_random(&seed);
        if (k >= SPECIALS && k % 2)
            memcpy((uint8_t *)out + k * dtype_size(t), (uint8_t *)&random + 8 - dtype_size(t),
                   (size_t)dtype_size(t));
    }
}

static double ulp_of(DType t, long double want)
{
    const int mantissa = t == DT_F32 ? 24 : 53, least = t == DT_F32 ? -149 : -1074;
    int e;
    frexpl(want, &e);
    return ldexp(1, e - mantissa > least ? e - mantissa : least);
}

/* 0 if the special value is the same; else the distance. */
static double error_in_ulp(DType t, double got, long double want)
{
    const long double most = t == DT_F32 ? 0x1.fffffefffffffp127L : 0x1.fffffffffffff7ffp1023L;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (want == 0)
        return got == 0 && !signbit(got) == !signbit(want) ? 0 : INFINITY;
    if (fabsl(want) >= most || isinf(got)) { /* either side of overflow, by a rounding */
        const double near = t == DT_F32 ? 0x1.ffffffp127 : 0x1.fffffffffffffp1023;
        if (isinf(got) == isinf((double)want) && fabsl(want) >= most)
            return (got < 0) == (want < 0) ? 0 : INFINITY;
        return fabsl(want) >= near ? 0 : INFINITY;
    }
    return (double)fabsl(got - want) / ulp_of(t, want);
}

/* y = op(a[, b]) for n samples, generated code; into `out`. */
static void run_op(Context *ctx, ExprOp op, DType t, int lanes, int n, const void *a, const void *b,
                   void *out, bool interpret)
{
    Kernel k = kernel_new(ctx, "vecmath", "i", n / lanes);
    const int ba = kernel_buffer(&k, "a", t, n, false, a);
    const int bb = b ? kernel_buffer(&k, "b", t, n, false, b) : -1;
    const int by = kernel_buffer(&k, "y", t, n, true, NULL);
    const Expr at = expr_muli(k.x, kernel_par(&k), lanes);
    const Expr args[2] = {kernel_load(&k, ba, lanes, at), b ? kernel_load(&k, bb, lanes, at) : 0};
    const Expr e = kernel_op(&k, op, t, lanes, 0, b ? 2 : 1, args);
    assert_true(vecmath_is(k.x, e));
    kernel_store(&k, k.body, by, at, 0, vecmath_expand(k.x, e, args));
    const Target target = target_native();
    if (interpret) {
        kernel_check(&k, &target, NULL);
    } else {
        assert_true(kernel_run(&k, &target, k.data, NULL, NULL));
    }
    memcpy(out, k.data[by], (size_t)n * (size_t)dtype_size(t));
}

static void report(ExprOp op, DType t, double worst, double at, double bound)
{
    if (getenv("LATHE_TEST_VERBOSE"))
        printf("%-8s %s %.3f ulp at %.17g\n", expr_op_text(op), dtype_name(t), worst, at);
    if (!(worst <= bound))
        FAIL_MSG("%s of %s: %g ulp at %.17g, bound %g", expr_op_text(op), dtype_name(t), worst, at,
                 bound);
}

static void accuracy(Context *ctx, void *arg)
{
    const DType t = *(const DType *)arg;
    void *a = arena_alloc_aligned(ctx->arena, SAMPLES * 8, 64);
    void *y = arena_alloc_aligned(ctx->arena, SAMPLES * 8, 64);
    for (int f = 0; f < FUNCTIONS; f++) {
        const Function *fn = &functions[f];
        fill_samples(t, fn->from, fn->to, a, SAMPLES);
        run_op(ctx, fn->op, t, t == DT_F32 ? 8 : 4, SAMPLES, a, NULL, y, false);
        double worst = 0, at = 0;
        for (int k = 0; k < SAMPLES; k++) {
            const double v = t == DT_F32 ? ((float *)a)[k] : ((double *)a)[k];
            const double got = t == DT_F32 ? ((float *)y)[k] : ((double *)y)[k];
            if (fn->op == EX_EXP_DOWN && v > 0)
                continue; /* not its business */
            const bool may = fn->op == EX_SIGMOID || fn->op == EX_EXP_DOWN;
            const bool flushed = may && got == 0 && fn->libm(v) < 0x1p-126L && t == DT_F32;
            const double error = flushed ? 0 : error_in_ulp(t, got, fn->libm(v));
            if (!(error <= worst)) {
                worst = error;
                at = v;
            }
        }
        report(fn->op, t, worst, at, t == DT_F32 ? fn->ulp32 : fn->ulp64);
    }
}

/* The arguments beyond 2^50 that come nearest to a multiple of pi/2 (by continued fractions, f32
 * first) and other hard ones; neighbours of multiples of pi/2 up to 2^60; each exponent with random
 * digits; small ones in between, so that vectors are mixed. Each with both signs; returns how
 * many. */
static int circular_samples(DType t, void *out, int n)
{
    static const double hard[] = {
        0x1.f37c8ap+95,
        0x1.f37c8ap+96,
        0x1.32ede2p+85,
        0x1.13093p+76,
        0x1.6ac5b262ca1ffp+849,
        0x1.6ac5b262ca1ffp+850,
        0x1.504cac51f1eafp+131,
        0x1.e009c53148be1p+991,
        0x1.4c96c11134d36p+577,
        0x1.cfe482285f8edp+860,
        0x1.47d0fep34,
        0x1.921fb6p+0,
        0x1.fffffffffffffp49,
        0x1.fffffep49,
        0x1p50,
        0x1p63,
        0x1.fffffffffffffp1023,
        0x1.fffffep127,
        0x1p1023,
        0x1p127,
        0x1p-1074,
        0x1p-149,
        1e-310,
        0.0,
    };
    enum { HARD = sizeof hard / sizeof hard[0] };
    const int top = t == DT_F32 ? 127 : 1023;
    int count = 0;
    uint64_t seed = 3;
    for (int k = 0; k < n / 2; k++) {
        const uint64_t random = next_random(&seed);
        double v = (double)(k % 1000) / 8;
        if (k < HARD)
            v = hard[k];
        else if (k % 4 == 1)
            v = (double)((long double)(random >> (4 + k % 60)) * 1.57079632679489661923L);
        else if (k % 4 > 1)
            v = ldexp((double)(random >> 11), k % (top + 4) - 53);
        v = t == DT_F32 ? (float)v : v;
        for (int sign = 1; sign >= -1; sign -= 2, count++)
            dtype_write(t, (uint8_t *)out + count * dtype_size(t), sign * v, false);
    }
    return count;
}

/* sin, cos and tan over the whole range, against a libm that reduces its argument exactly. */
static void circular(Context *ctx, void *arg)
{
    const DType t = *(const DType *)arg;
    enum { N = 3 << 13, LANES = 8 };
    void *a = arena_alloc_aligned(ctx->arena, N * 8, 64);
    void *y = arena_alloc_aligned(ctx->arena, N * 8, 64);
    assert_int_equal(circular_samples(t, a, N), N);
    for (int f = 0; f < FUNCTIONS; f++) {
        const Function *fn = &functions[f];
        if (fn->op != EX_SIN && fn->op != EX_COS && fn->op != EX_TAN)
            continue;
        static const int lanes[] = {LANES, 1, 3}; /* 3: no reduction over these, so no branch */
        for (int l = 0; l < 3; l++) {
            run_op(ctx, fn->op, t, lanes[l], N, a, NULL, y, false);
            double worst = 0, at = 0;
            for (int k = 0; k < N; k++) {
                const double v = dtype_read(t, (uint8_t *)a + k * dtype_size(t));
                const double got = dtype_read(t, (uint8_t *)y + k * dtype_size(t));
                const double error = isinf(v) ? isnan(got) ? 0 : INFINITY
                                              : error_in_ulp(t, got, fn->libm(v));
                if (!(error <= worst)) {
                    worst = error;
                    at = v;
                }
            }
            report(fn->op, t, worst, at, t == DT_F32 ? fn->ulp32 : fn->ulp64);
        }
    }
}

/* What the reference for the above must get right itself: known values. */
static void libm_reduces(void **state)
{
    (void)state;
    assert_true(fabsl(cosl(0x1.6ac5b262ca1ffp+849L)) < 0x1p-60L);
    assert_true(fabsl(sinl(1e22L) + 0.8522008497671888017727L) < 1e-17L);
    assert_true(fabsl(cosl(16367173 * 0x1p72L)) < 0x1p-29L);
}

/* tanh, erf and sigmoid stay within their limits; GELU is right to 1e-6. */
static void limits(Context *ctx, void *arg)
{
    (void)arg;
    static float a[SAMPLES], y[SAMPLES];
    for (int k = 0; k < SAMPLES; k++)
        a[k] = (float)(k - SAMPLES / 2) / (SAMPLES / 24);
    run_op(ctx, EX_TANH, DT_F32, 8, SAMPLES, a, NULL, y, false);
    for (int k = 0; k < SAMPLES; k++)
        assert_true(fabsf(y[k]) <= 1);
    run_op(ctx, EX_SIGMOID, DT_F32, 8, SAMPLES, a, NULL, y, false);
    for (int k = 0; k < SAMPLES; k++)
        assert_true(y[k] >= 0 && y[k] <= 1);
    run_op(ctx, EX_ERF, DT_F32, 8, SAMPLES, a, NULL, y, false);
    for (int k = 0; k < SAMPLES; k++) {
        assert_true(fabsf(y[k]) <= 1);
        const double v = a[k] * sqrt(2);
        const double gelu = 0.5 * v * (1 + y[k]);
        assert_true(fabs(gelu - 0.5 * v * (1 + erf((double)a[k]))) <= 1e-6);
    }
}

/* Pairs of any bits, of moderate size, of specials; f64 must stay near libm's long double. */
static void pairs(DType t, void *a, void *b, int n)
{
    uint64_t seed = 7;
    for (int k = 0; k < n; k++) {
        const int s = SPECIALS * SPECIALS;
        double u = exp(((double)(next_random(&seed) >> 11) * 0x1p-53 - 0.5) * 6);
        double v = ((double)(next_random(&seed) >> 11) * 0x1p-53 - 0.5) * 40;
        if (k % 3 == 1) { /* integers */
            u = floor(u * 4) - 20;
            v = floor(v);
        }
        if (k < s) {
            u = specials[k / SPECIALS];
            v = specials[k % SPECIALS];
        }
        dtype_write(t, (uint8_t *)a + k * dtype_size(t), u, false);
        dtype_write(t, (uint8_t *)b + k * dtype_size(t), v, false);
        if (k >= s && k % 3 == 2) {
            const uint64_t r = next_random(&seed), q = next_random(&seed);
            memcpy((uint8_t *)a + k * dtype_size(t), (const uint8_t *)&r + 8 - dtype_size(t),
                   (size_t)dtype_size(t));
            memcpy((uint8_t *)b + k * dtype_size(t), (const uint8_t *)&q + 8 - dtype_size(t),
                   (size_t)dtype_size(t));
        }
    }
}

static long double wanted(ExprOp op, DType t, double u, double v)
{
    if (op == EX_POW)
        return powl(u, v);
    const Scalar args[2] = {{.dtype = t, .f = u}, {.dtype = t, .f = v}};
    return scalar_apply(op, t, 2, args).f;
}

static void two_arguments(Context *ctx, void *arg)
{
    const DType t = *(const DType *)arg;
    static const ExprOp ops[] = {EX_POW, EX_TMOD, EX_MOD, EX_TDIV};
    enum { N = 1 << 14 };
    uint8_t *a = arena_alloc_aligned(ctx->arena, N * 8, 64);
    uint8_t *b = arena_alloc_aligned(ctx->arena, N * 8, 64);
    uint8_t *y = arena_alloc_aligned(ctx->arena, N * 8, 64);
    pairs(t, a, b, N);
    for (int o = 0; o < 4; o++) {
        run_op(ctx, ops[o], t, 4, N, a, b, y, false);
        double worst = 0, at = 0;
        for (int k = 0; k < N; k++) {
            const double u = dtype_read(t, a + k * dtype_size(t));
            const double v = dtype_read(t, b + k * dtype_size(t));
            const double got = dtype_read(t, y + k * dtype_size(t));
            const double error = error_in_ulp(t, got, wanted(ops[o], t, u, v));
            if (!(error <= worst)) {
                worst = error;
                at = u;
                if (getenv("LATHE_TEST_VERBOSE"))
                    printf("  %s %a, %a: %a, not %La\n", expr_op_text(ops[o]), u, v, got,
                           wanted(ops[o], t, u, v));
            }
        }
        report(ops[o], t, worst, at, ops[o] == EX_POW ? t == DT_F32 ? 1 : 4 : 0);
    }
}

static void integer_pow(Context *ctx, void *arg)
{
    (void)arg;
    static const DType types[] = {DT_I8, DT_U8, DT_I32, DT_U32, DT_I64, DT_U64};
    enum { N = 1024 };
    for (int ty = 0; ty < 6; ty++) {
        const DType t = types[ty];
        uint64_t a[N], b[N], y[N], seed = 9;
        for (int k = 0; k < N; k++) {
            const int64_t v = (int64_t)(next_random(&seed) >> 40) % 40 - 12;
            const int64_t w = k % 7 ? k % 23 - 4 : (int64_t)next_random(&seed);
            dtype_write_int(t, (uint8_t *)a + k * dtype_size(t), v);
            dtype_write_int(t, (uint8_t *)b + k * dtype_size(t), w);
        }
        run_op(ctx, EX_POW, t, 4, N, a, b, y, false);
        for (int k = 0; k < N; k++) {
            const Scalar args[2] = {
                {.dtype = t, .i = dtype_read_int(t, (uint8_t *)a + k * dtype_size(t))},
                {.dtype = t, .i = dtype_read_int(t, (uint8_t *)b + k * dtype_size(t))},
            };
            const int64_t got = dtype_read_int(t, (uint8_t *)y + k * dtype_size(t));
            assert_int_equal(got, scalar_apply(EX_POW, t, 2, args).i);
        }
    }
}

/* The terms mean the same to the interpreter, and as scalars. */
static void interpreted(Context *ctx, void *arg)
{
    (void)arg;
    enum { N = 64 };
    static const DType types[] = {DT_F32, DT_F64};
    double a[N], y[N], z[N];
    for (int ty = 0; ty < 2; ty++)
        for (int f = 0; f < FUNCTIONS; f++) {
            fill_samples(types[ty], functions[f].from, functions[f].to, a, N);
            run_op(ctx, functions[f].op, types[ty], 4, N, a, NULL, y, true);
            run_op(ctx, functions[f].op, types[ty], 1, N, a, NULL, z, true);
            for (int k = 0; k < N; k++)
                assert_true(same_element(types[ty], (uint8_t *)y + k * dtype_size(types[ty]),
                                         (uint8_t *)z + k * dtype_size(types[ty])));
        }
}

/* Two branches that share what only the first one computes. */
static void shared_branch(Context *ctx, void *arg)
{
    (void)arg;
    enum { LANES = 4, N = 64 };
    double a[N];
    circular_samples(DT_F64, a, N);
    Kernel k = kernel_new(ctx, "shared", "i", N / LANES);
    const int ba = kernel_buffer(&k, "a", DT_F64, N, false, a);
    const int by = kernel_buffer(&k, "y", DT_F64, N, true, NULL);
    const Expr at = expr_muli(k.x, kernel_par(&k), LANES), v = kernel_load(&k, ba, LANES, at);
    Expr term[2];
    for (int i = 0; i < 2; i++) {
        const Expr e = kernel_op1(&k, i ? EX_COS : EX_SIN, DT_F64, LANES, 0, v);
        term[i] = vecmath_expand(k.x, e, &v);
    }
    kernel_store(&k, k.body, by, at, 0, kernel_op2(&k, EX_ADD, DT_F64, LANES, term[0], term[1]));
    const Target target = target_native();
    kernel_check(&k, &target, NULL);
    for (int i = 0; i < N; i++)
        assert_true(fabs(((double *)k.data[by])[i] - (sin(a[i]) + cos(a[i]))) <= 1e-15);
}

static const DType f32 = DT_F32, f64 = DT_F64;

#define IN_JOB(test, fn, arg)                                                                      \
    static void test(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        in_job(fn, (void *)(arg));                                                                 \
    }
IN_JOB(test_accuracy_f32, accuracy, &f32)
IN_JOB(test_accuracy_f64, accuracy, &f64)
IN_JOB(test_circular_f32, circular, &f32)
IN_JOB(test_circular_f64, circular, &f64)
IN_JOB(test_shared_branch, shared_branch, NULL)
IN_JOB(test_limits, limits, NULL)
IN_JOB(test_two_arguments_f32, two_arguments, &f32)
IN_JOB(test_two_arguments_f64, two_arguments, &f64)
IN_JOB(test_integer_pow, integer_pow, NULL)
IN_JOB(test_interpreted, interpreted, NULL)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy_f32),      cmocka_unit_test(test_accuracy_f64),
        cmocka_unit_test(libm_reduces),           cmocka_unit_test(test_circular_f32),
        cmocka_unit_test(test_circular_f64),      cmocka_unit_test(test_shared_branch),
        cmocka_unit_test(test_limits),            cmocka_unit_test(test_two_arguments_f32),
        cmocka_unit_test(test_two_arguments_f64), cmocka_unit_test(test_integer_pow),
        cmocka_unit_test(test_interpreted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
