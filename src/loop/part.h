/* Part: an array that lies inside a larger one, so that concat, split and slice need no copy.
 *
 *     y (1,64,8,8) of a concat, its second input x (1,16,8,8):   x: in [1, 64, 8, 8] at [0, 48, 0, 0]
 *
 * Element i of the part is element i + at of the whole, in the part's layout, which the whole
 * has too. Where the layout splits an axis, `at` and the part's dim are multiples of the block:
 * a part has no pad lanes of its own. */
#ifndef LATHE_LOOP_PART_H
#define LATHE_LOOP_PART_H

#include "expr/expr.h"
#include "tensor/layout.h"

typedef struct Part {
    bool is_part; /* false: the array stands alone, the rest is not used */
    Expr whole[MAX_RANK], at[MAX_RANK];
} Part;

#endif
