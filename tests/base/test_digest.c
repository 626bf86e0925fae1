/* Digests: every byte, every length, order and cut count. */
#include "check.h"

#include "base/digest.h"

static Digest of(const void *at, size_t size)
{
    Digest d = digest_new();
    digest_add(&d, at, size);
    return d;
}

static void all_differ(void **state)
{
    (void)state;
    enum { N = 200 };
    uint8_t bytes[N] = {0};
    Digest seen[8 * N + N + 1];
    int n = 0;
    for (size_t size = 0; size <= N; size++) /* zeros: only the length says */
        seen[n++] = of(bytes, size);
    for (int bit = 0; bit < 8 * N; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        seen[n++] = of(bytes, N);
        bytes[bit / 8] = 0;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) { /* each half alone too */
            assert_true(seen[i].h[0] != seen[j].h[0]);
            assert_true(seen[i].h[1] != seen[j].h[1]);
        }
}

static void items_count(void **state)
{
    (void)state;
    Digest a = digest_new(), b = digest_new(), c = digest_new();
    digest_add_text(&a, "ab");
    digest_add_text(&a, "c");
    digest_add_text(&b, "a");
    digest_add_text(&b, "bc");
    digest_add_text(&c, "c");
    digest_add_text(&c, "ab");
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &c, sizeof a);
    char text[DIGEST_TEXT];
    digest_print(&a, text);
    assert_int_equal(strlen(text), 32);
}

/* Does a change of one bit change about half of all? */
static void bits_spread(void **state)
{
    (void)state;
    uint8_t bytes[96] = {0};
    const Digest zero = of(bytes, sizeof bytes);
    int flipped = 0;
    for (int bit = 0; bit < 8 * 96; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const Digest d = of(bytes, sizeof bytes);
        flipped +=
            __builtin_popcountll(d.h[0] ^ zero.h[0]) + __builtin_popcountll(d.h[1] ^ zero.h[1]);
        bytes[bit / 8] = 0;
    }
    assert_in_range(flipped, 8 * 96 * 62, 8 * 96 * 66);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_differ),
        cmocka_unit_test(items_count),
        cmocka_unit_test(bits_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
