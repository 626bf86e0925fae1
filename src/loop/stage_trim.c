/* stages_trim: points of a sum that read nothing but border are left out.
 *
 *     pad[k]   = select(0 < k & k < 8, x[k - 1], 0)
 *     acc[p]   = sum over r < 3 of pad[p + r] * w[r]
 *     trim r:    r from max(1 - p, 0) to min(8 - p, 3)
 *
 * The bounds are what a loop over r may keep to; the meaning of the stage stays as it was, as
 * the products left out are 0. */
#include <string.h>

#include "loop/access.h"
#include "loop/stage.h"

typedef struct Bounds {
    Stages *s;
    const Stage *st;
    int axis;
    Expr low, high;
} Bounds;

static int var_of(const Bounds *b)
{
    return (int)expr_node(b->s->x, b->st->axis[b->axis].var)->imm.i;
}

/* Do other axes that are summed over occur in e? */
static bool uses_sum(const Bounds *b, Expr e)
{
    const Stage *st = b->st;
    for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
        if (a != b->axis &&
            expr_uses_var(b->s->x, e, (int)expr_node(b->s->x, st->axis[a].var)->imm.i)) {
            return true;
        }
    }
    return false;
}

/* All of these must hold for what is read to be no border: a*r + rest < 0 bounds r. */
static void add_condition(Bounds *b, Expr condition)
{
    Exprs *x = b->s->x;
    const ExprNode n = *expr_node(x, condition);
    if (n.op == EX_AND) {
        for (int k = 0; k < n.nargs; k++) {
            add_condition(b, expr_arg(x, condition, k));
        }
        return;
    }
    if ((n.op != EX_LT && n.op != EX_LE) || n.varies ||
        expr_type(x, expr_arg(x, condition, 0)) != DT_I64) {
        return;
    }
    Expr side = expr_sub(x, expr_arg(x, condition, 0), expr_arg(x, condition, 1)), coef, rest;
    side = n.op == EX_LE ? expr_addi(x, side, -1) : side;
    int64_t a;
    if (!expr_linear_in(x, side, var_of(b), &coef, &rest) || !expr_is_int(x, coef, &a) || a == 0 ||
        uses_sum(b, rest)) {
        return;
    }
    if (a > 0) { /* r < ceil(-rest / a) */
        const Expr end = expr_ceil_div(x, expr_muli(x, rest, -1), expr_int(x, a));
        b->high = expr_min(x, b->high, end);
    } else { /* r > rest / -a */
        const Expr first = expr_addi(x, expr_divi(x, rest, -a), 1);
        b->low = expr_max(x, b->low, first);
    }
}

/* The condition under which `load` reads what lies inside a bordered image; 0: it is of no such
 * image. */
static Expr inside_of(Stages *s, Expr load)
{
    Exprs *x = s->x;
    if (expr_node(x, load)->op != EX_LOAD) {
        return 0;
    }
    const int producer = s->tensor.at[expr_node(x, load)->imm.i].stage;
    const Stage *p = producer < 0 ? NULL : &s->stage.at[producer];
    const DType t = expr_type(x, load);
    if (!p || p->form != STAGE_MAP || p->nresults > 1 || !dtype_is_float(t) ||
        expr_node(x, p->update[0])->op != EX_SELECT ||
        expr_arg(x, p->update[0], 2) != expr_const(x, t, 0)) {
        return 0;
    }
    Expr from[MAX_AXES], to[MAX_AXES];
    for (int a = 0; a < p->naxes; a++) {
        from[a] = p->axis[a].var;
        to[a] = expr_arg(x, load, a);
    }
    return expr_subst(x, expr_arg(x, p->update[0], 0), p->naxes, from, to);
}

bool stages_inner_range(Stages *s, int stage, int axis, Expr *low, Expr *high)
{
    Exprs *x = s->x;
    const Stage *st = &s->stage.at[stage];
    Bounds b = {
        .s = s, .st = st, .axis = axis, .low = expr_int(x, 0), .high = st->axis[axis].extent};
    Expr factor[2], sum;
    if (st->form != STAGE_REDUCE || st->nresults != 1 || axis < st->naxes || st->where ||
        expr_node(x, st->axis[axis].var)->op != EX_VAR ||
        !product_terms(x, st->update[0], &factor[0], &factor[1], &sum)) {
        return false;
    }
    for (int k = 0; k < 2; k++) {
        const Expr inside = inside_of(s, factor[k]);
        if (inside) {
            add_condition(&b, inside);
        }
    }
    const Expr none = expr_int(x, 0), all = st->axis[axis].extent;
    *low = b.low;
    *high = b.high;
    return !expr_proves_le(x, b.low, none) || !expr_proves_le(x, all, b.high);
}

bool stages_trim(Stages *s, int stage, const char *axis)
{
    const Stage *st = &s->stage.at[stage];
    for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
        Expr low, high;
        if (strcmp(st->axis[a].name, axis) == 0 && stages_inner_range(s, stage, a, &low, &high)) {
            s->stage.at[stage].axis[a].low = low;
            s->stage.at[stage].axis[a].high = high;
            return true;
        }
    }
    return false;
}

void stages_untrim(Stage *st)
{
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        st->axis[a].low = st->axis[a].high = 0;
    }
}
