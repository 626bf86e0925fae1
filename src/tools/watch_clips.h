/* Highlights of a stored video, cut out of it: what stands behind `lathe watch --clips`. */
#ifndef LATHE_TOOLS_WATCH_CLIPS_H
#define LATHE_TOOLS_WATCH_CLIPS_H

#include "base/vec.h"
#include "watch/event.h"
#include "watch/highlight.h"

typedef struct ClipMoments { /* of events whose rule has a `clip` */
    Arena *arena;
    VEC(Moment) at;
    VEC(uint64_t) id;
    int elsewhere;       /* of later epochs, whose place in the file is not known */
} ClipMoments;

void clip_moments_add(ClipMoments *m, const EventRecord *r);

typedef struct WatchClips {
    const char *video, *folder; /* folder NULL: beside the reel, for as long as it is made */
    const char *reel;           /* NULL: none */
    int top;
    int64_t isolate;            /* cut_file's */
} WatchClips;

/* folder/01-EVENT-12.5s.mp4 and so on, the best first, with what is in it in folder/clips.json.
 * ERR_INVALID: no event of the watch has a clip. */
int watch_clips(const WatchClips *w, const ClipMoments *m, Error *e);

#endif
