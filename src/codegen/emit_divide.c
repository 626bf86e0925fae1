/* Integer division that never traps: floor (DIV, MOD) and truncating (TDIV, TMOD), x/0 = 0,
 * x mod 0 = 0, the least value by -1 wraps.
 *
 * Bounds decide how much of that is emitted: index arithmetic is nearly always a known non-negative
 * value by a positive constant, which is one unsigned division (a shift, or a multiplication). */
#include "codegen/gen.h"

#include <assert.h>

typedef struct Division {
    Gen *g;
    ExprOp op;
    DType type;
    int lanes;
    LLVMTypeRef scalar;
    bool wants_rest; /* MOD, TMOD */
    bool floors;
} Division;

static LLVMValueRef number(const Division *d, int64_t v)
{
    return gen_int(d->scalar, d->lanes, v);
}

static LLVMValueRef unsigned_divide(const Division *d, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef k = d->g->b;
    return d->wants_rest ? LLVMBuildURem(k, a, b, "") : LLVMBuildUDiv(k, a, b, "");
}

/* Both operands in [0, 2^31): 32 bits are faster, and vectors have a multiplication for them. */
static LLVMValueRef narrow_divide(const Division *d, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef small = gen_vector(d->g->i32, d->lanes);
    LLVMValueRef x = LLVMBuildTrunc(d->g->b, a, small, "");
    LLVMValueRef y = LLVMBuildTrunc(d->g->b, b, small, "");
    return LLVMBuildZExt(d->g->b, unsigned_divide(d, x, y), LLVMTypeOf(a), "");
}

/* Truncated quotient and rest -> what the op wants. b is not 0 and not -1. */
static LLVMValueRef signed_divide(const Division *d, LLVMValueRef a, LLVMValueRef b,
                                  bool b_positive)
{
    LLVMBuilderRef k = d->g->b;
    if (!d->floors)
        return d->wants_rest ? LLVMBuildSRem(k, a, b, "") : LLVMBuildSDiv(k, a, b, "");
    LLVMValueRef quotient = LLVMBuildSDiv(k, a, b, "");
    LLVMValueRef rest = LLVMBuildSub(k, a, LLVMBuildMul(k, quotient, b, ""), "");
    LLVMValueRef zero = number(d, 0);
    LLVMValueRef off; /* the rest's sign is not the divisor's */
    if (b_positive) {
        off = gen_icmp(d->g, LLVMIntSLT, rest, zero);
    } else {
        LLVMValueRef differ = LLVMBuildXor(k, rest, b, "");
        off = LLVMBuildAnd(k, gen_icmp(d->g, LLVMIntNE, rest, zero),
                           gen_icmp(d->g, LLVMIntSLT, differ, zero), "");
    }
    if (d->wants_rest)
        return LLVMBuildAdd(k, rest, gen_select(d->g, off, b, zero), "");
    return LLVMBuildAdd(k, quotient, LLVMBuildSExt(k, off, LLVMTypeOf(a), ""), "");
}

/* Floor division by 2^shift, of any signed value. */
static LLVMValueRef shift_divide(const Division *d, LLVMValueRef a, int shift)
{
    LLVMBuilderRef k = d->g->b;
    if (d->wants_rest)
        return LLVMBuildAnd(k, a, number(d, ((int64_t)1 << shift) - 1), "");
    return LLVMBuildAShr(k, a, number(d, shift), "");
}

static LLVMValueRef any_divide(const Division *d, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef k = d->g->b;
    LLVMValueRef zero = number(d, 0), one = number(d, 1);
    LLVMValueRef by_zero = gen_icmp(d->g, LLVMIntEQ, b, zero);
    if (!dtype_is_signed(d->type)) {
        LLVMValueRef r = unsigned_divide(d, a, gen_select(d->g, by_zero, one, b));
        return gen_select(d->g, by_zero, zero, r);
    }
    LLVMValueRef by_minus_one = gen_icmp(d->g, LLVMIntEQ, b, number(d, -1));
    LLVMValueRef unsafe = LLVMBuildOr(k, by_zero, by_minus_one, "");
    LLVMValueRef r = signed_divide(d, a, gen_select(d->g, unsafe, one, b), false);
    LLVMValueRef negated = d->wants_rest ? zero : LLVMBuildNeg(k, a, "");
    r = gen_select(d->g, by_minus_one, negated, r);
    return gen_select(d->g, by_zero, zero, r);
}

/* log2 of a power of two, else -1. */
static int exact_log2(int64_t v)
{
    return v > 0 && (v & (v - 1)) == 0 ? __builtin_ctzll((unsigned long long)v) : -1;
}

LLVMValueRef gen_divide(Gen *g, Expr e, LLVMValueRef a, LLVMValueRef b)
{
    const Exprs *x = g->x;
    const ExprNode *n = expr_node(x, e);
    const ExprNode *na = expr_node(x, expr_arg(x, e, 0)), *nb = expr_node(x, expr_arg(x, e, 1));
    const Division d = {
        .g = g,
        .op = (ExprOp)n->op,
        .type = (DType)n->dtype,
        .lanes = n->lanes,
        .scalar = gen_scalar(g, (DType)n->dtype),
        .wants_rest = n->op == EX_MOD || n->op == EX_TMOD,
        .floors = n->op == EX_DIV || n->op == EX_MOD,
    };
    const bool is_signed = dtype_is_signed(d.type);
    /* Bounds of i64 assume no overflow. That may be wrong for values from tensors, and then a
     * divisor of 0 would trap; of u64 there are none. */
    const bool bounded_b = d.type != DT_U64 && !(d.type == DT_I64 && nb->varies);
    const bool positive_b = bounded_b && nb->low > 0;
    if (positive_b && na->low >= 0) {
        if (d.type == DT_I64 && na->high <= INT32_MAX && nb->high <= INT32_MAX)
            return narrow_divide(&d, a, b);
        return unsigned_divide(&d, a, b);
    }
    if (is_signed && positive_b) {
        const int shift = nb->low == nb->high ? exact_log2(nb->low) : -1;
        return d.floors && shift >= 0 ? shift_divide(&d, a, shift) : signed_divide(&d, a, b, true);
    }
    return any_divide(&d, a, b);
}
