/* Checking layers: a right program passes, and an error that is put into one value is named where
 * it was put, though what comes after it is wrong as well. */
#include "check.h"

#include <math.h>

#include "compile/compile.h"
#include "tools/check_layers.h"

static const char text[] = "graph \"test\"\n"
                           "input x f32[2,8,9,9]\n"
                           "input w f32[16,8,3,3]\n"
                           "input v f32[16,5]\n"
                           "input i i64[3]\n"
                           "input z f32[1,32,18,18]\n"
                           "const filter f32[32,32,3,3] = 0.5\n"
                           "a = conv(x, w) \"first\"\n"
                           "b = relu(a) \"clip\"\n"
                           "p = global_average_pool(b) \"pool\"\n"
                           "f = flatten(p) \"flat\"\n"
                           "y = matmul(f, v) \"last\"\n"
                           "s = softmax(y) \"scores\" axis=1\n"
                           "j = add(i, i) \"twice\"\n"
                           "k = conv(z, filter) \"tiled\"\n"
                           "output s\n"
                           "output j\n"
                           "output k\n";

typedef struct Layers {
    Arena *arena;
    Module *m;
    Compiled c;
    CompileOptions opt;
    Tensor **got;
} Layers;

static void build_job(Context *ctx, void *arg)
{
    Layers *l = arg;
    Graph *g = graph_parse(ctx, "test", text, strlen(text));
    l->c = compile_graph(ctx, g, &l->opt);
}

/* Compiles, runs on random inputs, and takes all values. */
static Layers layers_new(bool unfused)
{
    Layers l = {
        .arena = arena_new(),
        .opt = {.target = target_native(), .threads = 2, .keep_values = true, .unfused = unfused}};
    Error e = {0};
    Arena *a = arena_new();
    if (job_run(a, build_job, &l, &e, NULL) != 0 ||
        module_new(a, l.c.program, &l.c.image, &l.m, &e) != 0)
        FAIL_MSG("%s", e.message);
    Pool *pool;
    Run *r;
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(l.m, pool, 0, &r, &e), 0);
    const Block *b = &l.c.graph->block.at[0];
    l.got = arena_array_of(l.arena, l.c.graph->value.len + 1, Tensor *);
    Tensor **in = arena_array_of(l.arena, b->input.len + 1, Tensor *);
    Tensor **out = arena_array_of(l.arena, b->output.len + 1, Tensor *);
    for (int i = 0; i < b->input.len; i++) {
        const Value *v = &l.c.graph->value.at[b->input.at[i]];
        int64_t dim[MAX_RANK];
        for (int k = 0; k < v->rank; k++)
            assert_true(expr_is_int(l.c.graph->x, v->dim[k], &dim[k]));
        in[i] = tensor_new(v->dtype, v->rank, dim, &e);
        tensor_fill_random(in[i], (uint64_t)i);
        assert_int_equal(run_set_input(r, i, in[i], &e), 0);
    }
    assert_int_equal(run_execute(r, &e), 0);
    for (int i = 0; i < b->output.len; i++)
        out[i] = run_output(r, i);
    assert_int_equal(check_take(l.c.graph, in, out, l.got, &e), 0);
    for (int i = 0; i < b->input.len; i++)
        tensor_unref(in[i]);
    run_free(r);
    pool_free(pool);
    return l;
}

static void layers_free(Layers *l)
{
    for (int v = 0; v < l->c.graph->value.len; v++)
        tensor_unref(l->got[v]);
    module_unref(l->m);
    arena_free(l->arena);
}

static CheckReport check(const Layers *l, int samples)
{
    const CheckOptions opt = {.tolerance = CHECK_ROUNDINGS, .samples = samples, .threads = 2};
    CheckReport r;
    Error e = {0};
    if (check_layers(l->arena, l->c.graph, l->got, &opt, &r, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(r.nfailed, 0);
    return r;
}

static ValueId find_value(const Layers *l, const char *name)
{
    for (int v = 0; v < l->c.graph->value.len; v++)
        if (l->got[v] && strcmp(l->c.graph->value.at[v].name, name) == 0)
            return v;
    FAIL_MSG("no value '%s'", name);
    return -1;
}

/* A right program: nothing is wrong, all elements are compared. */
static void right_layers(void **state)
{
    (void)state;
    for (int unfused = 0; unfused < 2; unfused++) {
        Layers l = layers_new(unfused);
        const CheckReport r = check(&l, 0);
        assert_int_equal(r.nbad, 0);
        assert_int_equal(r.first_bad, -1);
        if (unfused) {
            assert_int_equal(r.n, 8);
            assert_string_equal(r.layer[0].node, "first");
            assert_int_equal(r.layer[0].checked, 2 * 16 * 7 * 7);
            /* f32 and double do differ */
            assert_true(r.layer[0].max_abs > 0 && r.layer[0].worst > 0);
        }
        layers_free(&l);
    }
}

/* By Winograd's way, which is judged by the plain one. */
static void variants(void **state)
{
    (void)state;
    Layers l = layers_new(false);
    const Value *k = &l.c.graph->value.at[find_value(&l, "k")];
    assert_true(node_int(&l.c.graph->node.at[k->producer], "winograd", 0) > 0);
    const CheckReport r = check(&l, 0);
    assert_int_equal(r.nbad, 0);
    layers_free(&l);
}

/* One element of one value is wrong: that layer is named, and the element, whatever comes after. */
static void one_wrong_element(void **state)
{
    (void)state;
    static const struct {
        const char *value, *node;
    } cases[] = {{"a", "first"}, {"b", "clip"}, {"f", "flat"}, {"y", "last"}, {"s", "scores"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Layers l = layers_new(true);
        Tensor *t = l.got[find_value(&l, cases[i].value)];
        const int64_t at = tensor_elements(t) - 1;
        float *p = (float *)t->data + at;
        *p += 0.01f;
        CheckReport r = check(&l, 0);
        assert_true(r.first_bad >= 0);
        const Layer *bad = &r.layer[r.first_bad];
        assert_string_equal(bad->node, cases[i].node);
        assert_int_equal(bad->wrong, 1);
        assert_int_equal(bad->at, at);
        assert_true(bad->got == (double)*p);
        assert_true(bad->max_abs > 0.009 && bad->max_abs < 0.011);
        if (i < 4)
            assert_true(r.nbad > 1); /* its reader computed from what was there before */
        r = check(&l, 3); /* both ends are in every sample */
        assert_string_equal(r.layer[r.first_bad].node, cases[i].node);
        layers_free(&l);
    }
}

/* Integers are exact; NaN is an error where the reference has none. */
static void exact_values(void **state)
{
    (void)state;
    Layers l = layers_new(false);
    ((int64_t *)l.got[find_value(&l, "j")]->data)[1]++;
    CheckReport r = check(&l, 0);
    assert_int_equal(r.nbad, 1);
    assert_string_equal(r.layer[r.first_bad].node, "twice");
    assert_true(r.layer[r.first_bad].max_abs == 1);
    ((float *)l.got[find_value(&l, "s")]->data)[0] = (float)NAN;
    r = check(&l, 0);
    assert_int_equal(r.nbad, 2);
    layers_free(&l);
}

/* Given values: only these layers, within the tolerance. */
static void given_values(void **state)
{
    (void)state;
    Layers l = layers_new(true);
    Tensor **want = arena_array_of(l.arena, l.c.graph->value.len + 1, Tensor *);
    Error e = {0};
    const ValueId y = find_value(&l, "y"), s = find_value(&l, "s");
    for (int i = 0; i < 2; i++) {
        Tensor *from = l.got[i ? s : y];
        Tensor *t = want[i ? s : y] = tensor_new(from->dtype, from->rank, from->dim, &e);
        memcpy(t->data, from->data, from->bytes);
    }
    ((float *)want[s]->data)[2] += 0.01f;
    CheckOptions opt = {.tolerance = 1e-3, .threads = 1};
    CheckReport r;
    assert_int_equal(check_values(l.arena, l.c.graph, l.got, want, &opt, &r, &e), 0);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.nbad, 1);
    assert_string_equal(r.layer[r.first_bad].node, "scores");
    assert_string_equal(check_index(l.arena, want[s], r.layer[r.first_bad].at), "[0,2]");
    opt.tolerance = 0.1;
    assert_int_equal(check_values(l.arena, l.c.graph, l.got, want, &opt, &r, &e), 0);
    assert_int_equal(r.nbad, 0);
    tensor_unref(want[y]);
    tensor_unref(want[s]);
    layers_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_layers),
        cmocka_unit_test(variants),
        cmocka_unit_test(one_wrong_element),
        cmocka_unit_test(exact_values),
        cmocka_unit_test(given_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
