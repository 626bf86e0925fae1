/* One stream watched: video -> samples -> events, until it ends.
 *
 * Samples lie on a grid of media time, fps a second, and closer while an event is pending (event.h: events_rate). Of each sample only
 * the signals are looked at that a rule can need, unless the samples are recorded: then all. */
#ifndef LATHE_WATCH_STREAM_H
#define LATHE_WATCH_STREAM_H

#include "watch/event.h"
#include "watch/observe.h"
#include "watch/video.h"

typedef struct StreamOptions {
    const char *name, *url;
    const Watch *watch;
    VideoOptions video;
    EventFn event;
    void (*sample)(void *arg, const Sample *s); /* after its events; NULL: nobody listens */
    void *arg;
    bool record;            /* look at all signals in every sample */
    int64_t stop_at;        /* media time, us; 0: to the end */
} StreamOptions;

typedef struct StreamReport {
    VideoCounts video;
    EventCounts events;
    int64_t samples, media; /* media: us that were watched */
    double decode, look, rules; /* seconds: reading and decoding; observing; events */
    int nsignal;
    SignalCounts signal[256];
    char error[256];        /* first message of a signal's failure; "" */
} StreamReport;

/* Blocks until the video ends. Everything reported is valid also after a failure. */
int stream_run(ObserveHost *host, const StreamOptions *opt, StreamReport *out, Error *e);
/* Recorded samples of one stream, a line each, through the rules alone; the stream's name is theirs. */
int stream_replay(const char *path, const StreamOptions *opt, StreamReport *out, Error *e);

#endif
