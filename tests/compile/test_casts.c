/* Casts to types of 16 and 8 bits round once: at the ties of the narrow type and one step of the
 * wide type beside them, compiled, against rounding from the wide value itself. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "compile/run_text.h"

enum { N = 8192 };

/* The dtype's numbers are those of ONNX. */
static void check_floats(DType to, const double *v)
{
    char text[256];
    snprintf(text, sizeof text,
             "graph \"cast\"\ninput x f64[%d]\ny = cast(x) to=%d saturate=0\noutput y\n", N,
             (int)to);
    Fixture f = fixture(text);
    Error e;
    Tensor *x = tensor_new(DT_F64, 1, (const int64_t[]){N}, &e);
    memcpy(x->data, v, N * sizeof *v);
    run_on(&f, x);
    const uint8_t *y = run_output(f.r, 0)->data;
    const int size = dtype_size(to);
    for (int k = 0; k < N; k++) {
        uint8_t want[8];
        dtype_write(to, want, v[k], false);
        const double a = dtype_read(to, want), b = dtype_read(to, y + k * size);
        if (isnan(a) ? !isnan(b) : a != b || !signbit(a) != !signbit(b))
            FAIL_MSG("%a to %s: %g instead of %g", v[k], dtype_name(to), b, a);
    }
    tensor_unref(x);
    finish(&f);
}

/* Around the middle of two neighbours of the narrow type, in steps that f32 does not have. */
static void floats_of(DType to, double *v)
{
    static const double special[] = {0,
                                     -0.0,
                                     INFINITY,
                                     -INFINITY,
                                     NAN,
                                     1e300,
                                     -1e300,
                                     1e-300,
                                     -1e-320,
                                     0x1p-150,
                                     0x1.8p-134,
                                     65520,
                                     0x1.ffdffffffffffp15,
                                     0x1.fffffefffffffp127,
                                     0x1.fffffffp127,
                                     0x1.fep127,
                                     0x1.ff00001p127};
    const int n = (int)(sizeof special / sizeof *special);
    const int codes = 1 << (dtype_bits(to) - 1);
    for (int k = 0; k < N; k++) {
        if (k < n) {
            v[k] = special[k];
            continue;
        }
        const int code = (int)((int64_t)(k / 6) * 6 * (codes - 2) / N); /* each in all six ways */
        uint8_t low[2] = {(uint8_t)code, (uint8_t)(code >> 8)};
        uint8_t high[2] = {(uint8_t)(code + 1), (uint8_t)((code + 1) >> 8)};
        const double a = dtype_read(to, low), b = dtype_read(to, high), middle = a + (b - a) / 2;
        static const double side[] = {0, 0x1p-30, -0x1p-30, 0x1p-45, -0x1p-45, 0};
        v[k] = middle * (1 + side[k % 6]) * (k % 2 ? -1 : 1);
    }
}

static void test_floats(void **state)
{
    (void)state;
    static const DType types[] = {DT_F16, DT_BF16, DT_F8E4M3FN, DT_F8E5M2};
    static double v[N];
    for (int k = 0; k < 4; k++) {
        floats_of(types[k], v);
        check_floats(types[k], v);
    }
}

/* To nearest even with 8 bits left. */
static double to_bf16(uint64_t v)
{
    int drop = 0;
    while (v >> drop > 0xff)
        drop++;
    if (drop == 0)
        return (double)v;
    const uint64_t rest = v & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
    const uint64_t kept = v >> drop;
    return ldexp((double)(kept + (rest > half || (rest == half && (kept & 1)))), drop);
}

/* 2^a + 2^b + c: b at the tie or beside it, c far below. */
static uint64_t integer_at(int k)
{
    const int a = 1 + k % 63, below = k / 63 % 12, c = k / 63 / 12 % 5 - 2;
    const uint64_t v = (UINT64_C(1) << a) | (a > below ? UINT64_C(1) << (a - below) : 0);
    return v + (uint64_t)(int64_t)c;
}

static void check_integers(DType from, bool negative)
{
    char text[256];
    snprintf(text, sizeof text, "graph \"cast\"\ninput x %s[%d]\ny = cast(x) to=16\noutput y\n",
             dtype_name(from), N);
    Fixture f = fixture(text);
    Error e;
    Tensor *x = tensor_new(from, 1, (const int64_t[]){N}, &e);
    const int size = dtype_size(from);
    for (int k = 0; k < N; k++) {
        const uint64_t v = integer_at(k);
        const uint64_t bits = negative ? 0 - v : v;
        memcpy((char *)x->data + k * size, &bits, (size_t)size);
    }
    run_on(&f, x);
    const uint16_t *y = run_output(f.r, 0)->data;
    for (int k = 0; k < N; k++) {
        const int64_t v = dtype_read_int(from, (char *)x->data + k * size);
        const bool minus = dtype_is_signed(from) && v < 0;
        const double want = minus ? -to_bf16(0 - (uint64_t)v) : to_bf16((uint64_t)v);
        if (bf16_to_f32(y[k]) != want)
            FAIL_MSG("%s %lld: %a instead of %a", dtype_name(from), (long long)v,
                     bf16_to_f32(y[k]), want);
        if (from == DT_I64) { /* and the reference */
            uint16_t code;
            dtype_write_int(DT_BF16, &code, v);
            assert_true(bf16_to_f32(code) == want);
        }
    }
    tensor_unref(x);
    finish(&f);
}

static void test_integers(void **state)
{
    (void)state;
    check_integers(DT_I64, false);
    check_integers(DT_I64, true);
    check_integers(DT_U64, false);
    check_integers(DT_I32, false);
    check_integers(DT_I32, true);
    check_integers(DT_U32, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_floats),
                                       cmocka_unit_test(test_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
