/* A decoder and an encoder for a few pictures. */
#include "watch/cut_encode.h"

#include <libavutil/opt.h>

#define TICK ((AVRational){1, 1000000})

typedef struct Recoder {
    const CutEncode *job;
    Arena *arena;
    CutPackets *out;
    AVCodecContext *decoder, *encoder;
    AVFrame *frame;
} Recoder;

bool cut_can_encode(enum AVCodecID id)
{
    return (id == AV_CODEC_ID_H264 || id == AV_CODEC_ID_HEVC) && avcodec_find_encoder(id) &&
           avcodec_find_decoder(id);
}

static int open_decoder(Recoder *r)
{
    const AVCodec *const codec = avcodec_find_decoder(r->job->par->codec_id);
    r->decoder = avcodec_alloc_context3(codec);
    if (!r->decoder || avcodec_parameters_to_context(r->decoder, r->job->par) < 0)
        return AVERROR(ENOMEM);
    r->decoder->pkt_timebase = TICK;
    r->decoder->thread_count = 1;
    return avcodec_open2(r->decoder, codec, NULL);
}

/* By the first picture, as it was encoded before; nothing in front of the file (GLOBAL_HEADER), but
 * before each keyframe. */
static int open_encoder(Recoder *r)
{
    const AVCodec *const codec = avcodec_find_encoder(r->job->par->codec_id);
    AVCodecContext *const c = r->encoder = avcodec_alloc_context3(codec);
    if (!c)
        return AVERROR(ENOMEM);
    const AVFrame *const f = r->frame;
    c->width = f->width;
    c->height = f->height;
    c->pix_fmt = f->format;
    c->sample_aspect_ratio = f->sample_aspect_ratio;
    c->color_range = f->color_range;
    c->colorspace = f->colorspace;
    c->color_primaries = f->color_primaries;
    c->color_trc = f->color_trc;
    c->chroma_sample_location = f->chroma_location;
    c->time_base = TICK;
    c->framerate = r->job->rate;
    c->gop_size = 1000;
    c->max_b_frames = 0;
    c->thread_count = 1;
    av_opt_set(c->priv_data, "preset", "veryfast", 0);
    av_opt_set(c->priv_data, "crf", "18", 0);
    av_opt_set(c->priv_data, "x265-params", "log-level=none", 0);
    return avcodec_open2(c, codec, NULL);
}

static int take_packets(Recoder *r)
{
    for (;;) {
        AVPacket *p = av_packet_alloc();
        const int code = p ? avcodec_receive_packet(r->encoder, p) : AVERROR(ENOMEM);
        if (code < 0) {
            av_packet_free(&p);
            return code == AVERROR(EAGAIN) || code == AVERROR_EOF ? 0 : code;
        }
        p->dts = p->pts - r->job->delay;
        p->time_base = TICK;
        vec_push(r->arena, r->out, p);
    }
}

static int take_frames(Recoder *r)
{
    for (;;) {
        int code = avcodec_receive_frame(r->decoder, r->frame);
        if (code < 0)
            return code == AVERROR(EAGAIN) || code == AVERROR_EOF ? 0 : code;
        r->frame->pts = r->frame->best_effort_timestamp;
        r->frame->pict_type = AV_PICTURE_TYPE_NONE;
        if (r->frame->pts < r->job->from || r->frame->pts >= r->job->to)
            continue;
        code = r->encoder ? 0 : open_encoder(r);
        if (code >= 0)
            code = avcodec_send_frame(r->encoder, r->frame);
        if (code >= 0)
            code = take_packets(r);
        if (code < 0)
            return code;
    }
}

static int run(Recoder *r)
{
    int code = open_decoder(r);
    r->frame = code >= 0 ? av_frame_alloc() : NULL;
    if (code >= 0 && !r->frame)
        return AVERROR(ENOMEM);
    for (int i = 0; i < r->job->n && code >= 0; i++) {
        code = avcodec_send_packet(r->decoder, r->job->packet[i]);
        code = code < 0 && code != AVERROR(ENOMEM) ? 0 : code; /* damaged: the others still count */
        if (code >= 0)
            code = take_frames(r);
    }
    if (code >= 0)
        code = avcodec_send_packet(r->decoder, NULL);
    if (code >= 0)
        code = take_frames(r);
    if (code >= 0 && r->encoder)
        code = avcodec_send_frame(r->encoder, NULL);
    return code >= 0 && r->encoder ? take_packets(r) : code;
}

int cut_encode(Arena *a, const CutEncode *job, CutPackets *out, Error *e)
{
    Recoder r = {.job = job, .arena = a, .out = out};
    const int code = run(&r);
    av_frame_free(&r.frame);
    avcodec_free_context(&r.decoder);
    avcodec_free_context(&r.encoder);
    char why[128];
    av_strerror(code, why, sizeof why);
    return code < 0
               ? error_set(e, ERR_INVALID, "%s: encoding its beginning anew: %s", job->name, why)
               : 0;
}
