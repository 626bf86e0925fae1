/* A playlist of HTTP Live Streaming (RFC 8216): its segments, and when each was captured, where it
 * says so.
 *
 *     #EXTM3U
 *     #EXT-X-TARGETDURATION:2
 *     #EXT-X-PROGRAM-DATE-TIME:2026-11-21T22:42:18.250Z
 *     #EXTINF:2.000,
 *     live7.ts              <- 22:42:18.250
 *     #EXTINF:2.000,
 *     live8.ts              <- two seconds later
 *
 * A date holds for the segment after it; what comes before and behind follows from durations, up
 * to a discontinuity. */
#ifndef LATHE_WATCH_HLS_PLAYLIST_H
#define LATHE_WATCH_HLS_PLAYLIST_H

#include <stdbool.h>

#include "base/arena.h"

#define HLS_NO_DATE INT64_MIN

typedef struct HlsSegment {
    const char *uri;
    int64_t date;      /* of its first frame, us since 1970; HLS_NO_DATE */
    int64_t duration;  /* us */
    bool discontinuity; /* before it */
} HlsSegment;

typedef struct HlsPlaylist {
    bool ended;        /* EXT-X-ENDLIST */
    int64_t target;    /* us that no segment is longer than; 0: it does not say */
    int nsegment;
    HlsSegment *segment;
} HlsPlaylist;

/* False: it is none. A master playlist has no segments. */
bool hls_playlist_parse(Arena *a, const char *text, HlsPlaylist *out);
/* "2026-11-21T22:42:18.250+01:00" -> us since 1970; HLS_NO_DATE: it is no date. Without a zone it
 * is UTC. */
int64_t hls_date(const char *text);

#endif
