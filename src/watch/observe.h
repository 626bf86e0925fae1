/* From frames to observations: what each signal sees in a frame (observation.h says what the fields mean).
 *
 *     Observer *o;                                            // one a stream
 *     observer_new(a, host, watch, &o, &e)                    // reads references and looks into models
 *     observer_look(o, &frame, t, need, observation)
 *
 * A signal whose region has not changed since it was last looked at gives what it gave then (`reused`), for `max_age` at most.
 * Only regions are read from a frame, and only those of signals that are needed.
 *
 * What cannot be judged is unknown, with a reason; a model that fails makes its signals unknown ("error": the first
 * message is kept) and harms nothing else. */
#ifndef LATHE_WATCH_OBSERVE_H
#define LATHE_WATCH_OBSERVE_H

#include "kernel/frame.h"
#include "watch/picture_net.h"
#include "watch/watch.h"

/* What the observers of a process share: models, compiled once. Used by one thread at a time. */
typedef struct ObserveHost ObserveHost;
ObserveHost *observe_host_new(Arena *a, const NetHost *nets);

typedef struct Observer Observer;
/* Freed with the arena, before the host. ERR_IO and so on: a reference that cannot be read, a model that is none or is not there. */
int observer_new(Arena *a, ObserveHost *host, const Watch *w, Observer **out, Error *e);
/* out[w->nsignal]; what it points to is valid until the next call. t: media time, us. */
void observer_look(Observer *o, const Frame *f, int64_t t, const bool *need, Observation *out);
/* Forgets what was seen: the stream began anew. */
void observer_reset(Observer *o);

typedef struct SignalCounts {
    int64_t seen, reused, unknown, errors;
    double seconds;
} SignalCounts;
SignalCounts observer_counts(const Observer *o, int signal);
const char *observer_error(const Observer *o, int signal); /* the last message; "" */

#endif
