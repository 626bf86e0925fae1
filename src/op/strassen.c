/* Strassen's product (op/strassen.h). Pairs of rows are numbered p = (matrix of the batch, pair).
 * Stages:
 *
 *     s      MAP (q,p,c): the seven left factors, sums of the four parts of x
 *     acc    REDUCE (q,p,j; c): their products with u
 *     c      MAP (r,h,p,j): sums of the products
 *     y      MAP (..,m,n): the element of c
 *
 * A sum is chosen by an axis (q; r and h): loops over such axes are to be unrolled. */
#include "op/strassen.h"

#include "op/window.h"

/* ---- sums ---- */

const float strassen_weights[STRASSEN_PRODUCTS][2][2] = {
    {{1, 0}, {0, 0}}, {{0, 0}, {1, 0}},  {{0, 0}, {0, 1}},  {{1, -1}, {-1, 1}},
    {{-1, 1}, {0, 0}}, {{1, -1}, {0, 1}}, {{0, -1}, {0, 1}},
};

/* e[0] if i == 0, e[1] if i == 1, .. */
static Expr choose(Exprs *x, Expr i, int n, const Expr *e)
{
    Expr chosen = e[n - 1];
    for (int k = n - 2; k >= 0; k--) {
        chosen = expr_select(x, expr_eq(x, i, expr_int(x, k)), e[k], chosen);
    }
    return chosen;
}

/* Left factors, from parts a[row][half]. */
static void left_factors(Exprs *x, Expr a[2][2], Expr *s)
{
    s[0] = a[0][0];
    s[1] = a[0][1];
    s[3] = a[1][1];
    s[4] = expr_add(x, a[1][0], a[1][1]);
    s[5] = expr_sub(x, s[4], a[0][0]);
    s[6] = expr_sub(x, a[0][0], a[1][0]);
    s[2] = expr_sub(x, a[0][1], s[5]);
}

/* Parts of the result, c[row][half], from the products. */
static void results(Exprs *x, const Expr *p, Expr *c)
{
    const Expr both = expr_add(x, p[0], p[5]), right = expr_add(x, both, p[4]),
               below = expr_add(x, both, p[6]);
    c[0] = expr_add(x, p[0], p[1]);
    c[1] = expr_add(x, right, p[2]);
    c[2] = expr_sub(x, below, p[3]);
    c[3] = expr_add(x, below, p[4]);
}

/* ---- inference ---- */

bool strassen_of(const Node *n)
{
    return n->nin > STRASSEN_INPUT && n->in[STRASSEN_INPUT] >= 0 && node_int(n, "strassen", 0) == 1;
}

int strassen_row_axis(const Exprs *x, int rank, const Expr *dims)
{
    int row = rank - 2;
    while (row > 0 && dim_is(x, dims[row], 1)) {
        row--;
    }
    return row;
}

void infer_strassen(const Infer *f)
{
    const int64_t wanted = node_int(f->node, "strassen", 0);
    if (wanted == 0 && !infer_has(f, STRASSEN_INPUT)) {
        return;
    }
    if (wanted != 1 || !infer_has(f, STRASSEN_INPUT)) {
        infer_fail(f, "input 2 and attribute 'strassen' (1) belong together");
    }
    Exprs *x = f->x;
    const Value *u = infer_in(f, STRASSEN_INPUT), *w = infer_in(f, 1), *a = infer_in(f, 0);
    if (w->rank != 2 || a->rank < 2 || u->rank != 3 || u->dtype != w->dtype ||
        !dtype_is_float(w->dtype)) {
        infer_fail(f, "input 2, sums of halves of the weight, wants x of rank 2 or more, a weight "
                      "of rank 2, and itself rank 3");
    }
    infer_require_equal(f, u->dim[0], expr_int(x, STRASSEN_PRODUCTS),
                        "products of the weight's halves");
    infer_require_equal(f, w->dim[0], expr_muli(x, u->dim[1], 2),
                        "rows of the weight and of its halves");
    infer_require_equal(f, w->dim[1], expr_muli(x, u->dim[2], 2),
                        "columns of the weight and of its halves");
}

/* ---- definition ---- */

typedef struct Halves {
    int rank, row;      /* of x; dims before `row` are the batch */
    Expr dim[MAX_RANK]; /* of x */
    Expr pairs;         /* of rows, of one matrix */
    Expr count;         /* pairs of all */
    Expr sum, columns;  /* K/2, N/2 */
    DType acc;
} Halves;

static Halves halves_of(const Define *d)
{
    Exprs *x = d->x;
    Halves h = {.rank = define_rank(d, 0),
                .sum = define_dim(d, STRASSEN_INPUT, 1),
                .columns = define_dim(d, STRASSEN_INPUT, 2),
                .acc = dtype_compute(define_out_type(d, 0))};
    for (int k = 0; k < h.rank; k++) {
        h.dim[k] = define_dim(d, 0, k);
    }
    h.row = strassen_row_axis(x, h.rank, h.dim);
    h.pairs = h.count = expr_ceil_div(x, h.dim[h.row], expr_int(x, 2));
    for (int k = 0; k < h.row; k++) {
        h.count = expr_mul(x, h.count, h.dim[k]);
    }
    return h;
}

/* Element c of half `half` of row `row` of the pair p; 0 where there is no such row. */
static Expr part(const Define *d, const Halves *h, Expr p, Expr c, int row, int half)
{
    Exprs *x = d->x;
    Expr index[MAX_RANK], inside = expr_true(x), rest = expr_div(x, p, h->pairs);
    for (int k = h->row - 1; k >= 0; k--) {
        index[k] = k == 0 ? rest : expr_mod(x, rest, h->dim[k]);
        rest = expr_div(x, rest, h->dim[k]);
    }
    for (int k = h->row + 1; k < h->rank - 1; k++) {
        index[k] = expr_int(x, 0);
    }
    const Expr at = expr_addi(x, expr_muli(x, expr_mod(x, p, h->pairs), 2), row);
    index[h->row] = row == 0 ? at : window_clamp(x, at, h->dim[h->row], &inside);
    index[h->rank - 1] = half == 0 ? c : expr_add(x, c, h->sum);
    return expr_select(x, inside, define_load(d, 0, index), expr_const(x, h->acc, 0));
}

static int sums(const Define *d, const Halves *h)
{
    static const char *const names[] = {"q", "p", "c"};
    Exprs *x = d->x;
    const Expr dims[3] = {expr_int(x, STRASSEN_PRODUCTS), h->count, h->sum};
    StageBuild b = stage_begin(d->s, 3, dims);
    stage_name_axes(d->s, &b, 0, 3, names);
    Expr a[2][2], s[STRASSEN_PRODUCTS];
    for (int k = 0; k < 4; k++) {
        a[k / 2][k % 2] = part(d, h, b.i[1], b.i[2], k / 2, k % 2);
    }
    left_factors(x, a, s);
    return stage_map(d->s, &b, "s", h->acc, choose(x, b.i[0], STRASSEN_PRODUCTS, s));
}

static int products(const Define *d, const Halves *h, int s)
{
    static const char *const names[] = {"q", "p", "j", "c"};
    Exprs *x = d->x;
    const Expr dims[3] = {expr_int(x, STRASSEN_PRODUCTS), h->count, h->columns};
    StageBuild b = stage_begin(d->s, 3, dims);
    stage_reduce_axes(d->s, &b, 1, &h->sum);
    stage_name_axes(d->s, &b, 0, 4, names);
    const Expr si[3] = {b.i[0], b.i[1], b.r[0]}, ui[3] = {b.i[0], b.r[0], b.i[2]};
    const Expr state = expr_state(x, h->acc, 0), state2 = expr_state2(x, h->acc, 0);
    const Expr update =
        expr_fma(x, stages_load(d->s, s, si), define_load(d, STRASSEN_INPUT, ui), state);
    return stage_reduce(d->s, &b, "acc", h->acc, expr_const(x, h->acc, 0), update,
                        expr_add(x, state, state2));
}

static int combine(const Define *d, const Halves *h, int acc)
{
    static const char *const names[] = {"r", "h", "p", "j"};
    Exprs *x = d->x;
    const Expr two = expr_int(x, 2), dims[4] = {two, two, h->count, h->columns};
    StageBuild b = stage_begin(d->s, 4, dims);
    stage_name_axes(d->s, &b, 0, 4, names);
    Expr p[STRASSEN_PRODUCTS], c[4];
    for (int q = 0; q < STRASSEN_PRODUCTS; q++) {
        p[q] = stages_load(d->s, acc, (const Expr[]){expr_int(x, q), b.i[2], b.i[3]});
    }
    results(x, p, c);
    const Expr rows[2] = {choose(x, b.i[1], 2, c), choose(x, b.i[1], 2, c + 2)};
    return stage_map(d->s, &b, "c", h->acc, choose(x, b.i[0], 2, rows));
}

void define_strassen(Define *d)
{
    Exprs *x = d->x;
    const Halves h = halves_of(d);
    const int c = combine(d, &h, products(d, &h, sums(d, &h)));
    const StageBuild b = define_begin(d, 0);
    const Expr m = b.i[h.row], n = b.i[h.rank - 1], two = expr_int(x, 2);
    Expr matrix = expr_int(x, 0);
    for (int k = 0; k < h.row; k++) {
        matrix = expr_add(x, expr_mul(x, matrix, h.dim[k]), b.i[k]);
    }
    const Expr index[4] = {expr_mod(x, m, two), expr_div(x, n, h.columns),
                           expr_add(x, expr_mul(x, matrix, h.pairs), expr_div(x, m, two)),
                           expr_mod(x, n, h.columns)};
    define_map(d, 0, &b, stages_load(d->s, c, index));
}
