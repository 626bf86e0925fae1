/* The oracle against plain loops; chosen elements against whole runs; double against exact within
 * the computed bound; evaluation on expressions. */
#include "check.h"

#include <math.h>

#include "loop/oracle.h"

static Stages *read(Context *ctx, const char *text)
{
    return stages_parse(ctx, "test", text, strlen(text));
}

static Expr symbol(const Stages *s, const char *name)
{
    for (int i = 0; i < s->x->var.len; i++)
        if (s->x->var.at[i].kind == VAR_SYM && strcmp(s->x->var.at[i].name, name) == 0)
            return (Expr)i;
    FAIL_MSG("no symbol %s", name);
    return 0;
}

static void drop(void *t)
{
    tensor_unref(t);
}

/* Tensors of all inputs (random), constants and outputs (zero), dims by sym. */
static Tensor **tensors_for(Stages *s, const int64_t *sym)
{
    Tensor **const t = arena_array_of(s->ctx->arena, s->tensor.len, Tensor *);
    for (int i = 0; i < s->tensor.len; i++) {
        const StageTensor *const st = &s->tensor.at[i];
        if (st->role == TENSOR_TEMP)
            continue;
        int64_t dim[MAX_RANK];
        for (int k = 0; k < st->rank; k++)
            dim[k] = expr_eval_int(s->x, st->dim[k], sym);
        t[i] = tensor_new(st->dtype, st->rank, dim, NULL);
        arena_defer(s->ctx->arena, drop, t[i]);
        if (st->role != TENSOR_OUTPUT)
            tensor_fill_random(t[i], (uint64_t)i + 1);
    }
    return t;
}

static Tensor *named(const Stages *s, Tensor **t, const char *name)
{
    return t[stages_find_tensor(s, name)];
}

static float *floats(const Stages *s, Tensor **t, const char *name)
{
    return named(s, t, name)->data;
}

static void run(JobFn fn)
{
    Error e;
    Arena *const a = arena_new();
    if (job_run(a, fn, NULL, &e, NULL))
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

/* Every element alone equals the whole run, and is within the bound of the double one. */
static void check_elements(Stages *s, const int64_t *sym, Tensor **t, const char *name)
{
    const int id = stages_find_tensor(s, name);
    for (int64_t k = 0; k < tensor_elements(t[id]); k++) {
        Scalar exact, wide;
        double magnitude;
        oracle_elements(s, sym, t, ORACLE_EXACT, id, 1, &k, &exact, NULL);
        oracle_elements(s, sym, t, ORACLE_DOUBLE, id, 1, &k, &wide, &magnitude);
        const char *const p = (const char *)t[id]->data + k * dtype_size(t[id]->dtype);
        if (!dtype_is_float(t[id]->dtype)) {
            assert_int_equal(exact.i, dtype_read_int(t[id]->dtype, p));
            continue;
        }
        assert_true((float)exact.f == (float)dtype_read(t[id]->dtype, p));
        if (!(fabs(exact.f - wide.f) <= 8 * ORACLE_EPS * magnitude))
            FAIL_MSG("%s[%d]: %.9g, %.17g in double, magnitude %g", name, (int)k, exact.f, wide.f,
                     magnitude);
    }
}

static void gemm_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "sym N 1 512\n"
                                "input a f32 [N, 33]\n"
                                "const b f32 [33, 5]\n"
                                "input c f32 [5]\n"
                                "temp acc f32 [N, 5]\n"
                                "output y f32 [N, 5]\n"
                                "reduce acc (m: N, n: 5; k: 33) init c[n] update"
                                " fma(a[m, k], b[k, n], state0)\n"
                                "map y (m: N, n: 5) where m + n < 8 = max(0, acc[m, n])\n");
    int64_t *const sym = arena_array_of(ctx->arena, s->x->var.len, int64_t);
    sym[symbol(s, "N")] = 7;
    Tensor **const t = tensors_for(s, sym);
    oracle_run(s, sym, t);
    for (int m = 0; m < 7; m++)
        for (int n = 0; n < 5; n++) {
            float acc = floats(s, t, "c")[n];
            for (int k = 0; k < 33; k++)
                acc = fmaf(floats(s, t, "a")[m * 33 + k], floats(s, t, "b")[k * 5 + n], acc);
            const float want = m + n < 8 && acc > 0 ? acc : 0;
            assert_true(floats(s, t, "y")[m * 5 + n] == want);
        }
    check_elements(s, sym, t, "y");
}

/* b lies in panels; the result does not change. */
static void layout_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "const b f32 [6, 20]\n"
                                "output y f32 [6, 20]\n"
                                "map y (i: 6, j: 20) = b[i, j]*2\n");
    Tensor **const t = tensors_for(s, NULL);
    Lexer lex = lex_new(ctx, "layout", "1 0 1:16", 8, false);
    const Layout panels = layout_parse(&lex);
    const int64_t dims[] = {6, 20};
    const size_t bytes = 4 * (size_t)layout_elements(&panels, 2, dims);
    float *const in = arena_alloc(ctx->arena, bytes);
    float *const out = arena_alloc(ctx->arena, bytes);
    for (int64_t i = 0; i < 6; i++)
        for (int64_t j = 0; j < 20; j++) {
            const int64_t at[] = {i, j};
            in[layout_offset(&panels, 2, dims, at)] = floats(s, t, "b")[i * 20 + j];
        }
    Tensor *packed[] = {tensor_wrap(DT_F32, 2, dims, in, bytes, NULL, NULL),
                        tensor_wrap(DT_F32, 2, dims, out, bytes, NULL, NULL)};
    packed[0]->layout = packed[1]->layout = panels;
    oracle_run(s, NULL, packed);
    for (int64_t i = 0; i < 6; i++)
        for (int64_t j = 0; j < 20; j++) {
            const int64_t at[] = {i, j};
            assert_true(out[layout_offset(&panels, 2, dims, at)] ==
                        2 * floats(s, t, "b")[i * 20 + j]);
        }
    tensor_unref(packed[0]);
    tensor_unref(packed[1]);
}

static void softmax_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s =
        read(ctx, "input x f32 [3, 40]\n"
                  "temp m f32 [3]\n"
                  "temp z f32 [3]\n"
                  "temp h f16 [3, 40]\n"
                  "output y f32 [3, 40]\n"
                  "output q u8 [3, 40]\n"
                  "output best f32 [3]\n"
                  "output at i64 [3]\n"
                  "reduce m (i: 3; k: 40) init -inf update max(state0, x[i, k])\n"
                  "reduce z (i: 3; k: 40) init 0 update state0 + exp(x[i, k] - m[i])\n"
                  "map h (i: 3, j: 40) = exp(x[i, j] - m[i])/z[i]\n"
                  "map y (i: 3, j: 40) = h[i, j]*3\n"
                  "map q (i: 3, j: 40) = u8(round(y[i, j]*100))\n"
                  "reduce best, at (i: 3; k: 40) init -inf, 0 update"
                  " max(state0, x[i, k]), select(state0 < x[i, k], k, state1)\n");
    Tensor **const t = tensors_for(s, NULL);
    oracle_run(s, NULL, t);
    for (int i = 0; i < 3; i++) {
        const float *const x = floats(s, t, "x") + i * 40;
        float m = -INFINITY, z = 0;
        int at = 0;
        for (int k = 0; k < 40; k++)
            if (x[k] > m) {
                m = x[k];
                at = k;
            }
        for (int k = 0; k < 40; k++)
            z += (float)exp((double)(x[k] - m));
        for (int k = 0; k < 40; k++) {
            const float p = (float)exp((double)(x[k] - m)) / z;
            assert_true(floats(s, t, "y")[i * 40 + k] == f16_to_f32(f32_to_f16(p)) * 3);
        }
        assert_true(floats(s, t, "best")[i] == m);
        assert_int_equal(((int64_t *)named(s, t, "at")->data)[i], at);
    }
    check_elements(s, NULL, t, "y");
    check_elements(s, NULL, t, "q");
    check_elements(s, NULL, t, "at");
}

/* h[t] = tanh(sum over k of h[t - 1, k]*w[k, j] + x[t, j]), the sum a stage in the cycle. */
static void scan_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s =
        read(ctx, "input x f32 [9, 4]\n"
                  "const w f32 [4, 4]\n"
                  "temp g f32 [9, 4]\n"
                  "output h f32 [9, 4]\n"
                  "output c f32 [4, 9]\n"
                  "reduce g (t: 9, j: 4; k: 4) init 0 update"
                  " state0 + select(t == 0, 0, h[max(t - 1, 0), k])*w[k, j]\n"
                  "scan h (t: 9, j: 4) along t = tanh(g[t, j] + x[t, j])\n"
                  "scan c (j: 4, t: 9) along t = select(t == 0, 0, c[3 - j, max(t - 1, 0)]) +"
                  " h[t, j]\n");
    Tensor **const t = tensors_for(s, NULL);
    oracle_run(s, NULL, t);
    float h[4] = {0}, c[4] = {0};
    for (int step = 0; step < 9; step++) {
        float next[4], sum[4];
        for (int j = 0; j < 4; j++) {
            float g = 0;
            for (int k = 0; k < 4; k++)
                g += h[k] * floats(s, t, "w")[k * 4 + j];
            next[j] = (float)tanh((double)(g + floats(s, t, "x")[step * 4 + j]));
            sum[j] = c[3 - j] + next[j];
        }
        memcpy(h, next, sizeof h);
        memcpy(c, sum, sizeof c);
        for (int j = 0; j < 4; j++) {
            assert_true(floats(s, t, "h")[step * 4 + j] == h[j]);
            assert_true(floats(s, t, "c")[j * 9 + step] == c[j]);
        }
    }
    check_elements(s, NULL, t, "h");
    check_elements(s, NULL, t, "c");
}

/* The last element of a long chain alone: the recursion must stay flat. */
static void long_scan_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "input x f32 [100000]\n"
                                "temp p f32 [100000]\n"
                                "output y f32 [100000]\n"
                                "map p (t: 100000) = select(t == 0, 0, y[max(t - 1, 0)])\n"
                                "scan y (t: 100000) along t = p[t] + x[t]\n");
    Tensor **const t = tensors_for(s, NULL);
    oracle_run(s, NULL, t);
    const int id = stages_find_tensor(s, "y");
    const int64_t last = 99999;
    Scalar v;
    double m;
    oracle_elements(s, NULL, t, ORACLE_EXACT, id, 1, &last, &v, NULL);
    assert_true((float)v.f == floats(s, t, "y")[last]);
    oracle_elements(s, NULL, t, ORACLE_DOUBLE, id, 1, &last, &v, &m);
    double sum = 0, size = 0;
    for (int k = 0; k <= last; k++) {
        sum += floats(s, t, "x")[k];
        size += fabs((double)floats(s, t, "x")[k]);
    }
    assert_true(fabs(v.f - sum) < 1e-6 && fabs(m - size) < 1e-3);
}

static void scatter_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "input idx i64 [6]\n"
                                "input u f32 [6, 3]\n"
                                "input x f32 [5, 3]\n"
                                "output y f32 [5, 3]\n"
                                "output z f32 [3]\n"
                                "scatter y (i: 6, j: 3; p: 5, q: 3) where i < 5 init x[p, q]"
                                " at [idx[i] - 2, j] update state0*2 + u[i, j]\n"
                                "reduce z (j: 3; p: 5) init 0 update state0 + y[p, j]\n");
    Tensor **const t = tensors_for(s, NULL);
    const int64_t idx[] = {2, 4, 2, 9, 1, 3}; /* 9 and 1 are outside */
    memcpy(named(s, t, "idx")->data, idx, sizeof idx);
    oracle_run(s, NULL, t);
    float want[15];
    memcpy(want, floats(s, t, "x"), sizeof want);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            float *const w = &want[(idx[i] - 2) * 3 + j];
            *w = *w * 2 + floats(s, t, "u")[i * 3 + j];
        }
    assert_memory_equal(floats(s, t, "y"), want, sizeof want);
    check_elements(s, NULL, t, "y");
    check_elements(s, NULL, t, "z");
}

/* ---- evaluation on expressions ---- */
static void symbolic_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s =
        read(ctx, "sym N 1 512\n"
                  "sym M 1 512\n"
                  "input shape i64 [4]\n"
                  "input data f32 [N]\n"
                  "input which i32 [2]\n"
                  "temp tail i64 [3]\n"
                  "output cat i64 [5]\n"
                  "output count i64 []\n"
                  "output run i64 [4]\n"
                  "output put i64 [4]\n"
                  "output bad f32 [1]\n"
                  "map tail (i: 3) = shape[i + 1]\n"
                  "map cat (i: 5) = select(i < 3, tail[i], shape[i64(which[i - 3])])\n"
                  "reduce count (; k: 4) where 0 < k init 1 update state0*shape[k]\n"
                  "scan run (t: 4) along t = select(t == 0, 0, run[max(t - 1, 0)]) +"
                  " shape[t]\n"
                  "scatter put (i: 2; p: 4) init shape[p] at [i64(which[i])]"
                  " update state0 + 100\n"
                  "map bad (i: 1) = data[i]\n");
    Exprs *const x = s->x;
    const Expr n = x->var.at[symbol(s, "N")].self;
    const Expr m = x->var.at[symbol(s, "M")].self;
    const Expr shape[] = {expr_int(x, 1), n, expr_addi(x, m, 2), expr_int(x, 7)};
    const Expr which[] = {expr_int(x, 1), expr_int(x, 3)};
    const Expr *known[] = {shape, NULL, which};
    Expr out[5];
    const int cat = stages_find_tensor(s, "cat");
    assert_true(stages_eval_symbolic(s, cat, 3, known, out));
    const Expr want[] = {shape[1], shape[2], shape[3], shape[1], shape[3]};
    assert_memory_equal(out, want, sizeof want);
    assert_true(stages_eval_symbolic(s, stages_find_tensor(s, "count"), 3, known, out));
    assert_int_equal(out[0], expr_muli(x, expr_mul(x, n, shape[2]), 7));
    assert_true(stages_eval_symbolic(s, stages_find_tensor(s, "run"), 3, known, out));
    assert_int_equal(out[2], expr_addi(x, expr_add(x, n, m), 3));
    assert_true(stages_eval_symbolic(s, stages_find_tensor(s, "put"), 3, known, out));
    assert_int_equal(out[1], expr_addi(x, n, 100));
    assert_int_equal(out[2], shape[2]);
    assert_false(stages_eval_symbolic(s, stages_find_tensor(s, "bad"), 3, known, out));
    known[2] = NULL;
    assert_false(stages_eval_symbolic(s, cat, 3, known, out));
}

/* ---- refusals ---- */
static void missing_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "input x f32 [4]\noutput y f32 [4]\nmap y (i: 4) = x[i]\n");
    Tensor **const t = tensors_for(s, NULL);
    t[0] = NULL;
    oracle_run(s, NULL, t);
}

static void wrong_dim_job(Context *ctx, void *arg)
{
    (void)arg;
    Stages *const s = read(ctx, "input x f32 [4]\noutput y f32 [4]\nmap y (i: 4) = x[i]\n");
    Tensor **const t = tensors_for(s, NULL);
    const int64_t dim = 3;
    t[0] = tensor_new(DT_F32, 1, &dim, NULL);
    arena_defer(ctx->arena, drop, t[0]);
    oracle_run(s, NULL, t);
}

#define TEST(name)                                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        run(name##_job);                                                                           \
    }
TEST(gemm)
TEST(layout)
TEST(softmax)
TEST(scan)
TEST(long_scan)
TEST(scatter)
TEST(symbolic)

static void test_refusals(void **state)
{
    (void)state;
    const JobFn jobs[] = {missing_job, wrong_dim_job};
    for (int i = 0; i < 2; i++) {
        Error e;
        Arena *const a = arena_new();
        assert_int_equal(job_run(a, jobs[i], NULL, &e, NULL), ERR_INVALID);
        assert_non_null(strstr(e.message, "tensor 'x'"));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),      cmocka_unit_test(test_layout),
        cmocka_unit_test(test_softmax),   cmocka_unit_test(test_scan),
        cmocka_unit_test(test_long_scan), cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_symbolic),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
