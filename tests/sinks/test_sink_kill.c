/* A process that delivers to four sinks is killed at random moments, over and over, while the
 * webhook fails by chance and connections break: each record that the outbox took arrives
 * everywhere; what arrives twice is the same; each key is in order.
 *
 *     test_sink_kill [AWAY]     and all sinks away for AWAY seconds in the middle (2) */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sinks/http_server.h"
#include "sinks/mosquitto.h"
#include "sinks/nats.h"
#include "sinks/scratch.h"

enum { KILLS = 24, EACH = 40 };

static double away_seconds = 2;

typedef struct World {
    uint64_t random;
    pthread_mutex_t lock; /* guards random, which the server's threads use too */
    HttpServer *http;
    pid_t mosquitto, nats;
    int http_port, mqtt_port, nats_port;
    Relay *mqtt_relay, *nats_relay;
    Arrivals *hook, *mqtt, *stream, *lines;
    Listener *listener;
    Ear ear;
    char url[4][256], outbox[256];
    bool sent[RECORDS_MAX];
    int next;             /* first record that is not known to be in the outbox */
} World;

static unsigned chance(World *w, unsigned n)
{
    pthread_mutex_lock(&w->lock);
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    const unsigned r = (unsigned)(w->random >> 33) % n;
    pthread_mutex_unlock(&w->lock);
    return r;
}

/* Takes most; some it takes and does not say so. */
static HttpReply on_request(void *arg, const HttpRequest *r)
{
    World *const w = arg;
    switch (chance(w, 40)) {
    case 0: return (HttpReply){.status = 503};
    case 1: return (HttpReply){.status = 0};
    case 2:
        arrivals_take(w->hook, r->body, r->size);
        return (HttpReply){.status = 0};
    default:
        arrivals_take(w->hook, r->body, r->size);
        return (HttpReply){.status = 204, .delay_ms = (int)chance(w, 3)};
    }
}

static void begin(World *w)
{
    *w = (World){.random = 7,
                 .hook = arrivals_new(),
                 .mqtt = arrivals_new(),
                 .stream = arrivals_new(),
                 .lines = arrivals_new()};
    pthread_mutex_init(&w->lock, NULL);
    w->http = http_start(0, on_request, w);
    w->http_port = http_port(w->http);
    w->mqtt_port = port_free();
    w->mosquitto = mosquitto_run(w->mqtt_port, "");
    w->nats_port = port_free();
    w->nats = nats_run(w->nats_port, true, NULL);
    w->mqtt_relay = relay_start(w->mqtt_port);
    w->nats_relay = relay_start(w->nats_port);
    w->listener = listener_new(w->mqtt_port, w->mqtt);
    ear_open(&w->ear, w->nats_port, NULL);
    ear_make_stream(&w->ear, -1);
    snprintf(w->outbox, sizeof w->outbox, "%s", scratch_path("outbox"));
    snprintf(w->url[0], sizeof w->url[0], "%s", scratch_path("events.jsonl"));
    snprintf(w->url[1], sizeof w->url[1], "http://127.0.0.1:%d/hook", w->http_port);
    snprintf(w->url[2], sizeof w->url[2], "mqtt://127.0.0.1:%d", relay_port(w->mqtt_relay));
    snprintf(w->url[3], sizeof w->url[3], "nats://127.0.0.1:%d", relay_port(w->nats_relay));
}

static void end(World *w)
{
    http_stop(w->http);
    listener_free(w->listener);
    ear_close(&w->ear);
    relay_stop(w->mqtt_relay);
    relay_stop(w->nats_relay);
    broker_stop(w->mosquitto, SIGKILL);
    broker_stop(w->nats, SIGKILL);
    arrivals_free(w->hook);
    arrivals_free(w->mqtt);
    arrivals_free(w->stream);
    arrivals_free(w->lines);
}

/* ---- the process ---- */

static pid_t deliver(const World *w, int n, int *out)
{
    char first[16], last[16];
    int pipes[2];
    snprintf(first, sizeof first, "%d", w->next);
    snprintf(last, sizeof last, "%d", w->next + n);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        const char *const argv[] = {SINK_DELIVER, w->outbox, first,     last,   "jsonl",
                                    w->url[0],    "webhook", w->url[1], "mqtt", w->url[2],
                                    "nats",       w->url[3], NULL};
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(pipes[1]);
    *out = pipes[0];
    return pid;
}

/* Which records it says the outbox has; true: it came to its end. */
static bool hear(World *w, int fd, int n)
{
    FILE *const f = fdopen(fd, "r");
    char line[32];
    bool over = false;
    while (fgets(line, sizeof line, f)) {
        over = strcmp(line, "end\n") == 0;
        const int i = atoi(line);
        if (!over && line[strlen(line) - 1] == '\n') {
            assert_in_range(i, w->next, w->next + n - 1);
            w->sent[i] = true;
        }
    }
    fclose(f);
    /* what it did not come to, or did not come to say, is never sent again: it may arrive or not */
    w->next += n;
    return over;
}

static int stop(pid_t pid)
{
    int status;
    waitpid(pid, &status, 0);
    return status;
}

static void killed_once(World *w)
{
    int out;
    const pid_t pid = deliver(w, EACH, &out);
    struct pollfd first = {.fd = out, .events = POLLIN};
    if (chance(w, 8) > 0) /* else it is killed while it begins */
        poll(&first, 1, 20000);
    usleep(chance(w, 60000));
    if (chance(w, 4) == 0)
        relay_break(chance(w, 2) ? w->mqtt_relay : w->nats_relay);
    kill(pid, SIGKILL);
    stop(pid);
    hear(w, out, EACH);
}

static int checked(World *w, Arrivals *a, const char *what)
{
    int twice;
    arrivals_wait(a, w->next - 1, 1, 10); /* the last process said all it had: it is there */
    const char *const wrong = arrivals_wrong(a, w->sent, w->next, &twice);
    if (wrong)
        FAIL_MSG("%s: %s", what, wrong);
    return twice;
}

static void test_kill(void **state)
{
    (void)state;
    static World w;
    begin(&w);
    for (int i = 0; i < KILLS; i++)
        killed_once(&w);
    /* all away, and the process killed in the midst of it */
    http_stop(w.http);
    relay_cut(w.mqtt_relay);
    relay_cut(w.nats_relay);
    const double until = time_now() + away_seconds;
    while (time_now() < until && w.next < RECORDS_MAX - 4 * EACH) {
        killed_once(&w);
        usleep(away_seconds > 10 ? 3000000 : 100000);
    }
    w.http = http_start(w.http_port, on_request, &w);
    relay_mend(w.mqtt_relay);
    relay_mend(w.nats_relay);
    int out;
    const pid_t pid = deliver(&w, EACH, &out);
    assert_true(hear(&w, out, EACH));
    assert_int_equal(stop(pid), 0);
    ear_read_stream(&w.ear, w.stream);
    arrivals_read(w.lines, w.url[0]);
    int sent = 0;
    for (int i = 0; i < w.next; i++)
        sent += w.sent[i];
    assert_true(sent > KILLS * EACH / 4); /* it was not always killed before it began */
    assert_true(sent < w.next);
    print_message("%d records; more than once: %d lines, %d webhooks, %d MQTT, %d NATS\n", sent,
                  checked(&w, w.lines, "lines"), checked(&w, w.hook, "webhook"),
                  checked(&w, w.mqtt, "MQTT"), checked(&w, w.stream, "NATS"));
    assert_false(listener_wrong_topic(w.listener));
    end(&w);
}

static int close_library(void **state)
{
    (void)state;
    nats_CloseAndWait(2000);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        away_seconds = atof(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, scratch_make, scratch_remove)};
    return cmocka_run_group_tests(tests, NULL, close_library);
}
