/* Products of halves as compiled, against plain sums in double: an odd count of rows, batches, rows
 * that are not the last but one dim, columns that no tile divides, what is fused. And the same bits
 * on any number of threads. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "compile/run_module.h"
#include "loop/oracle.h"
#include "op/strassen.h"

typedef struct Case {
    const char *batch;      /* dims of x before the rows, and .. */
    const char *behind;     /* .. between them and the sum */
    int matrices, rows, sum, columns;
    bool fused;             /* a bias and a residual added, and Relu */
} Case;

static const Case cases[] = {
    {"", "", 1, 2, 16, 16, false},    {"", "", 1, 1, 32, 32, false},
    {"", "", 1, 64, 64, 96, true},    {"1,", "", 1, 61, 48, 240, true},
    {"3,", "", 3, 25, 32, 80, true},  {"2,3,", "", 6, 14, 34, 22, false},
    {"", "1,", 1, 37, 64, 48, true},  {"2,", "1,1,", 2, 9, 18, 160, false},
    {"", "", 1, 150, 256, 192, true}, {"5,", "", 5, 130, 32, 32, false},
};
enum { CASES = sizeof cases / sizeof *cases };

/* What an output may be off by, in roundings of the largest sum of |x||w| in its two rows: half as
 * much again as was seen on these cases (op/strassen.h). */
#define MOST 6.0

typedef struct Build {
    const Case *c;
    Tensor *w; /* kept: the reference needs it */
    Compiled out;
} Build;

/* u[q][k][n] */
static Tensor *summed(const Tensor *w)
{
    const int64_t rows = w->dim[0] / 2, columns = w->dim[1] / 2;
    Tensor *u = random_tensor(3, (const int64_t[]){STRASSEN_PRODUCTS, rows, columns}, 0);
    const float *from = w->data;
    for (int64_t e = 0; e < tensor_elements(u); e++) {
        const int64_t q = e / columns / rows, k = e / columns % rows, n = e % columns;
        double sum = 0;
        for (int p = 0; p < 4; p++)
            sum += (double)strassen_weights[q][p / 2][p % 2] *
                   from[(p / 2 * rows + k) * 2 * columns + p % 2 * columns + n];
        ((float *)u->data)[e] = (float)sum;
    }
    return u;
}

static void build_job(Context *ctx, void *arg)
{
    Build *b = arg;
    const Case *c = b->c;
    char *text = arena_printf(
        ctx->arena,
        "graph \"test\"\nconst w f32[%d,%d] = 0\nconst u f32[%d,%d,%d] = 0\ninput x "
        "f32[%s%d,%s%d]\n"
        "input b f32[%d]\ninput r f32[%s%d,%s%d]\nm = matmul(x, w, u) strassen=1\n%soutput %s\n",
        c->sum, c->columns, STRASSEN_PRODUCTS, c->sum / 2, c->columns / 2, c->batch, c->rows,
        c->behind, c->sum, c->columns, c->batch, c->rows, c->behind, c->columns,
        c->fused ? "s = add(m, b)\nt = add(s, r)\ny = relu(t)\n" : "", c->fused ? "y" : "m");
    Graph *g = graph_parse(ctx, "test", text, strlen(text));
    set_constant(g, "w", tensor_ref(b->w));
    set_constant(g, "u", summed(b->w));
    const CompileOptions opt = {.target = target_native(), .threads = 2, .want_text = true};
    b->out = compile_graph(ctx, g, &opt);
}

static const float *row_of(const Tensor *t, int64_t row)
{
    return (const float *)t->data + row * t->dim[t->rank - 1];
}

/* The largest error, in roundings of the largest sum of its pair of rows. */
static double compare(const Case *c, Tensor *const *in, const Tensor *w, const Tensor *y)
{
    double worst = 0, error = 0, largest = 0;
    for (int64_t row = 0; row < (int64_t)c->matrices * c->rows; row++) {
        if (row % c->rows % 2 == 0)
            error = largest = 0;
        for (int n = 0; n < c->columns; n++) {
            double want = 0, sum = 0;
            for (int k = 0; k < c->sum; k++) {
                const double term = (double)row_of(in[0], row)[k] * row_of(w, k)[n];
                want += term;
                sum += fabs(term);
            }
            want += c->fused ? (double)row_of(in[1], 0)[n] + row_of(in[2], row)[n] : 0;
            want = c->fused && want < 0 ? 0 : want;
            const double off = fabs(row_of(y, row)[n] - want);
            error = off <= error ? error : off; /* not a number is an error */
            largest = fmax(largest, sum + fabs(want));
        }
        worst = fmax(worst, error / (ORACLE_EPS * largest));
    }
    return worst;
}

static void add_dims(const char *text, int64_t *dims, int *rank)
{
    for (const char *c = text; *c; c++)
        if (*c != ',')
            dims[(*rank)++] = *c - '0'; /* one digit each */
}

static Tensor *random_rows(const Case *c, int last, uint64_t seed)
{
    int64_t dims[MAX_RANK];
    int rank = 0;
    add_dims(c->batch, dims, &rank);
    dims[rank++] = c->rows;
    add_dims(c->behind, dims, &rank);
    dims[rank++] = last;
    return random_tensor(rank, dims, seed);
}

static double check_case(const Case *c)
{
    Build b = {.c = c, .w = random_tensor(2, (const int64_t[]){c->sum, c->columns}, 1)};
    Tensor *const in[3] = {random_rows(c, c->sum, 2),
                           random_tensor(1, (const int64_t[]){c->columns}, 3),
                           random_rows(c, c->columns, 4)};
    Arena *a = arena_new();
    Module *module = NULL;
    Error e = {0};
    if (job_run(a, build_job, &b, &e, NULL) != 0 ||
        module_new(a, b.out.program, &b.out.image, &module, &e) != 0)
        FAIL_MSG("%s", e.message);
    Tensor *y = run_on(module, 1, 3, in), *other = run_on(module, 3, 3, in);
    assert_int_equal(y->bytes, other->bytes);
    assert_memory_equal(y->data, other->data, y->bytes);
    const double error = compare(c, in, b.w, y);
    if (!(error <= MOST))
        FAIL_MSG("%s%d rows%s, %d, %d columns: off by %.3g roundings", c->batch, c->rows, c->behind,
                 c->sum, c->columns, error);
    tensor_unref(y);
    tensor_unref(other);
    tensor_unref(b.w);
    for (int i = 0; i < 3; i++)
        tensor_unref(in[i]);
    module_unref(module);
    return error;
}

static void runs(void **state)
{
    (void)state;
    double worst = 0;
    for (int k = 0; k < CASES; k++)
        worst = fmax(worst, check_case(&cases[k]));
    print_message("off by at most %.2f roundings\n", worst);
}

/* u is computed at compile time however large, and what is compiled does not keep w. */
static void build_large(Context *ctx, void *arg)
{
    static const char text[] =
        "graph \"test\"\nconst w f32[512,1024] = 0.5\nconst v f32[512,1024] = 0.25\n"
        "const c f32[512] = 1\nconst shape i64[2] = {128, 1024}\ninput x f32[1,128,512]\n"
        "m = matmul(x, w)\nr = reshape(m, shape)\ny = gemm(r, v, c) transB=1\noutput y\n";
    Compiled *out = arg;
    const CompileOptions opt = {.target = target_native(),
                                .threads = 2,
                                .want_text = true,
                                .precision = PRECISION_F32_FAST};
    *out = compile_graph(ctx, graph_parse(ctx, "test", text, strlen(text)), &opt);
}

static void folded(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Compiled c;
    Error e = {0};
    if (job_run(a, build_large, &c, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    int templates = 0;
    for (int k = 0; k < c.report->nkernels; k++)
        templates += strcmp(c.report->kernel[k].source, "strassen") == 0;
    assert_int_equal(templates, 2);
    int64_t bytes = 0;
    for (int i = 0; i < c.program->nconst; i++)
        bytes += (int64_t)c.program->constant[i].bytes;
    const int64_t summed = STRASSEN_PRODUCTS * 2 * 512 * 1024;
    assert_in_range(bytes, summed, summed + 8192);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs), cmocka_unit_test(folded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
