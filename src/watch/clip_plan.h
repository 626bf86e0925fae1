/* Which clips a stream's events make: records -> parts, while the stream runs.
 *
 *     event    |---pre---[ start ........ end ]---post---|
 *     another           |---pre---[ point ]---post---|
 *     clip     |<------------ from .. to ----------------|            one of both, as they overlap
 *
 * As highlight.h does of a stored video, but without knowing what comes: a clip is *open* as long as an event of it is, and as long as
 * one may still be told that would overlap it. No clip is longer than CLIP_LONGEST: what of its events lies beyond it does not show,
 * and an event that starts there makes another one. Clips of a stream do not overlap. Times are of one epoch: none crosses epochs.
 *
 * Pure bookkeeping, of one thread at a time. */
#ifndef LATHE_WATCH_CLIP_PLAN_H
#define LATHE_WATCH_CLIP_PLAN_H

#include "watch/event.h"
#include "watch/highlight.h"

#define CLIP_LONGEST 120000000 /* us */
#define CLIP_MAX_EVENTS 256    /* that one names; it may have more */

typedef struct ClipEvent {
    uint64_t id;
    const char *event, *key; /* key NULL: none */
    int64_t t_start, t_end;  /* us, of the epoch */
    int64_t pre, post;
    int64_t wall;            /* of t_start; 0: not known */
    double weight;
    int severity;
    bool active;             /* its end is not told yet */
} ClipEvent;

typedef struct ClipPart {
    Arena *arena;            /* of its texts, and of itself; whoever takes the part frees it */
    char name[200];          /* of the file, without ending: decided when the first event is told */
    int epoch;
    int64_t from, to;        /* us; to: as long as an event is active, from + CLIP_LONGEST */
    int64_t wall;            /* of `from`; 0: not known */
    SampleClock clock;
    int nevent, more;        /* more: events that are not named */
    ClipEvent event[CLIP_MAX_EVENTS]; /* in the order in which they were told; the first one gave the name */
    bool over;               /* nothing joins it any more, and nothing of it is active */
    void *held;              /* by who asked for clips; NULL at first */
} ClipPart;

typedef struct ClipPlan ClipPlan;

/* Is there any event with a clip? */
bool clip_plan_wanted(const Watch *w);
/* How far back a clip may begin when its event is told, us: the longest `pre`, and what telling takes. */
int64_t clip_plan_reach(const Watch *w);

/* Freed with the arena, parts that are still open with it. */
ClipPlan *clip_plan_new(Arena *a, const char *stream);
/* From now on events are this watch's. */
void clip_plan_watch(ClipPlan *p, const Watch *w);

typedef enum ClipNews { CLIP_NOTHING, CLIP_BEGUN, CLIP_JOINED, CLIP_ENDED } ClipNews;
/* A record of an event. The part it belongs to, open or taken already: its name is in *name, valid until the next call; NULL: it has no clip.
 * CLIP_BEGUN, CLIP_JOINED: *part begins there, or has become longer, perhaps at its front. */
ClipNews clip_plan_record(ClipPlan *p, const EventRecord *r, int64_t now, ClipPart **part, const char **name);
/* Everything up to t of this epoch was judged. */
void clip_plan_seen(ClipPlan *p, int epoch, int64_t t);
/* Nothing more comes: all that is open is over. */
void clip_plan_end(ClipPlan *p);
/* The part ends here, whatever its events do: nothing joins it. */
void clip_plan_close(ClipPlan *p, ClipPart *part, int64_t to);
/* The first part, in the order of their beginnings, from the i-th on; NULL: there are no more. */
ClipPart *clip_plan_part(const ClipPlan *p, int i);
/* Out of the list, the caller's. */
void clip_plan_take(ClipPlan *p, ClipPart *part);

#endif
