/* What was seen is found again: spans, words, facets, restarts, full disks. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "feed.h"
#include "watch/rule_eval.h"
#include "watch/store.h"

typedef struct Bench {
    Context *ctx;
    Feed feed;
    Store *store;
    char path[64];
} Bench;

static void bench_open(Bench *b, Context *ctx)
{
    Error e;
    *b = (Bench){.ctx = ctx, .path = "/tmp/lathe_store_XXXXXX"};
    close(mkstemp(b->path));
    feed_init(&b->feed, ctx, watch_by_hand(ctx));
    assert_int_equal(store_open(b->path, &(StoreOptions){0}, &b->store, &e), 0);
}

static void bench_close(Bench *b)
{
    store_close(b->store);
    static const char *const tail[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++)
        unlink(arena_printf(b->ctx->arena, "%s%s", b->path, tail[i]));
}

static void see_at(Bench *b, const char *stream, const char *line)
{
    Sample s = feed_sample(&b->feed, line);
    s.stream = stream;
    s.epoch = b->feed.epoch;
    s.wall = ((int64_t)time(NULL) - 10 * 86400) * 1000000 + s.t; /* ten days ago */
    events_sample(b->feed.events, &s);
    store_sample(b->store, b->feed.w, &s, events_readings(b->feed.events));
}

static void see(Bench *b, const char *line) { see_at(b, "s1", line); }

/* "kind signal text t0-t1 n|" of each hit, in order. */
static const char *found(Bench *b, const char *query)
{
    Arena *const a = b->ctx->arena;
    StoreSearch *s;
    StoreHit *hit;
    Error e;
    int n;
    Str out = str_new(a);
    store_flush(b->store);
    assert_int_equal(store_search_open(b->path, &s, &e), 0);
    if (store_search(s, a, query, 100, &hit, &n, &e) != 0)
        FAIL_MSG("%s: %s", query, e.message);
    for (int i = 0; i < n; i++) {
        str_addf(&out, "%s %s '%s' ", hit[i].kind, hit[i].signal, hit[i].text);
        json_add_seconds(&out, hit[i].t_start);
        str_addc(&out, '-');
        json_add_seconds(&out, hit[i].t_end);
        str_addf(&out, " %d|", hit[i].samples);
    }
    store_search_close(s);
    return str_text(&out);
}

static void runs_of_text(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=Victory_Royale alive=12");
    see(&b, "0.5 title=Victory_Royale alive=12");
    see(&b, "1 title=Victory_Roya1e alive=11"); /* a misreading, and a change */
    see(&b, "1.5 title=? alive=11");
    see(&b, "2 title=Victory_Royale alive=11");
    see(&b, "2.5 title=Lobby alive=11@0.2");    /* too unsure */
    b.feed.left_out = 1500000;                  /* else it would be after the gap */
    see(&b, "4.5 title=? alive=11");
    see(&b, "7 title=Lobby alive=11"); /* after the gap */
    assert_string_equal(
        found(&b, "signal:title"),
        "text title 'Lobby' 7-7 1|text title 'Lobby' 2.5-2.5 1|text title 'Victory Royale' 0-2 4|");
    assert_string_equal(found(&b, "signal:alive"),
                        "text alive '11' 7-7 1|text alive '11' 1-4.5 4|text alive '12' 0-0.5 2|");
    b.feed.epoch++;
    see(&b, "6 title=Lobby");
    assert_string_equal(found(&b, "lobby since:5d"), "");
    assert_string_equal(
        found(&b, "lobby until:5d"),
        "text title 'Lobby' 7-7 1|text title 'Lobby' 6-6 1|text title 'Lobby' 2.5-2.5 1|");
    bench_close(&b);
}

static void lines_of_pages(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 feed=0:ann_eliminated_bob:0.9:10,0:gg:0.9:100");
    see(&b, "0.5 feed=0:ann_eliminated_bob:0.9:12,0:cy_joined:0.8:300");
    /* misread; elsewhere again */
    see(&b, "1 feed=0:ann_eliminated_b0b:0.9:12,0:gg:0.9:100,0:ann_eliminated_bob:0.9:200");
    see(&b, "1.5 feed=0:unsure:0.3:10");
    assert_string_equal(
        found(&b, "eliminated"),
        "text feed 'ann eliminated bob' 1-1 1|text feed 'ann eliminated bob' 0-1 3|");
    assert_string_equal(found(&b, "gg"), "text feed 'gg' 0-1 2|");
    assert_string_equal(found(&b, "unsure"), "");
    assert_string_equal(
        found(&b, "\"eliminated bob\" kind:text signal:fe*"),
        "text feed 'ann eliminated bob' 1-1 1|text feed 'ann eliminated bob' 0-1 3|");
    assert_string_equal(found(&b, "\"bob eliminated\""), "");
    assert_string_equal(found(&b, "bob eliminated")[0] ? "yes" : "no", "yes");
    /* beginning of a word */
    assert_string_equal(found(&b, "joi"), "text feed 'cy joined' 0.5-0.5 1|");
    assert_string_equal(found(&b, "oine"), "text feed 'cy joined' 0.5-0.5 1|");   /* within one */
    assert_string_equal(found(&b, "- ;\" \" joined *"), "text feed 'cy joined' 0.5-0.5 1|");
    bench_close(&b);
}

static void objects_and_screens(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 unsafe=3:KNIFE:0.8:10,0:KNIFE:0.9:50 screen=play");
    see(&b, "1 unsafe=3:KNIFE:0.9:90,4:FACE_EXPOSED:0.9:10 screen=play");
    see(&b, "2 unsafe=4:FACE_EXPOSED:0.9:10 screen=lobby");
    see(&b, "2.5 screen=lobby@0.3"); /* unknown */
    assert_string_equal(found(&b, "kind:object knife"), "object unsafe 'KNIFE' 0-1 2|");
    assert_string_equal(found(&b, "kind:object exposed"), "object unsafe 'FACE_EXPOSED' 1-2 2|");
    assert_string_equal(found(&b, "kind:screen"),
                        "screen screen 'lobby' 2-2 1|screen screen 'play' 0-1 2|");
    bench_close(&b);
}

static void facets(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see_at(&b, "one", "0 alive=30 screen=play title=hello");
    see_at(&b, "two", "0 alive=8 screen=lobby title=hello");
    see_at(&b, "two", "0.5 alive=? title=hello");
    assert_non_null(strstr(found(&b, "hello alive<20"), "0-0.5 2|"));
    assert_null(strstr(found(&b, "hello alive<20"), "0-0 1|"));
    assert_string_equal(found(&b, "hello alive<20 screen=play"), "");
    assert_string_equal(found(&b, "hello alive<=30 stream:one screen=play"),
                        "text title 'hello' 0-0 1|");
    assert_string_equal(found(&b, "hello alive>=8 alive=8"), "text title 'hello' 0-0.5 2|");
    assert_string_equal(found(&b, "hello alive==30"), "text title 'hello' 0-0 1|");
    store_stream_end(b.store, "two");
    assert_string_equal(found(&b, "hello alive<20"), "");
    see_at(&b, "two", "9 alive=7"); /* it comes again */
    assert_string_equal(found(&b, "hello alive<20"), "text title 'hello' 0-0.5 2|");
    bench_close(&b);
}

static void queries_that_are_wrong(Context *ctx)
{
    static const struct { const char *query, *why;
    } row[] = {
        {"\"open", "a quote is not closed"}, {"since:soon", "a time before now"},
        {"since:5", "a time before now"},    {"until:-5m", "a time before now"},
        {"alive<", "compared with what?"},   {"alive<low", "compared with what?"},
        {"stream:", "needs a name"},         {"kind:foo", "kinds are text"},
    };
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=12:30");
    assert_string_equal(found(&b, "12:30"), "text title '12:30' 0-0 1|");
    StoreSearch *s;
    StoreHit *hit;
    Error e;
    int n;
    assert_int_equal(store_search_open(b.path, &s, &e), 0);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        assert_int_equal(store_search(s, ctx->arena, row[i].query, 10, &hit, &n, &e), ERR_INVALID);
        if (!strstr(e.message, row[i].why))
            FAIL_MSG("%s: %s", row[i].query, e.message);
    }
    char many[600];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    assert_int_equal(store_search(s, ctx->arena, many, 10, &hit, &n, &e), ERR_INVALID);
    store_search_close(s);
    bench_close(&b);
}

/* Whatever is asked, FTS5 and SQL see no more than words. */
static void queries_at_random(Context *ctx)
{
    static const char alphabet[] = "ab \"*:;()^-+<>='%_ANDORNEAR\\.\xc3\xa4";
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=ab");
    StoreSearch *s;
    Error e;
    assert_int_equal(store_search_open(b.path, &s, &e), 0);
    srand(1);
    for (int i = 0; i < 3000; i++) {
        char query[24];
        const int n = rand() % 20;
        for (int k = 0; k < n; k++)
            query[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        query[n] = '\0';
        Arena *const a = arena_new();
        StoreHit *hit;
        int nhit;
        if (store_search(s, a, query, 10, &hit, &nhit, &e) == ERR_IO)
            FAIL_MSG("'%s': %s", query, e.message);
        arena_free(a);
    }
    store_search_close(s);
    bench_close(&b);
}

static void keep_record(void *arg, const EventRecord *r) { store_record(arg, r); }

static void records(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    Watch *const w = watch_by_hand(ctx);
    EventRule *const low = add_event(ctx, w, "final_ten", "alive <= 10");
    add_data(ctx, w, low, "title");
    Events *const v = events_new(ctx->arena, w, "s1", keep_record, b.store);
    Feed f = {.ctx = ctx, .w = w};
    static const char *const line[] = {"0 alive=20", "1 alive=9 title=Duo", "2 alive=8 title=Duo",
                                       "3 alive=20"};
    for (int i = 0; i < 4; i++) {
        const Sample s = feed_sample(&f, line[i]);
        events_sample(v, &s);
    }
    events_stop(v);
    /* start and end: one row */
    assert_string_equal(found(&b, "final ten duo"), "event final_ten 'final ten Duo' 1-2 1|");
    StoreSearch *s;
    StoreHit *hit;
    Error e;
    int n;
    assert_int_equal(store_search_open(b.path, &s, &e), 0);
    assert_int_equal(store_search(s, ctx->arena, "kind:event", 10, &hit, &n, &e), 0);
    assert_int_equal(n, 1);
    assert_non_null(strstr(hit[0].record, "\"kind\":\"end\""));
    assert_int_equal(store_search(s, ctx->arena, "duo", 10, &hit, &n, &e), 0);
    assert_string_equal(hit[0].snippet, "final ten [Duo]");
    store_search_close(s);
    bench_close(&b);
}

static void a_store_goes_on(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=before alive=5");
    store_close(b.store);
    Error e;
    assert_int_equal(store_open(b.path, &(StoreOptions){0}, &b.store, &e), 0);
    assert_string_equal(found(&b, "alive<10 before"), ""); /* nobody watches it now */
    see(&b, "0 title=after");
    assert_string_equal(found(&b, "before"), "text title 'before' 0-0 1|");
    assert_string_equal(found(&b, "after"), "text title 'after' 0-0 1|");
    bench_close(&b);
}

static void files_that_are_no_store(Context *ctx)
{
    Store *s;
    StoreSearch *q;
    Error e;
    char path[] = "/tmp/lathe_store_XXXXXX";
    close(mkstemp(path));
    assert_int_equal(file_write(path, "this is no database at all, whatever its name", 45, &e), 0);
    assert_int_equal(store_open(path, &(StoreOptions){0}, &s, &e), ERR_INVALID);
    unlink(path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE mine (x)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(store_open(path, &(StoreOptions){0}, &s, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "not one of what was watched"));
    assert_int_equal(store_search_open(path, &q, &e), ERR_INVALID);
    unlink(path);
    assert_int_equal(store_search_open(path, &q, &e), ERR_IO);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it would wait for who writes */
    alarm(5);
    assert_int_equal(store_search_open(path, &q, &e), ERR_INVALID);
    assert_int_equal(store_open(path, &(StoreOptions){0}, &s, &e), ERR_INVALID);
    alarm(0);
    assert_non_null(strstr(e.message, "not a regular file"));
    unlink(path);
    assert_int_equal(store_open("/nowhere/at/all.db", &(StoreOptions){0}, &s, &e), ERR_IO);
    (void)ctx;
}

static void disk_full(bool full)
{
    static struct rlimit before;
    if (full) {
        getrlimit(RLIMIT_FSIZE, &before);
        signal(SIGXFSZ, SIG_IGN);
    }
    const struct rlimit none = {1024, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, full ? &none : &before);
}

/* A file that may not grow: counted, and written later. */
static void a_full_disk(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=first");
    store_flush(b.store);
    disk_full(true);
    see(&b, "1 title=second");
    store_flush(b.store);
    assert_true(store_counts(b.store).failures > 0);
    assert_true(store_counts(b.store).error[0] != '\0');
    disk_full(false);
    assert_string_equal(found(&b, "second"), "text title 'second' 1-1 1|");
    assert_int_equal(store_counts(b.store).dropped, 0);
    bench_close(&b);
}

/* What signals showed last while nothing could be written, and streams that ended then. */
static void facts_of_a_full_disk(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see_at(&b, "one", "0 title=first alive=40");
    see_at(&b, "two", "0 title=first alive=40");
    see_at(&b, "three", "0 title=first alive=40");
    store_flush(b.store);
    disk_full(true);
    see_at(&b, "one", "1 title=first alive=7");
    store_stream_end(b.store, "two");
    store_stream_end(b.store, "three");
    store_flush(b.store);
    assert_true(store_counts(b.store).failures > 0);
    assert_true(store_counts(b.store).waiting >= 3); /* the span, the fact, two streams */
    see_at(&b, "three", "1 title=again alive=3"); /* it comes again */
    store_flush(b.store);
    disk_full(false);
    assert_string_equal(found(&b, "alive<20 stream:one"),
                        "text alive '7' 1-1 1|text alive '40' 0-0 1|text title 'first' 0-1 2|");
    assert_string_equal(found(&b, "alive<100 stream:two"), "");
    assert_string_equal(found(&b, "alive<20 again"), "text title 'again' 1-1 1|");
    assert_int_equal(store_counts(b.store).dropped, 0);
    assert_int_equal(store_counts(b.store).waiting, 0);
    bench_close(&b);
}

/* Names that come and go while nothing can be written take no more room than so many, and are
 * counted. */
static void names_of_a_full_disk(Context *ctx)
{
    enum { N = 1100, KEPT = 1000 };
    Bench b;
    bench_open(&b, ctx);
    store_flush(b.store);
    disk_full(true);
    for (int i = 0; i < N; i++) {
        const char *const name = arena_printf(ctx->arena, "s%d", i);
        see_at(&b, name, "0 alive=1");
        store_stream_end(b.store, name);
        if (i % 50 == 49)
            store_flush(b.store);
    }
    for (int i = 0; i < 10; i++) { /* one name takes its room once */
        see_at(&b, "s0", "1 alive=1");
        store_stream_end(b.store, "s0");
        store_flush(b.store);
    }
    disk_full(false);
    assert_int_equal(store_counts(b.store).dropped, N - KEPT);
    store_flush(b.store);
    assert_int_equal(store_counts(b.store).waiting, 0);
    assert_int_equal(store_counts(b.store).dropped, N - KEPT);
    assert_int_equal(store_counts(b.store).spans, N + 10);
    bench_close(&b);
}

static void remove_file(Bench *b, const char *tail)
{
    unlink(arena_printf(b->ctx->arena, "%s%s", b->path, tail));
}

/* A file that is removed, or that another takes the place of: what goes on is in the new one, from
 * its beginning. */
static void a_file_that_goes(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=first alive=7");
    store_flush(b.store);
    see(&b, "1 title=second");
    store_flush(b.store);
    remove_file(&b, ""), remove_file(&b, "-wal"), remove_file(&b, "-shm");
    see(&b, "2 title=second");
    store_flush(b.store);
    assert_string_equal(found(&b, "second"), "text title 'second' 1-2 2|");
    assert_string_equal(found(&b, "first"), "");
    assert_string_equal(found(&b, "second alive=7"), "text title 'second' 1-2 2|"); /* facts, too */
    assert_int_equal(store_counts(b.store).renewed, 1);
    /* its log is left behind */
    assert_int_equal(rename(b.path, arena_printf(ctx->arena, "%s.old", b.path)), 0);
    see(&b, "3 title=third");
    store_flush(b.store);
    assert_string_equal(found(&b, "third"), "text title 'third' 3-3 1|");
    assert_int_equal(store_counts(b.store).renewed, 2);
    remove_file(&b, ".old");
    Error e;
    remove_file(&b, "");
    assert_int_equal(file_write(b.path, "no database, and longer than nothing", 36, &e), 0);
    see(&b, "4 title=fourth");
    store_flush(b.store);
    assert_true(store_counts(b.store).failures > 0);
    assert_non_null(strstr(store_counts(b.store).error, b.path));
    remove_file(&b, "");
    store_flush(b.store);
    assert_string_equal(found(&b, "fourth"), "text title 'fourth' 4-4 1|"); /* it waited */
    assert_int_equal(store_counts(b.store).renewed, 3);
    assert_int_equal(store_counts(b.store).dropped, 0);
    bench_close(&b);
}

/* Its log alone: nothing that was written is lost. */
static void a_log_that_goes(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=first");
    see(&b, "1 title=second");
    store_flush(b.store);
    remove_file(&b, "-wal");
    see(&b, "2 title=second");
    store_flush(b.store);
    assert_string_equal(found(&b, "first"), "text title 'first' 0-0 1|");
    assert_string_equal(found(&b, "second"), "text title 'second' 1-2 2|");
    assert_int_equal(store_counts(b.store).renewed, 0);
    bench_close(&b);
}

static void old_rows_go(Context *ctx)
{
    Bench b;
    bench_open(&b, ctx);
    see(&b, "0 title=ancient");
    store_close(b.store);
    Error e;
    assert_int_equal(store_open(b.path, &(StoreOptions){.max_age = 1000000}, &b.store, &e), 0);
    store_flush(b.store);
    store_flush(b.store); /* the first round trims, after it was written */
    assert_string_equal(found(&b, "ancient"), "");
    bench_close(&b);
}

typedef struct Stream {
    Bench *b;
    int number;
} Stream;

static void *watch_stream(void *arg)
{
    const Stream *const t = arg;
    Arena *const a = arena_new();
    const Watch *const w = t->b->feed.w;
    Readings *const r = readings_new(a, w);
    const char *const name = arena_printf(a, "stream%d", t->number);
    for (int i = 0; i < 200; i++) {
        Observation *const at = arena_array_of(a, w->nsignal, Observation);
        at[TITLE] = (Observation){.state = OBSERVE_SEEN,
                                  .score = 1,
                                  .text = arena_printf(a, "word%c%c", 'a' + i / 10, 'a' + i / 10)};
        const Sample s = {.stream = name, .t = i * 500000, .at = at};
        static const EventNow none[BY_HAND_EVENTS];
        readings_sample(r, &s, none);
        store_sample(t->b->store, w, &s, readings_now(r));
    }
    store_stream_end(t->b->store, name);
    arena_free(a);
    return NULL;
}

static void many_streams(Context *ctx)
{
    enum { N = 8 };
    Bench b;
    bench_open(&b, ctx);
    pthread_t thread[N];
    Stream stream[N];
    for (int i = 0; i < N; i++) {
        stream[i] = (Stream){&b, i};
        pthread_create(&thread[i], NULL, watch_stream, &stream[i]);
    }
    for (int i = 0; i < 20; i++)
        store_flush(b.store);
    for (int i = 0; i < N; i++)
        pthread_join(thread[i], NULL);
    store_flush(b.store);
    assert_int_equal(store_counts(b.store).spans, 20 * N);
    assert_int_equal(store_counts(b.store).dropped, 0);
    assert_string_equal(found(&b, "wordcc stream:stream3"), "text title 'wordcc' 10-14.5 10|");
    bench_close(&b);
}

#define CASES(X)                                                                                   \
    X(runs_of_text)                                                                                \
    X(lines_of_pages) X(objects_and_screens) X(facets) X(queries_that_are_wrong)                   \
        X(queries_at_random) X(records) X(a_store_goes_on) X(files_that_are_no_store)              \
            X(a_full_disk) X(facts_of_a_full_disk) X(names_of_a_full_disk) X(a_file_that_goes)     \
                X(a_log_that_goes) X(old_rows_go) X(many_streams)
#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
CASES(CASE)
#define ROW(name) cmocka_unit_test(test_##name),

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(ROW)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
