/* A Codec whose libav is in a process of its own (isolated.h): what codec.h asks of it, and how
 * frames come over.
 *
 *     shared memory:   | slot 0 | slot 1 | slot 2 |  larger ones behind them, once frames need them ..
 *
 * The service alone says which slot is written, and none is while a frame in it is referenced.
 * The area only grows, at least doubling, so that all of it is at most twice what the largest
 * frame needs. */
#ifndef LATHE_WATCH_ISOLATED_CODEC_H
#define LATHE_WATCH_ISOLATED_CODEC_H

#include "watch/codec.h"
#include "watch/isolated.h"

/* places for frames in a child: those of the last three, and of one that it has not told yet */
#define CODEC_KEPT 4
#define CODEC_ALIGN 64    /* of planes' rows */
#define SOUND_MOST (1 << 20) /* samples of a frame of sound */

typedef struct IsolatedCodec IsolatedCodec;

int isolated_codec_new(StreamInfo *info, const CodecOptions *opt, IsolatedCodec **out, Error *e);
void isolated_codec_free(IsolatedCodec *c);
CodecTake isolated_codec_send(IsolatedCodec *c, const AVPacket *p, int64_t number,
                              enum AVDiscard skip);
void isolated_codec_drain(IsolatedCodec *c);
void isolated_codec_flush(IsolatedCodec *c);
CodecResult isolated_codec_receive(IsolatedCodec *c, AVFrame *out, int64_t patience);
int isolated_codec_pixels(IsolatedCodec *c, AVFrame *f, Error *e);
bool isolated_codec_crashed(const IsolatedCodec *c, Error *e);
double isolated_codec_cpu(const IsolatedCodec *c);

/* What a frame is, without its pixels, in a message; false: it cannot be. number: of the frame
 * among those of its child. */
void wire_frame(Wire *w, const AVFrame *f, bool sound, int64_t number);
bool wire_get_frame(WireIn *in, AVFrame *out, bool sound, int64_t *number);
/* Bytes of its pixels, or of its sound, in a slot; negative: of no kind that can be brought. */
int64_t frame_bytes(const AVFrame *f, bool sound);

#endif
