/* Jobs: failing, nesting, details, one-line messages. */
#include "check.h"

#include "base/error.h"

static void good(Context *ctx, void *arg)
{
    *(int *)arg = 1;
    ctx->detail = 5;
}

static void bad(Context *ctx, void *arg)
{
    (void)arg;
    ctx->detail = 42;
    fail(ctx, ERR_NEED_VALUE, "bad\n%s", "x");
}

static void nests(Context *ctx, void *arg)
{
    Error inner;
    int detail = 0;
    assert_int_equal(job_run(ctx->arena, bad, NULL, &inner, &detail), ERR_NEED_VALUE);
    assert_int_equal(detail, 42);
    if (arg != NULL)
        fail(ctx, ERR_INVALID, "outer after %s", inner.message);
}

static void test_jobs(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e;
    int ran = 0, detail = 0;
    assert_int_equal(job_run(a, good, &ran, &e, &detail), 0);
    assert_int_equal(ran, 1);
    assert_int_equal(detail, 5);
    assert_int_equal(job_run(a, bad, NULL, &e, &detail), ERR_NEED_VALUE);
    assert_int_equal(e.code, ERR_NEED_VALUE);
    assert_string_equal(e.message, "bad x");
    assert_int_equal(job_run(a, nests, NULL, &e, NULL), 0);
    assert_int_equal(job_run(a, nests, a, &e, NULL), ERR_INVALID);
    assert_string_equal(e.message, "outer after bad x");
    assert_int_equal(job_run(a, bad, NULL, NULL, NULL), ERR_NEED_VALUE);
    arena_free(a);
}

static void test_set(void **state)
{
    (void)state;
    Error e;
    assert_int_equal(error_set(&e, ERR_IO, "%d", 3), ERR_IO);
    assert_int_equal(e.code, ERR_IO);
    assert_string_equal(e.message, "3");
    assert_int_equal(error_set(NULL, ERR_IO, "x"), ERR_IO);
    /* a model's names reach terminals; UTF-8 may */
    error_set(&e, ERR_IO, "a\tb%cc\x1b[2J\x7f\xc3\xa9", 0x1c);
    assert_string_equal(e.message, "a b?c?[2J?\xc3\xa9");
    assert_string_equal(error_name(ERR_IO), "IO");
    assert_string_equal(error_name(-999), "unknown error");
    char big[5000];
    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = 0;
    error_set(&e, ERR_IO, "%s", big);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_jobs), cmocka_unit_test(test_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
