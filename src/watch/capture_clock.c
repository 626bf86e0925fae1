#include "watch/capture_clock.h"

#include <libavutil/common.h>

#include "watch/video.h"

int64_t capture_clock_arrival(CaptureClock *c, int64_t media, int64_t wall)
{
    const int64_t offset = wall - media;
    /* A stream that begins anew, or whose clock jumped, knows nothing of delays. */
    if (!c->began || media < c->last - 1000000 || media > c->last + VIDEO_JUMP) {
        c->began = true;
        c->least = c->before = offset;
        c->since = wall;
    }
    c->last = media;
    c->least = FFMIN(c->least, offset);
    if (wall - c->since > CAPTURE_WINDOW || wall < c->since) {
        c->before = c->least;
        c->least = offset;
        c->since = wall;
    }
    return media + FFMIN(c->least, c->before);
}

void capture_clock_read(CaptureClock *c, Packet *p, int64_t wall)
{
    size_t size = 0;
    const AVProducerReferenceTime *const told =
        (const AVProducerReferenceTime *)av_packet_get_side_data(p->av, AV_PKT_DATA_PRFT, &size);
    if (told && size >= sizeof *told) {
        c->told = true;
        c->told_wall = told->wallclock;
        c->told_media = p->pts;
    }
    const bool timed = p->pts != PACKET_NO_TIME && c->told_media != PACKET_NO_TIME;
    const int64_t since = timed ? p->pts - c->told_media : 0;
    /* The last packet of a connection comes without. */
    const bool known = c->told && since > -VIDEO_JUMP && since < VIDEO_JUMP;
    p->clock = known ? CLOCK_RTCP : CLOCK_ARRIVAL;
    if (known)
        p->wall = c->told_wall + since;
    else
        p->wall = p->pts != PACKET_NO_TIME ? capture_clock_arrival(c, p->pts, wall) : wall;
}
