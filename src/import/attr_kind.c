/* Of which kind the attributes are that ops read. An attribute has one kind in all ops and opsets
 * of ONNX, but for a few that changed theirs, so that its name tells. Without this, a string given
 * as `axis` would read as no axis at all, and the default would be taken. And which are no
 * attributes of ONNX at all, but our own. */
#include <string.h>

#include "base/str.h"
#include "import/importer.h"

#define BIT(kind) (1u << (kind))

#define LONGEST 64

static const struct {
    unsigned kinds;
    const char *name[LONGEST];
} rows[] = {
    {BIT(ATTR_INT),
     {"align_corners",
      "allowzero",
      "antialias",
      "axis",
      "batch_axis",
      "batch_dims",
      "block_size",
      "blocksize",
      "broadcast",
      "ceil_mode",
      "center_point_box",
      "columns",
      "count_include_pad",
      "detect_negative",
      "detect_positive",
      "dtype",
      "end",
      "exclude_outside",
      "exclusive",
      "fmod",
      "group",
      "hidden_size",
      "input_forget",
      "interleaved",
      "inverse",
      "is_causal",
      "keepdims",
      "kv_num_heads",
      "largest",
      "layout",
      "left_window_size",
      "linear_before_reset",
      "max_gram_length",
      "max_skip_count",
      "min_gram_length",
      "noop_with_empty_axes",
      "num_groups",
      "num_heads",
      "num_outputs",
      "num_scan_inputs",
      "offset_group",
      "onesided",
      "output_datatype",
      "output_height",
      "output_width",
      "periodic",
      "q_num_heads",
      "qk_matmul_output_mode",
      "reverse",
      "right_window_size",
      "rotary_embedding_dim",
      "sampling_ratio",
      "saturate",
      "select_last_index",
      "size",
      "softmax_precision",
      "sorted",
      "spatial",
      "start",
      "stash_type",
      "storage_order"}},
    {BIT(ATTR_INT),
     {"time_axis", "training_mode", "transA", "transB", "transBatchA", "transBatchB", "upper"}},
    {BIT(ATTR_FLOAT),
     {"alpha", "beta", "bias", "clip", "cubic_coeff_a", "epsilon", "extrapolation_value", "gamma",
      "height_scale", "lambd", "max", "min", "scale", "softcap", "spatial_scale", "width_scale"}},
    {BIT(ATTR_STRING),
     {"activation", "approximate", "auto_pad", "coordinate_transformation_mode", "direction",
      "equation", "keep_aspect_ratio_policy", "mode", "nearest_mode", "padding_mode", "reduction",
      "round_mode", "update_rule"}},
    {BIT(ATTR_INTS),
     {"dilations", "directions", "kernel_shape", "ngram_counts", "ngram_indexes", "output_padding",
      "output_shape", "paddings", "pads", "perm", "pool_int64s", "pooled_shape", "scan_input_axes",
      "scan_input_directions", "scan_output_axes", "scan_output_directions", "shape", "split",
      "strides"}},
    {BIT(ATTR_FLOATS), {"activation_alpha", "activation_beta", "scales", "weights"}},
    {BIT(ATTR_STRINGS), {"activations", "pool_strings"}},
    /* a list, or its only element */
    {BIT(ATTR_INTS) | BIT(ATTR_INT), {"axes", "ends", "k", "starts"}},
    /* changed: LpPool, Cast, Pad and ConstantOfShape */
    {BIT(ATTR_INT) | BIT(ATTR_FLOAT), {"p"}},
    {BIT(ATTR_INT) | BIT(ATTR_STRING), {"to"}},
    {BIT(ATTR_FLOAT) | BIT(ATTR_TENSOR), {"value"}},
};

unsigned attr_kinds(const char *name)
{
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int i = 0; i < LONGEST && rows[r].name[i]; i++)
            if (strcmp(rows[r].name[i], name) == 0)
                return rows[r].kinds;
    return 0;
}

bool attr_is_of_passes(const char *name)
{
    static const char *const own[] = {"border", "folded", "nan_is_zero", "strassen",
                                      "unseen", "widen",  "winograd"};
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
        if (strcmp(name, own[k]) == 0)
            return true;
    return false;
}

const char *attr_kinds_text(Arena *a, unsigned kinds)
{
    static const char *const text[] = {
        [ATTR_INT] = "an int",
        [ATTR_FLOAT] = "a float",
        [ATTR_STRING] = "a string",
        [ATTR_INTS] = "a list of ints",
        [ATTR_FLOATS] = "a list of floats",
        [ATTR_STRINGS] = "a list of strings",
        [ATTR_TENSOR] = "a tensor",
    };
    Str s = str_new(a);
    for (size_t k = 0; k < sizeof text / sizeof *text; k++)
        if (text[k] && kinds & BIT(k))
            str_addf(&s, "%s%s", s.len > 0 ? " or " : "", text[k]);
    return str_text(&s);
}
