/* Text of a watch file, without the pictures that it may name. */
#include "fuzz.h"

#include "watch/config.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    config_parse(ctx, "/nowhere/fuzz.yaml", (const char *)in->at, in->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
