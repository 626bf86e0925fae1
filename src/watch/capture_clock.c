#include "watch/capture_clock.h"

#include <libavformat/avformat.h>
#include <libavutil/common.h>

#include "watch/video.h"

int64_t capture_clock_arrival(CaptureClock *c, int64_t media, int64_t wall)
{
    const int64_t offset = wall - media;
    /* A stream that begins anew, or whose clock jumped, knows nothing of delays. */
    if (!c->began || media < c->last - 1000000 || media > c->last + VIDEO_JUMP)
        *c = (CaptureClock){.began = true, .least = offset, .before = offset, .since = wall};
    c->last = media;
    c->least = FFMIN(c->least, offset);
    if (wall - c->since > CAPTURE_WINDOW || wall < c->since) {
        c->before = c->least;
        c->least = offset;
        c->since = wall;
    }
    return media + FFMIN(c->least, c->before);
}

void capture_clock_read(CaptureClock *c, const AVFormatContext *f, Packet *p, int64_t wall)
{
    size_t size = 0;
    const AVProducerReferenceTime *const told =
        (const AVProducerReferenceTime *)av_packet_get_side_data(p->av, AV_PKT_DATA_PRFT, &size);
    p->clock = CLOCK_RTCP;
    if (told && size >= sizeof *told) {
        p->wall = told->wallclock;
    } else if (f->start_time_realtime != AV_NOPTS_VALUE && f->start_time_realtime > 0 && p->pts != PACKET_NO_TIME) {
        p->wall = f->start_time_realtime + p->pts;
    } else {
        p->clock = CLOCK_ARRIVAL;
        p->wall = p->pts != PACKET_NO_TIME ? capture_clock_arrival(c, p->pts, wall) : wall;
    }
}
