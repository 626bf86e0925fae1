/* The bytes of a model without its weights: a copy in which the long raw_data of the main graph's
 * initializers is left out, and where each of them lies in the original. What is unpacked from the
 * copy is small; the weights stay where they are, in a mapped file, and whoever needs only a
 * model's inputs never touches them. */
#ifndef LATHE_IMPORT_WIRE_THIN_H
#define LATHE_IMPORT_WIRE_THIN_H

#include <stdint.h>

#include "base/arena.h"

#define WIRE_LONG 4096

typedef struct WireRange {
    const uint8_t *at;
    size_t size; /* 0: it is in the copy */
} WireRange;

typedef struct WireThin {
    const uint8_t *at;
    size_t size;
    WireRange *range; /* by initializer of the main graph */
    int n;
} WireThin;

/* at: a ModelProto that wire_check has accepted. */
WireThin wire_thin(Arena *a, const uint8_t *at, size_t size);

#endif
