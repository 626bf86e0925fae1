/* Ops that look at or change the shape and leave the elements in their order: Shape, Size, Reshape,
 * Flatten, Squeeze, Unsqueeze, Expand, Identity, Constant. */
#include "op/table.h"

#include <string.h>

/* ---- Shape, Size ---- */

static int clip_position(int64_t v, int rank)
{
    v = v < 0 ? v + rank : v;
    return (int)(v < 0 ? 0 : v > rank ? rank : v);
}

static void shape_range(const Node *node, int rank, int *start, int *end)
{
    *start = clip_position(node_int(node, "start", 0), rank);
    *end = clip_position(node_int(node, "end", rank), rank);
    if (*end < *start)
        *end = *start;
}

void infer_shape(const Infer *f)
{
    const Value *v = infer_in(f, 0);
    int start, end;
    shape_range(f->node, v->rank, &start, &end);
    const Expr n = expr_int(f->x, end - start);
    infer_out(f, 0, DT_I64, 1, &n);
    infer_set_elems(f, 0, end - start, v->dim + start);
}

/* Never reads the input: the dims are arguments of the kernel. */
void define_shape(Define *d)
{
    int start, end;
    shape_range(d->node, define_rank(d, 0), &start, &end);
    const StageBuild b = define_begin(d, 0);
    Expr v = expr_int(d->x, 0);
    for (int k = end - 1; k >= start; k--) {
        const Expr here = expr_eq(d->x, b.i[0], expr_int(d->x, k - start));
        v = k == end - 1 ? define_dim(d, 0, k) : expr_select(d->x, here, define_dim(d, 0, k), v);
    }
    define_map(d, 0, &b, v);
}

void infer_size(const Infer *f)
{
    const Value *v = infer_in(f, 0);
    const Expr n = infer_product(f, v->rank, v->dim);
    infer_out(f, 0, DT_I64, 0, NULL);
    infer_set_elems(f, 0, 1, &n);
}

void define_size(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    Expr n = expr_int(d->x, 1);
    for (int k = 0; k < define_rank(d, 0); k++)
        n = expr_mul(d->x, n, define_dim(d, 0, k));
    define_map(d, 0, &b, n);
}

/* ---- Reshape ---- */

typedef struct Factors {
    int64_t number; /* of what is known and not 0 */
    int zeros;
    Expr at[64];
    int n;
} Factors;

static void add_factors(const Exprs *x, Expr e, Factors *f)
{
    int64_t v;
    if (expr_is_int(x, e, &v)) {
        f->number *= v != 0 ? v : 1;
        f->zeros += v == 0;
        return;
    }
    const ExprNode *node = expr_node(x, e);
    if (node->op == EX_MUL && f->n + node->nargs < 64) {
        for (int k = 0; k < node->nargs; k++)
            add_factors(x, expr_arg(x, e, k), f);
        return;
    }
    f->at[f->n++] = e;
}

static Expr product(Exprs *x, const Factors *f)
{
    Expr p = expr_int(x, f->number);
    for (int k = 0; k < f->n; k++)
        p = expr_mul(x, p, f->at[k]);
    return p;
}

/* The size that -1 stands for: the input's elements over the other output dims. Factors that both
 * have are dropped first, so that (N,12,S,S) -> (N*12,-1,S) gives S and no division; so are known
 * sizes of 0, that (0,4) -> (0,-1) gives 4 as (N,4) -> (N,-1) does for N = 0. */
static Expr missing_dim(const Infer *f, int nin, const Expr *in, int nout, const Expr *out,
                        int skip)
{
    Exprs *x = f->x;
    Factors a = {.number = 1}, b = {.number = 1};
    for (int k = 0; k < nin; k++)
        add_factors(x, in[k], &a);
    for (int k = 0; k < nout; k++)
        if (k != skip)
            add_factors(x, out[k], &b);
    for (int i = 0; i < b.n; i++) {
        for (int k = 0; k < a.n; k++) {
            if (a.at[k] == b.at[i]) {
                a.at[k] = a.at[--a.n];
                b.at[i--] = b.at[--b.n];
                break;
            }
        }
    }
    if (b.zeros > a.zeros)
        infer_fail(f, "-1 beside a dim of 0 may be any size");
    if (a.zeros > b.zeros)
        return expr_int(x, 0); /* 0 elements */
    if (a.n == 0 && b.n == 0 && a.number % b.number != 0)
        infer_fail(f, "cannot reshape %lld elements into rows of %lld", (long long)a.number,
                   (long long)b.number);
    if (a.number % b.number == 0) {
        a.number /= b.number;
        b.number = 1;
    }
    const Expr above = product(x, &a), below = product(x, &b);
    const Expr dim = expr_div(x, above, below);
    infer_require_equal(f, expr_mul(x, dim, below), above, "reshape");
    return dim;
}

void infer_reshape(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int rank;
    const Expr *shape = infer_elems(f, 1, &rank);
    const bool allow_zero = node_int(f->node, "allowzero", 0) != 0;
    Expr dims[MAX_RANK];
    int skip = -1;
    if (rank > MAX_RANK)
        infer_unsupported(f, "the result has rank %d; at most %d are supported", rank, MAX_RANK);
    for (int k = 0; k < rank; k++) {
        int64_t v;
        dims[k] = shape[k];
        if (!infer_dim_is(f, shape[k], &v))
            continue;
        if (v == 0 && !allow_zero) {
            if (k >= in->rank)
                infer_fail(f, "dim %d copies from an input of rank %d", k, in->rank);
            dims[k] = in->dim[k];
        } else if (v == -1) {
            if (skip >= 0)
                infer_fail(f, "two dims are -1");
            skip = k;
        } else if (v < 0) {
            infer_fail(f, "dim %d is %lld", k, (long long)v);
        }
    }
    if (skip >= 0)
        dims[skip] = missing_dim(f, in->rank, in->dim, rank, dims, skip);
    else
        infer_require_equal(f, infer_product(f, in->rank, in->dim), infer_product(f, rank, dims),
                            "number of elements");
    infer_out(f, 0, in->dtype, rank, dims);
}

/* All ops here but Expand and the constants: the same elements in row-major order. */
void define_reshape(Define *d)
{
    Expr dims[MAX_RANK];
    define_out_dims(d, 0, dims);
    define_out(d, 0, block_reshape(d->s, d->in[0], define_out_rank(d, 0), dims));
}

void infer_flatten(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int64_t axis = node_int(f->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        infer_fail(f, "axis %lld is out of range for rank %d", (long long)axis, in->rank);
    axis = axis < 0 ? axis + in->rank : axis;
    const Expr dims[] = {infer_product(f, (int)axis, in->dim),
                         infer_product(f, in->rank - (int)axis, in->dim + axis)};
    infer_out(f, 0, in->dtype, 2, dims);
}

static uint32_t axis_mask(const Infer *f, int n, const int64_t *axes, int rank)
{
    uint32_t mask = 0;
    for (int k = 0; k < n; k++) {
        const uint32_t bit = 1u << infer_axis(f, axes[k], rank);
        if (mask & bit)
            infer_fail(f, "axis %lld is given twice", (long long)axes[k]);
        mask |= bit;
    }
    return mask;
}

void infer_squeeze(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int64_t axes[MAX_RANK], v;
    const int n = infer_ints_or_attr(f, "axes", 1, axes, MAX_RANK);
    uint32_t mask = n < 0 ? 0 : axis_mask(f, n, axes, in->rank);
    Expr dims[MAX_RANK];
    int rank = 0;
    for (int k = 0; k < in->rank; k++) {
        if (n < 0 && infer_dim_is(f, in->dim[k], &v) && v == 1)
            mask |= 1u << k;
        if (mask >> k & 1)
            infer_require_equal(f, in->dim[k], expr_int(f->x, 1), "squeezed dim");
        else
            dims[rank++] = in->dim[k];
    }
    infer_out(f, 0, in->dtype, rank, dims);
}

void infer_unsqueeze(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int64_t axes[MAX_RANK];
    const int n = infer_ints_or_attr(f, "axes", 1, axes, MAX_RANK);
    const int rank = in->rank + (n < 0 ? 0 : n);
    if (rank > MAX_RANK)
        infer_unsupported(f, "the result has rank %d; at most %d are supported", rank, MAX_RANK);
    const uint32_t mask = axis_mask(f, n, axes, rank);
    Expr dims[MAX_RANK];
    for (int k = 0, from = 0; k < rank; k++)
        dims[k] = mask >> k & 1 ? expr_int(f->x, 1) : in->dim[from++];
    infer_out(f, 0, in->dtype, rank, dims);
}

/* ---- Identity, Expand ---- */

void infer_identity(const Infer *f)
{
    infer_same(f, 0, 0);
}

void define_identity(Define *d)
{
    define_out(d, 0, d->in[0]);
}

void infer_expand(const Infer *f)
{
    const Value *in = infer_in(f, 0);
    int n;
    const Expr *shape = infer_elems(f, 1, &n);
    if (n > MAX_RANK)
        infer_unsupported(f, "the result has rank %d; at most %d are supported", n, MAX_RANK);
    Expr dims[MAX_RANK];
    const int rank = infer_broadcast(f, in->rank, in->dim, n, shape, dims);
    infer_out(f, 0, in->dtype, rank, dims);
}

void define_expand(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    define_map(d, 0, &b, define_load_broadcast(d, 0, b.naxes, b.i));
}

/* ---- Constant: the value itself becomes a constant, so that nobody computes it ---- */

static Tensor *list_tensor(const Infer *f, DType t, bool scalar, int n)
{
    Error error;
    const int64_t dim = n;
    Tensor *out = tensor_new(t, scalar ? 0 : 1, &dim, &error);
    if (!out)
        fail(f->ctx, error.code, "%s", error.message);
    return out;
}

static Tensor *constant_of_attr(const Infer *f, const Attr *a)
{
    const bool scalar = a->kind == ATTR_INT || a->kind == ATTR_FLOAT;
    const int n = scalar ? 1 : a->n;
    Tensor *t = NULL;
    switch (a->kind) {
    case ATTR_TENSOR:
        return tensor_ref(a->tensor);
    case ATTR_INT:
    case ATTR_INTS:
        t = list_tensor(f, DT_I64, scalar, n);
        memcpy(t->data, scalar ? &a->i : a->ints, (size_t)n * sizeof(int64_t));
        return t;
    case ATTR_FLOAT:
    case ATTR_FLOATS:
        t = list_tensor(f, DT_F32, scalar, n);
        for (int k = 0; k < n; k++)
            ((float *)t->data)[k] = (float)(scalar ? a->f : a->floats[k]);
        return t;
    default:
        infer_unsupported(f, "attribute '%s' of this kind", a->name);
    }
}

void infer_constant(const Infer *f)
{
    static const char *const names[] = {"value", "value_int", "value_ints", "value_float",
                                        "value_floats"};
    const Attr *a = NULL;
    for (int k = 0; k < 5 && !a; k++)
        a = node_attr(f->node, names[k]);
    if (!a)
        infer_unsupported(f, "has none of the attributes value, value_int(s), value_float(s)");
    Tensor *t = constant_of_attr(f, a);
    tensor_defer(f->ctx->arena, t);
    Expr dims[MAX_RANK];
    for (int k = 0; k < t->rank; k++)
        dims[k] = expr_int(f->x, t->dim[k]);
    infer_out(f, 0, t->dtype, t->rank, dims);
    f->g->value.at[f->node->out[0]].constant = t;
}
