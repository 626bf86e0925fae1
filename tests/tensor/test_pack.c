/* Packing: a known byte string, and all values round trip at every length. */
#include "check.h"

#include "tensor/pack.h"

static void test_known(void **state)
{
    (void)state;
    const uint8_t packed[] = {0x8f, 0x07};
    int8_t i4[3];
    unpack_elements(DT_I4, packed, 3, i4);
    assert_int_equal(i4[0], -1);
    assert_int_equal(i4[1], -8);
    assert_int_equal(i4[2], 7);
    uint8_t u4[3];
    unpack_elements(DT_U4, packed, 3, u4);
    assert_int_equal(u4[0], 15);
    assert_int_equal(u4[1], 8);
    int8_t i2[4];
    unpack_elements(DT_I2, "\xe4", 4, i2); /* 11 10 01 00, first lowest */
    assert_int_equal(i2[0], 0);
    assert_int_equal(i2[1], 1);
    assert_int_equal(i2[2], -2);
    assert_int_equal(i2[3], -1);
    uint8_t f4[2];
    unpack_elements(DT_F4E2M1, "\xb7", 2, f4);
    assert_int_equal(f4[0], 7);
    assert_int_equal(f4[1], 0xb); /* the code, not sign-extended */
    assert_int_equal(packed_bytes(DT_I4, 3), 2);
    assert_int_equal(packed_bytes(DT_U2, 5), 2);
    assert_int_equal(packed_bytes(DT_U2, 0), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const DType packed_types[] = {DT_I4, DT_U4, DT_I2, DT_U2, DT_F4E2M1};
    for (size_t k = 0; k < sizeof packed_types / sizeof packed_types[0]; k++) {
        const DType t = packed_types[k];
        assert_true(dtype_is_packed(t));
        for (int64_t n = 0; n < 40; n++) {
            uint8_t in[40], out[40], packed[21] = {0};
            packed[packed_bytes(t, n)] = 0xa5;
            for (int64_t i = 0; i < n; i++) {
                if (t == DT_F4E2M1)
                    in[i] = (uint8_t)(i * 7 % 16);
                else
                    dtype_write_int(t, &in[i], i * 7);
            }
            pack_elements(t, in, n, packed);
            assert_int_equal(packed[packed_bytes(t, n)], 0xa5);
            unpack_elements(t, packed, n, out);
            assert_memory_equal(in, out, (size_t)n);
        }
    }
    assert_false(dtype_is_packed(DT_I8));
    assert_false(dtype_is_packed(DT_STRING));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known),
                                       cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
