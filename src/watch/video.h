/* Video, from files and network: the frames that are asked for, and as little decoding as they
 * need.
 *
 *     Video *v;
 *     int code = video_open(url, &(VideoOptions){0}, &v, &e);
 *     while (code == 0 && (code = video_sample(v, wanted, &frame, &e)) > 0)
 *         wanted = frame.t + interval, ...
 *     video_close(v);
 *
 * Packets are kept until a frame is wanted. What stands before the last keyframe that is early
 * enough is then thrown away unseen, and of the rest frames that no other refers to are skipped.
 * Where it is known that the next frame will be wanted no sooner than at the next keyframe
 * (`grid`), the decoder is told to give the wanted one, instead of more packets, which it would
 * wait for since frames may come out of order; so one frame a second of a video with a keyframe a
 * second costs the keyframes alone if these are the wanted ones, and half of what lies between them
 * if not.
 *
 * **Time** is microseconds since the first frame of the *epoch*. A new epoch begins where the
 * stream's clock goes back by more than its frames are reordered, or jumps by more than VIDEO_JUMP;
 * the next frame tells.
 *
 * Every call into a protocol has a deadline, after which it fails with ERR_IO; no call outlasts
 * it, whatever the other side does. A Video belongs to one thread; video_interrupt alone may
 * come from another. Decoding is libav's. */
#ifndef LATHE_WATCH_VIDEO_H
#define LATHE_WATCH_VIDEO_H

#include "base/error.h"
#include "kernel/frame.h"
#include "watch/observation.h"

#define VIDEO_JUMP 10000000       /* us */
#define VIDEO_MAX_PACKETS 4096    /* that wait for a wanted frame .. */
#define VIDEO_MAX_BYTES (64 << 20) /* .. and what they hold */
#define VIDEO_MAX_PIXELS (8192 * 4352)

typedef enum VideoSound {     /* is sound read beside the pictures? */
    SOUND_NOT,
    SOUND_WANTED,             /* if there is any */
    SOUND_NEEDED              /* what is stored and has none is refused: ERR_INVALID */
} VideoSound;

typedef struct VideoOptions { /* zero: the default of each */
    int64_t open_timeout;     /* us; 10 s */
    int64_t read_timeout;     /* us; 10 s. Of files, too: they may be on a network */
    bool keyframes;           /* no other frame is wanted */
    int threads;              /* of the decoder; 1 */
    double picture_rate;      /* of a folder of pictures, frames a second; 1 */
    VideoSound sound;         /* of live.h alone: a Video gives pictures */
    /* libav in processes of its own, with so many bytes each (isolated.h); 0: in this one */
    int64_t isolate;
    double grid; /* us: a promise that after a frame at t none is wanted before grid_next(t, grid).
                    0: none is made */
} VideoOptions;

typedef struct VideoFrame {
    Frame picture;   /* valid until the next call */
    int64_t t;       /* us, in its epoch */
    int epoch;       /* from 0 */
    /* of the epoch: where t is 0 by the stream's clock, us; sound of the same connection has that
     * clock */
    int64_t origin;
    int connection;  /* StreamInfo.connection */
    /* of the frame in its epoch, by its time and the stream's frame rate; -1: that is not known */
    int64_t number;
    bool key;
    int64_t wall;    /* of capture, us since 1970; 0: not known */
    SampleClock clock;
} VideoFrame;

typedef struct VideoCounts {
    int64_t packets, bytes;
    int64_t decoded;  /* frames that came out of the decoder */
    int64_t dropped;  /* packets that no wanted frame needed */
    int64_t errors;   /* packets that could not be decoded, frames that are not whole */
    int64_t epochs;
} VideoCounts;

typedef struct Video Video;

/* A file, a folder of pictures (pictures.h), or rtsp://, rtmp://, http(s)://..m3u8, srt://, udp://.
 * ERR_IO: it cannot be reached or read; ERR_INVALID: it is no video; ERR_UNSUPPORTED: its codec,
 * its format of pixels or its size, or it is to be turned by something else than quarters. */
int video_open(const char *url, const VideoOptions *opt, Video **out, Error *e);
void video_close(Video *v); /* NULL is allowed */

/* The first frame at or after t of the current epoch, or the first of the next epoch. 1: *out; 0:
 * the video is over. */
int video_sample(Video *v, int64_t t, VideoFrame *out, Error *e);
/* What is under way in another thread fails soon with ERR_IO, and so does all that comes later. */
void video_interrupt(Video *v);

int64_t video_duration(const Video *v); /* of a file, by its head, us; 0: not known */
/* where the last frame that was decoded ends, us since the first of all */
int64_t video_end(const Video *v);
VideoCounts video_counts(const Video *v);

#endif
