#include "watch/clip.h"

#include <assert.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>

static void draw(AVFrame *f, int number)
{
    for (int y = 0; y < CLIP_HEIGHT; y++)
        for (int x = 0; x < CLIP_WIDTH; x++) {
            const int bit = y / CLIP_BLOCK * 4 + x / CLIP_BLOCK;
            f->data[0][y * f->linesize[0] + x] = (uint8_t)(number >> bit & 1 ? 220 : 30);
        }
    for (int k = 1; k < 3; k++)
        for (int y = 0; y < CLIP_HEIGHT / 2; y++)
            memset(f->data[k] + y * f->linesize[k], 128, CLIP_WIDTH / 2);
}

int clip_number(const Frame *f)
{
    int number = 0;
    for (int bit = 0; bit < CLIP_BITS; bit++) {
        const int x = bit % 4 * CLIP_BLOCK + CLIP_BLOCK / 2, y = bit / 4 * CLIP_BLOCK + CLIP_BLOCK / 2;
        number |= (f->plane[0][y * f->stride[0] + x] > 125) << bit;
    }
    return number;
}

typedef struct Writer {
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
} Writer;

static void write_packets(Writer *w)
{
    while (avcodec_receive_packet(w->codec, w->packet) >= 0) {
        av_packet_rescale_ts(w->packet, w->codec->time_base, w->stream->time_base);
        w->packet->stream_index = 0;
        const int code = av_write_frame(w->format, w->packet);
        assert(code >= 0);
        av_packet_unref(w->packet);
    }
}

void clip_write(const char *path, const ClipOptions *o)
{
    Writer w = {.packet = av_packet_alloc()};
    av_log_set_level(AV_LOG_QUIET);
    const AVCodec *const codec = avcodec_find_encoder(AV_CODEC_ID_H264);
    assert(codec && avformat_alloc_output_context2(&w.format, NULL, NULL, path) >= 0);
    w.codec = avcodec_alloc_context3(codec);
    w.codec->width = CLIP_WIDTH;
    w.codec->height = CLIP_HEIGHT;
    w.codec->pix_fmt = AV_PIX_FMT_YUV420P;
    w.codec->time_base = (AVRational){1, o->fps};
    w.codec->framerate = (AVRational){o->fps, 1};
    w.codec->gop_size = o->gop;
    w.codec->max_b_frames = o->bframes;
    w.codec->thread_count = 1;
    av_opt_set(w.codec->priv_data, "preset", "ultrafast", 0);
    av_opt_set(w.codec->priv_data, "x264-params", "scenecut=0:b-adapt=0", 0);
    if (w.format->oformat->flags & AVFMT_GLOBALHEADER)
        w.codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    const int opened = avcodec_open2(w.codec, codec, NULL);
    assert(opened >= 0);
    w.stream = avformat_new_stream(w.format, NULL);
    avcodec_parameters_from_context(w.stream->codecpar, w.codec);
    w.stream->time_base = w.codec->time_base;
    w.stream->avg_frame_rate = w.codec->framerate;
    int code = avio_open(&w.format->pb, path, AVIO_FLAG_WRITE);
    assert(code >= 0);
    code = avformat_write_header(w.format, NULL);
    assert(code >= 0);
    AVFrame *f = av_frame_alloc();
    f->format = AV_PIX_FMT_YUV420P;
    f->width = CLIP_WIDTH;
    f->height = CLIP_HEIGHT;
    av_frame_get_buffer(f, 0);
    for (int i = 0; i < o->frames; i++) {
        av_frame_make_writable(f);
        draw(f, o->first + i);
        f->pts = o->start + i;
        avcodec_send_frame(w.codec, f);
        write_packets(&w);
    }
    avcodec_send_frame(w.codec, NULL);
    write_packets(&w);
    av_write_trailer(w.format);
    avio_closep(&w.format->pb);
    av_frame_free(&f);
    av_packet_free(&w.packet);
    avcodec_free_context(&w.codec);
    avformat_free_context(w.format);
}
