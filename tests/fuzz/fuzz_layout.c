/* Text of a layout: the lexer and the smallest parser. */
#include "fuzz.h"

#include <string.h>

#include "tensor/layout.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    Lexer l = lex_new(ctx, "fuzz", (const char *)in->at, in->size, false);
    const Layout x = layout_parse(&l);
    Str text = str_new(ctx->arena);
    layout_print(&x, &text);
    Lexer again = lex_new(ctx, "fuzz", str_text(&text), text.len, false);
    const Layout y = layout_parse(&again);
    fuzz_check(layout_equal(&x, &y), "a layout changed by printing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
