/* Text of a graph. */
#include "fuzz.h"

#include <string.h>

#include "graph/graph.h"

static void print_again(Context *ctx, void *arg)
{
    const Str *text = arg;
    const Graph *g = graph_parse(ctx, "printed", text->at, text->len);
    Str again = str_new(ctx->arena);
    graph_print(g, &again);
    fuzz_check(strcmp(text->at, str_text(&again)) == 0, "a graph changed by printing");
}

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    const Graph *g = graph_parse(ctx, "fuzz", (const char *)in->at, in->size);
    Str text = str_new(ctx->arena), why = str_new(ctx->arena);
    fuzz_check(graph_verify(g, false, &why), str_text(&why));
    graph_print(g, &text);
    str_add(&text, ""); /* not NULL */
    /* Large constants print as a hash and are not read back: that alone may fail. */
    Error e;
    if (job_run(ctx->arena, print_again, &text, &e, NULL) != 0)
        fuzz_check(strchr(text.at, '#') != NULL || e.code == ERR_MEMORY, e.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
