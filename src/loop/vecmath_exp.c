/* exp, log, sigmoid, tanh, erf, in f32 and f64. */
#include "loop/vecmath_build.h"

/* (e^r - 1 - r) / r^2 on |r| <= ln2/2 */
static const double exp_f32[] = {
    0x1p-1, 0x1.5554dcp-3, 0x1.55551ap-5, 0x1.120b6ep-7, 0x1.6d110ap-10,
};
static const double exp_f64[] = {
    0x1.0000000000000p-1,  0x1.5555555555557p-3,  0x1.5555555555556p-5,  0x1.11111111100dcp-7,
    0x1.6c16c16c162d4p-10, 0x1.a01a01abe7fe1p-13, 0x1.a01a01a6d889cp-16, 0x1.71de0231960ebp-19,
    0x1.27e4db646b17ep-22, 0x1.af4de97ca4194p-26, 0x1.1f730349868cep-29,
};
/* e^-r on |r| <= ln2/2, to 0.8 ulp */
static const double sigmoid_exp[] = {
    0x1p+0, -0x1.fffff6p-1, 0x1.fffdc4p-2, -0x1.555a82p-3, 0x1.573ad8p-5, -0x1.0f9fp-7,
};
/* (log(1+f) - f + f^2/2) / f^3 on [sqrt(1/2), sqrt(2)] - 1 */
static const double log_f32[] = {
    0x1.555554p-2,  -0x1.fffffcp-3, 0x1.999d5ap-3,  -0x1.555b4ap-3, 0x1.23d202p-3,
    -0x1.fcf46ep-4, 0x1.dea430p-4,  -0x1.d6393ep-4, 0x1.1d8e5ep-4,
};
/* (log((1+s)/(1-s)) - 2s) / s^3 in s^2 */
static const double log_f64[] = {
    0x1.5555555555555p-1, 0x1.9999999999a39p-2, 0x1.2492492476a1ap-2, 0x1.c71c7201a55d7p-3,
    0x1.745cf8e4bba1bp-3, 0x1.3b1c3c1c81c8fp-3, 0x1.0fbde0f4ad17bp-3, 0x1.0c0aff044a970p-3,
};
/* tanh x = x P(x^2)/Q(x^2) up to 9.02 */
static const double tanh_p[] = {
    0x1p+0,          0x1.0bf166p-3,  0x1.96b74ep-9,  0x1.75f010p-17,
    -0x1.5ac150p-26, 0x1.ce7906p-35, -0x1.7beb02p-44,
};
static const double tanh_q[] = {0x1p+0, 0x1.db4e04p-2, 0x1.91443ap-6, 0x1.0ad5fap-12};
/* (tanh r - r) / r^3 in r^2, |r| <= 0.625 */
static const double tanh_f64[] = {
    -0x1.5555555555555p-2,  0x1.111111111110dp-3,  -0x1.ba1ba1ba1afebp-5, 0x1.664f488279052p-6,
    -0x1.226e354dd9537p-7,  0x1.d6d3cc54881a6p-9,  -0x1.7da2fd57b4ba8p-10, 0x1.35520349c652dp-11,
    -0x1.f4fcb12f4874fp-13, 0x1.92d2c296fec28p-14, -0x1.370cf1457d475p-15, 0x1.99aa1869814dep-17,
    -0x1.4746ccbd089e4p-19,
};
/* erf x = x P(x^2)/Q(x^2) up to 3.95 */
static const double erf_p[] = {
    0x1.20dd74p+0,  0x1.9ee4fep-3,   0x1.a12a76p-5,   0x1.f31d48p-9,
    0x1.2d9858p-13, -0x1.05d8cap-19, 0x1.50ca4cp-26,
};
static const double erf_q[] = {0x1p+0, 0x1.0696a2p-1, 0x1.db86eap-4, 0x1.dd9fe8p-7, 0x1.00de04p-10};
/* erf(r)/r in r^2, |r| <= 1 */
static const double erf_f64[] = {
    0x1.20dd750429b6dp+0,  -0x1.812746b0379e6p-2, 0x1.ce2f21a042b2ep-4,  -0x1.b82ce31284d69p-6,
    0x1.565bcd0db9201p-8,  -0x1.c02db3da7b2aep-11, 0x1.f9a321cd05c73p-14, -0x1.f4d1e26a29ff5p-17,
    0x1.b9df193f1fdadp-20, -0x1.5f1e7c06bb629p-23, 0x1.f7b14dc1f44f0p-27, -0x1.38925a42dec1ap-30,
    0x1.05e163d78b59bp-34,
};
/* erfc(x) e^(x^2) in t = (x - 2.5)/(x + 2.5), x in [1, 6] */
static const double erfcx_f64[] = {
    0x1.afbb3f3b7343bp-3,   -0x1.7ca88dec2179fp-2,  0x1.01c11a735cd90p-2,   -0x1.0011543717938p-3,
    0x1.470ba1f67a0c9p-5,   -0x1.05bb2fdf59a84p-8,  -0x1.5a5716b16eb08p-9,  0x1.cb3b5c10ae7c3p-11,
    0x1.def28eafc1b9cp-13,  -0x1.0e4523cee6eddp-13, -0x1.1eafb653c4582p-15, 0x1.380012a5e7ac6p-16,
    0x1.f748cb830244dp-18,  -0x1.2baa99d8b3d68p-19, -0x1.aa0fad775c3dcp-20,
};

/* Which arguments need no bounds: those that are known to lie on one side. */
typedef enum ExpRange { EXP_ANY, EXP_NOT_ABOVE_0 } ExpRange;

/* e^a = 2^k e^r with k = round(a / ln 2), so |r| <= ln2/2. 2^k is applied as two factors: k may lie
 * below the least normal exponent, or at 2^128 where the product is still finite. a / ln 2 is
 * rounded by adding a large number whose low bits are twice the exponent's bias: so the low bits
 * are k + 2 bias, and either half of them, shifted up, is a factor. */
static Expr exp_of(const Math *m, Expr a, Expr low, int shift, ExpRange range)
{
    const bool single = m->t == DT_F32;
    const Expr below = range == EXP_ANY ? at_most(m, single ? 89 : 720, a) : a;
    const Expr x = at_least(m, single ? -104 : -746, below);
    const Expr big = num(m, magic(m) + 2 * (single ? 127 : 1023)), up = inum(m, mantissa_bits(m));
    const Expr rounded = fma3(m, x, num(m, 0x1.71547652b82fep+0), big), k = sub(m, rounded, big);
    Expr r = fma3(m, k, num(m, single ? -0x1.62e43p-1 : -0x1.62e42fefa39efp-1), x);
    r = fma3(m, k, num(m, single ? 0x1.05c61p-29 : -0x1.abc9e3b39803fp-56), r);
    if (low)
        r = add(m, r, low);
    const Expr r2 = mul(m, r, r);
    const Expr q = single ? POLY_PAIRS(m, r, r2, exp_f32) : POLY_PAIRS(m, r, r2, exp_f64);
    const Expr rest = fma3(m, r2, q, r); /* e^r - 1 */
    const Expr twice = shift ? op2(m, EX_ADD, bits(m, rounded), inum(m, shift)) : bits(m, rounded);
    const Expr half = half_of(m, twice), other = op2(m, EX_SUB, twice, half);
    const Expr s = unbits(m, op2(m, EX_SHL, other, up));
    return mul(m, fma3(m, rest, s, s), unbits(m, op2(m, EX_SHL, half, up)));
}

Expr math_exp_scaled(const Math *m, Expr a, Expr low, int shift)
{
    return exp_of(m, a, low, shift, EXP_ANY);
}

/* f32: 1.01 ulp. f64: 1 ulp. */
Expr math_exp(const Math *m, Expr a)
{
    return math_exp_scaled(m, a, 0, 0);
}

/* 2^k is one factor, and 0 from k = -127 on. f32: 1.01 ulp, in 15 instructions. */
Expr math_exp_down(const Math *m, Expr a)
{
    if (m->t == DT_F64)
        return exp_of(m, a, 0, 0, EXP_NOT_ABOVE_0);
    const Expr x = at_least(m, -88.2, a), big = num(m, magic(m) + 127);
    const Expr rounded = fma3(m, x, num(m, 0x1.71547652b82fep+0), big), k = sub(m, rounded, big);
    const Expr near = fma3(m, k, num(m, -0x1.62e43p-1), x);
    const Expr r = fma3(m, k, num(m, 0x1.05c61p-29), near), r2 = mul(m, r, r);
    const Expr rest = fma3(m, r2, POLY_PAIRS(m, r, r2, exp_f32), r); /* e^r - 1 */
    const Expr s = unbits(m, op2(m, EX_SHL, bits(m, rounded), inum(m, mantissa_bits(m))));
    return fma3(m, rest, s, s);
}

void math_log_split(const Math *m, Expr a, Expr *exponent, Expr *f)
{
    const bool single = m->t == DT_F32;
    const Expr small = less(m, a, num(m, single ? 0x1p-126 : 0x1p-1022));
    const double up = single ? 0x1p23 : 0x1p52;
    const Expr b = bits(m, pick(m, small, mul(m, a, num(m, up)), a));
    /* The exponent as if the mantissa went from sqrt(1/2) to sqrt(2). */
    const Expr from_root = op2(m, EX_ADD, b, inum(m, single ? -0x3f3504f3 : -0x3fe6a09e667f3bcd));
    const Expr width = inum(m, mantissa_bits(m));
    const Expr e = op2(m, EX_SHR, from_root, width);
    const Expr mantissa = unbits(m, op2(m, EX_SUB, b, op2(m, EX_SHL, e, width)));
    *f = sub(m, mantissa, num(m, 1));
    const Expr shifted = op2(m, EX_ADD, e, bits(m, num(m, magic(m))));
    const Expr down = pick(m, small, num(m, -mantissa_bits(m)), num(m, 0));
    *exponent = add(m, sub(m, unbits(m, shifted), num(m, magic(m))), down);
}

/* 0 gives -inf, below it NaN; inf and NaN give themselves. */
static Expr log_special(const Math *m, Expr a, Expr r)
{
    r = pick(m, less(m, a, num(m, INFINITY)), r, a);
    r = pick(m, equal(m, a, num(m, 0)), num(m, -INFINITY), r);
    return pick(m, less(m, a, num(m, 0)), num(m, NAN), r);
}

/* f32: log(1+f) = f - f^2/2 + f^3 P(f). f64 (as fdlibm's e_log.c orders it): with s = f/(2+f),
 * log(1+f) = f - (f^2/2 - s (f^2/2 + s^2 R(s^2))). 1 ulp both. */
Expr math_log(const Math *m, Expr a)
{
    Expr e, f;
    math_log_split(m, a, &e, &f);
    Expr r;
    if (m->t == DT_F32) {
        const Expr f2 = mul(m, f, f);
        r = fma3(m, mul(m, f, f2), POLY(m, f, log_f32), mul(m, num(m, -0.5), f2));
        r = add(m, f, fma3(m, e, num(m, -0x1.05c61p-29), r));
        r = fma3(m, e, num(m, 0x1.62e43p-1), r);
    } else {
        const Expr s = quo(m, f, add(m, num(m, 2), f));
        const Expr z = mul(m, s, s), half = mul(m, num(m, 0.5), mul(m, f, f));
        const Expr p = mul(m, s, add(m, half, mul(m, z, POLY(m, z, log_f64))));
        const Expr low = fma3(m, e, num(m, 0x1.ef35793c76730p-45), p);
        r = sub(m, mul(m, e, num(m, 0x1.62e42fefa3800p-1)), sub(m, sub(m, half, low), f));
    }
    return log_special(m, a, r);
}

/* log u with u = 1 + a rounded, and what rounding lost. 2 ulp. */
Expr math_log1p(const Math *m, Expr a)
{
    const Expr one = num(m, 1), u = add(m, one, a);
    const Expr lost =
        pick(m, less(m, a, one), sub(m, a, sub(m, u, one)), sub(m, one, sub(m, u, a)));
    const Expr r = add(m, math_log(m, u), quo(m, lost, u));
    return pick(m, less(m, a, num(m, INFINITY)), r, add(m, a, a));
}

/* 1/(1 + e^-a), e^-a = 2^k e^r as in exp_of, but 2^k is one factor, which is 0 from k = -127 and
 * inf from k = 128: no sum is wrong for it, and results below the least normal number are 0. 3.1
 * ulp, in 15 instructions: swish is a fifth of some networks. */
static Expr sigmoid_f32(const Math *m, Expr a)
{
    const Expr x = at_most(m, 87.9, at_least(m, -89, a));
    const Expr big = num(m, magic(m) + 127);
    const Expr rounded = fma3(m, x, num(m, -0x1.715476p+0), big), k = sub(m, rounded, big);
    const Expr s = fma3(m, k, num(m, 0x1.62e43p-1), x); /* -r */
    const Expr minus_r = fma3(m, k, num(m, -0x1.05c61p-29), s), r2 = mul(m, minus_r, minus_r);
    const Expr p = POLY_PAIRS(m, minus_r, r2, sigmoid_exp);
    const Expr scale = unbits(m, op2(m, EX_SHL, bits(m, rounded), inum(m, mantissa_bits(m))));
    return quo(m, num(m, 1), fma3(m, p, scale, num(m, 1)));
}

/* f64: by e = exp(-|a|), which cannot overflow: 1/(1+e) or e/(1+e). 2 ulp. */
Expr math_sigmoid(const Math *m, Expr a)
{
    if (m->t == DT_F32)
        return sigmoid_f32(m, a);
    const Expr e = exp_of(m, neg(m, mag(m, a)), 0, 0, EXP_NOT_ABOVE_0);
    const Expr above = pick(m, less(m, a, num(m, 0)), e, num(m, 1));
    return quo(m, above, add(m, num(m, 1), e));
}

/* f32: 5 ulp. f64: a polynomial near 0, else 1 - 2/(e^2x + 1): 3 ulp. */
Expr math_tanh(const Math *m, Expr a)
{
    if (m->t == DT_F32) {
        const Expr x = at_least(m, -9.02, at_most(m, 9.02, a));
        const Expr z = mul(m, x, x);
        const Expr r = quo(m, mul(m, x, POLY(m, z, tanh_p)), POLY(m, z, tanh_q));
        return at_least(m, -1, at_most(m, 1, r));
    }
    const Expr x = mag(m, a), z = mul(m, x, x), one = num(m, 1);
    const Expr near = fma3(m, mul(m, x, z), POLY(m, z, tanh_f64), x);
    const Expr e = math_exp(m, add(m, x, x));
    const Expr far = sub(m, one, quo(m, num(m, 2), add(m, e, one)));
    return with_sign(m, pick(m, less(m, x, num(m, 0.625)), near, far), a);
}

/* f32: 6 ulp. f64: 2 ulp. */
Expr math_erf(const Math *m, Expr a)
{
    if (m->t == DT_F32) {
        const Expr x = at_least(m, -3.95, at_most(m, 3.95, a));
        const Expr z = mul(m, x, x);
        const Expr r = quo(m, mul(m, x, POLY(m, z, erf_p)), POLY(m, z, erf_q));
        return at_least(m, -1, at_most(m, 1, r));
    }
    const Expr x = at_most(m, 6, mag(m, a)), z = mul(m, x, x), k = num(m, 2.5);
    const Expr near = mul(m, x, POLY(m, z, erf_f64));
    const Expr t = quo(m, sub(m, x, k), add(m, x, k));
    const Expr c = mul(m, math_exp(m, neg(m, z)), POLY(m, t, erfcx_f64));
    const Expr far = sub(m, num(m, 1), c);
    return with_sign(m, pick(m, less(m, x, num(m, 1)), near, far), a);
}
