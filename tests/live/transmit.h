/* Films sent as live streams through every transport, with a relay between that does wrong what it
 * is told to (relay.c).
 *
 *     Transmission t = transmit_new("rtmp");
 *     transmit_start(&t, 2, film, true);
 *     live_open(t.url, ..)
 *     fault_inject(&t, fault_draw(&t, &dice));
 *     transmit_stop(&t);
 *
 * RTSP comes from rtsp_server.c, the others from sender.c; HLS is files that an HTTP server
 * hands out. A test that cannot start what it needs ends. */
#ifndef LATHE_TESTS_TRANSMIT_H
#define LATHE_TESTS_TRANSMIT_H

#include <stdbool.h>

#include "game/dice.h"
#include "live/child.h"

typedef struct Transmission {
    const char *name;
    char letter;       /* r(tsp) m (rtmp) s u h */
    char folder[64];   /* of HLS's files, and for whoever wants one; goes with transmit_stop */
    char url[256];     /* where a reader finds it, through the relay */
    Child sender, relay, server; /* pid 0: there is none */
} Transmission;

/* rtsp, rtsp_middle (every connection begins in the middle of a group of pictures), rtmp, srt, udp,
 * hls. False: no such one. */
bool transmit_new(const char *name, Transmission *out);
extern const char *const transmit_names; /* "rtsp|rtsp_middle|.." */
/* film: what is sent, over and over; further ones (two in all where there are `faults`) are what
 * the sender's `change` goes to. faults: RTSP's server makes some of its own, in every connection;
 * other transports when they are told to. Readers of UDP and HLS find the film under way. */
void transmit_start(Transmission *t, int nfilm, const char *const *film, bool faults);
void transmit_stop(Transmission *t);

/* What can go wrong. */
typedef enum FaultWho { FAULT_NOBODY, FAULT_RELAY, FAULT_SENDER } FaultWho;

typedef struct LiveFault {
    const char *name, *transports; /* by their first letters */
    FaultWho who;
    const char *verb;
    double amount, away; /* away: seconds in which nothing can come */
} LiveFault;

#define LIVE_FAULTS 16
extern const LiveFault live_fault[LIVE_FAULTS];

/* A kind that this transport has. */
int fault_draw(const Transmission *t, Dice *dice);
void fault_inject(const Transmission *t, int kind);

#endif
