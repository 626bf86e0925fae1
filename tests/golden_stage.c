/* Golden verbs of stages. */
#include <string.h>

#include "golden.h"
#include "loop/stage.h"

static int tensor_called(Lexer *l, const Stages *s)
{
    const char *const name = lex_ident(l);
    const int id = stages_find_tensor(s, name);
    if (id < 0)
        lex_fail(l, "no tensor '%s'", name);
    return id;
}

static int producer_of(Lexer *l, const Stages *s)
{
    const int stage = s->tensor.at[tensor_called(l, s)].stage;
    if (stage < 0)
        lex_fail(l, "nothing computes it");
    return stage;
}

/* inline S | fuse S POSITION | split S POSITION INNER | cache_write S | cache_read TENSOR S NAME;
 * false if it is refused. */
static bool apply_step(Lexer *l, Stages *s)
{
    const char *const verb = lex_ident(l);
    if (strcmp(verb, "inline") == 0)
        return stages_inline(s, producer_of(l, s));
    if (strcmp(verb, "cache_write") == 0)
        return stages_cache_write(s, producer_of(l, s)) >= 0;
    if (strcmp(verb, "fuse") == 0) {
        const int stage = producer_of(l, s);
        return stages_fuse(s, stage, (int)lex_int(l));
    }
    if (strcmp(verb, "split") == 0) {
        const int stage = producer_of(l, s);
        const int axis = (int)lex_int(l);
        return stages_split(s, stage, axis, lex_int(l));
    }
    if (strcmp(verb, "cache_read") != 0)
        lex_fail(l, "no step '%s'", verb);
    const int tensor = tensor_called(l, s);
    const int reader = producer_of(l, s);
    return stages_cache_read(s, tensor, reader, lex_ident(l)) >= 0;
}

/* stage STEP; STEP...: the stages after the steps, and which steps were refused. */
void golden_stage(Context *ctx, const GoldenCase *c, Str *out)
{
    Stages *const s = stages_parse(ctx, c->file, c->input, strlen(c->input));
    Lexer l = lex_new(ctx, "steps", c->args, strlen(c->args), false);
    for (int k = 1; l.tok.kind != TOK_END; k++) {
        if (!apply_step(&l, s))
            str_addf(out, "# step %d is refused\n", k);
        if (l.tok.kind != TOK_END)
            lex_expect(&l, ";");
    }
    Str why = str_new(ctx->arena);
    if (!stages_verify(s, &why))
        fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
    stages_print(s, out);
}
