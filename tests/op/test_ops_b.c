/* Contractions, windows, reductions, normalisation, quantization, resampling.
 *
 * Two kinds of test: graph text with wanted constants, worked out by hand; and convolutions, pools
 * and products of many shapes against loops written straight from the ONNX formulas. */
#include "check.h"

#include <math.h>

#include "graph/graph.h"
#include "op/op.h"
#include "op/reference.h"

enum { MAX_OUT = 4 };

typedef struct Case {
    const char *text;
    Tensor **in;
    Tensor *out[MAX_OUT], *want[MAX_OUT];
    int nout;
} Case;

static ValueId find_value(const Graph *g, const char *name)
{
    for (int k = 0; k < g->value.len; k++)
        if (strcmp(g->value.at[k].name, name) == 0)
            return k;
    return -1;
}

static void case_job(Context *ctx, void *arg)
{
    Case *c = arg;
    Graph *g = graph_parse(ctx, "case", c->text, strlen(c->text));
    op_infer_graph(g);
    c->nout = g->block.at[0].output.len;
    assert_true(c->nout <= MAX_OUT);
    for (int k = 0; k < c->nout; k++) {
        const ValueId v = find_value(g, arena_printf(ctx->arena, "want%d", k));
        if (v >= 0)
            c->want[k] = tensor_ref(g->value.at[v].constant);
    }
    reference_run(ctx, g, c->in, c->out);
}

static void run_case(Case *c)
{
    Arena *a = arena_new();
    Error e;
    if (job_run(a, case_job, c, &e, NULL) != 0)
        FAIL_MSG("%s\n%s", e.message, c->text);
    arena_free(a);
}

static void free_case(Case *c)
{
    for (int k = 0; k < c->nout; k++) {
        tensor_unref(c->out[k]);
        tensor_unref(c->want[k]);
    }
}

static void compare(const char *what, const Tensor *got, const Tensor *want)
{
    const TensorDiff d = tensor_compare(got, want, 1e-5, 1e-5);
    if (d.same_type && d.same_shape && d.mismatches == 0)
        return;
    Arena *a = arena_new();
    print_error("got %s, want %s", tensor_describe(a, got), tensor_describe(a, want));
    arena_free(a);
    if (d.same_type && d.same_shape) {
        const int size = dtype_size(got->dtype);
        const double g = dtype_read(got->dtype, (char *)got->data + d.first * size);
        const double w = dtype_read(want->dtype, (char *)want->data + d.first * size);
        print_error(": %lld differ, the first at %lld: %g, not %g", (long long)d.mismatches,
                    (long long)d.first, g, w);
    }
    FAIL_MSG("\n%s", what);
}

/* ---- by hand ---- */

static const char *const by_hand[] = {
    /* products */
    "const a i64[2,2] = {1, 2, 3, 4}\nconst b i64[2] = {10, 1}\n"
    "const want0 i64[2] = {12, 34}\ny = matmul(a, b)\noutput y\n",
    "const a f64[2] = {1, 2}\nconst b f64[2,2,1] = {3, 4, 5, 6}\n"
    "const want0 f64[2,1] = {11, 17}\ny = matmul(a, b)\noutput y\n",
    "const a f32[2,1] = {1, 2}\nconst b f32[2,1] = {3, 4}\nconst c f32[1] = {100}\n"
    "const want0 f32[1,1] = {72}\ny = gemm(a, b, c) transA=1 alpha=2 beta=0.5\noutput y\n",
    "const a u8[1,2] = {5, 7}\nconst b i8[2,2] = {1, -2, 3, 4}\nconst za u8[] = 5\n"
    "const zb i8[2] = {1, -2}\nconst want0 i32[1,2] = {4, 12}\n"
    "y = matmul_integer(a, b, za, zb)\noutput y\n",
    "const a f32[2,2] = {1, 2, 3, 4}\nconst want0 f32[2] = {1, 4}\nconst want1 f32[] = 10\n"
    "const want2 f32[2,2] = {1, 3, 2, 4}\ny = einsum(a) equation=\"ii->i\"\n"
    "s = einsum(a) equation=\"ij->\"\nt = einsum(a) equation=\"...ij -> ...ji\"\n"
    "output y\noutput s\noutput t\n",
    "const a f32[2] = {1, 2}\nconst b f32[3] = {1, 10, 100}\nconst want0 f32[2,3] = {1, 10, 100, "
    "2, "
    "20, 200}\nconst want1 f32[] = 27\nconst want2 f32[] = 9\ny = einsum(a, b) equation=\"i,j\"\n"
    "t = einsum(a, a, a) equation=\"i,j,k->\"\nz = einsum(a, a, a) equation=\"i,i,i->\"\n"
    "output y\noutput t\noutput z\n",
    "const a f32[2,3,3] = {0, 2, 1, 3, 0, 0, 1, 1, 4, 1, 2, 3, 2, 4, 6, 1, 1, 1}\n"
    "const want0 f32[2] = {-21, 0}\ny = det(a)\noutput y\n",
    /* reductions */
    "const a f32[2,2] = {1, -2, 3, 4}\nconst ax i64[1] = {-1}\nconst want0 f32[2,1] = {3, 7}\n"
    "const want1 f32[2] = {-1, 7}\nconst want2 f32[1,1] = 5.477225575\n"
    "y = reduce_l1(a, ax)\ns = reduce_sum(a, ax) keepdims=0\nt = reduce_l2(a)\n"
    "output y\noutput s\noutput t\n",
    "const a f32[2] = {1000, 1000}\nconst i f32[2] = {-inf, -inf}\nconst want0 f32[] = "
    "1000.693147\n"
    "const want1 f32[] = -inf\ny = reduce_log_sum_exp(a) keepdims=0\n"
    "z = reduce_log_sum_exp(i) keepdims=0\noutput y\noutput z\n",
    "const a i32[2] = {-7, 2}\nconst want0 i32[1] = {-2}\nconst want1 i32[2] = {49, 4}\n"
    "const none i64[0] = {}\ny = reduce_mean(a)\n"
    "z = reduce_sum_square(a, none) noop_with_empty_axes=1\noutput y\noutput z\n",
    "const a f32[0,2] = {}\nconst ax i64[1] = {0}\nconst want0 f32[2] = {-inf, -inf}\n"
    "const want1 f32[2] = {1, 1}\ny = reduce_max(a, ax) keepdims=0\nz = reduce_prod(a, ax) "
    "keepdims=0\n"
    "output y\noutput z\n",
    "const a bool[2,2] = {1, 0, 0, 0}\nconst ax i64[1] = {1}\nconst want0 bool[2] = {1, 0}\n"
    "const want1 bool[2] = {0, 0}\ny = reduce_max(a, ax) keepdims=0\nz = reduce_min(a, ax) "
    "keepdims=0\n"
    "output y\noutput z\n",
    "const a i8[4] = {3, 7, 7, -1}\nconst want0 i64[1] = {1}\nconst want1 i64[] = 2\n"
    "const want2 i64[] = 3\ny = arg_max(a)\nz = arg_max(a) keepdims=0 select_last_index=1\n"
    "w = arg_min(a) keepdims=0\noutput y\noutput z\noutput w\n",
    "const a f32[2,3] = {1, 3, 3, -1, -2, -3}\nconst want0 f32[2,3] = {0, 1, 0, 1, 0, 0}\n"
    "y = hardmax(a)\noutput y\n",
    /* normalisation */
    "const a f32[2] = {1000, 1001}\nconst want0 f32[2] = {0.2689414, 0.7310586}\n"
    "const want1 f32[2] = {-1.3132617, -0.3132617}\ny = softmax(a)\nz = log_softmax(a)\n"
    "output y\noutput z\n",
    "const a f32[1,4] = {1, 3, 5, 7}\nconst s f32[4] = {1, 1, 1, 2}\nconst b f32[4] = {0, 0, 0, "
    "1}\n"
    "const want0 f32[1,4] = {-1.341641, -0.4472136, 0.4472136, 3.683282}\n"
    "const want1 f32[1,1] = 4\nconst want2 f32[1,1] = 0.4472136\n"
    "y, m, v = layer_normalization(a, s, b) epsilon=0\noutput y\noutput m\noutput v\n",
    "const a f32[1,2] = {3, 4}\nconst s f32[2] = 1\nconst want0 f32[1,2] = {0.8485281, 1.1313708}\n"
    "y = rms_normalization(a, s) epsilon=0\noutput y\n",
    "const a f32[1,2,2] = {1, 3, 5, 9}\nconst s f32[2] = 1\nconst b f32[2] = {0, 10}\n"
    "const want0 f32[1,2,2] = {-1, 1, 9, 11}\nconst want1 f32[1,2,2] = {-1.183216, -0.5070926, "
    "10.16903, 11.52128}\ny = instance_normalization(a, s, b) epsilon=0\n"
    "z = group_normalization(a, s, b) num_groups=1 epsilon=0\noutput y\noutput z\n",
    "const a f32[1,2,1] = {5, 6}\nconst s f32[2] = {2, 1}\nconst b f32[2] = {0, 1}\n"
    "const m f32[2] = {1, 2}\nconst v f32[2] = {4, 16}\nconst want0 f32[1,2,1] = {4, 2}\n"
    "y = batch_normalization(a, s, b, m, v) epsilon=0\noutput y\n",
    "const a f32[1,3,1] = {1, 2, 3}\nconst want0 f32[1,3,1] = {0.1666667, 0.1333333, 0.2142857}\n"
    "y = lrn(a) size=3 alpha=3 beta=1\noutput y\n",
    "const a f32[2,2] = {3, 4, 0, 0}\nconst want0 f32[2,2] = {0.6, 0.8, 0, 0}\n"
    "y = lp_normalization(a)\noutput y\n",
    /* quantization */
    "const a f32[6] = {1, 3, 5, -1000, 1000, nan}\nconst s f32[] = 2\nconst z i8[] = 1\n"
    "const want0 i8[6] = {1, 3, 3, -128, 127, -128}\ny = quantize_linear(a, s, z)\noutput y\n",
    "const a f32[2,3] = {1, 2, 3, 4, 5, 100}\nconst s f32[2,2] = {1, 3, 2, 8}\n"
    "const want0 u4[2,3] = {1, 2, 1, 2, 2, 12}\n"
    "y = quantize_linear(a, s) axis=1 block_size=2 output_dtype=21\noutput y\n",
    "const a f32[3] = {1000, -1000, 1.06}\nconst s f32[] = 1\n"
    "const want0 f8e4m3fn[3] = {448, -448, 1}\nconst want1 f4e2m1[3] = {6, -6, 1}\n"
    "y = quantize_linear(a, s) output_dtype=17\nz = quantize_linear(a, s) output_dtype=23\n"
    "output y\noutput z\n",
    "const a i8[2,2] = {-128, 127, 3, 4}\nconst s f32[2] = {0.5, 2}\nconst z i8[2] = {-128, 3}\n"
    "const want0 f32[2,2] = {0, 127.5, 0, 2}\nconst want1 f32[2,2] = {0, 248, 65.5, 2}\n"
    "y = dequantize_linear(a, s, z) axis=0\nz1 = dequantize_linear(a, s, z) axis=1\n"
    "output y\noutput z1\n",
    "const a f32[3] = {0, 2, -0.55}\nconst want0 u8[3] = {55, 255, 0}\nconst want1 f32[] = 0.01\n"
    "const want2 u8[] = 55\ny, s, z = dynamic_quantize_linear(a)\noutput y\noutput s\noutput z\n",
    /* windows */
    "const a f32[1,1,3] = {4, 6, 5}\nconst want0 f32[1,1,2] = {6, 6}\nconst want1 i64[1,1,2] = {1, "
    "1}\n"
    "y, i = max_pool(a) kernel_shape=[2]\noutput y\noutput i\n",
    "const a f32[1,1,2,2] = {1, 2, 3, 4}\nconst i i64[1,1,2,2] = {5, 7, 13, 15}\n"
    "const s i64[4] = {1, 1, 4, 5}\n"
    "const want0 f32[1,1,4,5] = {0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0}\n"
    "y = max_unpool(a, i, s) kernel_shape=[2,2] strides=[2,2]\noutput y\n",
    "const a f32[1,1,2,2] = {3, -4, 0, 0}\nconst want0 f32[1,1,1,1] = 5\nconst want1 f32[1,1,1,1] "
    "= 3\n"
    "const want2 f32[1,1,1,1] = -0.25\nx = lp_pool(a) kernel_shape=[2,2]\n"
    "y = global_max_pool(a)\nz = global_average_pool(a)\noutput x\noutput y\noutput z\n",
    /* resampling */
    "const a f32[1,1,2] = {1, 2}\nconst s f32[3] = {1, 1, 2}\nconst want0 f32[1,1,4] = {1, 1, 2, "
    "2}\n"
    "const want1 f32[1,1,4] = {1, 1.25, 1.75, 2}\nconst want2 f32[1,1,3] = {1, 1.5, 2}\n"
    "const z i64[3] = {1, 1, 3}\ny = resize(a, _, s)\nl = resize(a, _, s) mode=\"linear\"\n"
    "c = resize(a, _, _, z) mode=\"linear\" coordinate_transformation_mode=\"align_corners\"\n"
    "output y\noutput l\noutput c\n",
    "const a u8[4] = {0, 100, 200, 255}\nconst s f32[1] = 0.5\nconst want0 u8[2] = {50, 228}\n"
    "y = resize(a, _, s) mode=\"linear\" antialias=0\noutput y\n",
    "const a f32[4] = {8, 0, 0, 4}\nconst s f32[1] = 0.5\nconst want0 f32[2] = {4, 2}\n"
    "y = resize(a, _, s) mode=\"linear\" antialias=1\noutput y\n",
    "const a f32[1,1,2,2] = {1, 2, 3, 4}\nconst g f32[1,1,4,2] = {0, 0, -1, -1, 1, 0, 3, 0}\n"
    "const want0 f32[1,1,1,4] = {2.5, 0.25, 1.5, 0}\nconst want1 f32[1,1,1,4] = {2.5, 1, 3, 3}\n"
    "const want2 f32[1,1,1,4] = {2.5, 1, 3, 2}\ny = grid_sample(a, g)\n"
    "b = grid_sample(a, g) padding_mode=\"border\"\n"
    "c = grid_sample(a, g) padding_mode=\"reflection\" align_corners=1\n"
    "output y\noutput b\noutput c\n",
    "const t f32[1,2,3] = {1, 0, 0, 0, 2, 1}\nconst s i64[4] = {1, 1, 1, 2}\n"
    "const want0 f32[1,1,2,2] = {-0.5, 1, 0.5, 1}\ny = affine_grid(t, s)\noutput y\n",
};

static void test_by_hand(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof by_hand / sizeof *by_hand); k++) {
        Arena *a = arena_new();
        Case c = {.text = arena_printf(a, "graph \"t\"\n%s", by_hand[k])};
        run_case(&c);
        for (int i = 0; i < c.nout; i++) {
            assert_non_null(c.want[i]);
            compare(c.text, c.out[i], c.want[i]);
        }
        free_case(&c);
        arena_free(a);
    }
}

/* ---- against loops ---- */

static Tensor *filled(int rank, const int64_t *dims, uint64_t seed)
{
    Tensor *t = tensor_new(DT_F32, rank, dims, NULL);
    assert_non_null(t);
    tensor_fill_random(t, seed);
    return t;
}

/* Runs `text` on `in` and compares output 0 with `want`. Takes all references. */
static void check_loops(const char *text, int nin, Tensor **in, Tensor *want)
{
    Case c = {.text = text, .in = in};
    run_case(&c);
    compare(text, c.out[0], want);
    free_case(&c);
    for (int k = 0; k < nin; k++)
        tensor_unref(in[k]);
    tensor_unref(want);
}

/* Two spatial dims; a second of extent 1 serves for one. */
typedef struct Shape {
    int64_t n, c, k, in[2], kernel[2], stride[2], dilation[2], pad[4], group, more[2];
} Shape;

static const float *at4(const Tensor *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (const float *)t->data + ((a * t->dim[1] + b) * t->dim[2] + c) * t->dim[3] + d;
}

/* The input position of output o and kernel position r in dim k; false: in the padding. */
static bool position(const Shape *s, int k, int64_t o, int64_t r, int64_t *i)
{
    *i = o * s->stride[k] + r * s->dilation[k] - s->pad[k];
    return *i >= 0 && *i < s->in[k];
}

static void conv_loops(const Shape *s, const Tensor *x, const Tensor *w, const Tensor *b, Tensor *y)
{
    const int64_t per = s->c / s->group, outs = s->k / s->group;
    float *out = y->data;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t p = 0; p < y->dim[2]; p++)
                for (int64_t q = 0; q < y->dim[3]; q++) {
                    double sum = ((const float *)b->data)[k];
                    for (int64_t c = 0; c < per; c++)
                        for (int64_t r = 0; r < s->kernel[0]; r++)
                            for (int64_t t = 0; t < s->kernel[1]; t++) {
                                int64_t i, j;
                                if ((int)position(s, 0, p, r, &i) & (int)position(s, 1, q, t, &j))
                                    sum += (double)*at4(x, n, k / outs * per + c, i, j) *
                                           *at4(w, k, c, r, t);
                            }
                    *out++ = (float)sum;
                }
}

static const char *window_attrs(Arena *a, const Shape *s)
{
    return arena_printf(a, "strides=[%d,%d] dilations=[%d,%d] pads=[%d,%d,%d,%d] group=%d",
                        (int)s->stride[0], (int)s->stride[1], (int)s->dilation[0],
                        (int)s->dilation[1], (int)s->pad[0], (int)s->pad[1], (int)s->pad[2],
                        (int)s->pad[3], (int)s->group);
}

static const Shape conv_shapes[] = {
    {1, 3, 4, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1, {0, 0}},
    {2, 2, 3, {7, 5}, {3, 2}, {2, 1}, {1, 2}, {1, 0, 2, 1}, 1, {0, 0}},
    {1, 4, 6, {4, 4}, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 2, {0, 0}},
    {1, 3, 3, {6, 5}, {3, 3}, {1, 2}, {1, 1}, {1, 1, 1, 1}, 3, {0, 0}},
    {1, 2, 4, {6, 1}, {3, 1}, {3, 1}, {2, 1}, {2, 0, 2, 0}, 2, {0, 0}},
};

/* The batch and a spatial dim as symbols: one graph for all sizes. */
static void test_conv(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof conv_shapes / sizeof *conv_shapes); k++) {
        const Shape *s = &conv_shapes[k];
        Arena *a = arena_new();
        int64_t y[4] = {s->n, s->k};
        for (int d = 0; d < 2; d++)
            y[2 + d] =
                (s->in[d] + s->pad[d] + s->pad[2 + d] - (s->kernel[d] - 1) * s->dilation[d] - 1) /
                    s->stride[d] +
                1;
        Tensor *in[] = {
            filled(4, (int64_t[]){s->n, s->c, s->in[0], s->in[1]}, 1),
            filled(4, (int64_t[]){s->k, s->c / s->group, s->kernel[0], s->kernel[1]}, 2),
            filled(1, &s->k, 3),
        };
        Tensor *want = tensor_new(DT_F32, 4, y, NULL);
        conv_loops(s, in[0], in[1], in[2], want);
        const char *text = arena_printf(
            a,
            "graph \"t\"\nsym N 1 8\nsym H 4 64\ninput x f32[N,%d,H,%d]\ninput w f32[%d,%d,%d,%d]\n"
            "input b f32[%d]\ny = conv(x, w, b) %s\noutput y\n",
            (int)s->c, (int)s->in[1], (int)s->k, (int)(s->c / s->group), (int)s->kernel[0],
            (int)s->kernel[1], (int)s->k, window_attrs(a, s));
        check_loops(text, 3, in, want);
        arena_free(a);
    }
}

/* Every input spread over the outputs it reaches: the definition, where op/ gathers. */
static void transpose_loops(const Shape *s, const Tensor *x, const Tensor *w, Tensor *y)
{
    const int64_t per = s->c / s->group, outs = s->k / s->group;
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t c = 0; c < s->c; c++)
            for (int64_t i = 0; i < s->in[0]; i++)
                for (int64_t j = 0; j < s->in[1]; j++)
                    for (int64_t k = 0; k < outs; k++)
                        for (int64_t r = 0; r < s->kernel[0]; r++)
                            for (int64_t t = 0; t < s->kernel[1]; t++) {
                                const int64_t p = i * s->stride[0] + r * s->dilation[0] - s->pad[0];
                                const int64_t q = j * s->stride[1] + t * s->dilation[1] - s->pad[1];
                                if (p < 0 || p >= y->dim[2] || q < 0 || q >= y->dim[3])
                                    continue;
                                float *o = (float *)(uintptr_t)at4(y, n, c / per * outs + k, p, q);
                                *o += *at4(x, n, c, i, j) * *at4(w, c, k, r, t);
                            }
}

static const Shape transpose_shapes[] = {
    {1, 2, 3, {3, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1, {0, 0}},
    {2, 2, 2, {4, 3}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1, {1, 1}},
    {1, 4, 6, {3, 3}, {4, 3}, {3, 1}, {1, 2}, {1, 0, 0, 2}, 2, {0, 0}},
    {1, 1, 2, {3, 4}, {3, 2}, {2, 3}, {2, 2}, {1, 1, 2, 0}, 1, {0, 1}},
    {1, 3, 3, {5, 1}, {1, 1}, {2, 1}, {1, 1}, {0, 0, 0, 0}, 3, {1, 0}},
    {1, 2, 2, {2, 3}, {5, 5}, {2, 2}, {1, 1}, {3, 2, 2, 3}, 1, {0, 0}},
};

static void test_conv_transpose(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof transpose_shapes / sizeof *transpose_shapes); k++) {
        const Shape *s = &transpose_shapes[k];
        Arena *a = arena_new();
        int64_t y[4] = {s->n, s->k};
        for (int d = 0; d < 2; d++)
            y[2 + d] = s->stride[d] * (s->in[d] - 1) + s->more[d] +
                       (s->kernel[d] - 1) * s->dilation[d] + 1 - s->pad[d] - s->pad[2 + d];
        Tensor *in[] = {
            filled(4, (int64_t[]){s->n, s->c, s->in[0], s->in[1]}, 1),
            filled(4, (int64_t[]){s->c, s->k / s->group, s->kernel[0], s->kernel[1]}, 2),
        };
        Tensor *want = tensor_new(DT_F32, 4, y, NULL);
        transpose_loops(s, in[0], in[1], want);
        const char *text = arena_printf(
            a,
            "graph \"t\"\nsym H 1 64\ninput x f32[%d,%d,H,%d]\ninput w f32[%d,%d,%d,%d]\n"
            "y = conv_transpose(x, w) %s output_padding=[%d,%d]\noutput y\n",
            (int)s->n, (int)s->c, (int)s->in[1], (int)s->c, (int)(s->k / s->group),
            (int)s->kernel[0], (int)s->kernel[1], window_attrs(a, s), (int)s->more[0],
            (int)s->more[1]);
        check_loops(text, 2, in, want);
        arena_free(a);
    }
}

typedef enum PoolKind { POOL_MAX, POOL_AVERAGE, POOL_AVERAGE_PADS } PoolKind;

/* A window may hang over the pads with ceil_mode; there nothing counts. */
static void pool_loops(const Shape *s, PoolKind kind, const Tensor *x, Tensor *y)
{
    float *out = y->data;
    for (int64_t c = 0; c < y->dim[1]; c++)
        for (int64_t p = 0; p < y->dim[2]; p++)
            for (int64_t q = 0; q < y->dim[3]; q++) {
                double sum = 0, max = -INFINITY, count = 0;
                for (int64_t r = 0; r < s->kernel[0]; r++)
                    for (int64_t t = 0; t < s->kernel[1]; t++) {
                        int64_t i, j;
                        const bool inside =
                            (int)position(s, 0, p, r, &i) & (int)position(s, 1, q, t, &j);
                        count += inside || (kind == POOL_AVERAGE_PADS && i < s->in[0] + s->pad[2] &&
                                            j < s->in[1] + s->pad[3]);
                        if (!inside)
                            continue;
                        sum += *at4(x, 0, c, i, j);
                        max = fmax(max, *at4(x, 0, c, i, j));
                    }
                *out++ = (float)(kind == POOL_MAX ? max : sum / count);
            }
}

static const Shape pool_shapes[] = {
    {1, 2, 2, {6, 6}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1, {0, 0}},
    {1, 1, 1, {7, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1, {0, 0}},
    {1, 2, 2, {6, 7}, {3, 2}, {2, 3}, {1, 1}, {1, 0, 0, 1}, 1, {0, 0}},
    {1, 1, 1, {8, 8}, {2, 3}, {3, 2}, {2, 2}, {1, 1, 1, 2}, 1, {0, 0}},
};

static void check_pool(const Shape *s, PoolKind kind, int ceil_mode)
{
    Arena *a = arena_new();
    int64_t y[4] = {1, s->c};
    for (int d = 0; d < 2; d++) {
        const int64_t room =
            s->in[d] + s->pad[d] + s->pad[2 + d] - (s->kernel[d] - 1) * s->dilation[d] - 1;
        y[2 + d] = room / s->stride[d] + 1;
        if (ceil_mode && room % s->stride[d] && y[2 + d] * s->stride[d] < s->in[d] + s->pad[d])
            y[2 + d]++;
    }
    Tensor *in[] = {filled(4, (int64_t[]){1, s->c, s->in[0], s->in[1]}, 1)};
    Tensor *want = tensor_new(DT_F32, 4, y, NULL);
    pool_loops(s, kind, in[0], want);
    const char *text = arena_printf(
        a,
        "graph \"t\"\nsym W 4 64\ninput x f32[1,%d,%d,W]\ny = %s(x) kernel_shape=[%d,%d] "
        "ceil_mode=%d count_include_pad=%d %s\noutput y\n",
        (int)s->c, (int)s->in[0], kind == POOL_MAX ? "max_pool" : "average_pool", (int)s->kernel[0],
        (int)s->kernel[1], ceil_mode, kind == POOL_AVERAGE_PADS, window_attrs(a, s));
    check_loops(text, 1, in, want);
    arena_free(a);
}

static void test_pools(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof pool_shapes / sizeof *pool_shapes); k++)
        for (int kind = POOL_MAX; kind <= POOL_AVERAGE_PADS; kind++)
            for (int ceil_mode = 0; ceil_mode < 2; ceil_mode++)
                check_pool(&pool_shapes[k], (PoolKind)kind, ceil_mode);
}

/* (B,1,M,K) x (G,K,N): batch dims broadcast. */
static void test_matmul(void **state)
{
    (void)state;
    enum { B = 2, G = 3, M = 2, K = 5, N = 4 };
    Tensor *in[] = {filled(4, (int64_t[]){B, 1, M, K}, 1), filled(3, (int64_t[]){G, K, N}, 2)};
    Tensor *want = tensor_new(DT_F32, 4, (int64_t[]){B, G, M, N}, NULL);
    const float *x = in[0]->data, *w = in[1]->data;
    float *y = want->data;
    for (int b = 0; b < B; b++)
        for (int g = 0; g < G; g++)
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) {
                    double sum = 0;
                    for (int k = 0; k < K; k++)
                        sum += (double)x[(b * M + m) * K + k] * w[(g * K + k) * N + n];
                    *y++ = (float)sum;
                }
    check_loops("graph \"t\"\nsym B 1 9\nsym K 1 9\ninput x f32[B,1,2,K]\ninput w f32[3,K,4]\n"
                "y = matmul(x, w)\noutput y\n",
                2, in, want);
}

/* ---- what is refused ---- */

static const struct {
    const char *text, *message;
} refused[] = {
    {"input x f32[1,3,8,8]\ninput w f32[4,2,3,3]\ny = conv(x, w)\noutput y\n", "3 and 2"},
    {"input x f32[1,1,2,2]\ninput w f32[1,1,3,3]\ny = conv(x, w)\noutput y\n", "larger than"},
    {"input x f32[2,3]\ninput w f32[4,2]\ny = matmul(x, w)\noutput y\n", "3 and 4"},
    {"input x f32[2,3]\ny = max_pool(x) kernel_shape=[2]\noutput y\n", "rank 2"},
    {"input x f32[1,1,4]\ny = max_pool(x) kernel_shape=[2] strides=[0]\noutput y\n", "strides[0]"},
    {"input x f32[2]\ny = softmax(x) axis=1\noutput y\n", "axis 1"},
    {"input x f32[2]\ny = einsum(x) equation=\"ij->i\"\noutput y\n", "equation"},
    {"input x f32[2,2]\ny = einsum(x) equation=\"ij->k\"\noutput y\n", "label"},
    {"input x f32[2]\ny = einsum(x, _, x) equation=\"i,i,i\"\noutput y\n", "input 1 is missing"},
    {"input x f32[2]\ny = concat(x, _) axis=0\noutput y\n", "input 1 is missing"},
    {"input x f32[2]\ny = max(x, _, x)\noutput y\n", "input 1 is missing"},
    {"input x u8[1,2,3]\ninput w i8[4,2,1]\ninput z u8[]\ninput v i8[3]\n"
     "y = conv_integer(x, w, z, v)\noutput y\n",
     "3 and 4"},
    {"input a u8[2,3]\ninput b u8[3,4]\ninput z u8[3]\ny = matmul_integer(a, b, z)\noutput y\n",
     "3 and 2"},
    {"input x f32[4]\ninput s f32[3]\ny = quantize_linear(x, s) axis=0\noutput y\n", "4 and 3"},
};

static void infer_job(Context *ctx, void *arg)
{
    op_infer_graph(graph_parse(ctx, "case", arg, strlen(arg)));
}

static void test_refused(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof refused / sizeof *refused); k++) {
        Arena *a = arena_new();
        Error e;
        char *text = arena_printf(a, "graph \"t\"\n%s", refused[k].text);
        assert_int_equal(job_run(a, infer_job, text, &e, NULL), ERR_INVALID);
        if (!strstr(e.message, refused[k].message))
            FAIL_MSG("'%s' is not in '%s'", refused[k].message, e.message);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_transpose), cmocka_unit_test(test_pools),
        cmocka_unit_test(test_matmul),         cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
