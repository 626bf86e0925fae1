/* Golden verbs of the import layer: models are the files of tests/data, made by make_models.py. */
#include <string.h>

#include "base/file.h"
#include "golden.h"
#include "import/onnx.h"

static const char *data_path(Context *ctx, const GoldenCase *c, const char *name)
{
    const char *const tests = path_dir(ctx->arena, path_dir(ctx->arena, c->file));
    return arena_printf(ctx->arena, "%s/data/%s.onnx", tests, name);
}

static OnnxShape take_shape(Lexer *l)
{
    OnnxShape shape = {.input = lex_ident(l)};
    while (shape.rank < MAX_RANK && (l->tok.kind == TOK_INT || lex_is(l, "-")))
        shape.dim[shape.rank++] = lex_int(l);
    return shape;
}

/* import: the name of a model, then lines `bind DIM NUMBER`, `shape INPUT NUMBER...` and `output
 * VALUE`; prints the graph. */
void golden_import(Context *ctx, const GoldenCase *c, Str *out)
{
    enum { MOST = 8 };
    OnnxBindDim bind[MOST];
    OnnxShape shape[MOST];
    OnnxOptions opt = {.bind = bind, .shape = shape};
    Lexer l = lex_new(ctx, c->file, c->input, strlen(c->input), false);
    const char *const path = data_path(ctx, c, lex_ident(&l));
    while (l.tok.kind != TOK_END) {
        if (opt.nbind == MOST || opt.nshape == MOST)
            lex_fail(&l, "too many lines");
        if (lex_accept(&l, "bind")) {
            const char *const name = l.tok.kind == TOK_STRING ? lex_string(&l) : lex_ident(&l);
            bind[opt.nbind++] = (OnnxBindDim){name, lex_int(&l)};
        } else if (lex_accept(&l, "output")) {
            opt.output = l.tok.kind == TOK_STRING ? lex_string(&l) : lex_ident(&l);
        } else {
            lex_expect(&l, "shape");
            shape[opt.nshape++] = take_shape(&l);
        }
    }
    const Graph *const g = onnx_import(ctx, path, &opt);
    Str why = str_new(ctx->arena);
    if (!graph_verify(g, false, &why))
        fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
    graph_print(g, out);
}

static void import_job(Context *ctx, void *path)
{
    onnx_import(ctx, path, NULL);
}

/* import_error: names of models, each of which must be refused; prints how. */
void golden_import_error(Context *ctx, const GoldenCase *c, Str *out)
{
    Lexer l = lex_new(ctx, c->file, c->input, strlen(c->input), false);
    while (l.tok.kind != TOK_END) {
        const char *const name = lex_ident(&l);
        const char *const path = data_path(ctx, c, name);
        Error e = {0};
        Arena *const a = arena_new();
        const int code = job_run(a, import_job, (void *)(uintptr_t)path, &e, NULL);
        arena_free(a);
        str_addf(out, "%s: %s: %s\n", name, error_name(code), code == 0 ? "" : e.message);
    }
}
