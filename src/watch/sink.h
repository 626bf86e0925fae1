/* Where records go: a file, a webhook, MQTT, NATS, by way of an outbox on disk.
 *
 *     record -> outbox (a row for each sink that wants it, committed) -> thread of the sink -> acknowledged -> row gone
 *
 * **At least once**: records are on disk before sinks_add returns (what comes while one commit is
 * written goes into the next, together), and leave it when the other side has acknowledged them.
 * After a crash, what was not acknowledged is sent again, the same to the byte.
 *
 * **Order** is kept per key, (stream, event): what follows a record that could not be delivered yet
 * waits for it; other keys do not. Records that tell the state of a stream are one key, whatever
 * their names.
 *
 * **Retries**: 0.5 s, doubled up to 60 s, plus up to a quarter by chance, or what Retry-After
 * says (at most an hour); where there is no connection nothing is tried until there is one. What
 * the other side refuses for good (4xx but 408 and 429), or what has failed and is older than
 * `give_up`, goes to the dead letters, which stay in the outbox for people to see: the last
 * SINK_DEAD_KEPT of each sink; all are counted. */
#ifndef LATHE_WATCH_SINK_H
#define LATHE_WATCH_SINK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

#define SINK_DEAD_KEPT 10000
#define SINK_MAX 256           /* sinks at once */
#define SINK_MAX_RECORD (1 << 20) /* bytes of a record */

typedef enum SinkKind { SINK_JSONL, SINK_WEBHOOK, SINK_MQTT, SINK_NATS } SinkKind;

/* Whether this build has it. */
bool sink_built(SinkKind kind);

typedef struct SinkSpec { /* of the service's file (service.h); copied */
    const char *name;
    SinkKind kind;
    /* path of a file; http(s)://..; mqtt(s)://[user:password@]host[:port][/topic/prefix];
     * nats(s)://[user:password@]host[:port] [/subject.prefix]. Without a prefix: lathe */
    const char *url;
    const char *
        /* webhook: key of HMAC-SHA256, header X-Lathe-Signature: sha256=HEX of the body. NULL:
         * none */
            secret;
    /* PEM file of who signs the other side's certificate; NULL: those of the system */
    const char *ca;
    int nevent;
    const char *const *event; /* names, with * as a wild card; none: all */
    int min_severity;
    int64_t timeout;         /* us of one attempt; 0: 5 s */
    int64_t give_up;         /* us after which a record is dead; 0: never */
    /* bytes of a JSONL file, before which it is renamed and a new one begun; 0: never */
    int64_t rotate;
    /* JSONL: acknowledged once written; else once it is on disk (fdatasync) */
    bool unsynced;
} SinkSpec;

bool sink_same(const SinkSpec *a, const SinkSpec *b); /* in everything */

typedef struct SinkRecord {
    const char *stream, *event;
    uint64_t id;
    int rev, severity;
    /* tells what state the stream is in, or "" all of them: MQTT keeps it (retained) */
    bool state;
    /* the record's line, without the newline; at most SINK_MAX_RECORD */
    const char *json; size_t size;
} SinkRecord;

typedef struct SinkCounts {
    /* attempts of records; failures: those, and connections */
    int64_t waiting, delivered, attempts, failures;
    int64_t dead;        /* dead letters on disk when the sink began, and since */
    int64_t oldest;      /* age of the first that waits, us */
    bool connected;      /* MQTT and NATS: now; others: the last attempt went well */
    char error[256];     /* the last; "" */
} SinkCounts;

typedef struct OutboxCounts {
    /* records: taken, and not taken because the outbox could not be written */
    int64_t added, failed;
    int64_t
        /* waiting and dead of sinks that are no more named: they stay, and go on if it comes
         * back */
            rows;
    int64_t bytes;       /* of the files */
    char error[256];     /* the last; "" */
} OutboxCounts;

typedef struct Sinks Sinks;

/* `path`: of the outbox (SQLite), made if it is not there. ERR_IO: it cannot be read or written, or
 * another process has it; ERR_INVALID: it is damaged or something else, or a spec is wrong;
 * ERR_UNSUPPORTED: this build has no such sink. */
int sinks_open(const char *path, int n, const SinkSpec *spec, Sinks **out, Error *e);
/* Other sinks from now on; those whose spec is the same go on undisturbed. On an error all is as
 * before. */
int sinks_change(Sinks *s, int n, const SinkSpec *spec, Error *e);
/* Returns when nothing waits, or the time (us) is over. Nobody adds or changes any more. */
void sinks_drain(const Sinks *s, int64_t timeout);
/* Delivers what it can until `timeout` (us), then closes; the rest waits on disk. Nobody else uses
 * `s` any more. */
void sinks_close(Sinks *s, int64_t timeout);
/* From any thread: n records, in their order, in one commit. ERR_IO: the outbox cannot be written
 * (disk full), ERR_INVALID: one is too long; what could not be added is lost for the sinks, and
 * counted. */
int sinks_add(Sinks *s, int n, const SinkRecord *r, Error *e);
typedef struct SinksTrouble {
    int64_t lost;        /* records that were lost so.. */
    char why[256];       /* ..and the last reason; "" */
    /* times at which the outbox's file had been removed, and was written anew, with all that was in
     * it */
    int64_t renewed;
    /* another file stands in its place: what waits goes on, but will not survive the process.. */
    bool displaced;
    char displaced_why[256]; /* ..or why it could not be written anew */
} SinksTrouble;
SinksTrouble sinks_trouble(Sinks *s); /* quick */
/* Of the sink with this number in the last list. */
SinkCounts sinks_counts(Sinks *s, int sink);
OutboxCounts sinks_outbox(Sinks *s);

#endif
