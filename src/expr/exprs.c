/* The pool: interning of nodes, leaves, variables, walks. Nothing here simplifies. */
#include <assert.h>
#include <string.h>

#include "expr/linear.h"
#include "expr/memo.h"

const char *expr_op_text(ExprOp op)
{
    static const char *const text[] = {
#define X(name, t, form) [EX_##name] = t,
        EXPR_OPS(X)
#undef X
    };
    assert(op < EX_COUNT);
    return text[op];
}

bool expr_op_is_compare(ExprOp op)
{
    return op == EX_LT || op == EX_LE || op == EX_EQ || op == EX_NE;
}

/* ---- interning ---- */
static uint64_t node_hash(const ExprNode *n, const Expr *args)
{
    uint64_t h = hash_mix(n->op, (uint64_t)n->dtype << 32 | (uint64_t)n->lanes << 16 | n->nargs);
    h = hash_mix(h, (uint64_t)n->imm.i);
    for (int i = 0; i < n->nargs; i++)
        h = hash_mix(h, args[i]);
    return h;
}

static bool node_equal(const Exprs *x, const ExprNode *a, const ExprNode *n, const Expr *args)
{
    return a->op == n->op && a->dtype == n->dtype && a->lanes == n->lanes && a->nargs == n->nargs &&
           a->imm.i == n->imm.i &&
           (n->nargs == 0 || memcmp(&x->arg.at[a->args], args, n->nargs * sizeof *args) == 0);
}

static void table_grow(Exprs *x)
{
    x->table_cap = x->table_cap ? x->table_cap * 2 : 256;
    x->table = arena_array_of(x->ctx->arena, x->table_cap, uint32_t);
    const uint64_t mask = (uint64_t)x->table_cap - 1;
    for (uint32_t e = 1; e < (uint32_t)x->node.len; e++) {
        const ExprNode *const n = &x->node.at[e];
        uint64_t h = node_hash(n, n->nargs ? &x->arg.at[n->args] : NULL) & mask;
        while (x->table[h])
            h = (h + 1) & mask;
        x->table[h] = e;
    }
}

static bool op_varies(ExprOp op)
{
    return op == EX_LOAD || op == EX_STATE || op == EX_STATE2 || op == EX_VLOAD || op == EX_MLOAD ||
           op == EX_GATHER || op == EX_TILE || op == EX_REG;
}

Expr expr_intern(Exprs *x, ExprOp op, DType t, int lanes, int64_t imm, int n, const Expr *args)
{
    assert(op > EX_NONE && op < EX_COUNT && n >= 0 && n <= UINT16_MAX && lanes >= 1);
    ExprNode node = {.op = (uint8_t)op,
                     .dtype = (uint8_t)t,
                     .lanes = (uint16_t)lanes,
                     .nargs = (uint16_t)n,
                     .imm.i = imm};
    const uint64_t mask = (uint64_t)x->table_cap - 1;
    uint64_t h = node_hash(&node, args) & mask;
    for (; x->table[h]; h = (h + 1) & mask)
        if (node_equal(x, &x->node.at[x->table[h]], &node, args))
            return x->table[h];

    const Bounds b = expr_bounds_of(x, &node, args);
    node.low = b.low;
    node.high = b.high;
    node.varies = op_varies(op);
    node.vars = op == EX_VAR ? (uint64_t)1 << (imm & 63) : 0;
    node.args = (uint32_t)x->arg.len;
    for (int i = 0; i < n; i++) {
        assert(args[i] > 0 && args[i] < (Expr)x->node.len);
        node.varies |= x->node.at[args[i]].varies;
        node.vars |= x->node.at[args[i]].vars;
        vec_push(x->ctx->arena, &x->arg, args[i]);
    }
    const Expr e = (Expr)x->node.len;
    vec_push(x->ctx->arena, &x->node, node);
    x->table[h] = e;
    if (++x->table_len * 2 > x->table_cap)
        table_grow(x);
    return e;
}

Exprs *exprs_new(Context *ctx)
{
    Exprs *const x = arena_new_of(ctx->arena, Exprs);
    x->ctx = ctx;
    x->scratch = arena_new_of(ctx->arena, ExprScratch);
    const ExprNode none = {.op = EX_NONE, .lanes = 1};
    vec_push(ctx->arena, &x->node, none);
    table_grow(x);
    return x;
}

/* ---- leaves ---- */
static int64_t wrap_to(DType t, int64_t v)
{
    return scalar_cast(t, (Scalar){.dtype = DT_I64, .i = v}).i;
}

Expr expr_int_of(Exprs *x, DType t, int64_t v)
{
    assert(dtype_is_int(t) || t == DT_BOOL);
    return expr_intern(x, EX_INT, t, 1, wrap_to(t, v), 0, NULL);
}

Expr expr_int(Exprs *x, int64_t v)
{
    return expr_intern(x, EX_INT, DT_I64, 1, v, 0, NULL);
}

Expr expr_float(Exprs *x, DType t, double v)
{
    assert(t == DT_F32 || t == DT_F64);
    union {
        double f;
        int64_t i;
    } bits = {.f = t == DT_F32 ? (double)(float)v : v};
    return expr_intern(x, EX_FLOAT, t, 1, bits.i, 0, NULL);
}

Expr expr_const(Exprs *x, DType t, double v)
{
    const Scalar s = scalar_cast(t, (Scalar){.dtype = DT_F64, .f = v});
    return dtype_is_float(t) ? expr_float(x, t, s.f) : expr_int_of(x, t, s.i);
}

static Expr new_var(Exprs *x, ExprVar v, DType t)
{
    const int id = x->var.len;
    v.name = arena_strdup(x->ctx->arena, v.name);
    vec_push(x->ctx->arena, &x->var, v);
    const Expr self = expr_intern(x, EX_VAR, t, 1, id, 0, NULL);
    x->var.at[id].self = self;
    return self;
}

Expr expr_sym(Exprs *x, const char *name, int64_t low, int64_t high, int64_t multiple)
{
    for (int i = 0; i < x->var.len; i++)
        if (x->var.at[i].kind == VAR_SYM && strcmp(x->var.at[i].name, name) == 0)
            return x->var.at[i].self;
    assert(low <= high && multiple >= 1);
    return new_var(x, (ExprVar){.name = name,
                                .kind = VAR_SYM,
                                .low = low,
                                .high = high,
                                .multiple = multiple}, DT_I64);
}

Expr expr_sym_narrow(Exprs *x, Expr symbol, int64_t low, int64_t high)
{
    ExprVar v = x->var.at[expr_node(x, symbol)->imm.i];
    assert(v.kind == VAR_SYM && v.low <= low && low <= high && high <= v.high);
    x->var.at[expr_node(x, symbol)->imm.i].name =
        arena_printf(x->ctx->arena, "%s#%u", v.name, symbol);
    v.low = low;
    v.high = high;
    return new_var(x, v, DT_I64);
}

Expr expr_value_var(Exprs *x, const char *name, DType t)
{
    const ExprVar unknown = {.name = name,
                             .kind = VAR_LOOP,
                             .low = INT64_MIN,
                             .high = INT64_MAX,
                             .multiple = 1};
    const Expr e = new_var(x, unknown, t);
    x->node.at[e].varies = t != DT_I64; /* it names a value, not an index */
    return e;
}

Expr expr_loop_var(Exprs *x, const char *name, Expr extent)
{
    assert(extent && expr_type(x, extent) == DT_I64);
    const int64_t high = expr_high(x, extent);
    return new_var(x, (ExprVar){.name = name,
                                .kind = VAR_LOOP,
                                .extent = extent,
                                .low = 0,
                                .high = high == INT64_MAX ? high : high > 0 ? high - 1 : 0,
                                .multiple = 1}, DT_I64);
}

Expr expr_load(Exprs *x, DType compute, int tensor, int n, const Expr *index)
{
    return expr_intern(x, EX_LOAD, compute, 1, tensor, n, index);
}

Expr expr_state(Exprs *x, DType t, int k)
{
    return expr_intern(x, EX_STATE, t, 1, k, 0, NULL);
}

Expr expr_state2(Exprs *x, DType t, int k)
{
    return expr_intern(x, EX_STATE2, t, 1, k, 0, NULL);
}

Expr expr_raw(Exprs *x, ExprOp op, DType t, int lanes, int64_t imm, int n, const Expr *args)
{
    return expr_intern(x, op, t, lanes, imm, n, args);
}

/* ---- order ---- */
static int compare_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

int expr_compare(const Exprs *x, Expr a, Expr b)
{
    if (a == b)
        return 0;
    const ExprNode *const na = expr_node(x, a);
    const ExprNode *const nb = expr_node(x, b);
    if (na->op != nb->op)
        return compare_i64(na->op, nb->op);
    if (na->dtype != nb->dtype)
        return compare_i64(na->dtype, nb->dtype);
    if (na->op == EX_VAR) {
        const int c = strcmp(x->var.at[na->imm.i].name, x->var.at[nb->imm.i].name);
        return c ? c : compare_i64(na->imm.i, nb->imm.i);
    }
    for (int i = 0; i < na->nargs && i < nb->nargs; i++) {
        const int c = expr_compare(x, expr_arg(x, a, i), expr_arg(x, b, i));
        if (c)
            return c;
    }
    if (na->nargs != nb->nargs)
        return compare_i64(na->nargs, nb->nargs);
    if (na->imm.i != nb->imm.i)
        return compare_i64(na->imm.i, nb->imm.i);
    return compare_i64(na->lanes, nb->lanes);
}

/* ---- questions and walks ---- */
bool expr_is_int(const Exprs *x, Expr e, int64_t *value)
{
    const ExprNode *const n = expr_node(x, e);
    if (n->op != EX_INT)
        return false;
    if (value)
        *value = n->imm.i;
    return true;
}

bool expr_is_const(const Exprs *x, Expr e, double *value)
{
    double ignored;
    const ExprNode *const n = expr_node(x, e);
    value = value ? value : &ignored;
    if (n->op == EX_FLOAT)
        *value = n->imm.f;
    else if (n->op == EX_INT)
        *value = n->dtype == DT_U64 ? (double)(uint64_t)n->imm.i : (double)n->imm.i;
    return n->op == EX_FLOAT || n->op == EX_INT;
}

typedef struct Walk {
    const Exprs *scratch;
    Memo *seen;
    ExprVisitFn fn;
    void *arg;
} Walk;

static void walk(const Exprs *x, Expr e, const Walk *w)
{
    uint32_t ignored;
    if (memo_get(w->seen, e, &ignored))
        return;
    for (int i = 0; i < expr_node(x, e)->nargs; i++)
        walk(x, expr_arg(x, e, i), w);
    memo_put(w->scratch, w->seen, e, 0);
    w->fn(x, e, w->arg);
}

void expr_walk(const Exprs *x, Expr e, ExprVisitFn fn, void *arg)
{
    expr_walk_shared(x, x, e, fn, arg);
}

void expr_walk_shared(const Exprs *scratch, const Exprs *x, Expr e, ExprVisitFn fn, void *arg)
{
    const Walk w = {.scratch = scratch, .seen = memo_take(scratch), .fn = fn, .arg = arg};
    walk(x, e, &w);
    memo_give(scratch, w.seen);
}

static bool uses_var(const Exprs *x, Expr e, Expr var, uint64_t bit, Memo *seen)
{
    uint32_t ignored;
    if (e == var)
        return true;
    if (!(expr_node(x, e)->vars & bit) || memo_get(seen, e, &ignored))
        return false;
    for (int i = 0; i < expr_node(x, e)->nargs; i++)
        if (uses_var(x, expr_arg(x, e, i), var, bit, seen))
            return true;
    memo_put(x, seen, e, 0);
    return false;
}

bool expr_uses_var(const Exprs *x, Expr e, int var)
{
    const uint64_t bit = (uint64_t)1 << (var & 63);
    if (!(expr_node(x, e)->vars & bit))
        return false;
    Memo *const seen = memo_take(x);
    const bool uses = uses_var(x, e, x->var.at[var].self, bit, seen);
    memo_give(x, seen);
    return uses;
}
