/* The correlations of AVX-512 on two halves each: see simd_pair.h. */
#include "kernel/ncc_inside.h"
#include "simd_pair.h"

extern const NccVariant ncc_pair;

#define NCC_VARIANT ncc_pair
#include "kernel/ncc_simd.h"
