/* Reductions that several families use. */
#ifndef LATHE_OP_REDUCE_H
#define LATHE_OP_REDUCE_H

#include "op/op.h"

/* The place of the largest (smallest) v over the reduction axes of b, the first or the last among
 * equals. Points with !inside do not count. out[0]: the value, out[1]: the place (i64). */
typedef struct ArgReduce {
    Expr value, place, inside;
    bool smallest, last;
    DType type; /* of result 0 */
} ArgReduce;
void reduce_arg(Stages *s, const StageBuild *b, const ArgReduce *a, int out[2]);

/* Output 0's domain with the masked axes of input 0 as reduction axes; index[] is the load. */
StageBuild reduce_begin_out(const Define *d, uint32_t axes, bool keep, Expr *index);
/* Mask of a list of axes of a tensor of this rank. */
uint32_t reduce_mask(int rank, int n, const int64_t *axes);

#endif
