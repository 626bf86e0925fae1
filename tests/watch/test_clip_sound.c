/* Clips have the sound of what they show, of live streams as of files, at its time. */
#include "check.h"

#include <libavutil/log.h>
#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "engine_bench.h"
#include "sound_clip.h"
#include "watch/clips.h"
#include "watch/cut.h"
#include "watch/sound_decode.h"
#include "watch/source.h"

#define SECONDS 6 /* a tone in the second, the fourth and the last of them */

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    strcpy(dir, "/tmp/lathe_clip_sound_XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

typedef struct Heard { /* seconds from the first picture that is shown; -1: none */
    double on, off;        /* the first tone */
    double begins, ends;   /* all sound */
    int pictures;
} Heard;

static void hear(Heard *h, const SoundPart *part, int64_t origin)
{
    for (int i = 0; i < part->n; i++) {
        const double t = (double)(part->start - origin) * 1e-6 + (double)i / SOUND_RATE;
        const bool tone = fabsf(part->at[i]) > 0.1f;
        h->begins = h->begins < 0 ? t : h->begins;
        h->ends = t;
        h->on = h->on < 0 && tone ? t : h->on;
        h->off = tone && (h->off < 0 || t - h->off < 0.1) ? t : h->off;
    }
}

static Heard listen(const char *path)
{
    Arena *const a = arena_new();
    Heard h = {-1, -1, -1, -1, 0};
    Error e;
    Packet p;
    SoundPart part;
    int64_t origin = INT64_MAX;
    SoundDecoder *const d = sound_decoder_new(a, path);
    for (int round = 0; round < 2; round++) { /* when the first picture is, then what is heard */
        Source *const s = source_new(path, &(SourceOptions){.open_timeout = 5000000,
                                                            .read_timeout = 5000000,
                                                            .sound = SOUND_NEEDED});
        if (source_connect(s, &e) != 0)
            FAIL_MSG("%s", e.message);
        for (; source_read(s, &p, &e) > 0; packet_free(&p)) {
            if (packet_sound(&p) && round == 1) {
                assert_int_equal(sound_decoder_send(d, &p, &e), 0);
                while (sound_decoder_receive(d, &part, &e) == 1)
                    hear(&h, &part, origin);
            } else if (!packet_sound(&p) && round == 0 && !(p.av->flags & AV_PKT_FLAG_DISCARD)) {
                origin = p.pts < origin ? p.pts : origin;
                h.pictures++;
            }
        }
        source_close(s);
    }
    arena_free(a);
    return h;
}

static void expect(const char *path, int pictures, double on, double off)
{
    const Heard h = listen(path);
    print_message("%s: %d pictures, sound from %.3f to %.3f s, a tone from %.3f to %.3f s\n",
                  strrchr(path, '/') + 1, h.pictures, h.begins, h.ends, h.on, h.off);
    assert_int_equal(h.pictures, pictures);
    if (fabs(h.on - on) > 0.05 || fabs(h.off - off) > 0.05)
        FAIL_MSG("%s: the tone should be from %.3f to %.3f s", path, on, off);
    assert_true(fabs(h.begins) < 0.06 && fabs(h.ends - (double)pictures / SOUND_CLIP_FPS) < 0.08);
}

static const char *make(Arena *a, const char *name)
{
    const char *const path = arena_printf(a, "%s/%s", dir, name);
    sound_clip_write(path, &(SoundClip){SECONDS, sound_tone(a, SECONDS)});
    return path;
}

static void test_file(void **state)
{
    (void)state;
    static const char *const name[] = {"a.mp4", "a.ts"};
    Arena *const a = arena_new();
    for (int i = 0; i < 2; i++) {
        const char *const in = make(a, name[i]), *const out = arena_printf(a, "%s/cut-of-%s.mp4",
                                                                           dir, name[i]);
        CutReport r;
        Error e;
        const CutPart part = {
            .from = 600000, .to = 2800000, .at = 600000, .mode = CUT_EXACT, .path = out};
        if (cut_file(in, &part, &r, &e) != 0)
            FAIL_MSG("%s", e.message);
        assert_string_equal(r.note, "");
        expect(out, 55, 0.4, 1.4);
    }
    arena_free(a);
}

/* As a reader hands it on: sound where it comes, which may be long after its pictures. */
static void test_live(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const in = make(a, "live.ts");
    const Watch *const w =
        bench_parse(a, "watch: {name: w, sample: {fps: 5, max_fps: 5}}\n"
                       "signal: {a: {from: motion}}\n"
                       "event: {kill: {when: a, emit: point, clip: {pre: 1s, post: 800ms}}}\n");
    Clips *clips;
    Error e;
    Packet p;
    assert_int_equal(clips_open(&(ClipsOptions){.folder = arena_printf(a, "%s/clips", dir)}, &clips,
                                &e),
                     0);
    ClipStream *const stream = clip_stream_new(clips, "cam", "udp://somewhere", 0, w);
    assert_true(clip_stream_keeps(stream));
    Source *const s = source_new(in, &(SourceOptions){.open_timeout = 5000000,
                                                      .read_timeout = 5000000,
                                                      .sound = SOUND_WANTED,
                                                      .connection = 3});
    assert_int_equal(source_connect(s, &e), 0);
    int64_t origin = PACKET_NO_TIME, now = (int64_t)(time_now() * 1e6);
    const char *path = NULL;
    for (int i = 0; source_read(s, &p, &e) > 0; packet_free(&p)) {
        p.arrival = now += 20000;
        clip_stream_packet(stream, &p);
        if (packet_sound(&p))
            continue;
        origin = origin == PACKET_NO_TIME ? p.pts : origin;
        const LiveFrame f = {.frame = {.t = p.pts - origin, .origin = origin},
                             .arrival = p.arrival};
        if (i % 5 == 0)
            clip_stream_frame(stream, &f);
        if (++i == 70) {
            const EventRecord r = {.kind = RECORD_POINT,
                                   .id = 1,
                                   .stream = "cam",
                                   .watch = w,
                                   .rule = &w->event[0],
                                   .t_start = 2600000};
            path = arena_strdup(a, clip_stream_record(stream, &r));
        }
    }
    source_close(s);
    clip_stream_free(stream);
    clips_close(clips, 10000000);
    /* 1.6 to 3.4 s: the end of one, the beginning of another */
    expect(arena_printf(a, "%s/%s", dir, path), 45, 0, 0.4);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_live)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
