/* Text -> graph: the form is told in graph.h and graph_print.c. */
#include <string.h>

#include "graph/graph.h"

typedef struct PendingView {
    ValueId value;
    const char *within; /* NULL: no view */
    const Expr *at;
    Token at_token;
} PendingView;

typedef struct Parser {
    Lexer lex;
    Graph *g;
    StrMap value; /* name -> ValueId, of all blocks: names are unique in a graph; the verifier finds
                     uses out of place */
    VEC(NodeId) order;
    VEC(PendingView) view;
    int depth;
} Parser;

enum { DEPTH_MAX = 100 };

static Arena *arena_of(const Parser *p)
{
    return p->g->ctx->arena;
}

static void skip_newlines(Parser *p)
{
    while (p->lex.tok.kind == TOK_NEWLINE)
        lex_next(&p->lex);
}

static void end_line(Parser *p)
{
    if (p->lex.tok.kind != TOK_END && p->lex.tok.kind != TOK_NEWLINE)
        lex_fail(&p->lex, "the line should end here");
    skip_newlines(p);
}

static const char *take_name(Parser *p)
{
    return p->lex.tok.kind == TOK_STRING ? lex_string(&p->lex) : lex_ident(&p->lex);
}

/* ---- types ---- */

static Expr find_symbol(void *arg, const char *name)
{
    const Exprs *const x = arg;
    for (int i = 0; i < x->var.len; i++)
        if (x->var.at[i].kind == VAR_SYM && strcmp(x->var.at[i].name, name) == 0)
            return x->var.at[i].self;
    return 0;
}

static Expr take_expr(Parser *p)
{
    const ExprScope scope = {.var = find_symbol, .arg = p->g->x};
    return expr_parse(p->g->x, &p->lex, &scope, DT_I64);
}

/* An optional "f32[N,3]" and layout. */
static bool take_type(Parser *p, Value *v)
{
    if (p->lex.tok.kind != TOK_IDENT)
        return false;
    v->dtype = dtype_parse(p->lex.tok.text);
    if (dtype_size(v->dtype) == 0)
        lex_fail(&p->lex, "'%s' is no element type", p->lex.tok.text);
    lex_next(&p->lex);
    lex_expect(&p->lex, "[");
    v->rank = 0;
    while (!lex_accept(&p->lex, "]")) {
        if (v->rank > 0)
            lex_expect(&p->lex, ",");
        if (v->rank == MAX_RANK)
            lex_fail(&p->lex, "a rank over %d", MAX_RANK);
        v->dim[v->rank++] = take_expr(p);
    }
    if (p->lex.tok.kind == TOK_STRING) {
        const char *const text = lex_string(&p->lex);
        Lexer inner = lex_new(p->g->ctx, p->lex.name, text, strlen(text), false);
        v->layout = layout_parse(&inner);
        if (inner.tok.kind != TOK_END || (v->layout.n > 0 && !layout_valid(&v->layout, v->rank)))
            lex_fail(&p->lex, "layout \"%s\" does not fit the type before it", text);
    }
    return true;
}

/* " in z at [0,8]" or " as x" after the type of a result. */
static void take_view(Parser *p, PendingView *view)
{
    const bool part = lex_accept(&p->lex, "in");
    if (!part && !lex_accept(&p->lex, "as"))
        return;
    view->at_token = p->lex.tok;
    view->within = take_name(p);
    if (!part)
        return;
    Expr *const at = arena_array_of(arena_of(p), MAX_RANK, Expr);
    lex_expect(&p->lex, "at");
    lex_expect(&p->lex, "[");
    for (int n = 0; !lex_accept(&p->lex, "]"); n++) {
        if (n > 0)
            lex_expect(&p->lex, ",");
        if (n == MAX_RANK)
            lex_fail(&p->lex, "a rank over %d", MAX_RANK);
        at[n] = take_expr(p);
    }
    view->at = at;
}

/* What views lie in is known when all lines are read. */
static void resolve_views(Parser *p)
{
    for (int i = 0; i < p->view.len; i++) {
        const PendingView *const view = &p->view.at[i];
        const ValueId within = strmap_get(&p->value, view->within, -1);
        if (within < 0) {
            p->lex.tok = view->at_token;
            lex_fail(&p->lex, "'%s' is not defined", view->within);
        }
        p->g->value.at[view->value].within = within;
        p->g->value.at[view->value].at = view->at;
    }
}

static ValueId define(Parser *p, const char *name, const Value *type)
{
    if (strmap_get(&p->value, name, -1) >= 0)
        lex_fail(&p->lex, "'%s' is defined twice", name);
    const ValueId v = graph_value(p->g, name, type->dtype, type->rank, type->dim);
    p->g->value.at[v].layout = type->layout;
    strmap_put(&p->value, name, v);
    return v;
}

static ValueId take_use(Parser *p)
{
    if (lex_accept(&p->lex, "_"))
        return -1;
    const Token at = p->lex.tok;
    const char *const name = take_name(p);
    const ValueId v = strmap_get(&p->value, name, -1);
    if (v < 0) {
        p->lex.tok = at;
        lex_fail(&p->lex, "'%s' is not defined", name);
    }
    return v;
}

/* ---- constants ---- */

static void take_element(Parser *p, const Tensor *t, int64_t i)
{
    void *const at = (char *)t->data + i * dtype_size(t->dtype);
    if (dtype_is_float(t->dtype))
        dtype_write(t->dtype, at, lex_number(&p->lex), false);
    else
        dtype_write_int(t->dtype, at, lex_int(&p->lex));
}

/* {1, 2, 3}, or one number for all elements. */
static void take_elements(Parser *p, const Tensor *t)
{
    const int64_t n = tensor_elements(t);
    if (!lex_accept(&p->lex, "{")) {
        if (n == 0)
            lex_fail(&p->lex, "a tensor without elements is written {}");
        take_element(p, t, 0);
        const size_t unit = (size_t)dtype_size(t->dtype);
        for (int64_t i = 1; i < n; i++)
            memcpy((char *)t->data + (size_t)i * unit, t->data, unit);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (i > 0)
            lex_expect(&p->lex, ",");
        take_element(p, t, i);
    }
    lex_expect(&p->lex, "}");
}

/* Lives as long as the arena, though the elements may turn out malformed. */
static Tensor *take_tensor(Parser *p, const Value *type, const char *before)
{
    enum { BYTES_MAX = 1 << 28 };
    int64_t dims[MAX_RANK];
    double bytes = dtype_size(type->dtype);
    for (int i = 0; i < type->rank; i++) {
        if (!expr_is_int(p->g->x, type->dim[i], &dims[i]) || dims[i] < 0)
            lex_fail(&p->lex, "a constant's dims are numbers");
        bytes *= (double)dims[i];
    }
    if (bytes > BYTES_MAX)
        lex_fail(&p->lex, "a constant of more than 256 MiB");
    if (before[0] != '\0' && !lex_accept(&p->lex, before))
        lex_fail(&p->lex, "the constant's elements are not in the text");
    Error e;
    Tensor *const t = tensor_new(type->dtype, type->rank, dims, &e);
    if (!t)
        lex_fail(&p->lex, "%s", e.message);
    tensor_defer(arena_of(p), t);
    take_elements(p, t);
    return t;
}

static void parse_const(Parser *p)
{
    const char *const name = take_name(p);
    Value type = {0};
    if (!take_type(p, &type))
        lex_fail(&p->lex, "a constant needs its type");
    if (strmap_get(&p->value, name, -1) >= 0)
        lex_fail(&p->lex, "'%s' is defined twice", name);
    strmap_put(&p->value, name, graph_constant(p->g, name, tensor_ref(take_tensor(p, &type, "="))));
}

/* ---- attributes ---- */

static Attr take_list(Parser *p, AttrKind kind)
{
    VEC(int64_t) ints = {0};
    VEC(double) floats = {0};
    VEC(const char *) strings = {0};
    Arena *const a = arena_of(p);
    int n = 0;
    for (lex_expect(&p->lex, "["); !lex_accept(&p->lex, "]"); n++) {
        if (n > 0)
            lex_expect(&p->lex, ",");
        if (kind == ATTR_INTS)
            vec_push(a, &ints, lex_int(&p->lex));
        else if (kind == ATTR_FLOATS)
            vec_push(a, &floats, lex_number(&p->lex));
        else
            vec_push(a, &strings, lex_string(&p->lex));
    }
    Attr attr = {.kind = kind, .n = n};
    if (kind == ATTR_INTS)
        attr.ints = ints.at;
    else if (kind == ATTR_FLOATS)
        attr.floats = floats.at;
    else
        attr.strings = strings.at;
    if (n == 0)
        attr.ints = arena_alloc(a, 0);
    return attr;
}

static Attr take_number(Parser *p)
{
    const bool negative = lex_accept(&p->lex, "-");
    const int64_t sign = negative ? -1 : 1;
    if (p->lex.tok.kind == TOK_INT) {
        const int64_t v = p->lex.tok.i;
        lex_next(&p->lex);
        return (Attr){.kind = ATTR_INT, .i = negative ? (int64_t)(0 - (uint64_t)v) : v};
    }
    return (Attr){.kind = ATTR_FLOAT, .f = (double)sign * lex_number(&p->lex)};
}

static Attr take_attr_value(Parser *p)
{
    if (p->lex.tok.kind == TOK_STRING)
        return (Attr){.kind = ATTR_STRING, .s = lex_string(&p->lex)};
    if (lex_is(&p->lex, "["))
        return take_list(p, ATTR_INTS);
    if (lex_accept(&p->lex, "floats"))
        return take_list(p, ATTR_FLOATS);
    if (lex_accept(&p->lex, "strings"))
        return take_list(p, ATTR_STRINGS);
    if (p->lex.tok.kind == TOK_IDENT && dtype_parse(p->lex.tok.text) != DT_NONE) {
        Value type = {0};
        take_type(p, &type);
        return (Attr){.kind = ATTR_TENSOR, .tensor = take_tensor(p, &type, "")};
    }
    return take_number(p);
}

/* ---- nodes and blocks ---- */

static void parse_block(Parser *p, int block, bool model);

/* y f32[2], _, z = */
static int take_results(Parser *p, const char **names, Value *types, PendingView *views, int max)
{
    int n = 0;
    while (!lex_accept(&p->lex, "=")) {
        if (n > 0)
            lex_expect(&p->lex, ",");
        if (n == max)
            lex_fail(&p->lex, "more than %d results", max);
        types[n] = (Value){.rank = -1};
        names[n] = NULL;
        if (!lex_accept(&p->lex, "_")) {
            names[n] = take_name(p);
            if (take_type(p, &types[n]))
                take_view(p, &views[n]);
        }
        n++;
    }
    return n;
}

static void take_bodies(Parser *p, NodeId id)
{
    while (lex_accept(&p->lex, "{")) {
        if (p->g->node.at[id].nblock == MAX_BLOCKS_OF_NODE)
            lex_fail(&p->lex, "more than %d blocks", MAX_BLOCKS_OF_NODE);
        if (++p->depth > DEPTH_MAX)
            lex_fail(&p->lex, "blocks nest more than %d deep", DEPTH_MAX);
        const int block = graph_block(p->g);
        skip_newlines(p);
        parse_block(p, block, false);
        p->depth--;
        lex_expect(&p->lex, "}");
        Node *const n = &p->g->node.at[id];
        n->block[n->nblock++] = block;
    }
}

static void parse_node(Parser *p, int block)
{
    enum { RESULTS_MAX = 256 };
    Arena *const a = arena_of(p);
    const char **const names = arena_array_of(a, RESULTS_MAX, const char *);
    Value *const types = arena_array_of(a, RESULTS_MAX, Value);
    PendingView *const views = arena_array_of(a, RESULTS_MAX, PendingView);
    const int nout = take_results(p, names, types, views, RESULTS_MAX);
    const OpCode op = p->lex.tok.kind == TOK_IDENT ? op_find(p->lex.tok.text) : OP_COUNT;
    if (op == OP_COUNT)
        lex_fail(&p->lex, "'%s' is no op", p->lex.tok.text ? p->lex.tok.text : "");
    lex_next(&p->lex);
    VEC(ValueId) in = {0};
    for (lex_expect(&p->lex, "("); !lex_accept(&p->lex, ")");) {
        if (in.len > 0)
            lex_expect(&p->lex, ",");
        vec_push(a, &in, take_use(p));
    }
    const char *const name = p->lex.tok.kind == TOK_STRING ? lex_string(&p->lex) : NULL;
    ValueId *const out = arena_array_of(a, nout + 1, ValueId);
    for (int i = 0; i < nout; i++)
        out[i] = -1;
    const NodeId id = graph_node(p->g, block, op, name, in.len, in.at, nout, out);
    vec_push(a, &p->order, id);
    while (p->lex.tok.kind == TOK_IDENT || p->lex.tok.kind == TOK_STRING) {
        const char *const attr_name = take_name(p);
        lex_expect(&p->lex, "=");
        Attr attr = take_attr_value(p);
        attr.name = attr_name;
        node_set_attr(p->g, id, attr);
    }
    if (lex_accept(&p->lex, "@")) {
        lex_expect(&p->lex, "group");
        const int64_t group = lex_int(&p->lex);
        if (group < 0 || group > INT32_MAX)
            lex_fail(&p->lex, "a group is a small number");
        p->g->node.at[id].group = (int)group;
    }
    take_bodies(p, id);
    for (int i = 0; i < nout; i++) { /* defined after the bodies, which do not see them */
        if (!names[i])
            continue;
        const ValueId v = define(p, names[i], &types[i]);
        p->g->node.at[id].out[i] = v;
        p->g->value.at[v].producer = id;
        p->g->value.at[v].output = i;
        views[i].value = v;
        if (views[i].within)
            vec_push(a, &p->view, views[i]);
    }
}

static void parse_outputs(Parser *p, int block)
{
    do
        vec_push(arena_of(p), &p->g->block.at[block].output, take_use(p));
    while (lex_accept(&p->lex, ","));
}

static void parse_input(Parser *p, int block)
{
    const char *const name = take_name(p);
    Value type = {.rank = -1};
    take_type(p, &type);
    const ValueId v = define(p, name, &type);
    vec_push(arena_of(p), &p->g->block.at[block].input, v);
}

static void parse_symbol(Parser *p)
{
    const char *const name = lex_ident(&p->lex);
    const int64_t low = lex_int(&p->lex);
    const int64_t high = lex_int(&p->lex);
    const int64_t multiple = p->lex.tok.kind == TOK_INT ? lex_int(&p->lex) : 1;
    if (low > high || multiple < 1 || find_symbol(p->g->x, name) != 0)
        lex_fail(&p->lex, "symbol '%s' is there already, or its range is empty", name);
    expr_sym(p->g->x, name, low, high, multiple);
}

static void parse_assumption(Parser *p)
{
    Assumption as = {.node = -1};
    as.a = take_expr(p);
    lex_expect(&p->lex, ",");
    as.b = take_expr(p);
    if (lex_accept(&p->lex, "node")) {
        const int64_t k = lex_int(&p->lex);
        if (k < 0 || k >= p->order.len)
            lex_fail(&p->lex, "there is no node %lld", (long long)k);
        as.node = p->order.at[k];
    }
    vec_push(arena_of(p), &p->g->assume, as);
}

static void parse_block(Parser *p, int block, bool model)
{
    while (p->lex.tok.kind != TOK_END && !lex_is(&p->lex, "}")) {
        if (lex_accept(&p->lex, "input"))
            parse_input(p, block);
        else if (lex_accept(&p->lex, "output"))
            parse_outputs(p, block);
        else if (model && lex_accept(&p->lex, "sym"))
            parse_symbol(p);
        else if (model && lex_accept(&p->lex, "const"))
            parse_const(p);
        else if (model && lex_accept(&p->lex, "assume"))
            parse_assumption(p);
        else
            parse_node(p, block);
        if (!lex_is(&p->lex, "}"))
            end_line(p);
    }
}

Graph *graph_parse(Context *ctx, const char *name, const char *text, size_t size)
{
    Parser p = {
        .lex = lex_new(ctx, name, text, size, true),
        .g = graph_new(ctx),
        .value = strmap_new(ctx->arena),
    };
    skip_newlines(&p);
    lex_expect(&p.lex, "graph");
    p.g->origin = lex_string(&p.lex);
    end_line(&p);
    parse_block(&p, 0, true);
    if (p.lex.tok.kind != TOK_END)
        lex_fail(&p.lex, "no block is open");
    resolve_views(&p);
    Str why = str_new(ctx->arena);
    if (!graph_verify(p.g, false, &why))
        fail(ctx, ERR_INVALID, "%s: %s", name, str_text(&why));
    return p.g;
}
