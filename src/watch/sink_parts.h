/* Between the files of one sink: what there is of it (sink_each.c), and its thread
 * (sink_delivery.c). */
#ifndef LATHE_WATCH_SINK_PARTS_H
#define LATHE_WATCH_SINK_PARTS_H

#include <pthread.h>
#include <time.h>

#include "sched/clock.h"
#include "watch/sink_each.h"
#include "watch/sink_link.h"

#define SINK_SECOND INT64_C(1000000) /* us */

struct Sink {
    Arena *arena;
    SinkSpec spec;          /* in arena */
    const SinkLinkKind *kind;
    Outbox *outbox;
    int number;
    SinkSite site;
    atomic_bool stop, came; /* came: rows that were not looked at */
    bool started;
    pthread_t thread;
    pthread_mutex_t lock;   /* guards what follows */
    SinkCounts counts;
    int64_t counted;        /* rows up to this seq were counted at the start */
};

/* The thread; arg: the Sink. Ends once s->stop is set and s->site.wake woken. */
void *sink_deliver(void *arg);

#endif
