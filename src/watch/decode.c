#include "watch/decode.h"

#include <string.h>

#include "watch/codec.h"
#include "watch/video_frame.h"

#define MAX_ERRORS 25 /* in a row; then the decoder starts anew at a keyframe */
#define NOTES 256     /* more than frames are held back */
/* us of damage after which it is taken as it is: no keyframe comes, or none without it */
#define HEALED 10000000

typedef struct Note { /* about a packet that the decoder has */
    int64_t arrival, wall;
    SampleClock clock;
    FrameTurn turn;
    bool damaged;      /* the transport knows that something is missing */
} Note;

struct Decoder {
    DecoderOptions opt;
    Codec *codec;
    AVFrame *frame;
    /* `doubted`: its time jumps, which may be damage; `again`: the one to be given after `frame` */
    AVFrame *other;
    bool doubted, again;
    bool damaged;      /* what comes refers to pictures that were not whole .. */
    int64_t damaged_for; /* .. so long, us of the stream's clock, whose jumps do not count .. */
    int64_t damaged_last; /* .. up to this time of it */
    int suspect;       /* frames until then: something is missing behind the next one */
    StreamInfo *info;  /* the connection it is open for; NULL: none */
    PixelStore pixels;
    bool draining;     /* no more packets until all frames are out .. */
    bool closing;      /* .. and no more of this connection */
    bool broken;       /* its codec cannot be had */
    bool wait_key;     /* what comes before a keyframe cannot be decoded */
    int errors;        /* packets in a row */
    bool refused;      /* the last one was */
    bool busy;
    Error failure;     /* not told yet; code 0: there is none */
    bool crashed;      /* .. it is one of its process */
    double cpu;        /* seconds of processes that are gone */
    enum AVDiscard skip;

    Note note[NOTES];
    int64_t sent;      /* packets; note[sent % NOTES] is the next one's */
    /* number of the last one whose clock broke; its frame is not judged yet. -1: none */
    int64_t broke;
    bool breaks;       /* the clock broke at a packet that was left out: the next one stands for it */
    /* dts of the last one that follows upon all before, us: frames between were not needed */
    int64_t reach;

    bool began;        /* some epoch */
    /* of the epoch: time of its first frame, us; PACKET_NO_TIME: the next frame begins one */
    int64_t origin;
    int64_t last;      /* of the frame before, us since origin */
    int64_t guess;     /* for frames without a time: where the last one ends */
    /* of the first epoch and of this one, also when its connection is over */
    int64_t first_origin, last_origin;
    int epoch;
    DecoderCounts counts;
};

static void close_codec(Decoder *d)
{
    if (d->frame)
        av_frame_unref(d->frame);
    if (d->other)
        av_frame_unref(d->other);
    d->cpu += d->codec ? codec_cpu(d->codec) : 0;
    codec_free(d->codec);
    d->codec = NULL;
    stream_info_unref(d->info);
    d->info = NULL;
    d->draining = d->closing = d->broken = d->damaged = d->doubted = d->again = d->busy =
        d->refused = false;
}

static void decoder_free(void *arg)
{
    Decoder *const d = arg;
    close_codec(d);
    av_frame_free(&d->frame);
    av_frame_free(&d->other);
    pixel_store_free(&d->pixels);
}

Decoder *decoder_new(Arena *a, const DecoderOptions *opt)
{
    Decoder *const d = arena_new_of(a, Decoder);
    d->opt = *opt;
    d->opt.name = arena_strdup(a, opt->name);
    d->opt.threads = opt->threads ? opt->threads : 1;
    d->origin = d->reach = PACKET_NO_TIME;
    d->broke = -1;
    arena_defer(a, decoder_free, d);
    return d;
}

static int open_codec(Decoder *d, StreamInfo *info, Error *e)
{
    d->info = stream_info_ref(info);
    d->wait_key = true;
    d->errors = 0;
    d->origin = PACKET_NO_TIME;
    d->broken = true;
    d->frame = d->frame ? d->frame : av_frame_alloc();
    d->other = d->other ? d->other : av_frame_alloc();
    if (!d->frame || !d->other)
        return error_set(e, ERR_MEMORY, "%s: out of memory", d->opt.name);
    const CodecOptions opt = {
        .name = d->opt.name, .threads = d->opt.threads, .keyframes = d->opt.keyframes};
    const int code = codec_new(info, &opt, &d->codec, e);
    d->broken = code != 0;
    d->skip = d->opt.keyframes ? AVDISCARD_NONKEY : AVDISCARD_DEFAULT;
    return code;
}

/* Nothing more comes of this connection. */
static void fail_codec(Decoder *d)
{
    if (d->broken)
        return;
    d->crashed = codec_crashed(d->codec, &d->failure);
    d->broken = true;
    d->busy = false;
}

/* ---- in ---- */

static void drain(Decoder *d)
{
    if (!d->draining)
        codec_drain(d->codec);
    d->draining = true;
}

void decoder_flush(Decoder *d)
{
    if (!d->codec || d->broken)
        return;
    codec_flush(d->codec);
    d->draining = d->busy = false;
    d->errors = 0;
    d->wait_key = true;
}

void decoder_finish(Decoder *d)
{
    if (!d->codec || d->broken)
        return;
    drain(d);
    d->wait_key = true;
}

static void count_error(Decoder *d)
{
    d->counts.errors++;
    if (++d->errors >= MAX_ERRORS)
        decoder_flush(d);
}

/* Whether the packet is decoded at all; skips what no other frame refers to, if it comes before
 * t. */
static bool choose(Decoder *d, const Packet *p, int64_t t)
{
    if ((d->wait_key || d->opt.keyframes) && !packet_key(p))
        return false;
    d->wait_key = false;
    const bool known = p->pts != PACKET_NO_TIME && d->origin != PACKET_NO_TIME;
    if (!d->opt.keyframes)
        d->skip = known && p->pts - d->origin < t ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    return true;
}

/* The decoder has the place for a packet of this connection. */
static DecoderTake give(Decoder *d, const Packet *p, int64_t t)
{
    d->breaks |= p->breaks;
    if (!choose(d, p, t)) {
        d->counts.dropped++;
        return DECODER_TAKEN;
    }
    d->note[d->sent % NOTES] = (Note){p->arrival, p->wall, p->clock, p->turn,
                                      p->lost || (p->av->flags & AV_PKT_FLAG_CORRUPT)};
    if (codec_send(d->codec, p->av, d->sent, d->skip) == CODEC_FULL)
        return DECODER_FRAMES_FIRST;
    if (!d->refused)
        d->errors = 0;
    d->refused = false;
    d->broke = d->breaks ? d->sent : d->broke;
    if (d->breaks)
        d->reach = PACKET_NO_TIME;
    else if (d->broke < 0 && !d->doubted)
        d->reach = p->dts;
    d->breaks = false;
    d->sent++;
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
    d->reach = PACKET_NO_TIME;
}

/* libav's best effort goes over to decoding times once presentation times looked wrong, which is a
 * frame off for ever. */
static int64_t time_of(const Decoder *d, const AVFrame *f)
{
    return stream_info_us(d->info, f->pts != AV_NOPTS_VALUE ? f->pts : f->best_effort_timestamp);
}

/* About the packet that d->frame comes from. */
static const Note *note_of(const Decoder *d)
{
    const int64_t from = d->frame->reordered_opaque; /* its number, where the codec hands it on */
    const int64_t last = d->sent > 0 ? d->sent - 1 : 0; /* another process may say anything */
    return &d->note[(from >= 0 && from < d->sent ? from : last) % NOTES];
}

/* Describes d->frame, whose epoch has begun. */
static void describe(Decoder *d, DecodedFrame *out)
{
    const Note *const n = note_of(d);
    const int64_t at = time_of(d, d->frame);
    const AVRational rate = d->info->frame_rate;
    *out = (DecodedFrame){.frame = {.wall = n->wall,
                                    .clock = n->clock,
                                    .epoch = d->epoch,
                                    .origin = d->origin,
                                    .connection = d->info->connection},
                          .arrival = n->arrival};
    VideoFrame *const f = &out->frame;
    f->t = at == PACKET_NO_TIME ? d->guess : at - d->origin;
    f->number = rate.num > 0 && rate.den > 0
                    ? av_rescale_rnd(f->t, rate.num, (int64_t)rate.den * 1000000, AV_ROUND_NEAR_INF)
                    : -1;
    f->key = d->frame->key_frame != 0;
    d->last = f->t;
    d->guess = f->t + stream_info_step(d->info);
}

/* Damage that goes on up to `at` has lasted for long enough. */
static bool is_healed(Decoder *d, int64_t at)
{
    if (at == PACKET_NO_TIME)
        return false;
    const int64_t passed = d->damaged_last == PACKET_NO_TIME ? 0 : at - d->damaged_last;
    const bool jumped = passed < 0 || (passed > VIDEO_JUMP && d->broke >= 0);
    d->damaged_for += jumped ? 0 : passed;
    d->damaged_last = at;
    return d->damaged_for > HEALED;
}

/* libav fills in what is missing of a picture; what refers to it is then wrong as well, up to a
 * keyframe. A packet that the transport marks stands, behind libav's parser, before the one that
 * lost something, and may have that one's time. Where nothing is lost but at seams it is good, the
 * one behind it the decoder judges, and all after that may refer to pictures that never came. */
static bool is_whole(Decoder *d)
{
    const int64_t at = time_of(d, d->frame);
    const bool bad = d->frame->decode_error_flags != 0 ||
                     (d->frame->flags & AV_FRAME_FLAG_CORRUPT) ||
                     (d->info->lossy && note_of(d)->damaged);
    const bool key = d->frame->key_frame && d->frame->pict_type == AV_PICTURE_TYPE_I;
    const bool lost = d->suspect > 0 && --d->suspect == 0;
    if (key)
        d->suspect = 0;
    if (note_of(d)->damaged)
        d->suspect = 2;
    if (!d->damaged) {
        d->damaged_for = 0;
        d->damaged_last = at;
    }
    d->damaged = bad || (lost && !key) || (d->damaged && !key);
    return !d->damaged || is_healed(d, at);
}

/* Whether `at` does not follow on `before`: goes back by more than frames are reordered, or too far
 * ahead, and not because what lay between was left out. */
static bool jumps(const Decoder *d, int64_t before, int64_t at)
{
    const int64_t ahead = before > d->reach ? before : d->reach;
    return at < before - stream_info_step(d->info) || at > ahead + VIDEO_JUMP;
}

typedef enum Doubt { GIVE, HOLD } Doubt;

/* Decides about the time of d->frame. One that jumps is held until the next one says whether the
 * clock does. */
static Doubt judge_time(Decoder *d)
{
    const int64_t at = time_of(d, d->frame);
    if (d->origin == PACKET_NO_TIME) {
        new_epoch(d, at == PACKET_NO_TIME ? 0 : at);
        return GIVE;
    }
    const bool back = at == PACKET_NO_TIME || !jumps(d, d->origin + d->last, at);
    if (d->doubted && (back || jumps(d, time_of(d, d->other), at))) {
        d->counts.errors++; /* it was damage */
        av_frame_unref(d->other);
        d->doubted = false;
    }
    if (back)
        return GIVE;
    if (!d->doubted) {
        av_frame_move_ref(d->other, d->frame);
        d->doubted = true;
        return HOLD;
    }
    AVFrame *const second = d->frame;
    d->frame = d->other;
    d->other = second;
    d->doubted = false;
    d->again = true;
    new_epoch(d, time_of(d, d->frame));
    return GIVE;
}

/* The decoder has no more frames. */
static void drained(Decoder *d)
{
    if (d->closing)
        close_codec(d);
    else
        codec_flush(d->codec);
    d->draining = d->busy = false;
}

/* False: none comes now. */
static bool receive(Decoder *d)
{
    for (;;) {
        const int64_t patience = d->busy && d->opt.once ? 0 : d->opt.patience;
        const CodecResult r = codec_receive(d->codec, d->frame, patience);
        d->busy = r == CODEC_BUSY;
        switch (r) {
        case CODEC_FRAME: return true;
        case CODEC_END: drained(d); return false;
        case CODEC_FAILED: fail_codec(d); return false;
        case CODEC_REFUSED:
            d->refused = true;
            count_error(d);
            continue;
        case CODEC_DAMAGED: d->counts.errors++; return false;
        case CODEC_NEEDS:
        case CODEC_BUSY: return false;
        }
    }
}

bool decoder_busy(const Decoder *d) { return d->busy; }

int decoder_failure(Decoder *d, bool *crashed, Error *e)
{
    const int code = d->failure.code;
    if (code == 0)
        return 0;
    *e = d->failure;
    *crashed = d->crashed;
    d->failure.code = 0;
    return code;
}

bool decoder_receive(Decoder *d, DecodedFrame *out)
{
    if (!d->codec || d->broken)
        return false;
    if (d->again) {
        av_frame_unref(d->frame);
        av_frame_move_ref(d->frame, d->other);
        d->again = false;
        describe(d, out);
        return true;
    }
    for (;;) {
        if (!receive(d))
            return false;
        d->counts.decoded++;
        if (!is_whole(d)) {
            d->counts.errors++;
            continue;
        }
        if (d->frame->reordered_opaque >= d->broke)
            d->broke = -1;
        if (judge_time(d) == GIVE)
            break;
    }
    describe(d, out);
    return true;
}

int decoder_picture(Decoder *d, Frame *out, Error *e)
{
    int code = d->codec ? codec_pixels(d->codec, d->frame, e) : 0;
    Error why;
    if (code != 0 && codec_crashed(d->codec, &why))
        fail_codec(d);
    if (code == 0)
        code = pixel_store_view(&d->pixels, d->frame, d->opt.name, out, e);
    if (code == 0 && d->info)
        *out = frame_shown(out, note_of(d)->turn);
    return code;
}

void decoder_anew(Decoder *d)
{
    if (!d->doubted && !d->again) /* else one begins as it is */
        d->origin = PACKET_NO_TIME;
}

/* Between two epochs nothing can be said of times. */
PacketPlace decoder_place(const Decoder *d)
{
    const bool known = d->broke < 0 && !d->doubted && d->origin != PACKET_NO_TIME;
    return (PacketPlace){known ? d->info : NULL, d->origin, d->last};
}

int decoder_epochs(const Decoder *d) { return d->began ? d->epoch + 1 : 0; }
int64_t decoder_end(const Decoder *d)
{
    return d->began ? d->last_origin - d->first_origin + d->guess : 0;
}
DecoderCounts decoder_counts(const Decoder *d) { return d->counts; }
double decoder_cpu(const Decoder *d) { return d->cpu + (d->codec ? codec_cpu(d->codec) : 0); }
