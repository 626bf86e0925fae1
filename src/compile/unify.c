/* Sizes that must be equal become one, and sizes that must be small get their bound.
 *
 *     x f32[N,8], c f32[16,8]: add(x, c) has to take N == 16 for granted      ->   N is 16 everywhere
 *     x f32[N,8], c f32[512,8]: add(x, c[0:N]) takes N == min(N, 512)         ->   N is at most 512
 *
 * Inference notes such equalities and a run checks them. Left as they are, one axis has two
 * names for its extent, and what is computed for the one cannot be seen to suffice for the
 * other. Only sizes of the model's inputs are replaced, and only for what the model's own block
 * needs: a branch that is not taken demands nothing. The names that go remain names for --bind:
 * link_program.c makes variables of them. */
#include "compile/work.h"

typedef struct Unify {
    Graph *g;
    int nsymbols;
    bool *of_input; /* by symbol: is it a dim of an input of the model? */
} Unify;

static bool is_input_size(const Unify *u, Expr e)
{
    const ExprNode *n = expr_node(u->g->x, e);
    return n->op == EX_VAR && n->imm.i < u->nsymbols && u->of_input[n->imm.i];
}

static bool can_be(const Graph *g, Expr symbol, Expr to)
{
    const ExprVar *v = &g->x->var.at[expr_node(g->x, symbol)->imm.i];
    int64_t size;
    if (expr_is_int(g->x, to, &size))
        return size >= v->low && size <= v->high && size % v->multiple == 0;
    const ExprVar *w = &g->x->var.at[expr_node(g->x, to)->imm.i];
    return v->low == w->low && v->high == w->high && v->multiple == w->multiple;
}

static void replace(Graph *g, Expr from, Expr to)
{
    for (int i = 0; i < g->value.len; i++) {
        Value *v = &g->value.at[i];
        for (int k = 0; k < v->rank; k++)
            v->dim[k] = expr_subst(g->x, v->dim[k], 1, &from, &to);
    }
    for (int i = 0; i < g->assume.len; i++) {
        g->assume.at[i].a = expr_subst(g->x, g->assume.at[i].a, 1, &from, &to);
        g->assume.at[i].b = expr_subst(g->x, g->assume.at[i].b, 1, &from, &to);
    }
}

static bool unify(Unify *u, Expr a, Expr b)
{
    const bool constant = expr_is_int(u->g->x, b, NULL);
    if (a == b || !is_input_size(u, a) || !(constant || is_input_size(u, b)) || !can_be(u->g, a, b))
        return false;
    replace(u->g, a, b);
    return true;
}

/* e == min(e, most), which holds for e <= most: where e is linear in a size of an input, that size
 * has a bound. */
static bool bound(Unify *u, Expr e, Expr least)
{
    Exprs *x = u->g->x;
    const ExprNode n = *expr_node(x, least);
    int64_t most = 0, by;
    Expr factor, rest;
    if (n.op != EX_MIN || (expr_arg(x, least, 0) != e && expr_arg(x, least, 1) != e) ||
        !expr_is_int(x, expr_arg(x, least, expr_arg(x, least, 0) == e), &most))
        return false;
    for (int i = 0; i < x->var.len; i++) {
        const ExprVar v = x->var.at[i];
        int64_t add;
        if (v.kind != VAR_SYM || !is_input_size(u, v.self) ||
            !expr_linear_in(x, e, i, &factor, &rest) || !expr_is_int(x, factor, &by) ||
            !expr_is_int(x, rest, &add) || by < 1 || add < 0 || add > most)
            continue;
        const int64_t high = (most - add) / by;
        if (high < v.low || high >= v.high)
            return false;
        replace(u->g, v.self, expr_sym_narrow(x, v.self, v.low, high));
        return true;
    }
    return false;
}

const char *const *unify_names(const Graph *g)
{
    const Block *model = &g->block.at[0];
    const char **name =
        arena_array_of(g->ctx->arena, (size_t)model->input.len * MAX_RANK + 1, const char *);
    for (int i = 0; i < model->input.len; i++) {
        const Value *v = &g->value.at[model->input.at[i]];
        for (int k = 0; k < v->rank; k++) {
            const ExprNode *n = expr_node(g->x, v->dim[k]);
            if (n->op == EX_VAR)
                name[i * MAX_RANK + k] = g->x->var.at[n->imm.i].name;
        }
    }
    return name;
}

int unify_sizes(Graph *g)
{
    Unify u = {.g = g,
               .nsymbols = g->x->var.len,
               .of_input = arena_array_of(g->ctx->arena, g->x->var.len + 1, bool)};
    const Block *model = &g->block.at[0];
    for (int i = 0; i < model->input.len; i++) {
        const Value *v = &g->value.at[model->input.at[i]];
        for (int k = 0; k < v->rank; k++)
            if (expr_node(g->x, v->dim[k])->op == EX_VAR)
                u.of_input[expr_node(g->x, v->dim[k])->imm.i] = true;
    }
    int n = 0;
    for (int i = 0; i < g->assume.len; i++) {
        const Assumption s = g->assume.at[i];
        if (s.node >= 0 && g->node.at[s.node].home == 0)
            n += unify(&u, s.a, s.b) || unify(&u, s.b, s.a) || bound(&u, s.a, s.b) ||
                 bound(&u, s.b, s.a);
    }
    return n;
}
