/* The outbox's tables in SQLite.
 *
 * synchronous=FULL: a commit is on disk when it returns, so that a record survives the machine's
 * end and not only ours. People may look at the file with other tools meanwhile: busy_timeout waits
 * for them. */
#include "watch/outbox_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "sched/clock.h"

enum { APPLICATION = 0x4c4f5554 /* LOUT */, VERSION = 1, BUSY_MS = 5000, TRIM_EVERY = 64 };

static const char tables[] =
    "PRAGMA journal_mode=WAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE sink(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE record(seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, rev INTEGER NOT NULL, "
    "stream TEXT NOT NULL,"
    " event TEXT NOT NULL, state INTEGER NOT NULL, added INTEGER NOT NULL, json BLOB NOT NULL,"
    " wanted INTEGER NOT NULL);"
    "CREATE TABLE waiting(sink INTEGER NOT NULL, seq INTEGER NOT NULL, key INTEGER NOT NULL, "
    "PRIMARY KEY(sink, seq))"
    " WITHOUT ROWID;"
    "CREATE INDEX waiting_key ON waiting(sink, key, seq);"
    "CREATE TABLE dead(sink INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, attempts "
    "INTEGER NOT NULL,"
    " why TEXT NOT NULL, PRIMARY KEY(sink, seq)) WITHOUT ROWID;"
    "PRAGMA application_id=1280267604;"
    "PRAGMA user_version=1;"
    "COMMIT;";

static const char settings[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216;";

enum {
    BEGIN,
    COMMIT,
    ROLLBACK,
    ADD_RECORD,
    ADD_WAITING,
    END_WAITING,
    ADD_DEAD,
    UNWANT,
    END_RECORD,
    DEAD_LIMIT,
    UNWANT_DEAD,
    END_UNWANTED,
    END_DEAD,
    SINK,
    ADD_SINK,
    LAST,
    ROWS,
    NEXT,
    BEFORE,
    LOAD,
    SUMS,
    OLDEST,
    OTHERS,
    STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD_RECORD] = "INSERT INTO record VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    [ADD_WAITING] = "INSERT INTO waiting VALUES(?1,?2,?3)",
    [END_WAITING] = "DELETE FROM waiting WHERE sink=?1 AND seq=?2",
    [ADD_DEAD] = "INSERT OR REPLACE INTO dead VALUES(?1,?2,?3,?4,?5)",
    [UNWANT] = "UPDATE record SET wanted=wanted-1 WHERE seq=?1",
    [END_RECORD] = "DELETE FROM record WHERE seq=?1 AND wanted<=0",
    [DEAD_LIMIT] = "SELECT seq FROM dead WHERE sink=?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2",
    [UNWANT_DEAD] = "UPDATE record SET wanted=wanted-1 WHERE seq IN (SELECT seq FROM dead WHERE "
                    "sink=?1 AND seq<=?2)",
    [END_UNWANTED] = "DELETE FROM record WHERE wanted<=0 AND seq IN (SELECT seq FROM dead WHERE "
                     "sink=?1 AND seq<=?2)",
    [END_DEAD] = "DELETE FROM dead WHERE sink=?1 AND seq<=?2",
    [SINK] = "SELECT number FROM sink WHERE name=?1",
    [ADD_SINK] = "INSERT INTO sink(name) VALUES(?1)",
    [LAST] = "SELECT max(coalesce((SELECT max(seq) FROM record),0), coalesce((SELECT max(seq) FROM "
             "waiting),0))",
    [ROWS] = "SELECT seq, key FROM waiting WHERE sink=?1 AND seq>?2 ORDER BY seq LIMIT ?3",
    [NEXT] = "SELECT seq FROM waiting WHERE sink=?1 AND key=?2 AND seq>?3 AND seq<=?4 ORDER BY seq "
             "LIMIT 1",
    [BEFORE] = "SELECT w.seq, w.key FROM waiting w JOIN record r ON r.seq=w.seq WHERE w.sink=?1 "
               "AND r.added<?2"
               " ORDER BY w.seq LIMIT ?3",
    [LOAD] = "SELECT id, rev, stream, event, state, added, json FROM record WHERE seq=?1",
    [SUMS] = "SELECT (SELECT count(*) FROM waiting WHERE sink=?1), (SELECT count(*) FROM dead "
             "WHERE sink=?1),"
             " (SELECT max(seq) FROM waiting WHERE sink=?1)",
    [OLDEST] = "SELECT r.added FROM waiting w JOIN record r ON r.seq=w.seq WHERE w.sink=?1 ORDER "
               "BY w.seq LIMIT 1",
    [OTHERS] = "SELECT (SELECT count(*) FROM waiting) + (SELECT count(*) FROM dead)",
};

struct OutboxDb {
    sqlite3 *db;
    sqlite3_stmt *made[STATEMENTS]; /* NULL: not used yet */
    int64_t last;   /* seq that was given last */
    int trim;       /* dead letters since old ones were looked for */
    char path[];
};

static int failed(const OutboxDb *db, int rc, Error *e)
{
    const char *const why = db->db ? sqlite3_errmsg(db->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, ERR_INVALID,
                         "outbox %s: damaged, or no outbox (%s); to begin a new one, move it away",
                         db->path, why);
    case SQLITE_FULL:
        return error_set(e, ERR_IO, "outbox %s: the disk is full (%s)", db->path, why);
    case SQLITE_BUSY:
        return error_set(e, ERR_IO, "outbox %s: another process has it (%s)", db->path, why);
    case SQLITE_NOMEM: return error_set(e, ERR_MEMORY, "outbox %s: out of memory", db->path);
    default: return error_set(e, ERR_IO, "outbox %s: %s (SQLite %d)", db->path, why, rc);
    }
}

/* ---- statements ---- */

typedef struct Value { /* of a parameter */
    enum { INT, TEXT, BLOB } kind;
    int64_t i;
    const char *at;
    size_t size;
} Value;

#define VALUE_INT(x) (Value){INT, .i = (int64_t)(x)}
#define VALUE_TEXT(x) (Value){TEXT, .at = (x), .size = strlen(x)}
#define VALUE_BLOB(x, n) (Value){BLOB, .at = (x), .size = (n)}

/* Ready to be stepped; NULL: *rc says why. */
static sqlite3_stmt *bind(OutboxDb *db, int which, int n, const Value *v, int *rc)
{
    if (db->made[which] == NULL) {
        *rc = sqlite3_prepare_v3(db->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                 &db->made[which], NULL);
        if (*rc != SQLITE_OK)
            return NULL;
    }
    sqlite3_stmt *const s = db->made[which];
    *rc = SQLITE_OK;
    for (int i = 0; i < n && *rc == SQLITE_OK; i++) {
        if (v[i].kind == INT)
            *rc = sqlite3_bind_int64(s, i + 1, v[i].i);
        else if (v[i].kind == TEXT)
            *rc = sqlite3_bind_text64(s, i + 1, v[i].at, v[i].size, SQLITE_STATIC, SQLITE_UTF8);
        else
            *rc = sqlite3_bind_blob64(s, i + 1, v[i].at, v[i].size, SQLITE_STATIC);
    }
    return *rc == SQLITE_OK ? s : NULL;
}

/* A statement without a result. */
static int run(OutboxDb *db, int which, int n, const Value *v)
{
    int rc;
    sqlite3_stmt *const s = bind(db, which, n, v, &rc);
    if (s == NULL)
        return rc;
    rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* The first column of the first row; *found: whether there is one. */
static int get_int(OutboxDb *db, int which, int n, const Value *v, int64_t *out, bool *found)
{
    int rc;
    sqlite3_stmt *const s = bind(db, which, n, v, &rc);
    if (s == NULL)
        return rc;
    rc = sqlite3_step(s);
    *found = rc == SQLITE_ROW;
    if (*found)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

#define COUNT_OF(...) (int)(sizeof((Value[]){__VA_ARGS__}) / sizeof(Value))
#define RUN(db, which, ...) run(db, which, COUNT_OF(__VA_ARGS__), (Value[]){__VA_ARGS__})
#define GET_INT(db, which, out, found, ...) \
    get_int(db, which, COUNT_OF(__VA_ARGS__), (Value[]){__VA_ARGS__}, out, found)
#define TRY(x) do { const int rc_ = (x); if (rc_ != SQLITE_OK) return rc_; } while (0)

/* ---- what is written ---- */

static int add(OutboxDb *db, OutboxAdd *a)
{
    const SinkRecord *const r = a->record;
    const int64_t seq = a->seq = ++db->last;
    TRY(RUN(db, ADD_RECORD, VALUE_INT(seq), VALUE_INT(r->id), VALUE_INT(r->rev),
            VALUE_TEXT(r->stream), VALUE_TEXT(r->event), VALUE_INT(r->state), VALUE_INT(wall_now()),
            VALUE_BLOB(r->json, r->size), VALUE_INT(a->n)));
    for (int i = 0; i < a->n; i++)
        TRY(RUN(db, ADD_WAITING, VALUE_INT(a->sink[i]), VALUE_INT(seq), VALUE_INT(a->key)));
    return SQLITE_OK;
}

/* The oldest dead letters of a sink go, now and then. */
static int trim(OutboxDb *db, int sink)
{
    if (++db->trim % TRIM_EVERY != 0)
        return SQLITE_OK;
    int64_t last;
    bool found = false;
    TRY(GET_INT(db, DEAD_LIMIT, &last, &found, VALUE_INT(sink), VALUE_INT(SINK_DEAD_KEPT)));
    for (int k = UNWANT_DEAD; k <= END_DEAD && found; k++)
        TRY(RUN(db, k, VALUE_INT(sink), VALUE_INT(last)));
    return SQLITE_OK;
}

static int settle(OutboxDb *db, const OutboxAck *a)
{
    TRY(RUN(db, END_WAITING, VALUE_INT(a->sink), VALUE_INT(a->seq)));
    if (sqlite3_changes(db->db) == 0) /* said before */
        return SQLITE_OK;
    if (a->dead) {
        TRY(RUN(db, ADD_DEAD, VALUE_INT(a->sink), VALUE_INT(a->seq), VALUE_INT(wall_now()),
                VALUE_INT(a->attempts), VALUE_TEXT(a->why)));
        return trim(db, a->sink);
    }
    TRY(RUN(db, UNWANT, VALUE_INT(a->seq)));
    return RUN(db, END_RECORD, VALUE_INT(a->seq));
}

static int commit_all(OutboxDb *db, OutboxAdd *adds, int nack, const OutboxAck *ack)
{
    TRY(run(db, BEGIN, 0, NULL));
    for (OutboxAdd *a = adds; a != NULL; a = a->next)
        TRY(add(db, a));
    for (int i = 0; i < nack; i++)
        TRY(settle(db, &ack[i]));
    return run(db, COMMIT, 0, NULL);
}

int outbox_commit(OutboxDb *db, OutboxAdd *adds, int nack, const OutboxAck *ack, Error *e)
{
    const int rc = commit_all(db, adds, nack, ack);
    if (rc == SQLITE_OK)
        return 0;
    const int code = failed(db, rc, e);
    if (!sqlite3_get_autocommit(db->db)) /* some errors end the transaction themselves */
        run(db, ROLLBACK, 0, NULL);
    return code;
}

/* ---- what is read ---- */

int outbox_db_sink(OutboxDb *db, const char *name, int *sink, Error *e)
{
    int64_t number = 0;
    bool found = false;
    int rc = GET_INT(db, SINK, &number, &found, VALUE_TEXT(name));
    if (rc == SQLITE_OK && !found) {
        rc = RUN(db, ADD_SINK, VALUE_TEXT(name));
        number = sqlite3_last_insert_rowid(db->db);
    }
    *sink = (int)number;
    return rc == SQLITE_OK ? 0 : failed(db, rc, e);
}

static int get_rows(OutboxDb *db, int which, int sink, int64_t bound, int max, OutboxRow *row,
                    int *n, Error *e)
{
    int rc;
    *n = 0;
    sqlite3_stmt *const s =
        bind(db, which, 3, (Value[]){VALUE_INT(sink), VALUE_INT(bound), VALUE_INT(max)}, &rc);
    if (s == NULL)
        return failed(db, rc, e);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && *n < max) {
        row[*n] = (OutboxRow){.seq = sqlite3_column_int64(s, 0),
                              .key = (uint64_t)sqlite3_column_int64(s, 1)};
        *n += 1;
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : failed(db, rc, e);
}

int outbox_db_rows(OutboxDb *db, int sink, int64_t after, int max, OutboxRow *row, int *n, Error *e)
{
    return get_rows(db, ROWS, sink, after, max, row, n, e);
}

int outbox_db_before(OutboxDb *db, int sink, int64_t added, int max, OutboxRow *row, int *n,
                     Error *e)
{
    return get_rows(db, BEFORE, sink, added, max, row, n, e);
}

int outbox_db_next(OutboxDb *db, int sink, uint64_t key, int64_t after, int64_t last, int64_t *seq,
                   Error *e)
{
    bool found = false;
    *seq = 0;
    const int rc = GET_INT(db, NEXT, seq, &found, VALUE_INT(sink), VALUE_INT(key), VALUE_INT(after),
                           VALUE_INT(last));
    return rc == SQLITE_OK ? 0 : failed(db, rc, e);
}

static const char *put(char **at, const void *from, int size)
{
    char *const to = *at;
    if (size > 0)
        memcpy(to, from, (size_t)size);
    to[size] = '\0';
    *at += size + 1;
    return to;
}

/* A row of LOAD, in one allocation. */
static OutboxRecord *copy_record(sqlite3_stmt *s, int64_t seq)
{
    const int stream = sqlite3_column_bytes(s, 2), event = sqlite3_column_bytes(s, 3),
              json = sqlite3_column_bytes(s, 6);
    OutboxRecord *const r =
        heap_alloc(sizeof *r + (size_t)stream + (size_t)event + (size_t)json + 3, 8);
    if (r == NULL)
        return NULL;
    *r = (OutboxRecord){.seq = seq,
                        .id = (uint64_t)sqlite3_column_int64(s, 0),
                        .rev = sqlite3_column_int(s, 1),
                        .state = sqlite3_column_int(s, 4) != 0,
                        .added = sqlite3_column_int64(s, 5),
                        .size = (size_t)json};
    char *at = (char *)(r + 1);
    r->stream = put(&at, sqlite3_column_text(s, 2), stream);
    r->event = put(&at, sqlite3_column_text(s, 3), event);
    r->json = put(&at, sqlite3_column_blob(s, 6), json);
    return r;
}

int outbox_db_load(OutboxDb *db, int64_t seq, OutboxRecord **out, Error *e)
{
    int rc;
    *out = NULL;
    sqlite3_stmt *const s = bind(db, LOAD, 1, &VALUE_INT(seq), &rc);
    if (s == NULL)
        return failed(db, rc, e);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = copy_record(s, seq);
    const bool memory = rc == SQLITE_ROW && *out == NULL;
    sqlite3_reset(s);
    if (memory)
        return failed(db, SQLITE_NOMEM, e);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : failed(db, rc, e);
}

OutboxSums outbox_db_sums(OutboxDb *db, int sink)
{
    OutboxSums sums = {0};
    int rc;
    sqlite3_stmt *const s = bind(db, SUMS, 1, &VALUE_INT(sink), &rc);
    if (s != NULL && sqlite3_step(s) == SQLITE_ROW)
        sums = (OutboxSums){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                            sqlite3_column_int64(s, 2)};
    sqlite3_reset(s);
    return sums;
}

int64_t outbox_db_oldest(OutboxDb *db, int sink)
{
    int64_t added = 0;
    bool found = false;
    GET_INT(db, OLDEST, &added, &found, VALUE_INT(sink));
    return added;
}

int64_t outbox_db_others(OutboxDb *db, int n, const int *sink)
{
    int64_t rows = 0;
    bool found = false;
    get_int(db, OTHERS, 0, NULL, &rows, &found);
    for (int i = 0; i < n; i++) {
        const OutboxSums mine = outbox_db_sums(db, sink[i]);
        rows -= mine.waiting + mine.dead;
    }
    return rows > 0 ? rows : 0;
}

/* ---- open, close ---- */

static int pragma(OutboxDb *db, const char *text, char *out, size_t size)
{
    sqlite3_stmt *s;
    TRY(sqlite3_prepare_v2(db->db, text, -1, &s, NULL));
    const int rc = sqlite3_step(s);
    snprintf(out, size, "%s", rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : "");
    sqlite3_finalize(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* An outbox that is whole, or nothing yet, of which one is made. */
static int check_file(OutboxDb *db, Error *e)
{
    char application[32], version[32], whole[512], ntable[32], journal[32];
    int rc = pragma(db, "PRAGMA application_id", application, sizeof application);
    if (rc == SQLITE_OK)
        rc = pragma(db, "PRAGMA user_version", version, sizeof version);
    if (rc == SQLITE_OK)
        rc = pragma(db, "SELECT count(*) FROM sqlite_master", ntable, sizeof ntable);
    if (rc != SQLITE_OK)
        return failed(db, rc, e);
    if (strcmp(ntable, "0") == 0 && strcmp(application, "0") == 0) {
        rc = sqlite3_exec(db->db, tables, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = pragma(db, "PRAGMA journal_mode", journal, sizeof journal);
        if (rc == SQLITE_OK && strcmp(journal, "wal") != 0)
            return error_set(
                e, ERR_UNSUPPORTED,
                "outbox %s: its file system has no shared memory, as SQLite's WAL needs", db->path);
        return rc == SQLITE_OK ? 0 : failed(db, rc, e);
    }
    char ours[32];
    snprintf(ours, sizeof ours, "%d", APPLICATION);
    if (strcmp(application, ours) != 0)
        return error_set(e, ERR_INVALID, "outbox %s: a database of something else", db->path);
    if (strcmp(version, "1") != 0)
        return error_set(e, ERR_INVALID, "outbox %s: of format %s, this version has %d", db->path,
                         version, VERSION);
    rc = pragma(db, "PRAGMA quick_check(1)", whole, sizeof whole);
    if (rc != SQLITE_OK)
        return failed(db, rc, e);
    if (strcmp(whole, "ok") != 0)
        return error_set(e, ERR_INVALID,
                         "outbox %s: damaged (%s); to begin a new one, move it away", db->path,
                         whole);
    return 0;
}

int outbox_db_open(const char *path, bool check, OutboxDb **out, Error *e)
{
    const size_t size = strlen(path) + 1;
    OutboxDb *const db = heap_alloc(sizeof *db + size, 8);
    if (db == NULL)
        return error_set(e, ERR_MEMORY, "outbox %s: out of memory", path);
    memcpy(db->path, path, size);
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (check ? SQLITE_OPEN_CREATE : 0);
    int code = file_check_regular(path, e);
    int rc = code == 0 ? sqlite3_open_v2(path, &db->db, flags, NULL) : SQLITE_OK;
    if (code == 0 && rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db->db, BUSY_MS);
    if (code == 0 && rc == SQLITE_OK && check)
        code = check_file(db, e);
    if (rc == SQLITE_OK && code == 0)
        rc = sqlite3_exec(db->db, settings, NULL, NULL, NULL);
    bool found = false;
    if (rc == SQLITE_OK && code == 0)
        rc = get_int(db, LAST, 0, NULL, &db->last, &found);
    if (rc != SQLITE_OK)
        code = failed(db, rc, e);
    if (code != 0) {
        outbox_db_close(db);
        return code;
    }
    *out = db;
    return 0;
}

bool outbox_db_moved(const OutboxDb *db)
{
    int moved = 0;
    return sqlite3_file_control(db->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

int outbox_db_copy(OutboxDb *db, const char *to, Error *e)
{
    char *const sql_text = sqlite3_mprintf("VACUUM INTO %Q", to);
    const int rc = sql_text ? sqlite3_exec(db->db, sql_text, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql_text);
    if (rc != SQLITE_OK)
        return failed(db, rc, e);
    const int fd = open(to, O_RDONLY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0)
        close(fd);
    return synced ? 0 : error_set(e, ERR_IO, "outbox %s: %s", to, strerror(why));
}

void outbox_db_follow(OutboxDb *db, const OutboxDb *before)
{
    if (before->last > db->last)
        db->last = before->last;
}

void outbox_db_close(OutboxDb *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(db->made[i]);
    sqlite3_close(db->db);
    heap_free(db);
}
