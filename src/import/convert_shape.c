/* Conversions that build several nodes, most of them because a rank or a size is not known yet. See
 * convert.h. */
#include <string.h>

#include "import/convert.h"

/* Attribute of the node made last. */
static void set_last_int(OnnxOp *o, const char *name, int64_t v)
{
    node_set_int(o->g, o->g->node.len - 1, name, v);
}

static ValueId emit1(OnnxOp *o, OpCode code, ValueId a)
{
    return op_emit(o, code, 1, (const ValueId[]){a});
}

static ValueId emit2(OnnxOp *o, OpCode code, ValueId a, ValueId b)
{
    return op_emit(o, code, 2, (const ValueId[]){a, b});
}

static ValueId emit_concat(OnnxOp *o, ValueId a, ValueId b)
{
    const ValueId v = emit2(o, OP_CONCAT, a, b);
    set_last_int(o, "axis", 0);
    return v;
}

/* A tensor of the shape that is the value of `shape`, all elements v. */
static ValueId emit_fill(OnnxOp *o, ValueId shape, DType t, double v)
{
    Error e;
    Tensor *const value = tensor_new(t, 1, (const int64_t[]){1}, &e);
    if (!value)
        fail(o->im->ctx, e.code, "%s", e.message);
    tensor_defer(o->im->ctx->arena, value);
    dtype_write(t, value->data, v, false);
    const ValueId filled = emit1(o, OP_CONSTANT_OF_SHAPE, shape);
    node_set_attr(o->g, o->g->node.len - 1,
                  (Attr){.name = "value", .kind = ATTR_TENSOR, .tensor = value});
    return filled;
}

static void need_inputs(const OnnxOp *o, int n)
{
    for (int k = 0; k < n; k++)
        if (!op_has_in(o, k))
            op_fail(o, ERR_INVALID, "lacks input %d", k);
}

/* Before opset 13 the softmax family saw x (d0...dn) as a matrix: rows d0..d(axis-1), columns the
 * rest.
 *     y = reshape(softmax(flatten(x, axis), axis=-1), shape(x)) */
bool convert_flat_softmax(OnnxOp *o)
{
    need_inputs(o, 1);
    const ValueId x = o->in[0];
    const int64_t axis = op_attr_int(o, "axis", 1);
    const int rank = op_known_rank(o, x);
    if (axis == -1 || (rank > 0 && axis == rank - 1)) {
        op_set_int(o, "axis", -1);
        return false;
    }
    const ValueId flat = emit1(o, OP_FLATTEN, x);
    set_last_int(o, "axis", axis);
    const ValueId soft = emit1(o, op_find_onnx(o->type), flat);
    set_last_int(o, "axis", -1);
    const ValueId shape = emit1(o, OP_SHAPE, x);
    o->nattr = 0;
    op_set_int(o, "allowzero", 1); /* a dim of 0 is meant */
    op_finish(o, OP_RESHAPE, 2, (const ValueId[]){soft, shape});
    return true;
}

/* b with ones appended to its shape, so that its first dim lies on dim `axis` of a. */
static ValueId align(OnnxOp *o, ValueId a, ValueId b, int64_t axis)
{
    const int ra = op_known_rank(o, a);
    const int rb = op_known_rank(o, b);
    if (ra >= 0 && rb >= 0) {
        const int64_t ones = ra - (axis < 0 ? axis + ra : axis) - rb;
        int64_t axes[MAX_RANK];
        if (ones < 0 || rb + ones > MAX_RANK)
            op_fail(o, ERR_INVALID, "axis %lld does not fit ranks %d and %d", (long long)axis, ra,
                    rb);
        if (ones == 0)
            return b;
        for (int i = 0; i < ones; i++)
            axes[i] = rb + i;
        return emit2(o, OP_UNSQUEEZE, b, op_const_ints(o, "axes", (int)ones, axes));
    }
    const ValueId shape = emit1(o, OP_SHAPE, b);
    ValueId ones = emit1(o, OP_SIZE, shape);
    if (axis >= 0) /* rank(a) - axis - rank(b), or -axis - rank(b) */
        ones = emit2(o, OP_SUB, emit1(o, OP_SIZE, emit1(o, OP_SHAPE, a)), ones);
    else
        ones = emit1(o, OP_NEG, ones);
    ones = emit2(o, OP_SUB, ones, op_const_int(o, "axis", axis)); /* i64[1] */
    return emit2(o, OP_RESHAPE, b, emit_concat(o, shape, emit_fill(o, ones, DT_I64, 1)));
}

/* Before opset 7, broadcast=1 with an axis: b's dims are those of a from `axis` on. */
bool convert_aligned_binary(OnnxOp *o)
{
    need_inputs(o, 2);
    const Attr *const axis = op_attr(o, "axis");
    if (axis && axis->kind == ATTR_INT && op_attr_int(o, "broadcast", 0) != 0)
        op_set_in(o, 1, align(o, o->in[0], o->in[1], axis->i));
    op_drop_attr(o, "axis");
    op_drop_attr(o, "broadcast");
    return false;
}

/* Before opset 7 a slope of rank 1 had one element for each channel, dim 1. */
bool convert_prelu(OnnxOp *o)
{
    need_inputs(o, 2);
    const ValueId slope = o->in[1];
    const Tensor *const t = o->g->value.at[slope].constant;
    if (op_known_rank(o, slope) == 1 && !(t && t->dim[0] == 1))
        op_set_in(o, 1, align(o, o->in[0], slope, 1));
    return false;
}

/* Tile-1 (x, tiles, axis): one axis, both numbers. */
bool convert_tile(OnnxOp *o)
{
    if (o->nin != 3)
        return false;
    need_inputs(o, 3);
    const ValueId one = op_const_int(o, "one", 1);
    ValueId number[2]; /* tiles, axis as i64[1] */
    for (int k = 0; k < 2; k++) {
        const ValueId cast = emit1(o, OP_CAST, o->in[k + 1]);
        set_last_int(o, "to", DT_I64);
        number[k] = emit2(o, OP_RESHAPE, cast, one);
    }
    const ValueId rank = emit1(o, OP_SHAPE, emit1(o, OP_SHAPE, o->in[0])); /* i64[1] */
    const ValueId ones = emit_fill(o, rank, DT_I64, 1);
    const ValueId repeats =
        op_emit(o, OP_SCATTER_ELEMENTS, 3, (const ValueId[]){ones, number[1], number[0]});
    op_finish(o, OP_TILE, 2, (const ValueId[]){o->in[0], repeats});
    return true;
}

/* Opsets 18 to 20: scale and bias have one element for each group; now one for each channel.
 *     scale (G) -> (G,1) -> (G,C/G) -> (C) */
bool convert_group_norm(OnnxOp *o)
{
    need_inputs(o, 3);
    const int64_t groups = op_attr_int(o, "num_groups", 0);
    if (groups < 1)
        op_fail(o, ERR_INVALID, "num_groups is %lld", (long long)groups);
    const ValueId g = op_const_int(o, "groups", groups);
    const ValueId channels = emit1(o, OP_SHAPE, o->in[0]);
    set_last_int(o, "start", 1);
    set_last_int(o, "end", 2);
    const ValueId shape = emit_concat(o, g, emit2(o, OP_DIV, channels, g));
    const ValueId axes = op_const_int(o, "axes", 1);
    for (int k = 1; k < 3; k++) {
        const ValueId wide = emit2(o, OP_EXPAND, emit2(o, OP_UNSQUEEZE, o->in[k], axes), shape);
        op_set_in(o, k, emit2(o, OP_RESHAPE, wide, op_const_int(o, "all", -1)));
    }
    return false;
}

/* At inference all is kept: y = x, and a mask of ones (before opset 10 of x's type). */
bool convert_dropout(OnnxOp *o)
{
    need_inputs(o, 1);
    if (op_has_in(o, 2)) {
        const Tensor *const training = o->g->value.at[o->in[2]].constant;
        if (!training || tensor_elements(training) != 1 ||
            dtype_read_int(DT_BOOL, training->data) != 0)
            op_fail(o, ERR_UNSUPPORTED,
                    "training mode is not supported: export the model for inference");
    }
    const ValueId x = o->in[0];
    if (o->nout > 0 && o->out[0] >= 0)
        graph_node(o->g, o->block, OP_IDENTITY, o->name, 1, &x, 1, &o->out[0]);
    if (o->nout > 1 && o->out[1] >= 0) {
        const ValueId ones = emit_fill(o, emit1(o, OP_SHAPE, x), DT_BOOL, 1);
        const ValueId in[] = {ones, x};
        if (o->opset < 10)
            graph_node(o->g, o->block, OP_CAST_LIKE, o->name, 2, in, 1, &o->out[1]);
        else
            graph_node(o->g, o->block, OP_IDENTITY, o->name, 1, in, 1, &o->out[1]);
    }
    return true;
}

/* Scan-8 had a batch: states (B,...), sequences (B,T,...), after an optional input of lengths. It
 * becomes a scan over the batch, of all inputs and outputs, whose body is the scan over T. */
bool convert_scan(OnnxOp *o)
{
    if (op_has_in(o, 0))
        op_fail(o, ERR_UNSUPPORTED, "lengths of sequences (opset 8) are not supported");
    if (o->body[0] < 0)
        op_fail(o, ERR_INVALID, "lacks its body");
    Graph *const g = o->g;
    const int body = o->body[0];
    const int nin = g->block.at[body].input.len;
    const int nout = g->block.at[body].output.len;
    if (o->nin != nin + 1 || o->nout != nout)
        op_fail(o, ERR_INVALID, "has %d inputs and %d outputs, its body has %d and %d", o->nin,
                o->nout, nin, nout);
    const int outer = graph_block(g);
    ValueId *const in = arena_array_of(o->im->ctx->arena, nin + 1, ValueId);
    for (int i = 0; i < nin; i++) {
        in[i] = graph_value(g, o->name, DT_NONE, -1, NULL);
        vec_push(o->im->ctx->arena, &g->block.at[outer].input, in[i]);
    }
    const NodeId inner = graph_node(g, outer, OP_SCAN, o->name, nin, in, nout, NULL);
    g->node.at[inner].nblock = 1;
    g->node.at[inner].block[0] = body;
    node_set_int(g, inner, "num_scan_inputs", op_attr_int(o, "num_scan_inputs", nin));
    const int64_t *directions;
    const int n = op_attr_ints(o, "directions", &directions);
    if (n >= 0)
        node_set_ints(g, inner, "scan_input_directions", n, directions);
    for (int i = 0; i < nout; i++)
        vec_push(o->im->ctx->arena, &g->block.at[outer].output, g->node.at[inner].out[i]);
    o->nattr = 0;
    op_set_int(o, "num_scan_inputs", nin);
    o->nblock = 1;
    o->body[0] = outer;
    op_finish(o, OP_SCAN, nin, o->in + 1);
    return true;
}
