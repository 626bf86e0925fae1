/* Regions: which box of a producer a consumer needs (bounds inference), and safe loads. */
#ifndef LATHE_LOOP_REGION_H
#define LATHE_LOOP_REGION_H

#include "loop/stage.h"

/* An interval [low, low + size) of an axis; low over outer variables. size 0: nothing needed
 * yet. */
typedef struct Range {
    Expr low, size;
} Range;

typedef struct Region {
    int rank;
    Range axis[MAX_RANK];
} Region;

/* Marks a VAR node in `inner`; what is none is passed over. */
void region_mark(const Exprs *x, bool *inner, Expr var);
/* Values that e takes while the variables marked in `inner` (by var id) run over their extents.
 * False if e depends on data or in an unknown way: then the whole axis is needed. */
bool region_of_expr(Exprs *x, Expr e, const bool *inner, int ninner, Range *out);
/* Grows r to hold the box that the loads of `tensor` in e touch. `dims`: the tensor's. */
void region_add_loads(Exprs *x, Expr e, int tensor, int rank, const Expr *dims, const bool *inner,
                      int ninner, Region *r);

/* Clamps every load index of every stage that is not proven to be inside its tensor (rounded up by
 * its layout) while the stage's axes stay inside their extents. After it generated code cannot
 * leave its buffers, whatever the data. */
void stages_bound_loads(Stages *s);

#endif
