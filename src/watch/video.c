/* libav: demultiplexing, the packets that wait, decoding. */
#include "watch/video.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/log.h"
#include "watch/video_frame.h"

#define MAX_DECODE_ERRORS 25 /* in a row; then the decoder starts anew at a keyframe */
#define TICK ((AVRational){1, 1000000})

struct Video {
    const char *url;
    Arena *arena;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVFrame *frame;
    int stream; /* index of the one we look at */
    VideoOptions opt;
    PixelStore pixels;

    /* packets, oldest first */
    AVPacket *ring[VIDEO_MAX_PACKETS];
    int first, waiting;
    int64_t waiting_bytes;

    bool ended;      /* no more packets */
    bool draining;   /* the decoder knows */
    bool wait_key;   /* what comes before a keyframe cannot be decoded */
    int errors;      /* in a row */

    int64_t origin;  /* of the epoch: time of its first frame, us; AV_NOPTS_VALUE: none yet */
    int64_t last;    /* of the frame before, us since origin */
    int64_t guess;   /* for frames without a time: where the last one ends */
    int64_t first_origin; /* of the first epoch */
    int epoch;
    VideoCounts counts;

    _Atomic int64_t deadline; /* us, monotonic; INT64_MAX: none */
    _Atomic bool interrupted;
    bool late;       /* a deadline passed: errors that follow come from that */
};

/* ---- deadlines ---- */

static int64_t now_us(void) { return (int64_t)(time_now() * 1e6); }

static int must_stop(void *arg)
{
    Video *const v = arg;
    v->late = v->late || atomic_load(&v->interrupted) || now_us() > atomic_load(&v->deadline);
    return v->late;
}

static void arm(Video *v, int64_t timeout)
{
    v->late = false;
    atomic_store(&v->deadline, now_us() + timeout);
}

static void disarm(Video *v) { atomic_store(&v->deadline, INT64_MAX); }

static int av_fail(const Video *v, int code, int av, const char *what, Error *e)
{
    char why[128];
    av_strerror(av, why, sizeof why);
    if (av == AVERROR_EXIT || v->late)
        return error_set(e, ERR_IO, "%s: %s: it took too long", v->url, what);
    return error_set(e, code, "%s: %s: %s", v->url, what, why);
}

/* ---- opening ---- */

static int open_format(Video *v, Error *e)
{
    v->format = avformat_alloc_context();
    if (!v->format)
        return error_set(e, ERR_MEMORY, "%s: out of memory", v->url);
    v->format->interrupt_callback = (AVIOInterruptCB){must_stop, v};
    AVDictionary *option = NULL;
    av_dict_set(&option, "rtsp_transport", "tcp", 0); /* UDP loses packets on loaded hosts */
    arm(v, v->opt.open_timeout);
    int code = avformat_open_input(&v->format, v->url, NULL, &option); /* frees the context if it fails */
    av_dict_free(&option);
    if (code < 0)
        return av_fail(v, code == AVERROR_INVALIDDATA ? ERR_INVALID : ERR_IO, code, "opening it as video", e);
    code = avformat_find_stream_info(v->format, NULL);
    disarm(v);
    return code < 0 ? av_fail(v, ERR_INVALID, code, "reading what it holds", e) : 0;
}

/* Phones write how a picture is to be turned, and leave the turning to the reader. */
static int check_upright(const Video *v, const AVStream *s, Error *e)
{
    size_t size = 0;
    const int32_t *const matrix = (const int32_t *)av_stream_get_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, &size);
    const double turn = matrix && size >= 9 * sizeof *matrix ? av_display_rotation_get(matrix) : 0;
    if (!(fabs(turn) > 1))
        return 0;
    return error_set(e, ERR_UNSUPPORTED, "%s: its pictures are to be turned by %.0f degrees, which is not there yet: turn them "
                     "first (ffmpeg -i IN OUT does)", v->url, -turn);
}

static int open_codec(Video *v, Error *e)
{
    const AVCodec *codec = NULL;
    v->stream = av_find_best_stream(v->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (v->stream < 0)
        return error_set(e, v->stream == AVERROR_DECODER_NOT_FOUND ? ERR_UNSUPPORTED : ERR_INVALID,
                         v->stream == AVERROR_DECODER_NOT_FOUND ? "%s: no decoder for its video" : "%s: it has no video",
                         v->url);
    for (unsigned i = 0; i < v->format->nb_streams; i++)
        if ((int)i != v->stream)
            v->format->streams[i]->discard = AVDISCARD_ALL;
    const AVStream *const s = v->format->streams[v->stream];
    const int upright = check_upright(v, s, e);
    if (upright != 0)
        return upright;
    v->codec = avcodec_alloc_context3(codec);
    if (!v->codec || avcodec_parameters_to_context(v->codec, s->codecpar) < 0)
        return error_set(e, ERR_MEMORY, "%s: out of memory", v->url);
    v->codec->pkt_timebase = s->time_base;
    v->codec->thread_count = v->opt.threads;
    v->codec->max_pixels = VIDEO_MAX_PIXELS;
    if (v->opt.keyframes)
        v->codec->skip_frame = v->format->streams[v->stream]->discard = AVDISCARD_NONKEY;
    const int code = avcodec_open2(v->codec, codec, NULL);
    return code < 0 ? av_fail(v, ERR_UNSUPPORTED, code, "its decoder", e) : 0;
}

int video_open(const char *url, const VideoOptions *opt, Video **out, Error *e)
{
    Arena *const a = arena_new();
    Video *const v = arena_new_of(a, Video);
    v->arena = a;
    v->url = arena_strdup(a, url);
    v->opt = *opt;
    v->opt.open_timeout = opt->open_timeout ? opt->open_timeout : 10000000;
    v->opt.read_timeout = opt->read_timeout ? opt->read_timeout : 10000000;
    v->opt.threads = opt->threads ? opt->threads : 1;
    v->origin = AV_NOPTS_VALUE;
    v->wait_key = true;
    v->frame = av_frame_alloc();
    av_log_set_level(log_level() > 0 ? AV_LOG_WARNING : AV_LOG_QUIET); /* libav would write to stderr */
    int code = v->frame ? open_format(v, e) : error_set(e, ERR_MEMORY, "%s: out of memory", url);
    if (code == 0)
        code = open_codec(v, e);
    if (code != 0) {
        video_close(v);
        return code;
    }
    *out = v;
    return 0;
}

static void drop_waiting(Video *v, int n)
{
    for (int i = 0; i < n; i++) {
        AVPacket **const p = &v->ring[v->first];
        v->waiting_bytes -= (*p)->size;
        av_packet_free(p);
        v->first = (v->first + 1) % VIDEO_MAX_PACKETS;
        v->waiting--;
    }
}

void video_close(Video *v)
{
    if (!v)
        return;
    drop_waiting(v, v->waiting);
    av_frame_free(&v->frame);
    avcodec_free_context(&v->codec);
    if (v->format)
        arm(v, 1000000); /* a goodbye to the other side */
    avformat_close_input(&v->format);
    pixel_store_free(&v->pixels);
    arena_free(v->arena);
}

void video_interrupt(Video *v) { atomic_store(&v->interrupted, true); }

/* ---- packets ---- */

static int64_t in_us(const Video *v, int64_t t)
{
    return t == AV_NOPTS_VALUE ? t : av_rescale_q(t, v->format->streams[v->stream]->time_base, TICK);
}

/* Time of a packet in the epoch; unknown ones count as wanted. */
static int64_t packet_time(const Video *v, const AVPacket *p)
{
    const int64_t t = in_us(v, p->pts != AV_NOPTS_VALUE ? p->pts : p->dts);
    return t == AV_NOPTS_VALUE || v->origin == AV_NOPTS_VALUE ? INT64_MAX : t - v->origin;
}

/* One more packet of our stream. 1: it waits; 0: there is none. */
static int read_packet(Video *v, Error *e)
{
    AVPacket *p = av_packet_alloc();
    if (!p)
        return error_set(e, ERR_MEMORY, "%s: out of memory", v->url);
    for (;;) {
        arm(v, v->opt.read_timeout);
        const int code = av_read_frame(v->format, p);
        disarm(v);
        if (code < 0) {
            av_packet_free(&p);
            v->ended = code == AVERROR_EOF;
            return v->ended ? 0 : av_fail(v, ERR_IO, code, "reading", e);
        }
        if (p->stream_index == v->stream && p->size > 0)
            break;
        av_packet_unref(p);
    }
    v->counts.packets++;
    v->counts.bytes += p->size;
    v->ring[(v->first + v->waiting) % VIDEO_MAX_PACKETS] = p;
    v->waiting++;
    v->waiting_bytes += p->size;
    return 1;
}

/* Reads on until no packet that is still to come can be a keyframe at or before t. */
static int read_until(Video *v, int64_t t, Error *e)
{
    while (!v->ended && v->waiting < VIDEO_MAX_PACKETS && v->waiting_bytes < VIDEO_MAX_BYTES) {
        if (v->waiting > 0) {
            const AVPacket *const p = v->ring[(v->first + v->waiting - 1) % VIDEO_MAX_PACKETS];
            const int64_t dts = in_us(v, p->dts);
            if (v->origin == AV_NOPTS_VALUE || dts == AV_NOPTS_VALUE || dts - v->origin > t)
                return 0;
            if (dts - v->origin < v->last - VIDEO_JUMP) /* the clock went back: a new epoch */
                return 0;
        }
        const int code = read_packet(v, e);
        if (code < 0)
            return code;
    }
    return 0;
}

/* Nothing that waits before the last keyframe at or before t is needed. */
static void skip_to_key(Video *v, int64_t t)
{
    int keep = 0;
    for (int i = 0; i < v->waiting; i++) {
        const AVPacket *const p = v->ring[(v->first + i) % VIDEO_MAX_PACKETS];
        const int64_t at = packet_time(v, p);
        if ((p->flags & AV_PKT_FLAG_KEY) && at != INT64_MAX && at <= t && at >= v->last)
            keep = i;
    }
    if (keep == 0)
        return;
    drop_waiting(v, keep);
    v->counts.dropped += keep;
    avcodec_flush_buffers(v->codec);
}

/* ---- frames ---- */

static void new_epoch(Video *v, int64_t at)
{
    if (v->origin != AV_NOPTS_VALUE)
        v->epoch++;
    v->first_origin = v->origin == AV_NOPTS_VALUE ? at : v->first_origin;
    v->counts.epochs = v->epoch + 1;
    v->origin = at;
    v->last = v->guess = 0;
}

/* Sets t and epoch of the frame that the decoder gave. */
static void time_frame(Video *v, VideoFrame *out)
{
    const int64_t at = in_us(v, v->frame->best_effort_timestamp);
    const AVRational rate = v->format->streams[v->stream]->avg_frame_rate;
    const int64_t step = rate.num > 0 && rate.den > 0 ? av_rescale(1000000, rate.den, rate.num) : 40000;
    if (at == AV_NOPTS_VALUE) {
        if (v->origin == AV_NOPTS_VALUE)
            new_epoch(v, 0);
        out->t = v->guess;
    } else {
        const int64_t t = at - v->origin;
        if (v->origin == AV_NOPTS_VALUE || t < v->last - step || t > v->last + VIDEO_JUMP)
            new_epoch(v, at);
        out->t = at - v->origin;
    }
    out->epoch = v->epoch;
    out->number = rate.num > 0 && rate.den > 0 ? av_rescale_rnd(out->t, rate.num, (int64_t)rate.den * 1000000, AV_ROUND_NEAR_INF) : -1;
    out->key = v->frame->key_frame != 0;
    v->last = out->t;
    v->guess = out->t + step;
}

/* Gives the decoder a packet; skips what no other frame refers to, if it comes before t. */
static void decode(Video *v, int64_t t)
{
    AVPacket *const p = v->ring[v->first];
    if ((v->wait_key || v->opt.keyframes) && !(p->flags & AV_PKT_FLAG_KEY)) {
        v->counts.dropped++;
        drop_waiting(v, 1);
        return;
    }
    v->wait_key = false;
    if (!v->opt.keyframes)
        v->codec->skip_frame = packet_time(v, p) < t ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    const int code = avcodec_send_packet(v->codec, p);
    if (code == AVERROR(EAGAIN))
        return; /* frames first */
    drop_waiting(v, 1);
    if (code >= 0) {
        v->errors = 0;
        return;
    }
    v->counts.errors++;
    if (++v->errors < MAX_DECODE_ERRORS)
        return;
    avcodec_flush_buffers(v->codec);
    v->errors = 0;
    v->wait_key = true;
}

/* The decoder's next frame. 1: in v->frame; 0: it needs a packet; -1: there are no more. */
static int receive(Video *v)
{
    const int code = avcodec_receive_frame(v->codec, v->frame);
    if (code >= 0) {
        v->counts.decoded++;
        return 1;
    }
    if (code == AVERROR_EOF)
        return -1;
    if (code != AVERROR(EAGAIN))
        v->counts.errors++;
    return 0;
}

/* Packets until the decoder gives a frame. 1: in v->frame; 0: the video is over. */
static int next_frame(Video *v, int64_t t, Error *e)
{
    for (;;) {
        const int got = receive(v);
        if (got != 0)
            return got > 0;
        if (v->waiting == 0 && !v->ended) {
            const int code = read_packet(v, e);
            if (code < 0)
                return code;
        }
        if (v->waiting > 0) {
            decode(v, t);
        } else if (v->ended && !v->draining) {
            v->draining = true;
            avcodec_send_packet(v->codec, NULL);
        } else if (v->ended) {
            return 0;
        }
    }
}

int video_sample(Video *v, int64_t t, VideoFrame *out, Error *e)
{
    int code = read_until(v, t, e);
    if (code != 0)
        return code;
    skip_to_key(v, t);
    const int epoch = v->epoch;
    for (;;) {
        code = next_frame(v, t, e);
        if (code <= 0)
            return code;
        *out = (VideoFrame){.clock = CLOCK_MEDIA};
        time_frame(v, out);
        if (out->t >= t || out->epoch != epoch)
            return pixel_store_view(&v->pixels, v->frame, v->url, &out->picture, e) == 0 ? 1 : e->code;
    }
}

VideoCounts video_counts(const Video *v) { return v->counts; }

int64_t video_duration(const Video *v) { return v->format->duration > 0 ? v->format->duration : 0; }
int64_t video_end(const Video *v) { return v->origin == AV_NOPTS_VALUE ? 0 : v->origin - v->first_origin + v->guess; }
