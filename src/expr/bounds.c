/* Intervals of integer nodes, computed once when a node is made.
 *
 * i64 arithmetic is assumed not to overflow, so its intervals saturate: INT64_MIN and INT64_MAX
 * mean "no bound". Narrower integers wrap: an interval that leaves the type becomes the whole type.
 * u64 values do not fit i64; they have no interval (the widest one, which nothing uses). */
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

int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static bool unbounded(int64_t a)
{
    return a == INT64_MIN || a == INT64_MAX;
}

/* Bounds: where an end has no bound, the sum has none on that side. */
static int64_t add_end(int64_t a, int64_t b, int64_t none)
{
    int64_t r;
    if (a == none || b == none)
        return none;
    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static int64_t mul_end(int64_t a, int64_t b)
{
    int64_t r;
    if (a == 0 || b == 0)
        return 0;
    if (unbounded(a) || unbounded(b) || __builtin_mul_overflow(a, b, &r))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return r;
}

static int64_t div_end(int64_t a, int64_t b)
{
    if (unbounded(a))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    if (unbounded(b))
        return a == 0 || (a < 0) == (b < 0) ? 0 : -1;
    return floor_div(a, b);
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static Bounds hull4(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (Bounds){min_i64(min_i64(a, b), min_i64(c, d)), max_i64(max_i64(a, b), max_i64(c, d))};
}

static Bounds add_bounds(Bounds a, Bounds b)
{
    return (Bounds){add_end(a.low, b.low, INT64_MIN), add_end(a.high, b.high, INT64_MAX)};
}

static Bounds mul_bounds(Bounds a, Bounds b)
{
    return hull4(mul_end(a.low, b.low), mul_end(a.low, b.high), mul_end(a.high, b.low),
                 mul_end(a.high, b.high));
}

static Bounds neg_bounds(Bounds a)
{
    return mul_bounds(a, (Bounds){-1, -1});
}

/* Floor or truncating division: |a / b| <= |a| always. */
static Bounds div_bounds(Bounds a, Bounds b, bool truncates)
{
    if (b.low > 0 && (!truncates || a.low >= 0))
        return hull4(div_end(a.low, b.low), div_end(a.low, b.high), div_end(a.high, b.low),
                     div_end(a.high, b.high));
    if (b.low >= 0 && a.low >= 0)
        return (Bounds){0, a.high};
    const Bounds n = neg_bounds(a);
    return (Bounds){min_i64(a.low, n.low), max_i64(a.high, n.high)};
}

static Bounds mod_bounds(Bounds a, Bounds b)
{
    if (a.low >= 0 && b.low >= 0)
        return (Bounds){0, min_i64(a.high, unbounded(b.high) ? b.high : max_i64(b.high - 1, 0))};
    return (Bounds){unbounded(b.low) ? b.low : min_i64(b.low + 1, 0),
                    unbounded(b.high) ? b.high : max_i64(b.high - 1, 0)};
}

/* The remainder has the dividend's sign and is smaller than either. */
static Bounds tmod_bounds(Bounds a, Bounds b)
{
    Bounds r = {min_i64(a.low, 0), max_i64(a.high, 0)};
    if (!unbounded(b.low) && !unbounded(b.high)) {
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
