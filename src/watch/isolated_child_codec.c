/* A codec in a process of its own: it opens one, and then does as it is told. */
#include <libavutil/imgutils.h>
#include <sys/mman.h>

#include "watch/isolated_child.h"
#include "watch/isolated_codec.h"

typedef struct ChildCodec {
    AVCodecContext *av;
    bool sound;
    AVFrame *kept[CODEC_KEPT]; /* number n at n % CODEC_KEPT */
    int64_t frames;            /* that were told; the next one's number */
    bool ahead;                /* that one is there already */
    uint8_t *shared;           /* what is mapped of it */
    size_t mapped;
    Wire out;
} ChildCodec;

/* ---- the roles' answers ---- */

static bool open_codec(ChildCodec *c, WireIn *in)
{
    Error e = {0};
    CodecOptions opt = {.name = "isolated", .threads = 1, .keyframes = wire_get_flag(in)};
    StreamInfo *const info = wire_get_info(in);
    if (!info || !wire_done(in) || c->av)
        return false;
    char name[WIRE_TEXT] = "its process";
    opt.name = name;
    const int code = codec_open_libav(info, &opt, &c->av, &e);
    c->sound = info->sound;
    stream_info_unref(info);
    for (int i = 0; i < CODEC_KEPT; i++)
        c->kept[i] = av_frame_alloc();
    wire_begin(&c->out, WIRE_OPENED);
    wire_int(&c->out, code);
    wire_line(&c->out, code != 0 ? e.message : "");
    return child_send(&c->out);
}

static CodecResult receive(ChildCodec *c)
{
    AVFrame *const f = c->kept[c->frames % CODEC_KEPT];
    av_frame_unref(f);
    const int code = avcodec_receive_frame(c->av, f);
    return code >= 0                 ? CODEC_FRAME
           : code == AVERROR(EAGAIN) ? CODEC_NEEDS
           : code == AVERROR_EOF     ? CODEC_END
                                     : CODEC_DAMAGED;
}

/* What there is now: a frame if there is one, and what comes behind it, so that who asks need not
 * ask again in vain. */
static bool answer(ChildCodec *c, bool refused)
{
    Wire *const w = &c->out;
    CodecResult r = c->ahead ? CODEC_FRAME : receive(c);
    wire_begin(w, WIRE_RESULT);
    wire_int(w, refused);
    wire_int(w, r == CODEC_FRAME);
    c->ahead = false;
    if (r == CODEC_FRAME) {
        wire_frame(w, c->kept[c->frames % CODEC_KEPT], c->sound, c->frames);
        c->frames++;
        r = receive(c);
        c->ahead = r == CODEC_FRAME;
    }
    wire_int(w, r);
    return child_send(w);
}

/* A packet; behind it, if it is told so, nothing for now. */
static bool decode(ChildCodec *c, WireIn *in)
{
    const bool drain = wire_get_flag(in), packet = wire_get_flag(in);
    c->av->skip_frame = (enum AVDiscard)wire_get_in(in, AVDISCARD_NONE, AVDISCARD_ALL);
    c->av->reordered_opaque = wire_get(in);
    AVPacket *p = packet ? wire_get_packet(in) : NULL;
    if ((packet && !p) || !wire_done(in))
        return false;
    const int code = p ? avcodec_send_packet(c->av, p) : 0;
    av_packet_free(&p);
    if (drain)
        avcodec_send_packet(c->av, NULL);
    return code != AVERROR(EAGAIN) && answer(c, code < 0);
}

static bool flush(ChildCodec *c)
{
    avcodec_flush_buffers(c->av);
    c->ahead = false;
    wire_begin(&c->out, WIRE_RESULT);
    wire_int(&c->out, false);
    wire_int(&c->out, false);
    wire_int(&c->out, CODEC_NEEDS);
    return child_send(&c->out);
}

static bool map(ChildCodec *c, size_t size)
{
    if (size <= c->mapped)
        return true;
    void *const at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ISOLATED_SHARED, 0);
    if (at == MAP_FAILED)
        return false;
    if (c->shared)
        munmap(c->shared, c->mapped);
    c->shared = at;
    c->mapped = size;
    return true;
}

static bool copy_out(const ChildCodec *c, const AVFrame *f, uint8_t *to, int64_t room)
{
    const int64_t bytes = frame_bytes(f, c->sound);
    if (bytes < 0 || bytes > room)
        return false;
    if (!c->sound)
        return av_image_copy_to_buffer(to, (int)room, (const uint8_t *const *)f->data, f->linesize,
                                       f->format, f->width, f->height, CODEC_ALIGN) >= 0;
    uint8_t *plane[64];
    int stride;
    av_samples_fill_arrays(plane, &stride, to, f->ch_layout.nb_channels, f->nb_samples, f->format,
                           1);
    return av_samples_copy(plane, f->extended_data, 0, 0, f->nb_samples, f->ch_layout.nb_channels,
                           f->format) >= 0;
}

static bool give_pixels(ChildCodec *c, WireIn *in)
{
    const int64_t number = wire_get(in), at = wire_get(in), room = wire_get_in(in, 0, INT32_MAX);
    /* the place of the next one was emptied, also if nothing came there */
    if (!wire_done(in) || number < 0 || number >= c->frames || number + CODEC_KEPT <= c->frames)
        return false;
    const bool good = map(c, (size_t)(at + room)) &&
                      copy_out(c, c->kept[number % CODEC_KEPT], c->shared + at, room);
    wire_begin(&c->out, WIRE_WRITTEN);
    wire_int(&c->out, good);
    return child_send(&c->out);
}

static bool act(ChildCodec *c, WireIn *in)
{
    if (in->kind == WIRE_OPEN)
        return open_codec(c, in);
    if (!c->av)
        return false;
    switch (in->kind) {
    case WIRE_DECODE: return decode(c, in);
    case WIRE_NEXT: return answer(c, false);
    case WIRE_FLUSH: return flush(c);
    case WIRE_PICTURE: return give_pixels(c, in);
    default: return false;
    }
}

int child_codec(void)
{
    ChildCodec c = {0};
    ChildInput input = {0};
    WireIn in;
    av_log_set_level(AV_LOG_QUIET);
    while (child_receive(&input, &in) && act(&c, &in))
        ;
    return 0;
}
