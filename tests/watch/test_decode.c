/* Packets into frames when packets are not what they should be: times that are wrong once, damage,
 * holes. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "watch/clip.h"
#include "watch/decode.h"
#include "watch/source.h"

#define FRAMES 60

typedef struct Clip {
    Arena *arena;
    Packet packet[FRAMES + 1]; /* and the end */
    int n;
} Clip;

static Clip *clip_read(const ClipOptions *o)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/lathe_decode_%d.ts", (int)getpid());
    clip_write(path, o);
    Clip *const c = test_calloc(1, sizeof *c);
    c->arena = arena_new();
    Source *const s =
        source_new(path, &(SourceOptions){.open_timeout = 5000000, .read_timeout = 5000000});
    Error e = {0};
    assert_int_equal(source_connect(s, &e), 0);
    while (c->n < FRAMES && source_read(s, &c->packet[c->n], &e) == 1) {
        c->packet[c->n].arrival = 1001 + c->n;
        c->n++;
    }
    c->packet[c->n++] = (Packet){.info = stream_info_ref(source_info(s))};
    source_close(s);
    unlink(path);
    assert_int_equal(c->n, FRAMES + 1);
    return c;
}

static void clip_free(Clip *c)
{
    for (int i = 0; i < c->n; i++)
        packet_free(&c->packet[i]);
    arena_free(c->arena);
    test_free(c);
}

typedef struct Seen {
    int n, number[FRAMES], epoch[FRAMES];
    int64_t t[FRAMES], arrival[FRAMES];
} Seen;

static void take_frames(Decoder *d, Seen *s)
{
    DecodedFrame f;
    Error e;
    while (decoder_receive(d, &f)) {
        assert_int_equal(decoder_picture(d, &f.frame.picture, &e), 0);
        s->number[s->n] = clip_number(&f.frame.picture);
        s->arrival[s->n] = f.arrival;
        s->epoch[s->n] = f.frame.epoch;
        s->t[s->n++] = f.frame.t;
    }
}

static DecoderCounts decode(Clip *c, Seen *out)
{
    *out = (Seen){0};
    Decoder *const d =
        decoder_new(c->arena, &(DecoderOptions){.name = "clip", .keyframes = false, .threads = 1});
    for (int i = 0; i < c->n; i++)
        for (DecoderTake take = DECODER_FRAMES_FIRST; take == DECODER_FRAMES_FIRST;) {
            Error e;
            assert_int_equal(decoder_send(d, &c->packet[i], 0, &take, &e), 0);
            take_frames(d, out);
        }
    assert_int_equal(decoder_epochs(d), out->n > 0 ? out->epoch[out->n - 1] + 1 : 0);
    return decoder_counts(d);
}

/* One packet whose time is wrong, near or far, is left out; the epoch goes on. */
static void one_wrong_time(void **state)
{
    (void)state;
    static const int64_t by[] = {900000000, -900000000, -90000 * 5};
    for (size_t k = 0; k < 3; k++) {
        Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
        c->packet[33].av->pts += by[k];
        Seen s;
        const DecoderCounts counts = decode(c, &s);
        assert_int_equal(s.n, FRAMES - 1);
        assert_int_equal(counts.errors, 1);
        for (int i = 0; i < s.n; i++) {
            assert_int_equal(s.number[i], i < 33 ? i : i + 1);
            assert_int_equal(s.epoch[i], 0);
            assert_int_equal(s.t[i], s.number[i] * 40000);
            assert_int_equal(s.arrival[i], 1001 + s.number[i]);
        }
        clip_free(c);
    }
}

/* From some packet on all are later or earlier: an epoch, and no frame is missing. */
static void a_clock_that_jumps(void **state)
{
    (void)state;
    static const int64_t by[] = {900000000, -900000000, -90000 * 5};
    for (size_t k = 0; k < 3; k++) {
        Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
        for (int i = 33; i < FRAMES; i++)
            c->packet[i].av->pts += by[k];
        Seen s;
        assert_int_equal(decode(c, &s).errors, 0);
        assert_int_equal(s.n, FRAMES);
        for (int i = 0; i < s.n; i++) {
            assert_int_equal(s.number[i], i);
            assert_int_equal(s.epoch[i], i >= 33);
            assert_int_equal(s.t[i], (i < 33 ? i : i - 33) * 40000);
        }
        clip_free(c);
    }
}

/* The transport lost something: what may refer to it does not come out, up to the next keyframe. */
static void damage(void **state)
{
    (void)state;
    for (int lossy = 0; lossy < 2; lossy++) {
        Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
        c->packet[0].info->lossy = lossy;
        c->packet[23].av->flags |= AV_PKT_FLAG_CORRUPT;
        const int first = lossy ? 23 : 25; /* of files the mark alone says little */
        Seen s;
        assert_int_equal(decode(c, &s).errors, 40 - first);
        assert_int_equal(s.n, FRAMES - (40 - first));
        for (int i = 0; i < s.n; i++)
            assert_int_equal(s.number[i], i < first ? i : i + 40 - first);
        clip_free(c);
    }
}

static uint32_t roll(uint32_t *dice) { return (*dice = *dice * 1664525 + 1013904223) >> 8; }

/* Bytes changed at random: whatever libav makes of it, nothing comes twice, or at another's
 * time. */
static void noise(void **state)
{
    (void)state;
    uint32_t dice = 1;
    int given = 0;
    for (int round = 0; round < 30; round++) {
        Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
        for (int k = 0; k < 3; k++) {
            AVPacket *const p = c->packet[roll(&dice) & 31].av;
            assert_true(av_packet_make_writable(p) >= 0);
            for (int i = 0; i < 6; i++) {
                const uint32_t at = roll(&dice) % (uint32_t)p->size;
                p->data[at] ^= (uint8_t)(roll(&dice) | 1);
            }
        }
        Seen s;
        decode(c, &s);
        for (int i = 0; i < s.n; i++)
            assert_true(i == 0 || s.t[i] > s.t[i - 1]);
        assert_int_equal(s.number[s.n - 1], FRAMES - 1);
        given += s.n;
        clip_free(c);
    }
    assert_true(given > 30 * 20 && given < 30 * FRAMES);
}

/* Packets were thrown away: it goes on at the next keyframe. */
static void a_hole(void **state)
{
    (void)state;
    Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
    c->packet[25].hole = true;
    Seen s;
    assert_int_equal(decode(c, &s).dropped, 15);
    assert_int_equal(s.n, FRAMES - 15);
    assert_int_equal(s.number[25], 40);
    clip_free(c);
}

/* The clock jumps where nothing is decoded (packets were thrown away), or only what is damaged: the
 * next picture begins an epoch all the same. By as much as MPEG-TS wraps, and less. */
static void a_jump_out_of_sight(void **state)
{
    (void)state;
    static const int64_t by[] = {INT64_C(1) << 33, -(INT64_C(1) << 33), 90000 * 102, -90000 * 30};
    for (size_t k = 0; k < 8; k++) {
        const bool hole = k % 2;
        Clip *const c = clip_read(&(ClipOptions){.frames = FRAMES, .fps = 25, .gop = 20});
        StreamInfo *const info = c->packet[0].info;
        info->lossy = true;
        c->packet[25].hole = hole;
        c->packet[25].av->flags |= hole ? 0 : AV_PKT_FLAG_CORRUPT;
        c->packet[30].breaks = true;
        for (int i = 30; i < FRAMES; i++) {
            c->packet[i].av->pts += by[k / 2];
            c->packet[i].pts += stream_info_us(info, by[k / 2]);
            c->packet[i].dts += stream_info_us(info, by[k / 2]);
        }
        Seen s;
        decode(c, &s);
        assert_int_equal(s.n, FRAMES - 15);
        for (int i = 0; i < s.n; i++) {
            assert_int_equal(s.number[i], i < 25 ? i : i + 15);
            assert_int_equal(s.epoch[i], i >= 25);
            assert_int_equal(s.t[i], (i < 25 ? i : i - 25) * 40000);
        }
        clip_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_time), cmocka_unit_test(a_clock_that_jumps),
        cmocka_unit_test(damage),         cmocka_unit_test(noise),
        cmocka_unit_test(a_hole),         cmocka_unit_test(a_jump_out_of_sight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
