/* Packets for tests, of no video: a size, times, whether they are keyframes. */
#ifndef LATHE_TESTS_WATCH_PACKETS_BY_HAND_H
#define LATHE_TESTS_WATCH_PACKETS_BY_HAND_H

#include "watch/packets.h"

static inline StreamInfo *hand_info(enum AVMediaType type)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = type;
    par->codec_id = type == AVMEDIA_TYPE_AUDIO ? AV_CODEC_ID_AAC : AV_CODEC_ID_H264;
    StreamInfo *const s = stream_info_new(par, (AVRational){1, 1000000}, (AVRational){25, 1});
    avcodec_parameters_free(&par);
    s->sound = type == AVMEDIA_TYPE_AUDIO;
    return s;
}

/* With a reference to `info` of its own. */
static inline Packet hand_packet(StreamInfo *info, int64_t dts, int64_t arrival, bool key, int size)
{
    Packet p = {.av = av_packet_alloc(),
                .info = stream_info_ref(info),
                .pts = dts,
                .dts = dts,
                .arrival = arrival};
    av_new_packet(p.av, size);
    p.av->pts = p.av->dts = dts;
    p.av->flags = key ? AV_PKT_FLAG_KEY : 0;
    return p;
}

#endif
