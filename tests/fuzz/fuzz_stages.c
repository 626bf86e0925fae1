/* Text of stages and of the expressions in them. */
#include "fuzz.h"

#include <string.h>

#include "loop/stage.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    const Stages *s = stages_parse(ctx, "fuzz", (const char *)in->at, in->size);
    Str text = str_new(ctx->arena), again = str_new(ctx->arena);
    stages_print(s, &text);
    str_add(&text, ""); /* not NULL */
    stages_print(stages_parse(ctx, "printed", text.at, text.len), &again);
    fuzz_check(strcmp(text.at, str_text(&again)) == 0, "stages changed by printing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
