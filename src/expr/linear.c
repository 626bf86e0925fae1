/* Linear form: every i64 scalar sum is `c0*t0 + c1*t1 + ... + c` with sorted, distinct terms, so
 * that equal sums are equal nodes and (m0*8 + m1) + m1*-1 is m0*8. A term is anything that is
 * neither a sum nor a constant multiple: a variable, a division, or a product of such.
 *
 * Two identities are applied while a sum is built, because splitting and fusing loops makes them:
 *     floor(a/n)*n + a mod n = a            (floor(a/n) mod p)*n + a mod n = a mod n*p
 *     floor(a/n)*n = a                      where n divides a (by symbols' `multiple`) */
#include "expr/linear.h"

#include <assert.h>
#include <stdlib.h>

#define DISTRIBUTE_MAX 8 /* terms of a product of sums */
#define FACTOR_MAX 16

void linear_init(Linear *l)
{
    l->constant = 0;
    l->n = 0;
    l->full = false;
    l->wrapped = false;
}

static int64_t mul(Linear *l, int64_t a, int64_t b)
{
    int64_t r;
    l->wrapped |= __builtin_mul_overflow(a, b, &r);
    return r;
}

static int64_t add(Linear *l, int64_t a, int64_t b)
{
    int64_t r;
    l->wrapped |= __builtin_add_overflow(a, b, &r);
    return r;
}

void linear_add_constant(Linear *l, int64_t v)
{
    l->constant = add(l, l->constant, v);
}

void linear_add_term(Linear *l, Expr term, int64_t coef)
{
    for (int i = 0; i < l->n; i++) {
        if (l->term[i].e == term) {
            l->term[i].coef = add(l, l->term[i].coef, coef);
            return;
        }
    }
    if (l->n == LINEAR_MAX) {
        l->full = true;
        return;
    }
    l->term[l->n++] = (struct LinearTerm){term, coef};
}

/* A constant multiple of a term, or a term. */
static void add_multiple(const Exprs *x, Linear *l, Expr e, int64_t coef)
{
    int64_t c;
    const ExprNode *const n = expr_node(x, e);
    if (n->op == EX_INT)
        linear_add_constant(l, mul(l, coef, n->imm.i));
    else if (n->op == EX_MUL && n->nargs == 2 && expr_is_int(x, expr_arg(x, e, 1), &c))
        linear_add_term(l, expr_arg(x, e, 0), mul(l, coef, c));
    else
        linear_add_term(l, e, coef);
}

void linear_add(const Exprs *x, Linear *l, Expr e, int64_t coef)
{
    assert(expr_type(x, e) == DT_I64);
    if (coef == 0)
        return;
    const ExprNode *const n = expr_node(x, e);
    if (n->op != EX_ADD) {
        add_multiple(x, l, e, coef);
        return;
    }
    for (int i = 0; i < n->nargs; i++)
        add_multiple(x, l, expr_arg(x, e, i), coef);
}

/* ---- building ---- */
static void remove_term(Linear *l, int i)
{
    l->term[i] = l->term[--l->n];
}

static bool is_op(const Exprs *x, Expr e, ExprOp op)
{
    return expr_node(x, e)->op == op;
}

/* floor(a/n)*k*n + (a mod n)*k = a*k, and with (floor(a/n) mod p)*k*n it is (a mod n*p)*k. */
static bool join_remainder(Exprs *x, Linear *l, int i)
{
    const struct LinearTerm t = l->term[i];
    const Expr a = expr_arg(x, t.e, 0);
    int64_t n, p, coef;
    if (!expr_is_int(x, expr_arg(x, t.e, 1), &n) || n <= 0 ||
        __builtin_mul_overflow(t.coef, n, &coef) ||
        l->n + expr_node(x, a)->nargs > LINEAR_MAX)
        return false;
    const Expr quotient = expr_floor_div(x, a, expr_arg(x, t.e, 1));
    for (int j = 0; j < l->n; j++) {
        const Expr other = l->term[j].e;
        if (l->term[j].coef != coef || j == i)
            continue;
        Expr joined = 0;
        if (other == quotient)
            joined = a;
        else if (is_op(x, other, EX_MOD) && expr_arg(x, other, 0) == quotient &&
                 expr_is_int(x, expr_arg(x, other, 1), &p) && p > 0 && p < INT32_MAX &&
                 n < INT32_MAX)
            joined = expr_floor_mod(x, a, expr_int(x, n * p));
        if (!joined)
            continue;
        remove_term(l, i > j ? i : j);
        remove_term(l, i > j ? j : i);
        linear_add(x, l, joined, t.coef);
        return true;
    }
    return false;
}

/* floor(a/n)*k*n = a*k where n divides a. */
static bool cancel_exact(Exprs *x, Linear *l, int i)
{
    const struct LinearTerm t = l->term[i];
    const Expr a = expr_arg(x, t.e, 0);
    int64_t n;
    if (!expr_is_int(x, expr_arg(x, t.e, 1), &n) || n <= 0 || t.coef % n != 0 ||
        expr_multiple(x, a) % n != 0 || l->n + expr_node(x, a)->nargs > LINEAR_MAX)
        return false;
    remove_term(l, i);
    linear_add(x, l, a, t.coef / n);
    return true;
}

/* One step of the identities above; true if something changed. */
static bool cancel_division(Exprs *x, Linear *l)
{
    for (int i = 0; i < l->n; i++) {
        const ExprOp op = (ExprOp)expr_node(x, l->term[i].e)->op;
        if (l->term[i].coef == 0)
            continue;
        if (op == EX_DIV ? cancel_exact(x, l, i) : op == EX_MOD && join_remainder(x, l, i))
            return true;
    }
    return false;
}

static void sort_terms(const Exprs *x, Linear *l)
{
    int kept = 0;
    for (int i = 0; i < l->n; i++) {
        const struct LinearTerm t = l->term[i];
        if (t.coef == 0)
            continue;
        int k = kept++;
        for (; k > 0 && expr_compare(x, l->term[k - 1].e, t.e) > 0; k--)
            l->term[k] = l->term[k - 1];
        l->term[k] = t;
    }
    l->n = kept;
}

static Expr multiple_node(Exprs *x, Expr term, int64_t coef)
{
    const Expr args[] = {term, expr_int(x, coef)};
    return coef == 1 ? term : expr_intern(x, EX_MUL, DT_I64, 1, 0, 2, args);
}

Expr linear_build(Exprs *x, Linear *l)
{
    assert(!l->full);
    while (cancel_division(x, l))
        ;
    assert(!l->full);
    x->wrapped |= l->wrapped;
    sort_terms(x, l);
    Expr arg[LINEAR_MAX + 1];
    int n = 0;
    for (int i = 0; i < l->n; i++)
        arg[n++] = multiple_node(x, l->term[i].e, l->term[i].coef);
    if (l->constant != 0 || n == 0)
        arg[n++] = expr_int(x, l->constant);
    return n == 1 ? arg[0] : expr_intern(x, EX_ADD, DT_I64, 1, 0, n, arg);
}

Expr expr_sum(Exprs *x, int n, const Expr *args)
{
    Linear l;
    linear_init(&l);
    for (int i = 0; i < n; i++) {
        const bool is_sum = is_op(x, args[i], EX_ADD);
        if (l.n + (is_sum ? expr_node(x, args[i])->nargs : 1) > LINEAR_MAX && l.n > 0) {
            /* Too long: what is summed so far becomes one opaque term. */
            const Expr sum = linear_build(x, &l);
            linear_init(&l);
            linear_add_term(&l, sum, 1);
        }
        if (l.n > 0 && is_sum && l.n + expr_node(x, args[i])->nargs > LINEAR_MAX)
            linear_add_term(&l, args[i], 1);
        else
            linear_add(x, &l, args[i], 1);
    }
    return linear_build(x, &l);
}

Expr expr_scale(Exprs *x, Expr a, int64_t n)
{
    if (n == 1)
        return a;
    if (n == 0)
        return expr_int(x, 0);
    Linear l;
    linear_init(&l);
    linear_add(x, &l, a, n);
    return l.full ? multiple_node(x, a, n) : linear_build(x, &l);
}

/* ---- products ---- */
int expr_factors(const Exprs *x, Expr term, Expr *factor, int cap)
{
    const ExprNode *const n = expr_node(x, term);
    const int count = n->op == EX_MUL ? n->nargs : 1;
    if (count > cap)
        return -1;
    for (int i = 0; i < count; i++)
        factor[i] = n->op == EX_MUL ? expr_arg(x, term, i) : term;
    return count;
}

/* The product of two terms without constant factors. */
static Expr term_product(Exprs *x, Expr a, Expr b)
{
    Expr factor[2 * FACTOR_MAX];
    const int na = expr_factors(x, a, factor, FACTOR_MAX);
    const int nb = na < 0 ? -1 : expr_factors(x, b, factor + na, FACTOR_MAX);
    const Expr args[] = {a, b};
    if (nb < 0)
        return expr_intern(x, EX_MUL, DT_I64, 1, 0, 2, args);
    for (int i = 1; i < na + nb; i++) {
        const Expr f = factor[i];
        int k = i;
        for (; k > 0 && expr_compare(x, factor[k - 1], f) > 0; k--)
            factor[k] = factor[k - 1];
        factor[k] = f;
    }
    return expr_intern(x, EX_MUL, DT_I64, 1, 0, na + nb, factor);
}

Expr expr_product(Exprs *x, Expr a, Expr b)
{
    int64_t c;
    if (expr_is_int(x, a, &c))
        return expr_scale(x, b, c);
    if (expr_is_int(x, b, &c))
        return expr_scale(x, a, c);
    const int na = is_op(x, a, EX_ADD) ? expr_node(x, a)->nargs : 1;
    const int nb = is_op(x, b, EX_ADD) ? expr_node(x, b)->nargs : 1;
    if (na * nb > DISTRIBUTE_MAX)
        return term_product(x, a, b);
    Linear la, lb, r;
    linear_init(&la);
    linear_init(&lb);
    linear_init(&r);
    linear_add(x, &la, a, 1);
    linear_add(x, &lb, b, 1);
    for (int i = 0; i < la.n; i++)
        for (int j = 0; j < lb.n; j++)
            linear_add_term(&r, term_product(x, la.term[i].e, lb.term[j].e),
                            mul(&r, la.term[i].coef, lb.term[j].coef));
    for (int i = 0; i < la.n; i++)
        linear_add_term(&r, la.term[i].e, mul(&r, la.term[i].coef, lb.constant));
    for (int j = 0; j < lb.n; j++)
        linear_add_term(&r, lb.term[j].e, mul(&r, lb.term[j].coef, la.constant));
    linear_add_constant(&r, mul(&r, la.constant, lb.constant));
    return linear_build(x, &r);
}

/* ---- divisibility ---- */
static int64_t multiple_of(const Exprs *x, Expr e, int depth)
{
    const ExprNode *const n = expr_node(x, e);
    int64_t r = n->op == EX_MUL ? 1 : 0;
    int64_t c;
    if (n->op == EX_INT)
        return n->imm.i == INT64_MIN ? 1 : llabs(n->imm.i);
    if (n->op == EX_VAR)
        return x->var.at[n->imm.i].multiple;
    if (depth == 0)
        return 1;
    switch (n->op) {
    case EX_MUL:
        for (int i = 0; i < n->nargs; i++)
            if (__builtin_mul_overflow(r, multiple_of(x, expr_arg(x, e, i), depth - 1), &r))
                return 1;
        return r;
    case EX_ADD:
    case EX_MIN:
    case EX_MAX:
        for (int i = 0; i < n->nargs && r != 1; i++)
            r = gcd(r, multiple_of(x, expr_arg(x, e, i), depth - 1));
        return r;
    case EX_DIV:
        r = multiple_of(x, expr_arg(x, e, 0), depth - 1);
        return expr_is_int(x, expr_arg(x, e, 1), &c) && c > 0 && r % c == 0 ? r / c : 1;
    case EX_MOD:
        return gcd(multiple_of(x, expr_arg(x, e, 0), depth - 1),
                   multiple_of(x, expr_arg(x, e, 1), depth - 1));
    default:
        return 1;
    }
}

int64_t expr_multiple(const Exprs *x, Expr e)
{
    return multiple_of(x, e, 4);
}
