/* Queries: words -> FTS5, filters and facets -> SQL. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "base/vec.h"
#include "watch/pattern.h"
#include "watch/store_sql.h"

#define QUERY_MAX 500 /* bytes */
#define VALUES_MAX 40

struct StoreSearch {
    Arena *arena;
    StoreDb *db;
};

typedef struct Value { /* of a ? in the statement */
    const char *text;      /* NULL: the number */
    double number;
} Value;

typedef struct Query {
    Arena *arena;
    Str words, parts;      /* what FTS5 shall find, as words and as parts of them */
    bool short_word;       /* one is too short to be looked for as a part */
    Str where;
    int nvalue;
    Value value[VALUES_MAX];
    Error *error;
} Query;

int store_search_open(const char *path, StoreSearch **out, Error *e)
{
    StoreDb *db;
    const int code = store_db_open(path, false, &db, e);
    if (code != 0)
        return code;
    Arena *const a = arena_new();
    *out = arena_new_of(a, StoreSearch);
    **out = (StoreSearch){a, db};
    return 0;
}

void store_search_close(StoreSearch *s)
{
    if (!s)
        return;
    store_db_close(s->db);
    arena_free(s->arena);
}

/* ---- reading a query ---- */

static int add_value(Query *q, const char *text, double number)
{
    if (q->nvalue == VALUES_MAX)
        return error_set(q->error, ERR_INVALID, "query: too many conditions");
    q->value[q->nvalue++] = (Value){text, number};
    return 0;
}

static int characters(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text += utf8_size(text) ? utf8_size(text) : 1)
        n++;
    return n;
}

/* In FTS5's quotes nothing has a meaning but a quote. */
static void add_term(Str *out, const char *text, bool prefix)
{
    str_add(out, out->len ? " \"" : "\"");
    for (; *text != '\0'; text++)
        str_addf(out, *text == '"' ? "\"\"" : "%c", *text);
    str_add(out, prefix ? "\"*" : "\"");
}

static bool has_letter(const char *text)
{
    for (; *text != '\0'; text++)
        if (isalnum((unsigned char)*text) || (unsigned char)*text >= 0x80)
            return true;
    return false;
}

static void add_word(Query *q, const char *text, bool phrase)
{
    if (!has_letter(text))
        return; /* a lone dash */
    add_term(&q->words, text, !phrase);
    add_term(&q->parts, text, false);
    q->short_word = q->short_word || characters(text) < 3;
}

/* name, name* -> column = ? or column GLOB ? */
static int add_name(Query *q, const char *column, const char *value)
{
    const size_t n = strlen(value);
    const bool wild = n > 0 && value[n - 1] == '*';
    if (n == 0)
        return error_set(q->error, ERR_INVALID, "query: '%s:' needs a name", column);
    if (wild) {
        str_addf(&q->where, " AND substr(span.%s, 1, %zu) = ?", column, n - 1);
        return add_value(q, arena_strndup(q->arena, value, n - 1), 0);
    }
    str_addf(&q->where, " AND span.%s = ?", column);
    return add_value(q, value, 0);
}

/* 90s, 10m, 2h, 3d before now. */
static int add_time(Query *q, const char *name, const char *value)
{
    double amount = 0;
    char unit = 0, more = 0;
    const double seconds =
        sscanf(value, "%lf%c%c", &amount, &unit, &more) == 2 && amount >= 0 && amount < 1e6
            ? amount * (unit == 's'   ? 1
                        : unit == 'm' ? 60
                        : unit == 'h' ? 3600
                        : unit == 'd' ? 86400
                                      : -1)
            : -1;
    if (!(seconds >= 0))
        return error_set(q->error, ERR_INVALID,
                         "query: '%s:%s': a time before now, as 10m, 2h or 3d", name, value);
    str_addf(&q->where, strcmp(name, "since") == 0 ? " AND span.wall + span.t1 - span.t0 >= ?"
                                                   : " AND span.wall <= ?");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return add_value(q, NULL, ((double)now.tv_sec - seconds) * 1e6);
}

static bool is_kind(const char *text)
{
    static const char *const kind[] = {"text", "screen", "object", "event"};
    const size_t n = strcspn(text, "*");
    for (int i = 0; i < 4; i++)
        if (strncmp(text, kind[i], n) == 0 && (text[n] == '*' || kind[i][n] == '\0'))
            return true;
    return false;
}

/* True: it was one, *code says how it went. */
static bool read_filter(Query *q, const char *token, int *code)
{
    static const char *const name[] = {"stream", "watch", "signal", "kind"};
    const char *const colon = strchr(token, ':');
    if (!colon)
        return false;
    const size_t n = (size_t)(colon - token);
    for (int i = 0; i < 4; i++) {
        if (strlen(name[i]) != n || strncmp(token, name[i], n) != 0)
            continue;
        *code = i == 3 && !is_kind(colon + 1)
                    ? error_set(q->error, ERR_INVALID,
                                "query: '%s': kinds are text, screen, object and event", token)
                    : add_name(q, name[i], colon + 1);
        return true;
    }
    if (n != 5 || (strncmp(token, "since", n) != 0 && strncmp(token, "until", n) != 0))
        return false; /* a colon in a word, as in 12:30 */
    *code = add_time(q, strncmp(token, "since", n) == 0 ? "since" : "until", colon + 1);
    return true;
}

/* key<20, key>=3, key=play */
static bool read_facet(Query *q, const char *token, int *code)
{
    const size_t n = strcspn(token, "<>=");
    if (n == 0 || token[n] == '\0')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)token[i]) && token[i] != '_' && token[i] != '.')
            return false;
    const bool equal = token[n + 1] == '=';
    const char *const value = token + n + 1 + equal;
    char *end;
    const double number = strtod(value, &end);
    const bool is_number = *value != '\0' && *end == '\0';
    if (*value == '\0' || (!is_number && token[n] != '=')) {
        *code = error_set(q->error, ERR_INVALID,
                          "query: '%s': compared with what? (alive<20, screen=play)", token);
        return true;
    }
    str_addf(&q->where, " AND span.stream IN (SELECT stream FROM fact WHERE key = ? AND %s %c%s ?)",
             is_number ? "number" : "text", token[n], equal ? "=" : "");
    *code = add_value(q, arena_strndup(q->arena, token, n), 0);
    if (*code == 0)
        *code = add_value(q, is_number ? NULL : value, number);
    return true;
}

static int read_query(Query *q, const char *text)
{
    int code = 0;
    if (strlen(text) > QUERY_MAX)
        return error_set(q->error, ERR_INVALID, "query: longer than %d bytes", QUERY_MAX);
    while (code == 0) {
        text += strspn(text, " \t\n");
        if (*text == '\0')
            break;
        if (*text == '"') {
            const size_t n = strcspn(text + 1, "\"");
            if (text[1 + n] != '"')
                return error_set(q->error, ERR_INVALID, "query: a quote is not closed");
            add_word(q, arena_strndup(q->arena, text + 1, n), true);
            text += n + 2;
            continue;
        }
        const size_t n = strcspn(text, " \t\n\"");
        const char *const token = arena_strndup(q->arena, text, n);
        if (!read_filter(q, token, &code) && !read_facet(q, token, &code))
            add_word(q, token, false);
        text += n;
    }
    return code;
}

/* ---- asking ---- */

/* Words count more than parts of words: 1000 is more than bm25 ever is. */
static const char *statement(Query *q)
{
    Str s = str_new(q->arena);
    const char *const columns =
        "span.id, span.kind, span.stream, span.watch, span.signal, span.text, span.epoch, span.t0, "
        "span.t1, span.wall,"
        " span.n, span.confidence, span.x, span.y, span.width, span.height, record.json";
    const bool words = q->words.len > 0, parts = words && !q->short_word;
    if (words)
        str_add(&s, "WITH hit (id, score, snippet) AS MATERIALIZED (SELECT rowid, 1000 - "
                    "bm25(span_words), snippet(span_words, 0, '[', ']', '..', 12)"
                    " FROM span_words WHERE span_words MATCH ?");
    if (parts)
        str_add(
            &s,
            " UNION ALL SELECT rowid, -bm25(span_parts), snippet(span_parts, 0, '[', ']', '..', 40)"
            " FROM span_parts WHERE span_parts MATCH ?");
    str_addf(&s, "%sSELECT %s, %s FROM %s LEFT JOIN record ON record.span = span.id WHERE 1%s",
             words ? ") " : "", columns, words ? "max(hit.score), hit.snippet" : "0.0, span.text",
             words ? "hit JOIN span ON span.id = hit.id" : "span", str_text(&q->where));
    str_add(&s, words ? " GROUP BY span.id ORDER BY max(hit.score) DESC, span.wall DESC LIMIT ?"
                      : " ORDER BY span.wall DESC LIMIT ?");
    return str_text(&s);
}

static const char *column_text(Arena *a, sqlite3_stmt *s, int i)
{
    const char *const text = (const char *)sqlite3_column_text(s, i);
    return text ? arena_strdup(a, text) : NULL;
}

static StoreHit read_hit(Arena *a, sqlite3_stmt *s)
{
    return (StoreHit){
        .id = sqlite3_column_int64(s, 0),
        .kind = column_text(a, s, 1),
        .stream = column_text(a, s, 2),
        .watch = column_text(a, s, 3),
        .signal = column_text(a, s, 4),
        .text = column_text(a, s, 5),
        .epoch = sqlite3_column_int(s, 6),
        .t_start = sqlite3_column_int64(s, 7),
        .t_end = sqlite3_column_int64(s, 8),
        .wall = sqlite3_column_int64(s, 9),
        .samples = sqlite3_column_int(s, 10),
        .confidence = sqlite3_column_double(s, 11),
        .box = {(float)sqlite3_column_double(s, 12), (float)sqlite3_column_double(s, 13),
                (float)sqlite3_column_double(s, 14), (float)sqlite3_column_double(s, 15)},
        .record = column_text(a, s, 16),
        .score = sqlite3_column_double(s, 17),
        .snippet = column_text(a, s, 18),
    };
}

static void bind(sqlite3_stmt *s, const Query *q, int limit)
{
    int at = 1;
    if (q->words.len > 0)
        sqlite3_bind_text(s, at++, q->words.at, -1, SQLITE_STATIC);
    if (q->words.len > 0 && !q->short_word)
        sqlite3_bind_text(s, at++, q->parts.at, -1, SQLITE_STATIC);
    for (int i = 0; i < q->nvalue; i++, at++) {
        if (q->value[i].text)
            sqlite3_bind_text(s, at, q->value[i].text, -1, SQLITE_STATIC);
        else
            sqlite3_bind_double(s, at, q->value[i].number);
    }
    sqlite3_bind_int(s, at, limit);
}

int store_search(StoreSearch *s, Arena *a, const char *query, int limit, StoreHit **out, int *n,
                 Error *e)
{
    Query q = {
        .arena = a, .words = str_new(a), .parts = str_new(a), .where = str_new(a), .error = e};
    const int code = read_query(&q, query);
    *n = 0;
    if (code != 0)
        return code;
    sqlite3 *const db = store_db_handle(s->db);
    sqlite3_stmt *st = NULL;
    VEC(StoreHit) hit = {0};
    int step = sqlite3_prepare_v2(db, statement(&q), -1, &st, NULL);
    if (step == SQLITE_OK) {
        bind(st, &q, limit);
        while ((step = sqlite3_step(st)) == SQLITE_ROW)
            vec_push(a, &hit, read_hit(a, st));
    }
    if (step != SQLITE_DONE)
        error_set(e, ERR_IO, "search: %s", sqlite3_errmsg(db));
    sqlite3_finalize(st);
    *out = hit.at;
    *n = hit.len;
    return step == SQLITE_DONE ? 0 : ERR_IO;
}
