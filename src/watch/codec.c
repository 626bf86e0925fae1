#include "watch/codec.h"

#include "base/heap.h"
#include "watch/isolated_codec.h"
#include "watch/video.h"

struct Codec {
    AVCodecContext *av;       /* here, or .. */
    IsolatedCodec *isolated;  /* .. there */
    bool refused;             /* the last packet was; not told yet */
};

int codec_open_libav(const StreamInfo *info, const CodecOptions *opt, AVCodecContext **out,
                     Error *e)
{
    const char *const what = info->sound ? "sound" : "video";
    /* the first is a packet that is a struct of libav's, with its pointers: of a lying source */
    const bool pointers = info->par->codec_id == AV_CODEC_ID_WRAPPED_AVFRAME;
    const AVCodec *const codec = pointers ? NULL : avcodec_find_decoder(info->par->codec_id);
    if (!codec)
        return error_set(e, ERR_UNSUPPORTED, "%s: no decoder for its %s", opt->name, what);
    AVCodecContext *av = avcodec_alloc_context3(codec);
    if (!av || avcodec_parameters_to_context(av, info->par) < 0) {
        avcodec_free_context(&av);
        return error_set(e, ERR_MEMORY, "%s: out of memory", opt->name);
    }
    av->pkt_timebase = info->time_base;
    av->thread_count = opt->threads;
    av->max_pixels = VIDEO_MAX_PIXELS;
    if (opt->keyframes)
        av->skip_frame = AVDISCARD_NONKEY;
    const int code = avcodec_open2(av, codec, NULL);
    if (code < 0) {
        char why[128];
        av_strerror(code, why, sizeof why);
        avcodec_free_context(&av);
        return error_set(e, ERR_UNSUPPORTED, "%s: the decoder of its %s: %s", opt->name, what, why);
    }
    *out = av;
    return 0;
}

int codec_new(StreamInfo *info, const CodecOptions *opt, Codec **out, Error *e)
{
    Codec *const c = heap_alloc(sizeof *c, 16);
    if (!c)
        return error_set(e, ERR_MEMORY, "%s: out of memory", opt->name);
    *c = (Codec){0};
    const int code = info->isolate > 0 ? isolated_codec_new(info, opt, &c->isolated, e)
                                      : codec_open_libav(info, opt, &c->av, e);
    if (code != 0) {
        heap_free(c);
        return code;
    }
    *out = c;
    return 0;
}

void codec_free(Codec *c)
{
    if (!c)
        return;
    avcodec_free_context(&c->av);
    isolated_codec_free(c->isolated);
    heap_free(c);
}

CodecTake codec_send(Codec *c, const AVPacket *p, int64_t number, enum AVDiscard skip)
{
    if (c->isolated)
        return isolated_codec_send(c->isolated, p, number, skip);
    c->av->skip_frame = skip;
    c->av->reordered_opaque = number;
    const int code = avcodec_send_packet(c->av, p);
    if (code == AVERROR(EAGAIN))
        return CODEC_FULL;
    c->refused = code < 0;
    return CODEC_TAKEN;
}

void codec_drain(Codec *c)
{
    if (c->isolated)
        isolated_codec_drain(c->isolated);
    else
        avcodec_send_packet(c->av, NULL);
}

void codec_flush(Codec *c)
{
    c->refused = false;
    if (c->isolated)
        isolated_codec_flush(c->isolated);
    else
        avcodec_flush_buffers(c->av);
}

CodecResult codec_receive(Codec *c, AVFrame *out, int64_t patience)
{
    if (c->isolated)
        return isolated_codec_receive(c->isolated, out, patience);
    if (c->refused) {
        c->refused = false;
        return CODEC_REFUSED;
    }
    const int code = avcodec_receive_frame(c->av, out);
    return code >= 0                 ? CODEC_FRAME
           : code == AVERROR(EAGAIN) ? CODEC_NEEDS
           : code == AVERROR_EOF     ? CODEC_END
                                     : CODEC_DAMAGED;
}

int codec_pixels(Codec *c, AVFrame *f, Error *e)
{
    return c->isolated ? isolated_codec_pixels(c->isolated, f, e) : 0;
}

bool codec_crashed(const Codec *c, Error *e)
{
    return c->isolated && isolated_codec_crashed(c->isolated, e);
}

double codec_cpu(const Codec *c) { return c->isolated ? isolated_codec_cpu(c->isolated) : 0; }
