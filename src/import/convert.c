/* The table of conversions, and those that only move attributes. See convert.h. */
#include "import/convert.h"

#include <string.h>

/* ---- attributes that became inputs ---- */

/* i64[n] from a list (or, for a single number, from an int), unless the input is there already. */
static void ints_to_input(OnnxOp *o, const char *attr, int k)
{
    const int64_t *v;
    int n = op_attr_ints(o, attr, &v);
    const Attr *const a = op_attr(o, attr);
    if (a && a->kind == ATTR_INT) {
        v = &a->i;
        n = 1;
    }
    if (n >= 0 && !op_has_in(o, k))
        op_set_in(o, k, op_const_ints(o, attr, n, v));
    op_drop_attr(o, attr);
}

static bool axes_to_input(OnnxOp *o)
{
    ints_to_input(o, "axes", 1);
    return false;
}

static bool convert_reshape(OnnxOp *o)
{
    ints_to_input(o, "shape", 1);
    return false;
}

static bool convert_top_k(OnnxOp *o)
{
    ints_to_input(o, "k", 1);
    return false;
}

static bool convert_slice(OnnxOp *o)
{
    ints_to_input(o, "starts", 1);
    ints_to_input(o, "ends", 2);
    ints_to_input(o, "axes", 3);
    return false;
}

/* Equal parts were what the number of outputs said; now it is an attribute. */
static bool convert_split(OnnxOp *o)
{
    ints_to_input(o, "split", 1);
    if (!op_has_in(o, 1) && !op_attr(o, "num_outputs"))
        op_set_int(o, "num_outputs", (int64_t)o->proto->n_output);
    return false;
}

static bool convert_clip(OnnxOp *o)
{
    static const char *const names[] = {"min", "max"};
    for (int k = 0; k < 2; k++) {
        const Attr *const a = op_attr(o, names[k]);
        if (a && a->kind == ATTR_FLOAT && op_has_in(o, 0) && !op_has_in(o, k + 1))
            op_set_in(o, k + 1, op_const_like(o, names[k], a->f, o->in[0]));
        op_drop_attr(o, names[k]);
    }
    return false;
}

static bool convert_pad(OnnxOp *o)
{
    ints_to_input(o, "paddings", 1); /* opset 1 */
    ints_to_input(o, "pads", 1);
    const double value = op_attr_float(o, "value", 0);
    if (value != 0 && op_has_in(o, 0) && !op_has_in(o, 2))
        op_set_in(o, 2, op_const_like(o, "value", value, o->in[0]));
    op_drop_attr(o, "value");
    return false;
}

static bool convert_dft(OnnxOp *o)
{
    const double axis = (double)op_attr_int(o, "axis", 1);
    op_set_in(o, 2, graph_const_scalar(o->g, "axis", DT_I64, axis));
    op_drop_attr(o, "axis");
    return false;
}

/* ---- attributes that changed ---- */

static bool convert_cast(OnnxOp *o)
{
    static const char *const names[] = {
        /* by TensorProto.DataType */
        "UNDEFINED", "FLOAT",  "UINT8", "INT8",    "UINT16", "INT16",  "INT32",
        "INT64",     "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64",
    };
    const char *const to = op_attr_string(o, "to", NULL);
    for (size_t i = 0; to && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], to) == 0)
            op_set_int(o, "to", (int64_t)i);
    return false;
}

static bool convert_concat(OnnxOp *o)
{
    if (!op_attr(o, "axis"))
        op_set_int(o, "axis", 1);
    return false;
}

static bool convert_selu(OnnxOp *o)
{
    if (!op_attr(o, "alpha"))
        op_set_attr(o, (Attr){.name = "alpha", .kind = ATTR_FLOAT, .f = 1.6732f});
    if (!op_attr(o, "gamma"))
        op_set_attr(o, (Attr){.name = "gamma", .kind = ATTR_FLOAT, .f = 1.0507f});
    return false;
}

static bool convert_lp_pool(OnnxOp *o)
{
    const Attr *const p = op_attr(o, "p");
    if (p && p->kind == ATTR_FLOAT)
        op_set_int(o, "p", (int64_t)p->f);
    return false;
}

static bool convert_gemm(OnnxOp *o)
{
    op_drop_attr(o, "broadcast"); /* the newest broadcasts anyway */
    return false;
}

static bool convert_recurrent(OnnxOp *o)
{
    op_drop_attr(o, "output_sequence"); /* said by the outputs that are there */
    return false;
}

static bool convert_roi_align(OnnxOp *o)
{
    if (!op_attr(o, "coordinate_transformation_mode"))
        op_set_string(o, "coordinate_transformation_mode", "output_half_pixel");
    return false;
}

static bool convert_grid_sample(OnnxOp *o)
{
    const char *const mode = op_attr_string(o, "mode", "linear");
    if (strcmp(mode, "bilinear") == 0)
        op_set_string(o, "mode", "linear");
    else if (strcmp(mode, "bicubic") == 0)
        op_set_string(o, "mode", "cubic");
    return false;
}

static bool convert_batch_norm(OnnxOp *o)
{
    if (op_attr_int(o, "training_mode", 0) != 0)
        op_fail(o, ERR_UNSUPPORTED,
                "training mode is not supported: export the model for inference");
    if (op_attr_int(o, "spatial", 1) == 0)
        op_fail(o, ERR_UNSUPPORTED, "spatial=0 (statistics for every element) is not supported");
    op_drop_attr(o, "spatial");
    op_drop_attr(o, "is_test");
    return false;
}

/* ---- ops that were renamed ---- */

static bool convert_scatter(OnnxOp *o)
{
    o->type = "ScatterElements";
    return false;
}

/* Resize-10 and Upsample: output x reads input floor(x / scale). */
static void set_old_sampling(OnnxOp *o)
{
    if (strcmp(op_attr_string(o, "mode", "nearest"), "bilinear") == 0)
        op_set_string(o, "mode", "linear");
    op_set_string(o, "coordinate_transformation_mode", "asymmetric");
    op_set_string(o, "nearest_mode", "floor");
}

static bool convert_upsample(OnnxOp *o)
{
    o->type = "Resize";
    set_old_sampling(o);
    const Attr *const scales = op_attr(o, "scales");
    const double h = op_attr_float(o, "height_scale", 1);
    const double w = op_attr_float(o, "width_scale", 1);
    ValueId v;
    if (op_has_in(o, 1))
        v = o->in[1];
    else if (scales && scales->kind == ATTR_FLOATS)
        v = op_const_floats(o, "scales", scales->n, scales->floats);
    else
        v = op_const_floats(o, "scales", 4, (const double[]){1, 1, h, w});
    op_set_in(o, 1, -1);
    op_set_in(o, 2, v);
    op_drop_attr(o, "scales");
    op_drop_attr(o, "height_scale");
    op_drop_attr(o, "width_scale");
    return false;
}

static bool convert_resize_10(OnnxOp *o)
{
    if (!op_has_in(o, 1) || op_has_in(o, 2))
        return false; /* converted from Upsample */
    set_old_sampling(o);
    op_set_in(o, 2, o->in[1]);
    op_set_in(o, 1, -1);
    return false;
}

/* Opsets 11 and 12: input (x + 0.5) / scale, nearest only: half_pixel's position, half a pixel
 * further. */
static bool convert_resize_tf(OnnxOp *o)
{
    static const char *const same[][2] = {{"floor", "round_prefer_ceil"},
                                          {"round_prefer_floor", "ceil"}};
    if (strcmp(op_attr_string(o, "coordinate_transformation_mode", ""), "tf_half_pixel_for_nn") !=
        0)
        return false;
    const char *const nearest = op_attr_string(o, "nearest_mode", "round_prefer_floor");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(same[i][0], nearest) == 0 &&
            strcmp(op_attr_string(o, "mode", "nearest"), "nearest") == 0) {
            op_set_string(o, "coordinate_transformation_mode", "half_pixel");
            op_set_string(o, "nearest_mode", same[i][1]);
            return false;
        }
    op_fail(o, ERR_UNSUPPORTED,
            "tf_half_pixel_for_nn is supported with mode nearest, and floor or round_prefer_floor");
}

/* Opset 11 had no absent roi and scales: empty tensors stood for them. */
static bool convert_resize_empty(OnnxOp *o)
{
    for (int k = 1; k < 4; k++)
        if (op_has_in(o, k)) {
            const Tensor *const t = o->g->value.at[o->in[k]].constant;
            if (t && tensor_elements(t) == 0)
                op_set_in(o, k, -1);
        }
    return false;
}

/* ---- the table: `fn` converts `type` of opsets below `below`; rows apply in this order ---- */

#define ALWAYS (ONNX_MAX_OPSET + 1)

typedef struct ConvertRow {
    const char *type;
    int below;
    ConvertFn fn;
} ConvertRow;

static const ConvertRow convert_rows[] = {
    {"Add", 7, convert_aligned_binary},
    {"And", 7, convert_aligned_binary},
    {"BatchNormalization", ALWAYS, convert_batch_norm},
    {"Cast", 6, convert_cast},
    {"Clip", 11, convert_clip},
    {"Concat", 4, convert_concat},
    {"DFT", 20, convert_dft},
    {"Div", 7, convert_aligned_binary},
    {"Dropout", ALWAYS, convert_dropout},
    {"Equal", 7, convert_aligned_binary},
    {"GRU", 7, convert_recurrent},
    {"Gemm", 7, convert_gemm},
    {"GlobalLpPool", 2, convert_lp_pool},
    {"Greater", 7, convert_aligned_binary},
    {"GridSample", 20, convert_grid_sample},
    {"GroupNormalization", 21, convert_group_norm},
    {"Hardmax", 13, convert_flat_softmax},
    {"LSTM", 7, convert_recurrent},
    {"Less", 7, convert_aligned_binary},
    {"LogSoftmax", 13, convert_flat_softmax},
    {"LpPool", 2, convert_lp_pool},
    {"Mul", 7, convert_aligned_binary},
    {"Or", 7, convert_aligned_binary},
    {"PRelu", 7, convert_prelu},
    {"Pad", 11, convert_pad},
    {"Pow", 7, convert_aligned_binary},
    {"RNN", 7, convert_recurrent},
    {"ReduceL1", 18, axes_to_input},
    {"ReduceL2", 18, axes_to_input},
    {"ReduceLogSum", 18, axes_to_input},
    {"ReduceLogSumExp", 18, axes_to_input},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSum", 13, axes_to_input},
    {"ReduceSumSquare", 18, axes_to_input},
    {"Reshape", 5, convert_reshape},
    {"Upsample", ALWAYS, convert_upsample}, /* before Resize, which it becomes */
    {"Resize", 11, convert_resize_10},
    {"Resize", 13, convert_resize_tf},
    {"Resize", ALWAYS, convert_resize_empty},
    {"RoiAlign", 16, convert_roi_align},
    {"Scan", 9, convert_scan},
    {"Scatter", ALWAYS, convert_scatter},
    {"Selu", 6, convert_selu},
    {"Slice", 10, convert_slice},
    {"Softmax", 13, convert_flat_softmax},
    {"Split", 18, convert_split},
    {"Squeeze", 13, axes_to_input},
    {"Sub", 7, convert_aligned_binary},
    {"TfIdfVectorizer", ALWAYS, convert_tf_idf},
    {"Tile", 6, convert_tile},
    {"TopK", 10, convert_top_k},
    {"Unsqueeze", 13, axes_to_input},
    {"Xor", 7, convert_aligned_binary},
};

/* Blocks of control flow: all there, and inputs and outputs as many as the body has. */
static void fit_bodies(OnnxOp *o, OpCode code)
{
    if (op_rows[code].class != 'C')
        return;
    o->nblock = code == OP_IF ? 2 : 1;
    for (int i = 0; i < o->nblock; i++)
        if (o->body[i] < 0)
            op_fail(o, ERR_INVALID, "lacks its %s", code == OP_IF ? "branches" : "body");
    const Block *const b = &o->g->block.at[o->body[0]];
    const int nin = code == OP_IF ? 1 : b->input.len;
    const int nout = code == OP_LOOP ? b->output.len - 1 : b->output.len;
    if (o->nin > nin || o->nout > nout || nin < 1 || nout < 1)
        op_fail(o, ERR_INVALID, "has %d inputs and %d outputs, its body has %d and %d", o->nin,
                o->nout, b->input.len, b->output.len);
    if (code == OP_IF && o->g->block.at[o->body[1]].output.len != b->output.len)
        op_fail(o, ERR_INVALID, "its branches have %d and %d outputs", b->output.len,
                o->g->block.at[o->body[1]].output.len);
    ValueId *const in = arena_array_of(o->im->ctx->arena, nin, ValueId);
    ValueId *const out = arena_array_of(o->im->ctx->arena, nout, ValueId);
    for (int i = 0; i < nin; i++)
        in[i] = i < o->nin ? o->in[i] : -1;
    for (int i = 0; i < nout; i++)
        out[i] = i < o->nout ? o->out[i] : -1;
    o->in = in;
    o->out = out;
    o->nin = nin;
    o->nout = nout;
}

void convert_op(OnnxOp *o)
{
    op_drop_attr(o, "consumed_inputs"); /* opset 1: a hint to run in place */
    for (size_t i = 0; i < sizeof convert_rows / sizeof *convert_rows; i++) {
        const ConvertRow *const row = &convert_rows[i];
        if (o->opset < row->below && strcmp(o->type, row->type) == 0 && row->fn(o))
            return;
    }
    const OpCode code = op_find_onnx(o->type);
    if (code == OP_COUNT && domain_name(o->proto->domain)[0] != '\0')
        op_fail(o, ERR_UNSUPPORTED, "this op of domain '%.100s' is not supported",
                o->proto->domain);
    if (code == OP_COUNT)
        op_fail(o, ERR_UNSUPPORTED, "this op is not supported");
    fit_bodies(o, code);
    op_finish(o, code, o->nin, o->in);
}
