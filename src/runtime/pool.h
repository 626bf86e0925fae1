/* The thread pool of the run side.
 *
 * A job is a range [0, extent) split into as many parts as workers; part w is for worker w. Whoever
 * is awake claims parts, its own first, so that a worker which the system has not woken yet delays
 * nobody. Workers spin a while after a job (the next phase usually follows at once) and then park.
 *
 * One job runs at a time. A caller that finds the pool busy runs its whole range itself, and while
 * several runs are on their way (pool_enter) none takes more than its share of the workers: models
 * that run at once share the cores instead of waiting for each other, or being more threads than
 * there are cores. What a job computes never depends on the split.
 *
 * Where workers run is up to the system, within what the process may use. With LATHE_AFFINITY=1 in
 * the environment each keeps to one of those CPUs, all but the first, which is left to the caller:
 * for machines that run nothing else.
 *
 * After fork(2) the child has no workers. Its sessions go on, on the thread that calls; those that
 * it makes get workers of its own. */
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
/* The pool of the process, a worker for each CPU: made by the first that wants it, gone with the
 * last. */
int pool_acquire(Pool **out, Error *e);
void pool_release(Pool *p); /* NULL is allowed */
int pool_threads(const Pool *p);
/* Around the jobs of one run. */
void pool_enter(Pool *p);
void pool_leave(Pool *p);
/* Runs fn over [0, extent) on up to `threads` workers; worker numbers are below pool_threads. The
 * first error, or 0. */
int pool_run(Pool *p, int threads, PoolFn fn, void *arg, int64_t extent);

#endif
