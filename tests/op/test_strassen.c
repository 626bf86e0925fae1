/* Strassen's product: the attribute and its input are checked (what is computed:
 * compile/test_strassen_runs.c). */
#include "check.h"

#include "op/op.h"
#include "op/strassen.h"

static void infer_job(Context *ctx, void *arg)
{
    op_infer_graph(graph_parse(ctx, "test", arg, strlen(arg)));
}

/* y = matmul(x, w, u), or as told; NULL: it is right. */
static void check_infer(const char *u, const char *line, const char *message)
{
    Arena *a = arena_new();
    Error e = {0};
    char *text =
        arena_printf(a,
                     "graph \"test\"\ninput x f32[2,5,8]\ninput w f32[8,6]\ninput v f32[8]\n"
                     "input wb f32[2,8,6]\ninput odd f32[8,5]\ninput u %s\ny = %s\noutput y\n",
                     u, line);
    const int code = job_run(a, infer_job, text, &e, NULL);
    if (message ? code != ERR_INVALID || !strstr(e.message, message) : code != 0)
        FAIL_MSG("%s, u %s: '%s', not '%s'", line, u, e.message, message ? message : "");
    arena_free(a);
}

static void inference(void **state)
{
    (void)state;
    static const char together[] = "belong together", kind[] = "wants x of rank 2 or more";
    check_infer("f32[7,4,3]", "matmul(x, w, u) strassen=1", NULL);
    check_infer("f32[7,4,3]", "matmul(x, w, u)", together);
    check_infer("f32[7,4,3]", "matmul(x, w) strassen=1", together);
    check_infer("f32[7,4,3]", "matmul(x, w, u) strassen=2", together);
    check_infer("f32[7,4,3]", "matmul(x, w, u) strassen=4294967297", together);
    check_infer("f32[8,4,3]", "matmul(x, w, u) strassen=1", "products of the weight's halves");
    check_infer("f32[7,3,3]", "matmul(x, w, u) strassen=1", "rows of the weight");
    check_infer("f32[7,4,4]", "matmul(x, w, u) strassen=1", "columns of the weight");
    check_infer("f32[7,4,2]", "matmul(x, odd, u) strassen=1", "columns of the weight");
    check_infer("f32[7,12]", "matmul(x, w, u) strassen=1", kind);
    check_infer("f16[7,4,3]", "matmul(x, w, u) strassen=1", "differ in type");
    check_infer("f32[7,4,3]", "matmul(v, w, u) strassen=1", kind);
    check_infer("f32[7,4,3]", "matmul(x, wb, u) strassen=1", kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
