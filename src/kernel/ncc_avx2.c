/* Correlations of ncc.c for AVX2. */
#include "kernel/ncc_inside.h"
#include "kernel/simd256.h"

#define NCC_VARIANT ncc_avx2
#include "kernel/ncc_simd.h"
