/* Compressed pictures, or sound, on their way from who reads to who decodes: packets of one
 * connection after another, in a ring.
 *
 *     read -> [key . . . key . . end][key . .  <- push
 *
 * A packet knows its connection (StreamInfo: codec and clock), so that readers and decoders need
 * not agree on when one ends. A packet without data is the end of its connection. Times are
 * microseconds of the stream's own clock; where that clock goes back or jumps, the packet *breaks*.
 * Pictures and sound of one connection have one clock, and the same StreamInfo.connection; they
 * wait in queues of their own.
 *
 * A queue belongs to one thread, or to who holds the lock beside it. */
#ifndef LATHE_WATCH_PACKETS_H
#define LATHE_WATCH_PACKETS_H

#include <libavcodec/avcodec.h>
#include <stdatomic.h>

#include "kernel/frame.h"
#include "watch/observation.h"

#define PACKET_NO_TIME AV_NOPTS_VALUE

typedef struct StreamInfo { /* what a connection says of its pictures, or of its sound; shared,
                               counted */
    AVCodecParameters *par;
    AVRational time_base, frame_rate; /* frame_rate 0/0: not known */
    FrameTurn turn;    /* how its pictures are to be shown, but those that say so themselves */
    bool lossy;        /* what the transport marks as damaged is; of files it may be but a seam */
    bool sound;        /* of sound: each packet is a keyframe, none is a picture */
    /* its times are set right whenever the sender reports which belong together (RTSP with
     * sound) */
    bool moves;
    int64_t isolate;   /* SourceOptions.isolate: what it brought is not for this process's libav */
    int connection;    /* SourceOptions.connection: what has the same one has the same clock */
    _Atomic int refs;
} StreamInfo;

/* NULL: no memory. */
StreamInfo *stream_info_new(const AVCodecParameters *par, AVRational time_base,
                            AVRational frame_rate);
StreamInfo *stream_info_ref(StreamInfo *s);
void stream_info_unref(StreamInfo *s); /* NULL is allowed */
int64_t stream_info_us(const StreamInfo *s, int64_t t);
/* us from frame to frame; 40 ms where that is not known */
int64_t stream_info_step(const StreamInfo *s);

typedef struct Packet {
    AVPacket *av;      /* NULL: the connection ends here */
    StreamInfo *info;  /* a reference of its own */
    int64_t pts, dts;  /* us; pts is dts where the stream has none, and the other way round */
    int64_t arrival;   /* us, monotonic */
    int64_t wall;      /* of capture, us since 1970; 0: not known */
    SampleClock clock;
    FrameTurn turn;    /* how its picture is to be shown */
    bool breaks;       /* the clock does, or it is the first of its connection */
    bool hole;         /* what came before was thrown away, but it may refer to it */
    /* one or more before it never came, by the times of a stream that was regular so far */
    bool lost;
} Packet;

/* Of sound; the end of a connection is one of pictures. */
static inline bool packet_sound(const Packet *p) { return p->info && p->info->sound; }
static inline bool packet_key(const Packet *p) { return p->av && (p->av->flags & AV_PKT_FLAG_KEY); }
int64_t packet_cost(const Packet *p); /* bytes that keeping it takes */
void packet_free(Packet *p); /* what it holds */

typedef struct PacketQueue {
    Packet *ring;      /* of `cap`, a power of two */
    int cap, first, n;
    int64_t bytes;
    int max;           /* packets .. */
    int64_t max_bytes; /* .. and bytes that are kept at most */
    bool hole;         /* before the next one that is pushed */
    int64_t last;      /* dts of what was pushed last, and its connection: only compared */
    const void *last_info;
    SampleClock last_clock;
    int64_t step;      /* us between the last two .. */
    int regular;       /* .. and so many before them */
    int64_t last_key, gop; /* dts of the last keyframe; us between two, 0: not known: the most of
                              late, as a cut in the picture makes an early one */
    int64_t spacing[4];    /* us between the last keyframes */
    int keys;
} PacketQueue;

void packets_init(PacketQueue *q, int max, int64_t max_bytes);
void packets_free(PacketQueue *q);
bool packets_full(const PacketQueue *q);
/* Takes *p over, also if it fails: false: no memory. */
bool packets_push(PacketQueue *q, Packet *p);
Packet *packets_at(const PacketQueue *q, int i); /* i-th that waits */
/* The oldest one, now the caller's. */
Packet packets_pop(PacketQueue *q);
/* Throws n away. */
void packets_drop(PacketQueue *q, int n);
/* Throws away the oldest up to the next keyframe or connection, at least one; the next is behind a
 * hole. Returns how many. */
int packets_make_room(PacketQueue *q);

/* Where an epoch stands that packets belong to. */
typedef struct PacketPlace {
    const StreamInfo *info; /* NULL: nothing was decoded yet */
    /* us: of the epoch in the stream's clock; of the last frame since then */
    int64_t origin, last;
} PacketPlace;

/* The last keyframe from which a frame at t can be had without any before it, and not one that was
 * decoded already; -1: none. */
int packets_key(const PacketQueue *q, const PacketPlace *at, int64_t t);
/* How many at the front no frame at or after t needs: those before that keyframe. */
int packets_needless(const PacketQueue *q, const PacketPlace *at, int64_t t);
/* The first that makes a frame at or after t certain to be there, or a next epoch (its first
 * keyframe); -1: none. */
int packets_reach(const PacketQueue *q, const PacketPlace *at, int64_t t);
/* Whether the frame at `frame`, which is not in the queue any more, is the first at or after t, and
 * the next keyframe comes at `next` at the latest: then no frame from there on needs what is before
 * that one. False if the queue does not reach far enough. */
bool packets_last_of_group(const PacketQueue *q, const PacketPlace *at, int64_t t, int64_t frame,
                           int64_t next);

#endif
