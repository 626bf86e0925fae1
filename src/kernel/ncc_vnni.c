/* Correlations of ncc.c for AVX-512 with VNNI: a product of pairs and its sum are one
 * instruction. */
#include "kernel/ncc_inside.h"
#include "kernel/simd512_vnni.h"

#define NCC_VARIANT ncc_vnni
#include "kernel/ncc_simd.h"
