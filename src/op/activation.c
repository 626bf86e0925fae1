/* Activations. See activation.h.
 *
 * min and max give their second operand where either is NaN: so v stands second. */
#include "op/activation.h"

static Expr number(Exprs *x, Expr like, double v)
{
    return expr_const(x, expr_type(x, like), v);
}

static Expr times(Exprs *x, double k, Expr v)
{
    return expr_mul(x, number(x, v, k), v);
}

static Expr plus(Exprs *x, Expr v, double k)
{
    return expr_add(x, v, number(x, v, k));
}

Expr activation_relu(Exprs *x, Expr v)
{
    return expr_max(x, number(x, v, 0), v);
}

Expr activation_leaky_relu(Exprs *x, Expr v, double alpha)
{
    return expr_select(x, expr_lt(x, v, number(x, v, 0)), times(x, alpha, v), v);
}

Expr activation_elu(Exprs *x, Expr v, double alpha)
{
    const Expr low = times(x, alpha, plus(x, expr_un(x, EX_EXP, v), -1));
    return expr_select(x, expr_lt(x, v, number(x, v, 0)), low, v);
}

/* max(v, 0) + log(1 + e^-|v|) */
Expr activation_softplus(Exprs *x, Expr v)
{
    const Expr small = expr_un(x, EX_EXP, expr_un(x, EX_NEG, expr_un(x, EX_ABS, v)));
    return expr_add(x, activation_relu(x, v), expr_un(x, EX_LOG, plus(x, small, 1)));
}

Expr activation_softsign(Exprs *x, Expr v)
{
    return expr_div(x, v, plus(x, expr_un(x, EX_ABS, v), 1));
}

Expr activation_swish(Exprs *x, Expr v, double alpha)
{
    return expr_mul(x, v, expr_un(x, EX_SIGMOID, times(x, alpha, v)));
}

Expr activation_hard_sigmoid(Exprs *x, Expr v, double alpha, double beta)
{
    const Expr line = plus(x, times(x, alpha, v), beta);
    return expr_max(x, number(x, v, 0), expr_min(x, number(x, v, 1), line));
}
