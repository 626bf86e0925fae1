/* Rule -> canonical text: every operator in brackets, durations in seconds, texts in single
 * quotes. */
#include <string.h>

#include "watch/json_write.h"
#include "watch/rule_tree.h"

static void print(Str *out, const Watch *w, const Rule *r, int k);

static void print_string(Str *out, const char *text)
{
    str_addc(out, '\'');
    for (; *text; text++)
        str_add(out, *text == '\'' ? "''" : (char[]){*text, 0});
    str_addc(out, '\'');
}

static void print_field(Str *out, RuleField f)
{
    if (f != FIELD_VALUE)
        str_addf(out, ".%s", rule_field_name(f));
}

static const char *sign(RuleOp op)
{
    static const char *const name[] = {
        [RULE_OR] = "||", [RULE_AND] = "&&", [RULE_LT] = "<",  [RULE_LE] = "<=",
        [RULE_GT] = ">",  [RULE_GE] = ">=",  [RULE_EQ] = "==", [RULE_NE] = "!=",
        [RULE_ADD] = "+", [RULE_SUB] = "-",  [RULE_MUL] = "*", [RULE_DIV] = "/",
    };
    return name[op];
}

static void print_function(Str *out, const Watch *w, const Rule *r, const RuleNode *n,
                           const char *name)
{
    str_addf(out, "%s(", name);
    print(out, w, r, n->a);
    if (n->b >= 0) {
        str_add(out, ", ");
        print(out, w, r, n->b);
    }
    if (n->op == RULE_SEQ || n->op == RULE_RATE) {
        str_add(out, ", ");
        json_add_number(out, n->number);
        str_addc(out, 's');
    }
    str_addc(out, ')');
    print_field(out, n->field);
}

static void print_leaf(Str *out, const Watch *w, const RuleNode *n)
{
    switch (n->op) {
    case RULE_NUMBER:
    case RULE_DURATION:
        json_add_number(out, n->number);
        if (n->op == RULE_DURATION)
            str_addc(out, 's');
        break;
    case RULE_STRING:
        print_string(out, n->text);
        break;
    case RULE_ELEMENT:
        str_add(out, rule_field_name(n->field));
        break;
    default:
        str_add(out, n->op == RULE_EVENT ? w->event[n->index].name : w->signal[n->index].name);
        print_field(out, n->field);
    }
}

static void print(Str *out, const Watch *w, const Rule *r, int k)
{
    const RuleNode *const n = &r->at[k];
    switch (n->op) {
    case RULE_NUMBER:
    case RULE_DURATION:
    case RULE_STRING:
    case RULE_SIGNAL:
    case RULE_EVENT:
    case RULE_ITEM:
    case RULE_ELEMENT: print_leaf(out, w, n); return;
    case RULE_COUNT: print_function(out, w, r, n, "count"); return;
    case RULE_CHANGED: print_function(out, w, r, n, "changed"); return;
    case RULE_RISES: print_function(out, w, r, n, "rises"); return;
    case RULE_SEQ: print_function(out, w, r, n, "seq"); return;
    case RULE_RATE: print_function(out, w, r, n, "rate"); return;
    default: break;
    }
    str_addc(out, '(');
    if (n->op == RULE_NOT || n->op == RULE_NEGATE)
        str_addc(out, n->op == RULE_NOT ? '!' : '-');
    print(out, w, r, n->a);
    if (n->op == RULE_LIKE || n->op == RULE_NEAR) {
        str_add(out, n->op == RULE_LIKE ? " =~ " : " ~ ");
        print_string(out, n->text);
        if (n->op == RULE_NEAR)
            str_addf(out, "/%d", n->edits);
    } else if (n->b >= 0) {
        str_addf(out, " %s ", sign(n->op));
        print(out, w, r, n->b);
    }
    str_addc(out, ')');
}

void rule_print(Str *out, const Watch *w, const Rule *r)
{
    print(out, w, r, r->root);
}
