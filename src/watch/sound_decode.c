/* libav's decoder, then libswresample. */
#include "watch/sound_decode.h"

#include <libswresample/swresample.h>
#include <stdlib.h>

#include "base/heap.h"
#include "watch/codec.h"

#define MOST_CHANNELS 64
#define PATIENCE 2000000 /* us for a process of its own */

struct SoundDecoder {
    const char *name;
    StreamInfo *info;        /* the connection it is open for; NULL: none */
    Codec *codec;            /* NULL: it cannot be had */
    AVFrame *frame;
    SwrContext *resample;
    int rate, format, channels; /* what the resampler was made for */
    int64_t at;              /* when the next sample comes, us; INT64_MIN: not known */
    float *sound;            /* what the resampler gives of a frame */
    int room;
    int64_t lost;            /* packets */
    int crashed;             /* a connection, not told yet; 0: none */
    Error crash;
};

static void close_codec(SoundDecoder *d)
{
    swr_free(&d->resample);
    codec_free(d->codec);
    d->codec = NULL;
    stream_info_unref(d->info);
    d->info = NULL;
    d->at = INT64_MIN;
}

static void sound_decoder_free(void *arg)
{
    SoundDecoder *const d = arg;
    close_codec(d);
    av_frame_free(&d->frame);
    heap_free(d->sound);
}

SoundDecoder *sound_decoder_new(Arena *a, const char *name)
{
    SoundDecoder *const d = arena_new_of(a, SoundDecoder);
    *d = (SoundDecoder){.name = arena_strdup(a, name), .at = INT64_MIN};
    arena_defer(a, sound_decoder_free, d);
    return d;
}

static int open_codec(SoundDecoder *d, StreamInfo *info, Error *e)
{
    d->info = stream_info_ref(info);
    d->frame = d->frame ? d->frame : av_frame_alloc();
    if (!d->frame)
        return error_set(e, ERR_MEMORY, "%s: out of memory", d->name);
    return codec_new(info, &(CodecOptions){.name = d->name, .threads = 1}, &d->codec, e);
}

/* Nothing more comes of this connection. */
static int fail_codec(SoundDecoder *d, Error *e)
{
    if (codec_crashed(d->codec, e)) {
        d->crashed = d->info->connection;
        d->crash = *e;
    }
    codec_free(d->codec);
    d->codec = NULL;
    return e->code;
}

int sound_decoder_send(SoundDecoder *d, const Packet *p, Error *e)
{
    if (!p->av) {
        if (d->codec)
            codec_drain(d->codec);
        return 0;
    }
    int code = 0;
    if (d->info != p->info) {
        close_codec(d);
        code = open_codec(d, p->info, e);
    }
    if (code == 0 && !d->codec)
        code = error_set(e, ERR_UNSUPPORTED, "%s: its sound cannot be decoded", d->name);
    if (code != 0)
        return code;
    CodecResult r = CODEC_NEEDS;
    while (codec_send(d->codec, p->av, 0, AVDISCARD_DEFAULT) == CODEC_FULL && r != CODEC_BUSY &&
           r != CODEC_FAILED) {
        r = codec_receive(d->codec, d->frame, PATIENCE);
        d->lost += r == CODEC_BUSY || r == CODEC_FRAME; /* this one; what comes of one before */
    }
    return r == CODEC_FAILED ? fail_codec(d, e) : 0;
}

int sound_decoder_crash(SoundDecoder *d, Error *e)
{
    const int connection = d->crashed;
    if (connection != 0)
        *e = d->crash;
    d->crashed = 0;
    return connection;
}

int64_t sound_decoder_lost(const SoundDecoder *d) { return d->lost; }

/* Mono of 16 kHz, from whatever this frame is. */
static bool set_resampler(SoundDecoder *d)
{
    const AVFrame *const f = d->frame;
    if (d->resample && d->rate == f->sample_rate && d->format == f->format &&
        d->channels == f->ch_layout.nb_channels)
        return true;
    swr_free(&d->resample);
    if (f->sample_rate < 1000 || f->sample_rate > 1000000 || f->ch_layout.nb_channels < 1 ||
        f->ch_layout.nb_channels > MOST_CHANNELS)
        return false;
    AVChannelLayout in = {0}, mono;
    av_channel_layout_default(&mono, 1);
    if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&in, f->ch_layout.nb_channels);
    else
        av_channel_layout_copy(&in, &f->ch_layout);
    const int code = swr_alloc_set_opts2(&d->resample, &mono, AV_SAMPLE_FMT_FLT, SOUND_RATE, &in,
                                         f->format, f->sample_rate, 0, NULL);
    av_channel_layout_uninit(&in);
    d->rate = f->sample_rate;
    d->format = f->format;
    d->channels = f->ch_layout.nb_channels;
    if (code >= 0 && swr_init(d->resample) >= 0)
        return true;
    swr_free(&d->resample);
    return false;
}

static bool make_room(SoundDecoder *d, int n)
{
    if (n <= d->room)
        return true;
    heap_free(d->sound);
    d->sound = heap_alloc((size_t)n * sizeof *d->sound, 64);
    d->room = d->sound ? n : 0;
    return d->sound != NULL;
}

/* When the sound of this frame begins to come out of the resampler; true: where the one before
 * ended. */
static bool follow_time(SoundDecoder *d)
{
    const int64_t stamp = stream_info_us(d->info, d->frame->best_effort_timestamp);
    if (stamp == PACKET_NO_TIME) { /* nor is one that is farther than any */
        const bool goes_on = d->at != INT64_MIN;
        d->at = goes_on ? d->at : 0;
        return goes_on;
    }
    const int64_t held = d->resample ? swr_get_delay(d->resample, 1000000) : 0;
    const int64_t at = stamp - held;
    if (d->at != INT64_MIN && llabs(at - d->at) <= SOUND_GAP)
        return true;
    d->at = at;
    return false;
}

static int convert(SoundDecoder *d, SoundPart *out, Error *e)
{
    if (!set_resampler(d))
        return error_set(e, ERR_UNSUPPORTED, "%s: sound that cannot be resampled", d->name);
    const bool follows = follow_time(d);
    if (!make_room(d, swr_get_out_samples(d->resample, d->frame->nb_samples)))
        return error_set(e, ERR_MEMORY, "%s: out of memory", d->name);
    uint8_t *to = (uint8_t *)d->sound;
    const uint8_t **const from = (const uint8_t **)(void *)d->frame->extended_data;
    const int n = swr_convert(d->resample, &to, d->room, from, d->frame->nb_samples);
    *out = (SoundPart){.at = d->sound, .n = n > 0 ? n : 0, .start = d->at, .follows = follows};
    out->end = d->at = d->at + (int64_t)out->n * 1000000 / SOUND_RATE;
    return 1;
}

int sound_decoder_receive(SoundDecoder *d, SoundPart *out, Error *e)
{
    CodecResult got = CODEC_REFUSED;
    while (d->codec && got == CODEC_REFUSED) /* what is damaged is passed over */
        got = codec_receive(d->codec, d->frame, PATIENCE);
    if (got == CODEC_FAILED)
        return fail_codec(d, e);
    if (got == CODEC_END)
        close_codec(d);
    if (got != CODEC_FRAME)
        return 0;
    int code = codec_pixels(d->codec, d->frame, e);
    code = code == 0 ? convert(d, out, e) : code;
    av_frame_unref(d->frame);
    return code;
}
