/* Packets gathered, cut, written.
 *
 * Pictures that are encoded anew carry their parameter sets in band, and so do copied keyframes after them: a decoder follows from
 * one to the other, whatever the head of the file says. */
#include "watch/cut.h"

#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch/cut_encode.h"

#define TICK ((AVRational){1, 1000000})

typedef struct Track {
    AVCodecParameters *par;
    AVRational rate;         /* frames a second; 0/1: not known */
    CutPackets packet;       /* in decoding order */
} Track;

typedef struct Cut {
    Arena *arena;
    const char *path;        /* of the part, for messages */
    int64_t from, to;
    Track video, audio;      /* audio.par NULL: none */
    CutPackets fresh, rest;  /* of an exact part: encoded anew; copied */
    CutReport *report;
    Error *error;
} Cut;

static void cut_free(void *arg)
{
    Cut *const c = arg;
    CutPackets *const list[] = {&c->video.packet, &c->audio.packet, &c->fresh, &c->rest};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < list[i]->len; k++)
            av_packet_free(&list[i]->at[k]);
    avcodec_parameters_free(&c->video.par);
    avcodec_parameters_free(&c->audio.par);
}

/* Freed with its arena. */
static Cut *cut_new(const char *path, CutReport *out, Error *e)
{
    Arena *const a = arena_new();
    Cut *const c = arena_new_of(a, Cut);
    *out = (CutReport){0};
    *c = (Cut){.arena = a, .path = path, .report = out, .error = e};
    arena_defer(a, cut_free, c);
    return c;
}

static int out_of_memory(const Cut *c) { return error_set(c->error, ERR_MEMORY, "%s: out of memory", c->path); }

static int av_fail(const Cut *c, int code, int av, const char *what)
{
    char why[128];
    av_strerror(av, why, sizeof why);
    return error_set(c->error, code, "%s: %s: %s", c->path, what, why);
}

static int set_parameters(const Cut *c, Track *t, const AVCodecParameters *par)
{
    t->par = avcodec_parameters_alloc();
    return t->par && avcodec_parameters_copy(t->par, par) >= 0 ? 0 : out_of_memory(c);
}

/* Takes a reference; times become us, less `origin`. */
static int keep(const Cut *c, Track *t, const AVPacket *p, AVRational base, int64_t origin)
{
    AVPacket *const q = av_packet_clone(p);
    if (!q)
        return out_of_memory(c);
    av_packet_rescale_ts(q, base, TICK);
    q->time_base = TICK;
    if (q->pts == AV_NOPTS_VALUE)
        q->pts = q->dts;
    if (q->dts == AV_NOPTS_VALUE)
        q->dts = q->pts;
    q->pts -= origin;
    q->dts -= origin;
    vec_push(c->arena, &t->packet, q);
    return 0;
}

static bool is_key(const AVPacket *p) { return (p->flags & AV_PKT_FLAG_KEY) != 0; }

/* ---- what of it ---- */

/* The last keyframe at or before a time; -1: none. */
static int key_before(const CutPackets *p, int64_t t)
{
    int found = -1;
    for (int i = 0; i < p->len; i++)
        if (is_key(p->at[i]) && p->at[i]->pts <= t)
            found = i;
    return found;
}

static void drop_front(CutPackets *p, int n)
{
    if (n == 0)
        return;
    for (int i = 0; i < n; i++)
        av_packet_free(&p->at[i]);
    memmove(p->at, p->at + n, (size_t)(p->len - n) * sizeof *p->at);
    p->len -= n;
}

/* Decoding order: a picture before `to` may stand behind one after it. */
static void drop_end(CutPackets *p, int64_t to)
{
    while (p->len > 0 && p->at[p->len - 1]->pts >= to)
        av_packet_free(&p->at[--p->len]);
}

/* Leaves the packets from the keyframe on that the part begins with. */
static int choose(Cut *c)
{
    CutPackets *const p = &c->video.packet;
    int key = key_before(p, c->from);
    for (int i = 0; i < p->len && key < 0; i++) /* the video begins within the part */
        if (is_key(p->at[i]))
            key = i;
    drop_front(p, key < 0 ? p->len : key);
    drop_end(p, c->to);
    bool shown = false;
    for (int i = 0; i < p->len; i++)
        shown = shown || (p->at[i]->pts >= c->from && p->at[i]->pts < c->to);
    if (!shown)
        return error_set(c->error, ERR_INVALID, "%s: no picture between %.3f and %.3f s", c->path, (double)c->from * 1e-6,
                         (double)c->to * 1e-6);
    CutPackets *const a = &c->audio.packet;
    int first = 0;
    while (first < a->len && a->at[first]->pts < c->from)
        first++;
    drop_front(a, first);
    drop_end(a, c->to);
    return 0;
}

/* ---- writing ---- */

typedef struct Writer {
    const Cut *cut;
    AVFormatContext *format;
    AVStream *video, *audio;
    const char *partial;
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

static int open_writer(Writer *w, const Cut *c, const AVCodecParameters *par)
{
    *w = (Writer){.cut = c, .partial = arena_printf(c->arena, "%s.part", c->path)};
    int code = avformat_alloc_output_context2(&w->format, NULL, "mp4", w->partial);
    if (code < 0)
        return av_fail(c, ERR_UNSUPPORTED, code, "writing MP4");
    w->video = add_stream(w->format, par, (AVRational){1, 90000});
    w->audio = c->audio.packet.len > 0 ? add_stream(w->format, c->audio.par, (AVRational){1, c->audio.par->sample_rate}) : NULL;
    if (!w->video || (c->audio.packet.len > 0 && !w->audio))
        return out_of_memory(c);
    w->video->avg_frame_rate = c->video.rate;
    code = avio_open(&w->format->pb, w->partial, AVIO_FLAG_WRITE);
    if (code < 0)
        return av_fail(c, ERR_IO, code, "it cannot be made");
    /* pictures before the part have times before 0, which the edit list cuts off */
    w->format->avoid_negative_ts = 0;
    AVDictionary *option = NULL;
    av_dict_set(&option, "movflags", "+faststart", 0);
    av_dict_set(&option, "use_editlist", "1", 0);
    code = avformat_write_header(w->format, &option);
    av_dict_free(&option);
    return code < 0 ? av_fail(c, ERR_UNSUPPORTED, code, "MP4 does not hold it") : 0;
}

static int close_writer(Writer *w, int code)
{
    const Cut *const c = w->cut;
    if (code == 0) {
        const int av = av_write_trailer(w->format);
        code = av < 0 ? av_fail(c, ERR_IO, av, "writing its end") : 0;
    }
    if (w->format && w->format->pb && avio_closep(&w->format->pb) < 0 && code == 0)
        code = error_set(c->error, ERR_IO, "%s: could not be written whole", c->path);
    avformat_free_context(w->format);
    struct stat st;
    if (code == 0 && rename(w->partial, c->path) != 0)
        code = error_set(c->error, ERR_IO, "%s: %m", c->path);
    if (code != 0 && w->partial)
        unlink(w->partial);
    c->report->bytes = code == 0 && stat(c->path, &st) == 0 ? st.st_size : 0;
    return code;
}

/* Takes nothing over. */
static int write_packet(const Writer *w, AVStream *s, const AVPacket *p, int64_t shift)
{
    AVPacket *q = av_packet_clone(p);
    if (!q)
        return out_of_memory(w->cut);
    q->pts -= shift;
    q->dts -= shift;
    av_packet_rescale_ts(q, TICK, s->time_base);
    q->stream_index = s->index;
    const int code = av_interleaved_write_frame(w->format, q);
    av_packet_free(&q);
    return code < 0 ? av_fail(w->cut, ERR_IO, code, "writing it") : 0;
}

/* Sound goes before pictures that come later: the writer puts them in order from there. */
static int write_audio(const Writer *w, int *at, int64_t until)
{
    const CutPackets *const a = &w->cut->audio.packet;
    int code = 0;
    for (; code == 0 && w->audio && *at < a->len && a->at[*at]->dts <= until; ++*at)
        code = write_packet(w, w->audio, a->at[*at], w->cut->from);
    return code;
}

static int write_all(const Writer *w, const CutPackets *video)
{
    int audio = 0, code = 0;
    for (int i = 0; i < video->len && code == 0; i++) {
        code = write_audio(w, &audio, video->at[i]->dts);
        if (code == 0)
            code = write_packet(w, w->video, video->at[i], w->cut->from);
    }
    return code == 0 ? write_audio(w, &audio, INT64_MAX) : code;
}

/* ---- the two ways ---- */

static int64_t end_of(const Cut *c, const CutPackets *p)
{
    int64_t end = c->from;
    for (int i = 0; i < p->len; i++) {
        const int64_t step = p->at[i]->duration > 0 ? p->at[i]->duration : c->video.rate.num > 0 ? av_rescale(1000000, c->video.rate.den, c->video.rate.num) : 40000;
        const int64_t at = p->at[i]->pts + step;
        end = at > end && p->at[i]->pts < c->to ? at : end;
    }
    return end < c->to ? end : c->to;
}

static int write_part(const Cut *c, const AVCodecParameters *par, const CutPackets *video)
{
    Writer w;
    int code = open_writer(&w, c, par);
    if (code == 0)
        code = write_all(&w, video);
    c->report->duration = end_of(c, video) - c->from;
    return close_writer(&w, code);
}

static int cut_copy(Cut *c)
{
    c->report->mode = CUT_COPY;
    c->report->copied = c->video.packet.len;
    return write_part(c, c->video.par, &c->video.packet);
}

/* Packets through a filter that puts parameter sets before each keyframe; *par: what they need then. */
static int in_band(const Cut *c, const CutPackets *in, CutPackets *out, AVCodecParameters *par)
{
    const bool packed = c->video.par->extradata_size > 0 && c->video.par->extradata[0] == 1; /* avcC, hvcC: not as in a byte stream */
    const bool hevc = c->video.par->codec_id == AV_CODEC_ID_HEVC;
    AVBSFContext *filter = NULL;
    int code = av_bsf_alloc(av_bsf_get_by_name(!packed ? "dump_extra" : hevc ? "hevc_mp4toannexb" : "h264_mp4toannexb"), &filter);
    if (code >= 0)
        code = avcodec_parameters_copy(filter->par_in, c->video.par);
    if (code >= 0) {
        filter->time_base_in = TICK;
        code = av_bsf_init(filter);
    }
    if (code >= 0)
        code = avcodec_parameters_copy(par, filter->par_out);
    for (int i = 0; i < in->len && code >= 0; i++) {
        AVPacket *p = av_packet_clone(in->at[i]);
        code = p ? av_bsf_send_packet(filter, p) : AVERROR(ENOMEM);
        if (code >= 0)
            code = av_bsf_receive_packet(filter, p);
        if (code >= 0)
            vec_push(c->arena, out, p);
        else
            av_packet_free(&p);
    }
    av_bsf_free(&filter);
    return code < 0 ? av_fail(c, ERR_INVALID, code, "its parameter sets") : 0;
}

/* Where the copied ones begin: the first keyframe within the part; *behind: past the pictures that come after it and are shown before it.
 * Those refer to the GOP before, and are encoded anew, too. */
static int first_copied(const Cut *c, int *behind)
{
    const CutPackets *const p = &c->video.packet;
    int key = 0;
    while (key < p->len && !(is_key(p->at[key]) && p->at[key]->pts >= c->from))
        key++;
    *behind = key < p->len ? key + 1 : key;
    while (*behind < p->len && p->at[*behind]->pts < p->at[key]->pts)
        ++*behind;
    return key;
}

/* Where the copied ones end: the last place that pictures do not cross, if behind it stands one that is not in the part. Such a one
 * is there because pictures of the part refer to it; these are encoded anew, without it. */
static int end_copied(const Cut *c, int first)
{
    const CutPackets *const p = &c->video.packet;
    bool beyond = false;
    int64_t earliest = INT64_MAX;
    for (int i = p->len - 1; i > first; i--) {
        beyond = beyond || p->at[i]->pts >= c->to;
        earliest = p->at[i]->pts < earliest ? p->at[i]->pts : earliest;
        int64_t latest = INT64_MIN;
        for (int k = first; k < i && beyond; k++)
            latest = p->at[k]->pts > latest ? p->at[k]->pts : latest;
        if (beyond && latest < earliest)
            return i;
    }
    return beyond ? first : p->len;
}

static int encode(Cut *c, int n, int64_t from, int64_t to, int64_t delay)
{
    const int before = c->fresh.len;
    const CutEncode job = {.name = c->path, .par = c->video.par, .rate = c->video.rate, .n = n, .packet = c->video.packet.at,
                           .from = from, .to = to, .delay = delay};
    const int code = from < to ? cut_encode(c->arena, &job, &c->fresh, c->error) : 0;
    c->report->encoded += c->fresh.len - before;
    return code;
}

/* The copied packets, with parameter sets that put an end to those of what was encoded anew. */
static int copy_middle(Cut *c, int key, int behind, int end, AVCodecParameters *par)
{
    CutPackets copied = {0};
    for (int i = key; i < end; i++)
        if (i == key || i >= behind)
            vec_push(c->arena, &copied, c->video.packet.at[i]);
    c->report->copied = copied.len;
    const int code = in_band(c, &copied, &c->rest, par);
    for (int i = 0; i < c->rest.len; i++)
        vec_push(c->arena, &c->fresh, c->rest.at[i]);
    c->rest.len = 0; /* the other list's now */
    return code;
}

static int64_t earliest_from(const CutPackets *p, int i)
{
    int64_t t = INT64_MAX;
    for (; i < p->len; i++)
        t = p->at[i]->pts < t ? p->at[i]->pts : t;
    return t;
}

/* Encoded anew, copied, encoded anew: each of the three may be empty. */
static int write_exact(Cut *c, int key, int behind, AVCodecParameters *par)
{
    const CutPackets *const p = &c->video.packet;
    const int end = key < p->len ? end_copied(c, key) : key;
    const bool copies = end > key;
    int code = encode(c, behind, c->from, copies ? p->at[key]->pts : c->to, copies ? p->at[key]->pts - p->at[key]->dts : 0);
    if (code == 0)
        code = copy_middle(c, key, behind, end, par);
    if (code == 0 && copies && end < p->len)
        code = encode(c, p->len, earliest_from(p, end), c->to, earliest_from(p, end) - p->at[end]->dts);
    return code == 0 ? write_part(c, par, &c->fresh) : code;
}

static int cut_exact(Cut *c)
{
    int behind;
    const int key = first_copied(c, &behind);
    c->report->mode = CUT_EXACT;
    if (key == 0 && behind == 1 && end_copied(c, 0) == c->video.packet.len) { /* as it is */
        c->report->copied = c->video.packet.len;
        return write_part(c, c->video.par, &c->video.packet);
    }
    AVCodecParameters *par = avcodec_parameters_alloc();
    const int code = par ? write_exact(c, key, behind, par) : out_of_memory(c);
    avcodec_parameters_free(&par);
    return code;
}

static int cut(Cut *c, CutMode mode)
{
    const int code = choose(c);
    if (code != 0)
        return code;
    return mode == CUT_EXACT && cut_can_encode(c->video.par->codec_id) ? cut_exact(c) : cut_copy(c);
}

static int check_times(const Cut *c)
{
    if (c->to > c->from && c->to - c->from <= CUT_MAX_TIME)
        return 0;
    return error_set(c->error, ERR_INVALID, "%s: from %.3f to %.3f s is no part (an hour at most)", c->path, (double)c->from * 1e-6,
                     (double)c->to * 1e-6);
}

int cut_packets(int n, const Packet *const *packet, int64_t from, int64_t to, CutMode mode, const char *path, CutReport *out, Error *e)
{
    Cut *const c = cut_new(path, out, e);
    c->from = from;
    c->to = to;
    int code = check_times(c);
    if (code == 0 && n == 0)
        code = error_set(e, ERR_INVALID, "%s: there are no packets to cut from", path);
    if (code == 0)
        code = set_parameters(c, &c->video, packet[0]->info->par);
    c->video.rate = code == 0 ? packet[0]->info->frame_rate : c->video.rate;
    for (int i = 0; i < n && code == 0; i++)
        if (packet[i]->av)
            code = keep(c, &c->video, packet[i]->av, packet[i]->info->time_base, 0);
    if (code == 0)
        code = cut(c, mode);
    arena_free(c->arena);
    return code;
}

/* ---- stored videos ---- */

typedef struct Stored {
    AVFormatContext *format;
    int video, audio;        /* indices; audio -1: none */
    int64_t origin;          /* us: of the first picture */
} Stored;

static int open_stored(const Cut *c, const char *video, Stored *s)
{
    int code = avformat_open_input(&s->format, video, NULL, NULL);
    if (code < 0)
        return error_set(c->error, code == AVERROR_INVALIDDATA ? ERR_INVALID : ERR_IO, "%s: opening it as video: %s", video, av_err2str(code));
    code = avformat_find_stream_info(s->format, NULL);
    s->video = code < 0 ? code : av_find_best_stream(s->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
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
        const int64_t at = av_rescale_q(pts, base, TICK);
        s->origin = at < s->origin ? at : s->origin;
        seen++;
    }
    av_packet_free(&p);
    return s->origin < INT64_MAX ? 0 : error_set(c->error, ERR_INVALID, "its pictures have no times");
}

static void drop_all(CutPackets *p) { drop_front(p, p->len); }

/* From a keyframe at or before `from` on, as far as the container tells; pictures of a second beyond the part may still be needed, as they
 * come before what they are shown after. */
static int read_from(Cut *c, Stored *s, int64_t from)
{
    const AVStream *const v = s->format->streams[s->video];
    drop_all(&c->video.packet);
    drop_all(&c->audio.packet);
    const bool by_time = from >= 0 && av_seek_frame(s->format, s->video, av_rescale_q(s->origin + from, TICK, v->time_base), AVSEEK_FLAG_BACKWARD) >= 0;
    if (!by_time && av_seek_frame(s->format, -1, 0, AVSEEK_FLAG_BYTE) < 0 && av_seek_frame(s->format, s->video, INT64_MIN, 0) < 0)
        return error_set(c->error, ERR_IO, "it cannot be read from another place than its beginning");
    AVPacket *p = av_packet_alloc();
    int code = p ? 0 : out_of_memory(c);
    bool over = false;
    while (code == 0 && !over && av_read_frame(s->format, p) >= 0) {
        const bool sound = p->stream_index == s->audio;
        if (p->stream_index == s->video || sound)
            code = keep(c, sound ? &c->audio : &c->video, p, s->format->streams[p->stream_index]->time_base, s->origin);
        const CutPackets *const kept = &c->video.packet;
        over = kept->len > 0 && kept->at[kept->len - 1]->dts > c->to + 1000000;
        av_packet_unref(p);
    }
    av_packet_free(&p);
    return code;
}

/* Containers without an index (transport streams) are searched by guess, and may end up behind the keyframe. */
static int read_stored(Cut *c, Stored *s)
{
    static const int64_t back[] = {0, 2000000, 20000000}; /* us; then from the beginning of the file */
    int code = 0;
    for (int i = 0; i <= 3 && code == 0 && (i == 0 || key_before(&c->video.packet, c->from) < 0); i++)
        code = read_from(c, s, i == 3 ? -1 : c->from > back[i] ? c->from - back[i] : 0);
    return code;
}

int cut_file(const char *video, int64_t from, int64_t to, CutMode mode, const char *path, CutReport *out, Error *e)
{
    Cut *const c = cut_new(path, out, e);
    Stored s = {.audio = -1};
    c->from = from;
    c->to = to;
    int code = check_times(c);
    if (code == 0)
        code = open_stored(c, video, &s);
    if (code == 0)
        code = find_origin(c, &s);
    if (code == 0)
        code = set_parameters(c, &c->video, s.format->streams[s.video]->codecpar);
    if (code == 0 && s.audio >= 0)
        code = set_parameters(c, &c->audio, s.format->streams[s.audio]->codecpar);
    if (code == 0) {
        c->video.rate = s.format->streams[s.video]->avg_frame_rate;
        code = read_stored(c, &s);
    }
    avformat_close_input(&s.format);
    if (code == 0)
        code = cut(c, mode);
    arena_free(c->arena);
    return code;
}
