/* What module.c and run.c share. */
#ifndef LATHE_RUNTIME_MODULE_H
#define LATHE_RUNTIME_MODULE_H

#include <stdatomic.h>

#include "runtime/plan.h"
#include "runtime/run.h"

struct Module {
    Arena *arena;
    const Program *p;
    LoadedImage *image;  /* NULL for native code */
    Image code;          /* the same as it is in a file, for saving */
    char target[32];     /* level that the code needs; "": not said, any */
    KernelPhase *phase;
    Lifetime *life;
    const HostRow **host; /* by text: the routine of this name, for EXTERN */
    int64_t scratch;     /* most that any kernel needs of a worker, rounded up to 64 */
    int max_operands;    /* of a step */
    int ndims;           /* dims of all inputs together */
    atomic_int refs;
};

#endif
