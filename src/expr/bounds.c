/* Intervals of integer nodes, computed once when a node is made.
 *
 * i64 arithmetic is assumed not to overflow: its intervals are those of unbounded integers. A low
 * end of INT64_MIN and a high end of INT64_MAX mean "no bound", so an end that leaves i64 on its
 * own side says nothing; on the other side it saturates and says less. Narrower integers wrap: an
 * interval that leaves the type becomes the whole type. u64 values do not fit i64; they have no
 * interval (the widest one, which nothing uses). */
#include "expr/linear.h"

int64_t floor_div(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    if (b == -1)
        return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

int64_t floor_mod(int64_t a, int64_t b)
{
    if (b == 0 || b == -1)
        return 0;
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

bool bounds_le(const Exprs *x, Expr a, Expr b)
{
    const int64_t high = expr_high(x, a);
    const int64_t low = expr_low(x, b);
    return high <= low && (x->proving == 0 || (high != INT64_MAX && low != INT64_MIN));
}

/* ---- ends: exact, with infinities where there is no bound ---- */
__extension__ typedef __int128 Wide;

#define INFINITE ((Wide)1 << 126)

static Wide low_end(Bounds b)
{
    return b.low == INT64_MIN ? -INFINITE : b.low;
}

static Wide high_end(Bounds b)
{
    return b.high == INT64_MAX ? INFINITE : b.high;
}

static Wide add_end(Wide a, Wide b)
{
    return a == INFINITE || a == -INFINITE ? a : b == INFINITE || b == -INFINITE ? b : a + b;
}

static Wide mul_end(Wide a, Wide b)
{
    const Wide infinite = (a < 0) == (b < 0) ? INFINITE : -INFINITE;
    if (a == 0 || b == 0)
        return 0;
    return a == INFINITE || a == -INFINITE || b == INFINITE || b == -INFINITE ? infinite : a * b;
}

/* floor(a / b), b > 0 */
static Wide div_end(Wide a, Wide b)
{
    if (a == INFINITE || a == -INFINITE)
        return a;
    return a / b - (a % b < 0);
}

static int64_t saturate(Wide a)
{
    return a < INT64_MIN ? INT64_MIN : a > INT64_MAX ? INT64_MAX : (int64_t)a;
}

/* A low end above i64 becomes INT64_MAX, which is below it; so for a high end below. */
static Bounds hull(Wide a, Wide b, Wide c, Wide d)
{
    const Wide ab[] = {a < b ? a : b, a < b ? b : a};
    const Wide cd[] = {c < d ? c : d, c < d ? d : c};
    return (Bounds){saturate(ab[0] < cd[0] ? ab[0] : cd[0]),
                    saturate(ab[1] > cd[1] ? ab[1] : cd[1])};
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static Bounds add_bounds(Bounds a, Bounds b)
{
    return (Bounds){saturate(add_end(low_end(a), low_end(b))),
                    saturate(add_end(high_end(a), high_end(b)))};
}

static Bounds mul_bounds(Bounds a, Bounds b)
{
    return hull(mul_end(low_end(a), low_end(b)), mul_end(low_end(a), high_end(b)),
                mul_end(high_end(a), low_end(b)), mul_end(high_end(a), high_end(b)));
}

static Bounds neg_bounds(Bounds a)
{
    return mul_bounds(a, (Bounds){-1, -1});
}

/* Floor or truncating division: |a / b| <= |a| always. */
static Bounds div_bounds(Bounds a, Bounds b, bool truncates)
{
    if (b.low > 0 && (!truncates || a.low >= 0))
        return hull(div_end(low_end(a), low_end(b)), div_end(low_end(a), high_end(b)),
                    div_end(high_end(a), low_end(b)), div_end(high_end(a), high_end(b)));
    if (b.low >= 0 && a.low >= 0)
        return (Bounds){0, a.high};
    const Bounds n = neg_bounds(a);
    return (Bounds){min_i64(a.low, n.low), max_i64(a.high, n.high)};
}

static Bounds mod_bounds(Bounds a, Bounds b)
{
    if (a.low >= 0 && b.low >= 0)
        return (Bounds){0, min_i64(a.high, b.high == INT64_MAX ? b.high : max_i64(b.high - 1, 0))};
    return (Bounds){b.low == INT64_MIN ? b.low : min_i64(saturate((Wide)b.low + 1), 0),
                    b.high == INT64_MAX ? b.high : max_i64(saturate((Wide)b.high - 1), 0)};
}

/* The remainder has the dividend's sign and is smaller than either. */
static Bounds tmod_bounds(Bounds a, Bounds b)
{
    Bounds r = {min_i64(a.low, 0), max_i64(a.high, 0)};
    if (b.low != INT64_MIN && b.high != INT64_MAX) {
        const int64_t most = max_i64(max_i64(b.high, -b.low) - 1, 0);
        r = (Bounds){max_i64(r.low, -most), min_i64(r.high, most)};
    }
    return r;
}

static Bounds abs_bounds(Bounds a)
{
    const Bounds n = neg_bounds(a);
    if (a.low >= 0)
        return a;
    return (Bounds){max_i64(0, n.low), max_i64(a.high, n.high)};
}

static Bounds cast_bounds(const ExprNode *from, DType to)
{
    const Bounds all = dtype_bounds(to);
    const bool integer = dtype_is_int((DType)from->dtype) || from->dtype == DT_BOOL;
    const bool fits = from->low >= all.low && from->high <= all.high;
    return integer && from->dtype != DT_U64 && to != DT_U64 && fits
               ? (Bounds){from->low, from->high}
               : all;
}

Bounds dtype_bounds(DType t)
{
    if (t == DT_BOOL)
        return (Bounds){0, 1};
    if (!dtype_is_int(t) || dtype_bits(t) == 64)
        return (Bounds){INT64_MIN, INT64_MAX};
    const int64_t span = (int64_t)1 << dtype_bits(t);
    return dtype_is_signed(t) ? (Bounds){-span / 2, span / 2 - 1} : (Bounds){0, span - 1};
}

static Bounds arith_bounds(const Exprs *x, const ExprNode *n, const Expr *args)
{
    Bounds b[3] = {{0, 0}};
    for (int i = 0; i < n->nargs && i < 3; i++)
        b[i] = (Bounds){expr_low(x, args[i]), expr_high(x, args[i])};
    Bounds r = b[0];
    switch (n->op) {
    case EX_ADD:
    case EX_MUL:
        for (int i = 1; i < n->nargs; i++) {
            const Bounds next = {expr_low(x, args[i]), expr_high(x, args[i])};
            r = n->op == EX_ADD ? add_bounds(r, next) : mul_bounds(r, next);
        }
        return r;
    case EX_SUB:
        return add_bounds(b[0], neg_bounds(b[1]));
    case EX_DIV:
        return div_bounds(b[0], b[1], false);
    case EX_TDIV:
        return div_bounds(b[0], b[1], true);
    case EX_MOD:
        return mod_bounds(b[0], b[1]);
    case EX_TMOD:
        return tmod_bounds(b[0], b[1]);
    case EX_MIN:
        return (Bounds){min_i64(b[0].low, b[1].low), min_i64(b[0].high, b[1].high)};
    case EX_MAX:
        return (Bounds){max_i64(b[0].low, b[1].low), max_i64(b[0].high, b[1].high)};
    case EX_SELECT:
    case EX_RARE:
        return (Bounds){min_i64(b[1].low, b[2].low), max_i64(b[1].high, b[2].high)};
    case EX_NEG:
        return neg_bounds(b[0]);
    case EX_ABS:
        return abs_bounds(b[0]);
    case EX_AND:
        if (b[0].low >= 0 || b[1].low >= 0)
            return (Bounds){0, b[0].low < 0   ? b[1].high
                               : b[1].low < 0 ? b[0].high
                                              : min_i64(b[0].high, b[1].high)};
        break;
    case EX_BROADCAST:
    case EX_REDUCE_MIN:
    case EX_REDUCE_MAX:
        return b[0];
    default:
        break;
    }
    return dtype_bounds((DType)n->dtype);
}

Bounds expr_bounds_of(const Exprs *x, const ExprNode *n, const Expr *args)
{
    const DType t = (DType)n->dtype;
    if (n->op == EX_INT && t != DT_U64)
        return (Bounds){n->imm.i, n->imm.i};
    if (n->op == EX_VAR)
        return (Bounds){x->var.at[n->imm.i].low, x->var.at[n->imm.i].high};
    if (n->op == EX_RAMP) {
        const Bounds base = {expr_low(x, args[0]), expr_high(x, args[0])};
        const int64_t last = wrap_mul(n->imm.i, n->lanes - 1);
        return add_bounds(base, (Bounds){min_i64(0, last), max_i64(0, last)});
    }
    if (n->op == EX_CAST)
        return cast_bounds(expr_node(x, args[0]), t);
    if (!dtype_is_int(t) || t == DT_U64)
        return dtype_bounds(t);
    const Bounds r = arith_bounds(x, n, args);
    const Bounds all = dtype_bounds(t);
    return r.low < all.low || r.high > all.high ? all : r;
}
