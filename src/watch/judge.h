/* From a frame to records: what a stream that is read at leisure (stream.h), a recording and a live
 * stream (engine.h) do alike.
 *
 *     judge_new(a, host, &opt, &j, &e)
 *     judge_frame(j, &frame)                    // look, tell the sample, then the events that come of it
 *     wanted = grid_next(frame.t, judge_step(j)) // sample_grid.h
 *
 * Samples lie on a grid of media time, fps a second, and closer while an event is pending
 * (event.h: events_rate). In each all signals are looked at that a rule uses, or all there are.
 * Those alone that the rules can need as things stand (of `screen == 'play' && alive <= 10` in
 * the lobby the screen alone) would be cheaper, but a screen that appears would be known a
 * sample earlier than what stands on it, and events would begin later than when they are judged
 * from a recording. */
#ifndef LATHE_WATCH_JUDGE_H
#define LATHE_WATCH_JUDGE_H

#include "watch/event.h"
#include "watch/evidence.h"
#include "watch/observe.h"
#include "watch/packets.h"
#include "watch/reading.h"
#include "watch/video.h"

/* f: NULL where samples come from a recording. Both are valid during the call. */
typedef void (*SampleFn)(void *arg, const Sample *s, const Frame *f);

/* reading: what each signal read as; valid during the call. */
typedef void (*JudgedFn)(void *arg, const Sample *s, const Reading *reading, const Frame *f);

typedef struct JudgeOptions {
    const char *stream;
    const Watch *watch;
    bool all;        /* look at all signals */
    uint64_t run;    /* events_set_run */
    Evidence *evidence; /* pictures of what made events; outlives the judge. NULL: none */
    SampleFn sample; /* before its events; NULL: nobody listens */
    JudgedFn judged; /* after them; NULL likewise */
    EventFn event;
    void *arg;
} JudgeOptions;

typedef struct JudgeTimes {
    int64_t samples;
    double look, rules; /* seconds: observing, but for models that workers run; events */
    double models;      /* what workers took for it */
} JudgeTimes;

typedef struct Judge Judge;

/* Freed with the arena, before the host. host: NULL if only judge_sample will be called. Errors:
 * observer_new's. */
int judge_new(Arena *a, ObserveHost *host, const JudgeOptions *opt, Judge **out, Error *e);
void judge_frame(Judge *j, const VideoFrame *f);
/* Sound (ear.h): the first signal of sound that is looked at; NULL: there is none, and the rest
 * does nothing. */
const Signal *judge_hears(const Judge *j);
/* or the end of a connection; the packet stays the caller's */
void judge_sound(Judge *j, const Packet *p);
/* Before a frame is looked at. False: sound that belongs to it has not come yet, and is "late" if
 * it is looked at now. */
bool judge_listen(Judge *j, const VideoFrame *f);
/* The same in rounds, as observe.h says, with a host that has workers. True: the look is over. */
bool judge_begin(Judge *j, const VideoFrame *f, const ObserverAsk *ask);
bool judge_advance(Judge *j);
/* Sample.left_out of what is looked at from now on (0). */
void judge_left_out(Judge *j, int64_t us);
/* False: it came too late; nothing is told. */
bool judge_end(Judge *j);
/* Gives up what is under way, if anything is. */
void judge_cancel(Judge *j);
/* What was seen already. */
void judge_sample(Judge *j, const Sample *s);
/* us between samples that are wanted now. */
double judge_step(const Judge *j);
/* Nothing was seen until t (event.h). */
void judge_quiet(Judge *j, int64_t t);
/* What is active ends as "stopped". */
void judge_stop(Judge *j);

bool judge_uses(const Judge *j, int signal); /* some rule does */
SignalCounts judge_signal(const Judge *j, int signal);
const char *judge_error(const Judge *j);     /* first failure of a signal, or of sound; "" */
/* Packets of sound that came, and that their decoder had no time for. */
int64_t judge_unheard(const Judge *j);
SpotlightVerdict judge_spotlight(const Judge *j); /* of the last sample */
/* The connection whose sound's process died, told once; 0: none. *e: how. */
int judge_crash(Judge *j, Error *e);
bool judge_lost(const Judge *j);             /* the anchors of the watch, at the last look */
AlignCounts judge_align(const Judge *j);
EventCounts judge_events(const Judge *j);
JudgeTimes judge_times(const Judge *j);

#endif
