/* Layouts: offsets are a bijection into memory, text both ways, refusals. */
#include "check.h"

#include "tensor/layout.h"

typedef struct Case {
    const char *text; /* to parse */
    Layout got;
} Case;

static void parse(Context *ctx, void *arg)
{
    Case *c = arg;
    Lexer l = lex_new(ctx, "t", c->text, strlen(c->text), false);
    c->got = layout_parse(&l);
    assert_int_equal(l.tok.kind, TOK_END);
}

static Layout layout_of(Arena *a, const char *text)
{
    Case c = {.text = text};
    assert_int_equal(job_run(a, parse, &c, NULL, NULL), 0);
    return c.got;
}

static void test_text(void **state)
{
    (void)state;
    static const char *const good[] = {"plain",           "0 1 2 3 1:8", "1 0 1:16",
                                       "0 1 0:4 1:8 0:2", "0",           "1:2 0 1"};
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const Layout l = layout_of(a, good[i]);
        Str s = str_new(a);
        layout_print(&l, &s);
        assert_string_equal(str_text(&s), good[i]);
        const Layout again = layout_of(a, str_text(&s));
        assert_true(layout_equal(&l, &again));
    }
    static const char *const bad[] = {"",
                                      "0 0",
                                      "0:4",
                                      "0:4 1",
                                      "0:4 0 0:2 0",
                                      "0 2",
                                      "0 1:8",
                                      "9",
                                      "0 0:1",
                                      "0 0:x",
                                      "0 1 2 3 4 5 6 7 0:2 1:2 2:2 3:2 4:2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Case c = {.text = bad[i]};
        assert_int_equal(job_run(a, parse, &c, NULL, NULL), ERR_INVALID);
    }
    arena_free(a);
}

static void test_known_offsets(void **state)
{
    (void)state;
    Arena *a = arena_new();
    /* x (2,20,3,5) as NCHW8c: C rounds up to 24 */
    const Layout l = layout_of(a, "0 1 2 3 1:8");
    const int64_t dims[] = {2, 20, 3, 5};
    assert_int_equal(layout_elements(&l, 4, dims), 2 * 24 * 3 * 5);
    assert_int_equal(layout_block(&l, 1), 8);
    assert_int_equal(layout_block(&l, 0), 1);
    const int64_t index[] = {1, 13, 2, 4};
    assert_int_equal(layout_offset(&l, 4, dims, index), (((1 * 3 + 1) * 3 + 2) * 5 + 4) * 8 + 5);
    const int64_t empty[] = {0, 20, 3, 5};
    assert_int_equal(layout_elements(&l, 4, empty), 0);
    const int64_t huge[] = {INT64_MAX, 20, 3, 5};
    assert_true(layout_elements(&l, 4, huge) == INT64_MAX);
    arena_free(a);
}

/* Every logical index has a place of its own below layout_elements. */
static void test_bijection(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain",         "2 0 1",         "0 1 2 1:4",        "0 2 1 0:2 1:4 0:3",
        "1 2 0 2:5 2:2", "1:2 2:3 0 1 2", "2:2 1 2:3 0 1:4 2"};
    static const int64_t shapes[][3] = {{4, 8, 6}, {5, 7, 3}, {1, 1, 1}, {7, 13, 11}};
    Arena *a = arena_new();
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        const Layout l = layout_of(a, texts[t]);
        assert_true(layout_valid(&l, 3));
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const int64_t *d = shapes[s], n = layout_elements(&l, 3, d);
            char *taken = arena_array(a, (size_t)n, 1);
            for (int64_t i = 0; i < d[0]; i++)
                for (int64_t j = 0; j < d[1]; j++)
                    for (int64_t k = 0; k < d[2]; k++) {
                        const int64_t index[] = {i, j, k}, at = layout_offset(&l, 3, d, index);
                        assert_in_range(at, 0, n - 1);
                        assert_int_equal(taken[at], 0);
                        taken[at] = 1;
                    }
        }
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_known_offsets),
        cmocka_unit_test(test_bijection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
