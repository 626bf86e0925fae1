/* Sums of errors, and which rows keep their best class. */
#include "check.h"

#include <math.h>

#include "tools/accuracy.h"

static Tensor *tensor_of(int rows, int columns, const float *v)
{
    Error e;
    const int64_t dim[2] = {rows, columns};
    Tensor *t = tensor_new(DT_F32, 2, dim, &e);
    assert_non_null(t);
    memcpy(t->data, v, t->bytes);
    return t;
}

static Accuracy compare(int rows, int columns, const float *got, const float *want)
{
    Accuracy a = {0};
    Tensor *g = tensor_of(rows, columns, got), *w = tensor_of(rows, columns, want);
    accuracy_add(&a, g, w);
    tensor_unref(g);
    tensor_unref(w);
    return a;
}

static void test_sums(void **state)
{
    (void)state;
    const float want[] = {3, 0, 4, 0}, got[] = {3, 0, 4, 0.5f};
    const Accuracy a = compare(2, 2, got, want), same = compare(2, 2, want, want);
    assert_int_equal(a.elements, 4);
    assert_int_equal(a.rows, 0);
    assert_true(a.max_abs == 0.5);
    assert_true(fabs(accuracy_relative(&a) - 0.1) < 1e-12);
    assert_true(fabs(accuracy_cosine(&a) - 25 / (5 * sqrt(25.25))) < 1e-12);
    assert_true(accuracy_relative(&same) == 0 && fabs(accuracy_cosine(&same) - 1) < 1e-12);
}

static void test_classes(void **state)
{
    (void)state;
    const float want[] = {9, 1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4, 5, 6};
    const float got[] = {9, 1, 2, 3, 4, 5, 6, 5.5f, 1, 2, 3, 4, 5, 6, 1.5f, 1, 2, 3, 4, 5, 6};
    const Accuracy a = compare(3, 7, got, want);
    assert_int_equal(a.rows, 3);
    assert_int_equal(a.top1, 1);
    assert_int_equal(a.top5, 2);
}

static void test_broken(void **state)
{
    (void)state;
    const float want[] = {1, INFINITY, 2}, same[] = {1, INFINITY, 2}, nan[] = {1, INFINITY, NAN};
    const Accuracy a = compare(1, 3, same, want), b = compare(1, 3, nan, want);
    assert_true(!a.broken && accuracy_relative(&a) == 0);
    assert_true(b.broken && isinf(accuracy_relative(&b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
