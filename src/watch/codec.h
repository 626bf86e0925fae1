/* Packets -> frames by libav's decoders, in this process or, of streams that ask for it, in one of
 * its own (isolated.h).
 *
 *     codec_send(c, packet, number, skip)          CODEC_FULL: receive first, and send it again
 *     while (codec_receive(c, frame, patience) == CODEC_FRAME)
 *         .. codec_pixels(c, frame, &e) ..         what is in it, if it is wanted
 *
 * info->isolate says which. In both cases the same packets give the same frames in the same order.
 * A frame that comes out of another process has no data until codec_pixels brings it: of thirty
 * frames a second two are looked at. It stays as it is until it is unreferenced.
 *
 * Nothing here waits for a process longer than `patience`, but codec_pixels, and that only for a
 * copy. A process that dies, hangs or says what cannot be is CODEC_FAILED from then on; `crashed`
 * tells that from a codec that cannot be had.
 *
 * A codec belongs to one thread. */
#ifndef LATHE_WATCH_CODEC_H
#define LATHE_WATCH_CODEC_H

#include <libavcodec/avcodec.h>

#include "watch/packets.h"

typedef struct CodecOptions {
    const char *name;    /* for messages; lives as long */
    int threads;
    bool keyframes;      /* others are not decoded at all */
} CodecOptions;

typedef enum CodecTake { CODEC_TAKEN, CODEC_FULL } CodecTake;
typedef enum CodecResult {
    CODEC_FRAME,
    CODEC_NEEDS,    /* packets */
    CODEC_END,      /* all is out since codec_drain; codec_flush, then packets again */
    CODEC_DAMAGED,  /* a frame that could not be decoded; maybe there are more */
    CODEC_REFUSED,  /* the packet that was sent last could not be decoded; likewise */
    CODEC_BUSY,     /* not yet: ask again */
    CODEC_FAILED    /* codec_crashed says why; nothing more will come */
} CodecResult;

typedef struct Codec Codec;

/* Of pictures or of sound. ERR_UNSUPPORTED: there is none for this, ERR_MEMORY, ERR_IO: no process.
 * In a process of its own the first may come later, as CODEC_FAILED. */
int codec_new(StreamInfo *info, const CodecOptions *opt, Codec **out, Error *e);
void codec_free(Codec *c); /* NULL is allowed */

/* number: goes with the packet and comes out with its frame (reordered_opaque). */
CodecTake codec_send(Codec *c, const AVPacket *p, int64_t number, enum AVDiscard skip);
void codec_drain(Codec *c); /* no more packets until all is out */
void codec_flush(Codec *c); /* all that it holds is forgotten */
/* patience: us. */
CodecResult codec_receive(Codec *c, AVFrame *out, int64_t patience);
/* The frame that came last or the one before it. ERR_UNSUPPORTED: a format of pixels that cannot be
 * brought; ERR_IO: its process. */
int codec_pixels(Codec *c, AVFrame *f, Error *e);

/* after CODEC_FAILED, and codec_pixels; *e: why it failed, also if it did not crash */
bool codec_crashed(const Codec *c, Error *e);
double codec_cpu(const Codec *c); /* seconds of a process of its own; else 0 */

/* libav's decoder, opened; what both kinds share. ERR_UNSUPPORTED, ERR_MEMORY. */
int codec_open_libav(const StreamInfo *info, const CodecOptions *opt, AVCodecContext **out,
                     Error *e);

#endif
