/* Checks protobuf bytes against the shape of ONNX's messages: see wire.h.
 *
 * Only fields that hold messages matter; the table below lists them. All else is stepped over. */
#include "import/wire.h"

#include <stdbool.h>

typedef enum Message {
    MODEL,
    OPSET,
    FUNCTION,
    GRAPH,
    NODE,
    ATTRIBUTE,
    TENSOR,
    ENTRY,
    SEGMENT,
    SPARSE,
    VALUE,
    TYPE,
    TENSOR_TYPE,
    SHAPE,
    DIM,
    NOT_A_MESSAGE
} Message;

typedef struct MessageField {
    Message in;
    uint32_t field;
    Message of;
    bool repeated;
} MessageField;

/* Field numbers as in onnx.proto. */
static const MessageField message_fields[] = {
    {MODEL, 7, GRAPH, false},       {MODEL, 8, OPSET, true},        {MODEL, 25, FUNCTION, true},
    {MODEL, 14, ENTRY, true},
    {FUNCTION, 7, NODE, true},      {FUNCTION, 9, OPSET, true},     {FUNCTION, 11, ATTRIBUTE, true},
    {GRAPH, 1, NODE, true},         {GRAPH, 5, TENSOR, true},       {GRAPH, 11, VALUE, true},
    {GRAPH, 12, VALUE, true},       {GRAPH, 13, VALUE, true},       {GRAPH, 15, SPARSE, true},
    {NODE, 5, ATTRIBUTE, true},     {ATTRIBUTE, 5, TENSOR, false},  {ATTRIBUTE, 6, GRAPH, false},
    {ATTRIBUTE, 22, SPARSE, false}, {TENSOR, 3, SEGMENT, false},    {TENSOR, 13, ENTRY, true},
    {SPARSE, 1, TENSOR, false},     {SPARSE, 2, TENSOR, false},     {VALUE, 2, TYPE, false},
    {TYPE, 1, TENSOR_TYPE, false},  {TENSOR_TYPE, 2, SHAPE, false}, {SHAPE, 1, DIM, true},
};

typedef struct Level {
    Message message;
    size_t end;
    uint32_t seen; /* singular message fields met, a bit each */
} Level;

typedef struct Walk {
    const uint8_t *at;
    size_t pos;
    Level level[WIRE_MAX_DEPTH];
    int depth;
} Walk;

static bool read_varint(Walk *w, size_t end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && w->pos < end; shift += 7) {
        const uint8_t byte = w->at[w->pos++];
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(Walk *w, size_t end, uint64_t n)
{
    if (n > end - w->pos)
        return false;
    w->pos += (size_t)n;
    return true;
}

static const MessageField *find_field(Message in, uint32_t field)
{
    for (size_t i = 0; i < sizeof message_fields / sizeof *message_fields; i++)
        if (message_fields[i].in == in && message_fields[i].field == field)
            return &message_fields[i];
    return NULL;
}

static int bad(Error *e, const Walk *w, const char *what)
{
    return error_set(e, ERR_INVALID, "not a valid ONNX file: %s at byte %zu", what, w->pos);
}

/* A length-delimited field: steps over it, or into it if it is a message. */
static int enter(Walk *w, uint32_t field, Error *e)
{
    Level *const top = &w->level[w->depth - 1];
    uint64_t size;
    if (!read_varint(w, top->end, &size) || size > top->end - w->pos)
        return bad(e, w, "a field is longer than what holds it");
    const MessageField *const f = find_field(top->message, field);
    if (!f) {
        skip(w, top->end, size);
        return 0;
    }
    if (!f->repeated) {
        const uint32_t bit = (uint32_t)1 << (f - message_fields);
        if (top->seen & bit)
            return bad(e, w, "a field that may stand once stands twice");
        top->seen |= bit;
    }
    if (w->depth == WIRE_MAX_DEPTH)
        return error_set(e, ERR_INVALID,
                         "not a valid ONNX file: nested more than %d deep at byte %zu",
                         WIRE_MAX_DEPTH, w->pos);
    w->level[w->depth++] = (Level){.message = f->of, .end = w->pos + (size_t)size};
    return 0;
}

static int step(Walk *w, Error *e)
{
    enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
    const size_t end = w->level[w->depth - 1].end;
    uint64_t key;
    if (!read_varint(w, end, &key) || key > UINT32_MAX || key >> 3 == 0)
        return bad(e, w, "no field number");
    uint64_t ignored;
    switch (key & 7) {
    case VARINT:
        return read_varint(w, end, &ignored) ? 0 : bad(e, w, "a number does not end");
    case FIXED64:
        return skip(w, end, 8) ? 0 : bad(e, w, "the data ends inside a number");
    case FIXED32:
        return skip(w, end, 4) ? 0 : bad(e, w, "the data ends inside a number");
    case BYTES:
        return enter(w, (uint32_t)(key >> 3), e);
    default:
        return bad(e, w, "an unknown kind of field");
    }
}

int wire_check(WireMessage what, const uint8_t *at, size_t size, size_t max_fields, Error *e)
{
    _Static_assert(sizeof message_fields / sizeof *message_fields <= 32, "bits of Level.seen");
    Walk w = {.at = at, .depth = 1};
    w.level[0] = (Level){.message = what == WIRE_MODEL ? MODEL : TENSOR, .end = size};
    size_t fields = 0;
    while (w.depth > 0) {
        if (w.pos == w.level[w.depth - 1].end) {
            w.depth--;
            continue;
        }
        if (++fields > max_fields)
            return error_set(e, ERR_MEMORY, "ONNX file: more than %zu fields", max_fields);
        const int code = step(&w, e);
        if (code != 0)
            return code;
    }
    return 0;
}
