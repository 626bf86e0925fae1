/* The file of a store: its tables, and what is written to them. */
#ifndef LATHE_WATCH_STORE_SQL_H
#define LATHE_WATCH_STORE_SQL_H

#include <sqlite3.h>

#include "watch/store.h"

typedef struct SpanRow {
    int64_t id;          /* of its row; 0: it has none yet */
    const char *kind, *stream, *watch, *signal, *text;
    int epoch;
    int64_t t0, t1, wall; /* wall: us since 1970 */
    int n;
    double confidence;
    Box box;
} SpanRow;

typedef struct StoreDb StoreDb;

int store_db_open(const char *path, bool write, StoreDb **out, Error *e);
void store_db_close(StoreDb *d);
typedef enum StoreMoved {
    STORE_THERE,
    STORE_LOG_GONE, /* the file is ours, its write-ahead log was removed: opened anew, all that was
                       written is in it */
    STORE_GONE      /* it was removed, or another stands in its place */
} StoreMoved;
/* Where what is written goes; asked before each time. */
StoreMoved store_db_moved(StoreDb *d);
/* Closes one that is gone. Its log, if that is still there, goes too: SQLite would take it for that
 * of whatever stands in its place. */
void store_db_abandon(StoreDb *d);
sqlite3 *store_db_handle(const StoreDb *d);

int store_db_begin(StoreDb *d, Error *e);
int store_db_commit(StoreDb *d, Error *e);
void store_db_rollback(StoreDb *d);
/* Adds a row, or brings one up to date; sets r->id. */
int store_db_span(StoreDb *d, SpanRow *r, Error *e);
/* An event's record: its row is that of its id (later revisions take its place), its span's text is
 * what can be searched. */
int store_db_record(StoreDb *d, const char *id, int rev, SpanRow *r, const char *json, Error *e);
/* A value that is now; text NULL: it is a number. */
int store_db_fact(StoreDb *d, const char *stream, const char *key, double number, const char *text,
                  int64_t wall, Error *e);
int store_db_forget_facts(StoreDb *d, const char *stream, Error *e); /* NULL: of all */
/* What is older than `before` (us since 1970) goes, and if the file is larger than max_bytes the
 * oldest tenth. */
int store_db_trim(StoreDb *d, int64_t before, int64_t max_bytes, Error *e);

#endif
