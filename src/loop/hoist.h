/* Hoisting: parts of memory offsets that a loop does not change are named before it (L_LET).
 * LLVM's loop-invariant code motion is not run, so the expanded form must not need it. */
#ifndef LATHE_LOOP_HOIST_H
#define LATHE_LOOP_HOIST_H

#include "loop/loops.h"

void hoist_invariants(Loops *expanded);

#endif
