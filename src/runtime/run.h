/* Running: a Module (program, code, constants: read-only, shared) and Runs of it (one caller each).
 *
 *     Module *m = ...;                       // module_new, or module_load of a file
 *     Run *r; run_new(m, pool, 0, &r, &e);
 *     run_set_input(r, 0, tensor, &e);
 *     run_execute(r, &e);
 *     Tensor *y = run_output(r, 0);          // valid until the next run_execute unless tensor_ref'ed
 *
 * Several threads may run one module at once, each with its own Run. A Run allocates nothing
 * once it has seen a shape (unless the caller kept an output, which then gets fresh memory). */
#ifndef LATHE_RUNTIME_RUN_H
#define LATHE_RUNTIME_RUN_H

#include <stdbool.h>

#include "runtime/pool.h"
#include "runtime/program.h"
#include "tensor/tensor.h"

typedef struct Module Module;
typedef struct Run Run;

/* Takes over `arena`, which holds the program and its constants; frees it with the module, on
 * failure too. The program is verified; the image is loaded. */
int module_new(Arena *arena, const Program *p, const Image *image, Module **out, Error *e);
/* The same with code that is in memory already: for tests of the runtime alone. */
int module_new_native(Arena *arena, const Program *p, const KernelPhase *phase, int nphases,
                      Module **out, Error *e);
/* The level that the code needs ("avx2"), for files and for module_runs_here. Before others see the
 * module. */
void module_set_target(Module *m, const char *target);
/* ERR_UNSUPPORTED if this CPU lacks what the code needs. */
int module_runs_here(const Module *m, Error *e);
Module *module_ref(Module *m);
void module_unref(Module *m);
const Program *module_program(const Module *m);
int module_find_input(const Module *m, const char *name); /* -1 */
int module_find_output(const Module *m, const char *name);

/* `threads`: at most this many of the pool's; 0: all. Holds a reference to the module, not to the
 * pool. */
int run_new(Module *m, Pool *pool, int threads, Run **out, Error *e);
void run_free(Run *r);
/* Most bytes for inputs, temporaries and outputs together; 0: the machine's memory, as in a new
 * Run. What needs more fails with ERR_MEMORY before it is allocated. */
void run_set_limit(Run *r, int64_t bytes);
/* From now on every kernel runs on copies with guards around them, for finding defects: slow, and
 * it allocates. */
int run_set_guard(Run *r, Error *e);
/* Keeps a reference until another tensor takes its place. */
int run_set_input(Run *r, int input, Tensor *t, Error *e);
int run_execute(Run *r, Error *e);
Tensor *run_output(Run *r, int output); /* borrowed */

typedef struct RunMemory {
    int64_t planned, naive; /* bytes of temporaries for the current shape; with nothing shared */
    int64_t bound;          /* no plan is smaller */
    int64_t slots;          /* bytes held for buffers whose size depends on data */
    int64_t allocations;    /* times this Run asked for memory since it was made */
} RunMemory;
RunMemory run_memory(const Run *r);
/* Seconds spent in each step, added up over runs: array of nstep, NULL switches off. */
void run_profile(Run *r, double *step_seconds);

#endif
