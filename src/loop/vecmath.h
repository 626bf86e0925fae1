/* Own vector math: transcendental functions as terms of primitive operations, so that every back
 * end has them and they inline into any loop.
 *
 * vecmath_expand replaces one EX_EXP, EX_LOG, EX_SIN ... EX_SIGMOID, EX_POW, EX_MOD/EX_TMOD
 * (floats), EX_ROUND where not native, node of f32 or f64 (any lanes; operands already expanded) by
 * arithmetic, min/max, compare, select, cast, bitcast, shifts, floor, round, sqrt, fma, rare.
 * Errors (f32, over the whole range, against double libm): exp, log, sigmoid <= 2 ulp; tanh, erf <=
 * 6 ulp; sin, cos, tan <= 1 ulp; others <= 4 ulp unless said at the function. f64: <= 4 ulp. "Whole
 * range" is every finite argument. Special values (inf, NaN, -0, out of domain) as C's libm. */
#ifndef LATHE_LOOP_VECMATH_H
#define LATHE_LOOP_VECMATH_H

#include "expr/expr.h"

bool vecmath_is(const Exprs *x, Expr e); /* is e's op (on its type) one of those? */
/* e's arguments replaced by `args`; result built with expr_raw-level builders that keep lanes. */
Expr vecmath_expand(Exprs *x, Expr e, const Expr *args);

#endif
