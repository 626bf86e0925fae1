/* Graph: building, copying, attributes, uses, descriptions for messages. */
#include "graph/graph.h"

#include <assert.h>
#include <string.h>

/* ---- building ---- */

Graph *graph_new(Context *ctx)
{
    Graph *g = arena_new_of(ctx->arena, Graph);
    g->ctx = ctx;
    g->x = exprs_new(ctx);
    g->names = strmap_new(ctx->arena);
    g->origin = "";
    graph_block(g);
    return g;
}

/* `name` itself, or name_2, name_3... The map holds the last number tried for each name. */
static const char *unique_name(Graph *g, const char *name)
{
    int k = strmap_get(&g->names, name, 0);
    if (k == 0) {
        strmap_put(&g->names, name, 1);
        return arena_strdup(g->ctx->arena, name);
    }
    for (;;) {
        const char *const tried = arena_printf(g->ctx->arena, "%s_%d", name, ++k);
        if (strmap_get(&g->names, tried, 0) == 0) {
            strmap_put(&g->names, name, k);
            strmap_put(&g->names, tried, 1);
            return tried;
        }
    }
}

ValueId graph_value(Graph *g, const char *name, DType t, int rank, const Expr *dims)
{
    assert(rank <= MAX_RANK);
    Value v = {
        .name = unique_name(g, name ? name : "v"),
        .dtype = t,
        .rank = rank,
        .producer = -1,
        .within = -1,
    };
    for (int i = 0; i < rank; i++)
        v.dim[i] = dims[i];
    vec_push(g->ctx->arena, &g->value, v);
    return g->value.len - 1;
}

/* The elements of a small plain tensor as expressions; NULL where there are too many or no
 * arithmetic. */
static const Expr *constant_elems(Graph *g, const Tensor *t, int *count)
{
    const int64_t n = tensor_elements(t);
    const DType compute = dtype_compute(t->dtype);
    if (n > MAX_ELEMS || dtype_size(t->dtype) == 0 || !layout_is_plain(&t->layout))
        return NULL;
    Expr *const elems = arena_array_of(g->ctx->arena, n > 0 ? n : 1, Expr);
    for (int64_t i = 0; i < n; i++) {
        const void *const p = (const char *)t->data + i * dtype_size(t->dtype);
        elems[i] = dtype_is_float(t->dtype)
                       ? expr_float(g->x, compute, dtype_read(t->dtype, p))
                       : expr_int_of(g->x, compute, dtype_read_int(t->dtype, p));
    }
    *count = (int)n;
    return elems;
}

ValueId graph_constant(Graph *g, const char *name, Tensor *t)
{
    tensor_defer(g->ctx->arena, t);
    Expr dims[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dims[i] = expr_int(g->x, t->dim[i]);
    const ValueId v = graph_value(g, name, t->dtype, t->rank, dims);
    int nelems = 0;
    const Expr *const elems = constant_elems(g, t, &nelems);
    g->value.at[v].constant = t;
    g->value.at[v].layout = t->layout;
    g->value.at[v].elems = elems;
    g->value.at[v].nelems = nelems;
    return v;
}

static Tensor *new_tensor(Graph *g, DType t, int rank, const int64_t *dims)
{
    Error e;
    Tensor *const tensor = tensor_new(t, rank, dims, &e);
    if (!tensor)
        fail(g->ctx, e.code, "%s", e.message);
    return tensor;
}

ValueId graph_const_ints(Graph *g, const char *name, int n, const int64_t *v)
{
    Tensor *const t = new_tensor(g, DT_I64, 1, (const int64_t[]){n});
    if (n > 0)
        memcpy(t->data, v, (size_t)n * sizeof *v);
    return graph_constant(g, name, t);
}

ValueId graph_const_scalar(Graph *g, const char *name, DType t, double v)
{
    Tensor *const tensor = new_tensor(g, t, 0, NULL);
    dtype_write(t, tensor->data, v, false);
    return graph_constant(g, name, tensor);
}

int graph_block(Graph *g)
{
    vec_push(g->ctx->arena, &g->block, ((Block){0}));
    return g->block.len - 1;
}

NodeId graph_node(Graph *g, int block, OpCode op, const char *name, int nin, const ValueId *in,
                  int nout, const ValueId *out)
{
    Arena *const a = g->ctx->arena;
    const NodeId id = g->node.len;
    Node n = {
        .op = op,
        .name = arena_strdup(a, name ? name : op_rows[op].name),
        .nin = nin,
        .nout = nout,
        .in = arena_array_of(a, nin > 0 ? nin : 1, ValueId),
        .out = arena_array_of(a, nout > 0 ? nout : 1, ValueId),
        .home = block,
        .group = -1,
    };
    for (int i = 0; i < nin; i++)
        n.in[i] = in[i];
    for (int i = 0; i < nout; i++) {
        n.out[i] = out ? out[i] : graph_value(g, n.name, DT_NONE, -1, NULL);
        if (n.out[i] >= 0) {
            g->value.at[n.out[i]].producer = id;
            g->value.at[n.out[i]].output = i;
        }
    }
    vec_push(a, &g->node, n);
    vec_push(a, &g->block.at[block].node, id);
    return id;
}

/* ---- attributes ---- */

void node_set_attr(Graph *g, NodeId id, Attr attr)
{
    Node *const n = &g->node.at[id];
    for (int i = 0; i < n->nattr; i++)
        if (strcmp(n->attr[i].name, attr.name) == 0) {
            n->attr[i] = attr;
            return;
        }
    Attr *const grown = arena_array_of(g->ctx->arena, n->nattr + 1, Attr);
    for (int i = 0; i < n->nattr; i++)
        grown[i] = n->attr[i];
    grown[n->nattr++] = attr;
    n->attr = grown;
}

void node_set_int(Graph *g, NodeId n, const char *name, int64_t v)
{
    node_set_attr(g, n, (Attr){.name = name, .kind = ATTR_INT, .i = v});
}

void node_set_float(Graph *g, NodeId n, const char *name, double v)
{
    node_set_attr(g, n, (Attr){.name = name, .kind = ATTR_FLOAT, .f = v});
}

void node_set_string(Graph *g, NodeId n, const char *name, const char *v)
{
    const char *const copy = arena_strdup(g->ctx->arena, v);
    node_set_attr(g, n, (Attr){.name = name, .kind = ATTR_STRING, .s = copy});
}

void node_set_ints(Graph *g, NodeId n, const char *name, int count, const int64_t *v)
{
    int64_t *const copy = arena_array_of(g->ctx->arena, count > 0 ? count : 1, int64_t);
    for (int i = 0; i < count; i++)
        copy[i] = v[i];
    node_set_attr(g, n, (Attr){.name = name, .kind = ATTR_INTS, .n = count, .ints = copy});
}

const Attr *node_attr(const Node *n, const char *name)
{
    for (int i = 0; i < n->nattr; i++)
        if (strcmp(n->attr[i].name, name) == 0)
            return &n->attr[i];
    return NULL;
}

int64_t node_int(const Node *n, const char *name, int64_t missing)
{
    const Attr *const a = node_attr(n, name);
    return a && a->kind == ATTR_INT ? a->i : missing;
}

double node_float(const Node *n, const char *name, double missing)
{
    const Attr *const a = node_attr(n, name);
    if (a && a->kind == ATTR_INT)
        return (double)a->i;
    return a && a->kind == ATTR_FLOAT ? a->f : missing;
}

const char *node_string(const Node *n, const char *name, const char *missing)
{
    const Attr *const a = node_attr(n, name);
    return a && a->kind == ATTR_STRING ? a->s : missing;
}

int node_ints(const Node *n, const char *name, const int64_t **v)
{
    const Attr *const a = node_attr(n, name);
    const bool there = a && a->kind == ATTR_INTS;
    *v = there ? a->ints : NULL;
    return there ? a->n : 0;
}

/* ---- copying ---- */

static const void *copy_array(Arena *a, const void *from, int n, size_t size)
{
    return n > 0 ? arena_dup(a, from, (size_t)n * size) : arena_alloc(a, 0);
}

/* Attribute payloads other than tensors are never written after they are set, but they live in the
 * old graph's arena. */
static Attr copy_attr(Arena *a, Attr from)
{
    Attr to = from;
    to.name = arena_strdup(a, from.name);
    switch (from.kind) {
    case ATTR_INT:
    case ATTR_FLOAT:
        break;
    case ATTR_STRING:
        to.s = arena_strdup(a, from.s);
        break;
    case ATTR_INTS:
        to.ints = copy_array(a, from.ints, from.n, sizeof *from.ints);
        break;
    case ATTR_FLOATS:
        to.floats = copy_array(a, from.floats, from.n, sizeof *from.floats);
        break;
    case ATTR_STRINGS: {
        const char **const list = arena_array_of(a, from.n > 0 ? from.n : 1, const char *);
        for (int i = 0; i < from.n; i++)
            list[i] = arena_strdup(a, from.strings[i]);
        to.strings = list;
        break;
    }
    case ATTR_TENSOR:
        tensor_defer(a, tensor_ref(to.tensor));
        break;
    }
    return to;
}

static Value copy_value(Graph *to, const Graph *from, const Value *old, Expr *var_map)
{
    Arena *const a = to->ctx->arena;
    Value v = *old;
    v.name = arena_strdup(a, old->name);
    for (int i = 0; i < v.rank; i++)
        v.dim[i] = expr_import(to->x, from->x, old->dim[i], var_map);
    if (v.constant)
        tensor_defer(a, tensor_ref(v.constant));
    if (old->elems) {
        Expr *const elems = arena_array_of(a, v.nelems > 0 ? v.nelems : 1, Expr);
        for (int i = 0; i < v.nelems; i++)
            elems[i] = expr_import(to->x, from->x, old->elems[i], var_map);
        v.elems = elems;
    }
    if (old->at) {
        Expr *const at = arena_array_of(a, MAX_RANK, Expr);
        for (int i = 0; i < v.rank; i++)
            at[i] = expr_import(to->x, from->x, old->at[i], var_map);
        v.at = at;
    }
    strmap_put(&to->names, v.name, 1);
    return v;
}

static Node copy_node(Arena *a, const Node *old)
{
    Node n = *old;
    n.name = arena_strdup(a, old->name);
    n.in = arena_dup(a, old->in, (size_t)old->nin * sizeof *old->in);
    n.out = arena_dup(a, old->out, (size_t)old->nout * sizeof *old->out);
    n.attr = arena_array_of(a, old->nattr > 0 ? old->nattr : 1, Attr);
    for (int i = 0; i < old->nattr; i++)
        n.attr[i] = copy_attr(a, old->attr[i]);
    return n;
}

Graph *graph_copy(Context *ctx, const Graph *g)
{
    Arena *const a = ctx->arena;
    Graph *const to = arena_new_of(a, Graph);
    to->ctx = ctx;
    to->x = exprs_new(ctx);
    to->names = strmap_new(a);
    to->origin = arena_strdup(a, g->origin);
    Expr *const var_map = arena_array_of(a, g->x->var.len + 1, Expr);
    for (int i = 0; i < g->x->var.len; i++) { /* all symbols, in order, with their bounds */
        const ExprVar *const var = &g->x->var.at[i];
        if (var->kind == VAR_SYM)
            var_map[i] = expr_sym(to->x, var->name, var->low, var->high, var->multiple);
    }
    vec_reserve(a, &to->value, g->value.len);
    for (int i = 0; i < g->value.len; i++)
        vec_push(a, &to->value, copy_value(to, g, &g->value.at[i], var_map));
    vec_reserve(a, &to->node, g->node.len);
    for (int i = 0; i < g->node.len; i++)
        vec_push(a, &to->node, copy_node(a, &g->node.at[i]));
    for (int i = 0; i < g->block.len; i++) {
        const Block *const old = &g->block.at[i];
        Block b = {0};
        for (int k = 0; k < old->node.len; k++)
            vec_push(a, &b.node, old->node.at[k]);
        for (int k = 0; k < old->input.len; k++)
            vec_push(a, &b.input, old->input.at[k]);
        for (int k = 0; k < old->output.len; k++)
            vec_push(a, &b.output, old->output.at[k]);
        vec_push(a, &to->block, b);
    }
    for (int i = 0; i < g->assume.len; i++) {
        const Assumption *const old = &g->assume.at[i];
        const Assumption as = {
            .a = expr_import(to->x, g->x, old->a, var_map),
            .b = expr_import(to->x, g->x, old->b, var_map),
            .node = old->node,
        };
        vec_push(a, &to->assume, as);
    }
    return to;
}

/* ---- uses ---- */

int *graph_count_uses(const Graph *g)
{
    int *const uses = arena_array_of(g->ctx->arena, g->value.len > 0 ? g->value.len : 1, int);
    for (int b = 0; b < g->block.len; b++) {
        const Block *const block = &g->block.at[b];
        for (int i = 0; i < block->output.len; i++)
            if (block->output.at[i] >= 0)
                uses[block->output.at[i]]++;
        for (int i = 0; i < block->node.len; i++) {
            const Node *const n = &g->node.at[block->node.at[i]];
            for (int k = 0; k < n->nin; k++)
                if (n->in[k] >= 0)
                    uses[n->in[k]]++;
        }
    }
    return uses;
}

void graph_replace_uses(Graph *g, ValueId from, ValueId to)
{
    for (int i = 0; i < g->node.len; i++) {
        const Node *const n = &g->node.at[i];
        for (int k = 0; k < n->nin; k++)
            if (n->in[k] == from)
                n->in[k] = to;
    }
    for (int b = 0; b < g->block.len; b++) {
        const Block *const block = &g->block.at[b];
        for (int i = 0; i < block->output.len; i++)
            if (block->output.at[i] == from)
                block->output.at[i] = to;
    }
}

/* ---- messages ---- */

static void describe_value(const Graph *g, ValueId v, Str *s)
{
    if (v < 0) {
        str_add(s, "absent");
        return;
    }
    const Value *const value = &g->value.at[v];
    str_add(s, value->name);
    if (value->dtype == DT_NONE && value->rank < 0)
        return;
    str_addf(s, " %s", value->dtype == DT_NONE ? "?" : dtype_name(value->dtype));
    if (value->rank < 0) {
        str_add(s, "[?]");
        return;
    }
    str_addc(s, '[');
    for (int i = 0; i < value->rank; i++) {
        if (i > 0)
            str_addc(s, ',');
        expr_print(g->x, value->dim[i], NULL, s);
    }
    str_addc(s, ']');
}

const char *graph_describe_value(const Graph *g, ValueId v)
{
    Str s = str_new(g->ctx->arena);
    describe_value(g, v, &s);
    return str_text(&s);
}

const char *graph_describe_node(const Graph *g, NodeId id)
{
    enum { SHOWN = 8 };
    const Node *const n = &g->node.at[id];
    Str s = str_new(g->ctx->arena);
    str_addf(&s, "%s '%.200s' (", op_rows[n->op].name, n->name);
    for (int i = 0; i < n->nin && i < SHOWN; i++) {
        if (i > 0)
            str_add(&s, ", ");
        describe_value(g, n->in[i], &s);
    }
    str_add(&s, n->nin > SHOWN ? ", ...)" : ")");
    return str_text(&s);
}

void graph_fail(const Graph *g, NodeId n, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *const what = arena_vprintf(g->ctx->arena, format, args);
    va_end(args);
    fail(g->ctx, code, "%s: %s", graph_describe_node(g, n), what);
}

ValueId graph_home(const Graph *g, ValueId v)
{
    while (g->value.at[v].within >= 0)
        v = g->value.at[v].within;
    return v;
}

/* Views of views count. An absent port is -1, as is the place of a value that lies within no
 * other. */
static bool lies_within(const Graph *g, ValueId v, ValueId whole)
{
    while (v >= 0 && g->value.at[v].within != whole)
        v = g->value.at[v].within;
    return v >= 0;
}

bool node_is_view(const Graph *g, NodeId id)
{
    const Node *const n = &g->node.at[id];
    bool in_input = n->nout > 0 && n->nin > 0 && n->in[0] >= 0;
    bool in_output = n->nin > 0 && n->nout == 1 && n->out[0] >= 0;
    for (int k = 0; k < n->nout && in_input; k++)
        in_input &= lies_within(g, n->out[k], n->in[0]);
    for (int k = 0; k < n->nin && in_output; k++)
        in_output &= lies_within(g, n->in[k], n->out[0]);
    return in_input || in_output;
}
