/* Bounds inference by intervals, symbolic in the outer variables. See region.h. */
#include "loop/region.h"

#include <assert.h>

static bool depends(const Exprs *x, Expr e, const bool *inner, int ninner)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_VAR) {
        return n->imm.i < ninner && inner[n->imm.i];
    }
    for (int k = 0; k < n->nargs; k++) {
        if (depends(x, expr_arg(x, e, k), inner, ninner)) {
            return true;
        }
    }
    return false;
}

/* Removes one linear inner variable from e: e = a*v + rest. False if there is none. */
static bool peel_linear(Exprs *x, Expr e, const bool *inner, int ninner, int64_t *a, int *v,
                        Expr *rest)
{
    for (int id = 0; id < ninner; id++) {
        Expr coef;
        if (inner[id] && expr_uses_var(x, e, id) && expr_linear_in(x, e, id, &coef, rest) &&
            expr_is_int(x, coef, a)) {
            *v = id;
            return true;
        }
    }
    return false;
}

static Expr extent_of(Exprs *x, int v)
{
    const ExprVar *var = &x->var.at[v];
    return var->extent ? var->extent : expr_int(x, var->high + 1);
}

static bool interval(Exprs *x, Expr e, const bool *inner, int ninner, Expr *low, Expr *high)
{
    if (expr_node(x, e)->varies) {
        return false;
    }
    if (!depends(x, e, inner, ninner)) {
        *low = *high = e;
        return true;
    }
    int64_t a;
    int v;
    Expr rest;
    if (peel_linear(x, e, inner, ninner, &a, &v, &rest)) {
        const int64_t v_low = x->var.at[v].extent ? 0 : x->var.at[v].low;
        if (!interval(x, rest, inner, ninner, low, high)) {
            return false;
        }
        const Expr first = expr_int(x, a * v_low);
        const Expr last = expr_muli(x, expr_addi(x, extent_of(x, v), -1), a);
        *low = expr_add(x, *low, a > 0 ? first : last);
        *high = expr_add(x, *high, a > 0 ? last : first);
        return true;
    }
    const ExprNode n = *expr_node(x, e);
    if (n.op == EX_ADD) {
        *low = *high = expr_int(x, 0);
        for (int k = 0; k < n.nargs; k++) {
            Expr l, h;
            if (!interval(x, expr_arg(x, e, k), inner, ninner, &l, &h)) {
                return false;
            }
            *low = expr_add(x, *low, l);
            *high = expr_add(x, *high, h);
        }
        return true;
    }
    Expr l0, h0, l1, h1;
    int64_t c;
    if (n.op == EX_MIN || n.op == EX_MAX) {
        if (!interval(x, expr_arg(x, e, 0), inner, ninner, &l0, &h0) ||
            !interval(x, expr_arg(x, e, 1), inner, ninner, &l1, &h1)) {
            return false;
        }
        *low = expr_bin(x, (ExprOp)n.op, l0, l1);
        *high = expr_bin(x, (ExprOp)n.op, h0, h1);
        return true;
    }
    if ((n.op == EX_MUL || n.op == EX_DIV) && expr_is_int(x, expr_arg(x, e, 1), &c) && c > 0) {
        if (!interval(x, expr_arg(x, e, 0), inner, ninner, &l0, &h0)) {
            return false;
        }
        const Expr by = expr_int(x, c);
        *low = expr_bin(x, (ExprOp)n.op, l0, by);
        *high = expr_bin(x, (ExprOp)n.op, h0, by);
        return true;
    }
    return false;
}

void region_mark(const Exprs *x, bool *inner, Expr var)
{
    const ExprNode *n = expr_node(x, var);
    if (n->op == EX_VAR) {
        inner[n->imm.i] = true;
    }
}

bool region_of_expr(Exprs *x, Expr e, const bool *inner, int ninner, Range *out)
{
    Expr low, high;
    if (!interval(x, e, inner, ninner, &low, &high)) {
        return false;
    }
    out->low = low;
    out->size = expr_addi(x, expr_sub(x, high, low), 1);
    return true;
}

static void add_range(Exprs *x, Range *r, Range more)
{
    if (!r->size) {
        *r = more;
        return;
    }
    const Expr high = expr_max(x, expr_add(x, r->low, r->size), expr_add(x, more.low, more.size));
    r->low = expr_min(x, r->low, more.low);
    r->size = expr_sub(x, high, r->low);
}

typedef struct LoadWalk {
    Exprs *x;
    int tensor, rank, ninner;
    const Expr *dims;
    const bool *inner;
    Region *r;
} LoadWalk;

static void visit_load(const Exprs *cx, Expr e, void *arg)
{
    LoadWalk *w = arg;
    Exprs *x = w->x;
    const ExprNode *n = expr_node(cx, e);
    if (n->op != EX_LOAD || n->imm.i != w->tensor) {
        return;
    }
    for (int k = 0; k < w->rank; k++) {
        Range range = {.low = expr_int(x, 0), .size = w->dims[k]};
        region_of_expr(x, expr_arg(x, e, k), w->inner, w->ninner, &range);
        add_range(x, &w->r->axis[k], range);
    }
}

void region_add_loads(Exprs *x, Expr e, int tensor, int rank, const Expr *dims, const bool *inner,
                      int ninner, Region *r)
{
    LoadWalk w = {.x = x, .tensor = tensor, .rank = rank, .dims = dims, .inner = inner,
                  .ninner = ninner, .r = r};
    r->rank = rank;
    expr_walk(x, e, visit_load, &w);
}

/* ---- safe loads ---- */

static Expr rounded_dim(Exprs *x, const StageTensor *t, int axis)
{
    const int64_t block = t->part.is_part ? 1 : layout_block(&t->layout, axis);
    return block == 1 ? t->dim[axis]
                      : expr_muli(x, expr_ceil_div(x, t->dim[axis], expr_int(x, block)), block);
}

static Expr bound_index(Exprs *x, Expr index, Expr dim)
{
    if (!expr_proves_lt(x, index, dim)) {
        index = expr_min(x, index, expr_addi(x, dim, -1));
    }
    const Expr zero = expr_int(x, 0);
    return expr_proves_le(x, zero, index) ? index : expr_max(x, index, zero);
}

/* A part that can be empty may begin where its whole ends: there it is the whole that bounds the
 * index. */
static Expr bound_in_whole(Exprs *x, const StageTensor *t, int axis, Expr index)
{
    if (!t->part.is_part || expr_low(x, t->dim[axis]) > 0) {
        return index;
    }
    const Expr at = t->part.at[axis];
    return expr_sub(x, bound_index(x, expr_add(x, at, index), t->part.whole[axis]), at);
}

static Expr bound_load(Exprs *x, Expr e, void *arg)
{
    const Stages *s = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD) {
        return 0;
    }
    const StageTensor *t = &s->tensor.at[n.imm.i];
    Expr index[MAX_RANK];
    for (int k = 0; k < t->rank; k++) {
        const Expr inner = expr_rewrite(x, expr_arg(x, e, k), bound_load, arg);
        index[k] = bound_index(x, inner, rounded_dim(x, t, k));
        if (index[k] != inner) {
            index[k] = bound_in_whole(x, t, k, index[k]);
        }
    }
    return expr_load(x, (DType)n.dtype, (int)n.imm.i, t->rank, index);
}

void stages_bound_loads(Stages *s)
{
    for (int i = 0; i < s->stage.len; i++) {
        stage_rewrite(s->x, &s->stage.at[i], bound_load, s);
    }
}
