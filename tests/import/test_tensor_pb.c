/* TensorProto files: every type there and back, and the lists that hold elements instead of raw
 * bytes. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "import/tensor_pb.h"

static char path[64];

static void round_trip(DType t, int rank, const int64_t *dims)
{
    Error e;
    Tensor *const made = tensor_new(t, rank, dims, &e);
    const int64_t n = tensor_elements(made);
    for (int64_t i = 0; i < n; i++)
        dtype_write(t, (char *)made->data + i * dtype_size(t), (double)(i % 5 - 2), true);
    assert_int_equal(tensor_pb_write(path, made, "name", &e), 0);
    Tensor *read = NULL;
    assert_int_equal(tensor_pb_read(path, &read, &e), 0);
    assert_int_equal(read->dtype, t);
    assert_int_equal(read->rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(read->dim[i], dims[i]);
    assert_int_equal(read->bytes, made->bytes);
    if (made->bytes > 0)
        assert_memory_equal(read->data, made->data, made->bytes);
    tensor_unref(read);
    tensor_unref(made);
}

static void every_type(void **state)
{
    (void)state;
    int types = 0;
    for (int t = 0; t < DT_COUNT; t++) {
        if (dtype_size((DType)t) == 0)
            continue;
        types++;
        round_trip((DType)t, 0, NULL);
        round_trip((DType)t, 2, (const int64_t[]){3, 7}); /* odd: packed types end inside a byte */
        round_trip((DType)t, 3, (const int64_t[]){2, 0, 3});
    }
    assert_int_equal(types, 23);
}

/* A TensorProto put together by hand: dims [n], a type, one field. */
static int parse(uint8_t type, int n, const char *field, size_t size, Tensor **out, Error *e)
{
    uint8_t bytes[128] = {0x08, (uint8_t)n, 0x10, type};
    memcpy(bytes + 4, field, size);
    *e = (Error){0};
    return tensor_pb_parse(bytes, size + 4, out, e);
}

#define PARSE(type, n, field, out) parse(type, n, field, sizeof field - 1, out, &e)

static void lists(void **state)
{
    (void)state;
    Error e;
    Tensor *t = NULL;
    /* int32_data holds bits: f16 1.0 is 0x3c00, one number each, packed in the wire sense. */
    assert_int_equal(PARSE(DT_F16, 2, "\x2a\x05\x80\x78\x80\xf8\x02", &t), 0);
    assert_true(dtype_read(DT_F16, t->data) == 1 && dtype_read(DT_F16, (char *)t->data + 2) == -1);
    tensor_unref(t);
    /* i4: two elements a number, the first in the low bits; -8 and 7, then 1. */
    assert_int_equal(PARSE(DT_I4, 3, "\x2a\x02\x78\x01", &t), 0);
    const int8_t *const i4 = t->data;
    assert_true(i4[0] == -8 && i4[1] == 7 && i4[2] == 1);
    tensor_unref(t);
    /* i8 -1: ten bytes of wire; not packed in the wire sense, each with its key. */
    assert_int_equal(PARSE(DT_I8, 2, "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x28\x7f", &t),
                     0);
    assert_true(((const int8_t *)t->data)[0] == -1 && ((const int8_t *)t->data)[1] == 127);
    tensor_unref(t);
    /* u32 lies in uint64_data. */
    assert_int_equal(PARSE(DT_U32, 1, "\x5a\x05\xff\xff\xff\xff\x0f", &t), 0);
    assert_true(*(const uint32_t *)t->data == UINT32_MAX);
    tensor_unref(t);
    /* bool: any number but 0 is true, also in raw bytes. */
    assert_int_equal(PARSE(DT_BOOL, 2, "\x2a\x02\x05\x00", &t), 0);
    assert_memory_equal(t->data, "\1\0", 2);
    tensor_unref(t);
    assert_int_equal(PARSE(DT_BOOL, 2, "\x4a\x02\xff\x00", &t), 0);
    assert_memory_equal(t->data, "\1\0", 2);
    tensor_unref(t);
}

static void refused(void **state)
{
    (void)state;
    Error e;
    Tensor *t = NULL;
    assert_int_equal(PARSE(DT_F32, 2, "\x4a\x03\x01\x02\x03", &t), ERR_INVALID);
    assert_non_null(strstr(e.message, "3 bytes for 2 elements of f32"));
    assert_int_equal(PARSE(DT_I4, 3, "\x2a\x01\x78", &t), ERR_INVALID);
    assert_int_equal(PARSE(DT_F32, 2, "", &t), ERR_INVALID);
    assert_int_equal(PARSE(DT_STRING, 1, "\x32\x01z", &t), ERR_UNSUPPORTED);
    assert_int_equal(PARSE(DT_C64, 1, "", &t), ERR_UNSUPPORTED);
    assert_int_equal(PARSE(99, 1, "", &t), ERR_INVALID);
    assert_int_equal(PARSE(DT_F32, 1, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &t),
                     ERR_INVALID);
    assert_non_null(strstr(e.message, "negative"));
    assert_int_equal(PARSE(DT_F32, 1, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &t), ERR_INVALID);
    assert_non_null(strstr(e.message, "overflows"));
    assert_int_equal(
        PARSE(DT_F32, 1, "\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01", &t),
        ERR_UNSUPPORTED);
    assert_int_equal(PARSE(DT_F32, 4, "\x70\x01", &t), ERR_INVALID); /* external, without a place */
    assert_int_equal(tensor_pb_read("/nonexistent.pb", &t, &e), ERR_IO);
    assert_null(t);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/lathe_tensor_pb_%d.pb", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(lists),
        cmocka_unit_test(refused),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
