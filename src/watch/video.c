/* Reading and decoding in one thread: packets wait until a frame is wanted. */
#include "watch/video.h"

#include "watch/decode.h"
#include "watch/sample_grid.h"
#include "watch/source.h"
#include "watch/url.h"

#define PATIENCE 100000 /* us, each time, for a decoder that is a process of its own */

struct Video {
    Arena *arena;
    const char *name; /* of the URL, as people may see it */
    Source *source;
    Decoder *decoder;
    PacketQueue queue;
    VideoCounts counts;
    _Atomic int stop;
    double grid;
    bool ended;  /* no more packets: the end of the connection waits as the last */
};

int video_open(const char *url, const VideoOptions *opt, Video **out, Error *e)
{
    Arena *const a = arena_new();
    Video *const v = arena_new_of(a, Video);
    v->arena = a;
    v->name = url_shown(a, url);
    v->grid = opt->grid;
    packets_init(&v->queue, VIDEO_MAX_PACKETS, VIDEO_MAX_BYTES);
    v->decoder = decoder_new(a, &(DecoderOptions){.name = v->name,
                                                  .keyframes = opt->keyframes,
                                                  .threads = opt->threads,
                                                  .patience = PATIENCE});
    v->source = source_new(url, &(SourceOptions){
        .open_timeout = opt->open_timeout ? opt->open_timeout : 10000000,
        .read_timeout = opt->read_timeout ? opt->read_timeout : 10000000,
        .keyframes = opt->keyframes,
        .picture_rate = opt->picture_rate,
        .isolate = opt->isolate,
        .stop = &v->stop,
    });
    const int code = source_connect(v->source, e);
    if (code != 0) {
        video_close(v);
        return code;
    }
    *out = v;
    return 0;
}

void video_close(Video *v)
{
    if (!v)
        return;
    packets_free(&v->queue);
    source_close(v->source);
    arena_free(v->arena);
}

void video_interrupt(Video *v) { atomic_store(&v->stop, 1); }

/* One more packet, or the end, waits. */
static int read_packet(Video *v, Error *e)
{
    Packet p;
    const int code = source_read(v->source, &p, e);
    if (code < 0)
        return code;
    if (code == 0) {
        v->ended = true;
        p = (Packet){.info = stream_info_ref(source_info(v->source))};
    } else {
        v->counts.packets++;
        v->counts.bytes += p.av->size;
        p.clock = CLOCK_MEDIA; /* who waits for a file cannot tell when it was captured */
        p.wall = 0;
    }
    return packets_push(&v->queue, &p) ? 0 : error_set(e, ERR_MEMORY, "%s: out of memory", v->name);
}

/* Reads on until no packet that is still to come can be a keyframe at or before t. */
static int read_until(Video *v, int64_t t, Error *e)
{
    const PacketPlace at = decoder_place(v->decoder);
    int code = 0;
    while (code == 0 && !v->ended && !packets_full(&v->queue) &&
           packets_reach(&v->queue, &at, t + 1) < 0)
        code = read_packet(v, e);
    return code;
}

#define NONE INT64_MAX

/* If the frame for t was sent, at `frame`, and what comes behind it will not be wanted, it comes
 * out now. */
static int finish(Video *v, int64_t t, int64_t frame, Error *e)
{
    if (v->grid <= 0)
        return 0;
    const PacketPlace at = decoder_place(v->decoder);
    const int64_t next = grid_next(frame, v->grid);
    const int code = read_until(v, next, e);
    if (code == 0 && packets_last_of_group(&v->queue, &at, t, frame, next))
        decoder_finish(v->decoder);
    return code;
}

/* The earliest frame at or after t that was sent. */
static int64_t frame_sent(const Video *v, const Packet *p, int64_t t, int64_t frame)
{
    const PacketPlace at = decoder_place(v->decoder);
    const bool known =
        p->av && p->info == at.info && p->pts != PACKET_NO_TIME && at.origin != PACKET_NO_TIME;
    const int64_t pts = known ? p->pts - at.origin : NONE;
    return pts >= t && pts < frame ? pts : frame;
}

/* Packets until the decoder gives a frame. 1: *out; 0: the video is over. *frame: frame_sent. */
static int next_frame(Video *v, int64_t t, int64_t *frame, DecodedFrame *out, Error *e)
{
    bool crashed;
    while (!decoder_receive(v->decoder, out)) {
        if (decoder_failure(v->decoder, &crashed, e) != 0)
            return e->code;
        if (decoder_busy(v->decoder))
            continue;
        if (v->queue.n == 0 && v->ended)
            return 0;
        int code = v->queue.n == 0 ? read_packet(v, e) : 0;
        DecoderTake take = DECODER_FRAMES_FIRST;
        if (code == 0)
            code = decoder_send(v->decoder, packets_at(&v->queue, 0), t, &take, e);
        if (code != 0)
            return code;
        if (take != DECODER_TAKEN)
            continue;
        const int64_t sent = frame_sent(v, packets_at(&v->queue, 0), t, *frame);
        packets_drop(&v->queue, 1);
        if (sent < *frame)
            code = finish(v, t, sent, e);
        if (code != 0)
            return code;
        *frame = sent;
    }
    return 1;
}

int video_sample(Video *v, int64_t t, VideoFrame *out, Error *e)
{
    int code = read_until(v, t, e);
    if (code != 0)
        return code;
    const PacketPlace at = decoder_place(v->decoder);
    const int needless = packets_needless(&v->queue, &at, t), epochs = decoder_epochs(v->decoder);
    packets_drop(&v->queue, needless);
    v->counts.dropped += needless;
    if (needless > 0)
        decoder_flush(v->decoder);
    DecodedFrame f;
    int64_t frame = NONE;
    while ((code = next_frame(v, t, &frame, &f, e)) > 0 && f.frame.t < t &&
           decoder_epochs(v->decoder) == epochs)
        ;
    if (code <= 0)
        return code;
    *out = f.frame;
    return decoder_picture(v->decoder, &out->picture, e) == 0 ? 1 : e->code;
}

VideoCounts video_counts(const Video *v)
{
    const DecoderCounts d = decoder_counts(v->decoder);
    VideoCounts c = v->counts;
    c.decoded = d.decoded;
    c.dropped += d.dropped;
    c.errors = d.errors;
    c.epochs = decoder_epochs(v->decoder);
    return c;
}

int64_t video_duration(const Video *v) { return source_duration(v->source); }
int64_t video_end(const Video *v) { return decoder_end(v->decoder); }
