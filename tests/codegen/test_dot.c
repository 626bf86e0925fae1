/* Dot instructions: products of bf16 pairs and of bytes, over all shapes of tails. The expanded
 * loops, run by the interpreter with the instructions' own meaning, against sums in double; code
 * for the targets that have them, the inner loop of it looked at, and run where this CPU can. */
#include "codegen/products.h"

#include <stdio.h>

static int count_dots(const Loops *l)
{
    int dots = 0;
    for (int k = 0; k < l->stmt.len; k++) {
        const LoopStmt *s = &l->stmt.at[k];
        dots += s->op == L_SET && expr_node(l->x, s->value)->op == EX_DOT;
    }
    return dots;
}

static void run_case(Context *ctx, void *arg)
{
    const Case *c = arg;
    Target t;
    assert_int_equal(target_find(c->target, &t, NULL), 0);
    Stages *s = make_stages(ctx, c);
    Lowered low;
    const Loops *l = make_loops(ctx, c, &t, s, &low);
    if (c->dots >= 0 ? count_dots(l) != c->dots : count_dots(l) == 0)
        FAIL_MSG("%s %dx%dx%d: %d dots", c->a, c->m, c->n, c->k, count_dots(l));
    Array array[3];
    int64_t *elements;
    void **bufs = make_arguments(ctx, l, &low, s, array, &elements);
    const CodegenResult code = codegen_compile(ctx, l, &t, NULL);
    loops_interpret(ctx, l, bufs, elements, NULL);
    check_sums(c, &array[0], &array[1], &array[2]);
    if (target_runs(&t, NULL)) {
        const size_t bytes = (size_t)array[2].elements * 4;
        uint8_t *want = arena_alloc(ctx->arena, bytes);
        memcpy(want, array[2].data, bytes);
        memset(array[2].data, 0, bytes);
        run_native(ctx, l, &code, bufs);
        assert_memory_equal(array[2].data, want, bytes);
    }
}

static void test_bf16(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 48, 64}, {7, 16, 2},  {8, 96, 128}, {14, 33, 9},
                                    {3, 5, 30},  {1, 17, 7},  {29, 64, 6},  {16, 31, 11},
                                    {5, 100, 3}, {2, 160, 40}};
    const char *const targets[] = {"avx512-bf16", "amx"};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        Case c = {shapes[k][0], shapes[k][1], shapes[k][2],   "bf16", "bf16",
                  "f32",        NULL,         targets[k % 2], false,  -1};
        run_job(run_case, &c);
    }
    /* An input that does not pay to be copied does not lie in pairs. */
    Case input = {96, 64, 10, "bf16", "bf16", "f32", NULL, "avx512-bf16", true, 0};
    run_job(run_case, &input);
}

static void test_lower_targets_have_none(void **state)
{
    (void)state;
    Case c = {8, 32, 16, "bf16", "bf16", "f32", NULL, "avx512-vnni", false, 0};
    run_job(run_case, &c);
}

#define BYTE_LINE(n, lay)                                                                          \
    "s1 def=default | b: layout " lay " | y: tile m 3 shift, n " n                                 \
    " peel; order m0 n0 m1 n1; parallel m0 n0; "                                                   \
    "unroll m1; vector n1 | acc: tile k 4 peel; order k0 m0 n0 k1; unroll m0; vector n0; dot k1; " \
    "at y.n0; scope reg"

static void test_bytes(void **state)
{
    (void)state;
    static const char wide[] = BYTE_LINE("32", "1 0 1:32 0:4"),
                      narrow[] = BYTE_LINE("8", "1 0 1:8 0:4");
    Case cases[] = {
        {6, 64, 16, "u8", "i8", "i32", wide, "avx512-vnni", false, 6},
        {7, 37, 13, "u8", "i8", "i32", wide, "avx512-vnni", false, -1},
        {4, 24, 9, "u8", "i8", "i32", narrow, "avx512-bf16", false, 3},
        {5, 40, 8, "i8", "u8", "i32", wide, "amx", false, -1}, /* factors exchanged */
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        run_job(run_case, &cases[k]);
}

/* Pairs of i16, on every target. */
static void test_i16(void **state)
{
    (void)state;
    static const int shapes[][3] = {
        {6, 64, 64}, {1, 48, 30}, {13, 37, 9}, {29, 16, 2}, {70, 33, 130}};
    static const char *const targets[] = {"avx2", "avx512", "amx"};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int t = 0; t < 3; t++) {
            Case c = {shapes[k][0], shapes[k][1], shapes[k][2], "i16", "i16",
                      "i32",        NULL,         targets[t],   false, -1};
            run_job(run_case, &c);
        }
}

/* ---- the instructions' meaning ---- */

static float bf16_dot(float a0, float a1, float b0, float b1, float sum)
{
    bool swap;
    Target t;
    assert_int_equal(target_find("avx512-bf16", &t, NULL), 0);
    const int row = intrinsic_find(&t, DT_BF16, DT_BF16, DT_F32, &swap);
    const Scalar a[2] = {{.dtype = DT_F32, .f = a0}, {.dtype = DT_F32, .f = a1}};
    const Scalar b[2] = {{.dtype = DT_F32, .f = b0}, {.dtype = DT_F32, .f = b1}};
    Scalar s = {.dtype = DT_F32, .f = sum};
    intrinsic_apply(intrinsic_row(row), 1, a, b, &s);
    return (float)s.f;
}

static void test_meaning(void **state)
{
    (void)state;
    assert_true(bf16_dot(2, 3, 5, 7, 1) == 32);
    assert_true(bf16_dot(0x1p-100f, 0, 0x1p-30f, 0, 0) == 0);             /* a subnormal result */
    assert_true(bf16_dot(0x1p-130f, 0, 0x1p100f, 0, 1) == 1);             /* a subnormal factor */
    assert_true(bf16_dot(0, 0, 0, 0, 0x1p-130f) == 0);                    /* a subnormal sum */
    /* the odd one is lost first */
    assert_true(bf16_dot(-0x1p30f, 1, 1, 1, 0x1p30f) == 0);
    assert_true(bf16_dot(1, -0x1p30f, 1, 1, 0x1p30f) == 1);
    assert_true(isnan(bf16_dot(INFINITY, 0, 0, 0, 0)));
    assert_true(isinf(bf16_dot(0x1p127f, 0, 2, 0, 0)));
}

/* ---- the inner loop ---- */

static void look_at_code(Context *ctx, void *arg)
{
    const Case *c = arg;
    Target t;
    assert_int_equal(target_find(c->target, &t, NULL), 0);
    Stages *s = make_stages(ctx, c);
    Lowered low;
    const Loops *l = make_loops(ctx, c, &t, s, &low);
    const CodegenOptions options = {.want_assembly = true};
    const CodegenResult code = codegen_compile(ctx, l, &t, &options);
    int dots = 0, broadcasts = 0, shuffles = 0, block = 0, best = 0, stack = 0;
    for (const char *line = code.assembly; line; line = strchr(line, '\n'), line += line != NULL) {
        const int n = (int)strcspn(line, "\n");
        const char *copy = arena_strndup(ctx->arena, line, (size_t)n);
        if (copy[0] == '.' && strchr(copy, ':'))
            block = 0; /* a label: another block */
        block += strstr(copy, "vdpbf16ps") != NULL;
        best = block > best ? block : best;
        dots += strstr(copy, "vdpbf16ps") != NULL;
        broadcasts +=
            strstr(copy, "broadcastss") || strstr(copy, "broadcastd") || strstr(copy, "{1to16}");
        shuffles += strstr(copy, "vpermt2") || strstr(copy, "vpunpck") || strstr(copy, "vpinsrw");
        stack += strstr(copy, "mm") && strstr(copy, "(%rsp)");
    }
    /* 8 rows, 3 vectors, 4 pairs of k written out; each pair of A is broadcast once for its row,
     * and the 1 that is added */
    assert_int_equal(dots, 96);
    assert_int_equal(best, 96);
    assert_int_equal(broadcasts, 33);
    assert_int_equal(shuffles, 0);
    assert_int_equal(stack, 0);
}

static void test_code(void **state)
{
    (void)state;
    Case c = {64, 96, 128, "bf16", "bf16", "f32", NULL, "avx512-bf16", false, -1};
    run_job(look_at_code, &c);
}

int main(void)
{
    const char *const targets[] = {"avx512-vnni", "avx512-bf16"};
    for (int k = 0; k < 2; k++) {
        Target t;
        const char *missing = NULL;
        if (target_find(targets[k], &t, NULL) == ERR_OK && !target_runs(&t, &missing))
            printf("# SKIP running code for %s: this CPU has no %s\n", targets[k], missing);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_lower_targets_have_none),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_i16),
        cmocka_unit_test(test_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
