/* An MQTT broker of a test. */
#include "check.h"

#include "sinks/mosquitto.h"

#include <mosquitto.h>
#include <stdio.h>
#include <unistd.h>

#include "base/heap.h"
#include "sinks/scratch.h"

enum { STATES = 16 };

struct Listener {
    struct mosquitto *m;
    Arrivals *arrivals;
    pthread_mutex_t lock; /* guards what follows */
    bool subscribed, wrong_topic;
    int nstate;
    struct {
        char topic[128], text[128];
        bool retained;
    } state[STATES];
    char out[128];
};

pid_t mosquitto_run(int port, const char *more)
{
    char config[256];
    snprintf(config, sizeof config, "%s", scratch_path("mosquitto.conf"));
    FILE *const f = fopen(config, "w");
    fprintf(f,
            "listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location "
            "%s\nautosave_interval 1\n"
            "max_queued_messages 0\nuser root\n%s",
            port, scratch_path(""), more);
    fclose(f);
    const char *const argv[] = {"mosquitto", "-c", config, NULL};
    return broker_start(port, scratch_path("mosquitto.log"), argv);
}

static void on_state(Listener *l, const struct mosquitto_message *m)
{
    int i = 0;
    while (i < l->nstate && strcmp(l->state[i].topic, m->topic) != 0)
        i++;
    if (i == STATES)
        return;
    l->nstate += i == l->nstate;
    snprintf(l->state[i].topic, sizeof l->state[i].topic, "%s", m->topic);
    snprintf(l->state[i].text, sizeof l->state[i].text, "%.*s", m->payloadlen,
             (const char *)m->payload);
    l->state[i].retained = m->retain;
}

static void on_message(struct mosquitto *mosq, void *arg, const struct mosquitto_message *m)
{
    Listener *const l = arg;
    (void)mosq;
    const size_t n = strlen(m->topic);
    pthread_mutex_lock(&l->lock);
    if ((n >= 6 && strcmp(m->topic + n - 6, "/state") == 0) ||
        strncmp(m->topic, "lathe/%/", 8) == 0) {
        on_state(l, m);
    } else {
        char text[RECORD_TEXT], name[64], topic[128];
        const int i = arrivals_take(l->arrivals, m->payload, (size_t)m->payloadlen);
        const SinkRecord r = record_make(i < 0 ? 0 : i, text, name);
        snprintf(topic, sizeof topic, "lathe/%s/%s", r.stream, r.event);
        l->wrong_topic |= strcmp(topic, m->topic) != 0 || m->retain || m->qos != 1;
    }
    pthread_mutex_unlock(&l->lock);
}

static void on_connect(struct mosquitto *m, void *arg, int reason)
{
    (void)arg;
    if (reason == 0)
        mosquitto_subscribe(m, NULL, "lathe/#", 1);
}

static void on_subscribe(struct mosquitto *m, void *arg, int id, int n, const int *granted)
{
    (void)m, (void)id, (void)n, (void)granted;
    Listener *const l = arg;
    pthread_mutex_lock(&l->lock);
    l->subscribed = true;
    pthread_mutex_unlock(&l->lock);
}

static bool is_subscribed(Listener *l)
{
    pthread_mutex_lock(&l->lock);
    const bool out = l->subscribed;
    pthread_mutex_unlock(&l->lock);
    return out;
}

Listener *listener_new(int port, Arrivals *a)
{
    Listener *const l = heap_alloc(sizeof *l, 8);
    mosquitto_lib_init();
    l->arrivals = a;
    pthread_mutex_init(&l->lock, NULL);
    l->m = mosquitto_new("listener", false, l);
    mosquitto_connect_callback_set(l->m, on_connect);
    mosquitto_message_callback_set(l->m, on_message);
    mosquitto_subscribe_callback_set(l->m, on_subscribe);
    mosquitto_reconnect_delay_set(l->m, 1, 1, false);
    assert_int_equal(mosquitto_connect(l->m, "127.0.0.1", port, 30), 0);
    assert_int_equal(mosquitto_loop_start(l->m), 0);
    for (int i = 0; i < 3000 && !is_subscribed(l); i++)
        usleep(10000);
    assert_true(is_subscribed(l));
    return l;
}

void listener_free(Listener *l)
{
    mosquitto_disconnect(l->m);
    mosquitto_loop_stop(l->m, false);
    mosquitto_destroy(l->m);
    pthread_mutex_destroy(&l->lock);
    heap_free(l);
}

const char *listener_state(Listener *l, const char *topic, bool *retained)
{
    pthread_mutex_lock(&l->lock);
    l->out[0] = '\0';
    for (int i = 0; i < l->nstate; i++) {
        if (strcmp(l->state[i].topic, topic) == 0) {
            snprintf(l->out, sizeof l->out, "%s", l->state[i].text);
            *retained = l->state[i].retained;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return l->out;
}

bool listener_wrong_topic(Listener *l)
{
    pthread_mutex_lock(&l->lock);
    const bool wrong = l->wrong_topic;
    pthread_mutex_unlock(&l->lock);
    return wrong;
}
