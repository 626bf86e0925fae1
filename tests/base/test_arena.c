/* Arena and vector: alignment, zeroing, limits, deferred functions, children. */
#include "check.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"

static void test_alloc(void **state)
{
    (void)state;
    Arena *a = arena_new();
    unsigned char *p[200];
    for (size_t i = 0; i < 200; i++) {
        p[i] = arena_alloc(a, i * 37);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < i * 37; k++)
            assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i, i * 37);
    }
    for (size_t i = 0; i < 200; i++) /* nothing overlapped */
        for (size_t k = 0; k < i * 37; k++)
            assert_int_equal(p[i][k], (unsigned char)i);
    assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
    assert_true(arena_used(a) >= 200 * 199 / 2 * 37);
    for (size_t align = 1; align <= (size_t)2 << 20; align *= 2) {
        unsigned char *q = arena_alloc_aligned(a, 100, align);
        assert_int_equal((uintptr_t)q % align, 0);
        q[0] = q[99] = 1;
    }
    arena_free(a);
    arena_free(NULL);
}

static void test_text(void **state)
{
    (void)state;
    Arena *a = arena_new();
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(a, "ab", 9), "ab");
    assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
    arena_free(a);
}

static char order[8];

static void note(void *arg)
{
    strcat(order, arg);
}

static void test_defer(void **state)
{
    (void)state;
    Arena *a = arena_new();
    arena_defer(a, note, "1");
    arena_defer(a, note, "2");
    arena_defer(a, note, "3");
    assert_string_equal(order, "");
    arena_free(a);
    assert_string_equal(order, "321");
}

static void take_much(Context *ctx, void *arg)
{
    for (int i = 0; i < *(int *)arg; i++)
        arena_alloc(ctx->arena, 1000);
}

static void take_absurd(Context *ctx, void *arg)
{
    (void)arg;
    arena_array(ctx->arena, SIZE_MAX / 2, 16);
}

static void test_limit(void **state)
{
    (void)state;
    Arena *a = arena_new();
    arena_set_limit(a, 100000);
    Error e;
    int few = 50, many = 200;
    assert_int_equal(job_run(a, take_much, &few, &e, NULL), 0);
    assert_int_equal(job_run(a, take_much, &many, &e, NULL), ERR_MEMORY);
    assert_true(arena_used(a) <= 100000);
    arena_set_limit(a, 0);
    assert_int_equal(job_run(a, take_much, &many, &e, NULL), 0);
    assert_int_equal(job_run(a, take_absurd, NULL, &e, NULL), ERR_MEMORY);
    arena_free(a);
}

static int children_gone;

static void child_gone(void *arg)
{
    children_gone += *(int *)arg; /* in the parent's memory, which is still there */
}

/* A child that runs out: its parent's job fails, and it ends with the parent. */
static void fail_in_child(Context *ctx, void *arg)
{
    (void)arg;
    int *one = arena_new_of(ctx->arena, int);
    *one = 1;
    for (int i = 0; i < 3; i++)
        arena_defer(arena_child(ctx->arena), child_gone, one);
    Arena *child = arena_child(ctx->arena), *grandchild = arena_child(child);
    arena_free(arena_child(ctx->arena));
    arena_set_limit(grandchild, 1000);
    arena_alloc(grandchild, 1001);
    assert_true(0 > 1);
}

static void test_child(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e;
    assert_int_equal(job_run(a, fail_in_child, NULL, &e, NULL), ERR_MEMORY);
    assert_int_equal(children_gone, 0);
    arena_free(a);
    assert_int_equal(children_gone, 3);
}

static void test_vec(void **state)
{
    (void)state;
    Arena *a = arena_new();
    VEC(int) v = {0};
    for (int i = 0; i < 1000; i++) {
        vec_push(a, &v, i * i);
        assert_int_equal(vec_last(&v), i * i);
    }
    assert_int_equal(v.len, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v.at[i], i * i);
    vec_reserve(a, &v, 5000);
    assert_true(v.cap >= 6000);
    assert_int_equal(v.at[999], 999 * 999);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc), cmocka_unit_test(test_text), cmocka_unit_test(test_defer),
        cmocka_unit_test(test_limit), cmocka_unit_test(test_vec), cmocka_unit_test(test_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
