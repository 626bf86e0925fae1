/* One sink: made, ended, asked. */
#include "watch/sink_parts.h"
#include "watch/pattern.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Without an entry: left out of the build. */
static const SinkLinkKind *const kinds[] = {
    [SINK_JSONL] = &sink_jsonl,
#if HAVE_WEBHOOK
    [SINK_WEBHOOK] = &sink_webhook,
#endif
#if HAVE_MQTT
    [SINK_MQTT] = &sink_mqtt,
#endif
#if HAVE_NATS
    [SINK_NATS] = &sink_nats,
#endif
};
static const char *const kind_names[] = {[SINK_JSONL] = "JSONL",
                                         [SINK_WEBHOOK] = "webhooks",
                                         [SINK_MQTT] = "MQTT",
                                         [SINK_NATS] = "NATS"};

/* ---- made and ended ---- */

bool sink_built(SinkKind kind)
{
    return (size_t)kind < sizeof kinds / sizeof *kinds && kinds[kind] != NULL;
}

int sink_check(const SinkSpec *spec, Error *e)
{
    if (spec->name == NULL || spec->name[0] == '\0' || spec->url == NULL || spec->url[0] == '\0')
        return error_set(e, ERR_INVALID, "a sink needs a name and a url");
    if (!sink_built(spec->kind))
        return error_set(e, ERR_UNSUPPORTED, "sink %s: this program was built without %s",
                         spec->name, kind_names[spec->kind]);
    Error why;
    const int code = kinds[spec->kind]->check(spec, &why);
    return code == 0 ? 0 : error_set(e, code, "sink %s: %.900s", spec->name, why.message);
}

int sink_try(void (*read)(Context *ctx, void *arg), void *arg, Error *e)
{
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    const int code = job_run(a, read, arg, e, NULL);
    arena_free(a);
    return code;
}

static const char *copy(Arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static int64_t timeout_of(const SinkSpec *s)
{
    return s->timeout > 0 ? s->timeout : 5 * SINK_SECOND;
}

typedef struct Copying {
    const SinkSpec *from;
    Sink *to;
} Copying;

static void copy_spec(Context *ctx, void *arg)
{
    Copying *const c = arg;
    const SinkSpec *const from = c->from;
    Arena *const a = ctx->arena;
    Sink *const s = arena_new_of(a, Sink);
    const char **const event = arena_array_of(a, from->nevent, const char *);
    for (int i = 0; i < from->nevent; i++)
        event[i] = arena_strdup(a, from->event[i]);
    s->spec = *from;
    s->spec.name = copy(a, from->name);
    s->spec.url = copy(a, from->url);
    s->spec.secret = copy(a, from->secret);
    s->spec.ca = copy(a, from->ca);
    s->spec.event = event;
    s->spec.timeout = timeout_of(from);
    c->to = s;
}

int sink_new(Outbox *outbox, const SinkSpec *spec, Sink **out, Error *e)
{
    Copying c = {.from = spec};
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "sink %s: out of memory", spec->name);
    int code = job_run(a, copy_spec, &c, e, NULL);
    Sink *const s = c.to;
    int wake = -1;
    if (code == 0 && (wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        code = error_set(e, ERR_IO, "sink %s: %s", spec->name, strerror(errno));
    if (code == 0)
        code = outbox_sink(outbox, spec->name, &s->number, e);
    if (code != 0) {
        if (wake >= 0)
            close(wake);
        arena_free(a);
        return code;
    }
    s->arena = a;
    s->kind = kinds[spec->kind];
    s->outbox = outbox;
    s->site = (SinkSite){.spec = &s->spec, .wake = wake, .stop = &s->stop};
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return 0;
}

int sink_start(Sink *s, Error *e)
{
    const OutboxSums sums = outbox_sums(s->outbox, s->number);
    pthread_mutex_lock(&s->lock);
    /* sink_added tells of what comes now, and maybe of the last of these */
    s->counts.waiting = sums.waiting;
    s->counted = sums.last;
    s->counts.dead = sums.dead;
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->came, true);
    const int failed = pthread_create(&s->thread, NULL, sink_deliver, s);
    if (failed)
        return error_set(e, ERR_MEMORY, "sink %s: no thread: %s", s->spec.name, strerror(failed));
    s->started = true;
    return 0;
}

void sink_stop(Sink *s)
{
    atomic_store(&s->stop, true);
    sink_wake(s->site.wake);
    if (s->started)
        pthread_join(s->thread, NULL);
    s->started = false;
}

void sink_free(Sink *s)
{
    assert(!s->started);
    pthread_mutex_destroy(&s->lock);
    close(s->site.wake);
    arena_free(s->arena);
}

/* ---- asked ---- */

const SinkSpec *sink_spec(const Sink *s)
{
    return &s->spec;
}

int sink_number(const Sink *s)
{
    return s->number;
}

bool sink_same(const SinkSpec *a, const SinkSpec *b)
{
    bool same = text_same(a->name, b->name) && a->kind == b->kind && text_same(a->url, b->url) &&
                text_same(a->secret, b->secret) && text_same(a->ca, b->ca) &&
                a->nevent == b->nevent && a->min_severity == b->min_severity &&
                a->give_up == b->give_up && timeout_of(a) == timeout_of(b) &&
                a->rotate == b->rotate && a->unsynced == b->unsynced;
    for (int i = 0; i < b->nevent && same; i++)
        same = text_same(a->event[i], b->event[i]);
    return same;
}

bool sink_is(const Sink *s, const SinkSpec *spec) { return sink_same(&s->spec, spec); }

bool sink_fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == *text) {
            pattern++, text++;
        } else if (star) { /* the star takes one more */
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool sink_wants(const Sink *s, const SinkRecord *r)
{
    bool named = s->spec.nevent == 0;
    for (int i = 0; i < s->spec.nevent && !named; i++)
        named = sink_fits(s->spec.event[i], r->event);
    return named && r->severity >= s->spec.min_severity;
}

void sink_added(Sink *s, int64_t seq)
{
    pthread_mutex_lock(&s->lock);
    s->counts.waiting += seq > s->counted;
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->came, true);
    sink_wake(s->site.wake);
}

bool sink_busy(Sink *s)
{
    pthread_mutex_lock(&s->lock);
    const bool busy = s->counts.waiting > 0;
    pthread_mutex_unlock(&s->lock);
    return busy;
}

SinkCounts sink_counts_now(Sink *s)
{
    pthread_mutex_lock(&s->lock);
    SinkCounts c = s->counts;
    pthread_mutex_unlock(&s->lock);
    if (c.waiting < 0) /* delivered before it was counted */
        c.waiting = 0;
    const int64_t added = outbox_oldest(s->outbox, s->number);
    c.oldest = added > 0 && c.waiting > 0 ? wall_now() - added : 0;
    return c;
}
