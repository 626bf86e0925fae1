/* Winograd convolution (op/winograd.h). Tiles of the output are numbered p = (image, tile row, tile
 * column). Stages:
 *
 *     conv.pad   x with its border, up to whole tiles
 *     t, v       MAP (i,j,p,c): B'd B of each tile, first along columns, then along rows
 *     acc        REDUCE (i,j,p,k; c): n*n products of v and the transformed weights u
 *     z, tile    MAP (a,b,p,k): A'[..]A, in two steps as well
 *     conv       MAP (n,k,h,w): the element of the tile, bias
 *
 * A row of a matrix is chosen by an axis: loops over such axes are to be unrolled. */
#include "op/winograd.h"

#include "op/conv.h"
#include "op/table.h"

/* ---- matrices ---- */

/* Points 0, p, -p, q, -q, ..: chosen for small errors (reciprocals balance the powers). */
static int finite_points(int m, double *point)
{
    static const double by_m[][3] = {
        [2] = {1}, [4] = {0.70710678118654752, 1.4142135623730951}, [6] = {1, 0.5, 2}};
    const int n = m + WINOGRAD_KERNEL - 2;
    point[0] = 0;
    for (int k = 1; k < n; k++) {
        point[k] = k % 2 ? by_m[m][k / 2] : -point[k - 1];
    }
    return n;
}

/* Coefficients, lowest first, of the product of (x - point) over all points but `skip`. */
static void product_but(int n, const double *point, int skip, double *coefficient)
{
    int degree = 0;
    coefficient[0] = 1;
    for (int l = 0; l < n; l++) {
        if (l == skip) {
            continue;
        }
        coefficient[degree + 1] = 0;
        for (int k = degree; k >= 0; k--) {
            coefficient[k + 1] += coefficient[k];
            coefficient[k] *= -point[l];
        }
        degree++;
    }
}

Winograd winograd_matrices(int m)
{
    Winograd w = {.m = m, .n = m + WINOGRAD_KERNEL - 1};
    double point[WINOGRAD_MAX_N];
    const int finite = finite_points(m, point), last = w.n - 1;
    for (int j = 0; j < finite; j++) {
        double scale = 1, power = 1;
        for (int l = 0; l < finite; l++) {
            scale *= l == j ? 1 : point[j] - point[l];
        }
        for (int k = 0; k < m || k < WINOGRAD_KERNEL; k++) {
            if (k < m) {
                w.a[k][j] = power;
            }
            if (k < WINOGRAD_KERNEL) {
                w.g[j][k] = power / scale;
            }
            power *= point[j];
        }
        product_but(finite, point, j, w.b[j]);
    }
    w.a[m - 1][last] = 1;
    w.g[last][WINOGRAD_KERNEL - 1] = 1;
    product_but(finite, point, -1, w.b[last]);
    return w;
}

/* ---- inference ---- */

int winograd_of(const Node *n)
{
    return n->nin > WINOGRAD_INPUT && n->in[WINOGRAD_INPUT] >= 0 ? (int)node_int(n, "winograd", 0)
                                                                 : 0;
}

void infer_winograd(const Infer *f, const Window *win)
{
    const int64_t m = node_int(f->node, "winograd", 0);
    const bool has_weights = infer_has(f, WINOGRAD_INPUT);
    if (m == 0 && !has_weights) {
        return;
    }
    if (!has_weights || (m != 2 && m != 4 && m != 6)) {
        infer_fail(f, "input 3 and attribute 'winograd' (2, 4 or 6) belong together");
    }
    const Value *u = infer_in(f, WINOGRAD_INPUT), *w = infer_in(f, 1);
    const int64_t n = m + WINOGRAD_KERNEL - 1;
    bool fits =
        win->n == 2 && u->rank == 4 && u->dtype == w->dtype && node_int(f->node, "group", 1) == 1;
    for (int k = 0; fits && k < 2; k++) {
        fits = win->stride[k] == 1 && win->dilation[k] == 1 &&
               dim_is(f->x, w->dim[2 + k], WINOGRAD_KERNEL);
    }
    if (!fits) {
        infer_fail(f,
                   "attribute 'winograd' wants a 3x3 kernel, stride and dilation 1, and one group");
    }
    infer_require_equal(f, u->dim[0], w->dim[0], "outputs of the transformed weights");
    infer_require_equal(f, u->dim[1], w->dim[1], "channels of the transformed weights");
    infer_require_equal(f, u->dim[2], expr_int(f->x, n), "transformed weights and tile");
    infer_require_equal(f, u->dim[3], expr_int(f->x, n), "transformed weights and tile");
}

/* ---- definition ---- */

/* Sums of products with constants, in which what rows share is one expression: rows of B' of points
 * p and -p have equal even parts and opposite odd parts. */
static Expr add_term(Exprs *x, Expr sum, double c, Expr v)
{
    const DType t = expr_type(x, v);
    if (c == 1) {
        return sum ? expr_add(x, sum, v) : v;
    }
    const Expr constant = expr_float(x, t, c);
    return sum ? expr_fma(x, constant, v, sum) : expr_mul(x, constant, v);
}

static Expr part_of_row(Exprs *x, const double *row, int n, int first, double sign, const Expr *v)
{
    Expr sum = 0;
    for (int pass = 0; pass < 2; pass++) { /* what needs no product is where the others are added */
        for (int k = first; k < n; k += 2) {
            const double c = sign * row[k];
            sum = c != 0 && (c == 1) == (pass == 0) ? add_term(x, sum, c, v[k]) : sum;
        }
    }
    return sum;
}

static double leading_sign(const double *row, int n, int first)
{
    for (int k = n - 1 - (n - 1 - first) % 2; k >= first; k -= 2) {
        if (row[k] != 0) {
            return row[k] < 0 ? -1 : 1;
        }
    }
    return 1;
}

static Expr even_and_odd(Exprs *x, const double *row, int n, const Expr *v)
{
    const double sign = leading_sign(row, n, 1);
    const Expr even = part_of_row(x, row, n, 0, 1, v), odd = part_of_row(x, row, n, 1, sign, v);
    if (!even || !odd) {
        return even ? even : odd; /* of infinity's row the highest coefficient is 1 */
    }
    return sign < 0 ? expr_sub(x, even, odd) : expr_add(x, even, odd);
}

/* Columns of A' come in pairs too: of p and -p, with equal or opposite powers. */
static Expr by_pairs(Exprs *x, const double *row, int n, const Expr *v)
{
    Expr sum = row[0] != 0 ? v[0] : 0;
    for (int j = 1; j + 1 < n - 1; j += 2) {
        const Expr pair =
            row[j] == row[j + 1] ? expr_add(x, v[j], v[j + 1]) : expr_sub(x, v[j], v[j + 1]);
        sum = add_term(x, sum, row[j], pair);
    }
    return row[n - 1] != 0 ? add_term(x, sum, row[n - 1], v[n - 1]) : sum;
}

/* row 0 if i == 0, row 1 if i == 1, .. */
static Expr choose_row(Exprs *x, Expr i, int n, const Expr *row)
{
    Expr e = row[n - 1];
    for (int k = n - 2; k >= 0; k--) {
        e = expr_select(x, expr_eq(x, i, expr_int(x, k)), row[k], e);
    }
    return e;
}

typedef struct Tiles {
    Winograd w;
    Expr images, down, across, count; /* count: of all tiles */
    Expr channels, outputs;
    DType acc;
} Tiles;

typedef Expr (*ReadFn)(const Define *d, const Tiles *t, int tensor, const StageBuild *b, int k);

/* One step of a transform, along the axis 0 or 1 of the result: `rows` results from `n`
 * elements. */
static int transform(const Define *d, const Tiles *t, const char *name, int tensor, bool input,
                     int along, ReadFn read)
{
    Exprs *x = d->x;
    const int n = t->w.n, rows = input ? n : t->w.m;
    /* the other axis of the tile */
    const Expr far = expr_int(x, input ? n : along == 0 ? n : t->w.m);
    const Expr near = expr_int(x, rows);
    const Expr dims[4] = {along == 0 ? near : far, along == 0 ? far : near, t->count,
                          input ? t->channels : t->outputs};
    static const char *const names[2][4] = {{"a", "b", "p", "k"}, {"i", "j", "p", "c"}};
    StageBuild b = stage_begin(d->s, 4, dims);
    stage_name_axes(d->s, &b, 0, 4, names[input]);
    Expr v[WINOGRAD_MAX_N], row[WINOGRAD_MAX_N] = {0};
    for (int k = 0; k < n; k++) {
        v[k] = read(d, t, tensor, &b, k);
    }
    for (int r = 0; r < rows; r++) {
        row[r] = input ? even_and_odd(x, t->w.b[r], n, v) : by_pairs(x, t->w.a[r], n, v);
    }
    return stage_map(d->s, &b, name, t->acc, choose_row(x, b.i[along], rows, row));
}

/* Element (r, s) of tile p of x; b: (i, s, p, c). */
static Expr read_image(const Define *d, const Tiles *t, int tensor, const StageBuild *b, int r)
{
    Exprs *x = d->x;
    const Expr p = b->i[2], m = expr_int(x, t->w.m);
    const Expr row = expr_div(x, p, t->across), column = expr_mod(x, p, t->across);
    const Expr index[4] = {
        expr_div(x, row, t->down), b->i[3],
        expr_addi(x, expr_mul(x, expr_mod(x, row, t->down), m), r),
        expr_add(x, expr_mul(x, column, m), b->i[1])};
    return stages_load(d->s, tensor, index);
}

static Expr read_down(const Define *d, const Tiles *t, int tensor, const StageBuild *b, int k)
{
    (void)t;
    const Expr index[4] = {expr_int(d->x, k), b->i[1], b->i[2], b->i[3]};
    return stages_load(d->s, tensor, index);
}

static Expr read_across(const Define *d, const Tiles *t, int tensor, const StageBuild *b, int k)
{
    (void)t;
    const Expr index[4] = {b->i[0], expr_int(d->x, k), b->i[2], b->i[3]};
    return stages_load(d->s, tensor, index);
}

static int products(const Define *d, const Tiles *t, int v)
{
    static const char *const names[] = {"i", "j", "p", "k", "c"};
    Exprs *x = d->x;
    const Expr n = expr_int(x, t->w.n), dims[4] = {n, n, t->count, t->outputs};
    StageBuild b = stage_begin(d->s, 4, dims);
    stage_reduce_axes(d->s, &b, 1, &t->channels);
    stage_name_axes(d->s, &b, 0, 5, names);
    const Expr vi[4] = {b.i[0], b.i[1], b.i[2], b.r[0]}, ui[4] = {b.i[3], b.r[0], b.i[0], b.i[1]};
    const Expr state = expr_state(x, t->acc, 0), state2 = expr_state2(x, t->acc, 0);
    const Expr update =
        expr_fma(x, stages_load(d->s, v, vi), stages_load(d->s, d->in[WINOGRAD_INPUT], ui), state);
    return stage_reduce(d->s, &b, "acc", t->acc, expr_const(x, t->acc, 0), update,
                        expr_add(x, state, state2));
}

/* x with its border, and so many columns and rows that tiles are whole. */
static int whole_tiles(const Define *d, const Tiles *t, const Window *win)
{
    Exprs *x = d->x;
    const Expr tiles[2] = {t->down, t->across};
    Expr end[2];
    for (int k = 0; k < 2; k++) {
        const Expr all = expr_addi(x, expr_muli(x, tiles[k], t->w.m), WINOGRAD_KERNEL - 1);
        end[k] = expr_sub(x, expr_sub(x, all, win->in[k]), win->pad[k]);
    }
    return block_pad(d->s, d->in[0], "conv.pad", 2, 2, win->pad, end, expr_const(x, t->acc, 0));
}

void define_winograd(Define *d)
{
    Exprs *x = d->x;
    const Window win = conv_window(d, 0, 1);
    Tiles t = {.w = winograd_matrices(winograd_of(d->node)), .images = define_dim(d, 0, 0),
               .channels = define_dim(d, 0, 1), .outputs = define_dim(d, 1, 0),
               .acc = dtype_compute(define_out_type(d, 0))};
    const Expr m = expr_int(x, t.w.m);
    t.down = expr_ceil_div(x, win.out[0], m);
    t.across = expr_ceil_div(x, win.out[1], m);
    t.count = expr_mul(x, expr_mul(x, t.images, t.down), t.across);
    const int image = whole_tiles(d, &t, &win);
    const int down = transform(d, &t, "t", image, true, 0, read_image);
    const int v = transform(d, &t, "v", down, true, 1, read_across);
    const int acc = products(d, &t, v);
    const int z = transform(d, &t, "z", acc, false, 0, read_down);
    const int tile = transform(d, &t, "tile", z, false, 1, read_across);
    const StageBuild b = define_begin(d, 0);
    const Expr h = b.i[2], w = b.i[3];
    const Expr row = expr_add(x, expr_mul(x, b.i[0], t.down), expr_div(x, h, m));
    const Expr index[4] = {expr_mod(x, h, m), expr_mod(x, w, m),
                           expr_add(x, expr_mul(x, row, t.across), expr_div(x, w, m)), b.i[1]};
    Expr y = stages_load(d->s, tile, index);
    if (define_has(d, 2)) {
        y = expr_add(x, y, define_load(d, 2, &b.i[1]));
    }
    define_map(d, 0, &b, y);
}
