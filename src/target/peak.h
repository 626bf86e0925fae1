/* The machine's measured peaks: what a share of peak is a share of.
 *
 * Method: loops in assembly with named registers (a compiler may spill intrinsics' accumulators and
 * show half), one pinned thread a CPU, a barrier before and after each timed run of about 0.6 ms,
 * many runs, the best kept; rate = all threads' work / the slowest thread's time. Widest vectors
 * that the machine has. */
#ifndef LATHE_TARGET_PEAK_H
#define LATHE_TARGET_PEAK_H

#include "base/error.h"

typedef enum PeakMemory { PEAK_L1, PEAK_L2, PEAK_L3, PEAK_DRAM, PEAK_MEMORIES } PeakMemory;
typedef enum PeakAccess { PEAK_READ, PEAK_WRITE, PEAK_COPY, PEAK_ACCESSES } PeakAccess;

/* Products of narrow types (loop/intrinsic.h), those that the machine has. */
typedef enum PeakDot { PEAK_I16, PEAK_BF16, PEAK_INT8, PEAK_TILE_BF16, PEAK_TILE_INT8, PEAK_DOTS } PeakDot;

typedef struct PeakResult {
    int threads;
    double ghz;    /* from a chain of additions, one a cycle */
    double gflops; /* fp32 fused multiply-adds, two operations each */
    double gops[PEAK_DOTS]; /* likewise; 0: the machine has no such instruction */
    double gbs[PEAK_MEMORIES][PEAK_ACCESSES]; /* 10^9 bytes a second; a copy counts both sides */
} PeakResult;

/* fp32 GFLOP/s only: about 50 ms. ERR_UNSUPPORTED without AVX2. */
int peak_gflops(int threads, double *out, Error *e);
/* Everything: about a second. ERR_MEMORY if the buffers cannot be had. */
int peak_measure(int threads, PeakResult *out, Error *e);

#endif
