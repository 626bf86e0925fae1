/* GridSample and AffineGrid, and the sampling they share with DeformConv (op/sample.h).
 *
 * x (N,C,in...), grid (N,out...,n) -> y (N,C,out...): the last axis of grid names a place in x,
 * last spatial dim first, -1 to 1 from edge to edge (align_corners: from corner centre to corner
 * centre). A place beyond the edge reads 0, the edge, or what a mirror at the edge shows. */
#include "op/sample.h"

#include "op/table.h"

#include <string.h>

/* ---- sampling ---- */

enum { MAX_TAPS = 4 };

typedef struct Taps {
    int n;
    Expr index[MAX_TAPS], weight[MAX_TAPS], inside[MAX_TAPS];
} Taps;

/* v mirrored at both ends of [low, low + range]: a triangular wave. */
static Expr reflect(Exprs *x, Expr v, Expr low, Expr range)
{
    const Expr period = expr_add(x, range, range);
    const Expr u = expr_mod(x, expr_sub(x, v, low), period);
    const Expr folded = expr_select(x, expr_lt(x, range, u), expr_sub(x, period, u), u);
    const Expr point = expr_le(x, range, expr_const(x, expr_type(x, v), 0));
    return expr_select(x, point, low, expr_add(x, low, folded));
}

/* The place, if it lies outside, brought in as the padding asks. */
static Expr bring_in(const Sample *p, Expr at, Expr extent)
{
    Exprs *x = p->s->x;
    const DType t = expr_type(x, at);
    const Expr n = expr_cast(x, t, extent);
    const Expr low = expr_const(x, t, p->align_corners ? 0 : -0.5);
    const Expr range = p->align_corners ? expr_sub(x, n, expr_const(x, t, 1)) : n;
    const Expr outside = expr_or(x, expr_lt(x, at, low), expr_lt(x, expr_add(x, low, range), at));
    const Expr last = expr_sub(x, n, expr_const(x, t, 1)), zero = expr_const(x, t, 0);
    switch (p->padding) {
    case SAMPLE_BORDER:
        return expr_select(x, outside, expr_max(x, expr_min(x, at, last), zero), at);
    case SAMPLE_REFLECTION:
        return expr_select(x, outside, reflect(x, at, low, range), at);
    case SAMPLE_ZEROS:
        break;
    }
    /* far outside all is 0; this keeps the integers small whatever the data */
    const Expr far = expr_const(x, t, 8);
    return expr_max(x, expr_min(x, at, expr_add(x, n, far)), expr_un(x, EX_NEG, far));
}

/* Mirror of an integer position. */
static Expr reflect_index(const Sample *p, Expr i, Expr extent)
{
    Exprs *x = p->s->x;
    const Expr span = expr_addi(x, extent, p->align_corners ? -1 : 0);
    const Expr u = expr_mod(x, i, expr_muli(x, span, 2));
    const Expr back =
        expr_addi(x, expr_sub(x, expr_muli(x, span, 2), u), p->align_corners ? 0 : -1);
    return expr_select(x, expr_lt(x, u, extent), u, back);
}

static void set_tap(const Sample *p, Taps *t, int k, Expr i, Expr extent, Expr weight)
{
    Exprs *x = p->s->x;
    Expr inside = expr_true(x);
    const Expr moved = p->padding == SAMPLE_REFLECTION ? reflect_index(p, i, extent) : i;
    t->index[k] = window_clamp(x, moved, extent, &inside);
    t->inside[k] = p->padding == SAMPLE_ZEROS ? inside : expr_true(x);
    t->weight[k] = weight;
}

/* Keys's cubic (1981) with a = -0.75 at distance 0 <= d < 2. */
static Expr cubic_weight(Exprs *x, Expr d, bool outer)
{
    const DType t = expr_type(x, d);
    const double a = -0.75;
    if (outer) {
        const Expr d2 = expr_fma(x, expr_const(x, t, a), d, expr_const(x, t, -5 * a));
        return expr_fma(x, expr_fma(x, d2, d, expr_const(x, t, 8 * a)), d,
                        expr_const(x, t, -4 * a));
    }
    const Expr c = expr_fma(x, expr_const(x, t, a + 2), d, expr_const(x, t, -(a + 3)));
    return expr_fma(x, expr_mul(x, c, d), d, expr_const(x, t, 1));
}

static Taps taps_of(const Sample *p, int k)
{
    Exprs *x = p->s->x;
    const Expr extent = p->s->tensor.at[p->tensor].dim[p->lead + k];
    const DType type = expr_type(x, p->at[k]);
    const Expr one = expr_const(x, type, 1);
    Taps t = {.n = p->mode == SAMPLE_NEAREST ? 1 : p->mode == SAMPLE_LINEAR ? 2 : 4};
    if (p->mode == SAMPLE_NEAREST) {
        const Expr at = bring_in(p, expr_un(x, EX_ROUND, p->at[k]), extent);
        set_tap(p, &t, 0, expr_cast(x, DT_I64, at), extent, one);
        return t;
    }
    const Expr at = bring_in(p, p->at[k], extent), floor_at = expr_un(x, EX_FLOOR, at);
    const Expr first = expr_cast(x, DT_I64, floor_at), rest = expr_sub(x, at, floor_at);
    const Expr other = expr_sub(x, one, rest);
    if (p->mode == SAMPLE_LINEAR) {
        set_tap(p, &t, 0, first, extent, other);
        set_tap(p, &t, 1, expr_addi(x, first, 1), extent, rest);
        return t;
    }
    const Expr before = expr_add(x, rest, one), behind = expr_add(x, other, one);
    set_tap(p, &t, 0, expr_addi(x, first, -1), extent, cubic_weight(x, before, true));
    set_tap(p, &t, 1, first, extent, cubic_weight(x, rest, false));
    set_tap(p, &t, 2, expr_addi(x, first, 1), extent, cubic_weight(x, other, false));
    set_tap(p, &t, 3, expr_addi(x, first, 2), extent, cubic_weight(x, behind, true));
    return t;
}

static Expr weighted(const Sample *p, const Taps *taps, int k, Expr inside, Expr *index)
{
    Exprs *x = p->s->x;
    if (k == p->n) {
        const Expr v = stages_load(p->s, p->tensor, index);
        return expr_select(x, inside, v, expr_const(x, expr_type(x, v), 0));
    }
    Expr sum = 0;
    for (int t = 0; t < taps[k].n; t++) {
        index[p->lead + k] = taps[k].index[t];
        const Expr here = expr_and(x, inside, taps[k].inside[t]);
        const Expr v = weighted(p, taps, k + 1, here, index);
        if (taps[k].n == 1)
            return v;
        const Expr w = taps[k].weight[t];
        sum = sum ? expr_fma(x, w, v, sum) : expr_mul(x, w, v);
    }
    return sum;
}

Expr sample(const Sample *p)
{
    Taps taps[MAX_SPATIAL];
    Expr index[MAX_RANK];
    memcpy(index, p->index, sizeof index);
    for (int k = 0; k < p->n; k++)
        taps[k] = taps_of(p, k);
    return weighted(p, taps, 0, expr_true(p->s->x), index);
}

/* ---- GridSample ---- */

void infer_grid_sample(const Infer *f)
{
    const Value *x = infer_in(f, 0), *grid = infer_in(f, 1);
    const int n = x->rank - 2;
    if (n < 1 || grid->rank != x->rank)
        infer_fail(f, "x has rank %d, the grid %d", x->rank, grid->rank);
    infer_require_equal(f, x->dim[0], grid->dim[0], "batch of x and of the grid");
    infer_require_equal(f, grid->dim[n + 1], expr_int(f->x, n), "last dim of the grid");
    Expr dims[MAX_RANK] = {x->dim[0], x->dim[1]};
    for (int k = 0; k < n; k++)
        dims[2 + k] = grid->dim[1 + k];
    infer_out(f, 0, x->dtype, x->rank, dims);
}

static int choice(const Define *d, const char *attr, const char *missing, int n,
                  const char *const *names)
{
    const char *v = node_string(d->node, attr, missing);
    for (int k = 0; k < n; k++)
        if (strcmp(v, names[k]) == 0)
            return k;
    define_fail(d, "%s is '%s'", attr, v);
}

static SampleMode mode_of(const Define *d)
{
    static const char *const names[] = {"linear",   "nearest", "cubic",
                                        "bilinear", "nearest", "bicubic"};
    return (SampleMode)(choice(d, "mode", "linear", 6, names) % 3);
}

void define_grid_sample(Define *d)
{
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const DType compute = dtype_compute(define_in(d, 0)->dtype);
    const bool is_float = dtype_is_float(compute);
    const DType t = compute == DT_F64 ? DT_F64 : DT_F32;
    Sample p = {
        .s = d->s,
        .tensor = is_float ? d->in[0] : block_cast(d->s, d->in[0], t),
        .lead = 2,
        .n = define_rank(d, 0) - 2,
        .index = {b.i[0], b.i[1]},
        .mode = mode_of(d),
        .padding = (SamplePadding)choice(d, "padding_mode", "zeros", 3, paddings),
        .align_corners = define_int(d, "align_corners", 0) != 0,
    };
    const Expr one = expr_const(x, t, 1), half = expr_const(x, t, 0.5);
    Expr gi[MAX_RANK] = {b.i[0]};
    memcpy(gi + 1, b.i + 2, (size_t)p.n * sizeof *gi);
    for (int k = 0; k < p.n; k++) {
        gi[p.n + 1] = expr_int(x, p.n - 1 - k);
        const Expr v = expr_add(x, expr_cast(x, t, define_load(d, 1, gi)), one);
        const Expr extent = expr_cast(x, t, define_dim(d, 0, 2 + k));
        const Expr span = p.align_corners ? expr_sub(x, extent, one) : extent;
        const Expr wide = expr_mul(x, v, span);
        p.at[k] = expr_mul(x, p.align_corners ? wide : expr_sub(x, wide, one), half);
    }
    define_map(d, 0, &b, sample(&p));
}

/* ---- AffineGrid ---- */

/* theta (N,n,n+1), size = (N,C,out...) -> grid (N,out...,n) */
void infer_affine_grid(const Infer *f)
{
    const Value *theta = infer_in(f, 0);
    int count;
    const Expr *size = infer_elems(f, 1, &count);
    const int n = count - 2;
    if (n != 2 && n != 3)
        infer_fail(f, "size has %d entries, not 4 or 5", count);
    if (theta->rank != 3)
        infer_fail(f, "theta has rank %d", theta->rank);
    infer_require_equal(f, theta->dim[0], size[0], "batch of theta and of size");
    infer_require_equal(f, theta->dim[1], expr_int(f->x, n), "rows of theta");
    infer_require_equal(f, theta->dim[2], expr_int(f->x, n + 1), "columns of theta");
    Expr dims[MAX_RANK] = {size[0]};
    for (int k = 0; k < n; k++)
        dims[1 + k] = size[2 + k];
    dims[n + 1] = expr_int(f->x, n);
    infer_out(f, 0, theta->dtype, n + 2, dims);
}

void define_affine_grid(Define *d)
{
    Exprs *x = d->x;
    const int n = define_out_rank(d, 0) - 2;
    const bool align = define_int(d, "align_corners", 0) != 0;
    const DType t = dtype_compute(define_in(d, 0)->dtype);
    const StageBuild b = define_begin(d, 0);
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    Expr ti[3] = {b.i[0], b.i[n + 1], expr_int(x, n)};
    Expr v = define_load(d, 0, ti);
    for (int k = 0; k < n; k++) {
        /* -1 + 2i/(len-1), or -1 + (2i+1)/len; a single corner is at -1 */
        const int axis = n - k;
        const Expr gaps = expr_max(x, expr_addi(x, dims[axis], -1), expr_int(x, 1));
        const Expr top = expr_addi(x, expr_muli(x, b.i[axis], 2), align ? 0 : 1);
        const Expr bottom = expr_cast(x, t, align ? gaps : dims[axis]);
        const Expr at = expr_sub(x, expr_div(x, expr_cast(x, t, top), bottom), expr_const(x, t, 1));
        ti[2] = expr_int(x, k);
        v = expr_fma(x, define_load(d, 0, ti), at, v);
    }
    define_map(d, 0, &b, v);
}
