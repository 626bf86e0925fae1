/* DLPack both ways: types, strides, who holds what for how long. */
#include <lathe_dlpack.h>

#include "check.h"

#include <stdio.h>

#include "tensor/dlpack.h"

#define MODEL TEST_DIR "/data/classify.onnx" /* f32[N,3,H,W] -> f32[N,10] */

static lathe_session *session(void)
{
    lathe_error e;
    lathe_module *m = lathe_compile(MODEL, &(lathe_options){.threads = 1}, &e);
    lathe_session *s = m ? lathe_session_new(m, 1, &e) : NULL;
    if (!s)
        FAIL_MSG("%s", e.message);
    lathe_module_free(m);
    return s;
}

/* A managed tensor over `data` that counts the calls of its deleter. */
typedef struct Given {
    DLManagedTensorVersioned managed;
    DLManagedTensor old;
    int64_t shape[MAX_RANK], stride[MAX_RANK];
    int deleted;
} Given;

static void count_versioned(DLManagedTensorVersioned *t)
{
    ((Given *)t->manager_ctx)->deleted++;
}

static void count_old(DLManagedTensor *t)
{
    ((Given *)t->manager_ctx)->deleted++;
}

static void give(Given *g, void *data, const int64_t *shape, const int64_t *stride)
{
    memcpy(g->shape, shape, 4 * sizeof *shape);
    if (stride)
        memcpy(g->stride, stride, 4 * sizeof *stride);
    const DLTensor d = {.data = data,
                        .device = {1, 0},
                        .ndim = 4,
                        .dtype = {2, 32, 1},
                        .shape = g->shape,
                        .strides = stride ? g->stride : NULL};
    g->managed = (DLManagedTensorVersioned){{1, 0}, g, count_versioned, 0, d};
    g->old = (DLManagedTensor){d, g, count_old};
    g->deleted = 0;
}

static void run(lathe_session *s, float *scores)
{
    lathe_error e;
    lathe_tensor y;
    if (lathe_run(s, &e) != 0 || lathe_get_output(s, 0, &y, &e) != 0)
        FAIL_MSG("%s", e.message);
    memcpy(scores, y.data, y.bytes);
}

/* The same picture as NCHW; as NHWC seen through strides; upside down and turned back by a negative
 * stride. */
static void strides_are_honoured(void **state)
{
    (void)state;
    enum { H = 5, W = 7 };
    float nchw[3 * H * W], nhwc[H * W * 3], flipped[3 * H * W], want[10], got[10];
    for (int c = 0; c < 3; c++)
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W; w++)
                nchw[(c * H + h) * W + w] = nhwc[(h * W + w) * 3 + c] =
                    flipped[(c * H + H - 1 - h) * W + w] =
                        (float)((c * 31 + h * 7 + w * 3) % 17) / 17;
    lathe_session *s = session();
    lathe_error e;
    const int64_t shape[] = {1, 3, H, W};
    Given plain, odd, transposed, turned;
    give(&plain, nchw, shape, NULL);
    /* the stride of a dim of one means nothing */
    give(&odd, nchw, shape, (const int64_t[]){12345, H * W, W, 1});
    give(&transposed, nhwc, shape, (const int64_t[]){3 * H * W, 1, 3 * W, 3});
    give(&turned, flipped, shape, (const int64_t[]){3 * H * W, H * W, -W, 1});
    turned.managed.dl_tensor.byte_offset = (H - 1) * W * sizeof(float);
    assert_int_equal(lathe_set_input_from_dlpack(s, 0, &plain.managed, &e), 0);
    run(s, want);
    assert_int_equal(plain.deleted, 0); /* it is used where it lies */
    Given *all[] = {&odd, &transposed, &turned};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lathe_set_input_from_dlpack(s, 0, &all[i]->managed, &e), 0);
        assert_int_equal(all[i]->deleted, i > 0); /* those that are copied go at once */
        run(s, got);
        assert_memory_equal(got, want, sizeof want);
    }
    assert_int_equal(plain.deleted, 1);
    assert_int_equal(lathe_set_input_from_dlpack_old(s, 0, &transposed.old, &e), 0);
    assert_int_equal(transposed.deleted, 2);
    assert_int_equal(lathe_set_input_from_dlpack_old(s, 0, &plain.old, &e), 0);
    run(s, got);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(plain.deleted, 1);
    lathe_session_free(s);
    assert_int_equal(plain.deleted, 2);
    assert_int_equal(odd.deleted, 1);
}

static void refused_tensors_stay_with_the_caller(void **state)
{
    (void)state;
    static float data[3 * 64];
    const int64_t shape[] = {1, 3, 8, 8}, huge[] = {INT64_MAX / 2, 3, 8, 8};
    lathe_session *s = session();
    lathe_error e;
    for (int i = 0; i < 9; i++) {
        Given g;
        give(&g, data, i == 8 ? huge : shape, NULL);
        DLTensor *t = &g.managed.dl_tensor;
        int want = LATHE_UNSUPPORTED;
        switch (i) {
        case 0: t->device.device_type = 2; break;
        case 1: t->dtype.lanes = 4; break;
        case 2: t->dtype = (DLDataType){5, 64, 1}; break; /* complex */
        case 3: t->dtype = (DLDataType){0, 4, 1}; break;  /* packed i4 */
        case 4: t->ndim = 9; break;
        case 5: g.managed.version.major = 2; break;
        case 6:
            t->dtype = (DLDataType){2, 64, 1};
            want = LATHE_INVALID;
            break; /* not what the model wants */
        case 7: t->data = NULL; want = LATHE_INVALID; break;
        default: want = LATHE_INVALID;
        }
        assert_int_equal(lathe_set_input_from_dlpack(s, 0, &g.managed, &e), want);
        assert_true(e.message[0] != 0);
        assert_int_equal(g.deleted, 0);
    }
    lathe_session_free(s);
}

/* What was exported stays as it is while the session goes on, and after its end. */
static void outputs_outlive_the_session(void **state)
{
    (void)state;
    static float zeros[2 * 3 * 64], ones[2 * 3 * 64];
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        ones[i] = 1;
    lathe_session *s = session();
    lathe_error e;
    lathe_tensor x = {LATHE_F32, 4, {2, 3, 8, 8}, zeros, sizeof zeros};
    assert_null(lathe_output_to_dlpack(s, 0, &e));
    assert_null(lathe_output_to_dlpack(NULL, 0, &e));
    assert_int_equal(lathe_set_input_from_dlpack(s, 0, NULL, &e), LATHE_INVALID);
    assert_int_equal(lathe_set_input_from_dlpack_old(s, 0, NULL, &e), LATHE_INVALID);
    assert_int_equal(e.code, LATHE_INVALID);
    float of_zeros[20], of_ones[20];
    assert_int_equal(lathe_set_input(s, 0, &x, &e), 0);
    run(s, of_zeros);
    DLManagedTensorVersioned *a = lathe_output_to_dlpack(s, 0, &e);
    DLManagedTensor *b = lathe_output_to_dlpack_old(s, 0, &e);
    assert_non_null(a);
    assert_non_null(b);
    x.data = ones;
    assert_int_equal(lathe_set_input(s, 0, &x, &e), 0);
    run(s, of_ones);
    assert_memory_not_equal(of_ones, of_zeros, sizeof of_ones);
    assert_ptr_equal(a->dl_tensor.data, b->dl_tensor.data);
    b->deleter(b);
    lathe_session_free(s);
    assert_int_equal(a->version.major, 1);
    assert_int_equal(a->flags, 0);
    assert_int_equal(a->dl_tensor.device.device_type, 1);
    assert_int_equal(a->dl_tensor.ndim, 2);
    assert_int_equal(a->dl_tensor.shape[0], 2);
    assert_int_equal(a->dl_tensor.strides[0], 10);
    assert_int_equal(a->dl_tensor.strides[1], 1);
    assert_int_equal(a->dl_tensor.dtype.code, 2);
    assert_int_equal(a->dl_tensor.dtype.bits, 32);
    assert_memory_equal(a->dl_tensor.data, of_zeros, sizeof of_zeros);
    a->deleter(a);
}

/* Every type goes out and comes back as itself. */
static void types_go_both_ways(void **state)
{
    (void)state;
    int known = 0;
    for (int t = 1; t < DT_COUNT; t++) {
        Error e;
        DlpackView v;
        if (dtype_size((DType)t) == 0)
            continue;
        Tensor *x = tensor_new((DType)t, 2, (const int64_t[]){2, 3}, &e);
        DLManagedTensorVersioned *d = dlpack_export(x, &e);
        assert_non_null(d);
        assert_int_equal(dlpack_view(&d->dl_tensor, d->flags, &v, &e), 0);
        assert_int_equal(v.dtype, t);
        assert_true(v.dense);
        const bool small = d->dl_tensor.dtype.bits < 8;
        assert_int_equal(d->flags, small ? DLPACK_PADDED : 0);
        d->deleter(d);
        DLManagedTensor *old = dlpack_export_old(x, &e);
        assert_int_equal(old == NULL, small);
        if (old)
            old->deleter(old);
        assert_int_equal(atomic_load(&x->refs), 1);
        tensor_unref(x);
        known++;
    }
    assert_int_equal(known, 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strides_are_honoured),
        cmocka_unit_test(refused_tensors_stay_with_the_caller),
        cmocka_unit_test(outputs_outlive_the_session),
        cmocka_unit_test(types_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
