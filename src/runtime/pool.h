/* The thread pool of the run side.
 *
 * A job is a range [0, extent) split into as many parts as workers; part w is for worker w. Whoever is awake claims
 * parts, its own first, so that a worker which the system has not woken yet delays nobody. Workers spin a while after
 * a job (the next phase usually follows at once) and then park.
 *
 * One job runs at a time. A caller that finds the pool busy runs its whole range itself: two models running at once
 * share the cores instead of waiting for each other. What a job computes never depends on the split. */
#ifndef LATHE_RUNTIME_POOL_H
#define LATHE_RUNTIME_POOL_H

#include <stdint.h>

#include "base/error.h"

typedef struct Pool Pool;
typedef int (*PoolFn)(void *arg, int worker, int64_t begin, int64_t end); /* 0 or an error */

#define POOL_MAX_WORKERS 256

/* Starts threads - 1 threads: the caller of pool_run is worker 0. */
int pool_new(int threads, Pool **out, Error *e);
void pool_free(Pool *p); /* NULL is allowed */
/* The pool of the process, a worker for each CPU: made by the first that wants it, gone with the last. */
int pool_acquire(Pool **out, Error *e);
void pool_release(Pool *p); /* NULL is allowed */
int pool_threads(const Pool *p);
/* Runs fn over [0, extent) on up to `threads` workers; worker numbers are below pool_threads. The first error, or 0. */
int pool_run(Pool *p, int threads, PoolFn fn, void *arg, int64_t extent);

#endif
