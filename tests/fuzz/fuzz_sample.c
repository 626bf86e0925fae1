/* A line of JSON that may be a sample. What parses must print and parse back to the same; and the
 * engine takes it, whatever its numbers are. */
#include "fuzz.h"

#include <string.h>

#include "../watch/by_hand.h"
#include "watch/event.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "e",
              "skull && (alive <= 10 || changed(title)) || count(unsafe) > 1 || feed ~ 'x'/1")
        ->merge = 1000000;
    EventRule *const each = name_event(w, "each");
    each->each = UNSAFE;
    each->when = rule_by_hand(ctx, w, "unsafe.score > 0.5 && unsafe.x < 100", UNSAFE);
    Sample s, again;
    Error e;
    if (sample_parse(ctx->arena, w, (const char *)in->at, in->size, &s, &e) != 0)
        return;
    Str once = str_new(ctx->arena), twice = str_new(ctx->arena);
    sample_json(&once, w, &s);
    fuzz_check(sample_parse(ctx->arena, w, str_text(&once), once.len, &again, &e) == 0,
               "what is printed is not read");
    sample_json(&twice, w, &again);
    fuzz_check(strcmp(str_text(&once), str_text(&twice)) == 0, "a sample changed by printing");
    Events *const v = events_new(ctx->arena, w, "s", NULL, NULL);
    events_sample(v, &s);
    events_sample(v, &again);
    events_stop(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
