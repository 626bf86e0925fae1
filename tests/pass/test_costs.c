/* Tables of measured costs: their text, and that layouts and variants go by them. */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "op/op.h"
#include "pass/cost.h"
#include "pass/pass.h"

static void table_job(Context *ctx, void *arg)
{
    const char *text = arg;
    const CostTable *t = cost_table_parse(ctx, "costs", text, strlen(text));
    Str s = str_new(ctx->arena), again = str_new(ctx->arena);
    cost_table_print(t, &s);
    cost_table_print(cost_table_parse(ctx, "again", str_text(&s), s.len), &again);
    assert_string_equal(str_text(&s), str_text(&again));
    assert_true(cost_table_find(t, "a", "one") == 5.5);
    assert_true(cost_table_find(t, "b", "one") == 7);
    assert_true(cost_table_find(t, "b", "two \"2\"") == 1e9);
    assert_true(cost_table_find(t, "a", "two \"2\"") == 0);
    assert_true(cost_table_find(NULL, "a", "one") == 0);
}

static void test_text(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e = {0};
    char text[] = "lathe costs 1\ntarget \"a\"\n5.5 \"one\"\n\ntarget \"b\" # another\n7 "
                  "\"one\"\n1e9 \"two \\\"2\\\"\"";
    assert_int_equal(job_run(a, table_job, text, &e, NULL), 0);
    arena_free(a);
}

static void parse_job(Context *ctx, void *arg)
{
    cost_table_parse(ctx, "costs", arg, strlen(arg));
}

/* A damaged file is refused, with the place. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "costs:1:1: not a table of costs"},
        {"lathe costs 2\n", "costs:1:13: a table of costs of another version"},
        {"lathe costs 1 2\n", "costs:1:15: the line should end here"},
        {"lathe costs 1\n5 \"x\"\n", "costs:2:1: a cost before the first target"},
        {"lathe costs 1\ntarget \"a\"\n0 \"x\"\n", "costs:3:1: a time in nanoseconds"},
        {"lathe costs 1\ntarget \"a\"\n-5 \"x\"\n", "costs:3:1: a time in nanoseconds"},
        {"lathe costs 1\ntarget \"a\"\n1e999 \"x\"\n", "costs:3:1: a time in nanoseconds"},
        {"lathe costs 1\ntarget \"a\"\n5 x\n", "costs:3:3: the description of a node"},
        {"lathe costs 1\ntarget \"a\"\n5 \"x\" 6\n", "costs:3:7: the line should end here"},
        {"lathe costs 1\ntarget \"a\"\n5 \"x\"\n6 \"x\"\n",
         "costs:4:3: this node has a cost already"},
        {"lathe costs 1\ntarget \"a\n", "costs:2:8: a string is not closed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Arena *a = arena_new();
        Error e = {0};
        char text[64];
        snprintf(text, sizeof text, "%s", bad[i][0]);
        assert_int_equal(job_run(a, parse_job, text, &e, NULL), ERR_INVALID);
        if (strncmp(e.message, bad[i][1], strlen(bad[i][1])) != 0)
            FAIL_MSG("%s: %s", bad[i][1], e.message);
        arena_free(a);
    }
}

/* ---- choosing ---- */

static const char residual[] = "graph \"residual\"\n"
                               "const w f32[16,3,3,3] = 0.5\n"
                               "const v f32[16,16,3,3] = 0.5\n"
                               "input x f32[1,3,16,16]\n"
                               "a = conv(x, w) pads=[1,1,1,1]\n"
                               "b = relu(a)\n"
                               "c = conv(b, v) pads=[1,1,1,1]\n"
                               "d = add(c, b)\n"
                               "e = conv(d, v) pads=[1,1,1,1]\n"
                               "f = reduce_mean(e)\n"
                               "output f\n";

typedef struct Trial {
    double plain, blocked, winograd; /* ns of any node that makes that layout, and of the variant */
    int expect_blocked, expect_winograd;
} Trial;

/* Rows for all forms of every node. */
static CostTable *made_up(Context *ctx, const Graph *g, const Target *t, const Trial *trial)
{
    CostTable *table = cost_table_new(ctx->arena);
    for (int i = 0; i < g->block.at[0].node.len; i++) {
        for (int in = 0; in < IMAGE_LAYOUTS; in++) {
            for (int out = 0; out < IMAGE_LAYOUTS; out++) {
                for (int m = 0; m <= 4; m += 2) {
                    const NodeForm form = {(ImageLayout)in, (ImageLayout)out, m};
                    const double ns = m ? trial->winograd : 1;
                    cost_table_add(table, target_describe(ctx->arena, t),
                                   cost_key(ctx->arena, g, g->block.at[0].node.at[i], t, form),
                                   ns * (out == IMAGE_BLOCKED ? trial->blocked : trial->plain));
                }
            }
        }
    }
    return table;
}

static void choose_job(Context *ctx, void *arg)
{
    const Trial *trial = arg;
    PassOptions opt = {0};
    assert_int_equal(target_find("avx2", &opt.target, NULL), 0);
    Graph *g = graph_parse(ctx, "residual", residual, strlen(residual));
    op_infer_graph(g);
    opt.costs = made_up(ctx, g, &opt.target, trial);
    int winograd = 0, blocked = 0;
    pass_rows[pass_find("choose_variants")].run(ctx, g, &opt, &winograd);
    pass_rows[pass_find("block_channels")].run(ctx, g, &opt, &blocked);
    assert_int_equal(winograd, trial->expect_winograd);
    assert_int_equal(blocked, trial->expect_blocked);
}

static void test_choice_goes_by_the_table(void **state)
{
    (void)state;
    static Trial trial[] = {
        {.plain = 100, .blocked = 1e6, .winograd = 10, .expect_blocked = 0, .expect_winograd = 0},
        {.plain = 1e6, .blocked = 100, .winograd = 10, .expect_blocked = 5, .expect_winograd = 0},
        {.plain = 1e6, .blocked = 100, .winograd = 0.1, .expect_blocked = 5, .expect_winograd = 3},
        {.plain = 100, .blocked = 1e6, .winograd = 0.1, .expect_blocked = 0, .expect_winograd = 3},
    };
    for (size_t i = 0; i < sizeof trial / sizeof *trial; i++) {
        Arena *a = arena_new();
        Error e = {0};
        assert_int_equal(job_run(a, choose_job, &trial[i], &e, NULL), 0);
        arena_free(a);
    }
}

static const char joined[] = "graph \"joined\"\n"
                             "input a f32[1,16,32,32]\n"
                             "input b f32[1,16,32,32]\n"
                             "c = concat(a, b) axis=1\n"
                             "output c\n";

/* A concat that keeps the layout is no kernel; one that changes it is a copy. */
static void view_job(Context *ctx, void *arg)
{
    (void)arg;
    Costs costs = {.name = "t", .products = 1};
    assert_int_equal(target_find("avx2", &costs.target, NULL), 0);
    Graph *g = graph_parse(ctx, "joined", joined, strlen(joined));
    op_infer_graph(g);
    const NodeId concat = g->block.at[0].node.at[0];
    const NodeFacts f = node_facts(g, concat);
    const NodeForm form[] = {{IMAGE_PLAIN, IMAGE_PLAIN, 0},
                             {IMAGE_BLOCKED, IMAGE_BLOCKED, 0},
                             {IMAGE_BLOCKED, IMAGE_PLAIN, 0}};
    double ns[3];
    cost_forms(&costs, g, concat, &f, 3, form, ns);
    assert_true(ns[0] == 0 && ns[1] == 0 && ns[2] > 1000);
}

static void test_concat_keeps_its_layout(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e = {0};
    assert_int_equal(job_run(a, view_job, NULL, &e, NULL), 0);
    arena_free(a);
}

static const char heavy[] = "graph \"heavy\"\n"
                            "const w f32[512,512,3,3] = 0.5\n"
                            "input x f32[1,512,7,7]\n"
                            "y = conv(x, w) pads=[1,1,1,1]\n"
                            "output y\n";

/* Transformed weights are 16/9 as many: they pay while they come fast enough. */
static void weights_job(Context *ctx, void *arg)
{
    (void)arg;
    static const int rate[] = {16, 8}, expect[] = {1, 0};
    for (int k = 0; k < 2; k++) {
        PassOptions opt = {0};
        assert_int_equal(target_find("avx512", &opt.target, NULL), 0);
        opt.target.fma_per_cycle = 2;
        opt.target.l3_rate = rate[k];
        Graph *g = graph_parse(ctx, "heavy", heavy, strlen(heavy));
        op_infer_graph(g);
        int winograd = 0;
        pass_rows[pass_find("choose_variants")].run(ctx, g, &opt, &winograd);
        assert_int_equal(winograd, expect[k]);
    }
}

static void test_weights_come_from_memory(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e = {0};
    assert_int_equal(job_run(a, weights_job, NULL, &e, NULL), 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_come_from_memory),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_choice_goes_by_the_table),
        cmocka_unit_test(test_concat_keeps_its_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
