/* Reductions that several families use. */
#ifndef LATHE_OP_REDUCE_H
#define LATHE_OP_REDUCE_H

#include "op/op.h"

/* The place of the largest (smallest) v over the reduction axes of b, the first or the last among
 * equals; a NaN is beyond all numbers. Points with !inside do not count; without any, the place
 * is -1. Where `inside` is the constant true, places count from 0. out[0]: the value, out[1]: the
 * place (i64). */
typedef struct ArgReduce {
    Expr value, place, inside;
    bool smallest, last;
    DType type; /* of result 0 */
} ArgReduce;
void reduce_arg(Stages *s, const StageBuild *b, const ArgReduce *a, int out[2]);

#endif
