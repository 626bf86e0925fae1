#include "watch/source.h"

#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "sched/clock.h"
#include "vision/exif.h"
#include "watch/capture_clock.h"
#include "watch/hls_clock.h"
#include "watch/isolated_source.h"
#include "watch/pictures.h"
#include "watch/url.h"

#define HLS_TARGET 6000000 /* us: segments' usual length, until the playlist has told */
/* RTSP over TCP where its framing is lost: libav reads on byte by byte until one looks like the
 * beginning of a packet, which may take long. It asks whether to stop for each read: twice a byte
 * then, else some seven times for 1400 bytes. So many times without a packet, for so long, are 16
 * KB of the one and a picture of 7 MB of the other. */
#define SLIPPED_ASKS 32000
#define SLIPPED_TIME 500000 /* us */

struct Source {
    const char *url, *name; /* name: as people may see it */
    Arena *arena;
    SourceOptions opt;
    AVFormatContext *format;
    int stream;       /* index of the one we look at */
    int sound;        /* .. and of the one we hear; -1: none */
    unsigned known;   /* streams that were there when these were chosen; more may show themselves */
    StreamInfo *info, *sound_info; /* sound_info: NULL: no sound */
    CaptureClock clock;
    HlsClock *hls;    /* NULL: it is not HLS */
    bool stored;
    Pictures pictures; /* of a folder of pictures, which has no format open */
    int picture;       /* the next one */
    IsolatedSource isolated; /* with opt.isolate: all but url, name, arena, opt is there */

    /* for the next picture, us: in calls of source_read, of which those before gave sound */
    int64_t waited;
    int64_t deadline; /* us, monotonic; INT64_MAX: none */
    bool late;        /* it passed, or we were stopped: errors that follow come from that */
    bool framed;      /* packets stand one behind another in a connection, each framed (RTSP) */
    int64_t asks;     /* must_stop's calls since the last packet .. */
    int64_t came;     /* .. which came then, us; 0: none has */
    bool slipped;     /* bytes come, but no packets: also `late` */
    SourceFailure failure;
};

/* ---- deadlines ---- */

static bool stopped(const Source *s) { return s->opt.stop && atomic_load(s->opt.stop) != 0; }

static int must_stop(void *arg)
{
    Source *const s = arg;
    if (s->opt.waits)
        s->opt.waits(s->opt.arg);
    const int64_t now = machine_now();
    s->slipped = s->slipped || (s->came != 0 && ++s->asks > SLIPPED_ASKS &&
                                now - s->came > SLIPPED_TIME);
    s->late = s->late || s->slipped || stopped(s) || now > s->deadline;
    return s->late;
}

static void arm(Source *s, int64_t timeout)
{
    s->late = false;
    s->deadline = machine_now() + timeout;
}

static void disarm(Source *s) { s->deadline = INT64_MAX; }

/* ---- failures ---- */

static SourceFailure failure_of(const Source *s, int av)
{
    if (s->late || av == AVERROR_EXIT || av == AVERROR(ETIMEDOUT) || av == AVERROR(EAGAIN))
        return SOURCE_SILENT;
    switch (av) {
    case AVERROR_PROTOCOL_NOT_FOUND: return SOURCE_HOPELESS;
    case AVERROR_EOF:
    case AVERROR(ECONNRESET):
    case AVERROR(EPIPE):
    case AVERROR(EIO): return SOURCE_CLOSED;
    case AVERROR(ECONNREFUSED):
    case AVERROR(EHOSTUNREACH):
    case AVERROR(ENETUNREACH):
    case AVERROR(ENOENT):
    case AVERROR(EACCES):
    case AVERROR_HTTP_BAD_REQUEST:
    case AVERROR_HTTP_UNAUTHORIZED:
    case AVERROR_HTTP_FORBIDDEN:
    case AVERROR_HTTP_NOT_FOUND:
    case AVERROR_HTTP_OTHER_4XX:
    case AVERROR_HTTP_SERVER_ERROR: return SOURCE_REFUSED;
    default: return SOURCE_BROKEN;
    }
}

static int av_fail(Source *s, int code, int av, const char *what, Error *e)
{
    char why[128];
    av_strerror(av, why, sizeof why);
    s->failure = s->slipped ? SOURCE_SLIPPED : failure_of(s, av);
    if (s->slipped)
        return error_set(e, ERR_INVALID, "%s: %s: bytes come, but no packets", s->name, what);
    if (s->failure == SOURCE_SILENT)
        return error_set(e, ERR_IO, "%s: %s: it took too long", s->name, what);
    return error_set(e, code, "%s: %s: %s", s->name, what, why);
}

static int refuse(Source *s, int code, const char *what, Error *e)
{
    s->failure = SOURCE_BROKEN;
    return error_set(e, code, "%s: %s", s->name, what);
}

/* ---- transports ---- */

typedef struct TransportRow {
    const char *scheme, *option, *value;
    bool live; /* set only where it is to be connected to anew */
    bool mute; /* set only where no sound is wanted */
} TransportRow;

/* What a transport needs besides deadlines; what the address says itself goes first. */
static const TransportRow transport[] = {
    {"rtsp", "rtsp_transport", "tcp", false, false}, /* UDP loses packets on loaded hosts */
    {"rtsp", "allowed_media_types", "video", false,
     true}, /* beside sound, times move when reports come */
    {"rtsp", "allowed_media_types", "video+audio", false, false},
    {"udp", "buffer_size", "1048576", false, false}, /* of the kernel */
    {"udp", "overrun_nonfatal", "1", false, false},
    {"http", "live_start_index", "-1", true, false}, /* HLS: the newest segment */
    {"http", "http_persistent", "0", true,
     false}, /* segments are seen as they are opened (hls_clock.h) .. */
    {"http", "http_multiple", "0", true, false}, /* .. one after another */
    {"", "probesize", "1000000", true, false},
};

static const char *const live_schemes[] = {"rtsp", "rtmp", "srt",  "udp", "rtp",
                                           "tcp",  "rist", "mmst", "mmsh"};

/* "http" is also that of https://, "rtmp" of rtmps:// and rtmpt://. */
static bool has_scheme(const char *url, const char *scheme)
{
    const size_t n = strlen(scheme);
    return n == 0 || (strncmp(url, scheme, n) == 0 && url[n + strcspn(url + n, ":/")] == ':');
}

bool source_is_file(const char *url)
{
    return has_scheme(url, "file") || url[strcspn(url, ":/")] != ':';
}

static void set_options(const Source *s, AVDictionary **option)
{
    for (size_t i = 0; i < sizeof transport / sizeof *transport; i++) {
        const TransportRow *const r = &transport[i];
        if (has_scheme(s->url, r->scheme) && (s->opt.live || !r->live) &&
            (s->opt.sound == SOUND_NOT || !r->mute))
            av_dict_set(option, r->option, r->value, AV_DICT_DONT_OVERWRITE);
    }
    /* A file can wait, and its sound may begin late. */
    if (s->opt.live && (s->opt.sound == SOUND_NOT || !source_is_file(s->url)))
        av_dict_set_int(option, "analyzeduration", s->opt.probe, 0);
}

/* Comes when it comes, by its address alone. */
static bool is_live(const char *url)
{
    for (size_t i = 0; i < sizeof live_schemes / sizeof *live_schemes; i++)
        if (has_scheme(url, live_schemes[i]))
            return true;
    return false;
}

/* Files and videos of HTTP servers are stored; of HLS those that have an end. */
static bool find_stored(const Source *s)
{
    if (is_live(s->url))
        return false;
    return strcmp(s->format->iformat->name, "hls") != 0 || s->format->duration > 0;
}

/* ---- connecting ---- */

static int open_format(Source *s, Error *e)
{
    s->format = avformat_alloc_context();
    if (!s->format)
        return refuse(s, ERR_MEMORY, "out of memory", e);
    s->format->interrupt_callback = (AVIOInterruptCB){must_stop, s};
    if (s->opt.live && has_scheme(s->url, "http"))
        s->hls = hls_clock_new(s->arena, s->format);
    AVDictionary *option = NULL;
    set_options(s, &option);
    arm(s, s->opt.open_timeout);
    /* frees the context if it fails */
    int code = avformat_open_input(&s->format, s->url, NULL, &option);
    av_dict_free(&option);
    if (code < 0)
        return av_fail(s, code == AVERROR_INVALIDDATA ? ERR_INVALID : ERR_IO, code,
                       "opening it as video", e);
    code = avformat_find_stream_info(s->format, NULL);
    disarm(s);
    return code < 0 || s->late ? av_fail(s, ERR_INVALID, code, "reading what it holds", e) : 0;
}

/* Phones write how a picture is to be turned, and leave the turning to the reader: shown x = a x +
 * c y, shown y = b x + d y, with (a, b, c, d) = matrix[0, 1, 3, 4] (libavutil's display.h). */
static int take_turn(Source *s, const AVStream *stream, Error *e)
{
    size_t size = 0;
    const int32_t *const m =
        (const int32_t *)av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (!m || size < 9 * sizeof *m)
        return 0;
    const double a = m[0], b = m[1], c = m[3], d = m[4], small = 0.02;
    const bool swapped = fabs(b) > fabs(a);
    const double x = swapped ? c : a, y = swapped ? b : d,
                 rest = swapped ? fabs(a) + fabs(d) : fabs(b) + fabs(c);
    const double least = fmin(fabs(x), fabs(y));
    if (a == 0 && b == 0 && c == 0 && d == 0) /* it says nothing */
        return 0;
    s->info->turn = (FrameTurn){.swapped = swapped, .flip_x = x < 0, .flip_y = y < 0};
    if (rest <= small * least)
        return 0;
    s->failure = SOURCE_BROKEN;
    return error_set(
        e, ERR_UNSUPPORTED,
        "%s: its pictures are to be turned by %.0f degrees: only quarters are possible", s->name,
        -av_display_rotation_get(m));
}

/* ---- sound ---- */

static void take_sound(Source *s, int index)
{
    AVStream *const stream = s->format->streams[index];
    StreamInfo *const info =
        stream_info_new(stream->codecpar, stream->time_base, (AVRational){0, 1});
    if (!info)
        return; /* out of memory: there is none */
    info->sound = true;
    info->connection = s->opt.connection;
    stream->discard = AVDISCARD_DEFAULT;
    s->sound = index;
    s->sound_info = info;
}

/* Once the pictures are chosen. */
static int choose_sound(Source *s, Error *e)
{
    if (s->opt.sound == SOUND_NOT)
        return 0;
    const AVCodec *codec = NULL;
    const int index = av_find_best_stream(s->format, AVMEDIA_TYPE_AUDIO, -1, s->stream, &codec, 0);
    if (index >= 0)
        take_sound(s, index);
    s->info->moves = s->sound_info && strcmp(s->format->iformat->name, "rtsp") == 0;
    if (s->opt.alone)
        s->format->streams[s->stream]->discard = AVDISCARD_ALL;
    if (s->sound_info || s->opt.sound != SOUND_NEEDED || !s->stored)
        return 0;
    if (index == AVERROR_DECODER_NOT_FOUND)
        return refuse(s, ERR_UNSUPPORTED, "no decoder for its sound", e);
    return refuse(s, ERR_INVALID, "it has no sound", e);
}

/* Formats without a head show what they hold as it comes. */
static void look_for_sound(Source *s, int index)
{
    if (s->opt.sound == SOUND_NOT || s->sound_info || (unsigned)index < s->known)
        return;
    const AVCodecParameters *const par = s->format->streams[index]->codecpar;
    if (par->codec_type == AVMEDIA_TYPE_AUDIO && avcodec_find_decoder(par->codec_id))
        take_sound(s, index);
}

static int choose_stream(Source *s, Error *e)
{
    const AVCodec *codec = NULL;
    s->stream = av_find_best_stream(s->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (s->stream == AVERROR_DECODER_NOT_FOUND)
        return refuse(s, ERR_UNSUPPORTED, "no decoder for its video", e);
    if (s->stream < 0)
        return refuse(s, ERR_INVALID, "it has no video", e);
    for (unsigned i = 0; i < s->format->nb_streams; i++)
        if ((int)i != s->stream)
            s->format->streams[i]->discard = AVDISCARD_ALL;
    AVStream *const stream = s->format->streams[s->stream];
    s->stored = find_stored(s);
    s->framed = strcmp(s->format->iformat->name, "rtsp") == 0;
    if (s->opt.keyframes && s->stored) /* else frames between show that it is alive */
        stream->discard = AVDISCARD_NONKEY;
    s->info = stream_info_new(stream->codecpar, stream->time_base, stream->avg_frame_rate);
    if (!s->info)
        return refuse(s, ERR_MEMORY, "out of memory", e);
    s->info->lossy = !s->stored;
    s->info->connection = s->opt.connection;
    s->known = s->format->nb_streams;
    const int code = take_turn(s, stream, e);
    return code == 0 ? choose_sound(s, e) : code;
}

/* A folder of pictures is what its first one is. */
static int open_pictures(Source *s, Error *e)
{
    int code = pictures_list(s->arena, s->url, &s->pictures, e);
    if (code != 0) {
        s->failure = SOURCE_REFUSED;
        return code;
    }
    const char *const folder = s->url;
    s->url = s->pictures.path[0];
    code = open_format(s, e);
    if (code == 0)
        code = choose_stream(s, e);
    s->url = folder;
    if (code != 0)
        return code;
    const double rate = s->opt.picture_rate > 0 ? s->opt.picture_rate : 1;
    s->info->frame_rate = av_d2q(rate, 1000000);
    s->info->time_base = av_inv_q(s->info->frame_rate);
    avformat_close_input(&s->format);
    return 0;
}

Source *source_new(const char *url, const SourceOptions *opt)
{
    Arena *const a = arena_new();
    Source *const s = arena_new_of(a, Source);
    *s = (Source){.arena = a,
                  .url = arena_strdup(a, url),
                  .name = url_shown(a, url),
                  .opt = *opt,
                  .sound = -1,
                  .deadline = INT64_MAX};
    return s;
}

/* What ends a stream for good is not said by its process alone: that may be anybody's. */
static int connect_isolated(Source *s, Error *e)
{
    IsolatedSource *const i = &s->isolated;
    const int code = isolated_connect(i, s->url, s->name, &s->opt, e);
    const bool live = is_live(s->url);
    i->stored &= !live;
    i->bursts &= !live;
    if (i->failure == SOURCE_HOPELESS && (live || avio_find_protocol_name(s->url)))
        i->failure = SOURCE_REFUSED;
    return code;
}

int source_connect(Source *s, Error *e)
{
    if (s->opt.isolate > 0)
        return connect_isolated(s, e);
    /* libav would write to stderr */
    av_log_set_level(log_level() > 0 ? AV_LOG_WARNING : AV_LOG_QUIET);
    if (pictures_are(s->url))
        return open_pictures(s, e);
    const int code = open_format(s, e);
    return code == 0 ? choose_stream(s, e) : code;
}

void source_close(Source *s)
{
    if (!s)
        return;
    isolated_leave(&s->isolated);
    if (s->format)
        arm(s, 500000); /* a goodbye to the other side */
    avformat_close_input(&s->format);
    hls_clock_free(s->hls);
    stream_info_unref(s->info);
    stream_info_unref(s->sound_info);
    arena_free(s->arena);
}

/* ---- packets ---- */

static bool is_hls(const Source *s)
{
    return s->hls && strcmp(s->format->iformat->name, "hls") == 0;
}

/* A picture of a file of its own may say more than its stream does. */
static FrameTurn turn_of(const StreamInfo *info, const Packet *p)
{
    const FrameTurn t = info->par->codec_id == AV_CODEC_ID_MJPEG
                            ? exif_turn(p->av->data, (size_t)p->av->size)
                            : (FrameTurn){0};
    return t.swapped || t.flip_x || t.flip_y ? t : info->turn;
}

static void describe(Source *s, StreamInfo *info, Packet *p)
{
    p->info = stream_info_ref(info);
    p->pts = stream_info_us(info, p->av->pts != AV_NOPTS_VALUE ? p->av->pts : p->av->dts);
    p->dts = stream_info_us(info, p->av->dts != AV_NOPTS_VALUE ? p->av->dts : p->av->pts);
    p->turn = turn_of(info, p);
    p->arrival = machine_now();
    if (s->stored || info->sound)
        return;
    capture_clock_read(&s->clock, p, wall_now());
    if (!is_hls(s))
        return;
    const bool late = s->late;
    arm(s, s->opt.read_timeout);
    const int64_t date = hls_clock_read(s->hls, p);
    disarm(s);
    s->late = late;
    if (date != 0) {
        p->wall = date;
        p->clock = CLOCK_PDT;
    }
}

/* Of HLS nothing comes between segments: a playlist that goes on has another one after less than
 * one and a half. */
static int64_t read_timeout(const Source *s)
{
    if (!is_hls(s))
        return s->opt.read_timeout;
    const int64_t target = hls_clock_target(s->hls);
    return s->opt.read_timeout + 3 * (target > 0 ? target : HLS_TARGET);
}

static int read_picture(Source *s, Packet *out, Error *e)
{
    if (s->picture >= s->pictures.n || stopped(s)) {
        s->failure = SOURCE_CLOSED;
        return 0;
    }
    Arena *const a = arena_new();
    File f;
    int code = file_read(a, s->pictures.path[s->picture], &f, e);
    *out = (Packet){.av = av_packet_alloc()};
    if (code == 0 &&
        (!out->av || f.size > INT32_MAX / 2 || av_new_packet(out->av, (int)f.size) < 0))
        code = error_set(e, ERR_MEMORY, "%s: out of memory", s->pictures.path[s->picture]);
    if (code == 0) {
        memcpy(out->av->data, f.at, f.size);
        out->av->pts = out->av->dts = s->picture++;
        out->av->flags |= AV_PKT_FLAG_KEY;
        describe(s, s->info, out);
    } else {
        packet_free(out);
        s->failure = SOURCE_BROKEN;
    }
    arena_free(a);
    return code == 0 ? 1 : code;
}

static bool wanted(Source *s, int index)
{
    if (index == s->stream)
        return !s->opt.alone;
    look_for_sound(s, index);
    return index == s->sound;
}

int source_read(Source *s, Packet *out, Error *e)
{
    if (s->opt.isolate > 0)
        return isolated_read(&s->isolated, s->name, &s->opt, out, e);
    if (s->pictures.n > 0)
        return read_picture(s, out, e);
    if (s->late) /* libav gives what it holds back before it says that a call was interrupted */
        return av_fail(s, ERR_IO, AVERROR_EXIT, "reading", e);
    *out = (Packet){.av = av_packet_alloc()};
    if (!out->av)
        return refuse(s, ERR_MEMORY, "out of memory", e);
    const int64_t start = machine_now();
    arm(s, read_timeout(s) - s->waited);
    int code;
    for (;;) {
        code = must_stop(s) ? AVERROR_EXIT : av_read_frame(s->format, out->av);
        s->asks = 0;
        s->came = code >= 0 && s->framed ? machine_now() : 0;
        if (code < 0 || (wanted(s, out->av->stream_index) && out->av->size > 0))
            break;
        av_packet_unref(out->av);
    }
    disarm(s);
    if (code >= 0) {
        const bool sound = out->av->stream_index == s->sound;
        s->waited = sound && !s->opt.alone ? s->waited + machine_now() - start : 0;
        describe(s, sound ? s->sound_info : s->info, out);
        return 1;
    }
    packet_free(out);
    if (code == AVERROR_EOF && !s->late) {
        s->failure = SOURCE_CLOSED;
        return 0;
    }
    return av_fail(s, ERR_IO, code, "reading", e);
}

SourceFailure source_failure(const Source *s)
{
    return s->opt.isolate > 0 ? s->isolated.failure : s->failure;
}
StreamInfo *source_info(const Source *s) { return s->opt.isolate > 0 ? s->isolated.info : s->info; }
StreamInfo *source_sound(const Source *s)
{
    return s->opt.isolate > 0 ? s->isolated.sound : s->sound_info;
}
bool source_stored(const Source *s) { return s->opt.isolate > 0 ? s->isolated.stored : s->stored; }
bool source_bursts(const Source *s)
{
    return s->opt.isolate > 0 ? s->isolated.bursts : !s->stored && is_hls(s);
}

int64_t source_duration(const Source *s)
{
    if (s->opt.isolate > 0)
        return s->isolated.duration;
    if (s->pictures.n > 0)
        return stream_info_us(s->info, s->pictures.n);
    return s->format->duration > 0 ? s->format->duration : 0;
}
