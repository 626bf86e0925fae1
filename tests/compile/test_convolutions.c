/* Convolutions as compiled kernels against the reference executor: transposed ones in all phases,
 * groups of whole vectors and of others; between images whose channels lie in blocks, and between
 * plain ones. */
#include "run_text.h"

#include "op/op.h"
#include "op/reference.h"

typedef struct Want {
    const char *text;
    Tensor *in, *out;
} Want;

static void reference_job(Context *ctx, void *arg)
{
    Want *w = arg;
    Graph *g = graph_parse(ctx, "test", w->text, strlen(w->text));
    op_infer_graph(g);
    reference_run(ctx, g, &w->in, &w->out);
}

static const char *values(Arena *a, int n, int from)
{
    Str s = str_new(a);
    for (int i = 0; i < n; i++)
        str_addf(&s, "%s%d", i ? "," : "", (i * 7 + from) % 11 - 5);
    return str_text(&s);
}

/* The graph on x of these dims against the reference. */
static void check_text(Arena *a, const char *text, int rank, const int64_t *dims)
{
    Error e = {0};
    Want w = {.text = text, .in = tensor_new(DT_F32, rank, dims, &e)};
    tensor_fill_random(w.in, 5);
    if (job_run(a, reference_job, &w, &e, NULL) != 0)
        FAIL_MSG("%s\n%s", e.message, text);
    Fixture f = fixture(text);
    run_on(&f, w.in);
    const TensorDiff d = tensor_compare(run_output(f.r, 0), w.out, 1e-5, 1e-3);
    if (!d.same_type || !d.same_shape || d.mismatches)
        FAIL_MSG("%s: %s, expected %s, %lld differ", text, tensor_describe(a, run_output(f.r, 0)),
                 tensor_describe(a, w.out), (long long)d.mismatches);
    finish(&f);
    tensor_unref(w.out);
    tensor_unref(w.in);
}

/* x (1,16,6,5) -> t = conv (1,C,6,5), which lies in blocks -> y = `op` with w (dims) and a bias of
 * K -> Relu. */
static void check(int channels, const char *dims, int weights, int outputs, const char *op)
{
    Arena *a = arena_new();
    const char *text = arena_printf(
        a,
        "graph \"conv\"\ninput x f32[1,16,6,5]\nconst v f32[%d,16,1,1] = {%s}\nconst w f32[%s] = "
        "{%s}\n"
        "const b f32[%d] = {%s}\nt = conv(x, v)\nu = %s\nr = relu(u)\ny = add(r, r)\noutput y\n",
        channels, values(a, channels * 16, 3), dims, values(a, weights, 1), outputs,
        values(a, outputs, 2), op);
    check_text(a, text, 4, (const int64_t[]){1, 16, 6, 5});
    arena_free(a);
}

/* Between plain images, (1,16,5,20) or (1,16,3,4,20). */
static void check_plain(int rank, const char *dims, int weights, const char *op)
{
    Arena *a = arena_new();
    const char *text = arena_printf(a,
                                    "graph \"conv\"\ninput x f32[1,16,%s]\nconst w f32[%s] = {%s}\n"
                                    "u = %s\ny = relu(u)\noutput y\n",
                                    rank == 4 ? "5,20" : "3,4,20", dims, values(a, weights, 1), op);
    check_text(a, text, rank,
               rank == 4 ? (const int64_t[]){1, 16, 5, 20} : (const int64_t[]){1, 16, 3, 4, 20});
    arena_free(a);
}

static void test_transposed(void **state)
{
    (void)state;
    check(16, "16,24,4,4", 16 * 24 * 16, 24,
          "conv_transpose(t, w, b) strides=[2,2] pads=[1,1,1,1]");
    check(16, "16,24,2,2", 16 * 24 * 4, 24, "conv_transpose(t, w, b) strides=[2,2]");
    check(8, "8,3,4,4", 8 * 3 * 16, 3, "conv_transpose(t, w, b) strides=[2,2] pads=[1,1,1,1]");
    check(8, "8,16,3,3", 8 * 16 * 9, 16,
          "conv_transpose(t, w, b) strides=[2,2] pads=[1,1,1,1] output_padding=[1,1]");
    check(8, "8,16,5,4", 8 * 16 * 20, 16, "conv_transpose(t, w, b) strides=[3,1] pads=[2,0,1,3]");
    check(8, "8,16,3,3", 8 * 16 * 9, 16, "conv_transpose(t, w, b) dilations=[2,1] pads=[1,1,0,1]");
}

static void test_groups(void **state)
{
    (void)state;
    check(32, "64,8,3,3", 64 * 8 * 9, 64, "conv(t, w, b) group=4 pads=[1,1,1,1]");
    check(32, "64,16,1,1", 64 * 16, 64, "conv(t, w, b) group=2 strides=[2,2]");
    check(12, "24,6,3,3", 24 * 6 * 9, 24, "conv(t, w, b) group=2 pads=[1,1,1,1]");
    check(24, "40,6,3,3", 40 * 6 * 9, 40, "conv(t, w, b) group=4 pads=[1,1,1,1]");
    check(16, "32,1,3,3", 32 * 9, 32, "conv(t, w, b) group=16");
    check(32, "8,8,3,3", 8 * 8 * 9, 8, "conv(t, w, b) group=4");
}

static void test_transposed_groups(void **state)
{
    (void)state;
    check(16, "16,16,4,4", 16 * 16 * 16, 32,
          "conv_transpose(t, w, b) group=2 strides=[2,2] pads=[1,1,1,1]");
    check(12, "12,5,3,2", 12 * 5 * 6, 15, "conv_transpose(t, w, b) group=3 strides=[1,2]");
}

/* Rows of images in lanes: few channels, or a short sum. */
static void test_plain(void **state)
{
    (void)state;
    check_plain(4, "24,16,1,1", 24 * 16, "conv(x, w)");
    check_plain(4, "20,8,1,1", 20 * 8, "conv(x, w) group=2");
    check_plain(4, "3,16,3,3", 3 * 16 * 9, "conv(x, w) pads=[1,1,1,1]");
    check_plain(4, "16,3,4,4", 16 * 3 * 16, "conv_transpose(x, w) strides=[2,2] pads=[1,1,1,1]");
    check_plain(4, "16,5,3,2", 16 * 5 * 6, "conv_transpose(x, w) strides=[2,2] group=2");
    check_plain(5, "19,16,1,1,1", 19 * 16, "conv(x, w)");
    check_plain(5, "5,16,3,1,3", 5 * 16 * 9, "conv(x, w) pads=[1,0,1,1,0,1]");
    check_plain(5, "16,8,2,2,2", 16 * 8 * 8, "conv_transpose(x, w) strides=[2,2,2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_transposed_groups),
        cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
