/* Heads of requests: what is read, what is refused, chunks however they are cut. */
#include "check.h"

#include "base/str.h"
#include "net/http_head.h"

typedef struct Case {
    const char *text;
    int status; /* 0: fine */
    const char *path, *query;
} Case;

static int parse(Arena *a, const char *text, HttpHead *out)
{
    const char *why = NULL;
    assert_int_equal(http_head_size(text, strlen(text)), strlen(text));
    const int status = http_head_parse(a, text, strlen(text), out, &why);
    assert_true(status == 0 || why != NULL);
    return status;
}

static void test_targets(void **state)
{
    (void)state;
    static const Case row[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/", ""},
        {"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/a", ""},
        {"GET /a%20b/%c3%a4?x=%41&y HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/a b/\xc3\xa4", "x=%41&y"},
        {"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/b", ""},
        {"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/etc/passwd", ""},
        {"GET /a/%2e%2e/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/b", ""},
        {"GET /a/./b/. HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/a/b/", ""},
        {"GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/", ""},
        {"GET /..a/...b HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/..a/...b", ""},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "*", ""},
        {"GET / HTTP/1.0\r\n\r\n", 0, "/", ""},
        {"GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET /a%0ab HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, NULL, NULL},
        {"GET /\r\nHost: a\r\n\r\n", 400, NULL, NULL},
        {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        Arena *const a = arena_new();
        HttpHead h;
        if (parse(a, row[i].text, &h) != row[i].status)
            FAIL_MSG("case %zu: not %d", i, row[i].status);
        if (row[i].status == 0) {
            assert_string_equal(h.path, row[i].path);
            assert_string_equal(h.query, row[i].query);
        }
        arena_free(a);
    }
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int status;
        int64_t length;
        bool keep;
    } row[] = {
        {"Host: a\r\n", 0, 0, true},
        {"Host: a\r\nConnection: Close\r\n", 0, 0, false},
        {"Host: a\r\nConnection: x, close\r\n", 0, 0, false},
        {"Host:a\r\nContent-Length:  12 \r\n", 0, 12, true},
        {"hOST: a\r\ntransfer-ENCODING: Chunked\r\n", 0, -1, true},
        {"", 400, 0, 0}, /* no Host */
        {"Host: a\r\nHost: b\r\n", 400, 0, 0},
        {"Host : a\r\n", 400, 0, 0},
        {"Host: a\r\n folded\r\n", 400, 0, 0},
        {"Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, 0,
         0}, /* request smuggling */
        {"Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", 400, 0, 0},
        {"Host: a\r\nContent-Length: +1\r\n", 400, 0, 0},
        {"Host: a\r\nContent-Length: 1, 1\r\n", 400, 0, 0},
        {"Host: a\r\nContent-Length: 99999999999999999999\r\n", 400, 0, 0},
        {"Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501, 0, 0},
        {"Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501, 0, 0},
        {"Host: a\r\nX: \x01\r\n", 400, 0, 0},
        {"Host: a\r\nX\r\n", 400, 0, 0},
        {"Host: a\r\nX: 1\nY: 2\r\n", 400, 0, 0}, /* LF alone */
        {"Host: a\r\nExpect: more\r\n", 417, 0, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        Arena *const a = arena_new();
        HttpHead h;
        if (parse(a, arena_printf(a, "POST /x HTTP/1.1\r\n%s\r\n", row[i].lines), &h) !=
            row[i].status)
            FAIL_MSG("case %zu: not %d", i, row[i].status);
        if (row[i].status == 0) {
            assert_int_equal(h.length, row[i].length);
            assert_int_equal(h.keep_alive, row[i].keep);
            assert_string_equal(http_header(&h, "host"), "a");
            assert_null(http_header(&h, "nothing"));
        }
        arena_free(a);
    }
}

static void test_many_headers(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Str s = str_new(a);
    str_add(&s, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_MAX_HEADERS; i++)
        str_addf(&s, "x%d: 1\r\n", i);
    str_add(&s, "\r\n");
    HttpHead h;
    assert_int_equal(parse(a, str_text(&s), &h), 431);
    arena_free(a);
}

static void test_query(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    HttpHead h;
    assert_int_equal(parse(a, "GET /s?q=a+%2bb%26c&n=3&flag&bad=%g1&e= HTTP/1.1\r\nHost: a\r\n\r\n",
                           &h),
                     0);
    assert_string_equal(http_query(a, &h, "q"), "a +b&c");
    assert_string_equal(http_query(a, &h, "n"), "3");
    assert_string_equal(http_query(a, &h, "flag"), "");
    assert_string_equal(http_query(a, &h, "e"), "");
    assert_null(http_query(a, &h, "bad"));
    assert_null(http_query(a, &h, "none"));
    arena_free(a);
}

/* All of it, given in pieces of `piece` bytes; NULL: refused. */
static const char *unchunk(Arena *a, const char *text, size_t piece, size_t *used)
{
    Str out = str_new(a);
    HttpChunks c = {0};
    const size_t size = strlen(text);
    size_t at = 0;
    while (at < size && !c.done) {
        const size_t end = at + piece < size ? at + piece : size;
        while (at < end && !c.done) {
            const char *data;
            size_t n;
            const int64_t taken = http_chunks_take(&c, text + at, end - at, &data, &n);
            if (taken < 0)
                return NULL;
            assert_true(taken > 0);
            str_addn(&out, data, n);
            at += (size_t)taken;
        }
    }
    *used = at;
    return c.done ? str_text(&out) : NULL;
}

static void test_chunks(void **state)
{
    (void)state;
    static const char *const good =
        "5\r\nhello\r\n6;ext=\"x\"\r\n world\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    static const char *const bad[] = {"\r\n",        "g\r\n",         "5\nhello",
                                      "5\r\nhelloX", "fffffffff\r\n", "5\r\nhello\r\n0\r\n\rX",
                                      "-1\r\n",      "0\r\n\n"};
    Arena *const a = arena_new();
    for (size_t piece = 1; piece < 70; piece++) {
        size_t used;
        const char *const whole = arena_printf(a, "%sGET /", good);
        assert_string_equal(unchunk(a, whole, piece, &used), "hello world0123456789");
        assert_int_equal(used, strlen(good));
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            assert_null(unchunk(a, bad[i], piece, &used));
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),      cmocka_unit_test(test_headers),
        cmocka_unit_test(test_many_headers), cmocka_unit_test(test_query),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
