/* Parts of one kind, copied one after another, with a chapter each. */
#include <libavformat/avformat.h>
#include <string.h>

#include "watch/cut_output.h"
#include "watch/cut_parts.h"

#define TICK ((AVRational){1, 1000000})

typedef struct Reel {
    const char *path;
    int file;
    AVFormatContext *out;
    int64_t at;      /* us: where the next part begins */
    int64_t last[2]; /* dts that was written last, of each stream, in its time base */
    CutReport *report;
    Error *error;
} Reel;

static int reel_fail(const Reel *r, int code, int av, const char *path, const char *what)
{
    return error_set(r->error, code, "%s: %s: %s", path, what, av_err2str(av));
}

static int open_part(const Reel *r, const char *path, AVFormatContext **out)
{
    int code = avformat_open_input(out, path, NULL, NULL);
    if (code >= 0)
        code = avformat_find_stream_info(*out, NULL);
    if (code < 0)
        return reel_fail(r, ERR_IO, code, path, "opening it");
    for (unsigned i = 0; i < (*out)->nb_streams; i++)
        if ((*out)->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
            return 0;
    return error_set(r->error, ERR_INVALID, "%s: it has no video", path);
}

/* The first stream of video, the first of sound. */
static int stream_of(const AVFormatContext *f, enum AVMediaType type)
{
    for (unsigned i = 0; i < f->nb_streams; i++)
        if (f->streams[i]->codecpar->codec_type == type)
            return (int)i;
    return -1;
}

static const enum AVMediaType kind[] = {AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO};

/* How players turn its pictures; NULL: not at all. */
static const uint8_t *matrix_of(const AVStream *s, size_t *size)
{
    return av_stream_get_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, size);
}

static bool copy_matrix(AVStream *to, const AVStream *from)
{
    size_t size = 0;
    const uint8_t *const matrix = matrix_of(from, &size);
    uint8_t *const at =
        matrix ? av_stream_new_side_data(to, AV_PKT_DATA_DISPLAYMATRIX, size) : NULL;
    if (at)
        memcpy(at, matrix, size);
    return !matrix || at;
}

static bool same_matrix(const AVStream *a, const AVStream *b)
{
    size_t n = 0, m = 0;
    const uint8_t *const x = matrix_of(a, &n), *const y = matrix_of(b, &m);
    return !x || !y ? !x && !y : n == m && memcmp(x, y, n) == 0;
}

/* Streams as in the first part. */
static int begin_reel(Reel *r, const AVFormatContext *part)
{
    int code = avformat_alloc_output_context2(&r->out, NULL, "mp4", r->path);
    if (code < 0)
        return reel_fail(r, ERR_IO, code, r->path, "writing MP4");
    for (int k = 0; k < 2; k++) {
        const int i = stream_of(part, kind[k]);
        AVStream *const s = i < 0 ? NULL : avformat_new_stream(r->out, NULL);
        if (i >= 0 && (!s || avcodec_parameters_copy(s->codecpar, part->streams[i]->codecpar) < 0 ||
                       !copy_matrix(s, part->streams[i])))
            return error_set(r->error, ERR_MEMORY, "%s: out of memory", r->path);
        if (s) {
            s->codecpar->codec_tag = 0;
            s->time_base = part->streams[i]->time_base;
            s->avg_frame_rate = part->streams[i]->avg_frame_rate;
        }
        r->last[k] = INT64_MIN;
    }
    return 0;
}

/* What a decoder is told at the beginning has to do for all parts. */
static int check_part(const Reel *r, const AVFormatContext *part, const char *path)
{
    const AVCodecParameters *const a = r->out->streams[0]->codecpar;
    const AVCodecParameters *const b = part->streams[stream_of(part, AVMEDIA_TYPE_VIDEO)]->codecpar;
    if (a->codec_id != b->codec_id || a->width != b->width || a->height != b->height)
        return error_set(r->error, ERR_INVALID, "%s: %s of %dx%d does not go on from %s of %dx%d",
                         path, avcodec_get_name(b->codec_id), b->width, b->height,
                         avcodec_get_name(a->codec_id), a->width, a->height);
    if (!same_matrix(r->out->streams[0], part->streams[stream_of(part, AVMEDIA_TYPE_VIDEO)]))
        return error_set(r->error, ERR_INVALID, "%s: is turned otherwise than the part before it",
                         path);
    if (a->extradata_size != b->extradata_size ||
        memcmp(a->extradata, b->extradata, (size_t)a->extradata_size) != 0)
        return error_set(r->error, ERR_INVALID, "%s: was encoded otherwise than the part before it",
                         path);
    return 0;
}

static int copy_part(Reel *r, AVFormatContext *part)
{
    AVPacket *p = av_packet_alloc();
    const AVRational rate = part->streams[stream_of(part, AVMEDIA_TYPE_VIDEO)]->avg_frame_rate;
    /* the last picture's time is its own */
    const int64_t step = rate.num > 0 ? av_rescale(1000000, rate.den, rate.num) : 40000;
    int64_t end = r->at + (part->duration > 0 ? part->duration : 0); /* as chapters say */
    int code = p ? 0 : AVERROR(ENOMEM);
    while (code >= 0 && (code = av_read_frame(part, p)) >= 0) {
        const enum AVMediaType type = part->streams[p->stream_index]->codecpar->codec_type;
        const int k = type == AVMEDIA_TYPE_VIDEO ? 0 : 1;
        const bool wanted =
            p->stream_index == stream_of(part, kind[k]) && (k == 0 || r->out->nb_streams > 1);
        if (wanted) {
            AVStream *const s = r->out->streams[k];
            av_packet_rescale_ts(p, part->streams[p->stream_index]->time_base, TICK);
            p->pts += r->at;
            p->dts += r->at;
            const int64_t over = p->pts + (p->duration > 0 || k == 1 ? p->duration : step);
            end = over > end ? over : end;
            av_packet_rescale_ts(p, TICK, s->time_base);
            /* sound of the part before may reach over its end */
            p->dts = p->dts > r->last[k] ? p->dts : r->last[k] + 1;
            p->pts = p->pts > p->dts ? p->pts : p->dts;
            r->last[k] = p->dts;
            p->stream_index = k;
            r->report->copied += k == 0;
            code = av_interleaved_write_frame(r->out, p);
        }
        av_packet_unref(p);
    }
    av_packet_free(&p);
    r->at = end;
    return code == AVERROR_EOF ? 0 : code;
}

/* Chapters are written with the head, so their times have to be known by then. */
static int add_chapter(AVFormatContext *f, int number, int64_t from, int64_t to, const char *title)
{
    AVChapter **const more = av_realloc_array(f->chapters, (size_t)number + 1, sizeof *more);
    if (!more)
        return AVERROR(ENOMEM);
    f->chapters = more;
    AVChapter *const c = more[number] = av_mallocz(sizeof *c);
    if (!c)
        return AVERROR(ENOMEM);
    f->nb_chapters = (unsigned)number + 1;
    *c = (AVChapter){.id = number, .time_base = TICK, .start = from, .end = to};
    return av_dict_set(&c->metadata, "title", title ? title : "", 0);
}

static int look_at_parts(Reel *r, int n, const ReelPart *part)
{
    int64_t at = 0;
    int code = n > 0 ? 0 : error_set(r->error, ERR_INVALID, "%s: a reel of no parts", r->path);
    for (int i = 0; i < n && code == 0; i++) {
        AVFormatContext *f = NULL;
        code = open_part(r, part[i].path, &f);
        if (code == 0)
            code = i == 0 ? begin_reel(r, f) : check_part(r, f, part[i].path);
        const int64_t duration = code == 0 && f->duration > 0 ? f->duration : 0;
        if (code == 0 && add_chapter(r->out, i, at, at + duration, part[i].title) < 0)
            code = error_set(r->error, ERR_MEMORY, "%s: out of memory", r->path);
        at += duration;
        avformat_close_input(&f);
    }
    return code;
}

static int write_parts(Reel *r, int n, const ReelPart *part)
{
    int av = cut_output_attach(r->out, &r->file);
    if (av >= 0) {
        AVDictionary *option = NULL;
        av_dict_set(&option, "movflags", "+faststart", 0);
        av = avformat_write_header(r->out, &option);
        av_dict_free(&option);
    }
    if (av < 0)
        return reel_fail(r, ERR_IO, av, r->path, "it cannot be made");
    int code = 0;
    for (int i = 0; i < n && code == 0; i++) {
        AVFormatContext *f = NULL;
        code = open_part(r, part[i].path, &f);
        av = code == 0 ? copy_part(r, f) : 0;
        if (av < 0)
            code = reel_fail(r, ERR_IO, av, r->path, "writing it");
        avformat_close_input(&f);
    }
    av = code == 0 ? av_write_trailer(r->out) : 0;
    return av < 0 ? reel_fail(r, ERR_IO, av, r->path, "writing its end") : code;
}

int cut_reel_to(int file, int n, const ReelPart *part, const char *path, CutReport *out, Error *e)
{
    *out = (CutReport){.mode = CUT_COPY};
    Reel r = {.path = path, .file = file, .report = out, .error = e};
    int code = look_at_parts(&r, n, part);
    if (code == 0)
        code = write_parts(&r, n, part);
    if (cut_output_detach(r.out) < 0 && code == 0)
        code = error_set(e, ERR_IO, "%s: could not be written whole", path);
    avformat_free_context(r.out);
    out->duration = r.at;
    return code;
}
