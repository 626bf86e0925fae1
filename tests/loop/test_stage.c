/* Stages: builders, text both ways, copies, the verifier's refusals, structural rewrites as text.
 * (That rewrites keep the values is tested with the oracle: test_stage_rewrite.c.) */
#include "check.h"

#include "loop/stage.h"

static const char *text_of(const Stages *s)
{
    Str out = str_new(s->ctx->arena);
    stages_print(s, &out);
    return str_text(&out);
}

static Stages *read(Context *ctx, const char *text)
{
    return stages_parse(ctx, "test", text, strlen(text));
}

static void check_text(const Stages *s, const char *want)
{
    if (strcmp(text_of(s), want) != 0)
        FAIL_MSG("these stages:\n%sare not:\n%s", text_of(s), want);
}

/* parse(print(s)) and a copy print the same. */
static void check_round_trip(const Stages *s)
{
    Str why = str_new(s->ctx->arena);
    if (!stages_verify(s, &why))
        FAIL_MSG("%s", str_text(&why));
    check_text(read(s->ctx, text_of(s)), text_of(s));
    check_text(stages_copy(s->ctx, s), text_of(s));
}

static void run(JobFn fn)
{
    Error e;
    Arena *const a = arena_new();
    if (job_run(a, fn, NULL, &e, NULL))
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

#define GEMM                                                                                       \
    "sym N 1 512\n"                                                                                \
    "input a f32 [N, 768]\n"                                                                       \
    "const b f32 [768, 64] layout 1 0 1:16\n"                                                      \
    "temp acc f32 [N, 64]\n"                                                                       \
    "output y f32 [N, 64]\n"                                                                       \
    "reduce acc (m: N, n: 64; k: 768) init 0 update fma(a[m, k], b[k, n], state0)"                 \
    " combine state0 + state2_0\n"                                                                 \
    "map y (m: N, n: 64) = max(0, acc[m, n])\n"

static void text_job(Context *ctx, void *arg)
{
    (void)arg;
    static const char *const texts[] = {
        GEMM,
        "input x f32 [4, 10]\n"
        "output y f32 [4, 10]\n"
        "scan y (b: 4, t: 10) along t = select(t == 0, x[b, t], y[b, max(t - 1, 0)] + x[b, t])\n",

        "input u f32 [4]\n"
        "input idx i64 [4]\n"
        "input x f32 [10]\n"
        "output y f32 [10]\n"
        "scatter y (i: 4; j: 10) where 0 <= idx[i] init x[j] at [idx[i]] update state0 + u[i]\n",

        "sym E 8 4096 8\n"
        "input x f16 [E]\n"
        "temp best f32 []\n"
        "output at i64 []\n"
        "reduce best, at (; k: E) where k < 100 init -inf, 0"
        " update max(state0, x[k]), select(state0 < x[k], k, state1)"
        " combine max(state0, state2_0), select(state0 < state2_0, state2_1, state1)\n",

        "input x u8 [3, 3]\n"
        "output y f32 [3, 3]\n"
        "map y (i: 3, j: 3) where j < i + 1 = f32(x[i, j])*0.1\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const Stages *const s = read(ctx, texts[i]);
        /* "0 <= idx" is canonically "-1 < idx" */
        if (!strstr(texts[i], "0 <="))
            check_text(s, texts[i]);
        check_round_trip(s);
        }
}

static void test_text(void **state)
{
    (void)state;
    run(text_job);
}

static void builders_job(Context *ctx, void *arg)
{
    (void)arg;
    Exprs *const x = exprs_new(ctx);
    Stages *const s = stages_new(ctx, x);
    const Expr dims[] = {expr_sym(x, "N", 1, 100, 1), expr_int(x, 5)};
    const int in = stages_tensor(s, "conv/in", TENSOR_INPUT, DT_F32, 2, dims);
    const int same = stages_tensor(s, "conv/in", TENSOR_INPUT, DT_F32, 0, NULL);
    assert_string_equal(s->tensor.at[in].name, "conv_in");
    assert_string_equal(s->tensor.at[same].name, "conv_in_1");
    assert_int_equal(stages_find_tensor(s, "conv_in_1"), same);
    assert_int_equal(stages_find_tensor(s, "nope"), -1);

    StageBuild b = stage_begin(s, 1, dims);
    stage_reduce_axes(s, &b, 1, dims + 1);
    const Expr index[] = {b.i[0], b.r[0]};
    const Expr zero = expr_float(x, DT_F32, 0);
    const Expr old = expr_state(x, DT_F32, 0);
    const Expr sum = expr_add(x, old, stages_load(s, in, index));
    const int t = stage_reduce(s, &b, "sum", DT_F32, zero, sum, 0);

    const StageBuild m = stage_begin(s, 2, dims);
    const Expr v = expr_sub(x, stages_load(s, in, m.i), stages_load(s, t, m.i));
    const int y = stage_map(s, &m, "y", DT_F32, v);
    stage_where(s, y, expr_lt(x, m.i[1], m.i[0]));

    const StageBuild c = stage_begin(s, 2, dims);
    const int z = stage_scan_declare(s, "z", DT_F32, 2, dims);
    const Expr before[] = {expr_max(x, expr_addi(x, c.i[0], -1), expr_int(x, 0)), c.i[1]};
    stage_scan_define(s, &c, z, 0,
                      expr_add(x, stages_load(s, z, before), stages_load(s, y, c.i)));

    const StageBuild base = stage_begin(s, 2, dims);
    const StageBuild u = stage_begin(s, 1, dims);
    const Expr target[] = {u.i[0], expr_int(x, 3)};
    const int w = stage_scatter(s, &u, &base, "w", DT_F32, stages_load(s, z, base.i), target,
                                stages_load(s, t, u.i), expr_lt(x, u.i[0], expr_int(x, 7)));
    s->tensor.at[w].role = TENSOR_OUTPUT;
    check_text(s,
               "sym N 1 100\n"
               "input conv_in f32 [N, 5]\n"
               "input conv_in_1 f32 []\n"
               "temp sum f32 [N]\n"
               "temp y f32 [N, 5]\n"
               "temp z f32 [N, 5]\n"
               "output w f32 [N, 5]\n"
               "reduce sum (i: N; r: 5) init 0 update state0 + conv_in[i, r]\n"
               "map y (i: N, j: 5) where j < i = conv_in[i, j] - sum[i]\n"
               "scan z (i: N, j: 5) along i = z[max(i - 1, 0), j] + y[i, j]\n"
               "scatter w (i: N; a: N, b: 5) where i < 7 init z[a, b] at [i, 3] update sum[i]\n");
}

static void test_builders(void **state)
{
    (void)state;
    run(builders_job);
}

/* ---- refusals ---- */
static void parse_job(Context *ctx, void *arg)
{
    read(ctx, arg);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"input x f32 [4]\nmap x (i: 4) = 1", "is an input"},
        {"temp y f32 [4]\nmap y (i: 5) = 1", "not the extent"},
        {"temp y f32 [4]\nmap y (i: 4, j: 4) = 1", "rank 1"},
        {"temp y f32 [4]\nmap y (i: 4) = z[i]", "no tensor 'z'"},
        {"temp y f32 [4]\nmap y (i: 4) = y[i]", "before it is computed"},
        {"temp z f32 [4]\ntemp y f32 [4]\nmap y (i: 4) = z[i]\nmap z (i: 4) = 1",
         "before it is computed"},
        {"temp y f32 [4]\nmap y (i: 4) = f32(j)", "no variable 'j'"},
        {"temp y f32 [4]\nmap y (i: 4) = i", "i64, not f32"},
        {"temp y f32 [4]\nreduce y (i: 4; k: 3) init f32(k) update state0", "no variable 'k'"},
        {"temp y f32 [4]\nreduce y (i: 4; k: 3) init 0 update state1", "no 'state1'"},
        {"temp y f32 [4]\nreduce y (i: 4; k: 3) init 0 update state2_0", "not there"},
        {"temp y f32 [4]\nmap y (i: 4) where i = 1", "not bool"},
        {"temp y f32 [4]\nscan y (i: 4) along k = 1", "no axis 'k'"},
        {"output y f32 [4]", "nothing computes"},
        {"temp y string [4]", "type of numbers"},
        {"temp y f32 [4]\ntemp y f32 [4]", "two tensors"},
        {"temp y f32 [4, 4]\nmap y (i: 4, i: 4) = 1", "twice"},
        {"sym N 5 2", "not well-formed"},
        {"banana", "starts no line"},
        {"temp y f32 [4] 7", "end of the line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *const a = arena_new();
        Error e;
        assert_int_equal(job_run(a, parse_job, (void *)cases[i].text, &e, NULL), ERR_INVALID);
        if (!strstr(e.message, cases[i].message))
            FAIL_MSG("%s\n-> %s", cases[i].text, e.message);
        arena_free(a);
    }
}

/* ---- rewrites ---- */
static int producer(const Stages *s, const char *name)
{
    return s->tensor.at[stages_find_tensor(s, name)].stage;
}

static void inline_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "input x f32 [8, 32]\n"
                                 "temp flat f32 [256]\n"
                                 "temp p f32 [20]\n"
                                 "temp h f16 [4]\n"
                                 "output y f32 [4]\n"
                                 "map flat (i: 256) = x[i/32, i%32]\n"
                                 "map p (i: 20) where i < 10 = flat[i]*2\n"
                                 "map h (i: 4) = p[i + 8]\n"
                                 "map y (i: 4) = p[i*5] + flat[i*64 + 3] + h[i]\n");
    assert_false(stages_inline(s, producer(s, "y")));
    assert_false(stages_inline(s, producer(s, "h"))); /* it rounds to f16 */
    assert_true(stages_inline(s, producer(s, "flat")));
    assert_true(stages_inline(s, producer(s, "p")));
    check_text(s, "input x f32 [8, 32]\n"
                  "temp h f16 [4]\n"
                  "output y f32 [4]\n"
                  "map h (i: 4) = select(i < 2, x[0, i + 8]*2, 0)\n"
                  "map y (i: 4) = select(i < 2, x[0, i*5]*2, 0) + x[i*2, 3] + h[i]\n");
    check_round_trip(s);

    /* what only moves f16 is as round before, and what all readers store as f16 behind */
    Stages *const m = read(ctx, "input x f32 [8, 4]\n"
                                 "input y f16 [8]\n"
                                 "temp a f16 [8, 4]\n"
                                 "temp b f16 [4, 8]\n"
                                 "temp c f16 [8]\n"
                                 "temp d f16 [8]\n"
                                 "temp e f32 [8]\n"
                                 "output f f16 [4, 8]\n"
                                 "output g f16 [8]\n"
                                 "map a (i: 8, j: 4) = x[i, j]*2\n"
                                 "map b (i: 4, j: 8) = a[j, i]\n"
                                 "map c (i: 8) where i < 5 = y[i]\n"
                                 "map d (i: 8) = c[i]*0.5\n"
                                 "map e (i: 8) = c[i]*3\n"
                                 "map f (i: 4, j: 8) = select(j < 7, b[i, j + 1], 0)\n"
                                 "map g (i: 8) = select(d[i] < 1, e[i], d[i])\n");
    assert_true(stages_inline(m, producer(m, "a")));
    assert_true(stages_inline(m, producer(m, "b")));
    assert_true(stages_inline(m, producer(m, "c")));
    assert_false(stages_inline(m, producer(m, "d"))); /* it is compared */
    assert_true(stages_inline(m, producer(m, "e")));
    check_text(m, "input x f32 [8, 4]\n"
                  "input y f16 [8]\n"
                  "temp d f16 [8]\n"
                  "output f f16 [4, 8]\n"
                  "output g f16 [8]\n"
                  "map d (i: 8) = select(i < 5, y[i], 0)*0.5\n"
                  "map f (i: 4, j: 8) = select(j < 7, x[j + 1, i]*2, 0)\n"
                  "map g (i: 8) = select(d[i] < 1, select(i < 5, y[i], 0)*3, d[i])\n");
    check_round_trip(m);

    /* g stands between a SCAN and its past. */
    Stages *const c = read(ctx, "input x f32 [9]\n"
                                 "temp z f32 [9]\n"
                                 "temp g f32 [9]\n"
                                 "temp h f32 [9]\n"
                                 "output y f32 [9]\n"
                                 "map z (t: 9) = x[t] + 1\n"
                                 "map g (t: 9) = h[max(t - 1, 0)]*2\n"
                                 "scan h (t: 9) along t = select(t == 0, z[t], g[t])\n"
                                 "map y (t: 9) = h[t]\n");
    check_round_trip(c);
    assert_false(stages_inline(c, producer(c, "g")));
    assert_false(stages_inline(c, producer(c, "h")));
    assert_true(stages_inline(c, producer(c, "z")));
    check_round_trip(c);
}

static void test_inline(void **state)
{
    (void)state;
    run(inline_job);
}

static void caches_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, GEMM);
    assert_int_equal(stages_cache_write(s, 0), 0);
    assert_int_equal(stages_cache_read(s, stages_find_tensor(s, "a"), 0, "a.tile"), 0);
    check_text(s, "sym N 1 512\n"
                  "input a f32 [N, 768]\n"
                  "const b f32 [768, 64] layout 1 0 1:16\n"
                  "temp acc f32 [N, 64]\n"
                  "output y f32 [N, 64]\n"
                  "temp acc.acc f32 [N, 64]\n"
                  "temp a.tile f32 [N, 768]\n"
                  "map a.tile (i: N, j: 768) = a[i, j]\n"
                  "reduce acc.acc (m: N, n: 64; k: 768) init 0 update"
                  " fma(a.tile[m, k], b[k, n], state0) combine state0 + state2_0\n"
                  "map acc (m: N, n: 64) = acc.acc[m, n]\n"
                  "map y (m: N, n: 64) = max(0, acc[m, n])\n");
    check_round_trip(s);
}

static void test_caches(void **state)
{
    (void)state;
    run(caches_job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_builders),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_inline),
        cmocka_unit_test(test_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
