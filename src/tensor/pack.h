/* Types below 8 bits, packed as files hold them: first element in the lowest bits. */
#ifndef LATHE_TENSOR_PACK_H
#define LATHE_TENSOR_PACK_H

#include <stddef.h>

#include "tensor/dtype.h"

static inline bool dtype_is_packed(DType t) { return dtype_bits(t) > 0 && dtype_bits(t) < 8; }
size_t packed_bytes(DType t, int64_t elements);
/* n elements; unpacked: one byte an element, sign-extended for i4 and i2. */
void unpack_elements(DType t, const void *packed, int64_t n, void *unpacked);
void pack_elements(DType t, const void *unpacked, int64_t n, void *packed);

#endif
