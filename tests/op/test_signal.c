/* DFT, STFT, windows, the mel matrix and TfIdfVectorizer against sums written out. */
#include "check.h"

#include <complex.h>
#include <math.h>

#include "op/run_node.h"

static void fill(float *v, int n, uint32_t *seed)
{
    for (int i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        v[i] = (float)((double)(*seed >> 8) / (1 << 23) - 1);
    }
}

/* x (2,N,3,parts), transformed along axis 1. */
static void check_dft(int n, int parts, int length, bool inverse, bool onesided)
{
    float x[2 * 16 * 3 * 2];
    uint32_t seed = 4;
    fill(x, 2 * n * 3 * parts, &seed);
    const int used = length ? length : inverse && onesided ? 2 * (n - 1) : n;
    NodeTest t = node_test_new();
    node_input(&t, DT_F32, 4, DIMS(2, n, 3, parts), x);
    const int64_t length64 = length, axis = 1;
    if (length)
        node_const(&t, DT_I64, 0, NULL, &length64);
    else
        node_absent(&t);
    node_const(&t, DT_I64, 0, NULL, &axis);
    const NodeId id = node_make(&t, OP_DFT, 1);
    node_set_int(t.g, id, "inverse", inverse);
    node_set_int(t.g, id, "onesided", onesided);
    node_run(&t);
    const bool to_real = inverse && onesided;
    const int bins = onesided && !inverse ? used / 2 + 1 : used;
    assert_int_equal(tensor_elements(t.out[0]), 2 * bins * 3 * (to_real ? 1 : 2));
    for (int a = 0; a < 2; a++)
        for (int c = 0; c < 3; c++) {
            double complex in[32] = {0};
            for (int i = 0; i < used; i++) {
                /* A one-sided spectrum is completed by conjugates. */
                const bool mirrored = to_real && i > used / 2;
                const int from = mirrored ? used - i : i;
                if (from >= n)
                    continue;
                const float *p = x + ((a * n + from) * 3 + c) * parts;
                in[i] = (double)p[0] + I * (parts == 2 ? (double)p[1] : 0);
                if (to_real && (from == 0 || 2 * from == used))
                    in[i] = creal(in[i]);
                if (mirrored)
                    in[i] = conj(in[i]);
            }
            for (int k = 0; k < bins; k++) {
                double complex y = 0;
                for (int i = 0; i < used; i++)
                    y += in[i] * cexp((inverse ? 2 : -2) * I * M_PI * i * k / used);
                if (inverse)
                    y /= used;
                const int at = ((a * bins + k) * 3 + c) * (to_real ? 1 : 2);
                assert_float_equal(node_float_at(&t, 0, at), creal(y), 2e-6);
                if (!to_real)
                    assert_float_equal(node_float_at(&t, 0, at + 1), cimag(y), 2e-6);
            }
        }
    node_test_free(&t);
}

static void test_dft(void **state)
{
    (void)state;
    for (int parts = 1; parts <= 2; parts++)
        for (int length = 0; length <= 11; length += 3)
            for (int inverse = 0; inverse < 2; inverse++)
                check_dft(7, parts, length, inverse, false);
    check_dft(8, 1, 0, false, true);
    check_dft(7, 1, 0, false, true);
    check_dft(5, 2, 0, true, true);
    check_dft(5, 2, 9, true, true);
    check_dft(5, 2, 6, true, true);
}

static void test_stft(void **state)
{
    (void)state;
    enum { LENGTH = 16, FRAME = 6, STEP = 3, FRAMES = 4 };
    float x[2 * LENGTH], w[FRAME];
    uint32_t seed = 6;
    fill(x, 2 * LENGTH, &seed);
    fill(w, FRAME, &seed);
    for (int onesided = 0; onesided < 2; onesided++) {
        const int64_t step = STEP, frame = FRAME;
        const int bins = onesided ? FRAME / 2 + 1 : FRAME;
        NodeTest t = node_test_new();
        node_input(&t, DT_F32, 3, DIMS(2, LENGTH, 1), x);
        node_const(&t, DT_I64, 0, NULL, &step);
        node_input(&t, DT_F32, 1, DIMS(FRAME), w);
        if (onesided)
            node_const(&t, DT_I64, 0, NULL, &frame);
        node_set_int(t.g, node_make(&t, OP_STFT, 1), "onesided", onesided);
        node_run(&t);
        assert_int_equal(t.out[0]->dim[1], FRAMES);
        assert_int_equal(t.out[0]->dim[2], bins);
        for (int b = 0; b < 2; b++)
            for (int f = 0; f < FRAMES; f++)
                for (int k = 0; k < bins; k++) {
                    double complex y = 0;
                    for (int i = 0; i < FRAME; i++)
                        y += (double)x[b * LENGTH + f * STEP + i] * (double)w[i] *
                             cexp(-2 * I * M_PI * i * k / FRAME);
                    const int at = ((b * FRAMES + f) * bins + k) * 2;
                    assert_float_equal(node_float_at(&t, 0, at), creal(y), 1e-6);
                    assert_float_equal(node_float_at(&t, 0, at + 1), cimag(y), 1e-6);
                }
        node_test_free(&t);
    }
}

static void test_windows(void **state)
{
    (void)state;
    const OpCode ops[] = {OP_HANN_WINDOW, OP_HAMMING_WINDOW, OP_BLACKMAN_WINDOW};
    for (int k = 0; k < 3; k++)
        for (int periodic = 0; periodic < 2; periodic++) {
            const int64_t size = 9;
            NodeTest t = node_test_new();
            node_const(&t, DT_I64, 0, NULL, &size);
            node_set_int(t.g, node_make(&t, ops[k], 1), "periodic", periodic);
            node_run(&t);
            for (int i = 0; i < size; i++) {
                const double a = 2 * M_PI * i / (double)(periodic ? size : size - 1);
                const double want[] = {pow(sin(a / 2), 2), 25.0 / 46 - 21.0 / 46 * cos(a),
                                       0.42 - 0.5 * cos(a) + 0.08 * cos(2 * a)};
                assert_float_equal(node_float_at(&t, 0, i), want[k], 1e-6);
            }
            node_test_free(&t);
        }
}

/* Triangles: each column rises from one edge to its peak 1 and falls to the next edge. */
static void test_mel(void **state)
{
    (void)state;
    enum { BANDS = 8, LENGTH = 256, BINS = LENGTH / 2 + 1 };
    const int64_t bands = BANDS, length = LENGTH, rate = 8000;
    const float low = 0, high = 4000;
    NodeTest t = node_test_new();
    node_const(&t, DT_I64, 0, NULL, &bands);
    node_const(&t, DT_I64, 0, NULL, &length);
    node_const(&t, DT_I64, 0, NULL, &rate);
    node_input(&t, DT_F32, 0, NULL, &low);
    node_input(&t, DT_F32, 0, NULL, &high);
    node_make(&t, OP_MEL_WEIGHT_MATRIX, 1);
    node_run(&t);
    double edge[BANDS + 2];
    for (int i = 0; i < BANDS + 2; i++) {
        const double mel = 2595 * log10(1 + 4000.0 / 700) * i / (BANDS + 2);
        edge[i] = floor((LENGTH + 1) * 700 * (pow(10, mel / 2595) - 1) / 8000);
    }
    for (int j = 0; j < BINS; j++)
        for (int m = 0; m < BANDS; m++) {
            double want = 0;
            if (j >= edge[m] && j <= edge[m + 1] && edge[m + 1] > edge[m])
                want = (j - edge[m]) / (edge[m + 1] - edge[m]);
            if (j == edge[m + 1])
                want = 1;
            if (j > edge[m + 1] && j < edge[m + 2])
                want = (edge[m + 2] - j) / (edge[m + 2] - edge[m + 1]);
            assert_float_equal(node_float_at(&t, 0, j * BANDS + m), want, 1e-6);
        }
    node_test_free(&t);
}

/* 1-grams 7 and 5, 2-grams 7 5 and 5 5, with gaps of up to one token. */
static void test_tf_idf(void **state)
{
    (void)state;
    const int64_t x[] = {7, 5, 5, 7, 9, 5}, pool[] = {7, 5, 7, 5, 5, 5}, start[] = {0, 1, 2, 4},
                  size[] = {1, 1, 2, 2}, column[] = {3, 0, 1, 4};
    const float weights[] = {2, 0.5f, 9, 1, 3};
    /* 5: 3 times, 7: 2, (7 5): 1 + 2, (5 5): 1 */
    const double counts[] = {3, 3, 0, 2, 1};
    static const char *const modes[] = {"TF", "IDF", "TFIDF"};
    for (int mode = 0; mode < 3; mode++) {
        NodeTest t = node_test_new();
        node_input(&t, DT_I64, 2, DIMS(1, 6), x);
        node_const(&t, DT_I64, 1, DIMS(6), pool);
        node_const(&t, DT_I64, 1, DIMS(4), start);
        node_const(&t, DT_I64, 1, DIMS(4), size);
        node_const(&t, DT_I64, 1, DIMS(4), column);
        node_const(&t, DT_F32, 1, DIMS(5), weights);
        const NodeId id = node_make(&t, OP_TF_IDF_VECTORIZER, 1);
        node_set_string(t.g, id, "mode", modes[mode]);
        node_set_int(t.g, id, "columns", 5);
        node_set_int(t.g, id, "max_gram_length", 2);
        node_set_int(t.g, id, "max_skip_count", 1);
        node_run(&t);
        for (int k = 0; k < 5; k++) {
            const double w = (double)weights[k];
            const double want[] = {counts[k], counts[k] > 0 ? w : 0, counts[k] * w};
            assert_float_equal(node_float_at(&t, 0, k), want[mode], 0);
        }
        node_test_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dft), cmocka_unit_test(test_stft),   cmocka_unit_test(test_windows),
        cmocka_unit_test(test_mel), cmocka_unit_test(test_tf_idf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
