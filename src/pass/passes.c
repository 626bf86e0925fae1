/* The table of passes and their runner. See pass.h. */
#include <string.h>

#include "base/log.h"
#include "pass/edit.h"

const PassRow pass_rows[] = {
#define PASS(name, phase) {#name, phase, pass_##name},
#include "pass/pass.def"
#undef PASS
};
const int pass_count = (int)(sizeof pass_rows / sizeof *pass_rows);

static const char *const precisions[] = {"f32", "bf16", "bf16-all", "f32-fast"};

int precision_find(const char *name, Precision *out, Error *e)
{
    for (int k = 0; k < (int)(sizeof precisions / sizeof *precisions); k++) {
        if (strcmp(precisions[k], name) == 0) {
            *out = (Precision)k;
            return 0;
        }
    }
    return error_set(e, ERR_INVALID,
                     "precision '%s' is not known: use f32, f32-fast, bf16 or bf16-all", name);
}

const char *precision_name(Precision p)
{
    return precisions[p];
}

int pass_find(const char *name)
{
    for (int k = 0; k < pass_count; k++) {
        if (strcmp(pass_rows[k].name, name) == 0) {
            return k;
        }
    }
    return -1;
}

Graph *passes_run(Context *ctx, const Graph *g, PassPhase phase, const PassOptions *opt,
                  int *counts)
{
    Graph *out = NULL;
    for (int k = 0; k < pass_count; k++) {
        if (pass_rows[k].phase != phase) {
            continue;
        }
        int count = 0;
        out = pass_rows[k].run(ctx, out ? out : g, opt, &count);
        log_line(2, "pass %s: %d", pass_rows[k].name, count);
        if (counts) {
            counts[k] += count;
        }
        Str why = str_new(ctx->arena);
        if (!graph_verify(out, true, &why)) {
            fail(ctx, ERR_INTERNAL, "after pass %s: %s", pass_rows[k].name, str_text(&why));
        }
    }
    return out;
}
