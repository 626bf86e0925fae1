/* Packets -> frames: decoding, epochs, and no more of it than the wanted frames need.
 *
 *     decoder_send(d, &packet, wanted)     what no frame at or after `wanted` refers to is not decoded
 *     while (decoder_receive(d, &frame))   frames, with their time in their epoch
 *
 * One decoder serves all connections of a stream: where a packet belongs to another one than the
 * packet before, what the decoder holds back comes out first, and the next frame begins an epoch.
 * It also begins one where the clock goes back by more than frames are reordered, or jumps by more
 * than VIDEO_JUMP, in two frames at least: one alone is damage. Pictures that are not whole, and
 * those that refer to them, do not come out. Arrival and capture time of a packet come out with its
 * frame.
 *
 * Of connections that are isolated (codec.h) receiving waits for `patience` at most, and
 * decoder_busy tells that nothing came because of that.
 *
 * A decoder belongs to one thread. */
#ifndef LATHE_WATCH_DECODE_H
#define LATHE_WATCH_DECODE_H

#include "watch/packets.h"
#include "watch/video.h"

typedef struct DecoderOptions {
    const char *name;  /* for messages */
    bool keyframes;    /* no other frame is wanted; each comes out at once */
    int threads;
    int64_t patience;  /* us to wait for a process of its own (codec.h) */
    bool once;         /* .. for each of its answers: then it is only looked whether it is there */
} DecoderOptions;

typedef struct DecoderCounts {
    /* as in VideoCounts; errors: frames that are not given, too */
    int64_t decoded, dropped, errors;
} DecoderCounts;

typedef struct Decoder Decoder;

Decoder *decoder_new(Arena *a, const DecoderOptions *opt); /* closed with the arena */

typedef enum DecoderTake {
    DECODER_TAKEN,
    DECODER_FRAMES_FIRST /* receive until there are no more, and send it again */
} DecoderTake;

/* Takes what it needs of the packet, which stays the caller's; t: what is wanted. A connection
 * whose codec cannot be had fails with ERR_UNSUPPORTED, and its packets are taken and count as
 * errors. */
int decoder_send(Decoder *d, const Packet *p, int64_t t, DecoderTake *take, Error *e);
/* What comes next does not go on from what was sent: packets between were thrown away. */
void decoder_flush(Decoder *d);
/* All that was sent comes out, without waiting for what follows; from then on as after
 * decoder_flush. */
void decoder_finish(Decoder *d);

typedef struct DecodedFrame {
    VideoFrame frame;  /* without the picture */
    int64_t arrival;   /* of its packet, us, monotonic */
} DecodedFrame;

/* True: the next frame; false: it needs packets, is busy, or failed. */
bool decoder_receive(Decoder *d, DecodedFrame *out);
bool decoder_busy(const Decoder *d); /* .. and is at it still: ask again */
/* Why nothing more comes of this connection, told once; 0: nothing is wrong. *crashed: it is that
 * of its process. */
int decoder_failure(Decoder *d, bool *crashed, Error *e);
/* The picture of the frame that came last; valid until the next call of any of these. */
int decoder_picture(Decoder *d, Frame *out, Error *e);

/* The next frame begins an epoch, whatever its time. */
void decoder_anew(Decoder *d);
PacketPlace decoder_place(const Decoder *d);
int decoder_epochs(const Decoder *d);        /* that began */
/* where the last frame ends, us since the first of all */
int64_t decoder_end(const Decoder *d);
DecoderCounts decoder_counts(const Decoder *d);
double decoder_cpu(const Decoder *d);        /* seconds of processes of its own */

#endif
