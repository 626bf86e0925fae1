/* Ops whose output follows from positions more than from elements: Range, EyeLike,
 * ConstantOfShape, OneHot, Trilu; and Fill of our own. */
#include "op/index.h"
#include "op/table.h"

#include <math.h>

/* ---- Range ---- */

/* The i64 of a number that is whole: an integer, a float constant, a cast of an integer (exact:
 * sizes are below 2^24 where they are counted in f32). 0: it is not. */
static Expr whole_number(Exprs *x, Expr e)
{
    double v;
    if (!dtype_is_float(expr_type(x, e)))
        return expr_cast(x, DT_I64, e);
    if (expr_is_const(x, e, &v))
        return v == floor(v) && fabs(v) < 1e15 ? expr_int(x, (int64_t)v) : 0;
    if (expr_node(x, e)->op == EX_CAST && !dtype_is_float(expr_type(x, expr_arg(x, e, 0))))
        return expr_cast(x, DT_I64, expr_arg(x, e, 0));
    return 0;
}

/* max(0, ceil((limit - start) / delta)); v: start, limit, delta. 0: not to be had. */
static Expr range_count(const Infer *f, const Expr *v)
{
    Exprs *x = f->x;
    double c[3];
    int64_t step;
    Expr whole[3];
    bool constant = true, all_whole = true;
    for (int k = 0; k < 3; k++) {
        whole[k] = whole_number(x, v[k]);
        constant = expr_is_const(x, v[k], &c[k]) && constant;
        all_whole = all_whole && whole[k];
    }
    if (all_whole && expr_is_int(x, whole[2], &step) && step != 0) {
        const Expr span =
            step > 0 ? expr_sub(x, whole[1], whole[0]) : expr_sub(x, whole[0], whole[1]);
        const Expr n = expr_ceil_div(x, span, expr_int(x, step > 0 ? step : -step));
        return expr_max(x, expr_int(x, 0), n);
    }
    if (!constant)
        return 0;
    const double count = ceil((c[1] - c[0]) / c[2]);
    if (!(count < 1e15))
        infer_fail(f, "%g elements", count);
    return expr_int(x, count > 0 ? (int64_t)count : 0);
}

void infer_range(const Infer *f)
{
    const DType t = infer_in(f, 0)->dtype;
    Expr v[3];
    double delta;
    for (int k = 0; k < 3; k++) {
        int n;
        if (infer_in(f, k)->dtype != t)
            infer_fail(f, "inputs 0 and %d differ in type", k);
        const Expr *e = infer_elems(f, k, &n);
        if (n != 1)
            infer_fail(f, "input %d has %d elements, not one", k, n);
        v[k] = e[0];
    }
    if (expr_is_const(f->x, v[2], &delta) && delta == 0)
        infer_fail(f, "delta is 0");
    const Expr n = range_count(f, v);
    if (!n)
        infer_unsupported(f, "a symbolic step, or symbolic bounds that are no whole numbers");
    infer_out(f, 0, t, 1, &n);
}

void define_range(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    int n;
    const Expr *from = define_elems(d, 0, &n), *step = define_elems(d, 2, &n);
    const Expr i = expr_cast(d->x, dtype_compute(define_out_type(d, 0)), b.i[0]);
    define_map(d, 0, &b, expr_add(d->x, from[0], expr_mul(d->x, i, step[0])));
}

/* ---- ConstantOfShape ---- */

void infer_constant_of_shape(const Infer *f)
{
    const Attr *a = node_attr(f->node, "value");
    if (a && (a->kind != ATTR_TENSOR || tensor_elements(a->tensor) != 1))
        infer_fail(f, "attribute 'value' must be a tensor of one element");
    if (a && dtype_size(a->tensor->dtype) == 0)
        infer_unsupported(f, "values of type %s", dtype_name(a->tensor->dtype));
    int n;
    const Expr *shape = infer_elems(f, 0, &n);
    infer_out(f, 0, a ? a->tensor->dtype : DT_F32, n, shape);
}

void define_constant_of_shape(Define *d)
{
    const Attr *a = node_attr(d->node, "value");
    const StageBuild b = define_begin(d, 0);
    define_map(d, 0, &b, a ? constant_element(d->x, a->tensor, 0) : expr_float(d->x, DT_F32, 0));
}

/* ---- Fill ---- */

/* Inputs: one element, then the shape of each result. A pass makes such nodes for borders of
 * arrays. */
void infer_fill(const Infer *f)
{
    if (f->node->nin != f->node->nout + 1)
        infer_fail(f, "has %d shapes for %d results", f->node->nin - 1, f->node->nout);
    for (int k = 0; k < f->node->nout; k++) {
        int n;
        const Expr *shape = infer_elems(f, 1 + k, &n);
        infer_out(f, k, infer_in(f, 0)->dtype, n, shape);
    }
}

void define_fill(Define *d)
{
    for (int k = 0; k < d->node->nout; k++) {
        const StageBuild b = define_begin(d, k);
        define_map(d, k, &b, define_load_scalar(d, 0));
    }
}

/* ---- EyeLike ---- */

void infer_eye_like(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    const int64_t to = node_int(f->node, "dtype", in->dtype);
    if (in->rank != 2)
        infer_fail(f, "the input has rank %d, not 2", in->rank);
    if (to <= 0 || to >= DT_COUNT || dtype_size((DType)to) == 0)
        infer_fail(f, "type number %lld", (long long)to);
    infer_out(f, 0, (DType)to, 2, in->dim);
}

void define_eye_like(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const Expr one = expr_eq(x, b.i[1], expr_addi(x, b.i[0], define_int(d, "k", 0)));
    define_map(d, 0, &b, one); /* bool to number is 0 or 1 */
}

/* ---- OneHot: y[..., j, ...] = j == indices[...] ? on : off ---- */

void infer_one_hot(const Infer *f)
{
    const Value *in = infer_in(f, 0), *values = infer_in(f, 2);
    int n;
    const Expr *depth = infer_elems(f, 1, &n);
    if (n != 1)
        infer_fail(f, "the depth has %d elements, not one", n);
    if (values->rank != 1)
        infer_fail(f, "the values have rank %d, not 1", values->rank);
    infer_require_equal(f, values->dim[0], expr_int(f->x, 2), "values");
    if (in->rank + 1 > MAX_RANK)
        infer_unsupported(f, "rank %d", in->rank + 1);
    const int axis = infer_axis(f, node_int(f->node, "axis", -1), in->rank + 1);
    Expr dims[MAX_RANK];
    for (int k = 0, from = 0; k <= in->rank; k++)
        dims[k] = k == axis ? expr_cast(f->x, DT_I64, depth[0]) : in->dim[from++];
    infer_out(f, 0, values->dtype, in->rank + 1, dims);
}

void define_one_hot(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const int axis = define_axis(define_int(d, "axis", -1), b.naxes);
    Expr index[MAX_RANK];
    for (int k = 0, to = 0; k < b.naxes; k++)
        if (k != axis)
            index[to++] = b.i[k];
    const Expr at =
        index_wrap(x, expr_cast(x, DT_I64, define_load(d, 0, index)), b.axis[axis].extent);
    const Expr zero = expr_int(x, 0), one = expr_int(x, 1);
    const Expr off = define_load(d, 2, &zero), on = define_load(d, 2, &one);
    define_map(d, 0, &b, expr_select(x, expr_eq(x, at, b.i[axis]), on, off));
}

/* ---- Trilu ---- */

void infer_trilu(const Infer *f)
{
    if (infer_in(f, 0)->rank < 2)
        infer_fail(f, "the input has rank %d, at least 2 is needed", infer_in(f, 0)->rank);
    infer_same(f, 0, 0);
}

void define_trilu(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    int n = 0;
    const Expr *known = define_elems(d, 1, &n);
    const Expr k = known && n == 1    ? known[0]
                   : define_has(d, 1) ? define_load_scalar(d, 1)
                                      : expr_int(x, 0);
    const Expr diagonal = expr_sub(x, b.i[b.naxes - 1], b.i[b.naxes - 2]);
    const Expr keep = define_int(d, "upper", 1) ? expr_le(x, k, diagonal) : expr_le(x, diagonal, k);
    const Expr v = define_load(d, 0, b.i);
    define_map(d, 0, &b, expr_select(x, keep, v, expr_const(x, expr_type(x, v), 0)));
}
