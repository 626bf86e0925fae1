/* DLPack. */
#include "tensor/dlpack.h"

#include <string.h>

#include "base/heap.h"

enum { DEVICE_CPU = 1, DEVICE_CUDA_HOST = 3, DEVICE_ROCM_HOST = 11 }; /* all in the host's memory */

typedef struct TypeRow {
    DType dtype;
    uint8_t code, bits;
} TypeRow;

static const TypeRow types[] = {
    {DT_I2, 0, 2},          {DT_I4, 0, 4},        {DT_I8, 0, 8},          {DT_I16, 0, 16},
    {DT_I32, 0, 32},        {DT_I64, 0, 64},      {DT_U2, 1, 2},          {DT_U4, 1, 4},
    {DT_U8, 1, 8},          {DT_U16, 1, 16},      {DT_U32, 1, 32},        {DT_U64, 1, 64},
    {DT_F16, 2, 16},        {DT_F32, 2, 32},      {DT_F64, 2, 64},        {DT_BF16, 4, 16},
    {DT_BOOL, 6, 8},        {DT_F8E4M3FN, 10, 8}, {DT_F8E4M3FNUZ, 11, 8}, {DT_F8E5M2, 12, 8},
    {DT_F8E5M2FNUZ, 13, 8}, {DT_F8E8M0, 14, 8},   {DT_F4E2M1, 17, 4},
};
enum { TYPES = sizeof types / sizeof *types };

/* ---- out ---- */

typedef struct Exported {
    union {
        DLManagedTensorVersioned versioned;
        DLManagedTensor old;
    } managed;
    Tensor *tensor;
    int64_t shape[MAX_RANK], stride[MAX_RANK];
} Exported;

static void drop(Exported *x)
{
    tensor_unref(x->tensor);
    heap_free(x);
}

static void delete_versioned(DLManagedTensorVersioned *self)
{
    drop(self->manager_ctx);
}

static void delete_old(DLManagedTensor *self)
{
    drop(self->manager_ctx);
}

static Exported *export(Tensor *t, DLTensor *out, Error *e)
{
    Exported *x = heap_alloc(sizeof *x, 16);
    if (!x) {
        error_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    *out = (DLTensor){.data = t->data, .device = {.device_type = DEVICE_CPU}, .ndim = t->rank};
    for (int i = 0; i < TYPES; i++)
        if (types[i].dtype == t->dtype)
            out->dtype = (DLDataType){types[i].code, types[i].bits, 1};
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        x->shape[i] = t->dim[i];
        x->stride[i] = stride;
        stride *= t->dim[i] > 0 ? t->dim[i] : 1;
    }
    out->shape = x->shape;
    out->strides = x->stride;
    x->tensor = tensor_ref(t);
    return x;
}

DLManagedTensorVersioned *dlpack_export(Tensor *t, Error *e)
{
    DLTensor d;
    Exported *x = export(t, &d, e);
    if (!x)
        return NULL;
    x->managed.versioned = (DLManagedTensorVersioned){
        .version = {1, 1},
        .manager_ctx = x,
        .deleter = delete_versioned,
        .flags = dtype_bits(t->dtype) < 8 && t->dtype != DT_BOOL ? DLPACK_PADDED : 0,
        .dl_tensor = d,
    };
    return &x->managed.versioned;
}

DLManagedTensor *dlpack_export_old(Tensor *t, Error *e)
{
    DLTensor d;
    if (dtype_bits(t->dtype) < 8 && t->dtype != DT_BOOL) {
        error_set(e, ERR_UNSUPPORTED,
                  "%s, a byte an element, has no form in DLPack before version 1",
                  dtype_name(t->dtype));
        return NULL;
    }
    Exported *x = export(t, &d, e);
    if (!x)
        return NULL;
    x->managed.old = (DLManagedTensor){.dl_tensor = d, .manager_ctx = x, .deleter = delete_old};
    return &x->managed.old;
}

/* ---- in ---- */

static DType find_type(DLDataType t)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].code == t.code && types[i].bits == t.bits && t.lanes == 1)
            return types[i].dtype;
    return DT_NONE;
}

int dlpack_view(const DLTensor *t, uint64_t flags, DlpackView *out, Error *e)
{
    const int32_t device = t->device.device_type;
    if (device != DEVICE_CPU && device != DEVICE_CUDA_HOST && device != DEVICE_ROCM_HOST)
        return error_set(
            e, ERR_UNSUPPORTED,
            "the DLPack tensor is on device %d, not in the host's memory: move it there",
            (int)device);
    const DType type = find_type(t->dtype);
    if (type == DT_NONE)
        return error_set(e, ERR_UNSUPPORTED,
                         "DLPack type %d with %d bits and %d lanes is not known", t->dtype.code,
                         t->dtype.bits, t->dtype.lanes);
    if (t->dtype.bits < 8 && !(flags & DLPACK_PADDED))
        return error_set(e, ERR_UNSUPPORTED,
                         "the DLPack tensor packs several %s into a byte: unpack it",
                         dtype_name(type));
    if (t->ndim < 0 || t->ndim > MAX_RANK)
        return error_set(e, ERR_UNSUPPORTED, "a tensor of rank %d: at most %d", (int)t->ndim,
                         MAX_RANK);
    *out = (DlpackView){.dtype = type, .rank = t->ndim, .dense = true};
    int64_t elements = 1;
    bool empty = false;
    for (int i = t->ndim - 1; i >= 0; i--) {
        const int64_t n = t->shape[i];
        out->dim[i] = n;
        out->stride[i] = t->strides ? t->strides[i] : elements;
        out->dense &= n == 1 || out->stride[i] == elements;
        empty |= n == 0;
        if (n < 0 || __builtin_mul_overflow(elements, n > 0 ? n : 1, &elements) ||
            elements > INT64_MAX / 64)
            return error_set(e, ERR_INVALID,
                             "dim %d of the DLPack tensor, %lld, is negative or too large", i,
                             (long long)n);
    }
    out->dense |= empty;
    out->data = empty ? NULL : (const char *)t->data + t->byte_offset;
    return empty || t->data ? 0 : error_set(e, ERR_INVALID, "the DLPack tensor has no data");
}

/* Axes from `axis` on; returns the end of what was written. */
static char *copy_axis(const DlpackView *v, int axis, const char *from, char *to)
{
    const int64_t size = dtype_size(v->dtype);
    if (axis == v->rank) {
        memcpy(to, from, (size_t)size);
        return to + size;
    }
    for (int64_t i = 0; i < v->dim[axis]; i++)
        to = copy_axis(v, axis + 1, from + i * v->stride[axis] * size, to);
    return to;
}

int dlpack_copy(const DlpackView *v, Tensor **out, Error *e)
{
    Error own;
    e = e ? e : &own;
    *out = tensor_new(v->dtype, v->rank, v->dim, e);
    if (!*out)
        return e->code;
    if ((*out)->bytes > 0)
        copy_axis(v, 0, v->data, (*out)->data);
    return 0;
}
