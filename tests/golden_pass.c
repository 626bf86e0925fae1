/* Golden verbs of passes. */
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "op/op.h"
#include "pass/pass.h"

/* pass NAME [TARGET [PRECISION]]: infers the graph, runs the pass for AVX2 (8 floats in a vector)
 * or the target, in f32 or the precision, and prints the graph and how often the pass did
 * something. */
void golden_pass(Context *ctx, const GoldenCase *c, Str *out)
{
    char name[64] = "", target[32] = "avx2", precision[32] = "f32";
    sscanf(c->args, "%63s %31s %31s", name, target, precision);
    const int pass = pass_find(name);
    if (pass < 0)
        fail(ctx, ERR_INVALID, "no pass '%s'", name);
    PassOptions opt = {0};
    Error e = {0};
    if (target_find(target, &opt.target, &e) != 0 ||
        precision_find(precision, &opt.precision, &e) != 0)
        fail(ctx, e.code, "%s", e.message);
    opt.target.l3_rate = 16; /* of the same CPU wherever the test runs */
    Graph *const g = graph_parse(ctx, c->file, c->input, strlen(c->input));
    op_infer_graph(g);
    Str before = str_new(ctx->arena), after = str_new(ctx->arena), why = str_new(ctx->arena);
    graph_print(g, &before);
    int count = 0;
    const Graph *const done = pass_rows[pass].run(ctx, g, &opt, &count);
    if (!graph_verify(done, true, &why))
        fail(ctx, ERR_INTERNAL, "after the pass: %s", str_text(&why));
    graph_print(g, &after);
    if (strcmp(str_text(&before), str_text(&after)) != 0)
        fail(ctx, ERR_INTERNAL, "the pass changed the graph that it was given");
    graph_print(done, out);
    str_addf(out, "# %s: %d\n", name, count);
}
