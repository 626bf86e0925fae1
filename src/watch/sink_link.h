/* What each kind of sink is to the thread that delivers: a link that takes records and says how it
 * went.
 *
 *     open ──> send send send ─ wait ─> verdicts ─ send ─ wait ─> ..  ──> close
 *
 * A link belongs to one thread. `send` begins; `wait` goes on with what was begun, until
 * something is settled, the time is up, or `wake` can be read. One that is broken says so by an
 * error and is closed; what was under way is then sent again. */
#ifndef LATHE_WATCH_SINK_LINK_H
#define LATHE_WATCH_SINK_LINK_H

#include "watch/outbox.h"

typedef enum SinkVerdict {
    SINK_UNDER_WAY,
    SINK_TAKEN,   /* acknowledged */
    SINK_AGAIN,   /* this record failed; others may do better */
    SINK_REFUSED, /* for good */
} SinkVerdict;

typedef struct SinkItem { /* a record under way */
    OutboxRecord *record;
    uint64_t key;
    int64_t begun;         /* us, monotonic */
    SinkVerdict verdict;   /* the link writes it, and what follows */
    int64_t retry_after;   /* of SINK_AGAIN: us that the other side wants; 0: it did not say */
    char why[OUTBOX_WHY];
    int64_t token;         /* the link's own */
    void *own;
} SinkItem;

typedef struct SinkSite { /* where a link is; lives longer than it */
    const SinkSpec *spec;  /* timeout is set */
    int wake;              /* eventfd: something is to be done */
    const atomic_bool *stop; /* no more waiting */
} SinkSite;

typedef struct SinkLinkKind {
    int window;            /* records under way at once */
    /* several of a key may be: the link keeps their order, and breaks where one fails */
    bool ordered;
    /* Whether url and the rest can be used; takes no time. */
    int (*check)(const SinkSpec *spec, Error *e);
    int (*open)(const SinkSite *site, void **link, Error *e); /* within timeout */
    int (*send)(void *link, SinkItem *item, Error *e);
    int (*wait)(void *link, int64_t timeout, Error *e);
    void (*close)(void *link); /* does not wait for what is under way */
} SinkLinkKind;

/* For `check`: what is read by the job counts for nothing but its error. */
int sink_try(void (*read)(Context *ctx, void *arg), void *arg, Error *e);

/* sink_jsonl.c, sink_webhook.c, sink_mqtt.c, sink_nats.c */
extern const SinkLinkKind sink_jsonl, sink_webhook, sink_mqtt, sink_nats;

/* Until `wake` can be read, which is then empty, or fd (-1: none) can, or timeout (us). */
void sink_pause(int wake, int fd, int64_t timeout);
void sink_wake(int wake);

#endif
