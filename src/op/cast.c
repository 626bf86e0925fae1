/* Cast, CastLike and BitCast.
 *
 * Between the types that arithmetic is done in, a cast is one expression; what storing rounds or
 * wraps is left to the store. What differs by type is here: FP8 saturates or not, E8M0 holds an
 * exponent only and rounds by a mode, integers below 8 bits wrap (the store must be given values in
 * range), and the bits of f16 and bf16 are made from and into f32 values, since those two types
 * are loaded as f32. */
#include "op/table.h"

#include <math.h>
#include <string.h>

static Expr u32(const Define *d, int64_t v)
{
    return expr_int_of(d->x, DT_U32, v);
}

static Expr bin(const Define *d, ExprOp op, Expr a, int64_t b)
{
    return expr_bin(d->x, op, a, u32(d, b));
}

/* ---- Cast ---- */

/* Keeps the low bits of an i32 or u32: the value in range of an integer type below 8 bits. */
static Expr wrap_small(const Define *d, DType to, Expr v)
{
    const DType t = dtype_compute(to);
    const Expr unused = expr_int_of(d->x, t, 32 - dtype_bits(to));
    return expr_bin(d->x, EX_SHR, expr_bin(d->x, EX_SHL, v, unused), unused);
}

/* The exponent of |x|, rounded by mode; its value as f32, which E8M0 stores exactly. */
static Expr e8m0(const Define *d, Expr x, bool saturate, const char *mode)
{
    Exprs *p = d->x;
    const Expr bits = expr_bitcast(p, DT_U32, expr_cast(p, DT_F32, x));
    const Expr exponent = bin(d, EX_AND, bin(d, EX_SHR, bits, 23), 0xff);
    const Expr fraction = bin(d, EX_AND, bits, 0x7fffff);
    Expr up = expr_int_of(p, DT_BOOL, 0);
    if (strcmp(mode, "up") == 0) {
        up = expr_ne(p, fraction, u32(d, 0));
    } else if (strcmp(mode, "nearest") == 0) { /* a tie goes up, but from the least exponent */
        const Expr tie =
            expr_and(p, expr_eq(p, fraction, u32(d, 0x400000)), expr_ne(p, exponent, u32(d, 0)));
        up = expr_or(p, expr_lt(p, u32(d, 0x400000), fraction), tie);
    }
    if (saturate)
        up = expr_and(p, up, expr_ne(p, exponent, u32(d, 0xfe)));
    const Expr e = expr_add(p, exponent, expr_cast(p, DT_U32, up));
    const Expr one =
        expr_select(p, expr_eq(p, e, u32(d, 0)), u32(d, 0x400000), bin(d, EX_SHL, e, 23));
    const Expr nan = expr_or(p, expr_eq(p, exponent, u32(d, 0xff)), expr_eq(p, e, u32(d, 0xff)));
    return expr_bitcast(p, DT_F32, expr_select(p, nan, u32(d, 0x7fc00000), one));
}

static bool is_small_float(DType t)
{
    return dtype_is_float(t) && dtype_bits(t) <= 8;
}

/* An i64 or u64 as f64. What has more than 53 bits loses the last 11, with a 1 in the last bit that
 * stays if they were not 0: the odd neighbour, which rounds on as the integer would. */
static Expr f64_of_wide(const Define *d, Expr v)
{
    Exprs *x = d->x;
    const DType t = expr_type(x, v);
    const Expr rest = expr_bin(x, EX_AND, v, expr_int_of(x, t, 2047));
    const Expr high = expr_bin(x, EX_SUB, v, rest), odd = expr_int_of(x, t, 2048);
    const Expr lost = expr_ne(x, rest, expr_int_of(x, t, 0));
    const Expr rounded = expr_select(x, lost, expr_bin(x, EX_OR, high, odd), high);
    const Expr limit = expr_int_of(x, t, INT64_C(1) << 53);
    Expr fits = expr_le(x, v, limit);
    if (t == DT_I64)
        fits = expr_and(x, fits, expr_le(x, expr_int_of(x, t, -(INT64_C(1) << 53)), v));
    return expr_cast(x, DT_F64, expr_select(x, fits, v, rounded));
}

/* f64 to f32 for types that f32 is stored as in fewer bits. Rounding to nearest would round twice;
 * the odd one of the two neighbours of a value between them keeps to its side of every tie. */
static Expr round_to_odd(const Define *d, Expr v)
{
    Exprs *x = d->x;
    const Expr near = expr_cast(x, DT_F32, v), back = expr_cast(x, DT_F64, near);
    const Expr beyond = expr_lt(x, expr_un(x, EX_ABS, v), expr_un(x, EX_ABS, back));
    const Expr below = expr_cast(x, DT_U32, beyond);
    const Expr inexact = expr_cast(x, DT_U32, expr_ne(x, v, back));
    const Expr bits = expr_bin(x, EX_SUB, expr_bitcast(x, DT_U32, near), below);
    return expr_bitcast(x, DT_F32, expr_or(x, bits, inexact));
}

/* The value as f32, where storing it as `to` rounds it further: rounded once in all. */
static Expr before_rounding(const Define *d, DType to, Expr v)
{
    const DType from = expr_type(d->x, v);
    /* From 2^24 on, where integers stop being f32 values, these two are all that can hold them. */
    const bool range = to == DT_BF16 || to == DT_F8E8M0;
    if (dtype_is_int(from) && dtype_bits(from) >= 32 && range)
        v = dtype_bits(from) == 64 ? f64_of_wide(d, v) : expr_cast(d->x, DT_F64, v);
    return expr_type(d->x, v) == DT_F64 ? round_to_odd(d, v) : v;
}

static Expr cast_element(const Define *d, DType to, Expr v)
{
    Exprs *x = d->x;
    const bool saturate = define_int(d, "saturate", 1) != 0;
    if (dtype_is_float(to) && dtype_bits(to) < 32)
        v = before_rounding(d, to, v);
    if (to == DT_F8E8M0)
        return e8m0(d, v, saturate, node_string(d->node, "round_mode", "up"));
    const DType t = dtype_compute(to);
    v = expr_cast(x, t, v);
    if (dtype_is_int(to) && dtype_bits(to) < 8)
        return wrap_small(d, to, v);
    if (is_small_float(to) && (saturate || to == DT_F4E2M1)) {
        const Expr high = expr_const(x, t, dtype_highest(to));
        v = expr_min(x, high, expr_max(x, expr_un(x, EX_NEG, high), v)); /* NaN goes through */
    }
    return v;
}

/* From a float to an integer below 32 bits by way of i32, so that what does not fit wraps as it
 * does in NumPy instead of saturating at the narrow type. */
static Expr widen(const Define *d, DType to, Expr v)
{
    const bool narrow = dtype_is_int(to) && dtype_bits(to) < 32;
    return narrow && dtype_is_float(expr_type(d->x, v)) ? expr_cast(d->x, DT_I32, v) : v;
}

void define_cast(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    const DType to = define_out_type(d, 0);
    Expr v = define_load(d, 0, b.i);
    if (define_in(d, 0)->dtype != to)
        v = cast_element(d, to, widen(d, to, v));
    define_map(d, 0, &b, v);
}

static void infer_to(const Infer *f, int64_t to)
{
    const DType t = to > 0 && to < DT_COUNT ? (DType)to : DT_NONE;
    if (t == DT_NONE)
        infer_fail(f, "type number %lld is not known", (long long)to);
    if (dtype_size(t) == 0 || dtype_size(infer_in(f, 0)->dtype) == 0)
        infer_unsupported(f, "from %s to %s", dtype_name(infer_in(f, 0)->dtype), dtype_name(t));
    infer_out(f, 0, t, infer_in(f, 0)->rank, infer_in(f, 0)->dim);
}

void infer_cast(const Infer *f)
{
    infer_to(f, node_int(f->node, "to", 0));
}

void infer_cast_like(const Infer *f)
{
    infer_to(f, infer_in(f, 1)->dtype);
}

/* ---- BitCast ---- */

/* The 16 bits (as u32) of an f32 value that f16 or bf16 holds exactly. */
static Expr bits_of_half(const Define *d, DType from, Expr v)
{
    Exprs *x = d->x;
    const Expr bits = expr_bitcast(x, DT_U32, v);
    if (from == DT_BF16)
        return bin(d, EX_SHR, bits, 16);
    const Expr magnitude = bin(d, EX_AND, bits, 0x7fffffff);
    const Expr abs = expr_bitcast(x, DT_F32, magnitude);
    const Expr subnormal = expr_cast(x, DT_U32, expr_mul(x, abs, expr_float(x, DT_F32, 0x1p24)));
    const Expr normal = bin(d, EX_SHR, bin(d, EX_ADD, magnitude, -0x38000000), 13);
    const Expr special =
        bin(d, EX_OR, bin(d, EX_AND, bin(d, EX_SHR, magnitude, 13), 0x3ff), 0x7c00);
    const Expr finite =
        expr_select(x, expr_lt(x, magnitude, u32(d, 0x38800000)), subnormal, normal);
    const Expr code = expr_select(x, expr_le(x, u32(d, 0x7f800000), magnitude), special, finite);
    return expr_or(x, code, bin(d, EX_AND, bin(d, EX_SHR, bits, 16), 0x8000));
}

static Expr half_of_bits(const Define *d, DType to, Expr bits)
{
    Exprs *x = d->x;
    if (to == DT_BF16)
        return expr_bitcast(x, DT_F32, bin(d, EX_SHL, bits, 16));
    const Expr magnitude = bin(d, EX_AND, bits, 0x7fff);
    const Expr shifted = bin(d, EX_SHL, magnitude, 13);
    const Expr subnormal = expr_bitcast(
        x, DT_U32, expr_mul(x, expr_cast(x, DT_F32, magnitude), expr_float(x, DT_F32, 0x1p-24)));
    const Expr rest =
        expr_select(x, expr_lt(x, magnitude, u32(d, 0x7c00)), bin(d, EX_ADD, shifted, 0x38000000),
                    bin(d, EX_OR, shifted, 0x7f800000));
    const Expr code = expr_select(x, expr_lt(x, magnitude, u32(d, 0x400)), subnormal, rest);
    const Expr sign = bin(d, EX_SHL, bin(d, EX_AND, bits, 0x8000), 16);
    return expr_bitcast(x, DT_F32, expr_or(x, code, sign));
}

static bool is_half(DType t)
{
    return t == DT_F16 || t == DT_BF16;
}

static bool is_plain(DType t)
{
    return t == DT_BOOL || dtype_is_int(t) || t == DT_F32 || t == DT_F64;
}

void define_bitcast(Define *d)
{
    Exprs *x = d->x;
    const DType from = define_in(d, 0)->dtype, to = define_out_type(d, 0);
    const StageBuild b = define_begin(d, 0);
    Expr v = define_load(d, 0, b.i);
    if (is_half(from))
        v = expr_cast(x, is_half(to) ? DT_U32 : dtype_compute(to), bits_of_half(d, from, v));
    if (is_half(to))
        v = half_of_bits(d, to, bin(d, EX_AND, expr_cast(x, DT_U32, v), 0xffff));
    else if (dtype_is_int(to) && dtype_bits(to) < 8)
        v = wrap_small(d, to, expr_cast(x, dtype_compute(to), v));
    else if (to == DT_BOOL || from == DT_BOOL)
        v = expr_cast(x, to, v);
    else if (!is_half(from))
        v = expr_bitcast(x, to, v);
    define_map(d, 0, &b, v);
}

void infer_bitcast(const Infer *f)
{
    const DType from = infer_in(f, 0)->dtype;
    const int64_t to = node_int(f->node, "to", 0);
    if (to > 0 && to < DT_COUNT) {
        if (dtype_bits(from) != dtype_bits((DType)to))
            infer_fail(f, "%s and %s differ in width", dtype_name(from), dtype_name((DType)to));
        if ((!is_plain(from) && !is_half(from)) || (!is_plain((DType)to) && !is_half((DType)to)))
            infer_unsupported(f, "from %s to %s", dtype_name(from), dtype_name((DType)to));
    }
    infer_to(f, to);
}
