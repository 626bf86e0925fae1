/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the rounding that all quantized ops
 * share (op/quant.h).
 *
 *     quantize    y = saturate(round(x / scale) + zero_point)       round: ties to even
 *     dequantize  y = (x - zero_point) * scale
 *
 * Scale and zero point are scalars, one per index of `axis`, or (block_size > 0) of x's rank with
 * one per block of `axis`. */
#include "op/quant.h"

#include "op/table.h"
#include "op/window.h"

/* ---- the rules ---- */

/* saturate(round(v) + zero), v f32 or f64; round to even; zero (any integer type) may be 0: none.
 * In the compute type of `to`, an integer type. */
static Expr quant_round(Exprs *x, Expr v, Expr zero, DType to)
{
    const DType t = expr_type(x, v);
    Expr r = expr_un(x, EX_ROUND, v);
    if (zero)
        r = expr_add(x, r, expr_cast(x, t, zero));
    r = expr_max(x, r, expr_float(x, t, dtype_lowest(to)));
    r = expr_min(x, r, expr_float(x, t, dtype_highest(to)));
    return expr_cast(x, dtype_compute(to), r);
}

Expr quant_rescale(Exprs *x, Expr acc, Expr scale, Expr zero, DType to)
{
    return quant_round(x, expr_mul(x, expr_cast(x, DT_F32, acc), scale), zero, to);
}

int quant_zero(const Define *d, int k)
{
    int n = 0;
    const Expr *elems = define_has(d, k) ? define_elems(d, k, &n) : NULL;
    bool all = true;
    for (int i = 0; i < n && elems; i++) {
        double v;
        all &= expr_is_const(d->x, elems[i], &v) && v == 0;
    }
    return !define_has(d, k) || (elems && n > 0 && all) ? -1 : d->in[k];
}

/* Limits a float to the finite range of `to`, a float type; NaN stays: min and max give their
 * second operand where either is NaN. */
static Expr quant_saturate_float(Exprs *x, Expr v, DType to)
{
    const DType t = expr_type(x, v);
    const Expr high = expr_min(x, expr_float(x, t, dtype_highest(to)), v);
    return expr_max(x, expr_float(x, t, dtype_lowest(to)), high);
}

/* ---- inference ---- */

static bool is_single(const Exprs *x, int rank, const Expr *dims)
{
    return rank == 0 || (rank == 1 && dim_is(x, dims[0], 1));
}

static void check_params(const Infer *f)
{
    const Value *x = infer_in(f, 0), *scale = infer_in(f, 1), *zero = infer_in(f, 2);
    const int64_t block = node_int(f->node, "block_size", 0);
    if (block < 0)
        infer_fail(f, "block_size is %lld", (long long)block);
    const bool single = is_single(f->x, scale->rank, scale->dim);
    if (zero && (single ? !is_single(f->x, zero->rank, zero->dim) : zero->rank != scale->rank))
        infer_fail(f, "scale has rank %d, zero_point %d", scale->rank, zero->rank);
    if (single)
        return;
    const int axis = infer_axis(f, node_int(f->node, "axis", 1), x->rank);
    if (block == 0) {
        if (scale->rank != 1)
            infer_fail(f, "scale has rank %d, not 0 or 1", scale->rank);
        infer_require_equal(f, x->dim[axis], scale->dim[0], "scale and the quantized axis");
        return;
    }
    if (scale->rank != x->rank)
        infer_fail(f, "blocked scale has rank %d, x %d", scale->rank, x->rank);
    for (int k = 0; k < x->rank; k++) {
        const Expr n = expr_ceil_div(f->x, x->dim[k], expr_int(f->x, block));
        infer_require_equal(f, k == axis ? n : x->dim[k], scale->dim[k], "blocked scale");
    }
}

static DType attr_type(const Infer *f, const char *name, DType missing)
{
    const int64_t t = node_int(f->node, name, 0);
    if (t < 0 || t >= DT_COUNT)
        infer_fail(f, "%s is %lld", name, (long long)t);
    return t == 0 ? missing : (DType)t;
}

void infer_quantize(const Infer *f)
{
    const Value *x = infer_in(f, 0), *zero = infer_in(f, 2);
    check_params(f);
    const DType t = attr_type(f, "output_dtype", zero ? zero->dtype : DT_U8);
    if (zero && zero->dtype != t)
        infer_fail(f, "output_dtype is %s, zero_point %s", dtype_name(t), dtype_name(zero->dtype));
    infer_out(f, 0, t, x->rank, x->dim);
}

void infer_dequantize(const Infer *f)
{
    const Value *x = infer_in(f, 0), *scale = infer_in(f, 1);
    check_params(f);
    infer_out(f, 0, attr_type(f, "output_dtype", scale->dtype), x->rank, x->dim);
}

void infer_dynamic_quantize(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    infer_out(f, 0, DT_U8, x->rank, x->dim);
    infer_out(f, 1, DT_F32, 0, NULL);
    infer_out(f, 2, DT_U8, 0, NULL);
}

/* ---- definition ---- */

/* Scale or zero point (input k) for the element of x at index[]. */
static Expr load_param(const Define *d, int k, const Expr *index)
{
    const StageTensor p = *define_in(d, k);
    Expr at[MAX_RANK];
    if (is_single(d->x, p.rank, p.dim))
        return define_load_scalar(d, k);
    const int axis = define_axis(define_int(d, "axis", 1), define_rank(d, 0));
    const int64_t block = define_int(d, "block_size", 0);
    if (block == 0)
        return define_load(d, k, &index[axis]);
    for (int i = 0; i < p.rank; i++)
        at[i] = i == axis ? expr_divi(d->x, index[i], block) : index[i];
    return define_load(d, k, at);
}

void define_quantize(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const DType to = define_out_type(d, 0);
    const DType t = define_in(d, 0)->dtype == DT_F64 ? DT_F64 : DT_F32;
    const Expr scale = expr_cast(x, t, load_param(d, 1, b.i));
    const Expr v = expr_div(x, expr_cast(x, t, define_load(d, 0, b.i)), scale);
    const Expr zero = define_has(d, 2) ? load_param(d, 2, b.i) : 0;
    if (!dtype_is_float(to)) {
        define_map(d, 0, &b, quant_round(x, v, zero, to));
        return;
    }
    const Expr moved = zero ? expr_add(x, v, expr_cast(x, t, zero)) : v;
    const bool saturate = to == DT_F4E2M1 || define_int(d, "saturate", 1) != 0;
    define_map(d, 0, &b, saturate ? quant_saturate_float(x, moved, to) : moved);
}

void define_dequantize(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const DType in = dtype_compute(define_in(d, 0)->dtype);
    const DType t = define_out_type(d, 0) == DT_F64 ? DT_F64 : DT_F32;
    Expr v = define_load(d, 0, b.i);
    if (define_has(d, 2) && !dtype_is_float(in)) {
        v = expr_cast(x, DT_I32, v);
        v = expr_sub(x, v, expr_cast(x, DT_I32, load_param(d, 2, b.i)));
    }
    const Expr scale = expr_cast(x, t, load_param(d, 1, b.i));
    define_map(d, 0, &b, expr_mul(x, expr_cast(x, t, v), scale));
}

/* The smallest or largest of all elements, or 0 if that is beyond it. */
static Expr range_end(Define *d, ReduceKind kind)
{
    const uint32_t all = (1u << define_rank(d, 0)) - 1;
    const int t = block_reduce(d->s, d->in[0], all, false, kind, DT_F32);
    return reduce_join(d->x, kind, expr_float(d->x, DT_F32, 0), stages_load(d->s, t, NULL));
}

/* With a NaN in x the scale is NaN, with an infinity it is infinite; zero point and y are 0
 * then. */
void define_dynamic_quantize(Define *d)
{
    Exprs *x = d->x;
    const Expr low = range_end(d, REDUCE_MIN), high = range_end(d, REDUCE_MAX);
    const StageBuild scalar = stage_begin(d->s, 0, NULL);
    const Expr same = expr_eq(x, low, high);
    const Expr range = expr_select(x, same, expr_float(x, DT_F32, 1), expr_sub(x, high, low));
    const int scale =
        stage_map(d->s, &scalar, "scale", DT_F32, expr_div(x, range, expr_float(x, DT_F32, 255)));
    const Expr s = stages_load(d->s, scale, NULL);
    const Expr shift = expr_un(x, EX_NEG, expr_div(x, low, s));
    const int zero = stage_map(d->s, &scalar, "zero", DT_U8, quant_round(x, shift, 0, DT_U8));
    const StageBuild b = define_begin(d, 0);
    const Expr v = expr_div(x, define_load(d, 0, b.i), s);
    define_map(d, 0, &b, quant_round(x, v, stages_load(d->s, zero, NULL), DT_U8));
    define_out(d, 1, scale);
    define_out(d, 2, zero);
}
