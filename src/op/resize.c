/* Resize. Each resized axis has a map from output position o to a place in the input, and weights
 * around that place:
 *
 *     nearest        one element: an index map, in integers where the scale is a fraction
 *     linear, cubic  2 or 4 taps an axis, all axes in one MAP
 *     antialias      a filter as wide as the scale asks for: a REDUCE an axis
 *
 * Places follow ONNX's coordinate_transformation_mode; indices beyond the edge read the edge. */
#include "op/table.h"
#include "op/window.h"

#include <math.h>
#include <string.h>

typedef enum Transform {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE,
    TRANSFORMS
} Transform;

static const char *const transform_names[TRANSFORMS] = {
    "half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
    "align_corners", "asymmetric",           "tf_crop_and_resize",
};

static Transform transform_of(const Graph *g, NodeId id)
{
    const Node *node = &g->node.at[id];
    const char *name = node_string(node, "coordinate_transformation_mode", "half_pixel");
    for (int k = 0; k < TRANSFORMS; k++)
        if (strcmp(name, transform_names[k]) == 0)
            return (Transform)k;
    graph_fail(g, id, ERR_UNSUPPORTED, "coordinate_transformation_mode is '%s'", name);
}

/* ---- inference ---- */

/* The list of axes, or all; returns the count. */
static int resized_axes(const Node *node, int rank, int *axes)
{
    const int64_t *list;
    const int n = node_ints(node, "axes", &list);
    for (int k = 0; k < (n ? n : rank); k++)
        axes[k] = n ? define_axis(list[k], rank) : k;
    return n ? n : rank;
}

/* floor(dim * scale). A symbolic dim takes the scale as the fraction it is close to. */
static Expr scaled_dim(Exprs *x, Expr dim, Expr scale)
{
    double v;
    int64_t n;
    if (expr_is_const(x, scale, &v) && !expr_is_int(x, dim, &n))
        for (int64_t q = 1; q <= 64; q++) {
            const double p = round(v * (double)q);
            if (p >= 1 && fabs(p / (double)q - v) <= 1e-6 * v)
                return expr_divi(x, expr_muli(x, dim, (int64_t)p), q);
        }
    const Expr product = expr_mul(x, expr_cast(x, DT_F64, dim), expr_cast(x, DT_F64, scale));
    return expr_cast(x, DT_I64, expr_un(x, EX_FLOOR, product));
}

static bool is_given(const Infer *f, int k)
{
    const Value *v = infer_in(f, k);
    return v && v->rank == 1 && !dim_is(f->x, v->dim[0], 0);
}

/* keep_aspect_ratio_policy: one scale for all axes, the smallest or largest; 0: stretch. */
static double common_scale(const Infer *f, int n, const int *axes)
{
    const char *policy = node_string(f->node, "keep_aspect_ratio_policy", "stretch");
    const bool larger = strcmp(policy, "not_smaller") == 0;
    if (!larger && strcmp(policy, "not_larger") != 0)
        return 0;
    int64_t sizes[MAX_RANK], dim;
    double best = 0;
    if (infer_ints(f, 3, sizes, MAX_RANK) != n)
        infer_fail(f, "sizes must have %d entries", n);
    for (int k = 0; k < n; k++) {
        if (!expr_is_int(f->x, infer_in(f, 0)->dim[axes[k]], &dim) || dim < 1)
            infer_unsupported(f, "keep_aspect_ratio_policy with dims that are not known");
        const double s = (double)sizes[k] / (double)dim;
        if (k == 0 || (larger ? s > best : s < best))
            best = s;
    }
    return best;
}

void infer_resize(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int64_t *list;
    const int nlist = node_ints(f->node, "axes", &list);
    for (int k = 0; k < nlist; k++)
        infer_axis(f, list[k], x->rank);
    int axes[MAX_RANK], count;
    const int n = resized_axes(f->node, x->rank, axes);
    const bool by_scale = is_given(f, 2);
    if (by_scale == is_given(f, 3))
        infer_fail(f, "needs either scales or sizes");
    const double common = by_scale ? 0 : common_scale(f, n, axes);
    const Expr *e = infer_elems(f, by_scale ? 2 : 3, &count);
    if (count != n)
        infer_fail(f, "%s has %d entries, not %d", by_scale ? "scales" : "sizes", count, n);
    if (transform_of(f->g, f->id) == TF_CROP_AND_RESIZE) {
        if (!is_given(f, 1))
            infer_fail(f, "tf_crop_and_resize needs a roi");
        infer_require_equal(f, infer_in(f, 1)->dim[0], expr_int(f->x, 2 * n), "entries of roi");
    }
    Expr dims[MAX_RANK];
    memcpy(dims, x->dim, sizeof dims);
    for (int k = 0; k < n; k++) {
        double v;
        int64_t in = 0;
        if (by_scale && expr_is_const(f->x, e[k], &v) && !(v > 0))
            infer_fail(f, "scale %g", v);
        if (by_scale)
            dims[axes[k]] = scaled_dim(f->x, x->dim[axes[k]], e[k]);
        else if (common > 0 && expr_is_int(f->x, x->dim[axes[k]], &in))
            dims[axes[k]] = expr_int(f->x, (int64_t)(common * (double)in + 0.5));
        else
            dims[axes[k]] = e[k];
        if (dim_is(f->x, x->dim[axes[k]], 0) && !dim_is(f->x, dims[axes[k]], 0))
            infer_fail(f, "axis %d has no elements to resize", axes[k]);
    }
    infer_out(f, 0, x->dtype, x->rank, dims);
}

/* ---- one axis ---- */

typedef struct ResizeAxis {
    int axis;
    Expr in, out;
    Expr scale;       /* f32 */
    Expr width;       /* f32: scale * in, what `out` is the floor of */
    int64_t num, den; /* scale as an exact fraction; 0: it is none */
    Expr start, end;  /* f32: region of interest of tf_crop_and_resize */
} ResizeAxis;

typedef struct Resize {
    Define *d;
    Transform transform;
    bool cubic, nearest, exclude_outside;
    double a; /* of the cubic */
    int n;
    ResizeAxis axis[MAX_RANK]; /* those that change */
} Resize;

/* Is the scale p/q exactly, with small p and q? */
static void find_fraction(Exprs *x, ResizeAxis *a, bool by_scale)
{
    double v;
    const bool constant = expr_is_const(x, a->scale, &v);
    for (int64_t q = 1; q <= 16; q++) {
        if (by_scale && constant && v * (double)q == floor(v * (double)q) && v * (double)q < 4096) {
            a->num = (int64_t)(v * (double)q);
            a->den = q;
            return;
        }
        if (by_scale)
            continue;
        if (expr_muli(x, a->in, q) == a->out || expr_muli(x, a->out, q) == a->in) {
            const bool up = expr_muli(x, a->in, q) == a->out;
            a->num = up ? q : 1;
            a->den = up ? 1 : q;
            return;
        }
    }
    int64_t in, out;
    if (!by_scale && expr_is_int(x, a->in, &in) && expr_is_int(x, a->out, &out) && in > 0) {
        a->num = out;
        a->den = in;
    }
}

/* The scale that policy not_larger or not_smaller chose: out = floor(scale * in + 0.5) hides it, so
 * it is computed again. */
static Expr policy_scale(const Define *d)
{
    const Infer f = {.ctx = d->ctx, .g = (Graph *)d->g, .x = d->g->x, .id = d->id, .node = d->node};
    int axes[MAX_RANK];
    const int n = resized_axes(d->node, define_rank(d, 0), axes);
    const double common = common_scale(&f, n, axes);
    return common > 0 ? expr_float(d->x, DT_F32, common) : 0;
}

static Resize resize_of(Define *d)
{
    Exprs *x = d->x;
    const StageTensor in = *define_in(d, 0);
    const char *mode = node_string(d->node, "mode", "nearest");
    Resize r = {.d = d, .transform = transform_of(d->g, d->id)};
    r.nearest = strcmp(mode, "nearest") == 0;
    r.cubic = strcmp(mode, "cubic") == 0;
    if (!r.nearest && !r.cubic && strcmp(mode, "linear") != 0)
        define_fail(d, "mode is '%s'", mode);
    r.exclude_outside = define_int(d, "exclude_outside", 0) != 0;
    r.a = define_float(d, "cubic_coeff_a", -0.75);
    int axes[MAX_RANK], count = 0;
    Expr out[MAX_RANK];
    define_out_dims(d, 0, out);
    const int n = resized_axes(d->node, in.rank, axes);
    const bool by_scale = define_has(d, 2) && !dim_is(x, define_dim(d, 2, 0), 0);
    const Expr *scales = by_scale ? define_elems(d, 2, &count) : NULL;
    const Expr policy = by_scale ? 0 : policy_scale(d);
    const bool roi = r.transform == TF_CROP_AND_RESIZE;
    for (int k = 0; k < n; k++) {
        ResizeAxis a = {.axis = axes[k], .in = in.dim[axes[k]], .out = out[axes[k]]};
        const Expr inf = expr_cast(x, DT_F32, a.in);
        const Expr ratio = expr_div(x, expr_cast(x, DT_F32, a.out), inf);
        a.scale = scales ? expr_cast(x, DT_F32, scales[k]) : policy ? policy : ratio;
        a.width = scales || policy ? expr_mul(x, a.scale, inf) : expr_cast(x, DT_F32, a.out);
        double v;
        const bool same = expr_is_const(x, a.scale, &v) && v == 1;
        if (a.in == a.out && (same || (!scales && !policy)) && !roi)
            continue;
        if (!policy)
            find_fraction(x, &a, by_scale);
        if (a.num && !by_scale)
            a.scale = expr_float(x, DT_F32, (double)a.num / (double)a.den);
        if (roi) {
            const Expr lo = expr_int(x, k), hi = expr_int(x, n + k);
            a.start = expr_cast(x, DT_F32, define_load(d, 1, &lo));
            a.end = expr_cast(x, DT_F32, define_load(d, 1, &hi));
        }
        r.axis[r.n++] = a;
    }
    return r;
}

static Expr num(Exprs *x, double v)
{
    return expr_float(x, DT_F32, v);
}

/* Where output position o lies in the input, f32. */
static Expr place_of(const Resize *r, const ResizeAxis *a, Expr o)
{
    Exprs *x = r->d->x;
    const Expr of = expr_cast(x, DT_F32, o), one = num(x, 1), half = num(x, 0.5);
    const Expr last = expr_sub(x, expr_cast(x, DT_F32, a->in), one);
    const Expr gaps = expr_sub(x, a->width, one), single = expr_eq(x, a->width, one);
    const Expr centre = expr_sub(x, expr_div(x, expr_add(x, of, half), a->scale), half);
    switch (r->transform) {
    case ALIGN_CORNERS:
        return expr_select(x, single, num(x, 0), expr_div(x, expr_mul(x, of, last), gaps));
    case ASYMMETRIC:
        return expr_div(x, of, a->scale);
    case PYTORCH_HALF_PIXEL:
        return expr_select(x, single, num(x, -0.5), centre);
    case HALF_PIXEL_SYMMETRIC: {
        const Expr share = expr_div(x, expr_cast(x, DT_F32, a->out), a->width);
        const Expr middle = expr_mul(x, expr_cast(x, DT_F32, a->in), half);
        return expr_add(x, expr_mul(x, middle, expr_sub(x, one, share)), centre);
    }
    case TF_CROP_AND_RESIZE: {
        const Expr lo = a->start, reach = expr_mul(x, expr_sub(x, a->end, lo), last);
        const Expr spread = expr_div(x, expr_mul(x, of, reach), gaps);
        const Expr offset = expr_select(x, single, expr_mul(x, reach, half), spread);
        return expr_add(x, expr_mul(x, lo, last), offset);
    }
    case HALF_PIXEL:
    case TRANSFORMS:
        break;
    }
    return centre;
}

static Expr clamp_to(Exprs *x, Expr i, Expr extent)
{
    Expr inside = expr_true(x);
    return window_clamp(x, i, extent, &inside);
}

/* ---- nearest ---- */

typedef enum Rounding { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } Rounding;

static Rounding rounding_of(const Define *d)
{
    static const char *const names[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    const char *name = node_string(d->node, "nearest_mode", "round_prefer_floor");
    for (int k = 0; k < 4; k++)
        if (strcmp(name, names[k]) == 0)
            return (Rounding)k;
    define_fail(d, "nearest_mode is '%s'", name);
}

/* The place as the fraction top / (2*bottom) of integers; false if it is none. */
static bool place_fraction(const Resize *r, const ResizeAxis *a, Expr o, Expr *top, int64_t *bottom)
{
    Exprs *x = r->d->x;
    const bool centred =
        r->transform == HALF_PIXEL || (r->transform == PYTORCH_HALF_PIXEL && !dim_is(x, a->out, 1));
    if (a->num == 0 || (!centred && r->transform != ASYMMETRIC))
        return false;
    *bottom = a->num;
    *top = expr_muli(x, o, 2 * a->den);
    if (centred)
        *top = expr_addi(x, *top, a->den - a->num);
    return true;
}

static Expr nearest_index(const Resize *r, const ResizeAxis *a, Expr o)
{
    Exprs *x = r->d->x;
    const Rounding rounding = rounding_of(r->d);
    Expr top;
    int64_t p;
    if (place_fraction(r, a, o, &top, &p)) {
        /* floor((top + more) / 2p); a ceiling is the floor of 2p - 1 more */
        static const int half[] = {-1, 1, 0, 0}, up[] = {1, 0, 0, 1};
        const Expr moved = expr_addi(x, top, half[rounding] * p + up[rounding] * (2 * p - 1));
        return clamp_to(x, expr_divi(x, moved, 2 * p), a->in);
    }
    const Expr at = place_of(r, a, o), half = num(x, 0.5);
    const Expr rounded = rounding == FLOOR          ? expr_un(x, EX_FLOOR, at)
                         : rounding == CEIL         ? expr_un(x, EX_CEIL, at)
                         : rounding == PREFER_FLOOR ? expr_un(x, EX_CEIL, expr_sub(x, at, half))
                                                    : expr_un(x, EX_FLOOR, expr_add(x, at, half));
    return clamp_to(x, expr_cast(x, DT_I64, rounded), a->in);
}

/* ---- linear and cubic ---- */

/* Keys's cubic (1981) at distance 0 <= t <= 1, and at 1 <= t <= 2. */
static Expr cubic_inner(const Resize *r, Expr t)
{
    Exprs *x = r->d->x;
    const Expr c = expr_fma(x, num(x, r->a + 2), t, num(x, -(r->a + 3)));
    return expr_fma(x, expr_mul(x, c, t), t, num(x, 1));
}

static Expr cubic_outer(const Resize *r, Expr t)
{
    Exprs *x = r->d->x;
    const Expr c = expr_fma(x, expr_add(x, t, num(x, -5)), t, num(x, 8));
    return expr_mul(x, num(x, r->a), expr_fma(x, c, t, num(x, -4)));
}

/* Weight of a tap at any distance t >= 0. */
static Expr filter(const Resize *r, Expr t)
{
    Exprs *x = r->d->x;
    const Expr zero = num(x, 0);
    if (!r->cubic)
        return expr_max(x, expr_sub(x, num(x, 1), t), zero);
    const Expr tail = expr_select(x, expr_lt(x, t, num(x, 2)), cubic_outer(r, t), zero);
    return expr_select(x, expr_le(x, t, num(x, 1)), cubic_inner(r, t), tail);
}

/* w, or 0 if exclude_outside says so for input position i. */
static Expr exclude(const Resize *r, const ResizeAxis *a, Expr i, Expr w)
{
    Exprs *x = r->d->x;
    if (!r->exclude_outside)
        return w;
    Expr inside = expr_true(x);
    window_clamp(x, i, a->in, &inside);
    return expr_select(x, inside, w, num(x, 0));
}

enum { MAX_TAPS = 4 };

typedef struct Taps {
    int n;
    Expr index[MAX_TAPS], weight[MAX_TAPS];
} Taps;

static Taps taps_of(const Resize *r, const ResizeAxis *a, Expr o)
{
    Exprs *x = r->d->x;
    Taps t = {.n = r->cubic ? 4 : 2};
    const Expr at = place_of(r, a, o), floor_at = expr_un(x, EX_FLOOR, at), one = num(x, 1);
    const Expr first = expr_cast(x, DT_I64, floor_at);
    const Expr rest = expr_sub(x, at, floor_at), other = expr_sub(x, one, rest);
    Expr w[MAX_TAPS] = {other, rest}, sum = num(x, 0);
    if (r->cubic) {
        w[0] = cubic_outer(r, expr_add(x, rest, one));
        w[1] = cubic_inner(r, rest);
        w[2] = cubic_inner(r, other);
        w[3] = cubic_outer(r, expr_add(x, other, one));
    }
    for (int k = 0; k < t.n; k++) {
        const Expr i = expr_addi(x, first, r->cubic ? k - 1 : k);
        t.index[k] = clamp_to(x, i, a->in);
        t.weight[k] = exclude(r, a, i, w[k]);
        sum = expr_add(x, sum, t.weight[k]);
    }
    for (int k = 0; k < t.n && r->exclude_outside; k++)
        t.weight[k] = expr_div(x, t.weight[k], sum);
    return t;
}

/* Sum over the taps of axes k... ; index[] is complete for those before. */
static Expr interpolate(const Resize *r, const Taps *taps, int k, Expr *index)
{
    Exprs *x = r->d->x;
    if (k == r->n)
        return expr_cast(x, DT_F32, define_load(r->d, 0, index));
    Expr sum = 0;
    for (int t = 0; t < taps[k].n; t++) {
        index[r->axis[k].axis] = taps[k].index[t];
        const Expr v = interpolate(r, taps, k + 1, index);
        sum = sum ? expr_fma(x, taps[k].weight[t], v, sum) : expr_mul(x, taps[k].weight[t], v);
    }
    return sum;
}

/* ---- antialias ---- */

/* Positions of the filter, from `first` (relative to the floor of the place) on. */
static void filter_extent(const Resize *r, const ResizeAxis *a, Expr *first, Expr *count)
{
    Exprs *x = r->d->x;
    const int64_t support = r->cubic ? 2 : 1;
    double scale;
    if (expr_is_const(x, a->scale, &scale)) {
        const double s = scale < 1 ? scale : 1;
        *first = expr_int(x, (int64_t)floor(-(double)support / s) + 1);
    } else {
        const Expr in = expr_muli(x, expr_max(x, a->in, a->out), -support);
        *first = expr_addi(x, expr_div(x, in, a->out), 1);
    }
    *count = expr_addi(x, expr_muli(x, *first, -2), 2);
}

/* One axis of `tensor` resized: a weighted sum and the sum of weights, then their ratio. */
static int antialias_axis(const Resize *r, int tensor, const ResizeAxis *a)
{
    static const char *const names[] = {"sum", "weight"};
    Exprs *x = r->d->x;
    Stages *s = r->d->s;
    const StageTensor t = s->tensor.at[tensor];
    Expr dims[MAX_RANK], index[MAX_RANK], first, count;
    memcpy(dims, t.dim, sizeof dims);
    dims[a->axis] = a->out;
    filter_extent(r, a, &first, &count);
    StageBuild b = stage_begin(s, t.rank, dims);
    stage_reduce_axes(s, &b, 1, &count);
    memcpy(index, b.i, sizeof index);
    const Expr at = place_of(r, a, b.i[a->axis]);
    const Expr floor_at = expr_cast(x, DT_I64, expr_un(x, EX_FLOOR, at));
    const Expr i = expr_add(x, expr_add(x, floor_at, first), b.r[0]);
    index[a->axis] = clamp_to(x, i, a->in);
    const Expr away = expr_un(x, EX_ABS, expr_sub(x, expr_cast(x, DT_F32, i), at));
    const Expr shrink = expr_min(x, a->scale, num(x, 1));
    const Expr w = exclude(r, a, i, filter(r, expr_mul(x, away, shrink)));
    const Expr v = expr_cast(x, DT_F32, stages_load(s, tensor, index));
    const DType types[] = {DT_F32, DT_F32};
    const Expr sum = expr_state(x, DT_F32, 0), all = expr_state(x, DT_F32, 1);
    const Expr init[] = {num(x, 0), num(x, 0)};
    const Expr update[] = {expr_fma(x, w, v, sum), expr_add(x, all, w)};
    const Expr combine[] = {expr_add(x, sum, expr_state2(x, DT_F32, 0)),
                            expr_add(x, all, expr_state2(x, DT_F32, 1))};
    int out[2];
    stage_reduce_n(s, &b, 2, names, types, init, update, combine, out);
    const StageBuild m = stage_begin(s, t.rank, dims);
    const Expr total = stages_load(s, out[1], m.i);
    return stage_map(s, &m, "resize", DT_F32, expr_div(x, stages_load(s, out[0], m.i), total));
}

/* ---- all together ---- */

/* Rounds and saturates for integer outputs. */
static Expr to_type(const Define *d, Expr v)
{
    Exprs *x = d->x;
    const DType t = define_out_type(d, 0);
    if (dtype_is_float(t))
        return v;
    const Expr r = expr_max(x, expr_un(x, EX_ROUND, v), num(x, dtype_lowest(t)));
    return expr_cast(x, dtype_compute(t), expr_min(x, r, num(x, dtype_highest(t))));
}

/* tf_crop_and_resize: outside the input stands extrapolation_value. */
static Expr extrapolate(const Resize *r, const StageBuild *b, Expr v)
{
    Exprs *x = r->d->x;
    if (r->transform != TF_CROP_AND_RESIZE)
        return v;
    Expr inside = expr_true(x);
    for (int k = 0; k < r->n; k++) {
        const ResizeAxis *a = &r->axis[k];
        const Expr at = place_of(r, a, b->i[a->axis]);
        const Expr last = expr_cast(x, DT_F32, expr_addi(x, a->in, -1));
        inside = expr_and(x, inside, expr_le(x, num(x, 0), at));
        inside = expr_and(x, inside, expr_le(x, at, last));
    }
    const double value = define_float(r->d, "extrapolation_value", 0);
    return expr_select(x, inside, v, expr_const(x, expr_type(x, v), value));
}

void define_resize(Define *d)
{
    const Resize r = resize_of(d);
    if (!r.nearest && define_int(d, "antialias", 0)) {
        int t = d->in[0];
        for (int k = 0; k < r.n; k++)
            t = antialias_axis(&r, t, &r.axis[k]);
        const StageBuild b = define_begin(d, 0);
        const Expr v = expr_cast(d->x, DT_F32, stages_load(d->s, t, b.i));
        define_map(d, 0, &b, to_type(d, extrapolate(&r, &b, v)));
        return;
    }
    const StageBuild b = define_begin(d, 0);
    Expr index[MAX_RANK];
    memcpy(index, b.i, sizeof index);
    if (r.nearest || r.n == 0) {
        for (int k = 0; k < r.n; k++)
            index[r.axis[k].axis] = nearest_index(&r, &r.axis[k], b.i[r.axis[k].axis]);
        define_map(d, 0, &b, extrapolate(&r, &b, define_load(d, 0, index)));
        return;
    }
    Taps taps[MAX_RANK];
    for (int k = 0; k < r.n; k++)
        taps[k] = taps_of(&r, &r.axis[k], b.i[r.axis[k].axis]);
    define_map(d, 0, &b, to_type(d, extrapolate(&r, &b, interpolate(&r, taps, 0, index))));
}
