/* MQTT sinks against mosquitto. */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "sinks/mosquitto.h"
#include "sinks/old_broker.h"
#include "sinks/scratch.h"

typedef struct Broker {
    int port;
    pid_t pid;
    Relay *relay;
    Arrivals *arrivals;
    Listener *listener;
    char url[64];
} Broker;

static void begin(Broker *b, const char *config)
{
    b->port = port_free();
    b->pid = mosquitto_run(b->port, config);
    b->relay = relay_start(b->port);
    b->arrivals = arrivals_new();
    b->listener = listener_new(b->port, b->arrivals);
    snprintf(b->url, sizeof b->url, "mqtt://127.0.0.1:%d", relay_port(b->relay));
}

static void end(Broker *b)
{
    listener_free(b->listener);
    relay_stop(b->relay);
    broker_stop(b->pid, SIGTERM);
    arrivals_free(b->arrivals);
}

static SinkSpec spec_of(const Broker *b)
{
    return (SinkSpec){.name = "mqtt", .kind = SINK_MQTT, .url = b->url, .timeout = 1000000};
}

static int all_there(Broker *b, int n)
{
    const int twice = scratch_arrived(b->arrivals, n);
    assert_false(listener_wrong_topic(b->listener));
    return twice;
}

static void state_is(Broker *b, const char *topic, const char *want)
{
    bool retained;
    for (int i = 0; i < 3000 && strcmp(listener_state(b->listener, topic, &retained), want) != 0;
         i++)
        usleep(10000);
    assert_string_equal(listener_state(b->listener, topic, &retained), want);
}

static void test_delivers(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "");
    const SinkSpec spec = spec_of(&b);
    Sinks *s = scratch_sinks(1, &spec);
    state_is(&b, "lathe/state", "online");
    scratch_add(s, 0, 300);
    assert_int_equal(all_there(&b, 300), 0);
    sinks_close(s, 2000000);
    state_is(&b, "lathe/state", "offline");
    end(&b);
}

/* States are retained: who comes later sees the last. */
static void test_states(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "");
    const SinkSpec spec = spec_of(&b);
    Sinks *s = scratch_sinks(1, &spec);
    static const char *const said[] = {"{\"event\":\"stream.up\"}", "{\"event\":\"stream.down\"}"};
    Error e = {0};
    for (int i = 0; i < 20; i++) {
        const SinkRecord r = {.stream = "cam/1 +#",
                              .event = i % 2 ? "stream.down" : "stream.up",
                              .id = (uint64_t)i,
                              .state = true,
                              .json = said[i % 2],
                              .size = strlen(said[i % 2])};
        assert_int_equal(sinks_add(s, 1, &r, &e), 0);
    }
    for (int i = 0; i < 2; i++) { /* of all streams together: neither hides the other */
        const char *const event = i ? "spotlight" : "overload";
        assert_int_equal(sinks_add(s, 1,
                                   &(SinkRecord){.stream = "",
                                                 .event = event,
                                                 .id = (uint64_t)i,
                                                 .state = true,
                                                 .json = event,
                                                 .size = strlen(event)},
                                   &e),
                         0);
    }
    sinks_close(s, 5000000);
    listener_free(b.listener);
    b.listener = listener_new(b.port, b.arrivals);
    state_is(&b, "lathe/%/overload", "overload");
    state_is(&b, "lathe/%/spotlight", "spotlight");
    state_is(&b, "lathe/cam%2F1%20%2B%23/state", said[1]);
    bool retained = false;
    listener_state(b.listener, "lathe/cam%2F1%20%2B%23/state", &retained);
    assert_true(retained);
    state_is(&b, "lathe/state", "offline");
    end(&b);
}

static void test_away(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "");
    const SinkSpec spec = spec_of(&b);
    relay_cut(b.relay);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 50);
    const SinkCounts c = scratch_until(s, scratch_fails);
    assert_int_equal(c.waiting, 50);
    assert_true(scratch_fails(&c) && c.error[0]);
    relay_mend(b.relay);
    assert_int_equal(all_there(&b, 50), 0);
    state_is(&b, "lathe/state", "online");
    relay_cut(b.relay); /* the broker tells the last will */
    state_is(&b, "lathe/state", "offline");
    sinks_close(s, 0);
    end(&b);
}

/* Connections break under what is sent, again and again. */
static void test_breaks(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "");
    const SinkSpec spec = spec_of(&b);
    Sinks *const s = scratch_sinks(1, &spec);
    int n = 0;
    for (int i = 0; i < 6; i++) {
        scratch_add(s, n, 40);
        n += 40;
        usleep(20000 + 5000 * (useconds_t)i);
        relay_break(b.relay);
    }
    all_there(&b, n);
    sinks_close(s, 5000000);
    end(&b);
}

/* The broker itself ends and comes back. */
static void test_broker_restarts(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "");
    const SinkSpec spec = spec_of(&b);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 30);
    assert_int_equal(all_there(&b, 30), 0);
    broker_stop(b.pid, SIGTERM);
    scratch_add(s, 30, 30);
    b.pid = mosquitto_run(b.port, "");
    all_there(&b, 60);
    sinks_close(s, 5000000);
    end(&b);
}

/* A record that the broker does not take is a dead letter, others go on. */
static void test_too_large(void **state)
{
    (void)state;
    Broker b;
    begin(&b, "max_packet_size 1000\n");
    const SinkSpec spec = spec_of(&b);
    Sinks *const s = scratch_sinks(1, &spec);
    char *const text = calloc(1, 5000);
    memset(text, 'x', 5000);
    const SinkRecord r = {.stream = "s1", .event = "kill_1", .json = text, .size = 5000};
    Error e;
    scratch_add(s, 0, 10);
    assert_int_equal(sinks_add(s, 1, &r, &e), 0);
    scratch_add(s, 10, 10);
    all_there(&b, 20);
    assert_int_equal(scratch_until(s, scratch_has_dead).dead, 1);
    sinks_close(s, 0);
    free(text);
    end(&b);
}

static void test_password(void **state)
{
    (void)state;
    Broker b;
    char config[400], users[256];
    snprintf(users, sizeof users, "%s", scratch_path("users"));
    FILE *const f = fopen(users, "w");
    fputs("me:s%ret\nlistener:x\n", f);
    fclose(f);
    char command[400];
    snprintf(command, sizeof command, "mosquitto_passwd -U %s", users);
    assert_int_equal(system(command), 0);
    b.port = port_free();
    snprintf(config, sizeof config, "password_file %s\n", users);
    b.pid = mosquitto_run(b.port, config);
    SinkSpec spec = {.name = "mqtt", .kind = SINK_MQTT, .timeout = 1000000};
    char url[128];
    snprintf(url, sizeof url, "mqtt://me:wrong@127.0.0.1:%d", b.port);
    spec.url = url;
    Sinks *s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 5);
    const SinkCounts c = scratch_until(s, scratch_fails);
    assert_true(!c.connected && c.waiting == 5);
    assert_non_null(strstr(c.error, "uthori"));
    sinks_close(s, 0);
    snprintf(url, sizeof url, "mqtt://me:s%%25ret@127.0.0.1:%d", b.port);
    s = scratch_sinks(1, &spec);
    sinks_close(s, 5000000);
    s = scratch_sinks(0, NULL);
    assert_int_equal(sinks_outbox(s).rows, 0);
    sinks_close(s, 0);
    broker_stop(b.pid, SIGTERM);
}

static void fails(const SinkSpec *spec, const char *why)
{
    Sinks *const s = scratch_sinks(1, spec);
    SinkCounts c = {0};
    /* a busy machine may be late first */
    for (int i = 0; i < 4000 && strstr(c.error, why) == NULL; i++) {
        usleep(10000);
        c = sinks_counts(s, 0);
    }
    assert_true(c.failures > 0 && !c.connected);
    if (strstr(c.error, why) == NULL)
        FAIL_MSG("not about %s: %s", why, c.error);
    sinks_close(s, 0);
}

static void delivers_all(const SinkSpec *spec, int n)
{
    Sinks *s = scratch_sinks(1, spec);
    scratch_add(s, 0, n);
    sinks_close(s, 10000000);
    s = scratch_sinks(0, NULL);
    assert_int_equal(sinks_outbox(s).rows, 0);
    sinks_close(s, 0);
}

/* Certificates are looked at: who vouches for them, and for whom. */
static void test_tls(void **state)
{
    (void)state;
    char more[600], url[64];
    scratch_certificate("elsewhere");
    scratch_certificate("localhost");
    const int plain = port_free(), other = port_free(), good = port_free();
    snprintf(more, sizeof more,
             "listener %d 127.0.0.1\ncertfile %s\nkeyfile %s\nlistener %d 127.0.0.1\ncertfile "
             "%s\nkeyfile %s\n",
             other, scratch_path("elsewhere.pem"), scratch_path("elsewhere.key"), good,
             scratch_path("localhost.pem"), scratch_path("localhost.key"));
    const pid_t pid = mosquitto_run(plain, more);
    SinkSpec spec = {.name = "mqtt", .kind = SINK_MQTT, .url = url, .timeout = 2000000};
    snprintf(url, sizeof url, "mqtts://localhost:%d", other);
    fails(&spec, "TLS"); /* nobody vouches for it */
    spec.ca = scratch_path("elsewhere.pem");
    fails(&spec, "TLS"); /* it is another's */
    snprintf(url, sizeof url, "mqtts://localhost:%d", good);
    spec.ca = scratch_path("localhost.pem");
    delivers_all(&spec, 20);
    spec.ca = "/proc/none.pem";
    fails(&spec, "/proc/none.pem");
    broker_stop(pid, SIGTERM);
}

/* What a broker forbids is a dead letter, with its reason; other topics go on. */
static void test_forbidden(void **state)
{
    (void)state;
    char more[300];
    FILE *const f = fopen(scratch_path("topics"), "w");
    fputs("topic readwrite #\ntopic deny lathe/s1/#\n", f);
    fclose(f);
    snprintf(more, sizeof more, "acl_file %s\n", scratch_path("topics"));
    Broker b;
    begin(&b, more);
    const SinkSpec spec = spec_of(&b);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 20);
    for (int i = 0; i < 20; i++)
        if (i % RECORD_KEYS != 1)
            assert_true(arrivals_wait(b.arrivals, i, 1, 60));
    const SinkCounts c = scratch_until(s, scratch_is_empty);
    /* refused by name; mosquitto 2.0.11 may end the connection besides */
    assert_int_equal(c.dead, 4);
    assert_int_equal(c.waiting, 0);
    sinks_close(s, 0);
    end(&b);
}

/* A broker that does not know MQTT 5. */
static void test_old_broker(void **state)
{
    (void)state;
    Arrivals *const a = arrivals_new();
    OldBroker *const b = old_broker_start(a);
    char url[64];
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", old_broker_port(b));
    const SinkSpec spec = {.name = "mqtt", .kind = SINK_MQTT, .url = url, .timeout = 2000000};
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 50);
    bool sent[RECORDS_MAX] = {0};
    int twice;
    for (int i = 0; i < 50; i++)
        sent[i] = true;
    assert_true(arrivals_wait(a, 0, 50, 60));
    assert_null(arrivals_wrong(a, sent, 50, &twice));
    assert_int_equal(old_broker_refused(b), 1);
    sinks_close(s, 5000000);
    old_broker_stop(b);
    arrivals_free(a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_forbidden), TEST(test_delivers), TEST(test_states),
        TEST(test_away),      TEST(test_breaks),   TEST(test_broker_restarts),
        TEST(test_too_large), TEST(test_password), TEST(test_old_broker),
        TEST(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
