/* Inside expr/: interning, intervals, and the linear form of i64 expressions. */
#ifndef LATHE_EXPR_LINEAR_H
#define LATHE_EXPR_LINEAR_H

#include "expr/expr.h"

#define LINEAR_MAX 64 /* longer sums are nested */

/* ---- exprs.c ---- */
/* The node of these fields, found or made. */
Expr expr_intern(Exprs *x, ExprOp op, DType t, int lanes, int64_t imm, int n, const Expr *args);
/* A structural order, the same in every pool: variables by name, constants by value. */
int expr_compare(const Exprs *x, Expr a, Expr b);
bool expr_op_is_compare(ExprOp op);

/* ---- bounds.c: intervals; low INT64_MIN and high INT64_MAX mean "no bound" ---- */
typedef struct Bounds {
    int64_t low, high;
} Bounds;
Bounds expr_bounds_of(const Exprs *x, const ExprNode *n, const Expr *args);
Bounds dtype_bounds(DType t);
int64_t floor_div(int64_t a, int64_t b); /* by zero: 0 */
int64_t floor_mod(int64_t a, int64_t b);
int64_t gcd(int64_t a, int64_t b); /* of 0 and 0: 0 */
int64_t wrap_mul(int64_t a, int64_t b);
int64_t wrap_add(int64_t a, int64_t b);
/* a <= b by their bounds? Of what is computed the type is a bound too; not of the expressions that
 * a proof makes, where an end without bound says nothing. */
bool bounds_le(const Exprs *x, Expr a, Expr b);

/* ---- linear.c: constant + sum of coef * term; no term is a sum or a constant multiple ----
 *
 * Coefficients and constants wrap. Of an index computation that is no loss (it does not overflow,
 * says expr.h), but a proof puts the ends of ranges where values stand, all at once, and compares
 * differences nobody computes: there a wrapped number means nothing. So whoever wraps says so in
 * x->wrapped, and who concludes something from an expression it made looks there:
 *
 *     const bool before = wrap_watch(x);
 *     const Expr difference = expr_sub(x, b, a);
 *     if (wrap_seen(x, before)) ...               the difference is not one                      */
typedef struct Linear {
    int64_t constant;
    int n;
    bool full;    /* it did not fit; the form is not usable */
    bool wrapped; /* a number left i64: passed on to x->wrapped by linear_build */
    struct LinearTerm {
        Expr e;
        int64_t coef;
    } term[LINEAR_MAX];
} Linear;
/* a * b, noted where it wraps */
static inline int64_t noted_mul(Exprs *x, int64_t a, int64_t b)
{
    int64_t r;
    x->wrapped |= __builtin_mul_overflow(a, b, &r);
    return r;
}
static inline bool wrap_watch(Exprs *x)
{
    const bool before = x->wrapped;
    x->wrapped = false;
    return before;
}
static inline bool wrap_seen(Exprs *x, bool before)
{
    const bool seen = x->wrapped;
    x->wrapped = before;
    return seen;
}
void linear_init(Linear *l);
void linear_add(const Exprs *x, Linear *l, Expr e, int64_t coef); /* += coef * e */
void linear_add_term(Linear *l, Expr term, int64_t coef);
void linear_add_constant(Linear *l, int64_t v);
Expr linear_build(Exprs *x, Linear *l); /* canonical; l is used up */
Expr expr_sum(Exprs *x, int n, const Expr *args);
Expr expr_scale(Exprs *x, Expr a, int64_t n);
Expr expr_product(Exprs *x, Expr a, Expr b);
/* The largest known number that divides every value of e; 0 for the constant 0. */
int64_t expr_multiple(const Exprs *x, Expr e);
/* The factors of a term, at most `cap`; -1 if there are more. */
int expr_factors(const Exprs *x, Expr term, Expr *factor, int cap);

/* ---- divide.c ---- */
Expr expr_floor_div(Exprs *x, Expr a, Expr b);
Expr expr_floor_mod(Exprs *x, Expr a, Expr b);
/* r = g*quotient + rest with 0 <= rest < g for the largest such g > 1 that divides c and is less
 * (c 0: any); 0 if there is none. */
int64_t linear_group(Exprs *x, const Linear *r, int64_t c, Expr *quotient, Expr *rest);

/* ---- prove.c ---- */
bool expr_proves_nonneg(Exprs *x, Expr e);

#endif
