/* Gather, GatherElements, GatherND (one MAP with a load at an index that is data), and
 * ScatterElements, ScatterND, TensorScatter (one SCATTER that starts as a copy of the data).
 * Negative indices count from the end. A gather's index out of range reads the nearest element (of
 * an axis that has none there is nothing to read: an error), a scatter's is skipped. */
#include "op/index.h"
#include "op/table.h"

#include <string.h>

/* ---- Gather: y[a..., j..., b...] = x[a..., indices[j...], b...] ---- */

void infer_gather(const Infer *f)
{
    const Value *x = infer_in(f, 0), *idx = infer_in(f, 1);
    const int axis = infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    Expr dims[2 * MAX_RANK];
    int rank = 0;
    for (int k = 0; k < axis; k++)
        dims[rank++] = x->dim[k];
    for (int k = 0; k < idx->rank; k++)
        dims[rank++] = idx->dim[k];
    for (int k = axis + 1; k < x->rank; k++)
        dims[rank++] = x->dim[k];
    infer_require_some(f, x->dim[axis], infer_product(f, idx->rank, idx->dim));
    infer_out(f, 0, x->dtype, rank, dims);
}

/* Indices that are known come in as they are: the last token of a sequence, a row of a shape. */
static Expr index_element(const Define *d, int k, const Expr *index)
{
    int n = 0;
    const Expr *e = define_elems(d, k, &n);
    return e && n == 1 ? e[0] : define_load(d, k, index);
}

void define_gather(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    const int rank = define_rank(d, 0), n = define_rank(d, 1);
    const int axis = define_axis(define_int(d, "axis", 0), rank);
    Expr index[MAX_RANK];
    for (int k = 0; k < rank; k++)
        index[k] = k < axis ? b.i[k] : k > axis ? b.i[k + n - 1] : 0;
    const Expr at = index_element(d, 1, b.i + axis);
    index[axis] = index_of_data(d->x, at, define_dim(d, 0, axis));
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- GatherElements: y[i...] = x[i... with indices[i...] on the axis] ---- */

void infer_gather_elements(const Infer *f)
{
    const Value *x = infer_in(f, 0), *idx = infer_in(f, 1);
    const int axis = infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    if (idx->rank != x->rank)
        infer_fail(f, "the indices have rank %d, the data rank %d", idx->rank, x->rank);
    infer_require_some(f, x->dim[axis], infer_product(f, idx->rank, idx->dim));
    infer_out(f, 0, x->dtype, idx->rank, idx->dim);
}

void define_gather_elements(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    const int axis = define_axis(define_int(d, "axis", 0), b.naxes);
    Expr index[MAX_RANK];
    for (int k = 0; k < b.naxes; k++)
        index[k] = index_clamp(d->x, b.i[k], define_dim(d, 0, k));
    index[axis] = index_of_data(d->x, define_load(d, 1, b.i), define_dim(d, 0, axis));
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- GatherND: y[b..., j..., rest...] = x[b..., indices[b..., j..., :], rest...] ---- */

void infer_gather_nd(const Infer *f)
{
    const Value *x = infer_in(f, 0), *idx = infer_in(f, 1);
    const int batch = (int)node_int(f->node, "batch_dims", 0);
    int64_t depth;
    if (idx->rank < 1 || !infer_dim_is(f, idx->dim[idx->rank - 1], &depth))
        infer_fail(f, "the last dim of the indices must be known");
    if (batch < 0 || batch >= idx->rank || depth < 1 || batch + depth > x->rank)
        infer_fail(f, "batch_dims %d and index depth %lld for data of rank %d", batch,
                   (long long)depth, x->rank);
    Expr dims[2 * MAX_RANK];
    int rank = 0;
    for (int k = 0; k < idx->rank - 1; k++)
        dims[rank++] = idx->dim[k];
    for (int k = 0; k < batch; k++)
        infer_require_equal(f, idx->dim[k], x->dim[k], "batch dims");
    for (int k = batch; k < batch + (int)depth; k++)
        infer_require_some(f, x->dim[k], infer_product(f, idx->rank - 1, idx->dim));
    for (int k = batch + (int)depth; k < x->rank; k++)
        dims[rank++] = x->dim[k];
    infer_out(f, 0, x->dtype, rank, dims);
}

static int index_depth(const Define *d, int k)
{
    int64_t depth = 1;
    expr_is_int(d->x, define_dim(d, k, define_rank(d, k) - 1), &depth);
    return (int)depth;
}

void define_gather_nd(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const int batch = (int)define_int(d, "batch_dims", 0), depth = index_depth(d, 1);
    const int outer = define_rank(d, 1) - 1; /* index axes of the output: batch and j */
    Expr index[MAX_RANK], at[MAX_RANK];
    memcpy(at, b.i, sizeof at);
    for (int k = 0; k < define_rank(d, 0); k++) {
        if (k < batch) {
            index[k] = b.i[k];
        } else if (k < batch + depth) {
            at[outer] = expr_int(x, k - batch);
            index[k] = index_of_data(x, define_load(d, 1, at), define_dim(d, 0, k));
        } else {
            index[k] = b.i[outer + k - batch - depth];
        }
    }
    define_map(d, 0, &b, define_load(d, 0, index));
}

/* ---- ScatterElements, ScatterND ---- */

static const char *reduction_of(const Node *node)
{
    return node_string(node, "reduction", "none");
}

static void check_reduction(const Infer *f)
{
    static const char *const known[] = {"none", "add", "mul", "max", "min"};
    for (int k = 0; k < 5; k++)
        if (strcmp(reduction_of(f->node), known[k]) == 0)
            return;
    infer_fail(f, "reduction '%s' is not known", reduction_of(f->node));
}

static void check_scatter(const Infer *f)
{
    check_reduction(f);
    if (infer_in(f, 0)->dtype != infer_in(f, 2)->dtype)
        infer_fail(f, "data and updates differ in type");
}

/* out = data; out[target] = old (reduction) update, over the points of b in order. */
static void scatter(Define *d, const StageBuild *b, const Expr *target, Expr update)
{
    static const struct {
        const char *name;
        ReduceKind kind;
    } ops[] = {{"add", REDUCE_SUM}, {"mul", REDUCE_PROD}, {"max", REDUCE_MAX}, {"min", REDUCE_MIN}};
    const StageBuild base = define_begin(d, 0);
    const DType t = define_out_type(d, 0);
    const Expr old = expr_state(d->x, dtype_compute(t), 0);
    for (int k = 0; k < 4; k++) {
        if (strcmp(reduction_of(d->node), ops[k].name) == 0) {
            update = reduce_join(d->x, ops[k].kind, old, update);
            break;
        }
    }
    const int tensor = stage_scatter(d->s, b, &base, op_rows[d->node->op].name, t,
                                     define_load(d, 0, base.i), target, update, 0);
    define_out(d, 0, tensor);
}

void infer_scatter_elements(const Infer *f)
{
    const Value *x = infer_in(f, 0), *idx = infer_in(f, 1), *u = infer_in(f, 2);
    check_scatter(f);
    infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    if (idx->rank != x->rank || u->rank != x->rank)
        infer_fail(f, "data, indices and updates differ in rank");
    for (int k = 0; k < x->rank; k++)
        infer_require_equal(f, idx->dim[k], u->dim[k], "indices and updates");
    infer_same(f, 0, 0);
}

void define_scatter_elements(Define *d)
{
    const StageTensor *u = define_in(d, 2);
    const StageBuild b = stage_begin(d->s, u->rank, u->dim);
    const int axis = define_axis(define_int(d, "axis", 0), b.naxes);
    Expr target[MAX_RANK];
    memcpy(target, b.i, sizeof target);
    const Expr at = expr_cast(d->x, DT_I64, define_load(d, 1, b.i));
    target[axis] = index_wrap(d->x, at, define_dim(d, 0, axis));
    scatter(d, &b, target, define_load(d, 2, b.i));
}

/* out[indices[j..., :], rest...] = updates[j..., rest...] */
void infer_scatter_nd(const Infer *f)
{
    const Value *x = infer_in(f, 0), *idx = infer_in(f, 1), *u = infer_in(f, 2);
    check_scatter(f);
    int64_t depth;
    if (idx->rank < 1 || !infer_dim_is(f, idx->dim[idx->rank - 1], &depth))
        infer_fail(f, "the last dim of the indices must be known");
    const int outer = idx->rank - 1;
    if (depth < 1 || depth > x->rank || u->rank != outer + x->rank - depth)
        infer_fail(f, "data of rank %d, index depth %lld, updates of rank %d", x->rank,
                   (long long)depth, u->rank);
    for (int k = 0; k < outer; k++)
        infer_require_equal(f, idx->dim[k], u->dim[k], "indices and updates");
    for (int k = (int)depth; k < x->rank; k++)
        infer_require_equal(f, x->dim[k], u->dim[outer + k - depth], "data and updates");
    infer_same(f, 0, 0);
}

void define_scatter_nd(Define *d)
{
    Exprs *x = d->x;
    const StageTensor *u = define_in(d, 2);
    const StageBuild b = stage_begin(d->s, u->rank, u->dim);
    const int outer = define_rank(d, 1) - 1, depth = index_depth(d, 1);
    Expr target[MAX_RANK], at[MAX_RANK];
    memcpy(at, b.i, sizeof at);
    for (int k = 0; k < define_rank(d, 0); k++) {
        if (k < depth) {
            at[outer] = expr_int(x, k);
            const Expr i = expr_cast(x, DT_I64, define_load(d, 1, at));
            target[k] = index_wrap(x, i, define_dim(d, 0, k));
        } else {
            target[k] = b.i[outer + k - depth];
        }
    }
    scatter(d, &b, target, define_load(d, 2, b.i));
}

/* ---- TensorScatter: writes the update into a cache at write_indices[batch], linear or circular
 * ---- */

void infer_tensor_scatter(const Infer *f)
{
    const Value *cache = infer_in(f, 0), *u = infer_in(f, 1);
    const int axis = infer_axis(f, node_int(f->node, "axis", -2), cache->rank);
    if (u->rank != cache->rank || u->dtype != cache->dtype)
        infer_fail(f, "cache and update differ in rank or type");
    if (axis == 0)
        infer_fail(f, "axis 0 is the batch");
    for (int k = 0; k < u->rank; k++)
        if (k != axis)
            infer_require_equal(f, u->dim[k], cache->dim[k], "cache and update");
    if (infer_has(f, 2) && infer_in(f, 2)->rank != 1)
        infer_fail(f, "write_indices has rank %d, not 1", infer_in(f, 2)->rank);
    infer_same(f, 0, 0);
}

void define_tensor_scatter(Define *d)
{
    Exprs *x = d->x;
    const StageTensor *u = define_in(d, 1);
    const StageBuild b = stage_begin(d->s, u->rank, u->dim);
    const int axis = define_axis(define_int(d, "axis", -2), b.naxes);
    Expr target[MAX_RANK], at = b.i[axis];
    if (define_has(d, 2))
        at = expr_add(x, at, expr_cast(x, DT_I64, define_load(d, 2, &b.i[0])));
    if (strcmp(node_string(d->node, "mode", "linear"), "circular") == 0)
        at = expr_mod(x, at, define_dim(d, 0, axis));
    memcpy(target, b.i, sizeof target);
    target[axis] = at;
    scatter(d, &b, target, define_load(d, 1, b.i));
}
