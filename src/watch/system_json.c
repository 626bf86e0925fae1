/* Records of streams and of the engine. */
#include "watch/system_json.h"

#include <string.h>

#include "base/map.h"
#include "watch/json_write.h"

const char *system_name(SystemKind k)
{
    static const char *const name[] = {
        [SYSTEM_UP] = "stream.up",          [SYSTEM_DOWN] = "stream.down",
        [SYSTEM_GAP] = "stream.gap",        [SYSTEM_EPOCH] = "stream.epoch",
        [SYSTEM_MUTE] = "stream.mute",      [SYSTEM_OVERLOAD] = "overload",
        [SYSTEM_END] = "stream.end",        [SYSTEM_SPOTLIGHT] = "spotlight",
        [SYSTEM_ALIGN_LOST] = "align.lost", [SYSTEM_ALIGN_FOUND] = "align.found",
    };
    return name[k];
}

uint64_t system_id(const SystemRecord *r)
{
    const uint64_t h = hash_bytes(r->stream, strlen(r->stream), (uint64_t)r->kind + 1);
    return hash_mix(h, (uint64_t)(r->wall ? r->wall : r->t));
}

static void add_spotlight(Str *out, const SystemRecord *r)
{
    str_add(out, ",\"previous\":");
    json_add_string(out, r->previous);
    str_add(out, ",\"t\":");
    if (r->wall)
        str_add(out, "null");
    else
        json_add_seconds(out, r->t);
}

void system_json(Str *out, const SystemRecord *r)
{
    str_addf(out, "{\"v\":1,\"id\":\"%016llx\",\"rev\":0,\"kind\":\"state\",\"stream\":",
             (unsigned long long)system_id(r));
    json_add_string(out, r->stream);
    str_add(out, ",\"event\":");
    json_add_string(out, system_name(r->kind));
    str_add(out, ",\"wall\":");
    if (r->wall)
        json_add_wall(out, r->wall);
    else
        str_add(out, "null");
    str_add(out, ",\"cause\":");
    json_add_string(out, r->cause);
    str_add(out, ",\"value\":");
    json_add_number(out, r->value);
    if (r->kind == SYSTEM_SPOTLIGHT)
        add_spotlight(out, r);
    str_addc(out, '}');
}
