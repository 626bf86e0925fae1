/* The page of a service, asked as a browser and as others would. */
#include "check.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "clip.h"
#include "watch/service_run.h"

static char dir[64];

typedef struct Site {
    Arena *arena;
    NetHost nets;
    ServiceRun *run;
    int port;
} Site;

static const char watch_text[] =
    "watch: {name: clip, reference_size: [64, 48], sample: {fps: 5, max_fps: 5, policy: every}}\n"
    "region: {bit: [48, 0, 16, 16]} # as drawn\n"
    "signal: {bit: {from: motion, region: bit, threshold: 40, min_area: 0.5}}\n"
    "event: {blink: {when: bit}}\n"
    "spotlight: {score: 3 + 4.5}\n";
static const char service_text[] =
    "streams: {one: {url: clip.mp4, watch: watch.yaml}}\n"
    "service: {page: \"127.0.0.1:0\", page_names: [watch.example], store: seen.db, clips: clips}\n";

static const char *in_dir(Arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", dir, name);
}

static void write_text(Arena *a, const char *name, const char *text)
{
    Error e;
    assert_int_equal(file_write(in_dir(a, name), text, strlen(text), &e), 0);
}

static void open_site(Site *s)
{
    Error e;
    *s = (Site){.arena = arena_new()};
    strcpy(dir, "/tmp/lathe_page_XXXXXX");
    assert_non_null(mkdtemp(dir));
    write_text(s->arena, "watch.yaml", watch_text);
    write_text(s->arena, "service.yaml", service_text);
    assert_int_equal(file_make_dirs(in_dir(s->arena, "clips"), &e), 0);
    write_text(s->arena, "clips/win.mp4", "no video, but a file");
    clip_write(in_dir(s->arena, "clip.mp4"),
               &(ClipOptions){.frames = 15 * 60, .fps = 15, .gop = 5});
    s->nets = (NetHost){.threads = 1};
    assert_int_equal(pool_new(1, &s->nets.pool, &e), 0);
    if (service_start(in_dir(s->arena, "service.yaml"), &(ServiceOptions){.nets = &s->nets},
                      &s->run, &e) != 0)
        FAIL_MSG("%s", e.message);
    s->port = service_port(s->run);
}

static void close_site(Site *s)
{
    char command[128];
    service_stop(s->run, 0);
    pool_free(s->nets.pool);
    arena_free(s->arena);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static int dial(const Site *s)
{
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)s->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Until the other side closes, or `end` came. */
static const char *hear(Arena *a, int fd, const char *end)
{
    Str s = str_new(a);
    char text[4096];
    ssize_t n;
    while ((!end || !strstr(str_text(&s), end)) && (n = recv(fd, text, sizeof text, 0)) > 0)
        str_addn(&s, text, (size_t)n);
    return str_text(&s);
}

static const char *ask_with(const Site *s, const char *method, const char *path,
                            const char *headers, const char *body)
{
    const int fd = dial(s);
    const char *const text =
        arena_printf(s->arena,
                     "%s %s HTTP/1.1\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
                     method, path, headers, strlen(body), body);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    const char *const got = hear(s->arena, fd, NULL);
    close(fd);
    return got;
}

static const char *ask(const Site *s, const char *path)
{
    return ask_with(s, "GET", path, "Host: 127.0.0.1\r\n", "");
}

static void expect(const char *reply, const char *part)
{
    if (!strstr(reply, part))
        FAIL_MSG("'%s' is not in: %.1500s", part, reply);
}

static json_t *json_of(const char *reply)
{
    const char *const body = strstr(reply, "\r\n\r\n");
    json_error_t e;
    json_t *const j = body ? json_loads(body + 4, 0, &e) : NULL;
    if (!j)
        FAIL_MSG("no JSON: %.500s", reply);
    return j;
}

static void wait_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Until the stream has a sample; its picture of the state is the caller's. */
static json_t *streams(const Site *s)
{
    for (int i = 0; i < 200; i++, wait_ms(50)) {
        json_t *const j = json_of(ask(s, "/api/streams"));
        const json_t *const one = json_array_get(json_object_get(j, "streams"), 0);
        if (json_array_size(json_object_get(one, "signals")) > 0)
            return j;
        json_decref(j);
    }
    FAIL_MSG("no sample");
    return NULL;
}

static void test_streams(void **state)
{
    Site *const s = *state;
    json_t *const j = streams(s);
    const char *name, *region, *kind;
    double x, w, place[4];
    int width;
    assert_int_equal(json_unpack(j,
                                 "{s:[{s:s, s:[i,i], s:[F,F,F,F], s:[{s:s, s:s, s:[F,F,F,F]}]}]}",
                                 "streams", "name", &name, "size", &width, &(int){0}, "place",
                                 &place[0], &place[1], &place[2], &place[3], "signals", "kind",
                                 &kind, "region", &region, "box", &x, &(double){0}, &w,
                                 &(double){0}),
                     0);
    assert_string_equal(name, "one");
    assert_string_equal(kind, "motion");
    assert_string_equal(region, "bit");
    assert_true(width == 64 && x == 48 && w == 16);
    assert_true(place[0] == 0 && place[1] == 0 && place[2] == 1 && place[3] == 1);
    json_decref(j);
}

static void test_own_files(void **state)
{
    const Site *const s = *state;
    expect(ask(s, "/"), "Content-Security-Policy: default-src 'none'");
    expect(ask(s, "/"), "<title>Lathe watch</title>");
    expect(ask(s, "/page.js"), "Content-Type: text/javascript");
    expect(ask(s, "/page.css"), "200 OK");
    expect(ask(s, "/nothing"), "404 Not Found");
    expect(ask(s, "/clips/win.mp4"), "no video, but a file");
    expect(ask(s, "/api/clips"), "{\"name\":\"win.mp4\",\"bytes\":20");
    static const char *const bad[] = {"/clips/../watch.yaml",
                                      "/clips/%2e%2e/watch.yaml",
                                      "/clips/..%2fwatch.yaml",
                                      "/clips/",
                                      "/clips/.x",
                                      "/evidence/x.jpg",
                                      "/clips/sub%2fwin.mp4",
                                      "/snapshot/none.jpg",
                                      "/snapshot/one"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(ask(s, bad[i]), "404 Not Found");
    expect(ask_with(s, "GET", "/", "Host: evil.example\r\n", ""), "421 Misdirected");
    expect(ask_with(s, "GET", "/", "Host: watch.example\r\n", ""), "200 OK");
    expect(ask_with(s, "DELETE", "/", "Host: 127.0.0.1\r\n", ""), "405 Method");
}

static void test_picture(void **state)
{
    const Site *const s = *state;
    json_decref(streams(s));
    /* nobody has asked before: from now on it is kept */
    const char *got = ask(s, "/snapshot/one.jpg");
    for (int i = 0; i < 100 && !strstr(got, "200 OK"); i++, wait_ms(50))
        got = ask(s, "/snapshot/one.jpg");
    expect(got, "Content-Type: image/jpeg");
    expect(strstr(got, "\r\n\r\n"), "\xff\xd8\xff");
}

static void test_live(void **state)
{
    const Site *const s = *state;
    const int fd = dial(s);
    static const char request[] = "GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    const char *const got = hear(s->arena, fd, "\"event\":\"blink\"");
    expect(got, "Content-Type: text/event-stream");
    expect(got, "id: 1\ndata: {");
    expect(got, "stream.up");
    expect(got, "\"event\":\"blink\"");
    close(fd);
    const int again = dial(s); /* what it has already does not come again */
    static const char resume[] =
        "GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: 1\r\n\r\n";
    assert_int_equal(send(again, resume, strlen(resume), MSG_NOSIGNAL), strlen(resume));
    const char *const rest = hear(s->arena, again, "\"event\":\"blink\"");
    expect(rest, "id: 2\n");
    assert_null(strstr(rest, "id: 1\n"));
    close(again);
}

static void test_search(void **state)
{
    const Site *const s = *state;
    const char *got = "";
    for (int i = 0; i < 100 && !strstr(got, "\"signal\":\"blink\""); i++, wait_ms(100))
        got = ask(s, "/api/search?q=kind:event+blink&limit=3");
    expect(got, "\"snippet\":\"[blink]\"");
    expect(got, "\"record\":{\"v\":1");
    json_decref(json_of(got));
    expect(ask(s, "/api/search?q=since:soon"), "400 Bad Request");
    expect(ask(s, "/api/search?q=%22"), "a quote is not closed");
    json_decref(json_of(ask(s, "/api/search")));
}

/* Each line is a comment or NAME{..} NUMBER, and a family is in one piece, behind its head. */
static void check_metrics(Arena *a, const char *text)
{
    char *save, family[128] = "";
    int n = 0;
    for (char *line = strtok_r(arena_strdup(a, text), "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n++) {
        if (str_starts(line, "# TYPE ")) {
            sscanf(line, "# TYPE %127s", family);
            continue;
        }
        if (line[0] == '#')
            continue;
        const size_t size = strcspn(line, "{ ");
        if (strlen(family) != size || strncmp(line, family, size) != 0)
            FAIL_MSG("%s in the family %s", line, family);
        const char *const value = strrchr(line, ' ');
        char *end;
        assert_non_null(value);
        strtod(value + 1, &end);
        assert_true(*end == '\0' && end > value + 1);
    }
    assert_true(n > 50);
}

static void test_metrics(void **state)
{
    const Site *const s = *state;
    json_decref(streams(s));
    const char *const got = ask(s, "/metrics");
    expect(got, "Content-Type: text/plain; version=0.0.4");
    expect(got, "\nlathe_watch_stream_up{stream=\"one\"} 1\n");
    expect(got, "\nlathe_watch_samples_skipped_total{stream=\"one\",cause=\"busy\"} ");
    check_metrics(s->arena, strstr(got, "\r\n\r\n") + 4);
}

#define HERE "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: application/json\r\n"

static void test_spotlight(void **state)
{
    const Site *const s = *state;
    json_decref(streams(s));
    const char *got = ask(s, "/api/spotlight");
    for (int i = 0; i < 100 && !strstr(got, "\"shown\":\"one\""); i++, wait_ms(50))
        got = ask(s, "/api/spotlight");
    expect(got, "\"changes\":1,\"streams\":1,\"rank\":[{\"stream\":\"one\",\"score\":7.5,"
                "\"standing\":\"can\",\"shown\":true}]}");
    got = ask(s, "/metrics");
    expect(got, "\nlathe_watch_spotlight{stream=\"one\"} 1\n");
    expect(got, "\nlathe_watch_spotlight_score{stream=\"one\"} 7.5\n");
    expect(got, "\nlathe_watch_spotlight_changes_total 1\n");
    const int fd = dial(s);
    static const char request[] = "GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    expect(hear(s->arena, fd, "\"event\":\"spotlight\""),
           "\"stream\":\"one\",\"event\":\"spotlight\"");
    close(fd);
}

static void test_region_is_for_this_page(void **state)
{
    const Site *const s = *state;
    static const char body[] =
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [16, 16, 16, 16]}";
    expect(ask_with(s, "POST", "/api/region",
                    "Host: 127.0.0.1\r\nContent-Type: application/json\r\n", body),
           "403 Forbidden");
    expect(
        ask_with(
            s, "POST", "/api/region",
            "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Type: application/json\r\n",
            body),
        "403 Forbidden");
    expect(ask_with(s, "POST", "/api/region",
                    "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: text/plain\r\n",
                    body),
           "403 Forbidden");
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [1, 2, 3]}",
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [-1, 0, 3, 3]}",
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [1, 2, 3, 4, 5]}",
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [0, 0, 0, 3]}",
        "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [60, 0, 16, 16]}",
        "{\"stream\": \"one\", \"region\": \"a b\", \"box\": [0, 0, 16, 16]}"};
    json_decref(streams(s));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(ask_with(s, "POST", "/api/region", HERE, bad[i]), "400 Bad Request");
    expect(ask_with(s, "POST", "/api/region", HERE,
                    "{\"stream\": \"two\", \"region\": \"bit\", \"box\": [0, 0, 9, 9]}"),
           "404 Not Found");
    File f;
    Error e;
    assert_int_equal(file_read(s->arena, in_dir(s->arena, "watch.yaml"), &f, &e), 0);
    assert_string_equal((const char *)f.at, watch_text);
}

static void test_region_is_saved_and_watched(void **state)
{
    const Site *const s = *state;
    json_decref(streams(s));
    expect(ask_with(s, "POST", "/api/region", HERE,
                    "{\"stream\": \"one\", \"region\": \"bit\", \"box\": [16, 16, 20, 16]}"),
           "200 OK");
    File f;
    Error e;
    assert_int_equal(file_read(s->arena, in_dir(s->arena, "watch.yaml"), &f, &e), 0);
    expect((const char *)f.at, "region: {bit: [16, 16, 20, 16]} # as drawn\n");
    assert_true(service_changed(s->run));
    ServiceChange c;
    assert_int_equal(service_reload(s->run, &c, &e), 0);
    assert_int_equal(c.edited, 1);
    /* the configuration that named the folder is gone */
    expect(ask(s, "/clips/win.mp4"), "no video, but a file");
    json_decref(json_of(ask(s, "/api/search?q=blink")));
    expect(ask(s, "/api/search?q=blink"), "200 OK");
    json_t *const j = streams(s);
    double x, w;
    assert_int_equal(json_unpack(j, "{s:[{s:[{s:[F,F,F,F]}]}]}", "streams", "signals", "box", &x,
                                 &(double){0}, &w, &(double){0}),
                     0);
    assert_true(x == 16 && w == 20);
    json_decref(j);
}

static void test_addresses(void **state)
{
    const Site *const s = *state;
    ServiceRun *r;
    Error e;
    static const char *const bad[] = {
        "here", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "nowhere.example:80", ":"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_text(
            s->arena, "other.yaml",
            arena_printf(
                s->arena,
                "streams: {one: {url: clip.mp4, watch: watch.yaml}}\nservice: {page: \"%s\"}\n",
                bad[i]));
        assert_int_equal(service_start(in_dir(s->arena, "other.yaml"),
                                       &(ServiceOptions){.nets = &s->nets}, &r, &e),
                         ERR_INVALID);
    }
    write_text(s->arena, "other.yaml",
               arena_printf(
                   s->arena,
                   "streams: {one: {url: clip.mp4, watch: watch.yaml}}\nservice: {page: \"%d\"}\n",
                   s->port));
    assert_int_equal(service_start(in_dir(s->arena, "other.yaml"),
                                   &(ServiceOptions){.nets = &s->nets}, &r, &e),
                     ERR_IO);
}

static int set_up(void **state)
{
    static Site site;
    open_site(&site);
    *state = &site;
    return 0;
}

static int tear_down(void **state)
{
    close_site(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_own_files),
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_spotlight),
        cmocka_unit_test(test_region_is_for_this_page),
        cmocka_unit_test(test_region_is_saved_and_watched),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
