/* Vectors of 256 bits (AVX2, FMA) under the names that frame_simd.h and ncc_simd.h are written in;
 * simd512.h is the same for 512. Shuffles, unpacks and packs work within lanes of 128 bits, so that
 * LANES is all that differs. Loads and stores need no alignment. The suffix is the element: 8, 16,
 * 32 bits, f float. */
#ifndef LATHE_KERNEL_SIMD256_H
#define LATHE_KERNEL_SIMD256_H

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define LANES 2

typedef __m256i V;
typedef __m256 VF;

#define v_load(p) _mm256_loadu_si256((const __m256i *)(p))
#define v_store(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define v_zero() _mm256_setzero_si256()
#define v_set16(x) _mm256_set1_epi16((short)(x))
#define v_set32(x) _mm256_set1_epi32(x)
/* 16 bytes in every lane */
#define v_same(p) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p)))
/* 8 or 16-bit elements, unsigned or signed, as wider ones: half as many bytes as a vector are
 * read. */
#define v_widen8(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p)))
#define v_widen16(p) _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p)))
/* 16 bytes of p + offset[l] * size in lane l */
#define v_lanes(p, offset, size)                                                                   \
    _mm256_inserti128_si256(                                                                       \
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)((p) + (offset)[0] * (size)))),    \
        _mm_loadu_si128((const __m128i *)((p) + (offset)[1] * (size))), 1)
#define v_and _mm256_and_si256
#define v_or _mm256_or_si256
#define v_shuffle8 _mm256_shuffle_epi8
#define v_add16 _mm256_add_epi16
#define v_sub16 _mm256_sub_epi16
#define v_sll16 _mm256_slli_epi16
#define v_srl16 _mm256_srli_epi16
#define v_min16 _mm256_min_epi16
#define v_max16 _mm256_max_epi16
#define v_mulhrs16 _mm256_mulhrs_epi16
#define v_madd16 _mm256_madd_epi16
#define v_dot16(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) /* pairs, added up */
#define v_lo16 _mm256_unpacklo_epi16
#define v_hi16 _mm256_unpackhi_epi16
#define v_lo8 _mm256_unpacklo_epi8
#define v_hi8 _mm256_unpackhi_epi8
/* The first half's 64-bit elements in the lanes' lower halves, the second half's in the upper ones:
 * unpacked they are in order. */
#define v_spread64(v) _mm256_permute4x64_epi64(v, 0xd8)
#define v_min32 _mm256_min_epi32
#define v_max32 _mm256_max_epi32
#define v_add32 _mm256_add_epi32
#define v_sra32 _mm256_srai_epi32
#define v_packs32 _mm256_packs_epi32
/* Low bytes of 16-bit elements: half as many bytes as a vector are written. */
#define v_narrow16(p, v)                                                                           \
    _mm_storeu_si128((__m128i *)(p),                                                               \
                     _mm256_castsi256_si128(_mm256_permute4x64_epi64(                              \
                         _mm256_packus_epi16(_mm256_and_si256(v, _mm256_set1_epi16(255)),          \
                                             _mm256_setzero_si256()),                              \
                         0xd8)))

#define vf_set(x) _mm256_set1_ps(x)
#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, v) _mm256_storeu_ps(p, v)
#define vf_cast _mm256_castsi256_ps /* the same bits */
#define vf_from32 _mm256_cvtepi32_ps
#define vf_to32 _mm256_cvtps_epi32
#define vf_mul _mm256_mul_ps
#define vf_fma _mm256_fmadd_ps
#define vf_min _mm256_min_ps
#define vf_max _mm256_max_ps
/* Sums of neighbours: lane by lane a0+a1, a2+a3, b0+b1, b2+b3 */
#define v_hadd32 _mm256_hadd_epi32

#endif
