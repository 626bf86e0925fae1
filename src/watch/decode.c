#include "watch/decode.h"

#include <string.h>

#include "watch/video_frame.h"

#define MAX_ERRORS 25 /* in a row; then the decoder starts anew at a keyframe */
#define NOTES 256     /* more than frames are held back */

typedef struct Note { /* about a packet that the decoder has */
    int64_t arrival, wall;
    SampleClock clock;
} Note;

struct Decoder {
    DecoderOptions opt;
    AVCodecContext *codec;
    AVFrame *frame;
    StreamInfo *info;  /* the connection it is open for; NULL: none */
    PixelStore pixels;
    bool draining;     /* no more packets until all frames are out .. */
    bool closing;      /* .. and no more of this connection */
    bool broken;       /* its codec cannot be had */
    bool wait_key;     /* what comes before a keyframe cannot be decoded */
    int errors;        /* in a row */

    Note note[NOTES];
    int64_t sent;      /* packets; note[sent % NOTES] is the next one's */
    int64_t broke;     /* number of the last one whose clock broke; its frame is not out yet. -1: none */

    bool began;        /* some epoch */
    int64_t origin;    /* of the epoch: time of its first frame, us; PACKET_NO_TIME: the next frame begins one */
    int64_t last;      /* of the frame before, us since origin */
    int64_t guess;     /* for frames without a time: where the last one ends */
    int64_t first_origin, last_origin; /* of the first epoch and of this one, also when its connection is over */
    int epoch;
    DecoderCounts counts;
};

static void close_codec(Decoder *d)
{
    avcodec_free_context(&d->codec);
    stream_info_unref(d->info);
    d->info = NULL;
    d->draining = d->closing = d->broken = false;
}

static void decoder_free(void *arg)
{
    Decoder *const d = arg;
    close_codec(d);
    av_frame_free(&d->frame);
    pixel_store_free(&d->pixels);
}

Decoder *decoder_new(Arena *a, const DecoderOptions *opt)
{
    Decoder *const d = arena_new_of(a, Decoder);
    d->opt = *opt;
    d->opt.name = arena_strdup(a, opt->name);
    d->opt.threads = opt->threads ? opt->threads : 1;
    d->origin = PACKET_NO_TIME;
    d->broke = -1;
    arena_defer(a, decoder_free, d);
    return d;
}

static int open_codec(Decoder *d, StreamInfo *info, Error *e)
{
    const AVCodec *const codec = avcodec_find_decoder(info->par->codec_id);
    d->info = stream_info_ref(info);
    d->wait_key = true;
    d->errors = 0;
    d->origin = PACKET_NO_TIME;
    d->broken = true;
    if (!codec)
        return error_set(e, ERR_UNSUPPORTED, "%s: no decoder for its video", d->opt.name);
    d->frame = d->frame ? d->frame : av_frame_alloc();
    d->codec = avcodec_alloc_context3(codec);
    if (!d->frame || !d->codec || avcodec_parameters_to_context(d->codec, info->par) < 0)
        return error_set(e, ERR_MEMORY, "%s: out of memory", d->opt.name);
    d->codec->pkt_timebase = info->time_base;
    d->codec->thread_count = d->opt.threads;
    d->codec->max_pixels = VIDEO_MAX_PIXELS;
    if (d->opt.keyframes)
        d->codec->skip_frame = AVDISCARD_NONKEY;
    const int code = avcodec_open2(d->codec, codec, NULL);
    if (code < 0) {
        char why[128];
        av_strerror(code, why, sizeof why);
        return error_set(e, ERR_UNSUPPORTED, "%s: its decoder: %s", d->opt.name, why);
    }
    d->broken = false;
    return 0;
}

/* ---- in ---- */

static void drain(Decoder *d)
{
    if (!d->draining)
        avcodec_send_packet(d->codec, NULL);
    d->draining = true;
}

void decoder_flush(Decoder *d)
{
    if (!d->codec || d->broken)
        return;
    avcodec_flush_buffers(d->codec);
    d->draining = false;
    d->errors = 0;
    d->wait_key = true;
}

static void count_error(Decoder *d)
{
    d->counts.errors++;
    if (++d->errors >= MAX_ERRORS)
        decoder_flush(d);
}

/* Whether the packet is decoded at all; skips what no other frame refers to, if it comes before t. */
static bool choose(Decoder *d, const Packet *p, int64_t t)
{
    if ((d->wait_key || d->opt.keyframes) && !packet_key(p))
        return false;
    d->wait_key = false;
    const bool known = p->pts != PACKET_NO_TIME && d->origin != PACKET_NO_TIME;
    if (!d->opt.keyframes)
        d->codec->skip_frame = known && p->pts - d->origin < t ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    return true;
}

/* The decoder has the place for a packet of this connection. */
static DecoderTake give(Decoder *d, const Packet *p, int64_t t)
{
    if (!choose(d, p, t)) {
        d->counts.dropped++;
        return DECODER_TAKEN;
    }
    d->codec->reordered_opaque = d->sent;
    d->note[d->sent % NOTES] = (Note){p->arrival, p->wall, p->clock};
    const int code = avcodec_send_packet(d->codec, p->av);
    if (code == AVERROR(EAGAIN))
        return DECODER_FRAMES_FIRST;
    d->broke = p->breaks ? d->sent : d->broke;
    d->sent++;
    if (code < 0) {
        count_error(d);
        return DECODER_TAKEN;
    }
    d->errors = 0;
    if (d->opt.keyframes) /* it would hold the frame back until others come */
        drain(d);
    return DECODER_TAKEN;
}

int decoder_send(Decoder *d, const Packet *p, int64_t t, DecoderTake *take, Error *e)
{
    *take = DECODER_TAKEN;
    const bool over = d->info && (!p->av || p->info != d->info);
    if (over && d->broken)
        close_codec(d);
    if (d->info && !d->broken && (over || d->draining)) {
        d->closing = over;
        drain(d);
        *take = DECODER_FRAMES_FIRST;
        return 0;
    }
    if (!p->av)
        return 0;
    if (!d->info) {
        const int code = open_codec(d, p->info, e);
        if (code != 0)
            return code;
    }
    if (d->broken) {
        d->counts.errors++;
        return 0;
    }
    if (p->hole)
        decoder_flush(d);
    *take = give(d, p, t);
    return 0;
}

/* ---- out ---- */

static void new_epoch(Decoder *d, int64_t at)
{
    if (d->began)
        d->epoch++;
    else
        d->first_origin = at;
    d->began = true;
    d->origin = d->last_origin = at;
    d->last = d->guess = 0;
}

/* Sets t and epoch of the frame that libav gave. */
static void time_frame(Decoder *d, VideoFrame *out)
{
    const int64_t at = stream_info_us(d->info, d->frame->best_effort_timestamp), step = stream_info_step(d->info);
    const AVRational rate = d->info->frame_rate;
    if (at == PACKET_NO_TIME) {
        if (d->origin == PACKET_NO_TIME)
            new_epoch(d, 0);
        out->t = d->guess;
    } else {
        const int64_t t = d->origin == PACKET_NO_TIME ? 0 : at - d->origin;
        if (d->origin == PACKET_NO_TIME || t < d->last - step || t > d->last + VIDEO_JUMP)
            new_epoch(d, at);
        out->t = at - d->origin;
    }
    out->epoch = d->epoch;
    out->number = rate.num > 0 && rate.den > 0 ? av_rescale_rnd(out->t, rate.num, (int64_t)rate.den * 1000000, AV_ROUND_NEAR_INF) : -1;
    out->key = d->frame->key_frame != 0;
    d->last = out->t;
    d->guess = out->t + step;
}

bool decoder_receive(Decoder *d, DecodedFrame *out)
{
    if (!d->codec || d->broken)
        return false;
    const int code = avcodec_receive_frame(d->codec, d->frame);
    if (code == AVERROR_EOF) { /* all that it held back is out */
        if (d->closing)
            close_codec(d);
        else
            avcodec_flush_buffers(d->codec);
        d->draining = false;
        return false;
    }
    if (code < 0) {
        if (code != AVERROR(EAGAIN))
            d->counts.errors++;
        return false;
    }
    const int64_t from = d->frame->reordered_opaque; /* the packet's number, where the codec hands it on */
    const Note *const n = &d->note[(from >= 0 && from < d->sent ? from : d->sent - 1) % NOTES];
    *out = (DecodedFrame){.frame = {.wall = n->wall, .clock = n->clock}, .arrival = n->arrival};
    d->broke = from >= d->broke ? -1 : d->broke;
    d->counts.decoded++;
    time_frame(d, &out->frame);
    return true;
}

int decoder_picture(Decoder *d, Frame *out, Error *e)
{
    return pixel_store_view(&d->pixels, d->frame, d->opt.name, out, e);
}

/* Between two epochs nothing can be said of times. */
PacketPlace decoder_place(const Decoder *d)
{
    return (PacketPlace){d->broke < 0 ? d->info : NULL, d->origin, d->last};
}

int decoder_epochs(const Decoder *d) { return d->began ? d->epoch + 1 : 0; }
int64_t decoder_end(const Decoder *d) { return d->began ? d->last_origin - d->first_origin + d->guess : 0; }
DecoderCounts decoder_counts(const Decoder *d) { return d->counts; }
