/* Dot instructions: multiply-adds of many narrow products at once, as data. One row says what a
 * target must have and what the operands are; what it computes is one of two small stages. On
 * vectors:
 *
 *     reduce sum (n: lanes; k: group) update sum[n] + a[k] * b[k, n]
 *
 * The group is 32 bits of neighbours: two bf16, two i16 or four bytes. Operand a is one group, the
 * same for all lanes; b has the groups of lane 0, 1, .., k innermost. (Either may be the first one
 * of the instruction.) On the loops of a stage: `vector n; dot k`, k the innermost. On tiles,
 * two-dimensional registers of up to 16 rows of 64 bytes:
 *
 *     reduce sum (m: rows, n: columns; k: groups, g: group) update sum[m, n] + a[m, k*group + g] * b[k, n*group + g]
 *
 * Operand a has a row of groups for each row of the sum; b is packed: a row for each group, with
 * the group's elements of all columns. Any extents that fit. On the loops of a stage: `dot m n k
 * g`.
 *
 * What exactly is computed (and by loop/interp.c, which calls intrinsic_apply):
 *   bf16      for each lane two f32 FMAs, the odd element of the group first; each rounds to nearest even; subnormal
 *             inputs and results count as zero (whatever MXCSR says); NaN and infinity as in IEEE
 *   bf16 tiles  the products of even elements are summed from 0 by such FMAs, those of odd ones apart; then sum += even + odd
 *   integers  exact, the sum wraps
 * (Intel SDM, VDPBF16PS, VPDPBUSD, VPMADDWD and VPADDD, TDPBF16PS, TDPBSSD.) So a sum of bf16
 * products differs from that of a chain of FMAs as another order of summing does, and by
 * products and sums below 2^-126, which are lost. */
#ifndef LATHE_LOOP_INTRINSIC_H
#define LATHE_LOOP_INTRINSIC_H

#include "expr/expr.h"
#include "target/peak.h"
#include "target/target.h"

typedef struct Intrinsic {
    const char *name;     /* the instruction, also in the text of loops */
    DType first, second;  /* its factors, as they lie in memory */
    DType sum;
    int group;            /* elements side by side: 4 bytes */
    bool tile;            /* works on tiles */
    PeakProduct product;  /* whose rate is its own */
} Intrinsic;

const Intrinsic *intrinsic_row(int64_t id);
const char *intrinsic_name(int64_t id);
/* The row that the target has for factors of these types; *swap: they are to be exchanged. -1:
 * none. */
int intrinsic_find(const Target *t, DType a, DType b, DType sum, bool *swap);
/* The same of tiles; a's type first. */
int intrinsic_find_tile(const Target *t, DType a, DType b, DType sum);
#define TILE_ROWS 16
#define TILE_ROW_BYTES 64
#define TILE_REGISTERS 8
/* sum += a . b of tiles: a (rows, groups * group), b (groups, columns * group), sum (rows,
 * columns). */
void intrinsic_apply_tile(const Intrinsic *i, int rows, int columns, int groups, const Scalar *a,
                          const Scalar *b, Scalar *sum);
/* sum += a . b in each of n lanes; a and b of n groups. */
void intrinsic_apply(const Intrinsic *i, int n, const Scalar *a, const Scalar *b, Scalar *sum);

#endif
