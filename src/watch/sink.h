/* Where records go: a file, a webhook, MQTT, NATS, by way of an outbox on disk.
 *
 *     record -> outbox (one row for each sink that wants it, committed) -> delivery thread of the sink -> acknowledged -> row gone
 *
 * **At least once**: a record is in the outbox before sinks_add returns (commits are grouped: sinks_add waits for one at most 50 ms), and leaves it when
 * the other side has acknowledged it. After a crash what was not acknowledged is sent again with the same id. **Order** is
 * kept per key, (stream, event): what follows a record that could not be delivered yet waits for it; others do not.
 * **Retries**: 0.5 s, doubled up to 60 s, plus up to a quarter by chance, or what Retry-After says; what the other side refuses for good (4xx but 408
 * and 429), or what is older than `give_up`, goes to the dead letters, which stay in the outbox for people to see, counted. */
#ifndef LATHE_WATCH_SINK_H
#define LATHE_WATCH_SINK_H

#include "base/arena.h"
#include "base/error.h"

typedef enum SinkKind { SINK_JSONL, SINK_WEBHOOK, SINK_MQTT, SINK_NATS } SinkKind;

typedef struct SinkSpec { /* of the service's file (service.h) */
    const char *name;
    SinkKind kind;
    const char *url;         /* path of a file; http(s)://..; mqtt(s)://[user:password@]host[:port]/topic/prefix; nats(s)://host[:port]/subject */
    const char *secret;      /* webhook: key of HMAC-SHA256, header X-Lathe-Signature: sha256=HEX over the body. NULL: not signed */
    int nevent;
    const char *const *event; /* names, with * as a wild card; none: all */
    int min_severity;
    int64_t timeout;         /* us of one attempt; 5 s */
    int64_t give_up;         /* us after which a record is dead; 24 h; 0: never */
    int64_t rotate;          /* bytes of a JSONL file, after which it is renamed and a new one begun; 0: never */
} SinkSpec;

typedef struct SinkRecord {
    const char *stream, *event;
    uint64_t id;
    int rev, severity;
    const char *json; size_t size; /* the record's line, without the newline */
} SinkRecord;

typedef struct SinkCounts {
    int64_t waiting, delivered, attempts, failures, dead;
    int64_t oldest;      /* age of the first that waits, us */
    char error[256];     /* last message; "" */
} SinkCounts;

typedef struct Sinks Sinks;

/* `path`: of the outbox (SQLite), made if it is not there. Rows of sinks that are no more named stay, counted as dead. */
int sinks_open(const char *path, int n, const SinkSpec *spec, Sinks **out, Error *e);
/* Other sinks from now on; those whose spec is the same go on undisturbed. */
int sinks_change(Sinks *s, int n, const SinkSpec *spec, Error *e);
/* Delivers what it can until `timeout` (us), then closes; the rest waits on disk. */
void sinks_close(Sinks *s, int64_t timeout);
/* From any thread. ERR_IO: the outbox cannot be written (disk full); nothing is lost silently: the caller counts and tells. */
int sinks_add(Sinks *s, const SinkRecord *r, Error *e);
SinkCounts sinks_counts(const Sinks *s, int sink);

#endif
