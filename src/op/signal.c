/* DFT, STFT, window functions, MelWeightMatrix.
 *
 * Fourier transforms are direct sums over a table of twiddles, all in double: their results are
 * exact to the last bits of float for any length. */
#include <math.h>
#include <string.h>

#include "op/table.h"

/* ---- shared ---- */

/* A size given as a scalar input: it may be symbolic. */
static Expr size_in(const Infer *f, int k)
{
    int n;
    const Expr *e = infer_elems(f, k, &n);
    if (n != 1)
        infer_fail(f, "input %d must be a scalar", k);
    int64_t v;
    if (expr_is_int(f->x, e[0], &v) && v < 0)
        infer_fail(f, "input %d is %lld", k, (long long)v);
    return expr_cast(f->x, DT_I64, e[0]);
}

static DType output_datatype(const Infer *f)
{
    const DType t = (DType)node_int(f->node, "output_datatype", DT_F32);
    if (t <= DT_NONE || t >= DT_COUNT || dtype_size(t) == 0)
        infer_fail(f, "output_datatype %d is no number type", (int)t);
    return t;
}

static Expr real(Exprs *x, double v)
{
    return expr_float(x, DT_F64, v);
}

static Expr to_real(Exprs *x, Expr v)
{
    return expr_cast(x, DT_F64, v);
}

/* f(2 pi i / length), i in [0, length): cosines or sines. */
static int twiddles(Stages *s, ExprOp f, Expr length)
{
    Exprs *x = s->x;
    const StageBuild b = stage_begin(s, 1, &length);
    const Expr turn = expr_div(x, to_real(x, b.i[0]), to_real(x, length));
    return stage_map(s, &b, f == EX_COS ? "cos" : "sin", DT_F64,
                     expr_un(x, f, expr_mul(x, turn, real(x, 2 * M_PI))));
}

typedef struct Complex {
    Expr re, im;
} Complex;

static Complex complex_mul(Exprs *x, Complex a, Complex b)
{
    return (Complex){
        expr_sub(x, expr_mul(x, a.re, b.re), expr_mul(x, a.im, b.im)),
        expr_add(x, expr_mul(x, a.re, b.im), expr_mul(x, a.im, b.re)),
    };
}

/* Element `index` (its last entry is set here) of a tensor whose last dim is 1 (real) or 2. */
static Complex load_complex(const Define *d, int k, Expr *index)
{
    Exprs *x = d->x;
    const int last = define_rank(d, k) - 1;
    int64_t parts = 1;
    expr_is_int(x, define_dim(d, k, last), &parts);
    index[last] = expr_int(x, 0);
    Complex v = {to_real(x, define_load(d, k, index)), real(x, 0)};
    if (parts == 2) {
        index[last] = expr_int(x, 1);
        v.im = to_real(x, define_load(d, k, index));
    }
    return v;
}

/* Sums `term` over b's reduction axes into two results. */
static void complex_sum(Stages *s, const StageBuild *b, Complex term, int out[2])
{
    Exprs *x = s->x;
    const Expr terms[2] = {term.re, term.im}, zero = real(x, 0);
    Expr update[2], combine[2];
    for (int k = 0; k < 2; k++) {
        const Expr state = expr_state(x, DT_F64, k);
        update[k] = expr_add(x, state, terms[k]);
        combine[k] = expr_add(x, state, expr_state2(x, DT_F64, k));
    }
    stage_reduce_n(s, b, 2, (const char *const[]){"re", "im"}, (const DType[]){DT_F64, DT_F64},
                   (const Expr[]){zero, zero}, update, combine, out);
}

/* Output 0 (..., 2) from two tensors (...), scaled. */
static void define_complex_out(Define *d, const int parts[2], Expr scale)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const Expr re = stages_load(d->s, parts[0], b.i), im = stages_load(d->s, parts[1], b.i);
    const Expr is_re = expr_eq(x, b.i[b.naxes - 1], expr_int(x, 0));
    define_map(d, 0, &b, expr_mul(x, expr_select(x, is_re, re, im), scale));
}

/* ---- DFT ---- */

typedef struct Dft {
    bool inverse, onesided;
    int axis;
    Expr length; /* of the transform */
} Dft;

/* The axis is an input; opset 17 had an attribute. */
static int dft_axis_of(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

void infer_dft(const Infer *f)
{
    const Value *v = infer_in(f, 0);
    Exprs *x = f->x;
    int64_t axis = -2, parts;
    infer_ints_or_attr(f, "axis", 2, &axis, 1);
    const int a = infer_axis(f, axis, v->rank);
    if (a == v->rank - 1)
        infer_fail(f, "the last dim holds the complex parts and is no axis");
    if (!infer_dim_is(f, v->dim[v->rank - 1], &parts) || parts < 1 || parts > 2)
        infer_fail(f, "the last dim must be 1 or 2");
    const bool inverse = node_int(f->node, "inverse", 0),
               onesided = node_int(f->node, "onesided", 0);
    Expr length = v->dim[a];
    if (infer_has(f, 1))
        length = size_in(f, 1);
    else if (inverse && onesided)
        length = expr_muli(x, expr_addi(x, length, -1), 2);
    Expr dims[MAX_RANK];
    memcpy(dims, v->dim, sizeof dims);
    dims[a] = onesided && !inverse ? expr_addi(x, expr_divi(x, length, 2), 1) : length;
    dims[v->rank - 1] = expr_int(x, onesided && inverse ? 1 : 2);
    infer_out(f, 0, v->dtype, v->rank, dims);
}

static Dft dft_of(const Define *d)
{
    Dft t = {.inverse = node_int(d->node, "inverse", 0),
             .onesided = node_int(d->node, "onesided", 0)};
    const int rank = define_rank(d, 0);
    int64_t axis = -2;
    define_ints_or_attr(d, "axis", 2, &axis, 1);
    t.axis = dft_axis_of(axis, rank);
    int n;
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    if (!t.onesided || t.inverse)
        t.length = dims[t.axis];
    else if (define_has(d, 1))
        t.length = expr_cast(d->x, DT_I64, define_elems(d, 1, &n)[0]);
    else
        t.length = define_dim(d, 0, t.axis);
    return t;
}

/* The inverse of a one-sided spectrum is real: each bin stands for itself and its conjugate, but
 * for the first and (of an even length) the last. */
static void define_irfft(Define *d, const Dft *t, StageBuild *b, Complex v, Complex turn)
{
    Exprs *x = d->x;
    const Expr k = b->r[0];
    const Expr single =
        expr_or(x, expr_eq(x, k, expr_int(x, 0)), expr_eq(x, expr_muli(x, k, 2), t->length));
    const Expr weight = expr_select(x, single, real(x, 1), real(x, 2));
    const Expr term = expr_mul(x, weight, complex_mul(x, v, turn).re);
    const Expr state = expr_state(x, DT_F64, 0), state2 = expr_state2(x, DT_F64, 0);
    const int sum = stage_reduce(d->s, b, "re", DT_F64, real(x, 0), expr_add(x, state, term),
                                 expr_add(x, state, state2));
    const StageBuild m = define_begin(d, 0);
    const Expr y = expr_div(x, stages_load(d->s, sum, m.i), to_real(x, t->length));
    define_map(d, 0, &m, y);
}

/* x (..., N, ..., parts) -> y (..., K, ..., 2): y[k] = sum over n of x[n] e^(-+2 pi i n k / L) */
void define_dft(Define *d)
{
    Exprs *x = d->x;
    const Dft t = dft_of(d);
    const int rank = define_rank(d, 0);
    const int cos = twiddles(d->s, EX_COS, t.length), sin = twiddles(d->s, EX_SIN, t.length);
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    StageBuild b = stage_begin(d->s, rank - 1, dims);
    /* What is missing of the length reads zero, what is beyond it is not read. */
    const Expr half = expr_addi(x, expr_divi(x, t.length, 2), 1);
    const Expr used =
        expr_min(x, define_dim(d, 0, t.axis), t.inverse && t.onesided ? half : t.length);
    stage_reduce_axes(d->s, &b, 1, &used);
    Expr index[MAX_RANK];
    memcpy(index, b.i, (size_t)(rank - 1) * sizeof *index);
    index[t.axis] = b.r[0];
    const Complex v = load_complex(d, 0, index);
    const Expr at = expr_mod(x, expr_mul(x, b.r[0], b.i[t.axis]), t.length);
    const Expr s = stages_load(d->s, sin, &at);
    const Complex turn = {stages_load(d->s, cos, &at), t.inverse ? s : expr_un(x, EX_NEG, s)};
    if (t.inverse && t.onesided) {
        /* Only the last dim differs: (..., 1). */
        define_irfft(d, &t, &b, v, turn);
        return;
    }
    int parts[2];
    complex_sum(d->s, &b, complex_mul(x, v, turn), parts);
    const Expr one = real(x, 1);
    define_complex_out(d, parts, t.inverse ? expr_div(x, one, to_real(x, t.length)) : one);
}

/* ---- STFT ---- */

void infer_stft(const Infer *f)
{
    const Value *v = infer_in(f, 0), *window = infer_in(f, 2);
    Exprs *x = f->x;
    int64_t parts;
    if (v->rank != 3 || !infer_dim_is(f, v->dim[2], &parts) || parts < 1 || parts > 2)
        infer_fail(f, "the signal must be (batch, length, 1 or 2)");
    if (window && window->rank != 1)
        infer_fail(f, "the window must be a vector");
    const Expr length = infer_has(f, 3) ? size_in(f, 3) : window ? window->dim[0] : v->dim[1];
    if (window)
        infer_require_equal(f, window->dim[0], length, "window and frame length");
    const Expr step = size_in(f, 1), spare = expr_sub(x, v->dim[1], length);
    int64_t n;
    if (expr_is_int(x, step, &n) && n < 1)
        infer_fail(f, "frame_step is %lld", (long long)n);
    const Expr bins =
        node_int(f->node, "onesided", 1) ? expr_addi(x, expr_divi(x, length, 2), 1) : length;
    const Expr dims[4] = {v->dim[0], expr_addi(x, expr_div(x, spare, step), 1), bins,
                          expr_int(x, 2)};
    infer_out(f, 0, v->dtype, 4, dims);
}

/* y (B,F,K,2): y[b,f,k] = sum over n of x[b, f step + n] w[n] e^(-2 pi i n k / L) */
void define_stft(Define *d)
{
    Exprs *x = d->x;
    int n;
    const Expr length = define_has(d, 3)   ? expr_cast(x, DT_I64, define_elems(d, 3, &n)[0])
                        : define_has(d, 2) ? define_dim(d, 2, 0)
                                           : define_dim(d, 0, 1);
    const Expr step = expr_cast(x, DT_I64, define_elems(d, 1, &n)[0]);
    const int cos = twiddles(d->s, EX_COS, length), sin = twiddles(d->s, EX_SIN, length);
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    StageBuild b = stage_begin(d->s, 3, dims);
    stage_reduce_axes(d->s, &b, 1, &length);
    Expr index[3] = {b.i[0], expr_add(x, expr_mul(x, b.i[1], step), b.r[0])};
    Complex v = load_complex(d, 0, index);
    if (define_has(d, 2)) {
        const Expr w = to_real(x, define_load(d, 2, &b.r[0]));
        v = (Complex){expr_mul(x, v.re, w), expr_mul(x, v.im, w)};
    }
    const Expr at = expr_mod(x, expr_mul(x, b.r[0], b.i[2]), length);
    const Complex turn = {stages_load(d->s, cos, &at),
                          expr_un(x, EX_NEG, stages_load(d->s, sin, &at))};
    int parts[2];
    complex_sum(d->s, &b, complex_mul(x, v, turn), parts);
    define_complex_out(d, parts, real(x, 1));
}

/* ---- windows ---- */

void infer_window(const Infer *f)
{
    const Expr size = size_in(f, 0);
    infer_out(f, 0, output_datatype(f), 1, &size);
}

/* c0 + c1 cos(2 pi n / N) + c2 cos(4 pi n / N); N is one less for a symmetric window. */
static void define_window(Define *d, double c0, double c1, double c2)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const Expr size = b.axis[0].extent;
    Expr period = size;
    if (!node_int(d->node, "periodic", 1))
        period = expr_max(x, expr_addi(x, size, -1), expr_int(x, 1));
    const Expr turn = expr_div(x, to_real(x, b.i[0]), to_real(x, period));
    const Expr one = expr_un(x, EX_COS, expr_mul(x, turn, real(x, 2 * M_PI)));
    const Expr two = expr_un(x, EX_COS, expr_mul(x, turn, real(x, 4 * M_PI)));
    Expr y = expr_add(x, real(x, c0), expr_mul(x, real(x, c1), one));
    if (c2 != 0)
        y = expr_add(x, y, expr_mul(x, real(x, c2), two));
    define_map(d, 0, &b, y);
}

void define_hann_window(Define *d)
{
    define_window(d, 0.5, -0.5, 0);
}

void define_hamming_window(Define *d)
{
    define_window(d, 25.0 / 46, -21.0 / 46, 0);
}

void define_blackman_window(Define *d)
{
    define_window(d, 0.42, -0.5, 0.08);
}

/* ---- MelWeightMatrix ---- */

/* (bins of a one-sided spectrum, mel bands) */
void infer_mel_weight_matrix(const Infer *f)
{
    const Expr bands = size_in(f, 0), length = size_in(f, 1);
    const Expr dims[2] = {expr_addi(f->x, expr_divi(f->x, length, 2), 1), bands};
    infer_out(f, 0, output_datatype(f), 2, dims);
}

/* mel(f) = 2595 log10(1 + f / 700) */
static Expr mel_of(Exprs *x, Expr hertz)
{
    const Expr v = expr_un(x, EX_LOG, expr_add(x, real(x, 1), expr_div(x, hertz, real(x, 700))));
    return expr_mul(x, v, real(x, 2595 / M_LN10));
}

static Expr scalar_in(const Define *d, int k)
{
    const Expr zero[MAX_RANK] = {expr_int(d->x, 0), expr_int(d->x, 0)};
    return define_load(d, k, zero);
}

/* The spectrum bin at which each band's triangle starts; it peaks at the next one's start and ends
 * at the one after: i64 (bands + 2). */
static int mel_edges(Define *d, Expr bands)
{
    Exprs *x = d->x;
    const Expr count = expr_addi(x, bands, 2);
    const StageBuild b = stage_begin(d->s, 1, &count);
    const Expr low = mel_of(x, to_real(x, scalar_in(d, 3)));
    const Expr high = mel_of(x, to_real(x, scalar_in(d, 4)));
    const Expr step = expr_div(x, expr_sub(x, high, low), to_real(x, count));
    const Expr mel = expr_add(x, expr_mul(x, to_real(x, b.i[0]), step), low);
    const Expr power = expr_un(x, EX_EXP, expr_mul(x, mel, real(x, M_LN10 / 2595)));
    const Expr hertz = expr_mul(x, real(x, 700), expr_sub(x, power, real(x, 1)));
    const Expr length = expr_add(x, to_real(x, scalar_in(d, 1)), real(x, 1));
    const Expr bin = expr_div(x, expr_mul(x, length, hertz), to_real(x, scalar_in(d, 2)));
    return stage_map(d->s, &b, "edge", DT_I64, expr_cast(x, DT_I64, expr_un(x, EX_FLOOR, bin)));
}

void define_mel_weight_matrix(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const int edges = mel_edges(d, b.axis[1].extent);
    const Expr i = b.i[0], zero = real(x, 0), one = real(x, 1);
    Expr edge[3];
    for (int k = 0; k < 3; k++) {
        const Expr at = expr_addi(x, b.i[1], k);
        edge[k] = stages_load(d->s, edges, &at);
    }
    const Expr rise = expr_sub(x, edge[1], edge[0]), fall = expr_sub(x, edge[2], edge[1]);
    const Expr up = expr_div(x, to_real(x, expr_sub(x, i, edge[0])), to_real(x, rise));
    const Expr down = expr_div(x, to_real(x, expr_sub(x, edge[2], i)), to_real(x, fall));
    const Expr rising = expr_and(x, expr_le(x, edge[0], i), expr_le(x, i, edge[1]));
    const Expr falling = expr_and(x, expr_le(x, edge[1], i), expr_lt(x, i, edge[2]));
    const Expr steep = expr_select(x, expr_eq(x, i, edge[1]), one, zero);
    const Expr left =
        expr_select(x, expr_eq(x, rise, expr_int(x, 0)), steep, expr_select(x, rising, up, zero));
    define_map(d, 0, &b, expr_select(x, falling, down, left));
}
