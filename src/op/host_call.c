/* Ops that are host routines (class K): inference, and the arguments of the call.
 *
 * A size that depends on data becomes a fresh symbol, alone in its dim: the program reads its value
 * off the output that the routine sized. */
#include "op/host_call.h"

#include <string.h>

#include "op/table.h"

/* ---- inference ---- */

static int64_t most(const Infer *f, Expr dim)
{
    return expr_high(f->x, dim);
}

void infer_top_k(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const int axis = infer_axis(f, node_int(f->node, "axis", -1), x->rank);
    Expr dims[MAX_RANK];
    memcpy(dims, x->dim, sizeof dims);
    if (infer_known(f, 1)) {
        int n;
        const Expr *k = infer_elems(f, 1, &n);
        if (n != 1)
            infer_fail(f, "k has %d elements", n);
        int64_t have, want;
        if (expr_is_int(f->x, k[0], &want) &&
            (want < 0 || (infer_dim_is(f, dims[axis], &have) && want > have)))
            infer_fail(f, "k is %lld, which does not fit the axis", (long long)want);
        dims[axis] = expr_cast(f->x, DT_I64, k[0]);
    } else {
        dims[axis] = infer_fresh_sym(f, "k", 0, most(f, dims[axis]));
    }
    const DType type = x->dtype;
    const int rank = x->rank;
    infer_out(f, 0, type, rank, dims);
    infer_out(f, 1, DT_I64, rank, dims);
}

void infer_non_zero(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const Expr total = infer_product(f, x->rank, x->dim);
    const Expr dims[2] = {expr_int(f->x, x->rank), infer_fresh_sym(f, "count", 0, most(f, total))};
    infer_out(f, 0, DT_I64, 2, dims);
}

void infer_non_max_suppression(const Infer *f)
{
    const Value *boxes = infer_in(f, 0), *scores = infer_in(f, 1);
    if (boxes->rank != 3 || scores->rank != 3)
        infer_fail(f, "boxes and scores must have rank 3");
    if (boxes->dtype != DT_F32 || scores->dtype != DT_F32)
        infer_unsupported(f, "boxes and scores must be f32");
    infer_require_equal(f, boxes->dim[0], scores->dim[0], "batches of boxes and scores");
    infer_require_equal(f, boxes->dim[1], scores->dim[2], "number of boxes and scores");
    infer_require_equal(f, boxes->dim[2], expr_int(f->x, 4), "coordinates of a box");
    const Expr total = infer_product(f, 3, scores->dim);
    const Expr dims[2] = {infer_fresh_sym(f, "count", 0, most(f, total)), expr_int(f->x, 3)};
    infer_out(f, 0, DT_I64, 2, dims);
}

void infer_unique(const Infer *f)
{
    const Value *x = infer_in(f, 0);
    const bool flat = !node_attr(f->node, "axis");
    const int axis = flat ? 0 : infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    const Expr n = flat ? infer_product(f, x->rank, x->dim) : x->dim[axis];
    const Expr count = infer_fresh_sym(f, "count", 0, most(f, n));
    Expr dims[MAX_RANK] = {count};
    if (!flat) {
        memcpy(dims, x->dim, sizeof dims);
        dims[axis] = count;
    }
    infer_out(f, 0, x->dtype, flat ? 1 : x->rank, dims);
    infer_out(f, 1, DT_I64, 1, &count);
    infer_out(f, 2, DT_I64, 1, &n);
    infer_out(f, 3, DT_I64, 1, &count);
}

void infer_compress(const Infer *f)
{
    const Value *x = infer_in(f, 0), *condition = infer_in(f, 1);
    if (condition->dtype != DT_BOOL || condition->rank != 1)
        infer_fail(f, "the condition must be a bool vector");
    const bool flat = !node_attr(f->node, "axis");
    const int axis = flat ? 0 : infer_axis(f, node_int(f->node, "axis", 0), x->rank);
    const Expr n = flat ? infer_product(f, x->rank, x->dim) : x->dim[axis];
    const Expr choices = expr_min(f->x, n, condition->dim[0]);
    Expr dims[MAX_RANK];
    if (!flat)
        memcpy(dims, x->dim, sizeof dims);
    dims[axis] = infer_fresh_sym(f, "count", 0, most(f, choices));
    infer_out(f, 0, x->dtype, flat ? 1 : x->rank, dims);
}

static void infer_roi(const Infer *f, int coordinates, int64_t rows, int64_t cols)
{
    const Value *x = infer_in(f, 0), *rois = infer_in(f, 1);
    if (x->rank != 4 || rois->rank != 2)
        infer_fail(f, "needs an image of rank 4 and regions of rank 2");
    infer_require_equal(f, rois->dim[1], expr_int(f->x, coordinates), "columns of the regions");
    if (rows < 1 || cols < 1)
        infer_fail(f, "the pooled size is %lld x %lld", (long long)rows, (long long)cols);
    const Expr dims[4] = {rois->dim[0], x->dim[1], expr_int(f->x, rows), expr_int(f->x, cols)};
    infer_out(f, 0, x->dtype, 4, dims);
}

void infer_roi_align(const Infer *f)
{
    const Value *batch = infer_in(f, 2), *rois = infer_in(f, 1);
    if (batch->rank != 1 || rois->rank != 2)
        infer_fail(f, "batch indices must be a vector, regions a matrix");
    infer_require_equal(f, batch->dim[0], rois->dim[0], "number of regions");
    infer_roi(f, 4, node_int(f->node, "output_height", 1), node_int(f->node, "output_width", 1));
}

void infer_max_roi_pool(const Infer *f)
{
    const int64_t *shape;
    if (node_ints(f->node, "pooled_shape", &shape) != 2)
        infer_fail(f, "pooled_shape must have 2 elements");
    infer_roi(f, 5, shape[0], shape[1]);
}

/* ---- the call ---- */

static HostTensor describe(const Graph *g, ValueId v)
{
    if (v < 0)
        return (HostTensor){.dtype = DT_NONE};
    return (HostTensor){.dtype = g->value.at[v].dtype, .rank = g->value.at[v].rank};
}

static int64_t attr_axis(const Node *node, int64_t missing, int rank)
{
    const int64_t axis = node_int(node, "axis", missing);
    return axis < 0 ? axis + rank : axis;
}

static bool attr_is(const Node *node, const char *name, const char *value, const char *missing)
{
    return strcmp(node_string(node, name, missing), value) == 0;
}

static void top_k_args(const Node *node, int rank, HostCall *call)
{
    call->ints[0] = attr_axis(node, -1, rank);
    call->ints[1] = node_int(node, "largest", 1);
    call->ints[2] = node_int(node, "sorted", 1);
}

static void non_max_suppression_args(const Node *node, int rank, HostCall *call)
{
    (void)rank;
    call->ints[0] = node_int(node, "center_point_box", 0);
}

/* Unique and Compress. */
static void axis_args(const Node *node, int rank, HostCall *call)
{
    call->ints[0] = node_attr(node, "axis") != NULL;
    call->ints[1] = attr_axis(node, 0, rank);
    call->ints[2] = node_int(node, "sorted", 1);
}

static void roi_align_args(const Node *node, int rank, HostCall *call)
{
    (void)rank;
    call->ints[0] = attr_is(node, "coordinate_transformation_mode", "half_pixel", "half_pixel");
    call->ints[1] = attr_is(node, "mode", "max", "avg");
    call->ints[2] = node_int(node, "output_height", 1);
    call->ints[3] = node_int(node, "output_width", 1);
    call->ints[4] = node_int(node, "sampling_ratio", 0);
    call->floats[0] = node_float(node, "spatial_scale", 1);
}

static void max_roi_pool_args(const Node *node, int rank, HostCall *call)
{
    (void)rank;
    const int64_t *shape;
    for (int k = node_ints(node, "pooled_shape", &shape) - 1; k >= 0; k--)
        call->ints[k] = shape[k];
    call->floats[0] = node_float(node, "spatial_scale", 1);
}

static const struct {
    OpCode op;
    void (*args)(const Node *node, int rank, HostCall *call);
} host_args[] = {
    {OP_TOP_K, top_k_args},         {OP_NON_MAX_SUPPRESSION, non_max_suppression_args},
    {OP_UNIQUE, axis_args},         {OP_COMPRESS, axis_args},
    {OP_ROI_ALIGN, roi_align_args}, {OP_MAX_ROI_POOL, max_roi_pool_args},
};

const HostRow *op_host_call(const Graph *g, NodeId n, HostCall *call)
{
    const Node *node = &g->node.at[n];
    const HostRow *row = host_find(op_rows[node->op].name);
    if (!row)
        graph_fail(g, n, ERR_INTERNAL, "there is no routine for this op");
    *call = (HostCall){.nin = node->nin, .nout = node->nout};
    for (int k = 0; k < node->nin; k++)
        call->in[k] = describe(g, node->in[k]);
    for (int k = 0; k < node->nout; k++)
        call->out[k] = describe(g, node->out[k]);
    for (size_t i = 0; i < sizeof host_args / sizeof host_args[0]; i++)
        if (host_args[i].op == node->op)
            host_args[i].args(node, call->in[0].rank, call);
    return row;
}
