/* Reference interpreter of watches: readings and rules, by looking through the samples from the
 * start. */
#include <stdlib.h>
#include <string.h>

#include "reference_parts.h"
#include "watch/pattern.h"

/* ---- readings ---- */

static RuleValue raw_line(const Ref *r, const TextSignal *d, const Observation *o)
{
    if (o->state != OBSERVE_SEEN || !isfinite(o->score) || !o->text)
        return value_unknown();
    const bool nothing = o->text[0] == 0 && d->type == TEXT_STRING && !d->pattern;
    if ((double)o->score < d->min_confidence && !nothing)
        return value_unknown();
    const char *text = o->text;
    if (d->pattern) {
        Span g;
        if (pattern_find(r->m, d->pattern, text, NULL, &g) != 1)
            return value_unknown();
        text = arena_strndup(r->a, text + g.start, g.end - g.start);
    }
    if (d->type == TEXT_STRING)
        return value_text(text);
    char *end;
    const double v = strtod(text, &end);
    return *text && !*end && v >= d->min && v <= d->max ? value_number(v) : value_unknown();
}

static bool same(const RuleValue *a, const RuleValue *b)
{
    return a->kind == b->kind && value_equal(a, b);
}

/* The value that most of the last readings gave. */
static RuleValue voted(const Ref *r, const TextSignal *d, const RuleValue *raw, int k)
{
    int at[64], n = 0;
    for (int j = k; j >= r->epoch_first && n < d->vote; j--)
        if (raw[j].kind != VALUE_UNKNOWN)
            at[n++] = j;
    while (n > 0 && time_of(r, k) - time_of(r, at[n - 1]) > d->vote_within)
        n--;
    int best = 0, most = 0;
    for (int i = 0; i < n; i++) {
        int sum = 0;
        for (int j = 0; j < n; j++)
            sum += same(&raw[at[i]], &raw[at[j]]);
        if (sum > most) {
            most = sum;
            best = i;
        }
    }
    return raw[at[best]];
}

static bool follows(const Guard *g, double from, double to, double s)
{
    const double by = to - from;
    return by >= 0 ? isinf(g->max_up_per_s) || by <= g->max_up_per_s * s
                   : isinf(g->max_down_per_s) || -by <= g->max_down_per_s * s;
}

/* Which of the values from the epoch's first sample to k are let through: looked at from the
 * start. */
static bool guard_passes(const Ref *r, const Guard *g, const RuleValue *v, const bool *reset, int k)
{
    int base = -1, chain = 0, last = -1;
    bool passed = false;
    for (int j = r->epoch_first; j <= k; j++) {
        if (reset[j]) {
            base = last = -1;
            chain = 0;
        }
        if (v[j].kind == VALUE_UNKNOWN)
            continue;
        const double s_base = base < 0 ? 0 : (double)(time_of(r, j) - time_of(r, base)) / 1e6;
        const double s_last = last < 0 ? 0 : (double)(time_of(r, j) - time_of(r, last)) / 1e6;
        passed = base < 0 || follows(g, v[base].number, v[j].number, s_base);
        if (!passed) {
            chain = last >= 0 && follows(g, v[last].number, v[j].number, s_last) ? chain + 1 : 1;
            last = j;
            passed = chain >= g->rebaseline_after;
        }
        if (passed) {
            base = j;
            last = -1;
            chain = 0;
        }
    }
    return passed;
}

/* Icons: the last score that was on one side or the other decides, if no silence lies between. */
static bool icon_on(const Ref *r, const IconSignal *d, int signal, int k)
{
    int64_t later = awake_at(r, k);
    for (int j = k; j >= r->epoch_first; j--) {
        const Observation *const o = &r->s[j].at[signal];
        if (o->state != OBSERVE_SEEN || !isfinite(o->score))
            continue;
        if (later - awake_at(r, j) > r->w->gap)
            return false;
        later = awake_at(r, j);
        if ((double)o->score >= d->on)
            return true;
        if ((double)o->score < d->off)
            return false;
    }
    return false;
}

static RuleValue list_of(const Ref *r, const Signal *d, const Observation *o)
{
    Found *const list = arena_array_of(r->a, o->nfound, Found);
    int n = 0;
    for (int i = 0; i < o->nfound; i++) {
        if (!isfinite(o->found[i].score))
            return value_unknown();
        bool wanted = d->kind == SIGNAL_TEXT || d->object.nlabel == 0;
        for (int k = 0; !wanted && k < d->object.nlabel; k++)
            wanted = label_matches(d->object.label[k], o->found[i].label);
        if (wanted && (double)o->found[i].score >=
                          (d->kind == SIGNAL_TEXT ? d->text.min_confidence : d->object.min_score))
            list[n++] = o->found[i];
    }
    return (RuleValue){.kind = VALUE_LIST, .n = n, .list = list};
}

Seen ref_see(const Ref *r, int signal, int k)
{
    const Signal *const d = &r->w->signal[signal];
    const Observation *const o = &r->s[k].at[signal];
    Seen out = {.v = value_unknown()};
    if (o->state != OBSERVE_SEEN)
        return out;
    out.scored = isfinite(o->score);
    out.raw = (double)o->score;
    switch (d->kind) {
    case SIGNAL_ICON:
        if (out.scored)
            out.v = value_truth(icon_on(r, &d->icon, signal, k));
        break;
    case SIGNAL_SCREEN:
        if (out.scored && out.raw >= d->screen.unknown_below &&
            out.raw - (double)o->second >= d->screen.margin && o->text)
            out.v = value_text(o->text);
        break;
    case SIGNAL_OBJECT:
        out.v = list_of(r, d, o);
        out.scored = false;
        for (int i = 0; out.v.kind == VALUE_LIST && i < out.v.n; i++) {
            const Found *const f = &out.v.list[i];
            if (!out.scored || (double)f->score > out.raw) {
                out.raw = (double)f->score;
                out.box = f->box;
            }
            out.scored = out.boxed = true;
        }
        break;
    default: break; /* lines: see_lines */
    }
    return out;
}

/* Lines of text need what came before, and guards other signals. */
void ref_see_line(Ref *r, int signal, int k)
{
    const TextSignal *const d = &r->w->signal[signal].text;
    RuleValue *const raw = arena_array_of(r->a, r->n, RuleValue), *const v =
                                                                      arena_array_of(r->a, r->n,
                                                                                     RuleValue);
    bool *const reset = arena_array_of(r->a, r->n, bool);
    const RuleWindows once = rule_windows(r->w, (Window){1, 1}, (Window){1, 1});
    const Key all = {.first = r->epoch_first};
    for (int j = r->epoch_first; j <= k; j++) {
        raw[j] = raw_line(r, d, &r->s[j].at[signal]);
        if (raw[j].kind != VALUE_UNKNOWN)
            v[j] = voted(r, d, raw, j);
        if (d->guard.given && d->guard.reset_on) {
            const RuleResult c =
                ref_value(r, d->guard.reset_on, &once, &all, j, d->guard.reset_on->root, NULL);
            reset[j] = value_condition(&c.value) == 1;
        }
    }
    Seen *const out = &r->seen[signal][k];
    *out = ref_see(r, signal, k);
    out->v = v[k];
    if (d->guard.given && v[k].kind == VALUE_NUMBER && !guard_passes(r, &d->guard, v, reset, k))
        out->v = value_unknown();
}

/* ---- rules ---- */

static RuleValue secs(int64_t us) { return value_number((double)us / 1e6); }

/* First sample of those without a silence between them in which the value is as it is at k. */
static int value_since(const Ref *r, int signal, int k)
{
    const RuleValue *const v = &r->seen[signal][k].v;
    int first = k;
    for (int j = k - 1; j >= r->epoch_first; j--) {
        const RuleValue *const u = &r->seen[signal][j].v;
        if (u->kind == VALUE_UNKNOWN)
            continue;
        if (!same(u, v) || awake_at(r, first) - awake_at(r, j) > r->w->gap)
            break;
        first = j;
    }
    return first;
}

static RuleValue value_before(const Ref *r, int signal, int k)
{
    const RuleValue *const v = &r->seen[signal][k].v;
    for (int j = k - 1; j >= r->epoch_first; j--) {
        const RuleValue *const u = &r->seen[signal][j].v;
        if (u->kind != VALUE_UNKNOWN && !same(u, v))
            return *u;
    }
    return value_unknown();
}

static RuleValue of_signal(const Ref *r, const RuleNode *n, int k)
{
    const Seen *const s = &r->seen[n->index][k];
    const bool known = s->v.kind != VALUE_UNKNOWN;
    switch (n->field) {
    case FIELD_VALUE: return s->v;
    case FIELD_SCORE: return s->scored ? value_number(s->raw) : value_unknown();
    case FIELD_AGE:
        return known ? secs(time_of(r, k) - time_of(r, value_since(r, n->index, k)))
                     : value_unknown();
    case FIELD_PREV: return known ? value_before(r, n->index, k) : value_unknown();
    default: abort();
    }
}

const Found *ref_item(const Ref *r, const Rule *rule, const Key *key, int k)
{
    const RuleValue *const v = &r->seen[rule->each][k].v;
    for (int i = 0; i < v->n; i++)
        if (v->kind == VALUE_LIST && v->list[i].track == atoll(key->name))
            return &v->list[i];
    return NULL;
}

static RuleValue of_found(const Found *f, RuleField field)
{
    switch (field) {
    case FIELD_SCORE: return value_number((double)f->score);
    case FIELD_X: return value_number((double)f->box.x);
    case FIELD_LABEL: return value_text(f->label);
    default: abort();
    }
}

static RuleValue of_item(const Ref *r, const Rule *rule, const RuleNode *n, const Key *key, int k)
{
    if (r->seen[rule->each][k].v.kind == VALUE_UNKNOWN)
        return value_unknown();
    const Found *const f = ref_item(r, rule, key, k);
    if (n->field == FIELD_VALUE)
        return value_truth(f != NULL);
    if (!f)
        return value_unknown();
    return n->field == FIELD_AGE ? secs(time_of(r, k) - time_of(r, key->first))
                                 : of_found(f, n->field);
}

/* Events further up are ahead. */
static RuleValue of_event(const Ref *r, const RuleNode *n, int k)
{
    const History *const h = &r->event[n->index];
    const struct State s = n->index < r->stepping ? h->after[k] : h->before[k];
    if (n->field == FIELD_AGE)
        return s.active ? secs(time_of(r, k) - s.since) : value_unknown();
    return value_truth(s.active);
}

/* The windows of a condition at sample k, of the known samples from `from` on. */
int ref_window(const Ref *r, const Hit *at, int from, int k, int m, int64_t span, int want,
                        int64_t not_before, int64_t *first)
{
    int n = 0, sum = 0;
    *first = NO_TIME;
    for (int j = k; j >= from && n < m; j--) {
        if (at[j].truth < 0 || time_of(r, j) < not_before)
            continue;
        if (awake_at(r, k) - awake_at(r, j) > span)
            break;
        n++;
        if (at[j].truth == want) {
            sum++;
            *first = time_of(r, j);
        }
    }
    return sum;
}

/* What a condition does at each sample: confirmed true (1), confirmed false (0), neither yet
 * (-1). */
typedef struct Turns {
    bool began, rose;
    int64_t begin;
    bool unknown;
} Turns;

static Turns turns_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k,
                      int node, bool holds_false)
{
    const bool instant = rule->at[node].instant || rule->at[node].op == RULE_EVENT;
    Hit *const at = calloc((size_t)k + 1, sizeof *at);
    int state = -1, from = key->first;
    int64_t known = NO_TIME, first;
    Turns out = {0};
    for (int j = key->first; j <= k; j++) {
        const RuleResult c = ref_value(r, rule, by, key, j, node, NULL);
        at[j].truth = value_condition(&c.value);
        if (known != NO_TIME && awake_at(r, j) - known > by->gap) {
            state = -1;
            from = j;
        }
        out = (Turns){.unknown = at[j].truth < 0};
        if (at[j].truth < 0)
            continue;
        known = awake_at(r, j);
        const int trues =
            ref_window(r, at, from, j, by->confirm.m, by->confirm_span, 1, NO_TIME, &first);
        if (state != 1 && at[j].truth == 1 && (instant || trues >= by->confirm.n)) {
            out.began = true;
            out.rose = state == 0;
            out.begin = !instant ? first : c.begin != NO_TIME ? c.begin : time_of(r, j);
            state = 1;
            from = j + 1;
            continue;
        }
        const int falses =
            ref_window(r, at, from, j, by->release.m, by->release_span, 0, NO_TIME, &first);
        if ((state == 1 || (state == -1 && holds_false)) && at[j].truth == 0 &&
            (instant || falses >= by->release.n)) {
            state = 0;
            from = j + 1;
        }
    }
    free(at);
    return out;
}

/* Rule 6: values that were confirmed, one after the other. */
typedef struct Confirmed {
    RuleValue now, before;
    bool fired, unknown;
    int64_t begin;
} Confirmed;

static Confirmed confirmed_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key,
                              int k, int node)
{
    Confirmed out = {0};
    RuleValue *const v = calloc((size_t)k + 1, sizeof *v);
    int from = key->first;
    int64_t known = NO_TIME;
    for (int j = key->first; j <= k; j++) {
        v[j] = ref_value(r, rule, by, key, j, node, NULL).value;
        if (known != NO_TIME && awake_at(r, j) - known > by->gap) {
            out = (Confirmed){0};
            from = j;
        }
        out.fired = false;
        out.unknown = v[j].kind == VALUE_UNKNOWN;
        if (out.unknown)
            continue;
        known = awake_at(r, j);
        int n = 0, equal = 0, first = j;
        for (int i = j;
             i >= from && n < by->confirm.m && known - awake_at(r, i) <= by->confirm_span; i--) {
            n += v[i].kind != VALUE_UNKNOWN;
            if (v[i].kind != VALUE_UNKNOWN && same(&v[i], &v[j])) {
                equal++;
                first = i;
            }
        }
        if (equal < by->confirm.n || (out.now.kind != VALUE_UNKNOWN && same(&out.now, &v[j])))
            continue;
        out.fired = out.now.kind != VALUE_UNKNOWN;
        if (out.fired)
            out.before = out.now;
        out.now = v[j];
        out.begin = time_of(r, first);
        from = j + 1;
    }
    free(v);
    return out;
}

/* Begins of an argument of seq and rate at sample j. */
static int begins_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int j,
                     int node, int64_t *out, bool *unknown)
{
    const RuleNode *const n = &rule->at[node];
    int count = 0;
    *unknown = false;
    if (n->op == RULE_EVENT && n->field == FIELD_VALUE) {
        const History *const h = &r->event[n->index];
        const int at = n->index < r->stepping ? j : j - 1; /* the last sample it has seen */
        for (int i = 0; i < h->nall; i++)
            if (h->start_at[i] == at && at >= r->epoch_first)
                out[count++] = h->start_t[i];
        return count;
    }
    const Turns t = turns_at(r, rule, by, key, j, node, false);
    *unknown = t.unknown;
    out[0] = t.begin;
    return t.began;
}

/* Rule 8: each b takes the oldest a that fits and is free, whichever of the two is found later. */
static RuleResult sequence_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key,
                              int k, const RuleNode *n)
{
    struct { int64_t t; bool used; } all[2][512];
    int count[2] = {0};
    bool fired = false, unknown[2] = {false};
    int64_t begin = NO_TIME;
    for (int j = key->first; j <= k; j++) {
        fired = false;
        for (int side = 0; side < 2; side++) {
            int64_t t[MAX_KEYS];
            const int n_begin =
                begins_at(r, rule, by, key, j, side ? n->b : n->a, t, &unknown[side]);
            for (int i = 0; i < n_begin; i++) {
                const int mine = count[side]++, other = 1 - side;
                all[side][mine].t = t[i];
                all[side][mine].used = false;
                for (int p = 0; p < count[other] && !all[side][mine].used; p++) {
                    const int64_t a = side ? all[other][p].t : t[i],
                                  b = side ? t[i] : all[other][p].t;
                    if (all[other][p].used || b <= a || (double)(b - a) > rint(n->number * 1e6))
                        continue;
                    all[other][p].used = all[side][mine].used = fired = true;
                    begin = b;
                }
            }
        }
    }
    if (!fired && (unknown[0] || unknown[1]))
        return plain(value_unknown());
    return (RuleResult){value_truth(fired), fired ? begin : NO_TIME};
}

static RuleValue rate_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key,
                         int k, const RuleNode *n)
{
    int sum = 0;
    for (int j = key->first; j <= k; j++) {
        int64_t t[MAX_KEYS];
        bool unknown;
        const int n_begin = begins_at(r, rule, by, key, j, n->a, t, &unknown);
        for (int i = 0; i < n_begin; i++)
            sum += (double)(time_of(r, k) - t[i]) < rint(n->number * 1e6);
    }
    return value_number(sum / n->number);
}

static RuleResult remembering(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key,
                              int k, const RuleNode *n)
{
    if (n->op == RULE_CHANGED) {
        const Confirmed c = confirmed_at(r, rule, by, key, k, n->a);
        if (n->field == FIELD_PREV)
            return plain(c.before);
        if (n->field == FIELD_DELTA)
            return plain(c.before.kind ? value_number(c.now.number - c.before.number)
                                       : value_unknown());
        if (!c.fired && c.unknown)
            return plain(value_unknown());
        return (RuleResult){value_truth(c.fired), c.fired ? c.begin : NO_TIME};
    }
    if (n->op == RULE_RISES) {
        const Turns t = turns_at(r, rule, by, key, k, n->a, true);
        if (!t.rose && t.unknown)
            return plain(value_unknown());
        return (RuleResult){value_truth(t.rose), t.rose ? t.begin : NO_TIME};
    }
    return n->op == RULE_SEQ ? sequence_at(r, rule, by, key, k, n)
                             : plain(rate_at(r, rule, by, key, k, n));
}

/* Kleene's tables, by the least and the greatest of false < unknown < true. */
static RuleResult logic(RuleOp op, RuleResult a, RuleResult b)
{
    const double level[] = {0.5, 0, 1};
    const double x = level[value_condition(&a.value) + 1], y = level[value_condition(&b.value) + 1];
    const double z = op == RULE_AND ? fmin(x, y) : fmax(x, y);
    if (z != 1)
        return plain(z == 0 ? value_truth(false) : value_unknown());
    if (op == RULE_AND)
        return (RuleResult){value_truth(true), a.begin > b.begin ? a.begin : b.begin};
    int64_t begin = INT64_MAX;
    if (x == 1 && a.begin != NO_TIME)
        begin = a.begin;
    if (y == 1 && b.begin != NO_TIME && b.begin < begin)
        begin = b.begin;
    return (RuleResult){value_truth(true), begin == INT64_MAX ? NO_TIME : begin};
}

static RuleValue counted(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key,
                         int k, const RuleNode *n, const RuleValue *list)
{
    if (list->kind == VALUE_UNKNOWN || n->b < 0)
        return list->kind == VALUE_UNKNOWN ? *list : value_number(list->n);
    int sum = 0;
    for (int i = 0; i < list->n; i++) {
        const RuleResult c = ref_value(r, rule, by, key, k, n->b, &list->list[i]);
        if (c.value.kind == VALUE_UNKNOWN)
            return value_unknown();
        sum += c.value.number != 0;
    }
    return value_number(sum);
}

static RuleValue compared(const RuleNode *n, const RuleValue *a, const RuleValue *b)
{
    const double d = a->number - b->number;
    switch (n->op) {
    case RULE_NOT: return value_truth(value_condition(a) == 0);
    case RULE_NEGATE: return value_number(-a->number);
    case RULE_ADD: return value_number(a->number + b->number);
    case RULE_SUB: return value_number(d);
    case RULE_MUL: return value_number(a->number * b->number);
    case RULE_DIV: return b->number == 0 ? value_unknown() : value_number(a->number / b->number);
    case RULE_LT: return value_truth(d < 0);
    case RULE_LE: return value_truth(d <= 0);
    case RULE_GT: return value_truth(d > 0);
    case RULE_GE: return value_truth(d >= 0);
    case RULE_EQ: return value_truth(same(a, b));
    case RULE_NE: return value_truth(!same(a, b));
    default: abort();
    }
}

RuleResult ref_value(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k,
                     int node, const Found *element)
{
    const RuleNode *const n = &rule->at[node];
    if (n->memory >= 0)
        return remembering(r, rule, by, key, k, n);
    switch (n->op) {
    case RULE_NUMBER:
    case RULE_DURATION: return plain(value_number(n->number));
    case RULE_STRING: return plain(value_text(n->text));
    case RULE_SIGNAL: return plain(of_signal(r, n, k));
    case RULE_EVENT: return plain(of_event(r, n, k));
    case RULE_ITEM: return plain(of_item(r, rule, n, key, k));
    case RULE_ELEMENT: return plain(of_found(element, n->field));
    default: break;
    }
    const RuleResult a = ref_value(r, rule, by, key, k, n->a, element);
    if (n->op == RULE_COUNT)
        return plain(counted(r, rule, by, key, k, n, &a.value));
    const RuleResult b =
        n->b >= 0 ? ref_value(r, rule, by, key, k, n->b, element) : plain(value_number(0));
    if (n->op == RULE_AND || n->op == RULE_OR)
        return logic(n->op, a, b);
    if (a.value.kind == VALUE_UNKNOWN || b.value.kind == VALUE_UNKNOWN)
        return plain(value_unknown());
    return plain(compared(n, &a.value, &b.value));
}

RuleResult ref_and(RuleResult a, RuleResult b)
{
    return logic(RULE_AND, a, b);
}
