/* From frames to observations: what each signal sees in a frame (observation.h says what the fields
 * mean).
 *
 *     Observer *o;                                            // one a stream
 *     observer_new(a, host, watch, &o, &e)                    // reads references and looks into models
 *     observer_look(o, &frame, t, need, observation)
 *
 * A signal whose region has not changed since it was last looked at gives what it gave then
 * (`reused`), for `max_age` at most. Only regions are read from a frame, and only those of signals
 * that are needed.
 *
 * Where the watch has anchors (align.h), regions lie where these say; while they are lost all is
 * unknown ("align lost").
 *
 * What cannot be judged is unknown, with a reason; a model that fails makes its signals unknown
 * ("error": the first message is kept) and harms nothing else.
 *
 * Where models are shared by many streams, a look goes in **rounds**: what needs no model is done
 * at once, models are asked (inference.h), and when all have answered, the look goes on, perhaps
 * with other questions: of a page first where its lines are, then what they say.
 *
 *     over = observer_begin(o, &frame, t, need, &ask);      // ask.ready: called once, when all that was asked is answered
 *     ... later, after ask.ready:
 *     over = observer_advance(o);                           // not over: ask.ready will be called again
 *     ... over:
 *     in_time = observer_end(o, observation);               // the frame is not needed any more
 *
 * It gives the same observations to the bit. A question whose deadline cannot be met any more is
 * given up: the look is then over at the next advance, was in vain and leaves no trace, but in
 * signals that ask no model. */
#ifndef LATHE_WATCH_OBSERVE_H
#define LATHE_WATCH_OBSERVE_H

#include "kernel/frame.h"
#include "sched/workers.h"
#include "watch/align.h"
#include "watch/picture_net.h"
#include "watch/watch.h"

/* What the observers of a process share: models, compiled once. Freed with the arena, after all its
 * observers. */
typedef struct ObserveHost ObserveHost;
/* workers: that run the models for all observers, who then look in rounds; NULL: there are none,
 * looks are for one thread at a time. nets: outlives it. */
ObserveHost *observe_host_new(Arena *a, const NetHost *nets, Workers *workers);

struct VoiceModel;
/* One for each model of voice (voice.h); path: NULL: the default. Not while another observer is
 * made. */
int observe_voice(ObserveHost *h, const char *path, struct VoiceModel **out, Error *e);

/* One stream's. An observer belongs to one thread at a time; those of a host with workers may be
 * used at once. */
typedef struct Observer Observer;
/* Freed with the arena; one at a time for a host. ERR_IO and so on: a reference that cannot be
 * read, a model that is none or is not there. With workers, models of known sizes are compiled
 * here. */
int observer_new(Arena *a, ObserveHost *host, const Watch *w, Observer **out, Error *e);
/* All of a look at once, where there are no workers. out[w->nsignal]; what it points to is valid
 * until the next look. t: media time, us. */
void observer_look(Observer *o, const Frame *f, int64_t t, const bool *need, Observation *out);
/* What was heard since the last sample, for one of the watch's signals of sound, before the look:
 * the probability of voice, or why there is none. */
void observer_hear(Observer *o, int signal, float probability, const char *unknown);
/* Forgets what was seen: the stream began anew. Not within a look. */
void observer_reset(Observer *o);

typedef struct ObserverAsk {
    /* us of clock_machine: of the frame, and when all must be over; INT64_MAX: any time */
    int64_t arrival, deadline;
    int source;                 /* the stream's number: models are shared fairly between these */
    /* from any thread, maybe before begin or advance return; it must not look on itself */
    void (*ready)(void *arg);
    void *arg;
} ObserverAsk;

/* With workers. True: the look is over. The frame, `need` and what `ask` points to are not kept but
 * for the frame, whose pixels stay until observer_end. */
bool observer_begin(Observer *o, const Frame *f, int64_t t, const bool *need,
                    const ObserverAsk *ask);
bool observer_advance(Observer *o);
/* Of a look that is over. False: it came too late and *out is not set. */
bool observer_end(Observer *o, Observation *out);
/* Ends a look at any point, as too late; waits for what models are computing for it. `ready` is not
 * called any more once it returns. Nothing to do if there is no look. For who closes a stream;
 * afterwards observers may be freed. */
void observer_cancel(Observer *o);

/* Of the last look: the watch has anchors, and they are lost; where the reference picture lies in
 * its frame. */
bool observer_lost(const Observer *o);
FramePlace observer_place(const Observer *o, const Frame *f);
AlignCounts observer_align(const Observer *o);

typedef struct SignalCounts {
    int64_t seen, reused, unknown, errors;
    double seconds;
} SignalCounts;
SignalCounts observer_counts(const Observer *o, int signal);
const char *observer_error(const Observer *o, int signal); /* the last message; "" */

#endif
