/* Floor division and remainder of i64 expressions.
 *
 * By a constant c > 0 the dividend's linear form is split into c*q + r, so that
 *     floor(a/c) = q + floor(r/c)      a mod c = r mod c
 * and then r is judged by its interval, by common factors (g divides c, 0 <= rest < g)
 *     (g*t + rest)/c = t/(c/g)         (g*t + rest) mod c = g*(t mod c/g) + rest
 * and by nested divisions. That undoes what splitting, fusing, flattening and blocked layouts do:
 *     (c0*8 + c1)/8 = c0      (4*a + 2)/8 = a/2      (x mod 32)/8 = (x/8) mod 4
 * A symbolic divisor is treated the same by polynomial division, with 0 <= r < d proven. */
#include <assert.h>

#include "expr/linear.h"

#define FACTOR_MAX 16
#define STEP_MAX 16

static Expr const_div(Exprs *x, Expr a, int64_t c);
static Expr const_mod(Exprs *x, Expr a, int64_t c);

static Expr binary_node(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const Expr args[] = {a, b};
    return expr_intern(x, op, DT_I64, 1, 0, 2, args);
}

/* The quotient by c that the interval of e leaves, if it is a single one. */
static bool single_quotient(const Exprs *x, Expr e, int64_t c, int64_t *q)
{
    const int64_t low = expr_low(x, e);
    const int64_t high = expr_high(x, e);
    if (low == INT64_MIN || high == INT64_MAX || floor_div(low, c) != floor_div(high, c))
        return false;
    *q = floor_div(low, c);
    return true;
}

static bool term_divides(const Exprs *x, struct LinearTerm t, int64_t c)
{
    int64_t m;
    return t.coef % c == 0 ||
           (!__builtin_mul_overflow(t.coef % c, expr_multiple(x, t.e), &m) && m % c == 0);
}

/* ---- groups: a = g*quotient + rest with 0 <= rest < g, g a divisor of c ---- */
static bool try_group(Exprs *x, const Linear *r, int64_t g, Expr *quotient, Expr *rest)
{
    Linear q, low;
    linear_init(&q);
    linear_init(&low);
    for (int i = 0; i < r->n; i++)
        linear_add_term(r->term[i].coef % g == 0 ? &q : &low, r->term[i].e,
                        r->term[i].coef % g == 0 ? r->term[i].coef / g : r->term[i].coef);
    low.constant = r->constant;
    const Expr e = linear_build(x, &low);
    int64_t shift;
    if (!single_quotient(x, e, g, &shift))
        return false;
    q.constant = shift;
    *quotient = linear_build(x, &q);
    *rest = expr_addi(x, e, noted_mul(x, shift, -g));
    return true;
}

int64_t linear_group(Exprs *x, const Linear *r, int64_t c, Expr *quotient, Expr *rest)
{
    int64_t below = c ? c : INT64_MAX;
    for (;;) { /* candidates, the largest first */
        int64_t g = 1;
        for (int i = 0; i < r->n; i++) {
            const int64_t candidate = gcd(r->term[i].coef, c);
            if (candidate < below && candidate > g)
                g = candidate;
        }
        if (g == 1)
            return 0;
        if (try_group(x, r, g, quotient, rest))
            return g;
        below = g;
    }
}

/* ---- constant divisor ---- */
static Expr div_of_term(Exprs *x, Expr e, int64_t c)
{
    int64_t k = 0, b;
    Expr t = e;
    if (expr_node(x, e)->op == EX_ADD && expr_node(x, e)->nargs == 2 &&
        expr_is_int(x, expr_arg(x, e, 1), &k))
        t = expr_arg(x, e, 0);
    const ExprOp op = (ExprOp)expr_node(x, t)->op;
    if ((op != EX_DIV && op != EX_MOD) || !expr_is_int(x, expr_arg(x, t, 1), &b) || b <= 0)
        return 0;
    const Expr a = expr_arg(x, t, 0);
    int64_t bc, bk;
    if (op == EX_DIV && !__builtin_mul_overflow(b, c, &bc) && !__builtin_mul_overflow(b, k, &bk))
        return const_div(x, expr_addi(x, a, bk), bc);
    if (op == EX_MOD && k == 0 && b % c == 0)
        return const_mod(x, const_div(x, a, c), b / c);
    return 0;
}

static Expr const_div(Exprs *x, Expr a, int64_t c)
{
    assert(c > 0);
    int64_t k;
    if (c == 1)
        return a;
    if (single_quotient(x, a, c, &k))
        return expr_int(x, k);
    Linear l, q, r;
    linear_init(&l);
    linear_init(&q);
    linear_init(&r);
    linear_add(x, &l, a, 1);
    if (l.full)
        return binary_node(x, EX_DIV, a, expr_int(x, c));
    for (int i = 0; i < l.n; i++) {
        const struct LinearTerm t = l.term[i];
        const int64_t rest = t.coef % c;
        if (t.coef / c != 0)
            linear_add_term(&q, t.e, t.coef / c);
        if (rest == 0)
            continue;
        if (!(l.n == 1 && l.constant == 0 && rest == t.coef) && term_divides(x, t, c))
            /* exact, by the symbols' multiples */
            linear_add(x, &q, const_div(x, expr_scale(x, t.e, rest), c), 1);
        else
            linear_add_term(&r, t.e, rest);
    }
    linear_add_constant(&q, floor_div(l.constant, c));
    r.constant = floor_mod(l.constant, c);
    if (q.full)
        return binary_node(x, EX_DIV, a, expr_int(x, c));
    if (q.n > 0 || q.constant != 0) {
        const Expr part[] = {linear_build(x, &q), const_div(x, linear_build(x, &r), c)};
        return expr_sum(x, 2, part);
    }
    Expr quotient, rest;
    const int64_t g = linear_group(x, &r, c, &quotient, &rest);
    if (g)
        return const_div(x, quotient, c / g);
    const Expr e = linear_build(x, &r);
    const Expr nested = div_of_term(x, e, c);
    return nested ? nested : binary_node(x, EX_DIV, e, expr_int(x, c));
}

static Expr const_mod(Exprs *x, Expr a, int64_t c)
{
    assert(c > 0);
    int64_t k;
    if (c == 1)
        return expr_int(x, 0);
    if (single_quotient(x, a, c, &k))
        return expr_addi(x, a, noted_mul(x, k, -c));
    Linear l, r;
    linear_init(&l);
    linear_init(&r);
    linear_add(x, &l, a, 1);
    if (l.full)
        return binary_node(x, EX_MOD, a, expr_int(x, c));
    for (int i = 0; i < l.n; i++) {
        const struct LinearTerm t = {l.term[i].e, l.term[i].coef % c};
        int64_t m, scaled;
        if (term_divides(x, t, c))
            continue;
        if (expr_node(x, t.e)->op == EX_MOD && expr_is_int(x, expr_arg(x, t.e, 1), &m) && m > 0 &&
            !__builtin_mul_overflow(m, t.coef, &scaled) && scaled % c == 0)
            linear_add(x, &r, expr_arg(x, t.e, 0), t.coef);
        else
            linear_add_term(&r, t.e, t.coef);
    }
    linear_add_constant(&r, floor_mod(l.constant, c));
    r.constant = floor_mod(r.constant, c);
    if (r.full)
        return binary_node(x, EX_MOD, a, expr_int(x, c));
    const Expr e = linear_build(x, &r);
    if (e != a)
        return const_mod(x, e, c);
    linear_init(&r);
    linear_add(x, &r, e, 1);
    Expr quotient, rest;
    const int64_t g = linear_group(x, &r, c, &quotient, &rest);
    if (!g)
        return binary_node(x, EX_MOD, e, expr_int(x, c));
    const Expr part[] = {expr_scale(x, const_mod(x, quotient, c / g), g), rest};
    return expr_sum(x, 2, part);
}

/* ---- symbolic divisor ---- */
/* term / by for products of factors; 0 if it does not divide. */
static Expr term_quotient(Exprs *x, Expr term, Expr by)
{
    Expr f[FACTOR_MAX], g[FACTOR_MAX];
    const int n = expr_factors(x, term, f, FACTOR_MAX);
    const int m = expr_factors(x, by, g, FACTOR_MAX);
    if (n < 0 || m < 0)
        return 0;
    Expr r = expr_int(x, 1);
    int used = 0;
    for (int i = 0; i < n; i++) { /* both sorted */
        if (used < m && f[i] == g[used])
            used++;
        else
            r = expr_product(x, r, f[i]);
    }
    return used == m ? r : 0;
}

static bool polynomial_steps(Exprs *x, Expr a, Expr d, Expr *q, Expr *r)
{
    Linear ld;
    linear_init(&ld);
    linear_add(x, &ld, d, 1);
    if (ld.full || ld.n == 0)
        return false;
    struct LinearTerm lead = ld.term[0];
    Expr f[FACTOR_MAX];
    for (int i = 1; i < ld.n; i++)
        if (expr_factors(x, ld.term[i].e, f, FACTOR_MAX) > expr_factors(x, lead.e, f, FACTOR_MAX))
            lead = ld.term[i];
    *q = expr_int(x, 0);
    *r = a;
    for (int step = 0; step < STEP_MAX; step++) {
        Linear l;
        linear_init(&l);
        linear_add(x, &l, *r, 1);
        Expr part = 0;
        for (int i = 0; i < l.n && !part && !l.full; i++) {
            const int64_t k = lead.coef == -1 ? noted_mul(x, l.term[i].coef, -1)
                                              : l.term[i].coef / lead.coef;
            const Expr t = k ? term_quotient(x, l.term[i].e, lead.e) : 0;
            part = t ? expr_scale(x, t, k) : 0;
        }
        if (!part)
            break;
        *q = expr_add(x, *q, part);
        *r = expr_sub(x, *r, expr_product(x, part, d));
    }
    return true;
}

/* a = d*q + r by polynomial division with d's term of most factors. False: nothing divided. */
static bool polynomial_split(Exprs *x, Expr a, Expr d, Expr *q, Expr *r)
{
    const bool before = wrap_watch(x);
    const bool split = polynomial_steps(x, a, d, q, r);
    return !wrap_seen(x, before) && split;
}

static bool proves_within(Exprs *x, Expr r, Expr d)
{
    return expr_proves_nonneg(x, r) && expr_proves_lt(x, r, d);
}

/* 0 <= r + d < d proven? Then a remainder of r is one of r + d too. */
static bool proves_below(Exprs *x, Expr r, Expr d)
{
    const bool before = wrap_watch(x);
    const Expr sum = expr_add(x, r, d);
    return !wrap_seen(x, before) && proves_within(x, sum, d);
}

/* d = f*rest for a factor f with a = f*quotient + low, 0 <= low < f. */
static bool factor_split(Exprs *x, Expr a, Expr d, Expr *f, Expr *rest, Expr *quotient, Expr *low)
{
    if (expr_node(x, d)->op != EX_MUL)
        return false;
    for (int i = 0; i < expr_node(x, d)->nargs; i++) {
        int64_t c;
        *f = expr_arg(x, d, i);
        if (expr_is_int(x, *f, &c) || !polynomial_split(x, a, *f, quotient, low) ||
            !proves_within(x, *low, *f))
            continue;
        *rest = expr_int(x, 1);
        for (int k = 0; k < expr_node(x, d)->nargs; k++)
            if (k != i)
                *rest = expr_product(x, *rest, expr_arg(x, d, k));
        return true;
    }
    return false;
}

Expr expr_floor_div(Exprs *x, Expr a, Expr b)
{
    int64_t c;
    if (expr_is_int(x, b, &c)) {
        if (c == 0 || c == INT64_MIN)
            return c == 0 ? expr_int(x, 0) : binary_node(x, EX_DIV, a, b);
        return c > 0 ? const_div(x, a, c) : const_div(x, expr_scale(x, a, -1), -c);
    }
    if (expr_is_int(x, a, &c) && c == 0)
        return a;
    if (proves_within(x, a, b))
        return expr_int(x, 0);
    Expr q, r, f, rest, outer, low;
    if (!polynomial_split(x, a, b, &q, &r))
        return binary_node(x, EX_DIV, a, b);
    if (proves_within(x, r, b))
        return q;
    if (proves_below(x, r, b))
        return expr_addi(x, q, -1);
    if (expr_low(x, b) <= 0 || expr_node(x, b)->op == EX_ADD)
        return binary_node(x, EX_DIV, a, b);
    if (factor_split(x, r, b, &f, &rest, &outer, &low))
        return expr_add(x, q, expr_floor_div(x, outer, rest));
    return expr_add(x, q, r == expr_int(x, 0) ? r : binary_node(x, EX_DIV, r, b));
}

Expr expr_floor_mod(Exprs *x, Expr a, Expr b)
{
    int64_t c;
    if (expr_is_int(x, b, &c)) {
        if (c == 0 || c == INT64_MIN)
            return c == 0 ? expr_int(x, 0) : binary_node(x, EX_MOD, a, b);
        return c > 0 ? const_mod(x, a, c)
                     : expr_scale(x, const_mod(x, expr_scale(x, a, -1), -c), -1);
    }
    if (expr_is_int(x, a, &c) && c == 0)
        return a;
    if (proves_within(x, a, b))
        return a;
    Expr q, r, f, rest, outer, low;
    if (!polynomial_split(x, a, b, &q, &r))
        return binary_node(x, EX_MOD, a, b);
    if (proves_within(x, r, b))
        return r;
    if (proves_below(x, r, b))
        return expr_add(x, r, b);
    if (expr_low(x, b) <= 0 || expr_node(x, b)->op == EX_ADD)
        return binary_node(x, EX_MOD, a, b);
    if (factor_split(x, r, b, &f, &rest, &outer, &low))
        return expr_add(x, expr_product(x, f, expr_floor_mod(x, outer, rest)), low);
    return binary_node(x, EX_MOD, r, b);
}
