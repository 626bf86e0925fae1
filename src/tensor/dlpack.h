/* DLPack's structs and our tensors: types both ways, tensors out, views in. (include/lathe_dlpack.h
 * has the structs.) */
#ifndef LATHE_TENSOR_DLPACK_H
#define LATHE_TENSOR_DLPACK_H

#include <lathe_dlpack.h>

#include "tensor/tensor.h"

enum { /* DLManagedTensorVersioned.flags */
    DLPACK_READ_ONLY = 1,
    DLPACK_COPIED = 2,
    DLPACK_PADDED = 4 /* types below 8 bits take one byte an element, as ours do */
};

/* A row-major tensor under DLPack's name: holds a reference, which its deleter gives back. NULL and
 * an error: out of memory; the older form has no way to say DLPACK_PADDED. */
DLManagedTensorVersioned *dlpack_export(Tensor *t, Error *e);
DLManagedTensor *dlpack_export_old(Tensor *t, Error *e);

typedef struct DlpackView { /* what a DLTensor says, checked */
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK], stride[MAX_RANK]; /* in elements */
    const char *data;                        /* of element 0, 0.. */
    bool dense;                              /* row-major without gaps */
} DlpackView;
/* ERR_UNSUPPORTED: another device, an unknown type, too many dims; ERR_INVALID. `flags` are 0 in
 * the older form. */
int dlpack_view(const DLTensor *t, uint64_t flags, DlpackView *out, Error *e);
/* A dense copy. */
int dlpack_copy(const DlpackView *v, Tensor **out, Error *e);

#endif
