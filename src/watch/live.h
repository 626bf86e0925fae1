/* A source that is read as it comes: a thread of its own connects, reads, and connects anew; who
 * looks at frames decodes.
 *
 *     Live *l;
 *     live_open(url, &(LiveOptions){.notify = wake, .arg = me}, &l, &e)
 *     ...                                  // notify: something came
 *     switch (live_frame(l, wanted, &frame, &e)) { ... }
 *     live_close(l);
 *
 *     connecting -> up -> down -> connecting -> ..          (ended: a file is over; failed: it can never work)
 *
 * **Reading** never waits for decoding: packets go to a ring bounded in bytes; when it is full the
 * oldest go up to the next keyframe, counted as `full`, and frames between are then not there. (A
 * file that is not `paced` waits instead.) Segments of HLS are handed on as they were filmed,
 * packet by packet, not all at once: that is their arrival.
 *
 * **Connecting anew**: after retry_min, doubled each time up to LIVE_RETRY_SOON while the other
 * side has been away for less than LIVE_SHORT_OUTAGE, so that it is found again within two seconds;
 * then up to retry_max; plus up to a quarter by chance, and back to retry_min once a connection has
 * lasted for 3 s. At first libav looks at a quarter of a second of the stream; longer where that
 * does not show a video, unless it did before: then after three attempts. A connection that gives
 * no packet for `read_timeout` (of HLS: and three segments more), or packets but no frame for
 * `frame_timeout`, is down; RTSP in whose bytes no packet can be found any more is after half a
 * second, and connected to anew at once. Each connection begins a new epoch.
 *
 * **Clocks**: every frame knows its media time, when its packet arrived (us of clock_machine), and
 * when it was captured: by RTCP sender reports ("rtcp"), by HLS's EXT-X-PROGRAM-DATE-TIME ("pdt"),
 * else arrival less the least delay seen ("arrival"). Files have none ("media").
 *
 * **Sound** is read if video.sound says so, and nothing else is different then: pictures keep their
 * ring, their clock and their epochs. With `hear` its packets wait in a ring of their own for
 * live_sound, in the order in which they came, behind those of the connection before; if that is
 * full the oldest go (of a file that is not paced the reader waits). Where sound belongs to
 * pictures: of the same connection by StreamInfo.connection and VideoFrame.connection, packet.pts
 * is VideoFrame.origin + t.
 *
 * live_frame, live_due, live_sound and live_counts belong to one thread at a time, live_state
 * and live_error to any. */
#ifndef LATHE_WATCH_LIVE_H
#define LATHE_WATCH_LIVE_H

#include "watch/packets.h"
#include "watch/video.h"

#define LIVE_RETRY_SOON 800000    /* us */
#define LIVE_SHORT_OUTAGE 60000000
#define LIVE_PAUSE 1000000        /* between two packets: segments of HLS have shorter ones */

typedef enum LiveState { LIVE_CONNECTING, LIVE_UP, LIVE_DOWN, LIVE_ENDED, LIVE_FAILED } LiveState;
typedef enum LiveCause { /* why a connection went down */
                         LIVE_NONE,
                         LIVE_REFUSED,
                         LIVE_SILENT,
                         LIVE_CLOSED,
                         LIVE_FROZEN /* packets, no frame */,
                         LIVE_BROKEN /* libav's error */,
                         LIVE_CRASHED /* libav's process died, or hung (isolated.h) */,
                         LIVE_CAUSES
} LiveCause;
const char *live_cause_text(LiveCause c);
const char *live_state_text(LiveState s);

typedef struct LiveOptions { /* zero: the default of each */
    VideoOptions video;       /* timeouts: 5 s to open, 3 s to read */
    int64_t frame_timeout;    /* us; 20 s: keyframes are up to ten seconds apart */
    int64_t retry_min, retry_max; /* us; 0.25 s, 30 s */
    uint64_t seed;            /* of the jitter */
    int64_t max_bytes;        /* of the ring; 8 MB */
    bool hear;                /* sound is kept for live_sound; whoever sets it has to take it */
    /* a file as if it were live: by its own clock, from when it is opened */
    bool paced;
    void (*notify)(void *arg); /* from the reader's thread: a packet, or another state. It may ask
                                  for anything but live_close */
    /* From the reader's thread, each packet as it comes, before it waits to be looked at. NULL:
     * nobody asks */
    void (*packet)(void *arg, const Packet *p);
    void *arg;
} LiveOptions;

typedef struct LiveFrame {
    VideoFrame frame;  /* picture: valid until the next live_frame or live_close */
    int64_t arrival;   /* us of clock_machine, of its packet */
} LiveFrame;

typedef enum LiveResult {
    LIVE_NOTHING,  /* packets are needed that have not come */
    LIVE_MORE,     /* decoded some; there is more to decode: ask again */
    LIVE_BUSY,     /* a process of its own decodes: ask again in a while, as nobody notifies of it */
    LIVE_FRAME,
    LIVE_OVER      /* ended or failed, and all that came was given; a file without a frame failed */
} LiveResult;

typedef struct LiveCounts {
    VideoCounts video;
    int64_t full;      /* packets thrown away because the ring was full */
    /* frames passed over because newer ones were there (live_frame's `newest`) */
    int64_t skipped;
    int64_t connections, down[LIVE_CAUSES];
    double isolated;   /* seconds of processor time of decoders' own processes */
    /* packets of sound that were read; that were thrown away as their ring was full (in a
     * StreamStatus also those that their decoder had no time for) */
    int64_t sound, unheard;
} LiveCounts;

typedef struct Live Live;

/* Returns at once: connecting is the reader's. ERR_MEMORY: no thread. */
int live_open(const char *url, const LiveOptions *opt, Live **out, Error *e);
/* Within 1 s, whatever the other side does; afterwards nobody is notified. NULL is allowed. Not
 * while another call is under way. */
void live_close(Live *l);

/* Decodes a few packets at most, so that a call takes milliseconds. LIVE_FRAME: the first frame at
 * or after `wanted` of the current epoch, or the first of the next epoch; with `newest` the last
 * one that has come, if that is later. With neither packets nor frame that can be given:
 * LIVE_NOTHING. What comes before `wanted` and has to be decoded anyway (no keyframe is expected
 * between) is decoded as it comes, LIVE_MORE, so that little is left to do when the wanted frame
 * arrives. A picture that we cannot look at (its format of pixels) counts as not decoded, and
 * live_error says why. */
LiveResult live_frame(Live *l, int64_t wanted, bool newest, LiveFrame *out);
/* Packets have come that reach `wanted`, or the next epoch: live_frame will give a frame after some
 * decoding. *arrival: when the first of them did. */
bool live_due(const Live *l, int64_t wanted, int64_t *arrival);

/* After a pause that began behind `paused` (us of clock_machine) pictures have been coming again
 * for a second, and all of them are from before t: the other side goes on where it had stopped, and
 * will not catch up. */
bool live_lags(const Live *l, int64_t t, int64_t paused);
/* The next frame begins an epoch, whatever its time. */
void live_anew(Live *l);

/* Where decoding begins to have a frame at `wanted`: at the last keyframe before it that has come,
 * or behind the last frame that was decoded. */
typedef struct LiveStart {
    int64_t t;         /* us of the epoch */
    bool key;          /* a keyframe that waits .. */
    int64_t arrival;   /* .. and when it came, us of clock_machine */
} LiveStart;
LiveStart live_start(const Live *l, int64_t wanted);
/* No frame before `wanted` will be asked for: what only those need is thrown away. */
void live_skip(Live *l, int64_t wanted);

/* With `hear`: what came next, the caller's. An end of a connection (av NULL; info: its pictures')
 * says that no sound follows of it: at its end, and at its beginning if it has none, as far as is
 * known then. False: nothing waits; *stuck: and nothing will before a frame is taken, as the reader
 * of a file waits for room. */
bool live_sound(Live *l, Packet *out, bool *stuck);

/* The process that decodes the sound of this connection died: if it is the one that is read, there
 * will be another. */
void live_crash(Live *l, int connection, const Error *why);

LiveState live_state(const Live *l, LiveCause *cause); /* cause: of the last time it went down */
const char *live_error(const Live *l, Arena *a);       /* last message; "" */
LiveCounts live_counts(const Live *l);

#endif
