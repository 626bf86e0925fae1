/* Demuxing through libavformat, Annex B through its bit-stream filter: see media.h. */
#include "rtsp/media.h"

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>

enum { NAL_SPS = 7, NAL_PPS = 8 };

/* The next start code 00 00 01 at or after `at`; `end` if there is none. */
static const uint8_t *start_code(const uint8_t *at, const uint8_t *end)
{
    for (; at + 3 <= end; at++) {
        if (at[0] == 0 && at[1] == 0 && at[2] == 1)
            return at;
    }
    return end;
}

static void add_nals(Arena *a, Media *m, MediaFrame *f, const uint8_t *at, const uint8_t *end)
{
    f->first = m->nal.len;
    for (at = start_code(at, end); at < end;) {
        const uint8_t *const begin = at + 3, *const next = start_code(begin, end);
        const uint8_t *stop = next;
        while (stop > begin && stop[-1] == 0) /* the zero of a long start code, trailing zeros */
            stop--;
        if (stop > begin) {
            const Nal nal = {begin, (int)(stop - begin)};
            vec_push(a, &m->nal, nal);
            if ((begin[0] & 31) == NAL_SPS && !m->sps.at)
                m->sps = nal;
            if ((begin[0] & 31) == NAL_PPS && !m->pps.at)
                m->pps = nal;
        }
        at = next;
    }
    f->n = m->nal.len - f->first;
}

typedef struct Reader {
    AVFormatContext *format;
    AVBSFContext *filter;
    AVPacket *packet;
    int stream, sound; /* sound: -1: none */
} Reader;

static void add_sound(Arena *a, Media *m, const Reader *r)
{
    const AVPacket *const p = r->packet;
    const MediaSound s = {
        av_rescale_q(p->pts, r->format->streams[r->sound]->time_base, (AVRational){1, 1000000}),
        arena_dup(a, p->data, (size_t)p->size), p->size};
    vec_push(a, &m->sound, s);
}

static void add_packet(Arena *a, Media *m, const Reader *r)
{
    const AVPacket *const p = r->packet;
    const AVRational us = {1, 1000000};
    MediaFrame f = {.key = p->flags & AV_PKT_FLAG_KEY};
    f.pts = av_rescale_q(p->pts, r->filter->time_base_out, us);
    f.dts = av_rescale_q(p->dts == AV_NOPTS_VALUE ? p->pts : p->dts, r->filter->time_base_out, us);
    const uint8_t *const data = arena_dup(a, p->data, (size_t)p->size);
    add_nals(a, m, &f, data, data + p->size);
    vec_push(a, &m->frame, f);
    const int64_t end = f.pts + av_rescale_q(p->duration, r->filter->time_base_out, us);
    m->duration = end > m->duration ? end : m->duration;
}

static int read_packets(Arena *a, Media *m, Reader *r)
{
    int code = 0;
    while (code >= 0) {
        code = av_read_frame(r->format, r->packet);
        if (code == AVERROR_EOF)
            return 0;
        if (code >= 0 && r->packet->stream_index != r->stream) {
            if (r->packet->stream_index == r->sound)
                add_sound(a, m, r);
            av_packet_unref(r->packet);
            continue;
        }
        if (code >= 0)
            code = av_bsf_send_packet(r->filter, r->packet);
        while (code >= 0 && (code = av_bsf_receive_packet(r->filter, r->packet)) >= 0) {
            add_packet(a, m, r);
            av_packet_unref(r->packet);
        }
        code = code == AVERROR(EAGAIN) ? 0 : code;
    }
    return code;
}

/* With its config in the file's head, as in MP4: others would have to be taken apart first. */
static void open_sound(Arena *a, Media *m, Reader *r)
{
    r->sound = av_find_best_stream(r->format, AVMEDIA_TYPE_AUDIO, -1, r->stream, NULL, 0);
    const AVCodecParameters *const par =
        r->sound >= 0 ? r->format->streams[r->sound]->codecpar : NULL;
    if (!par || par->codec_id != AV_CODEC_ID_AAC || par->extradata_size < 2) {
        r->sound = -1;
        return;
    }
    m->rate = par->sample_rate;
    m->channels = par->ch_layout.nb_channels;
    m->config =
        (Nal){arena_dup(a, par->extradata, (size_t)par->extradata_size), par->extradata_size};
}

static int open_reader(Reader *r, const char *path, Error *e)
{
    if (avformat_open_input(&r->format, path, NULL, NULL) < 0 ||
        avformat_find_stream_info(r->format, NULL) < 0)
        return error_set(e, ERR_IO, "%s: cannot be read", path);
    r->stream = av_find_best_stream(r->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    const AVStream *const s = r->stream >= 0 ? r->format->streams[r->stream] : NULL;
    if (!s || s->codecpar->codec_id != AV_CODEC_ID_H264)
        return error_set(e, ERR_UNSUPPORTED, "%s: there is no H.264 in it", path);
    const bool annex_b = s->codecpar->extradata_size == 0 || s->codecpar->extradata[0] != 1;
    r->packet = av_packet_alloc();
    if (!r->packet ||
        av_bsf_alloc(av_bsf_get_by_name(annex_b ? "null" : "h264_mp4toannexb"), &r->filter) < 0)
        return error_set(e, ERR_MEMORY, "%s: no memory", path);
    avcodec_parameters_copy(r->filter->par_in, s->codecpar);
    r->filter->time_base_in = s->time_base;
    return av_bsf_init(r->filter) < 0 ? error_set(e, ERR_INVALID, "%s: its H.264 is damaged", path)
                                      : 0;
}

int media_read(Arena *a, const char *path, Media *out, Error *e)
{
    Reader r = {0};
    Media m = {0};
    int code = open_reader(&r, path, e);
    if (code == 0)
        open_sound(a, &m, &r);
    if (code == 0 && read_packets(a, &m, &r) < 0)
        code = error_set(e, ERR_IO, "%s: cannot be read to its end", path);
    if (code == 0 && (m.frame.len == 0 || !m.sps.at || !m.pps.at))
        code = error_set(e, ERR_INVALID, "%s: no frames, or no parameter sets", path);
    av_packet_free(&r.packet);
    av_bsf_free(&r.filter);
    avformat_close_input(&r.format);
    if (code != 0)
        return code;
    int64_t first = INT64_MAX;
    for (int i = 0; i < m.frame.len; i++)
        first = m.frame.at[i].pts < first ? m.frame.at[i].pts : first;
    for (int i = 0; i < m.frame.len; i++) {
        m.frame.at[i].pts -= first;
        m.frame.at[i].dts -= first;
    }
    for (int i = 0; i < m.sound.len; i++)
        m.sound.at[i].pts -= first;
    m.duration -= first;
    *out = m;
    return 0;
}

int media_middle(const Media *m)
{
    int next = 1;
    while (next < m->frame.len && !m->frame.at[next].key)
        next++;
    return next / 2;
}
