/* What nodes are called in tables of costs:
 *
 *     conv(f32[1,64,56,56], const f32[64,64,3,3]) -> f32[1,64,56,56] pads=[1,1,1,1] | plain, 0 1 2 3 1:8, winograd 4
 *
 * Not the model's names, and attributes by name: equal nodes of all models share a line. */
#include <stdlib.h>
#include <string.h>

#include "op/winograd.h"
#include "pass/cost.h"
#include "pass/edit.h"

static bool print_type(const Graph *g, ValueId v, Str *out)
{
    if (v < 0) {
        str_addc(out, '_');
        return true;
    }
    const Value *value = &g->value.at[v];
    str_addf(out, "%s%s[", is_constant_term(g, v) ? "const " : "", dtype_name(value->dtype));
    for (int k = 0; k < value->rank; k++) {
        int64_t dim;
        if (!expr_is_int(g->x, value->dim[k], &dim)) {
            return false;
        }
        str_addf(out, k ? ",%lld" : "%lld", (long long)dim);
    }
    str_addc(out, ']');
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const Attr *const *)a)->name, (*(const Attr *const *)b)->name);
}

static void print_attrs(Arena *a, const Node *n, Str *out)
{
    const Attr **sorted = arena_array_of(a, n->nattr + 1, const Attr *);
    for (int i = 0; i < n->nattr; i++) {
        sorted[i] = &n->attr[i];
    }
    qsort(sorted, (size_t)n->nattr, sizeof *sorted, by_name);
    for (int i = 0; i < n->nattr; i++) {
        if (strcmp(sorted[i]->name, "winograd") != 0) { /* is in the form */
            str_addc(out, ' ');
            graph_print_attr(sorted[i], out);
        }
    }
}

static void print_layout(const Target *t, ImageLayout kind, Str *out)
{
    if (kind == IMAGE_PLAIN) {
        str_add(out, "plain");
    } else {
        str_addf(out, "0 1 2 3 1:%d", target_lanes(t, 4)); /* of f32; other types have theirs */
    }
}

static void print_form(const Target *t, NodeForm form, Str *out)
{
    str_add(out, " | ");
    print_layout(t, form.in, out);
    str_add(out, ", ");
    print_layout(t, form.out, out);
    if (form.variant > 0) {
        str_addf(out, ", winograd %d", form.variant);
    }
}

const char *cost_key(Arena *a, const Graph *g, NodeId id, const Target *t, NodeForm form)
{
    const Node *n = &g->node.at[id];
    const int nin = n->op == OP_CONV && n->nin > WINOGRAD_INPUT ? WINOGRAD_INPUT : n->nin;
    Str s = str_new(a);
    bool known = n->nblock == 0;
    str_addf(&s, "%s(", op_rows[n->op].name);
    int last = nin; /* omitted inputs at the end are none */
    while (last > 0 && n->in[last - 1] < 0) {
        last--;
    }
    for (int k = 0; k < last && known; k++) {
        str_add(&s, k ? ", " : "");
        known = print_type(g, n->in[k], &s);
    }
    str_add(&s, ") -> ");
    for (int k = 0; k < n->nout && known; k++) {
        str_add(&s, k ? ", " : "");
        known = print_type(g, n->out[k], &s);
    }
    print_attrs(a, n, &s);
    print_form(t, form, &s);
    return known ? str_text(&s) : NULL;
}

const char *cost_copy_key(Arena *a, const Graph *g, ValueId v, const Target *t, ImageLayout from,
                          ImageLayout to)
{
    Str s = str_new(a), type = str_new(a);
    if (!print_type(g, v, &type)) {
        return NULL;
    }
    str_addf(&s, "%s(%s) -> %s", op_rows[OP_IDENTITY].name, str_text(&type), str_text(&type));
    print_form(t, (NodeForm){.in = from, .out = to}, &s);
    return str_text(&s);
}
