/* Records to an MQTT broker, QoS 1: a record is taken when the broker has acknowledged it.
 *
 *     PREFIX/STREAM/EVENT    records, not retained
 *     PREFIX/STREAM/state    what state a stream is in, retained
 *     PREFIX/%/EVENT         what state all of them are in together (overload, spotlight), retained
 *     PREFIX/state           "online", or "offline": retained, also the last will
 *
 * MQTT 5, in which brokers say why they refuse; 3.1.1 where a broker knows no better. A broker
 * acknowledges in the order in which it was sent to, so several records of a key may be under
 * way. The library's own queue and reconnecting are not used: one that broke is closed, and what
 * was not acknowledged goes over the next. Names are percent-encoded where a topic could not
 * hold them (/ + #). */
#include "watch/sink_link.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/heap.h"
#include "sched/clock.h"
#include "watch/sink_url.h"

enum { WINDOW = 32, KEEP_ALIVE = 30, PORT = 1883, PORT_TLS = 8883 };
static const char system_authorities[] = "/etc/ssl/certs";

typedef struct Broker {
    Arena *arena;
    const SinkSite *site;
    SinkUrl url;
    const char *prefix, *state_topic;
    struct mosquitto *m;
    int n;
    SinkItem *item[WINDOW]; /* under way */
    bool connected, ended;
    int refused;            /* of CONNACK; 0: not */
    int settled;            /* since wait began */
    char why[OUTBOX_WHY];
} Broker;

/* The library wants to be told once in a process. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    mosquitto_lib_init();
}

typedef struct Reading {
    const SinkSpec *spec;
    SinkUrl url;
} Reading;

static void read_url(Context *ctx, void *arg)
{
    Reading *const r = arg;
    r->url = sink_url(ctx, r->spec->url);
    if (strcmp(r->url.scheme, "mqtt") != 0 && strcmp(r->url.scheme, "mqtts") != 0)
        fail(ctx, ERR_INVALID, "url: %s is not mqtt:// or mqtts://", r->url.scheme);
    if (strpbrk(r->url.path, "+#"))
        fail(ctx, ERR_INVALID, "url: + and # are no part of a topic that is published to");
    if (r->url.path[0] == '\0')
        r->url.path = "lathe";
}

static int check(const SinkSpec *spec, Error *e)
{
    return sink_try(read_url, &(Reading){.spec = spec}, e);
}

/* ---- what the library tells ---- */

static void on_connect(struct mosquitto *m, void *arg, int reason, int flags,
                       const mosquitto_property *props)
{
    Broker *const b = arg;
    (void)m, (void)flags, (void)props;
    b->connected = reason == 0;
    b->refused = reason;
    if (reason != 0)
        snprintf(b->why, sizeof b->why, "the broker refuses: %s",
                 reason < 128 ? mosquitto_connack_string(reason) : mosquitto_reason_string(reason));
}

static void on_disconnect(struct mosquitto *m, void *arg, int reason,
                          const mosquitto_property *props)
{
    Broker *const b = arg;
    (void)m, (void)props;
    b->ended = true;
    if (b->why[0] == '\0')
        snprintf(b->why, sizeof b->why, "the connection ended: %s",
                 reason < 128 ? mosquitto_strerror(reason) : mosquitto_reason_string(reason));
}

static void on_publish(struct mosquitto *m, void *arg, int mid, int reason,
                       const mosquitto_property *props)
{
    Broker *const b = arg;
    (void)m, (void)props;
    for (int i = 0; i < b->n; i++) {
        SinkItem *const item = b->item[i];
        if (item->token != mid)
            continue;
        const bool later = reason == MQTT_RC_QUOTA_EXCEEDED || reason == MQTT_RC_UNSPECIFIED ||
                           reason == MQTT_RC_IMPLEMENTATION_SPECIFIC;
        item->verdict = reason < 128 ? SINK_TAKEN : later ? SINK_AGAIN : SINK_REFUSED;
        if (reason >= 128)
            snprintf(item->why, sizeof item->why, "the broker refuses: %s",
                     mosquitto_reason_string(reason));
        memmove(b->item + i, b->item + i + 1, (size_t)(--b->n - i) * sizeof *b->item);
        b->settled++;
        return;
    }
}

/* ---- the connection ---- */

static int broken(const Broker *b, int code, Error *e)
{
    return error_set(e, ERR_IO, "%s:%d: %s", b->url.host, b->url.port,
                     b->why[0] ? b->why : mosquitto_strerror(code));
}

/* Reads and writes what can be, after at most `timeout` us. */
static int step(Broker *b, int64_t timeout, Error *e)
{
    const int fd = mosquitto_socket(b->m);
    if (fd < 0 || b->ended)
        return broken(b, MOSQ_ERR_CONN_LOST, e);
    struct pollfd p[] = {
        {.fd = b->site->wake, .events = POLLIN},
        {.fd = fd, .events = (short)(mosquitto_want_write(b->m) ? POLLIN | POLLOUT : POLLIN)}};
    poll(p, 2, (int)((timeout + 999) / 1000));
    if (p[0].revents)
        sink_pause(b->site->wake, -1, 0); /* read empty */
    int code = 0, before;
    if (p[1].revents & POLLOUT)
        code = mosquitto_loop_write(b->m, 1);
    do { /* with TLS there may be more than poll knows of */
        before = b->settled;
        if (code == 0)
            code = mosquitto_loop_read(b->m, 1);
    } while (b->settled > before);
    if (code == 0)
        code = mosquitto_loop_misc(b->m);
    return code == 0 && !b->ended ? 0 : broken(b, code, e);
}

/* Retained. At once, whatever is under way: nobody waits for it. */
static void tell_state(const Broker *b, const char *text)
{
    mosquitto_publish(b->m, NULL, b->state_topic, (int)strlen(text), text, 0, true);
}

static void close_broker(void *link)
{
    Broker *const b = link;
    if (b->m && b->connected && !b->ended) {
        tell_state(b, "offline");
        mosquitto_disconnect(b->m);
    }
    if (b->m)
        mosquitto_destroy(b->m);
    arena_free(b->arena);
}

static void make_broker(Context *ctx, void *arg)
{
    Broker **const out = arg;
    const SinkSite *const site = (*out)->site;
    Reading r = {.spec = site->spec};
    read_url(ctx, &r);
    Broker *const b = arena_new_of(ctx->arena, Broker);
    const bool tls = strcmp(r.url.scheme, "mqtts") == 0;
    if (r.url.port == 0)
        r.url.port = tls ? PORT_TLS : PORT;
    *b = (Broker){.arena = ctx->arena, .site = site, .url = r.url, .prefix = r.url.path};
    b->state_topic = arena_printf(ctx->arena, "%s/state", b->prefix);
    uint64_t id = 0;
    (void)!getrandom(&id, sizeof id, 0);
    b->m = mosquitto_new(arena_printf(ctx->arena, "lathe-%016" PRIx64, id), true, b);
    if (b->m == NULL)
        fail(ctx, ERR_MEMORY, "out of memory");
    mosquitto_connect_v5_callback_set(b->m, on_connect);
    mosquitto_disconnect_v5_callback_set(b->m, on_disconnect);
    mosquitto_publish_v5_callback_set(b->m, on_publish);
    mosquitto_max_inflight_messages_set(b->m, WINDOW);
    mosquitto_will_set(b->m, b->state_topic, 7, "offline", 1, true);
    if (b->url.user)
        mosquitto_username_pw_set(b->m, b->url.user, b->url.password);
    const char *const ca = site->spec->ca;
    if (tls && mosquitto_tls_set(b->m, ca, ca ? NULL : system_authorities, NULL, NULL, NULL) != 0) {
        mosquitto_destroy(b->m);
        fail(ctx, ERR_IO, "authorities for TLS cannot be read: %s", ca ? ca : system_authorities);
    }
    *out = b;
}

static int connect_broker(Broker *b, int protocol, Error *e)
{
    const int64_t end = machine_now() + b->site->spec->timeout;
    mosquitto_int_option(b->m, MOSQ_OPT_PROTOCOL_VERSION, protocol);
    int code = mosquitto_connect_async(b->m, b->url.host, b->url.port, KEEP_ALIVE);
    if (code != 0)
        return broken(b, code, e);
    while (!b->connected) {
        const int64_t left = end - machine_now();
        if (left <= 0 || atomic_load(b->site->stop))
            return error_set(e, ERR_IO, "%s:%d: no answer in time", b->url.host, b->url.port);
        code = step(b, left < 100000 ? left : 100000, e);
        if (code != 0)
            return code;
    }
    tell_state(b, "online");
    return 0;
}

static int open_with(const SinkSite *site, int protocol, Broker **out, Error *e)
{
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    Broker from = {.site = site}, *b = &from;
    int code = job_run(a, make_broker, &b, e, NULL);
    if (code != 0) {
        arena_free(a);
        return code;
    }
    code = connect_broker(b, protocol, e);
    if (code == 0) {
        *out = b;
        return 0;
    }
    const int refused = b->refused;
    close_broker(b);
    *out = NULL;
    return refused == MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION ||
                   refused == CONNACK_REFUSED_PROTOCOL_VERSION
               ? ERR_UNSUPPORTED
               : code;
}

static int open_broker(const SinkSite *site, void **link, Error *e)
{
    pthread_once(&once, init);
    Broker *b;
    int code = open_with(site, MQTT_PROTOCOL_V5, &b, e);
    if (code == ERR_UNSUPPORTED)
        code = open_with(site, MQTT_PROTOCOL_V311, &b, e);
    *link = b;
    return code;
}

/* ---- records ---- */

static void make_topic(Context *ctx, void *arg)
{
    SinkItem *const item = arg;
    const OutboxRecord *const r = item->record;
    Str s = str_new(ctx->arena);
    str_add(&s, item->own);
    str_addc(&s, '/');
    sink_add_part(&s, r->stream, "/+#");
    str_addc(&s, '/');
    if (r->state && r->stream[0] != '\0')
        str_add(&s, "state");
    else
        sink_add_part(&s, r->event, "/+#");
    item->own = (void *)(uintptr_t)str_text(&s);
}

static int send_message(void *link, SinkItem *item, Error *e)
{
    Broker *const b = link;
    const OutboxRecord *const r = item->record;
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    item->own = (void *)(uintptr_t)b->prefix;
    int code = job_run(a, make_topic, item, e, NULL), mid;
    if (code == 0) {
        const int bad =
            mosquitto_publish(b->m, &mid, item->own, (int)r->size, r->json, 1, r->state);
        if (bad == MOSQ_ERR_OVERSIZE_PACKET || bad == MOSQ_ERR_PAYLOAD_SIZE ||
            bad == MOSQ_ERR_INVAL || bad == MOSQ_ERR_MALFORMED_UTF8)
            code = error_set(e, ERR_INVALID, "the broker takes no such message: %s",
                             mosquitto_strerror(bad));
        else if (bad)
            code = broken(b, bad, e);
    }
    arena_free(a);
    item->own = NULL;
    if (code == 0) {
        item->token = mid;
        b->item[b->n++] = item;
    }
    return code;
}

static int wait_messages(void *link, int64_t timeout, Error *e)
{
    Broker *const b = link;
    const int64_t second = 1000000; /* the library's clockwork for keep-alives */
    b->settled = 0;
    return step(b, timeout < second ? timeout : second, e);
}

const SinkLinkKind sink_mqtt = {
    .window = WINDOW, .ordered = true, .check = check, .open = open_broker, .send = send_message,
    .wait = wait_messages, .close = close_broker,
};
