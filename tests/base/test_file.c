/* Files: write, map, read, refusals, paths. */
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/log.h"

static void test_file(void **state)
{
    (void)state;
    Arena *a = arena_new();
    char dir[] = "/tmp/lathe-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *deep = path_join(a, dir, "a/b/c");
    Error e;
    assert_int_equal(file_make_dirs(deep, &e), 0);
    assert_int_equal(file_make_dirs(deep, &e), 0);
    const char *path = path_join(a, deep, "f");
    assert_false(file_exists(path));
    assert_int_equal(file_write(path, "hello", 5, &e), 0);
    assert_true(file_exists(path));
    const char *linked = path_join(a, dir, "linked");
    assert_int_equal(symlink(path, linked), 0);
    assert_true(file_same(path, linked));
    assert_false(file_same(path, dir));
    assert_false(file_same("/nowhere", "/nowhere"));
    assert_int_equal(unlink(linked), 0);
    File f;
    assert_int_equal(file_map(a, path, &f, &e), 0);
    assert_int_equal(f.size, 5);
    assert_memory_equal(f.at, "hello", 5);
    assert_int_equal(file_write(path, "changed!", 8, &e), 0);
    assert_memory_equal(f.at, "hello", 5); /* the old file lives on under its mapping */
    assert_int_equal(file_read(a, path, &f, &e), 0);
    assert_int_equal(f.size, 8);
    assert_string_equal((const char *)f.at, "changed!");
    assert_int_equal(file_write(path, "", 0, &e), 0);
    assert_int_equal(file_map(a, path, &f, &e), 0);
    assert_int_equal(f.size, 0);
    assert_non_null(f.at);

    assert_int_equal(file_map(a, deep, &f, &e), ERR_IO); /* a directory */
    const char *fifo = path_join(a, dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read(a, fifo, &f, &e), ERR_IO);
    assert_int_equal(file_map(a, path_join(a, dir, "none"), &f, &e), ERR_IO);
    assert_non_null(strstr(e.message, "none"));
    assert_int_equal(file_make_dirs(path_join(a, path, "x"), &e), ERR_IO);
    assert_int_equal(file_write(path_join(a, dir, "no/f"), "x", 1, &e), ERR_IO);

    unlink(path);
    unlink(fifo);
    rmdir(deep);
    rmdir(path_join(a, dir, "a/b"));
    rmdir(path_join(a, dir, "a"));
    assert_int_equal(rmdir(dir), 0); /* no temporary file was left */
    arena_free(a);
}

/* More than goes back at once, from an odd place in the memory. */
static void test_spent(void **state)
{
    (void)state;
    const size_t room = (size_t)9 << 20, from = 12345, size = room - 23456;
    char path[] = "/tmp/lathe-test-XXXXXX";
    Arena *a = arena_new();
    uint8_t *const all = heap_alloc(room, 4096), *const was = heap_alloc(room, 4096);
    assert_true(all && was);
    for (size_t i = 0; i < room; i++)
        was[i] = all[i] = (uint8_t)(1 + i * 2654435761u % 251);
    const FilePart part[2] = {{"head", 4}, {all + from, size}};
    File f;
    Error e;
    close(mkstemp(path));
    assert_int_equal(file_write_spent(path, 2, part, &e), 0);
    assert_int_equal(file_map(a, path, &f, &e), 0);
    assert_int_equal(f.size, 4 + size);
    assert_memory_equal(f.at, "head", 4);
    assert_memory_equal(f.at + 4, was + from, size);
    assert_int_equal(all[room / 2], 0); /* went back */
    assert_memory_equal(all, was, from);
    assert_memory_equal(all + from + size, was + from + size, room - from - size);
    heap_free(all);
    heap_free(was);
    unlink(path);
    arena_free(a);
}

static void expect_text(Arena *a, const char *path, const char *text)
{
    File f;
    Error e;
    assert_int_equal(file_read(a, path, &f, &e), 0);
    assert_string_equal((const char *)f.at, text);
}

/* A link's target is replaced, not the link, whose text is relative to where it lies; it may be
 * there or not. */
static void test_links(void **state)
{
    (void)state;
    Arena *a = arena_new();
    char dir[] = "/tmp/lathe-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *sub = path_join(a, dir, "sub"), *target = path_join(a, dir, "target");
    const char *first = path_join(a, dir, "first"), *second = path_join(a, sub, "second");
    struct stat st;
    Error e;
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(symlink("sub/second", first), 0);
    assert_int_equal(symlink("../target", second), 0);
    assert_int_equal(file_write(first, "made", 4, &e), 0);
    expect_text(a, target, "made");
    assert_int_equal(chmod(target, 0600), 0);
    assert_int_equal(file_write(first, "again", 5, &e), 0);
    expect_text(a, target, "again");
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    if (geteuid() == 0) { /* who may give files away leaves them to their owner */
        assert_int_equal(chown(target, 1234, 2345), 0);
        assert_int_equal(file_write(first, "again", 5, &e), 0);
        assert_int_equal(stat(target, &st), 0);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 2345);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(lstat(k ? second : first, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
    }
    unlink(target);
    unlink(second);
    assert_int_equal(symlink("../first", second), 0); /* around in a circle */
    assert_int_equal(file_write(first, "x", 1, &e), ERR_IO);
    assert_int_equal(file_write(sub, "x", 1, &e), ERR_IO);
    assert_non_null(strstr(e.message, "Is a directory"));
    unlink(first);
    unlink(second);
    rmdir(sub);
    assert_int_equal(rmdir(dir), 0); /* no temporary file was left */
    arena_free(a);
}

/* What is no regular file is written into and stays what it is. */
static void test_devices(void **state)
{
    (void)state;
    Arena *a = arena_new();
    char dir[] = "/tmp/lathe-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *fifo = path_join(a, dir, "fifo"), *full = path_join(a, dir, "full");
    struct stat st;
    Error e;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const int reader = open(fifo, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(file_write(fifo, "through", 7, &e), 0);
    char got[16] = "";
    assert_int_equal(read(reader, got, sizeof got), 7);
    assert_string_equal(got, "through");
    close(reader);
    assert_int_equal(lstat(fifo, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    unlink(fifo);
    if (mknod(full, S_IFCHR | 0600, makedev(1, 7)) == 0) { /* only root may */
        const int writable = open(full, O_WRONLY); /* not on a file system mounted with nodev */
        if (writable >= 0) {
            close(writable);
            assert_int_equal(file_write(full, "x", 1, &e), ERR_IO);
            assert_non_null(strstr(e.message, "No space left"));
        }
        assert_int_equal(lstat(full, &st), 0);
        assert_true(S_ISCHR(st.st_mode));
        unlink(full);
    }
    assert_int_equal(rmdir(dir), 0);
    arena_free(a);
}

static void test_paths(void **state)
{
    (void)state;
    Arena *a = arena_new();
    assert_string_equal(path_dir(a, "x/y/z"), "x/y");
    assert_string_equal(path_dir(a, "z"), ".");
    assert_string_equal(path_dir(a, "/z"), "/");
    assert_string_equal(path_join(a, "x", "y"), "x/y");
    assert_string_equal(path_join(a, "x/", "y"), "x/y");
    assert_string_equal(path_join(a, "x", "/y"), "/y");
    arena_free(a);
}

static void test_time_and_log(void **state)
{
    (void)state;
    const double t = time_now();
    usleep(2000);
    assert_true(time_now() - t >= 0.002);
    setenv("LATHE_LOG", "2", 1);
    assert_int_equal(log_level(), 2);
    unsetenv("LATHE_LOG");
    assert_int_equal(log_level(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_spent),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_time_and_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
