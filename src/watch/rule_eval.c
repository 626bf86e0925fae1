/* Values of rules: Kleene logic, arithmetic, texts. */
#include "watch/rule_eval.h"

#include <math.h>
#include <string.h>

RuleValue value_number(double v)
{
    return isfinite(v) ? (RuleValue){.kind = VALUE_NUMBER, .number = v} : value_unknown();
}

bool value_equal(const RuleValue *a, const RuleValue *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == VALUE_TEXT ? strcmp(a->text, b->text) == 0 : a->number == b->number;
}

int value_condition(const RuleValue *v)
{
    return v->kind == VALUE_UNKNOWN ? -1 : v->kind == VALUE_LIST ? v->n > 0 : v->number != 0;
}

static RuleValue seconds(int64_t us)
{
    return value_number((double)us / 1e6);
}

/* ---- names ---- */

static RuleValue best_score(const RuleValue *list)
{
    float best = 0;
    for (int i = 0; i < list->n; i++)
        best = i == 0 || list->list[i].score > best ? list->list[i].score : best;
    return list->kind == VALUE_LIST && list->n > 0 ? value_number((double)best) : value_unknown();
}

static RuleValue signal_value(const RuleNow *now, const RuleNode *n)
{
    const Reading *const r = &now->reading[n->index];
    const bool known = r->value.kind != VALUE_UNKNOWN;
    switch (n->field) {
    case FIELD_VALUE: return r->value;
    case FIELD_PREV: return known ? r->prev : value_unknown();
    case FIELD_AGE: return known ? seconds(now->t - r->since) : value_unknown();
    case FIELD_TEXT: return known ? value_text(r->page) : value_unknown();
    case FIELD_X: return r->placed ? value_number(r->x) : value_unknown();
    case FIELD_Y: return r->placed ? value_number(r->y) : value_unknown();
    case FIELD_AREA: return r->placed ? value_text(r->area) : value_unknown();
    case FIELD_SCORE:
        if (r->value.kind == VALUE_LIST)
            return best_score(&r->value);
        return r->scored ? value_number((double)r->score) : value_unknown();
    default: return value_unknown();
    }
}

static RuleValue found_value(const Found *f, RuleField field)
{
    switch (field) {
    case FIELD_LABEL:
    case FIELD_TEXT: return f->label ? value_text(f->label) : value_unknown();
    case FIELD_SCORE: return value_number((double)f->score);
    case FIELD_X: return value_number((double)f->box.x);
    case FIELD_Y: return value_number((double)f->box.y);
    case FIELD_WIDTH: return value_number((double)f->box.width);
    case FIELD_HEIGHT: return value_number((double)f->box.height);
    case FIELD_AREA: return f->area ? value_text(f->area) : value_unknown();
    default: return value_unknown();
    }
}

static RuleValue item_value(const RuleNow *now, const RuleNode *n)
{
    if (!now->item_known)
        return value_unknown();
    if (n->field == FIELD_VALUE)
        return value_truth(now->item != NULL);
    if (!now->item)
        return value_unknown();
    return n->field == FIELD_AGE ? seconds(now->t - now->item_since)
                                 : found_value(now->item, n->field);
}

static RuleValue event_value(const RuleNow *now, const RuleNode *n)
{
    const EventNow none = {0}, *const e = now->event ? &now->event[n->index] : &none;
    if (n->field == FIELD_AGE)
        return e->active ? seconds(now->t - e->since) : value_unknown();
    return value_truth(e->active);
}

/* ---- operators ---- */

static RuleValue arithmetic(RuleOp op, double a, double b)
{
    switch (op) {
    case RULE_ADD: return value_number(a + b);
    case RULE_SUB: return value_number(a - b);
    case RULE_MUL: return value_number(a * b);
    case RULE_DIV: return b == 0 ? value_unknown() : value_number(a / b);
    default: return value_number(-a);
    }
}

static RuleValue comparison(RuleOp op, const RuleValue *a, const RuleValue *b)
{
    switch (op) {
    case RULE_LT: return value_truth(a->number < b->number);
    case RULE_LE: return value_truth(a->number <= b->number);
    case RULE_GT: return value_truth(a->number > b->number);
    case RULE_GE: return value_truth(a->number >= b->number);
    case RULE_EQ: return value_truth(value_equal(a, b));
    default: return value_truth(!value_equal(a, b));
    }
}

static int matches_text(const RuleNow *now, const RuleNode *n, const char *text)
{
    if (n->op == RULE_NEAR)
        return text_near(text, n->text, n->edits);
    return pattern_find(now->matcher, n->pattern, text, NULL, NULL);
}

/* In a list: true once one is, else unknown if one is. */
static RuleValue matches(const RuleNow *now, const RuleNode *n, const RuleValue *of)
{
    int any = 0;
    if (of->kind == VALUE_TEXT)
        any = matches_text(now, n, of->text);
    for (int i = 0; of->kind == VALUE_LIST && i < of->n && any != 1; i++) {
        const int one = of->list[i].label ? matches_text(now, n, of->list[i].label) : -1;
        any = one != 0 ? one : any;
    }
    return any < 0 ? value_unknown() : value_truth(any);
}

static RuleValue count(const RuleNow *now, const Rule *r, const RuleMemory *m, const RuleNode *n,
                       const RuleValue *list)
{
    if (n->b < 0)
        return value_number(list->n);
    int sum = 0;
    for (int i = 0; i < list->n; i++) {
        const RuleResult one = rule_node_value(now, r, m, n->b, &list->list[i]);
        const int c = value_condition(&one.value);
        if (c < 0)
            return value_unknown();
        sum += c;
    }
    return value_number(sum);
}

static RuleResult plain(RuleValue v)
{
    return (RuleResult){v, NO_TIME};
}

static RuleResult logic(RuleOp op, RuleResult a, RuleResult b)
{
    const int p = value_condition(&a.value), q = value_condition(&b.value);
    RuleResult out = {.begin = NO_TIME};
    if (op == RULE_AND) {
        if (p == 0 || q == 0)
            return plain(value_truth(false));
        if (p < 0 || q < 0)
            return plain(value_unknown());
        out.begin = a.begin > b.begin ? a.begin : b.begin;
    } else {
        if (p != 1 && q != 1)
            return plain(p < 0 || q < 0 ? value_unknown() : value_truth(false));
        const int64_t x = p == 1 ? a.begin : NO_TIME, y = q == 1 ? b.begin : NO_TIME;
        out.begin = x == NO_TIME || (y != NO_TIME && y < x) ? y : x;
    }
    out.value = value_truth(true);
    return out;
}

static RuleResult operator_value(const RuleNow *now, const Rule *r, const RuleMemory *m,
                                 const RuleNode *n, const Found *element)
{
    const RuleResult a = rule_node_value(now, r, m, n->a, element);
    if (n->op == RULE_COUNT)
        return plain(a.value.kind == VALUE_UNKNOWN ? a.value : count(now, r, m, n, &a.value));
    const RuleResult b =
        n->b >= 0 ? rule_node_value(now, r, m, n->b, element) : plain(value_truth(false));
    if (n->op == RULE_AND || n->op == RULE_OR)
        return logic(n->op, a, b);
    if (a.value.kind == VALUE_UNKNOWN || b.value.kind == VALUE_UNKNOWN)
        return plain(value_unknown());
    switch (n->op) {
    case RULE_NOT: return plain(value_truth(!value_condition(&a.value)));
    case RULE_LIKE:
    case RULE_NEAR: return plain(matches(now, n, &a.value));
    case RULE_NEGATE:
    case RULE_ADD:
    case RULE_SUB:
    case RULE_MUL:
    case RULE_DIV: return plain(arithmetic(n->op, a.value.number, b.value.number));
    default: return plain(comparison(n->op, &a.value, &b.value));
    }
}

RuleResult rule_node_value(const RuleNow *now, const Rule *r, const RuleMemory *m, int node,
                           const Found *element)
{
    const RuleNode *const n = &r->at[node];
    RuleResult out = {.begin = NO_TIME};
    switch (n->op) {
    case RULE_NUMBER:
    case RULE_DURATION: return plain(value_number(n->number));
    case RULE_STRING: return plain(value_text(n->text));
    case RULE_SIGNAL: return plain(signal_value(now, n));
    case RULE_EVENT: return plain(event_value(now, n));
    case RULE_ITEM: return plain(item_value(now, n));
    case RULE_ELEMENT: return plain(found_value(element, n->field));
    case RULE_CHANGED:
    case RULE_RISES:
    case RULE_SEQ:
    case RULE_RATE:
        if (m)
            out.value = rule_memory_value(now, n, m, &out.begin);
        return out;
    default: return operator_value(now, r, m, n, element);
    }
}

RuleResult rule_value(const RuleNow *now, const Rule *r, const RuleMemory *m)
{
    return rule_node_value(now, r, m, r->root, NULL);
}
