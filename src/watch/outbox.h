/* The outbox: records on disk until each sink that wants one has had it. SQLite, WAL.
 *
 *     record   seq, id, rev, stream, event, state, added, json, wanted      wanted: rows of the two tables below
 *     waiting  sink, seq, key                                               to be delivered
 *     dead     sink, seq, at, attempts, why                                 never will be
 *     sink     number, name
 *
 * One thread writes. It takes all that has come while it wrote before (records, acknowledgements)
 * and makes one commit of it, so that a disk that syncs in 5 ms takes 200 records a second from one
 * thread and many thousands from many. Adding waits for the commit; acknowledgements do not: one
 * that a crash loses means that a record is sent again, as it may be anyway.
 *
 * When the disk is full, adding fails and says so; acknowledgements are tried again, alone, as they
 * need less.
 *
 * A file that is removed while the outbox is open is written anew within a second, with all that
 * was in it. If another stands in its place, that is left alone: records go on through the old
 * file, which has no name any more, and what waits there will not survive the process. Both are
 * told (OutboxTrouble).
 *
 * `seq` grows while the outbox is open: what a sink reads comes in the order of its adding. */
#ifndef LATHE_WATCH_OUTBOX_H
#define LATHE_WATCH_OUTBOX_H

#include <stdatomic.h>

#include "watch/sink.h"

#define OUTBOX_WHY 160

typedef struct Outbox Outbox;

/* For the threads of sinks, and those that libraries start from them: signals go to others, but for
 * those that say that something is broken. A write to a connection that ended gives an error and no
 * SIGPIPE. */
void outbox_block_signals(void);

typedef struct OutboxRow {
    int64_t seq;
    uint64_t key;
} OutboxRow;

typedef struct OutboxRecord { /* one allocation, freed with heap_free */
    int64_t seq, added; /* added: us since 1970 */
    uint64_t id;
    int rev;
    bool state;
    const char *stream, *event, *json;
    size_t size;
} OutboxRecord;

/* Tells that a row of a sink came, from the thread that writes; before outbox_add returns. */
typedef void (*OutboxFn)(void *arg, int sink, int64_t seq);

/* Another process that has it: ERR_IO. Within one process nobody stops you from opening it
 * twice. */
int outbox_open(const char *path, OutboxFn added, void *arg, Outbox **out, Error *e);
/* What waits to be written is written; nobody uses it any more. */
void outbox_close(Outbox *o);
/* The number of a sink, the same as ever for a name. */
int outbox_sink(Outbox *o, const char *name, int *sink, Error *e);

typedef struct OutboxAdd { /* a record to be added; it and what it points to belong to who waits for
                              it */
    const SinkRecord *record;
    uint64_t key;
    int n;            /* rows, for these sinks */
    const int *sink;
    int64_t seq;      /* once committed */
    int code;         /* 0, or why not */
    bool done;        /* the outbox's, as what follows */
    struct OutboxAdd *next;
} OutboxAdd;

/* From any thread: all of them in one commit, in their order; returns once that is on disk. Else
 * none was added, and each has the code. */
int outbox_add(Outbox *o, int n, OutboxAdd *add, Error *e);
/* Soon. If many wait because the disk refuses them, these two wait too, until it does not, or
 * *stop, or outbox_hurry: then what was to be said is forgotten, and the record sent again one
 * day. */
void outbox_done(Outbox *o, int sink, int64_t seq, const atomic_bool *stop);
void outbox_dead(Outbox *o, int sink, int64_t seq, int attempts, const char *why,
                 const atomic_bool *stop);
/* What was said until now is on disk, or nothing could be written. */
void outbox_flush(Outbox *o);
/* From now on nobody waits for a disk that refuses. */
void outbox_hurry(Outbox *o);

/* Rows of a sink behind `after`, in order; *n: how many there are, at most max. */
int outbox_rows(Outbox *o, int sink, int64_t after, int max, OutboxRow *row, int *n, Error *e);
/* The first of a key behind `after`, up to `last`. *seq 0: none. */
int outbox_next(Outbox *o, int sink, uint64_t key, int64_t after, int64_t last, int64_t *seq,
                Error *e);
/* Of all rows of a sink, those that were added before a time (us since 1970). */
int outbox_before(Outbox *o, int sink, int64_t added, int max, OutboxRow *row, int *n, Error *e);
/* NULL and 0: there is no such record. */
int outbox_load(Outbox *o, int64_t seq, OutboxRecord **out, Error *e);

typedef struct OutboxSums {
    int64_t waiting, dead, last; /* last: seq of the last that waits; 0: none */
} OutboxSums;
/* All at one moment. */
OutboxSums outbox_sums(Outbox *o, int sink);
/* When the first that waits was added, us since 1970; 0: none waits. */
int64_t outbox_oldest(Outbox *o, int sink);
typedef struct OutboxTrouble {
    int64_t renewed;   /* times at which the file had been removed, and was written anew */
    bool displaced;    /* another stands in its place now, or it cannot be written anew */
    char why[256];
} OutboxTrouble;
OutboxTrouble outbox_trouble(Outbox *o); /* quick */
/* `rows`: of sinks other than these n. */
OutboxCounts outbox_counts(Outbox *o, int n, const int *sink);

#endif
