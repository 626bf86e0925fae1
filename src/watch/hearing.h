/* The ears of a watch: one for each model of voice that its signals of sound name.
 *
 *     hearing_new(a, host, watch, need, name, &h, &e)     // h NULL: nothing is to be heard
 *     hearing_take(h, &packet)
 *     whole = hearing_until(h, &frame, observer)          // tells the observer what each signal heard
 *     hearing_judged(h)
 */
#ifndef LATHE_WATCH_HEARING_H
#define LATHE_WATCH_HEARING_H

#include "watch/ear.h"
#include "watch/observe.h"

typedef struct Hearing Hearing;

/* need[w->nsignal]. Freed with the arena, before the host. Errors: observe_voice's, with the
 * signal's place. */
int hearing_new(Arena *a, ObserveHost *host, const Watch *w, const bool *need, const char *name,
                Hearing **out, Error *e);
void hearing_take(Hearing *h, const Packet *p);
/* False: some sound that belongs to this frame has not come yet: those signals are unknown if it is
 * looked at now. */
bool hearing_until(Hearing *h, const VideoFrame *f, Observer *o);
void hearing_judged(Hearing *h);
const Signal *hearing_signal(const Hearing *h); /* the first that hears */
int hearing_crash(Hearing *h, Error *e); /* sound_decoder_crash, of any ear */
int64_t hearing_lost(const Hearing *h); /* packets, of the ear that lost the most */
const char *hearing_error(const Hearing *h);

#endif
