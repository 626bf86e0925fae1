/* What is not folded, and what is refused: memory and work have limits, in a run, too. */
#include "against_reference.h"

/* What is too large to be computed here is left to the run: a fold must not take what a few bytes
 * ask for. */
static void large_constants_are_not_folded(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"large\"\ninput x f32[4,6]\nconst one f32[1] = 1.0\nconst s i64[2] = {2500,2000}\n"
        "const t i64[2] = {4,6}\nb = expand(one, s) \"b\"\nm = reduce_max(b) \"m\" keepdims=0\n"
        "e = expand(one, t) \"e\"\nu = mul(x, e) \"u\"\ny = add(u, m) \"y\"\noutput y\n");
    assert_int_equal(f.b.c.report->folded, 1);
    check2(&f, 4, 6);
    finish(&f);
}

/* A window of 4e10 points around a small image: little memory, much work. */
static void long_work_is_not_folded(void **state)
{
    (void)state;
    Built b = {.text = "graph \"window\"\nconst x f32[1,1,8,8] = 1.0\n"
                       "y, _ = max_pool(x) \"p\" kernel_shape=[200000,200000] "
                       "pads=[99999,99999,99999,99999]\noutput y\n"};
    Module *m = build(&b);
    assert_int_equal(b.c.report->folded, 0);
    module_unref(m);
}

static void refuse(const char *text, int64_t limit, const char *want)
{
    Arena *a = arena_new();
    Built b = {.text = text, .memory_limit = limit};
    const int code = job_run(a, build_job, &b, &b.error, NULL);
    arena_free(a);
    assert_int_equal(code, ERR_MEMORY);
    if (!strstr(b.error.message, want))
        give_up("'%s' is not in: %s", want, b.error.message);
}

static void memory_has_a_limit(void **state)
{
    (void)state;
    refuse("graph \"in\"\ninput x f32[2147483648,4]\ny = relu(x) \"r\"\noutput y\n", 1 << 20,
           "input: x f32[2147483648,4] needs 34359738368 bytes, more than the limit of 1048576");
    refuse("graph \"out\"\ninput x f32[1024,1]\ninput z f32[1,1024]\ny = mul(x, z) "
           "\"outer\"\noutput y\n",
           1 << 20,
           "mul 'outer' (x f32[1024,1], z f32[1,1024]): y f32[1024,1024] needs 4194304 bytes");
    refuse("graph \"over\"\ninput x f32[4611686018427387904,4]\ny = relu(x) \"r\"\noutput y\n", 0,
           "needs over ");
}

/* Little memory, but more steps than any machine makes. */
static void work_has_a_limit(void **state)
{
    (void)state;
    refuse("graph \"lrn\"\ninput x f32[5,5,5,5]\ny = lrn(x) \"norm\" "
           "size=4611686018427387904\noutput y\n",
           0, "lrn 'norm' (x f32[5,5,5,5]): needs 2.88e+21 steps, more than the limit of 1.13e+15");
}

/* Sizes that are open when compiling are looked at before a run takes memory. */
static void a_run_has_a_limit(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"outer\"\nsym M 0 100000\ninput x f32[M,1]\nt = transpose(x) \"t\" perm=[1,0]\n"
        "y = matmul(x, t) \"product\"\noutput y\n");
    Error e = {0};
    Tensor *x = random2(1000, 1, 1);
    run_set_limit(f.r, 1 << 20);
    assert_int_equal(run_set_input(f.r, 0, x, &e), 0);
    assert_int_equal(run_execute(f.r, &e), ERR_MEMORY);
    assert_non_null(strstr(e.message, "more than the limit of 1048576"));
    assert_non_null(strstr(e.message, "node 'product', is f32[1000,1000], 4000000 bytes"));
    tensor_unref(x);
    check2(&f, 100, 1); /* the run is still good */
    run_set_limit(f.r, 0);
    check2(&f, 1000, 1);
    finish(&f);
}

/* The same where the size comes from data: a list that a loop makes. */
static void data_has_a_limit(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"grow\"\ninput n i64[]\ninput x f32[1000]\n"
        "l, k = loop(n, _, x) \"l\" {\n    input i i64[]\n    input go bool[]\n    input acc\n"
        "    next = neg(acc) \"next\"\n    keep = identity(go) \"keep\"\n"
        "    output keep, next, next\n}\nm = neg(k) \"m\"\noutput l, m\n");
    Error e = {0};
    Tensor *n = tensor_of(DT_I64, 0, NULL, 0),
           *x = tensor_of(DT_F32, 1, (const int64_t[]){1000}, 7);
    *(int64_t *)n->data = (int64_t)1 << 40;
    run_set_limit(f.r, 1 << 20);
    assert_int_equal(run_set_input(f.r, 0, n, &e), 0);
    assert_int_equal(run_set_input(f.r, 1, x, &e), 0);
    assert_int_equal(run_execute(f.r, &e), ERR_MEMORY);
    assert_non_null(strstr(e.message, "more than the limit of 1048576"));
    if (!strstr(e.message, "'l': "))
        give_up("%s", e.message);
    tensor_unref(n);
    tensor_unref(x);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_constants_are_not_folded),
        cmocka_unit_test(long_work_is_not_folded),
        cmocka_unit_test(memory_has_a_limit),
        cmocka_unit_test(work_has_a_limit),
        cmocka_unit_test(a_run_has_a_limit),
        cmocka_unit_test(data_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
