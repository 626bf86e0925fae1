/* Circular and hyperbolic functions and their inverses, computed in f64.
 *
 * sin, cos, tan: vecmath_turn.c takes whole quarter turns off; polynomials do the rest. Every lane
 * is computed as if it were near 0; only where a vector has a lane that is far, all are computed
 * anew. */
#include "loop/vecmath_build.h"

static const double pi_2[2] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};

/* (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in r^2, |r| <= pi/4 */
static const double sin_p[] = {
    -0x1.5555555555555p-3,  0x1.1111111111110p-7,  -0x1.a01a01a01992fp-13, 0x1.71de3a545f836p-19,
    -0x1.ae645410e937bp-26, 0x1.61217d9252c03p-33, -0x1.ab16f5caa198ap-41,
};
static const double cos_p[] = {
    0x1.5555555555555p-5,  -0x1.6c16c16c16c16p-10, 0x1.a01a01a019d06p-16, -0x1.27e4fb77125c5p-22,
    0x1.1eed8deac3dfep-29, -0x1.9394b8bd50ae1p-37, 0x1.ab779550c8d9bp-45,
};
/* (atan r - r) / r^3 in r^2, |r| <= tan(pi/8) */
static const double atan_p[] = {
    -0x1.5555555555555p-2, 0x1.999999999994cp-3, -0x1.249249248d0a0p-3, 0x1.c71c71c2ac30cp-4,
    -0x1.745d164cd528bp-4, 0x1.3b1390ed6392fp-4, -0x1.110e65a8e0d93p-4, 0x1.e197010ee6326p-5,
    -0x1.ac640ea43c20ep-5, 0x1.74779e7f3d684p-5, -0x1.1a2e2be9092a6p-5, 0x1.0892945fca3d9p-6,
};
/* (asin r - r) / r^3 in r^2, |r| <= 1/2 */
static const double asin_p[] = {
    0x1.5555555555556p-3, 0x1.3333333332ec4p-4, 0x1.6db6db6e3292ep-5, 0x1.f1c71c1d4aa0dp-6,
    0x1.6e8bb1d89492bp-6, 0x1.1c4d343fa57f6p-6, 0x1.c9cf3759fd8ffp-7, 0x1.78246f32d075cp-7,
    0x1.524ea8b3aad31p-7, 0x1.653a8f8cfd43cp-8, 0x1.1d661531b222ep-6, -0x1.e7a24f548c99fp-7,
    0x1.d78189767524ep-6,
};
/* (sinh r - r) / r^3 in r^2, |r| <= 1 */
static const double sinh_p[] = {
    0x1.5555555555555p-3,  0x1.11111111110fdp-7,  0x1.a01a01a01eed5p-13, 0x1.71de3a4e0d67dp-19,
    0x1.ae646102f8d4bp-26, 0x1.611caf3d7bfe1p-33, 0x1.b413a2632a732p-41,
};

typedef struct Circle {
    Expr sine, cosine; /* of r */
    Expr quarter;      /* k: the low bits of an integer */
} Circle;

static Circle circle(const Math *m, Turn turn)
{
    const Expr r = turn.r, z = mul(m, r, r);
    const Expr c = fma3(m, mul(m, z, z), POLY(m, z, cos_p), fma3(m, z, num(m, -0.5), num(m, 1)));
    return (Circle){fma3(m, mul(m, r, z), POLY(m, z, sin_p), r), c, turn.quarter};
}

/* The sine of r plus `quarters` quarter turns. */
static Expr turned(const Math *m, const Circle *c, int quarters)
{
    const Expr q = quarters ? op2(m, EX_ADD, c->quarter, inum(m, quarters)) : c->quarter;
    const Expr odd = compare(m, EX_NE, op2(m, EX_AND, q, inum(m, 1)), inum(m, 0));
    const Expr v = pick(m, odd, c->cosine, c->sine);
    const Expr flip = op2(m, EX_AND, op2(m, EX_SHL, q, inum(m, 62)), sign_mask(m));
    return unbits(m, op2(m, EX_XOR, bits(m, v), flip));
}

typedef Expr (*CircularFn)(const Math *m, const Circle *c);

static Expr sine(const Math *m, const Circle *c)
{
    return turned(m, c, 0);
}

static Expr cosine(const Math *m, const Circle *c)
{
    return turned(m, c, 1);
}

static Expr tangent(const Math *m, const Circle *c)
{
    return quo(m, turned(m, c, 0), turned(m, c, 1));
}

static Expr circular(const Math *m, CircularFn fn, Expr a)
{
    const Math w = {m->x, DT_F64, m->lanes};
    const Expr x = convert(m, DT_F64, a), size = mag(m, a);
    const Circle near = circle(&w, math_turn_near(&w, x));
    const Expr usual = convert(m, m->t, fn(&w, &near));
    const Circle far = circle(&w, math_turn_far(&w, x, m->t == DT_F32));
    const Expr beyond = compare(m, EX_LE, num(m, TURN_NEAR), size);
    const Expr finite = less(m, size, num(m, INFINITY));
    const Expr any = either_lane(m, beyond);
    const Expr r = pick(m, both(m, beyond, finite), convert(m, m->t, fn(&w, &far)), usual);
    return any ? raw(m, EX_RARE, m->t, 3, (Expr[]){any, r, usual}) : r;
}

/* -0 stays -0, which the sums of the reduction lose. */
static Expr keep_zero(const Math *m, Expr a, Expr r)
{
    return pick(m, equal(m, a, num(m, 0)), a, r);
}

Expr math_sin(const Math *m, Expr a)
{
    return keep_zero(m, a, circular(m, sine, a));
}

Expr math_cos(const Math *m, Expr a)
{
    return circular(m, cosine, a);
}

Expr math_tan(const Math *m, Expr a)
{
    return keep_zero(m, a, circular(m, tangent, a));
}

/* asin(s) for s in [0, 1/2], z = s^2. */
static Expr asin_small(const Math *m, Expr s, Expr z)
{
    return fma3(m, mul(m, s, z), POLY(m, z, asin_p), s);
}

/* Above 1/2, asin(x) = pi/2 - 2 asin(sqrt((1-x)/2)). */
typedef struct Arc {
    Expr big, p;
} Arc;

static Arc arc(const Math *m, Expr x)
{
    const Expr big = less(m, num(m, 0.5), x);
    const Expr half = mul(m, sub(m, num(m, 1), x), num(m, 0.5));
    const Expr z = pick(m, big, half, mul(m, x, x));
    return (Arc){big, asin_small(m, pick(m, big, op1(m, EX_SQRT, half), x), z)};
}

Expr math_asin(const Math *m, Expr a)
{
    const Arc c = arc(m, mag(m, a));
    const Expr far = add(m, fma3(m, num(m, -2), c.p, num(m, pi_2[0])), num(m, pi_2[1]));
    return with_sign(m, pick(m, c.big, far, c.p), a);
}

Expr math_acos(const Math *m, Expr a)
{
    const Arc c = arc(m, mag(m, a));
    const Expr near = add(m, sub(m, num(m, pi_2[0]), with_sign(m, c.p, a)), num(m, pi_2[1]));
    const Expr twice = mul(m, num(m, 2), c.p);
    const Expr left = add(m, sub(m, num(m, 2 * pi_2[0]), twice), num(m, 2 * pi_2[1]));
    const Expr far = pick(m, less(m, a, num(m, 0)), left, twice);
    return pick(m, c.big, far, near);
}

/* atan x = pi/4 + atan((x-1)/(x+1)) above tan(pi/8), pi/2 + atan(-1/x) above tan(3pi/8). */
Expr math_atan(const Math *m, Expr a)
{
    const Expr x = mag(m, a), one = num(m, 1), zero = num(m, 0);
    const Expr mid = less(m, num(m, 0x1.a827999fcef32p-2), x);
    const Expr far = less(m, num(m, 0x1.3504f333f9de6p+1), x);
    const Expr above = pick(m, far, num(m, -1), pick(m, mid, sub(m, x, one), x));
    const Expr below = pick(m, far, x, pick(m, mid, add(m, x, one), one));
    const Expr base = pick(m, far, num(m, pi_2[0]), pick(m, mid, num(m, pi_2[0] / 2), zero));
    const Expr low = pick(m, far, num(m, pi_2[1]), pick(m, mid, num(m, pi_2[1] / 2), zero));
    const Expr t = quo(m, above, below), z = mul(m, t, t);
    const Expr p = fma3(m, mul(m, t, z), POLY(m, z, atan_p), t);
    return with_sign(m, add(m, base, add(m, p, low)), a);
}

/* With h = e^x / 2, which overflows no earlier than the result: h -+ 1/(4h). */
Expr math_sinh(const Math *m, Expr a)
{
    const Expr x = mag(m, a), z = mul(m, x, x);
    const Expr near = fma3(m, mul(m, x, z), POLY(m, z, sinh_p), x);
    const Expr h = math_exp_scaled(m, x, 0, -1);
    const Expr far = sub(m, h, quo(m, num(m, 0.25), h));
    return with_sign(m, pick(m, less(m, x, num(m, 1)), near, far), a);
}

Expr math_cosh(const Math *m, Expr a)
{
    const Expr h = math_exp_scaled(m, mag(m, a), 0, -1);
    return add(m, h, quo(m, num(m, 0.25), h));
}

/* log 2x where x^2 would overflow and 1 does not count. */
static Expr log_twice(const Math *m, Expr x)
{
    return add(m, math_log(m, x), num(m, 0x1.62e42fefa39efp-1));
}

Expr math_asinh(const Math *m, Expr a)
{
    const Expr x = mag(m, a), z = mul(m, x, x), one = num(m, 1);
    const Expr root = op1(m, EX_SQRT, add(m, one, z));
    const Expr near = math_log1p(m, add(m, x, quo(m, z, add(m, one, root))));
    return with_sign(m, pick(m, less(m, x, num(m, 0x1p28)), near, log_twice(m, x)), a);
}

Expr math_acosh(const Math *m, Expr a)
{
    const Expr t = sub(m, a, num(m, 1));
    const Expr root = op1(m, EX_SQRT, fma3(m, t, t, add(m, t, t)));
    const Expr near = math_log1p(m, add(m, t, root));
    const Expr r = pick(m, less(m, a, num(m, 0x1p28)), near, log_twice(m, a));
    return pick(m, less(m, a, num(m, 1)), num(m, NAN), r);
}

Expr math_atanh(const Math *m, Expr a)
{
    const Expr x = mag(m, a);
    const Expr y = quo(m, add(m, x, x), sub(m, num(m, 1), x));
    return with_sign(m, mul(m, num(m, 0.5), math_log1p(m, y)), a);
}
