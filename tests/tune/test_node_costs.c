/* A table that is measured: every form that choosing weighs is in it, once; it is read back as it
 * was printed, and what is chosen by it costs no more, by it, than what estimates choose. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "compile/compile.h"
#include "op/op.h"
#include "pass/image_layouts.h"
#include "tune/node_costs.h"

/* A border, a depthwise convolution, a stride, a residual sum, a concat, and 12 channels, which
 * fill no blocks. */
static const char text[] =
    "graph \"g\"\n"
    "input x f32[1,3,18,18]\n"
    "const w f32[16,3,3,3] = 0.125\nconst v f32[16,16,3,3] = 0.0625\nconst d f32[16,1,3,3] = 0.25\n"
    "const u f32[12,32,1,1] = 0.0625\n"
    "a = conv(x, w) pads=[1,1,1,1]\nb = relu(a)\nc = conv(b, v) pads=[1,1,1,1]\ne = add(c, b)\n"
    "f = conv(e, d) group=16 strides=[2,2] pads=[1,1,1,1]\n"
    "g = max_pool(e) kernel_shape=[2,2] strides=[2,2]\nh = concat(f, g) axis=1\ni = conv(h, u)\n"
    "j = reduce_mean(i)\noutput j\n";

typedef struct Counted {
    const Graph *g;
    CostTable *table;
    int steps;
} Counted;

static void early_job(Context *ctx, void *arg)
{
    Counted *c = arg;
    const CompileOptions opt = {.target = target_native(), .threads = 1};
    int folded;
    c->g = compile_early(ctx, graph_parse(ctx, "g", text, strlen(text)), &opt, &folded);
    c->table = cost_table_new(ctx->arena);
}

static void count_step(void *arg, const char *what, int done, int total)
{
    (void)what;
    assert_in_range(done, 0, total - 1);
    ++*(int *)arg;
}

/* Prints, parses, prints. */
static void text_job(Context *ctx, void *arg)
{
    const CostTable *table = arg;
    Str once = str_new(ctx->arena), again = str_new(ctx->arena);
    cost_table_print(table, &once);
    const CostTable *read = cost_table_parse(ctx, "costs", str_text(&once), once.len);
    cost_table_print(read, &again);
    assert_string_equal(str_text(&once), str_text(&again));
    assert_int_equal(read->row.len, table->row.len);
}

static void candidates_job(Context *ctx, void *arg)
{
    const Counted *c = arg;
    Graph *g = graph_copy(ctx, c->g);
    const PassOptions opt = {.target = target_native()};
    const char *target = target_describe(ctx->arena, &opt.target);
    CostCandidate *what;
    const int n = image_forms_candidates(g, &opt, &what);
    int winograd = 0, copies = 0;
    for (int i = 0; i < n; i++) {
        const double ns = cost_table_find(c->table, target, what[i].key);
        if (!(ns > 0 && ns < 1e9))
            FAIL_MSG("%s: %g ns", what[i].key, ns);
        winograd += what[i].form.variant > 0;
        copies += what[i].node < 0;
    }
    assert_int_equal(n, c->table->row.len);
    assert_true(winograd >= 2 && copies >= 2);
}

static void test_table_is_complete(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e = {0};
    Counted c = {0};
    assert_int_equal(job_run(a, early_job, &c, &e, NULL), 0);
    NodeCostOptions opt = {.compile = {.target = target_native(), .threads = 1},
                           .rounds = 2,
                           .progress = count_step,
                           .progress_arg = &c.steps};
    NodeCostResult first, second;
    assert_int_equal(node_costs_measure(c.g, &opt, c.table, &first, &e), 0);
    assert_true(first.measured == c.table->row.len && first.measured > 20 && first.known == 0 &&
                first.failed == 0);
    assert_true(c.steps > 4);
    assert_true(first.chosen_ns > 0 && first.chosen_ns <= first.estimated_ns * (1 + 1e-12));
    assert_int_equal(job_run(a, candidates_job, &c, &e, NULL), 0);
    assert_int_equal(job_run(a, text_job, c.table, &e, NULL), 0);
    assert_int_equal(node_costs_measure(c.g, &opt, c.table, &second, &e), 0);
    assert_true(second.measured == 0 && second.known == first.measured && second.failed == 0);
    assert_true(second.chosen_ns == first.chosen_ns && second.estimated_ns == first.estimated_ns);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
