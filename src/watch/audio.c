/* Packets -> frames -> 16 kHz -> steps with their times. */
#include "watch/audio.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswresample/swresample.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/vec.h"
#include "watch/source.h"
#include "watch/url.h"

#define TIMEOUT 10000000   /* us, of a call into a file, which may be on a network */
#define GAP 60000          /* us by which times may differ from what was counted: rounding of containers */
#define MOST_CHANNELS 64

typedef struct Step { /* of the model of voice */
    int64_t end; /* us */
    float probability;
    bool failed;
} Step;

struct Audio {
    Arena *arena;
    const char *name;
    Voice *voice;
    AVFormatContext *format;
    AVCodecContext *codec;
    SwrContext *resample;
    AVPacket *packet;
    AVFrame *frame;
    int stream;
    int64_t zero;            /* of the video, us by the file's clock */
    int64_t deadline;        /* us */
    bool ended;
    /* what the resampler was made for */
    int rate, format_in, channels;
    /* steps */
    float step[VOICE_STEP];
    int n;                   /* samples in it */
    int64_t at;              /* when the next sample comes, us by the video's clock; INT64_MIN: not known */
    float *sound;            /* what the resampler gives of a frame */
    int room;
    VEC(Step) heard;         /* steps that nobody has asked for yet */
};

static int64_t now_us(void) { return (int64_t)(time_now() * 1e6); }

static int must_stop(void *arg)
{
    return now_us() > ((const Audio *)arg)->deadline;
}

static void audio_close(void *arg)
{
    Audio *const s = arg;
    heap_free(s->sound);
    swr_free(&s->resample);
    avcodec_free_context(&s->codec);
    av_packet_free(&s->packet);
    av_frame_free(&s->frame);
    s->deadline = now_us() + TIMEOUT;
    avformat_close_input(&s->format);
}

static int64_t to_us(const AVStream *s, int64_t t) { return av_rescale_q(t, s->time_base, (AVRational){1, 1000000}); }

/* When the pictures begin. */
static int64_t find_zero(const Audio *s)
{
    const int video = av_find_best_stream(s->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    const AVStream *const v = video >= 0 ? s->format->streams[video] : NULL;
    return v && v->start_time != AV_NOPTS_VALUE ? to_us(v, v->start_time) : 0;
}

static int open_codec(Audio *s, Error *e)
{
    const AVCodec *codec = NULL;
    s->stream = av_find_best_stream(s->format, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
    if (s->stream == AVERROR_DECODER_NOT_FOUND)
        return error_set(e, ERR_UNSUPPORTED, "%s: no decoder for its sound", s->name);
    if (s->stream < 0)
        return error_set(e, ERR_INVALID, "%s: it has no sound", s->name);
    s->zero = find_zero(s);
    for (unsigned i = 0; i < s->format->nb_streams; i++)
        if ((int)i != s->stream)
            s->format->streams[i]->discard = AVDISCARD_ALL;
    s->codec = avcodec_alloc_context3(codec);
    if (!s->codec || avcodec_parameters_to_context(s->codec, s->format->streams[s->stream]->codecpar) < 0)
        return error_set(e, ERR_MEMORY, "%s: out of memory", s->name);
    s->codec->pkt_timebase = s->format->streams[s->stream]->time_base;
    s->codec->thread_count = 1;
    if (avcodec_open2(s->codec, codec, NULL) < 0)
        return error_set(e, ERR_UNSUPPORTED, "%s: its sound cannot be decoded", s->name);
    return 0;
}

int audio_open(Arena *a, const char *url, Voice *voice, Audio **out, Error *e)
{
    Audio *const s = arena_new_of(a, Audio);
    *s = (Audio){.arena = a, .name = url_shown(a, url), .voice = voice, .at = INT64_MIN};
    *out = s;
    if (!source_is_file(url))
        return error_set(e, ERR_UNSUPPORTED, "%s: sound is heard in files alone", s->name);
    s->packet = av_packet_alloc();
    s->frame = av_frame_alloc();
    s->format = avformat_alloc_context();
    arena_defer(a, audio_close, s);
    if (!s->packet || !s->frame || !s->format)
        return error_set(e, ERR_MEMORY, "%s: out of memory", s->name);
    s->format->interrupt_callback = (AVIOInterruptCB){must_stop, s};
    s->deadline = now_us() + TIMEOUT;
    if (avformat_open_input(&s->format, url, NULL, NULL) < 0 || avformat_find_stream_info(s->format, NULL) < 0)
        return error_set(e, ERR_INVALID, "%s: its sound cannot be read", s->name);
    return open_codec(s, e);
}

/* ---- sound ---- */

/* Mono of 16 kHz, from whatever this frame is. */
static bool set_resampler(Audio *s)
{
    const AVFrame *const f = s->frame;
    if (s->resample && s->rate == f->sample_rate && s->format_in == f->format && s->channels == f->ch_layout.nb_channels)
        return true;
    swr_free(&s->resample);
    if (f->sample_rate < 1000 || f->sample_rate > 1000000 || f->ch_layout.nb_channels < 1 || f->ch_layout.nb_channels > MOST_CHANNELS)
        return false;
    AVChannelLayout in = {0}, mono;
    av_channel_layout_default(&mono, 1);
    if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&in, f->ch_layout.nb_channels);
    else
        av_channel_layout_copy(&in, &f->ch_layout);
    const int code = swr_alloc_set_opts2(&s->resample, &mono, AV_SAMPLE_FMT_FLT, VOICE_RATE, &in, f->format, f->sample_rate, 0, NULL);
    av_channel_layout_uninit(&in);
    s->rate = f->sample_rate;
    s->format_in = f->format;
    s->channels = f->ch_layout.nb_channels;
    return code >= 0 && swr_init(s->resample) >= 0;
}

static void end_step(Audio *s, Error *e)
{
    Step step = {.end = s->at};
    s->n = 0;
    step.failed = voice_step(s->voice, s->step, &step.probability, e) != 0;
    vec_push(s->arena, &s->heard, step);
}

static void add_sound(Audio *s, int n, Error *e)
{
    const int64_t start = s->at;
    for (int i = 0; i < n; i++) {
        s->step[s->n++] = s->sound[i];
        s->at = start + (int64_t)(i + 1) * 1000000 / VOICE_RATE;
        if (s->n == VOICE_STEP)
            end_step(s, e);
    }
}

static bool make_room(Audio *s, int n)
{
    if (n <= s->room)
        return true;
    heap_free(s->sound);
    s->sound = heap_alloc((size_t)n * sizeof *s->sound, 64);
    s->room = s->sound ? n : 0;
    return s->sound != NULL;
}

/* Where the sound does not go on from what came before, what was heard is over. */
static void follow_time(Audio *s)
{
    const AVFrame *const f = s->frame;
    if (f->best_effort_timestamp == AV_NOPTS_VALUE) {
        s->at = s->at == INT64_MIN ? 0 : s->at;
        return;
    }
    const int64_t t = to_us(s->format->streams[s->stream], f->best_effort_timestamp) - s->zero;
    const int64_t held = s->resample ? swr_get_delay(s->resample, 1000000) : 0;
    if (s->at != INT64_MIN && llabs(t - held - s->at) <= GAP)
        return;
    if (s->at != INT64_MIN)
        voice_reset(s->voice);
    s->n = 0;
    s->at = t - held;
}

static void take_frame(Audio *s, Error *e)
{
    if (!set_resampler(s)) {
        error_set(e, ERR_UNSUPPORTED, "%s: sound of a kind that cannot be resampled", s->name);
        vec_push(s->arena, &s->heard, ((Step){.end = s->at, .failed = true}));
        return;
    }
    follow_time(s);
    if (!make_room(s, swr_get_out_samples(s->resample, s->frame->nb_samples)))
        return; /* out of memory: what is missing is a gap */
    uint8_t *to = (uint8_t *)s->sound;
    const uint8_t **const from = (const uint8_t **)(void *)s->frame->extended_data;
    const int n = swr_convert(s->resample, &to, s->room, from, s->frame->nb_samples);
    add_sound(s, n > 0 ? n : 0, e);
}

/* One more frame; false: the sound is over. */
static bool next_frame(Audio *s)
{
    for (;;) {
        const int got = avcodec_receive_frame(s->codec, s->frame);
        if (got == 0)
            return true;
        if (got != AVERROR(EAGAIN) || s->ended)
            return false;
        s->deadline = now_us() + TIMEOUT;
        const int code = av_read_frame(s->format, s->packet);
        if (code < 0) {
            s->ended = true;
            avcodec_send_packet(s->codec, NULL);
            continue;
        }
        if (s->packet->stream_index == s->stream)
            avcodec_send_packet(s->codec, s->packet); /* what is damaged is passed over */
        av_packet_unref(s->packet);
    }
}

Heard audio_until(Audio *s, int64_t t, Error *e)
{
    Error why = {0};
    while ((s->at == INT64_MIN || s->at < t) && next_frame(s)) {
        take_frame(s, &why);
        av_frame_unref(s->frame);
    }
    Heard out = {.unknown = "no sound"};
    int later = 0;
    for (int i = 0; i < s->heard.len; i++) {
        const Step *const step = &s->heard.at[i];
        if (step->end > t) {
            s->heard.at[later++] = *step;
            continue;
        }
        if (step->failed) {
            out.unknown = "error";
        } else if (!out.unknown || strcmp(out.unknown, "error") != 0) {
            out.probability = out.unknown || step->probability > out.probability ? step->probability : out.probability;
            out.unknown = NULL;
        }
    }
    s->heard.len = later;
    if (why.code != 0)
        *e = why;
    return out;
}
