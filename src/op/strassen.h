/* Strassen's product of matrices, in Winograd's form: a definition variant of MatMul, by halves of
 * both matrices.
 *
 *     y[2i + r, h N/2 + j] = c[r, h, i, j],  c: sums of p[q] = s[q] u[q],  q = 0 .. 6
 *
 * Seven products of halves where there were eight, for 4 sums of parts of x (rows 2i and 2i + 1,
 * each in two halves), 7 of what comes out, and 4 of parts of w, which is constant: made once, u is
 * 7/4 times as large as w. V. Strassen, "Gaussian Elimination is not Optimal" (1969); the sums: S.
 * Winograd, as in N. Higham, "Accuracy and Stability of Numerical Algorithms", section 23.1.
 *
 * Rounding: with f32 an output is off by up to a few roundings (2^-24) of the largest sum of |x||w|
 * in its four (compile/test_strassen_runs.c measures it), where a plain sum is off by 1. An
 * infinity in x makes all outputs of its two rows NaN. Rows are paired inside a matrix of x, never
 * across its batch: what one row holds is felt by its neighbour alone. In (L, 1, K) the rows are
 * the L.
 *
 * A MatMul is computed so if it has attribute `strassen` (1) and input 2, u (7, K/2, N/2): the
 * pass that decides it adds nodes that compute u from w (K, N), K and N even. M may be odd: a
 * row of zeros stands in. */
#ifndef LATHE_OP_STRASSEN_H
#define LATHE_OP_STRASSEN_H

#include "op/op.h"

#define STRASSEN_INPUT 2    /* of MatMul: u */
#define STRASSEN_PRODUCTS 7

/* u[q] = sum over (a, h) of strassen_weights[q][a][h] * w[a K/2 + .., h N/2 + ..] */
extern const float strassen_weights[STRASSEN_PRODUCTS][2][2];

/* Is node n, a MatMul, to be computed so? */
bool strassen_of(const Node *n);
/* The axis of x, of `rank` dims, whose positions are paired: the last before the sum's that is not
 * of extent 1. */
int strassen_row_axis(const Exprs *x, int rank, const Expr *dims);
/* Checks input 2 and the attribute. */
void infer_strassen(const Infer *f);
void define_strassen(Define *d);

#endif
