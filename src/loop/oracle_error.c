/* Magnitudes: how far a value may be off, in units of ORACLE_EPS. With a, b the values and ma, mb
 * their magnitudes (at least |a|, |b|):
 *
 *     a + b        ma + mb
 *     a * b        |a|*mb + |b|*ma - |a*b|
 *     f(a)         |f(a)| + max |f(a +- h) - f(a)| / eps       h = ma * eps
 *     a < b        a jump (1/eps) if |a - b| is within a few eps of ma + mb; else certain (0),
 *                  as a value compared with itself is (v != v asks for NaN)
 *     select       that of the side taken; plus |a - b| / eps if the condition is not certain
 *
 * Integers and bools have magnitude 0 (certain) unless floats decided them. */
#include <math.h>

#include "loop/oracle_program.h"

#define NEAR (16 * ORACLE_EPS)
#define JUMP (1 / ORACLE_EPS)

static double apply_double(const Instr *in, double a, double b)
{
    const Scalar s[] = {{.dtype = DT_F64, .f = a}, {.dtype = DT_F64, .f = b}};
    return scalar_apply((ExprOp)in->op, DT_F64, in->nargs, s).f;
}

/* What a change of one argument by h does to f. */
static double change(const Instr *in, double result, double a, double b, double ha, double hb)
{
    const double up = fabs(apply_double(in, a + ha, b + hb) - result);
    const double down = fabs(apply_double(in, a - ha, b - hb) - result);
    const double most = up > down ? up : down;
    return isfinite(most) ? most / ORACLE_EPS : 0;
}

static double product(double a, double ma, double b, double mb)
{
    const double m = fabs(a) * mb + fabs(b) * ma - fabs(a * b);
    return isfinite(m) ? m : 0;
}

/* A jump if a is near a point where rounding to an integer changes. */
static double rounding_jump(ExprOp op, double a, double ma)
{
    const double at = op == EX_ROUND ? a + 0.5 : a;
    return fabs(at - rint(at)) <= NEAR * ma && ma > 0 ? JUMP : 0;
}

static double max_magnitude(const Instr *in, const Value *const *arg)
{
    double m = 0;
    for (int i = 0; i < in->nargs && i < PROGRAM_ARGS; i++)
        m = arg[i]->magnitude > m ? arg[i]->magnitude : m;
    return m;
}

static double compare_magnitude(const Value *a, const Value *b)
{
    const double m = a->magnitude + b->magnitude;
    return a != b && m > 0 && fabs(a->w.f - b->w.f) <= NEAR * m ? JUMP : 0;
}

static double select_magnitude(const Instr *in, const Value *const *arg)
{
    const Value *const taken = arg[arg[0]->w.i ? 1 : 2];
    if (arg[0]->magnitude == 0)
        return taken->magnitude;
    const double gap = dtype_is_float((DType)in->type)
                           ? fabs(arg[1]->w.f - arg[2]->w.f)
                           : fabs((double)arg[1]->w.i - (double)arg[2]->w.i);
    const double m = fmax(arg[1]->magnitude, arg[2]->magnitude);
    return isfinite(gap) ? m + gap * JUMP : INFINITY;
}

static double cast_magnitude(const Instr *in, Word result, const Value *a)
{
    const bool to_real = dtype_is_float((DType)in->type);
    const bool near_zero = a->magnitude > 0 && fabs(a->w.f) <= NEAR * a->magnitude;
    if (dtype_is_float((DType)in->from))
        return to_real               ? a->magnitude
               : in->type != DT_BOOL ? rounding_jump(EX_TRUNC, a->w.f, a->magnitude)
               : near_zero           ? JUMP
                                     : 0;
    return to_real ? fabs(result.f) + a->magnitude : a->magnitude;
}

static double float_magnitude(const Instr *in, Word result, const Value *const *arg)
{
    const double r = fabs(result.f);
    const double a = arg[0]->w.f;
    const double ma = arg[0]->magnitude;
    const double b = in->nargs > 1 ? arg[1]->w.f : 0;
    const double mb = in->nargs > 1 ? arg[1]->magnitude : 0;
    switch (in->op) {
    case EX_ADD:
    case EX_SUB:
        return ma + mb;
    case EX_MUL:
        return product(a, ma, b, mb);
    case EX_FMA:
        return product(a, ma, b, mb) + arg[2]->magnitude;
    case EX_DIV:
        return b == 0 || !isfinite(r) ? r : ma / fabs(b) + r * (mb / fabs(b)) - r;
    case EX_NEG:
    case EX_ABS:
        return ma;
    case EX_MIN:
    case EX_MAX:
        return fmax(ma, mb);
    case EX_FLOOR:
    case EX_CEIL:
    case EX_TRUNC:
    case EX_ROUND:
        return r + rounding_jump((ExprOp)in->op, a, ma);
    case EX_BITCAST:
        return r;
    case EX_MOD:
    case EX_TMOD:
        return ma + mb + r + rounding_jump(EX_TRUNC, a / b, ma / fabs(b) + mb) * fabs(b);
    case EX_TDIV:
        return r + rounding_jump(EX_TRUNC, a / b, ma / fabs(b) + mb);
    default:
        return r + change(in, result.f, a, b, ma * ORACLE_EPS, 0) +
               (in->nargs > 1 ? change(in, result.f, a, b, 0, mb * ORACLE_EPS) : 0);
    }
}

double magnitude_of(const Instr *in, Word result, const Value *const *arg)
{
    const bool real = dtype_is_float((DType)in->type);
    if (in->op == EX_SELECT)
        return select_magnitude(in, arg);
    if (in->op == EX_CAST)
        return cast_magnitude(in, result, arg[0]);
    if (real && in->op == EX_BITCAST)
        return fabs(result.f);
    if (real)
        return float_magnitude(in, result, arg);
    if (dtype_is_float((DType)in->from))
        return in->op == EX_BITCAST ? (arg[0]->magnitude > 0 ? JUMP : 0)
                                    : compare_magnitude(arg[0], arg[1]);
    return max_magnitude(in, arg);
}

double magnitude_stored(DType t, double value, double magnitude)
{
    static const struct {
        DType t;
        double roundoff;
    } narrow[] = {{DT_F16, 0x1p-11},       {DT_BF16, 0x1p-8},       {DT_F8E4M3FN, 0x1p-4},
                  {DT_F8E4M3FNUZ, 0x1p-4}, {DT_F8E5M2, 0x1p-3},     {DT_F8E5M2FNUZ, 0x1p-3},
                  {DT_F4E2M1, 0x1p-2},     {DT_F8E8M0, 0.5}};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        if (narrow[i].t == t && isfinite(value))
            return magnitude + 2 * fabs(value) * narrow[i].roundoff / ORACLE_EPS;
    return magnitude;
}
