/* NaN in types other than f32, and in the ops that choose among elements, compiled. As NumPy has
 * it, a NaN is the result: of ReduceMax and ReduceMin, ArgMax and ArgMin (its first place), Max,
 * Min, Clip, Relu, and Scatter's max and min. TopK takes it for the largest, as NumPy sorts.
 * MaxPool passes over it, as ONNX's reference does. DynamicQuantizeLinear of a range without bounds
 * gives zeros. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "compile/run_text.h"

enum { ROWS = 3, N = 37 };

static const DType types[] = {DT_F16, DT_BF16, DT_F32, DT_F64};
enum { TYPES = 4 };

static double at(const Fixture *f, int out, int64_t k)
{
    const Tensor *t = run_output(f->r, out);
    return dtype_read(t->dtype, (const char *)t->data + k * dtype_size(t->dtype));
}

static void expect(const Fixture *f, int out, int64_t k, double want)
{
    const double got = at(f, out, k);
    if (isnan(want) ? !isnan(got) : got != want)
        FAIL_MSG("output %d, element %lld: %g instead of %g", out, (long long)k, got, want);
}

static Tensor *tensor_of(DType t, int rank, const int64_t *dims, const double *v)
{
    Error e;
    Tensor *x = tensor_new(t, rank, dims, &e);
    for (int64_t k = 0; k < tensor_elements(x); k++)
        dtype_write(t, (char *)x->data + k * dtype_size(t), v[k], false);
    return x;
}

static void feed(Fixture *f, DType t, int rank, const int64_t *dims, const double *v)
{
    Tensor *x = tensor_of(t, rank, dims, v);
    run_on(f, x);
    tensor_unref(x);
}

/* ---- reductions ---- */

static int best_of(const double *v, bool largest, bool last)
{
    int best = 0;
    for (int k = 1; k < N; k++) {
        const bool equal = v[k] == v[best] || (isnan(v[k]) && isnan(v[best]));
        const bool above = !isnan(v[best]) &&
                           (isnan(v[k]) || (largest ? v[k] > v[best] : v[k] < v[best]));
        best = above || (equal && last) ? k : best;
    }
    return best;
}

static void check_rows(const Fixture *f, const double *v)
{
    for (int i = 0; i < ROWS; i++) {
        const double *row = v + (size_t)i * N;
        expect(f, 0, i, row[best_of(row, true, false)]);
        expect(f, 1, i, row[best_of(row, false, false)]);
        expect(f, 2, i, best_of(row, true, false));
        expect(f, 3, i, best_of(row, false, false));
        expect(f, 4, i, best_of(row, true, true));
        expect(f, 5, i, best_of(row, false, true));
        for (int k = 0; k < N; k++)
            expect(f, 6, (int64_t)i * N + k, k == best_of(row, true, false));
    }
}

static void reductions_of(DType t)
{
    char text[1024];
    snprintf(text, sizeof text,
             "graph \"nan\"\ninput x %s[%d,%d]\nconst one i64[1] = {1}\n"
             "a = reduce_max(x, one) keepdims=0\nb = reduce_min(x, one) keepdims=0\n"
             "c = arg_max(x) axis=1 keepdims=0\nd = arg_min(x) axis=1 keepdims=0\n"
             "e = arg_max(x) axis=1 keepdims=0 select_last_index=1\n"
             "f = arg_min(x) axis=1 keepdims=0 select_last_index=1\n"
             "g = hardmax(x) axis=1\noutput a, b, c, d, e, f, g\n",
             dtype_name(t), ROWS, N);
    Fixture f = fixture(text);
    for (int k = 0; k <= N; k++) {
        double v[ROWS * N];
        for (int i = 0; i < N; i++) {
            v[i] = i * 7 % 23 - 11; /* with equals */
            v[N + i] = i < k ? -INFINITY : i == k ? NAN : i; /* from NaN alone to none */
            v[2 * N + i] = k % 2 ? INFINITY : -INFINITY;
        }
        if (k < N)
            v[k] = v[k / 2] = NAN;
        feed(&f, t, 2, (const int64_t[]){ROWS, N}, v);
        check_rows(&f, v);
    }
    finish(&f);
}

static void test_reductions(void **state)
{
    (void)state;
    for (int k = 0; k < TYPES; k++)
        reductions_of(types[k]);
}

static void pools_of(DType t)
{
    char text[512];
    snprintf(text, sizeof text,
             "graph \"pool\"\ninput x %s[1,1,%d]\na = max_pool(x) kernel_shape=[3] pads=[1,1]\n"
             "b, c = max_pool(x) kernel_shape=[3] pads=[1,1]\noutput a, b, c\n", dtype_name(t), N);
    Fixture f = fixture(text);
    double v[N];
    for (int k = 0; k < N; k++)
        v[k] = k % 5 == 0 || (k > 20 && k < 26) ? NAN : k * 5 % 17;
    feed(&f, t, 3, (const int64_t[]){1, 1, N}, v);
    for (int k = 0; k < N; k++) {
        int best = -1;
        for (int i = k - 1; i <= k + 1; i++)
            best = i >= 0 && i < N && !isnan(v[i]) && (best < 0 || v[i] > v[best]) ? i : best;
        expect(&f, 0, k, best < 0 ? -INFINITY : v[best]);
        expect(&f, 1, k, best < 0 ? -INFINITY : v[best]);
        expect(&f, 2, k, best);
    }
    finish(&f);
}

static void test_pools(void **state)
{
    (void)state;
    for (int k = 0; k < TYPES; k++)
        pools_of(types[k]);
}

/* ---- elementwise ---- */

static void elementwise_of(DType t)
{
    char text[512];
    snprintf(text, sizeof text,
             "graph \"nan\"\ninput x %s[%d]\nconst two %s[1] = {2}\nconst lo %s[] = -1.0\nconst hi "
             "%s[] = 1.0\n"
             "a = max(x, two)\nb = max(two, x)\nc = min(x, two)\nd = min(two, x)\n"
             "e = clip(x, lo, hi)\nf = relu(x)\ng = max(x, lo, two)\noutput a, b, c, d, e, f, g\n",
             dtype_name(t), N, dtype_name(t), dtype_name(t), dtype_name(t));
    Fixture f = fixture(text);
    double v[N];
    for (int k = 0; k < N; k++)
        v[k] = k % 3 == 0 ? NAN : k % 7 - 3;
    feed(&f, t, 1, (const int64_t[]){N}, v);
    for (int k = 0; k < N; k++) {
        const bool nan = isnan(v[k]);
        const double most = nan ? NAN : fmax(v[k], 2), least = nan ? NAN : fmin(v[k], 2);
        const double want[] = {most, most, least, least, nan ? NAN : fmax(-1, fmin(v[k], 1)),
                               nan ? NAN : fmax(v[k], 0), most};
        for (int out = 0; out < 7; out++)
            expect(&f, out, k, want[out]);
    }
    finish(&f);
}

static void test_elementwise(void **state)
{
    (void)state;
    for (int k = 0; k < TYPES; k++)
        elementwise_of(types[k]);
}

/* ---- scatter ---- */

/* Element 0 is NaN before; 1 gets NaN, then a number; 2 a number, then NaN; 3 numbers; 4
 * nothing. */
static void scatter_of(DType t)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "graph \"nan\"\ninput x %s[5]\nconst i i64[7] = {0, 1, 1, 2, 2, 3, 3}\n"
        "const j i64[7,1] = {0, 1, 1, 2, 2, 3, 3}\n"
        "const u %s[7] = {5.0, nan, 5.0, 5.0, nan, -5.0, 5.0}\n"
        "a = scatter_elements(x, i, u) reduction=\"max\"\nb = scatter_elements(x, i, u) "
        "reduction=\"min\"\n"
        "c = scatter_nd(x, j, u) reduction=\"max\"\nd = scatter_nd(x, j, u) reduction=\"min\"\n"
        "output a, b, c, d\n",
        dtype_name(t), dtype_name(t));
    Fixture f = fixture(text);
    static const double v[] = {NAN, 1, 1, 1, 1};
    static const double most[] = {NAN, NAN, NAN, 5, 1}, least[] = {NAN, NAN, NAN, -5, 1};
    feed(&f, t, 1, (const int64_t[]){5}, v);
    for (int k = 0; k < 5; k++) {
        expect(&f, 0, k, most[k]);
        expect(&f, 1, k, least[k]);
        expect(&f, 2, k, most[k]);
        expect(&f, 3, k, least[k]);
    }
    finish(&f);
}

static void test_scatter(void **state)
{
    (void)state;
    for (int k = 0; k < TYPES; k++)
        scatter_of(types[k]);
}

/* ---- TopK ---- */

static void top_k_of(DType t)
{
    char text[512];
    snprintf(text, sizeof text,
             "graph \"nan\"\ninput x %s[6]\nconst k i64[1] = {4}\na, b = top_k(x, k)\n"
             "c, d = top_k(x, k) largest=0\noutput a, b, c, d\n", dtype_name(t));
    Fixture f = fixture(text);
    static const double v[] = {1, NAN, INFINITY, -INFINITY, NAN, 2};
    static const double most[] = {NAN, NAN, INFINITY, 2}, least[] = {-INFINITY, 1, 2, INFINITY};
    static const int first[] = {1, 4, 2, 5}, last[] = {3, 0, 5, 2};
    feed(&f, t, 1, (const int64_t[]){6}, v);
    for (int k = 0; k < 4; k++) {
        expect(&f, 0, k, most[k]);
        expect(&f, 1, k, first[k]);
        expect(&f, 2, k, least[k]);
        expect(&f, 3, k, last[k]);
    }
    finish(&f);
}

static void test_top_k(void **state)
{
    (void)state;
    for (int k = 0; k < TYPES; k++)
        top_k_of(types[k]);
}

/* ---- DynamicQuantizeLinear ---- */

static void test_dynamic_quantize(void **state)
{
    (void)state;
    Fixture f = fixture("graph \"q\"\ninput x f32[37]\n"
                        "y, scale, zero = dynamic_quantize_linear(x)\noutput y, scale, zero\n");
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < 3; s++) {
        double v[N];
        for (int k = 0; k < N; k++)
            v[k] = k - 9;
        v[N - 1 - s] = odd[s];
        feed(&f, DT_F32, 1, (const int64_t[]){N}, v);
        expect(&f, 1, 0, s == 0 ? NAN : INFINITY);
        const double zero = at(&f, 2, 0);
        expect(&f, 2, 0, 0);
        for (int k = 0; k < N; k++)
            expect(&f, 0, k, zero);
    }
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_pools),
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_top_k), cmocka_unit_test(test_dynamic_quantize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
