/* Encoder and muxer: see movie.h. */
#include "game/movie.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <string.h>

struct Movie {
    const char *path;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    int64_t count;
    /* sound; codec NULL: none */
    const Sound *sound;
    AVCodecContext *sound_codec;
    AVStream *sound_stream;
    AVFrame *sound_frame;
    int64_t said; /* samples that were encoded */
};

static void movie_free(void *arg)
{
    Movie *const m = arg;
    av_packet_free(&m->packet);
    av_frame_free(&m->frame);
    avcodec_free_context(&m->codec);
    av_frame_free(&m->sound_frame);
    avcodec_free_context(&m->sound_codec);
    if (m->format && !(m->format->oformat->flags & AVFMT_NOFILE))
        avio_closep(&m->format->pb);
    avformat_free_context(m->format);
    m->format = NULL;
}

static int av_failed(const Movie *m, const char *what, int code, Error *e)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return error_set(e, code == AVERROR(ENOMEM) ? ERR_MEMORY : ERR_IO, "%s: %s: %s", m->path, what,
                     text);
}

static int open_codec(Movie *m, const MovieOptions *opt, Error *e)
{
    const AVCodec *const codec = avcodec_find_encoder_by_name("libx264");
    if (!codec)
        return error_set(e, ERR_UNSUPPORTED, "%s: this libavcodec has no libx264", m->path);
    AVCodecContext *const c = m->codec = avcodec_alloc_context3(codec);
    if (!c)
        return error_set(e, ERR_MEMORY, "%s: no memory for the encoder", m->path);
    c->width = opt->width;
    c->height = opt->height;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->framerate = (AVRational){opt->fps_num, opt->fps_den};
    c->time_base = av_inv_q(c->framerate);
    c->bit_rate = c->rc_max_rate = opt->bitrate;
    c->rc_buffer_size = (int)(2 * opt->bitrate < INT32_MAX ? 2 * opt->bitrate : INT32_MAX);
    c->gop_size = opt->gop;
    c->thread_count = 1;
    c->colorspace = AVCOL_SPC_BT709;
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_BT709;
    c->color_range = AVCOL_RANGE_MPEG;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
    if (m->format->oformat->flags & AVFMT_GLOBALHEADER)
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_opt_set(c->priv_data, "preset", opt->preset ? opt->preset : "veryfast", 0);
    const int code = avcodec_open2(c, codec, NULL);
    return code < 0 ? av_failed(m, "encoder", code, e) : 0;
}

static int open_sound(Movie *m, const Sound *sound, Error *e)
{
    const AVCodec *const codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
    AVCodecContext *const c = m->sound_codec = codec ? avcodec_alloc_context3(codec) : NULL;
    m->sound = sound;
    m->sound_frame = av_frame_alloc();
    if (!c || !m->sound_frame)
        return error_set(e, ERR_UNSUPPORTED, "%s: no encoder of AAC", m->path);
    c->sample_rate = sound->rate;
    c->sample_fmt = AV_SAMPLE_FMT_FLTP;
    c->bit_rate = 64000;
    c->time_base = (AVRational){1, sound->rate};
    c->flags |= AV_CODEC_FLAG_BITEXACT;
    av_channel_layout_default(&c->ch_layout, 1);
    if (m->format->oformat->flags & AVFMT_GLOBALHEADER)
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    int code = avcodec_open2(c, codec, NULL);
    if (code < 0)
        return av_failed(m, "encoder of sound", code, e);
    m->sound_frame->nb_samples = c->frame_size;
    m->sound_frame->format = c->sample_fmt;
    m->sound_frame->sample_rate = c->sample_rate;
    av_channel_layout_default(&m->sound_frame->ch_layout, 1);
    code = av_frame_get_buffer(m->sound_frame, 0);
    return code < 0 ? av_failed(m, "frame of sound", code, e) : 0;
}

static int open_file(Movie *m, Error *e)
{
    m->stream = avformat_new_stream(m->format, NULL);
    if (m->sound) {
        m->sound_stream = avformat_new_stream(m->format, NULL);
        if (!m->sound_stream ||
            avcodec_parameters_from_context(m->sound_stream->codecpar, m->sound_codec) < 0)
            return error_set(e, ERR_MEMORY, "%s: no memory", m->path);
        m->sound_stream->time_base = m->sound_codec->time_base;
    }
    m->frame = av_frame_alloc();
    m->packet = av_packet_alloc();
    if (!m->stream || !m->frame || !m->packet)
        return error_set(e, ERR_MEMORY, "%s: no memory", m->path);
    m->stream->time_base = m->codec->time_base;
    m->stream->avg_frame_rate = m->codec->framerate;
    int code = avcodec_parameters_from_context(m->stream->codecpar, m->codec);
    if (code >= 0)
        code = avio_open(&m->format->pb, m->path, AVIO_FLAG_WRITE);
    if (code >= 0)
        code = avformat_write_header(m->format, NULL);
    if (code < 0)
        return av_failed(m, "cannot be written", code, e);
    m->frame->width = m->codec->width;
    m->frame->height = m->codec->height;
    m->frame->format = AV_PIX_FMT_YUV420P;
    code = av_frame_get_buffer(m->frame, 0);
    return code < 0 ? av_failed(m, "frame", code, e) : 0;
}

int movie_open(Arena *a, const char *path, const MovieOptions *opt, Movie **out, Error *e)
{
    Movie *const m = arena_new_of(a, Movie);
    m->path = arena_strdup(a, path);
    if (avformat_alloc_output_context2(&m->format, NULL, NULL, path) < 0)
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: the name says no container that libavformat writes", path);
    arena_defer(a, movie_free, m);
    m->format->flags |= AVFMT_FLAG_BITEXACT; /* no date, no version: the same bytes each time */
    int code = open_codec(m, opt, e);
    if (code == 0 && opt->sound)
        code = open_sound(m, opt->sound, e);
    if (code == 0)
        code = open_file(m, e);
    if (code == 0)
        *out = m;
    return code;
}

/* frame NULL: the end. duration: of a packet, 0: as the encoder says. */
static int encode(Movie *m, AVCodecContext *codec, const AVStream *stream, const AVFrame *frame,
                  int64_t duration, Error *e)
{
    int code = avcodec_send_frame(codec, frame);
    while (code >= 0) {
        code = avcodec_receive_packet(codec, m->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
            return 0;
        if (code < 0)
            break;
        m->packet->duration = duration ? duration : m->packet->duration;
        m->packet->stream_index = stream->index;
        av_packet_rescale_ts(m->packet, codec->time_base, stream->time_base);
        code = av_interleaved_write_frame(m->format, m->packet);
    }
    return av_failed(m, "encoding", code, e);
}

/* Sound up to a time, in whole frames of the encoder. */
static int say_until(Movie *m, double seconds, Error *e)
{
    int code = 0;
    while (m->sound && code == 0 && (double)m->said / m->sound->rate < seconds &&
           m->said < m->sound->n) {
        AVFrame *const f = m->sound_frame;
        const int made = av_frame_make_writable(f);
        if (made < 0)
            return av_failed(m, "frame of sound", made, e);
        for (int i = 0; i < f->nb_samples; i++) {
            const float v = m->said + i < m->sound->n ? m->sound->at[m->said + i] : 0;
            ((float *)(void *)f->data[0])[i] = v < -1 ? -1 : v > 1 ? 1 : v;
        }
        f->pts = m->said;
        m->said += f->nb_samples;
        code = encode(m, m->sound_codec, m->sound_stream, f, 0, e);
    }
    return code;
}

int movie_add(Movie *m, const Yuv *y, Error *e)
{
    int code = av_frame_make_writable(m->frame);
    if (code < 0)
        return av_failed(m, "frame", code, e);
    for (int k = 0; k < 3; k++) {
        const int width = k ? y->width / 2 : y->width, height = k ? y->height / 2 : y->height;
        for (int row = 0; row < height; row++)
            memcpy(m->frame->data[k] + (size_t)row * (size_t)m->frame->linesize[k],
                   y->plane[k] + (size_t)row * (size_t)y->stride[k], (size_t)width);
    }
    m->frame->pts = m->count++;
    code = encode(m, m->codec, m->stream, m->frame, 1, e);
    const AVRational frame = m->codec->time_base;
    return code == 0 ? say_until(m, (double)m->count * frame.num / frame.den, e) : code;
}

int movie_close(Movie *m, Error *e)
{
    int code = encode(m, m->codec, m->stream, NULL, 1, e);
    if (code == 0 && m->sound)
        code = encode(m, m->sound_codec, m->sound_stream, NULL, 0, e);
    if (code == 0) {
        const int written = av_write_trailer(m->format);
        if (written < 0)
            code = av_failed(m, "cannot be finished", written, e);
    }
    if (m->format->pb && avio_closep(&m->format->pb) < 0 && code == 0)
        code = error_set(e, ERR_IO, "%s: cannot be written", m->path);
    return code;
}
