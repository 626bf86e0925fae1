/* Winograd's minimal filtering F(m x m, 3 x 3) for convolutions of stride 1: a definition variant
 * of Conv.
 *
 *     y = A'[ (G w G') . (B'd B) ]A         d: n x n of x, n = m + 2; y: m x m
 *
 * n*n products where 9*m*m were: 2.25, 4 or 5.1 times fewer for m = 2, 4, 6. Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks" (2015); matrices after Toom and Cook from points 0,
 * a, -a, b, -b.. and infinity.
 *
 * What it costs: the transforms, weights that are n*n/9 times as large, and rounding: with f32 an
 * output is off by up to 1.5, 5 or 40 roundings (2^-24) of the largest sum of |x||w| in its tile,
 * for m = 2, 4, 6, where a plain sum is off by 1 (compile/test_winograd_runs.c measures it). An
 * infinity in x makes all outputs of its tiles NaN.
 *
 * A Conv is computed so if it has attribute `winograd` (m) and input 3, the transformed weights
 * u (K,C,n,n): the pass that decides it adds nodes that compute them. */
#ifndef LATHE_OP_WINOGRAD_H
#define LATHE_OP_WINOGRAD_H

#include "op/window.h"

#define WINOGRAD_KERNEL 3
#define WINOGRAD_MAX 6                    /* largest m */
#define WINOGRAD_MAX_N (WINOGRAD_MAX + WINOGRAD_KERNEL - 1)
#define WINOGRAD_INPUT 3                  /* of Conv: u */

typedef struct Winograd {
    int m, n; /* outputs and inputs along one dim */
    double a[WINOGRAD_MAX][WINOGRAD_MAX_N];      /* A', m x n */
    double g[WINOGRAD_MAX_N][WINOGRAD_KERNEL];   /* n x 3 */
    double b[WINOGRAD_MAX_N][WINOGRAD_MAX_N];    /* B', n x n */
} Winograd;

/* m: 2, 4 or 6. */
Winograd winograd_matrices(int m);
/* The variant that node n, a Conv, is to be computed by: m; 0: directly. */
int winograd_of(const Node *n);
/* Checks input 3 and the attributes. */
void infer_winograd(const Infer *f, const Window *win);
void define_winograd(Define *d);

#endif
