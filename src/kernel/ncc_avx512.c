/* Correlations of ncc.c for AVX-512. */
#include "kernel/ncc_inside.h"
#include "kernel/simd512.h"

#define NCC_VARIANT ncc_avx512
#include "kernel/ncc_simd.h"
