/* One stored video, or a recording of one, through a watch: as fast as it goes, with a report and a
 * score. */
#ifndef LATHE_TOOLS_WATCH_VIDEO_H
#define LATHE_TOOLS_WATCH_VIDEO_H

#include "tools/watch_output.h"
#include "watch/stream.h"

typedef struct WatchVideo {
    const Watch *watch;
    const char *video;     /* a file; .. */
    const char *replay;    /* .. or a recording */
    const char *expect;    /* events that are in it; NULL */
    double tolerance;      /* of starts, seconds; 0: one sample */
    bool test;             /* *good: nothing was missed, nothing too much */
    const char *clips;     /* folder: a clip of each highlight; NULL */
    const char *reel;      /* file: all of them; NULL */
    int top;               /* so many highlights */
    double seconds;        /* only the first so many; 0: all */
    bool keyframes;
    int64_t isolate;       /* VideoOptions.isolate */
    const volatile sig_atomic_t *stop;
    NetHost nets;
} WatchVideo;

int watch_video(const WatchVideo *w, WatchOutput *o, bool *good, Error *e);

#endif
