/* Tensors: life, foreign data, comparison, random fill. */
#include "check.h"

#include <math.h>

#include "tensor/tensor.h"

static int freed;

static void count_free(void *arg)
{
    freed += *(int *)arg;
}

static void test_life(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const int64_t dims[] = {2, 3};
    Error e;
    Tensor *t = tensor_new(DT_F32, 2, dims, &e);
    assert_non_null(t);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_int_equal(t->bytes, 24);
    for (int i = 0; i < 6; i++)
        assert_true(((float *)t->data)[i] == 0);
    assert_string_equal(tensor_describe(a, t), "f32[2,3]");
    assert_ptr_equal(tensor_ref(t), t);
    tensor_unref(t);
    assert_int_equal(tensor_elements(t), 6);
    tensor_unref(t);
    tensor_unref(NULL);

    int one = 1;
    float data[6];
    Tensor *w = tensor_wrap(DT_F32, 2, dims, data, sizeof data, count_free, &one);
    tensor_unref(tensor_ref(w));
    assert_int_equal(freed, 0);
    tensor_unref(w);
    assert_int_equal(freed, 1);

    Tensor *s = tensor_new(DT_I64, 0, NULL, &e);
    assert_int_equal(tensor_elements(s), 1);
    assert_string_equal(tensor_describe(a, s), "i64[]");
    tensor_unref(s);
    arena_free(a);
}

static void test_refusals(void **state)
{
    (void)state;
    Error e;
    const int64_t huge[] = {1 << 30, 1 << 30, 1 << 30};
    assert_null(tensor_new(DT_F32, 3, huge, &e));
    assert_int_equal(e.code, ERR_MEMORY);
    const int64_t large[] = {INT64_C(1) << 60};
    assert_null(tensor_new(DT_U8, 1, large, &e));
    assert_int_equal(e.code, ERR_MEMORY);
    const int64_t negative[] = {-1};
    assert_null(tensor_new(DT_F32, 1, negative, &e));
    assert_int_equal(e.code, ERR_INVALID);
    assert_null(tensor_new(DT_STRING, 0, NULL, &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    const int64_t empty[] = {1 << 30, 1 << 30, 1 << 30, 0};
    Tensor *t = tensor_new(DT_F32, 4, empty, &e);
    assert_non_null(t);
    assert_int_equal(t->bytes, 0);
    tensor_unref(t);
}

static Tensor *of(int n, const float *v)
{
    Error e;
    Tensor *t = tensor_new(DT_F32, 1, &(int64_t){n}, &e);
    memcpy(t->data, v, (size_t)n * 4);
    return t;
}

static void test_compare(void **state)
{
    (void)state;
    Tensor *a = of(5, (const float[]){1, 2, NAN, INFINITY, 0});
    Tensor *b = of(5, (const float[]){1.001f, 2, NAN, INFINITY, 0});
    TensorDiff d = tensor_compare(a, b, 1e-2, 0);
    assert_int_equal(d.mismatches, 0);
    assert_true(d.max_abs > 0.0009 && d.max_abs < 0.0011);
    d = tensor_compare(a, b, 1e-4, 0);
    assert_int_equal(d.mismatches, 1);
    assert_int_equal(d.first, 0);
    Tensor *c = of(5, (const float[]){1, 2, 0, -INFINITY, NAN});
    d = tensor_compare(c, a, 1e-2, 1);
    assert_int_equal(d.mismatches, 3); /* a NaN or an infinity matches only itself */
    assert_int_equal(d.first, 2);
    Tensor *shorter = of(4, (const float[]){1, 2, 3, 4});
    d = tensor_compare(a, shorter, 1, 1);
    assert_false(d.same_shape);

    /* The same values in another layout. */
    Error e;
    const int64_t dims[] = {2, 3};
    Tensor *row = tensor_new(DT_F32, 2, dims, &e), *column = tensor_new(DT_F32, 2, dims, &e);
    column->layout = (Layout){.n = 2, .dim = {{.axis = 1}, {.axis = 0}}};
    for (int i = 0; i < 6; i++) {
        ((float *)row->data)[i] = (float)i;
        ((float *)column->data)[i % 3 * 2 + i / 3] = (float)i;
    }
    assert_int_equal(tensor_compare(column, row, 0, 0).mismatches, 0);
    ((float *)column->data)[1] = 9;
    assert_int_equal(tensor_compare(column, row, 0, 0).first, 3);

    const int64_t one[] = {1};
    Tensor *x = tensor_new(DT_I64, 1, one, &e), *y = tensor_new(DT_I64, 1, one, &e);
    *(int64_t *)x->data = (INT64_C(1) << 60) + 1;
    *(int64_t *)y->data = INT64_C(1) << 60;
    assert_int_equal(tensor_compare(x, y, 0, 0).mismatches, 1);
    Tensor *all[] = {a, b, c, shorter, row, column, x, y};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tensor_unref(all[i]);
}

static void test_random(void **state)
{
    (void)state;
    Error e;
    for (int t = 1; t < DT_COUNT; t++) {
        if (dtype_size((DType)t) == 0)
            continue;
        const int64_t dims[] = {300};
        Tensor *a = tensor_new((DType)t, 1, dims, &e), *b = tensor_new((DType)t, 1, dims, &e);
        tensor_fill_random(a, 1);
        tensor_fill_random(b, 1);
        assert_memory_equal(a->data, b->data, a->bytes);
        tensor_fill_random(b, 2);
        assert_true(memcmp(a->data, b->data, a->bytes) != 0);
        double sum = 0, low = INFINITY, high = -INFINITY;
        for (int i = 0; i < 300; i++) {
            const double v = dtype_read((DType)t, (char *)a->data + i * dtype_size((DType)t));
            sum += v;
            low = fmin(low, v);
            high = fmax(high, v);
        }
        const bool unit = dtype_is_float((DType)t) && t != DT_F8E8M0;
        assert_true(low >= (unit ? -1 : 0) && high <= (unit ? 1 : 10) && high > low);
        if (unit)
            assert_true(fabs(sum / 300) < 0.15);
        tensor_unref(a);
        tensor_unref(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
