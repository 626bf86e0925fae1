/* Lathe and DLPack (version 1): tensors exchanged with NumPy, PyTorch, JAX and others without a
 * copy.
 *
 * Include dlpack/dlpack.h before this file if you have it; the structs below are the same, as the
 * standard has them. */
#ifndef LATHE_DLPACK_H
#define LATHE_DLPACK_H

#include "lathe.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef DLPACK_DLPACK_H_

typedef struct DLPackVersion {
    uint32_t major, minor;
} DLPackVersion;

typedef struct DLDevice {
    int32_t device_type; /* 1: CPU */
    int32_t device_id;
} DLDevice;

typedef struct DLDataType {
    uint8_t code; /* 0 int, 1 uint, 2 float, 4 bfloat, 6 bool, 7.. eight bits and fewer */
    uint8_t bits;
    uint16_t lanes;
} DLDataType;

typedef struct DLTensor {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: dense and row-major */
    uint64_t byte_offset;
} DLTensor;

typedef struct DLManagedTensor {
    DLTensor dl_tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *self);
} DLManagedTensor;

typedef struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags; /* 1: read only; 2: is a copy; 4: types below 8 bits take a byte an element */
    DLTensor dl_tensor;
} DLManagedTensorVersioned;

#endif

/* An output of the last lathe_run; call its deleter when done, on any thread. It stays as it is
 * meanwhile, whatever becomes of the session: the next lathe_run gets other memory for it. NULL: as
 * lathe_get_output; in the older form also LATHE_UNSUPPORTED for types that take less than a
 * byte. */
struct DLManagedTensorVersioned *lathe_output_to_dlpack(lathe_session *s, int index,
                                                        lathe_error *error);
struct DLManagedTensor *lathe_output_to_dlpack_old(lathe_session *s, int index, lathe_error *error);

/* As lathe_give_input, with the deleter as `free`: a tensor that is not dense is copied now, and
 * its deleter called. LATHE_UNSUPPORTED: it is not in the host's memory, or of a type or version
 * that is not known; like every failure, that leaves it to the caller. */
int lathe_set_input_from_dlpack(lathe_session *s, int index, struct DLManagedTensorVersioned *t,
                                lathe_error *error);
int lathe_set_input_from_dlpack_old(lathe_session *s, int index, struct DLManagedTensor *t,
                                    lathe_error *error);

#ifdef __cplusplus
}
#endif

#endif
