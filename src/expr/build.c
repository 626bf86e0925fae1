/* The builders: what makes expressions canonical.
 *
 * Constants fold through scalar_apply. i64 scalars take the linear form (linear.c, divide.c), and
 * their comparisons, min and max fold by intervals and proofs. Other integers wrap, so they have
 * only rules that hold modulo 2^n. Float rules keep every bit of the result, NaN, infinities and -0
 * included: x + 0 is not x (x may be -0), x*0 is not 0. Vectors are left as they are. */
#include <assert.h>

#include "expr/linear.h"

static bool is_op(const Exprs *x, Expr e, ExprOp op)
{
    return expr_node(x, e)->op == op;
}

static bool is_constant(const Exprs *x, Expr e)
{
    return is_op(x, e, EX_INT) || is_op(x, e, EX_FLOAT);
}

/* Is e the integer or bool v? */
static bool is_int(const Exprs *x, Expr e, int64_t v)
{
    int64_t c;
    return expr_is_int(x, e, &c) && c == v;
}

/* Is e this float, sign of zero included? */
static bool is_float(const Exprs *x, Expr e, double v)
{
    const union {
        double f;
        int64_t i;
    } bits = {.f = v};
    return is_op(x, e, EX_FLOAT) && expr_node(x, e)->imm.i == bits.i;
}

static Expr node(Exprs *x, ExprOp op, DType t, int n, const Expr *args)
{
    return expr_intern(x, op, t, expr_node(x, args[0])->lanes, 0, n, args);
}

static Expr node2(Exprs *x, ExprOp op, DType t, Expr a, Expr b)
{
    const Expr args[] = {a, b};
    return node(x, op, t, 2, args);
}

static Expr expr_bool(Exprs *x, bool v)
{
    return expr_int_of(x, DT_BOOL, v);
}

static Scalar scalar_of(const Exprs *x, Expr e)
{
    const ExprNode *const n = expr_node(x, e);
    Scalar s = {.dtype = (DType)n->dtype};
    if (n->op == EX_FLOAT)
        s.f = n->imm.f;
    else
        s.i = n->imm.i;
    return s;
}

static Expr expr_of_scalar(Exprs *x, Scalar s)
{
    return dtype_is_float(s.dtype) ? expr_float(x, s.dtype, s.f) : expr_int_of(x, s.dtype, s.i);
}

/* The op applied, if all arguments are constants; else 0. */
static Expr fold(Exprs *x, ExprOp op, DType t, int n, const Expr *args)
{
    Scalar s[3];
    for (int i = 0; i < n; i++) {
        if (!is_constant(x, args[i]))
            return 0;
        s[i] = scalar_of(x, args[i]);
    }
    return expr_of_scalar(x, scalar_apply(op, t, n, s));
}

/* ---- comparisons ---- */
/* d as left - right, with positive coefficients on both sides. */
static void split_sides(Exprs *x, const Linear *d, Expr *left, Expr *right)
{
    Linear l, r;
    linear_init(&l);
    linear_init(&r);
    for (int i = 0; i < d->n; i++)
        linear_add_term(d->term[i].coef > 0 ? &l : &r, d->term[i].e,
                        d->term[i].coef > 0 ? d->term[i].coef : wrap_mul(d->term[i].coef, -1));
    if (l.n == 0)
        l.constant = d->constant;
    else
        r.constant = -d->constant;
    *left = linear_build(x, &l);
    *right = linear_build(x, &r);
}

static Expr compare_bounds(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const bool le = bounds_le(x, a, b), ge = bounds_le(x, b, a);
    const bool lt = le && expr_high(x, a) < expr_low(x, b);
    const bool gt = ge && expr_low(x, a) > expr_high(x, b);
    if (op == EX_LT && (lt || ge))
        return expr_bool(x, lt);
    if (op == EX_LE && (le || gt))
        return expr_bool(x, le);
    if ((op == EX_EQ || op == EX_NE) && (lt || gt))
        return expr_bool(x, op == EX_NE);
    return node2(x, op, DT_BOOL, a, b);
}

/* a - b, b - a - 1 and a - b - 1: false if one of them leaves i64. */
static bool differences(Exprs *x, Expr a, Expr b, Expr *diff, Expr *less, Expr *more)
{
    const bool before = wrap_watch(x);
    *diff = expr_sub(x, a, b);
    *less = expr_addi(x, expr_scale(x, *diff, -1), -1);
    *more = expr_addi(x, *diff, -1);
    return !wrap_seen(x, before);
}

/* i64 a < b, a == b, a != b by the sign of d = a - b. */
static Expr compare_i64(Exprs *x, ExprOp op, Expr a, Expr b)
{
    if (op == EX_LE) {
        const bool before = wrap_watch(x);
        const Expr next = expr_addi(x, b, 1);
        if (wrap_seen(x, before))
            return compare_bounds(x, op, a, b);
        op = EX_LT;
        b = next;
    }
    Expr diff, less, more;
    if (!differences(x, a, b, &diff, &less, &more))
        return compare_bounds(x, op, a, b);
    if (op == EX_LT) {
        if (expr_proves_nonneg(x, less))
            return expr_bool(x, true);
        if (expr_proves_nonneg(x, diff))
            return expr_bool(x, false);
    } else if (is_int(x, diff, 0) || expr_proves_nonneg(x, more) || expr_proves_nonneg(x, less)) {
        return expr_bool(x, is_int(x, diff, 0) == (op == EX_EQ));
    }
    Linear d;
    linear_init(&d);
    linear_add(x, &d, diff, 1);
    if (d.full || d.n == 0 || d.constant > INT64_MAX / 2 || d.constant < -INT64_MAX / 2)
        return node2(x, op, DT_BOOL, a, b);
    int64_t g = 0;
    for (int i = 0; i < d.n; i++)
        g = gcd(g, d.term[i].coef);
    if (g <= 0)
        return node2(x, op, DT_BOOL, a, b);
    Expr quotient, rest; /* g*t + rest < 0 is t < 0 where 0 <= rest < g */
    if (op == EX_LT && d.n > 1 && linear_group(x, &d, 0, &quotient, &rest))
        return compare_i64(x, EX_LT, quotient, expr_int(x, 0));
    if (op != EX_LT && d.constant % g != 0)
        return expr_bool(x, op == EX_NE);
    /* g*t + c < 0 is t < ceil(-c/g). An equality has no direction: its first term goes left. */
    const int64_t sign = op != EX_LT && d.term[0].coef < 0 ? -1 : 1;
    for (int i = 0; i < d.n; i++)
        d.term[i].coef = wrap_mul(d.term[i].coef / g, sign);
    d.constant = wrap_mul(-floor_div(-d.constant + (op == EX_LT ? g - 1 : 0), g), sign);
    split_sides(x, &d, &a, &b);
    return node2(x, op, DT_BOOL, a, b);
}

static Expr compare_bool(Exprs *x, ExprOp op, Expr a, Expr b)
{
    if (op == EX_EQ || op == EX_NE) {
        if (is_constant(x, a))
            return compare_bool(x, op, b, a);
        if (is_constant(x, b))
            return is_int(x, b, op == EX_EQ) ? a : expr_not(x, a);
    }
    return node2(x, op, DT_BOOL, a, b);
}

static Expr build_compare(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    if (a == b && (op == EX_LT || !dtype_is_float(t)))
        return expr_bool(x, op == EX_LE || op == EX_EQ);
    if (t == DT_I64)
        return compare_i64(x, op, a, b);
    if (t == DT_BOOL)
        return compare_bool(x, op, a, b);
    return dtype_is_int(t) && t != DT_U64 ? compare_bounds(x, op, a, b)
                                          : node2(x, op, DT_BOOL, a, b);
}

/* ---- bool ---- */
static Expr build_bool(Exprs *x, ExprOp op, Expr a, Expr b)
{
    if (is_constant(x, a)) {
        const Expr t = a;
        a = b;
        b = t;
    }
    if (op == EX_MIN || op == EX_MAX || op == EX_MUL || op == EX_ADD) {
        op = op == EX_MIN || op == EX_MUL ? EX_AND : EX_OR;
    }
    if (op == EX_XOR && is_constant(x, b))
        return is_int(x, b, 1) ? expr_not(x, a) : a;
    if (op != EX_AND && op != EX_OR)
        return node2(x, op, DT_BOOL, a, b);
    if (is_constant(x, b))
        return is_int(x, b, op == EX_AND) ? a : b;
    if (a == b)
        return a;
    if (expr_not(x, a) == b)
        return expr_bool(x, op == EX_OR);
    /* The chain leans left; b is not added where it stands already. */
    if (is_op(x, b, op)) {
        const Expr first = expr_arg(x, b, 0);
        const Expr second = expr_arg(x, b, 1);
        return build_bool(x, op, build_bool(x, op, a, first), second);
    }
    for (Expr e = a; is_op(x, e, op); e = expr_arg(x, e, 0))
        if (expr_arg(x, e, 1) == b || expr_arg(x, e, 0) == b)
            return a;
    return node2(x, op, DT_BOOL, a, b);
}

/* ---- i64 ---- */
static Expr min_max_i64(Exprs *x, ExprOp op, Expr a, Expr b)
{
    if (expr_proves_le(x, a, b))
        return op == EX_MIN ? a : b;
    if (expr_proves_le(x, b, a))
        return op == EX_MIN ? b : a;
    /* Constants last; min(min(t, 3), u) is min(min(t, u), 3). */
    if (is_constant(x, a) || (!is_constant(x, b) && expr_compare(x, a, b) > 0)) {
        const Expr t = a;
        a = b;
        b = t;
    }
    if (is_op(x, a, op) && is_constant(x, expr_arg(x, a, 1))) {
        const Expr c = expr_arg(x, a, 1);
        const Expr first = expr_arg(x, a, 0);
        return is_constant(x, b) ? expr_bin(x, op, first, expr_bin(x, op, c, b))
                                 : expr_bin(x, op, expr_bin(x, op, first, b), c);
    }
    return node2(x, op, DT_I64, a, b);
}

static Expr build_i64(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const Expr args[] = {a, b};
    switch (op) {
    case EX_ADD:
        return expr_sum(x, 2, args);
    case EX_SUB:
        return expr_sub(x, a, b);
    case EX_MUL:
        return expr_product(x, a, b);
    case EX_DIV:
        return expr_floor_div(x, a, b);
    case EX_MOD:
        return expr_floor_mod(x, a, b);
    case EX_TDIV:
    case EX_TMOD:
        if (expr_low(x, a) >= 0 && expr_low(x, b) >= 0)
            return expr_bin(x, op == EX_TDIV ? EX_DIV : EX_MOD, a, b);
        break;
    case EX_MIN:
    case EX_MAX:
        return min_max_i64(x, op, a, b);
    case EX_AND:
    case EX_OR:
        if (a == b)
            return a;
        break;
    default:
        break;
    }
    if (is_int(x, b, 0) && (op == EX_OR || op == EX_XOR || op == EX_SHL || op == EX_SHR))
        return a;
    return node2(x, op, DT_I64, a, b);
}

/* ---- narrower integers and u64: modulo 2^n ---- */
static Expr build_int(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    const bool commutes = op == EX_ADD || op == EX_MUL || op == EX_AND || op == EX_OR ||
                          op == EX_XOR || op == EX_MIN || op == EX_MAX;
    if (op == EX_SUB)
        return expr_sub(x, a, b);
    if (commutes && is_constant(x, a)) {
        const Expr c = a;
        a = b;
        b = c;
    }
    if ((op == EX_ADD || op == EX_OR || op == EX_XOR || op == EX_SHL || op == EX_SHR) &&
        is_int(x, b, 0))
        return a;
    if ((op == EX_MUL || op == EX_DIV || op == EX_TDIV) && is_int(x, b, 1))
        return a;
    if ((op == EX_MUL || op == EX_AND || op == EX_DIV || op == EX_TDIV || op == EX_MOD ||
         op == EX_TMOD) &&
        is_int(x, b, 0))
        return b;
    if ((op == EX_AND || op == EX_OR || op == EX_MIN || op == EX_MAX) && a == b)
        return a;
    if ((op == EX_ADD || op == EX_MUL) && is_constant(x, b) && is_op(x, a, op) &&
        is_constant(x, expr_arg(x, a, 1)))
        return expr_bin(x, op, expr_arg(x, a, 0), expr_bin(x, op, expr_arg(x, a, 1), b));
    if ((op == EX_MIN || op == EX_MAX) && t != DT_U64) {
        if (expr_high(x, a) <= expr_low(x, b))
            return op == EX_MIN ? a : b;
        if (expr_high(x, b) <= expr_low(x, a))
            return op == EX_MIN ? b : a;
    }
    return node2(x, op, t, a, b);
}

/* ---- floats ---- */
static Expr build_float(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    if ((op == EX_ADD || op == EX_MUL) && is_constant(x, a)) {
        const Expr c = a;
        a = b;
        b = c;
    }
    if ((op == EX_ADD && is_float(x, b, -0.0)) || (op == EX_SUB && is_float(x, b, 0.0)))
        return a;
    if ((op == EX_MUL || op == EX_DIV || op == EX_POW) && is_float(x, b, 1.0))
        return a;
    if ((op == EX_MUL || op == EX_DIV) && is_float(x, b, -1.0))
        return expr_un(x, EX_NEG, a);
    if (op == EX_POW && is_float(x, b, 2.0))
        return expr_mul(x, a, a);
    if ((op == EX_MIN || op == EX_MAX) && a == b)
        return a;
    return node2(x, op, t, a, b);
}

/* ---- entries ---- */
Expr expr_bin(Exprs *x, ExprOp op, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    const DType result = expr_op_is_compare(op) ? DT_BOOL : t;
    const Expr args[] = {a, b};
    assert(a && b && t == expr_type(x, b) && expr_node(x, a)->lanes == expr_node(x, b)->lanes);
    if (expr_node(x, a)->lanes > 1)
        return node2(x, op, result, a, b);
    const bool linear = t == DT_I64 && (op == EX_ADD || op == EX_SUB || op == EX_MUL);
    const Expr folded = linear ? 0 : fold(x, op, result, 2, args); /* sums note what wraps */
    if (folded)
        return folded;
    if (expr_op_is_compare(op))
        return build_compare(x, op, a, b);
    if (t == DT_BOOL)
        return build_bool(x, op, a, b);
    if (t == DT_I64)
        return build_i64(x, op, a, b);
    return dtype_is_float(t) ? build_float(x, op, a, b) : build_int(x, op, a, b);
}

static Expr build_not(Exprs *x, Expr a)
{
    if (is_op(x, a, EX_NOT))
        return expr_arg(x, a, 0);
    if (expr_op_is_compare((ExprOp)expr_node(x, a)->op)) {
        const Expr p = expr_arg(x, a, 0);
        const Expr q = expr_arg(x, a, 1);
        if (is_op(x, a, EX_EQ) || is_op(x, a, EX_NE))
            return expr_bin(x, is_op(x, a, EX_EQ) ? EX_NE : EX_EQ, p, q);
        if (!dtype_is_float(expr_type(x, p))) /* not(a < b) of floats is true for NaN too */
            return expr_bin(x, is_op(x, a, EX_LT) ? EX_LE : EX_LT, q, p);
    }
    return node(x, EX_NOT, expr_type(x, a), 1, &a);
}

static bool rounds_to_integer(ExprOp op)
{
    return op == EX_FLOOR || op == EX_CEIL || op == EX_TRUNC || op == EX_ROUND;
}

Expr expr_un(Exprs *x, ExprOp op, Expr a)
{
    const DType t = expr_type(x, a);
    const ExprOp inner = (ExprOp)expr_node(x, a)->op;
    if (expr_node(x, a)->lanes > 1)
        return node(x, op, t, 1, &a);
    if (t == DT_I64 && op == EX_NEG)
        return expr_scale(x, a, -1);
    const Expr folded = fold(x, op, t, 1, &a);
    if (folded)
        return folded;
    if (op == EX_NOT)
        return build_not(x, a);
    if (op == EX_NEG && inner == EX_NEG)
        return expr_arg(x, a, 0);
    if (op == EX_ABS && (inner == EX_NEG || inner == EX_ABS))
        return expr_un(x, EX_ABS, expr_arg(x, a, 0));
    if (op == EX_ABS && dtype_is_int(t) && t != DT_U64 && expr_low(x, a) >= 0)
        return a;
    if ((op == EX_ABS && (t == DT_U64 || t == DT_BOOL)) ||
        (rounds_to_integer(op) && (rounds_to_integer(inner) || !dtype_is_float(t))))
        return a;
    return node(x, op, t, 1, &a);
}

Expr expr_fma(Exprs *x, Expr a, Expr b, Expr c)
{
    const DType t = expr_type(x, a);
    const Expr args[] = {a, b, c};
    assert(t == expr_type(x, b) && t == expr_type(x, c));
    if (expr_node(x, a)->lanes > 1)
        return node(x, EX_FMA, t, 3, args);
    if (!dtype_is_float(t))
        return expr_add(x, expr_mul(x, a, b), c);
    const Expr folded = fold(x, EX_FMA, t, 3, args);
    if (folded)
        return folded;
    if (is_float(x, a, 1.0))
        return expr_add(x, b, c);
    if (is_float(x, b, 1.0))
        return expr_add(x, a, c);
    if (is_constant(x, a) && !is_constant(x, b))
        return expr_fma(x, b, a, c);
    return node(x, EX_FMA, t, 3, args);
}

Expr expr_select(Exprs *x, Expr c, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    assert(expr_type(x, c) == DT_BOOL && t == expr_type(x, b));
    const Expr args[] = {c, a, b};
    if (expr_node(x, a)->lanes > 1)
        return expr_intern(x, EX_SELECT, t, expr_node(x, a)->lanes, 0, 3, args);
    if (is_constant(x, c))
        return is_int(x, c, 1) ? a : b;
    if (a == b)
        return a;
    if (is_op(x, c, EX_NOT))
        return expr_select(x, expr_arg(x, c, 0), b, a);
    if (is_op(x, a, EX_SELECT) && expr_arg(x, a, 0) == c)
        return expr_select(x, c, expr_arg(x, a, 1), b);
    if (is_op(x, b, EX_SELECT) && expr_arg(x, b, 0) == c)
        return expr_select(x, c, a, expr_arg(x, b, 2));
    if (t == DT_BOOL && is_constant(x, a))
        return is_int(x, a, 1) ? expr_or(x, c, b) : expr_and(x, expr_not(x, c), b);
    if (t == DT_BOOL && is_constant(x, b))
        return is_int(x, b, 1) ? expr_or(x, expr_not(x, c), a) : expr_and(x, c, a);
    return node(x, EX_SELECT, t, 3, args);
}

/* Does every value of `from` have an exact image in `to`? */
static bool holds_exactly(DType from, DType to)
{
    if (from == DT_BOOL || from == to)
        return true;
    if (to == DT_BOOL)
        return false;
    if (dtype_is_float(from))
        return dtype_is_float(to) && dtype_bits(to) >= dtype_bits(from);
    const int bits = dtype_bits(from);
    if (dtype_is_float(to))
        return bits <= (to == DT_F64 ? 32 : 16);
    return dtype_is_signed(from) ? dtype_is_signed(to) && dtype_bits(to) >= bits
                                 : dtype_bits(to) >= bits + dtype_is_signed(to);
}

Expr expr_cast(Exprs *x, DType to, Expr a)
{
    const DType t = expr_type(x, a);
    const int lanes = expr_node(x, a)->lanes;
    if (to == t)
        return a;
    if (lanes > 1)
        return expr_intern(x, EX_CAST, to, lanes, 0, 1, &a);
    if (is_constant(x, a))
        return expr_of_scalar(x, scalar_cast(to, scalar_of(x, a)));
    if (is_op(x, a, EX_CAST)) {
        const Expr inner = expr_arg(x, a, 0);
        const DType from = expr_type(x, inner);
        /* Exact steps between, or only low bits kept all the way. */
        const bool wraps = dtype_is_int(from) && dtype_is_int(t) && dtype_is_int(to) &&
                           dtype_bits(t) >= dtype_bits(to);
        if (holds_exactly(from, t) || wraps)
            return expr_cast(x, to, inner);
    }
    return expr_intern(x, EX_CAST, to, 1, 0, 1, &a);
}

Expr expr_bitcast(Exprs *x, DType to, Expr a)
{
    const int lanes = expr_node(x, a)->lanes;
    assert(dtype_bits(to) == dtype_bits(expr_type(x, a)));
    if (to == expr_type(x, a))
        return a;
    if (is_op(x, a, EX_BITCAST) && lanes == 1)
        return expr_bitcast(x, to, expr_arg(x, a, 0));
    const Expr folded = lanes == 1 ? fold(x, EX_BITCAST, to, 1, &a) : 0;
    return folded ? folded : expr_intern(x, EX_BITCAST, to, lanes, 0, 1, &a);
}

Expr expr_sub(Exprs *x, Expr a, Expr b)
{
    const DType t = expr_type(x, a);
    assert(t == expr_type(x, b));
    if (expr_node(x, a)->lanes > 1)
        return node2(x, EX_SUB, t, a, b);
    if (t == DT_I64) {
        const Expr args[] = {a, expr_scale(x, b, -1)};
        return expr_sum(x, 2, args);
    }
    if (!dtype_is_int(t))
        return expr_bin(x, EX_SUB, a, b);
    return a == b ? expr_int_of(x, t, 0) : expr_add(x, a, expr_mul(x, b, expr_int_of(x, t, -1)));
}

Expr expr_addi(Exprs *x, Expr a, int64_t n)
{
    return n == 0 ? a : expr_add(x, a, expr_int(x, n));
}

Expr expr_muli(Exprs *x, Expr a, int64_t n)
{
    return expr_scale(x, a, n);
}

Expr expr_divi(Exprs *x, Expr a, int64_t n)
{
    return expr_div(x, a, expr_int(x, n));
}

Expr expr_modi(Exprs *x, Expr a, int64_t n)
{
    return expr_mod(x, a, expr_int(x, n));
}

Expr expr_ceil_div(Exprs *x, Expr a, Expr b)
{
    return expr_div(x, expr_add(x, a, expr_addi(x, b, -1)), b);
}
