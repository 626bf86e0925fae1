/* Files: write, map, read, refusals, paths. */
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
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
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_time_and_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
