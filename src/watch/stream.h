/* One stream watched: video -> samples -> events, until it ends; and a recording of one. How
 * samples are judged says judge.h. */
#ifndef LATHE_WATCH_STREAM_H
#define LATHE_WATCH_STREAM_H

#include <signal.h>

#include "watch/judge.h"

typedef struct StreamOptions {
    const char *name, *url;
    const Watch *watch;
    VideoOptions video;
    EventFn event;
    SampleFn sample;        /* before its events; NULL: nobody listens */
    void *arg;
    bool record;            /* look at all signals in every sample */
    int64_t stop_at;        /* media time, us; 0: to the end */
    const volatile sig_atomic_t *stop; /* not 0: as if the video ended here. NULL: nobody asks */
} StreamOptions;

typedef struct StreamReport {
    VideoCounts video;
    EventCounts events;
    int64_t samples, media; /* media: us that were watched */
    double decode, look, rules; /* seconds: reading and decoding; observing; events */
    double hear;            /* sound: decoding it, and its model */
    int nsignal;
    SignalCounts signal[256];
    bool used[256];         /* by a rule */
    AlignCounts align;      /* of the watch's anchors */
    int64_t missing;        /* media at the end of a file that should be there and is not, us */
    char error[256];        /* first message of a signal's failure, or of sound; "" */
} StreamReport;

/* Blocks until the video ends. Everything reported is valid also after a failure. */
int stream_run(ObserveHost *host, const StreamOptions *opt, StreamReport *out, Error *e);
/* Recorded samples of one stream, a line each, through the rules alone; the stream's name is
 * theirs. */
int stream_replay(const char *path, const StreamOptions *opt, StreamReport *out, Error *e);

#endif
