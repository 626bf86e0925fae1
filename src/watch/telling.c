/* A list under a lock, and who empties it. */
#include "watch/telling.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/heap.h"
#include "watch/system_json.h"

#define TOGETHER 256 /* records in one commit */

typedef struct Waiting { /* in an arena of its own */
    struct Waiting *next;
    Arena *arena;
    bool state;            /* of a stream: `system`, else `event` */
    EventRecord event;
    int64_t latency;
    SystemRecord system;
    SinkRecord record;
} Waiting;

struct Telling {
    TellingOptions opt;
    Sinks *_Atomic sinks;   /* NULL: none, and no thread */
    pthread_t thread;
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t came;
    Waiting *first, **last;
    int n;                  /* that wait.. */
    size_t bytes;           /* ..and their lines */
    int64_t added;          /* ever */
    bool stop;
    TellingCounts counts;   /* but for what waits */
};

/* ---- copies ---- */

static const char *copy_text(Arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static RuleValue copy_value(Arena *a, const RuleValue *v)
{
    RuleValue out = *v;
    out.text = v->kind == VALUE_TEXT ? copy_text(a, v->text) : NULL;
    Found *const list = arena_array_of(a, v->n + 1, Found);
    for (int i = 0; v->kind == VALUE_LIST && i < v->n; i++) {
        list[i] = v->list[i];
        list[i].label = copy_text(a, v->list[i].label);
        list[i].area = copy_text(a, v->list[i].area);
    }
    out.list = list;
    out.naway = 0; /* of readings; no record tells of them */
    out.away = NULL;
    return out;
}

static Waiting *waiting_new(void)
{
    Arena *const a = arena_new();
    Waiting *const w = arena_new_of(a, Waiting);
    *w = (Waiting){.arena = a};
    return w;
}

static Waiting *copy_event(const EventRecord *r, int64_t latency)
{
    Waiting *const w = waiting_new();
    Arena *const a = w->arena;
    w->event = *r;
    w->event.stream = arena_strdup(a, r->stream);
    w->event.key = copy_text(a, r->key);
    w->event.reason = copy_text(a, r->reason);
    w->event.evidence = copy_text(a, r->evidence);
    w->event.clip = copy_text(a, r->clip);
    for (int i = 0; i < r->ndata; i++)
        w->event.data[i] = copy_value(a, &r->data[i]);
    w->latency = latency;
    Str line = str_new(a);
    event_json(&line, r);
    w->record = (SinkRecord){.stream = w->event.stream,
                             .event = r->rule->name,
                             .id = r->id,
                             .rev = r->rev,
                             .severity = r->rule->severity,
                             .json = str_text(&line),
                             .size = line.len};
    return w;
}

static Waiting *copy_system(const SystemRecord *r)
{
    Waiting *const w = waiting_new();
    w->state = true;
    w->system = *r;
    w->system.stream = arena_strdup(w->arena, r->stream);
    w->system.cause = copy_text(w->arena, r->cause);
    w->system.previous = copy_text(w->arena, r->previous);
    Str line = str_new(w->arena);
    system_json(&line, r);
    const bool of_all = r->kind == SYSTEM_SPOTLIGHT; /* one key, whichever stream it is on */
    w->record = (SinkRecord){.stream = of_all ? "" : w->system.stream,
                             .event = system_name(r->kind),
                             .id = system_id(r),
                             .state = true,
                             .json = str_text(&line),
                             .size = line.len};
    return w;
}

/* ---- telling ---- */

static void tell(const Telling *t, const Waiting *w)
{
    const TellingOptions *const o = &t->opt;
    if (w->state && o->system)
        o->system(o->arg, &w->system, w->record.json, w->record.size);
    else if (!w->state && o->event)
        o->event(o->arg, &w->event, w->latency, w->record.json, w->record.size);
}

/* Called and returns with the lock held. They count as waiting until they are told. */
static void tell_some(Telling *t)
{
    Waiting *some[TOGETHER];
    SinkRecord record[TOGETHER];
    size_t bytes = 0;
    int n = 0;
    for (; t->first && n < TOGETHER; n++) {
        some[n] = t->first;
        record[n] = t->first->record;
        bytes += record[n].size;
        t->first = t->first->next;
    }
    if (!t->first)
        t->last = &t->first;
    pthread_mutex_unlock(&t->lock);
    Error ignored;
    sinks_add(t->sinks, n, record, &ignored); /* what they cannot take they count */
    for (int i = 0; i < n; i++) {
        tell(t, some[i]);
        arena_free(some[i]->arena);
    }
    pthread_mutex_lock(&t->lock);
    t->n -= n;
    t->bytes -= bytes;
    t->counts.told += n;
}

static void *telling(void *arg)
{
    Telling *const t = arg;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->first && !t->stop)
            pthread_cond_wait(&t->came, &t->lock);
        if (!t->first)
            break;
        tell_some(t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- from workers ---- */

static bool is_full(const Telling *t, int n, size_t bytes)
{
    return t->n >= n || t->bytes >= bytes;
}

static void tell_at_once(Telling *t, Waiting *w)
{
    pthread_mutex_lock(&t->lock);
    /* first, or a mark that is set meanwhile would be passed by this record instead of its own */
    t->added++;
    pthread_mutex_unlock(&t->lock);
    tell(t, w);
    arena_free(w->arena);
    pthread_mutex_lock(&t->lock);
    t->counts.told++;
    pthread_mutex_unlock(&t->lock);
}

static void add(Telling *t, Waiting *w)
{
    if (!t->sinks) {
        tell_at_once(t, w);
        return;
    }
    pthread_mutex_lock(&t->lock);
    const bool room =
        !is_full(t, TELLING_BEYOND * TELLING_RECORDS, (size_t)TELLING_BEYOND * TELLING_BYTES);
    t->counts.full += is_full(t, TELLING_RECORDS, TELLING_BYTES);
    t->counts.dropped += !room;
    if (room) {
        *t->last = w;
        t->last = &w->next;
        t->n++;
        t->added++;
        t->bytes += w->record.size;
        pthread_cond_signal(&t->came);
    }
    pthread_mutex_unlock(&t->lock);
    if (!room)
        arena_free(w->arena);
}

bool telling_full(Telling *t)
{
    pthread_mutex_lock(&t->lock);
    const bool out = is_full(t, TELLING_RECORDS, TELLING_BYTES);
    pthread_mutex_unlock(&t->lock);
    return out;
}

void telling_event(Telling *t, const EventRecord *r, int64_t latency)
{
    add(t, copy_event(r, latency));
}
void telling_system(Telling *t, const SystemRecord *r) { add(t, copy_system(r)); }

/* ---- the whole ---- */

Telling *telling_new(const TellingOptions *opt)
{
    Telling *const t = heap_alloc(sizeof *t, 64);
    if (!t)
        return NULL;
    *t = (Telling){.opt = *opt};
    t->last = &t->first;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->came, NULL);
    return t;
}

int telling_sinks(Telling *t, Sinks *sinks, Error *e)
{
    if (pthread_create(&t->thread, NULL, telling, t) != 0)
        return error_set(e, ERR_MEMORY, "no thread to tell records");
    t->sinks = sinks; /* from here on they are queued */
    return 0;
}

int64_t telling_mark(Telling *t)
{
    pthread_mutex_lock(&t->lock);
    const int64_t mark = t->added;
    pthread_mutex_unlock(&t->lock);
    return mark;
}

bool telling_passed(Telling *t, int64_t mark)
{
    pthread_mutex_lock(&t->lock);
    const bool out = t->counts.told >= mark;
    pthread_mutex_unlock(&t->lock);
    return out;
}

TellingCounts telling_counts(Telling *t)
{
    pthread_mutex_lock(&t->lock);
    TellingCounts c = t->counts;
    c.waiting = t->n;
    pthread_mutex_unlock(&t->lock);
    return c;
}

void telling_free(Telling *t, TellingCounts *last)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->came);
    pthread_mutex_unlock(&t->lock);
    if (t->sinks)
        pthread_join(t->thread, NULL);
    if (last)
        *last = t->counts;
    pthread_cond_destroy(&t->came);
    pthread_mutex_destroy(&t->lock);
    heap_free(t);
}
