/* The state of a Run, shared by run.c (inputs, shapes, memory) and step.c (the steps). */
#ifndef LATHE_RUNTIME_RUN_STATE_H
#define LATHE_RUNTIME_RUN_STATE_H

#include "runtime/module.h"

#define PLANS_KEPT 4

typedef struct Slot { /* memory of its own, kept and grown */
    void *data;
    int64_t capacity;
} Slot;

typedef struct ShapePlan { /* what follows from the dims of the inputs */
    bool valid;
    uint64_t used;     /* for replacing the oldest */
    int64_t *dim;      /* of all inputs, in order */
    Scalar *at;        /* values */
    int64_t *bytes;    /* by buffer, where not late */
    int64_t *offset;   /* in the slab, by buffer; -1: not planned */
    PlanSize size;
    int64_t total;     /* inputs, slab and outputs, where not late */
} ShapePlan;

struct Run {
    Module *m;
    Pool *pool;
    int threads;
    Arena *arena;
    Tensor **input;
    Tensor **output;
    ShapePlan plan[PLANS_KEPT];
    ShapePlan *shape;     /* the current one */
    uint64_t clock;
    /* Current state, by value or by buffer. */
    Scalar *at;
    void **ptr;
    int64_t *bytes;
    Slot *slot;
    int64_t *dims;        /* scratch for the key of a plan */
    int32_t *order;       /* scratch of plan_place */
    void *slab;
    int64_t slab_bytes;
    void *scratch;        /* m->scratch bytes per worker */
    Slot host_scratch;
    void **kernel_buffer; /* arguments of the kernel being run */
    int64_t *kernel_sym;
    double *profile;
    int64_t limit;        /* see run_set_limit */
    struct Guarded *guard; /* see run_set_guard; by operand of the step being run */
    int64_t allocations;
};

/* ---- memory.c ---- */
/* ERR_MEMORY if the buffers of this plan, which `s->bytes` has, go over the limit; names the
 * largest. */
int memory_check_plan(const Run *r, const ShapePlan *s, Error *e);
/* May `bytes` more be taken now? For what the plan does not know. */
int memory_check(const Run *r, int64_t bytes, Error *e);

/* ---- guard.c ---- */
/* Puts guarded copies in the place of the operands ptr[0..n), and back; a write beyond one is
 * ERR_INTERNAL. */
int guard_enter(Run *r, int n, const int32_t *buffer, void **ptr, Error *e);
int guard_leave(Run *r, int nread, int n, void **ptr, const char *name, Error *e);

/* ---- run.c ---- */
/* Room for `bytes` in the slot; keeps the first `keep` bytes. */
int slot_reserve(Run *r, Slot *s, int64_t bytes, int64_t keep, Error *e);
/* Memory for a SLOT or OUTPUT buffer of the current dims. */
int run_alloc_buffer(Run *r, int buffer, bool keep, Error *e);
/* Sets pointer and size of a view from its parent. */
int run_bind_view(Run *r, int buffer, Error *e);
int run_steps(Run *r, Error *e);

#endif
