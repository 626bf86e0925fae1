/* The pictures of a part that cannot be copied, encoded anew. */
#ifndef LATHE_WATCH_CUT_ENCODE_H
#define LATHE_WATCH_CUT_ENCODE_H

#include <libavcodec/avcodec.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/vec.h"

typedef VEC(AVPacket *) CutPackets; /* times in us */

typedef struct CutEncode {
    const char *name;             /* for messages */
    const AVCodecParameters *par; /* of the packets, and of what comes out */
    AVRational rate;              /* frames a second; 0/1: not known */
    int n;
    /* from a keyframe on, with all that the wanted pictures refer to */
    AVPacket *const *packet;
    int64_t from, to;             /* pictures in [from, to) are wanted */
    int64_t delay;                /* of decoding times behind the times of pictures */
} CutEncode;

/* Is there an encoder whose pictures may stand in one file with copied ones? */
bool cut_can_encode(enum AVCodecID id);
/* Appends packets, the first a keyframe, each with its parameter sets in band. */
int cut_encode(Arena *a, const CutEncode *job, CutPackets *out, Error *e);

#endif
