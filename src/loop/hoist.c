/* See hoist.h. Works from the inside out: for each loop, every offset in its body that is a sum is
 * split into the terms that change inside and the rest; the rest becomes a LET before the loop
 * (where the next loop out may split it again). */
#include "loop/hoist.h"

typedef struct Hoist {
    Loops *l;
    Exprs *x;
    bool *inside;     /* by variable id: bound in the current loop */
    int ninside;
    IntMap named;     /* invariant expression -> its LET variable, for the current loop */
    VEC(int) lets;    /* LET statements to put before the current loop */
    int *count;       /* LETs made so far, for their names */
    IntMap memo;
} Hoist;

static bool changes(const Hoist *h, Expr e)
{
    const ExprNode *n = expr_node(h->x, e);
    if (n->varies) {
        return true;
    }
    if (n->op == EX_VAR) {
        return n->imm.i >= h->ninside || h->inside[n->imm.i];
    }
    for (int k = 0; k < n->nargs; k++) {
        if (changes(h, expr_arg(h->x, e, k))) {
            return true;
        }
    }
    return false;
}

static Expr name_of(Hoist *h, Expr value)
{
    const int known = intmap_get(&h->named, value, 0);
    if (known) {
        return (Expr)known;
    }
    const char *name = arena_printf(h->l->ctx->arena, "o%d", (*h->count)++);
    const Expr var = expr_value_var(h->x, name, DT_I64);
    const int id = loops_stmt(h->l, L_LET);
    h->l->stmt.at[id].var = var;
    h->l->stmt.at[id].value = value;
    vec_push(h->l->ctx->arena, &h->lets, id);
    intmap_put(&h->named, value, (int)var);
    return var;
}

static Expr split_offset(Hoist *h, Expr e)
{
    Exprs *x = h->x;
    const ExprNode n = *expr_node(x, e);
    if (n.lanes != 1 || n.op == EX_VAR || n.op == EX_INT) {
        return e;
    }
    if (n.op != EX_ADD) {
        return changes(h, e) ? e : name_of(h, e);
    }
    Expr fixed = expr_int(x, 0);
    Expr moving = expr_int(x, 0);
    int terms = 0;
    for (int k = 0; k < n.nargs; k++) {
        const Expr term = expr_arg(x, e, k);
        if (expr_is_int(x, term, NULL) || changes(h, term)) {
            moving = expr_add(x, moving, term);
        } else {
            fixed = expr_add(x, fixed, term);
            terms++;
        }
    }
    if (terms == 0 || expr_node(x, fixed)->op == EX_VAR) {
        return e;
    }
    return expr_add(x, name_of(h, fixed), moving);
}

static Expr visit(Hoist *h, Expr e)
{
    const ExprNode n = *expr_node(h->x, e);
    if (!n.varies || n.nargs == 0) {
        return e;
    }
    const int known = intmap_get(&h->memo, e, 0);
    if (known) {
        return (Expr)known;
    }
    Expr *args = arena_array_of(h->l->ctx->arena, n.nargs, Expr);
    bool changed = false;
    const bool memory = n.op == EX_VLOAD || n.op == EX_MLOAD || n.op == EX_TILE;
    for (int k = 0; k < n.nargs; k++) {
        const Expr old = expr_arg(h->x, e, k);
        args[k] = visit(h, old);
        if (memory && k == 0) {
            args[k] = split_offset(h, args[k]);
        }
        changed |= args[k] != old;
    }
    const Expr made = changed ? expr_raw(h->x, (ExprOp)n.op, (DType)n.dtype, n.lanes, n.imm.i,
                                         n.nargs, args)
                              : e;
    intmap_put(&h->memo, e, (int)made);
    return made;
}

static void mark_bound(Hoist *h, int stmt)
{
    const LoopStmt *s = &h->l->stmt.at[stmt];
    if (s->var) {
        h->inside[expr_node(h->x, s->var)->imm.i] = true;
    }
    for (int k = 0; k < s->child.len; k++) {
        mark_bound(h, s->child.at[k]);
    }
}

static void rewrite_stmt(Hoist *h, int stmt)
{
    LoopStmt *s = &h->l->stmt.at[stmt];
    if (s->op == L_LET && !expr_node(h->x, s->value)->varies && expr_type(h->x, s->var) == DT_I64) {
        const Expr value = split_offset(h, s->value);
        h->l->stmt.at[stmt].value = value;
    } else if (s->value) {
        const Expr value = visit(h, s->value);
        h->l->stmt.at[stmt].value = value;
    }
    s = &h->l->stmt.at[stmt];
    if (s->op == L_STORE || s->op == L_FETCH) {
        const Expr at = split_offset(h, visit(h, s->index[0]));
        h->l->stmt.at[stmt].index[0] = at;
    }
    for (int k = 0; k < h->l->stmt.at[stmt].child.len; k++) {
        rewrite_stmt(h, h->l->stmt.at[stmt].child.at[k]);
    }
}

static void hoist_in(Hoist *outer, int parent)
{
    Loops *l = outer->l;
    for (int k = 0; k < l->stmt.at[parent].child.len; k++) {
        const int stmt = l->stmt.at[parent].child.at[k];
        hoist_in(outer, stmt);
        if (l->stmt.at[stmt].op != L_FOR) {
            continue;
        }
        Hoist h = {.l = l, .x = l->x, .ninside = l->x->var.len, .count = outer->count};
        h.inside = arena_array_of(l->ctx->arena, h.ninside, bool);
        h.named = intmap_new(l->ctx->arena);
        h.memo = intmap_new(l->ctx->arena);
        mark_bound(&h, stmt);
        for (int c = 0; c < l->stmt.at[stmt].child.len; c++) {
            rewrite_stmt(&h, l->stmt.at[stmt].child.at[c]);
        }
        for (int i = 0; i < h.lets.len; i++) {
            vec_push(l->ctx->arena, &l->stmt.at[parent].child, 0);
            LoopStmt *p = &l->stmt.at[parent];
            for (int m = p->child.len - 1; m > k; m--) {
                p->child.at[m] = p->child.at[m - 1];
            }
            p->child.at[k++] = h.lets.at[i];
        }
    }
}

void hoist_invariants(Loops *expanded)
{
    int count = 0;
    Hoist root = {.l = expanded, .x = expanded->x, .count = &count};
    for (int k = 0; k < expanded->phase.len; k++) {
        hoist_in(&root, expanded->phase.at[k].body);
    }
}
