/* Reference interpreter of watches: see the header. Rules by their number are those of the notes on the language. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "watch/pattern.h"
#include "watch/reading.h"
#include "watch/rule_eval.h" /* value_*, EventNow: no state */

#define MAX_KEYS 64

typedef struct Seen { /* what a signal read as at a sample */
    RuleValue v;
    double raw, x, y; /* raw: score */
    bool scored, placed, boxed;
    Box box;
    const char *area, *page;
} Seen;

typedef struct Hit { /* one known sample of a condition */
    int64_t t;
    int truth; /* 1, 0, -1 */
    int64_t begin;
    float score;
    int64_t frame;
    Box box;
} Hit;

typedef struct Key {
    const char *name; /* NULL: the event itself */
    int first, last;  /* samples where it was first and last seen */
    Hit *at;          /* by sample */
    enum { IDLE, SHORT, ACTIVE, SPENT } state;
    int from;         /* samples from here on are in the windows */
    int64_t known;    /* NO_TIME, or the last known sample's time */
    /* the run that is being confirmed, and the event that was told */
    int64_t run_start, run_last, run_wall, start, last_true, wall, detect, released, cool;
    SampleClock run_clock, clock;
    Hit run_best, best;
    bool held;
    const char *reason;
    uint64_t id;
    int rev;
    RuleValue data[EVENT_MAX_DATA];
} Key;

typedef struct History { /* of an event */
    int nkey, nstart, nlimit;
    Key key[MAX_KEYS];
    int64_t start[MAX_KEYS]; /* started at the last sample */
    int64_t *limit;          /* all times when a start was told */
    int *start_at;           /* all starts so far: at which sample .. */
    int64_t *start_t;        /* .. and t_start */
    struct State { bool active; int64_t since; } *before, *after; /* sample k */
    int nall;
} History;

typedef struct Ref {
    Arena *a;
    const Watch *w;
    const char *stream;
    const Sample *s;
    int n, epoch_first, now; /* the sample in work */
    Seen **seen;             /* [signal][sample] */
    History *event;
    int stepping;            /* event that is in work: those before it are done with this sample */
    Matcher *m;
    Str out;
} Ref;

static int64_t time_of(const Ref *r, int k) { return r->s[k].t; }

static int64_t span_of(const Ref *r, int m) { return llrint(m * 2e6 / r->w->fps); }

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

static bool same(const RuleValue *a, const RuleValue *b) { return a->kind == b->kind && value_equal(a, b); }

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
    return by >= 0 ? isinf(g->max_up_per_s) || by <= g->max_up_per_s * s : isinf(g->max_down_per_s) || -by <= g->max_down_per_s * s;
}

/* Which of the values from the epoch's first sample to k are let through: looked at from the start. */
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

static RuleResult ref_value(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, int node,
                            const Found *element);

/* Icons: the last score that was on one side or the other decides, if no silence lies between. */
static bool icon_on(const Ref *r, const IconSignal *d, int signal, int k)
{
    int64_t later = time_of(r, k);
    for (int j = k; j >= r->epoch_first; j--) {
        const Observation *const o = &r->s[j].at[signal];
        if (o->state != OBSERVE_SEEN || !isfinite(o->score))
            continue;
        if (later - time_of(r, j) > r->w->gap)
            return false;
        later = time_of(r, j);
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
        if (wanted && (double)o->found[i].score >= (d->kind == SIGNAL_TEXT ? d->text.min_confidence : d->object.min_score))
            list[n++] = o->found[i];
    }
    return (RuleValue){.kind = VALUE_LIST, .n = n, .list = list};
}

static Seen see(const Ref *r, int signal, int k)
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
        if (out.scored && out.raw >= d->screen.unknown_below && out.raw - (double)o->second >= d->screen.margin && o->text)
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
static void see_line(Ref *r, int signal, int k)
{
    const TextSignal *const d = &r->w->signal[signal].text;
    RuleValue *const raw = arena_array_of(r->a, r->n, RuleValue), *const v = arena_array_of(r->a, r->n, RuleValue);
    bool *const reset = arena_array_of(r->a, r->n, bool);
    const RuleWindows once = rule_windows(r->w, (Window){1, 1}, (Window){1, 1});
    const Key all = {.first = r->epoch_first};
    for (int j = r->epoch_first; j <= k; j++) {
        raw[j] = raw_line(r, d, &r->s[j].at[signal]);
        if (raw[j].kind != VALUE_UNKNOWN)
            v[j] = voted(r, d, raw, j);
        if (d->guard.given && d->guard.reset_on) {
            const RuleResult c = ref_value(r, d->guard.reset_on, &once, &all, j, d->guard.reset_on->root, NULL);
            reset[j] = value_condition(&c.value) == 1;
        }
    }
    Seen *const out = &r->seen[signal][k];
    *out = see(r, signal, k);
    out->v = v[k];
    if (d->guard.given && v[k].kind == VALUE_NUMBER && !guard_passes(r, &d->guard, v, reset, k))
        out->v = value_unknown();
}

/* ---- rules ---- */

static RuleResult plain(RuleValue v) { return (RuleResult){v, NO_TIME}; }

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
        if (!same(u, v) || time_of(r, first) - time_of(r, j) > r->w->gap)
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
    case FIELD_AGE: return known ? secs(time_of(r, k) - time_of(r, value_since(r, n->index, k))) : value_unknown();
    case FIELD_PREV: return known ? value_before(r, n->index, k) : value_unknown();
    default: abort();
    }
}

static const Found *item_at(const Ref *r, const Rule *rule, const Key *key, int k)
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
    const Found *const f = item_at(r, rule, key, k);
    if (n->field == FIELD_VALUE)
        return value_truth(f != NULL);
    if (!f)
        return value_unknown();
    return n->field == FIELD_AGE ? secs(time_of(r, k) - time_of(r, key->first)) : of_found(f, n->field);
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
static int window_count(const Ref *r, const Hit *at, int from, int k, int m, int64_t span, int want, int64_t not_before,
                        int64_t *first)
{
    int n = 0, sum = 0;
    *first = NO_TIME;
    for (int j = k; j >= from && n < m; j--) {
        if (at[j].truth < 0 || time_of(r, j) < not_before)
            continue;
        if (time_of(r, k) - time_of(r, j) > span)
            break;
        n++;
        if (at[j].truth == want) {
            sum++;
            *first = time_of(r, j);
        }
    }
    return sum;
}

/* What a condition does at each sample: confirmed true (1), confirmed false (0), neither yet (-1). */
typedef struct Turns {
    bool began, rose;
    int64_t begin;
    bool unknown;
} Turns;

static Turns turns_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, int node, bool holds_false)
{
    const bool instant = rule->at[node].instant || rule->at[node].op == RULE_EVENT;
    Hit *const at = calloc((size_t)k + 1, sizeof *at);
    int state = -1, from = key->first;
    int64_t known = NO_TIME, first;
    Turns out = {0};
    for (int j = key->first; j <= k; j++) {
        const RuleResult c = ref_value(r, rule, by, key, j, node, NULL);
        at[j].truth = value_condition(&c.value);
        if (known != NO_TIME && time_of(r, j) - known > by->gap) {
            state = -1;
            from = j;
        }
        out = (Turns){.unknown = at[j].truth < 0};
        if (at[j].truth < 0)
            continue;
        known = time_of(r, j);
        const int trues = window_count(r, at, from, j, by->confirm.m, by->confirm_span, 1, NO_TIME, &first);
        if (state != 1 && at[j].truth == 1 && (instant || trues >= by->confirm.n)) {
            out.began = true;
            out.rose = state == 0;
            out.begin = !instant ? first : c.begin != NO_TIME ? c.begin : known;
            state = 1;
            from = j + 1;
            continue;
        }
        const int falses = window_count(r, at, from, j, by->release.m, by->release_span, 0, NO_TIME, &first);
        if ((state == 1 || (state == -1 && holds_false)) && at[j].truth == 0 && (instant || falses >= by->release.n)) {
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

static Confirmed confirmed_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, int node)
{
    Confirmed out = {0};
    RuleValue *const v = calloc((size_t)k + 1, sizeof *v);
    int from = key->first;
    int64_t known = NO_TIME;
    for (int j = key->first; j <= k; j++) {
        v[j] = ref_value(r, rule, by, key, j, node, NULL).value;
        if (known != NO_TIME && time_of(r, j) - known > by->gap) {
            out = (Confirmed){0};
            from = j;
        }
        out.fired = false;
        out.unknown = v[j].kind == VALUE_UNKNOWN;
        if (out.unknown)
            continue;
        known = time_of(r, j);
        int n = 0, equal = 0, first = j;
        for (int i = j; i >= from && n < by->confirm.m && known - time_of(r, i) <= by->confirm_span; i--) {
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
static int begins_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int j, int node, int64_t *out,
                     bool *unknown)
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
static RuleResult sequence_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, const RuleNode *n)
{
    struct { int64_t t; bool used; } all[2][512];
    int count[2] = {0};
    bool fired = false, unknown[2] = {false};
    int64_t begin = NO_TIME;
    for (int j = key->first; j <= k; j++) {
        fired = false;
        for (int side = 0; side < 2; side++) {
            int64_t t[MAX_KEYS];
            const int n_begin = begins_at(r, rule, by, key, j, side ? n->b : n->a, t, &unknown[side]);
            for (int i = 0; i < n_begin; i++) {
                const int mine = count[side]++, other = 1 - side;
                all[side][mine].t = t[i];
                all[side][mine].used = false;
                for (int p = 0; p < count[other] && !all[side][mine].used; p++) {
                    const int64_t a = side ? all[other][p].t : t[i], b = side ? t[i] : all[other][p].t;
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

static RuleValue rate_at(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, const RuleNode *n)
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

static RuleResult remembering(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, const RuleNode *n)
{
    if (n->op == RULE_CHANGED) {
        const Confirmed c = confirmed_at(r, rule, by, key, k, n->a);
        if (n->field == FIELD_PREV)
            return plain(c.before);
        if (n->field == FIELD_DELTA)
            return plain(c.before.kind ? value_number(c.now.number - c.before.number) : value_unknown());
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
    return n->op == RULE_SEQ ? sequence_at(r, rule, by, key, k, n) : plain(rate_at(r, rule, by, key, k, n));
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

static RuleValue counted(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, const RuleNode *n,
                         const RuleValue *list)
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

static RuleResult ref_value(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k, int node,
                            const Found *element)
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
    const RuleResult b = n->b >= 0 ? ref_value(r, rule, by, key, k, n->b, element) : plain(value_number(0));
    if (n->op == RULE_AND || n->op == RULE_OR)
        return logic(n->op, a, b);
    if (a.value.kind == VALUE_UNKNOWN || b.value.kind == VALUE_UNKNOWN)
        return plain(value_unknown());
    return plain(compared(n, &a.value, &b.value));
}

/* ---- events ---- */

static RuleWindows windows_of(const Ref *r, const EventRule *e)
{
    return (RuleWindows){.confirm = e->confirm, .release = e->release, .confirm_span = span_of(r, e->confirm.m),
                         .release_span = span_of(r, e->release.m), .gap = r->w->gap};
}

static void tell(Ref *r, int event, Key *key, RecordKind kind, int64_t detect, int64_t end)
{
    const EventRule *const e = &r->w->event[event];
    EventRecord out = {
        .kind = kind, .id = key->id, .rev = key->rev, .stream = r->stream, .watch = r->w, .rule = e, .key = key->name,
        .epoch = r->s[r->now].epoch, .t_start = key->start, .t_detect = detect, .t_end = end, .wall = key->wall,
        .clock = key->clock, .reason = kind == RECORD_END ? key->reason : NULL, .score = key->best.score,
        .frame = key->best.frame, .box = key->best.box, .ndata = e->ndata,
    };
    memcpy(out.data, key->data, sizeof out.data);
    event_json(&r->out, &out);
    str_addc(&r->out, '\n');
}

static bool is_point(const EventRule *e) { return e->point || rule_is_instant(e->when); }

static void end_final(Ref *r, int event, Key *key, int64_t t_end)
{
    const EventRule *const e = &r->w->event[event];
    key->held = false;
    key->rev++;
    if (!is_point(e))
        tell(r, event, key, RECORD_END, key->released, t_end);
    key->cool = e->cooldown > 0 ? t_end + e->cooldown : NO_TIME;
}

static void end(Ref *r, int event, Key *key, const char *reason, int64_t detect, int next)
{
    key->reason = reason;
    key->released = detect;
    key->state = IDLE;
    key->from = next;
    if (r->w->event[event].merge > 0)
        key->held = true;
    else
        end_final(r, event, key, key->last_true);
}

static void take_data(Ref *r, int event, Key *key, int k)
{
    const EventRule *const e = &r->w->event[event];
    const RuleWindows by = windows_of(r, e);
    for (int i = 0; i < e->ndata; i++)
        key->data[i] = ref_value(r, e->data[i], &by, key, k, e->data[i]->root, NULL).value;
}

static Hit best(const Hit *a, const Hit *b) { return b->score > a->score ? *b : *a; }

static void begin(Ref *r, int event, Key *key, int k)
{
    const EventRule *const e = &r->w->event[event];
    History *const h = &r->event[event];
    const bool instant = rule_is_instant(e->when);
    key->from = k + 1;
    if (key->held) {
        key->best = best(&key->best, &key->run_best);
        key->last_true = key->run_last;
        key->held = false;
        take_data(r, event, key, k);
    } else {
        int recent = 0;
        for (int i = 0; i < h->nlimit; i++)
            recent += time_of(r, k) - h->limit[i] < e->limit_per;
        if (e->limit > 0 && recent >= e->limit) {
            key->state = instant ? IDLE : SPENT;
            return;
        }
        h->limit[h->nlimit++] = time_of(r, k);
        key->start = key->run_start;
        key->last_true = key->run_last;
        key->wall = key->run_wall;
        key->clock = key->run_clock;
        key->best = key->run_best;
        key->detect = time_of(r, k);
        key->rev = 0;
        key->id = hash_bytes(e->name, strlen(e->name), hash_bytes(r->stream, strlen(r->stream), 0));
        if (key->name)
            key->id = hash_bytes(key->name, strlen(key->name), key->id);
        key->id = hash_mix(hash_mix(key->id, (uint64_t)r->s[k].epoch), (uint64_t)key->start);
        take_data(r, event, key, k);
        h->start_at[h->nall] = k;
        h->start_t[h->nall++] = key->start;
        h->start[h->nstart++] = key->start;
        tell(r, event, key, is_point(e) ? RECORD_POINT : RECORD_START, time_of(r, k), -1);
    }
    key->state = ACTIVE;
    if (instant)
        end(r, event, key, NULL, time_of(r, k), k + 1);
}

/* Time of the oldest true sample that is on its way to be confirmed, as of the last known sample. */
static int64_t pending_since(const Ref *r, const EventRule *e, const Key *key, int k)
{
    int64_t first;
    while (k >= key->from && key->at[k].truth < 0)
        k--;
    if (key->state != IDLE || k < key->from)
        return NO_TIME;
    window_count(r, key->at, key->from, k, e->confirm.m, span_of(r, e->confirm.m), 1, key->held ? NO_TIME : key->cool, &first);
    return first;
}

static bool is_final(const Ref *r, const EventRule *e, const Key *key, int k, int64_t t)
{
    const int64_t first = pending_since(r, e, key, k);
    const bool may_join = key->state == SHORT || (first != NO_TIME && first - key->last_true < e->merge);
    return key->held && t - key->last_true >= e->merge && !may_join;
}

static void step_idle(Ref *r, int event, Key *key, int k)
{
    const EventRule *const e = &r->w->event[event];
    const bool instant = rule_is_instant(e->when);
    const Hit *const here = &key->at[k];
    if (is_final(r, e, key, k, time_of(r, k)))
        end_final(r, event, key, key->last_true);
    const int64_t not_before = key->held ? NO_TIME : key->cool;
    int64_t first;
    const int n = window_count(r, key->at, key->from, k, e->confirm.m, span_of(r, e->confirm.m), 1, not_before, &first);
    if (here->truth != 1 || time_of(r, k) < not_before || (!instant && n < e->confirm.n))
        return;
    key->run_start = instant ? here->begin != NO_TIME ? here->begin : time_of(r, k) : first;
    key->run_last = time_of(r, k);
    key->run_clock = r->s[k].clock;
    key->run_wall = r->s[k].wall ? r->s[k].wall - (time_of(r, k) - key->run_start) : 0;
    key->run_best = *here;
    for (int j = k; j >= key->from && !instant; j--) /* the earliest of the best */
        if (key->at[j].truth == 1 && time_of(r, j) >= first && key->at[j].score >= key->run_best.score)
            key->run_best = key->at[j];
    key->state = SHORT;
    key->from = k + 1;
    if (instant || time_of(r, k) - key->run_start >= e->min)
        begin(r, event, key, k);
}

static void step_key(Ref *r, int event, Key *key, int k)
{
    const EventRule *const e = &r->w->event[event];
    const Hit *const here = &key->at[k];
    const int64_t t = time_of(r, k);
    int64_t first;
    if (here->truth < 0)
        return;
    key->known = t;
    if (key->state == IDLE) {
        step_idle(r, event, key, k);
        return;
    }
    if (here->truth == 1 && key->state == SHORT) {
        key->run_last = t;
        key->run_best = best(&key->run_best, here);
        if (t - key->run_start >= e->min)
            begin(r, event, key, k);
    } else if (here->truth == 1 && key->state == ACTIVE) {
        key->last_true = t;
        key->best = best(&key->best, here);
        take_data(r, event, key, k);
    } else if (here->truth == 0 && window_count(r, key->at, key->from, k, e->release.m, span_of(r, e->release.m), 0, NO_TIME,
                                                &first) >= e->release.n) {
        if (key->state == ACTIVE) {
            end(r, event, key, NULL, t, k + 1);
        } else {
            key->state = IDLE;
            key->from = k + 1;
        }
    }
    if (is_final(r, e, key, k, t))
        end_final(r, event, key, key->last_true);
}

/* ---- between samples ---- */

static int64_t due_of(const Ref *r, const EventRule *e, const Key *key, int k, int64_t t, int *what)
{
    int64_t due = INT64_MAX;
    *what = 0;
    bool something = key->state != IDLE;
    for (int j = key->from; j < k; j++)
        something = something || (key->at[j].truth >= 0 && (key->held || time_of(r, j) >= key->cool));
    if (key->known != NO_TIME && something && t > key->known + r->w->gap) {
        due = key->known + r->w->gap;
        *what = 1;
    }
    if (e->max > 0 && !is_point(e) && key->state == ACTIVE && t > key->start + e->max && key->start + e->max < due) {
        due = key->start + e->max;
        *what = 2;
    }
    if (is_final(r, e, key, k - 1, t) && key->last_true + e->merge < due) {
        due = key->last_true + e->merge;
        *what = 3;
    }
    return due;
}

static void do_due(Ref *r, int event, Key *key, int what, int64_t due, int k)
{
    if (what == 3) {
        end_final(r, event, key, key->last_true);
    } else if (what == 2) {
        key->reason = "max";
        key->released = due > key->detect ? due : key->detect;
        end_final(r, event, key, due);
        key->state = SPENT;
        key->from = k;
    } else {
        key->known = NO_TIME;
        if (key->state == ACTIVE)
            end(r, event, key, "lost", due, k);
        key->state = IDLE;
        key->from = k;
    }
}

static void between(Ref *r, int k)
{
    for (;;) {
        int64_t first = INT64_MAX;
        int event = -1, key = 0, what = 0;
        for (int i = 0; i < r->w->nevent; i++)
            for (int j = 0; j < r->event[i].nkey; j++) {
                int w;
                const int64_t due = due_of(r, &r->w->event[i], &r->event[i].key[j], k, time_of(r, k), &w);
                if (due >= first)
                    continue;
                first = due;
                event = i;
                key = j;
                what = w;
            }
        if (event < 0)
            return;
        do_due(r, event, &r->event[event].key[key], what, first, k);
    }
}

static Key key_new(const Ref *r, const char *name, int k)
{
    Key key = {.name = name, .first = k, .last = k, .at = arena_array_of(r->a, r->n, Hit), .from = k, .known = NO_TIME,
               .cool = NO_TIME};
    return key;
}

static struct State state_of(const Ref *r, int event)
{
    const History *const h = &r->event[event];
    struct State s = {h->nstart > 0, h->nstart > 0 ? h->start[0] : 0};
    for (int j = 0; j < h->nkey; j++) {
        const Key *const key = &h->key[j];
        if (key->state == ACTIVE && (!s.active || key->start < s.since))
            s.since = key->start;
        s.active = s.active || key->state == ACTIVE;
    }
    return s;
}

/* Score: the least of the signals that the condition names; box: of the first that has a place. */
static Hit hit_of(const Ref *r, const EventRule *e, const Key *key, int k)
{
    Hit out = {.t = time_of(r, k), .frame = r->s[k].frame};
    const Found *const item = e->each >= 0 ? item_at(r, e->when, key, k) : NULL;
    bool scored = false, boxed = false;
    for (int i = 0; i < e->when->n; i++) {
        const RuleNode *const n = &e->when->at[i];
        if (n->op != RULE_SIGNAL && n->op != RULE_ITEM)
            continue;
        const Seen *const s = &r->seen[n->index][k];
        if (s->v.kind == VALUE_UNKNOWN || (n->op == RULE_ITEM && !item))
            continue;
        const double score = n->op == RULE_ITEM ? (double)item->score : s->raw;
        if ((n->op == RULE_ITEM || s->scored) && (!scored || score < (double)out.score)) {
            out.score = (float)score;
            scored = true;
        }
        const int region = r->w->signal[n->index].region;
        if (!boxed && n->op == RULE_ITEM)
            out.box = item->box;
        else if (!boxed && s->boxed)
            out.box = s->box;
        else if (!boxed && region >= 0)
            out.box = r->w->region[region].box;
        boxed = boxed || n->op == RULE_ITEM || s->boxed || region >= 0;
    }
    return out;
}

static void step_event(Ref *r, int event, int k)
{
    const EventRule *const e = &r->w->event[event];
    const RuleWindows by = windows_of(r, e);
    History *const h = &r->event[event];
    const RuleValue none = value_unknown(), *const list = e->each >= 0 ? &r->seen[e->each][k].v : &none;
    r->stepping = event;
    h->nstart = 0;
    for (int i = 0; list->kind == VALUE_LIST && i < list->n; i++) {
        if (list->list[i].track <= 0)
            continue;
        const char *const name = arena_printf(r->a, "%d", (int)list->list[i].track);
        int j = 0;
        while (j < h->nkey && strcmp(h->key[j].name, name) != 0)
            j++;
        if (j == h->nkey)
            h->key[h->nkey++] = key_new(r, name, k);
        h->key[j].last = k;
    }
    for (int j = 0; j < h->nkey; j++) {
        Key *const key = &h->key[j];
        const RuleResult when = ref_value(r, e->when, &by, key, k, e->when->root, NULL);
        const RuleResult within = e->within ? ref_value(r, e->within, &by, key, k, e->within->root, NULL) : plain(value_truth(true));
        const RuleResult both = logic(RULE_AND, when, within);
        key->at[k] = hit_of(r, e, key, k);
        key->at[k].truth = value_condition(&both.value);
        key->at[k].begin = when.begin;
        if (list->kind == VALUE_LIST && !item_at(r, e->when, key, k))
            key->at[k].truth = 0;
        step_key(r, event, key, k);
    }
    int n = 0;
    for (int j = 0; j < h->nkey; j++) {
        const Key *const key = &h->key[j];
        const bool idle = key->state == IDLE && !key->held && time_of(r, k) >= key->cool &&
                          pending_since(r, e, key, k) == NO_TIME;
        const bool here = list->kind == VALUE_LIST && item_at(r, e->when, key, k);
        if (!key->name || here || !idle || time_of(r, k) - time_of(r, key->last) <= r->w->gap)
            h->key[n++] = *key;
    }
    h->nkey = n;
    h->after[k] = state_of(r, event);
}

static void end_all(Ref *r, const char *reason, int k)
{
    for (int i = 0; i < r->w->nevent; i++) {
        History *const h = &r->event[i];
        for (int j = 0; j < h->nkey; j++) {
            Key *const key = &h->key[j];
            if (key->state == ACTIVE) {
                key->reason = reason;
                key->released = time_of(r, k - 1);
            }
            if (key->state == ACTIVE || key->held)
                end_final(r, i, key, key->last_true);
        }
        h->nkey = h->nlimit = h->nall = h->nstart = 0;
    }
}

static void start_epoch(Ref *r, int k)
{
    r->epoch_first = k;
    for (int i = 0; i < r->w->nevent; i++)
        if (r->w->event[i].each < 0) {
            r->event[i].key[0] = key_new(r, NULL, k);
            r->event[i].nkey = 1;
        }
}

const char *reference_records(Arena *a, const Watch *w, const char *stream, const Sample *s, int n)
{
    Ref r = {.a = a, .w = w, .stream = stream, .s = s, .n = n, .m = matcher_new(a), .out = str_new(a)};
    r.seen = arena_array_of(a, w->nsignal, Seen *);
    for (int i = 0; i < w->nsignal; i++)
        r.seen[i] = arena_array_of(a, n, Seen);
    r.event = arena_array_of(a, w->nevent, History);
    for (int i = 0; i < w->nevent; i++) {
        History *const h = &r.event[i];
        h->limit = arena_array_of(a, n * MAX_KEYS, int64_t);
        h->start_at = arena_array_of(a, n * MAX_KEYS, int);
        h->start_t = arena_array_of(a, n * MAX_KEYS, int64_t);
        h->before = arena_array_of(a, n, struct State);
        h->after = arena_array_of(a, n, struct State);
    }
    for (int k = 0; k < n; k++) {
        if (k == 0 || s[k].epoch != s[k - 1].epoch) {
            r.now = k - 1;
            if (k > 0)
                end_all(&r, "lost", k);
            start_epoch(&r, k);
        }
        r.now = k;
        between(&r, k);
        for (int i = 0; i < w->nevent; i++) /* what ended by time alone is seen by all */
            r.event[i].before[k] = state_of(&r, i);
        r.stepping = 0;
        for (int i = 0; i < w->nsignal; i++)
            if (w->signal[i].kind != SIGNAL_TEXT)
                r.seen[i][k] = see(&r, i, k);
        for (int i = 0; i < w->nsignal; i++)
            if (w->signal[i].kind == SIGNAL_TEXT)
                see_line(&r, i, k);
        for (int i = 0; i < w->nevent; i++)
            step_event(&r, i, k);
    }
    r.now = n - 1;
    if (n > 0)
        end_all(&r, "stopped", n);
    return str_text(&r.out);
}
