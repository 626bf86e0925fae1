/* Finding patterns of nodes. A search with backtracking: a list of goals (pattern, value), the
 * first of which is replaced by those of its inputs; see match.h for the patterns. */
#include "pass/match.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGS 8

typedef enum PatternKind {
    PATTERN_NODE,
    PATTERN_VALUE,   /* a lower-case letter */
    PATTERN_CAPTURE, /* an upper-case letter */
    PATTERN_NUMBER,
    PATTERN_EITHER,
} PatternKind;

typedef struct Pattern {
    PatternKind kind;
    OpCode op;
    int letter; /* from 0 */
    double number;
    int n;
    const struct Pattern *arg[MAX_ARGS];
} Pattern;

/* ---- parsing; text is ours, so a mistake in it is a bug ---- */

static const Macro common[] = {
    {"square", "{pow($1, 2)|mul($1, $1)}"},
    {"cube", "{pow($1, 3)|mul($1, square($1))}"},
    {"half", "{mul($1, 0.5)|div($1, 2)}"},
    {"product", "{mul($1, mul($2, $3))|mul($2, mul($1, $3))|mul($3, mul($1, $2))}"},
    {"root", "{sqrt($1)|pow($1, 0.5)}"},
    {"inverse", "{reciprocal($1)|div(1, $1)}"},
    {"inverse_root", "{inverse(root($1))|pow($1, -0.5)|root(inverse($1))}"},
    {"clamp", "{clip($1, $2, $3)|min(max($1, $2), $3)|max(min($1, $3), $2)}"},
    {NULL, NULL},
};

typedef struct Parser {
    Context *ctx;
    const Macro *macros;
    const char *at;
    const Pattern *const *param; /* of the macro whose body this is */
} Parser;

static const Pattern *parse_pattern(Parser *p);

static bool accept(Parser *p, char c)
{
    while (*p->at == ' ')
        p->at++;
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static const char *macro_body(const Macro *macros, const char *name)
{
    for (; macros && macros->name; macros++)
        if (strcmp(macros->name, name) == 0)
            return macros->body;
    return NULL;
}

/* p, q and so on up to `end`. */
static void parse_args(Parser *p, Pattern *to, char between, char end)
{
    do {
        assert(to->n < MAX_ARGS);
        to->arg[to->n++] = parse_pattern(p);
    } while (accept(p, between));
    const bool ended = accept(p, end);
    assert(ended);
    (void)ended;
}

static const Pattern *parse_name(Parser *p, Pattern *to)
{
    const char *start = p->at;
    while (islower((unsigned char)*p->at) || isdigit((unsigned char)*p->at) || *p->at == '_')
        p->at++;
    const char *name = arena_strndup(p->ctx->arena, start, (size_t)(p->at - start));
    if (!accept(p, '(')) {
        assert(strlen(name) == 1);
        to->kind = PATTERN_VALUE;
        to->letter = name[0] - 'a';
        return to;
    }
    parse_args(p, to, ',', ')');
    const char *body = macro_body(p->macros, name);
    if (!body)
        body = macro_body(common, name);
    if (body) {
        Parser inner = {.ctx = p->ctx, .macros = p->macros, .at = body, .param = to->arg};
        return parse_pattern(&inner);
    }
    to->kind = PATTERN_NODE;
    to->op = op_find(name);
    assert(to->op != OP_COUNT);
    return to;
}

static const Pattern *parse_pattern(Parser *p)
{
    Pattern *to = arena_new_of(p->ctx->arena, Pattern);
    if (accept(p, '{')) {
        to->kind = PATTERN_EITHER;
        parse_args(p, to, '|', '}');
        return to;
    }
    if (accept(p, '$'))
        return p->param[*p->at++ - '1'];
    if (islower((unsigned char)*p->at))
        return parse_name(p, to);
    if (isupper((unsigned char)*p->at)) {
        to->kind = PATTERN_CAPTURE;
        to->letter = *p->at++ - 'A';
        return to;
    }
    char *end;
    to->kind = PATTERN_NUMBER;
    to->number = strtod(p->at, &end);
    assert(end > p->at);
    p->at = end;
    return to;
}

/* ---- matching ---- */

typedef struct Search {
    const Graph *g;
    const int *uses; /* by value */
    Match m;
} Search;

typedef struct Goal {
    const Pattern *pattern;
    ValueId v;
    const struct Goal *next;
} Goal;

/* The number that all elements of v are. */
static bool is_number(const Graph *g, ValueId v, double *number)
{
    const Value *value = &g->value.at[v];
    if (!value->elems || value->nelems < 1 || !expr_is_const(g->x, value->elems[0], number))
        return false;
    for (int k = 1; k < value->nelems; k++)
        if (value->elems[k] != value->elems[0])
            return false;
    return true;
}

/* Distance of two neighbours of about 1, at least: what is written to fewer digits, or computed in
 * another way, may be off by as much. */
static double precision(DType t)
{
    switch (t) {
    case DT_F64:
        return 0x1p-50;
    case DT_F32:
        return 0x1p-22;
    case DT_F16:
        return 0x1p-10;
    case DT_BF16:
        return 0x1p-7;
    default:
        return 0;
    }
}

static bool is_this_number(const Graph *g, ValueId v, double want)
{
    double number;
    return is_number(g, v, &number) &&
           fabs(number - want) <= fabs(want) * precision(g->value.at[v].dtype);
}

static bool same_value(const Graph *g, ValueId a, ValueId b)
{
    const Value *va = &g->value.at[a], *vb = &g->value.at[b];
    return a == b || (va->elems && vb->elems && is_same_type(g, a, b) &&
                      memcmp(va->elems, vb->elems, (size_t)va->nelems * sizeof *va->elems) == 0);
}

static bool is_matched(const Match *m, NodeId n)
{
    for (int k = 0; k < m->nnodes; k++)
        if (m->node[k] == n)
            return true;
    return false;
}

/* All is bound: may the nodes go? */
static bool stands_alone(const Search *s)
{
    const Match *m = &s->m;
    const Graph *g = s->g;
    for (int k = 1; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        int inside = 0;
        for (int i = 0; i < m->nnodes; i++) {
            const Node *reader = &g->node.at[m->node[i]];
            for (int j = 0; j < reader->nin; j++)
                inside += reader->in[j] == n->out[0];
        }
        if (inside != s->uses[n->out[0]])
            return false;
    }
    for (int k = 0; k < 26; k++)
        if (m->value[k] >= 0 && g->value.at[m->value[k]].producer >= 0 &&
            is_matched(m, g->value.at[m->value[k]].producer))
            return false;
    return true;
}

static bool solve(Search *s, const Goal *goal);

static bool solve_either(Search *s, const Goal *goal)
{
    for (int k = 0; k < goal->pattern->n; k++) {
        const Goal one = {goal->pattern->arg[k], goal->v, goal->next};
        if (solve(s, &one))
            return true;
    }
    return false;
}

static bool solve_value(Search *s, const Goal *goal)
{
    ValueId *bound = &s->m.value[goal->pattern->letter];
    if (*bound >= 0)
        return same_value(s->g, *bound, goal->v) && solve(s, goal->next);
    *bound = goal->v;
    if (solve(s, goal->next))
        return true;
    *bound = -1;
    return false;
}

static bool solve_capture(Search *s, const Goal *goal)
{
    const int letter = goal->pattern->letter;
    double number;
    if (!is_number(s->g, goal->v, &number))
        return false;
    if (s->m.known[letter])
        return s->m.number[letter] == number && solve(s, goal->next);
    s->m.known[letter] = true;
    s->m.number[letter] = number;
    if (solve(s, goal->next))
        return true;
    s->m.known[letter] = false;
    return false;
}

static bool solve_inputs(Search *s, const Goal *goal, const Node *n, bool swapped)
{
    Goal inputs[MAX_ARGS];
    const Goal *next = goal->next;
    for (int k = n->nin - 1; k >= 0; k--) {
        inputs[k] = (Goal){goal->pattern->arg[k], n->in[swapped ? n->nin - 1 - k : k], next};
        next = &inputs[k];
    }
    return solve(s, next);
}

static bool commutes(OpCode op)
{
    return op == OP_ADD || op == OP_MUL || op == OP_MIN || op == OP_MAX;
}

static bool solve_node(Search *s, const Goal *goal)
{
    const NodeId id = s->g->value.at[goal->v].producer;
    if (id < 0)
        return false;
    const Node *n = &s->g->node.at[id];
    if (n->op != goal->pattern->op || n->nin != goal->pattern->n || n->nout != 1)
        return false;
    for (int k = 0; k < n->nin; k++)
        if (n->in[k] < 0)
            return false;
    const int nodes = s->m.nnodes;
    if (!is_matched(&s->m, id)) {
        if (nodes == MATCH_NODES || (nodes > 0 && s->g->node.at[s->m.node[0]].home != n->home))
            return false;
        s->m.node[s->m.nnodes++] = id;
    }
    if (solve_inputs(s, goal, n, false) ||
        (commutes(n->op) && n->nin == 2 && solve_inputs(s, goal, n, true)))
        return true;
    s->m.nnodes = nodes;
    return false;
}

static bool solve(Search *s, const Goal *goal)
{
    if (!goal)
        return stands_alone(s);
    switch (goal->pattern->kind) {
    case PATTERN_NODE:
        return solve_node(s, goal);
    case PATTERN_VALUE:
        return solve_value(s, goal);
    case PATTERN_CAPTURE:
        return solve_capture(s, goal);
    case PATTERN_NUMBER:
        return is_this_number(s->g, goal->v, goal->pattern->number) && solve(s, goal->next);
    case PATTERN_EITHER:
        return solve_either(s, goal);
    }
    return false;
}

static bool match_node(const Graph *g, const int *uses, const Pattern *p, NodeId root, Match *m)
{
    const Node *n = &g->node.at[root];
    if (n->nout < 1 || n->out[0] < 0)
        return false;
    Search s = {.g = g, .uses = uses};
    for (int k = 0; k < 26; k++)
        s.m.value[k] = -1;
    const Goal goal = {p, n->out[0], NULL};
    const bool found = solve(&s, &goal);
    *m = s.m;
    return found;
}

/* ---- replacing ---- */

NodeId match_replace(Graph *g, const Match *m, OpCode op, int nin, const ValueId *in)
{
    for (int k = 1; k < m->nnodes; k++)
        block_remove(g, m->node[k]);
    Node *root = &g->node.at[m->node[0]];
    root->op = op;
    root->nin = nin;
    root->in = arena_dup(g->ctx->arena, in, (size_t)nin * sizeof *in);
    root->attr = NULL;
    root->nattr = 0;
    return m->node[0];
}

static int position(const Block *b, NodeId n)
{
    int at = 0;
    while (b->node.at[at] != n)
        at++;
    return at;
}

typedef struct Raise {
    Graph *g;
    int n;
    const RaiseRule *rules;
    const Pattern **pattern; /* by rule */
    const int *uses;
} Raise;

static bool raise_node(Raise *r, NodeId root)
{
    for (int k = 0; k < r->n; k++) {
        Match m;
        if (match_node(r->g, r->uses, r->pattern[k], root, &m) &&
            r->rules[k].raise(r->g, &m, &r->rules[k])) {
            r->uses = graph_count_uses(r->g);
            return true;
        }
    }
    return false;
}

Graph *raise_chains(Context *ctx, const Graph *old, int n, const RaiseRule *rules,
                    const Macro *macros, int *count)
{
    Graph *g = graph_copy(ctx, old);
    Raise r = {.g = g, .n = n, .rules = rules, .uses = graph_count_uses(g)};
    r.pattern = arena_array_of(ctx->arena, n, const Pattern *);
    for (int k = 0; k < n; k++) {
        Parser p = {.ctx = ctx, .macros = macros, .at = rules[k].pattern};
        r.pattern[k] = parse_pattern(&p);
        assert(*p.at == '\0');
    }
    for (int b = 0; b < g->block.len; b++) {
        Block *block = &g->block.at[b];
        for (int i = block->node.len - 1; i >= 0; i--) {
            const NodeId root = block->node.at[i];
            if (raise_node(&r, root)) {
                i = position(block, root);
                ++*count;
            }
        }
    }
    return g;
}

/* ---- questions ---- */

bool reductions_keep_dims(const Graph *g, const Match *m)
{
    for (int k = 0; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        const bool reduces = strncmp(op_rows[n->op].name, "reduce_", 7) == 0;
        if (reduces && node_int(n, "keepdims", 1) == 0)
            return false;
    }
    return true;
}
