/* The engine of one stream: readings, then each event and its keys, in the order of the file.
 *
 * What becomes due between two samples (a silence is too long, an event has lasted `max`, nothing
 * joined it) is told before the second one, in the order of the times when it became due. So it is
 * no matter whether somebody asked in between. */
#include "watch/event.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "watch/event_state.h"

#define MAX_TIME (INT64_C(1) << 53)

/* ---- making ---- */

static void name_signals(Arena *a, const Watch *w, EventState *e)
{
    const Rule *const r = e->rule->when;
    bool *const seen = arena_array_of(a, w->nsignal, bool);
    e->signal = arena_array_of(a, w->nsignal, int);
    for (int i = 0; i < r->n; i++) {
        const RuleNode *const n = &r->at[i];
        if ((n->op != RULE_SIGNAL && n->op != RULE_ITEM) || seen[n->index])
            continue;
        seen[n->index] = true;
        e->signal[e->nsignal++] = n->index;
    }
}

static void slot_new(Arena *a, const Watch *w, const EventState *e, EventSlot *s)
{
    const EventRule *const r = e->rule;
    if (r->each >= 0)
        s->key = arena_alloc(a, w->signal[r->each].kind == SIGNAL_OBJECT ? 24 : EVENT_MAX_TEXT);
    machine_new(a, &s->machine, e);
    s->when = rule_memory_new(a, r->when, &e->by);
    s->within = r->within ? rule_memory_new(a, r->within, &e->by) : NULL;
    s->data = arena_array_of(a, r->ndata, RuleMemory *);
    for (int i = 0; i < r->ndata; i++)
        s->data[i] = rule_memory_new(a, r->data[i], &e->by);
}

static void state_new(Arena *a, const Watch *w, const EventRule *r, EventState *e)
{
    *e = (EventState){
        .rule = r,
        .instant = rule_is_instant(r->when),
        .point = r->point || rule_is_instant(r->when),
        .by = rule_windows(w, r->confirm, r->release),
        .nslot = r->each >= 0 ? EVENT_MAX_KEYS : 1,
        .nlive = r->each >= 0 ? 0 : 1,
    };
    e->slot = arena_array_of(a, e->nslot, EventSlot);
    e->live = arena_array_of(a, e->nslot, int);
    e->start = arena_array_of(a, e->nslot, int64_t);
    e->seen_start = arena_array_of(a, e->nslot, int64_t);
    e->limit = arena_array_of(a, r->limit > 0 ? r->limit : 0, int64_t);
    for (int i = 0; i < e->nslot; i++) {
        e->live[i] = i;
        slot_new(a, w, e, &e->slot[i]);
    }
    name_signals(a, w, e);
}

static void spotlight_new_rules(Arena *a, Events *v)
{
    const SpotlightRule *const s = v->watch->spotlight;
    const RuleWindows by = rule_windows(v->watch, (Window){1, 1}, (Window){1, 1});
    v->score = s ? rule_memory_new(a, s->score, &by) : NULL;
    v->require = s && s->require ? rule_memory_new(a, s->require, &by) : NULL;
    v->spotlight.require = -1;
}

Events *events_new(Arena *a, const Watch *w, const char *stream, EventFn fn, void *arg)
{
    Events *const v = arena_new_of(a, Events);
    *v = (Events){
        .watch = w,
        .stream = arena_strdup(a, stream),
        .fn = fn,
        .arg = arg,
        .readings = readings_new(a, w),
        .matcher = matcher_new(a),
        .event = arena_array_of(a, w->nevent, EventState),
        .now = arena_array_of(a, w->nevent, EventNow),
        .t = NO_TIME,
    };
    for (int i = 0; i < w->nevent; i++) {
        state_new(a, w, &w->event[i], &v->event[i]);
        v->now[i].start = v->event[i].seen_start;
    }
    spotlight_new_rules(a, v);
    return v;
}

void events_set_run(Events *v, uint64_t run) { v->run = run; }

static void slot_reset(const EventState *e, EventSlot *s)
{
    machine_reset(&s->machine);
    rule_memory_reset(s->when, e->rule->when);
    if (s->within)
        rule_memory_reset(s->within, e->rule->within);
    for (int i = 0; i < e->rule->ndata; i++)
        rule_memory_reset(s->data[i], e->rule->data[i]);
    s->item = NULL;
    s->away = false;
}

/* ---- time alone ---- */

static void refresh(Events *v, int event)
{
    const EventState *const e = &v->event[event];
    EventNow *const now = &v->now[event];
    now->active = now->nstart > 0;
    now->since = now->nstart > 0 ? now->start[0] : 0;
    for (int i = 0; i < e->nlive; i++) {
        const Machine *const m = &e->slot[e->live[i]].machine;
        if (m->state != MACHINE_ACTIVE)
            continue;
        if (!now->active || m->told.t_start < now->since)
            now->since = m->told.t_start;
        now->active = true;
    }
}

static void advance(Events *v, int64_t t)
{
    for (;;) {
        int64_t first = INT64_MAX;
        int event = 0;
        EventSlot *slot = NULL;
        for (int i = 0; i < v->watch->nevent; i++) {
            const EventState *const e = &v->event[i];
            for (int k = 0; k < e->nlive; k++) {
                int64_t due;
                if (!machine_due(v, i, &e->slot[e->live[k]], t, &due) || due >= first)
                    continue;
                first = due;
                event = i;
                slot = &e->slot[e->live[k]];
            }
        }
        if (!slot)
            return;
        machine_do_due(v, event, slot, t);
    }
}

/* All that is active ends, and everything is forgotten but the counts. */
static void end_all(Events *v, const char *reason)
{
    for (int i = 0; i < v->watch->nevent; i++) {
        EventState *const e = &v->event[i];
        for (int k = 0; k < e->nlive; k++) {
            EventSlot *const s = &e->slot[e->live[k]];
            machine_stop(v, i, s, reason);
            slot_reset(e, s);
        }
        e->nlive = e->rule->each >= 0 ? 0 : 1;
        e->nlimit = e->next_limit = 0;
        v->now[i].active = false;
        v->now[i].nstart = 0;
    }
    if (v->score)
        rule_memory_reset(v->score, v->watch->spotlight->score);
    if (v->require)
        rule_memory_reset(v->require, v->watch->spotlight->require);
    v->spotlight = (SpotlightVerdict){.require = -1};
    readings_reset(v->readings);
    v->left_out = 0;
}

/* ---- a sample ---- */

static Best best_of(const Events *v, const EventState *e, const EventSlot *s, const Sample *sample)
{
    Best out = {.any = true, .frame = sample->frame, .t = sample->t};
    bool scored = false, boxed = false;
    const Reading *const all = readings_now(v->readings);
    for (int i = 0; i < e->nsignal; i++) {
        const int k = e->signal[i], region = v->watch->signal[k].region;
        const bool item = k == e->rule->each;
        const Reading *const r = &all[k];
        if (r->value.kind == VALUE_UNKNOWN || (item && !s->item))
            continue;
        const float score = item ? s->item->score : r->score;
        if ((item || r->scored) && (!scored || score < out.score)) {
            out.score = score;
            scored = true;
        }
        if (!boxed && (item || r->boxed || region >= 0))
            out.box = item ? s->item->box : r->boxed ? r->box : v->watch->region[region].box;
        boxed = boxed || item || r->boxed || region >= 0;
    }
    return out;
}

static void sample_slot(Events *v, int event, EventSlot *s, const Sample *sample)
{
    const EventState *const e = &v->event[event];
    const EventRule *const r = e->rule;
    const Reading *const all = readings_now(v->readings);
    const RuleNow now = {
        .t = sample->t,
        .awake = sample->t - v->left_out,
        .reading = all,
        .event = v->now,
        .matcher = v->matcher,
        .item_known = r->each >= 0 && all[r->each].value.kind == VALUE_LIST && !s->away,
        .item = s->item,
        .item_since = s->first_seen,
    };
    rule_step(&now, r->when, s->when);
    if (r->within)
        rule_step(&now, r->within, s->within);
    for (int i = 0; i < r->ndata; i++)
        rule_step(&now, r->data[i], s->data[i]);
    const RuleResult when = rule_value(&now, r->when, s->when);
    const RuleResult always = {value_truth(true), NO_TIME};
    const RuleResult within = r->within ? rule_value(&now, r->within, s->within) : always;
    const int p = value_condition(&when.value), q = value_condition(&within.value);
    const bool gone = now.item_known && !s->item; /* an object that is not there does nothing */
    const SampleHere here = {
        .t = sample->t,
        .awake = now.awake,
        .wall = sample->wall,
        .clock = sample->clock,
        .condition = gone || p == 0 || q == 0 ? 0
                     : p < 0 || q < 0         ? -1
                                              : 1,
        .begin = when.begin,
        .best = best_of(v, e, s, sample),
    };
    Machine *const m = &s->machine;
    machine_sample(v, event, s, &now, &here);
    /* A black frame, a flash: what could not be told is looked at again soon, but not for ever. */
    const bool lost = here.condition < 0 && m->known != NO_TIME &&
                      (double)(now.awake - m->known) * v->watch->fps < 2e6;
    const bool turning = m->state == MACHINE_ACTIVE ? hits_count(&m->release, false) > 0 :
                                                      hits_first(&m->confirm) != NO_TIME;
    const bool pending =
        lost || turning || m->state == MACHINE_SHORT || rule_pending(r->when, s->when);
    if (pending && !m->pending)
        m->dense_until = sample->t + r->recheck.span;
    m->pending = pending;
}

/* ---- keys ---- */

static EventSlot *find_key(const EventState *e, uint64_t hash, const char *key)
{
    for (int i = 0; i < e->nlive; i++) {
        EventSlot *const s = &e->slot[e->live[i]];
        if (s->hash == hash && strcmp(s->key, key) == 0)
            return s;
    }
    return NULL;
}

/* Tracks that are out of sight are neither there nor gone. */
static void mark_away(const EventState *e, const RuleValue *list, int64_t awake)
{
    for (int i = 0; list->kind == VALUE_LIST && i < list->naway; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)list->away[i]);
        EventSlot *const s = find_key(e, hash_bytes(number, strlen(number), 0), number);
        if (!s)
            continue;
        s->away = true;
        s->last_seen = awake;
    }
}

/* The slots of what is there now; objects without a confirmed track have none. */
static void seat_keys(Events *v, EventState *e, const RuleValue *list, bool objects, int64_t t)
{
    for (int i = 0; i < e->nlive; i++) {
        e->slot[e->live[i]].item = NULL;
        e->slot[e->live[i]].away = false;
    }
    const int64_t awake = t - v->left_out;
    mark_away(e, list, awake);
    for (int i = 0; list->kind == VALUE_LIST && i < list->n; i++) {
        const Found *const f = &list->list[i];
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)f->track);
        const char *const key = objects ? number : f->label;
        if ((objects && f->track <= 0) || key[0] == 0)
            continue;
        const uint64_t hash = hash_bytes(key, strlen(key), 0);
        EventSlot *s = find_key(e, hash, key);
        if (!s && e->nlive == e->nslot) {
            v->counts.keys_refused++;
            continue;
        }
        if (!s) {
            s = &e->slot[e->live[e->nlive++]];
            slot_reset(e, s);
            s->hash = hash;
            strcpy(s->key, key);
            s->first_seen = t;
        }
        s->item = s->item ? s->item : f; /* the same text twice: the first */
        s->last_seen = awake;
    }
}

static void free_keys(const Events *v, EventState *e, int64_t t)
{
    int n = 0;
    int gone[EVENT_MAX_KEYS], ngone = 0;
    for (int i = 0; i < e->nlive; i++) {
        const EventSlot *const s = &e->slot[e->live[i]];
        if (!s->item && machine_is_idle(&s->machine, t) &&
            t - v->left_out - s->last_seen > v->watch->gap)
            gone[ngone++] = e->live[i];
        else
            e->live[n++] = e->live[i];
    }
    memcpy(e->live + n, gone, (size_t)ngone * sizeof *gone);
    e->nlive = n;
}

static void sample_event(Events *v, int event, const Sample *s)
{
    EventState *const e = &v->event[event];
    const int each = e->rule->each;
    e->nstart = 0;
    if (each >= 0)
        seat_keys(v, e, &readings_now(v->readings)[each].value,
                  v->watch->signal[each].kind == SIGNAL_OBJECT, s->t);
    for (int i = 0; i < e->nlive; i++)
        sample_slot(v, event, &e->slot[e->live[i]], s);
    if (each >= 0)
        free_keys(v, e, s->t);
    memcpy(e->seen_start, e->start, (size_t)e->nstart * sizeof *e->start);
    v->now[event].nstart = e->nstart;
    refresh(v, event);
}

/* After all events: its rules see them as they are now. */
static void sample_spotlight(Events *v, int64_t t)
{
    const SpotlightRule *const s = v->watch->spotlight;
    const RuleNow now = {.t = t,
                         .awake = t - v->left_out,
                         .reading = readings_now(v->readings),
                         .event = v->now,
                         .matcher = v->matcher};
    rule_step(&now, s->score, v->score);
    const RuleValue score = rule_value(&now, s->score, v->score).value;
    v->spotlight = (SpotlightVerdict){
        .require = 1, .scored = score.kind == VALUE_NUMBER, .score = score.number};
    if (!s->require)
        return;
    rule_step(&now, s->require, v->require);
    const RuleValue require = rule_value(&now, s->require, v->require).value;
    v->spotlight.require = value_condition(&require);
}

void events_sample(Events *v, const Sample *s)
{
    const bool next_epoch = v->begun && s->epoch > v->epoch;
    if ((v->begun && s->epoch < v->epoch) || (!next_epoch && s->t < v->t) || s->t < -MAX_TIME ||
        s->t > MAX_TIME) {
        v->counts.late++;
        return;
    }
    if (next_epoch)
        end_all(v, "lost");
    v->begun = true;
    v->epoch = s->epoch;
    v->left_out += s->left_out;
    v->counts.samples++;
    advance(v, s->t);
    v->t = s->t;
    for (int i = 0; i < v->watch->nevent; i++)
        refresh(v, i);
    readings_sample(v->readings, s, v->now);
    for (int i = 0; i < v->watch->nevent; i++)
        sample_event(v, i, s);
    if (v->score)
        sample_spotlight(v, s->t);
}

void events_quiet(Events *v, int64_t t)
{
    if (!v->begun || t <= v->t || t > MAX_TIME)
        return;
    advance(v, t);
    v->t = t;
}

void events_stop(Events *v)
{
    end_all(v, "stopped");
    v->begun = false;
    v->t = NO_TIME;
}

static void add_best(EventBest *out, int max, int *n, EventBest one, const Best *b)
{
    one.t = b->t;
    one.box = b->box;
    if (b->any && *n < max)
        out[(*n)++] = one;
}

int events_best(const Events *v, int max, EventBest *out)
{
    int n = 0;
    for (int i = 0; i < v->watch->nevent; i++) {
        const EventState *const e = &v->event[i];
        for (int k = 0; k < e->nlive; k++) {
            const EventSlot *const s = &e->slot[e->live[k]];
            const Machine *const m = &s->machine;
            const EventBest one = {.event = i, .key = s->key};
            for (int h = 0; m->state == MACHINE_IDLE && h < m->confirm.n; h++) {
                const int at = hits_slot(&m->confirm, h);
                if (m->confirm.hit[at])
                    add_best(out, max, &n, one, &m->best_at[at]);
            }
            if (m->state == MACHINE_SHORT)
                add_best(out, max, &n, one, &m->run.best);
            if (m->state == MACHINE_ACTIVE || m->held)
                add_best(out, max, &n, one, &m->told.best);
        }
    }
    return n;
}

EventCounts events_counts(const Events *v)
{
    return v->counts;
}

SpotlightVerdict events_spotlight(const Events *v) { return v->spotlight; }

/* ---- what is wanted next ---- */

const Reading *events_readings(const Events *v) { return readings_now(v->readings); }

double events_rate(const Events *v)
{
    double rate = v->watch->fps;
    for (int i = 0; i < v->watch->nevent; i++) {
        const EventState *const e = &v->event[i];
        const double dense = e->rule->recheck.fps > 0 ? e->rule->recheck.fps : v->watch->max_fps;
        for (int k = 0; k < e->nlive && dense > rate; k++) {
            const Machine *const m = &e->slot[e->live[k]].machine;
            if (m->pending || v->t < m->dense_until)
                rate = dense;
        }
    }
    return rate;
}
