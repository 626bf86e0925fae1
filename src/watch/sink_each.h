/* One sink and the thread that delivers what waits for it (sink.h says how). */
#ifndef LATHE_WATCH_SINK_EACH_H
#define LATHE_WATCH_SINK_EACH_H

#include "watch/outbox.h"

typedef struct Sink Sink;

/* Whether it could be a sink: name, url, that this build has its kind. */
int sink_check(const SinkSpec *spec, Error *e);
/* The spec is copied. Nothing runs yet. */
int sink_new(Outbox *outbox, const SinkSpec *spec, Sink **out, Error *e);
int sink_start(Sink *s, Error *e);
/* Its thread ends; what is under way stays on disk. */
void sink_stop(Sink *s);
void sink_free(Sink *s); /* stopped, or never started */

const SinkSpec *sink_spec(const Sink *s);
int sink_number(const Sink *s); /* in the outbox */
bool sink_is(const Sink *s, const SinkSpec *spec); /* the same in everything */
/* Of an event's name; * stands for any text. */
bool sink_fits(const char *pattern, const char *text);
bool sink_wants(const Sink *s, const SinkRecord *r);
void sink_added(Sink *s, int64_t seq); /* a row of it is in the outbox */
bool sink_busy(Sink *s);  /* something waits and it may soon be delivered */
SinkCounts sink_counts_now(Sink *s);

#endif
