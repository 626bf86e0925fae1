/* JSONL sinks, and what all sinks share: lists that change, who wants what, what is refused. */
#include "check.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sinks/records.h"
#include "sinks/scratch.h"

static SinkSpec lines(const char *name, const char *path)
{
    return (SinkSpec){.name = name, .kind = SINK_JSONL, .url = path};
}

/* Every record of [first, first+n) is in one of the files, once, in order. */
static void files_have(int nfile, char *const *file, int n)
{
    Arrivals *const a = arrivals_new();
    bool sent[RECORDS_MAX] = {0};
    int twice;
    for (int i = 0; i < n; i++)
        sent[i] = true;
    for (int i = 0; i < nfile; i++)
        arrivals_read(a, file[i]);
    const char *const wrong = arrivals_wrong(a, sent, n, &twice);
    if (wrong)
        FAIL_MSG("%s", wrong);
    assert_int_equal(twice, 0);
    assert_int_equal(a->n, n);
    arrivals_free(a);
}

static void file_has(const char *path, int n)
{
    files_have(1, (char *const[]){(char *)(uintptr_t)path}, n);
}

static void test_lines(void **state)
{
    (void)state;
    const SinkSpec spec = lines("file", scratch_path("new/folder/events.jsonl"));
    Sinks *s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 200);
    sinks_close(s, 5000000);
    s = scratch_sinks(1, &spec);
    scratch_add(s, 200, 50);
    sinks_close(s, 5000000);
    file_has(spec.url, 250);
}

static void test_rotates(void **state)
{
    (void)state;
    SinkSpec spec = lines("file", scratch_path("events.jsonl"));
    spec.rotate = 4000;
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 100);
    sinks_close(s, 5000000);
    glob_t found;
    char pattern[256];
    snprintf(pattern, sizeof pattern, "%s*", spec.url);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 5);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        assert_int_equal(stat(found.gl_pathv[i], &st), 0);
        assert_in_range(st.st_size, 1, spec.rotate);
    }
    Arrivals *const a = arrivals_new();
    for (size_t i = 0; i < found.gl_pathc; i++)
        arrivals_read(a, found.gl_pathv[i]);
    assert_int_equal(a->n, 100);
    assert_int_equal(a->unknown, 0);
    assert_true(arrivals_wait(a, 0, 100, 0));
    arrivals_free(a);
    globfree(&found);
}

/* Who else rotates has taken the file away: a new one is begun. */
static void test_moved_away(void **state)
{
    (void)state;
    const SinkSpec spec = lines("file", scratch_path("events.jsonl"));
    char *const old = strdup(scratch_path("events.old"));
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 20);
    while (sinks_counts(s, 0).waiting > 0)
        usleep(1000);
    assert_int_equal(rename(spec.url, old), 0);
    scratch_add(s, 20, 20);
    sinks_close(s, 5000000);
    file_has(old, 20);
    files_have(2, (char *const[]){old, (char *)(uintptr_t)spec.url}, 40);
    free(old);
}

/* A line that a crash cut off is ended, and its record comes whole. */
static void test_torn_line(void **state)
{
    (void)state;
    const SinkSpec spec = lines("file", scratch_path("events.jsonl"));
    const int fd = open(spec.url, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "{\"v\":1,", 7), 7);
    close(fd);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 10);
    sinks_close(s, 5000000);
    Arrivals *const a = arrivals_new();
    arrivals_read(a, spec.url);
    assert_int_equal(a->unknown, 0);
    assert_int_equal(a->n, 10);
    assert_true(arrivals_wait(a, 0, 10, 0));
    arrivals_free(a);
}

/* The file's disk is full, and then it is not. (The outbox stays below the limit.) */
static void test_full_disk(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    const SinkSpec spec = lines("file", scratch_path("events.jsonl"));
    const int fd = open(spec.url, O_WRONLY | O_CREAT, 0600);
    const off_t limit = 4 << 20;
    assert_int_equal(ftruncate(fd, limit - 301) | (pwrite(fd, "\n", 1, limit - 302) != 1), 0);
    assert_int_equal(pwrite(fd, "\n", 1, limit - 302), 1);
    close(fd);
    struct rlimit was;
    getrlimit(RLIMIT_FSIZE, &was);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = (rlim_t)limit, .rlim_max = was.rlim_max});
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 40);
    for (int i = 0; i < 200 && sinks_counts(s, 0).failures == 0; i++)
        usleep(10000);
    const SinkCounts c = sinks_counts(s, 0);
    assert_true(c.failures > 0 && c.waiting >= 35 && c.error[0]); /* there was room for three */
    struct stat st;
    assert_int_equal(stat(spec.url, &st), 0);
    assert_true(st.st_size <= limit);
    char last;
    const int in = open(spec.url, O_RDONLY);
    assert_int_equal(pread(in, &last, 1, st.st_size - 1), 1);
    assert_int_equal(last, '\n'); /* no half line */
    close(in);
    setrlimit(RLIMIT_FSIZE, &was);
    sinks_close(s, 10000000);
    Arrivals *const a = arrivals_new();
    arrivals_read(a, spec.url);
    assert_true(arrivals_wait(a, 0, 40, 0));
    arrivals_free(a);
}

/* ---- lists of sinks ---- */

static void wait_empty(Sinks *s, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 5000 && sinks_counts(s, i).waiting > 0; k++)
            usleep(1000);
}

static void test_who_wants_what(void **state)
{
    (void)state;
    const char *const some[] = {"kill_1", "*_3"};
    SinkSpec spec[] = {lines("all", scratch_path("all")), lines("some", scratch_path("some")),
                       lines("severe", scratch_path("severe"))};
    spec[1].event = some;
    spec[1].nevent = 2;
    spec[2].min_severity = 2;
    Sinks *const s = scratch_sinks(3, spec);
    scratch_add(s, 0, 50);
    wait_empty(s, 3);
    assert_int_equal(sinks_counts(s, 0).delivered, 50);
    assert_int_equal(sinks_counts(s, 1).delivered, 20);
    assert_int_equal(sinks_counts(s, 2).delivered, 0);
    assert_int_equal(sinks_outbox(s).added, 50);
    sinks_close(s, 0);
}

static void test_change(void **state)
{
    (void)state;
    SinkSpec spec[] = {lines("a", scratch_path("a")), lines("b", scratch_path("b")),
                       lines("c", "/proc/none/c")};
    Sinks *s = scratch_sinks(3, spec);
    Error e = {0};
    scratch_add(s, 0, 30);
    wait_empty(s, 2);
    assert_int_equal(sinks_counts(s, 2).waiting, 30);
    /* a as it was, b gone, c elsewhere: what waited for it goes there */
    SinkSpec other[] = {lines("c", scratch_path("c")), spec[0]};
    assert_int_equal(sinks_change(s, 2, other, &e), 0);
    assert_int_equal(sinks_counts(s, 1).delivered, 30); /* of a, undisturbed: its counts go on */
    scratch_add(s, 30, 30);
    wait_empty(s, 2);
    file_has(spec[0].url, 60);
    file_has(spec[1].url, 30);
    file_has(other[0].url, 60);
    /* what is wrong changes nothing */
    SinkSpec bad[] = {spec[0], lines("x", "http://127.0.0.1/")};
    assert_int_equal(sinks_change(s, 2, bad, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "sink x"));
    const SinkSpec twice[] = {spec[0], spec[0]};
    assert_int_equal(sinks_change(s, 2, twice, &e), ERR_INVALID);
    scratch_add(s, 60, 5);
    wait_empty(s, 2);
    file_has(spec[0].url, 65);
    sinks_close(s, 1000000);
}

/* Rows of a sink that is not named any more stay, and go on when it comes back. */
static void test_comes_back(void **state)
{
    (void)state;
    SinkSpec spec = lines("away", "/proc/none/x");
    Sinks *s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 10);
    sinks_close(s, 0);
    s = scratch_sinks(0, NULL);
    assert_int_equal(sinks_outbox(s).rows, 10);
    sinks_close(s, 0);
    spec.url = scratch_path("there");
    s = scratch_sinks(1, &spec);
    assert_int_equal(sinks_outbox(s).rows, 0);
    sinks_close(s, 5000000);
    file_has(spec.url, 10);
}

static void test_refused(void **state)
{
    (void)state;
    const SinkSpec bad[] = {
        {.name = "", .kind = SINK_JSONL, .url = "x"},
        {.name = "a", .kind = SINK_JSONL, .url = ""},
        {.name = "a", .kind = SINK_JSONL, .url = "http://x/"},
        {.name = "a", .kind = SINK_WEBHOOK, .url = "ftp://x/"},
        {.name = "a", .kind = SINK_WEBHOOK, .url = "nothing"},
        {.name = "a", .kind = SINK_MQTT, .url = "http://x/"},
        {.name = "a", .kind = SINK_MQTT, .url = "mqtt://x/a/+/b"},
        {.name = "a", .kind = SINK_NATS, .url = "nats://x/a.>"},
        {.name = "a", .kind = SINK_NATS, .url = "mqtt://x/a"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Sinks *s;
        Error e = {0};
        const int code = sinks_open(scratch_path("outbox"), 1, &bad[i], &s, &e);
        if (sink_built(bad[i].kind))
            assert_int_equal(code, ERR_INVALID);
        else
            assert_int_equal(code, ERR_UNSUPPORTED);
        assert_true(e.message[0] != '\0');
    }
    assert_false(file_exists(scratch_path("outbox"))); /* specs are looked at first */
}

static void test_large_record(void **state)
{
    (void)state;
    const SinkSpec spec = lines("file", scratch_path("x"));
    Sinks *const s = scratch_sinks(1, &spec);
    char *const text = calloc(1, SINK_MAX_RECORD + 1);
    memset(text, 'x', SINK_MAX_RECORD + 1);
    SinkRecord r = {.stream = "s", .event = "e", .json = text, .size = SINK_MAX_RECORD + 1};
    Error e;
    assert_int_equal(sinks_add(s, 1, &r, &e), ERR_INVALID);
    r.size--;
    assert_int_equal(sinks_add(s, 1, &r, &e), 0);
    sinks_close(s, 5000000);
    struct stat st;
    assert_int_equal(stat(spec.url, &st), 0);
    assert_int_equal(st.st_size, SINK_MAX_RECORD + 1);
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines),        TEST(test_rotates),    TEST(test_moved_away),
        TEST(test_torn_line),    TEST(test_full_disk),  TEST(test_who_wants_what),
        TEST(test_change),       TEST(test_comes_back), TEST(test_refused),
        TEST(test_large_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
