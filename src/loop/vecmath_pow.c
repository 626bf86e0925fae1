/* pow, the remainders of floats, and integer powers. */
#include "loop/vecmath_build.h"

/* As in vecmath_exp.c, from s^5 on: (log((1+s)/(1-s)) - 2s - 2s^3/3) / s^5 in s^2 */
static const double log_tail[] = {
    0x1.9999999999998p-2, 0x1.2492492492962p-2, 0x1.c71c71c64b463p-3, 0x1.745d17d40cf59p-3,
    0x1.3b137afb813a0p-3, 0x1.111d30dcfa14ap-3, 0x1.debd2cc5021e0p-4, 0x1.e6bf079f670fep-4,
};

typedef struct Pair { /* the sum of both, |low| <= ulp(high)/2 */
    Expr high, low;
} Pair;

/* a + b with |a| >= |b| */
static Pair fast_sum(const Math *m, Expr a, Expr b)
{
    const Expr s = add(m, a, b);
    return (Pair){s, sub(m, b, sub(m, s, a))};
}

static Pair product(const Math *m, Expr a, Expr b)
{
    const Expr p = mul(m, a, b);
    return (Pair){p, fma3(m, a, b, neg(m, p))};
}

/* log a to about 63 bits: e ln2 + 2s + 2s^3/3 + s^5 P, the first terms as pairs. */
static Pair log_pair(const Math *m, Expr a)
{
    Expr e, f;
    math_log_split(m, a, &e, &f);
    const Pair d = fast_sum(m, num(m, 2), f);
    const Expr s = quo(m, f, d.high);
    const Expr left = fma3(m, neg(m, s), d.low, fma3(m, neg(m, s), d.high, f));
    const Expr s_low = quo(m, left, d.high);
    const Pair z = product(m, s, s);
    const Expr z_low = fma3(m, add(m, s, s), s_low, z.low);
    /* 2/3 z as a pair: 2/3 is 0x1.5555555555555p-1 and 0x1.5555555555555p-55 */
    const Pair c = product(m, z.high, num(m, 0x1.5555555555555p-1));
    Expr c_low = fma3(m, z.high, num(m, 0x1.5555555555555p-55), c.low);
    c_low = fma3(m, z_low, num(m, 0x1.5555555555555p-1), c_low);
    c_low = fma3(m, mul(m, z.high, z.high), POLY(m, z.high, log_tail), c_low);
    /* log(1+f) = s (2 + c) */
    const Pair g = fast_sum(m, num(m, 2), c.high);
    const Expr g_low = add(m, g.low, c_low);
    const Pair p = product(m, s, g.high);
    const Expr p_low = add(m, p.low, fma3(m, s, g_low, mul(m, s_low, g.high)));
    /* e times the high part of ln2 is exact. Of e = 0 the sum is p itself. */
    const Pair sum = fast_sum(m, mul(m, e, num(m, 0x1.62e42fefa3800p-1)), p.high);
    const Expr low = add(m, sum.low, fma3(m, e, num(m, 0x1.ef35793c76730p-45), p_low));
    const Expr none = equal(m, e, num(m, 0));
    return fast_sum(m, pick(m, none, p.high, sum.high), pick(m, none, p_low, low));
}

/* x^y for x > 0 (0 and inf included), y finite and not 0. */
static Expr pow_f64(const Math *m, Expr x, Expr y)
{
    const Pair l = log_pair(m, x);
    const Pair p = product(m, l.high, y);
    const Expr low = fma3(m, l.low, y, p.low);
    const Expr inside = less(m, mag(m, p.high), num(m, 760));
    const Expr r = math_exp_scaled(m, p.high, pick(m, inside, low, num(m, 0)), 0);
    /* The pairs of an infinite logarithm are NaN, those of NaN are not. */
    const Expr zero = equal(m, x, num(m, 0));
    const Expr infinite = equal(m, x, num(m, INFINITY));
    const Expr up = less(m, num(m, 0), y), down = less(m, y, num(m, 0)); /* neither: NaN */
    const Expr at_zero = pick(m, up, num(m, 0), pick(m, down, num(m, INFINITY), y));
    const Expr at_infinity = pick(m, up, num(m, INFINITY), pick(m, down, num(m, 0), y));
    const Expr valid = pick(m, equal(m, x, x), r, x);
    return pick(m, zero, at_zero, pick(m, infinite, at_infinity, valid));
}

/* In f64, whose logarithm has bits to spare. */
static Expr pow_f32(const Math *m, Expr x, Expr y)
{
    const Math w = {m->x, DT_F64, m->lanes};
    const Expr l = math_log(&w, convert(m, DT_F64, x));
    return convert(m, DT_F32, math_exp(&w, mul(&w, l, convert(m, DT_F64, y))));
}

/* C's special cases around |x|^y. f32: 1 ulp. f64: 2 ulp. */
Expr math_pow(const Math *m, Expr a, Expr b)
{
    const Expr one = num(m, 1), zero = num(m, 0), inf = num(m, INFINITY);
    const Expr x = mag(m, a), y = mag(m, b);
    Expr r = m->t == DT_F32 ? pow_f32(m, x, b) : pow_f64(m, x, b);
    const Expr endless = equal(m, y, inf);
    const Expr grows = equal(m, less(m, one, x), less(m, zero, b));
    const Expr limit = pick(m, equal(m, x, one), one, pick(m, grows, inf, zero));
    r = pick(m, both(m, endless, equal(m, x, x)), limit, r);
    const Expr whole = equal(m, op1(m, EX_TRUNC, b), b);
    const Expr half = mul(m, b, num(m, 0.5));
    const Expr even = equal(m, op1(m, EX_TRUNC, half), half);
    const Expr odd = both(m, whole, raw(m, EX_NOT, DT_BOOL, 1, &even));
    const Expr sign = op2(m, EX_AND, bits(m, a), sign_mask(m));
    r = unbits(m, op2(m, EX_XOR, bits(m, r), pick(m, odd, sign, inum(m, 0))));
    const Expr negative = both(m, less(m, a, zero), less(m, num(m, -INFINITY), a));
    const Expr fraction = compare(m, EX_LT, op1(m, EX_TRUNC, y), y);
    r = pick(m, both(m, negative, fraction), num(m, NAN), r);
    return pick(m, either(m, equal(m, b, zero), equal(m, a, one)), one, r);
}

/* Exact: long division, 51 bits of the quotient a step. r - qB is exact in one fma, whichever of
 * two neighbours q is, because it is less than B and a multiple of B's last place. */
static Expr fmod_f64(const Math *m, Expr a, Expr b, int steps)
{
    enum { MAX_STEPS = 42 };
    const Expr inf = num(m, INFINITY);
    Expr scaled[MAX_STEPS];
    scaled[0] = mag(m, b);
    for (int k = 1; k < steps; k++)
        scaled[k] = mul(m, scaled[k - 1], num(m, 0x1p51));
    Expr r = mag(m, a);
    for (int k = steps - 1; k >= 0; k--) {
        const Expr q = op1(m, EX_TRUNC, quo(m, r, scaled[k]));
        Expr next = fma3(m, neg(m, q), scaled[k], r);
        next = pick(m, less(m, next, num(m, 0)), add(m, next, scaled[k]), next);
        r = pick(m, less(m, scaled[k], inf), next, r);
    }
    const Expr finite = less(m, mag(m, a), inf);
    const Expr divides = both(m, less(m, num(m, 0), scaled[0]), finite);
    return with_sign(m, pick(m, divides, r, num(m, NAN)), a);
}

/* The quotient has at most 277 bits in f32, 2098 in f64. */
Expr math_fmod(const Math *m, Expr a, Expr b)
{
    if (m->t == DT_F64)
        return fmod_f64(m, a, b, 42);
    const Math w = {m->x, DT_F64, m->lanes};
    return convert(m, DT_F32, fmod_f64(&w, convert(m, DT_F64, a), convert(m, DT_F64, b), 6));
}

Expr math_floor_mod(const Math *m, Expr a, Expr b)
{
    const Expr zero = num(m, 0), r = math_fmod(m, a, b);
    const Expr differ = compare(m, EX_NE, less(m, r, zero), less(m, b, zero));
    const Expr some = compare(m, EX_NE, r, zero);
    return pick(m, both(m, some, differ), add(m, r, b), r);
}

/* In f64, where a quotient just below an integer does not round up to it. */
Expr math_trunc_div(const Math *m, Expr a, Expr b)
{
    if (m->t == DT_F64)
        return op1(m, EX_TRUNC, quo(m, a, b));
    const Math w = {m->x, DT_F64, m->lanes};
    const Expr q = quo(&w, convert(m, DT_F64, a), convert(m, DT_F64, b));
    return convert(m, DT_F32, op1(&w, EX_TRUNC, q));
}

/* Squares and multiplies, a bit of the exponent a step; as many as the exponent can have. */
Expr math_int_pow(const Math *m, DType t, Expr a, Expr b)
{
    const Expr one = splat(m, expr_int_of(m->x, t, 1)), zero = splat(m, expr_int_of(m->x, t, 0));
    const int64_t high = expr_high(m->x, b);
    int steps = dtype_bits(t);
    while (t != DT_U64 && steps > 1 && high >= 0 && steps <= 63 && high >> (steps - 1) == 0)
        steps--;
    Expr r = one, base = a;
    for (int k = 0; k < steps; k++) {
        const Expr bit = splat(m, expr_int_of(m->x, t, (int64_t)((uint64_t)1 << k)));
        const Expr set = compare(m, EX_NE, op2(m, EX_AND, b, bit), zero);
        r = pick(m, set, op2(m, EX_MUL, r, base), r);
        base = op2(m, EX_MUL, base, base);
    }
    if (!dtype_is_signed(t) || expr_low(m->x, b) >= 0)
        return r;
    /* A negative exponent: 1 and -1 stay what they are, up to the sign. */
    const Expr minus = splat(m, expr_int_of(m->x, t, -1));
    const Expr odd = compare(m, EX_NE, op2(m, EX_AND, b, one), zero);
    const Expr of_minus = pick(m, odd, minus, one);
    const Expr inverse =
        pick(m, equal(m, a, one), one, pick(m, equal(m, a, minus), of_minus, zero));
    return pick(m, less(m, b, zero), inverse, r);
}
