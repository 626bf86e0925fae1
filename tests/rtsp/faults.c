/* The text of faults: see faults.h. */
#include "rtsp/faults.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool amount; /* is needed */
} row[FAULT_COUNT] = {
    [FAULT_STALL] = {"stall", true},     [FAULT_REST] = {"rest", true},
    [FAULT_CUT] = {"cut", false},        [FAULT_TEAR] = {"tear", false},
    [FAULT_END] = {"end", false},        [FAULT_GARBAGE] = {"garbage", true},
    [FAULT_CORRUPT] = {"corrupt", true}, [FAULT_LOSS] = {"loss", true},
    [FAULT_JUMP] = {"jump", true},       [FAULT_CHANGE] = {"change", true},
    [FAULT_SLIP] = {"slip", false},
};

const char *fault_name(FaultKind k)
{
    return row[k].name;
}

int fault_parse(Arena *a, const char *text, Fault *out, Error *e)
{
    const size_t n = strcspn(text, "@");
    int kind = 0;
    while (kind < FAULT_COUNT &&
           (strlen(row[kind].name) != n || strncmp(row[kind].name, text, n) != 0))
        kind++;
    if (kind == FAULT_COUNT || text[n] != '@')
        return error_set(e, ERR_INVALID, "'%s' is no fault: stall@3:2, cut@3, ..", text);
    char *end = NULL;
    const double at = strtod(text + n + 1, &end);
    const bool number = end != text + n + 1 && at >= 0 && at < 1e6, more = *end == ':';
    if (!number || (*end != 0 && !more) || row[kind].amount != more)
        return error_set(e, ERR_INVALID, "'%s': %s@SECONDS%s", text, row[kind].name,
                         row[kind].amount ? ":AMOUNT" : "");
    *out = (Fault){.kind = (FaultKind)kind, .at = (int64_t)(at * 1e6)};
    if (kind == FAULT_CHANGE) {
        Media *const m = arena_new_of(a, Media);
        const int code = media_read(a, end + 1, m, e);
        out->media = m;
        return code;
    }
    if (!row[kind].amount)
        return 0;
    const char *const amount = end + 1;
    out->amount = strtod(amount, &end);
    const bool legal = out->amount < 1e6 && out->amount > (kind == FAULT_JUMP ? -1e6 : 0);
    if (end == amount || *end != 0 || !legal)
        return error_set(e, ERR_INVALID, "'%s': an amount of what?", text);
    return 0;
}
