/* Golden verbs of loops: `lower RECORD` and `expand RECORD`, the stages below computed as the
 * record says (loop/schedule.h), in the structured form and in the expanded form for vectors of 32
 * bytes. */
#include <string.h>

#include "golden.h"
#include "loop/schedule.h"
#include "target/target.h"

static const Loops *structured(Context *ctx, const GoldenCase *c, const Target *t)
{
    Stages *const s = stages_parse(ctx, c->file, c->input, strlen(c->input));
    const Schedule *const sc = schedule_parse(ctx, s, c->args);
    Str why = str_new(ctx->arena);
    if (schedule_check(sc, s, t, &why) != SCHEDULE_OK)
        fail(ctx, ERR_INVALID, "%s", str_text(&why));
    return lower(ctx, s, sc, t).loops;
}

static void print(Context *ctx, const Loops *l, Str *out)
{
    Str why = str_new(ctx->arena);
    if (!loops_verify(l, &why))
        fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
    loops_print(l, out);
}

static Target vectors_of_32(Context *ctx)
{
    Target t;
    Error e;
    if (target_find("avx2", &t, &e) != 0)
        fail(ctx, e.code, "%s", e.message);
    return t;
}

void golden_lower(Context *ctx, const GoldenCase *c, Str *out)
{
    const Target t = vectors_of_32(ctx);
    print(ctx, structured(ctx, c, &t), out);
}

void golden_expand(Context *ctx, const GoldenCase *c, Str *out)
{
    const Target t = vectors_of_32(ctx);
    print(ctx, expand(ctx, structured(ctx, c, &t), &t), out);
}
