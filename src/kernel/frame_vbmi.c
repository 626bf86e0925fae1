/* Rows of frame.c for AVX-512 with VNNI and VBMI. */
#include "kernel/frame_rows.h"
#include "kernel/simd512_vbmi.h"

#define FRAME_ROWS frame_rows_vbmi
#include "kernel/frame_simd.h"
