/* Records on their way from the workers that judge to those who are told of them: sinks, the page,
 * whoever listens.
 *
 *     worker -> a copy in the queue -> one thread: all that waits, in one commit to the outbox -> told, in their order
 *
 * A worker waits for no disk: it copies a record in microseconds and judges the next sample. Nobody
 * is told of a record before it is in the outbox, so that what anybody has heard of reaches the
 * sinks, whenever the process is killed (sink.h). The queue is bounded: where the disk is slower
 * than events come for long, or hangs, it is full, and streams that have something to tell are held
 * back (engine.h) until there is room. Nothing else waits: what comes none the less (of samples
 * under way, of streams that end) has room several times over; what has not is dropped, and
 * counted.
 *
 * What a worker waits for one record, two at once, p95 (2 CPUs of an EPYC, ext4): 10.3 ms for its
 * commit, 0.04 ms here; with a disk that takes 20 ms to sync 65 ms and 0.01 ms.
 *
 * What the outbox does not take (a full disk) is told none the less, and is lost for the sinks,
 * which count it (SinksTrouble).
 *
 * Without sinks there is nothing to wait for, and the worker tells itself. */
#ifndef LATHE_WATCH_TELLING_H
#define LATHE_WATCH_TELLING_H

#include "watch/engine.h"
#include "watch/sink.h"

#define TELLING_RECORDS 1024       /* that wait .. */
#define TELLING_BYTES (16 << 20)   /* .. and their lines of JSON together: then it is full */
#define TELLING_BEYOND 4           /* times that, and what comes is dropped */

typedef struct TellingOptions {
    /* A record, and its line of JSON. One at a time for each stream; with sinks from the telling's
     * thread. NULL: nobody listens. */
    void (*event)(void *arg, const EventRecord *r, int64_t latency, const char *json, size_t size);
    void (*system)(void *arg, const SystemRecord *r, const char *json, size_t size);
    void *arg;
} TellingOptions;

typedef struct TellingCounts {
    int64_t told, waiting;
    int64_t full;          /* that came while it was full, also those dropped */
    int64_t dropped;       /* neither told nor in the outbox */
} TellingCounts;

typedef struct Telling Telling;

/* NULL: no memory. */
Telling *telling_new(const TellingOptions *opt);
/* From now on records go to these, which outlive it; once at most. ERR_MEMORY: no thread, and all
 * is as it was. */
int telling_sinks(Telling *t, Sinks *sinks, Error *e);
/* From any thread, those of a stream one after another; it waits for nobody. What the record points
 * to is copied, but for its watch and rule: these stay until a mark made after it has passed. */
void telling_event(Telling *t, const EventRecord *r, int64_t latency);
void telling_system(Telling *t, const SystemRecord *r);
/* Who has something to tell had better wait. */
bool telling_full(Telling *t);
int64_t telling_mark(Telling *t);
/* All that came before the mark has been told. */
bool telling_passed(Telling *t, int64_t mark);
TellingCounts telling_counts(Telling *t);
/* Tells what waits; *last (NULL: not asked) is what its counts were in the end. A telling that is
 * NULL is allowed. */
void telling_free(Telling *t, TellingCounts *last);

#endif
