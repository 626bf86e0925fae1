/* When frames of HTTP Live Streaming were captured, by the dates in its playlist
 * (EXT-X-PROGRAM-DATE-TIME), which libav reads over: we see which segment it opens, look up its
 * date in the playlist, and take the next keyframe for the segment's first. */
#ifndef LATHE_WATCH_HLS_CLOCK_H
#define LATHE_WATCH_HLS_CLOCK_H

#include "base/arena.h"
#include "watch/packets.h"

struct AVFormatContext;

typedef struct HlsClock HlsClock;

/* Before the context is opened, whose `opaque` and `io_open` it takes. */
HlsClock *hls_clock_new(Arena *a, struct AVFormatContext *f);
void hls_clock_free(HlsClock *c); /* NULL is allowed */
/* Of a packet that has just come: us since 1970; 0: it is not known. May read the playlist, about
 * each half minute. */
int64_t hls_clock_read(HlsClock *c, const Packet *p);
int64_t hls_clock_target(const HlsClock *c); /* us of a segment at most; 0: not known */

#endif
