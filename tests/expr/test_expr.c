/* Simplification, proofs, rewriting and text of expressions, case by case. The random tests that
 * compare against plain evaluation are in test_expr_random.c. */
#include "check.h"

#include <math.h>

#include "expr/expr.h"

/* Variables that the texts below use. N, M: symbols from 1; E: one that is a multiple of 8;
 * a..d: loop variables of 4, 8, 16, 100; i: in [0, N), j: in [0, M), m0: in [0, (N + 7)/8). */
typedef struct World {
    Context ctx;
    Exprs *x;
    Error error;
    Expr f; /* f32 load f[] is tensor 0, n[] i64 tensor 1, w[] i32 tensor 2, b[] bool tensor 3 */
} World;

static int find_tensor(void *arg, const char *name, DType *t, int *rank)
{
    (void)arg;
    static const DType type[] = {DT_F32, DT_I64, DT_I32, DT_BOOL, DT_F32};
    const char *const at = strchr("fnwbg", name[0]);
    if (!at || name[1])
        return -1;
    *t = type[at - "fnwbg"];
    *rank = 1;
    return (int)(at - "fnwbg");
}

static Expr find_var(void *arg, const char *name)
{
    World *const w = arg;
    for (int i = 0; i < w->x->var.len; i++)
        if (strcmp(w->x->var.at[i].name, name) == 0)
            return w->x->var.at[i].self;
    return 0;
}

static DType state_type(void *arg, int k)
{
    (void)arg;
    return k < 2 ? DT_F32 : DT_NONE;
}

static const char *tensor_name(void *arg, int tensor)
{
    static const char *const name[] = {"f", "n", "w", "b", "g"};
    (void)arg;
    return name[tensor];
}

static Expr read_as(World *w, const char *text, DType want)
{
    const ExprScope scope = {
        .tensor = find_tensor, .var = find_var, .state_type = state_type, .arg = w};
    Lexer lex = lex_new(&w->ctx, "test", text, strlen(text), false);
    const Expr e = expr_parse(w->x, &lex, &scope, want);
    assert_int_equal(lex.tok.kind, TOK_END);
    return e;
}

static Expr read(World *w, const char *text)
{
    return read_as(w, text, DT_I64);
}

static const char *write(World *w, Expr e)
{
    const ExprNames names = {.tensor = tensor_name};
    Str s = str_new(w->ctx.arena);
    expr_print(w->x, e, &names, &s);
    return str_text(&s);
}

static World *world_new(void)
{
    Arena *const a = arena_new();
    World *const w = arena_new_of(a, World);
    w->ctx = (Context){.arena = a};
    w->x = exprs_new(&w->ctx);
    expr_sym(w->x, "N", 1, 1000, 1);
    expr_sym(w->x, "M", 1, 1000, 1);
    expr_sym(w->x, "E", 8, 1024, 8);
    expr_sym(w->x, "Z", 0, 1000, 1);
    expr_loop_var(w->x, "a", read(w, "4"));
    expr_loop_var(w->x, "b", read(w, "8"));
    expr_loop_var(w->x, "c", read(w, "16"));
    expr_loop_var(w->x, "d", read(w, "100"));
    expr_loop_var(w->x, "i", read(w, "N"));
    expr_loop_var(w->x, "j", read(w, "M"));
    expr_loop_var(w->x, "k", read(w, "Z"));
    expr_loop_var(w->x, "m0", read(w, "(N + 7)/8"));
    return w;
}

static void world_free(World *w)
{
    arena_free(w->ctx.arena);
}

/* Each pair: text read, text it must become. */
typedef struct Case {
    const char *from, *to;
} Case;

static void check_cases(const Case *c, int n, DType want)
{
    World *const w = world_new();
    for (int i = 0; i < n; i++) {
        const Expr e = read_as(w, c[i].from, want);
        if (strcmp(write(w, e), c[i].to) != 0)
            FAIL_MSG("%s became %s, not %s", c[i].from, write(w, e), c[i].to);
        assert_int_equal(read_as(w, write(w, e), want), e);
    }
    world_free(w);
}

#define CHECK(cases, want) check_cases(cases, (int)(sizeof cases / sizeof *cases), want)

static void test_linear(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"(a*8 + b) - b", "a*8"},
        {"a + b + a", "a*2 + b"},
        {"(a + b)*(c + 1)", "a + b + a*c + b*c"},
        {"3 - a", "a*-1 + 3"},
        {"b - a*2 - 1", "a*-2 + b - 1"},
        {"N*i*2 + i*N", "N*i*3"},
        {"2*(N + 1)*4", "N*8 + 8"},
        {"-9223372036854775808 + 0", "-9223372036854775808"},
    };
    CHECK(cases, DT_I64);
}

static void test_divide(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"(a*8 + b)/8", "a"},
        {"(a*8 + b)%8", "b"},
        {"(d*4 + 2)/8", "d/2"},
        {"(d*4 + 6)/8", "(d + 1)/2"},
        {"(d*4 + 3)/8", "d/2"},
        {"(d*4 + 3)%8", "d%2*4 + 3"},
        {"d/4/8", "d/32"},
        {"(d/4 + 3)/8", "(d + 12)/32"},
        {"(d%32)/8", "d/8%4"},
        {"(d%32)%8", "d%8"},
        {"d/8*8 + d%8", "d"},
        {"d/4/8*8 + d/4%8", "d/4"},
        {"d%32/8*8 + d%8", "d%32"},
        {"(c*64 + b*8 + a)/8%8", "b"},
        {"(d*10 + a)/8", "d + (a + d*2)/8"},
        {"(d - 1)/8", "(d + 7)/8 - 1"},
        {"d/-8", "d*-1/8"},
        {"c/0", "0"},
        {"c%0", "0"},
        {"E/8*8", "E"},
        {"(E + 3)/8", "E/8"},
        {"(E*a + b)%8", "b"},
        {"a/4", "0"},
        {"a%4", "a"},
        {"(c + 16)/16", "1"},
        {"(-5)/3", "-2"},
        {"tdiv(-5, 3)", "-1"},
        {"tmod(-5, 3)", "-2"},
        {"tdiv(d, 8)", "d/8"},
        {"tdiv(n[a], 8)", "tdiv(n[a], 8)"},
    };
    CHECK(cases, DT_I64);
}

static void test_divide_symbolic(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"i/N", "0"},
        {"i%N", "i"},
        {"(j*N + i)/N", "j"},
        {"(j*N + i)%N", "i"},
        {"(j*N*4 + i*4 + a)/(N*4)", "j"},
        {"(j*N*4 + i*4 + a)%(N*4)", "a + i*4"},
        {"(j*N*4 + i*4 + a)/4%N", "i"},
        {"(a*N*M + i*M + j)/(N*M)", "a"},
        {"(a*N*M + i*M + j)/M%N", "i"},
        {"(a*N*M + i*M + j)%M", "j"},
        {"(d*N + i)/(N*8)", "d/8"},
        {"(d*N + i)%(N*8)", "i + N*(d%8)"},
        {"(j*(N + 1) + i)/(N + 1)", "j"},
        {"(N - 1 + i*0)/N", "0"},
        {"(a*Z + k)/Z", "a"},
        {"N/N", "1"},
        {"(N*M)/N", "M"},
        {"Z/Z", "Z/Z"},
        {"(j*N + d)/N", "j + d/N"},
    };
    CHECK(cases, DT_I64);
}

static void test_compare(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"a < 4", "true"},
        {"a*8 + b < 32", "true"},
        {"a*8 + b < 31", "a*8 + b < 31"},
        {"i < N", "true"},
        {"N <= i", "false"},
        {"m0*8 < N", "true"},
        {"m0*8 + b < N + 7", "true"},
        {"d*8 + b < 32", "d < 4"},
        {"d*16 + b < c*32 - 10", "b + d*16 < c*32 - 10"},
        {"d*16 + b < c*32 + 8", "d < c*2 + 1"},
        {"m0*8 + b < N", "b + m0*8 < N"},
        {"a == 4", "false"},
        {"a*2 == b*2 + 1", "false"},
        {"a*2 == b*4 + 6", "a == b*2 + 3"},
        {"b != b", "false"},
        {"a + 1 <= b", "a < b"},
        {"d*4 + 3 < 9", "d < 2"},
        {"d*4 < 9", "d < 3"},
        {"not(d < 5)", "4 < d"},
        {"not(f[0] < 5)", "not(f[0] < 5)"},
        {"f[0] > 5", "5 < f[0]"},
        {"w[0] < 3", "w[0] < 3"},
        {"n[0] <= 9223372036854775807", "true"},
        {"n[0] < -9223372036854775808", "false"},
        {"b[0] == true", "b[0]"},
        {"b[0] == false", "not(b[0])"},
        {"b[0] & (d < 3) & b[0]", "b[0] & d < 3"},
        {"b[0] & not(b[0])", "false"},
        {"select(b[0], true, d < 3)", "b[0] | d < 3"},
        {"i*M + j < N*M", "true"},
        {"min(i, 5) < N", "true"},
        {"d/N*N <= d", "true"},
        {"d%N < N", "true"},
    };
    CHECK(cases, DT_BOOL);
}

static void test_min_max(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"min(a, 3)", "a"},
        {"max(a, 0)", "a"},
        {"min(i, N)", "i"},
        {"min(i + 1, i)", "i"},
        {"min(min(d, 5), 3)", "min(d, 3)"},
        {"min(3, d)", "min(d, 3)"},
        {"max(min(d, 50), 10)", "max(min(d, 50), 10)"},
        {"min(8, N - 8*m0)", "min(N - m0*8, 8)"},
        {"max(min(n[0], 9223372036854775807), -9223372036854775808)", "n[0]"},
        {"max(N, 1)", "N"},
        {"abs(a - 5)", "abs(a - 5)"},
        {"abs(a + 5)", "a + 5"},
        {"select(a < 9, b, c)", "b"},
        {"select(not(d < 9), b, c)", "select(8 < d, b, c)"},
    };
    CHECK(cases, DT_I64);
}

/* With a NaN on either side, or equal operands: the second. */
static void test_min_max_of_nan(void **state)
{
    (void)state;
    static const double v[] = {1, -INFINITY, INFINITY, NAN, 0.0, -0.0};
    static const DType types[] = {DT_F32, DT_F64};
    for (int i = 0; i < 6 * 6 * 2; i++) {
        const DType t = types[i / 36];
        const double a = v[i / 6 % 6], b = v[i % 6];
        const Scalar args[] = {{.dtype = t, .f = a}, {.dtype = t, .f = b}};
        const double most = scalar_apply(EX_MAX, t, 2, args).f;
        const double least = scalar_apply(EX_MIN, t, 2, args).f;
        const bool second = isnan(a) || isnan(b) || a == b;
        const double want[] = {second || a < b ? b : a, second || a > b ? b : a};
        const double got[] = {most, least};
        assert_memory_equal(got, want, sizeof got);
    }
}

static void test_float(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"f[0] + 0", "f[0] + 0"},
        {"f[0] + -0", "f[0]"},
        {"f[0] - 0", "f[0]"},
        {"0*f[0]", "f[0]*0"},
        {"f[0]*1", "f[0]"},
        {"1*f[0]", "f[0]"},
        {"f[0]/1", "f[0]"},
        {"f[0]*-1", "neg(f[0])"},
        {"neg(neg(f[0]))", "f[0]"},
        {"abs(neg(f[0]))", "abs(f[0])"},
        {"fma(f[0], 1, f[1])", "f[0] + f[1]"},
        {"fma(state0, f[0], state1)", "fma(state0, f[0], state1)"},
        {"max(0, f[0])", "max(0, f[0])"},
        {"max(f[0], f[0])", "f[0]"},
        {"pow(f[0], 2)", "f[0]*f[0]"},
        {"pow(f[0], 0.5)", "pow(f[0], 0.5)"},
        {"floor(ceil(f[0]))", "ceil(f[0])"},
        {"0.1 + 0.2", "0.3"},
        {"exp(0)", "1"},
        {"sqrt(-1) + f[0]", "f[0] + -nan"},
        {"0/0", "-nan"},
        {"nan", "nan"},
        {"bitcast_f32(i32(2143289345))", "bitcast_f32(i32(2143289345))"},
        {"f[0] + 1e-05", "f[0] + 1e-05"},
        {"f[0] - inf", "f[0] - inf"},
        {"f32(i32(f[0]))", "f32(i32(f[0]))"},
        {"f32(f64(f[0]))", "f[0]"},
        {"f32(i32(b[0]))", "f32(b[0])"},
        {"f32(a)*0.5", "f32(a)*0.5"},
        {"select(f[0] < f[1], f[0], 0)", "select(f[0] < f[1], f[0], 0)"},
        {"bitcast_f32(bitcast_i32(f[0]))", "f[0]"},
        {"state0 + state2_0", "state0 + state2_0"},
        {"f[0] - (f[1] - f[2])", "f[0] - (f[1] - f[2])"},
        {"f[0]/(f[1]*f[2])", "f[0]/(f[1]*f[2])"},
    };
    World *const w = world_new();
    const Expr nan = expr_un(w->x, EX_SQRT, expr_float(w->x, DT_F32, -1));
    double v;
    assert_true(expr_is_const(w->x, nan, &v) && isnan(v));
    world_free(w);
    CHECK(cases, DT_F32);
}

static void test_narrow(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"w[0] + 3 + 4", "w[0] + 7"},
        {"w[0]*0", "0"},
        {"w[0] - w[0]", "0"},
        {"w[0] - w[1]", "w[0] + w[1]*-1"},
        {"2147483647 + 1", "-2147483648"},
        {"1 << 31", "-2147483648"},
        {"1 << 32", "0"},
        {"-8 >> 40", "-1"},
        {"pow(3, 4)", "81"},
        {"pow(3, -1)", "0"},
        {"min(w[0], 2147483647)", "w[0]"},
        {"w[0]/8*8", "w[0]/8*8"},
        {"i32(i64(w[0]))", "w[0]"},
        {"i32(i8(w[0]))", "i32(i8(w[0]))"},
        {"w[0] & w[0]", "w[0]"},
    };
    CHECK(cases, DT_I32);
}

static void test_proofs(void **state)
{
    (void)state;
    World *const w = world_new();
    static const Case yes[] = {
        {"i*M + j", "N*M"},
        {"(i*M + j)*4 + a", "N*M*4"},
        {"m0", "N"},
        {"min(m0*8 + b, N - 1)", "N"},
        {"i/8", "(N + 7)/8"},
        {"m0*8 + min(b, N - m0*8 - 1)", "N"},
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!expr_proves_lt(w->x, read(w, yes[i].from), read(w, yes[i].to)))
            FAIL_MSG("%s < %s is not proven", yes[i].from, yes[i].to);
    static const Case no[] = {
        {"m0*8 + b", "N"}, {"i + 1", "N"}, {"n[0]", "n[1]"}, {"N", "M"}, {"0", "Z"},
    };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(expr_proves_lt(w->x, read(w, no[i].from), read(w, no[i].to)));
    assert_true(expr_proves_multiple(w->x, read(w, "N*8 + 16"), 8));
    assert_true(expr_proves_multiple(w->x, read(w, "0"), 8));
    assert_false(expr_proves_multiple(w->x, read(w, "N*8 + 4"), 8));
    assert_false(expr_proves_multiple(w->x, read(w, "N"), 8));
    world_free(w);
}

static void test_linear_in(void **state)
{
    (void)state;
    World *const w = world_new();
    const int id = (int)expr_node(w->x, find_var(w, "d"))->imm.i;
    Expr a, b;
    assert_true(expr_linear_in(w->x, read(w, "d*N*2 + i + d + 3"), id, &a, &b));
    assert_int_equal(a, read(w, "N*2 + 1"));
    assert_int_equal(b, read(w, "i + 3"));
    assert_false(expr_linear_in(w->x, read(w, "d*d + 1"), id, &a, &b));
    assert_false(expr_linear_in(w->x, read(w, "d/3"), id, &a, &b));
    assert_true(expr_uses_var(w->x, read_as(w, "f[d + 1]", DT_F32), id));
    assert_false(expr_uses_var(w->x, read(w, "i + N"), id));
    world_free(w);
}

static void test_rewriting(void **state)
{
    (void)state;
    World *const w = world_new();
    const Expr from[] = {find_var(w, "a"), find_var(w, "b")};
    const Expr to[] = {read(w, "c/8"), read(w, "c%8")};
    assert_int_equal(expr_subst(w->x, read(w, "a*8 + b"), 2, from, to), find_var(w, "c"));
    assert_int_equal(expr_subst(w->x, read_as(w, "f[a*8 + b]*2", DT_F32), 2, from, to),
                     read_as(w, "f[c]*2", DT_F32));

    World *const v = world_new();
    Expr *const map = arena_array_of(v->ctx.arena, w->x->var.len, Expr);
    for (int i = 0; i < w->x->var.len; i++)
        map[i] = find_var(v, w->x->var.at[i].name);
    static const char *const texts[] = {"min(i*8 + a, N - m0*8)", "d/8*N + d%7",
                                        "select(f[a] < 2, n[d/4], 3)"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(expr_import(v->x, w->x, read(w, texts[i]), map), read(v, texts[i]));
    world_free(v);
    world_free(w);
}

static void parse_job(Context *ctx, void *arg)
{
    World *const w = world_new();
    Arena *const own = w->ctx.arena;
    w->ctx.entry = ctx->entry;
    w->ctx.error = ctx->error;
    arena_defer(ctx->arena, (void (*)(void *))arena_free, own);
    read(w, arg);
}

static void test_bad_text(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"1 +", "number"},        {"q", "no variable 'q'"}, {"zz[1]", "no tensor"},
        {"f[1, 2]", "rank 1"},    {"min(1)", "2 arguments"}, {"n[0] + f[0]", "i64 and f32"},
        {"f[0] << 2", "f32"},     {"exp(n[0])", "i64"},      {"nope(1)", "no function"},
        {"1.5", "fraction"},      {"state7", "no 'state7'"}, {"select(a, 1, 2)", "bool"},
        {"(((1", "expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *const a = arena_new();
        Error e;
        assert_int_equal(job_run(a, parse_job, (void *)cases[i].from, &e, NULL), ERR_INVALID);
        if (i + 1 < sizeof cases / sizeof *cases && !strstr(e.message, cases[i].to))
            FAIL_MSG("%s: %s", cases[i].from, e.message);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),          cmocka_unit_test(test_divide),
        cmocka_unit_test(test_divide_symbolic), cmocka_unit_test(test_compare),
        cmocka_unit_test(test_min_max),         cmocka_unit_test(test_min_max_of_nan),
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_narrow),          cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_linear_in),       cmocka_unit_test(test_rewriting),
        cmocka_unit_test(test_bad_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
