/* The same bits whatever the number of threads: reductions that are shared among them have a number
 * of parts that does not depend on it. Groups with long sums, and whole small models. */
#include "check.h"

#include "compile/compile.h"
#include "import/onnx.h"

enum { MAX_IN = 3 };

typedef struct Model {
    const char *name;
    const char *text; /* of the graph; NULL: the file of this name */
    struct {
        int rank;
        int64_t dim[4];
    } in[MAX_IN];
} Model;

static const Model models[] = {
    {"gemm", "graph \"gemm\"\ninput a f32[3,9001]\ninput b f32[9001,5]\n"
             "y = matmul(a, b) \"y\"\noutput y\n",
     {{2, {3, 9001}}, {2, {9001, 5}}}},
    {"free gemm", "graph \"gemm\"\nsym M 1 100000\nsym K 1 100000\nsym N 1 100000\n"
                  "input a f32[M,K]\ninput b f32[K,N]\ny = matmul(a, b) \"y\"\noutput y\n",
     {{2, {7, 4099}}, {2, {4099, 19}}}},
    {"sum of all", "graph \"sum\"\nsym M 1 100000\nsym N 1 100000\ninput x f32[M,N]\n"
                   "e = exp(x) \"e\"\ny = reduce_sum(e) \"y\" keepdims=0\n"
                   "z = reduce_l2(x) \"z\" keepdims=0\nm = reduce_max(x) \"m\" keepdims=0\n"
                   "output y, z, m\n",
     {{2, {611, 127}}}},
    {"sum of columns", "graph \"sum\"\nconst axes i64[1] = {0}\ninput x f32[4099,13]\n"
                       "y = reduce_mean(x, axes) \"y\" keepdims=0\noutput y\n",
     {{2, {4099, 13}}}},
    {"softmax", "graph \"softmax\"\nsym N 1 100000\ninput x f32[2,N]\n"
                "y = softmax(x) \"y\" axis=-1\nz = log_softmax(x) \"z\" axis=-1\noutput y, z\n",
     {{2, {2, 10007}}}},
    {"conv", "graph \"conv\"\ninput x f32[1,67,9,11]\ninput w f32[5,67,3,3]\n"
             "a = conv(x, w) \"a\" pads=[1,1,1,1]\ny = relu(a) \"y\"\n"
             "p = global_average_pool(y) \"p\"\noutput y, p\n",
     {{4, {1, 67, 9, 11}}, {4, {5, 67, 3, 3}}}},
    {"attention", "graph \"attention\"\nsym T 1 1000\ninput x f32[T,64]\ninput w f32[64,64]\n"
                  "input s f32[64]\n"
                  "n = layer_normalization(x, s) \"n\" axis=-1\nq = matmul(n, w) \"q\"\n"
                  "t = transpose(n) \"t\" perm=[1,0]\na = matmul(q, t) \"a\"\n"
                  "p = softmax(a) \"p\" axis=-1\nv = matmul(p, n) \"v\"\ny = add(v, x) \"y\"\n"
                  "output y\n",
     {{2, {149, 64}}, {2, {64, 64}}, {1, {64}}}},
    {"classify.onnx", NULL, {{4, {3, 3, 41, 37}}}},
};
enum { MODELS = sizeof models / sizeof models[0] };

typedef struct Build {
    const Model *model;
    int threads;
    Compiled c;
} Build;

static void build_job(Context *ctx, void *arg)
{
    Build *b = arg;
    const CompileOptions opt = {.target = target_native(), .threads = b->threads};
    const char *text = b->model->text;
    Graph *g = text ? graph_parse(ctx, b->model->name, text, strlen(text))
                    : onnx_import(ctx, arena_printf(ctx->arena, TEST_DIR "/data/%s",
                                                    b->model->name), NULL);
    b->c = compile_graph(ctx, g, &opt);
}

static Module *build(const Model *model, int threads)
{
    Arena *a = arena_new();
    Build b = {.model = model, .threads = threads};
    Module *m = NULL;
    Error e = {0};
    if (job_run(a, build_job, &b, &e, NULL) != 0 ||
        module_new(a, b.c.program, &b.c.image, &m, &e) != 0)
        FAIL_MSG("%s: %s", model->name, e.message);
    return m;
}

/* Runs on a pool of its own; the outputs are the caller's. */
static int run_with(const Model *model, Module *m, int threads, Tensor **in, Tensor **out)
{
    Error e = {0};
    Pool *pool;
    Run *r;
    const int n = module_program(m)->noutput;
    if (pool_new(threads, &pool, &e) != 0 || run_new(m, pool, threads, &r, &e) != 0)
        FAIL_MSG("%s", e.message);
    for (int i = 0; i < module_program(m)->ninput; i++)
        assert_int_equal(run_set_input(r, i, in[i], &e), 0);
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s: %s", model->name, e.message);
    for (int i = 0; i < n; i++)
        out[i] = tensor_ref(run_output(r, i));
    run_free(r);
    pool_free(pool);
    return n;
}

static void test_model(void **state)
{
    static const int counts[] = {1, 2, 3, 7};
    const Model *const model = *state;
    Tensor *in[MAX_IN] = {0}, *out[4][4];
    Error e;
    for (int i = 0; i < MAX_IN && model->in[i].rank; i++) {
        in[i] = tensor_new(DT_F32, model->in[i].rank, model->in[i].dim, &e);
        tensor_fill_random(in[i], (uint64_t)i + 3);
    }
    /* how it is compiled is no matter either */
    Module *const m[2] = {build(model, 1), build(model, 4)};
    int n = 0;
    for (int k = 0; k < 4; k++)
        n = run_with(model, m[k % 2], counts[k], in, out[k]);
    module_unref(m[0]);
    module_unref(m[1]);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < n; i++) {
            assert_int_equal(out[k][i]->bytes, out[0][i]->bytes);
            if (memcmp(out[k][i]->data, out[0][i]->data, out[0][i]->bytes) != 0)
                FAIL_MSG("%s: output %d differs with %d threads", model->name, i, counts[k]);
        }
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < n; i++)
            tensor_unref(out[k][i]);
    for (int i = 0; i < MAX_IN && in[i]; i++)
        tensor_unref(in[i]);
}

int main(void)
{
    struct CMUnitTest tests[MODELS];
    for (int k = 0; k < MODELS; k++)
        tests[k] = (struct CMUnitTest){.name = models[k].name, .test_func = test_model,
                                       .initial_state = (void *)&models[k]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
