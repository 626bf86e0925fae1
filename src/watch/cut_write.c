/* The MP4 file of a part. */
#include <string.h>

#include "watch/cut_output.h"
#include "watch/cut_parts.h"

typedef struct Writer {
    const Cut *cut;
    int file;
    AVFormatContext *format;
    AVStream *video, *audio;
    int64_t last[2]; /* dts that was written last, of either, in its time base */
} Writer;

static AVStream *add_stream(AVFormatContext *f, const AVCodecParameters *par, AVRational base)
{
    AVStream *const s = avformat_new_stream(f, NULL);
    if (!s || avcodec_parameters_copy(s->codecpar, par) < 0)
        return NULL;
    s->codecpar->codec_tag = 0; /* of the container it came from */
    s->time_base = base;
    return s;
}

static int set_matrix(AVStream *s, const int32_t *matrix)
{
    bool turned = false;
    for (int i = 0; i < 9; i++)
        turned = turned || matrix[i] != 0;
    uint8_t *const at =
        turned ? av_stream_new_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof *matrix) : NULL;
    if (at)
        memcpy(at, matrix, 9 * sizeof *matrix);
    return turned && !at ? -1 : 0;
}

/* A frame of AAC that stands alone begins so; else how to decode it has to be known from
 * elsewhere. */
static bool is_adts(const AVPacket *p)
{
    return p->size > 7 && p->data[0] == 0xff && (p->data[1] & 0xf6) == 0xf0;
}

/* Cameras send sound that only telephones know. */
static int add_sound(Writer *w)
{
    const Cut *const c = w->cut;
    const AVCodecParameters *const par = c->audio.par;
    if (par->codec_id == AV_CODEC_ID_AAC && par->extradata_size == 0 &&
        !is_adts(c->audio.packet.at[0])) {
        cut_note(c, "its sound is left out: it does not say how it is encoded");
        return 0;
    }
    if (avformat_query_codec(w->format->oformat, c->audio.par->codec_id, FF_COMPLIANCE_NORMAL) !=
        1) {
        cut_note(c, "its sound is left out: MP4 does not hold %s",
                 avcodec_get_name(c->audio.par->codec_id));
        return 0;
    }
    w->audio = add_stream(
        w->format, c->audio.par,
        (AVRational){1, c->audio.par->sample_rate > 0 ? c->audio.par->sample_rate : 90000});
    return w->audio ? 0 : cut_out_of_memory(c);
}

static int open_writer(Writer *w, const Cut *c, const AVCodecParameters *par)
{
    *w = (Writer){.cut = c, .file = c->file, .last = {INT64_MIN, INT64_MIN}};
    int code = avformat_alloc_output_context2(&w->format, NULL, "mp4", c->path);
    if (code < 0)
        return cut_av_fail(c, ERR_UNSUPPORTED, code, "writing MP4");
    w->video = add_stream(w->format, par, (AVRational){1, 90000});
    if (!w->video || set_matrix(w->video, c->video.matrix) < 0)
        return cut_out_of_memory(c);
    w->video->avg_frame_rate = c->video.rate;
    code = c->audio.packet.len > 0 ? add_sound(w) : 0;
    if (code != 0)
        return code;
    if (cut_output_attach(w->format, &w->file) < 0)
        return cut_out_of_memory(c);
    /* pictures before the part have times before 0, which the edit list cuts off */
    w->format->avoid_negative_ts = 0;
    AVDictionary *option = NULL;
    av_dict_set(&option, "movflags", "+faststart", 0);
    av_dict_set(&option, "use_editlist", "1", 0);
    code = avformat_write_header(w->format, &option);
    av_dict_free(&option);
    return code < 0 ? cut_av_fail(c, ERR_UNSUPPORTED, code, "MP4 does not hold it") : 0;
}

static int close_writer(Writer *w, int code)
{
    const Cut *const c = w->cut;
    if (code == 0) {
        const int av = av_write_trailer(w->format);
        code = av < 0 ? cut_av_fail(c, ERR_IO, av, "writing its end") : 0;
    }
    if (cut_output_detach(w->format) < 0 && code == 0)
        code = error_set(c->error, ERR_IO, "%s: could not be written whole", c->path);
    avformat_free_context(w->format);
    return code;
}

/* Takes nothing over. Damaged streams have times that stand still. */
static int write_packet(Writer *w, AVStream *s, const AVPacket *p, int64_t shift)
{
    AVPacket *q = av_packet_clone(p);
    if (!q)
        return cut_out_of_memory(w->cut);
    q->pts -= shift;
    q->dts -= shift;
    av_packet_rescale_ts(q, CUT_TICK, s->time_base);
    q->dts = q->dts > w->last[s->index] ? q->dts : w->last[s->index] + 1;
    q->pts = q->pts > q->dts ? q->pts : q->dts;
    w->last[s->index] = q->dts;
    q->stream_index = s->index;
    const int code = av_interleaved_write_frame(w->format, q);
    av_packet_free(&q);
    return code < 0 ? cut_av_fail(w->cut, ERR_IO, code, "writing it") : 0;
}

/* Sound goes before pictures that come later: the writer puts them in order from there. */
static int write_audio(Writer *w, int *at, int64_t until)
{
    const CutPackets *const a = &w->cut->audio.packet;
    int code = 0;
    for (; code == 0 && w->audio && *at < a->len && a->at[*at]->dts <= until; ++*at)
        code = write_packet(w, w->audio, a->at[*at], w->cut->from);
    return code;
}

static int write_all(Writer *w, const CutPackets *video)
{
    int audio = 0, code = 0;
    for (int i = 0; i < video->len && code == 0; i++) {
        code = write_audio(w, &audio, video->at[i]->dts);
        if (code == 0)
            code = write_packet(w, w->video, video->at[i], w->cut->from);
    }
    return code == 0 ? write_audio(w, &audio, INT64_MAX) : code;
}

int cut_write(const Cut *c, const AVCodecParameters *par, const CutPackets *video)
{
    Writer w;
    int code = open_writer(&w, c, par);
    if (code == 0)
        code = write_all(&w, video);
    return close_writer(&w, code);
}
