/* The exact rule of rescaled integer sums, shared by every op that makes them. */
#ifndef LATHE_OP_QUANT_H
#define LATHE_OP_QUANT_H

#include "op/op.h"

/* saturate(round(acc * scale) + zero), acc an integer; round to even; zero (any integer type) may
 * be 0: none. In the compute type of `to`, an integer type. */
Expr quant_rescale(Exprs *x, Expr acc, Expr scale, Expr zero, DType to);

/* The tensor of zero point k; -1: there is none, or it is known to be 0 throughout. */
int quant_zero(const Define *d, int k);

#endif
