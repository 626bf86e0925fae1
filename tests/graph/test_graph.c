/* Graphs: building, uses, copies, attributes, and that the verifier finds each kind of damage. */
#include "check.h"

#include "graph/graph.h"

typedef void (*GraphTest)(Graph *g);

static void graph_job(Context *ctx, void *arg)
{
    (*(GraphTest *)arg)(graph_new(ctx));
}

static void with_graph(GraphTest test)
{
    Arena *const a = arena_new();
    Error e = {0};
    const int code = job_run(a, graph_job, &test, &e, NULL);
    assert_string_equal(e.message, "");
    assert_int_equal(code, 0);
    arena_free(a);
}

/* x -> relu -> add(relu, w) -> output; ids: x 0, w 1, r 2, s 3. */
static void small(Graph *g)
{
    const Expr dims[] = {expr_sym(g->x, "N", 1, 64, 1), expr_int(g->x, 3)};
    const ValueId x = graph_value(g, "x", DT_F32, 2, dims);
    vec_push(g->ctx->arena, &g->block.at[0].input, x);
    const ValueId w = graph_const_ints(g, "w", 2, (const int64_t[]){5, -6});
    const NodeId relu = graph_node(g, 0, OP_RELU, "act", 1, &x, 1, NULL);
    const ValueId in[] = {g->node.at[relu].out[0], w};
    const NodeId add = graph_node(g, 0, OP_ADD, "sum", 2, in, 1, NULL);
    vec_push(g->ctx->arena, &g->block.at[0].output, g->node.at[add].out[0]);
}

static void names(Graph *g)
{
    const ValueId a = graph_value(g, "a", DT_F32, 0, NULL);
    const ValueId b = graph_value(g, "a", DT_F32, 0, NULL);
    const ValueId c = graph_value(g, "a_2", DT_F32, 0, NULL);
    const ValueId d = graph_value(g, "a", DT_F32, 0, NULL);
    assert_string_equal(g->value.at[a].name, "a");
    assert_string_equal(g->value.at[b].name, "a_2");
    assert_string_equal(g->value.at[c].name, "a_2_2");
    assert_string_equal(g->value.at[d].name, "a_3");
    const Graph *const copy = graph_copy(g->ctx, g);
    const ValueId e = graph_value((Graph *)(uintptr_t)copy, "a", DT_F32, 0, NULL);
    assert_string_equal(copy->value.at[e].name, "a_4");
}

static void constants(Graph *g)
{
    small(g);
    const Value *const w = &g->value.at[1];
    assert_int_equal(w->nelems, 2);
    assert_true(w->elems[1] == expr_int(g->x, -6));
    const ValueId half = graph_const_scalar(g, "h", DT_F16, 0.5);
    assert_true(g->value.at[half].elems[0] == expr_float(g->x, DT_F32, 0.5));
    const int64_t many[MAX_ELEMS + 1] = {0};
    assert_null(g->value.at[graph_const_ints(g, "m", MAX_ELEMS + 1, many)].elems);
    const ValueId none = graph_const_ints(g, "n", 0, NULL);
    assert_non_null(g->value.at[none].elems);
    assert_int_equal(g->value.at[none].nelems, 0);
}

static void uses(Graph *g)
{
    small(g);
    const int *const n = graph_count_uses(g);
    const int want[] = {1, 1, 1, 1};
    for (int i = 0; i < 4; i++)
        assert_int_equal(n[i], want[i]);
    graph_replace_uses(g, 3, 0);
    graph_replace_uses(g, 2, 0);
    const int *const m = graph_count_uses(g);
    assert_int_equal(m[0], 3);
    assert_int_equal(m[2], 0);
    assert_int_equal(m[3], 0);
    assert_int_equal(g->block.at[0].output.at[0], 0);
}

static void attributes(Graph *g)
{
    small(g);
    node_set_int(g, 0, "i", 7);
    node_set_float(g, 0, "f", 0.5);
    node_set_string(g, 0, "s", "text");
    node_set_ints(g, 0, "l", 2, (const int64_t[]){3, 4});
    node_set_int(g, 0, "i", 8);
    const Node *const n = &g->node.at[0];
    const int64_t *l = NULL;
    assert_int_equal(n->nattr, 4);
    assert_int_equal(node_int(n, "i", -1), 8);
    assert_int_equal(node_int(n, "absent", -1), -1);
    assert_true(node_float(n, "f", 0) == 0.5);
    assert_true(node_float(n, "i", 0) == 8); /* an integer where a float is wanted */
    assert_string_equal(node_string(n, "s", ""), "text");
    assert_int_equal(node_ints(n, "l", &l), 2);
    assert_int_equal(l[1], 4);
    assert_int_equal(node_ints(n, "i", &l), 0);
    assert_null(l);
}

static void copies(Graph *g)
{
    small(g);
    Graph *const copy = graph_copy(g->ctx, g);
    assert_ptr_equal(copy->value.at[1].constant, g->value.at[1].constant);
    assert_ptr_not_equal(copy->x, g->x);
    graph_replace_uses(copy, 2, 0);
    node_set_int(copy, 0, "axis", 1);
    assert_int_equal(g->node.at[1].in[0], 2);
    assert_int_equal(g->node.at[0].nattr, 0);
    Str before = str_new(g->ctx->arena);
    Str after = str_new(g->ctx->arena);
    graph_print(g, &before);
    graph_print(graph_copy(g->ctx, g), &after);
    assert_string_equal(str_text(&before), str_text(&after));
}

static void descriptions(Graph *g)
{
    small(g);
    assert_string_equal(graph_describe_value(g, 0), "x f32[N,3]");
    assert_string_equal(graph_describe_node(g, 1), "add 'sum' (act, w i64[2])");
}

/* One kind of damage each: the verifier must find it, and say what is expected here. */
static void damage(void (*break_it)(Graph *g), bool inferred, const char *want)
{
    Arena *const a = arena_new();
    Error e = {0};
    Context ctx = {.arena = a, .error = &e};
    Graph *const g = graph_new(&ctx);
    small(g);
    Str why = str_new(a);
    assert_true(graph_verify(g, false, &why));
    break_it(g);
    assert_false(graph_verify(g, inferred, &why));
    if (!strstr(str_text(&why), want))
        assert_string_equal(str_text(&why), want); /* shows both */
    arena_free(a);
}

static void break_input(Graph *g)
{
    g->node.at[0].in[0] = 99;
}
static void break_absent(Graph *g)
{
    g->node.at[1].in[1] = -1;
}
static void break_order(Graph *g)
{
    g->node.at[0].in[0] = 3;
}
static void break_arity(Graph *g)
{
    g->node.at[0].nin = 0;
}
static void break_twice(Graph *g)
{
    g->node.at[1].out[0] = 2;
}
static void break_producer(Graph *g)
{
    g->value.at[3].producer = 0;
}
static void break_home(Graph *g)
{
    g->node.at[1].home = 1;
}
static void break_output(Graph *g)
{
    g->block.at[0].output.at[0] = -1;
}
static void break_constant(Graph *g)
{
    g->value.at[1].dtype = DT_F32;
}
static void break_dim(Graph *g)
{
    g->value.at[0].dim[0] = 0;
}
static void break_placed(Graph *g)
{
    vec_push(g->ctx->arena, &g->block.at[0].node, 0);
}
static void break_blocks(Graph *g)
{
    g->node.at[0].nblock = 1;
}
static void break_nothing(Graph *g)
{
    (void)g;
}

static void verifier(void **state)
{
    (void)state;
    damage(break_input, false, "relu 'act': uses value 99, which does not exist");
    damage(break_absent, false, "uses value -1");
    damage(break_order, false, "uses value 3, which is not defined there");
    damage(break_arity, false, "has 0 inputs");
    damage(break_twice, false, "value 2 is defined twice");
    damage(break_producer, false, "does not name its producer");
    damage(break_home, false, "does not know its block");
    damage(break_output, false, "uses value -1");
    damage(break_constant, false, "does not have its tensor's type");
    damage(break_dim, false, "a dim that is no expression");
    damage(break_placed, false, "stands twice");
    damage(break_blocks, false, "has 1 blocks");
    damage(break_nothing, true, "value 2 is not inferred");
}

static void rows(void **state)
{
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        assert_int_equal(op_find(op_rows[i].name), i);
        assert_int_equal(op_find_onnx(op_rows[i].onnx), i);
        assert_true(op_rows[i].max_in < 0 || op_rows[i].max_in >= op_rows[i].min_in);
        assert_non_null(strchr("SKC", op_rows[i].class));
    }
    assert_int_equal(op_find_onnx("Frobnicate"), OP_COUNT);
}

static void graphs(void **state)
{
    (void)state;
    static const GraphTest tests[] = {names, constants, uses, attributes, copies, descriptions};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        with_graph(tests[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs),
        cmocka_unit_test(verifier),
        cmocka_unit_test(rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
