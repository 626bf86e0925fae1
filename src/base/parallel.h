/* Compile-side parallelism: n independent jobs over a few threads, each job with its own Context.
 * (The run side has its own pool: runtime/pool.h.) */
#ifndef LATHE_BASE_PARALLEL_H
#define LATHE_BASE_PARALLEL_H

#include "base/error.h"

/* Calls fn(i, arg) for i in [0, n) on up to `threads` threads (this one included); order
 * unspecified. fn must catch its own failures (job_run). Returns when all are done. */
void parallel_for(int n, int threads, void (*fn)(int i, void *arg), void *arg);
/* CPUs this process may use: by its affinity, and by the time that its control group has. */
int parallel_cpus(void);
/* Of "200000 100000", the text of cpu.max: whole CPUs' time, rounded up; 0: no limit. */
int parallel_quota(const char *cpu_max);

#endif
