/* Elements of stage tensors as expressions: how small values pass through definitions. */
#ifndef LATHE_OP_ELEMENTS_H
#define LATHE_OP_ELEMENTS_H

#include "loop/stage.h"

/* All elements of `tensor` (constant dims), row-major, as expressions over symbols. known[k]: the
 * elements of tensor k < nknown, or NULL. False: an element depends on something that is not known,
 * or takes too much work. */
bool elements_eval(Stages *s, int tensor, int nknown, const Expr *const *known, Expr *out);

#endif
