/* Constants that go while they are laid out for the kernels: results stay, what the program reads
 * as it is stays too. */
#include "run_module.h"

typedef struct Spend {
    bool spend;
    Compiled c;
    const Tensor *weight, *table;
} Spend;

static const char text[] =
    "graph \"spend\"\ninput x f32[40,96]\nconst w f32[96,80] = 1.0\nconst t f32[7,80] = 2.0\n"
    "const i i64[40] = 3\nm = matmul(x, w)\ng = gather(t, i) axis=0\ny = add(m, g)\noutput y\n";

static void compile_job(Context *ctx, void *arg)
{
    Spend *s = arg;
    Graph *g = graph_parse(ctx, "spend", text, strlen(text));
    set_constant(g, "w", random_tensor(2, (const int64_t[]){96, 80}, 5));
    set_constant(g, "t", random_tensor(2, (const int64_t[]){7, 80}, 6));
    for (int v = 0; v < g->value.len; v++) {
        Tensor *t = g->value.at[v].constant;
        if (!t)
            continue;
        t->spendable = true; /* as an importer says of its own */
        if (strcmp(g->value.at[v].name, "w") == 0)
            s->weight = t;
        if (strcmp(g->value.at[v].name, "t") == 0)
            s->table = t;
    }
    const CompileOptions opt = {
        .target = target_native(), .threads = 2, .spend_constants = s->spend};
    s->c = compile_graph(ctx, g, &opt);
}

static Tensor *result(Spend *s)
{
    Error e = {0};
    Module *m;
    Arena *a = arena_new();
    if (job_run(a, compile_job, s, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(s->c.report->relaid, 1);
    assert_non_null(s->table->data);
    assert_int_equal(s->weight->data == NULL, s->spend);
    assert_int_equal(module_new(a, s->c.program, &s->c.image, &m, &e), 0);
    Tensor *x = random_tensor(2, (const int64_t[]){40, 96}, 7);
    Tensor *y = run_on(m, 2, 1, &x);
    tensor_unref(x);
    module_unref(m);
    return y;
}

static void constants_go(void **state)
{
    (void)state;
    Tensor *kept = result(&(Spend){.spend = false}), *spent = result(&(Spend){.spend = true});
    assert_memory_equal(kept->data, spent->data, kept->bytes);
    tensor_unref(kept);
    tensor_unref(spent);
}

/* Where a model is not read from a file, or not by this importer, they are others' too. */
static void others_stay(void **state)
{
    (void)state;
    Tensor *t = random_tensor(1, (const int64_t[]){100000}, 1);
    const float first = *(const float *)t->data;
    tensor_spend(t);
    assert_true(t->data && *(const float *)t->data == first);
    tensor_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(constants_go),
                                       cmocka_unit_test(others_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
