/* include/lathe.h from outside: a model of one Add, as the bytes of an ONNX file. */
#include <lathe.h> /* first: it must need nothing before it */

#include "check.h"

#include <stdio.h>
#include <unistd.h>

/* ---- a tiny protobuf writer ---- */

typedef struct Bytes {
    uint8_t at[512];
    size_t n;
} Bytes;

static void put_field(Bytes *b, int field, const void *at, size_t n)
{
    b->at[b->n++] = (uint8_t)(field << 3 | 2);
    b->at[b->n++] = (uint8_t)n; /* short: under 128 */
    memcpy(b->at + b->n, at, n);
    b->n += n;
}

static void put_text(Bytes *b, int field, const char *text)
{
    put_field(b, field, text, strlen(text));
}

static void put_int(Bytes *b, int field, int v)
{
    b->at[b->n++] = (uint8_t)(field << 3);
    b->at[b->n++] = (uint8_t)v;
}

/* ValueInfoProto of f32[N,3] */
static Bytes value_info(const char *name)
{
    Bytes open = {0}, three = {0}, shape = {0}, tensor = {0}, type = {0}, value = {0};
    put_text(&open, 2, "N");
    put_int(&three, 1, 3);
    put_field(&shape, 1, open.at, open.n);
    put_field(&shape, 1, three.at, three.n);
    put_int(&tensor, 1, 1);
    put_field(&tensor, 2, shape.at, shape.n);
    put_field(&type, 1, tensor.at, tensor.n);
    put_text(&value, 1, name);
    put_field(&value, 2, type.at, type.n);
    return value;
}

static void write_model(char *path)
{
    Bytes node = {0}, graph = {0}, opset = {0}, model = {0};
    put_text(&node, 1, "x");
    put_text(&node, 1, "x");
    put_text(&node, 2, "y");
    put_text(&node, 4, "Add");
    put_field(&graph, 1, node.at, node.n);
    put_text(&graph, 2, "g");
    const Bytes x = value_info("x"), y = value_info("y");
    put_field(&graph, 11, x.at, x.n);
    put_field(&graph, 12, y.at, y.n);
    put_int(&opset, 2, 17);
    put_int(&model, 1, 8);
    put_field(&model, 7, graph.at, graph.n);
    put_field(&model, 8, opset.at, opset.n);
    const int fd = mkstemp(path);
    assert_int_equal(write(fd, model.at, model.n), (ssize_t)model.n);
    close(fd);
}

/* ---- the tests ---- */

static int allocations, live; /* of the custom allocator */

static void *count_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void count_free(void *arg, void *p)
{
    (void)arg;
    __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    free(p);
}

static void compiles_and_runs(void **state)
{
    (void)state;
    char path[] = "/tmp/lathe_api_XXXXXX";
    write_model(path);
    lathe_error e;
    lathe_module *m = lathe_compile(path, NULL, &e);
    if (!m)
        print_error("%s\n", e.message);
    assert_non_null(m);
    lathe_port p;
    assert_int_equal(lathe_input_count(m), 1);
    assert_int_equal(lathe_input(m, 0, &p), 0);
    assert_string_equal(p.name, "x");
    assert_int_equal(p.dim[0], -1);
    assert_int_equal(p.dim[1], 3);
    assert_int_equal(lathe_input(m, 1, &p), LATHE_INVALID);
    assert_int_equal(lathe_find_output(m, "y"), 0);
    lathe_session *s = lathe_session_new(m, 1, &e);
    assert_non_null(s);
    lathe_module_free(m); /* the session keeps it */
    lathe_tensor y;
    assert_int_equal(lathe_get_output(s, 0, &y, &e), LATHE_INVALID);
    assert_int_equal(lathe_run(s, &e), LATHE_INVALID);
    int warm = 0;
    for (int64_t n = 4; n > 0; n--) {
        const int64_t dims[] = {n, 3};
        const float x[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
        assert_int_equal(lathe_set_input(s, 0, LATHE_F32, 2, dims, x, &e), 0);
        assert_int_equal(lathe_run(s, &e), 0);
        assert_int_equal(lathe_get_output(s, 0, &y, &e), 0);
        assert_int_equal(y.bytes, (size_t)n * 12);
        for (int64_t i = 0; i < n * 3; i++)
            assert_float_equal(((const float *)y.data)[i], 2 * x[i], 0);
        warm = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
        assert_int_equal(lathe_run(s, &e), 0); /* the same shape again: no memory is asked for */
        assert_int_equal(__atomic_load_n(&allocations, __ATOMIC_RELAXED), warm);
    }
    assert_true(warm > 0);
    const int64_t wrong[] = {2, 4};
    assert_int_equal(lathe_set_input(s, 0, LATHE_I32, 2, wrong, &e, &e), LATHE_INVALID);
    lathe_session_free(s);
    unlink(path);
    assert_int_equal(live, 0);
}

static void errors_say_what(void **state)
{
    (void)state;
    lathe_error e;
    assert_null(lathe_compile("/nowhere/model.onnx", NULL, &e));
    assert_int_equal(e.code, LATHE_IO);
    assert_non_null(strstr(e.message, "/nowhere/model.onnx"));
    assert_null(lathe_load("/nowhere/model.lathe", NULL));
    assert_int_equal(live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiles_and_runs),
        cmocka_unit_test(errors_say_what),
    };
    lathe_set_allocator(&(lathe_allocator){count_alloc, count_free, NULL});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
