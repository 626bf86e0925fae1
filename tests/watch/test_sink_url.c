/* Addresses of sinks, and names in topics. */
#include "check.h"

#include "watch/sink_url.h"

typedef struct Reading {
    const char *text;
    SinkUrl url;
} Reading;

static void read_one(Context *ctx, void *arg)
{
    Reading *const r = arg;
    r->url = sink_url(ctx, r->text);
}

static SinkUrl good(Arena *a, const char *text)
{
    Reading r = {.text = text};
    Error e;
    if (job_run(a, read_one, &r, &e, NULL) != 0)
        FAIL_MSG("%s: %s", text, e.message);
    return r.url;
}

static void test_parts(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    SinkUrl u = good(a, "mqtt://broker");
    assert_string_equal(u.scheme, "mqtt");
    assert_string_equal(u.host, "broker");
    assert_string_equal(u.path, "");
    assert_null(u.user);
    assert_int_equal(u.port, 0);
    u = good(a, "mqtts://me:p%40ss%2f@w@broker.example:8884//games/royale/");
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "p@ss/@w");
    assert_string_equal(u.host, "broker.example");
    assert_int_equal(u.port, 8884);
    assert_string_equal(u.path, "games/royale");
    u = good(a, "nats://token@[::1]:4222/events");
    assert_string_equal(u.user, "token");
    assert_null(u.password);
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 4222);
    u = good(a, "nats://[fe80::1]");
    assert_string_equal(u.host, "fe80::1");
    arena_free(a);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "broker",
        "://broker",
        "mqtt://",
        "mqtt:///topic",
        "mqtt://:1883",
        "mqtt://broker:",
        "mqtt://broker:0",
        "mqtt://broker:65536",
        "mqtt://broker:99999999999999999999",
        "mqtt://broker:18x",
        "mqtt://[::1",
        "mqtt://[::1]x",
        "mqtt://[]",
        "mqtt://a%",
        "mqtt://a%2",
        "mqtt://a%zz",
        "mqtt://a%00b",
        "mqtt://a/%00",
        "mqtt://a/b\nc",
        "mqtt://a b",
        "mqtt://u%0a@a",
    };
    Arena *const a = arena_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Reading r = {.text = bad[i]};
        Error e = {0};
        if (job_run(a, read_one, &r, &e, NULL) != ERR_INVALID)
            FAIL_MSG("'%s' was taken, or: %s", bad[i], e.message);
    }
    arena_free(a);
}

/* Two names never become one, and none leaves its level. */
static void test_names(void **state)
{
    (void)state;
    static const char *const name[][2] = {{"s1", "s1"},
                                          {"", "%"},
                                          {"%", "%25"},
                                          {"a/b", "a%2Fb"},
                                          {"a+#", "a%2B%23"},
                                          {"a b\t", "a%20b%09"},
                                          {"K\303\244se", "K\303\244se"},
                                          {"a%2Fb", "a%252Fb"}};
    Arena *const a = arena_new();
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        Str s = str_new(a);
        sink_add_part(&s, name[i][0], "/+#");
        assert_string_equal(str_text(&s), name[i][1]);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
