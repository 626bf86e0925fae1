/* Compile-side parallelism: n independent jobs over a few threads, each job with its own Context.
 * (The run side has its own pool: runtime/pool.h.) */
#ifndef LATHE_BASE_PARALLEL_H
#define LATHE_BASE_PARALLEL_H

#include "base/error.h"

/* Calls fn(i, arg) for i in [0, n) on up to `threads` threads (this one included); order unspecified.
 * fn must catch its own failures (job_run). Returns when all are done. */
void parallel_for(int n, int threads, void (*fn)(int i, void *arg), void *arg);
int parallel_cpus(void); /* CPUs this process may use */

#endif
