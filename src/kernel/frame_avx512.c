/* Rows of frame.c for AVX-512. */
#include "kernel/frame_rows.h"
#include "kernel/simd512.h"

#define FRAME_ROWS frame_rows_avx512
#include "kernel/frame_simd.h"
