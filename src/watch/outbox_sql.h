/* The outbox's tables (outbox.h). One of these belongs to one thread at a time. */
#ifndef LATHE_WATCH_OUTBOX_SQL_H
#define LATHE_WATCH_OUTBOX_SQL_H

#include "watch/outbox.h"

typedef struct OutboxDb OutboxDb;

typedef struct OutboxAck {
    bool dead;
    int sink, attempts;
    int64_t seq;
    char why[OUTBOX_WHY]; /* of the dead */
} OutboxAck;

/* `check`: looks through the file, makes tables where there are none; done once before others open
 * it. */
int outbox_db_open(const char *path, bool check, OutboxDb **out, Error *e);
void outbox_db_close(OutboxDb *db); /* NULL is allowed */
/* The file has another name now, or none. */
bool outbox_db_moved(const OutboxDb *db);
/* All of it, in a new file, which is on disk. */
int outbox_db_copy(OutboxDb *db, const char *to, Error *e);
/* Rows that are added from now on come after those of the other. */
void outbox_db_follow(OutboxDb *db, const OutboxDb *before);
/* All or nothing. */
int outbox_commit(OutboxDb *db, OutboxAdd *adds, int nack, const OutboxAck *ack, Error *e);
/* As outbox.h has them. */
int outbox_db_sink(OutboxDb *db, const char *name, int *sink, Error *e);
int outbox_db_rows(OutboxDb *db, int sink, int64_t after, int max, OutboxRow *row, int *n,
                   Error *e);
int outbox_db_next(OutboxDb *db, int sink, uint64_t key, int64_t after, int64_t last, int64_t *seq,
                   Error *e);
int outbox_db_before(OutboxDb *db, int sink, int64_t added, int max, OutboxRow *row, int *n,
                     Error *e);
int outbox_db_load(OutboxDb *db, int64_t seq, OutboxRecord **out, Error *e);
OutboxSums outbox_db_sums(OutboxDb *db, int sink);
int64_t outbox_db_oldest(OutboxDb *db, int sink);
int64_t outbox_db_others(OutboxDb *db, int n, const int *sink);

#endif
