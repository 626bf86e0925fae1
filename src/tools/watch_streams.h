/* Many streams at once, live or stored: a service by its file, or what the command line names. */
#ifndef LATHE_TOOLS_WATCH_STREAMS_H
#define LATHE_TOOLS_WATCH_STREAMS_H

#include <signal.h>

#include "tools/watch_output.h"
#include "watch/picture_net.h"

typedef struct WatchStreams {
    const char *service;       /* file; NULL: the videos */
    const Watch *watch;        /* of the videos */
    int nvideo;
    char *const *video;        /* files, judged as fast as they can be read, or URLs */
    bool keyframes;
    int64_t isolate;           /* VideoOptions.isolate, of the videos */
    int workers;               /* 0: as the service says, or one a CPU */
    const volatile sig_atomic_t *stop, *reload; /* counts of requests */
    NetHost nets;
} WatchStreams;

/* Until all is over, or *stop. *good: every stream could be watched. */
int watch_streams(const WatchStreams *w, WatchOutput *o, bool *good, Error *e);

#endif
