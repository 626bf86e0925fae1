/* Dot instructions: products of bf16 pairs and of bytes, over all shapes of tails. The expanded loops, run by the
 * interpreter with the instructions' own meaning, against sums in double; code for the targets that have them, the inner
 * loop of it looked at, and run where this CPU can. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "codegen/run_phases.h"
#include "loop/interp.h"
#include "loop/intrinsic.h"
#include "record/choose.h"

typedef struct Case {
    int m, n, k;
    const char *a, *b, *sum, *line; /* types; line NULL: chosen */
    const char *target;
    bool is_input; /* b is no constant */
    int dots;      /* in the expanded loops; -1: some */
} Case;

static Stages *make_stages(Context *ctx, const Case *c)
{
    const bool ints = strcmp(c->sum, "i32") == 0;
    const char *text = arena_printf(
        ctx->arena,
        "input a %s [%d, %d]\n%s b %s [%d, %d]\ntemp acc %s [%d, %d]\noutput y %s [%d, %d]\n"
        "reduce acc (m: %d, n: %d; k: %d) init 0 update %s combine state0 + state2_0\n"
        "map y (m: %d, n: %d) = acc[m, n] + 1\n",
        c->a, c->m, c->k, c->is_input ? "input" : "const", c->b, c->k, c->n, c->sum, c->m, c->n, c->sum, c->m, c->n,
        c->m, c->n, c->k, ints ? "state0 + i32(a[m, k])*i32(b[k, n])" : "fma(a[m, k], b[k, n], state0)", c->m, c->n);
    return stages_parse(ctx, "test", text, strlen(text));
}

typedef struct Array {
    const LoopBuffer *b;
    int64_t dim[2];
    uint8_t *data;
    int64_t elements;
} Array;

/* An argument as it lies in memory; what pads it must not be read as a number. */
static Array make_array(Context *ctx, const Loops *l, const Lowered *low, const Stages *s, const char *name)
{
    Array a = {.b = &l->buffer.at[low->tensor_buffer[stages_find_tensor(s, name)]]};
    for (int d = 0; d < 2; d++)
        assert_true(expr_is_int(l->x, a.b->dim[d], &a.dim[d]));
    a.elements = layout_elements(&a.b->layout, 2, a.dim);
    const size_t bytes = (size_t)(a.elements * dtype_size(a.b->dtype));
    a.data = arena_alloc_aligned(ctx->arena, bytes + 1, 64);
    memset(a.data, 0xff, bytes);
    return a;
}

static uint8_t *element(const Array *a, int64_t i, int64_t j)
{
    return a->data + layout_offset(&a->b->layout, 2, a->dim, (int64_t[]){i, j}) * dtype_size(a->b->dtype);
}

static void fill(const Array *a, uint32_t seed)
{
    for (int64_t i = 0; i < a->dim[0]; i++)
        for (int64_t j = 0; j < a->dim[1]; j++) {
            seed = seed * 1664525u + 1013904223u;
            const DType t = a->b->dtype;
            const double unit = (double)(seed >> 8) / (1 << 24);
            const double v = dtype_is_float(t) ? unit * 4 - 2 : dtype_lowest(t) + floor(unit * 256);
            dtype_write(t, element(a, i, j), v, true);
        }
}

static void check_sums(const Case *c, const Array *a, const Array *b, const Array *y)
{
    for (int m = 0; m < c->m; m++)
        for (int n = 0; n < c->n; n++) {
            double sum = 1, size = 1;
            for (int k = 0; k < c->k; k++) {
                const double p = dtype_read(a->b->dtype, element(a, m, k)) * dtype_read(b->b->dtype, element(b, k, n));
                sum += p;
                size += fabs(p);
            }
            const double got = dtype_read(y->b->dtype, element(y, m, n));
            const double bound = dtype_is_float(y->b->dtype) ? (c->k + 2) * 0x1p-24 * size : 0;
            if (!(fabs(got - sum) <= bound))
                FAIL_MSG("%s %dx%dx%d: y[%d, %d] is %.9g, not %.9g", c->a, c->m, c->n, c->k, m, n, got, sum);
        }
}

static int count_dots(const Loops *l)
{
    int dots = 0;
    for (int k = 0; k < l->stmt.len; k++) {
        const LoopStmt *s = &l->stmt.at[k];
        dots += s->op == L_SET && expr_node(l->x, s->value)->op == EX_DOT;
    }
    return dots;
}

static Loops *make_loops(Context *ctx, const Case *c, const Target *t, Stages *s, Lowered *low)
{
    Str why = str_new(ctx->arena);
    const Schedule *sc;
    if (c->line) {
        sc = schedule_parse(ctx, s, c->line);
        Str again = str_new(ctx->arena);
        schedule_print(sc, s, &again);
        assert_string_equal(str_text(&again), c->line);
    } else {
        sc = schedule_choose(ctx, s, t, NULL);
        assert_true(schedule_apply_steps(sc, s, &why));
    }
    if (schedule_check(sc, s, t, &why) != SCHEDULE_OK)
        FAIL_MSG("%s", str_text(&why));
    Target none;
    assert_int_equal(target_find("avx512", &none, NULL), 0);
    if (c->line)
        assert_int_equal(schedule_check(sc, s, &none, &why), SCHEDULE_BAD_DOT);
    *low = lower(ctx, s, sc, t);
    Loops *l = expand(ctx, low->loops, t);
    if (!loops_verify(l, &why))
        FAIL_MSG("%s", str_text(&why));
    return l;
}

static void run_native(Context *ctx, const Loops *l, const CodegenResult *code, void *const *bufs)
{
    LoadedImage *image;
    Error e;
    assert_int_equal(image_load(&code->image, &image, &e), ERR_OK);
    run_phases(l, image, &code->image, bufs, NULL, arena_alloc_aligned(ctx->arena, (size_t)l->scratch_bytes + 64, 64), NULL);
    image_unload(image);
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
    Array array[3] = {make_array(ctx, l, &low, s, "a"), make_array(ctx, l, &low, s, "b"),
                      make_array(ctx, l, &low, s, "y")};
    fill(&array[0], 1);
    fill(&array[1], 2);
    void **bufs = arena_array_of(ctx->arena, l->nargs + 1, void *);
    int64_t *elements = arena_array_of(ctx->arena, l->nargs + 1, int64_t);
    for (int k = 0; k < l->buffer.len; k++) { /* temporaries, and then what is known */
        const LoopBuffer *b = &l->buffer.at[k];
        int64_t dim[MAX_RANK];
        for (int d = 0; d < b->rank && b->scope == SCOPE_ARG && b->arg >= 0; d++)
            assert_true(expr_is_int(l->x, b->dim[d], &dim[d]));
        if (b->scope != SCOPE_ARG || b->arg < 0)
            continue;
        elements[b->arg] = layout_elements(&b->layout, b->rank, dim);
        bufs[b->arg] = arena_alloc_aligned(ctx->arena, (size_t)elements[b->arg] * 8, 64);
    }
    for (int k = 0; k < 3; k++)
        bufs[array[k].b->arg] = array[k].data;
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

static void run_job(JobFn fn, void *arg)
{
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, fn, arg, &e, NULL) != ERR_OK)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

static void test_bf16(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 48, 64}, {7, 16, 2},  {8, 96, 128}, {14, 33, 9}, {3, 5, 30},
                                    {1, 17, 7},  {29, 64, 6}, {16, 31, 11}, {5, 100, 3}, {2, 160, 40}};
    const char *const targets[] = {"avx512-bf16", "amx"};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        Case c = {shapes[k][0], shapes[k][1], shapes[k][2], "bf16", "bf16", "f32", NULL, targets[k % 2], false, -1};
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

#define BYTE_LINE(n, lay)                                                                                          \
    "s1 def=default | b: layout " lay " | y: tile m 3 shift, n " n " peel; order m0 n0 m1 n1; parallel m0 n0; "     \
    "unroll m1; vector n1 | acc: tile k 4 peel; order k0 m0 n0 k1; unroll m0; vector n0; dot k1; at y.n0; scope reg"

static void test_bytes(void **state)
{
    (void)state;
    static const char wide[] = BYTE_LINE("32", "1 0 1:32 0:4"), narrow[] = BYTE_LINE("8", "1 0 1:8 0:4");
    Case cases[] = {
        {6, 64, 16, "u8", "i8", "i32", wide, "avx512-vnni", false, 6},
        {7, 37, 13, "u8", "i8", "i32", wide, "avx512-vnni", false, -1},
        {4, 24, 9, "u8", "i8", "i32", narrow, "avx512-bf16", false, 3},
        {5, 40, 8, "i8", "u8", "i32", wide, "amx", false, -1}, /* factors exchanged */
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        run_job(run_case, &cases[k]);
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
    assert_true(bf16_dot(-0x1p30f, 1, 1, 1, 0x1p30f) == 0);               /* the odd one is lost first */
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
        broadcasts += strstr(copy, "broadcastss") || strstr(copy, "broadcastd") || strstr(copy, "{1to16}");
        shuffles += strstr(copy, "vpermt2") || strstr(copy, "vpunpck") || strstr(copy, "vpinsrw");
        stack += strstr(copy, "mm") && strstr(copy, "(%rsp)");
    }
    /* 8 rows, 3 vectors, 4 pairs of k written out; each pair of A is broadcast once for its row, and the 1 that is added */
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
        cmocka_unit_test(test_meaning), cmocka_unit_test(test_bf16), cmocka_unit_test(test_lower_targets_have_none),
        cmocka_unit_test(test_bytes),   cmocka_unit_test(test_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
