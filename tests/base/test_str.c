/* String builder and helpers. */
#include "check.h"

#include <float.h>
#include <math.h>

#include "base/map.h"
#include "base/str.h"

static void test_builder(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Str s = str_new(a);
    assert_string_equal(str_text(&s), "");
    for (int i = 0; i < 1000; i++) {
        str_addf(&s, "%d", i % 10);
        str_addc(&s, ',');
        str_add(&s, "ab");
        str_addn(&s, "cdef", 2);
    }
    assert_int_equal(s.len, 6000);
    assert_int_equal(strlen(str_text(&s)), 6000);
    for (int i = 0; i < 1000; i++) {
        const char want[] = {(char)('0' + i % 10), ',', 'a', 'b', 'c', 'd'};
        assert_memory_equal(str_text(&s) + 6 * i, want, 6);
    }
    arena_free(a);
}

static void test_double(void **state)
{
    (void)state;
    static const struct { double v; const char *text; } rows[] = {
        {0, "0"},     {-0.0, "-0"},      {1, "1"},           {0.1, "0.1"},
        {1.5, "1.5"}, {1e300, "1e+300"}, {INFINITY, "inf"}, {-INFINITY, "-inf"},
        {NAN, "nan"}, {1.0 / 3, "0.3333333333333333"},
    };
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Str s = str_new(a);
        str_add_double(&s, rows[i].v);
        assert_string_equal(str_text(&s), rows[i].text);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        const uint64_t bits = hash_mix(i, 77) * 0x2545f4914f6cdd1d;
        double v;
        memcpy(&v, &bits, 8);
        if (isnan(v))
            continue;
        Str s = str_new(a);
        str_add_double(&s, v);
        assert_true(strtod(str_text(&s), NULL) == v);
    }
    arena_free(a);
}

static void test_ends(void **state)
{
    (void)state;
    assert_true(str_starts("model.onnx", "model"));
    assert_false(str_starts("mod", "model"));
    assert_true(str_ends("model.onnx", ".onnx"));
    assert_false(str_ends("onnx", ".onnx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_double),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
