/* Tensor: a typed array with shape and layout that may cross threads.
 *
 * Owner: the reference count; `tensor_unref` by the last holder calls `free_data(free_arg)`, which
 * lets foreign memory (a mapped file, a decoded frame, a DLPack capsule) become a tensor without a
 * copy. The data of a tensor made here is 64-byte aligned, foreign data may lie at any address:
 * read it with memcpy or dtype_read. */
#ifndef LATHE_TENSOR_TENSOR_H
#define LATHE_TENSOR_TENSOR_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/layout.h"

typedef struct Tensor {
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK];
    Layout layout;
    void *data;
    size_t bytes; /* at data, pad included */
    void (*free_data)(void *);
    void *free_arg;
    /* from a file that somebody else may change some day: whoever keeps the data copies it */
    bool borrowed;
    /* made by and for one compile, and no other tensor has any of these bytes: see tensor_spend */
    bool spendable;
    atomic_int refs;
} Tensor;

/* Zeroed data; NULL and an error if the size overflows or memory is out. Row-major. */
Tensor *tensor_new(DType t, int rank, const int64_t *dims, Error *e);
/* Wraps foreign data; free_data may be NULL. */
Tensor *tensor_wrap(DType t, int rank, const int64_t *dims, void *data, size_t bytes,
                    void (*free_data)(void *), void *free_arg);
Tensor *tensor_ref(Tensor *t);
void tensor_unref(Tensor *t); /* NULL is allowed */
void tensor_defer(Arena *a, Tensor *t); /* the reference goes with the arena */
/* No holder will read t's data any more: their memory goes back now, if t is spendable. */
void tensor_spend(Tensor *t);
int64_t tensor_elements(const Tensor *t); /* logical; 1 for a scalar */
/* "f32[1,3,224,224]" */
const char *tensor_describe(Arena *a, const Tensor *t);

/* What tensor_compare found: |a-b| <= atol + rtol*|b| for all, NaN equal to NaN, inf to the same
 * inf. */
typedef struct TensorDiff {
    bool same_type, same_shape;
    int64_t mismatches, first;   /* count, index of the first (row-major); -1 */
    double max_abs, max_rel;
} TensorDiff;
TensorDiff tensor_compare(const Tensor *got, const Tensor *want, double rtol, double atol);
/* Fills with reproducible values: floats uniform in [-1,1), integers in [0, 10), bool 0/1. */
void tensor_fill_random(Tensor *t, uint64_t seed);

/* NumPy's .npy, format versions 1.0 to 3.0, C and Fortran order, little and big endian. */
int npy_read(const char *path, Tensor **out, Error *e);
int npy_write(const char *path, const Tensor *t, Error *e);

#endif
