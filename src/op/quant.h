/* The exact rules of quantized values, shared by every op that makes them. */
#ifndef LATHE_OP_QUANT_H
#define LATHE_OP_QUANT_H

#include "op/op.h"

/* saturate(round(v) + zero), v f32 or f64; round to even; zero (any integer type) may be 0: none.
 * In the compute type of `to`, an integer type. */
Expr quant_round(Exprs *x, Expr v, Expr zero, DType to);
/* saturate(round(acc * scale) + zero), acc an integer. */
Expr quant_rescale(Exprs *x, Expr acc, Expr scale, Expr zero, DType to);
/* Limits a float to the finite range of `to`, a float type; NaN stays. */
Expr quant_saturate_float(Exprs *x, Expr v, DType to);

#endif
