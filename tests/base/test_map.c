/* Maps against arrays; stability and spread of the hash. */
#include "check.h"

#include <stdio.h>

#include "base/map.h"

static void test_strmap(void **state)
{
    (void)state;
    Arena *a = arena_new();
    StrMap m = strmap_new(a);
    assert_int_equal(strmap_get(&m, "x", -7), -7);
    char key[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_true(strmap_put(&m, key, i));
    }
    assert_false(strmap_put(&m, "key17", 99));
    assert_int_equal(m.len, 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(strmap_get(&m, key, -1), i == 17 ? 99 : i);
    }
    assert_int_equal(strmap_get(&m, "key5000", -1), -1);
    assert_int_equal(strmap_get(&m, "", -1), -1);
    arena_free(a);
}

static void test_intmap(void **state)
{
    (void)state;
    Arena *a = arena_new();
    IntMap m = intmap_new(a);
    assert_int_equal(intmap_get(&m, 0, -7), -7);
    for (uint64_t i = 0; i < 5000; i++)
        assert_true(intmap_put(&m, i << 40, (int)i));
    assert_false(intmap_put(&m, 0, 5));
    for (uint64_t i = 1; i < 5000; i++)
        assert_int_equal(intmap_get(&m, i << 40, -1), (int)i);
    assert_int_equal(intmap_get(&m, 0, -1), 5);
    assert_int_equal(intmap_get(&m, 1, -1), -1);
    arena_free(a);
}

static void test_hash(void **state)
{
    (void)state;
    /* Files and databases hold these: they may never change. */
    assert_true(hash_bytes("", 0, 0) == 0x8840ad0fb7cef34cu);
    assert_true(hash_bytes("lathe", 5, 0) == 0x1ea66511f7ed5da2u);
    assert_true(hash_bytes("0123456789abcdef!", 17, 3) == 0x4f1b955a99335e1du);
    /* A flipped input bit flips about half of the hash. */
    char text[24] = "the quick brown fox jum";
    const uint64_t h = hash_bytes(text, 23, 0);
    for (int bit = 0; bit < 23 * 8; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        const int flips = __builtin_popcountll(h ^ hash_bytes(text, 23, 0));
        assert_in_range(flips, 10, 54);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strmap),
        cmocka_unit_test(test_intmap),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
