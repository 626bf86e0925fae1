/* Memory plan: where each temporary lies in one slab, by lifetime.
 *
 * A buffer lives from the first to the last step that touches it; jumps backwards widen that. Buffers whose lifetimes
 * overlap get disjoint ranges: largest first, each at the lowest place where it fits. */
#ifndef LATHE_RUNTIME_PLAN_H
#define LATHE_RUNTIME_PLAN_H

#include "runtime/program.h"

#define PLAN_ALIGN 64

typedef struct Lifetime {
    int32_t first, last; /* steps; last -1: never used */
} Lifetime;

/* By buffer; a view's uses count for its parent. */
Lifetime *plan_lifetimes(Arena *a, const Program *p);

/* Fills offset[buffer] for the TEMPs (others: -1) from bytes[buffer]. `scratch` has room for nbuffer ints.
 * Returns the size of the slab; *naive gets what it would be with nothing shared. */
int64_t plan_place(const Program *p, const Lifetime *life, const int64_t *bytes, int32_t *scratch,
                   int64_t *offset, int64_t *naive);

#endif
