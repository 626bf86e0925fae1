/* The names of kernel/simd256.h for vectors of 512 bits made of two of 256: what the wide variants
 * do, on CPUs that have AVX2 only. Written for plainness. */
#ifndef LATHE_TESTS_SIMD_PAIR_H
#define LATHE_TESTS_SIMD_PAIR_H

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define LANES 4
#define PAIR static inline TARGET __attribute__((always_inline, unused))

typedef struct V {
    __m256i a, b;
} V;
typedef struct VF {
    __m256 a, b;
} VF;

PAIR V pair_load(const void *p)
{
    return (V){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1)};
}

PAIR V pair_lanes(const char *p0, const char *p1, const char *p2, const char *p3)
{
    return (V){_mm256_loadu2_m128i((const __m128i *)p1, (const __m128i *)p0),
               _mm256_loadu2_m128i((const __m128i *)p3, (const __m128i *)p2)};
}

PAIR void pair_store(void *p, V v)
{
    _mm256_storeu_si256((__m256i *)p, v.a);
    _mm256_storeu_si256((__m256i *)p + 1, v.b);
}

PAIR V pair_widen8(const void *p)
{
    return (V){_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)),
               _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p + 1))};
}

PAIR V pair_widen16(const void *p)
{
    return (V){_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)),
               _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p + 1))};
}

PAIR void pair_narrow16(uint8_t *p, V v)
{
    int16_t all[32];
    pair_store(all, v);
    for (int i = 0; i < 32; i++)
        p[i] = (uint8_t)all[i];
}

PAIR V v_spread64(V v) /* 0 4 1 5 2 6 3 7 */
{
    const __m256i a = _mm256_permute4x64_epi64(v.a, 0xd8), b = _mm256_permute4x64_epi64(v.b, 0xd8);
    /* 0 2 1 3, 4 6 5 7 */
    const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
    /* 0 4 1 5, 2 6 3 7 */
    return (V){even, odd};
}

/* Bytes of 128, a multiple of two vectors: places are taken modulo that. */
PAIR V pair_bytes(const uint8_t *p, V places, int bytes)
{
    uint8_t at[64], picked[64];
    pair_store(at, places);
    for (int i = 0; i < 64; i++)
        picked[i] = p[at[i] % bytes];
    return pair_load(picked);
}
#define v_bytes(p, i) pair_bytes(p, i, 64)
#define v_bytes2(p, i) pair_bytes(p, i, 128)

#define V1(name, op) \
    PAIR V name(V x) { return (V){op(x.a), op(x.b)}; }
#define V2(name, op) \
    PAIR V name(V x, V y) { return (V){op(x.a, y.a), op(x.b, y.b)}; }
#define VI(name, op) \
    PAIR V name(V x, int n) { return (V){op(x.a, n), op(x.b, n)}; }
#define F2(name, op) \
    PAIR VF name(VF x, VF y) { return (VF){op(x.a, y.a), op(x.b, y.b)}; }

#define v_load pair_load
#define v_store pair_store
#define v_widen8 pair_widen8
#define v_widen16 pair_widen16
#define v_narrow16 pair_narrow16
#define v_set16(x) ((V){_mm256_set1_epi16((short)(x)), _mm256_set1_epi16((short)(x))})
#define v_set32(x) ((V){_mm256_set1_epi32(x), _mm256_set1_epi32(x)})
#define v_zero() v_set32(0)
#define v_lane(p, offset, size) (const char *)((p) + (offset) * (size))
#define v_lanes(p, offset, size)                                                                   \
    pair_lanes(v_lane(p, (offset)[0], size), v_lane(p, (offset)[1], size),                         \
               v_lane(p, (offset)[2], size), v_lane(p, (offset)[3], size))
#define v_same(p)                                                                                  \
    pair_lanes((const char *)(p), (const char *)(p), (const char *)(p), (const char *)(p))
V2(v_and, _mm256_and_si256)
V2(v_or, _mm256_or_si256)
V2(v_shuffle8, _mm256_shuffle_epi8)
V2(v_add16, _mm256_add_epi16)
V2(v_sub16, _mm256_sub_epi16)
VI(v_sll16, _mm256_slli_epi16)
VI(v_srl16, _mm256_srli_epi16)
V2(v_min16, _mm256_min_epi16)
V2(v_max16, _mm256_max_epi16)
V2(v_mulhrs16, _mm256_mulhrs_epi16)
V2(v_madd16, _mm256_madd_epi16)
V2(v_lo16, _mm256_unpacklo_epi16)
V2(v_hi16, _mm256_unpackhi_epi16)
V2(v_lo8, _mm256_unpacklo_epi8)
V2(v_hi8, _mm256_unpackhi_epi8)
V2(v_min32, _mm256_min_epi32)
V2(v_max32, _mm256_max_epi32)
V2(v_add32, _mm256_add_epi32)
VI(v_sra32, _mm256_srai_epi32)
V2(v_packs32, _mm256_packs_epi32)
V2(v_hadd32, _mm256_hadd_epi32)
#define v_dot16(sum, a, b) v_add32(sum, v_madd16(a, b))

#define vf_set(x) ((VF){_mm256_set1_ps(x), _mm256_set1_ps(x)})
#define vf_store(p, v) (_mm256_storeu_ps(p, (v).a), _mm256_storeu_ps((p) + 8, (v).b))
PAIR VF vf_cast(V x)
{
    return (VF){_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
PAIR VF vf_from32(V x)
{
    return (VF){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
PAIR V vf_to32(VF x)
{
    return (V){_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}
PAIR VF vf_fma(VF x, VF y, VF z)
{
    return (VF){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
F2(vf_mul, _mm256_mul_ps)
F2(vf_min, _mm256_min_ps)
F2(vf_max, _mm256_max_ps)

#endif
