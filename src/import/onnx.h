/* ONNX models -> graph.
 *
 * Opsets 1 and 6 to 28 (2 to 5 are read like 6): older forms of ops are converted to their newest
 * meaning (convert.h). Functions are inlined, sub-graphs become blocks, Constant nodes become
 * constants, weights in external files are mapped. Weights are never held twice: tensors point into
 * the unpacked message, which lives as long as the longest-lived of them.
 *
 * Every dim of an input that is not a positive number becomes a symbol in [0, 2^31]: one a
 * dim_param (by its name; characters that identifiers lack become '_'), else "input.dim2".
 *
 * Errors (through fail): ERR_IO; ERR_INVALID, the file is malformed; ERR_UNSUPPORTED, with the node
 * and op; ERR_MEMORY, unpacking wants more than `memory_limit`. */
#ifndef LATHE_IMPORT_ONNX_H
#define LATHE_IMPORT_ONNX_H

#include "graph/graph.h"

#define ONNX_MIN_OPSET 1
#define ONNX_MAX_OPSET 28
#define ONNX_MAX_IR 14

typedef struct OnnxBindDim { /* --bind N=4 */
    const char *name;        /* dim_param as in the model, or the symbol ("x.dim2") */
    int64_t value;
} OnnxBindDim;

typedef struct OnnxBindValue { /* the input stays in the list, but what used it reads this constant
                                */
    const char *input;
    Tensor *tensor; /* a reference is taken */
} OnnxBindValue;

typedef struct OnnxShape { /* the input's shape: a specialisation. -1: as the model says */
    const char *input;
    int rank;
    int64_t dim[MAX_RANK];
} OnnxShape;

typedef struct OnnxOptions {
    int nbind, nvalue, nshape;
    const OnnxBindDim *bind;
    const OnnxBindValue *value;
    const OnnxShape *shape;
    /* a value of the model, by its name: the only output, in place of the model's. NULL: these */
    const char *output;
    size_t memory_limit;   /* of the unpacked message; 0: 256 MiB + 16 times the file's size */
    /* may be NULL: told of each file of external data, as the model names it */
    void (*on_file)(void *arg, const char *location);
    void *on_file_arg;
    const char *directory; /* where external data lies; NULL: beside the model (onnx_import only) */
} OnnxOptions;

/* opt may be NULL. */
Graph *onnx_import(Context *ctx, const char *path, const OnnxOptions *opt);
/* `name` is for messages. The bytes are not needed afterwards. */
Graph *onnx_import_bytes(Context *ctx, const char *name, const uint8_t *at, size_t size,
                         const OnnxOptions *opt);

/* What the model's metadata says of `key` (a character list, labels, a licence); NULL: nothing. In
 * the arena. */
const char *onnx_metadata(Context *ctx, const char *path, const char *key);

#endif
