/* Sets of registers under one condition, many times over in a row: under it once.
 *
 *     if c { r0 = .. }   if d { r1 = .. }   if c { r2 = .. }   if d { r3 = .. }
 * becomes
 *     if c { r0 = ..; r2 = .. }   if d { r1 = ..; r3 = .. }
 *
 * That is what expansion makes of a tile whose vectors may lie beyond the end of a row: an
 * unrolled loop around vectors, each of which asks whether any of its lanes is inside. Back ends
 * take as long for a branch as for the product in it. */
#ifndef LATHE_LOOP_MERGE_IFS_H
#define LATHE_LOOP_MERGE_IFS_H

#include "loop/loops.h"

void merge_ifs(Loops *expanded);

#endif
