/* Every elementwise op: one row says how the op's value follows from its inputs' elements.
 *
 * A row is either one expression op (`op`), folded over the inputs from the left when there are
 * more than two (Sum), or a builder (`fn`) that gets the elements v[], in the inputs' compute types
 * and broadcast to the output; an absent input is 0. One-element constants come in as literals, so
 * that Clip's bounds or a scale are immediates of the generated code.
 *
 * NaN: Max, Min, Clip and Relu let it through, as NumPy does. Integers wrap; x / 0 is 0. */
#include "op/table.h"

#include <math.h>
#include <string.h>

#include "op/activation.h"

typedef Expr (*ElementFn)(const Define *d, DType t, const Expr *v, int n);

/* ---- short forms: t is the compute type ---- */

static Expr lit(const Define *d, DType t, double v)
{
    return expr_const(d->x, t, v);
}

static Expr times(const Define *d, DType t, double k, Expr v)
{
    return expr_mul(d->x, lit(d, t, k), v);
}

static Expr plus(const Define *d, DType t, Expr v, double k)
{
    return expr_add(d->x, v, lit(d, t, k));
}

static Expr fn1(const Define *d, ExprOp op, Expr v)
{
    return expr_un(d->x, op, v);
}

static Expr is_nan(const Define *d, Expr v)
{
    return expr_ne(d->x, v, v);
}

/* ---- unary ---- */

static Expr elu(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_elu(d->x, v[0], define_float(d, "alpha", 1));
}

static Expr celu(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    const double alpha = define_float(d, "alpha", 1);
    const Expr e = fn1(d, EX_EXP, expr_div(d->x, v[0], lit(d, t, alpha)));
    const Expr low = times(d, t, alpha, plus(d, t, e, -1));
    return expr_select(d->x, expr_lt(d->x, v[0], lit(d, t, 0)), low, v[0]);
}

static Expr selu(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    const double alpha = define_float(d, "alpha", 1.67326319217681884765625);
    const double gamma = define_float(d, "gamma", 1.05070102214813232421875);
    const Expr low = times(d, t, alpha, plus(d, t, fn1(d, EX_EXP, v[0]), -1));
    const Expr y = expr_select(d->x, expr_le(d->x, v[0], lit(d, t, 0)), low, v[0]);
    return times(d, t, gamma, y);
}

static Expr gelu(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    Expr inner;
    if (strcmp(node_string(d->node, "approximate", "none"), "tanh") == 0) {
        const Expr cube = expr_mul(x, v[0], expr_mul(x, v[0], v[0]));
        const Expr sum = expr_add(x, v[0], times(d, t, 0.044715, cube));
        inner = fn1(d, EX_TANH, times(d, t, 0.79788456080286535588, sum)); /* sqrt(2/pi) */
    } else {
        inner = fn1(d, EX_ERF, times(d, t, 0.70710678118654752440, v[0])); /* 1/sqrt(2) */
    }
    return expr_mul(x, times(d, t, 0.5, v[0]), plus(d, t, inner, 1));
}

static Expr hard_sigmoid(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_hard_sigmoid(d->x, v[0], define_float(d, "alpha", 0.2),
                                   define_float(d, "beta", 0.5));
}

static Expr hard_swish(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return expr_mul(d->x, v[0], activation_hard_sigmoid(d->x, v[0], 1.0 / 6, 0.5));
}

static Expr leaky_relu(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_leaky_relu(d->x, v[0], define_float(d, "alpha", 0.01));
}

static Expr thresholded_relu(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    const Expr alpha = lit(d, t, define_float(d, "alpha", 1));
    return expr_select(d->x, expr_lt(d->x, alpha, v[0]), v[0], lit(d, t, 0));
}

static Expr relu(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_relu(d->x, v[0]);
}

static Expr softplus(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_softplus(d->x, v[0]);
}

static Expr mish(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return expr_mul(d->x, v[0], fn1(d, EX_TANH, activation_softplus(d->x, v[0])));
}

static Expr softsign(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_softsign(d->x, v[0]);
}

static Expr swish(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_swish(d->x, v[0], define_float(d, "alpha", 1));
}

static Expr quick_gelu(const Define *d, DType t, const Expr *v, int n)
{
    (void)t, (void)n;
    return activation_swish(d->x, v[0], define_float(d, "alpha", 1.702));
}

static Expr reciprocal(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    return expr_div(d->x, lit(d, t, 1), v[0]);
}

static Expr sign(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    const Expr zero = lit(d, t, 0), one = lit(d, t, 1);
    Expr rest = v[0]; /* 0 or NaN */
    if (dtype_is_signed(t))
        rest = expr_select(x, expr_lt(x, v[0], zero), lit(d, t, -1), v[0]);
    return expr_select(x, expr_lt(x, zero, v[0]), one, rest);
}

/* Also of integers: the arithmetic is in floats then. */
static Expr shrink(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    const DType real = dtype_is_float(t) ? t : dtype_size(t) < 4 ? DT_F32 : DT_F64;
    const Expr a = expr_cast(x, real, v[0]);
    const double lambd = define_float(d, "lambd", 0.5), bias = define_float(d, "bias", 0);
    const Expr high = expr_select(x, expr_lt(x, lit(d, real, lambd), a), plus(d, real, a, -bias),
                                  lit(d, real, 0));
    return expr_select(x, expr_lt(x, a, lit(d, real, -lambd)), plus(d, real, a, bias), high);
}

static Expr is_inf_of(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    Expr r = expr_int_of(x, DT_BOOL, 0);
    if (define_int(d, "detect_positive", 1))
        r = expr_or(x, r, expr_eq(x, v[0], lit(d, t, INFINITY)));
    if (define_int(d, "detect_negative", 1))
        r = expr_or(x, r, expr_eq(x, v[0], lit(d, t, -INFINITY)));
    return r;
}

static Expr is_nan_of(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    (void)n;
    return is_nan(d, v[0]);
}

/* ---- two inputs ---- */

/* Integers truncate; by zero they give 0. */
static Expr divide(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    return expr_bin(d->x, dtype_is_float(t) ? EX_DIV : EX_TDIV, v[0], v[1]);
}

/* The sign of the divisor (Python's %, zeros too), or with fmod the sign of the dividend (C's). */
static Expr mod(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    if (define_int(d, "fmod", 0))
        return expr_bin(x, EX_TMOD, v[0], v[1]);
    const Expr m = expr_mod(x, v[0], v[1]);
    if (!dtype_is_float(t))
        return m;
    const Expr zero = lit(d, t, 0);
    const Expr signed_zero = expr_select(x, expr_lt(x, v[1], zero), lit(d, t, -0.0), zero);
    return expr_select(x, expr_eq(x, m, zero), signed_zero, m);
}

/* The exponent may have another type; the result has the base's. */
static Expr power(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    const DType te = expr_type(x, v[1]);
    double e;
    if (expr_is_const(x, v[1], &e) && e == 2)
        return expr_mul(x, v[0], v[0]);
    if (expr_is_const(x, v[1], &e) && e == 3)
        return expr_mul(x, v[0], expr_mul(x, v[0], v[0]));
    DType type = t;
    if (te == DT_F64 || (dtype_is_int(t) && dtype_is_float(te)))
        type = DT_F64;
    return expr_bin(x, EX_POW, expr_cast(x, type, v[0]), expr_cast(x, type, v[1]));
}

/* A shift out of [0, width) shifts everything out. */
static Expr bit_shift(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    Exprs *x = d->x;
    const bool left = strcmp(node_string(d->node, "direction", ""), "LEFT") == 0;
    Expr by = v[1];
    if (dtype_is_signed(t)) /* a negative shift counts as the width */
        by = expr_select(x, expr_lt(x, by, lit(d, t, 0)), lit(d, t, dtype_bits(t)), by);
    return expr_bin(x, left ? EX_SHL : EX_SHR, v[0], by);
}

static Expr greater(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    (void)n;
    return expr_lt(d->x, v[1], v[0]);
}

static Expr greater_or_equal(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    (void)n;
    return expr_le(d->x, v[1], v[0]);
}

static Expr prelu(const Define *d, DType t, const Expr *v, int n)
{
    (void)n;
    return expr_select(d->x, expr_lt(d->x, v[0], lit(d, t, 0)), expr_mul(d->x, v[1], v[0]), v[0]);
}

/* ---- more inputs ---- */

static Expr extreme(const Define *d, ReduceKind kind, const Expr *v, int n)
{
    Expr r = v[0];
    for (int k = 1; k < n; k++)
        r = reduce_join(d->x, kind, v[k], r);
    return r;
}

static Expr max_of(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    return extreme(d, REDUCE_MAX, v, n);
}

static Expr min_of(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    return extreme(d, REDUCE_MIN, v, n);
}

static Expr mean(const Define *d, DType t, const Expr *v, int n)
{
    Expr sum = v[0];
    for (int k = 1; k < n; k++)
        sum = expr_add(d->x, sum, v[k]);
    return expr_div(d->x, sum, lit(d, t, n));
}

/* min(max(x, low), high), so that low > high gives high. */
static Expr clip(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    Expr r = v[0];
    if (n > 1 && v[1])
        r = expr_max(d->x, v[1], r);
    if (n > 2 && v[2])
        r = expr_min(d->x, v[2], r);
    return r;
}

static Expr where(const Define *d, DType t, const Expr *v, int n)
{
    (void)t;
    (void)n;
    return expr_select(d->x, v[0], v[1], v[2]);
}

static const struct {
    ExprOp op;
    ElementFn fn;
} rows[OP_COUNT] = {
    [OP_ABS] = {.op = EX_ABS},
    [OP_ACOS] = {.op = EX_ACOS},
    [OP_ACOSH] = {.op = EX_ACOSH},
    [OP_ASIN] = {.op = EX_ASIN},
    [OP_ASINH] = {.op = EX_ASINH},
    [OP_ATAN] = {.op = EX_ATAN},
    [OP_ATANH] = {.op = EX_ATANH},
    [OP_CEIL] = {.op = EX_CEIL},
    [OP_COS] = {.op = EX_COS},
    [OP_COSH] = {.op = EX_COSH},
    [OP_ELU] = {.fn = elu},
    [OP_ERF] = {.op = EX_ERF},
    [OP_EXP] = {.op = EX_EXP},
    [OP_FLOOR] = {.op = EX_FLOOR},
    [OP_GELU] = {.fn = gelu},
    [OP_HARD_SIGMOID] = {.fn = hard_sigmoid},
    [OP_HARD_SWISH] = {.fn = hard_swish},
    [OP_IS_INF] = {.fn = is_inf_of},
    [OP_IS_NAN] = {.fn = is_nan_of},
    [OP_LEAKY_RELU] = {.fn = leaky_relu},
    [OP_LOG] = {.op = EX_LOG},
    [OP_MISH] = {.fn = mish},
    [OP_NEG] = {.op = EX_NEG},
    [OP_NOT] = {.op = EX_NOT},
    [OP_QUICK_GELU] = {.fn = quick_gelu},
    [OP_RECIPROCAL] = {.fn = reciprocal},
    [OP_RELU] = {.fn = relu},
    [OP_ROUND] = {.op = EX_ROUND},
    [OP_SELU] = {.fn = selu},
    [OP_CELU] = {.fn = celu},
    [OP_SHRINK] = {.fn = shrink},
    [OP_SIGMOID] = {.op = EX_SIGMOID},
    [OP_SIGN] = {.fn = sign},
    [OP_SIN] = {.op = EX_SIN},
    [OP_SINH] = {.op = EX_SINH},
    [OP_SOFTPLUS] = {.fn = softplus},
    [OP_SOFTSIGN] = {.fn = softsign},
    [OP_SQRT] = {.op = EX_SQRT},
    [OP_SWISH] = {.fn = swish},
    [OP_TAN] = {.op = EX_TAN},
    [OP_TANH] = {.op = EX_TANH},
    [OP_THRESHOLDED_RELU] = {.fn = thresholded_relu},
    [OP_BITWISE_NOT] = {.op = EX_NOT},
    [OP_ADD] = {.op = EX_ADD},
    [OP_AND] = {.op = EX_AND},
    [OP_BIT_SHIFT] = {.fn = bit_shift},
    [OP_BITWISE_AND] = {.op = EX_AND},
    [OP_BITWISE_OR] = {.op = EX_OR},
    [OP_BITWISE_XOR] = {.op = EX_XOR},
    [OP_DIV] = {.fn = divide},
    [OP_EQUAL] = {.op = EX_EQ},
    [OP_GREATER] = {.fn = greater},
    [OP_GREATER_OR_EQUAL] = {.fn = greater_or_equal},
    [OP_LESS] = {.op = EX_LT},
    [OP_LESS_OR_EQUAL] = {.op = EX_LE},
    [OP_MOD] = {.fn = mod},
    [OP_MUL] = {.op = EX_MUL},
    [OP_OR] = {.op = EX_OR},
    [OP_POW] = {.fn = power},
    [OP_PRELU] = {.fn = prelu},
    [OP_SUB] = {.op = EX_SUB},
    [OP_XOR] = {.op = EX_XOR},
    [OP_MAX] = {.fn = max_of},
    [OP_MEAN] = {.fn = mean},
    [OP_MIN] = {.fn = min_of},
    [OP_SUM] = {.op = EX_ADD},
    [OP_CLIP] = {.fn = clip},
    [OP_WHERE] = {.fn = where},
};

/* ---- definition ---- */

/* Input k at the output's index; the value itself if it is one known number. */
static Expr element(const Define *d, int k, int rank, const Expr *index)
{
    int n = 0;
    double v;
    const Expr *e = define_elems(d, k, &n);
    if (e && n == 1 && expr_is_const(d->x, e[0], &v))
        return e[0];
    return define_load_broadcast(d, k, rank, index);
}

static Expr combine(const Define *d, const Expr *v, int n)
{
    const OpCode code = d->node->op;
    const DType t = expr_type(d->x, v[0]);
    if (rows[code].fn)
        return rows[code].fn(d, t, v, n);
    const ExprOp op = rows[code].op;
    if (op_rows[code].max_in == 1)
        return expr_un(d->x, op, v[0]);
    Expr r = v[0];
    for (int k = 1; k < n; k++)
        r = op == EX_SUB ? expr_sub(d->x, r, v[k]) : expr_bin(d->x, op, r, v[k]);
    return r;
}

void define_elementwise(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    const int n = d->node->nin;
    Expr *v = arena_array_of(d->ctx->arena, n, Expr);
    for (int k = 0; k < n; k++)
        v[k] = define_has(d, k) ? element(d, k, b.naxes, b.i) : 0;
    define_map(d, 0, &b, combine(d, v, n));
}

/* At inference nothing is dropped. */
void define_dropout(Define *d)
{
    define_out(d, 0, d->in[0]);
    if (d->node->nout > 1 && d->node->out[1] >= 0) {
        const StageBuild b = define_begin(d, 1);
        define_map(d, 1, &b, expr_int_of(d->x, DT_BOOL, 1));
    }
}

/* ---- inference ---- */

static void require_same_type(const Infer *f, int first)
{
    for (int k = first + 1; k < f->node->nin; k++)
        if (infer_has(f, k) && infer_in(f, k)->dtype != infer_in(f, first)->dtype)
            infer_fail(f, "inputs %d and %d differ in type", first, k);
}

static void broadcast_all(const Infer *f, DType t)
{
    Expr dims[MAX_RANK];
    int rank = 0;
    for (int k = 0; k < f->node->nin; k++) {
        if (!infer_has(f, k))
            infer_fail(f, "input %d is missing", k);
        rank = infer_broadcast(f, rank, dims, infer_in(f, k)->rank, infer_in(f, k)->dim, dims);
    }
    infer_out(f, 0, t, rank, dims);
}

static void require_number(const Infer *f, DType t)
{
    if (!dtype_is_int(t) && !dtype_is_float(t))
        infer_fail(f, "needs numbers, not %s", dtype_name(t));
}

/* One input, any number. */
void infer_number(const Infer *f)
{
    require_number(f, infer_in(f, 0)->dtype);
    infer_same(f, 0, 0);
}

static void require_real(const Infer *f)
{
    if (!dtype_is_float(infer_in(f, 0)->dtype))
        infer_fail(f, "needs floating point, not %s", dtype_name(infer_in(f, 0)->dtype));
}

void infer_real(const Infer *f)
{
    require_real(f);
    infer_same(f, 0, 0);
}

void infer_bits(const Infer *f)
{
    if (dtype_is_float(infer_in(f, 0)->dtype))
        infer_fail(f, "needs integers, not %s", dtype_name(infer_in(f, 0)->dtype));
    infer_same(f, 0, 0);
}

void infer_is_special(const Infer *f)
{
    require_real(f);
    infer_out(f, 0, DT_BOOL, infer_in(f, 0)->rank, infer_in(f, 0)->dim);
}

/* Inputs of one numeric type, broadcast. */
void infer_arithmetic(const Infer *f)
{
    require_same_type(f, 0);
    require_number(f, infer_in(f, 0)->dtype);
    broadcast_all(f, infer_in(f, 0)->dtype);
}

void infer_bitwise(const Infer *f)
{
    require_same_type(f, 0);
    if (dtype_is_float(infer_in(f, 0)->dtype))
        infer_fail(f, "needs integers, not %s", dtype_name(infer_in(f, 0)->dtype));
    broadcast_all(f, infer_in(f, 0)->dtype);
}

void infer_bit_shift(const Infer *f)
{
    const char *dir = node_string(f->node, "direction", "");
    if (strcmp(dir, "LEFT") != 0 && strcmp(dir, "RIGHT") != 0)
        infer_fail(f, "direction '%s' is neither LEFT nor RIGHT", dir);
    if (!dtype_is_int(infer_in(f, 0)->dtype))
        infer_fail(f, "needs integers, not %s", dtype_name(infer_in(f, 0)->dtype));
    infer_bitwise(f);
}

void infer_logical(const Infer *f)
{
    for (int k = 0; k < f->node->nin; k++)
        if (infer_in(f, k)->dtype != DT_BOOL)
            infer_fail(f, "input %d is %s, not bool", k, dtype_name(infer_in(f, k)->dtype));
    broadcast_all(f, DT_BOOL);
}

void infer_compare(const Infer *f)
{
    require_same_type(f, 0);
    if (dtype_size(infer_in(f, 0)->dtype) == 0)
        infer_unsupported(f, "values of type %s", dtype_name(infer_in(f, 0)->dtype));
    broadcast_all(f, DT_BOOL);
}

void infer_pow(const Infer *f)
{
    require_number(f, infer_in(f, 0)->dtype);
    require_number(f, infer_in(f, 1)->dtype);
    broadcast_all(f, infer_in(f, 0)->dtype);
}

void infer_where(const Infer *f)
{
    require_same_type(f, 1);
    if (infer_in(f, 0)->dtype != DT_BOOL)
        infer_fail(f, "the condition is %s, not bool", dtype_name(infer_in(f, 0)->dtype));
    if (dtype_size(infer_in(f, 1)->dtype) == 0)
        infer_unsupported(f, "values of type %s", dtype_name(infer_in(f, 1)->dtype));
    broadcast_all(f, infer_in(f, 1)->dtype);
}

/* The slope (PRelu) is broadcast to x, never x to the slope. */
void infer_prelu(const Infer *f)
{
    const Value *x = infer_in(f, 0), *slope = infer_in(f, 1);
    require_same_type(f, 0);
    require_number(f, x->dtype);
    if (slope->rank > x->rank)
        infer_fail(f, "the slope has rank %d, x has rank %d", slope->rank, x->rank);
    Expr dims[MAX_RANK];
    infer_broadcast(f, x->rank, x->dim, slope->rank, slope->dim, dims);
    for (int k = 0; k < x->rank; k++)
        infer_require_equal(f, dims[k], x->dim[k], "the slope's shape");
    infer_same(f, 0, 0);
}

void infer_clip(const Infer *f)
{
    require_same_type(f, 0);
    require_number(f, infer_in(f, 0)->dtype);
    for (int k = 1; k < f->node->nin; k++) {
        const Value *v = infer_in(f, k);
        int64_t n;
        if (v && (!infer_dim_is(f, infer_product(f, v->rank, v->dim), &n) || n != 1))
            infer_fail(f, "input %d must be one number", k);
    }
    infer_same(f, 0, 0);
}

void infer_dropout(const Infer *f)
{
    int64_t training = 0;
    if (infer_has(f, 2))
        infer_ints(f, 2, &training, 1);
    double ratio = 0.5;
    int n;
    if (training && infer_known(f, 1)) {
        const Expr *e = infer_elems(f, 1, &n);
        if (n == 1)
            expr_is_const(f->x, e[0], &ratio);
    }
    if (training && ratio != 0)
        infer_unsupported(f, "training mode");
    infer_same(f, 0, 0);
    infer_out(f, 1, DT_BOOL, infer_in(f, 0)->rank, infer_in(f, 0)->dim);
}
