#include "watch/clip.h"

#include <assert.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <string.h>

static void draw(AVFrame *f, int number)
{
    const int block = f->width / 4;
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++) {
            const int bit = y / block * 4 + x / block;
            f->data[0][y * f->linesize[0] + x] = (uint8_t)(number >> bit & 1 ? 220 : 30);
        }
    for (int k = 1; k < 3; k++)
        for (int y = 0; y < f->height / 2; y++)
            memset(f->data[k] + y * f->linesize[k], 128, (size_t)f->width / 2);
}

int clip_number(const Frame *shown)
{
    const Frame stored = frame_stored(shown), *const f = &stored; /* however it is to be turned */
    const int block = f->width / 4;
    int number = 0;
    for (int bit = 0; bit < CLIP_BITS; bit++) {
        const int x = bit % 4 * block + block / 2, y = bit / 4 * block + block / 2;
        number |= (f->plane[0][y * f->stride[0] + x] > 125) << bit;
    }
    return number;
}

typedef struct Writer {
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    bool other; /* the next packet is of another encoder, with parameter sets of its own */
} Writer;

static void hand_on_parameters(Writer *w)
{
    const size_t size = (size_t)w->codec->extradata_size;
    w->other = false;
    if (size > 0)
        memcpy(av_packet_new_side_data(w->packet, AV_PKT_DATA_NEW_EXTRADATA, size),
               w->codec->extradata, size);
}

static void write_packets(Writer *w)
{
    while (avcodec_receive_packet(w->codec, w->packet) >= 0) {
        av_packet_rescale_ts(w->packet, w->codec->time_base, w->stream->time_base);
        w->packet->stream_index = 0;
        if (w->other)
            hand_on_parameters(w);
        const int code = av_write_frame(w->format, w->packet);
        assert(code >= 0);
        av_packet_unref(w->packet);
    }
}

static void open_codec(Writer *w, const ClipOptions *o, int scale)
{
    const AVCodec *const codec = avcodec_find_encoder(AV_CODEC_ID_H264);
    assert(codec);
    w->codec = avcodec_alloc_context3(codec);
    w->codec->width = CLIP_WIDTH * scale;
    w->codec->height = CLIP_HEIGHT * scale;
    w->codec->pix_fmt = AV_PIX_FMT_YUV420P;
    w->codec->time_base = (AVRational){1, o->fps};
    w->codec->framerate = (AVRational){o->fps, 1};
    w->codec->gop_size = o->gop;
    w->codec->max_b_frames = o->bframes;
    w->codec->thread_count = 1;
    av_opt_set(w->codec->priv_data, "preset", "ultrafast", 0);
    av_opt_set(w->codec->priv_data, "x264-params", "scenecut=0:b-adapt=0", 0);
    if (w->format->oformat->flags & AVFMT_GLOBALHEADER)
        w->codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    const int opened = avcodec_open2(w->codec, codec, NULL);
    assert(opened >= 0);
}

static AVFrame *new_frame(const Writer *w)
{
    AVFrame *const f = av_frame_alloc();
    f->format = AV_PIX_FMT_YUV420P;
    f->width = w->codec->width;
    f->height = w->codec->height;
    av_frame_get_buffer(f, 0);
    return f;
}

static void end_codec(Writer *w)
{
    avcodec_send_frame(w->codec, NULL);
    write_packets(w);
    avcodec_free_context(&w->codec);
}

void clip_write(const char *path, const ClipOptions *o)
{
    Writer w = {.packet = av_packet_alloc()};
    av_log_set_level(AV_LOG_QUIET);
    int code = avformat_alloc_output_context2(&w.format, NULL, NULL, path);
    assert(code >= 0);
    open_codec(&w, o, 1);
    w.stream = avformat_new_stream(w.format, NULL);
    avcodec_parameters_from_context(w.stream->codecpar, w.codec);
    w.stream->time_base = w.codec->time_base;
    w.stream->avg_frame_rate = w.codec->framerate;
    if (o->quarters || o->mirrored) {
        int32_t *const matrix =
            (int32_t *)av_stream_new_side_data(w.stream, AV_PKT_DATA_DISPLAYMATRIX,
                                               9 * sizeof *matrix);
        /* clockwise, though av_display_rotation_get is not */
        av_display_rotation_set(matrix, 90 * o->quarters);
        av_display_matrix_flip(matrix, o->mirrored, 0);
    }
    code = avio_open(&w.format->pb, path, AVIO_FLAG_WRITE);
    assert(code >= 0);
    code = avformat_write_header(w.format, NULL);
    assert(code >= 0);
    AVFrame *f = new_frame(&w);
    for (int i = 0; i < o->frames; i++) {
        if (i > 0 && i == o->resize_at) {
            end_codec(&w);
            open_codec(&w, o, 2);
            w.other = true;
            av_frame_free(&f);
            f = new_frame(&w);
        }
        av_frame_make_writable(f);
        draw(f, o->first + i);
        f->pts = o->start + i;
        avcodec_send_frame(w.codec, f);
        write_packets(&w);
    }
    end_codec(&w);
    av_write_trailer(w.format);
    avio_closep(&w.format->pb);
    av_frame_free(&f);
    av_packet_free(&w.packet);
    avformat_free_context(w.format);
}

void clip_empty(const char *path)
{
    FILE *const f = fopen(path, "r+b");
    assert(f);
    static uint8_t text[1 << 20];
    const size_t n = fread(text, 1, sizeof text, f);
    size_t at = 0;
    while (at + 4 < n && memcmp(text + at, "mdat", 4) != 0)
        at++;
    assert(at >= 4 && n < sizeof text);
    const size_t box = (size_t)text[at - 4] << 24 | (size_t)text[at - 3] << 16 |
                       (size_t)text[at - 2] << 8 | text[at - 1];
    memset(text + at + 4, 0, box - 8);
    rewind(f);
    const size_t written = fwrite(text, 1, n, f);
    assert(written == n);
    fclose(f);
}
