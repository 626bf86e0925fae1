/* Inside vecmath: short names for making terms of one type and number of lanes. */
#ifndef LATHE_LOOP_VECMATH_BUILD_H
#define LATHE_LOOP_VECMATH_BUILD_H

#include <math.h>

#include "expr/expr.h"

typedef struct Math {
    Exprs *x;
    DType t; /* f32 or f64 */
    int lanes;
} Math;

static inline Expr raw(const Math *m, ExprOp op, DType t, int n, const Expr *args)
{
    return expr_raw(m->x, op, t, m->lanes, 0, n, args);
}
static inline Expr splat(const Math *m, Expr c)
{
    return m->lanes == 1 ? c : raw(m, EX_BROADCAST, expr_type(m->x, c), 1, &c);
}
static inline Expr num(const Math *m, double v)
{
    return splat(m, expr_float(m->x, m->t, v));
}
static inline Expr op1(const Math *m, ExprOp op, Expr a)
{
    return raw(m, op, expr_type(m->x, a), 1, &a);
}
static inline Expr op2(const Math *m, ExprOp op, Expr a, Expr b)
{
    return raw(m, op, expr_type(m->x, a), 2, (Expr[]){a, b});
}
static inline Expr add(const Math *m, Expr a, Expr b) { return op2(m, EX_ADD, a, b); }
static inline Expr sub(const Math *m, Expr a, Expr b) { return op2(m, EX_SUB, a, b); }
static inline Expr mul(const Math *m, Expr a, Expr b) { return op2(m, EX_MUL, a, b); }
static inline Expr quo(const Math *m, Expr a, Expr b) { return op2(m, EX_DIV, a, b); }
static inline Expr neg(const Math *m, Expr a) { return op1(m, EX_NEG, a); }
static inline Expr mag(const Math *m, Expr a) { return op1(m, EX_ABS, a); }
/* a*b + c */
static inline Expr fma3(const Math *m, Expr a, Expr b, Expr c)
{
    return raw(m, EX_FMA, m->t, 3, (Expr[]){a, b, c});
}
/* NaN stays NaN: the constant is the first operand of min and max. */
static inline Expr at_most(const Math *m, double limit, Expr a)
{
    return op2(m, EX_MIN, num(m, limit), a);
}
static inline Expr at_least(const Math *m, double limit, Expr a)
{
    return op2(m, EX_MAX, num(m, limit), a);
}
static inline Expr compare(const Math *m, ExprOp op, Expr a, Expr b)
{
    return raw(m, op, DT_BOOL, 2, (Expr[]){a, b});
}
static inline Expr less(const Math *m, Expr a, Expr b) { return compare(m, EX_LT, a, b); }
static inline Expr equal(const Math *m, Expr a, Expr b) { return compare(m, EX_EQ, a, b); }
static inline Expr both(const Math *m, Expr a, Expr b)
{
    return raw(m, EX_AND, DT_BOOL, 2, (Expr[]){a, b});
}
static inline Expr either(const Math *m, Expr a, Expr b)
{
    return raw(m, EX_OR, DT_BOOL, 2, (Expr[]){a, b});
}
static inline Expr pick(const Math *m, Expr c, Expr a, Expr b)
{
    return raw(m, EX_SELECT, expr_type(m->x, a), 3, (Expr[]){c, a, b});
}
static inline Expr convert(const Math *m, DType to, Expr a)
{
    return expr_type(m->x, a) == to ? a : raw(m, EX_CAST, to, 1, &a);
}

/* A scalar: does c hold in some lane? 0: no such term, for want of a reduction over these lanes. */
static inline Expr either_lane(const Math *m, Expr c)
{
    if (m->lanes & (m->lanes - 1))
        return 0;
    return m->lanes == 1 ? c : expr_raw(m->x, EX_REDUCE_ADD, DT_BOOL, 1, 0, 1, &c);
}

/* The integer type as wide as m's. */
static inline DType int_type(const Math *m) { return m->t == DT_F32 ? DT_I32 : DT_I64; }
static inline Expr inum(const Math *m, int64_t v)
{
    return splat(m, expr_int_of(m->x, int_type(m), v));
}
static inline Expr bits(const Math *m, Expr a) { return raw(m, EX_BITCAST, int_type(m), 1, &a); }
static inline Expr unbits(const Math *m, Expr a) { return raw(m, EX_BITCAST, m->t, 1, &a); }
/* An integer that is not negative, halved: logical shifts are native where those of i64 are not. */
static inline Expr half_of(const Math *m, Expr a)
{
    const DType t = m->t == DT_F32 ? DT_U32 : DT_U64;
    const Expr one = splat(m, expr_int_of(m->x, t, 1)), u = raw(m, EX_BITCAST, t, 1, &a);
    return raw(m, EX_BITCAST, int_type(m), 1, (Expr[]){op2(m, EX_SHR, u, one)});
}
static inline Expr sign_mask(const Math *m)
{
    return inum(m, m->t == DT_F32 ? (int64_t)INT32_MIN : INT64_MIN);
}
/* The magnitude of a (not negative) with the sign of b. */
static inline Expr with_sign(const Math *m, Expr a, Expr b)
{
    const Expr sign = op2(m, EX_AND, bits(m, b), sign_mask(m));
    return unbits(m, op2(m, EX_OR, bits(m, mag(m, a)), sign));
}
static inline int mantissa_bits(const Math *m) { return m->t == DT_F32 ? 23 : 52; }
/* x + magic rounds x to an integer (ties to even), which then stands in the low bits. */
static inline double magic(const Math *m) { return m->t == DT_F32 ? 0x1.8p23 : 0x1.8p52; }

/* c[0] + c[1]*z + ... by Horner's rule. */
static inline Expr poly(const Math *m, Expr z, int n, const double *c)
{
    Expr r = num(m, c[n - 1]);
    for (int k = n - 2; k >= 0; k--)
        r = fma3(m, r, z, num(m, c[k]));
    return r;
}
/* The same in pairs, c[k] + c[k+1]*z, by Horner's rule in z2 = z*z: half as long a chain. */
static inline Expr poly_pairs(const Math *m, Expr z, Expr z2, int n, const double *c)
{
    Expr r = 0;
    for (int k = (n - 1) / 2 * 2; k >= 0; k -= 2) {
        const Expr pair = k + 1 < n ? fma3(m, num(m, c[k + 1]), z, num(m, c[k])) : num(m, c[k]);
        r = r ? fma3(m, r, z2, pair) : pair;
    }
    return r;
}
#define POLY(m, z, table) poly((m), (z), (int)(sizeof(table) / sizeof(table)[0]), (table))
#define POLY_PAIRS(m, z, z2, table)                                                                \
    poly_pairs((m), (z), (z2), (int)(sizeof(table) / sizeof(table)[0]), (table))

/* ---- vecmath_exp.c ---- */
/* e^(a + low) * 2^shift; low 0: none */
Expr math_exp_scaled(const Math *m, Expr a, Expr low, int shift);
Expr math_exp(const Math *m, Expr a);
Expr math_exp_down(const Math *m, Expr a);
Expr math_log(const Math *m, Expr a);
Expr math_log1p(const Math *m, Expr a); /* f64, a >= 0 or NaN */
Expr math_sigmoid(const Math *m, Expr a);
Expr math_tanh(const Math *m, Expr a);
Expr math_erf(const Math *m, Expr a);
/* log of a normal number: split into an exponent and f in [sqrt(1/2), sqrt(2)) - 1 */
void math_log_split(const Math *m, Expr a, Expr *exponent, Expr *f);

/* ---- vecmath_turn.c: f64 only. a = quarter pi/2 + r, |r| <= pi/4 ---- */
typedef struct Turn {
    Expr r;
    Expr quarter; /* i64: counts modulo 4 */
} Turn;
#define TURN_NEAR 0x1p50
Turn math_turn_near(const Math *m, Expr a); /* |a| < TURN_NEAR; inf and NaN give NaN */
/* The other finite ones; short: a was f32. */
Turn math_turn_far(const Math *m, Expr a, bool is_short);

/* ---- vecmath_trig.c: the first three of f32 or f64, the others f64 only ---- */
Expr math_sin(const Math *m, Expr a);
Expr math_cos(const Math *m, Expr a);
Expr math_tan(const Math *m, Expr a);
Expr math_asin(const Math *m, Expr a);
Expr math_acos(const Math *m, Expr a);
Expr math_atan(const Math *m, Expr a);
Expr math_sinh(const Math *m, Expr a);
Expr math_cosh(const Math *m, Expr a);
Expr math_asinh(const Math *m, Expr a);
Expr math_acosh(const Math *m, Expr a);
Expr math_atanh(const Math *m, Expr a);

/* ---- vecmath_pow.c ---- */
Expr math_pow(const Math *m, Expr a, Expr b);
Expr math_fmod(const Math *m, Expr a, Expr b);
Expr math_floor_mod(const Math *m, Expr a, Expr b);
Expr math_trunc_div(const Math *m, Expr a, Expr b);
Expr math_int_pow(const Math *m, DType t, Expr a, Expr b);

#endif
