/* Terms of constants: told from others, in graphs that are deep and whose nodes read one value
 * twice. */
#include "check.h"

#include "op/op.h"
#include "pass/edit.h"

static ValueId add(Graph *g, ValueId a, ValueId b)
{
    const NodeId n = graph_node(g, 0, OP_ADD, "sum", 2, (const ValueId[]){a, b}, 1, NULL);
    op_infer_node(g, n);
    return g->node.at[n].out[0];
}

/* v + v, and that plus itself, and so on: 2^levels ways lead back to v. */
static ValueId diamonds(Graph *g, ValueId v, int levels)
{
    for (int k = 0; k < levels; k++) {
        v = add(g, v, v);
    }
    return v;
}

static void check_terms(Context *ctx, void *arg)
{
    (void)arg;
    Graph *g = graph_new(ctx);
    const Expr dims[1] = {expr_int(g->x, 100)};
    const ValueId x = graph_value(g, "x", DT_F32, 1, dims);
    vec_push(ctx->arena, &g->block.at[0].input, x);
    const ValueId c = graph_constant(g, "c", tensor_new(DT_F32, 1, (const int64_t[]){100}, NULL));
    const ValueId deep = diamonds(g, c, 5000), mixed = diamonds(g, x, 5000);
    assert_true(is_constant_term(g, c));
    assert_true(is_constant_term(g, deep));
    assert_false(is_constant_term(g, x));
    assert_false(is_constant_term(g, mixed));
    assert_false(is_constant_term(g, add(g, deep, x)));
    assert_false(is_constant_term(g, add(g, x, deep)));
    /* a routine: not folded */
    const NodeId sizes = graph_node(g, 0, OP_NON_ZERO, "k", 1, &c, 1, NULL);
    op_infer_node(g, sizes);
    assert_false(is_constant_term(g, g->node.at[sizes].out[0]));
}

static void test_terms(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e;
    if (job_run(a, check_terms, NULL, &e, NULL) != 0) {
        FAIL_MSG("%s", e.message);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_terms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
