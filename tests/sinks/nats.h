/* A NATS server of a test, and who listens to it. */
#ifndef LATHE_TESTS_NATS_H
#define LATHE_TESTS_NATS_H

#include <nats/nats.h>

#include "sinks/broker.h"
#include "sinks/records.h"

/* With JetStream, its files in the scratch folder, if `jetstream`; `option`: one more, or NULL. */
pid_t nats_run(int port, bool jetstream, const char *option);

typedef struct Ear { /* a connection of the test's own */
    natsConnection *connection;
    natsSubscription *subscription;
    Arrivals *arrivals;
} Ear;

/* `a`: takes what comes under lathe.>, from now on; NULL: nothing is listened to. */
void ear_open(Ear *ear, int port, Arrivals *a);
void ear_close(Ear *ear);
/* A stream of lathe.>, in files; `max`: messages it holds, refusing what comes then (-1: no
 * bound). */
void ear_make_stream(Ear *ear, int64_t max);
void ear_change_stream(Ear *ear, int64_t max);
/* All that is in the stream goes to `a`, in its order. */
void ear_read_stream(Ear *ear, Arrivals *a);
uint64_t ear_stream_length(Ear *ear);

#endif
