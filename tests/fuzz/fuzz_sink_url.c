/* Addresses of sinks, and what becomes of their parts as names in topics. */
#include "fuzz.h"

#include <string.h>

#include "watch/sink_url.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    const char *const text = arena_strndup(ctx->arena, (const char *)in->at, in->size);
    static const char special[] = "/+#";
    Str part = str_new(ctx->arena);
    sink_add_part(&part, text, special);
    fuzz_check(part.len > 0 && strpbrk(str_text(&part), "/+# \n\t") == NULL,
               "a name leaves its level");
    const SinkUrl u = sink_url(ctx, text);
    fuzz_check(u.host[0] != '\0' && u.scheme[0] != '\0' && u.port >= 0 && u.port <= 65535,
               "half an address");
    fuzz_check(u.path[0] != '/', "a path that begins with a slash");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
