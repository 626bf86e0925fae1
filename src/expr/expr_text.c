/* Text of expressions: infix with minimal parentheses, functions by name, loads as NAME[i, j].
 *
 *     m0*8 + m1 - 1      select(t == 0, x[b, t], y[b, max(t - 1, 0)] + x[b, t])      f32(n) * 0.5
 *
 * From loose to tight, all left-associative:  |  ^  &  == !=  < <=  << >>  + -  * / % `state0`
 * is state 0, `state2_0` state2 0. A bare constant has the type of the operand beside it; alone,
 * the type that is wanted; where neither tells, it is written f64(0.5). The parser also takes >
 * and >=. Vector forms are only printed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expr/linear.h"

#define PREC_ADD 7
#define PREC_ATOM 9
#define DEPTH_MAX 1000

static int op_precedence(ExprOp op)
{
    static const int8_t level[EX_COUNT] = {
        [EX_OR] = 1,  [EX_XOR] = 2, [EX_AND] = 3, [EX_EQ] = 4,  [EX_NE] = 4,
        [EX_LT] = 5,  [EX_LE] = 5,  [EX_SHL] = 6, [EX_SHR] = 6, [EX_ADD] = PREC_ADD,
        [EX_SUB] = 7, [EX_MUL] = 8, [EX_DIV] = 8, [EX_MOD] = 8,
    };
    return level[op] ? level[op] : PREC_ATOM;
}

/* ---- printing ---- */
typedef struct Printer {
    const Exprs *x;
    const ExprNames *names;
    Str *out;
    bool told;     /* the parser will know the type of what is printed next */
    bool explicit; /* constants name their type, since nothing beside them shows it */
} Printer;

/* Would the parser find the type of e without being told? */
static bool shows_type(const Exprs *x, Expr e)
{
    const ExprNode *const n = expr_node(x, e);
    if (n->op == EX_INT || n->op == EX_FLOAT)
        return n->dtype == DT_BOOL;
    if (n->nargs == 0 || n->op == EX_LOAD || n->op == EX_CAST || n->op == EX_BITCAST ||
        n->dtype == DT_BOOL)
        return true;
    for (int i = n->op == EX_SELECT; i < n->nargs; i++)
        if (shows_type(x, expr_arg(x, e, i)))
            return true;
    return false;
}

static void print(const Printer *p, Expr e, int precedence);

static void print_tensor(const Printer *p, int tensor, char letter)
{
    const char *const name = p->names && p->names->tensor
                                 ? p->names->tensor(p->names->arg, tensor)
                                 : NULL;
    if (name)
        str_add(p->out, name);
    else
        str_addf(p->out, "%c%d", letter, tensor);
}

/* Constants are unique by their bits: a NaN other than the two that can be written is given by
 * them. */
static void print_nan(const Printer *p, DType t, double v)
{
    union {
        double f;
        int64_t i;
    } bits = {.f = v}, usual = {.f = signbit(v) ? -(double)NAN : (double)NAN};
    union {
        float f;
        int32_t i;
    } half = {.f = (float)v};
    if (bits.i == usual.i)
        str_add(p->out, signbit(v) ? "-nan" : "nan");
    else if (t == DT_F32)
        str_addf(p->out, "bitcast_f32(i32(%d))", (int)half.i);
    else
        str_addf(p->out, "bitcast_f64(i64(%lld))", (long long)bits.i);
}

/* The shortest text that reads back as the same value of type t. */
static void print_float(const Printer *p, DType t, double v)
{
    if (isnan(v)) {
        print_nan(p, t, v);
        return;
    }
    if (t != DT_F32 || !isfinite(v)) {
        str_add_double(p->out, v);
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if ((double)strtof(text, NULL) == v)
            break;
    }
    str_add(p->out, text);
}

static void print_args(const Printer *p, Expr e)
{
    for (int i = 0; i < expr_node(p->x, e)->nargs; i++) {
        if (i)
            str_add(p->out, ", ");
        print(p, expr_arg(p->x, e, i), 0);
    }
}

/* A term of an i64 sum after the first: " + t", " - t*3", " - 1". */
static void print_term(const Printer *p, Expr e)
{
    int64_t c;
    const ExprNode *const n = expr_node(p->x, e);
    const bool is_int = n->op == EX_INT && n->imm.i < 0 && n->imm.i != INT64_MIN;
    const bool is_multiple = n->op == EX_MUL && n->nargs == 2 &&
                             expr_is_int(p->x, expr_arg(p->x, e, 1), &c) && c < 0 && c != INT64_MIN;
    if (is_int) {
        str_addf(p->out, " - %lld", -(long long)n->imm.i);
    } else if (is_multiple) {
        str_add(p->out, " - ");
        print(p, expr_arg(p->x, e, 0), c == -1 ? PREC_ADD + 1 : op_precedence(EX_MUL));
        if (c != -1)
            str_addf(p->out, "*%lld", -(long long)c);
    } else {
        str_add(p->out, " + ");
        print(p, e, PREC_ADD + 1);
    }
}

static void print_infix(const Printer *outer, Expr e)
{
    Printer inner = *outer;
    const Printer *const p = &inner;
    const ExprNode *const n = expr_node(p->x, e);
    inner.told = p->told && !expr_op_is_compare((ExprOp)n->op);
    const int own = op_precedence((ExprOp)n->op);
    const bool tight = own == op_precedence(EX_MUL);
    print(p, expr_arg(p->x, e, 0), own);
    for (int i = 1; i < n->nargs; i++) {
        const Expr a = expr_arg(p->x, e, i);
        if (n->op == EX_ADD && n->dtype == DT_I64 && n->lanes == 1) {
            print_term(p, a);
            continue;
        }
        str_addf(p->out, tight ? "%s" : " %s ", expr_op_text((ExprOp)n->op));
        print(p, a, own + 1);
    }
}

static void print_memory(const Printer *outer, Expr e)
{
    const Printer inner = {.x = outer->x, .names = outer->names, .out = outer->out, .told = true};
    const Printer *const p = &inner;
    const ExprNode *const n = expr_node(p->x, e);
    if (n->op == EX_LOAD) {
        print_tensor(p, (int)n->imm.i, 't');
        str_addc(p->out, '[');
        print_args(p, e);
        str_addc(p->out, ']');
        return;
    }
    str_add(p->out, expr_op_text((ExprOp)n->op));
    if (n->op != EX_GATHER)
        str_addf(p->out, "%d", n->lanes);
    str_addc(p->out, '(');
    print_tensor(p, (int)n->imm.i, 'b');
    str_add(p->out, ", ");
    print_args(p, e);
    str_addc(p->out, ')');
}

static void print_call(const Printer *outer, Expr e)
{
    Printer inner = *outer;
    const Printer *const p = &inner;
    const ExprNode *const n = expr_node(p->x, e);
    inner.told = p->told && n->op != EX_CAST && n->op != EX_BITCAST;
    if (n->op == EX_BITCAST)
        str_add(p->out, "bitcast_");
    const bool is_named = n->op == EX_DOT && p->names && p->names->dot;
    str_add(p->out, n->op == EX_CAST || n->op == EX_BITCAST ? dtype_name((DType)n->dtype)
                    : is_named                              ? p->names->dot(n->imm.i)
                    : n->op == EX_RARE && n->imm.i          ? "usual"
                                                            : expr_op_text((ExprOp)n->op));
    str_addc(p->out, '(');
    print_args(p, e);
    if (n->op == EX_RAMP)
        str_addf(p->out, ", %lld", (long long)n->imm.i);
    if (n->op == EX_RAMP || n->op == EX_BROADCAST)
        str_addf(p->out, ", %d", n->lanes);
    str_addc(p->out, ')');
}

static void print_constant(const Printer *p, const ExprNode *n)
{
    if (n->dtype == DT_BOOL) {
        str_add(p->out, n->imm.i ? "true" : "false");
        return;
    }
    if (p->explicit)
        str_addf(p->out, "%s(", dtype_name((DType)n->dtype));
    if (n->op == EX_FLOAT)
        print_float(p, (DType)n->dtype, n->imm.f);
    else
        str_addf(p->out, "%lld", (long long)n->imm.i);
    if (p->explicit)
        str_addc(p->out, ')');
}

static void print(const Printer *outer, Expr e, int precedence)
{
    Printer inner = *outer;
    const Printer *const p = &inner;
    const ExprNode *const n = expr_node(p->x, e);
    if (!p->told && n->nargs > 0 && !shows_type(p->x, e))
        inner.explicit = true;
    const int own = op_precedence((ExprOp)n->op);
    switch (n->op) {
    case EX_NONE:
        str_add(p->out, "none");
        return;
    case EX_INT:
    case EX_FLOAT:
        print_constant(p, n);
        return;
    case EX_VAR:
        str_add(p->out, p->x->var.at[n->imm.i].name);
        return;
    case EX_STATE:
    case EX_STATE2:
    case EX_REG:
        str_addf(p->out, n->op == EX_STATE ? "state%d" : n->op == EX_REG ? "r%d" : "state2_%d",
                 (int)n->imm.i);
        return;
    case EX_LOAD:
    case EX_VLOAD:
    case EX_MLOAD:
    case EX_GATHER:
    case EX_TILE:
        print_memory(p, e);
        return;
    default:
        break;
    }
    if (own == PREC_ATOM) {
        print_call(p, e);
        return;
    }
    if (own < precedence)
        str_addc(p->out, '(');
    print_infix(p, e);
    if (own < precedence)
        str_addc(p->out, ')');
}

void expr_print(const Exprs *x, Expr e, const ExprNames *names, Str *out)
{
    const Printer p = {.x = x, .names = names, .out = out, .told = true};
    print(&p, e, 0);
}

/* ---- parsing ---- */
typedef struct Parser {
    Exprs *x;
    Lexer *lex;
    const ExprScope *scope;
    int depth;
} Parser;

/* An expression, or a constant whose type is not known yet (e is 0). */
typedef struct Value {
    Expr e;
    bool real; /* the constant was written as a float */
    int64_t i;
    double f;
} Value;

static Value parse(Parser *p, int precedence, DType want);

static Expr typed(Parser *p, Value v, DType t)
{
    if (v.e)
        return v.e;
    if (dtype_is_float(t))
        return expr_float(p->x, t, v.f);
    if (v.real)
        lex_fail(p->lex, "a fraction where %s is needed", dtype_name(t));
    return expr_int_of(p->x, t, v.i);
}

static DType common_type(Parser *p, int n, const Value *v, DType want)
{
    for (int i = 0; i < n; i++)
        if (v[i].e)
            return expr_type(p->x, v[i].e);
    return want;
}

/* Which ops may take which types. */
static bool op_takes(ExprOp op, DType t)
{
    const bool integer = dtype_is_int(t);
    const bool real = t == DT_F32 || t == DT_F64;
    if (expr_op_is_compare(op) || op == EX_SELECT)
        return true;
    if (op == EX_AND || op == EX_OR || op == EX_XOR || op == EX_NOT)
        return integer || t == DT_BOOL;
    if (op == EX_SHL || op == EX_SHR)
        return integer;
    if (op >= EX_SQRT && op <= EX_SIGMOID)
        return real;
    if (op == EX_ADD || op == EX_MUL || op == EX_MIN || op == EX_MAX)
        return true;
    return integer || real;
}

static void check_op(Parser *p, ExprOp op, DType t, int n, const Expr *args, int first)
{
    if (!op_takes(op, t))
        lex_fail(p->lex, "'%s' does not take %s", expr_op_text(op), dtype_name(t));
    for (int i = first; i < n; i++)
        if (expr_type(p->x, args[i]) != t)
            lex_fail(p->lex, "'%s' of %s and %s", expr_op_text(op), dtype_name(t),
                     dtype_name(expr_type(p->x, args[i])));
}

static Value of_expr(Expr e)
{
    return (Value){.e = e};
}

static Value parse_number(Parser *p)
{
    const bool negative = lex_accept(p->lex, "-");
    const Token t = p->lex->tok;
    Value v = {.real = t.kind == TOK_FLOAT, .i = t.kind == TOK_INT ? t.i : 0, .f = t.f};
    if (t.kind == TOK_IDENT && (strcmp(t.text, "inf") == 0 || strcmp(t.text, "nan") == 0))
        v = (Value){.real = true, .f = t.text[0] == 'i' ? (double)INFINITY : (double)NAN};
    else if (t.kind != TOK_INT && t.kind != TOK_FLOAT)
        lex_fail(p->lex, "a number is needed");
    lex_next(p->lex);
    if (negative) {
        v.i = wrap_mul(v.i, -1);
        v.f = -v.f;
    }
    return v;
}

static Value parse_load(Parser *p, const char *name)
{
    DType t = DT_NONE;
    int rank = 0;
    const int tensor = p->scope->tensor ? p->scope->tensor(p->scope->arg, name, &t, &rank) : -1;
    if (tensor < 0)
        lex_fail(p->lex, "no tensor '%s'", name);
    Expr index[64];
    int n = 0;
    lex_expect(p->lex, "[");
    while (!lex_is(p->lex, "]")) {
        if (n == 64 || (n && !lex_accept(p->lex, ",")))
            lex_fail(p->lex, "']' is needed after the index");
        index[n] = typed(p, parse(p, 0, DT_I64), DT_I64);
        if (expr_type(p->x, index[n++]) != DT_I64)
            lex_fail(p->lex, "an index of '%s' is not i64", name);
    }
    lex_expect(p->lex, "]");
    if (n != rank)
        lex_fail(p->lex, "'%s' has rank %d, not %d", name, rank, n);
    return of_expr(expr_load(p->x, t, tensor, n, index));
}

static int parse_args(Parser *p, Value *v, int most, DType want)
{
    int n = 0;
    lex_expect(p->lex, "(");
    while (!lex_is(p->lex, ")")) {
        if (n == most || (n && !lex_accept(p->lex, ",")))
            lex_fail(p->lex, "')' is needed");
        v[n++] = parse(p, 0, want);
    }
    lex_expect(p->lex, ")");
    return n;
}

static int op_arity(ExprOp op)
{
    switch (op) {
    case EX_TDIV:
    case EX_TMOD:
    case EX_MIN:
    case EX_MAX:
    case EX_POW:
        return 2;
    case EX_FMA:
    case EX_SELECT:
        return 3;
    case EX_NEG:
    case EX_ABS:
    case EX_NOT:
        return 1;
    default:
        return op >= EX_FLOOR && op <= EX_SIGMOID ? 1 : 0;
    }
}

static Value parse_function(Parser *p, ExprOp op, DType want)
{
    Value v[3];
    const int arity = op_arity(op);
    const int first = op == EX_SELECT ? 1 : 0;
    if (parse_args(p, v, 3, want) != arity)
        lex_fail(p->lex, "'%s' takes %d arguments", expr_op_text(op), arity);
    const DType t = common_type(p, arity - first, v + first, want);
    Expr a[3] = {0};
    for (int i = 0; i < arity; i++)
        a[i] = typed(p, v[i], i < first ? DT_BOOL : t);
    check_op(p, op, t, arity, a, first);
    if (op == EX_SELECT) {
        if (expr_type(p->x, a[0]) != DT_BOOL)
            lex_fail(p->lex, "the condition of a select is not bool");
        return of_expr(expr_select(p->x, a[0], a[1], a[2]));
    }
    return of_expr(arity == 3   ? expr_fma(p->x, a[0], a[1], a[2])
                   : arity == 2 ? expr_bin(p->x, op, a[0], a[1])
                                : expr_un(p->x, op, a[0]));
}

static bool is_compute_type(DType t)
{
    return t != DT_NONE && dtype_size(t) > 0 && dtype_compute(t) == t;
}

static Value parse_call(Parser *p, const char *name, DType want)
{
    const bool bits = strncmp(name, "bitcast_", 8) == 0;
    const DType to = dtype_parse(bits ? name + 8 : name);
    if (is_compute_type(to)) {
        Value v;
        if (parse_args(p, &v, 1, to) != 1)
            lex_fail(p->lex, "'%s' takes one argument", name);
        const Expr a = typed(p, v, to);
        if (bits && dtype_bits(expr_type(p->x, a)) != dtype_bits(to))
            lex_fail(p->lex, "'%s' of %s", name, dtype_name(expr_type(p->x, a)));
        return of_expr(bits ? expr_bitcast(p->x, to, a) : expr_cast(p->x, to, a));
    }
    for (int op = 0; op < EX_COUNT; op++)
        if (op_arity((ExprOp)op) && strcmp(expr_op_text((ExprOp)op), name) == 0)
            return parse_function(p, (ExprOp)op, want);
    lex_fail(p->lex, "no function '%s'", name);
}

/* state3 or state2_3; false if the name is neither. */
static bool parse_state(Parser *p, const char *name, Value *v)
{
    const bool second = strncmp(name, "state2_", 7) == 0;
    const char *const digits = name + (second ? 7 : 5);
    if (strncmp(name, "state", 5) != 0 || *digits == 0 || strlen(digits) > 3 ||
        strspn(digits, "0123456789") != strlen(digits))
        return false;
    const int k = atoi(digits);
    const DType t = p->scope->state_type ? p->scope->state_type(p->scope->arg, k) : DT_NONE;
    if (t == DT_NONE)
        lex_fail(p->lex, "no '%s' here", name);
    *v = of_expr(second ? expr_state2(p->x, t, k) : expr_state(p->x, t, k));
    return true;
}

static Value parse_atom(Parser *p, DType want)
{
    Value v;
    if (lex_accept(p->lex, "(")) {
        v = parse(p, 0, want);
        lex_expect(p->lex, ")");
        return v;
    }
    if (p->lex->tok.kind != TOK_IDENT || lex_is(p->lex, "inf") || lex_is(p->lex, "nan"))
        return parse_number(p);
    const char *const name = lex_ident(p->lex);
    if (lex_is(p->lex, "["))
        return parse_load(p, name);
    if (lex_is(p->lex, "("))
        return parse_call(p, name, want);
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0)
        return of_expr(expr_int_of(p->x, DT_BOOL, name[0] == 't'));
    if (parse_state(p, name, &v))
        return v;
    const Expr var = p->scope->var ? p->scope->var(p->scope->arg, name) : 0;
    if (!var)
        lex_fail(p->lex, "no variable '%s'", name);
    return of_expr(var);
}

typedef struct Infix {
    ExprOp op;
    bool swaps; /* > and >= */
} Infix;

static bool infix_at(const Lexer *lex, Infix *infix)
{
    if (lex->tok.kind != TOK_PUNCT)
        return false;
    *infix = (Infix){.swaps = lex_is(lex, ">") || lex_is(lex, ">=")};
    if (infix->swaps) {
        infix->op = lex_is(lex, ">") ? EX_LT : EX_LE;
        return true;
    }
    for (int op = 0; op < EX_COUNT; op++) {
        infix->op = (ExprOp)op;
        if (op_precedence(infix->op) != PREC_ATOM && lex_is(lex, expr_op_text(infix->op)))
            return true;
    }
    return false;
}

static Value parse_infix(Parser *p, Infix infix, Value a, Value b, DType want)
{
    const ExprOp op = infix.op;
    const Value v[] = {infix.swaps ? b : a, infix.swaps ? a : b};
    const DType t = common_type(p, 2, v, expr_op_is_compare(op) ? DT_I64 : want);
    const Expr args[] = {typed(p, v[0], t), typed(p, v[1], t)};
    check_op(p, op, t, 2, args, 0);
    return of_expr(op == EX_SUB ? expr_sub(p->x, args[0], args[1])
                                : expr_bin(p->x, op, args[0], args[1]));
}

static Value parse(Parser *p, int precedence, DType want)
{
    if (++p->depth > DEPTH_MAX)
        lex_fail(p->lex, "the expression is nested too deeply");
    Value v = parse_atom(p, want);
    Infix infix;
    while (infix_at(p->lex, &infix) && op_precedence(infix.op) >= precedence) {
        lex_next(p->lex);
        const Value right = parse(p, op_precedence(infix.op) + 1, want);
        v = parse_infix(p, infix, v, right, want);
    }
    p->depth--;
    return v;
}

Expr expr_parse(Exprs *x, Lexer *lex, const ExprScope *scope, DType want)
{
    Parser p = {.x = x, .lex = lex, .scope = scope};
    return typed(&p, parse(&p, 0, want), want);
}
