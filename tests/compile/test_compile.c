/* Graphs through the whole pipeline against the reference executor: shapes that change, folding,
 * equal kernels, control flow, sizes from data, any number of threads. */
#include "check.h"

#include <stdio.h>

#include "compile/compile.h"
#include "op/op.h"
#include "op/reference.h"

/* Ends the test with a message. */
#define give_up(...)                                                                               \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        assert_true(false);                                                                        \
    } while (0)

typedef struct Built {
    const char *text;
    int64_t memory_limit;
    const char *level; /* of the target; NULL: this machine */
    Compiled c;
    Error error;
} Built;

static CompileOptions options(void)
{
    return (CompileOptions){.target = target_native(), .threads = 2};
}

static void build_job(Context *ctx, void *arg)
{
    Built *b = arg;
    CompileOptions opt = options();
    opt.memory_limit = b->memory_limit;
    if (b->level)
        assert_int_equal(target_find(b->level, &opt.target, &b->error), 0);
    Graph *g = graph_parse(ctx, "test", b->text, strlen(b->text));
    b->c = compile_graph(ctx, g, &opt);
}

static Module *build(Built *b)
{
    Arena *a = arena_new();
    Module *m;
    if (job_run(a, build_job, b, &b->error, NULL) != 0)
        give_up("%s", b->error.message);
    if (module_new(a, b->c.program, &b->c.image, &m, &b->error) != 0)
        give_up("%s", b->error.message);
    return m;
}

typedef struct Want {
    const char *text;
    Tensor *const *in;
    Tensor *out[8];
} Want;

static void reference_job(Context *ctx, void *arg)
{
    Want *w = arg;
    Graph *g = graph_parse(ctx, "test", w->text, strlen(w->text));
    op_infer_graph(g);
    reference_run(ctx, g, w->in, w->out);
}

/* Runs with these inputs and compares all outputs with the reference's. */
static void compare(Run *r, const Module *m, const char *text, Tensor *const *in)
{
    Arena *a = arena_new();
    Want w = {.text = text, .in = in};
    Error e = {0};
    if (job_run(a, reference_job, &w, &e, NULL) != 0)
        give_up("reference: %s", e.message);
    for (int i = 0; i < module_program(m)->ninput; i++)
        if (run_set_input(r, i, in[i], &e) != 0)
            give_up("%s", e.message);
    if (run_execute(r, &e) != 0)
        give_up("%s", e.message);
    for (int i = 0; i < module_program(m)->noutput; i++) {
        /* by Winograd's way terms may cancel that are larger than those of the plain sum */
        const TensorDiff d = tensor_compare(run_output(r, i), w.out[i], 1e-5, 1e-5);
        if (!d.same_type || !d.same_shape || d.mismatches)
            give_up("output %d: %s, expected %s, %lld differ", i,
                    tensor_describe(a, run_output(r, i)), tensor_describe(a, w.out[i]),
                    (long long)d.mismatches);
        tensor_unref(w.out[i]);
    }
    arena_free(a);
}

static Tensor *tensor_of(DType t, int rank, const int64_t *dims, uint64_t seed)
{
    Error e;
    Tensor *x = tensor_new(t, rank, dims, &e);
    tensor_fill_random(x, seed);
    return x;
}

/* f32 of one size. */
static Tensor *random2(int64_t m, int64_t n, uint64_t seed)
{
    return tensor_of(DT_F32, 2, (const int64_t[]){m, n}, seed);
}

typedef struct Fixture {
    Built b;
    Module *m;
    Pool *pool;
    Run *r;
} Fixture;

static Fixture fixture(const char *text)
{
    Fixture f = {.b.text = text};
    Error e;
    f.m = build(&f.b);
    assert_int_equal(pool_new(3, &f.pool, &e), 0);
    assert_int_equal(run_new(f.m, f.pool, 0, &f.r, &e), 0);
    return f;
}

static void finish(Fixture *f)
{
    run_free(f->r);
    pool_free(f->pool);
    module_unref(f->m);
}

static void check2(Fixture *f, int64_t m, int64_t n)
{
    Tensor *x = random2(m, n, (uint64_t)(m * 100 + n));
    compare(f->r, f->m, f->b.text, &x);
    tensor_unref(x);
}

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

static void branches(void **state)
{
    (void)state;
    const char *text = "graph \"if\"\ninput c bool[]\ninput x f32[4,5]\n"
                       "y = if(c) \"choose\" {\n    a = relu(x)\n    output a\n} {\n    b = "
                       "exp(x)\n    output b\n}\n"
                       "z = neg(y) \"z\"\noutput z\n";
    Fixture f = fixture(text);
    for (int side = 0; side < 2; side++) {
        Tensor *in[2] = {tensor_of(DT_BOOL, 0, NULL, 0), random2(4, 5, 7)};
        *(uint8_t *)in[0]->data = (uint8_t)side;
        compare(f.r, f.m, text, in);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    finish(&f);
}

/* Fibonacci by a loop whose state grows a collected list; the count comes at run time. */
static void counted_loop(void **state)
{
    (void)state;
    const char *text =
        "graph \"loop\"\ninput n i64[]\ninput x f32[3]\n"
        "l, k = loop(n, _, x) \"l\" {\n    input i i64[]\n    input go bool[]\n    input acc\n"
        "    f = cast(i) \"f\" to=1\n    next = add(acc, f) \"next\"\n    keep = identity(go) "
        "\"keep\"\n"
        "    output keep, next, next\n}\nm = neg(k) \"m\"\noutput l, m\n";
    Fixture f = fixture(text);
    for (int64_t n = 0; n < 6; n += 5) {
        Tensor *in[2] = {tensor_of(DT_I64, 0, NULL, 0),
                         tensor_of(DT_F32, 1, (const int64_t[]){3}, 7)};
        *(int64_t *)in[0]->data = n;
        compare(f.r, f.m, text, in);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    finish(&f);
}

/* A loop that only its condition ends, with the list of what it went through. */
#define WHILE_BODY                                                                                 \
    " x) \"w\" {\n    input i i64[]\n    input go bool[]\n    input acc\n"                         \
    "    next = add(acc, one) \"next\"\n    top = reduce_max(next) \"top\" keepdims=0\n"           \
    "    more = less(top, end) \"more\"\n    square = mul(next, next) \"square\"\n"

static const char while_list[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "l, k = loop(_, c," WHILE_BODY
    "    output more, next, square\n}\nm = neg(k) \"m\"\noutput l, m\n";
static const char while_state[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "l = loop(_, c," WHILE_BODY "    output more, next\n}\noutput l\n";
static const char while_always_begun[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "const yes bool[] = 1\nl = loop(_, yes," WHILE_BODY "    output more, next\n}\noutput l\n";
static const char while_never_begun[] = "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst "
                                        "one f32[] = 1.0\nconst end f32[] = 6.0\n"
                                        "const no bool[] = 0\nl, k = loop(_, no," WHILE_BODY
                                        "    output more, next, square\n}\noutput l, k\n";
/* The iterations of the loop within differ in number, and so do the lists that it makes. */
static const char while_in_while[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "a, b = loop(_, c, x) \"outer\" {\n    input j i64[]\n    input on bool[]\n    input state\n"
    "    s = reduce_max(state) \"s\" keepdims=0\n    again = less(s, end) \"again\"\n"
    "    l, k = loop(_, c, state) \"w\" {\n        input i i64[]\n        input go bool[]\n        "
    "input acc\n"
    "        next = add(acc, one) \"next\"\n        top = reduce_max(next) \"top\" keepdims=0\n"
    "        more = less(top, end) \"more\"\n        output more, next, next\n    }\n"
    "    t = reduce_sum(k) \"t\" keepdims=0\n    output again, l, t\n}\nm = neg(b) \"m\"\noutput "
    "a, m\n";

static void loops_without_a_count(void **state)
{
    (void)state;
    const char *const all[] = {while_list, while_state, while_always_begun, while_never_begun,
                               while_in_while};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        Fixture f = fixture(all[k]);
        for (int i = 0; i < 4; i++) { /* begun or not, with few and with many iterations */
            const float first = i < 2 ? 0 : 4;
            Tensor *in[2] = {tensor_of(DT_BOOL, 0, NULL, 0),
                             tensor_of(DT_F32, 1, (const int64_t[]){3}, 7)};
            *(uint8_t *)in[0]->data = (uint8_t)(i & 1);
            ((float *)in[1]->data)[1] = first;
            compare(f.r, f.m, all[k], in);
            tensor_unref(in[0]);
            tensor_unref(in[1]);
        }
        finish(&f);
    }
}

/* A running sum along the second axis, backwards, with the results put together along the second
 * axis too. */
static void scan_along_an_axis(void **state)
{
    (void)state;
    Fixture f =
        fixture("graph \"scan\"\nsym M 0 100\nsym N 0 100\ninput x f32[M,N]\nconst zero f32[] = "
                "0.0\nconst axes i64[1] = {1}\n"
                "s = reduce_sum(x, axes) \"s\" keepdims=0\nstart = mul(s, zero) \"start\"\n"
                "e, c = scan(start, x) \"scan\" num_scan_inputs=1 scan_input_axes=[1] "
                "scan_input_directions=[1] "
                "scan_output_axes=[1] {\n    input acc\n    input part\n"
                "    next = add(acc, part) \"next\"\n    output next, next\n}\noutput e, c\n");
    check2(&f, 4, 7);
    check2(&f, 3, 1);
    finish(&f);
}

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

static int count_kernels(const Fixture *f)
{
    const Program *p = module_program(f->m);
    int n = 0;
    for (int i = 0; i < p->nstep; i++)
        n += p->step[i].code == PSTEP_KERNEL;
    return n;
}

/* Concats, splits, slices and reshapes of rows cost nothing; a matmul reads a part and writes
 * one. */
static void views_of_rows(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"rows\"\nsym M 0 100\ninput x f32[M,6]\nconst w f32[8,5] = {"
        "1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4}\n"
        "const b i64[1] = {1}\nconst e i64[1] = {9}\n"
        "const k i64[1] = {1}\nconst v f32[8,8] = 0.125\n"
        "a = relu(x)\nc = exp(x)\nd = concat(a, c, x) axis=1\n" /* two in place, one copied: 3 */
        "g = abs(d)\nh = tanh(d)\nj, l = split(g) axis=1 num_outputs=2\n" /* 2 */
        "q = mul(j, l)\n"                                                 /* 1 */
        "s = slice(h, b, e, k)\nt = matmul(s, w)\n"                       /* 1 */
        "u = matmul(s, v)\nn = concat(t, u) axis=1\no = neg(n)\n" /* u is a part of t's product, n
                                                                     is that product: 1 */
        "output q, o, j\n");                                      /* j is copied out: 1 */
    check2(&f, 5, 6);
    check2(&f, 1, 6);
    check2(&f, 33, 6);
    assert_int_equal(count_kernels(&f), 8);
    finish(&f);
}

/* The same for images whose channels lie in blocks, and a reshape. */
static void views_of_images(void **state)
{
    (void)state;
    const char *text = "graph \"images\"\ninput x f32[2,3,9,9]\nconst w f32[16,3,3,3] = "
                       "0.125\nconst v f32[32,3,3,3] = 0.25\n"
                       "const u f32[16,48,1,1] = 0.0625\nconst t f32[16,16,1,1] = 0.5\n"
                       "a = conv(x, w)\nb = conv(x, v)\nc = concat(a, b) axis=1\nd = conv(c, u)\n"
                       "e, f, g = split(c) axis=1 num_outputs=3\nh = conv(f, t)\ni = max_pool(g) "
                       "kernel_shape=[3,3] pads=[1,1,1,1]\n"
                       "j = concat(h, i) axis=1\nk = relu(j)\nl = add(e, d)\noutput k, l\n";
    Fixture f = fixture(text);
    Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 3, 9, 9}, 5);
    compare(f.r, f.m, text, &x);
    assert_int_equal(count_kernels(&f), 5); /* a with b, h, d with the add; a pool, a relu */
    tensor_unref(x);
    finish(&f);
}

/* Dense blocks: what is computed joins all that was before; parts are read before the whole is
 * complete. */
static void views_of_dense_blocks(void **state)
{
    (void)state;
    const char *text =
        "graph \"dense\"\ninput x f32[2,3,14,14]\nconst w f32[16,3,3,3] = 0.125\nconst v1 "
        "f32[8,16,1,1] = 0.25\n"
        "const v2 f32[8,24,3,3] = 0.0625\nconst v3 f32[8,32,1,1] = 0.125\n"
        "a = conv(x, w)\nar = relu(a)\nb = conv(ar, v1)\nc = concat(a, b) axis=1\ncr = sin(c)\n"
        "d = conv(cr, v2) pads=[1,1,1,1]\ne = concat(a, b, d) axis=1\nf = cos(e)\ng = conv(f, v3)\n"
        "h = concat(a, b, d, g) axis=1\ni = relu(h)\nj = exp(c)\noutput i, j\n";
    Fixture f = fixture(text);
    Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 3, 14, 14}, 7);
    compare(f.r, f.m, text, &x);
    assert_int_equal(count_kernels(&f), 9); /* no concat */
    tensor_unref(x);
    finish(&f);
}

typedef struct RandomViews {
    uint64_t state;
    Str text;
    int nvalues, channels[32]; /* of values v0.. */
} RandomViews;

static int draw_below(RandomViews *r, int n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)n);
}

/* Appends a node: a concat of up to four values, both halves of one, or something computed. */
static void random_node(RandomViews *r)
{
    static const char *ops[] = {"relu", "neg", "sin", "abs"};
    const int kind = draw_below(r, 5), v = draw_below(r, r->nvalues), c = r->channels[v];
    if (kind < 3) {
        const int base = r->nvalues < 6 ? 0 : draw_below(r, r->nvalues - 5),
                  parts = 2 + draw_below(r, 3);
        int sum = 0;
        str_addf(&r->text, "v%d = concat(", r->nvalues);
        for (int k = 0; k < parts; k++) { /* mostly in order, as in a dense block */
            const int in = draw_below(r, 6) ? (base + k) % r->nvalues : draw_below(r, r->nvalues);
            str_addf(&r->text, "%sv%d", k ? ", " : "", in);
            sum += r->channels[in];
        }
        str_add(&r->text, ") axis=1\n");
        r->channels[r->nvalues++] = sum;
    } else if (kind == 3 && c % 2 == 0) {
        str_addf(&r->text, "v%d, v%d = split(v%d) axis=1 num_outputs=2\n", r->nvalues,
                 r->nvalues + 1, v);
        r->channels[r->nvalues++] = c / 2;
        r->channels[r->nvalues++] = c / 2;
    } else {
        str_addf(&r->text, "v%d = %s(v%d)\n", r->nvalues, ops[draw_below(r, 4)], v);
        r->channels[r->nvalues++] = c;
    }
}

/* Concats and splits of concats and splits, in any order: the same values. */
static void random_views(void **state)
{
    (void)state;
    int views = 0;
    for (int seed = 1; seed <= 12; seed++) {
        RandomViews r = {.state = (uint64_t)seed * 977, .nvalues = 3, .channels = {2, 4, 2}};
        Arena *arena = arena_new();
        r.text = str_new(arena);
        str_add(
            &r.text,
            "graph \"random\"\ninput x f32[2,8,3]\nconst s i64[3] = {2,4,2}\n"
            "y = exp(x)\na, b, c = split(y, s) axis=1\nv0 = relu(a)\nv1 = neg(b)\nv2 = sin(c)\n");
        while (r.nvalues < 14) {
            random_node(&r);
        }
        str_addf(&r.text, "o = neg(v%d)\np = abs(v%d)\noutput o, p, v%d\n", r.nvalues - 1,
                 r.nvalues - 2, r.nvalues - 3);
        Fixture f = fixture(str_text(&r.text));
        Tensor *x = tensor_of(DT_F32, 3, (const int64_t[]){2, 8, 3}, seed);
        compare(f.r, f.m, str_text(&r.text), &x);
        for (int v = 0; v < f.b.c.graph->value.len; v++) {
            views += f.b.c.graph->value.at[v].within >= 0;
        }
        tensor_unref(x);
        finish(&f);
        arena_free(arena);
    }
    assert_true(views > 40);
}

/* Borders that are part of the array, read by several convolutions, with other readers and writers
 * around; the same values when memory was used before. */
static void borders_in_place(void **state)
{
    (void)state;
    const char *text =
        "graph \"borders\"\ninput x f32[2,8,33,31]\nconst one f32[16,8,1,1] = 0.5\nconst b f32[16] "
        "= 1\n"
        "const dw f32[16,1,3,3] = 0.25\nconst w f32[8,16,3,3] = 0.125\nconst v f32[16,1,5,5] = "
        "0.0625\n"
        "a = conv(x, one, b)\nr = sin(a)\nc = conv(r, dw) group=16 pads=[1,1,1,1]\n"
        "d = conv(r, w) pads=[1,1,1,1] strides=[2,2]\ne = conv(r, w) pads=[0,2,1,0]\n"
        "f = conv(r, v) group=16 auto_pad=\"SAME_UPPER\" strides=[2,2]\ng = conv(r, w)\n"
        "h = concat(r, c) axis=1\ni = cos(h)\nj = conv(c, dw) group=16 pads=[1,1,1,1]\noutput d, "
        "e, f, g, i, j\n";
    Fixture f = fixture(text);
    for (int seed = 1; seed < 4; seed++) {
        Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 8, 33, 31}, seed);
        compare(f.r, f.m, text, &x);
        tensor_unref(x);
    }
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_sizes),
        cmocka_unit_test(borders_in_place),
        cmocka_unit_test(constants_are_folded),
        cmocka_unit_test(large_constants_are_laid_out_in_parts),
        cmocka_unit_test(reads_across_memory_are_few),
        cmocka_unit_test(any_level_is_compiled),
        cmocka_unit_test(equal_kernels_are_compiled_once),
        cmocka_unit_test(sizes_from_data),
        cmocka_unit_test(sizes_from_data_of_equal_names),
        cmocka_unit_test(towers_become_batches),
        cmocka_unit_test(branches),
        cmocka_unit_test(counted_loop),
        cmocka_unit_test(loops_without_a_count),
        cmocka_unit_test(scan_along_an_axis),
        cmocka_unit_test(large_constants_are_not_folded),
        cmocka_unit_test(long_work_is_not_folded),
        cmocka_unit_test(memory_has_a_limit),
        cmocka_unit_test(work_has_a_limit),
        cmocka_unit_test(a_run_has_a_limit),
        cmocka_unit_test(data_has_a_limit),
        cmocka_unit_test(convolution_of_open_sizes),
        cmocka_unit_test(sizes_that_must_be_equal),
        cmocka_unit_test(sizes_that_have_a_bound),
        cmocka_unit_test(views_of_rows),
        cmocka_unit_test(views_of_images),
        cmocka_unit_test(views_of_dense_blocks),
        cmocka_unit_test(random_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
