/* The server against clients that are slow, rude, or gone. Clients are plain sockets. */
#include "check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "net/http_server.h"

typedef struct Site {
    EventLoop *loop;
    HttpServer *server;
    pthread_t thread;
    char dir[64], file[96];
    int ended;      /* exchanges that told so */
    HttpExchange *held;
    LoopPost later;
} Site;

static void on_end(void *arg) { __atomic_fetch_add(&((Site *)arg)->ended, 1, __ATOMIC_RELAXED); }

static void reply_later(LoopPost *p)
{
    Site *const s = (Site *)(void *)((char *)p - offsetof(Site, later));
    http_reply(s->held, 200, "text/plain", "late\n", 5);
}

static void stream_until_gone(HttpExchange *x)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    http_stream(x, 200, "text/event-stream");
    while (http_send(x, text, sizeof text)) /* nobody reads: at last too much is pending */
        ;
}

static void handle(void *arg, HttpExchange *x)
{
    Site *const s = arg;
    const HttpHead *const h = http_head(x);
    size_t size;
    const char *const body = http_body(x, &size);
    http_on_end(x, on_end, s);
    if (strcmp(h->path, "/echo") == 0) {
        http_add_header(x, "X-Method", h->method);
        http_reply(x, 200, "text/plain", body, size);
    } else if (strcmp(h->path, "/file") == 0) {
        http_reply_file(x, s->file, "text/plain");
    } else if (strcmp(h->path, "/none") == 0) {
        http_reply_file(x, "/nowhere", "text/plain");
    } else if (strcmp(h->path, "/later") == 0) {
        s->held = x;
        s->later.run = reply_later;
        event_loop_post(s->loop, &s->later);
    } else if (strcmp(h->path, "/stream") == 0) {
        http_stream(x, 200, "text/plain");
        http_send(x, "one ", 4);
        http_send(x, "two", 3);
        http_finish(x);
    } else if (strcmp(h->path, "/open") == 0) {
        http_stream(x, 200, "text/plain");
        http_send(x, "open", 4);
    } else if (strcmp(h->path, "/flood") == 0) {
        stream_until_gone(x);
    } else if (strcmp(h->path, "/never") != 0) {
        http_reply_error(x, 404, "no \"such\" page");
    }
}

static void *run(void *arg)
{
    event_loop_run(((Site *)arg)->loop);
    return NULL;
}

static void open_site(Site *s, HttpOptions opt)
{
    Error e;
    *s = (Site){0};
    snprintf(s->dir, sizeof s->dir, "/tmp/lathe_http_XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->file, sizeof s->file, "%s/file", s->dir);
    assert_int_equal(file_write(s->file, "0123456789", 10, &e), 0);
    assert_int_equal(event_loop_new(&s->loop, &e), 0);
    opt.handle = handle;
    opt.arg = s;
    assert_int_equal(http_listen(s->loop, &opt, &s->server, &e), 0);
    pthread_create(&s->thread, NULL, run, s);
}

static HttpCounts close_site(Site *s)
{
    event_loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    const HttpCounts c = http_counts(s->server);
    http_close(s->server);
    event_loop_free(s->loop);
    unlink(s->file);
    rmdir(s->dir);
    return c;
}

static int dial_from(const Site *s, in_addr_t from)
{
    const struct sockaddr_in me = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_port(s->server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(bind(fd, (const struct sockaddr *)&me, sizeof me), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static int dial(const Site *s) { return dial_from(s, INADDR_LOOPBACK); }

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Until the other side closes, or `end` came. */
static const char *hear(Arena *a, int fd, const char *end)
{
    Str s = str_new(a);
    char text[512];
    ssize_t n;
    while ((!end || !strstr(str_text(&s), end)) && (n = recv(fd, text, sizeof text, 0)) > 0)
        str_addn(&s, text, (size_t)n);
    return str_text(&s);
}

/* One request on a connection of its own; "Connection: close" is in it. */
static const char *ask(Arena *a, const Site *s, const char *text)
{
    const int fd = dial(s);
    say(fd, text);
    const char *const got = hear(a, fd, NULL);
    close(fd);
    return got;
}

static void expect(const Site *s, const char *request, const char *part)
{
    Arena *const a = arena_new();
    const char *const got = ask(a, s, request);
    if (!strstr(got, part))
        FAIL_MSG("'%s' is not in the reply to '%s': %s", part, request, got);
    arena_free(a);
}

#define END "Host: 127.0.0.1\r\nConnection: close\r\n\r\n"

static void test_replies(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){0});
    expect(&s, "GET /nothing HTTP/1.1\r\n" END,
           "404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 30\r\n");
    expect(&s, "GET /nothing HTTP/1.1\r\n" END, "\r\n\r\n{\"error\": \"no \\\"such\\\" page\"}\n");
    expect(&s, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" END "hello",
           "X-Method: POST\r\nConnection: close\r\n\r\nhello");
    expect(&s,
           "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
           "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           "\r\n\r\nabcde");
    expect(&s, "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" END "hi",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK");
    expect(&s, "GET /later HTTP/1.1\r\n" END, "\r\n\r\nlate\n");
    expect(&s, "GET /stream HTTP/1.1\r\n" END,
           "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\none "
           "\r\n3\r\ntwo\r\n0\r\n\r\n");
    expect(&s, "GET /stream HTTP/1.0\r\n\r\n", "\r\nConnection: close\r\n\r\none two");
    close_site(&s);
    assert_int_equal(s.ended, 8);
}

static void test_files_and_ranges(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){0});
    expect(&s, "GET /file HTTP/1.1\r\n" END,
           "Content-Length: 10\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n0123456789");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=2-4\r\n" END,
           "206 Partial Content\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=2-4\r\n" END,
           "Content-Range: bytes 2-4/10\r\nConnection: close\r\n\r\n234");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=7-\r\n" END,
           "Content-Range: bytes 7-9/10\r\nConnection: close\r\n\r\n789");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=7-99\r\n" END, "\r\n\r\n789");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=-2\r\n" END, "\r\n\r\n89");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=10-\r\n" END, "416 Range Not Satisfiable");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=-0\r\n" END, "416 Range Not Satisfiable");
    /* not understood: as if it were not there */
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=5-2\r\n" END, "200 OK");
    expect(&s, "GET /file HTTP/1.1\r\nRange: lines=1-2\r\n" END, "200 OK");
    expect(&s, "GET /file HTTP/1.1\r\nRange: bytes=0-1,3-4\r\n" END, "200 OK");
    expect(&s, "GET /none HTTP/1.1\r\n" END, "404 Not Found");
    Arena *const a = arena_new();
    const char *const got = ask(a, &s, "HEAD /file HTTP/1.1\r\n" END);
    assert_non_null(strstr(got, "Content-Length: 10\r\n"));
    assert_null(strstr(got, "0123456789"));
    arena_free(a);
    close_site(&s);
    assert_int_equal(s.ended, 13);
}

static void test_pipeline_and_pieces(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){0});
    Arena *const a = arena_new();
    const int fd = dial(&s);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nonePOST /echo "
            "HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo"
            "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *const got = hear(a, fd, "two\r\n0\r\n\r\n");
    const char *const one = strstr(got, "\r\n\r\none"), *const two = strstr(got, "\r\n\r\ntwo"),
                      *const late = strstr(got, "late\n");
    assert_true(one && two && late && one < two && two < late);
    static const char *const slow = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                    "chunked\r\n\r\n4\r\nslow\r\n0\r\n\r\n";
    for (size_t i = 0; slow[i] != '\0'; i++) /* the same connection goes on */
        assert_int_equal(send(fd, slow + i, 1, MSG_NOSIGNAL), 1);
    assert_non_null(strstr(hear(a, fd, "slow"), "200 OK"));
    close(fd);
    arena_free(a);
    close_site(&s);
    assert_int_equal(s.ended, 5);
}

static void test_bounds(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.max_body = 10});
    Arena *const a = arena_new();
    expect(&s, "POST /echo HTTP/1.1\r\nContent-Length: 11\r\n" END, "413 Content Too Large");
    expect(&s, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "b\r\n01234567890\r\n",
           "413 Content Too Large");
    expect(&s, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "x", "400 Bad Request");
    expect(&s, "GET / HTTP/1.1\r\n\r\n", "400 Bad Request");
    Str long_head = str_new(a);
    str_add(&long_head, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (long_head.len < HTTP_MAX_HEAD)
        str_addc(&long_head, 'x');
    expect(&s, str_text(&long_head), "431 Request Header Fields Too Large");
    arena_free(a);
    assert_int_equal(close_site(&s).refused, 5);
}

static void test_slow_clients(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.head_timeout = 100000, .idle_timeout = 100000});
    Arena *const a = arena_new();
    const int slow = dial(&s); /* a head that never ends */
    say(slow, "GET / HTTP/1.1\r\n");
    assert_string_equal(hear(a, slow, NULL), "");
    const int body = dial(&s); /* a body that never comes */
    say(body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert_string_equal(hear(a, body, NULL), "");
    close(slow), close(body);
    arena_free(a);
    close_site(&s);
}

static void get(int fd, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    say(fd, text);
}

/* An exchange that the handler holds open. */
static int hold(Arena *a, const Site *s, in_addr_t from)
{
    const int fd = dial_from(s, from);
    get(fd, "/open");
    hear(a, fd, "open\r\n");
    return fd;
}

static void served(Arena *a, int fd)
{
    get(fd, "/file");
    assert_non_null(strstr(hear(a, fd, "0123456789"), "200 OK"));
}

/* Who asks for nothing goes first, then who takes a long time to ask, then streams. */
static void test_too_many_connections(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.max_connections = 3});
    Arena *const a = arena_new();
    const int stream = hold(a, &s, INADDR_LOOPBACK), idle = dial(&s), slow = dial(&s);
    served(a, idle);
    say(slow, "GET /fi");
    usleep(20000);
    const int fourth = dial(&s);
    served(a, fourth);
    assert_string_equal(hear(a, idle, NULL), ""); /* closed */
    say(fourth, "GET /slower");
    usleep(20000);
    const int fifth = dial(&s);
    served(a, fifth);
    assert_string_equal(hear(a, slow, NULL), "");
    const int sixth = hold(a, &s, INADDR_LOOPBACK), seventh = hold(a, &s, INADDR_LOOPBACK);
    assert_string_equal(hear(a, fifth, NULL), "");
    assert_string_equal(hear(a, fourth, NULL), "");
    const int eighth = dial(&s); /* all stream: the oldest goes */
    served(a, eighth);
    assert_string_equal(hear(a, stream, NULL), "");
    close(stream), close(idle), close(slow), close(fourth), close(fifth), close(sixth),
        close(seventh), close(eighth);
    arena_free(a);
    assert_int_equal(close_site(&s).evicted, 5);
}

/* An address that holds many connections makes room itself. */
static void test_many_of_one_address(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.max_connections = 20});
    Arena *const a = arena_new();
    int fd[60];
    const int user = hold(a, &s, INADDR_LOOPBACK);
    for (int i = 0; i < 60; i++)
        fd[i] = hold(a, &s, INADDR_LOOPBACK + 1);
    const int other = dial(&s);
    served(a, other);
    say(user, "x"); /* its stream is there still */
    assert_int_equal(recv(user, (char[1]){0}, 1, MSG_DONTWAIT), -1);
    for (int i = 0; i < 60; i++)
        close(fd[i]);
    close(user), close(other);
    arena_free(a);
    assert_int_equal(close_site(&s).evicted, 42);
}

/* While the handler is at work for all of them another is told to come again. */
static void test_all_at_work(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.max_connections = 2});
    Arena *const a = arena_new();
    const int one = dial(&s), two = dial(&s);
    get(one, "/never");
    get(two, "/never");
    usleep(50000);
    const int third = dial(&s);
    assert_string_equal(hear(a, third, NULL), "");
    close(one), close(two), close(third);
    arena_free(a);
    close_site(&s);
}

static void test_gone_and_floods(void **state)
{
    (void)state;
    Site s;
    open_site(&s, (HttpOptions){.max_pending = 100000});
    for (int i = 0; i < 20; i++) { /* asks, and is gone */
        const int fd = dial(&s);
        say(fd, i % 2 ? "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n"
                      : "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        const struct linger hard = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        expect(&s, "GET /file HTTP/1.1\r\n" END, "0123456789"); /* others are served */
    }
    close_site(&s);
}

static void test_names(void **state)
{
    (void)state;
    Site s;
    const char *const name[] = {"watch.example"};
    open_site(&s, (HttpOptions){.check_host = true, .nname = 1, .name = name});
    static const char *const good[] = {"localhost", "localhost:80", "127.0.0.1:8080", "[::1]:80",
                                       "Watch.example"};
    static const char *const bad[] = {"evil.example", "localhost.evil.example", "watch.example.org",
                                      "[::1", ""};
    Arena *const a = arena_new();
    for (size_t i = 0; i < 5; i++) {
        expect(&s,
               arena_printf(a, "GET /file HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n",
                            good[i]),
               "200 OK");
        expect(&s,
               arena_printf(a, "GET /file HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n",
                            bad[i]),
               "421 Misdirected");
    }
    arena_free(a);
    close_site(&s);
}

static void test_addresses(void **state)
{
    (void)state;
    Site s;
    Error e;
    HttpServer *other;
    open_site(&s, (HttpOptions){0});
    assert_int_equal(http_listen(s.loop, &(HttpOptions){.port = http_port(s.server)}, &other, &e),
                     ERR_IO);
    assert_int_equal(http_listen(s.loop, &(HttpOptions){.host = "nowhere"}, &other, &e),
                     ERR_INVALID);
    assert_int_equal(http_listen(s.loop, &(HttpOptions){.port = 70000}, &other, &e), ERR_INVALID);
    close_site(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_files_and_ranges),
        cmocka_unit_test(test_pipeline_and_pieces),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_many_of_one_address),
        cmocka_unit_test(test_all_at_work),
        cmocka_unit_test(test_gone_and_floods),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
