/* Graphs of narrow images and products, bytes and bf16, as compiled: on vectors of this machine, on
 * bytes as they are (AVX-VNNI) and on tiles (AMX), emulated where the CPU has none. Integers are
 * compared with the reference executor element by element. */
#include <math.h>

#include "codegen/tile_emulator.h"

#include "run_text.h"

#include "op/op.h"
#include "op/reference.h"

typedef struct Case {
    const char *name, *text; /* a constant of n elements can be written w<n> */
    bool dots, tiles;        /* has products for them */
} Case;

/* Scales are powers of two, so that no sum is rounded before it is rescaled. */
#define SCALES "const s f32[] = 0.5\nconst t f32[] = 64\nconst a u8[] = 3\nconst z i8[] = 0\n"
static const Case integers[] = {
    {"chain",
     "graph \"g\"\n" SCALES
     "input x u8[1,64,3,17]\nconst w i8[64,64,2,2] = {w16384}\nconst v i8[64,64,1,1] = {w4096}\n"
     "const b i32[64] = {w64}\n"
     "p = qlinear_conv(x, s, a, w, s, z, t, a, b) pads=[1,1,0,0]\n"
     "q = qlinear_conv(p, s, a, v, s, z, t, a) strides=[2,2]\n"
     "r = max_pool(q) kernel_shape=[2,2]\n"
     "y = qlinear_conv(r, s, a, w, s, z, t, a, b) pads=[1,0,1,2]\noutput y\n",
     true, true},
    {"signed, unsigned, no zero points",
     "graph \"g\"\n" SCALES
     "const u u8[] = 0\ninput x i8[2,64,3,18]\nconst w u8[64,64,1,3] = {w12288}\n"
     "const v i8[64,64,1,1] = {w4096}\n"
     "f = conv_integer(x, w) pads=[0,1,0,1]\ng = cast(f) to=1\nh = quantize_linear(g, t, z)\n"
     "y = conv_integer(h, v)\noutput y\n",
     false, true},
    {"channels that fill no row of a tile",
     "graph \"g\"\n" SCALES
     "input x u8[1,24,7,8]\nconst w i8[40,24,3,3] = {w8640}\nconst v i8[48,40,1,1] = {w1920}\n"
     "p = qlinear_conv(x, s, a, w, s, z, t, a) pads=[1,1,1,1]\n"
     "q = qlinear_conv(p, s, a, v, s, z, t, a)\ny = max_pool(q) kernel_shape=[2,2]\noutput y\n",
     true, false},
    {"joined and parted",
     "graph \"g\"\n" SCALES
     "input x u8[1,64,3,17]\nconst w i8[64,64,1,1] = {w4096}\nconst v i8[32,64,1,3] = {w6144}\n"
     "const u i8[48,96,1,1] = {w4608}\nconst n i64[2] = {24,24}\n"
     "p = qlinear_conv(x, s, a, w, s, z, t, a)\nq = qlinear_conv(p, s, a, v, s, z, t, a) "
     "pads=[0,1,0,1]\n"
     "c = concat(p, q) axis=1\nr = qlinear_conv(c, s, a, u, s, z, t, a)\nleft, right = split(r, n) "
     "axis=1\n"
     "y = max_pool(left) kernel_shape=[1,2]\nk = max_pool(right) kernel_shape=[2,1]\noutput y, k\n",
     true, true},
    {"borders in the array",
     "graph \"g\"\n" SCALES
     "input x u8[1,16,16,32]\nconst w i8[128,16,1,1] = {w2048}\nconst v i8[4,128,1,3] = {w1536}\n"
     "const e i8[4] = {w4}\nconst u i8[16,128,1,2] = {w4096}\n"
     "p = qlinear_conv(x, s, a, w, s, z, t, a)\nq = qlinear_conv(p, s, a, u, s, z, t, a) "
     "pads=[0,1,0,0]\n"
     "m = max_pool(p) kernel_shape=[1,1]\nr = conv_integer(m, v, a, e) pads=[0,2,0,1]\nf = cast(r) "
     "to=1\n"
     "h = quantize_linear(f, t, a)\ny = concat(h, h) axis=1\nk = max_pool(q) "
     "kernel_shape=[2,2]\noutput y, k\n",
     false, true},
    {"matrices",
     "graph \"g\"\n" SCALES
     "input x u8[5,64]\nconst w i8[64,48] = {w3072}\nconst v i8[48,32] = {w1536}\n"
     "const u i8[2,64,16] = {w2048}\nconst m u8[5] = {1,2,3,4,5}\nconst n i64[3] = {1,5,64}\n"
     "p = qlinear_matmul(x, s, a, w, s, z, t, a)\nf = cast(x) to=1\n"
     "d, e, o = dynamic_quantize_linear(f)\nq = matmul_integer(d, w, o)\nr = qlinear_matmul(p, s, "
     "a, v, s, z, t, a)\n"
     "h = reshape(x, n)\ni = matmul_integer(h, u, a)\n"
     "j = reduce_sum(i) keepdims=0\nk = cast(r) to=6\ny = add(k, j)\noutput y, q\n",
     true, false},
    {"signed matrices",
     "graph \"g\"\nconst a i8[] = -5\ninput x i8[16,64]\nconst w i8[64,48] = {w3072}\nconst z i8[] "
     "= 0\n"
     "const l i8[1] = 3\ny = matmul_integer(x, w, a)\nk = matmul_integer(x, w, l)\noutput y, k\n",
     true, true},
    {"groups, depthwise, zero points of weights",
     "graph \"g\"\n" SCALES
     "const o i8[] = -7\ninput x u8[1,32,9,9]\nconst w i8[64,16,3,3] = {w9216}\n"
     "const d i8[64,1,3,3] = {w576}\nconst v i8[16,64,1,1] = {w1024}\n"
     "p = qlinear_conv(x, s, a, w, s, o, t, a) group=2 pads=[1,1,1,1]\n"
     "q = qlinear_conv(p, s, a, d, s, o, t, a) group=64 pads=[1,1,1,1] strides=[2,2]\n"
     "y = qlinear_conv(q, s, a, v, s, o, t, a)\noutput y\n",
     false, false},
};

static const Case floats[] = {
    {"residual",
     "graph \"g\"\ninput x f32[1,64,6,18]\nconst w f32[64,64,3,1] = {w12288}\nconst v "
     "f32[96,64,1,1] = {w6144}\n"
     "const u f32[64,96,1,3] = {w18432}\n"
     "a = conv(x, w) pads=[1,0,1,0]\nb = relu(a)\nc = conv(b, w) pads=[1,0,1,0]\nd = add(c, b)\ne "
     "= relu(d)\n"
     "f = conv(e, v) strides=[2,2]\nh = conv(f, u) pads=[0,1,0,1] strides=[2,2]\ny = "
     "relu(h)\noutput y\n",
     false, true},
    {"24 channels",
     "graph \"g\"\ninput x f32[1,24,10,9]\nconst w f32[48,24,3,3] = {w10368}\nconst d "
     "f32[48,1,3,3] = {w432}\n"
     "a = conv(x, w) pads=[1,1,1,1]\nb = conv(a, d) group=48 pads=[1,1,1,1]\nc = concat(a, b) "
     "axis=1\n"
     "const v f32[16,96,1,1] = {w1536}\ny = conv(c, v)\noutput y\n",
     false, false},
    {"parts of vectors",
     "graph \"g\"\ninput x f32[1,40,11,9]\nconst w f32[120,40,1,1] = {w4800}\nconst d "
     "f32[120,1,3,3] = {w1080}\n"
     "const v f32[40,120,3,3] = {w43200}\na = conv(x, w)\nb = relu(a)\nc = conv(b, d) group=120 "
     "pads=[1,1,1,1]\n"
     "e = max_pool(c) kernel_shape=[3,3] strides=[1,1] pads=[1,1,1,1]\nf = conv(e, v) "
     "pads=[1,1,1,1]\n"
     "const i i64[2] = {2,3}\nh = add(f, x)\ny = conv(h, w)\nm = reduce_mean(h, i) "
     "keepdims=1\noutput y, m\n",
     false, true},
    {"few channels",
     "graph \"g\"\ninput x f32[2,3,33,35]\nconst w f32[48,3,7,7] = {w7056}\nconst v f32[48] = "
     "{w48}\n"
     "a = conv(x, w, v) strides=[2,2] pads=[3,3,3,3]\nb = relu(a)\n"
     "const u f32[32,3,3,2] = {w576}\ny = conv(x, u) dilations=[2,1] pads=[0,1,2,0]\noutput b, y\n",
     false, true},
    {"one channel",
     "graph \"g\"\ninput x f32[1,1,28,30]\nconst w f32[32,1,5,5] = {w800}\ny = conv(x, w) "
     "pads=[1,2,2,1]\noutput y\n",
     false, true},
};

/* The text with its constants written out: from -9 to 9. */
static const char *write_out(Arena *a, const char *text)
{
    Str s = str_new(a);
    for (const char *p = text; *p; p++) {
        char *end;
        const long n = p[0] == '{' && p[1] == 'w' ? strtol(p + 2, &end, 10) : 0;
        if (n == 0) {
            str_addc(&s, *p);
            continue;
        }
        str_addc(&s, '{');
        for (long i = 0; i < n; i++) {
            const long v = (i * 7 + i / 19 + n) % 19;
            str_addf(&s, "%s%ld", i ? "," : "", strstr(text, "w u8") ? v : v - 9);
        }
        p = end - 1;
    }
    return str_text(&s);
}

typedef struct Want {
    const char *text;
    Tensor *in, *out[2];
} Want;

static void reference_job(Context *ctx, void *arg)
{
    Want *w = arg;
    Graph *g = graph_parse(ctx, "test", w->text, strlen(w->text));
    op_infer_graph(g);
    const Value *v = &g->value.at[g->block.at[0].input.at[0]];
    int64_t dim[MAX_RANK];
    Error e = {0};
    for (int k = 0; k < v->rank; k++)
        assert_true(expr_is_int(g->x, v->dim[k], &dim[k]));
    w->in = tensor_new(v->dtype, v->rank, dim, &e);
    tensor_fill_random(w->in, 3);
    reference_run(ctx, g, &w->in, w->out);
}

static void compare(Arena *a, const Case *c, const char *on, const Tensor *got, const Tensor *want,
                    double most)
{
    const TensorDiff d = tensor_compare(got, want, 0, most);
    if (!d.same_type || !d.same_shape || d.mismatches)
        FAIL_MSG("%s on %s: %s, expected %s, %lld differ, by up to %g", c->name, on,
                 tensor_describe(a, got), tensor_describe(a, want), (long long)d.mismatches,
                 d.max_abs);
}

/* Sums of bf16 are as exact as those of f32, but what lies between products is rounded: relative to
 * the largest. */
static double tolerance(const Tensor *want, bool is_bf16)
{
    double most = 0;
    for (int64_t i = 0; i < tensor_elements(want) && is_bf16; i++)
        most = fmax(most, fabs(dtype_read(want->dtype,
                                          (const char *)want->data + i * dtype_size(want->dtype))));
    return 0.01 * most;
}

static void run_case(Arena *a, const Case *c, const Want *w, const char *on, CompileOptions opt)
{
    opt.threads = 1;
    memset(tile_emulator.count, 0, sizeof tile_emulator.count);
    Fixture f = fixture_with(w->text, &opt);
    run_on(&f, w->in);
    for (int k = 0; k < 2 && w->out[k]; k++)
        compare(a, c, on, run_output(f.r, k), w->out[k],
                tolerance(w->out[k], opt.precision != PRECISION_F32));
    finish(&f);
    if (opt.target.amx && c->tiles && !tile_emulator_idle("amx") &&
        tile_emulator.count[TILE_DOT] == 0)
        FAIL_MSG("%s: no product on tiles", c->name);
    if (opt.target.vnni && c->dots && !tile_emulator_idle("avx2-vnni") &&
        tile_emulator.count[TILE_VECTOR_DOT] == 0)
        FAIL_MSG("%s: no product of bytes", c->name);
}

static void check(const Case *c, Precision precision)
{
    Arena *a = arena_new();
    Error e = {0};
    Want w = {.text = write_out(a, c->text)};
    if (job_run(a, reference_job, &w, &e, NULL) != 0)
        FAIL_MSG("%s: %s", c->name, e.message);
    run_case(a, c, &w, "vectors",
             (CompileOptions){.target = target_native(), .precision = precision});
    /* after cmocka's handler; where the CPU has tiles, no signal is raised */
    tile_emulator_start();
    if (c->dots)
        run_case(a, c, &w, "bytes",
                 (CompileOptions){.target = tile_emulator_vnni(), .precision = precision});
    run_case(a, c, &w, "tiles",
             (CompileOptions){.target = tile_emulator_target(), .precision = precision});
    tensor_unref(w.in);
    tensor_unref(w.out[0]);
    tensor_unref(w.out[1]);
    arena_free(a);
}

static void test_integers(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof integers / sizeof integers[0]; k++)
        check(&integers[k], PRECISION_F32);
}

static void test_bf16(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof floats / sizeof floats[0]; k++)
        check(&floats[k], PRECISION_BF16_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
