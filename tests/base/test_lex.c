/* Lexer: every token kind, places, errors, and random bytes. */
#include "check.h"

#include <math.h>

#include "base/lex.h"

typedef struct Text {
    const char *text;
    size_t size;
    bool newlines;
} Text;

static void walk(Context *ctx, void *arg)
{
    const Text *t = arg;
    for (Lexer l = lex_new(ctx, "t", t->text, t->size, t->newlines); l.tok.kind != TOK_END;)
        lex_next(&l);
}

static void all_kinds(Context *ctx, void *arg)
{
    (void)arg;
    const char text[] = "conv.x _a1 # rest <= ignored\n 12 1.5 2e3 7. \"a\\\"\\\\\\n\\x41\" <= -> "
                        ">> < 0..3 -5 -inf";
    Lexer l = lex_new(ctx, "t", text, sizeof text - 1, false);
    assert_string_equal(lex_ident(&l), "conv.x");
    assert_int_equal(l.tok.column, 8);
    assert_string_equal(lex_ident(&l), "_a1");
    assert_int_equal(l.tok.line, 2);
    assert_int_equal(l.tok.column, 2);
    assert_int_equal(lex_int(&l), 12);
    assert_int_equal(l.tok.kind, TOK_FLOAT);
    assert_true(lex_number(&l) == 1.5);
    assert_true(lex_number(&l) == 2000);
    assert_true(lex_number(&l) == 7);
    assert_string_equal(lex_string(&l), "a\"\\\nA");
    lex_expect(&l, "<=");
    assert_false(lex_accept(&l, "-"));
    assert_true(lex_accept(&l, "->"));
    lex_expect(&l, ">>");
    lex_expect(&l, "<");
    assert_int_equal(lex_int(&l), 0);
    lex_expect(&l, ".");
    lex_expect(&l, ".");
    assert_int_equal(lex_int(&l), 3);
    assert_int_equal(lex_int(&l), -5);
    assert_true(lex_number(&l) == -INFINITY);
    assert_int_equal(l.tok.kind, TOK_END);
}

static void limits(Context *ctx, void *arg)
{
    (void)arg;
    const char text[] = "9223372036854775807 -9223372036854775808 nan";
    Lexer l = lex_new(ctx, "t", text, sizeof text - 1, false);
    assert_true(lex_int(&l) == INT64_MAX);
    assert_true(lex_int(&l) == INT64_MIN);
    assert_true(isnan(lex_number(&l)));
}

static void newlines(Context *ctx, void *arg)
{
    (void)arg;
    const char text[] = "a # c\n\nb";
    Lexer l = lex_new(ctx, "t", text, sizeof text - 1, true);
    assert_string_equal(lex_ident(&l), "a");
    assert_int_equal(l.tok.kind, TOK_NEWLINE);
    lex_next(&l);
    assert_int_equal(l.tok.kind, TOK_NEWLINE);
    lex_next(&l);
    assert_int_equal(l.tok.line, 3);
    assert_string_equal(lex_ident(&l), "b");
}

static void wants_int(Context *ctx, void *arg)
{
    Lexer l = lex_new(ctx, "file", arg, strlen(arg), false);
    lex_next(&l);
    lex_int(&l);
}

static void test_tokens(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e;
    assert_int_equal(job_run(a, all_kinds, NULL, &e, NULL), 0);
    assert_int_equal(job_run(a, limits, NULL, &e, NULL), 0);
    assert_int_equal(job_run(a, newlines, NULL, &e, NULL), 0);
    arena_free(a);
}

static void test_errors(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e;
    assert_int_equal(job_run(a, wants_int, "x\n  y", &e, NULL), ERR_INVALID);
    assert_string_equal(e.message, "file:2:3: expected an integer, found 'y'");
    static const char *const bad[] = {"\"abc",     "\"a\\q\"", "\"\\x4\"",
                                      "\"\\x00\"", "\x80",     "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Text t = {bad[i], strlen(bad[i]), false};
        assert_int_equal(job_run(a, walk, &t, &e, NULL), ERR_INVALID);
    }
    assert_int_equal(job_run(a, wants_int, "x 9223372036854775808", &e, NULL), ERR_INVALID);
    arena_free(a);
}

static void test_random_bytes(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 5000; round++) {
        Arena *a = arena_new();
        static const char likely[] = "\"\\xn.0e+-#a\n 9<>=/";
        const size_t n = (size_t)rand() % 40;
        char *text = malloc(n + 1); /* exact size, so that the sanitizer sees over-reads */
        for (size_t i = 0; i < n; i++)
            text[i] = rand() % 8 == 0 ? (char)rand() : likely[(size_t)rand() % (sizeof likely - 1)];
        char *exact = n > 0 ? realloc(text, n) : text;
        Text t = {exact, n, rand() % 2 == 0};
        job_run(a, walk, &t, NULL, NULL);
        free(exact);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
