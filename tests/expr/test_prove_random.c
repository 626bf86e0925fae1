/* Proofs where values are large: products of free extents, of up to four, whose ranges do not fit
 * i64. Whatever is proven of two random expressions, or concluded while they are built, holds at
 * points small and large. The reference computes the trees as they were asked for, in 128 bits. */
#include "check.h"

#include "expr/expr.h"

enum { PAIRS = 4000, POINTS = 16, SYMS = 4, VARS = 6, NODES = 64 };

__extension__ typedef __int128 Wide;

typedef struct Node { /* NONE: the constant k; VAR: variable k */
    ExprOp op;
    int64_t k;
    int a, b;
} Node;

typedef struct World {
    Exprs *x;
    Arena *arena;
    uint64_t seed;
    Expr var[VARS];
    int64_t at[VARS];
    Node node[NODES];
    int nnodes;
} World;

static uint32_t below(World *w, uint32_t n)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->seed >> 33) % n;
}

/* ---- trees ---- */

static int add_node(World *w, ExprOp op, int64_t k, int a, int b)
{
    assert_true(w->nnodes < NODES);
    w->node[w->nnodes] = (Node){op, k, a, b};
    return w->nnodes++;
}

static int draw_constant(World *w)
{
    static const int64_t k[] = {1, 2, 3, 4, 7, 13, 14, 16, 64, 4096};
    return add_node(w, EX_NONE, k[below(w, 10)], 0, 0);
}

static int draw_product(World *w)
{
    int p = add_node(w, EX_VAR, below(w, VARS), 0, 0);
    for (int more = (int)below(w, 4); more > 0; more--) {
        const int factor = below(w, 5) ? add_node(w, EX_VAR, below(w, SYMS), 0, 0)
                                       : draw_constant(w);
        p = add_node(w, EX_MUL, 0, p, factor);
    }
    return p;
}

static int draw_term(World *w)
{
    static const ExprOp op[] = {EX_DIV, EX_MOD, EX_MIN, EX_MAX, EX_ADD, EX_SUB};
    const int p = draw_product(w);
    const uint32_t pick = below(w, 10);
    if (pick >= 6)
        return p;
    return add_node(w, op[pick], 0, p, below(w, 3) ? draw_constant(w) : draw_product(w));
}

static int draw_tree(World *w)
{
    static const ExprOp op[] = {EX_ADD, EX_SUB, EX_DIV, EX_MOD, EX_MIN, EX_MAX, EX_MUL};
    const int a = draw_term(w);
    return below(w, 2) ? a : add_node(w, op[below(w, 7)], 0, a, draw_term(w));
}

/* Something close to tree p: that is where proofs are found. */
static int draw_near(World *w, int p)
{
    static const ExprOp op[] = {EX_ADD, EX_SUB, EX_MUL, EX_DIV, EX_MOD, EX_MIN, EX_MAX};
    if (below(w, 4) == 0)
        return draw_tree(w);
    const int by = below(w, 2) ? draw_constant(w) : draw_product(w);
    const int near = add_node(w, op[below(w, 7)], 0, p, by);
    return below(w, 2) ? near : add_node(w, EX_ADD, 0, near, draw_constant(w));
}

/* False where 128 bits do not hold it. */
static bool tree_eval(const World *w, int t, Wide *r)
{
    const Node *const n = &w->node[t];
    Wide a, b;
    if (n->op == EX_NONE || n->op == EX_VAR) {
        *r = n->op == EX_NONE ? n->k : w->at[n->k];
        return true;
    }
    if (!tree_eval(w, n->a, &a) || !tree_eval(w, n->b, &b))
        return false;
    switch (n->op) {
    case EX_ADD:
        return !__builtin_add_overflow(a, b, r);
    case EX_SUB:
        return !__builtin_sub_overflow(a, b, r);
    case EX_MUL:
        return !__builtin_mul_overflow(a, b, r);
    case EX_DIV:
        *r = b == 0 ? 0 : a / b - (a % b != 0 && (a % b < 0) != (b < 0));
        return true;
    case EX_MOD:
        *r = b == 0 ? 0 : a % b + ((a % b != 0 && (a % b < 0) != (b < 0)) ? b : 0);
        return true;
    case EX_MIN:
        *r = a < b ? a : b;
        return true;
    default:
        *r = a > b ? a : b;
        return true;
    }
}

static Expr tree_build(const World *w, int t)
{
    const Node *const n = &w->node[t];
    if (n->op == EX_NONE)
        return expr_int(w->x, n->k);
    if (n->op == EX_VAR)
        return w->var[n->k];
    return expr_bin(w->x, n->op, tree_build(w, n->a), tree_build(w, n->b));
}

/* ---- points ---- */

/* A, B, C, D: free extents; p, q: parallel loops over products of them. */
static void world_init(World *w, Context *ctx, uint64_t seed)
{
    static const char *const name[] = {"A", "B", "C", "D"};
    *w = (World){.x = exprs_new(ctx), .arena = ctx->arena, .seed = seed};
    Exprs *const x = w->x;
    for (int i = 0; i < SYMS; i++)
        w->var[i] = expr_sym(x, name[i], i == 3 ? 0 : 1, INT32_MAX, 1);
    const Expr abc = expr_mul(x, expr_mul(x, w->var[0], w->var[1]), w->var[2]);
    const Expr tiles = expr_mul(x, expr_ceil_div(x, w->var[0], expr_int(x, 2)),
                                expr_ceil_div(x, w->var[1], expr_int(x, 14)));
    w->var[4] = expr_loop_var(x, "p", abc);
    w->var[5] = expr_loop_var(x, "q", expr_muli(x, expr_mul(x, tiles, w->var[2]), 4));
}

static int64_t draw_size(World *w, int64_t low)
{
    static const int64_t large[] = {100, 46341, 65536, 1 << 20, INT32_MAX - 1, INT32_MAX};
    return below(w, 3) ? low + below(w, 20) : large[below(w, 6)];
}

static int64_t draw_index(World *w, Wide extent)
{
    const Wide most = (extent < INT64_MAX ? extent : INT64_MAX) - 1;
    const Wide v = below(w, 3) ? most - below(w, 3) : below(w, 1000);
    return (int64_t)(v < 0 ? 0 : v > most ? most : v);
}

static void draw_point(World *w)
{
    for (int i = 0; i < SYMS; i++)
        w->at[i] = draw_size(w, i == 3 ? 0 : 1);
    const Wide ab = (Wide)w->at[0] * w->at[1];
    const Wide tiles = (Wide)((w->at[0] + 1) / 2) * ((w->at[1] + 13) / 14);
    w->at[4] = draw_index(w, ab * w->at[2]);
    w->at[5] = draw_index(w, tiles * w->at[2] * 4);
}

/* ---- checks ---- */

typedef struct Claim {
    Expr a, b;
    bool lt, le, known[4], value[4]; /* a < b, a <= b, a == b, a != b: folded, to what */
} Claim;

static const ExprOp compare[] = {EX_LT, EX_LE, EX_EQ, EX_NE};

static bool holds(ExprOp op, Wide a, Wide b)
{
    return op == EX_LT ? a < b : op == EX_LE ? a <= b : (a == b) == (op == EX_EQ);
}

static const char *text_of(const World *w, const Claim *c)
{
    Str s = str_new(w->arena);
    expr_print(w->x, c->a, NULL, &s);
    str_add(&s, "  and  ");
    expr_print(w->x, c->b, NULL, &s);
    str_addf(&s, "  at");
    for (int i = 0; i < VARS; i++)
        str_addf(&s, " %lld", (long long)w->at[i]);
    return str_text(&s);
}

static bool fits(Wide v)
{
    return v >= INT64_MIN && v <= INT64_MAX;
}

/* What was built is what was asked for, and inside its interval. */
static void check_built(const World *w, const Claim *c, Expr e, Wide want)
{
    if (!fits(want))
        return;
    const int64_t got = expr_eval_int(w->x, e, w->at);
    if (got != (int64_t)want || got < expr_low(w->x, e) || got > expr_high(w->x, e))
        FAIL_MSG("%lld is not %lld in [%lld, %lld]: %s", (long long)got, (long long)want,
                 (long long)expr_low(w->x, e), (long long)expr_high(w->x, e), text_of(w, c));
}

static void check_point(const World *w, const Claim *c, Wide a, Wide b)
{
    if ((c->lt && a >= b) || (c->le && a > b))
        FAIL_MSG("proven %s: %s", c->lt ? "<" : "<=", text_of(w, c));
    for (int k = 0; k < 4; k++)
        if (c->known[k] && holds(compare[k], a, b) != c->value[k])
            FAIL_MSG("%s became %d: %s", expr_op_text(compare[k]), c->value[k], text_of(w, c));
}

/* Near the ends of i64 nothing is promised (expr.h), constants that builders move included. */
static bool overflows(const World *w)
{
    for (int i = 0; i < w->nnodes; i++) {
        Wide v;
        if (!tree_eval(w, i, &v) || !fits(2 * v))
            return true;
    }
    return false;
}

static int check_pair(World *w)
{
    w->nnodes = 0;
    const int ta = draw_tree(w), tb = draw_near(w, ta);
    Claim c = {.a = tree_build(w, ta), .b = tree_build(w, tb)};
    c.lt = expr_proves_lt(w->x, c.a, c.b);
    c.le = expr_proves_le(w->x, c.a, c.b);
    for (int k = 0; k < 4; k++) {
        int64_t v = 0;
        c.known[k] = expr_is_int(w->x, expr_bin(w->x, compare[k], c.a, c.b), &v);
        c.value[k] = v != 0;
    }
    for (int p = 0; p < POINTS; p++) {
        Wide a, b;
        draw_point(w);
        if (overflows(w))
            continue;
        tree_eval(w, ta, &a);
        tree_eval(w, tb, &b);
        check_built(w, &c, c.a, a);
        check_built(w, &c, c.b, b);
        check_point(w, &c, a, b);
    }
    return c.le;
}

static void pairs_job(Context *ctx, void *arg)
{
    int *proven = arg;
    for (int k = 0; k < PAIRS; k++) {
        World w;
        Arena *const a = arena_new();
        Context inner = *ctx;
        inner.arena = a;
        world_init(&w, &inner, (uint64_t)k + 1);
        *proven += check_pair(&w);
        arena_free(a);
    }
}

static void test_pairs(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e;
    int proven = 0;
    if (job_run(a, pairs_job, &proven, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    assert_true(proven > PAIRS / 8 && proven < PAIRS / 2);
    arena_free(a);
}

/* A parallel loop over all tiles of a convolution with free sizes, split again. */
static void split_job(Context *ctx, void *arg)
{
    (void)arg;
    World w;
    world_init(&w, ctx, 1);
    Exprs *const x = w.x;
    const Expr rows = expr_ceil_div(x, w.var[0], expr_int(x, 2));
    const Expr columns = expr_ceil_div(x, w.var[1], expr_int(x, 14));
    const Expr all = expr_muli(x, expr_mul(x, expr_mul(x, rows, columns), w.var[3]), 4);
    assert_false(expr_proves_le(x, all, columns));
    const Expr par = expr_loop_var(x, "par", all);
    assert_int_equal(expr_node(x, expr_mod(x, par, columns))->op, EX_MOD);
    assert_int_equal(expr_node(x, expr_div(x, par, columns))->op, EX_DIV);
    assert_int_equal(expr_div(x, par, all), expr_int(x, 0));
    assert_true(expr_proves_lt(x, par, all));
}

static void test_split(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e;
    if (job_run(a, split_job, NULL, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
