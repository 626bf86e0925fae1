/* The text form of stages (stage.h shows it): one line each, symbols, then tensors, then stages. */
#include <string.h>

#include "loop/stage.h"

/* ---- printing ---- */
typedef struct Printer {
    const Stages *s;
    Str *out;
    bool *used; /* symbols, by var id */
    ExprNames names;
} Printer;

static const char *tensor_name(void *arg, int tensor)
{
    const Stages *const s = arg;
    return tensor >= 0 && tensor < s->tensor.len ? s->tensor.at[tensor].name : NULL;
}

static void mark_symbol(const Exprs *x, Expr e, void *arg)
{
    const ExprNode *const n = expr_node(x, e);
    if (n->op == EX_VAR && x->var.at[n->imm.i].kind == VAR_SYM)
        ((bool *)arg)[n->imm.i] = true;
}

static void mark(const Printer *p, Expr e)
{
    if (e)
        expr_walk(p->s->x, e, mark_symbol, p->used);
}

static bool is_printed(const StageTensor *t)
{
    return t->stage >= 0 || t->role == TENSOR_INPUT || t->role == TENSOR_CONST;
}

static void mark_stage(const Printer *p, const Stage *st)
{
    for (int i = 0; i < st->naxes + st->nreduce; i++)
        mark(p, st->axis[i].extent);
    stage_walk(p->s, st, mark_symbol, p->used);
}

static void print_symbols(const Printer *p)
{
    const Stages *const s = p->s;
    for (int i = 0; i < s->tensor.len; i++)
        for (int k = 0; k < s->tensor.at[i].rank && is_printed(&s->tensor.at[i]); k++) {
            mark(p, s->tensor.at[i].dim[k]);
            mark(p, s->tensor.at[i].part.whole[k]);
            mark(p, s->tensor.at[i].part.at[k]);
        }
    for (int i = 0; i < s->stage.len; i++)
        mark_stage(p, &s->stage.at[i]);
    for (int i = 0; i < s->x->var.len; i++) {
        const ExprVar *const v = &s->x->var.at[i];
        if (!p->used[i])
            continue;
        str_addf(p->out, "sym %s %lld %lld", v->name, (long long)v->low, (long long)v->high);
        if (v->multiple != 1)
            str_addf(p->out, " %lld", (long long)v->multiple);
        str_addc(p->out, '\n');
    }
}

static void print_expr(const Printer *p, Expr e)
{
    expr_print(p->s->x, e, &p->names, p->out);
}

static const char *const role_word[] = {
    [TENSOR_INPUT] = "input",
    [TENSOR_CONST] = "const",
    [TENSOR_TEMP] = "temp",
    [TENSOR_OUTPUT] = "output",
};

static void print_sizes(const Printer *p, const char *word, const Expr *e, int n)
{
    str_addf(p->out, " %s[", word);
    for (int i = 0; i < n; i++) {
        if (i)
            str_add(p->out, ", ");
        print_expr(p, e[i]);
    }
    str_addc(p->out, ']');
}

static void print_tensor(const Printer *p, const StageTensor *t)
{
    str_addf(p->out, "%s %s %s", role_word[t->role], t->name, dtype_name(t->dtype));
    print_sizes(p, "", t->dim, t->rank);
    if (!layout_is_plain(&t->layout)) {
        str_add(p->out, " layout ");
        layout_print(&t->layout, p->out);
    }
    if (t->part.is_part) {
        print_sizes(p, "in ", t->part.whole, t->rank);
        print_sizes(p, "at ", t->part.at, t->rank);
    }
    str_addc(p->out, '\n');
}

static void print_axes(const Printer *p, const Axis *axis, int n)
{
    for (int i = 0; i < n; i++) {
        str_addf(p->out, "%s%s: ", i ? ", " : "", axis[i].name);
        print_expr(p, axis[i].extent);
    }
}

static void print_list(const Printer *p, const char *word, const Expr *e, int n)
{
    str_addf(p->out, " %s ", word);
    for (int k = 0; k < n; k++) {
        if (k)
            str_add(p->out, ", ");
        print_expr(p, e[k]); /* "none" for 0 */
    }
}

static const char *const form_word[] = {
    [STAGE_MAP] = "map",
    [STAGE_REDUCE] = "reduce",
    [STAGE_SCAN] = "scan",
    [STAGE_SCATTER] = "scatter",
};

static bool any(const Expr *e, int n)
{
    for (int k = 0; k < n; k++)
        if (e[k])
            return true;
    return false;
}

static void print_stage(const Printer *p, const Stage *st)
{
    str_add(p->out, form_word[st->form]);
    for (int k = 0; k < st->nresults; k++)
        str_addf(p->out, "%s%s", k ? ", " : " ", p->s->tensor.at[st->result[k]].name);
    str_add(p->out, " (");
    print_axes(p, st->axis, st->naxes);
    if (st->form == STAGE_REDUCE || st->form == STAGE_SCATTER) {
        str_add(p->out, "; ");
        print_axes(p, st->axis + st->naxes, st->nreduce);
    }
    str_addc(p->out, ')');
    if (st->form == STAGE_SCAN)
        str_addf(p->out, " along %s", st->axis[st->scan_axis].name);
    if (st->where)
        print_list(p, "where", &st->where, 1);
    if (st->form == STAGE_MAP || st->form == STAGE_SCAN) {
        print_list(p, "=", st->update, st->nresults);
    } else {
        print_list(p, "init", st->init, st->nresults);
        if (st->form == STAGE_SCATTER) {
            str_add(p->out, " at [");
            for (int i = 0; i < st->nreduce; i++) {
                if (i)
                    str_add(p->out, ", ");
                print_expr(p, st->target[i]);
            }
            str_addc(p->out, ']');
        }
        print_list(p, "update", st->update, st->nresults);
        if (any(st->combine, st->nresults))
            print_list(p, "combine", st->combine, st->nresults);
    }
    str_addc(p->out, '\n');
}

void stages_print(const Stages *s, Str *out)
{
    const Printer p = {.s = s,
                       .out = out,
                       .used = arena_array_of(s->ctx->arena, s->x->var.len + 1, bool),
                       .names = {.tensor = tensor_name, .arg = (void *)s}};
    print_symbols(&p);
    for (int i = 0; i < s->tensor.len; i++)
        if (is_printed(&s->tensor.at[i]))
            print_tensor(&p, &s->tensor.at[i]);
    for (int i = 0; i < s->stage.len; i++)
        print_stage(&p, &s->stage.at[i]);
}

/* ---- parsing ---- */
typedef struct Parser {
    Stages *s;
    Lexer lex;
    Stage st;           /* being read */
    int first, visible; /* the axes that expressions may name */
    ExprScope scope;
} Parser;

static int scope_tensor(void *arg, const char *name, DType *compute, int *rank)
{
    const Parser *const p = arg;
    const int id = stages_find_tensor(p->s, name);
    if (id >= 0) {
        *compute = dtype_compute(p->s->tensor.at[id].dtype);
        *rank = p->s->tensor.at[id].rank;
    }
    return id;
}

static Expr scope_var(void *arg, const char *name)
{
    const Parser *const p = arg;
    for (int i = p->first; i < p->first + p->visible; i++)
        if (strcmp(p->st.axis[i].name, name) == 0)
            return p->st.axis[i].var;
    for (int i = 0; i < p->s->x->var.len; i++) {
        const ExprVar *const v = &p->s->x->var.at[i];
        if (v->kind == VAR_SYM && strcmp(v->name, name) == 0)
            return v->self;
    }
    return 0;
}

static DType scope_state(void *arg, int k)
{
    const Parser *const p = arg;
    return k < p->st.nresults ? dtype_compute(p->s->tensor.at[p->st.result[k]].dtype) : DT_NONE;
}

static Expr parse_expr(Parser *p, DType want)
{
    const Expr e = expr_parse(p->s->x, &p->lex, &p->scope, want);
    if (expr_type(p->s->x, e) != want)
        lex_fail(&p->lex, "an expression is %s, not %s", dtype_name(expr_type(p->s->x, e)),
                 dtype_name(want));
    return e;
}

static void see_axes(Parser *p, int first, int n)
{
    p->first = first;
    p->visible = n;
}

static void parse_symbol(Parser *p)
{
    const char *const name = lex_ident(&p->lex);
    const int64_t low = lex_int(&p->lex);
    const int64_t high = lex_int(&p->lex);
    const bool more = p->lex.tok.kind == TOK_INT;
    const int64_t multiple = more ? lex_int(&p->lex) : 1;
    if (low > high || multiple < 1 || scope_var(p, name))
        lex_fail(&p->lex, "symbol '%s' is not well-formed", name);
    expr_sym(p->s->x, name, low, high, multiple);
}

static int parse_sizes(Parser *p, Expr *dims)
{
    int rank = 0;
    lex_expect(&p->lex, "[");
    while (!lex_accept(&p->lex, "]")) {
        if (rank == MAX_RANK || (rank && !lex_accept(&p->lex, ",")))
            lex_fail(&p->lex, "']' is needed after at most %d dims", MAX_RANK);
        dims[rank++] = parse_expr(p, DT_I64);
    }
    return rank;
}

static void parse_tensor(Parser *p, TensorRole role)
{
    const char *const name = lex_ident(&p->lex);
    const DType t = dtype_parse(lex_ident(&p->lex));
    if (stages_find_tensor(p->s, name) >= 0)
        lex_fail(&p->lex, "two tensors are called '%s'", name);
    if (t == DT_NONE || dtype_size(t) == 0)
        lex_fail(&p->lex, "'%s' has no type of numbers", name);
    Expr dims[MAX_RANK];
    see_axes(p, 0, 0);
    const int rank = parse_sizes(p, dims);
    const int id = stages_tensor(p->s, name, role, t, rank, dims);
    if (lex_accept(&p->lex, "layout"))
        p->s->tensor.at[id].layout = layout_parse(&p->lex);
    if (lex_accept(&p->lex, "in")) {
        Part part = {.is_part = true};
        const int whole = parse_sizes(p, part.whole);
        lex_expect(&p->lex, "at");
        if (parse_sizes(p, part.at) != rank || whole != rank)
            lex_fail(&p->lex, "'%s' and what it is in differ in rank", name);
        p->s->tensor.at[id].part = part;
    }
}

static void parse_axes(Parser *p, const char *end, int *count)
{
    *count = 0;
    while (!lex_accept(&p->lex, end)) {
        const int at = p->st.naxes + *count;
        if (at == MAX_AXES || (*count && !lex_accept(&p->lex, ",")))
            lex_fail(&p->lex, "'%s' is needed after at most %d axes", end, MAX_AXES);
        Axis *const a = &p->st.axis[at];
        a->name = lex_ident(&p->lex);
        lex_expect(&p->lex, ":");
        a->extent = parse_expr(p, DT_I64);
        a->var = expr_loop_var(p->s->x, a->name, a->extent);
        ++*count;
    }
}

static void parse_results(Parser *p)
{
    do {
        const char *const name = lex_ident(&p->lex);
        const int id = stages_find_tensor(p->s, name);
        if (id < 0 || p->st.nresults == MAX_RESULTS || p->s->tensor.at[id].stage >= 0)
            lex_fail(&p->lex, "'%s' cannot be a result here", name);
        p->s->tensor.at[id].stage = p->s->stage.len;
        p->s->tensor.at[id].result = p->st.nresults;
        p->st.result[p->st.nresults++] = id;
    } while (lex_accept(&p->lex, ","));
}

static void parse_list(Parser *p, Expr *e)
{
    for (int k = 0; k < p->st.nresults; k++) {
        if (k)
            lex_expect(&p->lex, ",");
        if (!lex_accept(&p->lex, "none"))
            e[k] = parse_expr(p, scope_state(p, k));
    }
}

static int axis_called(Parser *p, const char *name)
{
    for (int i = 0; i < p->st.naxes; i++)
        if (strcmp(p->st.axis[i].name, name) == 0)
            return i;
    lex_fail(&p->lex, "no axis '%s'", name);
}

static void parse_target(Parser *p)
{
    lex_expect(&p->lex, "at");
    lex_expect(&p->lex, "[");
    if (p->st.nreduce > MAX_RANK)
        lex_fail(&p->lex, "a target has at most %d dims", MAX_RANK);
    for (int i = 0; i < p->st.nreduce; i++) {
        if (i)
            lex_expect(&p->lex, ",");
        p->st.target[i] = parse_expr(p, DT_I64);
    }
    lex_expect(&p->lex, "]");
}

static void parse_stage(Parser *p, StageForm form)
{
    Stage *const st = &p->st;
    const bool second = form == STAGE_REDUCE || form == STAGE_SCATTER;
    int n;
    *st = (Stage){.form = form};
    see_axes(p, 0, 0);
    parse_results(p);
    lex_expect(&p->lex, "(");
    parse_axes(p, second ? ";" : ")", &n);
    st->naxes = n;
    if (second) {
        parse_axes(p, ")", &n);
        st->nreduce = n;
    }
    const int domain = form == STAGE_REDUCE ? st->naxes + st->nreduce : st->naxes;
    if (form == STAGE_SCAN) {
        lex_expect(&p->lex, "along");
        st->scan_axis = axis_called(p, lex_ident(&p->lex));
    }
    see_axes(p, 0, domain);
    if (lex_accept(&p->lex, "where"))
        st->where = parse_expr(p, DT_BOOL);
    if (!second) {
        lex_expect(&p->lex, "=");
        parse_list(p, st->update);
    } else {
        lex_expect(&p->lex, "init");
        see_axes(p, form == STAGE_SCATTER ? st->naxes : 0,
                 form == STAGE_SCATTER ? st->nreduce : st->naxes);
        parse_list(p, st->init);
        see_axes(p, 0, domain);
        if (form == STAGE_SCATTER)
            parse_target(p);
        lex_expect(&p->lex, "update");
        parse_list(p, st->update);
        see_axes(p, 0, st->naxes);
        if (lex_accept(&p->lex, "combine"))
            parse_list(p, st->combine);
    }
    vec_push(p->s->ctx->arena, &p->s->stage, *st);
}

static int word_index(const char *word, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

static void parse_line(Parser *p)
{
    const char *const word = lex_ident(&p->lex);
    const int role = word_index(word, role_word, 4);
    const int form = word_index(word, form_word, 4);
    if (strcmp(word, "sym") == 0)
        parse_symbol(p);
    else if (role >= 0)
        parse_tensor(p, (TensorRole)role);
    else if (form >= 0)
        parse_stage(p, (StageForm)form);
    else
        lex_fail(&p->lex, "'%s' starts no line of stages", word);
    if (p->lex.tok.kind != TOK_END && p->lex.tok.kind != TOK_NEWLINE)
        lex_fail(&p->lex, "unexpected text at the end of the line");
}

Stages *stages_parse(Context *ctx, const char *name, const char *text, size_t size)
{
    Parser p = {.s = stages_new(ctx, exprs_new(ctx)),
                .lex = lex_new(ctx, name, text, size, true)};
    p.scope = (ExprScope){
        .tensor = scope_tensor, .var = scope_var, .state_type = scope_state, .arg = &p};
    while (p.lex.tok.kind != TOK_END) {
        if (p.lex.tok.kind == TOK_NEWLINE)
            lex_next(&p.lex);
        else
            parse_line(&p);
    }
    Str why = str_new(ctx->arena);
    if (!stages_verify(p.s, &why))
        fail(ctx, ERR_INVALID, "%s: %s", name, str_text(&why));
    return p.s;
}
