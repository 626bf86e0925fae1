/* The rows of AVX-512 on two halves each: see simd_pair.h. */
#include "kernel/frame_rows.h"
#include "simd_pair.h"

extern const FrameRows frame_rows_pair;

#define FRAME_ROWS frame_rows_pair
#include "kernel/frame_simd.h"
