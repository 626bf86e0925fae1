/* rfactor: splits a reduction so that `lanes` partial results run side by side (Halide's verb).
 *
 *     s[m] = sum over k < K of x[m, k]
 *     ->  s.rf[m, l: L] = sum over k0 < ceil(K / L) of x[m, k0 * L + l]   where k0 * L + l < K
 *         s[m] = sum over l < L of s.rf[m, l]
 *
 * Where K is known, the only axis of the reduction and no multiple of L, the final stage takes the
 * K mod L elements that are left after its partial results:  s.rf over k0 < K / L,  s[m] = .. +
 * x[m, K / L * L] + ..
 *
 * With `meet` M, a divisor of L, the partial results meet as vectors of M before they meet one by
 * one, in L/M + M steps, not L:
 *
 *         s.met[m, l: M] = sum over l2 < L / M of s.rf[m, l2 * M + l]
 *         s[m] = sum over l < M of s.met[m, l]
 *
 * With `apart` each partial result takes neighbours, which are far from those of the others: x[m, l
 * * K/L + k0]; for threads.
 *
 * Legal where every result has a combine and a neutral constant init. The order of the sum
 * changes; nothing else does. */
#ifndef LATHE_LOOP_RFACTOR_H
#define LATHE_LOOP_RFACTOR_H

#include "loop/stage.h"

/* Returns the index of the new stage NAME.rf (the old one moves up by one, or two behind NAME.met),
 * -1 if not legal. `meet` 0: one by one. */
int stages_rfactor(Stages *s, int stage, const char *axis, int lanes, int meet, bool apart);

#endif
