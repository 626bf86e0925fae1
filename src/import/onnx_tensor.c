/* TensorProto -> Tensor: raw bytes, the typed lists, external files. See onnx_tensor.h.
 *
 * Where the elements lie:  raw_data    as in memory, types below 8 bits packed
 *                          float_data  f32
 *                          int32_data  i32; u8 i8 u16 i16 bool f16 bf16 fp8: one number each, their
 *                                      bits; types below 8 bits: one packed byte each
 *                          int64_data  i64;   double_data f64;   uint64_data u64 and u32
 *                          external    like raw_data, a part of another file */
#include "import/onnx_tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "tensor/pack.h"

/* ---- memory ---- */

OnnxMemory *onnx_memory_new(size_t limit, const char *directory)
{
    Arena *const a = arena_try_new();
    if (!a)
        return NULL;
    OnnxMemory *const m = arena_new_of(a, OnnxMemory);
    m->arena = a;
    atomic_init(&m->refs, 1);
    m->directory = directory ? arena_strdup(a, directory) : NULL;
    m->file_id = strmap_new(a);
    arena_set_limit(a, limit);
    return m;
}

void onnx_memory_unref(void *memory)
{
    OnnxMemory *const m = memory;
    if (atomic_fetch_sub(&m->refs, 1) == 1)
        arena_free(m->arena);
}

static OnnxMemory *memory_ref(OnnxMemory *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

/* ---- unpacking ---- */

enum { LONG_FIELD = 4096, CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* Long fields are weights, as a rule: aligned as kernels want them, so that nobody copies them
 * again, and in large pages, as half the time of an import went into faults. */
static void *unpack_alloc(void *memory, size_t size)
{
    OnnxMemory *const m = memory;
    const size_t padded = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    if (size < LONG_FIELD)
        return arena_alloc(m->arena, size);
    if (padded > m->weights_left)
        return arena_alloc_aligned(m->arena, size, CACHE_LINE);
    void *const at = m->weights;
    m->weights += padded;
    m->weights_left -= padded;
    return at;
}

static void unpack_free(void *memory, void *p)
{
    (void)memory;
    (void)p;
}

typedef struct Unpack {
    OnnxMemory *memory;
    bool thin; /* without the weights */
    const ProtobufCMessageDescriptor *type;
    const uint8_t *at;
    size_t size;
    void *message;
} Unpack;

static void unpack_job(Context *ctx, void *arg)
{
    Unpack *const u = arg;
    OnnxMemory *const m = u->memory;
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, m};
    if (u->thin) {
        m->thin = wire_thin(ctx->arena, u->at, u->size);
        u->at = m->thin.at;
        u->size = m->thin.size;
    }
    /* room for all bytes of the message, were they all in long fields */
    if (u->size >= HUGE_PAGE) {
        m->weights_left = u->size + u->size / LONG_FIELD * CACHE_LINE;
        m->weights = arena_alloc_aligned(ctx->arena, m->weights_left, HUGE_PAGE);
    }
    u->message = protobuf_c_message_unpack(u->type, &allocator, u->size, u->at);
    if (!u->message)
        fail(ctx, ERR_INVALID,
             "not a valid ONNX file: its fields do not have the types they should");
}

static int unpack(OnnxMemory *m, WireMessage what, const uint8_t *at, size_t size, bool thin,
                  void **message, Error *e)
{
    enum { MAX_FIELDS = 200 * 1000 * 1000 };
    if (size > INT32_MAX)
        return error_set(e, ERR_UNSUPPORTED,
                         "a model file of 2 GiB or more: save its weights as external data");
    int code = wire_check(what, at, size, MAX_FIELDS, e);
    if (code != 0)
        return code;
    Unpack u = {
        .memory = m,
        .type =
            what == WIRE_MODEL ? &onnx__model_proto__descriptor : &onnx__tensor_proto__descriptor,
        .at = at,
        .size = size,
        .thin = thin,
    };
    code = job_run(m->arena, unpack_job, &u, e, NULL);
    arena_set_limit(m->arena, 0); /* it bounds the unpacking only */
    *message = u.message;
    return code;
}

int onnx_unpack(OnnxMemory *m, WireMessage what, const uint8_t *at, size_t size, void **message,
                Error *e)
{
    return unpack(m, what, at, size, false, message, e);
}

size_t onnx_memory_limit(size_t size)
{
    return ((size_t)256 << 20) + 16 * size;
}

int onnx_unpack_file(OnnxMemory *m, const char *path, size_t limit, const Onnx__ModelProto **model,
                     Error *e)
{
    File f;
    void *message = NULL;
    int code = file_map(m->arena, path, &f, e);
    if (code != 0)
        return code;
    arena_set_limit(m->arena, limit ? limit : onnx_memory_limit(f.size));
    code = unpack(m, WIRE_MODEL, f.at, f.size, true, &message, e);
    *model = message;
    if (code != 0) {
        const Error said = *e;
        error_set(e, code, "%s: %s", path, said.message);
    }
    return code;
}

/* ---- tensors ---- */

DType onnx_dtype(int32_t data_type)
{
    return data_type > 0 && data_type < DT_COUNT ? (DType)data_type : DT_NONE;
}

static const char *tensor_name(const Onnx__TensorProto *p)
{
    return p->name ? p->name : "";
}

/* Type, rank, dims and element count, checked. */
static int read_type(const Onnx__TensorProto *p, DType *t, int64_t *elements, Error *e)
{
    *t = onnx_dtype(p->data_type);
    if (dtype_size(*t) == 0)
        return error_set(e, *t == DT_NONE ? ERR_INVALID : ERR_UNSUPPORTED,
                         "tensor '%s': element type %d (%s) is not supported", tensor_name(p),
                         p->data_type, *t == DT_NONE ? "unknown" : dtype_name(*t));
    if (p->n_dims > MAX_RANK)
        return error_set(e, ERR_UNSUPPORTED, "tensor '%s': rank %zu, the largest is %d",
                         tensor_name(p), p->n_dims, MAX_RANK);
    if (p->segment)
        return error_set(e, ERR_UNSUPPORTED, "tensor '%s': stored in segments", tensor_name(p));
    *elements = 1;
    for (size_t i = 0; i < p->n_dims; i++) {
        if (p->dims[i] < 0)
            return error_set(e, ERR_INVALID, "tensor '%s': dimension %zu is negative",
                             tensor_name(p), i);
        if (__builtin_mul_overflow(*elements, p->dims[i], elements) || *elements > INT64_MAX / 16)
            return error_set(e, ERR_INVALID, "tensor '%s': its size overflows", tensor_name(p));
    }
    return 0;
}

static int wrong_count(const Onnx__TensorProto *p, DType t, int64_t elements, size_t found,
                       const char *unit, Error *e)
{
    return error_set(e, ERR_INVALID, "tensor '%s': %zu %s for %lld elements of %s", tensor_name(p),
                     found, unit, (long long)elements, dtype_name(t));
}

/* Elements that lie as in memory, OWN: in this one, where bools may be normalised in place;
 * EXTERNAL_FILE: in a mapped file; MODEL_FILE: in the model's own, at any address, and it may
 * change once the model is compiled. */
typedef enum RawPlace { OWN, EXTERNAL_FILE, MODEL_FILE } RawPlace;

static int from_raw(OnnxMemory *m, const Onnx__TensorProto *p, DType t, int64_t elements,
                    const uint8_t *at, size_t size, RawPlace place, Tensor **out, Error *e)
{
    const bool writable = place == OWN;
    const int rank = (int)p->n_dims;
    if (dtype_is_packed(t)) {
        if (size != packed_bytes(t, elements))
            return wrong_count(p, t, elements, size, "bytes", e);
        *out = tensor_new(t, rank, p->dims, e);
        if (!*out)
            return e->code;
        unpack_elements(t, at, elements, (*out)->data);
        return 0;
    }
    const size_t unit = (size_t)dtype_size(t);
    if (size / unit != (size_t)elements || size % unit != 0)
        return wrong_count(p, t, elements, size, "bytes", e);
    bool as_is = size > 0 && (place == MODEL_FILE || (uintptr_t)at % unit == 0);
    for (size_t i = 0; t == DT_BOOL && !writable && i < size; i++)
        as_is = as_is && at[i] <= 1;
    if (as_is) {
        *out = tensor_wrap(t, rank, p->dims, (void *)(uintptr_t)at, size, onnx_memory_unref,
                           memory_ref(m));
        if (!*out) {
            onnx_memory_unref(m);
            return error_set(e, ERR_MEMORY, "tensor '%s': out of memory", tensor_name(p));
        }
        (*out)->borrowed = (*out)->spendable = place == MODEL_FILE;
    } else {
        *out = tensor_new(t, rank, p->dims, e);
        if (!*out)
            return e->code;
        if (size > 0)
            memcpy((*out)->data, at, size);
    }
    uint8_t *const bytes = (*out)->data;
    for (size_t i = 0; t == DT_BOOL && (writable || !as_is) && i < size; i++)
        bytes[i] = bytes[i] != 0;
    return 0;
}

static int from_int32(const Onnx__TensorProto *p, DType t, int64_t elements, Tensor **out, Error *e)
{
    const int64_t want = dtype_is_packed(t) ? (int64_t)packed_bytes(t, elements) : elements;
    if ((int64_t)p->n_int32_data != want)
        return wrong_count(p, t, elements, p->n_int32_data, "numbers", e);
    Tensor *const tensor = tensor_new(t, (int)p->n_dims, p->dims, e);
    if (!tensor)
        return e->code;
    if (dtype_is_packed(t)) {
        uint8_t *const packed = heap_alloc((size_t)want, 1);
        if (!packed) {
            tensor_unref(tensor);
            return error_set(e, ERR_MEMORY, "out of memory for a tensor's %lld bytes",
                             (long long)want);
        }
        for (int64_t i = 0; i < want; i++)
            packed[i] = (uint8_t)p->int32_data[i];
        unpack_elements(t, packed, elements, tensor->data);
        heap_free(packed);
    } else if (t == DT_BOOL) {
        for (int64_t i = 0; i < elements; i++)
            ((uint8_t *)tensor->data)[i] = p->int32_data[i] != 0;
    } else { /* the low bytes are the element's bits */
        const int unit = dtype_size(t);
        for (int64_t i = 0; i < elements; i++)
            memcpy((char *)tensor->data + i * unit, &p->int32_data[i], (size_t)unit);
    }
    *out = tensor;
    return 0;
}

static int from_uint32(const Onnx__TensorProto *p, int64_t elements, Tensor **out, Error *e)
{
    if ((int64_t)p->n_uint64_data != elements)
        return wrong_count(p, DT_U32, elements, p->n_uint64_data, "numbers", e);
    *out = tensor_new(DT_U32, (int)p->n_dims, p->dims, e);
    if (!*out)
        return e->code;
    for (int64_t i = 0; i < elements; i++)
        ((uint32_t *)(*out)->data)[i] = (uint32_t)p->uint64_data[i];
    return 0;
}

static int from_lists(OnnxMemory *m, const Onnx__TensorProto *p, DType t, int64_t elements,
                      Tensor **out, Error *e)
{
    const void *at = NULL;
    size_t size = 0;
    switch (t) {
    case DT_F32:
        at = p->float_data;
        size = p->n_float_data * sizeof *p->float_data;
        break;
    case DT_I32:
        at = p->int32_data;
        size = p->n_int32_data * sizeof *p->int32_data;
        break;
    case DT_I64:
        at = p->int64_data;
        size = p->n_int64_data * sizeof *p->int64_data;
        break;
    case DT_F64:
        at = p->double_data;
        size = p->n_double_data * sizeof *p->double_data;
        break;
    case DT_U64:
        at = p->uint64_data;
        size = p->n_uint64_data * sizeof *p->uint64_data;
        break;
    case DT_U32:
        return from_uint32(p, elements, out, e);
    default:
        return from_int32(p, t, elements, out, e);
    }
    return from_raw(m, p, t, elements, at, size, OWN, out, e);
}

/* ---- external data ---- */

static bool parse_size(const char *text, size_t *v)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    *v = (size_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

/* A model may name files beside it and below, nothing else of the machine. */
static bool stays_below(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

static int map_external(OnnxMemory *m, const char *location, File *out, Error *e)
{
    int id = strmap_get(&m->file_id, location, -1);
    if (id < 0) {
        File f;
        const int code = file_map(m->arena, path_join(m->arena, m->directory, location), &f, e);
        if (code != 0)
            return code;
        id = m->file.len;
        vec_push(m->arena, &m->file, f);
        strmap_put(&m->file_id, location, id);
    }
    *out = m->file.at[id];
    return 0;
}

static int from_external(OnnxMemory *m, const Onnx__TensorProto *p, DType t, int64_t elements,
                         Tensor **out, Error *e)
{
    const char *location = NULL;
    size_t offset = 0;
    size_t length = SIZE_MAX;
    for (size_t i = 0; i < p->n_external_data; i++) {
        const Onnx__StringStringEntry *const entry = p->external_data[i];
        if (!entry->key || !entry->value)
            continue;
        bool good = true;
        if (strcmp(entry->key, "location") == 0)
            location = entry->value;
        else if (strcmp(entry->key, "offset") == 0)
            good = parse_size(entry->value, &offset);
        else if (strcmp(entry->key, "length") == 0)
            good = parse_size(entry->value, &length);
        if (!good)
            return error_set(e, ERR_INVALID, "tensor '%s': external %s '%.60s' is no number",
                             tensor_name(p), entry->key, entry->value);
    }
    if (!location || !stays_below(location))
        return error_set(e, ERR_INVALID,
                         "tensor '%s': external data must lie beside the model, not in '%s'",
                         tensor_name(p), location ? location : "");
    if (!m->directory)
        return error_set(e, ERR_INVALID,
                         "tensor '%s': external data '%s', but no directory was given",
                         tensor_name(p), location);
    File f;
    const int code = map_external(m, location, &f, e);
    if (code != 0)
        return code;
    const size_t want =
        dtype_is_packed(t) ? packed_bytes(t, elements) : (size_t)elements * (size_t)dtype_size(t);
    if (length == SIZE_MAX && offset <= f.size && want <= f.size - offset)
        length = want;
    if (offset > f.size || length > f.size - offset)
        return error_set(e, ERR_INVALID,
                         "tensor '%s': its data, bytes %zu to %zu, is not all in '%s' of %zu bytes",
                         tensor_name(p), offset, offset + length, location, f.size);
    return from_raw(m, p, t, elements, f.at + offset, length, EXTERNAL_FILE, out, e);
}

static int any_tensor(OnnxMemory *m, const Onnx__TensorProto *p, WireRange raw, Tensor **out,
                      Error *e)
{
    enum { EXTERNAL = 1 };
    DType t;
    int64_t elements = 0;
    const int code = read_type(p, &t, &elements, e);
    if (code != 0)
        return code;
    if (p->data_location == EXTERNAL)
        return from_external(m, p, t, elements, out, e);
    if (raw.size > 0)
        return from_raw(m, p, t, elements, raw.at, raw.size, MODEL_FILE, out, e);
    if (p->has_raw_data)
        return from_raw(m, p, t, elements, p->raw_data.data, p->raw_data.len, OWN, out, e);
    return from_lists(m, p, t, elements, out, e);
}

int onnx_tensor(OnnxMemory *m, const Onnx__TensorProto *p, Tensor **out, Error *e)
{
    return any_tensor(m, p, (WireRange){0}, out, e);
}

int onnx_initializer(OnnxMemory *m, int initializer, const Onnx__TensorProto *p, Tensor **out,
                     Error *e)
{
    return any_tensor(m, p, initializer < m->thin.n ? m->thin.range[initializer] : (WireRange){0},
                      out, e);
}
