/* Clips of events, cut while streams run: a folder of videos, each with a list of what is in it.
 *
 *     reader thread  --packets-->  ClipStream: ring (packet_ring.h), parts that are gathered
 *     stream's task  --records-->       |      (clip_plan.h)
 *                                       v  a part is over
 *                    one thread for all streams: cuts (cut.h), writes, removes what is too old
 *
 *     Clips *c;  clips_open(&opt, &c, &e)
 *     ClipStream *s = clip_stream_new(c, "cam1", url, 0, watch)
 *     clip_stream_packet(s, p) ..  clip_stream_frame(s, f) ..
 *     record.clip = clip_stream_record(s, &record)
 *     clip_stream_end(s);  clip_stream_free(s);  clips_close(c, timeout)
 *
 * No stream ever waits for a clip: what they call copies a few references. A live stream keeps its
 * last packets while its watch has events with a `clip`, and nothing otherwise; from when such an
 * event is told until its part is cut, the part's packets are kept, too, of all streams together at
 * most `pending_bytes`: beyond that parts end early. Files are read again when it is time.
 *
 * **The folder.** 20261122T005712.345Z-STREAM-EVENT-ID.mp4 and .json: the time of the first event,
 * by the stream's clock of the wall or, of files, as if they were played from when they were
 * written; the id of that event. So names are unique, in the order of time, and those of a file
 * that is played anew the same: its clips take the places of the old ones. A video is written as
 * NAME.mp4.part and renamed when it is whole; what a crash left under such names is removed at the
 * next start. Of files with such names, no others, the oldest go when all take more than
 * `max_bytes`. Where the disk has less than CLIPS_SPARE left nothing is cut.
 *
 *     {"v":1,"clip":"NAME.mp4","stream":"s1","epoch":0,"t_start":12.5,"duration":9.2,"wall":"..",
 *      "clock":"rtcp","note":null,"events":[{"id":"..","event":"kill",..}],"more":0}
 *
 * Whatever fails costs that one clip, is counted and told (`error`). */
#ifndef LATHE_WATCH_CLIPS_H
#define LATHE_WATCH_CLIPS_H

#include "watch/event.h"
#include "watch/live.h"

#define CLIPS_MAX_BYTES INT64_C(10000000000)
#define CLIPS_RING_BYTES INT64_C(7500000) /* 20 s of 3 Mbit/s */
#define CLIPS_PENDING_BYTES INT64_C(200000000)
#define CLIPS_MAX_PENDING 1000
#define CLIPS_SPARE INT64_C(100000000) /* of the disk */

typedef struct ClipsOptions { /* zero: the default of each */
    const char *folder;       /* made if it is not there */
    int64_t max_bytes;        /* of the folder's clips */
    int64_t ring_bytes;       /* of one live stream, before there is anything to cut .. */
    int64_t pending_bytes;    /* .. and of all parts that wait for their end, or for being cut */
    int64_t spare;            /* of the disk: with less nothing is cut; CLIPS_SPARE */
    void (*told)(void *arg, const char *line); /* what was cut, or could not be; from the thread
                                                  that cuts. NULL: nobody listens */
    void *arg;
} ClipsOptions;

typedef struct ClipsCounts {
    int64_t files, bytes; /* there now */
    int64_t written, removed;
    int64_t failures;  /* could not be cut */
    int64_t dropped;   /* events whose clip was not even begun (too many wait, or a file's clock
                          jumped), parts at the very end */
    int64_t shortened; /* written, but not all of what was asked for: see their note */
    int64_t pending, pending_bytes; /* parts not cut yet; what they hold */
    int64_t ring_bytes;             /* of all streams */
    char error[256];                /* the last failure; "" */
} ClipsCounts;

typedef struct Clips Clips;
typedef struct ClipStream ClipStream;

/* ERR_IO: the folder cannot be made or read; ERR_MEMORY: no thread. */
int clips_open(const ClipsOptions *opt, Clips **out, Error *e);
/* Streams were freed. Cuts what waits; what has not begun after `timeout` us is dropped. NULL is
 * allowed. */
void clips_close(Clips *c, int64_t timeout);
ClipsCounts clips_counts(Clips *c); /* from any thread */

/* One stream. url: a file of this machine is read again, else packets are kept as they come;
 * isolate: as in CutPart, of files. */
ClipStream *clip_stream_new(Clips *c, const char *name, const char *url, int64_t isolate,
                            const Watch *w);
/* Nothing calls it any more, and it is over; what waits is still cut. NULL is allowed, as for all
 * that follow. */
void clip_stream_free(ClipStream *s);

/* Its packets are wanted, those of sound, too. */
bool clip_stream_keeps(ClipStream *s);
/* From the reader's thread, each packet as it came. */
void clip_stream_packet(ClipStream *s, const Packet *p);

/* From the stream's task, one call at a time: */
/* The frame that is judged next. */
void clip_stream_frame(ClipStream *s, const LiveFrame *f);
/* The clip that shows the event, its path from the folder's own name on; valid until the next call.
 * It is there once the event is over, `post` has passed, and no other event can be told any more
 * that would belong to it. NULL: none. */
const char *clip_stream_record(ClipStream *s, const EventRecord *r);
/* Its events from now on are this watch's. */
void clip_stream_watch(ClipStream *s, const Watch *w);
/* It is over: parts that are open get what there is. */
void clip_stream_end(ClipStream *s);

#endif
