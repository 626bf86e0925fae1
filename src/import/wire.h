/* A look at protobuf bytes before they are unpacked.
 *
 * The unpacking library recurses as deep as the bytes say and merges a message field that comes
 * twice, so hostile bytes could end the process. This walk, with a stack of fixed depth, checks
 * that every length lies inside its parent, that messages nest at most WIRE_MAX_DEPTH deep, that
 * singular message fields come once, and that there are at most `max_fields` fields in all. */
#ifndef LATHE_IMPORT_WIRE_H
#define LATHE_IMPORT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define WIRE_MAX_DEPTH 200

typedef enum WireMessage { WIRE_MODEL, WIRE_TENSOR } WireMessage; /* the outermost message */

/* 0, or a negative ErrorCode with the place (a byte offset) in the message. */
int wire_check(WireMessage what, const uint8_t *at, size_t size, size_t max_fields, Error *e);

#endif
