/* Rewriting: bottom-up rebuilding through the builders, each shared node once. */
#include <assert.h>
#include <string.h>

#include "expr/linear.h"
#include "expr/memo.h"

static Expr rebuild_nary(Exprs *x, ExprOp op, int n, const Expr *args)
{
    if (op == EX_ADD)
        return expr_sum(x, n, args);
    Expr r = args[0];
    for (int i = 1; i < n; i++)
        r = expr_mul(x, r, args[i]);
    return r;
}

/* The node n (taken by value: the pool may move) over other arguments, in this pool. */
static Expr rebuild(Exprs *x, ExprNode n, const Expr *args)
{
    const ExprOp op = (ExprOp)n.op;
    switch (op) {
    case EX_ADD:
    case EX_MUL:
        if (n.dtype == DT_I64 && n.lanes == 1)
            return rebuild_nary(x, op, n.nargs, args);
        return expr_bin(x, op, args[0], args[1]);
    case EX_SELECT:
        return expr_select(x, args[0], args[1], args[2]);
    case EX_FMA:
        return expr_fma(x, args[0], args[1], args[2]);
    case EX_CAST:
        return expr_cast(x, (DType)n.dtype, args[0]);
    case EX_BITCAST:
        return expr_bitcast(x, (DType)n.dtype, args[0]);
    default:
        break;
    }
    if ((op >= EX_SUB && op <= EX_MAX) || (op >= EX_AND && op <= EX_XOR) || op == EX_SHL ||
        op == EX_SHR || expr_op_is_compare(op) || op == EX_POW)
        return expr_bin(x, op, args[0], args[1]);
    if (op == EX_NEG || op == EX_ABS || op == EX_NOT || (op >= EX_FLOOR && op <= EX_SIGMOID))
        return expr_un(x, op, args[0]);
    return expr_intern(x, op, (DType)n.dtype, n.lanes, n.imm.i, n.nargs, args);
}

Expr expr_rebuild(Exprs *x, Expr e, const Expr *new_args)
{
    return rebuild(x, *expr_node(x, e), new_args);
}

/* ---- rewrite and substitution ---- */
typedef struct Rewrite {
    ExprRewriteFn fn;
    void *arg;
    uint64_t vars; /* substitution: expressions without these are left alone */
    int n;
    const Expr *from, *to;
    Memo *memo;
} Rewrite;

static Expr rewrite(Exprs *x, Expr e, const Rewrite *w);

static Expr rewrite_args(Exprs *x, Expr e, const Rewrite *w)
{
    const int n = expr_node(x, e)->nargs;
    Expr args[LINEAR_MAX + 1];
    assert(n <= LINEAR_MAX + 1);
    bool changed = false;
    for (int i = 0; i < n; i++) {
        args[i] = rewrite(x, expr_arg(x, e, i), w);
        changed |= args[i] != expr_arg(x, e, i);
    }
    return changed ? expr_rebuild(x, e, args) : e;
}

static Expr replacement(Exprs *x, Expr e, const Rewrite *w)
{
    if (w->fn)
        return w->fn(x, e, w->arg);
    for (int i = 0; i < w->n; i++)
        if (w->from[i] == e)
            return w->to[i];
    return 0;
}

static Expr rewrite(Exprs *x, Expr e, const Rewrite *w)
{
    if (!w->fn && !(expr_node(x, e)->vars & w->vars))
        return e;
    uint32_t known;
    if (memo_get(w->memo, e, &known))
        return known;
    Expr r = replacement(x, e, w);
    if (!r)
        r = expr_node(x, e)->nargs ? rewrite_args(x, e, w) : e;
    memo_put(x, w->memo, e, r);
    return r;
}

Expr expr_rewrite(Exprs *x, Expr e, ExprRewriteFn fn, void *arg)
{
    const Rewrite w = {.fn = fn, .arg = arg, .memo = memo_take(x)};
    const Expr r = rewrite(x, e, &w);
    memo_give(x, w.memo);
    return r;
}

Expr expr_subst(Exprs *x, Expr e, int n, const Expr *from, const Expr *to)
{
    Rewrite w = {.n = n, .from = from, .to = to};
    for (int i = 0; i < n; i++) {
        assert(expr_node(x, from[i])->op == EX_VAR);
        w.vars |= expr_node(x, from[i])->vars;
    }
    if (e == 0 || !(expr_node(x, e)->vars & w.vars))
        return e;
    w.memo = memo_take(x);
    const Expr r = rewrite(x, e, &w);
    memo_give(x, w.memo);
    return r;
}

/* ---- between pools ---- */
typedef struct Import {
    const Exprs *from;
    Expr *var_map;
    Memo *memo;
} Import;

static Expr import(Exprs *x, Expr e, const Import *m);

static Expr import_var(Exprs *x, int id, const Import *m)
{
    const ExprVar *const v = &m->from->var.at[id];
    if (m->var_map[id])
        return m->var_map[id];
    if (v->kind == VAR_SYM)
        m->var_map[id] = expr_sym(x, v->name, v->low, v->high, v->multiple);
    else if (v->extent)
        m->var_map[id] = expr_loop_var(x, v->name, import(x, v->extent, m));
    else
        m->var_map[id] = expr_value_var(x, v->name, expr_type(m->from, v->self));
    return m->var_map[id];
}

static Expr import(Exprs *x, Expr e, const Import *m)
{
    uint32_t known;
    if (memo_get(m->memo, e, &known))
        return known;
    const ExprNode *const n = expr_node(m->from, e);
    Expr r;
    if (n->op == EX_VAR) {
        r = import_var(x, (int)n->imm.i, m);
    } else {
        Expr args[LINEAR_MAX + 1];
        assert(n->nargs <= LINEAR_MAX + 1);
        for (int i = 0; i < n->nargs; i++)
            args[i] = import(x, expr_arg(m->from, e, i), m);
        r = rebuild(x, *n, args);
    }
    memo_put(x, m->memo, e, r);
    return r;
}

Expr expr_import(Exprs *x, const Exprs *from, Expr e, Expr *var_map)
{
    if (e == 0)
        return 0;
    const Import m = {.from = from, .var_map = var_map, .memo = memo_take(x)};
    const Expr r = import(x, e, &m);
    memo_give(x, m.memo);
    return r;
}
