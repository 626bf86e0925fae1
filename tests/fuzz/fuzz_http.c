/* Heads of requests and chunked bodies. */
#include "fuzz.h"

#include "net/http_head.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    HttpHead h;
    const char *why;
    const char *at = (const char *)in->at;
    const size_t n = http_head_size(at, in->size);
    if (n > 0 && http_head_parse(ctx->arena, at, n, &h, &why) == 0)
        http_query(ctx->arena, &h, "q");
    HttpChunks c = {0};
    for (size_t i = n; i < in->size && !c.done;) {
        const char *data;
        size_t ndata;
        const int64_t taken = http_chunks_take(&c, at + i, in->size - i, &data, &ndata);
        if (taken <= 0)
            break;
        i += (size_t)taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
