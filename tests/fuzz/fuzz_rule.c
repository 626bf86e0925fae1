/* Text of a rule. Its first character chooses what `each` is. What parses must print and parse back
 * to the same. */
#include "fuzz.h"

#include <string.h>

#include "../watch/by_hand.h"

typedef struct Parse {
    const Watch *w;
    int each;
    const char *text;
    const Rule *rule;
} Parse;

static void parse(Context *ctx, void *arg)
{
    Parse *const p = arg;
    p->rule = rule_parse(ctx, p->w, "printed", (Place){1, 1}, p->text, p->each);
}

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    if (in->size == 0)
        return;
    Watch *const w = watch_by_hand(ctx);
    name_event(w, "kill");
    Parse p = {.w = w, .each = in->at[0] == 'u' ? UNSAFE : in->at[0] == 'f' ? FEED : -1};
    p.text = arena_strndup(ctx->arena, (const char *)in->at + 1, in->size - 1);
    parse(ctx, &p);
    const Rule *const first = p.rule;
    Str once = str_new(ctx->arena), again = str_new(ctx->arena);
    rule_print(&once, w, first);
    p.text = str_text(&once);
    fuzz_check(job_run(ctx->arena, parse, &p, NULL, NULL) == 0 || once.len > 1 << 16,
               "what is printed is not read");
    rule_print(&again, w, p.rule);
    fuzz_check(strcmp(str_text(&once), str_text(&again)) == 0, "a rule changed by printing");
    fuzz_check(rule_kind(first) == rule_kind(p.rule) &&
                   rule_is_instant(first) == rule_is_instant(p.rule),
               "a rule means another thing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
