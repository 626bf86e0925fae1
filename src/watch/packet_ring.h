/* The last packets of a live stream, compressed: what a clip shows of the time before anybody knew that there would be one.
 *
 *     |<------------ at least `span` ------------>|
 *     K . . . . .  K . . . . .  K . . . . .  K . .  <- push        K: a keyframe
 *     ^ the oldest is always one
 *
 * Packets are references, not copies. Whole GOPs go from the old end: those that are not needed for the last `span`, and
 * those for which there is no room; a GOP larger than the ring goes as it comes, up to the next keyframe. Sound lies between
 * pictures in the order in which it came.
 *
 * A *run* is what goes on without a break: of one connection, by a clock that neither goes back nor jumps. One picture alone whose
 * time is far from both its neighbours' is damage, and is left out: a picture that jumps is kept aside until the next one says
 * which of the two it is.
 *
 * Belongs to one thread, or to who holds the lock beside it. */
#ifndef LATHE_WATCH_PACKET_RING_H
#define LATHE_WATCH_PACKET_RING_H

#include "watch/packets.h"

typedef struct RingPacket {
    Packet packet;
    int64_t number;      /* of all that were ever kept, from 0 */
    int run;
} RingPacket;

typedef struct PacketRing {
    int64_t span, max_bytes; /* us, bytes */
    RingPacket *at;          /* of `cap`, a power of two */
    int cap, first, n;
    int64_t bytes;
    int64_t pushed;          /* number of the next one */
    int run;                 /* of the last picture */
    const StreamInfo *info;  /* its connection, only compared; NULL: none yet */
    int64_t last;            /* its dts, us */
    bool wait_key;           /* what comes before a keyframe is of no use */
    Packet doubt;            /* av NULL: none */
    int64_t evicted;         /* packets for which there was no room, though within `span` */
} PacketRing;

void ring_init(PacketRing *r, int64_t span, int64_t max_bytes);
void ring_free(PacketRing *r);
/* Forgets all packets; runs are counted on. */
void ring_clear(PacketRing *r);
/* Other bounds, at once. */
void ring_resize(PacketRing *r, int64_t span, int64_t max_bytes);
/* Takes a reference. Returns how many packets are new in the ring: with the one in doubt, 0 to 2; they are the last ones. -1: no
 * memory: a new run begins. */
int ring_push(PacketRing *r, const Packet *p);
const RingPacket *ring_at(const PacketRing *r, int i); /* 0: the oldest */
/* Where the run begins or goes on whose packet arrived at that time; -1: it is not there any more. */
int ring_run_at(const PacketRing *r, int64_t arrival);
/* The packet that a part of a run from time t on (us of the stream's clock) begins with: its last keyframe at or before t, else its first one.
 * -1: there is none of that run. */
int ring_find(const PacketRing *r, int run, int64_t t);

int64_t packet_cost(const Packet *p); /* bytes that keeping it takes */
/* A reference of its own. False: no memory. */
bool packet_copy(Packet *out, const Packet *p);

#endif
