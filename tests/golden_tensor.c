/* Golden verbs of the tensor layer. */
#include <string.h>

#include "golden.h"
#include "tensor/layout.h"

/* layout: parses a layout a line; prints it, its rank-wise blocks and its size for dims of 10. */
void golden_layout(Context *ctx, const GoldenCase *c, Str *out)
{
    Lexer l = lex_new(ctx, c->file, c->input, strlen(c->input), true);
    while (l.tok.kind != TOK_END) {
        if (l.tok.kind == TOK_NEWLINE) {
            lex_next(&l);
            continue;
        }
        const Layout layout = layout_parse(&l);
        layout_print(&layout, out);
        int rank = 0;
        for (int i = 0; i < layout.n; i++)
            rank += layout.dim[i].block == 0;
        const int64_t dims[MAX_RANK] = {10, 10, 10, 10, 10, 10, 10, 10};
        str_addf(out, " | %lld elements\n", (long long)layout_elements(&layout, rank, dims));
    }
}
