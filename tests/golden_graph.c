/* Golden verbs of the graph layer. */
#include <string.h>

#include "golden.h"
#include "graph/graph.h"

/* graph: parses, copies and prints; printing what was printed gives the same. */
void golden_graph(Context *ctx, const GoldenCase *c, Str *out)
{
    const Graph *const g = graph_parse(ctx, c->file, c->input, strlen(c->input));
    graph_print(g, out);
    const Graph *const again = graph_parse(ctx, "again", str_text(out), out->len);
    Str text = str_new(ctx->arena);
    graph_print(graph_copy(ctx, again), &text);
    if (strcmp(str_text(&text), str_text(out)) != 0)
        fail(ctx, ERR_INTERNAL, "printed again it is\n%s", str_text(&text));
}
