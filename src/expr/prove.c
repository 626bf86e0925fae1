/* Proofs over i64: is e >= 0 for all values of its variables?
 *
 * Where the interval of e is not enough, e is lowered to a smaller expression step by step: a loop
 * variable in which e is linear goes to the end of its range where e is least (0, or extent - 1,
 * which may be symbolic: that is the point), a division or remainder to the linear bound of itself,
 * min and max to their sides; at last symbols to the ends of their ranges. For
 *     m0*8 + m1 < N + 7      m0 in [0, (N + 7)/8), m1 in [0, 8)
 * the difference N + 6 - m0*8 - m1 becomes N + 6 - ((N + 7)/8 - 1)*8 - 7, then N + 7 - (N + 7).
 *
 * All of this is about unbounded integers. The ends of several ranges at once may well not fit i64
 * (H*W*N at their largest); what wrapped on the way to a smaller expression ends that way. */
#include "expr/linear.h"

#define DEPTH_MAX 10
#define STEP_MAX 64
#define NEST_MAX 3 /* of proofs inside proofs */

static bool nonneg(Exprs *x, Expr e, int depth, int *steps);

/* How e changes as a variable grows: RISES and FALLS may both be set (unknown) or neither. */
enum { RISES = 1, FALLS = 2 };

static int flip(int direction)
{
    return (direction & RISES ? FALLS : 0) | (direction & FALLS ? RISES : 0);
}

static int direction_in(const Exprs *x, Expr e, int var)
{
    const ExprNode *const n = expr_node(x, e);
    if (e == x->var.at[var].self)
        return RISES;
    if (!expr_uses_var(x, e, var))
        return 0;
    int r = 0;
    switch (n->op) {
    case EX_ADD:
    case EX_MIN:
    case EX_MAX:
        for (int i = 0; i < n->nargs; i++)
            r |= direction_in(x, expr_arg(x, e, i), var);
        return r;
    case EX_MUL:
        for (int i = 0; i < n->nargs; i++) {
            const int d = direction_in(x, expr_arg(x, e, i), var);
            bool negative = false; /* the sign of the other factors */
            for (int k = 0; k < n->nargs; k++) {
                const Expr other = expr_arg(x, e, k);
                if (k == i || d == 0 || expr_low(x, other) >= 0)
                    continue;
                if (expr_high(x, other) > 0)
                    return RISES | FALLS;
                negative = !negative;
            }
            r |= negative ? flip(d) : d;
        }
        return r;
    case EX_DIV:
        if (expr_low(x, expr_arg(x, e, 1)) > 0 && !expr_uses_var(x, expr_arg(x, e, 1), var))
            return direction_in(x, expr_arg(x, e, 0), var);
        return RISES | FALLS;
    default:
        return RISES | FALLS;
    }
}

/* Lowers e at one variable: a loop variable if `loop`, else a symbol. 0: none fits. */
static Expr at_least_end(Exprs *x, Expr e, Expr var, bool loop)
{
    const ExprNode *const n = expr_node(x, var);
    if (n->op != EX_VAR)
        return 0;
    const int id = (int)n->imm.i;
    const ExprVar v = x->var.at[id];
    Expr a, b;
    if ((v.kind == VAR_LOOP) != loop)
        return 0;
    int direction;
    if (expr_linear_in(x, e, id, &a, &b))
        direction = expr_low(x, a) >= 0 ? RISES : expr_high(x, a) <= 0 ? FALLS : RISES | FALLS;
    else
        direction = direction_in(x, e, id);
    if (direction == (RISES | FALLS))
        return 0;
    Expr end;
    if (direction == RISES)
        end = v.low == INT64_MIN ? 0 : expr_int(x, v.low);
    else if (v.extent)
        end = expr_addi(x, v.extent, -1);
    else
        end = v.high == INT64_MAX ? 0 : expr_int(x, v.high);
    return end ? expr_subst(x, e, 1, &var, &end) : 0;
}

/* The first variable of e, inside divisions too, at which it can be lowered. */
static Expr lower_in(Exprs *x, Expr e, Expr part, bool loop, int depth)
{
    if (expr_node(x, part)->op == EX_VAR)
        return at_least_end(x, e, part, loop);
    for (int i = 0; i < expr_node(x, part)->nargs && depth > 0; i++) {
        const Expr r = lower_in(x, e, expr_arg(x, part, i), loop, depth - 1);
        if (r)
            return r;
    }
    return 0;
}

/* coef * factors[but skip] */
static Expr coefficient(Exprs *x, int64_t coef, int n, const Expr *factor, int skip)
{
    Expr r = expr_int(x, coef);
    for (int i = 0; i < n; i++)
        if (i != skip)
            r = expr_product(x, r, factor[i]);
    return r;
}

/* The least that the term coef * product(factors) can be, by the linear bounds of factor i:
 *     b*floor(a/b) in [a - b + 1, a]      a mod b in [0, b - 1]      for b > 0
 * 0: the coefficient's sign is not known, or b does not divide it. */
static Expr lower_division(Exprs *x, int64_t coef, int n, Expr *factor, int i)
{
    const Expr t = factor[i];
    const Expr a = expr_arg(x, t, 0);
    const Expr b = expr_arg(x, t, 1);
    if (expr_low(x, b) <= 0)
        return 0;
    Expr k = coefficient(x, coef, n, factor, i);
    const bool negative = expr_high(x, k) <= 0;
    if (!negative && expr_low(x, k) < 0)
        return 0;
    const Expr most = expr_addi(x, b, -1);
    if (expr_node(x, t)->op == EX_MOD)
        return negative ? expr_product(x, k, most) : expr_int(x, 0);
    int64_t c;
    if (expr_is_int(x, b, &c)) {
        if (coef % c != 0)
            return 0;
        k = coefficient(x, coef / c, n, factor, i);
    } else {
        int same = n - 1;
        while (same >= 0 && factor[same] != b)
            same--;
        if (same < 0)
            return 0;
        factor[same] = expr_int(x, 1);
        k = coefficient(x, coef, n, factor, i);
        factor[same] = b;
    }
    return expr_product(x, k, negative ? a : expr_sub(x, a, most));
}

/* One term replaced by another: e with term i gone, plus r. */
static Expr replace_term(Exprs *x, Expr e, struct LinearTerm t, Expr r)
{
    const Expr part[] = {e, expr_scale(x, t.e, noted_mul(x, t.coef, -1)), r};
    return expr_sum(x, 3, part);
}

/* Where t has a factor floor(a/c) and c does not divide its coefficient: c*e >= 0 instead. */
static void scale_for_division(Exprs *x, Expr division, Expr *e, struct LinearTerm *t)
{
    int64_t c;
    if (!expr_is_int(x, expr_arg(x, division, 1), &c) || c <= 0 || c > 1 << 20 ||
        t->coef % c == 0 || t->coef > INT32_MAX || t->coef < -INT32_MAX)
        return;
    const bool before = wrap_watch(x);
    const Expr scaled = expr_scale(x, *e, c);
    if (wrap_seen(x, before))
        return;
    *e = scaled;
    t->coef *= c;
}

static bool nonneg_through_term(Exprs *x, Expr e, struct LinearTerm t, int depth, int *steps)
{
    Expr factor[8];
    const int n = expr_factors(x, t.e, factor, 8);
    for (int i = 0; i < n; i++) {
        const ExprOp op = (ExprOp)expr_node(x, factor[i])->op;
        if (op == EX_DIV)
            scale_for_division(x, factor[i], &e, &t);
        if (op != EX_DIV && op != EX_MOD && op != EX_MIN && op != EX_MAX && op != EX_SELECT)
            continue;
        if (op == EX_DIV || op == EX_MOD) {
            const Expr r = lower_division(x, t.coef, n, factor, i);
            if (r && nonneg(x, replace_term(x, e, t, r), depth - 1, steps))
                return true;
            continue;
        }
        const Expr k = coefficient(x, t.coef, n, factor, i);
        const bool positive = expr_low(x, k) >= 0;
        if (!positive && expr_high(x, k) > 0)
            continue;
        const int first = op == EX_SELECT ? 1 : 0;
        bool proven[2];
        for (int s = 0; s < 2; s++) {
            const Expr side = expr_product(x, k, expr_arg(x, factor[i], first + s));
            proven[s] = nonneg(x, replace_term(x, e, t, side), depth - 1, steps);
        }
        /* k*min(a, b) >= 0 needs both sides where k >= 0; where k <= 0 either will do. */
        const bool either = op != EX_SELECT && (op == EX_MIN) != positive;
        if (either ? proven[0] || proven[1] : proven[0] && proven[1])
            return true;
    }
    return false;
}

/* e was just made, and all since the last call served to make it. */
static bool nonneg(Exprs *x, Expr e, int depth, int *steps)
{
    if (wrap_seen(x, false))
        return false;
    if (expr_low(x, e) >= 0)
        return true;
    if (expr_high(x, e) < 0 || depth == 0 || --*steps < 0)
        return false;
    const Expr at_end = lower_in(x, e, e, true, 4);
    if (at_end)
        return nonneg(x, at_end, depth - 1, steps);
    Linear l;
    linear_init(&l);
    linear_add(x, &l, e, 1);
    for (int i = 0; i < l.n && !l.full; i++)
        if (nonneg_through_term(x, e, l.term[i], depth, steps))
            return true;
    const Expr at_symbol = lower_in(x, e, e, false, 4);
    return at_symbol && nonneg(x, at_symbol, depth - 1, steps);
}

bool expr_proves_nonneg(Exprs *x, Expr e)
{
    if (expr_low(x, e) >= 0)
        return true;
    if (expr_high(x, e) < 0 || x->proving >= NEST_MAX)
        return false;
    int steps = STEP_MAX >> 2 * x->proving;
    const bool before = wrap_watch(x);
    x->proving++;
    const bool proven = nonneg(x, e, DEPTH_MAX, &steps);
    x->proving--;
    x->wrapped = before;
    return proven;
}

/* b - a >= least */
static bool proves_apart(Exprs *x, Expr a, Expr b, int64_t least)
{
    const bool before = wrap_watch(x);
    const Expr e = expr_addi(x, expr_sub(x, b, a), -least);
    return !wrap_seen(x, before) && expr_proves_nonneg(x, e);
}

bool expr_proves_le(Exprs *x, Expr a, Expr b)
{
    return bounds_le(x, a, b) || proves_apart(x, a, b, 0);
}

bool expr_proves_lt(Exprs *x, Expr a, Expr b)
{
    return (bounds_le(x, a, b) && expr_high(x, a) < expr_low(x, b)) || proves_apart(x, a, b, 1);
}

bool expr_proves_multiple(Exprs *x, Expr e, int64_t of)
{
    int64_t rest;
    return expr_is_int(x, expr_modi(x, e, of), &rest) && rest == 0;
}

bool expr_linear_in(Exprs *x, Expr e, int var, Expr *a, Expr *b)
{
    const Expr self = x->var.at[var].self;
    Linear l;
    linear_init(&l);
    linear_add(x, &l, e, 1);
    if (l.full)
        return false;
    *a = expr_int(x, 0);
    *b = expr_int(x, l.constant);
    for (int i = 0; i < l.n; i++) {
        const struct LinearTerm t = l.term[i];
        if (!expr_uses_var(x, t.e, var)) {
            *b = expr_add(x, *b, expr_scale(x, t.e, t.coef));
            continue;
        }
        Expr factor[16];
        const int n = expr_factors(x, t.e, factor, 16);
        int at = -1;
        for (int k = 0; k < n; k++) {
            if (factor[k] == self && at < 0)
                at = k;
            else if (expr_uses_var(x, factor[k], var))
                return false;
        }
        if (at < 0)
            return false;
        *a = expr_add(x, *a, coefficient(x, t.coef, n, factor, at));
    }
    return true;
}
