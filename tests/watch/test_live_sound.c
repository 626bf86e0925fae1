/* Sound beside the pictures of a live source: it comes whole and in order, on their clock, and
 * changes nothing for them. */
#include "check.h"

#include <libavformat/avformat.h>
#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "sound_clip.h"
#include "watch/isolated.h"
#include "watch/live.h"

#define SECONDS 6

static char path[64];
static int64_t isolate; /* VideoOptions.isolate of all */

static void write_clip(const char *suffix, bool sound)
{
    Arena *const a = arena_new();
    snprintf(path, sizeof path, "/tmp/lathe_live_sound_%d%s", (int)getpid(), suffix);
    sound_clip_write(path, &(SoundClip){SECONDS, sound ? sound_tone(a, SECONDS) : NULL});
    arena_free(a);
}

typedef struct Seen {
    VEC(VideoFrame) frame;
    VEC(Packet) sound; /* av: NULL; size in its place: */
    VEC(int) size;
    LiveCounts counts;
    LiveState state;
    char error[256];
} Seen;

static void hear(Arena *a, Live *l, Seen *s)
{
    Packet p;
    bool stuck;
    while (live_sound(l, &p, &stuck)) {
        vec_push(a, &s->size, p.av ? p.av->size : 0);
        const Packet about = {.pts = p.pts,
                              .dts = p.dts,
                              .arrival = p.av != NULL,
                              .clock = (SampleClock)p.info->connection};
        vec_push(a, &s->sound, about);
        if (p.av)
            assert_true(packet_sound(&p));
        packet_free(&p);
    }
}

/* All frames, and all sound that comes with them. */
static Seen look(Arena *a, const LiveOptions *opt)
{
    Seen s = {0};
    Live *l;
    Error e = {0};
    LiveOptions o = *opt;
    o.video.isolate = isolate;
    if (live_open(path, &o, &l, &e) != 0)
        FAIL_MSG("%s", e.message);
    LiveFrame f;
    for (int64_t wanted = 0;;) {
        const LiveResult r = live_frame(l, wanted, false, &f);
        if (opt->hear)
            hear(a, l, &s);
        if (r == LIVE_OVER)
            break;
        if (r == LIVE_NOTHING || r == LIVE_BUSY)
            usleep(1000);
        if (r != LIVE_FRAME)
            continue;
        wanted = f.frame.t + 1;
        f.frame.picture = (Frame){0};
        vec_push(a, &s.frame, f.frame);
    }
    if (opt->hear)
        hear(a, l, &s);
    s.counts = live_counts(l);
    s.state = live_state(l, NULL);
    snprintf(s.error, sizeof s.error, "%.250s", live_error(l, a));
    live_close(l);
    return s;
}

/* Packets of sound as libav gives them by itself. */
static int count_by_hand(int64_t *first, int64_t *bytes)
{
    AVFormatContext *f = NULL;
    assert_int_equal(avformat_open_input(&f, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(f, NULL) >= 0);
    AVPacket *p = av_packet_alloc();
    int n = 0;
    for (*bytes = 0; av_read_frame(f, p) >= 0; av_packet_unref(p)) {
        const AVStream *const s = f->streams[p->stream_index];
        if (s->codecpar->codec_type != AVMEDIA_TYPE_AUDIO)
            continue;
        if (n++ == 0)
            *first = av_rescale_q(p->pts, s->time_base, (AVRational){1, 1000000});
        *bytes += p->size;
    }
    av_packet_free(&p);
    avformat_close_input(&f);
    return n;
}

static void check_same_frames(const Seen *a, const Seen *b)
{
    assert_int_equal(a->frame.len, b->frame.len);
    for (int i = 0; i < a->frame.len; i++) {
        assert_int_equal(a->frame.at[i].t, b->frame.at[i].t);
        assert_int_equal(a->frame.at[i].number, b->frame.at[i].number);
        assert_int_equal(a->frame.at[i].origin, b->frame.at[i].origin);
    }
    assert_int_equal(a->counts.video.packets, b->counts.video.packets);
    assert_int_equal(a->counts.video.bytes, b->counts.video.bytes);
}

static void check_file(const char *suffix)
{
    write_clip(suffix, true);
    Arena *const a = arena_new();
    const Seen mute = look(a, &(LiveOptions){0});
    const Seen s =
        look(a, &(LiveOptions){.video.sound = SOUND_NEEDED, .hear = true, .max_bytes = 4000});
    assert_int_equal(s.state, LIVE_ENDED);
    assert_int_equal(mute.frame.len, SECONDS * SOUND_CLIP_FPS);
    assert_int_equal(mute.counts.sound, 0);
    check_same_frames(&mute, &s);
    int64_t first = 0, bytes = 0, got = 0;
    const int n = count_by_hand(&first, &bytes);
    assert_true(n > SECONDS * 46);
    assert_int_equal(s.counts.sound, n);
    assert_int_equal(s.counts.unheard, 0);
    assert_int_equal(s.sound.len, n + 1); /* and the end of it */
    assert_int_equal(s.sound.at[n].arrival, 0);
    assert_int_equal(s.sound.at[0].pts, first);
    for (int i = 0; i < n; i++) {
        got += s.size.at[i];
        assert_int_equal(s.sound.at[i].clock, s.frame.at[0].connection);
        if (i > 0)
            /* 1024 of 48000 */
            assert_in_range(s.sound.at[i].pts - s.sound.at[i - 1].pts, 20000, 23000);
    }
    assert_int_equal(got, bytes);
    const int64_t end = s.sound.at[n - 1].pts - s.frame.at[0].origin;
    assert_in_range(end, SECONDS * 1000000 - 100000, SECONDS * 1000000 + 100000);
    arena_free(a);
    unlink(path);
}

static void sound_of_files(void **state)
{
    (void)state;
    check_file(".mp4");
    check_file(".mkv");
    check_file(".ts");
    check_file(".flv");
}

static void no_sound(void **state)
{
    (void)state;
    write_clip(".mp4", false);
    Arena *const a = arena_new();
    const Seen s = look(a, &(LiveOptions){.video.sound = SOUND_WANTED, .hear = true});
    assert_int_equal(s.state, LIVE_ENDED);
    assert_int_equal(s.frame.len, SECONDS * SOUND_CLIP_FPS);
    assert_int_equal(s.sound.len, 2); /* known at the beginning, and at the end */
    assert_int_equal(s.sound.at[0].arrival, 0);
    const Seen refused = look(a, &(LiveOptions){.video.sound = SOUND_NEEDED, .hear = true});
    assert_int_equal(refused.state, LIVE_FAILED);
    assert_int_equal(refused.frame.len, 0);
    assert_non_null(strstr(refused.error, "it has no sound"));
    arena_free(a);
    unlink(path);
}

/* Nobody takes it: of a paced file nothing waits for that. */
static void sound_that_nobody_takes(void **state)
{
    (void)state;
    write_clip(".mp4", true);
    Arena *const a = arena_new();
    const Seen s = look(a, &(LiveOptions){.video.sound = SOUND_WANTED});
    assert_int_equal(s.state, LIVE_ENDED);
    assert_int_equal(s.frame.len, SECONDS * SOUND_CLIP_FPS);
    arena_free(a);
    unlink(path);
}

/* With the argument "isolated" all of it with libav in processes of its own. */
int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    isolate = argc > 1 ? ISOLATED_MEMORY : 0;
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_of_files),
        cmocka_unit_test(no_sound),
        cmocka_unit_test(sound_that_nobody_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
