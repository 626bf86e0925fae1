/* A Source whose libav is in a process of its own (isolated.h): what source.h asks of it. */
#ifndef LATHE_WATCH_ISOLATED_SOURCE_H
#define LATHE_WATCH_ISOLATED_SOURCE_H

#include "watch/isolated.h"
#include "watch/source.h"

#define WIRE_URL 8192 /* bytes of an address */

typedef struct IsolatedSource { /* zero at first */
    Isolated *process;
    double cpu;            /* seconds, when it gave something last */
    int64_t waited;        /* us for it, since its last picture */
    SourceFailure failure;
    StreamInfo *info, *sound;
    bool stored, bursts;
    int64_t duration;
} IsolatedSource;

/* As source_connect, source_read and source_close; opt->isolate says how much memory it has. */
int isolated_connect(IsolatedSource *s, const char *url, const char *name, const SourceOptions *opt,
                     Error *e);
int isolated_read(IsolatedSource *s, const char *name, const SourceOptions *opt, Packet *out,
                  Error *e);
void isolated_leave(IsolatedSource *s);

/* Between the two: opt's numbers. False: what came was none. */
bool source_options_get(WireIn *in, char url[WIRE_URL], SourceOptions *opt);

#endif
