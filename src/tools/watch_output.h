/* What `lathe watch` prints and writes of events and samples. */
#ifndef LATHE_TOOLS_WATCH_OUTPUT_H
#define LATHE_TOOLS_WATCH_OUTPUT_H

#include <pthread.h>
#include <stdio.h>

#include "watch/engine.h"

typedef struct WatchOutput {
    const char *events_path, *record_path; /* NULL: none */
    bool json;             /* records instead of short lines */
    bool names;            /* of streams, before short lines */
    bool keep;             /* what is in the file of events: a service goes on with it */
    void (*before)(void *arg), *arg; /* called before a line goes to stdout, under the lock; NULL */
    const Watch *watch;    /* of samples */
    /* the output's own */
    pthread_mutex_t lock;  /* of all that follows, and of the terminal */
    FILE *events, *record;
    bool begun;            /* a sample came */
} WatchOutput;

/* What was in the files stays until there is something to write: whatever fails before costs nobody
 * a recording. */
int output_open(WatchOutput *o, Error *e);
/* `code`: of what went before; it stands, else that of a file that could not be written whole. */
int output_close(WatchOutput *o, int code, Error *e);
/* From any thread. */
void output_event(WatchOutput *o, const EventRecord *r);
/* A spotlight's; of others the lines of status tell. */
void output_system(WatchOutput *o, const SystemRecord *r);
void output_sample(WatchOutput *o, const Sample *s);

#endif
