/* In place: random chains of layers give the same bits whether their temporaries may be written
 * over each other or not, and a good part of them is. Kept values (CompileOptions.keep_values) are
 * outputs, which nothing replaces: the kernels are the same. */
#include "check.h"

#include "compile/compile.h"
#include "runtime/module.h"

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

typedef struct Build {
    const char *text;
    bool keep;
    Compiled c;
} Build;

static void build_job(Context *ctx, void *arg)
{
    Build *b = arg;
    const CompileOptions opt = {.target = target_native(), .threads = 2, .keep_values = b->keep};
    b->c = compile_graph(ctx, graph_parse(ctx, "chain", b->text, strlen(b->text)), &opt);
}

static Tensor *run_chain(const char *text, bool keep, Tensor *x, int *shared)
{
    Arena *a = arena_new();
    Build b = {.text = text, .keep = keep};
    Module *m;
    Pool *pool;
    Run *r;
    Error e = {0};
    if (job_run(a, build_job, &b, &e, NULL) != 0 ||
        module_new(a, b.c.program, &b.c.image, &m, &e) != 0)
        FAIL_MSG("%s\n%s", text, e.message);
    *shared = 0;
    for (int i = 0; i < m->p->nbuffer; i++)
        *shared += m->life[i].home != i;
    assert_int_equal(pool_new(3, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    assert_int_equal(run_set_input(r, 0, x, &e), 0);
    assert_int_equal(run_set_guard(r, &e) == 0, true);
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s\n%s", text, e.message);
    run_free(r);
    assert_int_equal(run_new(m, pool, 0, &r, &e), 0);
    assert_int_equal(run_set_input(r, 0, x, &e), 0);
    for (int i = 0; i < 2; i++) /* the second run finds what the first left */
        if (run_execute(r, &e) != 0)
            FAIL_MSG("%s\n%s", text, e.message);
    Tensor *y = tensor_ref(run_output(r, 0));
    run_free(r);
    pool_free(pool);
    module_unref(m);
    return y;
}

/* Some layers, each of one or two of the values so far: sums, products, what is read twice, a
 * product of matrices, a transpose. */
static const char *random_chain(Arena *a, uint64_t *seed, int n)
{
    enum { LAYERS = 9 };
    Str s = str_new(a);
    str_addf(&s, "graph \"chain\"\ninput x f32[%d,%d]\nv0 = softmax(x) \"v0\" axis=1\n", n, n);
    for (int i = 1; i < LAYERS; i++) {
        const int from = (int)(next_random(seed) % (uint32_t)i);
        const int p = next_random(seed) % 3 ? i - 1 : from,
                  q = (int)(next_random(seed) % (uint32_t)i);
        const char *const at = i == LAYERS - 1 ? "y" : arena_printf(a, "v%d", i);
        switch (next_random(seed) % 6) {
        case 0:
            str_addf(&s, "%s = matmul(v%d, v%d) \"%s\"\n", at, p, q, at);
            break;
        case 1:
            str_addf(&s, "%s = softmax(v%d) \"%s\" axis=1\n", at, p, at);
            break;
        case 2:
            str_addf(&s, "m%d = matmul(v%d, v%d) \"m%d\"\n%s = add(m%d, v%d) \"%s\"\n", i, q, q, i,
                     at, i, p, at);
            break;
        case 3:
            str_addf(&s, "t%d = transpose(v%d) \"t%d\" perm=[1,0]\n%s = add(t%d, v%d) \"%s\"\n", i,
                     p, i, at, i, p, at);
            break;
        case 4:
            str_addf(&s, "r%d = reduce_sum(v%d) \"r%d\" keepdims=1\n%s = div(v%d, r%d) \"%s\"\n", i,
                     p, i, at, p, i, at);
            break;
        default:
            str_addf(&s, "%s = mul(v%d, v%d) \"%s\"\n", at, p, q, at);
        }
    }
    str_add(&s, "output y\n");
    return str_text(&s);
}

static void test_same_bits(void **state)
{
    (void)state;
    uint64_t seed = 7;
    int total = 0;
    for (int round = 0; round < 24; round++) {
        Arena *a = arena_new();
        /* of 17, the last tile overlaps the one before: no */
        const int n = (const int[]){24, 12, 48, 17}[round % 4];
        const char *text = random_chain(a, &seed, n);
        Error e;
        int shared, none;
        Tensor *x = tensor_new(DT_F32, 2, (const int64_t[]){n, n}, &e);
        tensor_fill_random(x, (uint64_t)round);
        Tensor *in_place = run_chain(text, false, x, &shared),
               *apart = run_chain(text, true, x, &none);
        assert_int_equal(none, 0);
        if (memcmp(in_place->data, apart->data, apart->bytes) != 0)
            FAIL_MSG("%s", text);
        total += shared;
        tensor_unref(in_place);
        tensor_unref(apart);
        tensor_unref(x);
        arena_free(a);
    }
    assert_true(total >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
