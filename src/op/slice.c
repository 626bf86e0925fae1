/* Windows of a tensor, smaller or larger than it: Slice, Pad, CenterCropPad. */
#include "op/index.h"
#include "op/table.h"

#include <string.h>

/* ---- Slice: y[i] = x[begin + i * step] on each axis ---- */

typedef struct SliceAxis {
    Expr begin, size;
    int64_t step;
} SliceAxis;

/* numpy's rules: negative positions count from the end, then both are clamped to what a walk in the
 * direction of step may touch. */
static SliceAxis slice_axis(Exprs *x, Expr dim, Expr start, Expr end, int64_t step)
{
    const Expr zero = expr_int(x, 0), last = expr_addi(x, dim, -1);
    SliceAxis s = {.step = step};
    int64_t v;
    /* INT64_MAX and INT64_MIN mean "to the end": no arithmetic with them */
    const bool far = expr_is_int(x, end, &v) && (v > INT32_MAX || v < INT32_MIN);
    start = index_wrap(x, start, dim);
    if (step > 0) {
        s.begin = expr_max(x, zero, expr_min(x, start, dim));
        const Expr to = far ? (v > 0 ? dim : zero)
                            : expr_max(x, zero, expr_min(x, index_wrap(x, end, dim), dim));
        const Expr n = expr_ceil_div(x, expr_sub(x, to, s.begin), expr_int(x, step));
        s.size = expr_max(x, zero, n);
    } else {
        s.begin = expr_max(x, zero, expr_min(x, start, last));
        const Expr to =
            far ? (v > 0 ? last : expr_int(x, -1))
                : expr_max(x, expr_int(x, -1), expr_min(x, index_wrap(x, end, dim), last));
        const Expr n = expr_ceil_div(x, expr_sub(x, s.begin, to), expr_int(x, -step));
        s.size = expr_max(x, zero, n);
    }
    return s;
}

static Expr clamp_far(Exprs *x, Expr e) /* a start of INT64_MAX: keep dim arithmetic in range */
{
    int64_t v;
    if (expr_is_int(x, e, &v) && v > INT32_MAX)
        return expr_int(x, INT32_MAX);
    if (expr_is_int(x, e, &v) && v < INT32_MIN)
        return expr_int(x, INT32_MIN);
    return e;
}

typedef struct SliceArgs {
    int n;
    const Expr *start, *end;
    int64_t axis[MAX_RANK], step[MAX_RANK];
} SliceArgs;

static void slice_axes(Exprs *x, const SliceArgs *a, int rank, const Expr *dims, SliceAxis *out)
{
    for (int k = 0; k < rank; k++)
        out[k] = (SliceAxis){.begin = expr_int(x, 0), .size = dims[k], .step = 1};
    for (int k = 0; k < a->n; k++) {
        const int axis = define_axis(a->axis[k], rank);
        const Expr start = clamp_far(x, expr_cast(x, DT_I64, a->start[k]));
        const Expr end = expr_cast(x, DT_I64, a->end[k]);
        out[axis] = slice_axis(x, dims[axis], start, end, a->step[k]);
    }
}

static void default_axes(SliceArgs *a)
{
    for (int k = 0; k < MAX_RANK; k++) {
        a->axis[k] = k;
        a->step[k] = 1;
    }
}

void infer_slice(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    SliceArgs a;
    int nend;
    default_axes(&a);
    a.start = infer_elems(f, 1, &a.n);
    a.end = infer_elems(f, 2, &nend);
    const int naxis = infer_has(f, 3) ? infer_ints(f, 3, a.axis, MAX_RANK) : a.n;
    const int nstep = infer_has(f, 4) ? infer_ints(f, 4, a.step, MAX_RANK) : a.n;
    if (nend != a.n || naxis != a.n || nstep != a.n || a.n > in->rank)
        infer_fail(f, "%d starts, %d ends, %d axes, %d steps for rank %d", a.n, nend, naxis, nstep,
                   in->rank);
    for (int k = 0; k < a.n; k++) {
        a.axis[k] = infer_axis(f, a.axis[k], in->rank);
        if (a.step[k] == 0 || a.step[k] < -INT32_MAX || a.step[k] > INT32_MAX)
            infer_fail(f, "step is %lld", (long long)a.step[k]);
    }
    SliceAxis s[MAX_RANK];
    Expr dims[MAX_RANK];
    slice_axes(f->x, &a, in->rank, in->dim, s);
    for (int k = 0; k < in->rank; k++)
        dims[k] = s[k].size;
    infer_out(f, 0, in->dtype, in->rank, dims);
}

void define_slice(Define *d)
{
    SliceArgs a;
    int n;
    default_axes(&a);
    a.start = define_elems(d, 1, &a.n);
    a.end = define_elems(d, 2, &n);
    if (define_has(d, 3))
        define_ints(d, 3, a.axis, MAX_RANK);
    if (define_has(d, 4))
        define_ints(d, 4, a.step, MAX_RANK);
    SliceAxis s[MAX_RANK];
    slice_axes(d->x, &a, define_rank(d, 0), define_in(d, 0)->dim, s);
    const StageBuild b = define_begin(d, 0);
    Expr index[MAX_RANK];
    for (int k = 0; k < b.naxes; k++)
        index[k] = expr_add(d->x, s[k].begin, expr_muli(d->x, b.i[k], s[k].step));
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- Pad ---- */

/* Pads before each axis, and after: pads = (before..., after...) of the listed axes. */
typedef struct Pads {
    Expr before[MAX_RANK], after[MAX_RANK];
} Pads;

static void spread_pads(Exprs *x, int rank, int n, const int64_t *axes, const Expr *pads, Pads *out)
{
    for (int k = 0; k < rank; k++)
        out->before[k] = out->after[k] = expr_int(x, 0);
    for (int k = 0; k < n; k++) {
        const int axis = define_axis(axes[k], rank);
        out->before[axis] = expr_cast(x, DT_I64, pads[k]);
        out->after[axis] = expr_cast(x, DT_I64, pads[n + k]);
    }
}

static bool mode_is(const Node *node, const char *mode)
{
    return strcmp(node_string(node, "mode", "constant"), mode) == 0;
}

void infer_pad(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int64_t axes[MAX_RANK];
    int npads;
    for (int k = 0; k < MAX_RANK; k++)
        axes[k] = k;
    const Expr *pads = infer_elems(f, 1, &npads);
    const int n = infer_has(f, 3) ? infer_ints(f, 3, axes, MAX_RANK) : in->rank;
    if (npads != 2 * n)
        infer_fail(f, "%d pads for %d axes", npads, n);
    for (int k = 0; k < n; k++)
        axes[k] = infer_axis(f, axes[k], in->rank);
    if (!mode_is(f->node, "constant") && !mode_is(f->node, "edge") &&
        !mode_is(f->node, "reflect") && !mode_is(f->node, "wrap"))
        infer_fail(f, "mode '%s' is not known", node_string(f->node, "mode", ""));
    Pads p;
    Expr dims[MAX_RANK];
    spread_pads(f->x, in->rank, n, axes, pads, &p);
    for (int k = 0; k < in->rank; k++)
        dims[k] = expr_add(f->x, expr_add(f->x, in->dim[k], p.before[k]), p.after[k]);
    for (int k = 0; k < in->rank && !mode_is(f->node, "constant"); k++)
        infer_require_some(f, in->dim[k],
                           expr_max(f->x, expr_int(f->x, 0),
                                    expr_max(f->x, p.before[k], p.after[k])));
    infer_out(f, 0, in->dtype, in->rank, dims);
}

/* -2 -1 | 0 1 2 | 3 4  ->  2 1 | 0 1 2 | 1 0: mirrored at the first and last element, as often as
 * it takes. A dim of 1 has period 0: x mod 0 is 0. */
static Expr reflect(Exprs *x, Expr i, Expr dim)
{
    const Expr period = expr_muli(x, expr_addi(x, dim, -1), 2);
    const Expr m = expr_mod(x, i, period);
    return expr_min(x, m, expr_sub(x, period, m));
}

void define_pad(Define *d)
{
    Exprs *x = d->x;
    const int rank = define_rank(d, 0);
    int64_t axes[MAX_RANK];
    int npads;
    for (int k = 0; k < MAX_RANK; k++)
        axes[k] = k;
    const Expr *pads = define_elems(d, 1, &npads);
    if (define_has(d, 3))
        define_ints(d, 3, axes, MAX_RANK);
    Pads p;
    spread_pads(x, rank, npads / 2, axes, pads, &p);
    const StageBuild b = define_begin(d, 0);
    const bool constant = mode_is(d->node, "constant");
    Expr index[MAX_RANK], inside = expr_int_of(x, DT_BOOL, 1);
    for (int k = 0; k < rank; k++) {
        const Expr dim = define_dim(d, 0, k), i = expr_sub(x, b.i[k], p.before[k]);
        index[k] = mode_is(d->node, "wrap")      ? expr_mod(x, i, dim)
                   : mode_is(d->node, "reflect") ? index_clamp(x, reflect(x, i, dim), dim)
                                                 : index_clamp(x, i, dim);
        if (constant)
            inside = expr_and(x, inside, index_inside(x, i, dim));
    }
    Expr v = define_load(d, 0, index);
    if (constant) {
        const DType t = expr_type(x, v);
        int n = 0;
        const Expr *known = define_elems(d, 2, &n);
        const Expr fill = known && n > 0     ? known[0]
                          : define_has(d, 2) ? define_load_scalar(d, 2)
                                             : expr_const(x, t, 0);
        v = expr_select(x, inside, v, expr_cast(x, t, fill));
    }
    define_map(d, 0, &b, v);
}

/* ---- CenterCropPad ---- */

static int crop_axes(const Node *node, int rank, int64_t *axes)
{
    const int64_t *a;
    int n = node_ints(node, "axes", &a);
    for (int k = 0; k < rank; k++)
        axes[k] = k < n ? a[k] : k;
    return n > 0 ? n : rank;
}

void infer_center_crop_pad(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int64_t axes[MAX_RANK];
    const int n = crop_axes(f->node, in->rank, axes);
    if (n > in->rank)
        infer_fail(f, "%d axes for rank %d", n, in->rank);
    int count;
    const Expr *shape = infer_elems(f, 1, &count);
    if (count != n)
        infer_fail(f, "%d sizes for %d axes", count, n);
    Expr dims[MAX_RANK];
    memcpy(dims, in->dim, sizeof dims);
    for (int k = 0; k < n; k++)
        dims[infer_axis(f, axes[k], in->rank)] = expr_cast(f->x, DT_I64, shape[k]);
    infer_out(f, 0, in->dtype, in->rank, dims);
}

/* Both centers meet; the odd element is at the end, of the crop and of the pad. So of a larger
 * input the window begins at (in - out) / 2, in a larger output the input begins at (out - in) /
 * 2. */
void define_center_crop_pad(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    Expr index[MAX_RANK], inside = expr_int_of(x, DT_BOOL, 1);
    for (int k = 0; k < b.naxes; k++) {
        const Expr in = define_dim(d, 0, k), out = b.axis[k].extent;
        const Expr crop = expr_divi(x, expr_sub(x, in, out), 2);
        const Expr pad = expr_divi(x, expr_sub(x, out, in), 2);
        const Expr shift = expr_select(x, expr_lt(x, out, in), crop, expr_muli(x, pad, -1));
        const Expr i = expr_add(x, b.i[k], shift);
        inside = expr_and(x, inside, index_inside(x, i, in));
        index[k] = index_clamp(x, i, in);
    }
    const Expr v = define_load(d, 0, index);
    define_map(d, 0, &b, expr_select(x, inside, v, expr_const(x, expr_type(x, v), 0)));
}
