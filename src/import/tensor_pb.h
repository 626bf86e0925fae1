/* TensorProto files (.pb), as the ONNX backend suite has them: one tensor a file. */
#ifndef LATHE_IMPORT_TENSOR_PB_H
#define LATHE_IMPORT_TENSOR_PB_H

#include "tensor/tensor.h"

int tensor_pb_read(const char *path, Tensor **out, Error *e);
int tensor_pb_parse(const uint8_t *at, size_t size, Tensor **out, Error *e);
/* Written as raw_data; types below 8 bits packed. `name` may be NULL. */
int tensor_pb_write(const char *path, const Tensor *t, const char *name, Error *e);

#endif
