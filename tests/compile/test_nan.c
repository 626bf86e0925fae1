/* NaN in reductions, compiled for several sizes, against plain loops: ReduceMax, ReduceMin, ArgMax
 * and ArgMin give the NaN (its first place) wherever it stands and whatever the schedule splits;
 * MaxPool passes over it. A row with one is all NaN in a softmax. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "compile/run_text.h"

enum { ROWS = 5, MAX_N = 1000 };

static bool same(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

static const float *floats(const Fixture *f, int k) { return run_output(f->r, k)->data; }
static const int64_t *places(const Fixture *f, int k) { return run_output(f->r, k)->data; }

/* The place of the best of n values at a stride; the first NaN is better than any number. */
static int best_of(const float *v, int n, int stride, bool largest)
{
    int at = 0;
    for (int k = 1; k < n && !isnan(v[at * stride]); k++) {
        const float now = v[k * stride], best = v[at * stride];
        if (isnan(now) || (largest ? now > best : now < best))
            at = k;
    }
    return at;
}

static void check_reductions(Fixture *f, Tensor *x, int n)
{
    const float *v = x->data;
    run_on(f, x);
    for (int i = 0; i < ROWS; i++) {
        const float *row = v + (size_t)i * (size_t)n;
        const int most = best_of(row, n, 1, true), least = best_of(row, n, 1, false);
        assert_true(same(floats(f, 0)[i], row[most]));
        assert_true(same(floats(f, 1)[i], row[least]));
        assert_int_equal(places(f, 2)[i], most);
        assert_int_equal(places(f, 3)[i], least);
    }
    for (int k = 0; k < n; k++)
        assert_true(same(floats(f, 4)[k], v[k + n * best_of(v + k, ROWS, n, true)]));
    assert_true(same(floats(f, 5)[0], v[best_of(v, ROWS * n, 1, false)]));
    for (int i = 0; i < ROWS; i++) {
        const bool has_nan = isnan(v[i * n + best_of(v + (size_t)i * (size_t)n, n, 1, true)]);
        for (int k = 0; k < n; k++)
            assert_int_equal(isnan(floats(f, 6)[i * n + k]), has_nan);
    }
}

/* One falling row through all of x: what stands before a NaN is larger than what follows. */
static Tensor *falling(int rank, const int64_t *dims)
{
    Error e;
    Tensor *x = tensor_new(DT_F32, rank, dims, &e);
    const int64_t n = tensor_elements(x);
    for (int64_t k = 0; k < n; k++)
        ((float *)x->data)[k] = (float)(n / 2 - k);
    return x;
}

static void reductions(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 7, 16, 33, 250, MAX_N};
    for (int s = 0; s < 7; s++) {
        const int n = sizes[s];
        char text[1024];
        snprintf(
            text, sizeof text,
            "graph \"nan\"\ninput x f32[%d,%d]\nconst zero i64[1] = {0}\nconst one i64[1] = {1}\n"
            "a = reduce_max(x, one) keepdims=0\nb = reduce_min(x, one) keepdims=0\n"
            "c = arg_max(x) axis=1 keepdims=0\nd = arg_min(x) axis=1 keepdims=0\n"
            "e = reduce_max(x, zero) keepdims=0\nf = reduce_min(x) keepdims=0\ng = softmax(x) "
            "axis=1\n"
            "output a, b, c, d, e, f, g\n",
            ROWS, n);
        Fixture f = fixture(text);
        for (int k = 0; k <= n; k += k < 40 ? 1 : n / 20) {
            Tensor *x = falling(2, (const int64_t[]){ROWS, n});
            float *row = (float *)x->data + n;
            if (k < n)
                row[k] = NAN; /* k == n: no NaN at all */
            if (k % 3 == 1)
                row[n - 1] = NAN;
            check_reductions(&f, x, n);
            tensor_unref(x);
        }
        finish(&f);
    }
}

/* ---- pools ---- */
enum { HEIGHT = 6 };

static void check_pool(const Fixture *f, const float *v, int width)
{
    for (int i = 0; i < HEIGHT; i++)
        for (int j = 0; j < width; j++) {
            int at = -1;
            for (int y = i - 1; y <= i + 1; y++)
                for (int x = j - 1; x <= j + 1; x++) {
                    if (y < 0 || y >= HEIGHT || x < 0 || x >= width || isnan(v[y * width + x]))
                        continue;
                    if (at < 0 || v[y * width + x] > v[at])
                        at = y * width + x;
                }
            const int o = i * width + j;
            assert_true(floats(f, 0)[o] == (at < 0 ? -INFINITY : v[at]));
            assert_true(floats(f, 1)[o] == (at < 0 ? -INFINITY : v[at]));
            assert_int_equal(places(f, 2)[o], at);
        }
}

static void pools(void **state)
{
    (void)state;
    static const int widths[] = {1, 5, 16, 37};
    for (int s = 0; s < 4; s++) {
        const int width = widths[s];
        char text[512];
        snprintf(text, sizeof text,
                 "graph \"pool\"\ninput x f32[1,1,%d,%d]\n"
                 "a = max_pool(x) kernel_shape=[3,3] pads=[1,1,1,1]\n"
                 "b, c = max_pool(x) kernel_shape=[3,3] pads=[1,1,1,1]\noutput a, b, c\n",
                 HEIGHT, width);
        Fixture f = fixture(text);
        for (int k = 0; k < HEIGHT * width; k += 1 + width / 7) {
            Tensor *x = falling(4, (const int64_t[]){1, 1, HEIGHT, width});
            float *v = x->data;
            for (int i = k; i < HEIGHT * width && i < 3 * k; i++)
                v[i] = NAN; /* from one NaN to windows of nothing else */
            v[k] = NAN;
            run_on(&f, x);
            check_pool(&f, v, width);
            tensor_unref(x);
        }
        finish(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reductions), cmocka_unit_test(pools)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
