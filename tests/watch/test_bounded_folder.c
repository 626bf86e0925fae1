/* A folder that is kept below so many bytes: what goes and what stays, by several threads at once;
 * a disk that does not answer holds up who removes a file, and nobody else. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "watch/bounded_folder.h"

enum { SIZE = 10, PATH = 300, DEADLINE = 60 };

/* ---- a disk that hangs: `unlink` as the library calls it ---- */

static atomic_bool hanging;
static atomic_int waiting;

static void wait_for(atomic_int *what)
{
    const time_t end = time(NULL) + DEADLINE;
    for (; atomic_load(what) == 0; sched_yield())
        if (time(NULL) > end)
            FAIL_MSG("nothing came of it in %d s", DEADLINE);
}

int unlink(const char *path)
{
    if (atomic_load(&hanging)) {
        const time_t end = time(NULL) + DEADLINE;
        atomic_store(&waiting, 1);
        while (atomic_load(&hanging) && time(NULL) <= end)
            sched_yield();
        atomic_store(&hanging, false); /* given up: the test fails */
    }
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- a folder of names of two digits ---- */

static bool two_digits(const char *name)
{
    return strlen(name) == 2 && strspn(name, "0123456789") == 2;
}

static const FolderKind kind = {.what = "numbers", .ending = {".a", ".b"}, .is_name = two_digits};

typedef struct Made {
    char path[64];
    BoundedFolder *folder;
} Made;

static void write_size(const Made *m, const char *name, const char *ending, int size)
{
    char path[PATH];
    Error e;
    const char bytes[100] = {0};
    snprintf(path, sizeof path, "%s/%s%s", m->path, name, ending);
    assert_int_equal(file_write(path, bytes, (size_t)size, &e), 0);
}

static void open_folder(Made *m, int64_t most)
{
    Error e;
    if (folder_open(m->path, most, &kind, &m->folder, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static Made make(int64_t most)
{
    Made m = {.path = "/tmp/lathe_folder_XXXXXX"};
    assert_non_null(mkdtemp(m.path));
    open_folder(&m, most);
    return m;
}

static void add(const Made *m, int number)
{
    char name[8];
    snprintf(name, sizeof name, "%02d", number % 100);
    write_size(m, name, ".a", SIZE);
    folder_add(m->folder, name);
}

static bool is_there(const Made *m, const char *file)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", m->path, file);
    return file_exists(path);
}

static void done(Made *m)
{
    folder_close(m->folder);
    DIR *const d = opendir(m->path);
    assert_non_null(d);
    for (const struct dirent *one; (one = readdir(d)) != NULL;)
        if (one->d_name[0] != '.')
            unlinkat(dirfd(d), one->d_name, 0);
    closedir(d);
    rmdir(m->path);
}

/* ---- the tests ---- */

static void the_oldest_go(void **state)
{
    (void)state;
    Made m = make(3 * SIZE);
    for (int i = 0; i < 3; i++)
        add(&m, i);
    add(&m, 0); /* written anew: 1 is the oldest now */
    add(&m, 3);
    assert_true(folder_has(m.folder, "00"));
    assert_false(folder_has(m.folder, "01"));
    assert_true(is_there(&m, "00.a"));
    assert_false(is_there(&m, "01.a"));
    write_size(&m, "50", ".a", 40); /* more than there is room for: all others go */
    write_size(&m, "50", ".b", 1);
    folder_add(m.folder, "50");
    const FolderCounts c = folder_counts(m.folder);
    assert_int_equal(c.files, 1);
    assert_int_equal(c.bytes, 41);
    assert_int_equal(c.removed, 4);
    done(&m);
}

static void *add_one_more(void *arg)
{
    add(arg, 1);
    return NULL;
}

static void a_disk_that_hangs(void **state)
{
    (void)state;
    Made m = make(SIZE);
    add(&m, 0);
    atomic_store(&hanging, true);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, add_one_more, &m), 0);
    wait_for(&waiting);
    /* all of these answer while "00" is being removed */
    assert_int_equal(folder_counts(m.folder).files, 1);
    assert_true(folder_has(m.folder, "01"));
    assert_false(folder_has(m.folder, "00"));
    assert_true(atomic_load(&hanging));
    atomic_store(&hanging, false);
    pthread_join(t, NULL);
    assert_false(is_there(&m, "00.a"));
    done(&m);
}

typedef struct Adder {
    const Made *m;
    int first;
} Adder;

static void *add_many(void *arg)
{
    const Adder *const a = arg;
    for (int i = 0; i < 25; i++)
        add(a->m, a->first + i);
    return NULL;
}

/* Whatever the order, what counts is what is there. */
static void many_at_once(void **state)
{
    (void)state;
    Made m = make(30 * SIZE);
    pthread_t t[4];
    Adder adder[4];
    for (int i = 0; i < 4; i++) {
        adder[i] = (Adder){&m, 25 * i};
        assert_int_equal(pthread_create(&t[i], NULL, add_many, &adder[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    const FolderCounts c = folder_counts(m.folder);
    assert_int_equal(c.files, 30);
    assert_int_equal(c.bytes, 30 * SIZE);
    assert_int_equal(c.removed, 70);
    int there = 0;
    for (int i = 0; i < 100; i++) {
        char name[8], file[16];
        snprintf(name, sizeof name, "%02d", i);
        snprintf(file, sizeof file, "%s.a", name);
        assert_int_equal(folder_has(m.folder, name), is_there(&m, file));
        there += is_there(&m, file);
    }
    assert_int_equal(there, 30);
    done(&m);
}

/* What an earlier run left counts; what has lost its first file goes; others' files stay. */
static void opened_anew(void **state)
{
    (void)state;
    Made m = make(10 * SIZE);
    add(&m, 7);
    write_size(&m, "08", ".b", SIZE);
    write_size(&m, "mine", ".a", SIZE);
    folder_close(m.folder);
    open_folder(&m, 10 * SIZE);
    assert_int_equal(folder_counts(m.folder).files, 1);
    assert_int_equal(folder_counts(m.folder).bytes, SIZE);
    assert_false(is_there(&m, "08.b"));
    assert_true(is_there(&m, "mine.a"));
    done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_go),
        cmocka_unit_test(a_disk_that_hangs),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(opened_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
