/* TensorProto -> Tensor, without a copy where the message holds the elements as memory does.
 *
 * Owner: an unpacked message lives in an OnnxMemory, an arena with a reference count. Each tensor
 * that points into it holds a reference, so the message outlives the import only as long as it
 * must. */
#ifndef LATHE_IMPORT_ONNX_TENSOR_H
#define LATHE_IMPORT_ONNX_TENSOR_H

#include <stdatomic.h>

#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"
#include "onnx.pb-c.h"
#include "import/wire.h"
#include "import/wire_thin.h"
#include "tensor/tensor.h"

typedef struct OnnxMemory {
    Arena *arena; /* holds this struct, too */
    uint8_t *weights; /* what is left of a stretch of large pages for long fields */
    size_t weights_left;
    atomic_int refs;
    const char *directory; /* of external data; NULL: there is none */
    StrMap file_id;        /* external files that are mapped: index into file */
    VEC(File) file;
    /* of a model that is unpacked without its weights, which are read where they lie */
    WireThin thin;
} OnnxMemory;

OnnxMemory *onnx_memory_new(size_t limit, const char *directory); /* NULL: out of memory */
void onnx_memory_unref(void *memory);

/* Maps a model file, checks and unpacks it but for its weights: they stay in the file. `limit`: see
 * onnx_memory_new; 0: the default for the file's size. */
int onnx_unpack_file(OnnxMemory *m, const char *path, size_t limit, const Onnx__ModelProto **model,
                     Error *e);
size_t onnx_memory_limit(size_t size); /* the default, for a message of so many bytes */
/* Checks (wire.h) and unpacks a ModelProto or TensorProto into the memory. */
int onnx_unpack(OnnxMemory *m, WireMessage what, const uint8_t *at, size_t size, void **message,
                Error *e);

/* TensorProto.data_type as our type (the numbers agree); DT_NONE if it is not one. */
DType onnx_dtype(int32_t data_type);

/* The main graph's initializer: onnx_tensor of p, its data where it lies. */
int onnx_initializer(OnnxMemory *m, int initializer, const Onnx__TensorProto *p, Tensor **out,
                     Error *e);
/* e must not be NULL. */
int onnx_tensor(OnnxMemory *m, const Onnx__TensorProto *p, Tensor **out, Error *e);

#endif
