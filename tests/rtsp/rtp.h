/* RTP and RTCP packets of a video: RFC 3550, RFC 6184 (single NAL units and FU-A), and of its
 * sound: RFC 3640 (AAC-hbr, one frame a packet). */
#ifndef LATHE_TESTS_RTP_H
#define LATHE_TESTS_RTP_H

#include "rtsp/media.h"

#define RTP_MAX 1400 /* bytes of a packet, its header included */
#define RTP_TYPE 96
#define RTP_RATE 90000
#define RTP_SOUND_TYPE 97 /* its rate is the sound's */

typedef struct Rtp {
    uint32_t ssrc, base; /* base: timestamp of media time 0 */
    uint16_t sequence;   /* of the next packet */
    uint32_t packets, bytes;
    int type, rate;
} Rtp;

/* Returns whether to go on. */
typedef bool (*RtpFn)(void *arg, const uint8_t *packet, int size);

uint32_t rtp_time(const Rtp *r, int64_t us);
/* All packets of a frame whose time is `us`; the last has the marker. */
bool rtp_frame(Rtp *r, const Media *m, const MediaFrame *f, int64_t us, RtpFn fn, void *arg);
/* A frame of AAC; those that are too large for a packet are left out. */
bool rtp_sound(Rtp *r, const MediaSound *f, int64_t us, RtpFn fn, void *arg);
/* A sender report: what was media time `us` was `wall` (us since 1970). out[28]; returns the
 * size. */
int rtp_report(const Rtp *r, int64_t us, int64_t wall, uint8_t *out);

#endif
