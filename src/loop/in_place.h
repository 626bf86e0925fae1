/* In place: which inputs of a kernel an output may be written over. */
#ifndef LATHE_LOOP_IN_PLACE_H
#define LATHE_LOOP_IN_PLACE_H

#include "loop/loops.h"

/* For structured loops: over[a], for each argument a that is written, becomes the argument in whose
 * memory it may lie, -1 if there is none. Both are marked `alias` then. */
void loops_in_place(Loops *l, int *over);

#endif
