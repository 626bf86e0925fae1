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

/* What multiplies: fused multiply-adds of f32, and the products of narrow types (loop/intrinsic.h).
 * In module files. */
typedef enum PeakProduct {
    PEAK_F32,
    PEAK_I16,
    PEAK_BF16,
    PEAK_INT8,
    PEAK_TILE_BF16,
    PEAK_TILE_INT8,
    PEAK_PRODUCTS
} PeakProduct;

typedef struct PeakResult {
    int threads;
    double ghz;    /* from a chain of additions, one a cycle */
    /* 10^9 a second, a multiply-add is two; 0: the machine has no such instruction */
    double gops[PEAK_PRODUCTS];
    double gbs[PEAK_MEMORIES][PEAK_ACCESSES]; /* 10^9 bytes a second; a copy counts both sides */
} PeakResult;

/* "bf16 tiles" */
const char *peak_product_name(PeakProduct product);
/* Of one kind of product: about 50 ms; 0: the machine has no such instruction. ERR_UNSUPPORTED
 * without AVX2. */
int peak_gops(int threads, PeakProduct product, double *out, Error *e);
/* Everything: about a second. ERR_MEMORY if the buffers cannot be had. */
int peak_measure(int threads, PeakResult *out, Error *e);

#endif
