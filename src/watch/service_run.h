/* A service that runs: the engine with its streams, the sinks, and the file that says so, which may
 * change.
 *
 *     ServiceRun *r;
 *     service_start("watches.yaml", &opt, &r, &e)
 *     while (..) {
 *         sleep; if (service_changed(r) || asked) service_reload(r, &change, &e);
 *     }
 *     service_stop(r, timeout)
 *
 * **Reload**: the file, its watches and what these name are read anew. If anything is wrong with
 * them, all goes on as it was. Else only what changed is touched, by the names of streams: the
 * others lose no sample. A stream whose change cannot be made (its references cannot be read)
 * goes on as it was, too, and is told of. Sinks come and go likewise. One thread at a time. */
#ifndef LATHE_WATCH_SERVICE_RUN_H
#define LATHE_WATCH_SERVICE_RUN_H

#include "watch/service.h"
#include "watch/store.h"
#include "watch/telling.h"

typedef struct ServiceOptions {
    const NetHost *nets;
    /* Besides the sinks; as of EngineOptions, but that events and what happens to streams are told
     * once the outbox has them (telling.h). */
    void (*event)(void *arg, const EventRecord *r, int64_t latency);
    void (*system)(void *arg, const SystemRecord *r);
    /* NULL: nobody listens */
    void (*sample)(void *arg, const char *stream, const Sample *s, const Frame *f);
    /* what was cut, or could not be (clips.h: told); NULL: nobody listens */
    void (*clip)(void *arg, const char *line);
    void *arg;
} ServiceOptions;

typedef struct ServiceChange {
    int added, removed, edited, same, failed; /* streams */
    int sinks_added, sinks_removed, sinks_edited;
    double seconds;
} ServiceChange;

typedef struct ServiceRun ServiceRun;

/* All streams or none. */
int service_start(const char *path, const ServiceOptions *opt, ServiceRun **out, Error *e);
/* Something that was read is other than it was when it was read last. */
bool service_changed(ServiceRun *r);
/* On an error `out` says what was done none the less: nothing (the file is wrong), or all but the
 * streams that failed. */
int service_reload(ServiceRun *r, ServiceChange *out, Error *e);
Engine *service_engine(ServiceRun *r);
const Service *service_now(const ServiceRun *r);
/* Sinks; NULL: there are none. In the order of service_now. */
Sinks *service_sinks(ServiceRun *r);
Store *service_store(ServiceRun *r); /* NULL: there is none */
TellingCounts service_telling(const ServiceRun *r); /* of records on their way to sinks and page */
int service_port(const ServiceRun *r); /* of the page; 0: there is none */
const char *service_address(ServiceRun *r); /* "127.0.0.1:8080": where the page is; NULL */
/* Streams end as "stopped"; clips that wait are cut, and sinks deliver, until `timeout` (us) each.
 * After it there is no engine, but what waits and was lost can be asked. */
void service_drain(ServiceRun *r, int64_t timeout);
/* Drains, and frees all. */
void service_stop(ServiceRun *r, int64_t timeout);

#endif
