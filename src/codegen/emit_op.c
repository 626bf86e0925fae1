/* One op on emitted operands. No flag that lets LLVM change a result: neither contraction nor "no
 * NaN", so that the loop interpreter can be compared bit for bit. Only index arithmetic, which is
 * assumed not to overflow, says so. */
#include "codegen/gen.h"

#include <assert.h>

typedef struct Op {
    Gen *g;
    const ExprNode *n;
    LLVMTypeRef scalar, type; /* of the result */
    DType from;               /* of the first operand */
    int lanes;                /* of the first operand */
    bool is_float, is_signed; /* the first operand */
} Op;

static LLVMValueRef intrinsic(const Op *o, const char *name, int n, const LLVMValueRef *args)
{
    LLVMTypeRef types[1] = {o->type};
    return gen_intrinsic(o->g, name, 1, types, n, (LLVMValueRef *)args);
}

/* Bools add as or, subtract as xor, multiply as and. */
static LLVMValueRef arithmetic(const Op *o, ExprOp op, LLVMValueRef x, LLVMValueRef y)
{
    LLVMBuilderRef b = o->g->b;
    const bool is_bool = o->n->dtype == DT_BOOL;
    const bool no_wrap = o->n->dtype == DT_I64 && !o->n->varies;
    switch (op) {
    case EX_ADD:
        return o->is_float ? LLVMBuildFAdd(b, x, y, "")
               : is_bool   ? LLVMBuildOr(b, x, y, "")
               : no_wrap   ? LLVMBuildNSWAdd(b, x, y, "")
                           : LLVMBuildAdd(b, x, y, "");
    case EX_SUB:
        return o->is_float ? LLVMBuildFSub(b, x, y, "")
               : is_bool   ? LLVMBuildXor(b, x, y, "")
                           : LLVMBuildSub(b, x, y, "");
    default:
        assert(op == EX_MUL);
        return o->is_float ? LLVMBuildFMul(b, x, y, "")
               : is_bool   ? LLVMBuildAnd(b, x, y, "")
               : no_wrap   ? LLVMBuildNSWMul(b, x, y, "")
                           : LLVMBuildMul(b, x, y, "");
    }
}

/* a < b, a <= b, a == b, a != b; NaN makes all but != false. */
static LLVMValueRef compare(const Op *o, ExprOp op, LLVMValueRef a, LLVMValueRef b)
{
    if (o->is_float) {
        const LLVMRealPredicate p = op == EX_LT   ? LLVMRealOLT
                                    : op == EX_LE ? LLVMRealOLE
                                    : op == EX_EQ ? LLVMRealOEQ
                                                  : LLVMRealUNE;
        return LLVMBuildFCmp(o->g->b, p, a, b, "");
    }
    const LLVMIntPredicate p = op == EX_LT   ? (o->is_signed ? LLVMIntSLT : LLVMIntULT)
                               : op == EX_LE ? (o->is_signed ? LLVMIntSLE : LLVMIntULE)
                               : op == EX_EQ ? LLVMIntEQ
                                             : LLVMIntNE;
    return gen_icmp(o->g, p, a, b);
}

/* a < b ? a : b: exactly what minps does. */
static LLVMValueRef min_max(const Op *o, bool min, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef c = min ? compare(o, EX_LT, a, b) : compare(o, EX_LT, b, a);
    return gen_select(o->g, c, a, b);
}

static LLVMValueRef negate(const Op *o, LLVMValueRef a)
{
    return o->is_float ? LLVMBuildFNeg(o->g->b, a, "") : LLVMBuildNeg(o->g->b, a, "");
}

static LLVMValueRef absolute(const Op *o, LLVMValueRef a)
{
    if (o->is_float)
        return intrinsic(o, "llvm.fabs", 1, &a);
    if (!o->is_signed)
        return a;
    LLVMValueRef args[2] = {a, LLVMConstInt(o->g->i1, 0, false)}; /* the least value wraps */
    return intrinsic(o, "llvm.abs", 2, args);
}

/* The amount counts as unsigned, so that a negative one is "the width or more". */
static LLVMValueRef shift(const Op *o, LLVMValueRef a, LLVMValueRef amount)
{
    LLVMBuilderRef b = o->g->b;
    const int bits = dtype_bits(o->from);
    LLVMValueRef width = gen_int(o->scalar, o->lanes, bits);
    LLVMValueRef last = gen_int(o->scalar, o->lanes, bits - 1);
    LLVMValueRef fits = gen_icmp(o->g, LLVMIntULT, amount, width);
    LLVMValueRef safe = gen_select(o->g, fits, amount, last);
    if (o->n->op == EX_SHR && o->is_signed)
        return LLVMBuildAShr(b, a, safe, "");
    LLVMValueRef r =
        o->n->op == EX_SHL ? LLVMBuildShl(b, a, safe, "") : LLVMBuildLShr(b, a, safe, "");
    return gen_select(o->g, fits, r, LLVMConstNull(o->type));
}

static LLVMValueRef bitwise(const Op *o, const LLVMValueRef *a)
{
    LLVMBuilderRef b = o->g->b;
    switch ((ExprOp)o->n->op) {
    case EX_AND: return LLVMBuildAnd(b, a[0], a[1], "");
    case EX_OR: return LLVMBuildOr(b, a[0], a[1], "");
    case EX_XOR: return LLVMBuildXor(b, a[0], a[1], "");
    default: return LLVMBuildNot(b, a[0], "");
    }
}

static bool is_number(const Exprs *x, Expr e, double *v)
{
    return expr_is_const(x, expr_node(x, e)->op == EX_BROADCAST ? expr_arg(x, e, 0) : e, v);
}

/* Is e min(max(.., low), high) already, or narrower? Then it is no NaN: max gives its second
 * operand for one. */
static bool is_limited(const Exprs *x, Expr e, double low, double high)
{
    double limit;
    if (expr_node(x, e)->op != EX_MIN || !is_number(x, expr_arg(x, e, 1), &limit) || limit > high)
        return false;
    const Expr above = expr_arg(x, e, 0);
    return expr_node(x, above)->op == EX_MAX && is_number(x, expr_arg(x, above, 1), &limit) &&
           limit >= low;
}

/* Vectors to 8 or 16 bits, saturating, NaN to 0, by way of i32: LLVM's own cast goes lane by
 * lane. */
static LLVMValueRef narrow_vector(const Op *o, Expr e, LLVMValueRef a)
{
    LLVMBuilderRef b = o->g->b;
    LLVMTypeRef scalar = gen_scalar(o->g, o->from);
    const DType to = (DType)o->n->dtype;
    const double low = dtype_lowest(to), high = dtype_highest(to);
    if (!is_limited(o->g->x, e, low, high)) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
        LLVMValueRef number =
            low == 0 ? a : gen_select(o->g, LLVMBuildFCmp(b, LLVMRealORD, a, zero, ""), a, zero);
        a = min_max(o, true, min_max(o, false, number, gen_real(scalar, o->lanes, low)),
                    gen_real(scalar, o->lanes, high));
    }
    return LLVMBuildTrunc(b, LLVMBuildFPToSI(b, a, gen_vector(o->g->i32, o->lanes), ""), o->type,
                          "");
}

static LLVMValueRef cast_from_float(const Op *o, Expr e, LLVMValueRef a)
{
    LLVMBuilderRef b = o->g->b;
    const DType to = (DType)o->n->dtype;
    if (to == DT_BOOL)
        return LLVMBuildFCmp(b, LLVMRealUNE, a, LLVMConstNull(LLVMTypeOf(a)), "");
    if (dtype_is_float(to))
        return to == DT_F64 ? LLVMBuildFPExt(b, a, o->type, "")
                            : LLVMBuildFPTrunc(b, a, o->type, "");
    if (o->lanes > 1 && (dtype_bits(to) == 8 || dtype_bits(to) == 16))
        return narrow_vector(o, e, a);
    LLVMTypeRef types[2] = {o->type, LLVMTypeOf(a)};
    return gen_intrinsic(o->g, dtype_is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", 2,
                         types, 1, &a);
}

static LLVMValueRef cast(const Op *o, Expr e, LLVMValueRef a)
{
    LLVMBuilderRef b = o->g->b;
    const DType to = (DType)o->n->dtype;
    if (to == o->from)
        return a;
    if (o->is_float)
        return cast_from_float(o, e, a);
    if (to == DT_BOOL)
        return gen_icmp(o->g, LLVMIntNE, a, LLVMConstNull(LLVMTypeOf(a)));
    if (dtype_is_float(to))
        return o->is_signed ? LLVMBuildSIToFP(b, a, o->type, "")
                            : LLVMBuildUIToFP(b, a, o->type, "");
    const int bits = o->from == DT_BOOL ? 1 : dtype_bits(o->from);
    if (dtype_bits(to) == bits)
        return a;
    if (dtype_bits(to) < bits)
        return LLVMBuildTrunc(b, a, o->type, "");
    return o->is_signed ? LLVMBuildSExt(b, a, o->type, "") : LLVMBuildZExt(b, a, o->type, "");
}

/* A bool is a byte to the outside. */
static LLVMValueRef bitcast(const Op *o, LLVMValueRef a)
{
    LLVMBuilderRef b = o->g->b;
    if (o->from == DT_BOOL && o->n->dtype != DT_BOOL)
        return LLVMBuildZExt(b, a, o->type, "");
    if (o->from != DT_BOOL && o->n->dtype == DT_BOOL)
        return LLVMBuildTrunc(b, a, o->type, "");
    return LLVMBuildBitCast(b, a, o->type, "");
}

static LLVMValueRef round_to(const Op *o, LLVMValueRef a)
{
    if (!o->is_float)
        return a;
    switch ((ExprOp)o->n->op) {
    case EX_FLOOR: return intrinsic(o, "llvm.floor", 1, &a);
    case EX_CEIL: return intrinsic(o, "llvm.ceil", 1, &a);
    case EX_TRUNC: return intrinsic(o, "llvm.trunc", 1, &a);
    case EX_ROUND: return intrinsic(o, "llvm.roundeven", 1, &a);
    default: return intrinsic(o, "llvm.sqrt", 1, &a);
    }
}

/* a*b + c; of integers it wraps as they do. */
static LLVMValueRef fused(const Op *o, const LLVMValueRef *a)
{
    if (o->is_float)
        return intrinsic(o, "llvm.fma", 3, a);
    return LLVMBuildAdd(o->g->b, LLVMBuildMul(o->g->b, a[0], a[1], ""), a[2], "");
}

static LLVMValueRef ramp(const Op *o, LLVMValueRef base)
{
    enum { MAX_RAMP = 1024 };
    LLVMValueRef steps[MAX_RAMP];
    assert(o->n->lanes <= MAX_RAMP && !o->is_float);
    if (o->n->lanes == 1)
        return base;
    for (int k = 0; k < o->n->lanes; k++)
        steps[k] = LLVMConstInt(o->scalar, (unsigned long long)(k * o->n->imm.i), true);
    return LLVMBuildAdd(o->g->b, gen_splat(o->g, base, o->n->lanes),
                        LLVMConstVector(steps, o->n->lanes), "");
}

/* Halves with halves until one lane is left: the order that the interpreter has, too. */
static LLVMValueRef reduce(const Op *o, LLVMValueRef v)
{
    /* or: in any order */
    if (o->n->dtype == DT_BOOL && o->n->op == EX_REDUCE_ADD && o->lanes > 1) {
        LLVMTypeRef types[1] = {LLVMTypeOf(v)};
        return gen_intrinsic(o->g, "llvm.vector.reduce.or", 1, types, 1, &v);
    }
    for (int n = o->lanes; n > 1; n /= 2) {
        LLVMValueRef low = gen_part(o->g, v, 0, n / 2), high = gen_part(o->g, v, n / 2, n / 2);
        const ExprOp op = (ExprOp)o->n->op;
        if (op == EX_REDUCE_ADD || op == EX_REDUCE_MUL)
            v = arithmetic(o, op == EX_REDUCE_ADD ? EX_ADD : EX_MUL, low, high);
        else
            v = min_max(o, op == EX_REDUCE_MIN, low, high);
    }
    return v;
}

LLVMValueRef gen_op(Gen *g, Expr e, const LLVMValueRef *a)
{
    const ExprNode *n = expr_node(g->x, e);
    const ExprNode *first = expr_node(g->x, expr_arg(g->x, e, 0));
    const Op o = {
        .g = g,
        .n = n,
        .scalar = gen_scalar(g, (DType)n->dtype),
        .type = gen_type(g, (DType)n->dtype, n->lanes),
        .from = (DType)first->dtype,
        .lanes = first->lanes,
        .is_float = dtype_is_float((DType)first->dtype),
        .is_signed = dtype_is_signed((DType)first->dtype),
    };
    switch ((ExprOp)n->op) {
    case EX_ADD:
    case EX_SUB:
    case EX_MUL: return arithmetic(&o, (ExprOp)n->op, a[0], a[1]);
    case EX_DIV:
        if (o.is_float)
            return LLVMBuildFDiv(g->b, a[0], a[1], "");
        return gen_divide(g, e, a[0], a[1]);
    case EX_MOD:
    case EX_TDIV:
    case EX_TMOD:
        if (!o.is_float)
            return gen_divide(g, e, a[0], a[1]);
        break; /* floats: expanded by loop/vecmath.h */
    case EX_MIN:
    case EX_MAX: return min_max(&o, n->op == EX_MIN, a[0], a[1]);
    case EX_FMA: return fused(&o, a);
    case EX_NEG: return negate(&o, a[0]);
    case EX_ABS: return absolute(&o, a[0]);
    case EX_AND:
    case EX_OR:
    case EX_XOR:
    case EX_NOT: return bitwise(&o, a);
    case EX_SHL:
    case EX_SHR: return shift(&o, a[0], a[1]);
    case EX_LT:
    case EX_LE:
    case EX_EQ:
    case EX_NE: return compare(&o, (ExprOp)n->op, a[0], a[1]);
    case EX_SELECT: return gen_select(g, a[0], a[1], a[2]);
    case EX_CAST: return cast(&o, expr_arg(g->x, e, 0), a[0]);
    case EX_BITCAST: return bitcast(&o, a[0]);
    case EX_FLOOR:
    case EX_CEIL:
    case EX_TRUNC:
    case EX_ROUND:
    case EX_SQRT: return round_to(&o, a[0]);
    case EX_RAMP: return ramp(&o, a[0]);
    case EX_BROADCAST: return gen_splat(g, a[0], n->lanes);
    case EX_REDUCE_ADD:
    case EX_REDUCE_MUL:
    case EX_REDUCE_MIN:
    case EX_REDUCE_MAX: return reduce(&o, a[0]);
    default: break;
    }
    fail(g->ctx, ERR_INTERNAL, "codegen: '%s' of %s in '%s'", expr_op_text((ExprOp)n->op),
         dtype_name((DType)n->dtype), g->l->name);
}
