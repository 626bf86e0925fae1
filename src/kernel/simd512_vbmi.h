/* simd512_vnni.h for CPUs that permute bytes besides (AVX-512 VBMI). */
#ifndef LATHE_KERNEL_SIMD512_VBMI_H
#define LATHE_KERNEL_SIMD512_VBMI_H

#include "kernel/simd512_vnni.h"

#undef TARGET
#define TARGET                                                                                     \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")))
/* Bytes i of the 64 at p, of the 128 */
#define v_bytes(p, i) _mm512_permutexvar_epi8(i, v_load(p))
#define v_bytes2(p, i) _mm512_permutex2var_epi8(v_load(p), i, v_load((p) + 64))

#endif
