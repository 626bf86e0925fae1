/* Evidence: a small picture of what made an event, beside its record.
 *
 *     evidence_look(h, frame, epoch, t);       // the frame of the sample
 *     events_sample(v, sample);                // its EventFn: r.evidence = evidence_of(h, &r)
 *     evidence_looked(h, v);                   // what later records may ask for is kept
 *
 * The picture is the part of the best sample's frame that the record's box names, and a margin;
 * without a box, the whole frame. An event is told some samples after it began, so parts of frames
 * that may turn out to be the best (events_best) are kept as JPEGs, few kilobytes each, as long as
 * they may. Nothing is encoded while nothing is under way.
 *
 * Files are written when the record is told, and again at its end if that has a better sample.
 * They are named by the event's id; of all streams together they take no more than `max_bytes`:
 * the oldest go. */
#ifndef LATHE_WATCH_EVIDENCE_H
#define LATHE_WATCH_EVIDENCE_H

#include "kernel/frame.h"
#include "watch/event.h"

#define EVIDENCE_SIDE 480          /* pixels, at most: larger parts are shrunk */
#define EVIDENCE_HELD 64           /* pictures that one stream holds, and .. */
#define EVIDENCE_HELD_BYTES (2 << 20) /* .. their bytes */

typedef struct EvidenceCounts {
    int64_t files, bytes;          /* there now */
    int64_t written, removed;
    /* records that got none: nothing of their best sample was held */
    int64_t missing;
    int64_t failures;
    char error[256];               /* the last; "" */
} EvidenceCounts;

typedef struct Evidence Evidence;

/* `folder` is made if it is not there; pictures in it count. ERR_UNSUPPORTED: this build writes no
 * JPEG. */
int evidence_open(const char *folder, int64_t max_bytes, Evidence **out, Error *e);
void evidence_close(Evidence *ev); /* after all that hold something; NULL is allowed */
EvidenceCounts evidence_counts(Evidence *ev); /* from any thread */

/* Of one stream; used by one thread at a time. */
typedef struct EvidenceHold EvidenceHold;
/* Freed with the arena, before `ev` is closed. */
EvidenceHold *evidence_hold_new(Arena *a, Evidence *ev, const Watch *w);
/* The frame must stay until evidence_looked. place: where the reference picture lies in it. */
void evidence_look(EvidenceHold *h, const Frame *f, const FramePlace *place, int epoch, int64_t t);
void evidence_looked(EvidenceHold *h, const Events *v);
/* Writes the picture of a record; its name, from the folder's own name on, valid until the next
 * call. NULL: there is none. */
const char *evidence_of(EvidenceHold *h, const EventRecord *r);

#endif
