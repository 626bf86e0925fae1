/* Pieces of JSON. Numbers are the shortest decimals that read back the same. */
#ifndef LATHE_WATCH_JSON_WRITE_H
#define LATHE_WATCH_JSON_WRITE_H

#include <stdint.h>

#include "base/str.h"
#include "watch/observation.h"

/* Whole numbers without an exponent. What is not finite, as JSON has no word for it, is "nan",
 * "inf" or "-inf" in quotes. */
void json_add_number(Str *out, double v);
/* Reads back the same by way of a double. */
void json_add_float(Str *out, float v);
/* Microseconds as seconds, exactly: 12.5 */
void json_add_seconds(Str *out, int64_t us);
/* Microseconds since 1970 -> "2026-11-21T19:00:00.000000Z". */
void json_add_wall(Str *out, int64_t us);
/* [x,y,width,height] */
void json_add_box(Str *out, const Box *b);
/* In quotes; malformed UTF-8 becomes U+FFFD. NULL: null. */
void json_add_string(Str *out, const char *text);

#endif
