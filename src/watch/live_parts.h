/* What the files live*.c share: the ring between the reader's thread and who looks at frames. */
#ifndef LATHE_WATCH_LIVE_PARTS_H
#define LATHE_WATCH_LIVE_PARTS_H

#include <pthread.h>

#include "sched/clock.h"
#include "sched/cond.h"
#include "watch/decode.h"
#include "watch/live.h"

/* us: so long libav looks at first at streams that may have more in them (FLV, TS) */
#define LIVE_PROBE_MIN 250000

typedef enum Halt {
    HALT_NOT,
    HALT_FROZEN /* this connection */,
    HALT_CRASHED /* likewise: its decoder's process */,
    HALT_CLOSE
} Halt;

struct Live {
    const char *url, *name;    /* name: as people may see it */
    LiveOptions opt;
    _Atomic int refs;          /* who opened it, and the reader */
    _Atomic int halt;          /* Halt: the source's calls stop */
    pthread_t reader;

    pthread_mutex_t lock;      /* guards what follows up to the next comment */
    pthread_cond_t wake;       /* for either side: room, a packet taken, time to go */
    PacketQueue queue;
    PacketQueue sound;         /* with `hear` */
    LiveState state;
    LiveCause cause;
    LiveCounts counts;         /* the reader's part */
    int connection;            /* number of the last one .. */
    int reading;               /* .. and if the reader is at it still; 0: it is between two */
    /* arrival of the last picture, and of the first behind the last pause, us */
    int64_t newest, resumed;
    bool files_wait;           /* the reader waits where the ring is full */
    bool stuck;                /* .. and does so now */
    bool gone;                 /* the reader is */
    Error error;               /* the last one, of this connection or of the one before */

    pthread_mutex_t telling;   /* guards: nobody is notified any more */
    bool closed;

    /* of the reader */
    uint64_t dice;
    int64_t down_since;        /* of this outage, us; 0: none yet */
    int64_t delay;             /* before the next attempt, us; 0: the connection lasted */
    bool there;                /* the other side is: it sent until the connection was left */
    int64_t probe;             /* us of the stream to look at before it begins */
    int64_t enough;            /* what sufficed for the connection before; 0: there was none */
    int broken;                /* attempts since, in a row, that gave no video */

    /* of who looks */
    Arena *arena;
    Decoder *decoder;
    Packet held;               /* the decoder did not take it yet */
    int epochs;                /* that began with the frames given so far */
    /* with `newest`: the time chosen, and for which wanted one; INT64_MIN: none */
    int64_t aim, aim_for;
    /* pts of the last keyframe that the decoder was given, us; PACKET_NO_TIME: none */
    int64_t key;
    int64_t fed_since;         /* arrival of the first packet since the last frame, us; 0: none */
    int64_t skipped;
    int64_t dropped;           /* packets that no wanted frame needed */
};

/* Under the lock, at most so long. */
static inline void live_wait(Live *l, int64_t us)
{
    cond_wait_until(&l->wake, &l->lock, machine_now() + us);
}

/* Ends this connection, if the reader is at it still. why: NULL: nothing is known. */
void live_halt(Live *l, int connection, Halt halt, const Error *why);
/* The reader's thread: connections, one after another, until it is closed. */
void *live_read(void *live);
/* The last of who opened it and the reader frees it. */
void live_unref(Live *l);

#endif
