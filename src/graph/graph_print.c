/* Graph -> text; graph_parse.c reads it. The form, beyond what graph.h shows:
 *
 *     y f32[N,64] = relu(x) "node_name"      the type once it is inferred; the name unless the op's
 *     y f32[1,8] "1 0" = relu(x) @group 3    a layout that is not row-major; the fusion group
 *     y f32[1,4] in z at [0,8] = relu(x)     a view: lies in z, which may be defined further down
 *     y f32[8,1] as x = reshape(x, s)        a view of all of x under other dims
 *     _, i = max_pool(x) kernel_shape=[2,2]  `_` is an absent value
 *     y = if(c) "pick" {                     a block is a pair of braces, its lines as in the model
 *         output a
 *     } {
 *         output b
 *     }
 *     assume N, 2*M node 3                   after all else; node: position in the text, from 0;
 *                                            may be missing
 *
 * Attributes: 1 is an int, 1.0 a float, [1,2] ints, floats[1.0,2.0], strings["a"]; tensors
 * f32[2]{1.0,2.0} or, all elements equal, f32[2]1.0. A constant's elements likewise follow ` = `.
 * Bools are 0 and 1. Names that are no identifiers, or words of this text, are quoted. Elements
 * (Value.elems) are not printed: inference finds them again. */
#include <math.h>
#include <string.h>

#include "graph/graph.h"

enum { CONST_SHOWN = 16 }; /* constants of more elements print as a hash, unless all are equal */

typedef struct Printer {
    const Graph *g;
    Str *out;
    int *position; /* of each node in the text, from 1 */
    int count;
} Printer;

static bool is_plain_name(const char *s)
{
    static const char *const words[] = {"graph",  "sym", "assume", "input", "const",
                                        "output", "_",   "nan",    "inf"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(s, words[i]) == 0)
            return false;
    for (const char *c = s; *c; c++) {
        const bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && (c == s || !((*c >= '0' && *c <= '9') || *c == '.')))
            return false;
    }
    return s[0] != '\0';
}

static void print_name(Str *out, const char *s)
{
    if (is_plain_name(s))
        str_add(out, s);
    else
        str_add_quoted(out, s);
}

static void print_value_name(const Printer *p, ValueId v)
{
    if (v < 0)
        str_addc(p->out, '_');
    else
        print_name(p->out, p->g->value.at[v].name);
}

static void print_names(const Printer *p, int n, const ValueId *v)
{
    for (int i = 0; i < n; i++) {
        str_add(p->out, i > 0 ? ", " : "");
        print_value_name(p, v[i]);
    }
}

/* " in x at [0,3]", " as x" */
static void print_view(const Printer *p, const Value *v)
{
    if (v->within < 0)
        return;
    str_add(p->out, v->at ? " in " : " as ");
    print_value_name(p, v->within);
    for (int i = 0; i < v->rank && v->at; i++) {
        str_add(p->out, i > 0 ? "," : " at [");
        expr_print(p->g->x, v->at[i], NULL, p->out);
    }
    str_add(p->out, v->at && v->rank > 0 ? "]" : "");
}

/* " f32[N,3]", nothing before inference. */
static void print_type(const Printer *p, const Value *v)
{
    if (v->dtype == DT_NONE || v->rank < 0)
        return;
    str_addf(p->out, " %s[", dtype_name(v->dtype));
    for (int i = 0; i < v->rank; i++) {
        str_add(p->out, i > 0 ? "," : "");
        expr_print(p->g->x, v->dim[i], NULL, p->out);
    }
    str_addc(p->out, ']');
    if (!layout_is_plain(&v->layout)) {
        str_add(p->out, " \"");
        layout_print(&v->layout, p->out);
        str_addc(p->out, '"');
    }
    print_view(p, v);
}

/* Floats show that they are floats. */
static void print_float(Str *out, double v)
{
    const size_t start = out->len;
    str_add_double(out, v);
    if (isfinite(v) && !strpbrk(out->at + start, ".e"))
        str_add(out, ".0");
}

static void print_element(Str *out, const Tensor *t, int64_t i)
{
    const void *const p = (const char *)t->data + i * dtype_size(t->dtype);
    if (dtype_is_float(t->dtype))
        print_float(out, dtype_read(t->dtype, p));
    else
        str_addf(out, "%lld", (long long)dtype_read_int(t->dtype, p));
}

static bool is_splat(const Tensor *t, int64_t n)
{
    const size_t unit = (size_t)dtype_size(t->dtype);
    const char *const at = t->data;
    return n > 0 && (n == 1 || memcmp(at, at + unit, (size_t)(n - 1) * unit) == 0);
}

/* "= 2.0" all elements; "= {1, 2}"; "#hash": a comment, so that it does not parse. */
static void print_elements(Str *out, const Tensor *t, const char *before)
{
    const int64_t n = tensor_elements(t);
    const bool plain = layout_is_plain(&t->layout);
    if (plain && is_splat(t, n)) {
        str_add(out, before);
        print_element(out, t, 0);
    } else if (plain && n <= CONST_SHOWN) {
        str_addf(out, "%s{", before);
        for (int64_t i = 0; i < n; i++) {
            str_add(out, i > 0 ? "," : "");
            print_element(out, t, i);
        }
        str_addc(out, '}');
    } else {
        str_addf(out, " #%016llx", (unsigned long long)hash_bytes(t->data, t->bytes, 0));
    }
}

static void print_tensor(Str *out, const Tensor *t)
{
    str_addf(out, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        str_addf(out, i > 0 ? ",%lld" : "%lld", (long long)t->dim[i]);
    str_addc(out, ']');
    if (tensor_elements(t) > CONST_SHOWN && !is_splat(t, tensor_elements(t))) {
        str_addf(out, "{hash %016llx}", (unsigned long long)hash_bytes(t->data, t->bytes, 0));
        return;
    }
    print_elements(out, t, "");
}

void graph_print_attr(const Attr *a, Str *out)
{
    print_name(out, a->name);
    str_addc(out, '=');
    switch (a->kind) {
    case ATTR_INT:
        str_addf(out, "%lld", (long long)a->i);
        break;
    case ATTR_FLOAT:
        print_float(out, a->f);
        break;
    case ATTR_STRING:
        str_add_quoted(out, a->s);
        break;
    case ATTR_INTS:
    case ATTR_FLOATS:
    case ATTR_STRINGS:
        str_add(out, a->kind == ATTR_FLOATS    ? "floats["
                     : a->kind == ATTR_STRINGS ? "strings["
                                               : "[");
        for (int i = 0; i < a->n; i++) {
            str_add(out, i > 0 ? "," : "");
            if (a->kind == ATTR_INTS)
                str_addf(out, "%lld", (long long)a->ints[i]);
            else if (a->kind == ATTR_FLOATS)
                print_float(out, a->floats[i]);
            else
                str_add_quoted(out, a->strings[i]);
        }
        str_addc(out, ']');
        break;
    case ATTR_TENSOR:
        print_tensor(out, a->tensor);
        break;
    }
}

static void print_block(Printer *p, int block, int indent);

static void print_indent(Str *out, int indent)
{
    for (int i = 0; i < indent; i++)
        str_add(out, "    ");
}

static void print_node(Printer *p, NodeId id, int indent)
{
    const Node *const n = &p->g->node.at[id];
    print_indent(p->out, indent);
    for (int i = 0; i < n->nout; i++) {
        str_add(p->out, i > 0 ? ", " : "");
        print_value_name(p, n->out[i]);
        if (n->out[i] >= 0)
            print_type(p, &p->g->value.at[n->out[i]]);
    }
    str_addf(p->out, "%s%s(", n->nout > 0 ? " = " : "= ", op_rows[n->op].name);
    print_names(p, n->nin, n->in);
    str_addc(p->out, ')');
    if (strcmp(n->name, op_rows[n->op].name) != 0) {
        str_addc(p->out, ' ');
        str_add_quoted(p->out, n->name);
    }
    for (int i = 0; i < n->nattr; i++) {
        str_addc(p->out, ' ');
        graph_print_attr(&n->attr[i], p->out);
    }
    if (n->group >= 0)
        str_addf(p->out, " @group %d", n->group);
    p->position[id] = ++p->count;
    for (int i = 0; i < n->nblock; i++) {
        str_add(p->out, " {\n");
        print_block(p, n->block[i], indent + 1);
        print_indent(p->out, indent);
        str_addc(p->out, '}');
    }
    str_addc(p->out, '\n');
}

static void print_block(Printer *p, int block, int indent)
{
    const Block *const b = &p->g->block.at[block];
    for (int i = 0; i < b->input.len; i++) {
        print_indent(p->out, indent);
        str_add(p->out, "input ");
        print_value_name(p, b->input.at[i]);
        print_type(p, &p->g->value.at[b->input.at[i]]);
        str_addc(p->out, '\n');
    }
    for (int i = 0; i < b->node.len; i++)
        print_node(p, b->node.at[i], indent);
    if (b->output.len > 0) {
        print_indent(p->out, indent);
        str_add(p->out, "output ");
        print_names(p, b->output.len, b->output.at);
        str_addc(p->out, '\n');
    }
}

/* Constants that nothing uses are not printed. */
static void print_constants(const Printer *p)
{
    const int *const uses = graph_count_uses(p->g);
    for (int i = 0; i < p->g->value.len; i++) {
        const Value *const v = &p->g->value.at[i];
        if (!v->constant || uses[i] == 0)
            continue;
        str_add(p->out, "const ");
        print_name(p->out, v->name);
        print_type(p, v);
        print_elements(p->out, v->constant, " = ");
        str_addc(p->out, '\n');
    }
}

void graph_print(const Graph *g, Str *out)
{
    Printer p = {
        .g = g, .out = out, .position = arena_array_of(g->ctx->arena, g->node.len + 1, int)};
    str_add(out, "graph ");
    str_add_quoted(out, g->origin);
    str_addc(out, '\n');
    for (int i = 0; i < g->x->var.len; i++) {
        const ExprVar *const v = &g->x->var.at[i];
        if (v->kind != VAR_SYM)
            continue;
        str_addf(out, "sym %s %lld %lld", v->name, (long long)v->low, (long long)v->high);
        if (v->multiple > 1)
            str_addf(out, " %lld", (long long)v->multiple);
        str_addc(out, '\n');
    }
    print_constants(&p);
    print_block(&p, 0, 0);
    for (int i = 0; i < g->assume.len; i++) {
        const Assumption *const as = &g->assume.at[i];
        str_add(out, "assume ");
        expr_print(g->x, as->a, NULL, out);
        str_add(out, ", ");
        expr_print(g->x, as->b, NULL, out);
        if (as->node >= 0 && p.position[as->node] > 0)
            str_addf(out, " node %d", p.position[as->node] - 1);
        str_addc(out, '\n');
    }
}
