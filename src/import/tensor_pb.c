/* TensorProto files: reading through onnx_tensor, writing raw_data. See tensor_pb.h. */
#include "import/tensor_pb.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "import/onnx_tensor.h"
#include "tensor/pack.h"

int tensor_pb_parse(const uint8_t *at, size_t size, Tensor **out, Error *e)
{
    Error ignored;
    e = e ? e : &ignored;
    OnnxMemory *const m = onnx_memory_new(((size_t)64 << 20) + 16 * size, NULL);
    if (!m)
        return error_set(e, ERR_MEMORY, "out of memory");
    void *message = NULL;
    int code = onnx_unpack(m, WIRE_TENSOR, at, size, &message, e);
    if (code == 0)
        code = onnx_tensor(m, message, out, e);
    onnx_memory_unref(m);
    return code;
}

int tensor_pb_read(const char *path, Tensor **out, Error *e)
{
    Error ignored;
    e = e ? e : &ignored;
    Arena *const a = arena_new();
    File f;
    int code = file_map(a, path, &f, e);
    if (code == 0)
        code = tensor_pb_parse(f.at, f.size, out, e);
    if (code != 0 && !strstr(e->message, path)) {
        const char *const why = arena_strdup(a, e->message);
        error_set(e, code, "%s: %s", path, why);
    }
    arena_free(a);
    return code;
}

int tensor_pb_write(const char *path, const Tensor *t, const char *name, Error *e)
{
    assert(layout_is_plain(&t->layout));
    Arena *const a = arena_new();
    Onnx__TensorProto p = ONNX__TENSOR_PROTO__INIT;
    p.has_data_type = true;
    p.data_type = (int32_t)t->dtype;
    p.n_dims = (size_t)t->rank;
    p.dims = arena_dup(a, t->dim, (size_t)t->rank * sizeof *t->dim);
    p.name = name ? arena_strdup(a, name) : NULL;
    p.has_raw_data = true;
    const int64_t elements = tensor_elements(t);
    if (dtype_is_packed(t->dtype)) {
        p.raw_data.len = packed_bytes(t->dtype, elements);
        p.raw_data.data = arena_alloc(a, p.raw_data.len);
        pack_elements(t->dtype, t->data, elements, p.raw_data.data);
    } else {
        p.raw_data.len = (size_t)elements * (size_t)dtype_size(t->dtype);
        p.raw_data.data = t->data;
    }
    const size_t size = onnx__tensor_proto__get_packed_size(&p);
    uint8_t *const bytes = arena_alloc(a, size);
    onnx__tensor_proto__pack(&p, bytes);
    const int code = file_write(path, bytes, size, e);
    arena_free(a);
    return code;
}
