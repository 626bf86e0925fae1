/* simd512.h for CPUs that have VNNI besides. */
#ifndef LATHE_KERNEL_SIMD512_VNNI_H
#define LATHE_KERNEL_SIMD512_VNNI_H

#include "kernel/simd512.h"

#undef TARGET
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#undef v_dot16
#define v_dot16 _mm512_dpwssd_epi32

#endif
