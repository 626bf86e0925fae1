/* Winograd's convolutions as compiled, against plain loops in double: all tiles, sizes that are no
 * multiple of them, channels that are no multiple of the lanes, borders, images, what is fused. And
 * the same bits on any number of threads. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "compile/run_module.h"
#include "loop/oracle.h"
#include "op/winograd.h"

typedef struct Case {
    int images, channels, outputs, height, width; /* of x */
    int top, left, bottom, right;
    bool bias, fused;                             /* a residual added, and Relu */
    /* pads by auto_pad, which must come to those given */
    bool same;
} Case;

static const Case cases[] = {
    {.images = 1,
     .channels = 16,
     .outputs = 16,
     .height = 1,
     .width = 1,
     .top = 1,
     .left = 1,
     .bottom = 1,
     .right = 1},
    {.images = 1, .channels = 8, .outputs = 32, .height = 3, .width = 3, .bias = true},
    {.images = 1,
     .channels = 5,
     .outputs = 7,
     .height = 13,
     .width = 19,
     .top = 1,
     .left = 1,
     .bottom = 1,
     .right = 1,
     .bias = true},
    {.images = 1,
     .channels = 16,
     .outputs = 64,
     .height = 7,
     .width = 7,
     .top = 1,
     .left = 1,
     .bottom = 1,
     .right = 1,
     .bias = true,
     .fused = true,
     .same = true},
    {.images = 2,
     .channels = 32,
     .outputs = 48,
     .height = 14,
     .width = 14,
     .top = 1,
     .left = 1,
     .bottom = 1,
     .right = 1,
     .fused = true},
    {.images = 1,
     .channels = 19,
     .outputs = 33,
     .height = 57,
     .width = 30,
     .top = 0,
     .left = 1,
     .bottom = 2,
     .right = 1,
     .bias = true},
    {.images = 3, .channels = 8, .outputs = 24, .height = 11, .width = 9, .fused = true},
    {.images = 1,
     .channels = 64,
     .outputs = 64,
     .height = 28,
     .width = 28,
     .top = 1,
     .left = 1,
     .bottom = 1,
     .right = 1,
     .bias = true,
     .fused = true},
};
enum { CASES = sizeof cases / sizeof *cases };

/* What an output may be off by, in roundings of the largest sum of |x||w| in its image: half as
 * much again as was seen on these cases (op/winograd.h). */
static const double most[] = {[2] = 2, [4] = 8, [6] = 60};

typedef struct Build {
    const Case *c;
    int m;
    Tensor *w; /* kept: the reference needs it */
    Compiled out;
} Build;

/* [r][s][i][j] = G[i][r] * G[j][s] */
static Tensor *weight_transform(int m)
{
    const Winograd w = winograd_matrices(m);
    Tensor *t = random_tensor(4, (const int64_t[]){3, 3, w.n, w.n}, 0);
    float *to = t->data;
    for (int tap = 0; tap < 9; tap++)
        for (int at = 0; at < w.n * w.n; at++)
            *to++ = (float)(w.g[at / w.n][tap / 3] * w.g[at % w.n][tap % 3]);
    return t;
}

static char *conv_text(Arena *a, const Case *c, int m)
{
    const int n = m + 2, height = c->height + c->top + c->bottom - 2,
              width = c->width + c->left + c->right - 2;
    char *pads = c->same
                     ? "auto_pad=\"SAME_UPPER\""
                     : arena_printf(a, "pads=[%d,%d,%d,%d]", c->top, c->left, c->bottom, c->right);
    return arena_printf(a,
                        "graph \"test\"\nconst w f32[%d,%d,3,3] = 0\nconst g f32[3,3,%d,%d] = "
                        "0\ninput x f32[%d,%d,%d,%d]\n"
                        "input b f32[%d]\ninput r f32[%d,%d,%d,%d]\n"
                        "u = einsum(w, g) equation=\"kcrs,rsij->kcij\"\nc = conv(x, w, %s, u) "
                        "winograd=%d %s\n%soutput %s\n",
                        c->outputs, c->channels, n, n, c->images, c->channels, c->height, c->width,
                        c->outputs, c->images, c->outputs, height, width, c->bias ? "b" : "_", m,
                        pads, c->fused ? "s = add(c, r)\ny = relu(s)\n" : "", c->fused ? "y" : "c");
}

static void build_job(Context *ctx, void *arg)
{
    Build *b = arg;
    const CompileOptions opt = {.target = target_native(), .threads = 2};
    char *text = conv_text(ctx->arena, b->c, b->m);
    Graph *g = graph_parse(ctx, "test", text, strlen(text));
    set_constant(g, "w", tensor_ref(b->w));
    set_constant(g, "g", weight_transform(b->m));
    b->out = compile_graph(ctx, g, &opt);
}

static float at4(const Tensor *t, int a, int b, int c, int d)
{
    return ((const float *)t->data)[((a * t->dim[1] + b) * t->dim[2] + c) * t->dim[3] + d];
}

/* y[n, k, p, q], and the sum of the terms' magnitudes. */
static double conv_at(const Case *c, Tensor *const *in, const Tensor *w, const int *at, double *sum)
{
    double v = 0;
    *sum = 0;
    for (int ch = 0; ch < c->channels; ch++) {
        for (int tap = 0; tap < 9; tap++) {
            const int h = at[2] + tap / 3 - c->top, q = at[3] + tap % 3 - c->left;
            if (h >= 0 && h < c->height && q >= 0 && q < c->width) {
                const double term =
                    (double)at4(in[0], at[0], ch, h, q) * at4(w, at[1], ch, tap / 3, tap % 3);
                v += term;
                *sum += fabs(term);
            }
        }
    }
    return v;
}

/* The largest error, in roundings of the largest sum: where its own sum is small, an output still
 * has the errors of its tile. */
static double compare(const Case *c, Tensor *const *in, const Tensor *w, const Tensor *y)
{
    double worst = 0, error = 0, largest = 0;
    int at[4];
    for (at[0] = 0; at[0] < y->dim[0]; at[0]++) {
        for (at[1] = 0; at[1] < y->dim[1]; at[1]++) {
            error = largest = 0;
            for (at[2] = 0; at[2] < y->dim[2]; at[2]++) {
                for (at[3] = 0; at[3] < y->dim[3]; at[3]++) {
                    double sum, want = conv_at(c, in, w, at, &sum);
                    want += c->bias ? ((const float *)in[1]->data)[at[1]] : 0;
                    want += c->fused ? at4(in[2], at[0], at[1], at[2], at[3]) : 0;
                    want = c->fused && want < 0 ? 0 : want;
                    const double off = fabs(at4(y, at[0], at[1], at[2], at[3]) - want);
                    error = off <= error ? error : off; /* not a number is an error */
                    largest = fmax(largest, sum + fabs(want));
                }
            }
            worst = fmax(worst, error / (ORACLE_EPS * largest));
        }
    }
    return worst;
}

static double check_case(const Case *c, int m)
{
    Build b = {
        .c = c, .m = m, .w = random_tensor(4, (const int64_t[]){c->outputs, c->channels, 3, 3}, 1)};
    Tensor *const in[3] = {
        random_tensor(4, (const int64_t[]){c->images, c->channels, c->height, c->width}, 2),
        random_tensor(1, (const int64_t[]){c->outputs}, 3),
        random_tensor(4,
                      (const int64_t[]){c->images, c->outputs, c->height + c->top + c->bottom - 2,
                                        c->width + c->left + c->right - 2},
                      4),
    };
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
    if (!(error <= most[m]))
        FAIL_MSG("F(%d,3), %d images, %d -> %d channels, %dx%d: off by %.3g roundings", m,
                 c->images, c->channels, c->outputs, c->height, c->width, error);
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
    const int m = *(const int *)*state;
    double worst = 0;
    for (int k = 0; k < CASES; k++)
        worst = fmax(worst, check_case(&cases[k], m));
    print_message("F(%d,3): off by at most %.2f roundings\n", m, worst);
}

/* u is computed at compile time however large, and what is compiled does not keep w. */
static void build_large(Context *ctx, void *arg)
{
    static const char text[] =
        "graph \"test\"\nconst w f32[512,256,3,3] = 0.5\nconst v f32[256,512,3,3] = 0.25\n"
        "input x f32[1,256,28,28]\n"
        "c = conv(x, w) pads=[1,1,1,1]\ny = conv(c, v) pads=[1,1,1,1]\noutput y\n";
    Compiled *out = arg;
    const CompileOptions opt = {.target = target_native(), .threads = 2, .want_text = true};
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
    assert_int_equal(c.report->folded, 2);
    int templates = 0;
    for (int k = 0; k < c.report->nkernels; k++)
        templates += strcmp(c.report->kernel[k].source, "winograd") == 0;
    assert_int_equal(templates, 2);
    int64_t bytes = 0, transformed = 0;
    for (int i = 0; i < c.program->nconst; i++)
        bytes += (int64_t)c.program->constant[i].bytes;
    for (int i = 0; i < c.graph->block.at[0].node.len; i++) {
        const int64_t m =
            node_int(&c.graph->node.at[c.graph->block.at[0].node.at[i]], "winograd", 0);
        transformed += m > 0 ? (m + 2) * (m + 2) * 512 * 256 * 4 : 0;
    }
    /* panels are filled up; w would be a quarter */
    assert_in_range(bytes, transformed, transformed + transformed / 8);
    arena_free(a);
}

int main(void)
{
    static const int m[] = {2, 4, 6};
    const struct CMUnitTest tests[] = {
        {.name = "F(2x2)", .test_func = runs, .initial_state = (void *)&m[0]},
        {.name = "F(4x4)", .test_func = runs, .initial_state = (void *)&m[1]},
        {.name = "F(6x6)", .test_func = runs, .initial_state = (void *)&m[2]},
        cmocka_unit_test(folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
