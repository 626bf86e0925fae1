/* Host routines against plain references: known answers, and random inputs against brute force. */
#include "check.h"

#include <math.h>

#include "base/arena.h"
#include "kernel/host.h"
#include "kernel/order.h"

/* Runs all phases; memory from `a`. Exact dims must not exceed what HOST_PLAN promised. */
static int run(Arena *a, HostFn fn, HostCall *call)
{
    call->phase = HOST_PLAN;
    assert_int_equal(fn(call), 0);
    HostTensor most[HOST_MAX_IO];
    memcpy(most, call->out, sizeof most);
    call->scratch = arena_alloc_aligned(a, call->scratch_bytes, 64);
    call->phase = HOST_SIZE;
    int code = fn(call);
    if (code)
        return code;
    for (int k = 0; k < call->nout; k++) {
        if (call->out[k].dtype == DT_NONE)
            continue;
        assert_int_equal(call->out[k].rank, most[k].rank);
        assert_true(host_elements(&call->out[k]) <= host_elements(&most[k]));
        const size_t bytes =
            (size_t)host_elements(&call->out[k]) * (size_t)dtype_size(call->out[k].dtype);
        call->out[k].data = arena_alloc(a, bytes + 1);
    }
    call->phase = HOST_RUN;
    code = fn(call);
    return code;
}

static HostTensor tensor(DType t, int rank, const int64_t *dims, const void *data)
{
    HostTensor h = {.dtype = t, .rank = rank, .data = (void *)(uintptr_t)data};
    for (int k = 0; k < rank; k++)
        h.dim[k] = dims[k];
    return h;
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void test_order_keys(void **state)
{
    (void)state;
    const double values[] = {-INFINITY, -3, -0.5, -0.0, 0.0, 0.25, 7, INFINITY, NAN};
    const DType types[] = {DT_F16, DT_BF16, DT_F32, DT_F64};
    for (int t = 0; t < 4; t++) {
        char data[9 * 8];
        uint64_t key[9];
        for (int i = 0; i < 9; i++)
            dtype_write(types[t], data + i * dtype_size(types[t]), values[i], false);
        order_keys(types[t], data, 0, 1, 9, key);
        for (int i = 0; i + 1 < 9; i++) {
            if (values[i] == values[i + 1])
                assert_true(key[i] == key[i + 1]);
            else
                assert_true(key[i] < key[i + 1]);
        }
    }
    const int64_t large[] = {INT64_MIN, -1, 0, INT64_MAX - 1, INT64_MAX}; /* no doubles */
    uint64_t key[5];
    order_keys(DT_I64, large, 0, 1, 5, key);
    for (int i = 0; i < 4; i++)
        assert_true(key[i] < key[i + 1]);
    const uint64_t unsigned_large[] = {0, 1, UINT64_C(1) << 63, UINT64_MAX};
    order_keys(DT_U64, unsigned_large, 0, 1, 4, key);
    for (int i = 0; i < 3; i++)
        assert_true(key[i] < key[i + 1]);
}

/* Rank of element i in its row by counting. */
static void test_top_k(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint32_t seed = 7;
    for (int trial = 0; trial < 60; trial++) {
        const int64_t outer = 1 + next_random(&seed) % 3, n = 1 + next_random(&seed) % 17,
                      inner = 1 + next_random(&seed) % 3;
        const int64_t k = next_random(&seed) % (n + 1);
        const bool largest = next_random(&seed) % 2;
        float *const x = arena_array_of(a, outer * n * inner, float);
        for (int64_t i = 0; i < outer * n * inner; i++)
            x[i] = (float)(next_random(&seed) % 9) - 4; /* many ties */
        HostCall call = {.nin = 2, .nout = 2, .ints = {1, largest, 1}};
        call.in[0] = tensor(DT_F32, 3, DIMS(outer, n, inner), x);
        call.in[1] = tensor(DT_I64, 1, DIMS(1), &k);
        call.out[0].dtype = DT_F32;
        call.out[1].dtype = DT_I64;
        assert_int_equal(run(a, host_top_k, &call), 0);
        assert_int_equal(call.out[0].dim[1], k);
        const float *const values = call.out[0].data;
        const int64_t *const indices = call.out[1].data;
        for (int64_t row = 0; row < outer * inner; row++) {
            const int64_t o = row / inner, r = row % inner;
            for (int64_t i = 0; i < n; i++) {
                const float v = x[(o * n + i) * inner + r];
                int64_t place = 0;
                for (int64_t j = 0; j < n; j++) {
                    const float w = x[(o * n + j) * inner + r];
                    place += (largest ? w > v : w < v) || (w == v && j < i);
                }
                if (place < k) {
                    assert_int_equal(indices[(o * k + place) * inner + r], i);
                    assert_float_equal(values[(o * k + place) * inner + r], v, 0);
                }
            }
        }
    }
    const int64_t too_many = 5;
    Error error = {0};
    HostCall call = {.nin = 2, .nout = 2, .ints = {0, 1, 1}, .error = &error};
    call.in[0] = tensor(DT_U8, 1, DIMS(3), "abc");
    call.in[1] = tensor(DT_I64, 1, DIMS(1), &too_many);
    assert_int_equal(run(a, host_top_k, &call), ERR_INVALID);
    assert_non_null(strstr(error.message, "k is 5"));
    arena_free(a);
}

static void test_non_zero(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const float x[] = {1, 0, -0.0f, 2, NAN, 0};
    HostCall call = {.nin = 1, .nout = 1};
    call.in[0] = tensor(DT_F32, 2, DIMS(2, 3), x);
    call.out[0].dtype = DT_I64;
    assert_int_equal(run(a, host_non_zero, &call), 0);
    assert_int_equal(call.out[0].dim[0], 2);
    assert_int_equal(call.out[0].dim[1], 3);
    const int64_t want[] = {0, 1, 1, 0, 0, 1};
    assert_memory_equal(call.out[0].data, want, sizeof want);

    call.in[0] = tensor(DT_F32, 0, NULL, x); /* a scalar gives (0, 1) */
    assert_int_equal(run(a, host_non_zero, &call), 0);
    assert_int_equal(call.out[0].dim[0], 0);
    assert_int_equal(call.out[0].dim[1], 1);
    arena_free(a);
}

static void test_compress(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const int16_t x[] = {1, 2, 3, 4, 5, 6};
    const uint8_t mask[] = {0, 1, 1};
    HostCall call = {.nin = 2, .nout = 1, .ints = {1, 0}};
    call.in[0] = tensor(DT_I16, 2, DIMS(3, 2), x);
    call.in[1] = tensor(DT_BOOL, 1, DIMS(3), mask);
    call.out[0].dtype = DT_I16;
    assert_int_equal(run(a, host_compress, &call), 0);
    assert_int_equal(call.out[0].dim[0], 2);
    assert_memory_equal(call.out[0].data, ((int16_t[]){3, 4, 5, 6}), 8);

    call.in[1] = tensor(DT_BOOL, 1, DIMS(2), mask); /* shorter than the axis */
    call.ints[1] = 1;
    assert_int_equal(run(a, host_compress, &call), 0);
    assert_int_equal(call.out[0].dim[0], 3);
    assert_int_equal(call.out[0].dim[1], 1);
    assert_memory_equal(call.out[0].data, ((int16_t[]){2, 4, 6}), 6);

    call.ints[0] = 0; /* flattened */
    assert_int_equal(run(a, host_compress, &call), 0);
    assert_int_equal(call.out[0].rank, 1);
    assert_int_equal(call.out[0].dim[0], 1);
    assert_memory_equal(call.out[0].data, ((int16_t[]){2}), 2);
    arena_free(a);
}

static bool same_slice(const int32_t *x, int64_t i, int64_t j, int64_t outer, int64_t n,
                       int64_t inner)
{
    for (int64_t o = 0; o < outer; o++) {
        if (memcmp(x + (o * n + i) * inner, x + (o * n + j) * inner, (size_t)inner * 4) != 0)
            return false;
    }
    return true;
}

static int compare_slice(const int32_t *x, int64_t i, int64_t j, int64_t outer, int64_t n,
                         int64_t inner)
{
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t k = 0; k < inner; k++) {
            const int32_t u = x[(o * n + i) * inner + k], v = x[(o * n + j) * inner + k];
            if (u != v)
                return u < v ? -1 : 1;
        }
    }
    return 0;
}

/* Properties that define the result: each y is x's slice at `first`, no earlier one is equal,
 * inverse leads back, counts count, order is as asked. */
static void test_unique(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint32_t seed = 3;
    for (int trial = 0; trial < 60; trial++) {
        const int64_t outer = 1 + next_random(&seed) % 2, n = next_random(&seed) % 12,
                      inner = 1 + next_random(&seed) % 2;
        const bool sorted = next_random(&seed) % 2;
        int32_t *const x = arena_array_of(a, outer * n * inner + 1, int32_t);
        for (int64_t i = 0; i < outer * n * inner; i++)
            x[i] = (int32_t)(next_random(&seed) % 3) - 1;
        HostCall call = {.nin = 1, .nout = 4, .ints = {1, 1, sorted}};
        call.in[0] = tensor(DT_I32, 3, DIMS(outer, n, inner), x);
        call.out[0].dtype = DT_I32;
        for (int k = 1; k < 4; k++)
            call.out[k].dtype = DT_I64;
        assert_int_equal(run(a, host_unique, &call), 0);
        const int64_t groups = call.out[0].dim[1];
        const int64_t *const first = call.out[1].data, *const inverse = call.out[2].data,
                             *const count = call.out[3].data;
        assert_int_equal(call.out[2].dim[0], n);
        int64_t total = 0;
        for (int64_t g = 0; g < groups; g++) {
            for (int64_t j = 0; j < first[g]; j++)
                assert_false(same_slice(x, j, first[g], outer, n, inner));
            for (int64_t o = 0; o < outer; o++)
                assert_memory_equal((int32_t *)call.out[0].data + (o * groups + g) * inner,
                                    x + (o * n + first[g]) * inner, (size_t)inner * 4);
            if (g > 0 && sorted)
                assert_true(compare_slice(x, first[g - 1], first[g], outer, n, inner) < 0);
            if (g > 0 && !sorted)
                assert_true(first[g - 1] < first[g]);
            total += count[g];
        }
        assert_int_equal(total, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(same_slice(x, i, first[inverse[i]], outer, n, inner));
    }
    arena_free(a);
}

static void test_unique_flat(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const float x[] = {2, 1, 1, 3, 4, 3};
    HostCall call = {.nin = 1, .nout = 1, .ints = {0, 0, 1}};
    call.in[0] = tensor(DT_F32, 2, DIMS(2, 3), x);
    call.out[0].dtype = DT_F32;
    assert_int_equal(run(a, host_unique, &call), 0);
    assert_int_equal(call.out[0].dim[0], 4);
    assert_memory_equal(call.out[0].data, ((float[]){1, 2, 3, 4}), 16);
    arena_free(a);
}

static void test_nms(void **state)
{
    (void)state;
    Arena *a = arena_new();
    /* Three clusters of overlapping boxes, corners in any order. */
    const float boxes[] = {0, 0,  1, 1,  1, 1.1f,  0, 0.1f,  0, -0.1f, 1, 0.9f,
                           0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100,   1, 101};
    const float scores[] = {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f};
    const int64_t limit = 3;
    const float iou = 0.5f, above = 0.4f;
    HostCall call = {.nin = 5, .nout = 1};
    call.in[0] = tensor(DT_F32, 3, DIMS(1, 6, 4), boxes);
    call.in[1] = tensor(DT_F32, 3, DIMS(1, 1, 6), scores);
    call.in[2] = tensor(DT_I64, 1, DIMS(1), &limit);
    call.in[3] = tensor(DT_F32, 1, DIMS(1), &iou);
    call.out[0].dtype = DT_I64;
    assert_int_equal(run(a, host_non_max_suppression, &call), 0);
    assert_int_equal(call.out[0].dim[0], 3);
    assert_memory_equal(call.out[0].data, ((int64_t[]){0, 0, 3, 0, 0, 0, 0, 0, 5}), 72);

    call.in[4] = tensor(DT_F32, 0, NULL, &above); /* drops the box of score 0.3 */
    assert_int_equal(run(a, host_non_max_suppression, &call), 0);
    assert_int_equal(call.out[0].dim[0], 2);

    call.nin = 2; /* the limit defaults to none */
    assert_int_equal(run(a, host_non_max_suppression, &call), 0);
    assert_int_equal(call.out[0].dim[0], 0);

    /* Exactly at the threshold stays: [0,1]x[0,1] and [0,1]x[0,0.5] have IoU 0.5. */
    const float pair[] = {0.5f, 0.5f, 1, 1, 0.25f, 0.5f, 0.5f, 1};
    call.nin = 4;
    call.ints[0] = 1;
    call.in[0] = tensor(DT_F32, 3, DIMS(1, 2, 4), pair);
    call.in[1] = tensor(DT_F32, 3, DIMS(1, 1, 2), scores);
    assert_int_equal(run(a, host_non_max_suppression, &call), 0);
    assert_int_equal(call.out[0].dim[0], 2);
    arena_free(a);
}

/* On a linear ramp bilinear samples are exact, so the mean of a bin is the ramp at its centre. */
static void test_roi_align_ramp(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float x[2 * 8 * 8];
    for (int i = 0; i < 2 * 64; i++)
        x[i] = (float)(i / 64 + 1) * (2 * (float)(i % 8) + 3 * (float)(i / 8 % 8));
    const float rois[] = {2, 4, 10, 12}; /* x1 y1 x2 y2 at scale 0.5 -> 1..5 by 2..6 */
    const int64_t batch = 0;
    for (int ratio = 0; ratio < 4; ratio++) {
        for (int half = 0; half < 2; half++) {
            HostCall call = {.nin = 3, .nout = 1, .ints = {half, 0, 2, 4, ratio}, .floats = {0.5}};
            call.in[0] = tensor(DT_F32, 4, DIMS(1, 2, 8, 8), x);
            call.in[1] = tensor(DT_F32, 2, DIMS(1, 4), rois);
            call.in[2] = tensor(DT_I64, 1, DIMS(1), &batch);
            call.out[0].dtype = DT_F32;
            assert_int_equal(run(a, host_roi_align, &call), 0);
            const float *y = call.out[0].data;
            for (int c = 0; c < 2; c++) {
                for (int p = 0; p < 2; p++) {
                    for (int q = 0; q < 4; q++) {
                        const double shift = half ? 0.5 : 0;
                        const double cx = 1 - shift + (q + 0.5) * 1, cy = 2 - shift + (p + 0.5) * 2;
                        assert_float_equal(*y++, (c + 1) * (2 * cx + 3 * cy), 1e-4);
                    }
                }
            }
        }
    }
    /* Far outside reads zero; a huge or non-finite region ends quickly; a bad batch is an error. */
    const float wild[] = {-1e30f, -1e30f, 1e30f, 1e30f, NAN, 0, 1, 1, 100, 100, 120, 120};
    const int64_t batches[] = {0, 0, 0};
    HostCall call = {.nin = 3, .nout = 1, .ints = {1, 0, 1, 1, 0}, .floats = {1}};
    call.in[0] = tensor(DT_F32, 4, DIMS(1, 2, 8, 8), x);
    call.in[1] = tensor(DT_F32, 2, DIMS(3, 4), wild);
    call.in[2] = tensor(DT_I64, 1, DIMS(3), batches);
    call.out[0].dtype = DT_F32;
    assert_int_equal(run(a, host_roi_align, &call), 0);
    for (int i = 0; i < 6; i++)
        assert_float_equal(((float *)call.out[0].data)[i], 0, 1e-6);
    const int64_t bad[] = {0, 1, 0};
    call.in[2] = tensor(DT_I64, 1, DIMS(3), bad);
    assert_int_equal(run(a, host_roi_align, &call), ERR_INVALID);
    arena_free(a);
}

static void test_max_roi_pool(void **state)
{
    (void)state;
    Arena *a = arena_new();
    double x[6 * 6];
    for (int i = 0; i < 36; i++)
        x[i] = (i * 7) % 36;
    const double rois[] = {0, 1, 1, 4, 4};
    HostCall call = {.nin = 2, .nout = 1, .ints = {2, 2}, .floats = {1}};
    call.in[0] = tensor(DT_F64, 4, DIMS(1, 1, 6, 6), x);
    call.in[1] = tensor(DT_F64, 2, DIMS(1, 5), rois);
    call.out[0].dtype = DT_F64;
    assert_int_equal(run(a, host_max_roi_pool, &call), 0);
    for (int p = 0; p < 2; p++) {
        for (int q = 0; q < 2; q++) {
            double want = 0;
            for (int h = 1 + 2 * p; h < 3 + 2 * p; h++)
                for (int w = 1 + 2 * q; w < 3 + 2 * q; w++)
                    want = fmax(want, x[h * 6 + w]);
            assert_float_equal(((double *)call.out[0].data)[p * 2 + q], want, 0);
        }
    }
    arena_free(a);
}

static void test_find(void **state)
{
    (void)state;
    for (int i = 0; i < host_row_count; i++)
        assert_ptr_equal(host_find(host_rows[i].name), &host_rows[i]);
    assert_null(host_find("conv"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_keys),   cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_non_zero),     cmocka_unit_test(test_compress),
        cmocka_unit_test(test_unique),       cmocka_unit_test(test_unique_flat),
        cmocka_unit_test(test_nms),          cmocka_unit_test(test_roi_align_ramp),
        cmocka_unit_test(test_max_roi_pool), cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
