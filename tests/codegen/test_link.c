/* The linker on an object with an import and with a variable: refused, by name. The object is made
 * by the system's compiler where there is one; kernels themselves are linked by every other
 * test. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "codegen/link.h"

static bool compile(const char *source, const char *path)
{
    char command[512];
    snprintf(command, sizeof command, "echo '%s' | cc -O1 -fPIC -xc -c -o %s - 2>/dev/null", source,
             path);
    return system(command) == 0;
}

static void link_source(const char *source, const char *entry, int want, const char *words)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/lathe-link-%d.o", (int)getpid());
    if (!compile(source, path))
        skip();
    Arena *a = arena_new();
    File f;
    Error e = {0};
    assert_int_equal(file_read(a, path, &f, &e), ERR_OK);
    unlink(path);
    Image image;
    assert_int_equal(link_image(a, f.at, f.size, 1, &entry, &image, &e), want);
    if (want == ERR_OK) {
        assert_string_equal(image.entry[0].name, entry);
        assert_true(image.entry[0].offset < image.size);
    } else if (!strstr(e.message, words)) {
        FAIL_MSG("'%s' is not in: %s", words, e.message);
    }
    arena_free(a);
}

static void plain(void **state)
{
    (void)state;
    link_source("int f(int a) { return a * 3; }", "f", ERR_OK, NULL);
}

static void imports_are_refused(void **state)
{
    (void)state;
    link_source("double sin(double); double f(double a) { return sin(a) + 1; }", "f", ERR_INTERNAL,
                "'sin' is not defined");
}

static void variables_are_refused(void **state)
{
    (void)state;
    link_source("static int n; int f(int a) { return n += a; }", "f", ERR_INTERNAL, "variable");
}

static void missing_entries_are_named(void **state)
{
    (void)state;
    link_source("int f(int a) { return a * 3; }", "g", ERR_INTERNAL, "'g'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(imports_are_refused),
        cmocka_unit_test(variables_are_refused),
        cmocka_unit_test(missing_entries_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
