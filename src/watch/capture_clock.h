/* When a live frame was captured: by the best clock that its packets tell of.
 *
 *     rtcp      the sender's reports say which time of the stream was which time of day
 *     arrival   time of arrival less what it took longer than the quickest of late: queues come and go
 *
 * The least delay is that of the last one to two minutes, so that clocks that drift apart are
 * followed. */
#ifndef LATHE_WATCH_CAPTURE_CLOCK_H
#define LATHE_WATCH_CAPTURE_CLOCK_H

#include <stdbool.h>

#include "watch/packets.h"

#define CAPTURE_WINDOW 60000000 /* us */

typedef struct CaptureClock { /* zero at first */
    bool began;
    int64_t least, before; /* least of (wall - media) in this window and in the one before, us */
    int64_t since;         /* when this window began */
    int64_t last;          /* media time of the packet before */
    bool told;             /* the sender's reports said that media time told_media was told_wall */
    int64_t told_media, told_wall;
} CaptureClock;

/* us since 1970; media: the packet's, us; wall: when it arrived. */
int64_t capture_clock_arrival(CaptureClock *c, int64_t media, int64_t wall);

/* Sets wall and clock of a packet that has just come. */
void capture_clock_read(CaptureClock *c, Packet *p, int64_t wall);

#endif
