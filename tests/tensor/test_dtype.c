/* Element types. Rounding is checked against a search: the nearest of all values of the type. */
#include "check.h"

#include <math.h>

#include "base/map.h"
#include "tensor/dtype.h"

static double value(DType t, uint32_t code)
{
    return dtype_read(t, &code);
}

static uint32_t code_of(DType t, double v, bool saturate)
{
    uint32_t code = 0;
    dtype_write(t, &code, v, saturate);
    return code;
}

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(DT_F32, 1);
    assert_int_equal(DT_BF16, 16);
    assert_int_equal(DT_I2, 26);
    for (int t = 1; t < DT_COUNT; t++)
        assert_int_equal(dtype_parse(dtype_name((DType)t)), t);
    assert_int_equal(dtype_parse("f99"), DT_NONE);
    assert_int_equal(dtype_compute(DT_F8E5M2), DT_F32);
    assert_int_equal(dtype_compute(DT_F64), DT_F64);
    assert_int_equal(dtype_compute(DT_I4), DT_I32);
    assert_int_equal(dtype_compute(DT_U2), DT_U32);
    assert_int_equal(dtype_compute(DT_I8), DT_I8);
    assert_int_equal(dtype_size(DT_STRING), 0);
}

static void test_known_values(void **state)
{
    (void)state;
    static const struct { DType t; uint32_t code; double v; } rows[] = {
        {DT_F16, 0x3c00, 1},        {DT_F16, 0x7bff, 65504},       {DT_F16, 0x0001, 0x1p-24},
        {DT_F16, 0x8400, -0x1p-14}, {DT_F16, 0x7c00, INFINITY},    {DT_F16, 0x7e01, NAN},
        {DT_BF16, 0x3f80, 1},       {DT_BF16, 0xff80, -INFINITY},  {DT_BF16, 0x0001, 0x1p-133},
        {DT_F8E4M3FN, 0x7e, 448},   {DT_F8E4M3FN, 0x7f, NAN},      {DT_F8E4M3FN, 0x01, 0x1p-9},
        {DT_F8E4M3FN, 0x38, 1},     {DT_F8E4M3FNUZ, 0x7f, 240},    {DT_F8E4M3FNUZ, 0x80, NAN},
        {DT_F8E4M3FNUZ, 0x40, 1},   {DT_F8E4M3FNUZ, 0x01, 0x1p-10}, {DT_F8E5M2, 0x7b, 57344},
        {DT_F8E5M2, 0x7c, INFINITY}, {DT_F8E5M2, 0x7d, NAN},       {DT_F8E5M2, 0x01, 0x1p-16},
        {DT_F8E5M2FNUZ, 0x7f, 57344}, {DT_F8E5M2FNUZ, 0x80, NAN},  {DT_F8E5M2FNUZ, 0x01, 0x1p-17},
        {DT_F4E2M1, 0x1, 0.5},      {DT_F4E2M1, 0x7, 6},           {DT_F4E2M1, 0xb, -1.5},
        {DT_F8E8M0, 0x00, 0x1p-127}, {DT_F8E8M0, 0x7f, 1},         {DT_F8E8M0, 0xfe, 0x1p127},
        {DT_F8E8M0, 0xff, NAN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double v = value(rows[i].t, rows[i].code);
        assert_true(v == rows[i].v || (isnan(v) && isnan(rows[i].v)));
    }
    assert_true(dtype_highest(DT_F16) == 65504 && dtype_lowest(DT_F16) == -65504);
    assert_true(dtype_highest(DT_I4) == 7 && dtype_lowest(DT_I4) == -8);
    assert_true(dtype_highest(DT_U2) == 3 && dtype_lowest(DT_U2) == 0);
    assert_true(dtype_highest(DT_I64) == 0x1p63 && dtype_lowest(DT_I64) == -0x1p63);
    assert_true(dtype_lowest(DT_F8E8M0) == 0x1p-127);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const DType floats[] = {DT_F16, DT_BF16, DT_F8E4M3FN, DT_F8E4M3FNUZ, DT_F8E5M2,
                                   DT_F8E5M2FNUZ, DT_F4E2M1, DT_F8E8M0};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        const DType t = floats[i];
        for (uint32_t code = 0; code < 1u << dtype_bits(t); code++) {
            const double v = value(t, code);
            if (isnan(v))
                assert_true(isnan(value(t, code_of(t, v, false))));
            else
                assert_int_equal(code_of(t, v, false), code);
        }
    }
    for (uint32_t code = 0; code < 65536; code++) {
        const float h = f16_to_f32((uint16_t)code), b = bf16_to_f32((uint16_t)code);
        assert_true(isnan(h) ? isnan(f16_to_f32(f32_to_f16(h))) : f32_to_f16(h) == code);
        assert_true(isnan(b) ? isnan(bf16_to_f32(f32_to_bf16(b))) : f32_to_bf16(b) == code);
        assert_true(isnan(b) || b == (float)value(DT_BF16, code));
    }
}

/* Nearest of the finite values by search; a tie goes to the even code, of E8M0 up. */
static uint32_t nearest(DType t, double v)
{
    uint32_t best = 0;
    double gap = INFINITY;
    for (uint32_t code = 0; code < 1u << dtype_bits(t); code++) {
        const double x = value(t, code);
        const bool positive_zero = code == 0 && value(t, 1u << (dtype_bits(t) - 1)) != 0; /* only */
        if (!isfinite(x) || (signbit(x) != signbit(v) && !positive_zero))
            continue;
        const double d = fabs(x - v);
        if (d < gap || (d == gap && (t == DT_F8E8M0 ? x > value(t, best) : code % 2 == 0))) {
            best = code;
            gap = d;
        }
    }
    return best;
}

static void test_rounding(void **state)
{
    (void)state;
    static const DType small[] = {DT_F8E4M3FN, DT_F8E4M3FNUZ, DT_F8E5M2, DT_F8E5M2FNUZ, DT_F4E2M1,
                                  DT_F8E8M0};
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        const DType t = small[i];
        const double most = dtype_highest(t), least = t == DT_F8E8M0 ? 0x1p-127 : 0;
        const uint32_t codes = 1u << dtype_bits(t);
        for (uint32_t code = 0; code + 1 < codes; code++) {
            const double x = value(t, code), y = value(t, code + 1);
            if (!isfinite(x) || !isfinite(y) || signbit(x) != signbit(y))
                continue;
            const double points[] = {x + (y - x) / 2, x + (y - x) * 0.499, x + (y - x) * 0.501};
            for (int k = 0; k < 3; k++)
                assert_int_equal(code_of(t, points[k], false), nearest(t, points[k]));
        }
        for (uint64_t k = 0; k < 3000; k++) {
            const double u = (double)(hash_mix(k, 5) >> 11) * 0x1p-53;
            const double v = ldexp(k % 2 == 0 || least > 0 ? 1 + u : -1 - u, (int)(k % 40) - 22);
            if (fabs(v) <= most && fabs(v) >= least)
                assert_int_equal(code_of(t, v, false), nearest(t, v));
        }
        /* Beyond the largest value: saturate, or infinity, or NaN. */
        const double over = code_of(t, most * 4, false) == nearest(t, most)
                                ? most
                                : value(t, code_of(t, most * 4, false));
        assert_true(value(t, code_of(t, most * 4, true)) == most);
        assert_true(value(t, code_of(t, INFINITY, true)) == most);
        if (t == DT_F8E5M2)
            assert_true(over == INFINITY);
        else if (t == DT_F4E2M1)
            assert_true(over == most);
        else
            assert_true(isnan(over));
    }
    assert_int_equal(code_of(DT_F8E4M3FNUZ, -0.0, false), 0);
    assert_int_equal(code_of(DT_F8E4M3FN, -0.0, false), 0x80);
}

/* f16 and bf16 against the compiler's own double -> float rounding, one format up. */
static void test_f16_ties(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x7bff; code++) {
        const double x = value(DT_F16, code), y = value(DT_F16, code + 1), middle = (x + y) / 2;
        assert_int_equal(f32_to_f16((float)middle), code + code % 2);
        assert_int_equal(code_of(DT_F16, middle + (y - x) * 1e-9, false), code + 1);
        assert_int_equal(code_of(DT_F16, middle - (y - x) * 1e-9, false), code);
    }
    assert_int_equal(f32_to_f16(65519.9f), 0x7bff);
    assert_int_equal(f32_to_f16(65520), 0x7c00);
    assert_int_equal(f32_to_f16(-1e30f), 0xfc00);
    for (uint64_t k = 0; k < 100000; k++) {
        const uint32_t bits = (uint32_t)(hash_mix(k, 9) >> 32);
        float f;
        memcpy(&f, &bits, 4);
        if (isnan(f))
            continue;
        const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1); /* the usual bit trick */
        assert_int_equal(f32_to_bf16(f), rounded >> 16);
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const struct { DType t; double v; int64_t want; } rows[] = {
        {DT_I8, 300, 127},   {DT_I8, -300, -128}, {DT_U8, -1, 0},    {DT_U8, 1e9, 255},
        {DT_I4, 9, 7},       {DT_I4, -9, -8},     {DT_U4, 99, 15},   {DT_I2, 5, 1},
        {DT_U2, 5, 3},       {DT_I32, 2.5, 2},    {DT_I32, 3.5, 4},  {DT_I32, NAN, 0},
        {DT_I64, 1e30, INT64_MAX}, {DT_I64, -1e30, INT64_MIN}, {DT_U64, -5, 0},
        {DT_U64, 1e30, -1},  {DT_I16, -32769, -32768}, {DT_U16, 65536, 65535},
        {DT_U32, INFINITY, UINT32_MAX}, {DT_BOOL, 0.5, 1}, {DT_BOOL, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t cell = 0;
        dtype_write(rows[i].t, &cell, rows[i].v, false);
        assert_true(dtype_read_int(rows[i].t, &cell) == rows[i].want);
    }
    for (int t = 1; t < DT_COUNT; t++) {
        if (!dtype_is_int((DType)t))
            continue;
        for (int v = -300; v < 300; v++) { /* wraps to the width */
            uint64_t cell = 0;
            dtype_write_int((DType)t, &cell, v);
            const int bits = dtype_bits((DType)t);
            int64_t want = bits == 64 ? v : v & ((INT64_C(1) << bits) - 1);
            if (bits < 64 && dtype_is_signed((DType)t) && want >> (bits - 1) != 0)
                want -= INT64_C(1) << bits;
            assert_true(dtype_read_int((DType)t, &cell) == want);
            if (t != DT_U64)
                assert_true(dtype_read((DType)t, &cell) == (double)want);
        }
    }
    float f = 0;
    dtype_write_int(DT_F32, &f, 16777217);
    assert_true(f == 16777216);
    const float g = -2.75f;
    assert_int_equal(dtype_read_int(DT_F32, &g), -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),      cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_f16_ties),   cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
