/* Tables, statements, versions. */
#include "watch/store_sql.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define STORE_APPLICATION 0x4c617374 /* "Last": what a store is known by among SQLite's files */
#define STORE_VERSION 1

static const char schema[] =
    "CREATE TABLE span (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, stream TEXT NOT NULL, watch "
    "TEXT NOT NULL, signal TEXT NOT NULL,"
    " text TEXT NOT NULL, epoch INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, wall "
    "INTEGER NOT NULL,"
    " n INTEGER NOT NULL, confidence REAL NOT NULL, x REAL, y REAL, width REAL, height REAL);"
    "CREATE INDEX span_wall ON span (wall);"
    "CREATE INDEX span_stream ON span (stream, wall);"
    /* words, and their beginnings; then any three letters, which is what misread words still
     * share */
    "CREATE VIRTUAL TABLE span_words USING fts5 (text, content='span', content_rowid='id',"
    " tokenize='unicode61 remove_diacritics 2', prefix='2 3');"
    "CREATE VIRTUAL TABLE span_parts USING fts5 (text, content='span', content_rowid='id', "
    "tokenize='trigram');"
    "CREATE TRIGGER span_added AFTER INSERT ON span BEGIN"
    " INSERT INTO span_words (rowid, text) VALUES (new.id, new.text);"
    " INSERT INTO span_parts (rowid, text) VALUES (new.id, new.text); END;"
    "CREATE TRIGGER span_gone AFTER DELETE ON span BEGIN"
    " INSERT INTO span_words (span_words, rowid, text) VALUES ('delete', old.id, old.text);"
    " INSERT INTO span_parts (span_parts, rowid, text) VALUES ('delete', old.id, old.text); END;"
    "CREATE TRIGGER span_changed AFTER UPDATE OF text ON span WHEN old.text <> new.text BEGIN"
    " INSERT INTO span_words (span_words, rowid, text) VALUES ('delete', old.id, old.text);"
    " INSERT INTO span_parts (span_parts, rowid, text) VALUES ('delete', old.id, old.text);"
    " INSERT INTO span_words (rowid, text) VALUES (new.id, new.text);"
    " INSERT INTO span_parts (rowid, text) VALUES (new.id, new.text); END;"
    "CREATE TABLE record (id TEXT PRIMARY KEY, span INTEGER NOT NULL, rev INTEGER NOT NULL, json "
    "TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX record_span ON record (span);"
    "CREATE TRIGGER record_gone AFTER DELETE ON span BEGIN DELETE FROM record WHERE span = old.id; "
    "END;"
    "CREATE TABLE fact (stream TEXT NOT NULL, key TEXT NOT NULL, number REAL, text TEXT, wall "
    "INTEGER NOT NULL,"
    " PRIMARY KEY (stream, key)) WITHOUT ROWID;";

enum {
    SPAN_ADD,
    SPAN_CHANGE,
    RECORD_FIND,
    RECORD_ADD,
    FACT_ADD,
    FACT_FORGET,
    FACT_FORGET_ALL,
    TRIM_AGE,
    TRIM_COUNT,
    STATEMENTS
};

static const char *const statement[STATEMENTS] = {
    [SPAN_ADD] = "INSERT INTO span (kind, stream, watch, signal, text, epoch, t0, t1, wall, n, "
                 "confidence, x, y, width, height)"
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    [SPAN_CHANGE] = "UPDATE span SET text = ?5, t1 = ?8, n = ?10, confidence = ?11, x = ?12, y = "
                    "?13, width = ?14, height = ?15"
                    " WHERE id = ?16",
    [RECORD_FIND] = "SELECT span, rev FROM record WHERE id = ?1",
    [RECORD_ADD] = "INSERT INTO record (id, span, rev, json) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, json = excluded.json, span "
                   "= excluded.span",
    [FACT_ADD] = "INSERT INTO fact (stream, key, number, text, wall) VALUES (?1, ?2, ?3, ?4, ?5)"
                 " ON CONFLICT (stream, key) DO UPDATE SET number = excluded.number, text = "
                 "excluded.text, wall = excluded.wall",
    [FACT_FORGET] = "DELETE FROM fact WHERE stream = ?1",
    [FACT_FORGET_ALL] = "DELETE FROM fact",
    [TRIM_AGE] = "DELETE FROM span WHERE wall + t1 - t0 < ?1",
    [TRIM_COUNT] = "DELETE FROM span WHERE id IN (SELECT id FROM span ORDER BY wall LIMIT (SELECT "
                   "count(*) / 10 + 1 FROM span))",
};

struct StoreDb {
    Arena *arena;
    const char *path;
    sqlite3 *db;
    uint64_t log;      /* number of its log's file, as it was last; 0: not known */
    sqlite3_stmt *at[STATEMENTS];
};

static int db_fail(const StoreDb *d, Error *e)
{
    const int code = sqlite3_errcode(d->db);
    const char *const why = sqlite3_errmsg(d->db);
    if (code == SQLITE_CORRUPT || strstr(why, "vtable") || strstr(why, "fts5"))
        return error_set(e, ERR_INVALID, "%s: damaged (%s): move it away, a new one is made",
                         d->path, why);
    return error_set(e, code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? ERR_INVALID : ERR_IO,
                     "%s: %s", d->path, sqlite3_errmsg(d->db));
}

static int run(const StoreDb *d, const char *sql, Error *e)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(d, e);
}

static int read_number(const StoreDb *d, const char *sql, int64_t *out, Error *e)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    *out = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    const int result = code == SQLITE_ROW ? 0 : db_fail(d, e);
    sqlite3_finalize(s);
    return result;
}

static int make_tables(StoreDb *d, Error *e)
{
    char mark[128];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             STORE_APPLICATION, STORE_VERSION);
    int code = run(d, "BEGIN IMMEDIATE", e);
    if (code == 0)
        code = run(d, schema, e);
    if (code == 0)
        code = run(d, mark, e);
    if (code == 0)
        code = run(d, "COMMIT", e);
    return code;
}

static int check_tables(StoreDb *d, bool write, Error *e)
{
    int64_t application, version, tables;
    int code = read_number(d, "PRAGMA application_id", &application, e);
    if (code == 0)
        code = read_number(d, "PRAGMA user_version", &version, e);
    if (code == 0)
        code = read_number(d, "SELECT count(*) FROM sqlite_master", &tables, e);
    if (code != 0)
        return code;
    if (tables == 0 && write)
        return make_tables(d, e);
    if (application != STORE_APPLICATION)
        return error_set(e, ERR_INVALID, "%s: a database, but not one of what was watched",
                         d->path);
    if (version != STORE_VERSION)
        return error_set(e, ERR_INVALID, "%s: of version %lld; this program knows %d", d->path,
                         (long long)version, STORE_VERSION);
    return 0;
}

int store_db_open(const char *path, bool write, StoreDb **out, Error *e)
{
    Arena *const a = arena_new();
    StoreDb *const d = arena_new_of(a, StoreDb);
    *d = (StoreDb){.arena = a, .path = arena_strdup(a, path)};
    const int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int code = file_check_regular(path, e);
    if (code == 0 && sqlite3_open_v2(path, &d->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        code = db_fail(d, e);
    if (code == 0) {
        sqlite3_busy_timeout(d->db, 5000);
        sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, 16 << 20);
        /* removed rows give their pages back a few at a time; of a crash of the system the last
         * second may be lost */
        code = write ? run(d,
                           "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA "
                           "synchronous = NORMAL;",
                           e)
                     : 0;
    }
    if (code == 0)
        code = check_tables(d, write, e);
    for (int i = 0; i < STATEMENTS && code == 0 && write; i++)
        if (sqlite3_prepare_v3(d->db, statement[i], -1, SQLITE_PREPARE_PERSISTENT, &d->at[i],
                               NULL) != SQLITE_OK)
            code = db_fail(d, e);
    if (code != 0)
        store_db_close(d);
    else
        *out = d;
    return code;
}

void store_db_close(StoreDb *d)
{
    if (!d)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(d->at[i]);
    sqlite3_close(d->db);
    arena_free(d->arena);
}

/* 0: there is none. */
static uint64_t log_number(const StoreDb *d)
{
    struct stat st;
    char log[4096];
    snprintf(log, sizeof log, "%s-wal", d->path);
    return stat(log, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

StoreMoved store_db_moved(StoreDb *d)
{
    int moved = 0;
    if (sqlite3_file_control(d->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
        return STORE_GONE;
    d->log = log_number(d);
    return d->log != 0 ? STORE_THERE : STORE_LOG_GONE;
}

void store_db_abandon(StoreDb *d)
{
    const bool ours = d->log != 0 && log_number(d) == d->log;
    char name[4096];
    for (int i = 0; i < 2 && ours; i++) {
        snprintf(name, sizeof name, "%s%s", d->path, i ? "-shm" : "-wal");
        unlink(name);
    }
    store_db_close(d);
}

sqlite3 *store_db_handle(const StoreDb *d) { return d->db; }

int store_db_begin(StoreDb *d, Error *e) { return run(d, "BEGIN IMMEDIATE", e); }
int store_db_commit(StoreDb *d, Error *e) { return run(d, "COMMIT", e); }
void store_db_rollback(StoreDb *d) { sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL); }

/* ---- rows ---- */

static void bind_text(sqlite3_stmt *s, int i, const char *text)
{
    sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

static int finish(const StoreDb *d, sqlite3_stmt *s, Error *e)
{
    const int code = sqlite3_step(s) == SQLITE_DONE ? 0 : db_fail(d, e);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return code;
}

int store_db_span(StoreDb *d, SpanRow *r, Error *e)
{
    sqlite3_stmt *const s = d->at[r->id ? SPAN_CHANGE : SPAN_ADD];
    if (r->id) {
        sqlite3_bind_int64(s, 16, r->id);
    } else {
        bind_text(s, 1, r->kind);
        bind_text(s, 2, r->stream);
        bind_text(s, 3, r->watch);
        bind_text(s, 4, r->signal);
        sqlite3_bind_int(s, 6, r->epoch);
        sqlite3_bind_int64(s, 7, r->t0);
        sqlite3_bind_int64(s, 9, r->wall);
    }
    bind_text(s, 5, r->text);
    sqlite3_bind_int64(s, 8, r->t1);
    sqlite3_bind_int(s, 10, r->n);
    sqlite3_bind_double(s, 11, r->confidence);
    const float box[] = {r->box.x, r->box.y, r->box.width, r->box.height};
    for (int i = 0; i < 4 && r->box.width > 0; i++)
        sqlite3_bind_double(s, 12 + i, (double)box[i]);
    const int code = finish(d, s, e);
    if (code == 0 && !r->id)
        r->id = sqlite3_last_insert_rowid(d->db);
    return code;
}

int store_db_record(StoreDb *d, const char *id, int rev, SpanRow *r, const char *json, Error *e)
{
    sqlite3_stmt *const find = d->at[RECORD_FIND], *const add = d->at[RECORD_ADD];
    bind_text(find, 1, id);
    const bool known = sqlite3_step(find) == SQLITE_ROW;
    const bool newer = known && sqlite3_column_int(find, 1) > rev;
    r->id = known ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    if (newer)
        return 0; /* told again, late */
    const int code = store_db_span(d, r, e);
    if (code != 0)
        return code;
    bind_text(add, 1, id);
    sqlite3_bind_int64(add, 2, r->id);
    sqlite3_bind_int(add, 3, rev);
    bind_text(add, 4, json);
    return finish(d, add, e);
}

int store_db_fact(StoreDb *d, const char *stream, const char *key, double number, const char *text,
                  int64_t wall, Error *e)
{
    sqlite3_stmt *const s = d->at[FACT_ADD];
    bind_text(s, 1, stream);
    bind_text(s, 2, key);
    if (text)
        bind_text(s, 4, text);
    else
        sqlite3_bind_double(s, 3, number);
    sqlite3_bind_int64(s, 5, wall);
    return finish(d, s, e);
}

int store_db_forget_facts(StoreDb *d, const char *stream, Error *e)
{
    sqlite3_stmt *const s = d->at[stream ? FACT_FORGET : FACT_FORGET_ALL];
    if (stream)
        bind_text(s, 1, stream);
    return finish(d, s, e);
}

int store_db_trim(StoreDb *d, int64_t before, int64_t max_bytes, Error *e)
{
    sqlite3_bind_int64(d->at[TRIM_AGE], 1, before);
    int code = finish(d, d->at[TRIM_AGE], e);
    int64_t pages = 0, empty = 0, size = 0;
    if (code == 0)
        code = read_number(d, "PRAGMA page_count", &pages, e);
    if (code == 0)
        code = read_number(d, "PRAGMA freelist_count", &empty, e);
    if (code == 0)
        code = read_number(d, "PRAGMA page_size", &size, e);
    if (code == 0 && (pages - empty) * size > max_bytes)
        code = finish(d, d->at[TRIM_COUNT], e);
    return code == 0 ? run(d, "PRAGMA incremental_vacuum(1000)", e) : code;
}
