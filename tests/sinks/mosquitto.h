/* An MQTT broker of a test, and who listens to it. */
#ifndef LATHE_TESTS_MOSQUITTO_H
#define LATHE_TESTS_MOSQUITTO_H

#include "sinks/broker.h"
#include "sinks/records.h"

typedef struct Listener Listener;

/* mosquitto with its files in the scratch folder; `more`: further lines of its configuration. */
pid_t mosquitto_run(int port, const char *more);
/* Takes all that comes under lathe/# into `a`; QoS 1, and a session that outlives the
 * connection. */
Listener *listener_new(int port, Arrivals *a);
void listener_free(Listener *l);
/* The last text under a topic that is no record, "" if there was none; *retained: as it came. Valid
 * until the next call. */
const char *listener_state(Listener *l, const char *topic, bool *retained);
bool listener_wrong_topic(Listener *l); /* a record came under another topic than its own */

#endif
