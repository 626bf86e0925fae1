/* Which element types an op's inputs may have. */
#ifndef LATHE_OP_TYPES_H
#define LATHE_OP_TYPES_H

#include "op/op.h"

/* Fails with the first input whose type does not fit the op's row of graph/op.def. */
void types_check(const Infer *f);

#endif
