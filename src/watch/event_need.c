/* Which signals the next sample needs.
 *
 *     screen == 'play' && alive <= 10
 *
 * While the screen is the lobby, nobody needs to read `alive`: of the two sides of && (||) the cheaper is always
 * looked at, the dearer only while the cheaper does not decide by itself. When the screen changes, `alive` is
 * unknown for the one sample more. Functions that remember decide nothing: an instant would be over before it was
 * looked at.
 *
 * What stands in `data` is needed wherever the condition may be true at the next sample, and a guard's `reset_on`
 * with its signal. */
#include "watch/event_state.h"

typedef struct Plan {
    const Events *v;
    RuleNow now;
    bool *need;
} Plan;

/* What a look costs, roughly in hundreds of microseconds: the order alone matters. */
static int signal_cost(const Signal *s)
{
    switch (s->kind) {
    case SIGNAL_MOTION: return 1;
    case SIGNAL_ICON: return 2;
    case SIGNAL_AUDIO: return 3;
    case SIGNAL_SCREEN: return 4;
    case SIGNAL_POSITION: return 8;
    case SIGNAL_CLASS: return 40;
    case SIGNAL_OBJECT: return 300;
    case SIGNAL_TEXT: break;
    }
    return s->text.mode == TEXT_LINE ? 35 : 500;
}

static bool is_signal(const RuleNode *n)
{
    return n->op == RULE_SIGNAL || n->op == RULE_ITEM || n->op == RULE_ELEMENT;
}

static int cost(const Plan *p, const Rule *r, int k)
{
    const RuleNode *const n = &r->at[k];
    const int own = is_signal(n) ? signal_cost(&p->v->watch->signal[n->index]) : 0;
    return own + (n->a >= 0 ? cost(p, r, n->a) : 0) + (n->b >= 0 ? cost(p, r, n->b) : 0);
}

static int last_value(const Plan *p, const Rule *r, int k)
{
    const RuleResult c = rule_node_value(&p->now, r, NULL, k, NULL);
    return value_condition(&c.value);
}

static void need(const Plan *p, const Rule *r, int k)
{
    const RuleNode *const n = &r->at[k];
    if (is_signal(n))
        p->need[n->index] = true;
    if (n->op != RULE_AND && n->op != RULE_OR) {
        if (n->a >= 0)
            need(p, r, n->a);
        if (n->b >= 0)
            need(p, r, n->b);
        return;
    }
    const bool left = cost(p, r, n->a) <= cost(p, r, n->b);
    need(p, r, left ? n->a : n->b);
    if (last_value(p, r, left ? n->a : n->b) != (n->op == RULE_OR))
        need(p, r, left ? n->b : n->a);
}

/* `within` && `when`. */
static void need_condition(const Plan *p, const EventRule *e)
{
    if (!e->within) {
        need(p, e->when, e->when->root);
        return;
    }
    const bool left = cost(p, e->within, e->within->root) <= cost(p, e->when, e->when->root);
    const Rule *const cheap = left ? e->within : e->when, *const dear = left ? e->when : e->within;
    need(p, cheap, cheap->root);
    if (last_value(p, cheap, cheap->root) != 0)
        need(p, dear, dear->root);
}

/* Can it be true at the next sample, if no more than is needed now is looked at? */
static bool can_be_true(const Plan *p, const Rule *r, int k)
{
    const RuleNode *const n = &r->at[k];
    if (is_signal(n) && !p->need[n->index])
        return false;
    const bool a = n->a < 0 || can_be_true(p, r, n->a), b = n->b < 0 || can_be_true(p, r, n->b);
    return n->op == RULE_OR ? a || b : a && b;
}

/* What stands in data and guards; true: something new. */
static bool need_more(const Plan *p)
{
    const Watch *const w = p->v->watch;
    int before = 0, after = 0;
    for (int i = 0; i < w->nsignal; i++)
        before += p->need[i];
    for (int i = 0; i < w->nevent; i++) {
        const EventRule *const e = &w->event[i];
        if (!can_be_true(p, e->when, e->when->root) || (e->within && !can_be_true(p, e->within, e->within->root)))
            continue;
        for (int k = 0; k < e->ndata; k++)
            rule_needs(e->data[k], w, p->need);
    }
    for (int i = 0; i < w->nsignal; i++) {
        const Signal *const s = &w->signal[i];
        if (p->need[i] && s->kind == SIGNAL_TEXT && s->text.guard.reset_on)
            rule_needs(s->text.guard.reset_on, w, p->need);
    }
    for (int i = 0; i < w->nsignal; i++)
        after += p->need[i];
    return after > before;
}

void events_need(const Events *v, bool *out)
{
    const Plan p = {
        .v = v,
        .now = {.t = v->t, .reading = readings_now(v->readings), .event = v->now, .matcher = v->matcher},
        .need = out,
    };
    for (int i = 0; i < v->watch->nsignal; i++)
        out[i] = false;
    for (int i = 0; i < v->watch->nevent; i++) {
        need_condition(&p, &v->watch->event[i]);
        if (v->watch->event[i].each >= 0) /* whose key it is */
            out[v->watch->event[i].each] = true;
    }
    if (v->score) /* streams that are not shown matter as much as those that are */
        rule_needs(v->watch->spotlight->score, v->watch, out);
    if (v->require)
        rule_needs(v->watch->spotlight->require, v->watch, out);
    while (need_more(&p))
        ;
}
