/* Ops that put elements elsewhere, one MAP each: Transpose, Concat, Split, Tile, DepthToSpace,
 * SpaceToDepth, ReverseSequence. */
#include "op/index.h"
#include "op/table.h"

#include <string.h>

/* ---- Transpose ---- */

/* y[i0, i1...] = x[...], perm[k] = the input axis of output axis k; reversed if not given. */
static void read_perm(const Node *node, int rank, int *perm)
{
    const int64_t *p;
    const int n = node_ints(node, "perm", &p);
    for (int k = 0; k < rank; k++)
        perm[k] = n == rank ? (int)p[k] : rank - 1 - k;
}

void infer_transpose(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    const int64_t *p;
    const int n = node_ints(f->node, "perm", &p);
    if (n > 0 && n != in->rank)
        infer_fail(f, "perm has %d axes, the input has rank %d", n, in->rank);
    uint32_t seen = 0;
    for (int k = 0; k < n; k++) {
        if (p[k] < 0 || p[k] >= in->rank || seen >> p[k] & 1)
            infer_fail(f, "perm is no permutation of %d axes", n);
        seen |= 1u << p[k];
    }
    int perm[MAX_RANK];
    Expr dims[MAX_RANK];
    read_perm(f->node, in->rank, perm);
    for (int k = 0; k < in->rank; k++)
        dims[k] = in->dim[perm[k]];
    infer_out(f, 0, in->dtype, in->rank, dims);
}

void define_transpose(Define *d)
{
    int perm[MAX_RANK];
    read_perm(d->node, define_rank(d, 0), perm);
    define_out(d, 0, block_transpose(d->s, d->in[0], perm));
}

/* ---- Concat ---- */

void infer_concat(const Infer *f)
{
    const Value *first = infer_in(f, 0);
    const int axis = infer_axis(f, node_int(f->node, "axis", 1), first->rank);
    Expr dims[MAX_RANK];
    memcpy(dims, first->dim, sizeof dims);
    for (int k = 1; k < f->node->nin; k++) {
        const Value *v = infer_in(f, k);
        if (!v)
            infer_fail(f, "input %d is missing", k);
        if (v->rank != first->rank || v->dtype != first->dtype)
            infer_fail(f, "inputs 0 and %d differ in rank or type", k);
        for (int i = 0; i < v->rank; i++)
            if (i != axis)
                infer_require_equal(f, dims[i], v->dim[i], "dims of the inputs");
        dims[axis] = expr_add(f->x, dims[axis], v->dim[axis]);
    }
    infer_out(f, 0, first->dtype, first->rank, dims);
}

/* From the last input to the first: y[i] = i < end0 ? a[i] : i < end1 ? b[i - end0] : ... */
void define_concat(Define *d)
{
    Exprs *x = d->x;
    const int n = d->node->nin;
    const StageBuild b = define_begin(d, 0);
    const int axis = define_axis(define_int(d, "axis", 1), b.naxes);
    Expr *begin = arena_array_of(d->ctx->arena, n + 1, Expr), value = 0;
    begin[0] = expr_int(x, 0);
    for (int k = 0; k < n; k++)
        begin[k + 1] = expr_add(x, begin[k], define_dim(d, k, axis));
    for (int k = n - 1; k >= 0; k--) {
        int64_t size;
        if (expr_is_int(x, define_dim(d, k, axis), &size) && size == 0)
            continue;
        Expr index[MAX_RANK];
        memcpy(index, b.i, sizeof index);
        index[axis] = index_clamp(x, expr_sub(x, b.i[axis], begin[k]), define_dim(d, k, axis));
        const Expr v = define_load(d, k, index);
        const Expr here = expr_lt(x, b.i[axis], begin[k + 1]);
        value = value ? expr_select(x, here, v, value) : v;
    }
    if (!value) /* all inputs are empty */
        value = expr_const(x, dtype_compute(define_out_type(d, 0)), 0);
    define_map(d, 0, &b, value);
}

/* ---- Split ---- */

/* Where output k begins, of `n` outputs of the given sizes (NULL: equal chunks, the last smaller).
 */
static Expr split_begin(Exprs *x, const Expr *sizes, Expr dim, int n, int k)
{
    if (!sizes)
        return expr_muli(x, expr_ceil_div(x, dim, expr_int(x, n)), k);
    Expr begin = expr_int(x, 0);
    for (int i = 0; i < k; i++)
        begin = expr_add(x, begin, sizes[i]);
    return begin;
}

static const Expr *attr_sizes(Context *ctx, Exprs *x, const Node *node, int *n)
{
    const int64_t *v;
    *n = node_ints(node, "split", &v);
    if (*n == 0)
        return NULL;
    Expr *e = arena_array_of(ctx->arena, *n, Expr);
    for (int k = 0; k < *n; k++)
        e[k] = expr_int(x, v[k]);
    return e;
}

void infer_split(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    const int axis = infer_axis(f, node_int(f->node, "axis", 0), in->rank), count = f->node->nout;
    int n = 0;
    const Expr *sizes =
        infer_has(f, 1) ? infer_elems(f, 1, &n) : attr_sizes(f->ctx, f->x, f->node, &n);
    if (sizes && n != count)
        infer_fail(f, "%d sizes for %d outputs", n, count);
    Expr dims[MAX_RANK], sum = expr_int(f->x, 0);
    memcpy(dims, in->dim, sizeof dims);
    for (int k = 0; k < count; k++) {
        const Expr begin = split_begin(f->x, sizes, in->dim[axis], count, k);
        const Expr rest = expr_sub(f->x, in->dim[axis], begin);
        const Expr chunk = expr_ceil_div(f->x, in->dim[axis], expr_int(f->x, count));
        dims[axis] = sizes ? sizes[k] : k == count - 1 ? rest : chunk;
        sum = expr_add(f->x, sum, dims[axis]);
        infer_out(f, k, in->dtype, in->rank, dims);
    }
    infer_require_equal(f, sum, in->dim[axis], "sum of the sizes");
}

void define_split(Define *d)
{
    const int axis = define_axis(define_int(d, "axis", 0), define_rank(d, 0));
    int n = 0;
    const Expr *sizes =
        define_has(d, 1) ? define_elems(d, 1, &n) : attr_sizes(d->ctx, d->x, d->node, &n);
    for (int k = 0; k < d->node->nout; k++) {
        if (d->node->out[k] < 0)
            continue;
        const StageBuild b = define_begin(d, k);
        const Expr begin = split_begin(d->x, sizes, define_dim(d, 0, axis), d->node->nout, k);
        Expr index[MAX_RANK];
        memcpy(index, b.i, sizeof index);
        index[axis] = expr_add(d->x, b.i[axis], begin);
        define_map(d, k, &b, define_load(d, 0, index));
    }
}

/* ---- Tile ---- */

void infer_tile(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int n;
    const Expr *repeats = infer_elems(f, 1, &n);
    if (n != in->rank)
        infer_fail(f, "%d repeats for rank %d", n, in->rank);
    Expr dims[MAX_RANK];
    for (int k = 0; k < n; k++)
        dims[k] = expr_mul(f->x, in->dim[k], repeats[k]);
    infer_out(f, 0, in->dtype, n, dims);
}

void define_tile(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    Expr index[MAX_RANK];
    for (int k = 0; k < b.naxes; k++)
        index[k] = expr_mod(d->x, b.i[k], define_dim(d, 0, k));
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- DepthToSpace, SpaceToDepth: x (N, C, H, W), blocks of b x b ---- */

static int64_t block_size(const Infer *f)
{
    const int64_t b = node_int(f->node, "blocksize", 0);
    if (infer_in(f, 0)->rank != 4)
        infer_fail(f, "the input has rank %d, not 4", infer_in(f, 0)->rank);
    if (b < 1 || b > 1 << 15)
        infer_fail(f, "blocksize is %lld", (long long)b);
    return b;
}

static bool depth_last(const Node *node) /* CRD: the channel is the outer part of the depth */
{
    return strcmp(node_string(node, "mode", "DCR"), "CRD") == 0;
}

static Expr exact_div(const Infer *f, Expr dim, int64_t n, const char *what)
{
    const Expr q = expr_divi(f->x, dim, n);
    infer_require_equal(f, expr_muli(f->x, q, n), dim, what);
    return q;
}

void infer_depth_to_space(const Infer *f)
{
    const int64_t b = block_size(f);
    const Expr *in = infer_in(f, 0)->dim;
    const Expr dims[] = {in[0], exact_div(f, in[1], b * b, "channels in blocks"),
                         expr_muli(f->x, in[2], b), expr_muli(f->x, in[3], b)};
    infer_out(f, 0, infer_in(f, 0)->dtype, 4, dims);
}

void infer_space_to_depth(const Infer *f)
{
    const int64_t b = block_size(f);
    const Expr *in = infer_in(f, 0)->dim;
    const Expr dims[] = {in[0], expr_muli(f->x, in[1], b * b),
                         exact_div(f, in[2], b, "height in blocks"),
                         exact_div(f, in[3], b, "width in blocks")};
    infer_out(f, 0, infer_in(f, 0)->dtype, 4, dims);
}

/* y[n, c, h, w] = x[n, depth(c, h % b, w % b), h / b, w / b] */
void define_depth_to_space(Define *d)
{
    Exprs *x = d->x;
    const int64_t s = define_int(d, "blocksize", 1);
    const StageBuild b = define_begin(d, 0);
    const Expr c = b.i[1];
    const Expr part =
        expr_add(x, expr_muli(x, expr_modi(x, b.i[2], s), s), expr_modi(x, b.i[3], s));
    const Expr depth = depth_last(d->node) ? expr_add(x, expr_muli(x, c, s * s), part)
                                           : expr_add(x, expr_mul(x, part, b.axis[1].extent), c);
    const Expr index[] = {b.i[0], depth, expr_divi(x, b.i[2], s), expr_divi(x, b.i[3], s)};
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* y[n, depth, h, w] = x[n, c, h * b + row, w * b + column] with (c, row, column) taken from depth
 */
void define_space_to_depth(Define *d)
{
    Exprs *x = d->x;
    const int64_t s = define_int(d, "blocksize", 1);
    const StageBuild b = define_begin(d, 0);
    const Expr channels = define_dim(d, 0, 1);
    const bool last = depth_last(d->node);
    const Expr c = last ? expr_divi(x, b.i[1], s * s) : expr_mod(x, b.i[1], channels);
    const Expr part = last ? expr_modi(x, b.i[1], s * s) : expr_div(x, b.i[1], channels);
    const Expr row = expr_add(x, expr_muli(x, b.i[2], s), expr_divi(x, part, s));
    const Expr column = expr_add(x, expr_muli(x, b.i[3], s), expr_modi(x, part, s));
    const Expr index[] = {b.i[0], c, row, column};
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- ReverseSequence ---- */

void infer_reverse_sequence(const Infer *f)
{
    const Value *in = infer_in(f, 0), *lens = infer_in(f, 1);
    const int64_t batch = node_int(f->node, "batch_axis", 1),
                  time = node_int(f->node, "time_axis", 0);
    if (in->rank < 2 || !((batch == 0 && time == 1) || (batch == 1 && time == 0)))
        infer_fail(f, "batch_axis and time_axis must be 0 and 1 in some order");
    if (lens->rank != 1)
        infer_fail(f, "the lengths have rank %d, not 1", lens->rank);
    infer_require_equal(f, lens->dim[0], in->dim[batch], "one length for each batch element");
    infer_same(f, 0, 0);
}

void define_reverse_sequence(Define *d)
{
    Exprs *x = d->x;
    const int batch = (int)define_int(d, "batch_axis", 1),
              time = (int)define_int(d, "time_axis", 0);
    const StageBuild b = define_begin(d, 0);
    const Expr t = b.i[time], len = expr_cast(x, DT_I64, define_load(d, 1, &b.i[batch]));
    const Expr back = expr_addi(x, expr_sub(x, len, t), -1);
    Expr index[MAX_RANK];
    memcpy(index, b.i, sizeof index);
    index[time] = index_clamp(x, expr_select(x, expr_lt(x, t, len), back, t), b.axis[time].extent);
    define_map(d, 0, &b, define_load(d, 0, index));
}
