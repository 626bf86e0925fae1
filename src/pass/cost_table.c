/* See cost_table.h. */
#include "pass/cost_table.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/lex.h"

CostTable *cost_table_new(Arena *a)
{
    CostTable *t = arena_new_of(a, CostTable);
    *t = (CostTable){.arena = a};
    return t;
}

static int find_target(const CostTable *t, const char *target)
{
    for (int i = 0; i < t->target.len; i++) {
        if (strcmp(t->target.at[i].name, target) == 0) {
            return i;
        }
    }
    return -1;
}

double cost_table_find(const CostTable *t, const char *target, const char *key)
{
    const int of = t ? find_target(t, target) : -1;
    const int row = of < 0 ? -1 : strmap_get(&t->target.at[of].rows, key, -1);
    return row < 0 ? 0 : t->row.at[row].ns;
}

bool cost_table_add(CostTable *t, const char *target, const char *key, double ns)
{
    int of = find_target(t, target);
    if (of < 0) {
        const CostTarget fresh = {arena_strdup(t->arena, target), strmap_new(t->arena)};
        of = t->target.len;
        vec_push(t->arena, &t->target, fresh);
    }
    CostTarget *to = &t->target.at[of];
    if (strmap_get(&to->rows, key, -1) >= 0) {
        return false;
    }
    const CostRow row = {ns, to->name, arena_strdup(t->arena, key)};
    strmap_put(&to->rows, key, t->row.len);
    vec_push(t->arena, &t->row, row);
    return true;
}

void cost_table_digest(const CostTable *t, Digest *d)
{
    digest_add_int(d, t ? t->row.len : -1);
    for (int i = 0; t && i < t->row.len; i++) {
        digest_add(d, &t->row.at[i].ns, sizeof t->row.at[i].ns);
        digest_add_text(d, t->row.at[i].target);
        digest_add_text(d, t->row.at[i].key);
    }
}

/* ---- text ---- */

void cost_table_print(const CostTable *t, Str *out)
{
    str_addf(out, "lathe costs %d\n", COST_FORMAT);
    const char *target = NULL;
    for (int i = 0; i < t->row.len; i++) {
        const CostRow *r = &t->row.at[i];
        if (!target || strcmp(target, r->target) != 0) {
            str_add(out, "target ");
            str_add_quoted(out, r->target);
            str_addc(out, '\n');
            target = r->target;
        }
        str_add_double(out, r->ns);
        str_addc(out, ' ');
        str_add_quoted(out, r->key);
        str_addc(out, '\n');
    }
}

static void end_line(Lexer *l)
{
    if (l->tok.kind != TOK_NEWLINE && l->tok.kind != TOK_END) {
        lex_fail(l, "the line should end here");
    }
    if (l->tok.kind == TOK_NEWLINE) {
        lex_next(l);
    }
}

static void parse_header(Lexer *l)
{
    if (!lex_accept(l, "lathe") || !lex_accept(l, "costs")) {
        lex_fail(l, "not a table of costs: it does not begin with \"lathe costs %d\"", COST_FORMAT);
    }
    if (l->tok.kind != TOK_INT || l->tok.i != COST_FORMAT) {
        lex_fail(l, "a table of costs of another version than %d", COST_FORMAT);
    }
    lex_next(l);
    end_line(l);
}

static void parse_row(Lexer *l, CostTable *t, const char *target)
{
    if (!target) {
        lex_fail(l, "a cost before the first target");
    }
    if ((l->tok.kind != TOK_INT && l->tok.kind != TOK_FLOAT) || !isfinite(l->tok.f) ||
        !(l->tok.f > 0)) {
        lex_fail(l, "a time in nanoseconds should stand here");
    }
    const double ns = l->tok.f;
    lex_next(l);
    if (l->tok.kind != TOK_STRING) {
        lex_fail(l, "the description of a node should stand here, in quotes");
    }
    if (!cost_table_add(t, target, l->tok.text, ns)) {
        lex_fail(l, "this node has a cost already");
    }
    lex_next(l);
    end_line(l);
}

CostTable *cost_table_parse(Context *ctx, const char *name, const char *text, size_t size)
{
    CostTable *t = cost_table_new(ctx->arena);
    Lexer l = lex_new(ctx, name, text, size, true);
    const char *target = NULL;
    parse_header(&l);
    while (l.tok.kind != TOK_END) {
        if (l.tok.kind == TOK_NEWLINE) {
            lex_next(&l);
        } else if (lex_accept(&l, "target")) {
            target = lex_string(&l);
            end_line(&l);
        } else {
            parse_row(&l, t, target);
        }
    }
    return t;
}

typedef struct ReadJob {
    const char *path;
    CostTable *out;
} ReadJob;

static void read_job(Context *ctx, void *arg)
{
    ReadJob *j = arg;
    File f;
    Error e = {0};
    if (file_read(ctx->arena, j->path, &f, &e) != 0) {
        fail(ctx, e.code, "%s", e.message);
    }
    j->out = cost_table_parse(ctx, j->path, (const char *)f.at, f.size);
}

int cost_table_read(Arena *a, const char *path, CostTable **out, Error *e)
{
    ReadJob j = {.path = path};
    const int code = job_run(a, read_job, &j, e, NULL);
    *out = j.out;
    return code;
}
