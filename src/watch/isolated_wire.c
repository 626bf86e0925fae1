#include "watch/isolated_wire.h"

#include <string.h>

#include "base/heap.h"

#define SIDE_MOST 32                  /* pieces of side data of a packet .. */
#define EXTRA_MOST (1 << 20)          /* .. bytes of each, and of a codec's head */
#define RATE_MOST INT32_MAX

/* ---- writing ---- */

static bool reserve(Wire *w, size_t n)
{
    if (w->failed || n > WIRE_MOST - w->size) {
        w->failed = true;
        return false;
    }
    if (w->size + n <= w->cap)
        return true;
    size_t cap = w->cap ? w->cap : 1024;
    while (cap < w->size + n)
        cap *= 2;
    uint8_t *const at = heap_alloc(cap, 16);
    if (!at) {
        w->failed = true;
        return false;
    }
    if (w->size > 0)
        memcpy(at, w->at, w->size);
    heap_free(w->at);
    w->at = at;
    w->cap = cap;
    return true;
}

static void add(Wire *w, const void *at, size_t n)
{
    if (n == 0 || !reserve(w, n))
        return;
    memcpy(w->at + w->size, at, n);
    w->size += n;
}

void wire_begin(Wire *w, uint32_t kind)
{
    const uint32_t head[2] = {kind, 0};
    w->size = 0;
    w->failed = false;
    add(w, head, sizeof head);
}

void wire_int(Wire *w, int64_t value) { add(w, &value, sizeof value); }

void wire_bytes(Wire *w, const void *at, size_t n)
{
    wire_int(w, (int64_t)n);
    add(w, at, n);
}

void wire_text(Wire *w, const char *text) { wire_bytes(w, text, strlen(text)); }

void wire_line(Wire *w, const char *message)
{
    const size_t n = strlen(message);
    wire_bytes(w, message, n < WIRE_TEXT ? n : WIRE_TEXT - 1);
}

bool wire_end(Wire *w)
{
    const uint32_t size = (uint32_t)w->size;
    if (!w->failed)
        memcpy(w->at + 4, &size, sizeof size);
    return !w->failed;
}

void wire_append(Wire *w, const Wire *message) { add(w, message->at, message->size); }

void wire_free(Wire *w)
{
    heap_free(w->at);
    *w = (Wire){0};
}

/* ---- reading ---- */

size_t wire_size(const uint8_t head[WIRE_HEAD])
{
    uint32_t size;
    memcpy(&size, head + 4, sizeof size);
    return size >= WIRE_HEAD && size <= WIRE_MOST ? size : 0;
}

WireIn wire_open(const uint8_t *message)
{
    WireIn in = {.at = message + WIRE_HEAD, .left = wire_size(message) - WIRE_HEAD};
    memcpy(&in.kind, message, sizeof in.kind);
    return in;
}

int64_t wire_get(WireIn *in)
{
    int64_t value;
    if (in->left < sizeof value) {
        in->bad = true;
        return 0;
    }
    memcpy(&value, in->at, sizeof value);
    in->at += sizeof value;
    in->left -= sizeof value;
    return value;
}

int64_t wire_get_in(WireIn *in, int64_t low, int64_t high)
{
    const int64_t value = wire_get(in);
    if (!in->bad && value >= low && value <= high)
        return value;
    in->bad = true;
    return low;
}

const uint8_t *wire_get_bytes(WireIn *in, size_t most, size_t *n)
{
    *n = (size_t)wire_get_in(in, 0, (int64_t)most);
    in->bad = in->bad || *n > in->left;
    if (in->bad)
        *n = 0;
    const uint8_t *const at = in->at;
    in->at += *n;
    in->left -= *n;
    return at;
}

void wire_get_text(WireIn *in, char *out, size_t size)
{
    size_t n;
    const uint8_t *const at = wire_get_bytes(in, size - 1, &n);
    for (size_t i = 0; i < n; i++)
        out[i] = at[i] < 32 || at[i] == 127 ? '?' : (char)at[i];
    out[n] = '\0';
}

bool wire_done(const WireIn *in) { return !in->bad && in->left == 0; }

/* ---- codecs ---- */

typedef struct ParamRow { /* a number of AVCodecParameters that travels as it is */
    size_t at;
    int64_t low, high;
} ParamRow;

/* What decoders read of it, and who writes files. Formats are numbers of libav's enums, which its
 * functions check. */
#define PARAM(field, low, high) {offsetof(AVCodecParameters, field), low, high}
static const ParamRow params[] = {
    PARAM(codec_type, AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO),
    PARAM(codec_id, 0, INT32_MAX),
    PARAM(format, -1, 4096),
    PARAM(bits_per_coded_sample, 0, 4096),
    PARAM(bits_per_raw_sample, 0, 4096),
    PARAM(profile, INT32_MIN, INT32_MAX),
    PARAM(level, INT32_MIN, INT32_MAX),
    PARAM(width, 0, 65536),
    PARAM(height, 0, 65536),
    PARAM(sample_aspect_ratio.num, 0, RATE_MOST),
    PARAM(sample_aspect_ratio.den, 0, RATE_MOST),
    PARAM(field_order, 0, 64),
    PARAM(color_range, 0, 64),
    PARAM(color_primaries, 0, 255),
    PARAM(color_trc, 0, 255),
    PARAM(color_space, 0, 255),
    PARAM(chroma_location, 0, 64),
    PARAM(video_delay, 0, 1024),
    PARAM(sample_rate, 0, 10000000),
    PARAM(block_align, 0, INT32_MAX),
    PARAM(frame_size, 0, INT32_MAX),
    PARAM(initial_padding, 0, INT32_MAX),
    PARAM(trailing_padding, 0, INT32_MAX),
    PARAM(seek_preroll, 0, INT32_MAX),
};
#undef PARAM

static void add_layout(Wire *w, const AVChannelLayout *l)
{
    const bool native = l->order == AV_CHANNEL_ORDER_NATIVE;
    wire_int(w, l->nb_channels);
    wire_int(w, native ? (int64_t)l->u.mask : 0);
}

static void get_layout(WireIn *in, AVChannelLayout *out)
{
    const int n = (int)wire_get_in(in, 0, 64);
    const uint64_t mask = (uint64_t)wire_get(in);
    if (in->bad || n == 0)
        return;
    if (mask == 0 || av_channel_layout_from_mask(out, mask) < 0 || out->nb_channels != n)
        *out = (AVChannelLayout){.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = n};
}

void wire_info(Wire *w, const StreamInfo *s)
{
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        int value;
        memcpy(&value, (const uint8_t *)s->par + params[i].at, sizeof value);
        wire_int(w, value);
    }
    wire_int(w, s->par->codec_tag);
    wire_int(w, s->par->bit_rate);
    add_layout(w, &s->par->ch_layout);
    wire_bytes(w, s->par->extradata, (size_t)s->par->extradata_size);
    const int64_t number[] = {s->time_base.num,  s->time_base.den, s->frame_rate.num,
                              s->frame_rate.den, s->turn.swapped,  s->turn.flip_x,
                              s->turn.flip_y,    s->lossy,         s->sound,
                              s->moves,          s->connection};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        wire_int(w, number[i]);
}

static void get_params(WireIn *in, AVCodecParameters *par)
{
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        const int value = (int)wire_get_in(in, params[i].low, params[i].high);
        memcpy((uint8_t *)par + params[i].at, &value, sizeof value);
    }
    par->codec_tag = (uint32_t)wire_get_in(in, 0, UINT32_MAX);
    par->bit_rate = wire_get(in);
    get_layout(in, &par->ch_layout);
    size_t n;
    const uint8_t *const extra = wire_get_bytes(in, EXTRA_MOST, &n);
    par->extradata = n > 0 ? av_mallocz(n + AV_INPUT_BUFFER_PADDING_SIZE) : NULL;
    in->bad = in->bad || (n > 0 && !par->extradata); /* no memory: without it all would be damage */
    if (par->extradata) {
        memcpy(par->extradata, extra, n);
        par->extradata_size = (int)n;
    }
}

static AVRational get_ratio(WireIn *in, int64_t low)
{
    const int num = (int)wire_get_in(in, low, RATE_MOST);
    return (AVRational){num, (int)wire_get_in(in, low, RATE_MOST)};
}

StreamInfo *wire_get_info(WireIn *in)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    if (!par)
        return NULL;
    get_params(in, par);
    const AVRational base = get_ratio(in, 1), rate = get_ratio(in, 0);
    StreamInfo *out = in->bad ? NULL : stream_info_new(par, base, rate);
    avcodec_parameters_free(&par);
    if (!out)
        return NULL;
    out->turn.swapped = wire_get_flag(in);
    out->turn.flip_x = wire_get_flag(in);
    out->turn.flip_y = wire_get_flag(in);
    out->lossy = wire_get_flag(in);
    out->sound = wire_get_flag(in);
    out->moves = wire_get_flag(in);
    out->connection = (int)wire_get_in(in, 0, INT32_MAX);
    if (!in->bad)
        return out;
    stream_info_unref(out);
    return NULL;
}

/* ---- packets ---- */

void wire_packet(Wire *w, const AVPacket *p)
{
    wire_int(w, p->pts);
    wire_int(w, p->dts);
    wire_int(w, p->duration);
    wire_int(w, p->flags);
    wire_int(w, p->side_data_elems);
    for (int i = 0; i < p->side_data_elems; i++) {
        wire_int(w, p->side_data[i].type);
        wire_bytes(w, p->side_data[i].data, p->side_data[i].size);
    }
    wire_bytes(w, p->data, (size_t)p->size);
}

bool wire_takes_info(const StreamInfo *s)
{
    Wire w = {0};
    wire_begin(&w, WIRE_NONE);
    wire_info(&w, s);
    bool good = wire_end(&w);
    if (good) {
        WireIn in = wire_open(w.at);
        StreamInfo *const t = wire_get_info(&in);
        good = t && wire_done(&in);
        stream_info_unref(t);
    }
    wire_free(&w);
    return good;
}

bool wire_takes_packet(const AVPacket *p)
{
    size_t bytes = (size_t)p->size;
    bool good = p->side_data_elems <= SIDE_MOST;
    for (int i = 0; i < p->side_data_elems && good; i++) {
        bytes += p->side_data[i].size;
        good = p->side_data[i].size <= EXTRA_MOST;
    }
    return good && bytes <= WIRE_MOST - 4096; /* what stands around them */
}

/* Not AV_PKT_FLAG_TRUSTED: pointers in a packet's data, which a decoder would follow. */
#define PACKET_FLAGS                                                                               \
    (AV_PKT_FLAG_KEY | AV_PKT_FLAG_CORRUPT | AV_PKT_FLAG_DISCARD | AV_PKT_FLAG_DISPOSABLE)

static void get_side(WireIn *in, AVPacket *p)
{
    const int type = (int)wire_get_in(in, 0, 255);
    size_t n;
    const uint8_t *const from = wire_get_bytes(in, EXTRA_MOST, &n);
    if (in->bad || type >= AV_PKT_DATA_NB)
        return;
    uint8_t *const to = av_packet_new_side_data(p, type, n);
    in->bad = !to;
    if (to && n > 0)
        memcpy(to, from, n);
}

AVPacket *wire_get_packet(WireIn *in)
{
    const int64_t pts = wire_get(in), dts = wire_get(in);
    const int64_t duration = wire_get(in), flags = wire_get_in(in, 0, 255) & PACKET_FLAGS,
                  sides = wire_get_in(in, 0, SIDE_MOST);
    AVPacket *out = in->bad ? NULL : av_packet_alloc();
    if (!out)
        return NULL;
    for (int64_t i = 0; i < sides; i++)
        get_side(in, out);
    size_t n;
    const uint8_t *const data = wire_get_bytes(in, WIRE_MOST, &n);
    AVBufferRef *const buf = in->bad ? NULL : av_buffer_allocz(n + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!buf) {
        av_packet_free(&out);
        return NULL;
    }
    memcpy(buf->data, data, n);
    out->buf = buf;
    out->data = buf->data;
    out->size = (int)n;
    out->pts = pts;
    out->dts = dts;
    out->duration = duration;
    out->flags = (int)flags;
    return out;
}
