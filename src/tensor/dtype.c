/* Element types. All small floats go through one pair of functions over a description of the
 * format: a code without its sign is a monotone function of the magnitude, so rounding may carry
 * from the mantissa into the exponent, and overflow is a comparison of codes. */
#include "tensor/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct TypeInfo {
    const char *name;
    int size, bits;
    char kind;
} TypeInfo;

static const TypeInfo types[DT_COUNT] = {
#define X(enum_name, number, text, bytes, width, letter) [number] = {text, bytes, width, letter},
    DTYPES(X)
#undef X
};

typedef struct FloatFormat {
    int mantissa, bias;
    uint32_t sign;   /* the sign bit; 0: unsigned */
    uint32_t finite; /* the largest finite code */
    uint32_t inf;    /* 0: has none */
    uint32_t nan;    /* 0: has none */
    bool fnuz;       /* the code of -0 is the only NaN */
} FloatFormat;

static const FloatFormat formats[DT_COUNT] = {
    [DT_F16] = {10, 15, 0x8000, 0x7bff, 0x7c00, 0x7e00, false},
    [DT_BF16] = {7, 127, 0x8000, 0x7f7f, 0x7f80, 0x7fc0, false},
    [DT_F8E4M3FN] = {3, 7, 0x80, 0x7e, 0, 0x7f, false},
    [DT_F8E4M3FNUZ] = {3, 8, 0x80, 0x7f, 0, 0x80, true},
    [DT_F8E5M2] = {2, 15, 0x80, 0x7b, 0x7c, 0x7e, false},
    [DT_F8E5M2FNUZ] = {2, 16, 0x80, 0x7f, 0, 0x80, true},
    [DT_F4E2M1] = {1, 1, 0x8, 0x7, 0, 0, false},
    [DT_F8E8M0] = {0, 127, 0, 0xfe, 0, 0xff, false},
};

static const TypeInfo *info(DType t)
{
    assert((int)t >= 0 && t < DT_COUNT);
    return &types[t];
}

const char *dtype_name(DType t)
{
    return info(t)->name;
}

DType dtype_parse(const char *name)
{
    for (int t = 1; t < DT_COUNT; t++)
        if (strcmp(types[t].name, name) == 0)
            return (DType)t;
    return DT_NONE;
}

int dtype_size(DType t)
{
    return info(t)->size;
}

int dtype_bits(DType t)
{
    return info(t)->bits;
}

bool dtype_is_float(DType t)
{
    return info(t)->kind == 'f';
}

bool dtype_is_int(DType t)
{
    return info(t)->kind == 'i' || info(t)->kind == 'u';
}

bool dtype_is_signed(DType t)
{
    return info(t)->kind == 'i' || info(t)->kind == 'f';
}

DType dtype_compute(DType t)
{
    if (dtype_is_float(t))
        return t == DT_F64 ? DT_F64 : DT_F32;
    if (dtype_is_int(t) && dtype_bits(t) < 8)
        return dtype_is_signed(t) ? DT_I32 : DT_U32;
    return t;
}

/* Value of a code. 2^0 of E8M0 aside, exponent 0 means subnormal. */
static double decode(const FloatFormat *f, uint32_t code)
{
    if (f->fnuz && code == f->nan)
        return NAN;
    const double sign = (code & f->sign) != 0 ? -1 : 1;
    const uint32_t magnitude = f->sign != 0 ? code & (f->sign - 1) : code;
    if (magnitude > f->finite)
        return magnitude == f->inf && f->inf != 0 ? sign * INFINITY : NAN;
    const int exponent = (int)(magnitude >> f->mantissa);
    const uint32_t fraction = magnitude & ((1u << f->mantissa) - 1);
    if (exponent == 0 && f->mantissa > 0)
        return sign * ldexp(fraction, 1 - f->bias - f->mantissa);
    return sign * ldexp(fraction + (1u << f->mantissa), exponent - f->bias - f->mantissa);
}

static uint32_t encode(const FloatFormat *f, double v, bool saturate)
{
    if (isnan(v))
        return f->nan | (signbit(v) && !f->fnuz && f->nan != 0 ? f->sign : 0);
    const uint32_t sign = signbit(v) ? f->sign : 0;
    if (f->sign == 0 && v < 0)
        return f->nan; /* E8M0 has no negative values */
    const double a = fabs(v);
    const int lowest = f->mantissa > 0 ? 1 - f->bias : -f->bias; /* least normal exponent */
    uint32_t code = f->finite + 1;
    if (isfinite(a)) {
        int exponent = lowest;
        if (a != 0) {
            frexp(a, &exponent);
            exponent = exponent - 1 > lowest ? exponent - 1 : lowest;
        }
        /* In units of the last place; exact, then rounded once. rint(1.5) = 2: ties of E8M0 go
         * up. */
        const double q = rint(ldexp(a, f->mantissa - exponent));
        const double hidden = f->mantissa > 0 ? 0 : 1; /* E8M0: code 0 is 2^-127 already */
        const double base = ldexp(exponent - lowest, f->mantissa) - hidden;
        const double wide = base + q;
        code = wide < 0 ? 0 : wide > f->finite ? f->finite + 1 : (uint32_t)wide;
    }
    if (code > f->finite) {
        if (saturate || (f->inf == 0 && f->nan == 0))
            code = f->finite;
        else if (f->inf != 0)
            code = f->inf;
        else
            return f->nan | (f->fnuz ? 0 : sign);
    }
    return f->fnuz && code == 0 ? 0 : sign | code;
}

double dtype_highest(DType t)
{
    switch (t) {
    case DT_F32:
        return 0x1.fffffep127;
    case DT_F64:
        return 0x1.fffffffffffffp1023;
    case DT_BOOL:
        return 1;
    default:
        if (dtype_is_float(t))
            return decode(&formats[t], formats[t].finite);
        assert(dtype_is_int(t));
        return dtype_is_signed(t) ? (double)(INT64_MAX >> (64 - dtype_bits(t)))
                                  : (double)(UINT64_MAX >> (64 - dtype_bits(t)));
    }
}

double dtype_lowest(DType t)
{
    if (t == DT_F8E8M0)
        return 0x1p-127;
    if (dtype_is_float(t))
        return -dtype_highest(t);
    return dtype_is_int(t) && dtype_is_signed(t) ? (double)(INT64_MIN >> (64 - dtype_bits(t))) : 0;
}

#define LOAD(T)                                                                                    \
    T x;                                                                                           \
    memcpy(&x, p, sizeof x)

/* The bits of an integer or of a small float, sign-extended for signed integers. */
static int64_t load_bits(DType t, const void *p)
{
    const bool sign = info(t)->kind == 'i';
    switch (dtype_size(t)) {
    case 1: {
        LOAD(uint8_t);
        return sign ? (int64_t)(int8_t)x : (int64_t)x;
    }
    case 2: {
        LOAD(uint16_t);
        return sign ? (int64_t)(int16_t)x : (int64_t)x;
    }
    case 4: {
        LOAD(uint32_t);
        return sign ? (int64_t)(int32_t)x : (int64_t)x;
    }
    default: {
        assert(dtype_size(t) == 8);
        LOAD(int64_t);
        return x;
    }
    }
}

static void store_bits(DType t, void *p, uint64_t bits)
{
    assert(dtype_size(t) > 0);
    /* The low bytes come first: every machine that Lathe makes code for is little endian. */
    memcpy(p, &bits, (size_t)dtype_size(t));
}

double dtype_read(DType t, const void *p)
{
    if (t == DT_F32) {
        LOAD(float);
        return x;
    }
    if (t == DT_F64) {
        LOAD(double);
        return x;
    }
    const int64_t bits = load_bits(t, p);
    if (dtype_is_float(t))
        return decode(&formats[t], (uint32_t)bits);
    return t == DT_U64 ? (double)(uint64_t)bits : (double)bits;
}

static uint64_t saturated_bits(DType t, double v)
{
    const double r = isnan(v) ? 0 : rint(v);
    if (r <= dtype_lowest(t))
        return dtype_is_signed(t) ? (uint64_t)(INT64_MIN >> (64 - dtype_bits(t))) : 0;
    if (r >= dtype_highest(t)) /* of 64 bits, this is 2^63 or 2^64 */
        return (dtype_is_signed(t) ? (uint64_t)INT64_MAX : UINT64_MAX) >> (64 - dtype_bits(t));
    return r < 0 ? (uint64_t)(int64_t)r : (uint64_t)r;
}

void dtype_write(DType t, void *p, double v, bool saturate)
{
    if (t == DT_F32) {
        const float x = (float)v;
        memcpy(p, &x, sizeof x);
    } else if (t == DT_F64) {
        memcpy(p, &v, sizeof v);
    } else if (t == DT_BOOL) {
        store_bits(t, p, v != 0);
    } else if (dtype_is_float(t)) {
        store_bits(t, p, encode(&formats[t], v, saturate));
    } else {
        store_bits(t, p, saturated_bits(t, v));
    }
}

int64_t dtype_read_int(DType t, const void *p)
{
    if (!dtype_is_float(t))
        return load_bits(t, p);
    const double v = trunc(dtype_read(t, p));
    if (isnan(v))
        return 0;
    return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

void dtype_write_int(DType t, void *p, int64_t v)
{
    if (t == DT_F32) {
        const float x = (float)v; /* not by way of double: that would round twice */
        memcpy(p, &x, sizeof x);
    } else if (t == DT_F64) {
        dtype_write(t, p, (double)v, false);
    } else if (dtype_is_float(t)) {
        /* beyond 2^53 without the bits that double would round, one of them in place of all */
        const bool wide = v > INT64_C(1) << 53 || v < -(INT64_C(1) << 53);
        const int64_t rest = wide ? v & 2047 : 0;
        dtype_write(t, p, (double)((v - rest) | (rest != 0 ? 2048 : 0)), false);
    } else if (t == DT_BOOL) {
        store_bits(t, p, v != 0);
    } else if (dtype_is_signed(t)) {
        const int unused = 64 - dtype_bits(t);
        store_bits(t, p, (uint64_t)((int64_t)((uint64_t)v << unused) >> unused));
    } else {
        store_bits(t, p, (uint64_t)v & (UINT64_MAX >> (64 - dtype_bits(t))));
    }
}

float bf16_to_f32(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t f32_to_bf16(float f)
{
    return (uint16_t)encode(&formats[DT_BF16], f, false);
}

float f16_to_f32(uint16_t h)
{
    return (float)decode(&formats[DT_F16], h);
}

uint16_t f32_to_f16(float f)
{
    return (uint16_t)encode(&formats[DT_F16], f, false);
}
