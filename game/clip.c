/* Decoder: see clip.h. */
#include "game/clip.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>

struct Clip {
    const char *path;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVFrame *frame;
    AVPacket *packet;
    int stream;
    bool draining, turned;
    int64_t count; /* pictures of this round */
};

static void clip_free(void *arg)
{
    Clip *const c = arg;
    av_packet_free(&c->packet);
    av_frame_free(&c->frame);
    avcodec_free_context(&c->codec);
    avformat_close_input(&c->format);
}

static int av_failed(const Clip *c, const char *what, int code, Error *e)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return error_set(e, code == AVERROR(ENOMEM) ? ERR_MEMORY : ERR_IO, "%s: %s: %s", c->path, what,
                     text);
}

int clip_open(Arena *a, const char *path, Clip **out, Error *e)
{
    Clip *const c = arena_new_of(a, Clip);
    c->path = arena_strdup(a, path);
    int code = avformat_open_input(&c->format, path, NULL, NULL);
    if (code < 0)
        return av_failed(c, "cannot be read", code, e);
    arena_defer(a, clip_free, c);
    code = avformat_find_stream_info(c->format, NULL);
    if (code < 0)
        return av_failed(c, "cannot be read", code, e);
    const AVCodec *codec = NULL;
    c->stream = av_find_best_stream(c->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (c->stream < 0 || !codec)
        return error_set(e, ERR_UNSUPPORTED, "%s: there is no video in it that libavcodec decodes",
                         path);
    c->codec = avcodec_alloc_context3(codec);
    c->frame = av_frame_alloc();
    c->packet = av_packet_alloc();
    if (!c->codec || !c->frame || !c->packet)
        return error_set(e, ERR_MEMORY, "%s: no memory for the decoder", path);
    c->codec->thread_count = 1;
    code = avcodec_parameters_to_context(c->codec, c->format->streams[c->stream]->codecpar);
    if (code >= 0)
        code = avcodec_open2(c->codec, codec, NULL);
    if (code < 0)
        return av_failed(c, "decoder", code, e);
    *out = c;
    return 0;
}

/* From the end back to the start. */
static int turn_back(Clip *c, Error *e)
{
    if (c->count == 0)
        return error_set(e, ERR_INVALID, "%s: not one picture could be decoded", c->path);
    const int code = av_seek_frame(c->format, c->stream, INT64_MIN, AVSEEK_FLAG_BACKWARD);
    if (code < 0)
        return av_failed(c, "cannot go back to its start", code, e);
    avcodec_flush_buffers(c->codec);
    c->draining = false;
    c->turned = true;
    c->count = 0;
    return 0;
}

/* Gives the decoder its next packet, or tells it that there is none. Damaged packets are passed
 * over. */
static int feed(Clip *c, Error *e)
{
    for (;;) {
        const int code = av_read_frame(c->format, c->packet);
        if (code == AVERROR_EOF) {
            c->draining = true;
            avcodec_send_packet(c->codec, NULL);
            return 0;
        }
        if (code < 0)
            return av_failed(c, "cannot be read", code, e);
        const bool ours = c->packet->stream_index == c->stream;
        const int sent = ours ? avcodec_send_packet(c->codec, c->packet) : 0;
        av_packet_unref(c->packet);
        if (ours && sent >= 0)
            return 0;
    }
}

static int decode(Clip *c, Error *e)
{
    c->turned = false;
    for (;;) {
        const int got = avcodec_receive_frame(c->codec, c->frame);
        if (got == 0) {
            c->count++;
            return 0;
        }
        int code = 0;
        if (got == AVERROR_EOF)
            code = turn_back(c, e);
        else if (got == AVERROR(EAGAIN))
            code = feed(c, e);
        if (code != 0)
            return code;
    }
}

static uint8_t level(float v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f);
}

/* BT.601 or 709, limited or full range, as the frame says; without a word small pictures are
 * 601. */
static void to_rgb(const AVFrame *f, int shift_x, int shift_y, Picture *out)
{
    const bool full = f->color_range == AVCOL_RANGE_JPEG || f->format == AV_PIX_FMT_YUVJ420P ||
                      f->format == AV_PIX_FMT_YUVJ422P || f->format == AV_PIX_FMT_YUVJ444P;
    const bool bt709 = f->colorspace == AVCOL_SPC_BT709 ||
                       (f->colorspace == AVCOL_SPC_UNSPECIFIED && f->height >= 720);
    const float kr = bt709 ? 0.2126f : 0.299f, kb = bt709 ? 0.0722f : 0.114f, kg = 1 - kr - kb;
    const float ys = full ? 1 : 255 / 219.f, cs = full ? 1 : 255 / 224.f, black = full ? 0 : 16;
    for (int j = 0; j < out->height; j++) {
        const int y = (int)((int64_t)j * f->height / out->height);
        const uint8_t *const row[3] = {f->data[0] + (int64_t)y * f->linesize[0],
                                       f->data[1] + (int64_t)(y >> shift_y) * f->linesize[1],
                                       f->data[2] + (int64_t)(y >> shift_y) * f->linesize[2]};
        uint8_t *to = out->rgb + (size_t)j * (size_t)out->width * 3;
        for (int i = 0; i < out->width; i++, to += 3) {
            const int x = (int)((int64_t)i * f->width / out->width);
            const float l = ys * ((float)row[0][x] - black);
            const float u = cs * (float)(row[1][x >> shift_x] - 128),
                        v = cs * (float)(row[2][x >> shift_x] - 128);
            to[0] = level(l + 2 * (1 - kr) * v);
            to[1] = level(l - 2 * kb * (1 - kb) / kg * u - 2 * kr * (1 - kr) / kg * v);
            to[2] = level(l + 2 * (1 - kb) * u);
        }
    }
}

int clip_next(Clip *c, Picture *out, Error *e)
{
    const int code = decode(c, e);
    if (code != 0)
        return code;
    switch (c->frame->format) {
    case AV_PIX_FMT_YUV420P:
    case AV_PIX_FMT_YUVJ420P: to_rgb(c->frame, 1, 1, out); return 0;
    case AV_PIX_FMT_YUV422P:
    case AV_PIX_FMT_YUVJ422P: to_rgb(c->frame, 1, 0, out); return 0;
    case AV_PIX_FMT_YUV444P:
    case AV_PIX_FMT_YUVJ444P: to_rgb(c->frame, 0, 0, out); return 0;
    default:
        return error_set(e, ERR_UNSUPPORTED, "%s: pixels are %s; 8-bit planar YUV is read", c->path,
                         av_get_pix_fmt_name((enum AVPixelFormat)c->frame->format));
    }
}

const uint8_t *clip_luma(const Clip *c, int *stride, int *width, int *height)
{
    *stride = c->frame->linesize[0];
    *width = c->frame->width;
    *height = c->frame->height;
    return c->frame->data[0];
}

bool clip_turned(const Clip *c)
{
    return c->turned;
}
