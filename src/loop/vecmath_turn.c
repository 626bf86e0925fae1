/* Argument reduction of sin, cos and tan: a = quarter pi/2 + r with |r| <= pi/4, in f64.
 *
 * Near: pi/2 in three parts; each step is one fma, and the first is exact, so that r has an error
 * of about an ulp up to |a| = 2^50.
 *
 * Far (after Payne and Hanek): a = M 2^E with an integer M, and of 2/pi 2^E only the bits from
 * weight 2 downwards count, because higher ones give whole turns. That window is cut out of a table
 * of the bits of 2/pi: word by word, each bit of its place chooses between the words as they are
 * and the words so much further on, which needs no memory and about two selects a word of the
 * table. M times the window is fixed-point arithmetic modulo 4; no f64 is nearer to a multiple of
 * pi/2 than 2^-62, and the product is right to 2^-137 (f32: 2^-30, 2^-73). */
#include "loop/vecmath_build.h"

static const double pi_2[3] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54,
                               -0x1.f1976b7ed8fbcp-110};

/* 2/pi: the bits behind the point, after four zeros (the window of 2^50 begins there) */
enum { TABLE = 19, FIRST_EXPONENT = 50 };
static const uint64_t two_over_pi[TABLE] = {
    0x0a2f9836e4e44152, 0x9fc2757d1f534ddc, 0x0db6295993c43904, 0x1fe5163abdebbc56,
    0x1b7246e3a424dd2e, 0x006492eea09d1921, 0xcfe1deb1cb129a73, 0xee88235f52ebb448,
    0x4e99c7026b45f7e4, 0x13991d639835339f, 0x49c845f8bbdf9283, 0xb1ff897ffde05980,
    0xfef2f118b5a0a6d1, 0xf6d367ecf27cb09b, 0x74f463f669e5fea2, 0xd7527bac7ebe5f17,
    0xb3d0739f78a5292e, 0xa6bfb5fb11f8d5d0, 0x856033046fc7b6ba,
};

Turn math_turn_near(const Math *m, Expr a)
{
    const Expr big = num(m, magic(m));
    const Expr shifted = fma3(m, a, num(m, 0x1.45f306dc9c883p-1), big);
    const Expr k = sub(m, shifted, big);
    Expr r = a; /* inf - inf is NaN, as is wanted */
    for (int i = 0; i < 3; i++)
        r = fma3(m, k, num(m, -pi_2[i]), r);
    return (Turn){r, bits(m, shifted)};
}

/* ---- far: u64, which wraps ---- */
static Expr word(const Math *m, uint64_t v)
{
    return splat(m, expr_int_of(m->x, DT_U64, (int64_t)v));
}
static Expr up(const Math *m, Expr a, int n) { return op2(m, EX_SHL, a, word(m, (uint64_t)n)); }
static Expr down(const Math *m, Expr a, int n) { return op2(m, EX_SHR, a, word(m, (uint64_t)n)); }
static Expr low_half(const Math *m, Expr a) { return op2(m, EX_AND, a, word(m, UINT32_MAX)); }

enum { WORDS = 3, LIMBS = 2 * WORDS }; /* of a window, at most */

/* out: `words` words of the table from bit `start` on, the highest first. The place of the first is
 * start / 64 < 2^levels. */
static void window(const Math *m, Expr start, int levels, int words, Expr *out)
{
    Expr w[TABLE];
    int n = words + (1 << levels); /* a word more, for the shift */
    for (int k = 0; k < n; k++)
        w[k] = word(m, two_over_pi[k]);
    for (int level = levels - 1; level >= 0; level--) {
        const Expr bit = op2(m, EX_AND, start, word(m, (uint64_t)64 << level));
        const Expr on = compare(m, EX_NE, bit, word(m, 0));
        n -= 1 << level;
        for (int k = 0; k < n; k++)
            w[k] = pick(m, on, w[k + (1 << level)], w[k]);
    }
    const Expr left = op2(m, EX_AND, start, word(m, 63));
    const Expr right = op2(m, EX_SUB, word(m, 64), left); /* 64 shifts all out */
    for (int k = 0; k < words; k++)
        out[k] = op2(m, EX_OR, op2(m, EX_SHL, w[k], left), op2(m, EX_SHR, w[k + 1], right));
}

/* p, n limbs of 32 bits, the lowest first: the sum p + 2^(32 shift) factor w, modulo 2^(32 n). */
static void multiply_add(const Math *m, int n, Expr *p, Expr factor, const Expr *w, int shift)
{
    Expr carry = word(m, 0);
    for (int k = shift; k < n; k++) {
        const Expr product = op2(m, EX_MUL, factor, w[k - shift]);
        const Expr sum = op2(m, EX_ADD, op2(m, EX_ADD, product, p[k]), carry);
        p[k] = low_half(m, sum);
        carry = down(m, sum, 32);
    }
}

/* limb - bias, as the low bits of 2^52 */
static Expr to_real(const Math *m, Expr limb, double bias)
{
    const Expr b = op2(m, EX_OR, limb, word(m, 0x4330000000000000));
    return sub(m, unbits(m, b), num(m, 0x1p52 + bias));
}

/* r = f pi/2, f = the four limbs from p[0] downwards, of which the first is signed and counts
 * 2^-30. What sums round off goes to `low`; sums that cancel are exact. */
static Expr scaled(const Math *m, const Expr *p)
{
    const Expr top = low_half(m, op2(m, EX_ADD, p[0], word(m, 0x80000000)));
    Expr high = mul(m, to_real(m, top, 0x1p31), num(m, 0x1p-30)), low = num(m, 0);
    for (int k = 1; k < 4; k++) {
        const Expr part = mul(m, to_real(m, p[-k], 0), num(m, ldexp(1, -30 - 32 * k)));
        const Expr sum = add(m, high, part);
        low = add(m, low, sub(m, part, sub(m, sum, high)));
        high = sum;
    }
    const Expr r = mul(m, high, num(m, pi_2[0]));
    const Expr lost = fma3(m, high, num(m, pi_2[0]), neg(m, r));
    return add(m, r, fma3(m, low, num(m, pi_2[0]), fma3(m, high, num(m, pi_2[1]), lost)));
}

Turn math_turn_far(const Math *m, Expr a, bool is_short)
{
    const int levels = is_short ? 1 : 4; /* exponents below 128; 1024 */
    const int words = is_short ? 2 : WORDS, limbs = 2 * words;
    const Expr size = mag(m, a), b = raw(m, EX_BITCAST, DT_U64, 1, &size);
    const Expr start = op2(m, EX_SUB, down(m, b, 52), word(m, 1023 + FIRST_EXPONENT));
    Expr high_first[WORDS], w[LIMBS], p[LIMBS];
    window(m, start, levels, words, high_first);
    for (int k = 0; k < words; k++) {
        w[limbs - 1 - 2 * k] = down(m, high_first[k], 32);
        w[limbs - 2 - 2 * k] = low_half(m, high_first[k]);
    }
    for (int k = 0; k < limbs; k++)
        p[k] = word(m, 0);
    const Expr fraction = op2(m, EX_AND, b, word(m, 0xfffffffffffff));
    const Expr mantissa = op2(m, EX_OR, fraction, word(m, (uint64_t)1 << 52));
    multiply_add(m, limbs, p, low_half(m, mantissa), w, 0);
    multiply_add(m, limbs, p, down(m, mantissa, 32), w, 1);
    /* The two bits before the point, rounded: what is left is in [-1/2, 1/2), its sign at the
     * top. */
    const Expr rounded = op2(m, EX_ADD, p[limbs - 1], word(m, (uint64_t)1 << 29));
    const Expr quarter = op2(m, EX_AND, down(m, rounded, 30), word(m, 3));
    p[limbs - 1] = op2(m, EX_SUB, p[limbs - 1], up(m, quarter, 30));
    const Expr r = scaled(m, &p[limbs - 1]);
    /* The other way round for a negative a. */
    const Expr negative = less(m, a, num(m, 0));
    const Expr q = pick(m, negative, op2(m, EX_SUB, word(m, 4), quarter), quarter);
    return (Turn){pick(m, negative, neg(m, r), r), raw(m, EX_BITCAST, DT_I64, 1, &q)};
}
