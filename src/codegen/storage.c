/* Storage types in registers: what a load or a store does beyond moving bytes.
 *
 * f16 has instructions (F16C); bf16 is the upper half of an f32, rounded by an instruction where the
 * target has one. The small floats are done in 32-bit integer lanes, from one table of formats.
 * Decoding puts exponent and mantissa where f32 has them and multiplies by the difference of the
 * biases: a power of two, so it is exact and makes subnormals right as well. Encoding rounds the
 * normal range with integer arithmetic, where a carry runs from the mantissa into the exponent by
 * itself, and the subnormal range by adding the float whose last place is the format's least
 * value. */
#include "codegen/gen.h"

#include <assert.h>
#include <math.h>

typedef struct SmallFloat {
    int bits;        /* of a code */
    int mantissa, bias;
    uint32_t finite; /* the largest finite code, without its sign */
    uint32_t inf;    /* 0: has none */
    uint32_t nan;    /* 0: has none */
    bool fnuz;       /* no -0: its code is the NaN */
} SmallFloat;

static const SmallFloat small_floats[DT_COUNT] = {
    [DT_F8E4M3FN] = {8, 3, 7, 0x7e, 0, 0x7f, false},
    [DT_F8E4M3FNUZ] = {8, 3, 8, 0x7f, 0, 0x80, true},
    [DT_F8E5M2] = {8, 2, 15, 0x7b, 0x7c, 0x7e, false},
    [DT_F8E5M2FNUZ] = {8, 2, 16, 0x7f, 0, 0x80, true},
    [DT_F4E2M1] = {4, 1, 1, 0x7, 0, 0, false},
};

typedef struct Lanes { /* 32-bit integer lanes */
    Gen *g;
    LLVMBuilderRef b;
    int n;
    LLVMTypeRef i, f;
} Lanes;

static Lanes lanes_of(Gen *g, int n)
{
    return (Lanes){g, g->b, n, gen_vector(g->i32, n), gen_vector(g->f32, n)};
}

static LLVMValueRef num(const Lanes *k, uint32_t v)
{
    return gen_int(k->g->i32, k->n, (int64_t)v);
}

static LLVMValueRef shl(const Lanes *k, LLVMValueRef a, int n)
{
    return LLVMBuildShl(k->b, a, num(k, (uint32_t)n), "");
}

static LLVMValueRef shr(const Lanes *k, LLVMValueRef a, int n)
{
    return LLVMBuildLShr(k->b, a, num(k, (uint32_t)n), "");
}

static LLVMValueRef and(const Lanes *k, LLVMValueRef a, uint32_t mask)
{
    return LLVMBuildAnd(k->b, a, num(k, mask), "");
}

static LLVMValueRef above(const Lanes *k, LLVMValueRef a, uint32_t limit)
{
    return gen_icmp(k->g, LLVMIntUGT, a, num(k, limit));
}

static LLVMValueRef to_float(const Lanes *k, LLVMValueRef bits)
{
    return LLVMBuildBitCast(k->b, bits, k->f, "");
}

static LLVMValueRef to_bits(const Lanes *k, LLVMValueRef v)
{
    return LLVMBuildBitCast(k->b, v, k->i, "");
}

static uint32_t bits_of(float f)
{
    union {
        float f;
        uint32_t u;
    } u = {.f = f};
    return u.u;
}

/* E8M0: 2^(code - 127), code 255 is NaN. 2^-127 is a subnormal f32. */
static LLVMValueRef decode_e8m0(const Lanes *k, LLVMValueRef code)
{
    LLVMValueRef v = shl(k, code, 23);
    LLVMValueRef least = gen_icmp(k->g, LLVMIntEQ, code, num(k, 0));
    v = gen_select(k->g, least, num(k, 0x00400000), v);
    return to_float(k, gen_select(k->g, above(k, code, 254), num(k, 0x7fc00000), v));
}

static LLVMValueRef decode_small(const Lanes *k, const SmallFloat *s, LLVMValueRef code)
{
    const uint32_t sign_bit = 1u << (s->bits - 1);
    LLVMValueRef magnitude = and(k, code, sign_bit - 1);
    LLVMValueRef sign = shl(k, and(k, code, sign_bit), 32 - s->bits);
    LLVMValueRef scale = gen_real(k->g->f32, k->n, ldexp(1, 127 - s->bias));
    LLVMValueRef v =
        LLVMBuildFMul(k->b, to_float(k, shl(k, magnitude, 23 - s->mantissa)), scale, "");
    LLVMValueRef bits = to_bits(k, v);
    if (s->inf)
        bits = gen_select(k->g, above(k, magnitude, s->finite), num(k, 0x7f800000), bits);
    if (s->inf || (s->nan && !s->fnuz))
        bits = gen_select(k->g, above(k, magnitude, s->inf ? s->inf : s->finite),
                          num(k, 0x7fc00000), bits);
    bits = LLVMBuildOr(k->b, bits, sign, "");
    if (s->fnuz)
        bits = gen_select(k->g, gen_icmp(k->g, LLVMIntEQ, code, num(k, s->nan)),
                          num(k, 0x7fc00000), bits);
    return to_float(k, bits);
}

/* Ties go up: 1.5 * 2^e rounds to the even mantissa 2. */
static LLVMValueRef encode_e8m0(const Lanes *k, LLVMValueRef v)
{
    LLVMValueRef bits = to_bits(k, v);
    LLVMValueRef up = and(k, shr(k, bits, 22), 1);
    LLVMValueRef normal = LLVMBuildAdd(k->b, shr(k, bits, 23), up, "");
    LLVMValueRef least = LLVMBuildZExt(k->b, above(k, bits, 0x5fffff), k->i, "");
    LLVMValueRef code = gen_select(k->g, above(k, bits, 0x7fffff), normal, least);
    code = gen_select(k->g, above(k, code, 254), num(k, 255), code);
    /* Below zero: NaN; -0 is 0, whose code is the least. */
    code = gen_select(k->g, above(k, bits, 0x80000000), num(k, 255), code);
    return gen_select(k->g, gen_icmp(k->g, LLVMIntEQ, bits, num(k, 0x80000000)), num(k, 0), code);
}

static LLVMValueRef encode_small(const Lanes *k, const SmallFloat *s, LLVMValueRef v)
{
    const int drop = 23 - s->mantissa;
    LLVMValueRef bits = to_bits(k, v);
    LLVMValueRef a = and(k, bits, 0x7fffffff);
    LLVMValueRef sign = and(k, shr(k, bits, 32 - s->bits), 1u << (s->bits - 1));
    /* Normal: to nearest even at the bit that is kept last, then the biases' difference. */
    LLVMValueRef odd = and(k, shr(k, a, drop), 1);
    LLVMValueRef rounded = LLVMBuildAdd(k->b, a, num(k, (1u << (drop - 1)) - 1), "");
    rounded = shr(k, LLVMBuildAdd(k->b, rounded, odd, ""), drop);
    LLVMValueRef code =
        LLVMBuildSub(k->b, rounded, num(k, (uint32_t)(127 - s->bias) << s->mantissa), "");
    const float magic = ldexpf(1, 24 - s->bias - s->mantissa);
    LLVMValueRef sum = LLVMBuildFAdd(k->b, to_float(k, a), gen_real(k->g->f32, k->n, magic), "");
    LLVMValueRef small = LLVMBuildSub(k->b, to_bits(k, sum), num(k, bits_of(magic)), "");
    code = gen_select(k->g, above(k, a, bits_of(ldexpf(1, 1 - s->bias)) - 1), code, small);
    const uint32_t over = s->inf ? s->inf : s->nan && !s->fnuz ? s->nan : s->finite;
    code = gen_select(k->g, above(k, code, s->finite), num(k, over), code);
    LLVMValueRef is_nan = above(k, a, 0x7f800000);
    if (s->nan && !s->fnuz)
        code = gen_select(k->g, is_nan, num(k, s->nan), code);
    LLVMValueRef result = LLVMBuildOr(k->b, code, sign, "");
    if (s->fnuz) {
        /* No infinity: what is too big is NaN as well. Zero has no sign. */
        LLVMValueRef zero = gen_icmp(k->g, LLVMIntEQ, code, num(k, 0));
        result = gen_select(k->g, zero, num(k, 0), result);
    } else if (!s->nan) {
        result = gen_select(k->g, is_nan, num(k, 0), result);
    }
    return result;
}

/* FNUZ formats: NaN and overflow are one code, chosen last. */
static LLVMValueRef encode_fnuz(const Lanes *k, const SmallFloat *s, LLVMValueRef v)
{
    /* The largest finite value plus half a unit in the last place: from there on (a tie goes to the
     * even code, which would be one above `finite`, an odd code) it overflows. */
    const int exponent = (int)(s->finite >> s->mantissa) - s->bias;
    const uint32_t fraction = s->finite & ((1u << s->mantissa) - 1);
    const float limit =
        ldexpf((float)((1u << s->mantissa) + fraction) + 0.5f, exponent - s->mantissa);
    LLVMValueRef a = and(k, to_bits(k, v), 0x7fffffff);
    LLVMValueRef bad = above(k, a, bits_of(limit) - 1);
    return gen_select(k->g, bad, num(k, s->nan), encode_small(k, s, v));
}

/* To nearest even where the upper half of the bits ends: the sign stays, and a carry runs into the
 * exponent, up to infinity. */
static LLVMValueRef encode_bf16(const Lanes *k, LLVMValueRef v)
{
    LLVMValueRef bits = to_bits(k, v);
    LLVMValueRef odd = and(k, shr(k, bits, 16), 1);
    LLVMValueRef rounded = LLVMBuildAdd(k->b, bits, num(k, 0x7fff), "");
    rounded = LLVMBuildAdd(k->b, rounded, odd, "");
    LLVMValueRef is_nan = LLVMBuildFCmp(k->b, LLVMRealUNO, v, v, "");
    return shr(k, gen_select(k->g, is_nan, num(k, 0x7fc00000), rounded), 16);
}

enum { BF16_VECTOR = 16 }; /* lanes of the instruction; it has a form of half as many */

static bool has_bf16_instruction(const Gen *g, int lanes)
{
    return g->target->bf16 && lanes >= BF16_VECTOR / 2 && (lanes & (lanes - 1)) == 0;
}

/* vcvtneps2bf16 takes subnormals for 0. With the lowest bit of the exponent set they are normal
 * and as far apart, so that they are rounded at the same place; it is taken off the code. */
static LLVMValueRef round_vector(const Lanes *k, LLVMValueRef v)
{
    enum { SUBNORMAL = 0x20 }; /* Intel SDM, VFPCLASSPS */
    const bool whole = k->n == BF16_VECTOR;
    LLVMTypeRef half = gen_vector(k->g->i16, k->n);
    LLVMValueRef class[2] = {v, LLVMConstInt(k->g->i32, SUBNORMAL, false)};
    LLVMValueRef small = gen_intrinsic(
        k->g, whole ? "llvm.x86.avx512.fpclass.ps.512" : "llvm.x86.avx512.fpclass.ps.256", 0, NULL,
        2, class);
    LLVMValueRef bits = to_bits(k, v);
    LLVMValueRef normal = LLVMBuildOr(k->b, bits, num(k, 1u << 23), "");
    v = to_float(k, gen_select(k->g, small, normal, bits));
    LLVMValueRef code = gen_intrinsic(k->g,
                                      whole ? "llvm.x86.avx512bf16.cvtneps2bf16.512"
                                            : "llvm.x86.avx512bf16.cvtneps2bf16.256",
                                      0, NULL, 1, &v);
    code = LLVMBuildBitCast(k->b, code, half, "");
    LLVMValueRef less = LLVMBuildSub(k->b, code, gen_int(k->g->i16, k->n, 1 << 7), "");
    return gen_select(k->g, small, less, code);
}

/* More than one vector: by halves. */
static LLVMValueRef round_vectors(Gen *g, LLVMValueRef v, int lanes)
{
    const Lanes k = lanes_of(g, lanes);
    if (lanes <= BF16_VECTOR)
        return round_vector(&k, v);
    LLVMValueRef half[2], *all = arena_array_of(g->ctx->arena, lanes, LLVMValueRef);
    for (int i = 0; i < 2; i++)
        half[i] = round_vectors(g, gen_part(g, v, i * lanes / 2, lanes / 2), lanes / 2);
    for (int i = 0; i < lanes; i++)
        all[i] = LLVMConstInt(g->i32, (unsigned)i, false);
    return LLVMBuildShuffleVector(g->b, half[0], half[1], LLVMConstVector(all, (unsigned)lanes),
                                  "");
}

LLVMTypeRef storage_type(const Gen *g, DType t)
{
    if (t == DT_F16)
        return g->f16;
    if (t == DT_BOOL)
        return g->i8;
    if (dtype_compute(t) == t)
        return gen_scalar(g, t);
    return dtype_size(t) == 2 ? g->i16 : g->i8;
}

LLVMValueRef storage_decode(Gen *g, DType t, LLVMValueRef raw, int lanes)
{
    const Lanes k = lanes_of(g, lanes);
    if (t == DT_BOOL)
        return gen_icmp(g, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)));
    if (dtype_compute(t) == t)
        return raw;
    if (t == DT_F16)
        return LLVMBuildFPExt(g->b, raw, k.f, "");
    if (dtype_is_int(t))
        return dtype_is_signed(t) ? LLVMBuildSExt(g->b, raw, k.i, "")
                                  : LLVMBuildZExt(g->b, raw, k.i, "");
    LLVMValueRef code = LLVMBuildZExt(g->b, raw, k.i, "");
    if (t == DT_BF16)
        return to_float(&k, shl(&k, code, 16));
    if (t == DT_F8E8M0)
        return decode_e8m0(&k, code);
    assert(small_floats[t].bits > 0);
    return decode_small(&k, &small_floats[t], code);
}

LLVMValueRef storage_encode(Gen *g, DType t, LLVMValueRef v, int lanes)
{
    const Lanes k = lanes_of(g, lanes);
    LLVMTypeRef memory = gen_vector(storage_type(g, t), lanes);
    if (t == DT_BOOL)
        return LLVMBuildZExt(g->b, v, memory, "");
    if (dtype_compute(t) == t)
        return v;
    if (t == DT_F16)
        return LLVMBuildFPTrunc(g->b, v, memory, "");
    if (t == DT_BF16 && has_bf16_instruction(g, lanes))
        return round_vectors(g, v, lanes);
    LLVMValueRef code;
    if (dtype_is_int(t)) { /* the low bits, extended to a byte */
        const int unused = 32 - dtype_bits(t);
        code = shl(&k, v, unused);
        code = dtype_is_signed(t) ? LLVMBuildAShr(g->b, code, num(&k, (uint32_t)unused), "")
                                  : shr(&k, code, unused);
    } else if (t == DT_F8E8M0) {
        code = encode_e8m0(&k, v);
    } else if (t == DT_BF16) {
        code = encode_bf16(&k, v);
    } else {
        const SmallFloat *s = &small_floats[t];
        assert(s->bits > 0);
        code = s->fnuz ? encode_fnuz(&k, s, v) : encode_small(&k, s, v);
    }
    return LLVMBuildTrunc(g->b, code, memory, "");
}
