/* Which parts are shown, in which order; none shows what another shows. */
#include "check.h"

#include "base/str.h"
#include "watch/highlight.h"

#define S(x) ((int64_t)((x) * 1000000))

static Moment at(const char *event, double from, double to, double weight)
{
    return (Moment){event, S(from), S(to), S(5), S(2), weight};
}

static void expect(int n, const Moment *m, int top, double most, const char *want)
{
    Arena *const a = arena_new();
    const Highlight *h;
    Str s = str_new(a);
    const int found = highlights(a, n, m, top, S(most), &h);
    for (int i = 0; i < found; i++)
        str_addf(&s, "%s %g-%g %d|", h[i].event, (double)h[i].from * 1e-6, (double)h[i].to * 1e-6,
                 h[i].n);
    assert_string_equal(str_text(&s), want);
    arena_free(a);
}

static void test_parts(void **state)
{
    (void)state;
    const Moment m[] = {at("kill", 30, 30, 1), at("win", 100, 110, 5), at("kill", 60, 60, 1),
                        at("kill", 64, 64, 1), at("kill", 2, 2, 1)};
    expect(5, m, 9, 60, "win 95-112 1|kill 55-66 2|kill 25-32 1|kill 0-4 1|");
    expect(5, m, 2, 60, "win 95-112 1|kill 55-66 2|");
    expect(0, m, 2, 60, "");
    expect(5, m, 0, 60, "");
    expect(2, m, 9, 10, "win 95-105 1|kill 25-32 1|"); /* cut where it is too long */
}

static void test_others_have_their_turn(void **state)
{
    (void)state;
    const Moment m[] = {at("kill", 100, 100, 3), at("kill", 200, 200, 3), at("kill", 300, 300, 3),
                        at("chest", 400, 400, 2)};
    expect(4, m, 3, 60, "kill 195-202 1|chest 395-402 1|kill 295-302 1|");
}

static void test_weights_that_are_none(void **state)
{
    (void)state;
    const Moment m[] = {at("a", 10, 10, 0), at("b", 50, 50, -1)};
    expect(2, m, 3, 60, "");
}

static void test_random(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < 500; round++) {
        static const char *const name[] = {"a", "b", "c"};
        Arena *const a = arena_new();
        Moment m[40];
        const int n = rand() % 40, top = rand() % 12;
        for (int i = 0; i < n; i++) {
            const double t = rand() % 600;
            m[i] = (Moment){name[rand() % 3],   S(t),      S(t + rand() % 20), S(rand() % 10),
                            S(1 + rand() % 10), rand() % 5};
        }
        const Highlight *h;
        const int found = highlights(a, n, m, top, S(25), &h);
        assert_true(found <= top && found <= n);
        for (int i = 0; i < found; i++) {
            assert_true(h[i].from >= 0 && h[i].to > h[i].from && h[i].to - h[i].from <= S(25));
            for (int k = 0; k < i; k++)
                assert_true(h[k].to <= h[i].from || h[i].to <= h[k].from);
        }
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts), cmocka_unit_test(test_others_have_their_turn),
        cmocka_unit_test(test_weights_that_are_none), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
