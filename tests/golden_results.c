/* Golden verb of ops: what a graph computes. */
#include <string.h>

#include "compile/compile.h"
#include "golden.h"
#include "op/op.h"
#include "op/reference.h"

enum { MAX_IO = 16 };

typedef struct Fed {
    int n;
    Tensor *tensor[MAX_IO];
} Fed;

/* The graph, with each constant that the arguments name as an input; its data goes to `fed`. */
static Graph *parse(Context *ctx, const GoldenCase *c, Fed *fed)
{
    Graph *const g = graph_parse(ctx, c->file, c->input, strlen(c->input));
    Lexer l = lex_new(ctx, c->file, c->args, strlen(c->args), false);
    *fed = (Fed){0};
    while (l.tok.kind != TOK_END && fed->n < MAX_IO) {
        const char *const name = lex_ident(&l);
        for (int v = 0; v < g->value.len; v++) {
            Value *const value = &g->value.at[v];
            if (value->constant && strcmp(value->name, name) == 0) {
                fed->tensor[fed->n++] = value->constant;
                value->constant = NULL;
                value->elems = NULL;
                value->nelems = 0;
                vec_push(ctx->arena, &g->block.at[0].input, v);
            }
        }
    }
    return g;
}

static void print(Str *out, const char *name, Arena *a, const Tensor *t)
{
    str_addf(out, "%s %s = {", name, tensor_describe(a, t));
    for (int64_t k = 0; k < tensor_elements(t); k++) {
        const char *const p = (const char *)t->data + k * dtype_size(t->dtype);
        str_addf(out, "%s%.5g", k > 0 ? ", " : "", dtype_read(t->dtype, p));
    }
    str_add(out, "}\n");
}

static void compiled_equals(Context *ctx, const Compiled *made, const Fed *fed, Tensor *const *want)
{
    Error e = {0};
    Module *m = NULL;
    Pool *pool = NULL;
    Run *r = NULL;
    int code = module_new(arena_new(), made->program, &made->image, &m, &e); /* made is ctx's */
    code = code ? code : pool_new(2, &pool, &e);
    code = code ? code : run_new(m, pool, 0, &r, &e);
    for (int i = 0; i < fed->n && code == 0; i++)
        code = run_set_input(r, i, fed->tensor[i], &e);
    code = code ? code : run_execute(r, &e);
    int64_t differ = 0;
    for (int i = 0; code == 0 && i < made->program->noutput; i++) {
        const TensorDiff d = tensor_compare(run_output(r, i), want[i], 1e-5, 1e-6);
        differ += d.mismatches + !d.same_type + !d.same_shape;
    }
    run_free(r);
    pool_free(pool);
    module_unref(m);
    if (code != 0)
        fail(ctx, code, "compiled: %s", e.message);
    if (differ > 0)
        fail(ctx, ERR_INTERNAL, "%lld elements of the compiled results differ", (long long)differ);
}

/* results A B ...: of a graph whose constants A, B... are its inputs: what the reference executor
 * makes of it, to five digits. Compiled, with all passes, it must make the same; how many kernels
 * that takes. */
void golden_results(Context *ctx, const GoldenCase *c, Str *out)
{
    Fed fed;
    Tensor *want[MAX_IO] = {0};
    Graph *const plain = parse(ctx, c, &fed);
    op_infer_graph(plain);
    if (plain->block.at[0].output.len > MAX_IO)
        fail(ctx, ERR_INVALID, "more than %d outputs", MAX_IO);
    reference_run(ctx, plain, fed.tensor, want);
    for (int k = 0; k < plain->block.at[0].output.len; k++) {
        print(out, plain->value.at[plain->block.at[0].output.at[k]].name, ctx->arena, want[k]);
    }
    const CompileOptions opt = {.target = target_native(), .threads = 1};
    const Compiled made = compile_graph(ctx, parse(ctx, c, &fed), &opt);
    compiled_equals(ctx, &made, &fed, want);
    for (int k = 0; k < plain->block.at[0].output.len; k++)
        tensor_unref(want[k]);
    str_addf(out, "# kernels: %d\n", made.report->units);
}
