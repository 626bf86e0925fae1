/* Type constraints of ops whose definitions mix several inputs: a letter an input, the last one
 * again for all further inputs. Inputs with one letter have one type.
 *
 *     F G H  floating point: f16 bf16 f32 f64      N M  any number
 *     P Q R  8 bits: i8 u8 fp8                     T    anything that has elements in memory
 *     I J    i32 or i64                            L i64 · W i32 · S f32 · .  not checked here */
#include "op/types.h"

#include <string.h>

static const char *const rows[OP_COUNT] = {
    [OP_RESHAPE] = "TL",
    [OP_EXPAND] = "TL",
    [OP_TILE] = "TL",
    [OP_SQUEEZE] = "TL",
    [OP_UNSQUEEZE] = "TL",
    [OP_SPLIT] = "TL",
    [OP_SLICE] = "TIIII",
    [OP_PAD] = "TLTI",
    [OP_TENSOR_SCATTER] = "TTL",
    [OP_CONSTANT_OF_SHAPE] = "L",
    [OP_RANGE] = "N",
    [OP_ONE_HOT] = "NMT",
    [OP_TRILU] = "TL",
    [OP_REVERSE_SEQUENCE] = "TL",
    [OP_CUM_SUM] = "NI",
    [OP_CUM_PROD] = "NI",
    [OP_CENTER_CROP_PAD] = "TI",
    [OP_COL2IM] = "NLL",
    [OP_IDENTITY] = "T",
    [OP_TRANSPOSE] = "T",
    [OP_CONCAT] = "T",
    [OP_GATHER] = "TI",
    [OP_GATHER_ELEMENTS] = "TI",
    [OP_GATHER_ND] = "TI",
    [OP_SCATTER_ELEMENTS] = "TIT",
    [OP_SCATTER_ND] = "TIT",
    [OP_DEPTH_TO_SPACE] = "T",
    [OP_SPACE_TO_DEPTH] = "T",
    [OP_MATMUL] = "N",
    [OP_GEMM] = "N",
    [OP_EINSUM] = "N",
    [OP_CONV] = "F",
    [OP_CONV_TRANSPOSE] = "F",
    [OP_CONV_INTEGER] = "PQPQ",
    [OP_MATMUL_INTEGER] = "PQPQ",
    [OP_QLINEAR_CONV] = "PFPQFQFRW",
    [OP_QLINEAR_MATMUL] = "PFPQFQFR",
    [OP_DEFORM_CONV] = "F",
    [OP_CAUSAL_CONV_WITH_STATE] = "F",
    [OP_DET] = "F",
    [OP_DYNAMIC_QUANTIZE_LINEAR] = "S",
    [OP_MAX_POOL] = "N",
    [OP_AVERAGE_POOL] = "F",
    [OP_LP_POOL] = "F",
    [OP_GLOBAL_AVERAGE_POOL] = "F",
    [OP_GLOBAL_MAX_POOL] = "F",
    [OP_GLOBAL_LP_POOL] = "F",
    [OP_MAX_UNPOOL] = "FLL",
    [OP_RESIZE] = "TFSL",
    [OP_GRID_SAMPLE] = "TF",
    [OP_AFFINE_GRID] = "FL",
    [OP_ROI_ALIGN] = "FFL",
    [OP_MAX_ROI_POOL] = "F",
    [OP_REDUCE_L1] = "NL",
    [OP_REDUCE_L2] = "NL",
    [OP_REDUCE_LOG_SUM] = "NL",
    [OP_REDUCE_LOG_SUM_EXP] = "NL",
    [OP_REDUCE_MAX] = "TL",
    [OP_REDUCE_MEAN] = "NL",
    [OP_REDUCE_MIN] = "TL",
    [OP_REDUCE_PROD] = "NL",
    [OP_REDUCE_SUM] = "NL",
    [OP_REDUCE_SUM_SQUARE] = "NL",
    [OP_ARG_MAX] = "N",
    [OP_ARG_MIN] = "N",
    [OP_HARDMAX] = "F",
    [OP_SOFTMAX] = "F",
    [OP_LOG_SOFTMAX] = "F",
    [OP_LRN] = "F",
    [OP_LP_NORMALIZATION] = "F",
    [OP_MEAN_VARIANCE_NORMALIZATION] = "F",
    [OP_BATCH_NORMALIZATION] = "FGGHH",
    [OP_INSTANCE_NORMALIZATION] = "F",
    [OP_GROUP_NORMALIZATION] = "F",
    [OP_LAYER_NORMALIZATION] = "F",
    [OP_RMS_NORMALIZATION] = "FG",
    [OP_ATTENTION] = "FFGTFGL",
    [OP_LINEAR_ATTENTION] = "FFFGFF",
    [OP_ROTARY_EMBEDDING] = "FFFL",
    [OP_SWIGLU] = "F",
    [OP_DFT] = "FIL",
    [OP_STFT] = "FIFI",
    [OP_HANN_WINDOW] = "I",
    [OP_HAMMING_WINDOW] = "I",
    [OP_BLACKMAN_WINDOW] = "I",
    [OP_MEL_WEIGHT_MATRIX] = "IIIFF",
    [OP_LSTM] = "FFFFWFFF",
    [OP_GRU] = "FFFFWF",
    [OP_RNN] = "FFFFWF",
    [OP_TOP_K] = "NL",
    [OP_NON_MAX_SUPPRESSION] = "SSLSS",
};

static const char *const classes[][2] = {
    {"FGH", "floating point"},
    {"NM", "a number"},
    {"PQR", "an 8-bit type"},
    {"T", "a type with elements"},
    {"IJ", "i32 or i64"},
    {"L", "i64"},
    {"W", "i32"},
    {"S", "f32"},
};

static bool fits(char letter, DType t)
{
    switch (letter) {
    case 'F':
    case 'G':
    case 'H':
        return dtype_is_float(t) && dtype_bits(t) >= 16;
    case 'N':
    case 'M':
        return dtype_is_int(t) || dtype_is_float(t);
    case 'P':
    case 'Q':
    case 'R':
        return (dtype_is_int(t) || dtype_is_float(t)) && dtype_bits(t) == 8;
    case 'T':
        return dtype_size(t) > 0;
    case 'I':
    case 'J':
        return t == DT_I32 || t == DT_I64;
    case 'L':
        return t == DT_I64;
    case 'W':
        return t == DT_I32;
    case 'S':
        return t == DT_F32;
    default:
        return true;
    }
}

static const char *class_text(char letter)
{
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++)
        if (strchr(classes[k][0], letter))
            return classes[k][1];
    return "another type";
}

void types_check(const Infer *f)
{
    const char *row = rows[f->node->op];
    int first[128]; /* input that set the letter's type, from 1 */
    memset(first, 0, sizeof first);
    for (int k = 0; row && k < f->node->nin; k++) {
        const char letter = *row;
        row += row[1] != '\0';
        const Value *v = infer_in(f, k);
        if (!v || letter == '.')
            continue;
        if (!fits(letter, v->dtype))
            infer_fail(f, "input %d is %s, it must be %s", k, dtype_name(v->dtype),
                       class_text(letter));
        int *const seen = &first[(int)letter];
        if (*seen && infer_in(f, *seen - 1)->dtype != v->dtype)
            infer_fail(f, "inputs %d and %d differ in type", *seen - 1, k);
        *seen = *seen ? *seen : k + 1;
    }
}
