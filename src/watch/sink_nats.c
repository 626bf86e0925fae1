/* Records to NATS, under PREFIX.STREAM.EVENT, or PREFIX.STREAM.state.
 *
 * Where a JetStream stream takes the subject, a record is taken once that has acknowledged it;
 * Nats-Msg-Id is the event's id and the record's rev, so that JetStream drops what comes twice.
 * Where none does, it is published as it is, and taken once the server has it: who does not listen
 * at that moment misses it. Which of the two is asked of JetStream for each subject, and again
 * after a minute where there was none.
 *
 * All answers come to one inbox, INBOX.TOKEN; a token is a question:
 *
 *     who takes this subject?  ──> a stream ──> publish, answer to the inbox ──> its acknowledgement
 *                              ──> none ─────> publish; then a message to our own inbox, which the server
 *                                              sends back when it has dealt with what came before
 *
 * The library's own reconnecting, which buffers in memory, is off. */
#include "watch/sink_link.h"

#include <inttypes.h>
#include <jansson.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "base/map.h"
#include "sched/clock.h"
#include "watch/sink_url.h"

enum { WINDOW = 64, SUBJECTS = 4096, ANSWERS = 4 * WINDOW };
static const int64_t ASK_AGAIN = 60000000, SECOND = 1000000;
static const char system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

typedef enum Taker { UNKNOWN, STREAM, NOBODY } Taker;

typedef struct Subject {
    uint64_t hash; /* 0: free */
    Taker taker;
    int64_t asked; /* us */
} Subject;

typedef struct Question { /* of a record under way */
    SinkItem *item;       /* NULL: free */
    bool who;             /* asks who takes the subject; else awaits the acknowledgement */
    const char *subject;  /* heap */
} Question;

typedef struct Inbox { /* between the library's thread and ours: either may be over first */
    pthread_mutex_t lock;
    int holders;
    int wake;             /* -1: the link is closed */
    int n;
    natsMsg *answer[ANSWERS];
} Inbox;

typedef struct Server {
    Arena *arena;
    const SinkSite *site;
    const char *prefix, *host;
    char inbox_name[64];
    Inbox *inbox;
    natsConnection *connection;
    natsSubscription *answers;
    /* a token is its question's place and this, so that late answers fit none */
    uint64_t tokens;
    Question question[WINDOW];
    Subject subject[SUBJECTS]; /* by hash; what falls on a taken place takes it over */
} Server;

typedef struct Reading {
    const SinkSpec *spec;
    SinkUrl url;
    const char *server; /* for the library: nats:// or tls://, without the path */
} Reading;

static void read_url(Context *ctx, void *arg)
{
    Reading *const r = arg;
    r->url = sink_url(ctx, r->spec->url);
    if (strcmp(r->url.scheme, "nats") != 0 && strcmp(r->url.scheme, "natss") != 0)
        fail(ctx, ERR_INVALID, "url: %s is not nats:// or natss://", r->url.scheme);
    if (strpbrk(r->url.path, "*> \t/\"\\") || strstr(r->url.path, "..") || r->url.path[0] == '.' ||
        strncmp(r->url.path, "$JS.", 4) == 0)
        fail(ctx, ERR_INVALID, "url: %s is no subject that can be published to", r->url.path);
    if (r->url.path[0] == '\0')
        r->url.path = "lathe";
    const char *const at = strstr(r->spec->url, "://") + 3;
    const bool tls = strcmp(r->url.scheme, "natss") == 0;
    r->server =
        arena_printf(ctx->arena, "%s://%.*s", tls ? "tls" : "nats", (int)strcspn(at, "/"), at);
}

static int check(const SinkSpec *spec, Error *e)
{
    return sink_try(read_url, &(Reading){.spec = spec}, e);
}

/* ---- the connection ---- */

static int broken(const Server *s, natsStatus status, Error *e)
{
    const char *last = NULL;
    if (s->connection && natsConnection_GetLastError(s->connection, &last) == NATS_OK)
        last = NULL;
    const char *const text = last && last[0] ? last : nats_GetLastError(NULL);
    return error_set(e, ERR_IO, "%s: %s%s%.300s", s->host, natsStatus_GetText(status),
                     text && text[0] ? ": " : "", text ? text : "");
}

static void forget(Question *q)
{
    heap_free((void *)(uintptr_t)q->subject);
    *q = (Question){0};
}

/* From a thread of the library. More than fit are answers to questions of long ago. */
static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *m,
                      void *arg)
{
    Inbox *const inbox = arg;
    (void)connection, (void)subscription;
    pthread_mutex_lock(&inbox->lock);
    const bool taken = inbox->wake >= 0 && inbox->n < ANSWERS;
    if (taken) {
        inbox->answer[inbox->n++] = m;
        sink_wake(inbox->wake);
    }
    pthread_mutex_unlock(&inbox->lock);
    if (!taken)
        natsMsg_Destroy(m);
}

/* One of its holders needs it no more. */
static void let_go(void *arg)
{
    Inbox *const inbox = arg;
    pthread_mutex_lock(&inbox->lock);
    const int left = --inbox->holders;
    pthread_mutex_unlock(&inbox->lock);
    if (left > 0)
        return;
    for (int i = 0; i < inbox->n; i++)
        natsMsg_Destroy(inbox->answer[i]);
    pthread_mutex_destroy(&inbox->lock);
    heap_free(inbox);
}

/* From a thread of the library: nothing will come. */
static void on_end(void *arg)
{
    Inbox *const inbox = arg;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->wake >= 0)
        sink_wake(inbox->wake);
    pthread_mutex_unlock(&inbox->lock);
    let_go(inbox);
}

static natsStatus open_inbox(Server *s)
{
    natsInbox *name = NULL;
    char all[80];
    Inbox *const inbox = heap_alloc(sizeof *inbox, 8);
    if (inbox == NULL)
        return NATS_NO_MEMORY;
    pthread_mutex_init(&inbox->lock, NULL);
    inbox->wake = s->site->wake;
    inbox->holders = 1;
    natsStatus bad = natsInbox_Create(&name);
    snprintf(s->inbox_name, sizeof s->inbox_name, "%s", bad == NATS_OK ? name : "");
    snprintf(all, sizeof all, "%s.*", s->inbox_name);
    natsInbox_Destroy(name);
    if (bad == NATS_OK)
        bad = natsConnection_Subscribe(&s->answers, s->connection, all, on_answer, inbox);
    if (bad == NATS_OK) {
        inbox->holders = 2;
        bad = natsSubscription_SetOnCompleteCB(s->answers, on_end, inbox);
    }
    s->inbox = inbox; /* disconnect lets go of it */
    return bad;
}

static void disconnect(Server *s)
{
    if (s->inbox) {
        pthread_mutex_lock(&s->inbox->lock);
        s->inbox->wake = -1;
        pthread_mutex_unlock(&s->inbox->lock);
    }
    if (s->connection)
        natsConnection_Close(s->connection);
    natsSubscription_Destroy(s->answers);
    natsConnection_Destroy(s->connection);
    if (s->inbox)
        let_go(s->inbox);
}

static void close_server(void *link)
{
    Server *const s = link;
    for (int i = 0; i < WINDOW; i++)
        forget(&s->question[i]);
    disconnect(s);
    arena_free(s->arena);
}

static natsStatus set_options(natsOptions *o, const Server *s, const Reading *r)
{
    const SinkSpec *const spec = s->site->spec;
    natsStatus bad = natsOptions_SetURL(o, r->server);
    if (bad == NATS_OK)
        bad = natsOptions_SetAllowReconnect(o, false);
    if (bad == NATS_OK)
        bad = natsOptions_SetTimeout(o, (spec->timeout + 999) / 1000);
    if (bad == NATS_OK)
        bad = natsOptions_SetSendAsap(o, true);
    if (bad == NATS_OK)
        bad = natsOptions_SetName(o, "lathe");
    if (bad == NATS_OK && strcmp(r->url.scheme, "natss") == 0) {
        bad = natsOptions_LoadCATrustedCertificates(o, spec->ca ? spec->ca : system_authorities);
        if (bad == NATS_OK)
            bad = natsOptions_SetExpectedHostname(o, s->host);
        if (bad == NATS_OK)
            bad = natsOptions_SetSecure(o, true);
    }
    return bad;
}

static void make_server(Context *ctx, void *arg)
{
    Server **const out = arg;
    const SinkSite *const site = (*out)->site;
    Reading r = {.spec = site->spec};
    read_url(ctx, &r);
    Server *const s = arena_new_of(ctx->arena, Server);
    *s = (Server){.arena = ctx->arena, .site = site, .prefix = r.url.path, .host = r.url.host};
    *out = s;
    Error e;
    natsOptions *o = NULL;
    natsStatus bad = natsOptions_Create(&o);
    if (bad == NATS_OK)
        bad = set_options(o, s, &r);
    if (bad == NATS_OK)
        bad = natsConnection_Connect(&s->connection, o);
    natsOptions_Destroy(o);
    if (bad == NATS_OK)
        bad = open_inbox(s);
    if (bad != NATS_OK) {
        broken(s, bad, &e);
        disconnect(s);
        fail(ctx, ERR_IO, "%s", e.message);
    }
}

static int open_server(const SinkSite *site, void **link, Error *e)
{
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    Server from = {.site = site}, *s = &from;
    const int code = job_run(a, make_server, &s, e, NULL);
    if (code == 0)
        *link = s;
    else
        arena_free(a);
    return code;
}

/* ---- who takes a subject ---- */

static Subject *subject_at(Server *s, const char *name)
{
    const uint64_t hash = hash_bytes(name, strlen(name), 1) | 1;
    Subject *const at = &s->subject[hash / 2 % SUBJECTS];
    if (at->hash != hash)
        *at = (Subject){.hash = hash};
    if (at->taker == NOBODY && machine_now() - at->asked > ASK_AGAIN)
        at->taker = UNKNOWN;
    return at;
}

/* With the inbox for the answer. */
static natsStatus publish(Server *s, const char *subject, const char *reply, const char *at,
                          size_t size, const char *id)
{
    natsMsg *m = NULL;
    natsStatus bad = natsMsg_Create(&m, subject, reply, at, (int)size);
    if (bad == NATS_OK && id)
        bad = natsMsgHeader_Set(m, "Nats-Msg-Id", id);
    if (bad == NATS_OK)
        bad = natsConnection_PublishMsg(s->connection, m);
    natsMsg_Destroy(m);
    return bad;
}

/* The question's next step. */
static natsStatus proceed(Server *s, Question *q)
{
    const OutboxRecord *const r = q->item->record;
    const Taker taker = subject_at(s, q->subject)->taker;
    char reply[96], id[48], ask[512];
    s->tokens++;
    q->item->token = (int64_t)(s->tokens * WINDOW + (uint64_t)(q - s->question));
    q->who = taker == UNKNOWN;
    snprintf(reply, sizeof reply, "%s.%" PRId64, s->inbox_name, q->item->token);
    snprintf(id, sizeof id, "%016" PRIx64 "-%d", r->id, r->rev);
    if (taker == STREAM)
        return publish(s, q->subject, reply, r->json, r->size, id);
    if (taker == UNKNOWN) {
        const int len =
            /* no quotes in it: send_message */
            snprintf(ask, sizeof ask, "{\"subject\":\"%s\"}", q->subject);
        return len < (int)sizeof ask
                   ? publish(s, "$JS.API.STREAM.NAMES", reply, ask, (size_t)len, NULL)
                   : NATS_INVALID_SUBJECT;
    }
    const natsStatus bad = publish(s, q->subject, NULL, r->json, r->size, id);
    return bad == NATS_OK ? publish(s, reply, NULL, "", 0, NULL) : bad;
}

/* ---- answers ---- */

/* Of JetStream's API: whether a stream takes the subject. */
static Taker taker_of(natsMsg *m)
{
    if (natsMsg_IsNoResponders(m))
        return NOBODY; /* no JetStream */
    json_t *const answer =
        json_loadb(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0, NULL);
    const json_t *const names = json_object_get(answer, "streams");
    const bool refused = answer == NULL || json_object_get(answer, "error") != NULL;
    const Taker taker = refused ? UNKNOWN : json_array_size(names) > 0 ? STREAM : NOBODY;
    json_decref(answer);
    return taker;
}

static SinkVerdict acknowledgement(natsMsg *m, SinkItem *item)
{
    json_t *const answer =
        json_loadb(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0, NULL);
    const json_t *const error = json_object_get(answer, "error");
    SinkVerdict verdict =
        answer != NULL && error == NULL && json_is_string(json_object_get(answer, "stream"))
            ? SINK_TAKEN
            : SINK_AGAIN;
    const char *const text = json_string_value(json_object_get(error, "description"));
    if (verdict != SINK_TAKEN)
        snprintf(item->why, sizeof item->why, "JetStream: %s",
                 text ? text : "no answer of its kind");
    if (json_integer_value(json_object_get(error, "code")) == 400)
        verdict = SINK_REFUSED;
    json_decref(answer);
    return verdict;
}

/* An answer to a question. *settled: whether a record is done with. */
static natsStatus take_answer(Server *s, natsMsg *m, bool *settled)
{
    const char *const subject = natsMsg_GetSubject(m);
    const size_t len = strlen(s->inbox_name);
    if (strlen(subject) <= len + 1)
        return NATS_OK;
    int64_t token = 0;
    for (const char *c = subject + len + 1; *c >= '0' && *c <= '9' && token < INT64_MAX / 16; c++)
        token = token * 10 + (*c - '0');
    Question *const q = &s->question[token % WINDOW];
    if (q->item == NULL || q->item->token != token) /* of something that is over */
        return NATS_OK;
    Subject *const at = subject_at(s, q->subject);
    if (q->who) {
        *at = (Subject){.hash = at->hash, .taker = taker_of(m), .asked = machine_now()};
        if (at->taker != UNKNOWN)
            return proceed(s, q);
        q->item->verdict = SINK_AGAIN;
        snprintf(q->item->why, sizeof q->item->why,
                 "JetStream does not say which stream takes %.80s", q->subject);
    } else if (natsMsg_IsNoResponders(m)) { /* the stream is gone */
        at->taker = UNKNOWN;
        return proceed(s, q);
    } else {
        q->item->verdict = at->taker == NOBODY ? SINK_TAKEN : acknowledgement(m, q->item);
    }
    forget(q);
    *settled = true;
    return NATS_OK;
}

/* The next that came; NULL: none. */
static natsMsg *next_answer(Inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    natsMsg *const m = inbox->n > 0 ? inbox->answer[0] : NULL;
    if (m)
        memmove(inbox->answer, inbox->answer + 1, (size_t)--inbox->n * sizeof m);
    pthread_mutex_unlock(&inbox->lock);
    return m;
}

static int wait_answers(void *link, int64_t timeout, Error *e)
{
    Server *const s = link;
    bool settled = false;
    for (int turn = 0; turn < 2 && !settled; turn++) {
        if (turn > 0)
            sink_pause(s->site->wake, -1, timeout < SECOND ? timeout : SECOND);
        for (natsMsg *m; (m = next_answer(s->inbox)) != NULL;) {
            const natsStatus bad = take_answer(s, m, &settled);
            natsMsg_Destroy(m);
            if (bad != NATS_OK)
                return broken(s, bad, e);
        }
    }
    return natsConnection_IsClosed(s->connection) ? broken(s, NATS_CONNECTION_CLOSED, e) : 0;
}

/* ---- records ---- */

typedef struct Naming {
    const Server *s;
    const OutboxRecord *r;
    char *out; /* heap */
} Naming;

static void name_subject(Context *ctx, void *arg)
{
    Naming *const n = arg;
    static const char special[] = ".*>\"\\";
    Str s = str_new(ctx->arena);
    str_add(&s, n->s->prefix);
    str_addc(&s, '.');
    sink_add_part(&s, n->r->stream, special);
    str_addc(&s, '.');
    if (n->r->state && n->r->stream[0] != '\0')
        str_add(&s, "state");
    else
        sink_add_part(&s, n->r->event, special);
    n->out = heap_alloc(s.len + 1, 1);
    if (n->out == NULL)
        fail(ctx, ERR_MEMORY, "out of memory");
    memcpy(n->out, str_text(&s), s.len + 1);
}

static int send_message(void *link, SinkItem *item, Error *e)
{
    Server *const s = link;
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    Naming n = {.s = s, .r = item->record};
    const int code = job_run(a, name_subject, &n, e, NULL);
    arena_free(a);
    if (code != 0)
        return code;
    Question *q = s->question;
    while (q->item) /* the window is as large */
        q++;
    *q = (Question){.item = item, .subject = n.out};
    const natsStatus bad = proceed(s, q);
    if (bad == NATS_OK)
        return 0;
    forget(q);
    if (bad == NATS_MAX_PAYLOAD || bad == NATS_INVALID_SUBJECT)
        return error_set(e, ERR_INVALID, "the server takes no such message: %s",
                         natsStatus_GetText(bad));
    return broken(s, bad, e);
}

const SinkLinkKind sink_nats = {
    .window = WINDOW,
    .check = check,
    .open = open_server,
    .send = send_message,
    .wait = wait_answers,
    .close = close_server,
};
