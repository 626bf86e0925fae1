/* Regions moved and added in the text of a watch: nothing else of it changes. */
#include "check.h"

#include "base/str.h"
#include "watch/config.h"
#include "watch/region_edit.h"

#define REST "signal:\n  a: {from: motion, region: a}\nevent: {e: {when: a}}\n"

#define REST2 "signal:\n  a: {from: motion}\nevent: {e: {when: a}}\n"

static void expect(const char *text, const char *region, Box box, const char *want)
{
    Arena *const a = arena_new();
    const char *out;
    Error e;
    if (region_edit_text(a, "/nowhere/w.yaml", text, strlen(text), region, box, &out, &e) != 0)
        FAIL_MSG("%s", e.message);
    if (strcmp(out, want) != 0)
        FAIL_MSG("got:\n%s\nwanted:\n%s", out, want);
    arena_free(a);
}

static void expect_error(const char *text, const char *region, int code, const char *why)
{
    Arena *const a = arena_new();
    const char *out;
    Error e;
    assert_int_equal(region_edit_text(a, "/nowhere/w.yaml", text, strlen(text), region,
                                      (Box){1, 2, 3, 4}, &out, &e),
                     code);
    if (!strstr(e.message, why))
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

static void test_moved(void **state)
{
    (void)state;
    const Box b = {10, 20.5f, 300, 7};
    expect("region: {a: [1, 2, 3, 4], bb: [5,6,7,8]} # mine\n" REST, "a", b,
           "region: {a: [10, 20.5, 300, 7], bb: [5,6,7,8]} # mine\n" REST);
    expect("region: {a: [1, 2, 3, 4], bb: [5,6,7,8]} # mine\n" REST, "bb", b,
           "region: {a: [1, 2, 3, 4], bb: [10,20.5,300,7]} # mine\n" REST);
    expect(
        "# caf\xc3\xa9\nregion:\n  \"a\" :   [ 1 ,2,  3.50,4 ]  # why\n  b: [1,1,1,1]\n" REST, "a",
        b,
        "# caf\xc3\xa9\nregion:\n  \"a\" :   [ 10 ,20.5,  300,7 ]  # why\n  b: [1,1,1,1]\n" REST);
    expect("region:\n  a:\n    - 1\n    - 2\n    - 3 # wide\n    - 4\n" REST, "a", b,
           "region:\n  a:\n    - 10\n    - 20.5\n    - 300 # wide\n    - 7\n" REST);
    expect("region: {\xc3\xa9: [1, 2, 3, 4], a: [1, 2, 3, 4]}\n" REST, "a", b,
           "region: {\xc3\xa9: [1, 2, 3, 4], a: [10, 20.5, 300, 7]}\n" REST);
}

static void test_added(void **state)
{
    (void)state;
    const Box b = {1, 2, 3, 4};
    expect("region:\n    a: [1, 1, 1, 1]\n" REST, "new", b,
           "region:\n    new: [1, 2, 3, 4]\n    a: [1, 1, 1, 1]\n" REST);
    expect("region: {a: [1, 1, 1, 1]}\n" REST, "new", b,
           "region: {new: [1, 2, 3, 4], a: [1, 1, 1, 1]}\n" REST);
    expect("signal: {a: {from: motion}}", "new", b,
           "signal: {a: {from: motion}}\nregion:\n  new: [1, 2, 3, 4]\n");
    expect("region: {}\n" REST2, "a", b, "region: {a: [1, 2, 3, 4]}\n" REST2);
    expect("region: { # none\n}\n" REST2, "a", b, "region: {a: [1, 2, 3, 4] # none\n}\n" REST2);
    expect("region:\n" REST2, "a", b, "region:\n  a: [1, 2, 3, 4]\n" REST2);
    expect(REST2 "region:", "a", b, REST2 "region:\n  a: [1, 2, 3, 4]");
    expect("region:   # none yet\n" REST2, "a", b,
           "region:   # none yet\n  a: [1, 2, 3, 4]\n" REST2);
    expect("region: {\n  a: [1, 1, 1, 1],\n}\n" REST, "b", b,
           "region: {\n  b: [1, 2, 3, 4],\n  a: [1, 1, 1, 1],\n}\n" REST);
    expect("region: {a: [1, 1, 1, 1],}\n" REST, "b", b,
           "region: {b: [1, 2, 3, 4], a: [1, 1, 1, 1],}\n" REST);
    expect("region: {\n  a: [1, 1, 1, 1]\n}\n" REST, "b", b,
           "region: {\n  b: [1, 2, 3, 4],\n  a: [1, 1, 1, 1]\n}\n" REST);
    expect("region: {a: [1, 1, 1, 1,],}\n" REST, "a", b, "region: {a: [1, 2, 3, 4,],}\n" REST);
}

#define CRLF "signal:\r\n  a: {from: motion}\r\nevent: {e: {when: a}}\r\n"

/* Lines that are added end as the others do. */
static void test_line_ends(void **state)
{
    (void)state;
    const Box b = {1, 2, 3, 4};
    expect(CRLF, "a", b, CRLF "region:\r\n  a: [1, 2, 3, 4]\r\n");
    expect("region:\r\n  a: [1, 1, 1, 1]\r\n" CRLF, "b", b,
           "region:\r\n  b: [1, 2, 3, 4]\r\n  a: [1, 1, 1, 1]\r\n" CRLF);
    expect("region:\r\n  a: [1, 1, 1, 1]\r\n" CRLF, "a", b,
           "region:\r\n  a: [1, 2, 3, 4]\r\n" CRLF);
    expect("region:\r\n" CRLF, "a", b, "region:\r\n  a: [1, 2, 3, 4]\r\n" CRLF);
    expect("region: {\r\n  a: [1, 1, 1, 1],\r\n}\r\n" CRLF, "b", b,
           "region: {\r\n  b: [1, 2, 3, 4],\r\n  a: [1, 1, 1, 1],\r\n}\r\n" CRLF);
    expect(REST2 "region:\r\n", "a", b, REST2 "region:\n  a: [1, 2, 3, 4]\r\n");
}

static void test_refused(void **state)
{
    (void)state;
    /* wrong as it is */
    expect_error("region: {a: [1, 1, 1]}\n" REST, "a", ERR_INVALID, "w.yaml:1:13");
    /* both would move */
    expect_error("region: {a: &x [1, 1, 1, 1], b: *x}\n" REST, "b", ERR_UNSUPPORTED, "by hand");
    expect_error("region: {a: [\"1\", 1, 1, 1]}\n" REST, "a", ERR_INVALID, "w.yaml");
    expect_error("region: {a: [1, 1, 1, 1]}\n" REST, "b: {}", ERR_INVALID, "no name of a region");
    expect_error("region: {a: [1, 1, 1, 1]}\n" REST, "", ERR_INVALID, "no name of a region");
    expect_error("region: &x {}\n" REST2, "a", ERR_UNSUPPORTED, "by hand");
    expect_error("signal: {a: {from: motion}}\n...\n", "a", ERR_UNSUPPORTED, "by hand");
    expect_error("watch: [\n", "a", ERR_INVALID, "w.yaml");
}

/* Random layouts: what comes out is what went in but for the numbers. */
static void test_random(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        Arena *const a = arena_new();
        Str text = str_new(a), want = str_new(a);
        const bool flow = rand() % 2;
        const int n = 1 + rand() % 5, which = rand() % n;
        Str *const both[] = {&text, &want};
        for (int k = 0; k < 2; k++)
            str_add(both[k], flow ? "region: {" : "region:\n");
        for (int i = 0; i < n; i++) {
            const int pad = rand() % 3, number = rand() % 500;
            for (int k = 0; k < 2; k++) {
                const char *const comma = i > 0 && flow ? ", " : "";
                if (k == 1 && i == which)
                    str_addf(both[k], "%s%sr%d:%*s [7,%*s 8.25, 9, 10]", flow ? comma : "  ", "", i,
                             pad, "", pad, "");
                else
                    str_addf(both[k], "%s%sr%d:%*s [%d,%*s 2, 1e2, 4]", flow ? comma : "  ", "", i,
                             pad, "", number, pad, "");
                str_add(both[k], flow ? "" : " # \xe2\x82\xac\n");
            }
        }
        for (int k = 0; k < 2; k++)
            str_add(both[k],
                    flow ? "}\nsignal: {a: {from: motion}}\n" : "signal: {a: {from: motion}}\n");
        expect(str_text(&text), arena_printf(a, "r%d", which), (Box){7, 8.25f, 9, 10},
               str_text(&want));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_moved), cmocka_unit_test(test_added),
                                       cmocka_unit_test(test_line_ends),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
