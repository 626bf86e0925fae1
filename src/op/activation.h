/* Activations that are ops of their own and parts of others. v is a float; NaN comes through. */
#ifndef LATHE_OP_ACTIVATION_H
#define LATHE_OP_ACTIVATION_H

#include "expr/expr.h"

Expr activation_relu(Exprs *x, Expr v);
Expr activation_leaky_relu(Exprs *x, Expr v, double alpha);
Expr activation_elu(Exprs *x, Expr v, double alpha);
/* log(1 + e^v), without overflow */
Expr activation_softplus(Exprs *x, Expr v);
Expr activation_softsign(Exprs *x, Expr v);                                 /* v / (1 + |v|) */
/* v * sigmoid(alpha v) */
Expr activation_swish(Exprs *x, Expr v, double alpha);
/* alpha v + beta in [0, 1] */
Expr activation_hard_sigmoid(Exprs *x, Expr v, double alpha, double beta);

#endif
