/* A server for tests: a small video (clip.h) as a transport stream over TCP, and what goes
 * wrong. */
#ifndef LATHE_TESTS_WATCH_CLIP_SERVER_H
#define LATHE_TESTS_WATCH_CLIP_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "watch/clip.h"

typedef enum Manner {
    SERVE,
    CUT,
    SILENT,
    HEAD,
    NOISE,
    RUBBISH /* a burst of it, and the end */,
    FLOOD,
    REFUSE
} Manner;

typedef struct Server {
    int listener;
    char url[64];
    Arena *arena;
    File file;
    const Manner *manner; /* of each connection; the last one goes on */
    int nmanner;
    double rate;          /* bytes a second */
    _Atomic bool over;
    _Atomic int connections;
    pthread_t thread;
} Server;

/* rate: times as fast as life; 0: all at once. The manner of each connection; the last one goes
 * on. */
Server *clip_server_start(const ClipOptions *o, double rate, int n, const Manner *manner);
void clip_server_stop(Server *s);

#define MANNERS(...)                                                                               \
    (int)(sizeof((Manner[]){__VA_ARGS__}) / sizeof(Manner)), (const Manner[])                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

#endif
