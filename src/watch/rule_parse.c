/* Text -> Rule, by recursive descent; names, fields and types are checked as nodes are made.
 *
 * Nodes are pushed after their arguments, so the tree needs no second pass. A message stands where
 * the user has to change something: at the operator of two types that do not go together, else at
 * the argument itself. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"
#include "watch/pattern.h"
#include "watch/rule_token.h"
#include "watch/rule_tree.h"

typedef struct RuleParser {
    RuleLexer lex;
    const Watch *w;
    int each;
    int element; /* signal whose elements count looks at; -1: we are in no count */
    int depth, nmemory;
    VEC(RuleNode) node;
    VEC(int) start; /* where each node's text begins */
} RuleParser;

const char *rule_field_name(RuleField f)
{
    static const char *const name[FIELD_COUNT] = {
        [FIELD_VALUE] = "",        [FIELD_PREV] = "prev", [FIELD_SCORE] = "score",
        [FIELD_AGE] = "age",       [FIELD_TEXT] = "text", [FIELD_LABEL] = "label",
        [FIELD_X] = "x",           [FIELD_Y] = "y",       [FIELD_WIDTH] = "width",
        [FIELD_HEIGHT] = "height", [FIELD_AREA] = "area", [FIELD_DELTA] = "delta",
    };
    return name[f];
}

static ValueKind value_type(const Signal *s)
{
    switch (s->kind) {
    case SIGNAL_TEXT:
        return s->text.mode == TEXT_PAGE     ? VALUE_LIST
               : s->text.type == TEXT_STRING ? VALUE_TEXT
                                             : VALUE_NUMBER;
    case SIGNAL_SCREEN:
    case SIGNAL_CLASS:
        return VALUE_TEXT;
    case SIGNAL_OBJECT:
        return VALUE_LIST;
    case SIGNAL_ICON:
    case SIGNAL_MOTION:
    case SIGNAL_POSITION:
    case SIGNAL_AUDIO:
        break;
    }
    return VALUE_TRUTH;
}

ValueKind rule_signal_type(const Signal *s, RuleField f)
{
    const ValueKind value = value_type(s);
    const bool line = s->kind == SIGNAL_TEXT && s->text.mode == TEXT_LINE,
               page = s->kind == SIGNAL_TEXT && !line;
    const bool place = s->kind == SIGNAL_ICON || s->kind == SIGNAL_POSITION;
    switch (f) {
    case FIELD_VALUE: return value;
    case FIELD_PREV: return line ? value : VALUE_UNKNOWN;
    case FIELD_SCORE: return page ? VALUE_UNKNOWN : VALUE_NUMBER;
    case FIELD_AGE: return value == VALUE_LIST ? VALUE_UNKNOWN : VALUE_NUMBER;
    case FIELD_TEXT: return page ? VALUE_TEXT : VALUE_UNKNOWN;
    case FIELD_X:
    case FIELD_Y: return place ? VALUE_NUMBER : VALUE_UNKNOWN;
    case FIELD_AREA: return s->kind == SIGNAL_POSITION ? VALUE_TEXT : VALUE_UNKNOWN;
    default: return VALUE_UNKNOWN;
    }
}

/* Of the one object or line of a signal. */
static ValueKind item_type(const Signal *s, RuleField f)
{
    switch (f) {
    case FIELD_VALUE: return VALUE_TRUTH;
    case FIELD_LABEL:
    case FIELD_TEXT: return VALUE_TEXT;
    case FIELD_SCORE:
    case FIELD_AGE:
    case FIELD_X:
    case FIELD_Y:
    case FIELD_WIDTH:
    case FIELD_HEIGHT: return VALUE_NUMBER;
    case FIELD_AREA:
        return s->kind == SIGNAL_OBJECT && s->object.narea > 0 ? VALUE_TEXT : VALUE_UNKNOWN;
    default: return VALUE_UNKNOWN;
    }
}

static const char *type_name(ValueKind k)
{
    return k == VALUE_TRUTH    ? "true or false"
           : k == VALUE_NUMBER ? "a number"
           : k == VALUE_TEXT   ? "a text"
                               : "a list";
}

static RuleField find_field(const char *name)
{
    for (int f = FIELD_VALUE + 1; f < FIELD_COUNT; f++)
        if (strcmp(rule_field_name((RuleField)f), name) == 0)
            return (RuleField)f;
    return FIELD_COUNT;
}

/* ---- nodes ---- */

static int push(RuleParser *p, int start, RuleNode n)
{
    if (p->node.len >= RULE_MAX_NODES)
        rule_fail(&p->lex, start, "a rule of more than %d parts", RULE_MAX_NODES);
    vec_push(p->lex.ctx->arena, &p->node, n);
    vec_push(p->lex.ctx->arena, &p->start, start);
    return p->node.len - 1;
}

static RuleNode leaf(RuleOp op, ValueKind type)
{
    return (RuleNode){.op = op, .type = type, .a = -1, .b = -1, .index = -1, .memory = -1};
}

static void enter(RuleParser *p)
{
    /* A bracket takes two, an operator in front one more: what rule_print writes is always read. */
    if (++p->depth > 3 * RULE_MAX_NODES)
        rule_fail(&p->lex, p->lex.tok.start, "too many brackets in brackets");
}

static void want_condition(RuleParser *p, int k)
{
    const ValueKind t = p->node.at[k].type;
    if (t != VALUE_TRUTH && t != VALUE_LIST)
        rule_fail(&p->lex, p->start.at[k], "this is %s where something true or false is wanted",
                  type_name(t));
}

static void want_number(RuleParser *p, int k)
{
    const ValueKind t = p->node.at[k].type;
    if (t != VALUE_NUMBER)
        rule_fail(&p->lex, p->start.at[k], "this is %s where a number is wanted", type_name(t));
}

/* ---- primaries ---- */

static int parse_or(RuleParser *p);

static void expect(RuleParser *p, const char *sign)
{
    if (!rule_accept(&p->lex, sign))
        rule_fail(&p->lex, p->lex.tok.start, "expected '%s', found %s", sign,
                  rule_describe(&p->lex));
}

typedef ValueKind (*FieldType)(const void *arg, RuleField f);

/* '.' FIELD, if there is one, of something whose fields `type` gives. */
static RuleField parse_field(RuleParser *p, const char *what, FieldType type, const void *arg)
{
    if (!rule_accept(&p->lex, "."))
        return FIELD_VALUE;
    const RuleToken t = p->lex.tok;
    const RuleField f = t.kind == WORD_NAME ? find_field(t.text) : FIELD_COUNT;
    if (f == FIELD_COUNT || type(arg, f) == VALUE_UNKNOWN) {
        Str has = str_new(p->lex.ctx->arena);
        for (int i = FIELD_VALUE + 1; i < FIELD_COUNT; i++)
            if (type(arg, (RuleField)i) != VALUE_UNKNOWN)
                str_addf(&has, " .%s", rule_field_name((RuleField)i));
        rule_fail(&p->lex, t.start, "%s has no field %s; it has%s", what, rule_describe(&p->lex),
                  has.len ? str_text(&has) : " none");
    }
    rule_next(&p->lex);
    return f;
}

static ValueKind type_of_signal(const void *s, RuleField f) { return rule_signal_type(s, f); }
static ValueKind type_of_item(const void *s, RuleField f) { return item_type(s, f); }
static ValueKind type_of_event(const void *none, RuleField f)
{
    (void)none;
    return f == FIELD_VALUE ? VALUE_TRUTH : f == FIELD_AGE ? VALUE_NUMBER : VALUE_UNKNOWN;
}
static ValueKind type_of_changed(const void *arg, RuleField f)
{
    const ValueKind t = *(const ValueKind *)arg;
    if (f == FIELD_VALUE)
        return VALUE_TRUTH;
    return f == FIELD_PREV || (f == FIELD_DELTA && t == VALUE_NUMBER) ? t : VALUE_UNKNOWN;
}

static int parse_signal(RuleParser *p, const char *name, int start, int index)
{
    const bool item = index == p->each;
    const Signal *const s = &p->w->signal[index];
    const char *const what = arena_printf(p->lex.ctx->arena, "'%s'", name);
    const RuleField f = parse_field(p, what, item ? type_of_item : type_of_signal, s);
    RuleNode n =
        leaf(item ? RULE_ITEM : RULE_SIGNAL, item ? item_type(s, f) : rule_signal_type(s, f));
    n.index = index;
    n.field = f;
    return push(p, start, n);
}

static int parse_name(RuleParser *p)
{
    const RuleToken t = p->lex.tok;
    rule_next(&p->lex);
    const RuleField f = find_field(t.text);
    const ValueKind element =
        p->element >= 0 ? item_type(&p->w->signal[p->element], f) : VALUE_UNKNOWN;
    if (f != FIELD_COUNT && f != FIELD_AGE && element != VALUE_UNKNOWN) {
        RuleNode n = leaf(RULE_ELEMENT, element);
        n.field = f;
        n.index = p->element;
        return push(p, t.start, n);
    }
    const int signal = watch_find_signal(p->w, t.text), event = watch_find_event(p->w, t.text);
    if (signal >= 0)
        return parse_signal(p, t.text, t.start, signal);
    if (event < 0)
        rule_fail(&p->lex, t.start, "there is no signal or event '%s'", t.text);
    RuleNode n = leaf(RULE_EVENT, VALUE_TRUTH);
    n.field =
        parse_field(p, arena_printf(p->lex.ctx->arena, "event '%s'", t.text), type_of_event, NULL);
    n.type = type_of_event(NULL, n.field);
    n.index = event;
    return push(p, t.start, n);
}

/* ---- functions ---- */

static int parse_count(RuleParser *p, int start)
{
    const int list = parse_or(p);
    if (p->node.at[list].type != VALUE_LIST)
        rule_fail(&p->lex, p->start.at[list],
                  "count wants a list, of objects or lines; this is %s%s",
                  p->node.at[list].op == RULE_ITEM ? "one of them: " : "",
                  type_name(p->node.at[list].type));
    RuleNode n = leaf(RULE_COUNT, VALUE_NUMBER);
    n.a = list;
    if (rule_accept(&p->lex, ",")) {
        const int outer = p->element, memory = p->nmemory;
        const int at = p->lex.tok.start;
        p->element = p->node.at[list].index;
        n.b = parse_or(p);
        want_condition(p, n.b);
        p->element = outer;
        if (p->nmemory != memory)
            rule_fail(&p->lex, at,
                      "what count asks of each cannot hold changed, rises, seq or rate");
    }
    return push(p, start, n);
}

static double parse_within(RuleParser *p, const char *function)
{
    expect(p, ",");
    const RuleToken t = p->lex.tok;
    if (t.kind != WORD_DURATION || !(t.number > 0))
        rule_fail(&p->lex, t.start, "%s wants a duration here, as 20s; found %s", function,
                  rule_describe(&p->lex));
    rule_next(&p->lex);
    return t.number;
}

static int parse_condition(RuleParser *p)
{
    const int k = parse_or(p);
    want_condition(p, k);
    return k;
}

/* After its '('. */
static int parse_remembering(RuleParser *p, RuleOp op, const char *function, int start)
{
    RuleNode n = leaf(op, op == RULE_RATE ? VALUE_NUMBER : VALUE_TRUTH);
    n.a = op == RULE_CHANGED ? parse_or(p) : parse_condition(p);
    const ValueKind of = p->node.at[n.a].type;
    if (op == RULE_CHANGED && of == VALUE_LIST)
        rule_fail(&p->lex, p->start.at[n.a], "changed wants one value; this is a list");
    if (op == RULE_SEQ) {
        expect(p, ",");
        n.b = parse_condition(p);
    }
    if (op == RULE_SEQ || op == RULE_RATE)
        n.number = parse_within(p, function);
    n.memory = p->nmemory++;
    expect(p, ")");
    if (op == RULE_CHANGED) {
        n.field = parse_field(p, "changed(..)", type_of_changed, &of);
        n.type = type_of_changed(&of, n.field);
    }
    n.instant = n.type == VALUE_TRUTH && n.field == FIELD_VALUE;
    return push(p, start, n);
}

static int parse_function(RuleParser *p)
{
    static const struct { const char *name; RuleOp op;
    } function[] = {
        {"changed", RULE_CHANGED}, {"rises", RULE_RISES}, {"seq", RULE_SEQ},
        {"rate", RULE_RATE},       {"count", RULE_COUNT},
    };
    const RuleToken t = p->lex.tok;
    rule_next(&p->lex);
    expect(p, "(");
    for (size_t i = 0; i < sizeof function / sizeof *function; i++) {
        if (strcmp(function[i].name, t.text) != 0)
            continue;
        if (function[i].op != RULE_COUNT)
            return parse_remembering(p, function[i].op, t.text, t.start);
        const int k = parse_count(p, t.start);
        expect(p, ")");
        return k;
    }
    rule_fail(&p->lex, t.start,
              "there is no function '%s': changed, rises, count, seq and rate are all", t.text);
}

static bool next_is_bracket(const RuleLexer *l)
{
    const char *c = l->text + l->pos;
    while (*c == ' ' || *c == '\t' || *c == '\n' || *c == '\r')
        c++;
    return *c == '(';
}

static int parse_primary(RuleParser *p)
{
    const RuleToken t = p->lex.tok;
    if (t.kind == WORD_NUMBER || t.kind == WORD_DURATION || t.kind == WORD_STRING) {
        RuleNode n = leaf(t.kind == WORD_NUMBER     ? RULE_NUMBER
                          : t.kind == WORD_DURATION ? RULE_DURATION
                                                    : RULE_STRING,
                          t.kind == WORD_STRING ? VALUE_TEXT : VALUE_NUMBER);
        n.number = t.number;
        n.text = t.text;
        rule_next(&p->lex);
        return push(p, t.start, n);
    }
    if (t.kind == WORD_NAME)
        return next_is_bracket(&p->lex) ? parse_function(p) : parse_name(p);
    if (!rule_accept(&p->lex, "("))
        rule_fail(&p->lex, t.start, "expected a value, found %s", rule_describe(&p->lex));
    const int k = parse_or(p);
    expect(p, ")");
    return k;
}

/* ---- operators ---- */

static int parse_unary(RuleParser *p)
{
    enter(p);
    const int start = p->lex.tok.start;
    int k;
    if (rule_accept(&p->lex, "-")) {
        RuleNode n = leaf(RULE_NEGATE, VALUE_NUMBER);
        n.a = parse_unary(p);
        want_number(p, n.a);
        k = push(p, start, n);
    } else {
        k = parse_primary(p);
    }
    p->depth--;
    return k;
}

static int parse_chain(RuleParser *p, int (*part)(RuleParser *), const char *sign0, RuleOp op0,
                       const char *sign1, RuleOp op1)
{
    int left = part(p);
    for (;;) {
        const bool first = rule_is(&p->lex, sign0);
        if (!first && !rule_is(&p->lex, sign1))
            return left;
        rule_next(&p->lex);
        RuleNode n = leaf(first ? op0 : op1, VALUE_NUMBER);
        n.a = left;
        n.b = part(p);
        want_number(p, n.a);
        want_number(p, n.b);
        left = push(p, p->start.at[left], n);
    }
}

static int parse_term(RuleParser *p)
{
    return parse_chain(p, parse_unary, "*", RULE_MUL, "/", RULE_DIV);
}

static int parse_sum(RuleParser *p)
{
    return parse_chain(p, parse_term, "+", RULE_ADD, "-", RULE_SUB);
}

static const struct { const char *sign; RuleOp op; } comparison[] = {
    {"<", RULE_LT},  {"<=", RULE_LE}, {">", RULE_GT},    {">=", RULE_GE},
    {"==", RULE_EQ}, {"!=", RULE_NE}, {"=~", RULE_LIKE}, {"~", RULE_NEAR},
};

static bool find_comparison(const RuleLexer *l, RuleOp *op)
{
    for (size_t i = 0; i < sizeof comparison / sizeof *comparison; i++) {
        if (rule_is(l, comparison[i].sign)) {
            *op = comparison[i].op;
            return true;
        }
    }
    return false;
}

/* Behind =~ or ~. */
static int parse_match(RuleParser *p, RuleOp op, int left)
{
    const ValueKind t = p->node.at[left].type;
    if (t != VALUE_TEXT && t != VALUE_LIST)
        rule_fail(&p->lex, p->start.at[left], "this is %s; '%s' wants a text or a list",
                  type_name(t), op == RULE_LIKE ? "=~" : "~");
    const RuleToken text = p->lex.tok;
    if (text.kind != WORD_STRING)
        rule_fail(&p->lex, text.start, "'%s' wants a text in quotes behind it, found %s",
                  op == RULE_LIKE ? "=~" : "~", rule_describe(&p->lex));
    rule_next(&p->lex);
    RuleNode n = leaf(op, VALUE_TRUTH);
    n.a = left;
    n.text = text.text;
    if (op == RULE_LIKE) {
        const char *why;
        size_t where;
        n.pattern = pattern_compile(p->lex.ctx->arena, text.text, &why, &where);
        if (!n.pattern)
            rule_fail(&p->lex, text.start, "the pattern, at byte %zu: %s", where + 1, why);
    } else if (rule_accept(&p->lex, "/")) {
        const RuleToken k = p->lex.tok;
        if (k.kind != WORD_NUMBER || k.number != floor(k.number) || k.number > RULE_MAX_EDITS)
            rule_fail(&p->lex, k.start, "expected a number of edits, 0 to %d, found %s",
                      RULE_MAX_EDITS, rule_describe(&p->lex));
        n.edits = (int)k.number;
        rule_next(&p->lex);
    }
    return push(p, p->start.at[left], n);
}

/* What < and == may compare. */
static void check_comparison(RuleParser *p, RuleOp op, int at, ValueKind a, ValueKind b)
{
    if (a != b)
        rule_fail(&p->lex, at, "%s is compared with %s", type_name(a), type_name(b));
    if (a == VALUE_LIST)
        rule_fail(&p->lex, at, "lists are not compared: use count, =~ or ~");
    if (a != VALUE_NUMBER && op != RULE_EQ && op != RULE_NE)
        rule_fail(&p->lex, at, "only numbers are less or greater; this is %s", type_name(a));
}

static int parse_compare(RuleParser *p)
{
    const int left = parse_sum(p), at = p->lex.tok.start;
    RuleOp op;
    if (!find_comparison(&p->lex, &op))
        return left;
    rule_next(&p->lex);
    int k;
    if (op == RULE_LIKE || op == RULE_NEAR) {
        k = parse_match(p, op, left);
    } else {
        RuleNode n = leaf(op, VALUE_TRUTH);
        n.a = left;
        n.b = parse_sum(p);
        const RuleNode *const a = &p->node.at[n.a], *const b = &p->node.at[n.b];
        check_comparison(p, op, at, a->type, b->type);
        n.instant = a->type == VALUE_TRUTH && (a->instant || b->instant);
        k = push(p, p->start.at[left], n);
    }
    if (find_comparison(&p->lex, &op))
        rule_fail(&p->lex, p->lex.tok.start, "comparisons do not chain: write a < b && b < c");
    return k;
}

static int parse_not(RuleParser *p)
{
    enter(p);
    const int start = p->lex.tok.start;
    int k;
    if (rule_accept(&p->lex, "!")) {
        RuleNode n = leaf(RULE_NOT, VALUE_TRUTH);
        n.a = parse_not(p);
        want_condition(p, n.a);
        n.instant = p->node.at[n.a].instant;
        k = push(p, start, n);
    } else {
        k = parse_compare(p);
    }
    p->depth--;
    return k;
}

static int parse_logic(RuleParser *p, int (*part)(RuleParser *), const char *sign, RuleOp op)
{
    int left = part(p);
    while (rule_accept(&p->lex, sign)) {
        RuleNode n = leaf(op, VALUE_TRUTH);
        want_condition(p, left);
        n.a = left;
        n.b = part(p);
        want_condition(p, n.b);
        n.instant = p->node.at[n.a].instant || p->node.at[n.b].instant;
        left = push(p, p->start.at[left], n);
    }
    return left;
}

static int parse_and(RuleParser *p)
{
    return parse_logic(p, parse_not, "&&", RULE_AND);
}

static int parse_or(RuleParser *p)
{
    return parse_logic(p, parse_and, "||", RULE_OR);
}

/* ---- the rule ---- */

static const char *trimmed(Arena *a, const char *text)
{
    const char *const space = " \t\r\n";
    text += strspn(text, space);
    size_t n = strlen(text);
    while (n > 0 && strchr(space, text[n - 1]))
        n--;
    return arena_strndup(a, text, n);
}

static const Rule *parse(Context *ctx, const Watch *w, const char *name, Place at, const char *text,
                         int each, void (*want)(RuleParser *p, int k))
{
    RuleParser p = {.lex = rule_lexer(ctx, name, at, text), .w = w, .each = each, .element = -1};
    Rule *const r = arena_new_of(ctx->arena, Rule);
    r->root = parse_or(&p);
    if (p.lex.tok.kind != WORD_END)
        rule_fail(&p.lex, p.lex.tok.start, "unexpected %s", rule_describe(&p.lex));
    if (want)
        want(&p, r->root);
    r->text = trimmed(ctx->arena, text);
    r->n = p.node.len;
    r->at = p.node.at;
    r->nmemory = p.nmemory;
    r->each = each;
    return r;
}

const Rule *rule_parse(Context *ctx, const Watch *w, const char *name, Place at, const char *text,
                       int each)
{
    return parse(ctx, w, name, at, text, each, NULL);
}

const Rule *rule_parse_condition(Context *ctx, const Watch *w, const char *name, Place at,
                                 const char *text, int each)
{
    return parse(ctx, w, name, at, text, each, want_condition);
}

const Rule *rule_parse_number(Context *ctx, const Watch *w, const char *name, Place at,
                              const char *text)
{
    return parse(ctx, w, name, at, text, -1, want_number);
}

const char *rule_text(const Rule *r) { return r->text; }
ValueKind rule_kind(const Rule *r) { return rule_root(r)->type; }
bool rule_is_instant(const Rule *r) { return rule_root(r)->instant; }

void rule_needs(const Rule *r, const Watch *w, bool *need)
{
    (void)w;
    for (int i = 0; i < r->n; i++)
        if (r->at[i].op == RULE_SIGNAL || r->at[i].op == RULE_ITEM || r->at[i].op == RULE_ELEMENT)
            need[r->at[i].index] = true;
}
