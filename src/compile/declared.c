/* The model's outputs as inferred against what the file says of them. */
#include "compile/work.h"

static bool agrees(const Graph *g, const Declared *d, const Value *v)
{
    bool same =
        (d->dtype == DT_NONE || d->dtype == v->dtype) && (d->rank < 0 || d->rank == v->rank);
    for (int k = 0; same && k < d->rank; k++) {
        int64_t size;
        same = d->dim[k] < 0 || !expr_is_int(g->x, v->dim[k], &size) || size == d->dim[k];
    }
    return same;
}

static const char *declared_text(Arena *a, const Declared *d)
{
    Str s = str_new(a);
    str_add(&s, d->dtype == DT_NONE ? "" : dtype_name(d->dtype));
    for (int k = 0; k < d->rank; k++)
        if (d->dim[k] < 0)
            str_addf(&s, "%s?", k ? "," : "[");
        else
            str_addf(&s, "%s%lld", k ? "," : "[", (long long)d->dim[k]);
    str_add(&s, d->rank > 0 ? "]" : d->rank == 0 ? "[]" : "");
    return str_text(&s);
}

static Declared inferred(const Graph *g, const Value *v)
{
    Declared d = {.dtype = v->dtype, .rank = v->rank};
    for (int k = 0; k < v->rank; k++)
        if (!expr_is_int(g->x, v->dim[k], &d.dim[k]))
            d.dim[k] = -1;
    return d;
}

void check_declared(const Graph *g)
{
    const Block *const model = &g->block.at[0];
    for (int i = 0; i < g->declared.len; i++) {
        const Declared *const d = &g->declared.at[i];
        const Value *const v = &g->value.at[model->output.at[i]];
        if (v->dtype == DT_NONE || v->rank < 0 || agrees(g, d, v))
            continue;
        const Declared got = inferred(g, v);
        fail(g->ctx, ERR_INVALID, "output '%.200s': the file says %s, its nodes give %s", v->name,
             declared_text(g->ctx->arena, d), declared_text(g->ctx->arena, &got));
    }
}
