/* NATS sinks against nats-server, with JetStream and without. */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "sinks/nats.h"
#include "sinks/scratch.h"

typedef struct World {
    int port;
    pid_t pid;
    Relay *relay;
    Arrivals *arrivals;
    Ear ear;
    char url[64];
} World;

/* `listen`: to what is published; else the test reads the stream. */
static void begin(World *w, bool jetstream, bool listen, const char *option)
{
    w->port = port_free();
    w->pid = nats_run(w->port, jetstream, option);
    w->relay = relay_start(w->port);
    w->arrivals = arrivals_new();
    ear_open(&w->ear, w->port, listen ? w->arrivals : NULL);
    snprintf(w->url, sizeof w->url, "nats://127.0.0.1:%d", relay_port(w->relay));
}

static void end(World *w)
{
    ear_close(&w->ear);
    relay_stop(w->relay);
    broker_stop(w->pid, SIGKILL);
    arrivals_free(w->arrivals);
}

static SinkSpec spec_of(const World *w)
{
    return (SinkSpec){.name = "nats", .kind = SINK_NATS, .url = w->url, .timeout = 1000000};
}

static void wait_empty(Sinks *s)
{
    for (int i = 0; i < 6000 && sinks_counts(s, 0).waiting > 0; i++)
        usleep(10000);
    const SinkCounts c = sinks_counts(s, 0);
    if (c.waiting > 0)
        FAIL_MSG("%d wait: %s", (int)c.waiting, c.error);
}

/* Without JetStream, to who listens. */
static void test_plain(void **state)
{
    (void)state;
    World w;
    begin(&w, false, true, NULL);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 200);
    assert_int_equal(scratch_arrived(w.arrivals, 200), 0);
    wait_empty(s);
    sinks_close(s, 0);
    end(&w);
}

/* With JetStream, but no stream of these subjects: likewise. */
static void test_no_stream(void **state)
{
    (void)state;
    World w;
    begin(&w, true, true, NULL);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 50);
    assert_int_equal(scratch_arrived(w.arrivals, 50), 0);
    sinks_close(s, 5000000);
    end(&w);
}

static void test_stream(void **state)
{
    (void)state;
    World w;
    begin(&w, true, false, NULL);
    ear_make_stream(&w.ear, -1);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 200);
    wait_empty(s);
    sinks_close(s, 0);
    ear_read_stream(&w.ear, w.arrivals);
    assert_int_equal(scratch_arrived(w.arrivals, 200), 0);
    end(&w);
}

/* Connections break under what is sent: JetStream drops what comes twice. */
static void test_breaks(void **state)
{
    (void)state;
    World w;
    begin(&w, true, false, NULL);
    ear_make_stream(&w.ear, -1);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    int n = 0;
    for (int i = 0; i < 6; i++) {
        scratch_add(s, n, 40);
        n += 40;
        usleep(10000 + 5000 * (useconds_t)i);
        relay_break(w.relay);
    }
    wait_empty(s);
    sinks_close(s, 0);
    ear_read_stream(&w.ear, w.arrivals);
    assert_int_equal(scratch_arrived(w.arrivals, n), 0);
    end(&w);
}

/* Away, and killed; the stream's files survive. */
static void test_server_restarts(void **state)
{
    (void)state;
    World w;
    begin(&w, true, false, NULL);
    ear_make_stream(&w.ear, -1);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 30);
    wait_empty(s);
    ear_close(&w.ear);
    broker_stop(w.pid, SIGKILL);
    scratch_add(s, 30, 30);
    const SinkCounts c = scratch_until(s, scratch_fails);
    assert_int_equal(c.waiting, 30);
    assert_true(scratch_fails(&c) && c.error[0]);
    w.pid = nats_run(w.port, true, NULL);
    ear_open(&w.ear, w.port, NULL);
    wait_empty(s);
    sinks_close(s, 0);
    ear_read_stream(&w.ear, w.arrivals);
    scratch_arrived(w.arrivals, 60);
    end(&w);
}

/* A stream that is full refuses for now: what waits goes in once there is room. */
static void test_full_stream(void **state)
{
    (void)state;
    World w;
    begin(&w, true, false, NULL);
    ear_make_stream(&w.ear, 20);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 40);
    SinkCounts c = {0};
    for (int i = 0; i < 3000 && c.failures < 5; i++) {
        usleep(10000);
        c = sinks_counts(s, 0);
    }
    assert_int_equal(c.waiting, 20);
    assert_int_equal(c.dead, 0);
    assert_non_null(strstr(c.error, "maximum messages exceeded"));
    ear_change_stream(&w.ear, -1);
    wait_empty(s);
    sinks_close(s, 0);
    ear_read_stream(&w.ear, w.arrivals);
    assert_int_equal(scratch_arrived(w.arrivals, 40), 0);
    end(&w);
}

/* What no server takes is a dead letter; its key goes on. */
static void test_too_large(void **state)
{
    (void)state;
    World w;
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path("nats.conf"));
    FILE *const f = fopen(path, "w");
    fputs("max_payload: 2000\n", f);
    fclose(f);
    char option[300];
    snprintf(option, sizeof option, "--config=%s", path);
    begin(&w, false, true, option);
    const SinkSpec spec = spec_of(&w);
    Sinks *const s = scratch_sinks(1, &spec);
    char *const text = calloc(1, 5000);
    memset(text, 'x', 5000);
    const SinkRecord r = {.stream = "s1", .event = "kill_1", .json = text, .size = 5000};
    Error e;
    scratch_add(s, 0, 10);
    assert_int_equal(sinks_add(s, 1, &r, &e), 0);
    scratch_add(s, 10, 10);
    scratch_arrived(w.arrivals, 20);
    wait_empty(s);
    assert_int_equal(sinks_counts(s, 0).dead, 1);
    sinks_close(s, 0);
    free(text);
    end(&w);
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

/* Certificates are looked at: who vouches for them, and for whom. */
static void test_tls(void **state)
{
    (void)state;
    static const char *const names[] = {"elsewhere", "localhost"};
    char url[64], option[2][300];
    SinkSpec spec = {.name = "nats", .kind = SINK_NATS, .url = url, .timeout = 2000000};
    for (int i = 0; i < 2; i++) {
        char file[64];
        scratch_certificate(names[i]);
        snprintf(file, sizeof file, "nats%d.conf", i);
        FILE *const f = fopen(scratch_path(file), "w");
        fprintf(f, "tls {cert_file: \"%s/%s.pem\", key_file: \"%s/%s.key\"}\n", scratch_path("."),
                names[i], scratch_path("."), names[i]);
        fclose(f);
        snprintf(option[i], sizeof option[i], "--config=%s", scratch_path(file));
        const int port = port_free();
        const pid_t pid = nats_run(port, false, option[i]);
        snprintf(url, sizeof url, "natss://localhost:%d", port);
        spec.ca = NULL;
        fails(&spec, "SSL"); /* nobody vouches for it */
        spec.ca = scratch_path(i == 0 ? "elsewhere.pem" : "localhost.pem");
        if (i == 0) {
            fails(&spec, "SSL"); /* it is another's */
        } else {
            Sinks *const s = scratch_sinks(1, &spec);
            scratch_add(s, 0, 20);
            wait_empty(s);
            sinks_close(s, 0);
        }
        broker_stop(pid, SIGKILL);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

static int close_library(void **state)
{
    (void)state;
    nats_CloseAndWait(2000); /* its threads, before the leak check */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_breaks),          TEST(test_plain),       TEST(test_no_stream), TEST(test_stream),
        TEST(test_server_restarts), TEST(test_full_stream), TEST(test_too_large), TEST(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, close_library);
}
