/* Graphs through the whole pipeline against the reference executor: shapes that change, folding,
 * equal kernels, sizes from data, any number of threads. */
#include "against_reference.h"

#include <stdio.h>

static void open_sizes(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"open\"\nsym M 0 1000\nsym N 0 1000\ninput x f32[M,N]\nconst two f32[] = 2.0\n"
        "a = mul(x, two) \"a\"\nb = reduce_max(a) \"b\" keepdims=1\ny = sub(a, b) \"y\"\n"
        "t = transpose(y) \"t\" perm=[1,0]\noutput t\n");
    const int64_t sizes[] = {3, 17, 1, 64, 33};
    for (int i = 0; i < 5; i++)
        check2(&f, sizes[i], sizes[4 - i]);
    const int64_t before = run_memory(f.r).allocations;
    for (int i = 1; i < 5; i++)
        check2(&f, sizes[i], sizes[4 - i]);
    assert_int_equal(run_memory(f.r).allocations, before);
    finish(&f);
}

static void constants_are_folded(void **state)
{
    (void)state;
    Fixture f =
        fixture("graph \"fold\"\ninput x f32[4,6]\nconst w f32[6,8] = 0.5\nconst b f32[8] = "
                "{1,2,3,4,5,6,7,8}\n"
                "v = mul(w, b) \"v\"\nu = exp(v) \"u\"\ny = matmul(x, u) \"y\"\noutput y\n");
    assert_int_equal(f.b.c.report->folded, 2);
    assert_int_equal(f.b.c.report->units, 1);
    check2(&f, 4, 6);
    finish(&f);
}

/* A constant that several threads lay out, each a part, and a small one beside it. */
static void large_constants_are_laid_out_in_parts(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"parts\"\ninput x f32[5,601]\nconst zero f32[] = 0.0\nconst end f32[] = 619030.0\n"
        "const one f32[] = 1.0\nconst to i64[2] = {601,1030}\nconst v f32[1030,3] = 0.25\n"
        "r = range(zero, end, one) \"r\"\ns = sin(r) \"s\"\nw = reshape(s, to) \"w\"\n"
        "y = matmul(x, w) \"y\"\nz = matmul(y, v) \"z\"\noutput y\noutput z\n");
    assert_int_equal(f.b.c.report->relaid, 2);
    check2(&f, 5, 601);
    finish(&f);
}

static bool some_schedule_has(const Fixture *f, const char *part)
{
    bool found = false;
    for (int k = 0; k < f->b.c.report->nkernels; k++)
        found |= strstr(f->b.c.report->kernel[k].schedule, part) != NULL;
    return found;
}

/* The right side of a product, computed and lying across: copied into panels. A transpose uses up
 * the lines it reads. */
static void reads_across_memory_are_few(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"across\"\ninput x f32[61,53]\nb = exp(x) \"b\"\ny = gemm(x, b) \"y\" transB=1\n"
        "t = transpose(x) \"t\" perm=[1,0]\noutput y\noutput t\n");
    assert_true(some_schedule_has(&f, "cache_read x1 acc x1.panels"));
    assert_true(some_schedule_has(&f, "order j0 i0 j1"));
    check2(&f, 61, 53);
    finish(&f);
}

/* What runs while compiling, constants that are folded and laid out, is code for this machine. */
static void any_level_is_compiled(void **state)
{
    (void)state;
    static const char *const levels[] = {"avx2",        "avx2-vnni",   "avx512",
                                         "avx512-vnni", "avx512-bf16", "amx"};
    for (int k = 0; k < 6; k++) {
        Arena *a = arena_new();
        Built b = {
            .level = levels[k],
            .text = "graph \"levels\"\ninput x f32[64,64]\nconst w f32[64,64] = 0.5\nu = exp(w)\n"
                    "y = matmul(x, u)\noutput y\n"};
        if (job_run(a, build_job, &b, &b.error, NULL) != 0)
            give_up("%s: %s", levels[k], b.error.message);
        assert_int_equal(b.c.report->folded, 1);
        assert_int_equal(b.c.report->relaid, 1);
        arena_free(a);
    }
}

static void equal_kernels_are_compiled_once(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"same\"\ninput x f32[8,8]\nconst w f32[8,8] = 0.25\nconst v f32[8,8] = 0.5\n"
        "a = matmul(x, w) \"a\"\nb = matmul(a, v) \"b\"\nc = matmul(b, w) \"c\"\noutput c\n");
    assert_int_equal(f.b.c.report->units, 3);
    assert_int_equal(f.b.c.report->nkernels, 1);
    check2(&f, 8, 8);
    finish(&f);
}

static void sizes_from_data(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"nonzero\"\nsym N 0 100\ninput x f32[N,3]\nconst zero f32[] = 0.0\n"
        "p = relu(x) \"p\"\ni = non_zero(p) \"i\"\nf = cast(i) \"f\" to=1\ng = exp(f) \"g\"\n"
        "s = shape(g) \"s\"\noutput i\noutput g\noutput s\n");
    check2(&f, 5, 3);
    check2(&f, 40, 3);
    check2(&f, 2, 3);
    finish(&f);
}

/* Two nodes of one name, and an input whose symbol has the name that a size would get: each has its
 * own size. */
static void sizes_from_data_of_equal_names(void **state)
{
    (void)state;
    Fixture f =
        fixture("graph \"nonzero\"\nsym i.count 0 100\ninput x f32[4,6]\ninput y f32[i.count]\n"
                "const c f32[] = 0.75\n"
                "a = relu(x) \"a\"\nb = sub(a, c) \"b\"\nd = relu(b) \"d\"\n"
                "i = non_zero(a) \"same\"\nj = non_zero(d) \"same\"\nk = non_zero(y) \"same\"\n"
                "l = neg(i) \"l\"\nm = neg(j) \"m\"\nn = neg(k) \"n\"\n"
                "output l\noutput m\noutput n\n");
    for (int64_t n = 3; n < 60; n += 25) {
        Tensor *in[2] = {random2(4, 6, (uint64_t)n), tensor_of(DT_F32, 1, &n, 5)};
        compare(f.r, f.m, f.b.text, in);
        assert_true(run_output(f.r, 1)->dim[1] < run_output(f.r, 0)->dim[1]);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    finish(&f);
}

/* Two layers of four towers: two products, and no kernel that only moves. */
static void towers_become_batches(void **state)
{
    (void)state;
    char text[8192];
    int n =
        snprintf(text, sizeof text,
                 "graph \"towers\"\ninput x f32[64,64]\nconst zero f32[] = 0.0\n"
                 "const end f32[] = 4096.0\nconst one f32[] = 1.0\nconst wide i64[2] = {64,64}\n"
                 "const s f32[] = 0.25\nr = range(zero, end, one)\nw = reshape(r, wide)\n");
    for (int i = 0; i < 4; i++)
        n += snprintf(
            text + n, sizeof text - (size_t)n,
            "const k%d f32[] = %d.5\na%d = mul(w, k%d)\nb%d = sin(a%d)\nd%d = cos(a%d)\n"
            "e%d = mul(x, k%d)\nf%d = softmax(e%d)\ng%d = matmul(f%d, b%d)\nh%d = add(g%d, k%d)\n"
            "l%d = relu(h%d)\nm%d = matmul(l%d, d%d)\no%d = softmax(m%d)\noutput o%d\n",
            i, i + 1, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i);
    Fixture f = {.b = {.text = text, .level = "avx2"}};
    Error e;
    f.m = build(&f.b);
    assert_int_equal(pool_new(3, &f.pool, &e), 0);
    assert_int_equal(run_new(f.m, f.pool, 0, &f.r, &e), 0);
    print_message("%d kernels\n", f.b.c.report->units);
    assert_int_equal(f.b.c.report->units, 4 + 2 + 4);
    check2(&f, 64, 64);
    finish(&f);
}

/* A convolution of free sizes: its parallel loops are split by extents whose product fits no
 * i64. */
static void convolution_of_open_sizes(void **state)
{
    (void)state;
    static const char *const attributes[] = {
        "",
        "pads=[1,1,1,1]",
        "pads=[0,1,2,1] strides=[2,2]",
        "pads=[2,2,2,2] dilations=[2,2]",
        "strides=[3,1] dilations=[1,2]",
        "pads=[3,0,3,0] strides=[2,3] dilations=[3,1]",
    };
    static const int64_t sizes[][3] = {{1, 7, 9}, {2, 16, 16}, {1, 31, 13}, {3, 8, 29}, {1, 9, 65}};
    for (int k = 0; k < 6; k++) {
        char text[512];
        snprintf(text, sizeof text,
                 "graph \"conv\"\nsym N 1 2147483647\nsym H 7 2147483647\n"
                 "sym W 7 2147483647\ninput x f32[N,3,H,W]\ninput w f32[20,3,3,3]\n"
                 "a = conv(x, w) \"a\" %s\ny = relu(a) \"y\"\noutput y\n",
                 attributes[k]);
        Fixture f = fixture(text);
        for (int i = 0; i < 5; i++) {
            const int64_t x[] = {sizes[i][0], 3, sizes[i][1], sizes[i][2]};
            Tensor *in[2] = {tensor_of(DT_F32, 4, x, (uint64_t)i + 1),
                             tensor_of(DT_F32, 4, (const int64_t[]){20, 3, 3, 3}, 9)};
            compare(f.r, f.m, text, in);
            tensor_unref(in[0]);
            tensor_unref(in[1]);
        }
        finish(&f);
    }
}

/* T must be 6 because of the mask, K what M is: afterwards one kernel can do product, mask and
 * sum. */
static void sizes_that_must_be_equal(void **state)
{
    (void)state;
    const char *text = "graph \"mask\"\nsym T 0 100\nsym M 0 100\nsym K 0 100\ninput x "
                       "f32[T,M]\ninput y f32[K,T]\n"
                       "const mask f32[6,6] = -0.5\np = matmul(x, y) \"p\"\nq = add(p, mask) "
                       "\"q\"\nr = softmax(q) \"r\"\noutput r\n";
    Fixture f = fixture(text);
    Error e = {0};
    for (int64_t m = 1; m < 20; m += 9) {
        Tensor *in[2] = {random2(6, m, 1), random2(m, 6, 2)};
        compare(f.r, f.m, text, in);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    Tensor *wrong[2] = {random2(5, 3, 1), random2(3, 5, 2)};
    const int code = run_set_input(f.r, 0, wrong[0], &e);
    assert_true(code != 0 || run_set_input(f.r, 1, wrong[1], &e) != 0 || run_execute(f.r, &e) != 0);
    tensor_unref(wrong[0]);
    tensor_unref(wrong[1]);
    finish(&f);
}

/* Rows of a table of 40 are added, so T is at most 40: one kernel can then do attention, whose rows
 * have room for that many, and a run with more is refused. Sizes in no order, each against the
 * reference. */
static void sizes_that_have_a_bound(void **state)
{
    (void)state;
    const char *text =
        "graph \"bound\"\nsym T 0 2147483648\ninput x f32[1,2,T,8]\nconst table f32[40,8] = 0.25\n"
        "const zero i64[1] = {0}\n"
        "n = shape(x) start=2 end=3\np = slice(table, zero, n, zero)\nq = add(x, p)\n"
        "y = attention(q, x, q) scale=0.5\noutput y\n";
    Fixture f = fixture(text);
    static const int64_t sizes[] = {40, 1, 17, 3, 6, 39, 2, 33, 5, 4, 7, 13, 12, 24, 11, 0, 40};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){1, 2, sizes[i], 8}, i + 1);
        compare(f.r, f.m, text, &x);
        tensor_unref(x);
    }
    Error e = {0};
    Tensor *more = tensor_of(DT_F32, 4, (const int64_t[]){1, 2, 41, 8}, 1);
    assert_int_equal(run_set_input(f.r, 0, more, &e), 0);
    assert_int_equal(run_execute(f.r, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "'T' is at most 40"));
    tensor_unref(more);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_sizes),
        cmocka_unit_test(constants_are_folded),
        cmocka_unit_test(large_constants_are_laid_out_in_parts),
        cmocka_unit_test(reads_across_memory_are_few),
        cmocka_unit_test(any_level_is_compiled),
        cmocka_unit_test(equal_kernels_are_compiled_once),
        cmocka_unit_test(sizes_from_data),
        cmocka_unit_test(sizes_from_data_of_equal_names),
        cmocka_unit_test(towers_become_batches),
        cmocka_unit_test(convolution_of_open_sizes),
        cmocka_unit_test(sizes_that_must_be_equal),
        cmocka_unit_test(sizes_that_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
