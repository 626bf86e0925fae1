/* Which clips a stream's events make: records -> parts, while the stream runs.
 *
 *     event    |---pre---[ start ........ end ]---post---|
 *     another           |---pre---[ point ]---post---|
 *     clip     |<------------ from .. to ----------------|            one of both, as they overlap
 *
 * As highlight.h does of a stored video, but without knowing what comes: a part is open as long as
 * an event may still be told that would overlap it, and *over* then. None is longer than
 * CLIP_LONGEST: what of its events lies beyond that does not show, and an event that starts there
 * makes another part. Parts of a stream do not overlap. Times are of one epoch: none crosses
 * epochs.
 *
 * Pure bookkeeping, of one thread at a time. */
#ifndef LATHE_WATCH_CLIP_PLAN_H
#define LATHE_WATCH_CLIP_PLAN_H

#include "watch/event.h"

#define CLIP_LONGEST 120000000 /* us */
#define CLIP_MAX_EVENTS 256    /* that a part names; it may have more */
#define CLIP_MAX_PARTS 16      /* of a stream, that are not taken yet */
#define CLIP_NAME 192

typedef struct ClipEvent {
    uint64_t id;
    const char *event, *key; /* key NULL: none */
    int64_t t_start, t_end;  /* us, of the epoch; t_end: as far as is known */
    int64_t pre, post;
    int64_t wall; /* of t_start; 0: not known */
    SampleClock clock;
    double weight;
    int severity;
    bool active; /* its end is not told yet */
} ClipEvent;

typedef struct ClipPart {
    Arena *arena;         /* its own and its texts' */
    char name[CLIP_NAME]; /* of the file, without ending: decided when the first event is told */
    int epoch;
    int64_t from, to; /* us; to: while an event is active as far as it can come to be */
    int nevent, more; /* more: events that are not named */
    ClipEvent event[CLIP_MAX_EVENTS]; /* in the order in which they were told; the first one gave
                                         the name */
    bool over;                        /* nothing of it will change */
} ClipPart;

typedef struct ClipPlan ClipPlan;

bool clip_plan_wanted(const Watch *w); /* some event has a clip */
/* How far back from what is judged a part may begin when its event is told, us: the longest `pre`,
 * and the longest that telling takes. */
int64_t clip_plan_reach(const Watch *w);

/* Freed with the arena. */
ClipPlan *clip_plan_new(Arena *a, const char *stream, const Watch *w);
/* Records that come are this watch's. */
void clip_plan_watch(ClipPlan *p, const Watch *w);

/* An event of a record. The name of the part that shows it, valid until the next call; NULL: it has
 * no clip. *part: the one that begins now, or has become longer, perhaps at its front; NULL: none
 * has. now: us since 1970. */
const char *clip_plan_record(ClipPlan *p, const EventRecord *r, int64_t now, ClipPart **part);
/* Everything before t of this epoch was judged. */
void clip_plan_seen(ClipPlan *p, int epoch, int64_t t);
/* The part ends at `to`, whatever its events do. */
void clip_plan_close(ClipPart *part, int64_t to);
/* Nothing more comes: all parts are over. */
void clip_plan_end(ClipPlan *p);

/* Parts in the order in which they began; NULL: there are no more. */
ClipPart *clip_plan_part(const ClipPlan *p, int i);
/* Out of the list, the caller's, who frees its arena. */
void clip_plan_take(ClipPlan *p, ClipPart *part);
/* Likewise, and nobody cuts it: no event is in a clip of its name. */
void clip_plan_drop(ClipPlan *p, ClipPart *part);

#endif
