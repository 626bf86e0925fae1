/* Random expressions: what the builders make equals what was asked for, by plain evaluation of an
 * unsimplified tree; intervals hold every value; parse(print(e)) is e; proofs are right. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "expr/expr.h"

#define TREES 6000
#define POINTS 12
#define VARS 7

/* An unsimplified tree. */
typedef struct Tree {
    ExprOp op;
    DType type;
    int n, var;
    Scalar value; /* constants */
    struct Tree *arg[3];
} Tree;

typedef struct World {
    Context ctx;
    Exprs *x;
    uint64_t seed;
    Expr var[VARS];
    int64_t at[VARS];
    double load[8];
} World;

static uint32_t random_below(World *w, uint32_t n)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->seed >> 33) % n;
}

static Tree *tree_new(World *w, ExprOp op, DType t, int n)
{
    Tree *const r = arena_new_of(w->ctx.arena, Tree);
    *r = (Tree){.op = op, .type = t, .n = n};
    return r;
}

static Tree *random_tree(World *w, DType t, int depth);

static Tree *random_leaf(World *w, DType t)
{
    static const double floats[] = {0.0, -0.0, 1, -1, 2, 0.5, INFINITY, NAN, 3.25, 1e-3};
    static const int64_t ints[] = {0, 1, 2, 3, 4, 8, -1, -3, 7, 16};
    const bool load = random_below(w, 3) == 0 && (t == DT_F32 || t == DT_I32);
    Tree *const r = tree_new(w, load ? EX_LOAD : EX_INT, t, 0);
    if (load) {
        r->var = (int)random_below(w, 8);
    } else if (t == DT_I64 && random_below(w, 4)) {
        r->op = EX_VAR;
        r->var = (int)random_below(w, VARS);
    } else if (dtype_is_float(t)) {
        r->op = EX_FLOAT;
        r->value = (Scalar){.dtype = t, .f = (float)floats[random_below(w, 10)]};
    } else {
        const int64_t v = ints[random_below(w, 10)];
        r->value = scalar_cast(t, (Scalar){.dtype = DT_I64, .i = t == DT_BOOL ? v & 1 : v});
    }
    return r;
}

static Tree *random_bool(World *w, int depth)
{
    static const ExprOp logic[] = {EX_AND, EX_OR, EX_XOR, EX_NOT, EX_SELECT, EX_EQ, EX_NE};
    static const ExprOp compare[] = {EX_LT, EX_LE, EX_EQ, EX_NE};
    static const DType types[] = {DT_I64, DT_I64, DT_I32, DT_F32, DT_U8, DT_U64};
    if (random_below(w, 2)) {
        const ExprOp op = logic[random_below(w, 7)];
        Tree *const r = tree_new(w, op, DT_BOOL, op == EX_NOT ? 1 : op == EX_SELECT ? 3 : 2);
        for (int i = 0; i < r->n; i++)
            r->arg[i] = random_tree(w, DT_BOOL, depth - 1);
        return r;
    }
    Tree *const r = tree_new(w, compare[random_below(w, 4)], DT_BOOL, 2);
    const DType t = types[random_below(w, 6)];
    for (int i = 0; i < 2; i++)
        r->arg[i] = random_tree(w, t, depth - 1);
    return r;
}

static Tree *random_cast(World *w, DType t, int depth)
{
    static const DType types[] = {DT_I32, DT_I64, DT_F32, DT_BOOL, DT_I8, DT_U8, DT_F64, DT_U64};
    Tree *const r = tree_new(w, EX_CAST, t, 1);
    r->arg[0] = random_tree(w, types[random_below(w, 8)], depth - 1);
    return r;
}

/* i64 stays small: shifts and powers are left out, and casts to it come from narrow types. */
static Tree *random_tree(World *w, DType t, int depth)
{
    static const ExprOp index[] = {EX_ADD, EX_ADD,  EX_SUB,  EX_MUL, EX_DIV, EX_MOD,
                                   EX_DIV, EX_MOD,  EX_MIN,  EX_MAX, EX_NEG, EX_SELECT,
                                   EX_ABS, EX_TDIV, EX_TMOD, EX_ADD};
    static const ExprOp ints[] = {EX_ADD, EX_SUB, EX_MUL,  EX_DIV,  EX_MOD, EX_TDIV,
                                  EX_MIN, EX_MAX, EX_TMOD, EX_AND,  EX_OR,  EX_XOR,
                                  EX_SHL, EX_SHR, EX_NEG,  EX_NOT,  EX_ABS, EX_POW};
    static const ExprOp floats[] = {EX_ADD,   EX_SUB,  EX_MUL,  EX_DIV,    EX_MIN,  EX_MAX,
                                    EX_FMA,   EX_NEG,  EX_ABS,  EX_SELECT, EX_CEIL, EX_FLOOR,
                                    EX_ROUND, EX_SQRT, EX_MOD,  EX_TANH,   EX_POW,  EX_ADD};
    if (depth <= 0 || random_below(w, 6) == 0)
        return random_leaf(w, t);
    if (t == DT_BOOL)
        return random_bool(w, depth);
    if (t != DT_I64 && random_below(w, 8) == 0)
        return random_cast(w, t, depth);
    const ExprOp op = t == DT_I64          ? index[random_below(w, 16)]
                      : dtype_is_float(t) ? floats[random_below(w, 18)]
                                          : ints[random_below(w, 18)];
    const bool unary = op == EX_NEG || op == EX_ABS || op == EX_NOT || op == EX_CEIL ||
                       op == EX_FLOOR || op == EX_ROUND || op == EX_SQRT || op == EX_TANH;
    Tree *const r = tree_new(w, op, t, unary ? 1 : op == EX_FMA || op == EX_SELECT ? 3 : 2);
    for (int i = 0; i < r->n; i++)
        r->arg[i] = random_tree(w, op == EX_SELECT && i == 0 ? DT_BOOL : t, depth - 1);
    /* Products of products would leave the range in which i64 may be taken for integers. */
    if (t == DT_I64 && op == EX_MUL)
        r->arg[1] = random_leaf(w, t);
    return r;
}

static Scalar load_value(World *w, DType t, int k)
{
    return scalar_cast(t, (Scalar){.dtype = DT_F64, .f = t == DT_F32 ? w->load[k] : k * 37 - 90});
}

static Scalar tree_eval(World *w, const Tree *t)
{
    Scalar a[3];
    if (t->op == EX_VAR)
        return (Scalar){.dtype = DT_I64, .i = w->at[t->var]};
    if (t->op == EX_LOAD)
        return load_value(w, t->type, t->var);
    if (t->n == 0)
        return t->value;
    for (int i = 0; i < t->n; i++)
        a[i] = tree_eval(w, t->arg[i]);
    return scalar_apply(t->op, t->type, t->n, a);
}

static Expr tree_build(World *w, const Tree *t)
{
    Expr a[3] = {0};
    if (t->op == EX_VAR)
        return w->var[t->var];
    if (t->op == EX_LOAD) {
        const Expr index = expr_int(w->x, t->var);
        return expr_load(w->x, t->type, t->type == DT_F32 ? 0 : 1, 1, &index);
    }
    if (t->op == EX_FLOAT)
        return expr_float(w->x, t->type, t->value.f);
    if (t->op == EX_INT)
        return expr_int_of(w->x, t->type, t->value.i);
    for (int i = 0; i < t->n; i++)
        a[i] = tree_build(w, t->arg[i]);
    if (t->op == EX_SELECT)
        return expr_select(w->x, a[0], a[1], a[2]);
    if (t->op == EX_FMA)
        return expr_fma(w->x, a[0], a[1], a[2]);
    if (t->op == EX_CAST)
        return expr_cast(w->x, t->type, a[0]);
    return t->n == 1 ? expr_un(w->x, t->op, a[0]) : expr_bin(w->x, t->op, a[0], a[1]);
}

static Scalar eval_load(void *arg, int tensor, int n, const int64_t *index)
{
    assert_int_equal(n, 1);
    return load_value(arg, tensor == 0 ? DT_F32 : DT_I32, (int)index[0]);
}

/* 0, 1: symbols, 2 a multiple of 4; 3..6: loop variables, two of symbolic extent. */
static void world_init(World *w, Context ctx, uint64_t seed)
{
    *w = (World){.ctx = ctx, .seed = seed * 2 + 1};
    w->x = exprs_new(&w->ctx);
    w->var[0] = expr_sym(w->x, "N", 1, 20, 1);
    w->var[1] = expr_sym(w->x, "Z", 0, 9, 1);
    w->var[2] = expr_sym(w->x, "Q", 4, 64, 4);
    w->var[3] = expr_loop_var(w->x, "a", expr_int(w->x, 4));
    w->var[4] = expr_loop_var(w->x, "b", expr_int(w->x, 8));
    w->var[5] = expr_loop_var(w->x, "i", w->var[0]);
    w->var[6] = expr_loop_var(w->x, "t", expr_ceil_div(w->x, w->var[2], expr_int(w->x, 8)));
    for (int k = 0; k < 8; k++)
        w->load[k] = k == 7 ? NAN : k == 6 ? INFINITY : k == 5 ? -0.0 : (float)(k * 1.3 - 2.7);
}

static void random_point(World *w)
{
    w->at[0] = 1 + random_below(w, 20);
    w->at[1] = random_below(w, 10);
    w->at[2] = 4 + 4 * random_below(w, 16);
    w->at[3] = random_below(w, 4);
    w->at[4] = random_below(w, 8);
    w->at[5] = random_below(w, (uint32_t)w->at[0]);
    w->at[6] = random_below(w, (uint32_t)((w->at[2] + 7) / 8));
}

static bool same(Scalar a, Scalar b)
{
    if (a.dtype != b.dtype)
        return false;
    return dtype_is_float(a.dtype) ? (isnan(a.f) && isnan(b.f)) ||
                                         (a.f == b.f && signbit(a.f) == signbit(b.f))
                                   : a.i == b.i;
}

static int find_tensor(void *arg, const char *name, DType *t, int *rank)
{
    (void)arg;
    *rank = 1;
    *t = name[1] == '0' ? DT_F32 : DT_I32;
    return name[1] - '0';
}

static Expr find_var(void *arg, const char *name)
{
    World *const w = arg;
    for (int i = 0; i < w->x->var.len; i++)
        if (strcmp(w->x->var.at[i].name, name) == 0)
            return w->x->var.at[i].self;
    return 0;
}

static const char *text_of(World *w, Expr e)
{
    Str s = str_new(w->ctx.arena);
    expr_print(w->x, e, NULL, &s);
    return str_text(&s);
}

static void check_tree(World *w, DType t, uint64_t seed)
{
    const Tree *const tree = random_tree(w, t, 5);
    const Expr e = tree_build(w, tree);
    const EvalEnv env = {.load = eval_load, .arg = w, .var = w->at};
    assert_int_equal(expr_type(w->x, e), t);
    for (int p = 0; p < POINTS; p++) {
        random_point(w);
        const Scalar want = tree_eval(w, tree);
        const Scalar got = expr_eval(w->x, e, &env);
        if (!same(got, want))
            FAIL_MSG("seed %llu: %s is %lld %g, not %lld %g at N=%d Z=%d Q=%d a=%d b=%d i=%d t=%d",
                     (unsigned long long)seed, text_of(w, e), (long long)got.i, got.f,
                     (long long)want.i, want.f, (int)w->at[0], (int)w->at[1], (int)w->at[2],
                     (int)w->at[3], (int)w->at[4], (int)w->at[5], (int)w->at[6]);
        if (!dtype_is_float(t) && t != DT_U64)
            assert_true(want.i >= expr_low(w->x, e) && want.i <= expr_high(w->x, e));
    }
    const ExprScope scope = {.tensor = find_tensor, .var = find_var, .arg = w};
    const char *const text = text_of(w, e);
    Lexer lex = lex_new(&w->ctx, "printed", text, strlen(text), false);
    const Expr again = expr_parse(w->x, &lex, &scope, t);
    if (again != e && !strstr(text, "nan"))
        FAIL_MSG("seed %llu: %s is read as %s", (unsigned long long)seed, text, text_of(w, again));
}

typedef struct Job {
    DType type;
    uint64_t seed;
} Job;

static void check_job(Context *ctx, void *arg)
{
    const Job *const job = arg;
    World w;
    world_init(&w, *ctx, job->seed);
    check_tree(&w, job->type, job->seed);
}

static void check_type(DType t, int trees)
{
    for (int k = 0; k < trees; k++) {
        Job job = {t, (uint64_t)k};
        Error e;
        Arena *const a = arena_new();
        if (job_run(a, check_job, &job, &e, NULL))
            FAIL_MSG("%s seed %d: %s", dtype_name(t), k, e.message);
        arena_free(a);
    }
}

static void test_i64(void **state)
{
    (void)state;
    check_type(DT_I64, TREES);
}

static void test_bool(void **state)
{
    (void)state;
    check_type(DT_BOOL, TREES / 2);
}

static void test_float(void **state)
{
    (void)state;
    check_type(DT_F32, TREES / 2);
}

static void test_narrow(void **state)
{
    (void)state;
    check_type(DT_I32, TREES / 2);
    check_type(DT_U8, TREES / 4);
    check_type(DT_U64, TREES / 4);
}

/* Splitting and fusing index maps, which must cancel: flatten by some shape, then read by tiles. */
static void test_index_maps(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    World w;
    world_init(&w, (Context){.arena = a}, 1);
    Exprs *const x = w.x;
    for (int k = 0; k < 300; k++) {
        Expr dim[4], var[4];
        const int n = 1 + (int)random_below(&w, 4);
        Expr flat = expr_int(x, 0);
        for (int i = 0; i < n; i++) {
            const uint32_t pick = random_below(&w, 4);
            dim[i] = pick == 3   ? w.var[0]
                     : pick == 2 ? w.var[2]
                                 : expr_int(x, 2 + random_below(&w, 12));
            var[i] = expr_loop_var(x, "v", dim[i]);
            flat = expr_add(x, expr_mul(x, flat, dim[i]), var[i]);
        }
        for (int i = n - 1; i >= 0; i--) {
            if (expr_mod(x, flat, dim[i]) != var[i])
                FAIL_MSG("(%s) mod %s is %s", text_of(&w, flat), text_of(&w, dim[i]),
                         text_of(&w, expr_mod(x, flat, dim[i])));
            flat = expr_div(x, flat, dim[i]);
        }
        assert_int_equal(flat, expr_int(x, 0));
    }
    arena_free(a);
}

/* What is proven is true wherever it is evaluated. */
static void test_proofs(void **state)
{
    (void)state;
    int proven = 0;
    for (int k = 0; k < TREES / 3; k++) {
        World w;
        Arena *const a = arena_new();
        world_init(&w, (Context){.arena = a}, (uint64_t)k + 77);
        const Expr p = tree_build(&w, random_tree(&w, DT_I64, 4));
        const Expr q = tree_build(&w, random_tree(&w, DT_I64, 4));
        const bool lt = expr_proves_lt(w.x, p, q);
        const bool le = expr_proves_le(w.x, p, q);
        proven += lt;
        for (int i = 0; i < POINTS; i++) {
            random_point(&w);
            const EvalEnv env = {.load = eval_load, .arg = &w, .var = w.at};
            const int64_t pv = expr_eval(w.x, p, &env).i;
            const int64_t qv = expr_eval(w.x, q, &env).i;
            if ((lt && pv >= qv) || (le && pv > qv))
                FAIL_MSG("%s < %s proven, but %lld and %lld", text_of(&w, p), text_of(&w, q),
                         (long long)pv, (long long)qv);
        }
        arena_free(a);
    }
    assert_true(proven > TREES / 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i64),    cmocka_unit_test(test_bool),
        cmocka_unit_test(test_float),  cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_proofs), cmocka_unit_test(test_index_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
