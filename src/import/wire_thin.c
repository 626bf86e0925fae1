/* See wire_thin.h. Model, graph and tensor are walked, each field's extent taken from its key and
 * length; all fields that are not on the way to raw_data are copied as they stand. Bytes that
 * wire_check accepted are well formed. */
#include "import/wire_thin.h"

#include <stdbool.h>
#include <string.h>

enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9, BYTES = 2 };

typedef struct Field {
    uint32_t number, kind;
    const uint8_t *at, *data, *end; /* the key; what is behind key and length; what follows */
} Field;

static const uint8_t *read_varint(const uint8_t *at, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        *v |= (uint64_t)(*at & 0x7f) << shift;
        if (*at++ < 0x80)
            break;
    }
    return at;
}

static Field read_field(const uint8_t *at)
{
    enum { VARINT = 0, FIXED64 = 1 };
    uint64_t key, n;
    Field f = {.at = at, .data = read_varint(at, &key)};
    f.number = (uint32_t)(key >> 3);
    f.kind = (uint32_t)key & 7;
    if (f.kind == BYTES) {
        f.data = read_varint(f.data, &n);
        f.end = f.data + n;
    } else {
        f.end = f.kind == VARINT ? read_varint(f.data, &n) : f.data + (f.kind == FIXED64 ? 8 : 4);
    }
    return f;
}

typedef struct Thin {
    uint8_t *out; /* NULL: nothing is written, only counted */
    size_t size;
} Thin;

static void put(Thin *t, const uint8_t *at, size_t size)
{
    if (t->out)
        memcpy(t->out + t->size, at, size);
    t->size += size;
}

static void put_varint(Thin *t, uint64_t v)
{
    uint8_t byte[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        byte[n++] = (uint8_t)(v | 0x80);
    byte[n++] = (uint8_t)v;
    put(t, byte, n);
}

static bool is(const Field *f, uint32_t number)
{
    return f->number == number && f->kind == BYTES;
}

/* Where a field stands twice the last one counts. */
static WireRange raw_data(const uint8_t *at, const uint8_t *end)
{
    WireRange raw = {0};
    while (at < end) {
        const Field f = read_field(at);
        if (is(&f, TENSOR_RAW_DATA))
            raw = (WireRange){f.data, (size_t)(f.end - f.data)};
        at = f.end;
    }
    return raw;
}

/* A tensor without its raw_data. */
static void thin_tensor(Thin *t, const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        const Field f = read_field(at);
        if (!is(&f, TENSOR_RAW_DATA))
            put(t, f.at, (size_t)(f.end - f.at));
        at = f.end;
    }
}

/* *range, if not NULL: one for each initializer. */
static int thin_graph(Thin *t, const uint8_t *at, const uint8_t *end, WireRange *range)
{
    int n = 0;
    while (at < end) {
        const Field f = read_field(at);
        const WireRange raw = is(&f, GRAPH_INITIALIZER) ? raw_data(f.data, f.end) : (WireRange){0};
        at = f.end;
        if (raw.size < WIRE_LONG) {
            put(t, f.at, (size_t)(f.end - f.at));
        } else {
            Thin counted = {0};
            thin_tensor(&counted, f.data, f.end);
            put_varint(t, GRAPH_INITIALIZER << 3 | BYTES);
            put_varint(t, counted.size);
            thin_tensor(t, f.data, f.end);
        }
        if (is(&f, GRAPH_INITIALIZER)) {
            if (range)
                range[n] = raw.size < WIRE_LONG ? (WireRange){0} : raw;
            n++;
        }
    }
    return n;
}

static int thin_model(Thin *t, const uint8_t *at, size_t size, WireRange *range)
{
    const uint8_t *const end = at + size;
    int n = 0;
    while (at < end) {
        const Field f = read_field(at);
        at = f.end;
        if (!is(&f, MODEL_GRAPH)) {
            put(t, f.at, (size_t)(f.end - f.at));
            continue;
        }
        Thin counted = {0};
        n = thin_graph(&counted, f.data, f.end, NULL);
        put_varint(t, MODEL_GRAPH << 3 | BYTES);
        put_varint(t, counted.size);
        thin_graph(t, f.data, f.end, range);
    }
    return n;
}

WireThin wire_thin(Arena *a, const uint8_t *at, size_t size)
{
    Thin t = {0};
    WireThin out = {.n = thin_model(&t, at, size, NULL)};
    out.size = t.size;
    out.range = arena_array_of(a, out.n + 1, WireRange);
    uint8_t *const bytes = arena_array(a, t.size + 1, 1);
    t = (Thin){.out = bytes};
    thin_model(&t, at, size, out.range);
    out.at = bytes;
    return out;
}
