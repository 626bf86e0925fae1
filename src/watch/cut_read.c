/* Packets for a part: of a stored video, by seeking, or from a list. */
#include <stdio.h>
#include <string.h>

#include "watch/cut_parts.h"
#include "watch/pictures.h"

static int set_parameters(const Cut *c, Track *t, const AVCodecParameters *par)
{
    t->par = avcodec_parameters_alloc();
    return t->par && avcodec_parameters_copy(t->par, par) >= 0 ? 0 : cut_out_of_memory(c);
}

/* Takes a reference; times become us, less `origin`. */
static int keep(const Cut *c, Track *t, const AVPacket *p, AVRational base, int64_t origin)
{
    AVPacket *const q = av_packet_clone(p);
    if (!q)
        return cut_out_of_memory(c);
    av_packet_rescale_ts(q, base, CUT_TICK);
    q->time_base = CUT_TICK;
    if (q->pts == AV_NOPTS_VALUE)
        q->pts = q->dts;
    if (q->dts == AV_NOPTS_VALUE)
        q->dts = q->pts;
    q->pts -= origin;
    q->dts -= origin;
    vec_push(c->arena, &t->packet, q);
    return 0;
}

/* As take_turn reads it (source.c). */
static void frame_turn_matrix(FrameTurn turn, int32_t *matrix)
{
    const int32_t one = 1 << 16, x = turn.flip_x ? -one : one, y = turn.flip_y ? -one : one;
    if (!turn.swapped && !turn.flip_x && !turn.flip_y)
        return;
    matrix[turn.swapped ? 3 : 0] = x;
    matrix[turn.swapped ? 1 : 4] = y;
    matrix[8] = 1 << 30;
}

/* ---- packets that are there ---- */

int cut_read_packets(Cut *c, int n, const Packet *const *packet)
{
    int code = 0;
    for (int i = 0; i < n && code == 0; i++) {
        const Packet *const p = packet[i];
        const bool sound = packet_sound(p);
        Track *const t = sound ? &c->audio : &c->video;
        if (!p->av || p->dts == PACKET_NO_TIME)
            continue;
        if (!t->par) {
            code = set_parameters(c, t, p->info->par);
            t->rate = p->info->frame_rate;
            if (!sound)
                frame_turn_matrix(p->info->turn, t->matrix);
        }
        if (code == 0)
            code = keep(c, t, p->av, p->info->time_base, 0);
    }
    if (code == 0 && !c->video.par)
        code = error_set(c->error, ERR_INVALID, "%s: there are no packets to cut from", c->path);
    return code;
}

/* ---- stored videos ---- */

typedef struct Stored {
    AVFormatContext *format;
    int video, audio; /* indices; audio -1: none */
    int64_t origin;   /* us: of the first picture */
} Stored;

static int open_stored(const Cut *c, const char *video, Stored *s)
{
    int code = avformat_open_input(&s->format, video, NULL, NULL);
    if (code < 0)
        return error_set(c->error, code == AVERROR_INVALIDDATA ? ERR_INVALID : ERR_IO,
                         "%s: opening it as video: %s", video, av_err2str(code));
    code = avformat_find_stream_info(s->format, NULL);
    s->video =
        code < 0 ? code : av_find_best_stream(s->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (s->video < 0)
        return error_set(c->error, ERR_INVALID, "%s: it has no video", video);
    s->audio = av_find_best_stream(s->format, AVMEDIA_TYPE_AUDIO, -1, s->video, NULL, 0);
    for (unsigned i = 0; i < s->format->nb_streams; i++)
        if ((int)i != s->video && (int)i != s->audio)
            s->format->streams[i]->discard = AVDISCARD_ALL;
    return 0;
}

/* The earliest picture: pictures may come in another order than they are shown. */
static int find_origin(const Cut *c, Stored *s)
{
    AVPacket *p = av_packet_alloc();
    const AVRational base = s->format->streams[s->video]->time_base;
    s->origin = INT64_MAX;
    for (int seen = 0; p && seen < 32 && av_read_frame(s->format, p) >= 0; av_packet_unref(p)) {
        const int64_t pts = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
        if (p->stream_index != s->video || pts == AV_NOPTS_VALUE)
            continue;
        const int64_t at = av_rescale_q(pts, base, CUT_TICK);
        s->origin = at < s->origin ? at : s->origin;
        seen++;
    }
    av_packet_free(&p);
    return s->origin < INT64_MAX ? 0
                                 : error_set(c->error, ERR_INVALID, "its pictures have no times");
}

static void drop_all(CutPackets *p)
{
    cut_drop_front(p, p->len);
}

/* From a keyframe at or before `from` on, as far as the container tells; pictures of a second
 * beyond the part may still be needed, as they come before what they are shown after. */
static int read_from(Cut *c, Stored *s, int64_t from)
{
    const AVStream *const v = s->format->streams[s->video];
    drop_all(&c->video.packet);
    drop_all(&c->audio.packet);
    const bool by_time =
        from >= 0 &&
        av_seek_frame(s->format, s->video, av_rescale_q(s->origin + from, CUT_TICK, v->time_base),
                      AVSEEK_FLAG_BACKWARD) >= 0;
    if (!by_time && av_seek_frame(s->format, -1, 0, AVSEEK_FLAG_BYTE) < 0 &&
        av_seek_frame(s->format, s->video, INT64_MIN, 0) < 0)
        return error_set(c->error, ERR_IO,
                         "it cannot be read from another place than its beginning");
    AVPacket *p = av_packet_alloc();
    int code = p ? 0 : cut_out_of_memory(c);
    bool over = false;
    while (code == 0 && !over && av_read_frame(s->format, p) >= 0) {
        const bool sound = p->stream_index == s->audio;
        if (p->stream_index == s->video || sound)
            code = keep(c, sound ? &c->audio : &c->video, p,
                        s->format->streams[p->stream_index]->time_base, s->origin);
        const CutPackets *const kept = &c->video.packet;
        over = kept->len > 0 && kept->at[kept->len - 1]->dts > c->to + 1000000;
        av_packet_unref(p);
    }
    av_packet_free(&p);
    return code;
}

/* Containers without an index (transport streams) are searched by guess, and may end up behind the
 * keyframe. */
static int read_stored(Cut *c, Stored *s)
{
    static const int64_t back[] = {0, 2000000,
                                   20000000}; /* us; then from the beginning of the file */
    int code = 0;
    for (int i = 0;
         i <= 3 && code == 0 && (i == 0 || cut_key_before(&c->video.packet, c->from) < 0); i++)
        code = read_from(c, s, i == 3 ? -1 : c->from > back[i] ? c->from - back[i] : 0);
    return code;
}

static int describe(Cut *c, const Stored *s)
{
    const AVStream *const v = s->format->streams[s->video];
    size_t size = 0;
    const uint8_t *const matrix = av_stream_get_side_data(v, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (matrix && size >= sizeof c->video.matrix)
        memcpy(c->video.matrix, matrix, sizeof c->video.matrix);
    c->video.rate = v->avg_frame_rate;
    const int code = set_parameters(c, &c->video, v->codecpar);
    return code == 0 && s->audio >= 0
               ? set_parameters(c, &c->audio, s->format->streams[s->audio]->codecpar)
               : code;
}

int cut_read_file(Cut *c, const char *video)
{
    Stored s = {.audio = -1};
    if (pictures_are(video))
        return error_set(c->error, ERR_UNSUPPORTED,
                         "%s: clips are cut of videos, and this is a folder of pictures", video);
    int code = open_stored(c, video, &s);
    if (code == 0)
        code = find_origin(c, &s);
    if (code == 0)
        code = describe(c, &s);
    if (code == 0)
        code = read_stored(c, &s);
    avformat_close_input(&s.format);
    return code;
}
