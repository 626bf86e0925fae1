/* Text of a table of costs. What parses must print and parse back to the same. */
#include "fuzz.h"

#include <string.h>

#include "pass/cost_table.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    const CostTable *t = cost_table_parse(ctx, "fuzz", (const char *)in->at, in->size);
    Str text = str_new(ctx->arena), again = str_new(ctx->arena);
    cost_table_print(t, &text);
    cost_table_print(cost_table_parse(ctx, "again", str_text(&text), text.len), &again);
    fuzz_check(strcmp(str_text(&text), str_text(&again)) == 0, "a table changed by printing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
