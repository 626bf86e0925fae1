/* What a frame is, on its way from a child. */
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>

#include "watch/isolated_codec.h"
#include "watch/video.h"

typedef struct FieldRow { /* a number of AVFrame that travels as it is */
    size_t at;
    int64_t low, high;
} FieldRow;

#define FIELD(field, low, high) {offsetof(AVFrame, field), low, high}
static const FieldRow common[] = {
    FIELD(format, 0, 4096),
    FIELD(key_frame, 0, 1),
    FIELD(pict_type, 0, 64),
    FIELD(flags, INT32_MIN, INT32_MAX),
    FIELD(decode_error_flags, INT32_MIN, INT32_MAX),
};
static const FieldRow of_pictures[] = {
    FIELD(width, 1, 65536),
    FIELD(height, 1, 65536),
    FIELD(color_range, 0, 64),
    FIELD(colorspace, 0, 255),
    FIELD(chroma_location, 0, 64),
};
static const FieldRow of_sound[] = {
    FIELD(nb_samples, 1, SOUND_MOST),
    FIELD(sample_rate, 1, 10000000),
};
#undef FIELD
#define COUNT(rows) (sizeof rows / sizeof *(rows))

static void add_fields(Wire *w, const AVFrame *f, const FieldRow *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int value;
        memcpy(&value, (const uint8_t *)f + row[i].at, sizeof value);
        wire_int(w, value);
    }
}

static void get_fields(WireIn *in, AVFrame *f, const FieldRow *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int value = (int)wire_get_in(in, row[i].low, row[i].high);
        memcpy((uint8_t *)f + row[i].at, &value, sizeof value);
    }
}

void wire_frame(Wire *w, const AVFrame *f, bool sound, int64_t number)
{
    wire_int(w, number);
    wire_int(w, f->pts);
    wire_int(w, f->best_effort_timestamp);
    wire_int(w, f->reordered_opaque);
    add_fields(w, f, common, COUNT(common));
    add_fields(w, f, sound ? of_sound : of_pictures, sound ? COUNT(of_sound) : COUNT(of_pictures));
    if (sound) {
        wire_int(w, f->ch_layout.nb_channels);
        wire_int(w,
                 f->ch_layout.order == AV_CHANNEL_ORDER_NATIVE ? (int64_t)f->ch_layout.u.mask : 0);
    }
}

/* Times that are further away than any are none. */
static int64_t get_time(WireIn *in)
{
    const int64_t t = wire_get(in), far = INT64_C(1) << 60;
    return t > -far && t < far ? t : AV_NOPTS_VALUE;
}

bool wire_get_frame(WireIn *in, AVFrame *f, bool sound, int64_t *number)
{
    *number = wire_get_in(in, 0, INT64_MAX);
    f->pts = get_time(in);
    f->best_effort_timestamp = get_time(in);
    f->reordered_opaque = wire_get(in);
    get_fields(in, f, common, COUNT(common));
    get_fields(in, f, sound ? of_sound : of_pictures, sound ? COUNT(of_sound) : COUNT(of_pictures));
    if (sound) {
        const int channels = (int)wire_get_in(in, 1, 64);
        const uint64_t mask = (uint64_t)wire_get(in);
        if (in->bad || mask == 0 || av_channel_layout_from_mask(&f->ch_layout, mask) < 0 ||
            f->ch_layout.nb_channels != channels)
            f->ch_layout =
                (AVChannelLayout){.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = channels};
    }
    return !in->bad && (sound || (int64_t)f->width * f->height <= VIDEO_MAX_PIXELS);
}

int64_t frame_bytes(const AVFrame *f, bool sound)
{
    if (sound)
        return av_samples_get_buffer_size(NULL, f->ch_layout.nb_channels, f->nb_samples, f->format,
                                          1);
    const AVPixFmtDescriptor *const d = av_pix_fmt_desc_get(f->format);
    if (!d || (d->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM)))
        return -1;
    return av_image_get_buffer_size(f->format, f->width, f->height, CODEC_ALIGN);
}
