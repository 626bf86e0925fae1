/* simd256.h for vectors of 512 bits (AVX-512 F, BW, DQ, VL). */
#ifndef LATHE_KERNEL_SIMD512_H
#define LATHE_KERNEL_SIMD512_H

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define LANES 4

typedef __m512i V;
typedef __m512 VF;

#define v_load(p) _mm512_loadu_si512((const void *)(p))
#define v_store(p, v) _mm512_storeu_si512((void *)(p), v)
#define v_zero() _mm512_setzero_si512()
#define v_set16(x) _mm512_set1_epi16((short)(x))
#define v_set32(x) _mm512_set1_epi32(x)
#define v_same(p) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p)))
#define v_widen8(p) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p)))
#define v_widen16(p) _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#define v_lane(p, offset, size) _mm_loadu_si128((const __m128i *)((p) + (offset) * (size)))
#define v_lanes(p, offset, size)                                                                   \
    _mm512_inserti32x4(_mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(               \
                                                                 v_lane(p, (offset)[0], size)),    \
                                                             v_lane(p, (offset)[1], size), 1),     \
                                          v_lane(p, (offset)[2], size), 2),                        \
                       v_lane(p, (offset)[3], size), 3)
#define v_and _mm512_and_si512
#define v_or _mm512_or_si512
#define v_shuffle8 _mm512_shuffle_epi8
#define v_add16 _mm512_add_epi16
#define v_sub16 _mm512_sub_epi16
#define v_sll16 _mm512_slli_epi16
#define v_srl16 _mm512_srli_epi16
#define v_min16 _mm512_min_epi16
#define v_max16 _mm512_max_epi16
#define v_mulhrs16 _mm512_mulhrs_epi16
#define v_madd16 _mm512_madd_epi16
#define v_dot16(sum, a, b) _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
#define v_lo16 _mm512_unpacklo_epi16
#define v_hi16 _mm512_unpackhi_epi16
#define v_lo8 _mm512_unpacklo_epi8
#define v_hi8 _mm512_unpackhi_epi8
#define v_spread64(v) _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), v)
#define v_min32 _mm512_min_epi32
#define v_max32 _mm512_max_epi32
#define v_add32 _mm512_add_epi32
#define v_sra32 _mm512_srai_epi32
#define v_packs32 _mm512_packs_epi32
#define v_narrow16(p, v) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi16_epi8(v))

#define vf_set(x) _mm512_set1_ps(x)
#define vf_load(p) _mm512_loadu_ps(p)
#define vf_store(p, v) _mm512_storeu_ps(p, v)
#define vf_cast _mm512_castsi512_ps /* the same bits */
#define vf_from32 _mm512_cvtepi32_ps
#define vf_to32 _mm512_cvtps_epi32
#define vf_mul _mm512_mul_ps
#define vf_fma _mm512_fmadd_ps
#define vf_min _mm512_min_ps
#define vf_max _mm512_max_ps
#define v_hadd32(a, b)                                                                             \
    _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a),                 \
                                                           _mm512_castsi512_ps(b), 0x88)),         \
                     _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a),                 \
                                                           _mm512_castsi512_ps(b), 0xdd)))

#endif
