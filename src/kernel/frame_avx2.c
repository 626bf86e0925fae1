/* Rows of frame.c for AVX2 and FMA. */
#include "kernel/frame_rows.h"
#include "kernel/simd256.h"

#define FRAME_ROWS frame_rows_avx2
#include "kernel/frame_simd.h"
