/* Records on their way: told in their order, once they are on disk; workers wait for no disk. */
#include "check.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "feed.h"
#include "watch/telling.h"

typedef struct Bench {
    Context *ctx;
    char dir[64];
    const char *outbox;
    Watch *watch;
    const EventRule *rule;
    Sinks *sinks;
    Telling *telling;
    atomic_int told;       /* the next id */
    atomic_int wrong;      /* told out of order, damaged, or before the outbox had it */
    bool lossy;
} Bench;

static void told(void *arg, const EventRecord *r, int64_t latency, const char *json, size_t size)
{
    Bench *const b = arg;
    const int i = atomic_load(&b->told);
    char id[32], key[32];
    snprintf(id, sizeof id, "\"id\":\"%016x\"", (unsigned)i);
    snprintf(key, sizeof key, "key %d", i);
    const bool right = r->id == (uint64_t)i && latency == i && strcmp(r->stream, "s1") == 0 &&
                       strcmp(r->key, key) == 0 && r->ndata == 1 && r->data[0].n == 1 &&
                       strcmp(r->data[0].list[0].label, key) == 0 && strlen(json) == size &&
                       strstr(json, id) && strstr(json, key);
    const bool kept = !b->sinks || b->lossy || sinks_outbox(b->sinks).added > i;
    atomic_fetch_add(&b->wrong, !right || !kept);
    atomic_store(&b->told, i + 1);
}

static void begin(Bench *b, Context *ctx, bool sinks)
{
    Error e;
    *b = (Bench){.ctx = ctx, .dir = "/tmp/lathe_telling_XXXXXX"};
    assert_non_null(mkdtemp(b->dir));
    b->outbox = arena_printf(ctx->arena, "%s/outbox", b->dir);
    b->watch = watch_by_hand(ctx);
    EventRule *const rule = add_event(ctx, b->watch, "fed", "count(feed) > 0");
    add_data(ctx, b->watch, rule, "feed");
    b->rule = rule;
    b->telling = telling_new(&(TellingOptions){.event = told, .arg = b});
    assert_non_null(b->telling);
    if (!sinks)
        return;
    const SinkSpec nobody = {.name = "nobody", .kind = SINK_WEBHOOK, .url = "http://127.0.0.1:1/"};
    assert_int_equal(sinks_open(b->outbox, 1, &nobody, &b->sinks, &e), 0);
    assert_int_equal(telling_sinks(b->telling, b->sinks, &e), 0);
}

static void end(Bench *b, int n)
{
    telling_free(b->telling, NULL);
    assert_int_equal(atomic_load(&b->told), n);
    assert_int_equal(atomic_load(&b->wrong), 0);
    if (b->sinks)
        sinks_close(b->sinks, 0);
    assert_int_equal(system(arena_printf(b->ctx->arena, "rm -r %s", b->dir)), 0);
}

/* What the record points to is gone when it is told. */
static void add(Bench *b, int i)
{
    char stream[] = "s1", key[32];
    snprintf(key, sizeof key, "key %d", i);
    Found line = {.label = key, .score = 1};
    EventRecord r = {.kind = RECORD_POINT,
                     .id = (uint64_t)i,
                     .stream = stream,
                     .watch = b->watch,
                     .rule = b->rule,
                     .key = key,
                     .t_end = -1,
                     .ndata = 1,
                     .data = {{.kind = VALUE_LIST, .n = 1, .list = &line}}};
    telling_event(b->telling, &r, i);
    memset(stream, 'x', sizeof stream - 1);
    memset(key, 'x', sizeof key - 1);
    memset(&r, 0x55, sizeof r);
}

/* All that came until now has been told. */
static void flush(const Bench *b)
{
    const int64_t mark = telling_mark(b->telling);
    const double end = time_now() + 60;
    for (; !telling_passed(b->telling, mark); usleep(1000))
        if (time_now() > end)
            FAIL_MSG("records are not told");
}

static sqlite3 *lock_outbox(const Bench *b)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(b->outbox, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void without_sinks(Context *ctx)
{
    Bench b;
    begin(&b, ctx, false);
    for (int i = 0; i < 10; i++) {
        add(&b, i);
        assert_int_equal(atomic_load(&b.told), i + 1); /* at once */
    }
    end(&b, 10);
}

static void sinks_later(Context *ctx)
{
    Bench b;
    Error e;
    begin(&b, ctx, false);
    add(&b, 0);
    const SinkSpec nobody = {.name = "nobody", .kind = SINK_WEBHOOK, .url = "http://127.0.0.1:1/"};
    Sinks *sinks;
    assert_int_equal(sinks_open(b.outbox, 1, &nobody, &sinks, &e), 0);
    assert_int_equal(telling_sinks(b.telling, sinks, &e), 0);
    add(&b, 1);
    flush(&b);
    assert_int_equal(sinks_outbox(sinks).added, 1);
    b.sinks = sinks;
    end(&b, 2);
}

/* While another holds the outbox nobody is told, and who judges goes on. */
static void nobody_waits(Context *ctx)
{
    Bench b;
    begin(&b, ctx, true);
    add(&b, 0);
    flush(&b);
    assert_int_equal(atomic_load(&b.told), 1);
    sqlite3 *const db = lock_outbox(&b);
    for (int i = 1; i < 100; i++)
        add(&b, i);
    usleep(50000);
    assert_int_equal(atomic_load(&b.told), 1); /* who waited for a commit would be told of it */
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db);
    flush(&b);
    assert_int_equal(atomic_load(&b.told), 100);
    assert_int_equal(telling_counts(b.telling).full, 0);
    end(&b, 100);
}

/* While nothing can be written nobody waits: it says that it is full, and at last drops what
 * comes. */
static void it_is_bounded(Context *ctx)
{
    enum { MOST = TELLING_BEYOND * TELLING_RECORDS };
    Bench b;
    begin(&b, ctx, true);
    add(&b, 0);
    flush(&b);
    const int64_t before = telling_mark(b.telling);
    sqlite3 *const db = lock_outbox(&b);
    for (int i = 1; i < TELLING_RECORDS; i++)
        add(&b, i);
    assert_false(telling_full(b.telling));
    for (int i = TELLING_RECORDS; i <= MOST; i++)
        add(&b, i);
    assert_true(telling_full(b.telling));
    const int64_t after = telling_mark(b.telling);
    for (int i = 0; i < 5; i++)
        add(&b, MOST + 1 + i);
    const TellingCounts c = telling_counts(b.telling);
    assert_int_equal(c.waiting, MOST);
    assert_int_equal(c.dropped, 5);
    assert_int_equal(c.full, MOST - TELLING_RECORDS + 5);
    assert_true(telling_passed(b.telling, before));
    assert_false(telling_passed(b.telling, after));
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db);
    flush(&b);
    assert_false(telling_full(b.telling));
    assert_true(telling_passed(b.telling, after));
    end(&b, MOST + 1);
}

/* Told none the less; the sinks count it. */
static void a_full_disk(Context *ctx)
{
    Bench b;
    begin(&b, ctx, true);
    b.lossy = true;
    add(&b, 0);
    flush(&b);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit none = {1024, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
    for (int i = 1; i < 6; i++)
        add(&b, i);
    flush(&b);
    assert_int_equal(atomic_load(&b.told), 6);
    assert_int_equal(sinks_trouble(b.sinks).lost, 5);
    assert_non_null(strstr(sinks_trouble(b.sinks).why, b.outbox));
    assert_int_equal(sinks_outbox(b.sinks).added, 1);
    setrlimit(RLIMIT_FSIZE, &before);
    add(&b, 6);
    flush(&b);
    assert_int_equal(sinks_trouble(b.sinks).lost, 5);
    assert_int_equal(sinks_outbox(b.sinks).added, 2);
    end(&b, 7);
}

#define CASES(X) X(without_sinks) X(sinks_later) X(nobody_waits) X(it_is_bounded) X(a_full_disk)
#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
CASES(CASE)
#define ROW(name) cmocka_unit_test(test_##name),

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(ROW)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
