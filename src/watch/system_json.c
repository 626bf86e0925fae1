/* Records of streams and of the engine. */
#include "watch/system_json.h"

#include <string.h>

#include "base/map.h"
#include "watch/json_write.h"

const char *system_name(SystemKind k)
{
    static const char *const name[] = {
        [SYSTEM_UP] = "stream.up",       [SYSTEM_DOWN] = "stream.down",   [SYSTEM_GAP] = "stream.gap",
        [SYSTEM_EPOCH] = "stream.epoch", [SYSTEM_MUTE] = "stream.mute",   [SYSTEM_OVERLOAD] = "overload", [SYSTEM_END] = "stream.end",
    };
    return name[k];
}

uint64_t system_id(const SystemRecord *r)
{
    const uint64_t h = hash_bytes(r->stream, strlen(r->stream), (uint64_t)r->kind + 1);
    return hash_mix(h, (uint64_t)r->wall);
}

void system_json(Str *out, const SystemRecord *r)
{
    str_addf(out, "{\"v\":1,\"id\":\"%016llx\",\"rev\":0,\"kind\":\"state\",\"stream\":", (unsigned long long)system_id(r));
    json_add_string(out, r->stream);
    str_add(out, ",\"event\":");
    json_add_string(out, system_name(r->kind));
    str_add(out, ",\"wall\":");
    json_add_wall(out, r->wall);
    str_add(out, ",\"cause\":");
    json_add_string(out, r->cause);
    str_add(out, ",\"value\":");
    json_add_number(out, r->value);
    str_addc(out, '}');
}
