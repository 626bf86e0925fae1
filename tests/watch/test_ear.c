/* What a sample hears, against packets made by hand: pieces of 20 ms, loud or not, at any time of
 * any connection. */
#include "check.h"

#include <libavutil/log.h>
#include <math.h>

#include "watch/ear.h"
#include "watch/sound_decode.h"

#define PIECE 20000 /* us */
#define PIECE_SAMPLES (VOICE_RATE / 50)

typedef struct Bench {
    Arena *arena;
    NetHost nets;
    Ear *ear;
    StreamInfo *info[4]; /* of connections */
} Bench;

static StreamInfo *new_info(int connection, enum AVCodecID codec)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = AVMEDIA_TYPE_AUDIO;
    par->codec_id = codec;
    par->format = AV_SAMPLE_FMT_S16;
    par->sample_rate = VOICE_RATE;
    av_channel_layout_default(&par->ch_layout, 1);
    StreamInfo *const s = stream_info_new(par, (AVRational){1, 1000000}, (AVRational){0, 1});
    avcodec_parameters_free(&par);
    s->sound = true;
    s->connection = connection;
    return s;
}

static Bench *set_up(void)
{
    Arena *const a = arena_new();
    Bench *const b = arena_new_of(a, Bench);
    *b = (Bench){.arena = a, .nets.threads = 1};
    Error e;
    VoiceModel *model;
    Voice *voice;
    assert_int_equal(pool_new(1, &b->nets.pool, &e), 0);
    if (voice_open(a, &b->nets, arena_printf(a, "%s/data/loud.onnx", TEST_DIR), &model, &e) != 0 ||
        voice_new(a, model, &voice, &e) != 0)
        FAIL_MSG("%s", e.message);
    b->ear = ear_new(a, "test", voice);
    for (int i = 0; i < 4; i++)
        b->info[i] = new_info(i + 1, AV_CODEC_ID_PCM_S16LE);
    return b;
}

static void tear_down(Bench *b)
{
    Pool *const pool = b->nets.pool;
    StreamInfo *info[4];
    memcpy(info, b->info, sizeof info);
    arena_free(b->arena);
    pool_free(pool);
    for (int i = 0; i < 4; i++)
        stream_info_unref(info[i]);
}

static void give(Bench *b, StreamInfo *info, double at, bool loud, int samples)
{
    Packet p = {
        .av = av_packet_alloc(), .info = stream_info_ref(info), .pts = (int64_t)llround(at * 1e6)};
    assert_int_equal(av_new_packet(p.av, samples * 2), 0);
    for (int i = 0; i < samples; i++)
        ((int16_t *)(void *)p.av->data)[i] = loud ? (int16_t)(i % 2 ? 16000 : -16000) : 0;
    p.av->pts = p.av->dts = p.dts = p.pts;
    ear_take(b->ear, &p);
    packet_free(&p);
}

/* Sound from one second to another; connection from 1. */
static void sound(Bench *b, int connection, double from, double to, bool loud)
{
    const int n = (int)lround((to - from) * 50);
    for (int i = 0; i < n; i++)
        give(b, b->info[connection - 1], from + i * 0.02, loud, PIECE_SAMPLES);
}

static void end(Bench *b, int connection)
{
    const Packet p = {.info = b->info[connection - 1]};
    ear_take(b->ear, &p);
}

static const VideoFrame *frame(Bench *b, int connection, int epoch, double origin, double t)
{
    VideoFrame *const f = arena_new_of(b->arena, VideoFrame);
    *f = (VideoFrame){.connection = connection,
                      .epoch = epoch,
                      .origin = (int64_t)llround(origin * 1e6),
                      .t = (int64_t)llround(t * 1e6)};
    return f;
}

/* What a frame hears: "loud", "quiet", or why nothing; it is judged. */
static void check(Bench *b, const VideoFrame *f, const char *want)
{
    Heard h;
    const bool whole = ear_until(b->ear, f, &h);
    const char *const got = h.unknown ? h.unknown : h.probability > 0.5f ? "loud" : "quiet";
    if (strcmp(got, want) != 0)
        FAIL_MSG("connection %d, epoch %d, at %lld us: %s instead of %s", f->connection, f->epoch,
                 (long long)(f->origin + f->t), got, want);
    assert_int_equal(whole, strcmp(want, "late") != 0);
    ear_judged(b->ear);
}

/* A stamp that is farther than any time is none: the sound goes on. */
static void far_stamps(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    SoundDecoder *const d = sound_decoder_new(a, "test");
    StreamInfo *const info = new_info(1, AV_CODEC_ID_PCM_S16LE);
    static const int64_t stamp[] = {1000000, INT64_MAX, -(INT64_C(1) << 62), 1060000};
    int64_t ended = 1000000;
    info->par->sample_rate = 44100; /* the resampler holds some of it back */
    for (int i = 0; i < 4; i++) {
        Error e;
        SoundPart part;
        Packet p = {.av = av_packet_alloc(), .info = stream_info_ref(info)};
        assert_int_equal(av_new_packet(p.av, 882 * 2), 0);
        memset(p.av->data, 0, 882 * 2);
        p.av->pts = p.av->dts = stamp[i];
        assert_int_equal(sound_decoder_send(d, &p, &e), 0);
        assert_int_equal(sound_decoder_receive(d, &part, &e), 1);
        assert_int_equal(part.follows, i > 0);
        assert_int_equal(part.start, ended);
        ended = part.end;
        packet_free(&p);
    }
    assert_in_range(ended, 1070000, 1080000);
    stream_info_unref(info);
    arena_free(a);
}

static void all_since_the_sample_before(void **state)
{
    (void)state;
    Bench *const b = set_up();
    sound(b, 1, 10, 11.1, false);
    sound(b, 1, 11.1, 11.2, true);
    sound(b, 1, 11.2, 14, false);
    check(b, frame(b, 1, 0, 10, 0), "no sound"); /* no step is over */
    check(b, frame(b, 1, 0, 10, 0.5), "quiet");
    check(b, frame(b, 1, 0, 10, 1), "quiet");
    check(b, frame(b, 1, 0, 10, 2), "loud"); /* though it is over */
    check(b, frame(b, 1, 0, 10, 3), "quiet");
    check(b, frame(b, 1, 0, 10, 3.005), "no sound"); /* between two steps */
    tear_down(b);
}

/* What comes late is heard by the next one; what was not judged, too. */
static void nothing_is_lost(void **state)
{
    (void)state;
    Bench *const b = set_up();
    Heard h;
    sound(b, 1, 0, 0.5, false);
    check(b, frame(b, 1, 0, 0, 0.4), "quiet");
    check(b, frame(b, 1, 0, 0, 0.8), "late");
    sound(b, 1, 0.5, 0.8, true);
    check(b, frame(b, 1, 0, 0, 1.2), "late");
    sound(b, 1, 0.8, 2, false);
    check(b, frame(b, 1, 0, 0, 1.6), "loud");
    check(b, frame(b, 1, 0, 0, 1.9), "quiet");
    sound(b, 1, 2, 2.2, true);
    sound(b, 1, 2.2, 3, false);
    assert_true(ear_until(b->ear, frame(b, 1, 0, 0, 2.4), &h)); /* given up */
    assert_true(h.probability > 0.5f);
    check(b, frame(b, 1, 0, 0, 2.8), "loud");
    check(b, frame(b, 1, 0, 0, 2.9), "quiet");
    tear_down(b);
}

static void the_end(void **state)
{
    (void)state;
    Bench *const b = set_up();
    sound(b, 1, 0, 1, true);
    check(b, frame(b, 1, 0, 0, 0.9), "loud");
    check(b, frame(b, 1, 0, 0, 1.5), "late");
    end(b, 1);
    check(b, frame(b, 1, 0, 0, 1.5), "loud"); /* what there was of it */
    check(b, frame(b, 1, 0, 0, 2), "no sound");
    tear_down(b);
}

/* A gap is a gap, and the model hears nothing across it. */
static void a_gap(void **state)
{
    (void)state;
    Bench *const b = set_up();
    sound(b, 1, 0, 1, true);
    sound(b, 1, 4, 5, false);
    check(b, frame(b, 1, 0, 0, 0.9), "loud");
    check(b, frame(b, 1, 0, 0, 2), "loud");
    check(b, frame(b, 1, 0, 0, 3), "no sound");
    check(b, frame(b, 1, 0, 0, 4.5), "quiet");
    tear_down(b);
}

/* Each connection has its own sound, whichever of the two comes first. */
static void connections(void **state)
{
    (void)state;
    Bench *const b = set_up();
    sound(b, 1, 0, 1, false);
    check(b, frame(b, 1, 0, 0, 0.5), "quiet");
    sound(b, 2, 100, 102, true); /* sound is ahead of the pictures */
    check(b, frame(b, 1, 0, 0, 0.9), "quiet");
    /* nothing more comes of the first one: what there was of it */
    check(b, frame(b, 1, 0, 0, 1.5), "quiet");
    check(b, frame(b, 1, 0, 0, 1.7), "no sound");
    check(b, frame(b, 2, 1, 100, 0.5), "loud");
    check(b, frame(b, 3, 2, 7, 0.1), "late"); /* the pictures are ahead of the sound */
    sound(b, 3, 7, 8, false);
    check(b, frame(b, 3, 2, 7, 0.5), "quiet");
    tear_down(b);
}

static void a_connection_without(void **state)
{
    (void)state;
    Bench *const b = set_up();
    end(b, 1); /* as far as is known */
    check(b, frame(b, 1, 0, 0, 0.5), "no sound");
    sound(b, 1, 1, 2, true);
    check(b, frame(b, 1, 0, 0, 1.5), "loud");
    check(b, frame(b, 1, 0, 0, 2.5), "late");
    end(b, 1);
    end(b, 2);
    check(b, frame(b, 2, 1, 0, 0.5), "no sound");
    tear_down(b);
}

/* The clock goes back five seconds, for the pictures before or after the sound. */
static void clocks_that_go_back(void **state)
{
    (void)state;
    for (int sound_first = 0; sound_first < 2; sound_first++) {
        Bench *const b = set_up();
        sound(b, 1, 10, 20, false);
        check(b, frame(b, 1, 0, 10, 9), "quiet");
        if (sound_first)
            sound(b, 1, 15, 17, true);
        check(b, frame(b, 1, 0, 10, 9.9), "quiet");
        if (!sound_first) {
            sound(b, 1, 20, 20.4, false); /* of before: nobody's */
            check(b, frame(b, 1, 1, 15, 0), "late");
            sound(b, 1, 15.4, 17, true);
        } else {
            check(b, frame(b, 1, 0, 10, 10.2), "quiet"); /* not those behind it */
            check(b, frame(b, 1, 0, 10, 10.4), "no sound");
        }
        check(b, frame(b, 1, 1, 15, 1), "loud");
        check(b, frame(b, 1, 1, 15, 1.5), "loud");
        check(b, frame(b, 1, 1, 15, 3), "late");
        tear_down(b);
    }
}

/* Only one of the two goes back: after ten seconds the times count again. */
static void one_clock_alone(void **state)
{
    (void)state;
    Bench *b = set_up();
    sound(b, 1, 0, 5, false);
    check(b, frame(b, 1, 0, 0, 4.9), "quiet");
    sound(b, 1, 2, 40, true);
    for (int i = 0; i < 19; i++)
        check(b, frame(b, 1, 0, 0, 5.5 + 0.5 * i), i == 0 ? "quiet" : "no sound");
    check(b, frame(b, 1, 0, 0, 15.6), "loud");
    tear_down(b);
    b = set_up();
    sound(b, 1, 20, 50, true);
    check(b, frame(b, 1, 0, 20, 5), "loud");
    /* what is to come went by: ten seconds of it are passed over */
    check(b, frame(b, 1, 1, 18, 0), "no sound");
    check(b, frame(b, 1, 1, 18, 5), "no sound");
    check(b, frame(b, 1, 1, 18, 19), "loud");
    tear_down(b);
}

/* Ahead: the sound comes to it, or is there already. */
static void a_clock_that_jumps_ahead(void **state)
{
    (void)state;
    Bench *const b = set_up();
    sound(b, 1, 0, 2.4, true);
    check(b, frame(b, 1, 0, 0, 2), "loud");
    check(b, frame(b, 1, 1, 100, 0), "late");
    sound(b, 1, 100, 102, false);
    check(b, frame(b, 1, 1, 100, 1), "quiet"); /* what was left of before is nobody's */
    tear_down(b);
}

static void sound_that_cannot_be_decoded(void **state)
{
    (void)state;
    Bench *const b = set_up();
    StreamInfo *const strange = new_info(1, AV_CODEC_ID_PROBE);
    for (int i = 0; i < 60; i++)
        give(b, strange, i * 0.02, true, PIECE_SAMPLES);
    check(b, frame(b, 1, 0, 0, 1), "error");
    assert_non_null(strstr(ear_error(b->ear), "no decoder for its sound"));
    stream_info_unref(strange);
    sound(b, 2, 0, 2, true); /* the next connection is none the worse */
    check(b, frame(b, 2, 1, 0, 1), "loud");
    tear_down(b);
}

/* Whether sound comes in time, early, or in pieces of any size, the same is heard where all is
 * there. */
static void order_does_not_matter(void **state)
{
    (void)state;
    float heard[3][40];
    for (int way = 0; way < 3; way++) {
        Bench *const b = set_up();
        double at = 0;
        for (int i = 0; i < 40; i++) {
            const double t = 0.05 + 0.25 * i;
            Heard h;
            for (const double until = way == 0   ? t
                                      : way == 1 ? 11
                                                 : t + 0.013 * (i % 7);
                 at < until; at += 0.02)
                give(b, b->info[0], at, (int)(at * 3) % 3 == 1, PIECE_SAMPLES);
            while (!ear_until(b->ear, frame(b, 1, 0, 0, t), &h)) {
                give(b, b->info[0], at, (int)(at * 3) % 3 == 1, PIECE_SAMPLES);
                at += 0.02;
            }
            ear_judged(b->ear);
            heard[way][i] = h.unknown ? -1 : h.probability;
        }
        tear_down(b);
    }
    assert_memory_equal(heard[0], heard[1], sizeof heard[0]);
    assert_memory_equal(heard[0], heard[2], sizeof heard[0]);
    assert_true(heard[0][10] >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(far_stamps),
        cmocka_unit_test(all_since_the_sample_before),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(the_end),
        cmocka_unit_test(a_gap),
        cmocka_unit_test(connections),
        cmocka_unit_test(a_connection_without),
        cmocka_unit_test(clocks_that_go_back),
        cmocka_unit_test(one_clock_alone),
        cmocka_unit_test(a_clock_that_jumps_ahead),
        cmocka_unit_test(sound_that_cannot_be_decoded),
        cmocka_unit_test(order_does_not_matter),
    };
    av_log_set_level(AV_LOG_QUIET);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
