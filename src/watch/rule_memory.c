/* What changed, rises, seq and rate remember.
 *
 * A *latch* turns a condition into a confirmed one: none -> (false) <-> true. It becomes true once
 * n of the last m known samples are, false by the window of release; `rises` also confirms a first
 * false, as its old state must have been held. The windows start anew at every turn, so that a run
 * cannot count for the state before and for the one after.
 *
 * A part of a rule that uses a function again steps again: changed(x) and changed(x).prev each
 * remember for themselves. */
#include <math.h>
#include <string.h>

#include "base/map.h"
#include "watch/event.h"
#include "watch/rule_eval.h"

/* ---- windows ---- */

RuleWindows rule_windows(const Watch *w, Window confirm, Window release)
{
    return (RuleWindows){
        .confirm = confirm,
        .release = release,
        .confirm_span = llrint(confirm.m * 2e6 / w->fps),
        .release_span = llrint(release.m * 2e6 / w->fps),
        .gap = w->gap,
    };
}

Hits hits_new(Arena *a, int m, int64_t span)
{
    return (Hits){.m = m,
                  .span = span,
                  .t = arena_array_of(a, m, int64_t),
                  .awake = arena_array_of(a, m, int64_t),
                  .hit = arena_array_of(a, m, bool)};
}

void hits_clear(Hits *h)
{
    h->n = h->head = 0;
}

int hits_slot(const Hits *h, int i)
{
    return (h->head + i) % h->m;
}

static void drop_oldest(Hits *h)
{
    h->head = (h->head + 1) % h->m;
    h->n--;
}

void hits_drop_before(Hits *h, int64_t t)
{
    while (h->n > 0 && h->t[h->head] < t)
        drop_oldest(h);
}

int hits_add(Hits *h, int64_t t, int64_t awake, bool hit)
{
    while (h->n > 0 && (h->n == h->m || awake - h->awake[h->head] > h->span))
        drop_oldest(h);
    const int slot = hits_slot(h, h->n++);
    h->t[slot] = t;
    h->awake[slot] = awake;
    h->hit[slot] = hit;
    return slot;
}

int hits_count(const Hits *h, bool hit)
{
    int sum = 0;
    for (int i = 0; i < h->n; i++)
        sum += h->hit[hits_slot(h, i)] == hit;
    return sum;
}

int64_t hits_first(const Hits *h)
{
    for (int i = 0; i < h->n; i++)
        if (h->hit[hits_slot(h, i)])
            return h->t[hits_slot(h, i)];
    return NO_TIME;
}

/* ---- latches ---- */

typedef enum LatchState { LATCH_NONE, LATCH_FALSE, LATCH_TRUE } LatchState;

typedef struct Latch {
    Window confirm_by, release_by;
    bool instant, holds_false;
    int64_t gap;
    Hits confirm, release;
    LatchState state;
    int64_t known;     /* the last known sample, by RuleNow.awake; NO_TIME: none */
    bool fired;        /* became true at this sample .. */
    bool rose;         /* .. having been false */
    bool unknown;      /* at this sample */
    int64_t begin;     /* of the run that made it true */
} Latch;

static Latch latch_new(Arena *a, const RuleWindows *w, bool instant, bool holds_false)
{
    return (Latch){
        .confirm_by = w->confirm,
        .release_by = w->release,
        .instant = instant,
        .holds_false = holds_false,
        .gap = w->gap,
        .confirm = hits_new(a, w->confirm.m, w->confirm_span),
        .release = hits_new(a, w->release.m, w->release_span),
        .known = NO_TIME,
    };
}

static void latch_turn(Latch *l, LatchState to)
{
    l->state = to;
    hits_clear(&l->confirm);
    hits_clear(&l->release);
}

static void latch_reset(Latch *l)
{
    latch_turn(l, LATCH_NONE);
    l->known = NO_TIME;
    l->fired = l->rose = false;
    l->unknown = true;
}

static void latch_to_true(Latch *l, int64_t begin)
{
    l->fired = true;
    l->rose = l->state == LATCH_FALSE;
    l->begin = begin;
    latch_turn(l, LATCH_TRUE);
}

/* An instant is not confirmed a second time, nor is its end. */
static void latch_step(Latch *l, int64_t t, int64_t awake, const RuleResult *c)
{
    const int truth = value_condition(&c->value);
    if (l->known != NO_TIME && awake - l->known > l->gap)
        latch_reset(l);
    l->fired = l->rose = false;
    l->unknown = truth < 0;
    if (truth < 0)
        return;
    l->known = awake;
    if (l->state != LATCH_TRUE) {
        hits_add(&l->confirm, t, awake, truth);
        if (truth == 1 && (l->instant || hits_count(&l->confirm, true) >= l->confirm_by.n)) {
            latch_to_true(l, l->instant && c->begin != NO_TIME ? c->begin
                             : l->instant                      ? t
                                                               : hits_first(&l->confirm));
            return;
        }
        if (!l->holds_false || l->state == LATCH_FALSE)
            return;
    }
    hits_add(&l->release, t, awake, truth);
    if (truth == 0 && (l->instant || hits_count(&l->release, false) >= l->release_by.n))
        latch_turn(l, LATCH_FALSE);
}

static bool latch_pending(const Latch *l)
{
    return l->state == LATCH_TRUE ? hits_count(&l->release, false) > 0
                                  : hits_count(&l->confirm, true) > 0;
}

/* ---- functions ---- */

typedef struct Confirmed { /* a value that is kept */
    RuleValue value;
    char *text; /* EVENT_MAX_TEXT bytes, where values are texts */
} Confirmed;

typedef struct Changed {
    Window by;
    int64_t gap, known, begin;
    Hits seen;      /* hits are not looked at */
    uint64_t *hash; /* of the value, by slot */
    Confirmed now, before;
    bool fired, unknown, candidate;
} Changed;

typedef struct Queue { /* begins that wait for their partner, oldest first */
    int n;
    int64_t at[RULE_MAX_WAITING];
} Queue;

typedef struct Sequence {
    Latch a, b;
    Queue waiting_a, waiting_b;
    int64_t within, begin;
    bool fired;
} Sequence;

typedef struct Rate {
    Latch latch;
    int64_t within;
    int n, next;
    int64_t *at;
} Rate;

typedef union Function {
    Latch rises;
    Changed changed;
    Sequence seq;
    Rate rate;
} Function;

struct RuleMemory {
    Function *at; /* by RuleNode.memory */
};

static Confirmed confirmed_new(Arena *a, ValueKind type)
{
    return (Confirmed){.text = type == VALUE_TEXT ? arena_alloc(a, EVENT_MAX_TEXT) : NULL};
}

static void keep(Confirmed *c, const RuleValue *v)
{
    c->value = *v;
    if (v->kind == VALUE_TEXT) {
        text_copy(c->text, EVENT_MAX_TEXT, v->text);
        c->value.text = c->text;
    }
}

static int64_t microseconds(double s)
{
    return llrint(s * 1e6);
}

static void function_new(Arena *a, const Rule *r, const RuleNode *n, const RuleWindows *w,
                         Function *f)
{
    /* An event is confirmed already. */
    const bool instant_a = r->at[n->a].instant || r->at[n->a].op == RULE_EVENT;
    const bool instant_b = n->b >= 0 && r->at[n->b].instant;
    switch (n->op) {
    case RULE_CHANGED:
        f->changed = (Changed){
            .by = w->confirm,
            .gap = w->gap,
            .seen = hits_new(a, w->confirm.m, w->confirm_span),
            .hash = arena_array_of(a, w->confirm.m, uint64_t),
            .now = confirmed_new(a, r->at[n->a].type),
            .before = confirmed_new(a, r->at[n->a].type),
        };
        break;
    case RULE_RISES:
        f->rises = latch_new(a, w, instant_a, true);
        break;
    case RULE_SEQ:
        f->seq = (Sequence){.a = latch_new(a, w, instant_a, false),
                            .b = latch_new(a, w, instant_b, false),
                            .within = microseconds(n->number)};
        break;
    default:
        f->rate = (Rate){.latch = latch_new(a, w, instant_a, false),
                         .within = microseconds(n->number),
                         .at = arena_array_of(a, RULE_MAX_STARTS, int64_t)};
    }
}

RuleMemory *rule_memory_new(Arena *a, const Rule *r, const RuleWindows *w)
{
    RuleMemory *const m = arena_new_of(a, RuleMemory);
    m->at = arena_array_of(a, r->nmemory, Function);
    for (int i = 0; i < r->n; i++)
        if (r->at[i].memory >= 0)
            function_new(a, r, &r->at[i], w, &m->at[r->at[i].memory]);
    rule_memory_reset(m, r);
    return m;
}

static void changed_reset(Changed *c)
{
    hits_clear(&c->seen);
    c->now.value = c->before.value = value_unknown();
    c->known = NO_TIME;
    c->fired = c->candidate = false;
    c->unknown = true;
}

void rule_memory_reset(RuleMemory *m, const Rule *r)
{
    for (int i = 0; i < r->n; i++) {
        if (r->at[i].memory < 0)
            continue;
        Function *const f = &m->at[r->at[i].memory];
        switch (r->at[i].op) {
        case RULE_CHANGED: changed_reset(&f->changed); break;
        case RULE_RISES: latch_reset(&f->rises); break;
        case RULE_SEQ:
            latch_reset(&f->seq.a);
            latch_reset(&f->seq.b);
            f->seq.waiting_a.n = f->seq.waiting_b.n = 0;
            f->seq.fired = false;
            break;
        default:
            latch_reset(&f->rate.latch);
            f->rate.n = f->rate.next = 0;
        }
    }
}

static uint64_t hash_value(const RuleValue *v)
{
    if (v->kind != VALUE_TEXT) {
        const double x = v->number + 0.0; /* -0 is 0 */
        return hash_bytes(&x, sizeof x, 0);
    }
    char text[EVENT_MAX_TEXT]; /* as it would be kept */
    return hash_bytes(text, text_copy(text, sizeof text, v->text), 1);
}

static void changed_step(Changed *c, int64_t t, int64_t awake, const RuleValue *v)
{
    if (c->known != NO_TIME && awake - c->known > c->gap)
        changed_reset(c);
    c->fired = false;
    c->unknown = v->kind == VALUE_UNKNOWN;
    if (c->unknown)
        return;
    c->known = awake;
    const uint64_t hash = hash_value(v);
    c->hash[hits_add(&c->seen, t, awake, true)] = hash;
    const bool had = c->now.value.kind != VALUE_UNKNOWN,
               other = !had || hash_value(&c->now.value) != hash;
    int same = 0;
    int64_t first = t;
    for (int i = c->seen.n - 1; i >= 0; i--) {
        if (c->hash[hits_slot(&c->seen, i)] == hash) {
            same++;
            first = c->seen.t[hits_slot(&c->seen, i)];
        }
    }
    c->candidate = other && same < c->by.n;
    if (!other || same < c->by.n)
        return;
    if (had)
        keep(&c->before, &c->now.value);
    keep(&c->now, v);
    c->fired = had;
    c->begin = first;
    hits_clear(&c->seen);
}

static void queue_push(Queue *q, int64_t t)
{
    if (q->n == RULE_MAX_WAITING)
        memmove(q->at, q->at + 1, (size_t)--q->n * sizeof *q->at);
    q->at[q->n++] = t;
}

/* Takes the oldest that is a partner of `t`: `sign` of (its time - t) within the limit. */
static bool queue_take(Queue *q, int64_t t, int sign, int64_t within, int64_t *out)
{
    for (int i = 0; i < q->n; i++) {
        const int64_t apart = sign * (q->at[i] - t);
        if (apart <= 0 || apart > within)
            continue;
        *out = q->at[i];
        memmove(q->at + i, q->at + i + 1, (size_t)(--q->n - i) * sizeof *q->at);
        return true;
    }
    return false;
}

static void seq_begins(Sequence *s, int64_t t, bool is_b)
{
    int64_t partner;
    if (queue_take(is_b ? &s->waiting_a : &s->waiting_b, t, is_b ? -1 : 1, s->within, &partner)) {
        s->fired = true;
        s->begin = is_b ? t : partner; /* where b began */
    } else {
        queue_push(is_b ? &s->waiting_b : &s->waiting_a, t);
    }
}

/* Begins of an argument of seq or rate: an event's own starts, or its latch's. */
static void step_argument(const RuleNow *now, const Rule *r, const RuleMemory *m, int node,
                          Latch *l, int *n, const int64_t **at)
{
    const RuleNode *const a = &r->at[node];
    if (a->op == RULE_EVENT && a->field == FIELD_VALUE) {
        *n = now->event ? now->event[a->index].nstart : 0;
        *at = now->event ? now->event[a->index].start : NULL;
        l->unknown = false;
        return;
    }
    const RuleResult c = rule_node_value(now, r, m, node, NULL);
    latch_step(l, now->t, now->awake, &c);
    *n = l->fired;
    *at = &l->begin;
}

static void function_step(const RuleNow *now, const Rule *r, const RuleMemory *m,
                          const RuleNode *node, Function *f)
{
    int n;
    const int64_t *at;
    if (node->op == RULE_CHANGED || node->op == RULE_RISES) {
        const RuleResult x = rule_node_value(now, r, m, node->a, NULL);
        if (node->op == RULE_CHANGED)
            changed_step(&f->changed, now->t, now->awake, &x.value);
        else
            latch_step(&f->rises, now->t, now->awake, &x);
    } else if (node->op == RULE_SEQ) {
        f->seq.fired = false;
        step_argument(now, r, m, node->a, &f->seq.a, &n, &at);
        for (int i = 0; i < n; i++)
            seq_begins(&f->seq, at[i], false);
        step_argument(now, r, m, node->b, &f->seq.b, &n, &at);
        for (int i = 0; i < n; i++)
            seq_begins(&f->seq, at[i], true);
    } else {
        step_argument(now, r, m, node->a, &f->rate.latch, &n, &at);
        for (int i = 0; i < n; i++) {
            f->rate.at[f->rate.next] = at[i];
            f->rate.next = (f->rate.next + 1) % RULE_MAX_STARTS;
            f->rate.n += f->rate.n < RULE_MAX_STARTS;
        }
    }
}

void rule_step(const RuleNow *now, const Rule *r, RuleMemory *m)
{
    for (int i = 0; i < r->n && r->nmemory > 0; i++)
        if (r->at[i].memory >= 0)
            function_step(now, r, m, &r->at[i], &m->at[r->at[i].memory]);
}

static RuleValue instant(bool fired, bool unknown)
{
    return !fired && unknown ? value_unknown() : value_truth(fired);
}

RuleValue rule_memory_value(const RuleNow *now, const RuleNode *n, const RuleMemory *m,
                            int64_t *begin)
{
    const Function *const f = &m->at[n->memory];
    switch (n->op) {
    case RULE_CHANGED: {
        const Changed *const c = &f->changed;
        const bool two = c->before.value.kind != VALUE_UNKNOWN;
        if (n->field == FIELD_PREV)
            return c->before.value;
        if (n->field == FIELD_DELTA)
            return two ? value_number(c->now.value.number - c->before.value.number)
                       : value_unknown();
        *begin = c->fired ? c->begin : NO_TIME;
        return instant(c->fired, c->unknown);
    }
    case RULE_RISES:
        *begin = f->rises.rose ? f->rises.begin : NO_TIME;
        return instant(f->rises.rose, f->rises.unknown);
    case RULE_SEQ:
        *begin = f->seq.fired ? f->seq.begin : NO_TIME;
        return instant(f->seq.fired, f->seq.a.unknown || f->seq.b.unknown);
    default: {
        int sum = 0;
        for (int i = 0; i < f->rate.n; i++)
            sum += f->rate.at[i] > now->t - f->rate.within && f->rate.at[i] <= now->t;
        return value_number(sum / n->number);
    }
    }
}

bool rule_pending(const Rule *r, const RuleMemory *m)
{
    for (int i = 0; i < r->n; i++) {
        if (r->at[i].memory < 0)
            continue;
        const Function *const f = &m->at[r->at[i].memory];
        const RuleOp op = r->at[i].op;
        if (op == RULE_CHANGED ? f->changed.candidate
            : op == RULE_RISES ? latch_pending(&f->rises)
            : op == RULE_SEQ   ? latch_pending(&f->seq.a) || latch_pending(&f->seq.b)
                               : latch_pending(&f->rate.latch))
            return true;
    }
    return false;
}
