/* Vector math: which ops it replaces, and the choice of the formula.
 *
 * exp, log, sigmoid, tanh and erf have formulas of their own in f32, because models are full of
 * them; the others are computed in f64 and rounded (sin, cos, tan round for themselves).
 * Coefficients: polynomials by Chebyshev interpolation at 60 digits of what is left of the function
 * after its leading terms (say (sin r - r) / r^3 in r^2), rounded to the type; the rationals of
 * tanh and erf by linearised least squares, reweighted until the relative error is level
 * (Lawson). */
#include "loop/vecmath.h"

#include <assert.h>

#include "loop/vecmath_build.h"

bool vecmath_is(const Exprs *x, Expr e)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op >= EX_EXP && n->op <= EX_POW)
        return true;
    return (n->op == EX_MOD || n->op == EX_TMOD || n->op == EX_TDIV) &&
           dtype_is_float((DType)n->dtype);
}

typedef Expr (*UnaryFn)(const Math *m, Expr a);

static UnaryFn unary_fn(ExprOp op)
{
    switch (op) {
    case EX_EXP: return math_exp;
    case EX_EXP_DOWN: return math_exp_down;
    case EX_LOG: return math_log;
    case EX_SIGMOID: return math_sigmoid;
    case EX_TANH: return math_tanh;
    case EX_ERF: return math_erf;
    case EX_SIN: return math_sin;
    case EX_COS: return math_cos;
    case EX_TAN: return math_tan;
    case EX_ASIN: return math_asin;
    case EX_ACOS: return math_acos;
    case EX_ATAN: return math_atan;
    case EX_SINH: return math_sinh;
    case EX_COSH: return math_cosh;
    case EX_ASINH: return math_asinh;
    case EX_ACOSH: return math_acosh;
    case EX_ATANH: return math_atanh;
    default: return NULL;
    }
}

static bool takes_f32(ExprOp op)
{
    if (op == EX_SIN || op == EX_COS || op == EX_TAN)
        return true;
    return op == EX_EXP || op == EX_EXP_DOWN || op == EX_LOG || op == EX_SIGMOID || op == EX_TANH ||
           op == EX_ERF;
}

static Expr expand_unary(const Math *m, ExprOp op, Expr a)
{
    const UnaryFn fn = unary_fn(op);
    assert(fn);
    if (m->t == DT_F64 || takes_f32(op))
        return fn(m, a);
    const Math wide = {m->x, DT_F64, m->lanes};
    return convert(m, DT_F32, fn(&wide, convert(m, DT_F64, a)));
}

Expr vecmath_expand(Exprs *x, Expr e, const Expr *args)
{
    const ExprNode n = *expr_node(x, e);
    const Math m = {x, (DType)n.dtype, n.lanes};
    switch ((ExprOp)n.op) {
    case EX_POW:
        if (!dtype_is_float(m.t))
            return math_int_pow(&m, m.t, args[0], args[1]);
        return math_pow(&m, args[0], args[1]);
    case EX_MOD: return math_floor_mod(&m, args[0], args[1]);
    case EX_TMOD: return math_fmod(&m, args[0], args[1]);
    case EX_TDIV: return math_trunc_div(&m, args[0], args[1]);
    default: return expand_unary(&m, (ExprOp)n.op, args[0]);
    }
}
