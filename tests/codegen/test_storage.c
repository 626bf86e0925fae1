/* Storage types: what generated code loads and stores against tensor/dtype.h, over all codes of
 * 8 and 16 bits and over f32 values around every rounding boundary. */
#include "kernels.h"

static const DType types[] = {DT_F16,        DT_BF16,   DT_F8E4M3FN, DT_F8E4M3FNUZ, DT_F8E5M2,
                              DT_F8E5M2FNUZ, DT_F4E2M1, DT_F8E8M0,   DT_I4,         DT_U4,
                              DT_I2,         DT_U2,     DT_BOOL};
enum { TYPES = sizeof types / sizeof types[0], VALUES = 1 << 16 };

typedef struct StorageTest {
    Target target;
    int lanes;
} StorageTest;

static int64_t codes(DType t)
{
    return dtype_bits(t) < 8 ? (int64_t)1 << dtype_bits(t) : (int64_t)1 << (8 * dtype_size(t));
}

/* y = a, from type t to its compute type. */
static void decode(Context *ctx, void *arg)
{
    const StorageTest *st = arg;
    for (int ty = 0; ty < TYPES; ty++) {
        const DType t = types[ty], compute = dtype_compute(t);
        const int64_t n = t == DT_BOOL ? 32 : codes(t) > 32 ? codes(t) : 32;
        uint8_t *data = arena_alloc(ctx->arena, (size_t)n * 2);
        for (int64_t k = 0; k < n; k++) {
            const int64_t code = t == DT_BOOL ? k & 1 : k % codes(t);
            if (dtype_is_float(t))
                memcpy(data + k * dtype_size(t), &code, (size_t)dtype_size(t));
            else
                dtype_write_int(t, data + k * dtype_size(t), code);
        }
        Kernel k = kernel_new(ctx, "decode", "i", n / st->lanes);
        const int a = kernel_buffer(&k, "a", t, n, false, data);
        const int y = kernel_buffer(&k, "y", compute, n, true, NULL);
        const Expr at = expr_muli(k.x, kernel_par(&k), st->lanes);
        kernel_store(&k, k.body, y, at, 0, kernel_load(&k, a, st->lanes, at));
        kernel_check(&k, &st->target, NULL);
    }
}

/* Every code's value, the value halfway to the next, and their neighbours; random bits. */
static void fill_f32(DType t, float *out)
{
    uint32_t random = 1;
    for (int k = 0; k < VALUES; k++) {
        random = random * 1664525u + 1013904223u;
        memcpy(&out[k], &random, 4);
        const int64_t code = k / 5;
        if (code + 1 >= codes(t) || !dtype_is_float(t))
            continue;
        const int64_t next = code + 1;
        const double u = dtype_read(t, &code), v = dtype_read(t, &next);
        const float half = (float)((u + v) / 2);
        const float value[5] = {(float)u, half, nextafterf(half, INFINITY),
                                nextafterf(half, -INFINITY), (float)-v};
        out[k] = value[k % 5];
    }
    const float specials[] = {0,       -0.0f,     INFINITY, -INFINITY, NAN, 3e38f,   -3e38f, 1e-45f,
                              -1e-45f, 65519.99f, 65520,    448,       464, 464.01f, 480,    240,
                              248,     57344,     61440,    61439,     6,   7,       -7,     0.25f};
    memcpy(out + VALUES - 64, specials, sizeof specials);
}

static void encode(Context *ctx, void *arg)
{
    const StorageTest *st = arg;
    float *f = arena_alloc(ctx->arena, VALUES * sizeof *f);
    for (int ty = 0; ty < TYPES - 1; ty++) {
        const DType t = types[ty], compute = dtype_compute(t);
        fill_f32(t, f); /* as integers: any bits */
        Kernel k = kernel_new(ctx, "encode", "i", VALUES / st->lanes);
        const int a = kernel_buffer(&k, "a", compute, VALUES, false, f);
        const int y = kernel_buffer(&k, "y", t, VALUES, true, NULL);
        const Expr at = expr_muli(k.x, kernel_par(&k), st->lanes);
        kernel_store(&k, k.body, y, at, 0, kernel_load(&k, a, st->lanes, at));
        kernel_check(&k, &st->target, NULL);
    }
}

static void at_level(const char *level, int lanes, JobFn fn)
{
    StorageTest st = {.lanes = lanes};
    assert_int_equal(target_find(level, &st.target, NULL), ERR_OK);
    in_job(fn, &st);
}

static void test_decode(void **state)
{
    (void)state;
    at_level("native", 1, decode);
    at_level("native", 16, decode);
    at_level("avx512", 32, decode);
}

static void test_encode(void **state)
{
    (void)state;
    at_level("native", 1, encode);
    at_level("native", 16, encode);
    at_level("avx2", 8, encode);
    at_level("avx512", 32, encode);
    for (int lanes = 4; lanes <= 64; lanes *= 2)
        at_level("avx512-bf16", lanes, encode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
