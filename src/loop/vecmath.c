/* Vector math: which ops it replaces. */
#include "loop/vecmath.h"

bool vecmath_is(const Exprs *x, Expr e)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op >= EX_EXP && n->op <= EX_POW)
        return true;
    return (n->op == EX_MOD || n->op == EX_TMOD || n->op == EX_TDIV) &&
           dtype_is_float((DType)n->dtype);
}
