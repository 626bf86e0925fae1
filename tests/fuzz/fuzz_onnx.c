/* ONNX models. */
#include "fuzz.h"

#include "import/onnx.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    const OnnxOptions opt = {.memory_limit = FUZZ_MEMORY};
    const Graph *g = onnx_import_bytes(ctx, "fuzz", in->at, in->size, &opt);
    Str why = str_new(ctx->arena);
    fuzz_check(graph_verify(g, false, &why), str_text(&why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
