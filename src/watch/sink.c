/* Sinks: which there are, and which of them want a record. */
#include "watch/sink.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/heap.h"
#include "base/map.h"
#include "watch/sink_each.h"

struct Sinks {
    Outbox *outbox;
    pthread_mutex_t change; /* one sinks_change at a time */
    pthread_mutex_t lock;   /* guards what follows */
    int n;
    Sink *sink[SINK_MAX];
    int64_t lost;
    char why[256];
};

/* ---- records ---- */

static void added(void *arg, int number, int64_t seq)
{
    Sinks *const s = arg;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n; i++)
        if (sink_number(s->sink[i]) == number)
            sink_added(s->sink[i], seq);
    pthread_mutex_unlock(&s->lock);
}

/* What keeps its order: the records of one event of one stream, and those of a stream's state. */
static uint64_t key_of(const SinkRecord *r)
{
    const char *const event = r->state ? "\001" : r->event;
    return hash_bytes(event, strlen(event), hash_bytes(r->stream, strlen(r->stream), 1));
}

/* Who wants it. */
static OutboxAdd add_of(Sinks *s, Arena *a, const SinkRecord *r)
{
    int number[SINK_MAX], n = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n; i++)
        if (sink_wants(s->sink[i], r))
            number[n++] = sink_number(s->sink[i]);
    pthread_mutex_unlock(&s->lock);
    return (OutboxAdd){.record = r,
                       .key = key_of(r),
                       .n = n,
                       .sink = arena_dup(a, number, (size_t)n * sizeof *number)};
}

static int lose(Sinks *s, int n, const Error *why)
{
    pthread_mutex_lock(&s->lock);
    s->lost += n;
    snprintf(s->why, sizeof s->why, "%.250s", why->message);
    pthread_mutex_unlock(&s->lock);
    return why->code;
}

int sinks_add(Sinks *s, int n, const SinkRecord *r, Error *e)
{
    Arena *const a = arena_try_new();
    Error why = {0};
    if (a == NULL) {
        error_set(&why, ERR_MEMORY, "outbox: out of memory");
        lose(s, n, &why);
        return error_set(e, why.code, "%s", why.message);
    }
    OutboxAdd *const add = arena_array_of(a, n + 1, OutboxAdd);
    int nadd = 0, first = 0;
    for (int i = 0; i < n; i++) {
        if (r[i].size > SINK_MAX_RECORD)
            first =
                lose(s, 1,
                     (error_set(&why, ERR_INVALID, "a record of %s has %zu bytes; sinks take %d",
                                r[i].event, r[i].size, SINK_MAX_RECORD),
                      &why));
        else
            add[nadd] = add_of(s, a, &r[i]);
        nadd += r[i].size <= SINK_MAX_RECORD && add[nadd].n > 0;
    }
    if (outbox_add(s->outbox, nadd, add, &why) != 0)
        first = lose(s, nadd, &why);
    arena_free(a);
    return first == 0 ? 0 : error_set(e, first, "%s", why.message);
}

SinksTrouble sinks_trouble(Sinks *s)
{
    const OutboxTrouble o = outbox_trouble(s->outbox);
    SinksTrouble t = {.renewed = o.renewed, .displaced = o.displaced};
    memcpy(t.displaced_why, o.why, sizeof o.why);
    pthread_mutex_lock(&s->lock);
    t.lost = s->lost;
    memcpy(t.why, s->why, sizeof t.why);
    pthread_mutex_unlock(&s->lock);
    return t;
}

/* ---- which sinks ---- */

static int check_all(int n, const SinkSpec *spec, Error *e)
{
    if (n > SINK_MAX)
        return error_set(e, ERR_INVALID, "%d sinks; at most %d", n, SINK_MAX);
    for (int i = 0; i < n; i++) {
        const int code = sink_check(&spec[i], e);
        if (code != 0)
            return code;
        for (int k = 0; k < i; k++) {
            if (strcmp(spec[i].name, spec[k].name) == 0)
                return error_set(e, ERR_INVALID, "two sinks have the name %s", spec[i].name);
        }
    }
    return 0;
}

/* Those that are as before, else new ones, not started. */
static int prepare(Sinks *s, int n, const SinkSpec *spec, Sink **sink, bool *fresh, Error *e)
{
    for (int i = 0; i < n; i++) {
        sink[i] = NULL;
        for (int k = 0; k < s->n && !sink[i]; k++)
            sink[i] = sink_is(s->sink[k], &spec[i]) ? s->sink[k] : NULL;
        fresh[i] = sink[i] == NULL;
        const int code = fresh[i] ? sink_new(s->outbox, &spec[i], &sink[i], e) : 0;
        if (code != 0) {
            for (int k = 0; k < i; k++)
                if (fresh[k])
                    sink_free(sink[k]);
            return code;
        }
    }
    return 0;
}

static bool is_among(const Sink *one, int n, Sink *const *sink)
{
    for (int i = 0; i < n; i++)
        if (sink[i] == one)
            return true;
    return false;
}

int sinks_change(Sinks *s, int n, const SinkSpec *spec, Error *e)
{
    int code = check_all(n, spec, e);
    if (code != 0)
        return code;
    Sink *sink[SINK_MAX];
    bool fresh[SINK_MAX];
    pthread_mutex_lock(&s->change); /* so that s->n and s->sink can be read here without the lock */
    code = prepare(s, n, spec, sink, fresh, e);
    if (code != 0) {
        pthread_mutex_unlock(&s->change);
        return code;
    }
    Sink *gone[SINK_MAX];
    int ngone = 0;
    for (int i = 0; i < s->n; i++)
        if (!is_among(s->sink[i], n, sink))
            gone[ngone++] = s->sink[i];
    for (int i = 0; i < ngone; i++)
        sink_stop(gone[i]);
    if (ngone > 0)
        /* what they delivered is not to be delivered again by who follows them */
        outbox_flush(s->outbox);
    pthread_mutex_lock(&s->lock);
    s->n = n;
    memcpy(s->sink, sink, (size_t)n * sizeof *sink);
    for (int i = 0; i < n; i++) {
        const int started = fresh[i] ? sink_start(sink[i], e) : 0;
        code = code == 0 ? started : code;
    }
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < ngone; i++)
        sink_free(gone[i]);
    pthread_mutex_unlock(&s->change);
    return code;
}

/* ---- open, close ---- */

int sinks_open(const char *path, int n, const SinkSpec *spec, Sinks **out, Error *e)
{
    if (path == NULL || path[0] == '\0')
        return error_set(e, ERR_INVALID, "the outbox has no name");
    int code = check_all(n, spec, e);
    if (code != 0)
        return code;
    Sinks *const s = heap_alloc(sizeof *s, 8);
    if (s == NULL)
        return error_set(e, ERR_MEMORY, "sinks: out of memory");
    pthread_mutex_init(&s->change, NULL);
    pthread_mutex_init(&s->lock, NULL);
    code = outbox_open(path, added, s, &s->outbox, e);
    if (code == 0) {
        code = sinks_change(s, n, spec, e);
        if (code == 0) {
            *out = s;
            return 0;
        }
        sinks_close(s, 0);
        return code;
    }
    heap_free(s);
    return code;
}

static bool busy(const Sinks *s)
{
    for (int i = 0; i < s->n; i++)
        if (sink_busy(s->sink[i]))
            return true;
    return false;
}

void sinks_drain(const Sinks *s, int64_t timeout)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    for (int64_t waited = 0; waited < timeout && busy(s); waited += 2000)
        nanosleep(&moment, NULL);
}

void sinks_close(Sinks *s, int64_t timeout)
{
    sinks_drain(s, timeout);
    outbox_hurry(s->outbox);
    for (int i = 0; i < s->n; i++)
        sink_stop(s->sink[i]);
    outbox_close(s->outbox);
    for (int i = 0; i < s->n; i++)
        sink_free(s->sink[i]);
    pthread_mutex_destroy(&s->change);
    pthread_mutex_destroy(&s->lock);
    heap_free(s);
}

/* ---- asked ---- */

SinkCounts sinks_counts(Sinks *s, int sink)
{
    pthread_mutex_lock(&s->lock);
    const SinkCounts c =
        sink >= 0 && sink < s->n ? sink_counts_now(s->sink[sink]) : (SinkCounts){0};
    pthread_mutex_unlock(&s->lock);
    return c;
}

OutboxCounts sinks_outbox(Sinks *s)
{
    int number[SINK_MAX];
    pthread_mutex_lock(&s->lock);
    const int n = s->n;
    for (int i = 0; i < n; i++)
        number[i] = sink_number(s->sink[i]);
    pthread_mutex_unlock(&s->lock);
    return outbox_counts(s->outbox, n, number);
}
