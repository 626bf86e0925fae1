/* .npy: round trips, foreign orders, malformed files. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "tensor/tensor.h"

static char path[] = "/tmp/lathe-npy-XXXXXX";

static void test_round_trip(void **state)
{
    (void)state;
    Error e;
    for (int t = 1; t < DT_COUNT; t++) {
        if (dtype_size((DType)t) == 0)
            continue;
        for (int rank = 0; rank < 4; rank++) {
            const int64_t dims[] = {3, 2, 5};
            Tensor *a = tensor_new((DType)t, rank, dims, &e), *b = NULL;
            tensor_fill_random(a, (uint64_t)t);
            assert_int_equal(npy_write(path, a, &e), 0);
            assert_int_equal(npy_read(path, &b, &e), 0);
            assert_int_equal(b->rank, rank);
            for (int64_t i = 0; i < tensor_elements(a); i++) /* the type may be a wider one */
                assert_true(dtype_read(a->dtype, (char *)a->data + i * dtype_size(a->dtype)) ==
                            dtype_read(b->dtype, (char *)b->data + i * dtype_size(b->dtype)));
            if (t == DT_F32 || t == DT_I64 || t == DT_F16 || t == DT_BOOL)
                assert_int_equal(b->dtype, t);
            tensor_unref(a);
            tensor_unref(b);
        }
    }
}

/* A file as numpy.save writes it, spelt out. */
static int read_text(const char *version, const char *header, const void *data, size_t size,
                     Tensor **out)
{
    char file[512];
    const size_t len = strlen(header), wide = version[0] > 1 ? 4 : 2;
    memcpy(file, "\x93NUMPY", 6);
    memcpy(file + 6, version, 2);
    memset(file + 8, 0, 4);
    file[8] = (char)len;
    memcpy(file + 8 + wide, header, len);
    memcpy(file + 8 + wide + len, data, size);
    Error e;
    assert_int_equal(file_write(path, file, 8 + wide + len + size, &e), 0);
    *out = NULL;
    return npy_read(path, out, &e);
}

static void test_foreign(void **state)
{
    (void)state;
    Tensor *t;
    const int16_t column[] = {1, 4, 2, 5, 3, 6}; /* (2,3), Fortran order */
    assert_int_equal(read_text("\x01\x00",
                               "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n",
                               column, sizeof column, &t),
                     0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(((int16_t *)t->data)[i], i + 1);
    tensor_unref(t);
    assert_int_equal(read_text("\x03\x00", "{'descr':'>i4','fortran_order':False,'shape':(2,)}",
                               "\x00\x00\x01\x02\xff\xff\xff\xff", 8, &t), 0);
    assert_int_equal(((int32_t *)t->data)[0], 258);
    assert_int_equal(((int32_t *)t->data)[1], -1);
    tensor_unref(t);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "{}", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
    };
    Tensor *t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(read_text("\x01\x00", bad[i], "\0\0\0\0", 4, &t) < 0);
        assert_null(t);
    }
    assert_int_equal(read_text("\x07\x00", "", "", 0, &t), ERR_INVALID);
    Error e;
    assert_int_equal(npy_read("/nonexistent/x.npy", &t, &e), ERR_IO);
}

int main(void)
{
    close(mkstemp(path));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_malformed),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
