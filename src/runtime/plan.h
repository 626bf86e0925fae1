/* Memory plan: where each temporary lies in one slab, by lifetime.
 *
 * A buffer lives from the first to the last step that touches it; jumps backwards widen that.
 * Buffers whose lifetimes overlap get disjoint ranges; what a kernel may write in place of what it
 * reads last (ProgramBuffer.replaces) gets the same. They are placed one after the other, in
 * several orders, until a plan is as small as any can be: what lives at one step needs that
 * much. */
#ifndef LATHE_RUNTIME_PLAN_H
#define LATHE_RUNTIME_PLAN_H

#include "runtime/program.h"

#define PLAN_ALIGN 64

typedef struct Lifetime {
    /* steps; last -1: never used. Where others lie in its place, of the last of them */
    int32_t first, last;
    int32_t home;        /* the buffer in whose place it lies: itself, mostly */
} Lifetime;

/* By buffer; a view's uses count for its parent. */
Lifetime *plan_lifetimes(Arena *a, const Program *p);

typedef struct PlanSize {
    int64_t slab;  /* bytes */
    int64_t bound; /* no plan is smaller: the most that lives at one step */
    int64_t naive; /* with nothing shared */
} PlanSize;

/* Fills offset[buffer] for the TEMPs (others: -1) from bytes[buffer]. `scratch` has room for 3 *
 * nbuffer ints. */
PlanSize plan_place(const Program *p, const Lifetime *life, const int64_t *bytes, int32_t *scratch,
                    int64_t *offset);

#endif
