/* What happens to streams themselves, as records. */
#ifndef LATHE_WATCH_SYSTEM_JSON_H
#define LATHE_WATCH_SYSTEM_JSON_H

#include "base/str.h"
#include "watch/engine.h"

/* "stream.up", "stream.down", "stream.gap", "stream.epoch", "stream.mute", "stream.end",
 * "align.lost", "align.found", "overload", "spotlight": as the names of events. */
const char *system_name(SystemKind k);
uint64_t system_id(const SystemRecord *r);
/* {"v":1,"id":"..","rev":0,"kind":"state","stream":"cam1","event":"stream.down","wall":"..","cause":"silent","value":0}
 * Of a spotlight also "previous" and "t":
 * {..,"stream":"cam2","event":"spotlight",..,"cause":"better","value":91,"previous":"cam1","t":null}
 */
void system_json(Str *out, const SystemRecord *r);

#endif
