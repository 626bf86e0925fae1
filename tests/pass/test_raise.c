/* Raised chains mean what they meant: the graphs of the golden tests of the raising passes and of
 * sink_transpose, before and after the pass, on random inputs through the reference executor. */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "op/op.h"
#include "op/reference.h"
#include "pass/pass.h"

#define MAX_IO 32
enum { SIZE = 3 }; /* of open dims */

typedef struct Case {
    const char *pass, *text;
    int count;     /* what the pass did */
    double worst;  /* difference, relative to the largest element of the output (at least 1) */
} Case;

static double next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return ((double)(*seed >> 8) / (1 << 23) - 1) * 4;
}

static Tensor *random_input(Context *ctx, const Graph *g, ValueId v, uint32_t *seed)
{
    const Value *value = &g->value.at[v];
    int64_t dims[MAX_RANK];
    for (int k = 0; k < value->rank; k++)
        if (!expr_is_int(g->x, value->dim[k], &dims[k]))
            dims[k] = SIZE;
    Tensor *t = tensor_new(value->dtype, value->rank, dims, NULL);
    if (!t)
        fail(ctx, ERR_MEMORY, "no tensor");
    for (int64_t i = 0; i < tensor_elements(t); i++)
        dtype_write(t->dtype, (char *)t->data + i * dtype_size(t->dtype), next_random(seed), false);
    return t;
}

static double difference(Context *ctx, const Tensor *a, const Tensor *b)
{
    if (a->dtype != b->dtype || tensor_elements(a) != tensor_elements(b))
        fail(ctx, ERR_INTERNAL, "another type or shape");
    double worst = 0, size = 1;
    for (int64_t i = 0; i < tensor_elements(a); i++) {
        const double va = dtype_read(a->dtype, (char *)a->data + i * dtype_size(a->dtype));
        const double vb = dtype_read(b->dtype, (char *)b->data + i * dtype_size(b->dtype));
        size = fmax(size, fabs(va));
        if (!(va == vb) && !(isnan(va) && isnan(vb)))
            worst = fmax(worst, isnan(va) || isnan(vb) ? INFINITY : fabs(va - vb));
    }
    return worst / size;
}

static void run_case(Context *ctx, void *arg)
{
    Case *c = arg;
    const PassOptions opt = {0};
    Graph *g = graph_parse(ctx, c->pass, c->text, strlen(c->text));
    op_infer_graph(g);
    const Graph *raised = pass_rows[pass_find(c->pass)].run(ctx, g, &opt, &c->count);
    const Block *block = &g->block.at[0];
    Tensor *in[MAX_IO], *before[MAX_IO], *after[MAX_IO];
    uint32_t seed = 7;
    for (int k = 0; k < block->input.len; k++)
        in[k] = random_input(ctx, g, block->input.at[k], &seed);
    reference_run(ctx, g, in, before);
    reference_run(ctx, raised, in, after);
    for (int k = 0; k < block->output.len; k++) {
        c->worst = fmax(c->worst, difference(ctx, before[k], after[k]));
        tensor_unref(before[k]);
        tensor_unref(after[k]);
    }
    for (int k = 0; k < block->input.len; k++)
        tensor_unref(in[k]);
}

/* A file of tests/golden: "# run: pass NAME", the graph, "---", the result. */
static int check_file(const char *name)
{
    char path[512], pass[64] = "";
    snprintf(path, sizeof path, TEST_DIR "/golden/%s", name);
    Arena *a = arena_new();
    Error e = {0};
    File file;
    assert_int_equal(file_read(a, path, &file, &e), 0);
    char *text = arena_strndup(a, (const char *)file.at, file.size);
    assert_int_equal(sscanf(text, "# run: pass %63s", pass), 1);
    char *end = strstr(text, "\n---\n");
    assert_non_null(end);
    end[1] = '\0';
    Case c = {.pass = pass, .text = text};
    if (job_run(a, run_case, &c, &e, NULL) != 0)
        FAIL_MSG("%s: %s", name, e.message);
    if (!(c.worst <= 1e-6))
        FAIL_MSG("%s: the results differ by %g", name, c.worst);
    arena_free(a);
    return c.count;
}

static void test_same_results(void **state)
{
    (void)state;
    DIR *d = opendir(TEST_DIR "/golden");
    assert_non_null(d);
    int files = 0, raised = 0;
    for (const struct dirent *f; (f = readdir(d));)
        if (strncmp(f->d_name, "pass_raise_", 11) == 0 ||
            strncmp(f->d_name, "pass_sink_", 10) == 0) {
            raised += check_file(f->d_name);
            files++;
        }
    closedir(d);
    assert_true(files >= 6 && raised >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
