/* Scalars: one op on exactly typed values. This is the reference semantics of every op (expr.h has
 * the rules); constant folding and the oracle are built on it.
 *
 * Integers are computed in 64 bits, unsigned so that they wrap, and wrapped to the type after. f32
 * is computed in double and rounded once: for + - * / sqrt that is the correctly rounded f32
 * result (53 >= 2*24 + 2 bits), fma uses fmaf, the rest is as good as libm's double. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "expr/linear.h"

static int64_t wrap(DType t, int64_t v)
{
    const int bits = dtype_bits(t);
    if (t == DT_BOOL)
        return v != 0;
    if (bits == 64)
        return v;
    const uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    const bool negative = dtype_is_signed(t) && low >> (bits - 1);
    return (int64_t)(negative ? low - ((uint64_t)1 << bits) : low);
}

static Scalar of_int(DType t, int64_t v)
{
    return (Scalar){.dtype = t, .i = wrap(t, v)};
}

static Scalar of_float(DType t, double v)
{
    return (Scalar){.dtype = t, .f = t == DT_F32 ? (double)(float)v : v};
}

/* ---- casts ---- */
static int64_t saturate(DType t, double v)
{
    if (isnan(v))
        return 0;
    const double r = trunc(v);
    if (t == DT_U64)
        return r <= 0 ? 0 : r >= 0x1p64 ? -1 : r >= 0x1p63 ? (int64_t)(uint64_t)r : (int64_t)r;
    if (t == DT_I64)
        return r < -0x1p63 ? INT64_MIN : r >= 0x1p63 ? INT64_MAX : (int64_t)r;
    const Bounds b = dtype_bounds(t);
    return r < (double)b.low ? b.low : r > (double)b.high ? b.high : (int64_t)r;
}

Scalar scalar_cast(DType to, Scalar a)
{
    if (to == DT_BOOL)
        return of_int(to, dtype_is_float(a.dtype) ? !(a.f == 0) : a.i != 0);
    if (dtype_is_float(a.dtype))
        return dtype_is_float(to) ? of_float(to, a.f) : of_int(to, saturate(to, a.f));
    if (dtype_is_int(to))
        return of_int(to, a.i);
    /* By way of double an i64 would be rounded twice on its way to f32. */
    if (to == DT_F32)
        return (Scalar){.dtype = to,
                        .f = a.dtype == DT_U64 ? (float)(uint64_t)a.i : (float)a.i};
    return (Scalar){.dtype = to, .f = a.dtype == DT_U64 ? (double)(uint64_t)a.i : (double)a.i};
}

static Scalar bitcast(DType to, Scalar a)
{
    int64_t bits = a.i;
    if (a.dtype == DT_F32) {
        const float f = (float)a.f;
        int32_t b;
        memcpy(&b, &f, sizeof b);
        bits = b;
    }
    if (to == DT_F32) {
        const int32_t b = (int32_t)bits;
        float f;
        memcpy(&f, &b, sizeof f);
        return (Scalar){.dtype = to, .f = f};
    }
    if (to == DT_F64) {
        Scalar s = {.dtype = to};
        memcpy(&s.f, &bits, sizeof s.f);
        return s;
    }
    return of_int(to, to == DT_BOOL ? bits & 1 : bits);
}

/* ---- integers ---- */
static int64_t div_u64(ExprOp op, uint64_t a, uint64_t b)
{
    if (b == 0)
        return 0;
    return (int64_t)(op == EX_DIV || op == EX_TDIV ? a / b : a % b);
}

static int64_t int_div(ExprOp op, DType t, int64_t a, int64_t b)
{
    if (t == DT_U64)
        return div_u64(op, (uint64_t)a, (uint64_t)b);
    if (op == EX_DIV)
        return floor_div(a, b);
    if (op == EX_MOD)
        return floor_mod(a, b);
    if (b == 0)
        return 0;
    if (b == -1)
        return op == EX_TDIV ? wrap_mul(a, -1) : 0;
    return op == EX_TDIV ? a / b : a % b;
}

static int64_t int_shift(ExprOp op, DType t, int64_t a, int64_t by)
{
    const int bits = dtype_bits(t);
    if (by < 0 || by >= bits) /* a u64 amount of 2^63 or more reads as negative */
        return op == EX_SHR && dtype_is_signed(t) && a < 0 ? -1 : 0;
    if (op == EX_SHL)
        return (int64_t)((uint64_t)a << by);
    return t == DT_U64 ? (int64_t)((uint64_t)a >> by) : a >> by;
}

static int64_t int_pow(DType t, int64_t a, int64_t n)
{
    if (n < 0 && t != DT_U64)
        return a == 1 ? 1 : a == -1 ? (n & 1 ? -1 : 1) : 0;
    uint64_t r = 1;
    uint64_t base = (uint64_t)a;
    for (uint64_t e = (uint64_t)n; e; e >>= 1) {
        if (e & 1)
            r *= base;
        base *= base;
    }
    return (int64_t)r;
}

static bool int_less(DType t, int64_t a, int64_t b)
{
    return t == DT_U64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static int64_t int_binary(ExprOp op, DType t, int64_t a, int64_t b)
{
    const bool logical = t == DT_BOOL;
    switch (op) {
    case EX_ADD:
        return logical ? a | b : wrap_add(a, b);
    case EX_SUB:
        return logical ? a ^ b : wrap_add(a, wrap_mul(b, -1));
    case EX_MUL:
        return wrap_mul(a, b);
    case EX_DIV:
    case EX_MOD:
    case EX_TDIV:
    case EX_TMOD:
        return int_div(op, t, a, b);
    case EX_MIN:
        return int_less(t, a, b) ? a : b;
    case EX_MAX:
        return int_less(t, b, a) ? a : b;
    case EX_AND:
        return a & b;
    case EX_OR:
        return a | b;
    case EX_XOR:
        return a ^ b;
    case EX_SHL:
    case EX_SHR:
        return int_shift(op, t, a, b);
    case EX_POW:
        return int_pow(t, a, b);
    default:
        assert(!"no integer op");
        return 0;
    }
}

static int64_t int_unary(ExprOp op, DType t, int64_t a)
{
    switch (op) {
    case EX_NEG:
        return wrap_mul(a, -1);
    case EX_ABS:
        return t != DT_U64 && a < 0 ? wrap_mul(a, -1) : a;
    case EX_NOT:
        return t == DT_BOOL ? !a : ~a;
    case EX_FLOOR:
    case EX_CEIL:
    case EX_TRUNC:
    case EX_ROUND:
        return a;
    default:
        assert(!"no integer op");
        return 0;
    }
}

/* ---- floats ---- */
static double float_mod(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static double float_binary(ExprOp op, double a, double b)
{
    switch (op) {
    case EX_ADD:
        return a + b;
    case EX_SUB:
        return a - b;
    case EX_MUL:
        return a * b;
    case EX_DIV:
        return a / b;
    case EX_TDIV:
        return trunc(a / b);
    case EX_MOD:
        return float_mod(a, b);
    case EX_TMOD:
        return fmod(a, b);
    case EX_MIN:
        return a < b ? a : b;
    case EX_MAX:
        return a > b ? a : b;
    case EX_POW:
        return pow(a, b);
    default:
        assert(!"no float op");
        return 0;
    }
}

static double float_unary(ExprOp op, double a)
{
    switch (op) {
    case EX_NEG:
        return -a;
    case EX_ABS:
        return fabs(a);
    case EX_FLOOR:
        return floor(a);
    case EX_CEIL:
        return ceil(a);
    case EX_TRUNC:
        return trunc(a);
    case EX_ROUND:
        return rint(a);
    case EX_SQRT:
        return sqrt(a);
    case EX_EXP:
    case EX_EXP_DOWN:
        return exp(a);
    case EX_LOG:
        return log(a);
    case EX_SIN:
        return sin(a);
    case EX_COS:
        return cos(a);
    case EX_TAN:
        return tan(a);
    case EX_ASIN:
        return asin(a);
    case EX_ACOS:
        return acos(a);
    case EX_ATAN:
        return atan(a);
    case EX_SINH:
        return sinh(a);
    case EX_COSH:
        return cosh(a);
    case EX_TANH:
        return tanh(a);
    case EX_ASINH:
        return asinh(a);
    case EX_ACOSH:
        return acosh(a);
    case EX_ATANH:
        return atanh(a);
    case EX_ERF:
        return erf(a);
    case EX_SIGMOID:
        return 1 / (1 + exp(-a));
    default:
        assert(!"no float op");
        return 0;
    }
}

static bool compare_float(ExprOp op, double a, double b)
{
    return op == EX_LT ? a < b : op == EX_LE ? a <= b : op == EX_EQ ? a == b : a != b;
}

static bool compare_int(ExprOp op, DType t, int64_t a, int64_t b)
{
    return op == EX_LT   ? int_less(t, a, b)
           : op == EX_LE ? !int_less(t, b, a)
           : op == EX_EQ ? a == b
                         : a != b;
}

Scalar scalar_apply(ExprOp op, DType result, int n, const Scalar *a)
{
    const bool real = dtype_is_float(a[0].dtype);
    if (op == EX_CAST)
        return scalar_cast(result, a[0]);
    if (op == EX_BITCAST)
        return bitcast(result, a[0]);
    if (op == EX_SELECT || op == EX_RARE)
        return a[0].i ? a[1] : a[2];
    if (expr_op_is_compare(op))
        return of_int(DT_BOOL, real ? compare_float(op, a[0].f, a[1].f)
                                    : compare_int(op, a[0].dtype, a[0].i, a[1].i));
    if (op == EX_FMA && real)
        return of_float(result, result == DT_F32
                                    ? (double)fmaf((float)a[0].f, (float)a[1].f, (float)a[2].f)
                                    : fma(a[0].f, a[1].f, a[2].f));
    if (op == EX_FMA)
        return of_int(result, wrap_add(wrap_mul(a[0].i, a[1].i), a[2].i));
    if (n == 1)
        return real ? of_float(result, float_unary(op, a[0].f))
                    : of_int(result, int_unary(op, result, a[0].i));
    Scalar r = a[0];
    for (int i = 1; i < n; i++) /* sums and products of i64 may have more than two arguments */
        r = real ? of_float(result, float_binary(op, r.f, a[i].f))
                 : of_int(result, int_binary(op, result, r.i, a[i].i));
    return r;
}
