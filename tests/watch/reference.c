/* Reference interpreter of watches: events. See the header. */
#include "reference.h"

#include <math.h>
#include <string.h>

#include "base/map.h"
#include "reference_parts.h"

/* ---- events ---- */

static RuleWindows windows_of(const Ref *r, const EventRule *e)
{
    return (RuleWindows){.confirm = e->confirm,
                         .release = e->release,
                         .confirm_span = span_of(r, e->confirm.m),
                         .release_span = span_of(r, e->release.m),
                         .gap = r->w->gap};
}

static void tell(Ref *r, int event, Key *key, RecordKind kind, int64_t detect, int64_t end)
{
    const EventRule *const e = &r->w->event[event];
    EventRecord out = {
        .kind = kind,
        .id = key->id,
        .rev = key->rev,
        .stream = r->stream,
        .watch = r->w,
        .rule = e,
        .key = key->name,
        .epoch = r->s[r->now].epoch,
        .t_start = key->start,
        .t_detect = detect,
        .t_end = end,
        .wall = key->wall,
        .clock = key->clock,
        .reason = kind == RECORD_END ? key->reason : NULL,
        .score = key->best.score,
        .frame = key->best.frame,
        .box = key->best.box,
        .ndata = e->ndata,
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

/* Time of the oldest true sample that is on its way to be confirmed, as of the last known
 * sample. */
static int64_t pending_since(const Ref *r, const EventRule *e, const Key *key, int k)
{
    int64_t first;
    while (k >= key->from && key->at[k].truth < 0)
        k--;
    if (key->state != IDLE || k < key->from)
        return NO_TIME;
    ref_window(r, key->at, key->from, k, e->confirm.m, span_of(r, e->confirm.m), 1,
                 key->held ? NO_TIME : key->cool, &first);
    return first;
}

static bool is_final(const Ref *r, const EventRule *e, const Key *key, int k, int64_t t)
{
    const int64_t first = pending_since(r, e, key, k);
    const bool may_join =
        key->state == SHORT || (first != NO_TIME && first - key->last_true < e->merge);
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
    const int n = ref_window(r, key->at, key->from, k, e->confirm.m, span_of(r, e->confirm.m), 1,
                             not_before, &first);
    if (here->truth != 1 || time_of(r, k) < not_before || (!instant && n < e->confirm.n))
        return;
    key->run_start = instant ? here->begin != NO_TIME ? here->begin : time_of(r, k) : first;
    key->run_last = time_of(r, k);
    key->run_clock = r->s[k].clock;
    key->run_wall = r->s[k].wall ? r->s[k].wall - (time_of(r, k) - key->run_start) : 0;
    key->run_best = *here;
    for (int j = k; j >= key->from && !instant; j--) /* the earliest of the best */
        if (key->at[j].truth == 1 && time_of(r, j) >= first &&
            key->at[j].score >= key->run_best.score)
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
    key->known = awake_at(r, k);
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
    } else if (here->truth == 0 &&
               ref_window(r, key->at, key->from, k, e->release.m, span_of(r, e->release.m), 0,
                          NO_TIME, &first) >= e->release.n) {
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
        something =
            something || (key->at[j].truth >= 0 && (key->held || time_of(r, j) >= key->cool));
    const int64_t left_out = time_of(r, k) - awake_at(r, k);
    if (key->known != NO_TIME && something && t - left_out > key->known + r->w->gap) {
        due = key->known + left_out + r->w->gap;
        *what = 1;
    }
    if (e->max > 0 && !is_point(e) && key->state == ACTIVE && t > key->start + e->max &&
        key->start + e->max < due) {
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
                const int64_t due =
                    due_of(r, &r->w->event[i], &r->event[i].key[j], k, time_of(r, k), &w);
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
    Key key = {.name = name,
               .first = k,
               .last = k,
               .at = arena_array_of(r->a, r->n, Hit),
               .from = k,
               .known = NO_TIME,
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
    const Found *const item = e->each >= 0 ? ref_item(r, e->when, key, k) : NULL;
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
    const RuleValue none = value_unknown(), *const list =
                                                e->each >= 0 ? &r->seen[e->each][k].v : &none;
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
        const RuleResult within = e->within
                                      ? ref_value(r, e->within, &by, key, k, e->within->root, NULL)
                                      : plain(value_truth(true));
        const RuleResult both = ref_and(when, within);
        key->at[k] = hit_of(r, e, key, k);
        key->at[k].truth = value_condition(&both.value);
        key->at[k].begin = when.begin;
        if (list->kind == VALUE_LIST && !ref_item(r, e->when, key, k))
            key->at[k].truth = 0;
        step_key(r, event, key, k);
    }
    int n = 0;
    for (int j = 0; j < h->nkey; j++) {
        const Key *const key = &h->key[j];
        const bool idle = key->state == IDLE && !key->held && time_of(r, k) >= key->cool &&
                          pending_since(r, e, key, k) == NO_TIME;
        const bool here = list->kind == VALUE_LIST && ref_item(r, e->when, key, k);
        if (!key->name || here || !idle || awake_at(r, k) - awake_at(r, key->last) <= r->w->gap)
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

void verdict_text(Str *out, const SpotlightVerdict *v)
{
    str_addf(out, "%d %s%.17g\n", v->require, v->scored ? "" : "? ", v->scored ? v->score : 0.0);
}

/* Its rules see all events as they are after the sample, and confirm at once. */
static void step_spotlight(Ref *r, int k)
{
    const SpotlightRule *const rule = r->w->spotlight;
    const Key key = {.first = r->epoch_first};
    const RuleWindows by = rule_windows(r->w, (Window){1, 1}, (Window){1, 1});
    r->stepping = r->w->nevent;
    const RuleValue score = ref_value(r, rule->score, &by, &key, k, rule->score->root, NULL).value;
    SpotlightVerdict v = {
        .require = 1, .scored = score.kind != VALUE_UNKNOWN, .score = score.number};
    if (rule->require) {
        const RuleValue require =
            ref_value(r, rule->require, &by, &key, k, rule->require->root, NULL).value;
        v.require = value_condition(&require);
    }
    verdict_text(&r->verdicts, &v);
}

const char *reference_records(Arena *a, const Watch *w, const char *stream, const Sample *s, int n,
                              const char **verdicts)
{
    Ref r = {.a = a,
             .w = w,
             .stream = stream,
             .s = s,
             .n = n,
             .m = matcher_new(a),
             .out = str_new(a),
             .verdicts = str_new(a)};
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
                r.seen[i][k] = ref_see(&r, i, k);
        for (int i = 0; i < w->nsignal; i++)
            if (w->signal[i].kind == SIGNAL_TEXT)
                ref_see_line(&r, i, k);
        for (int i = 0; i < w->nevent; i++)
            step_event(&r, i, k);
        if (w->spotlight)
            step_spotlight(&r, k);
    }
    r.now = n - 1;
    if (n > 0)
        end_all(&r, "stopped", n);
    *verdicts = str_text(&r.verdicts);
    return str_text(&r.out);
}
