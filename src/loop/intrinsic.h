/* Dot instructions: multiply-adds of many narrow products at once, as data. One row says what a
 * target must have and what the operands are; what it computes is this small stage:
 *
 *     reduce sum (n: lanes; k: group) update sum[n] + a[k] * b[k, n]
 *
 * The group is 32 bits of neighbours: two bf16 or four bytes. Operand a is one group, the same for all lanes; b has the
 * groups of lane 0, 1, .., k innermost. (Either may be the first one of the instruction.) On the loops of a stage:
 * `vector n; dot k`, k the innermost.
 *
 * What exactly is computed (and by loop/interp.c, which calls intrinsic_apply):
 *   bf16      for each lane two f32 FMAs, the odd element of the group first; each rounds to nearest even; subnormal
 *             inputs and results count as zero (whatever MXCSR says); NaN and infinity as in IEEE
 *   integers  exact, the sum wraps
 * (Intel SDM, VDPBF16PS, VPDPBUSD.) So a sum of bf16 products differs from that of a chain of FMAs as another order of
 * summing does, and by products and sums below 2^-126, which are lost. */
#ifndef LATHE_LOOP_INTRINSIC_H
#define LATHE_LOOP_INTRINSIC_H

#include "expr/expr.h"
#include "target/target.h"

typedef struct Intrinsic {
    const char *name;     /* the instruction, also in the text of loops */
    DType first, second;  /* its factors, as they lie in memory */
    DType sum;
    int group;            /* elements side by side: 4 bytes */
} Intrinsic;

const Intrinsic *intrinsic_row(int64_t id);
const char *intrinsic_name(int64_t id);
/* The row that the target has for factors of these types; *swap: they are to be exchanged. -1: none. */
int intrinsic_find(const Target *t, DType a, DType b, DType sum, bool *swap);
/* sum += a . b in each of n lanes; a and b of n groups. */
void intrinsic_apply(const Intrinsic *i, int n, const Scalar *a, const Scalar *b, Scalar *sum);

#endif
