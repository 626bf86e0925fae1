/* Packets of sound -> mono sound of 16 kHz, with its times: as models of speech want it.
 *
 *     sound_decoder_send(d, &packet, &e)
 *     while (sound_decoder_receive(d, &part)) ...
 *
 * Times are counted, by 16000 a second, from where the sound began: packets' own are rounded and,
 * of live streams, set right now and then. Where a packet's time differs from what was counted by
 * more than SOUND_GAP, something is missing or the clock jumped, and counting begins anew there:
 * the part does not *follow*. Damaged packets are passed over, which leaves such a gap.
 *
 * One decoder serves all connections of a stream. It belongs to one thread. */
#ifndef LATHE_WATCH_SOUND_DECODE_H
#define LATHE_WATCH_SOUND_DECODE_H

#include "watch/packets.h"

#define SOUND_RATE 16000
#define SOUND_GAP 60000 /* us */

typedef struct SoundDecoder SoundDecoder;

/* name: for messages. Closed with the arena */
SoundDecoder *sound_decoder_new(Arena *a, const char *name);

/* The packet stays the caller's; the end of a connection (av NULL) brings out what was held back.
 * Receive all there is before the next one. ERR_UNSUPPORTED: it cannot be decoded, nor can what
 * else comes of this connection; ERR_IO: likewise, a process of its own (codec.h) died;
 * ERR_MEMORY. */
int sound_decoder_send(SoundDecoder *d, const Packet *p, Error *e);

/* The connection whose process died, or said what cannot be, told once; 0: none. *e: how. */
int sound_decoder_crash(SoundDecoder *d, Error *e);
/* Packets that were passed over, as the process that decodes was busy for too long. */
int64_t sound_decoder_lost(const SoundDecoder *d);

typedef struct SoundPart {
    const float *at;  /* -1 to 1; valid until the next call */
    int n;
    int64_t start;    /* when it begins, us of the stream's clock .. */
    int64_t end;      /* .. and where the next one begins that follows */
    bool follows;     /* it goes on from the part before */
} SoundPart;

/* 1: *out; 0: it needs packets; ERR_UNSUPPORTED: this part cannot be made mono of 16 kHz;
 * ERR_MEMORY. */
int sound_decoder_receive(SoundDecoder *d, SoundPart *out, Error *e);

#endif
