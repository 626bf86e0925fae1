/* The state machine of one event and key. */
#include "watch/event_state.h"

#include <string.h>

#include "base/map.h"

void machine_new(Arena *a, Machine *m, const EventState *e)
{
    const EventRule *const r = e->rule;
    m->confirm = hits_new(a, r->confirm.m, e->by.confirm_span);
    m->release = hits_new(a, r->release.m, e->by.release_span);
    m->best_at = arena_array_of(a, r->confirm.m, Best);
    m->data = arena_array_of(a, r->ndata, RuleValue);
    m->data_text = arena_array_of(a, r->ndata, char *);
    m->data_list = arena_array_of(a, r->ndata, Found *);
    for (int i = 0; i < r->ndata; i++) {
        const ValueKind k = rule_kind(r->data[i]);
        if (k == VALUE_TEXT || k == VALUE_LIST)
            m->data_text[i] = arena_alloc(a, EVENT_MAX_TEXT);
        if (k == VALUE_LIST)
            m->data_list[i] = arena_array_of(a, EVENT_MAX_LISTED, Found);
    }
    machine_reset(m);
}

static void to_idle(Machine *m, MachineState state)
{
    m->state = state;
    hits_clear(&m->confirm);
    hits_clear(&m->release);
}

void machine_reset(Machine *m)
{
    to_idle(m, MACHINE_IDLE);
    m->known = m->cool = m->dense_until = NO_TIME;
    m->held = m->pending = false;
}

bool machine_is_idle(const Machine *m, int64_t t)
{
    return m->state == MACHINE_IDLE && !m->held && t >= m->cool &&
           hits_first(&m->confirm) == NO_TIME;
}

static Best better(const Best *a, const Best *b)
{
    return !a->any || (b->any && b->score > a->score) ? *b : *a;
}

/* ---- records ---- */

static uint64_t event_id(const Events *v, const EventState *e, const EventSlot *s, int64_t t_start)
{
    uint64_t h = hash_bytes(v->stream, strlen(v->stream), v->run);
    h = hash_bytes(e->rule->name, strlen(e->rule->name), h);
    if (s->key)
        h = hash_bytes(s->key, strlen(s->key), h);
    return hash_mix(hash_mix(h, (uint64_t)v->epoch), (uint64_t)t_start);
}

static void tell(Events *v, int event, const EventSlot *s, RecordKind kind, int64_t t_detect,
                 int64_t t_end)
{
    const EventRule *const r = v->event[event].rule;
    const Machine *const m = &s->machine;
    EventRecord out = {
        .kind = kind,
        .id = m->id,
        .rev = m->rev,
        .stream = v->stream,
        .watch = v->watch,
        .rule = r,
        .key = s->key,
        .epoch = v->epoch,
        .t_start = m->told.t_start,
        .t_detect = t_detect,
        .t_end = t_end,
        .wall = m->told.wall,
        .clock = m->told.clock,
        .reason = kind == RECORD_END ? m->reason : NULL,
        .score = m->told.best.score,
        .frame = m->told.best.frame,
        .t_best = m->told.best.t,
        .box = m->told.best.box,
        .ndata = r->ndata,
    };
    for (int i = 0; i < r->ndata; i++)
        out.data[i] = m->data[i];
    v->counts.records++;
    if (v->fn)
        v->fn(v->arg, &out);
}

static void keep_list(RuleValue *v, char *text, Found *list)
{
    size_t used = 0;
    v->n = v->n < EVENT_MAX_LISTED ? v->n : EVENT_MAX_LISTED;
    for (int i = 0; i < v->n; i++) {
        list[i] = v->list[i];
        list[i].label = text + used;
        used += text_copy(text + used, EVENT_MAX_TEXT - used, v->list[i].label);
        used += used + 1 < EVENT_MAX_TEXT;
    }
    v->list = list;
}

/* The data as they are now: what they point to changes with the next sample. */
static void keep_data(const EventState *e, EventSlot *s, const RuleNow *now)
{
    Machine *const m = &s->machine;
    for (int i = 0; i < e->rule->ndata; i++) {
        RuleValue x = rule_value(now, e->rule->data[i], s->data[i]).value;
        if (x.kind == VALUE_TEXT) {
            text_copy(m->data_text[i], EVENT_MAX_TEXT, x.text);
            x.text = m->data_text[i];
        } else if (x.kind == VALUE_LIST) {
            keep_list(&x, m->data_text[i], m->data_list[i]);
        }
        m->data[i] = x;
    }
}

/* ---- ends ---- */

static void cool_down(const EventState *e, Machine *m, int64_t t_end)
{
    m->cool = e->rule->cooldown > 0 ? t_end + e->rule->cooldown : NO_TIME;
}

/* The end is final. */
static void tell_end(Events *v, int event, EventSlot *s, int64_t t_end)
{
    const EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    m->held = false;
    m->rev++;
    if (!e->point)
        tell(v, event, s, RECORD_END, m->t_released, t_end);
    cool_down(e, m, t_end);
}

static void end(Events *v, int event, EventSlot *s, const char *reason, int64_t t_detect)
{
    Machine *const m = &s->machine;
    m->reason = reason;
    m->t_released = t_detect;
    to_idle(m, MACHINE_IDLE);
    if (v->event[event].rule->merge > 0)
        m->held = true;
    else
        tell_end(v, event, s, m->told.last_true);
}

/* Nothing joined in time. What was true before the cooldown is over does not count. */
static void finish_held(Events *v, int event, EventSlot *s)
{
    tell_end(v, event, s, s->machine.told.last_true);
    hits_drop_before(&s->machine.confirm, s->machine.cool);
}

/* Is the held event's end final at `t`: late enough, and nothing on its way that would join it? */
static bool is_final(const EventState *e, const Machine *m, int64_t t)
{
    const int64_t first = hits_first(&m->confirm), merge = e->rule->merge;
    const bool may_join =
        m->state == MACHINE_SHORT || (first != NO_TIME && first - m->told.last_true < merge);
    return m->held && t - m->told.last_true >= merge && !may_join;
}

/* ---- starts ---- */

/* Does the limit allow one more? */
static bool within_limit(Events *v, EventState *e, int64_t t)
{
    const int limit = e->rule->limit;
    if (limit <= 0)
        return true;
    if (e->nlimit == limit && t - e->limit[e->next_limit] < e->rule->limit_per) {
        v->counts.limited++;
        return false;
    }
    e->limit[e->next_limit] = t;
    e->next_limit = (e->next_limit + 1) % limit;
    e->nlimit += e->nlimit < limit;
    return true;
}

static void begin(Events *v, int event, EventSlot *s, const RuleNow *now, int64_t t)
{
    EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    if (m->held) { /* while an end is held, whatever is confirmed is soon enough to join */
        m->told.best = better(&m->told.best, &m->run.best);
        m->told.last_true = m->run.last_true;
        m->held = false;
        keep_data(e, s, now);
    } else if (!within_limit(v, e, t)) {
        to_idle(m, e->instant ? MACHINE_IDLE : MACHINE_SPENT);
        return;
    } else {
        m->told = m->run;
        m->t_detect = t;
        m->id = event_id(v, e, s, m->run.t_start);
        m->rev = 0;
        keep_data(e, s, now);
        e->start[e->nstart++] = m->run.t_start;
        tell(v, event, s, e->point ? RECORD_POINT : RECORD_START, t, -1);
    }
    to_idle(m, MACHINE_ACTIVE);
    if (e->instant)
        end(v, event, s, NULL, t);
}

static void confirm_run(Events *v, int event, EventSlot *s, const RuleNow *now,
                        const SampleHere *here)
{
    const EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    Run run = {.t_start = hits_first(&m->confirm), .last_true = here->t, .clock = here->clock};
    if (e->instant)
        run.t_start = here->begin != NO_TIME ? here->begin : here->t;
    run.wall = here->wall ? here->wall - (here->t - run.t_start) : 0;
    for (int i = 0; i < m->confirm.n; i++) {
        const int at = hits_slot(&m->confirm, i);
        if (m->confirm.hit[at] && (!e->instant || m->confirm.t[at] == here->t))
            run.best = better(&run.best, &m->best_at[at]);
    }
    to_idle(m, MACHINE_SHORT);
    m->run = run;
    if (e->instant || here->t - run.t_start >= e->rule->min)
        begin(v, event, s, now, here->t);
}

/* ---- a sample ---- */

static void sample_idle(Events *v, int event, EventSlot *s, const RuleNow *now,
                        const SampleHere *here)
{
    const EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    if (here->t < m->cool)
        return;
    m->best_at[hits_add(&m->confirm, here->t, here->awake, here->condition == 1)] = here->best;
    if (is_final(e, m, here->t))
        finish_held(v, event, s);
    if (here->condition == 1 && (e->instant || hits_count(&m->confirm, true) >= e->rule->confirm.n))
        confirm_run(v, event, s, now, here);
}

static void sample_run(Events *v, int event, EventSlot *s, const RuleNow *now,
                       const SampleHere *here)
{
    const EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    const bool is = here->condition == 1;
    Run *const run = m->state == MACHINE_SHORT ? &m->run : &m->told;
    hits_add(&m->release, here->t, here->awake, is);
    if (is && m->state != MACHINE_SPENT) {
        run->last_true = here->t;
        run->best = better(&run->best, &here->best);
        if (m->state == MACHINE_ACTIVE)
            keep_data(e, s, now);
        else if (here->t - run->t_start >= e->rule->min)
            begin(v, event, s, now, here->t);
    } else if (!is && hits_count(&m->release, false) >= e->rule->release.n) {
        if (m->state == MACHINE_ACTIVE)
            end(v, event, s, NULL, here->t);
        else
            to_idle(m, MACHINE_IDLE);
    }
}

void machine_sample(Events *v, int event, EventSlot *s, const RuleNow *now, const SampleHere *here)
{
    const EventState *const e = &v->event[event];
    Machine *const m = &s->machine;
    if (here->condition < 0)
        return;
    m->known = here->awake;
    if (m->state == MACHINE_IDLE)
        sample_idle(v, event, s, now, here);
    else
        sample_run(v, event, s, now, here);
    if (is_final(e, m, here->t)) /* a run was too short */
        finish_held(v, event, s);
}

/* ---- time alone ---- */

typedef enum Due { DUE_NONE, DUE_LOST, DUE_MAX, DUE_HELD } Due;

static Due next_due(const Events *v, int event, const EventSlot *s, int64_t t, int64_t *at)
{
    const EventState *const e = &v->event[event];
    const Machine *const m = &s->machine;
    Due due = DUE_NONE;
    *at = INT64_MAX;
    const bool something = m->state != MACHINE_IDLE || m->confirm.n > 0;
    if (m->known != NO_TIME && something && t - v->left_out - m->known > v->watch->gap) {
        due = DUE_LOST;
        *at = m->known + v->left_out + v->watch->gap;
    }
    const bool may_last = e->rule->max == 0 || e->point || m->state != MACHINE_ACTIVE;
    if (!may_last && t - m->told.t_start > e->rule->max && m->told.t_start + e->rule->max < *at) {
        due = DUE_MAX;
        *at = m->told.t_start + e->rule->max;
    }
    if (is_final(e, m, t) && m->told.last_true + e->rule->merge < *at) {
        due = DUE_HELD;
        *at = m->told.last_true + e->rule->merge;
    }
    return due;
}

bool machine_due(const Events *v, int event, const EventSlot *s, int64_t t, int64_t *due)
{
    return next_due(v, event, s, t, due) != DUE_NONE;
}

static void lose(Events *v, int event, EventSlot *s, int64_t at)
{
    Machine *const m = &s->machine;
    m->known = NO_TIME;
    if (m->state == MACHINE_ACTIVE)
        end(v, event, s, "lost", at);
    else
        to_idle(m, MACHINE_IDLE);
}

void machine_do_due(Events *v, int event, EventSlot *s, int64_t t)
{
    Machine *const m = &s->machine;
    int64_t at;
    switch (next_due(v, event, s, t, &at)) {
    case DUE_LOST: lose(v, event, s, at); break;
    case DUE_HELD: finish_held(v, event, s); break;
    case DUE_MAX:
        m->reason = "max";
        m->t_released = at > m->t_detect ? at : m->t_detect;
        tell_end(v, event, s, at);
        to_idle(m, MACHINE_SPENT);
        break;
    case DUE_NONE: break;
    }
}

void machine_stop(Events *v, int event, EventSlot *s, const char *reason)
{
    Machine *const m = &s->machine;
    if (m->state == MACHINE_ACTIVE) {
        m->reason = reason;
        m->t_released = v->t;
        tell_end(v, event, s, m->told.last_true);
    } else if (m->held) {
        tell_end(v, event, s, m->told.last_true);
    }
    machine_reset(m);
}
