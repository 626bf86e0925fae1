/* Module files: what is saved runs the same after loading; damage anywhere is refused. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/module_file.h"
#include "runtime/program_build.h"

/* A program without code: copies its input, and a constant, out. */
static const Program *copy_program(Arena *a)
{
    ProgramBuilder *b = build_new(a);
    const int n = build_var_value(b, build_var(b, "N", 0, 0));
    ProgramBuffer x = {
        .kind = BUF_INPUT, .dtype = DT_F32, .rank = 1, .dim = {n}, .parent = -1, .offset = -1};
    const int in = build_port(b, "x", x);
    x.kind = BUF_OUTPUT;
    const int out = build_port(b, "y", x);
    static const _Alignas(64) float data[3] = {1, 2, 3};
    const int64_t three = 3;
    const int constant = build_const(b, DT_F32, 1, &three, NULL, data, sizeof data);
    x.dim[0] = build_int(b, 3);
    const int out2 = build_port(b, "z", x);
    b->origin = build_text(b, "node");
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){out, -1, in, -1, -1});
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){out2, -1, constant, -1, -1});
    return build_finish(b);
}

static int save(const char *path)
{
    Arena *a = arena_new();
    Error e = {0};
    const Image none = {0};
    const int code = module_save(path, copy_program(a), &none, "avx2", true, &e);
    arena_free(a);
    return code;
}

static void saved_runs_the_same(void **state)
{
    (void)state;
    char path[] = "/tmp/lathe_module_XXXXXX";
    Error e = {0};
    Module *m;
    Pool *pool;
    Run *r;
    close(mkstemp(path));
    assert_int_equal(save(path), 0);
    assert_int_equal(module_load(path, &m, &e), 0);
    assert_int_equal(module_find_output(m, "z"), 1);
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    const int64_t dim = 5;
    Tensor *x = tensor_new(DT_F32, 1, &dim, &e);
    tensor_fill_random(x, 3);
    assert_int_equal(run_set_input(r, 0, x, &e), 0);
    assert_int_equal(run_execute(r, &e), 0);
    assert_memory_equal(run_output(r, 0)->data, x->data, 20);
    assert_float_equal(((float *)run_output(r, 1)->data)[2], 3, 0);
    tensor_unref(x);
    run_free(r);
    pool_free(pool);
    module_unref(m);
    unlink(path);
}

/* Two constants of 64 KiB, the second from `second` on: the file is the same whether memory is
 * spent or not, and two that overlap are not lost by the first one's going back. */
static void check_spent(size_t second)
{
    enum { BYTES = 1 << 16 };
    char path[2][32] = {"/tmp/lathe_module_XXXXXX", "/tmp/lathe_module_XXXXXX"};
    const int64_t n = BYTES / 4;
    const Image none = {0};
    Arena *a = arena_new();
    uint8_t *const data = arena_alloc_aligned(a, 2 * BYTES, 4096);
    for (int i = 0; i < 2 * BYTES; i++)
        data[i] = (uint8_t)(1 + i % 253);
    ProgramBuilder *b = build_new(a);
    ProgramBuffer y = {.kind = BUF_OUTPUT,
                       .dtype = DT_F32,
                       .rank = 1,
                       .dim = {build_int(b, n)},
                       .parent = -1,
                       .offset = -1};
    b->origin = build_text(b, "node");
    for (int i = 0; i < 2; i++) {
        const int out = build_port(b, i ? "z" : "y", y);
        const int from = build_const(b, DT_F32, 1, &n, NULL, data + i * second, BYTES);
        build_step(b, PSTEP_COPY, 5, (const int32_t[]){out, -1, from, -1, -1});
    }
    const Program *p = build_finish(b);
    File f[2];
    Error e = {0};
    close(mkstemp(path[0]));
    close(mkstemp(path[1]));
    assert_int_equal(module_save(path[0], p, &none, "avx2", true, &e), 0);
    assert_int_equal(module_save_spent(path[1], p, &none, "avx2", &e), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(file_map(a, path[i], &f[i], &e), 0);
    assert_int_equal(f[0].size, f[1].size);
    assert_memory_equal(f[0].at, f[1].at, f[0].size);
    assert_int_equal(data[BYTES / 2] == 0, second == BYTES); /* went back */
    unlink(path[0]);
    unlink(path[1]);
    arena_free(a);
}

static void spent_is_the_same(void **state)
{
    (void)state;
    check_spent(1 << 16);
    check_spent(1 << 12);
}

static void damage_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/lathe_module_XXXXXX";
    Error e = {0};
    Module *m;
    Arena *a = arena_new();
    File f;
    close(mkstemp(path));
    assert_int_equal(save(path), 0);
    assert_int_equal(file_read(a, path, &f, &e), 0);
    uint8_t *bytes = (uint8_t *)arena_dup(a, f.at, f.size);
    for (size_t i = 0; i < f.size; i += i < 512 ? 1 : 37) {
        bytes[i] ^= 0x41;
        assert_int_equal(file_write(path, bytes, f.size, &e), 0);
        const int code = module_load(path, &m, &e);
        if (code == 0) /* between two sections: not used */
            module_unref(m);
        assert_true(code <= 0);
        assert_true(i >= 256 || code < 0);
        bytes[i] ^= 0x41;
    }
    for (size_t size = 0; size < f.size; size += 97) {
        assert_int_equal(file_write(path, bytes, size, &e), 0);
        assert_true(module_load(path, &m, &e) < 0);
    }
    unlink(path);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_runs_the_same),
        cmocka_unit_test(spent_is_the_same),
        cmocka_unit_test(damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
