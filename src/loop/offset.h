/* Element offsets: logical indices of a buffer -> its position in memory, as its layout says. */
#ifndef LATHE_LOOP_OFFSET_H
#define LATHE_LOOP_OFFSET_H

#include "loop/loops.h"

Expr buffer_offset(Exprs *x, const LoopBuffer *b, const Expr *index);
Expr buffer_elements(Exprs *x, const LoopBuffer *b); /* pad included */
/* The same for any dims and layout. */
Expr layout_elements_expr(Exprs *x, const Layout *l, int rank, const Expr *dims);

#endif
