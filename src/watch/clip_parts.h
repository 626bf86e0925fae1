/* What clips.c and clip_stream.c share. */
#ifndef LATHE_WATCH_CLIP_PARTS_H
#define LATHE_WATCH_CLIP_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "watch/clip_plan.h"
#include "watch/clips.h"
#include "watch/packet_ring.h"

typedef struct ClipJob { /* a part, and the packets that show it; in the part's arena */
    ClipPart *part;
    const char *stream; /* its name, and .. */
    const char *file;   /* .. the video to be read again; NULL: packets are here */
    int64_t isolate;    /* as in CutPart, of files */
    int run;            /* of the packets */
    int64_t origin;     /* of the epoch by the stream's clock, us */
    Packet *at;         /* heap */
    int n, cap;
    int64_t first; /* number of the first one (RunPacket) */
    int64_t bytes;
    const char *note; /* why it is not whole; NULL */
    bool no_key;      /* the ring had no keyframe to begin with */
} ClipJob;

typedef struct ClipStream {
    Clips *clips;
    struct ClipStream *next; /* under the lock of clips */
    bool freed;              /* likewise: when the last job is gone, so is the stream */
    Arena *arena;
    const char *name, *file;    /* file NULL: it comes as it comes */
    int64_t written;            /* the file, us since 1970; 0: none, or not known */
    int64_t isolate;            /* ClipJob's */
    char path[CLIP_NAME + 256]; /* clip_stream_record's */
    pthread_mutex_t lock;       /* guards what follows */
    ClipPlan *plan;
    int64_t reach;
    bool wanted, ended;
    PacketRuns runs;
    PacketRing ring;
    int64_t counted; /* ring.bytes as they are in clips_counts */
    int64_t arrival; /* of the last packet, us; 0: none */
    int epoch, run;  /* of the last frame; run 0: its packet is not kept */
    int64_t origin;
    int njob;
    ClipJob *job[CLIP_MAX_PARTS];
} ClipStream;

/* Of Clips, for its streams; without a lock. */
const char *clips_folder_name(const Clips *c);
/* Room for a part more, or for bytes more of parts: taken if there is. */
bool clips_reserve_part(Clips *c);
bool clips_reserve_bytes(Clips *c, int64_t bytes);
void clips_count_ring(Clips *c, int64_t bytes); /* more, or fewer */
void clips_count_dropped(Clips *c);

/* The next job that can be cut, out of the stream's list; NULL: none. now: us of clock_machine. */
ClipJob *clip_stream_take(ClipStream *s, int64_t now);
void clip_job_free(ClipJob *j);
void clip_stream_destroy(ClipStream *s);

#endif
