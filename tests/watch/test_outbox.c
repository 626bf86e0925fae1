/* The outbox: what is in it survives, a full disk is told and got over, what is no outbox is
 * refused. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"
#include "watch/outbox.h"

static char folder[64], path[128];
static const atomic_bool go_on; /* nobody stops */

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lathe_outbox_XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/outbox", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char name[512];
    DIR *const d = opendir(folder);
    for (struct dirent *one; (one = readdir(d)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", folder, one->d_name);
        unlink(name);
    }
    closedir(d);
    return rmdir(folder);
}

static void ignore(void *arg, int sink, int64_t seq)
{
    (void)sink, (void)seq;
    if (arg)
        ++*(int *)arg;
}

static Outbox *opened(int *told)
{
    Outbox *o;
    Error e = {0};
    if (outbox_open(path, ignore, told, &o, &e) != 0)
        FAIL_MSG("%s", e.message);
    return o;
}

static int number(Outbox *o, const char *name)
{
    int sink;
    assert_int_equal(outbox_sink(o, name, &sink, NULL), 0);
    return sink;
}

static int add(Outbox *o, uint64_t id, uint64_t key, int n, const int *sink, Error *e)
{
    char json[64];
    snprintf(json, sizeof json, "{\"id\":%d}", (int)id);
    const SinkRecord r = {.stream = "s\xc3\xa4",
                          .event = "kill",
                          .id = id,
                          .rev = 3,
                          .json = json,
                          .size = strlen(json)};
    return outbox_add(o, 1, &(OutboxAdd){.record = &r, .key = key, .n = n, .sink = sink}, e);
}

static int rows(Outbox *o, int sink, OutboxRow *row, int max)
{
    int n;
    assert_int_equal(outbox_rows(o, sink, 0, max, row, &n, NULL), 0);
    return n;
}

static void test_kept(void **state)
{
    (void)state;
    int told = 0;
    Outbox *o = opened(&told);
    const int sink[] = {number(o, "one"), number(o, "two")};
    assert_int_not_equal(sink[0], sink[1]);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(add(o, UINT64_MAX - i, i % 2, 2, sink, NULL), 0);
    assert_int_equal(told, 10);
    OutboxRow row[8];
    assert_int_equal(rows(o, sink[0], row, 8), 5);
    outbox_done(o, sink[0], row[0].seq, &go_on);
    outbox_dead(o, sink[0], row[1].seq, 3, "no reason", &go_on);
    outbox_done(o, sink[1], row[0].seq, &go_on);
    outbox_close(o); /* writes what was said */
    o = opened(NULL);
    assert_int_equal(number(o, "two"), sink[1]);
    assert_int_equal(rows(o, sink[0], row, 8), 3);
    assert_int_equal(rows(o, sink[0], row, 2), 2);
    const OutboxSums sums = outbox_sums(o, sink[0]);
    assert_int_equal(sums.waiting, 3);
    assert_int_equal(sums.dead, 1);
    assert_int_equal(outbox_counts(o, 1, sink).rows, 4); /* of the other */
    int64_t seq;
    assert_int_equal(outbox_next(o, sink[0], 1, 0, 100, &seq, NULL), 0);
    assert_int_equal(seq, row[0].seq);
    assert_int_equal(outbox_next(o, sink[0], 1, seq, seq + 1, &seq, NULL), 0);
    assert_int_equal(seq, 0);
    OutboxRecord *r;
    assert_int_equal(outbox_load(o, row[0].seq, &r, NULL), 0);
    assert_true(r->id == UINT64_MAX - 3 && r->rev == 3 && r->added > 0 && !r->state);
    assert_string_equal(r->stream, "s\xc3\xa4");
    assert_string_equal(r->json, "{\"id\":-4}");
    assert_int_equal(r->size, 9);
    heap_free(r);
    assert_int_equal(outbox_load(o, row[0].seq - 2, &r, NULL), 0); /* both have had the first */
    assert_null(r);
    outbox_close(o);
}

/* A record leaves once all have had it; saying it twice does no harm. */
static void test_done_twice(void **state)
{
    (void)state;
    Outbox *const o = opened(NULL);
    const int sink[] = {number(o, "one"), number(o, "two")};
    assert_int_equal(add(o, 1, 1, 2, sink, NULL), 0);
    OutboxRow row[2];
    OutboxRecord *r;
    assert_int_equal(rows(o, sink[0], row, 2), 1);
    for (int i = 0; i < 3; i++)
        outbox_done(o, sink[0], row[0].seq, &go_on);
    outbox_flush(o);
    assert_int_equal(rows(o, sink[0], row + 1, 1), 0);
    assert_int_equal(outbox_load(o, row[0].seq, &r, NULL), 0);
    assert_non_null(r);
    heap_free(r);
    outbox_done(o, sink[1], row[0].seq, &go_on);
    outbox_flush(o);
    assert_int_equal(outbox_load(o, row[0].seq, &r, NULL), 0);
    assert_null(r);
    outbox_close(o);
}

/* The last SINK_DEAD_KEPT stay, and the records of those that go go too. */
static void test_dead_are_bounded(void **state)
{
    (void)state;
    Outbox *o = opened(NULL);
    const int sink = number(o, "one");
    outbox_close(o);
    char text[512];
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    snprintf(text, sizeof text,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
             " INSERT INTO record SELECT i, i, 0, 's', 'e', 0, 1, '{}', 1 FROM n;"
             " INSERT INTO dead SELECT %d, seq, 1, 1, 'why' FROM record",
             SINK_DEAD_KEPT + 500, sink);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    o = opened(NULL);
    assert_int_equal(outbox_sums(o, sink).dead, SINK_DEAD_KEPT + 500);
    OutboxRow row[100];
    for (int i = 0; i < 70; i++)
        assert_int_equal(add(o, (uint64_t)i, 1, 1, &sink, NULL), 0);
    assert_int_equal(rows(o, sink, row, 100), 70);
    for (int i = 0; i < 70; i++)
        outbox_dead(o, sink, row[i].seq, 1, "why", &go_on);
    outbox_flush(o);
    assert_in_range(outbox_sums(o, sink).dead, SINK_DEAD_KEPT, SINK_DEAD_KEPT + 63);
    OutboxRecord *r;
    assert_int_equal(outbox_load(o, 500, &r, NULL), 0);
    assert_null(r);
    assert_int_equal(outbox_load(o, row[0].seq, &r, NULL), 0);
    assert_non_null(r);
    heap_free(r);
    outbox_close(o);
}

/* ---- a full disk ---- */

static void test_full_disk(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    Outbox *const o = opened(NULL);
    const int sink = number(o, "one");
    struct rlimit was;
    getrlimit(RLIMIT_FSIZE, &was);
    for (int i = 0; i < 5; i++)
        assert_int_equal(add(o, (uint64_t)i, 1, 1, &sink, NULL), 0);
    const struct rlimit little = {.rlim_cur = 200000, .rlim_max = was.rlim_max};
    setrlimit(RLIMIT_FSIZE, &little);
    Error e = {0};
    int n = 5, code;
    while ((code = add(o, (uint64_t)n, 1, 1, &sink, &e)) == 0 && n < 1000)
        n++;
    assert_int_equal(code, ERR_IO);
    assert_non_null(strstr(e.message, path));
    OutboxRow row[1000];
    assert_int_equal(rows(o, sink, row, 1000), n); /* all that was taken is there */
    outbox_done(o, sink, row[0].seq, &go_on);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(add(o, 9999, 1, 1, &sink, &e), 0);
    const OutboxCounts c = outbox_counts(o, 1, &sink);
    assert_int_equal(c.added, n + 1);
    assert_int_equal(c.failed, 1);
    assert_true(c.error[0] != '\0' && c.bytes > 0);
    outbox_flush(o);
    assert_int_equal(rows(o, sink, row, 1000), n);
    outbox_close(o);
}

static void write_file(const char *text, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
}

/* ---- a file that goes ---- */

static void wait_for_renewed(Outbox *o, int64_t n)
{
    for (int k = 0; k < 500 && outbox_trouble(o).renewed < n; k++)
        usleep(10000);
    assert_int_equal(outbox_trouble(o).renewed, n);
}

/* Removed while it is in use: all that was in it is in the new one, also for the next process. */
static void test_removed(void **state)
{
    (void)state;
    char name[256];
    Outbox *o = opened(NULL);
    const int sink = number(o, "one");
    OutboxRow row[100];
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 10; i++)
            assert_int_equal(add(o, (uint64_t)i, 1, 1, &sink, NULL), 0);
        static const char *const tail[] = {"", "-wal", "-shm", ".lock"};
        for (int i = 0; i < (round == 1 ? 4 : round == 2 ? 1 : 3); i++) {
            snprintf(name, sizeof name, "%s%s", path, tail[i]);
            unlink(name);
        }
        if (round < 3)
            wait_for_renewed(o, round); /* though nothing is added */
    }
    assert_int_equal(add(o, 99, 1, 1, &sink, NULL), 0);
    wait_for_renewed(o, 3);
    assert_int_equal(rows(o, sink, row, 100), 31);
    for (int i = 1; i < 31; i++)
        assert_true(row[i].seq > row[i - 1].seq);
    assert_false(outbox_trouble(o).displaced);
    outbox_done(o, sink, row[0].seq, &go_on);
    outbox_flush(o);
    outbox_close(o);
    o = opened(NULL);
    assert_int_equal(number(o, "one"), sink);
    assert_int_equal(rows(o, sink, row, 100), 30);
    outbox_close(o);
}

/* What somebody put there is left alone, and records go on; once it is away the outbox has its name
 * again. */
static void test_displaced(void **state)
{
    (void)state;
    char name[256];
    Outbox *o = opened(NULL);
    const int sink = number(o, "one");
    assert_int_equal(add(o, 1, 1, 1, &sink, NULL), 0);
    unlink(path);
    write_file("mine", 4);
    assert_int_equal(add(o, 2, 1, 1, &sink, NULL), 0);
    for (int k = 0; k < 500 && !outbox_trouble(o).displaced; k++)
        usleep(10000);
    const OutboxTrouble t = outbox_trouble(o);
    assert_true(t.displaced);
    assert_non_null(strstr(t.why, "another file stands in its place"));
    OutboxRow row[100];
    assert_int_equal(rows(o, sink, row, 100), 2);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
    snprintf(name, sizeof name, "%s.theirs", path);
    assert_int_equal(rename(path, name), 0);
    wait_for_renewed(o, 1);
    assert_false(outbox_trouble(o).displaced);
    outbox_close(o);
    o = opened(NULL);
    assert_int_equal(rows(o, sink, row, 100), 2);
    outbox_close(o);
}

/* ---- what is refused ---- */

static void refused(int want, const char *what)
{
    Outbox *o;
    Error e = {0};
    assert_int_equal(outbox_open(path, ignore, NULL, &o, &e), want);
    if (!strstr(e.message, what) || !strstr(e.message, folder))
        FAIL_MSG("not about '%s': %s", what, e.message);
}

static void test_not_an_outbox(void **state)
{
    (void)state;
    char junk[8192];
    memset(junk, 'x', sizeof junk);
    write_file(junk, sizeof junk);
    refused(ERR_INVALID, "damaged");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(ERR_INVALID, "not a regular file");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it would wait for who writes */
    alarm(5);
    refused(ERR_INVALID, "not a regular file");
    alarm(0);
    unlink(path);
    strcpy(strrchr(path, '/'), "/none/outbox");
    refused(ERR_IO, "No such file");
    snprintf(path, sizeof path, "%s/outbox", folder);
}

/* Bytes are not what was written. Where a page begins that is seen at once; within texts it may not
 * be, and does no harm. */
static void test_damaged(void **state)
{
    (void)state;
    for (int place = 0; place < 16; place++) {
        Outbox *o = opened(NULL);
        const int sink = number(o, "one");
        for (int i = 0; i < 30; i++)
            assert_int_equal(add(o, (uint64_t)i, (uint64_t)i % 7, 1, &sink, NULL), 0);
        outbox_close(o);
        const int fd = open(path, O_RDWR);
        const off_t size = lseek(fd, 0, SEEK_END);
        char junk[256];
        memset(junk, 0xa5, sizeof junk);
        assert_int_equal(pwrite(fd, junk, sizeof junk,
                                place % 2 ? size * place / 16 : place / 2 % (size / 4096) * 4096),
                         sizeof junk);
        close(fd);
        Error e = {0};
        const int code = outbox_open(path, ignore, NULL, &o, &e);
        if (code != 0) {
            assert_int_equal(code, ERR_INVALID);
            assert_non_null(strstr(e.message, path));
        } else {
            assert_int_equal(place % 2, 1);
            OutboxRow row[100];
            int n;
            (void)outbox_rows(o, sink, 0, 100, row, &n, &e);
            outbox_close(o);
        }
        unlink(path);
    }
}

static void test_two_processes(void **state)
{
    (void)state;
    int ready[2], end[2];
    assert_int_equal(pipe(ready) | pipe(end), 0);
    const pid_t child = fork();
    if (child == 0) {
        Outbox *o;
        char c;
        const int code = outbox_open(path, ignore, NULL, &o, NULL);
        (void)!write(ready[1], code == 0 ? "y" : "n", 1);
        (void)!read(end[0], &c, 1);
        _exit(0); /* as if killed */
    }
    char said, who[32];
    assert_int_equal(read(ready[0], &said, 1), 1);
    assert_int_equal(said, 'y');
    snprintf(who, sizeof who, "process %d has it", (int)child);
    refused(ERR_IO, who);
    close(end[1]);
    close(end[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    outbox_close(opened(NULL));
    close(ready[0]);
    close(ready[1]);
}

/* ---- many at once ---- */

enum { THREADS = 8, EACH = 40 };

typedef struct Adder {
    pthread_t thread;
    Outbox *o;
    int sink, number;
} Adder;

static void *adding(void *arg)
{
    const Adder *const a = arg;
    for (int i = 0; i < EACH; i++)
        if (add(a->o, (uint64_t)(a->number * EACH + i), (uint64_t)a->number, 1, &a->sink, NULL) !=
            0)
            return arg;
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    Outbox *const o = opened(NULL);
    Adder a[THREADS];
    for (int i = 0; i < THREADS; i++) {
        a[i] = (Adder){.o = o, .sink = number(o, "one"), .number = i};
        assert_int_equal(pthread_create(&a[i].thread, NULL, adding, &a[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(a[i].thread, &failed);
        assert_null(failed);
    }
    OutboxRow row[THREADS * EACH + 1];
    const int n = rows(o, a[0].sink, row, THREADS * EACH + 1);
    assert_int_equal(n, THREADS * EACH);
    int next[THREADS] = {0};
    for (int i = 0; i < n; i++) { /* each thread's come in its order */
        OutboxRecord *r;
        assert_int_equal(outbox_load(o, row[i].seq, &r, NULL), 0);
        assert_int_equal(r->id, row[i].key * EACH + (uint64_t)next[row[i].key]++);
        heap_free(r);
    }
    outbox_close(o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_processes),    TEST(test_kept),      TEST(test_done_twice),
        TEST(test_dead_are_bounded), TEST(test_full_disk), TEST(test_not_an_outbox),
        TEST(test_removed), TEST(test_displaced),
        TEST(test_damaged),          TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
