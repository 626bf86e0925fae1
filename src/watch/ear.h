/* What is heard beside a stream's pictures: the model of voice over its sound, asked at the times
 * of samples.
 *
 *     ear_take(ear, &packet)                     // sound, in the order in which it comes
 *     if (!ear_until(ear, &frame, &heard)) ..    // more is to come: wait for packets, or do with "late"
 *     ear_judged(ear)
 *
 * A sample hears the most probable of all steps of the model (32 ms) that ended since the sample
 * before: a word between two samples is not lost, nor is one whose sample was left out, given up or
 * judged before its sound had come: the next one hears it. The first sample of an epoch hears what
 * ended in the second before.
 *
 * **Clocks.** Sound belongs to pictures of the same connection, at the same time of the stream's
 * clock (live.h). Each connection, and each place where the sound does not go on from what came
 * before, begins with a model that has heard nothing. Where the clock goes back, sound and pictures
 * do so at different moments: sound of before is passed over once the pictures are behind it, and
 * sound behind it waits for them; for EAR_PATIENCE of either, as it may have been the one alone.
 *
 * What an ear says depends on the packets and on the frames asked for, in their orders, not on
 * what came first: so a file gives the same, however it is read. An ear belongs to one thread. */
#ifndef LATHE_WATCH_EAR_H
#define LATHE_WATCH_EAR_H

#include "watch/packets.h"
#include "watch/video.h"
#include "watch/voice.h"

#define EAR_PATIENCE 10000000 /* us */

typedef struct Heard {
    const char *unknown; /* why nothing can be said: "no sound" (there is none at this time), "late"
                            (it has not come yet), "error"; NULL: */
    float probability;
} Heard;

typedef struct Ear Ear;

/* name: for messages. voice: its own. Closed with the arena. */
Ear *ear_new(Arena *a, const char *name, Voice *voice);
/* Packets of sound and ends of connections, as live_sound gives them; the packet stays the
 * caller's. */
void ear_take(Ear *ear, const Packet *p);
/* All until this frame. False: packets are needed that have not come, and *out is "late". */
bool ear_until(Ear *ear, const VideoFrame *f, Heard *out);
/* What was heard has been judged. */
void ear_judged(Ear *ear);
const char *ear_error(const Ear *ear); /* first message of what went wrong; "" */
int ear_crash(Ear *ear, Error *e);     /* sound_decoder_crash */
int64_t ear_lost(const Ear *ear);      /* sound_decoder_lost */

#endif
