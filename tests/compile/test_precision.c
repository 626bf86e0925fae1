/* Graphs compiled in f32, bf16 and bf16-all, on random weights and inputs: close to f32 but not
 * equal to it, of the same types; weights in half the bytes; what holds no product in f32 bit by
 * bit as it was. */
#include "check.h"

#include <math.h>

#include "compile/compile.h"

/* Inputs that begin with w become constants. */
typedef struct Case {
    const char *name, *text;
    double most;    /* relative error as a vector */
    bool unchanged; /* bit by bit */
    bool halves;    /* all of its constants are weights of products whose bytes count */
} Case;

static const Case cases[] = {
    {"rows",
     "graph \"g\"\ninput x f32[3,64]\ninput w f32[64,96]\ninput w2 f32[96,32]\ninput b f32[96]\n"
     "h = matmul(x, w)\nhb = add(h, b)\nr = relu(hb)\ny = matmul(r, w2)\nz = matmul(x, w)\noutput "
     "y, z\n",
     0.02, false, true},
    {"convolutions",
     "graph \"g\"\ninput x f32[1,16,14,14]\ninput w f32[32,16,1,1]\ninput w2 f32[32,64,3,3]\n"
     "input wd f32[32,1,3,3]\n"
     "a = conv(x, w)\nb = relu(a)\nd = conv(b, wd) group=32 pads=[1,1,1,1]\nc = concat(d, b) "
     "axis=1\n"
     "y = conv(c, w2) pads=[1,1,1,1]\ns = add(y, b)\nm = max_pool(s) kernel_shape=[2,2] "
     "strides=[2,2]\n"
     "output m\n",
     0.03, false, false},
    {"moved",
     "graph \"g\"\ninput x f32[6,64]\ninput w f32[32,48]\nconst k i64[1] = 3\nconst to i64[3] = "
     "{2, 3, 32}\n"
     "e = exp(x)\nleft, right = split(e) axis=1 num_outputs=2\nq = reshape(left, to)\np = "
     "transpose(q) perm=[1,0,2]\n"
     "y = matmul(p, w)\nbest, at = top_k(left, k)\nz = mul(right, right)\noutput y, best, z\n",
     0.02, false, false},
    {"resized",
     "graph \"g\"\ninput x f32[1,32,14,14]\ninput w f32[32,32,1,1]\nconst by f32[4] = {1, 1, 2, "
     "2}\n"
     "u = resize(x, _, by) mode=\"nearest\" nearest_mode=\"floor\" "
     "coordinate_transformation_mode=\"asymmetric\"\n"
     "y = conv(u, w)\noutput y\n",
     0.02, false, false},
    {"recurrent",
     "graph \"g\"\ninput x f32[9,2,24]\ninput w f32[1,96,24]\ninput wr f32[1,96,32]\n"
     "y, h = gru(x, w, wr) hidden_size=32 linear_before_reset=1\noutput y, h\n",
     0.02, false, true},
    {"none",
     "graph \"g\"\ninput x f32[4,64]\ninput w f32[64]\ny = mul(x, w)\ns = softmax(y) axis=1\n"
     "m = reduce_mean(s) keepdims=0\noutput s, m\n",
     0, true, false},
};

typedef struct Build {
    const Case *c;
    Target target;
    Precision precision;
    Compiled out;
} Build;

static Tensor *random_of(const Graph *g, const Value *v, uint64_t seed)
{
    int64_t dim[MAX_RANK];
    Error e = {0};
    for (int k = 0; k < v->rank; k++)
        assert_true(expr_is_int(g->x, v->dim[k], &dim[k]));
    Tensor *t = tensor_new(v->dtype, v->rank, dim, &e);
    assert_non_null(t);
    tensor_fill_random(t, seed);
    return t;
}

static void build_job(Context *ctx, void *arg)
{
    Build *b = arg;
    const CompileOptions opt = {.target = b->target, .threads = 2, .precision = b->precision};
    Graph *g = graph_parse(ctx, "precision", b->c->text, strlen(b->c->text));
    Block *block = &g->block.at[0];
    int n = 0;
    for (int i = 0; i < block->input.len; i++) {
        Value *v = &g->value.at[block->input.at[i]];
        if (v->name[0] != 'w') {
            block->input.at[n++] = block->input.at[i];
            continue;
        }
        v->constant = random_of(g, v, 100 + (uint64_t)i);
        tensor_defer(ctx->arena, v->constant);
    }
    block->input.len = n;
    b->out = compile_graph(ctx, g, &opt);
}

typedef struct Result {
    int n;
    Tensor *out[4];
    size_t constants; /* bytes */
} Result;

static Result run_case(const Case *c, Precision precision)
{
    Arena *a = arena_new(); /* the module's */
    Build b = {.c = c, .target = target_native(), .precision = precision};
    Error e = {0};
    Module *m;
    Pool *pool;
    Run *r;
    if (job_run(a, build_job, &b, &e, NULL) != 0)
        FAIL_MSG("%s in %s: %s", c->name, precision_name(precision), e.message);
    assert_int_equal(module_new(a, b.out.program, &b.out.image, &m, &e), 0);
    assert_int_equal(pool_new(2, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    Result result = {.n = b.out.program->noutput};
    const Graph *g = b.out.graph;
    for (int i = 0; i < b.out.program->ninput; i++) {
        Tensor *x = random_of(g, &g->value.at[g->block.at[0].input.at[i]], (uint64_t)i);
        assert_int_equal(run_set_input(r, i, x, &e), 0);
        tensor_unref(x);
    }
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s: %s", c->name, e.message);
    for (int i = 0; i < result.n; i++)
        result.out[i] = tensor_ref(run_output(r, i));
    for (int i = 0; i < b.out.program->nconst; i++)
        result.constants += (size_t)b.out.program->constant[i].bytes;
    run_free(r);
    pool_free(pool);
    module_unref(m);
    return result;
}

static void compare(const Case *c, Precision precision, const Result *got, const Result *want)
{
    double worst = 0;
    assert_int_equal(got->n, want->n);
    for (int i = 0; i < got->n; i++) {
        const Tensor *x = got->out[i], *y = want->out[i];
        double error = 0, length = 0;
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->bytes, y->bytes);
        for (int64_t k = 0; k < tensor_elements(y); k++) {
            const double u = ((const float *)x->data)[k], v = ((const float *)y->data)[k];
            error += (u - v) * (u - v);
            length += v * v;
        }
        const double relative = sqrt(error / length);
        worst = relative > worst ? relative : worst;
    }
    if (!(worst <= c->most) || (worst == 0) != c->unchanged)
        FAIL_MSG("%s in %s: off by %g", c->name, precision_name(precision), worst);
    if (c->halves && !(got->constants < 0.6 * (double)want->constants))
        FAIL_MSG("%s in %s: %zu bytes of constants, in f32 %zu", c->name, precision_name(precision),
                 got->constants, want->constants);
}

static void release(Result *r)
{
    for (int i = 0; i < r->n; i++)
        tensor_unref(r->out[i]);
}

static void test_precisions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Result want = run_case(&cases[i], PRECISION_F32);
        Result all = run_case(&cases[i], PRECISION_BF16_ALL);
        compare(&cases[i], PRECISION_BF16_ALL, &all, &want);
        release(&all);
        if (cases[i].halves || cases[i].unchanged) {
            Result some = run_case(&cases[i], PRECISION_BF16);
            compare(&cases[i], PRECISION_BF16, &some, &want);
            release(&some);
        }
        release(&want);
    }
}

/* Kernels, by what multiplies in them, of the first case that has a convolution of two inputs. */
static void count_products(const char *target, Precision precision, int *count)
{
    Arena *a = arena_new();
    Build b = {.c = &cases[1], .precision = precision};
    Error e = {0};
    assert_int_equal(target_find(target, &b.target, &e), 0);
    if (job_run(a, build_job, &b, &e, NULL) != 0)
        FAIL_MSG("%s: %s", target, e.message);
    for (int i = 0; i < b.out.program->nkernel; i++) {
        assert_int_equal(b.out.program->kernel[i].product, b.out.report->kernel[i].product);
        count[b.out.report->kernel[i].product]++;
    }
    arena_free(a);
}

static void kernels_say_what_multiplies(void **state)
{
    (void)state;
    int f32[PEAK_PRODUCTS] = {0}, plain[PEAK_PRODUCTS] = {0}, tiles[PEAK_PRODUCTS] = {0};
    count_products("amx", PRECISION_F32, f32);
    count_products("avx2", PRECISION_BF16_ALL, plain);
    count_products("amx", PRECISION_BF16_ALL, tiles);
    for (int p = 0; p < PEAK_PRODUCTS; p++)
        assert_true((f32[p] > 0) == (p == PEAK_F32) && (plain[p] > 0) == (p == PEAK_F32));
    assert_true(tiles[PEAK_TILE_BF16] > 0 && tiles[PEAK_F32] > 0 && tiles[PEAK_TILE_INT8] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_precisions),
                                       cmocka_unit_test(kernels_say_what_multiplies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
