/* The last packets of a live stream, compressed: what a clip shows of the time before anybody knew
 * that there would be one.
 *
 *     packets ---runs_push--->  which go on from each other  ---ring_add--->
 *
 *     |<------------ at least `span` ------------>|
 *     K . . . . .  K . . . . .  K . . . . .  K . .          K: a keyframe
 *     ^ the oldest is always one
 *
 * Packets are references, not copies. Whole GOPs go from the old end: those that are not needed for
 * the last `span`, and those for which there is no room; a GOP larger than the ring goes as it
 * comes, up to the next keyframe. Sound lies between pictures in the order in which it came.
 *
 * A *run* is what goes on without a break: of one connection, by a clock that neither goes back nor
 * jumps. One picture alone whose time is far from both its neighbours' is damage, and is left out:
 * a picture that jumps is kept aside until the next one says which of the two it is.
 *
 * Both belong to one thread, or to who holds the lock beside them. */
#ifndef LATHE_WATCH_PACKET_RING_H
#define LATHE_WATCH_PACKET_RING_H

#include "watch/packets.h"

typedef struct RunPacket {
    Packet packet;
    int64_t number; /* of all packets of all runs, from 0 */
    int run;
} RunPacket;

typedef struct PacketRuns { /* zero at first */
    int64_t pushed;         /* number of the next one */
    int run;                /* of the last picture; 0: there was none */
    StreamInfo *info;       /* its connection, a reference */
    int64_t last;           /* its dts, us */
    Packet doubt;           /* kept aside; av NULL: none */
} PacketRuns;

/* What follows of it: up to two packets, references of the caller's. 0: it is damage, may be, or
 * nothing can be said of it. */
int runs_push(PacketRuns *s, const Packet *p, RunPacket out[2]);
void runs_free(PacketRuns *s);

typedef struct PacketRing {
    int64_t span, max_bytes; /* us, bytes */
    RunPacket *at;           /* of `cap`, a power of two */
    int cap, first, n;
    int64_t bytes;
    int run; /* of the last picture, its dts and arrival, us */
    int64_t last, arrival;
    bool wait_key;   /* what comes before a keyframe is of no use */
    int64_t evicted; /* packets for which there was no room, though within `span` */
} PacketRing;

void ring_init(PacketRing *r, int64_t span, int64_t max_bytes);
void ring_clear(PacketRing *r); /* frees all that it holds */
void ring_set_span(PacketRing *r, int64_t span);
/* Takes *p over. False: no memory: what comes before the next keyframe is not kept. */
bool ring_add(PacketRing *r, RunPacket *p);
const RunPacket *ring_at(const PacketRing *r, int i); /* 0: the oldest */
/* The run of the packet that arrived at that time; 0: it is not there any more. */
int ring_run_of(const PacketRing *r, int64_t arrival);
/* The packet that a part of a run from time t on (us of the stream's clock) begins with: its last
 * keyframe at or before t, else its first one. -1: there is none of that run. */
int ring_find(const PacketRing *r, int run, int64_t t);

/* A reference of its own. False: no memory. */
bool packet_copy(Packet *out, const Packet *p);

#endif
