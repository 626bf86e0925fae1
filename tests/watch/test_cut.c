/* Parts of a video: the pictures asked for and no others, whatever the GOPs are; parts in a row. */
#include "check.h"

#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clip_shown.h"
#include "watch/cut.h"
#include "watch/source.h"

typedef struct Place {
    char dir[40], in[64], out[64], second[64], reel[64];
} Place;

static Place place_new(void)
{
    Place p = {.dir = "/tmp/lathe_cut_XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.in, sizeof p.in, "%s/in.mp4", p.dir);
    snprintf(p.out, sizeof p.out, "%s/out.mp4", p.dir);
    snprintf(p.second, sizeof p.second, "%s/second.mp4", p.dir);
    snprintf(p.reel, sizeof p.reel, "%s/reel.mp4", p.dir);
    return p;
}

static void place_free(const Place *p)
{
    unlink(p->in), unlink(p->out), unlink(p->second), unlink(p->reel);
    assert_int_equal(rmdir(p->dir), 0); /* nothing else is left */
}

static void expect(const char *path, const char *want, const char *what)
{
    Arena *const a = arena_new();
    const char *const got = clip_shown(a, path);
    if (strcmp(got, want) != 0)
        FAIL_MSG("%s: %s instead of %s", what, got, want);
    arena_free(a);
}

/* At 25 frames a second. */
static int64_t at(int frame) { return frame * 40000; }

/* Exactly, around its first picture. */
static int cut_exactly(const char *video, int64_t from, int64_t to, const char *path,
                       CutReport *out, Error *e)
{
    return cut_file(video,
                    &(CutPart){.from = from, .to = to, .at = from, .mode = CUT_EXACT, .path = path},
                    out, e);
}

static void cut_and_expect(const Place *p, int from, int to, CutMode mode, const char *what)
{
    CutReport r;
    Error e;
    char want[40], name[80];
    snprintf(name, sizeof name, "%s from %d to %d", what, from, to);
    if (cut_file(p->in,
                 &(CutPart){
                     .from = at(from), .to = at(to), .at = at(from), .mode = mode, .path = p->out},
                 &r, &e) != 0)
        FAIL_MSG("%s: %s", name, e.message);
    snprintf(want, sizeof want, "%d-%d ", from, to - 1);
    expect(p->out, want, name);
    assert_int_equal(r.duration, at(to - from));
    assert_true(r.bytes > 0);
    assert_int_equal(r.mode, mode);
    if (mode == CUT_EXACT)
        assert_int_equal(r.copied + r.encoded, to - from);
}

static void test_exact_parts(void **state)
{
    (void)state;
    const Place p = place_new();
    static const ClipOptions kind[] = {{.frames = 100, .fps = 25, .gop = 10},
                                       {.frames = 100, .fps = 25, .gop = 12, .bframes = 2},
                                       {.frames = 100, .fps = 25, .gop = 1},
                                       {.frames = 100, .fps = 25, .gop = 250, .bframes = 3}};
    static const int part[][2] = {{0, 10},  {0, 1},  {3, 4},    {3, 9},    {5, 30}, {10, 20},
                                  {11, 13}, {9, 25}, {47, 100}, {99, 100}, {24, 60}};
    for (size_t k = 0; k < sizeof kind / sizeof kind[0]; k++) {
        clip_write(p.in, &kind[k]);
        for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
            char what[40];
            snprintf(what, sizeof what, "gop %d, %d B", kind[k].gop, kind[k].bframes);
            cut_and_expect(&p, part[i][0], part[i][1], CUT_EXACT, what);
        }
    }
    place_free(&p);
}

/* By the edit list a player begins where it was asked; the packets before are in the file. */
static void test_copied_parts(void **state)
{
    (void)state;
    const Place p = place_new();
    CutReport r;
    Error e;
    clip_write(p.in, &(ClipOptions){.frames = 100, .fps = 25, .gop = 10});
    cut_and_expect(&p, 10, 20, CUT_COPY, "at a keyframe");
    assert_int_equal(cut_file(p.in,
                              &(CutPart){.from = at(13), .to = at(25), .at = at(13), .path = p.out},
                              &r, &e),
                     0);
    assert_int_equal(r.copied, 15);
    assert_int_equal(r.encoded, 0);
    assert_int_equal(r.duration, at(12));
    AVFormatContext *f = NULL;
    assert_true(avformat_open_input(&f, p.out, NULL, NULL) >= 0);
    assert_true(avformat_find_stream_info(f, NULL) >= 0);
    assert_in_range(f->duration, at(12) - 1000, at(12) + 1000);
    int thrown = 0, kept = 0;
    AVPacket *packet = av_packet_alloc();
    for (; av_read_frame(f, packet) >= 0; av_packet_unref(packet))
        *(packet->flags & AV_PKT_FLAG_DISCARD ? &thrown : &kept) += 1;
    assert_int_equal(thrown, 3);
    assert_int_equal(kept, 12);
    av_packet_free(&packet);
    avformat_close_input(&f);
    place_free(&p);
}

static void test_transport_streams(void **state)
{
    (void)state;
    Place p = place_new();
    snprintf(p.in, sizeof p.in, "%s/in.ts", p.dir);
    clip_write(p.in,
               &(ClipOptions){.frames = 60, .fps = 25, .gop = 10, .bframes = 2, .start = 1000});
    cut_and_expect(&p, 4, 33, CUT_EXACT, "transport stream");
    place_free(&p);
}

static int cut_list(int n, const Packet *const *list, int64_t from, int64_t to, const char *path,
                    CutReport *out, Error *e)
{
    return cut_packets(n, list,
                       &(CutPart){
                           .from = from, .to = to, .at = from, .mode = CUT_EXACT, .path = path},
                       out, e);
}

/* What waits in a queue of a live stream. */
static void test_packets(void **state)
{
    (void)state;
    const Place p = place_new();
    clip_write(p.in, &(ClipOptions){.frames = 60, .fps = 25, .gop = 10, .bframes = 2});
    Packet packet[60];
    const Packet *list[60];
    Error e;
    CutReport r;
    int n = 0;
    Source *const s =
        source_new(p.in, &(SourceOptions){.open_timeout = 5000000, .read_timeout = 5000000});
    assert_int_equal(source_connect(s, &e), 0);
    while (n < 60 && source_read(s, &packet[n], &e) > 0)
        list[n] = &packet[n], n++;
    const int64_t first = packet[0].pts;
    assert_int_equal(cut_list(n, list, first + at(13), first + at(27), p.out, &r, &e), 0);
    expect(p.out, "13-26 ", "packets");
    assert_int_equal(cut_list(n - 20, list + 20, first + at(25), first + at(40), p.out, &r, &e), 0);
    expect(p.out, "25-39 ", "packets from a later keyframe on");
    assert_int_equal(cut_list(0, list, 0, 1, p.out, &r, &e), ERR_INVALID);
    for (int i = 0; i < n; i++)
        packet_free(&packet[i]);
    source_close(s);
    place_free(&p);
}

/* A video has one size: the part is the pictures of one of them, those around `at`. */
static void test_resized(void **state)
{
    (void)state;
    /* FLV tells of the change once: who seeks behind it never hears of it */
    static const struct {
        const char *name;
        int bframes, parts;
    } kind[] = {{"in.ts", 0, 7}, {"in.ts", 2, 7}, {"in.flv", 0, 5}};
    static const struct { int from, to, at; const char *want, *note; } part[] = {
        {20, 50, 20, "20-36 ", "ends 0.520 s earlier: pictures of 64x48 become 128x96 there"},
        {20, 50, 36, "20-36 ", "ends"},
        {20, 50, 37, "37-49 ", "begins 0.680 s later: pictures of 64x48 become 128x96 there"},
        {20, 50, 45, "37-49 ", "begins"},
        {24, 37, 25, "24-36 ", ""},
        {37, 45, 37, "37-44 ", ""},
        {41, 45, 41, "41-44 ", ""},
    };
    for (int k = 0; k < 3; k++) {
        Place p = place_new();
        snprintf(p.in, sizeof p.in, "%s/%s", p.dir, kind[k].name);
        clip_write(p.in, &(ClipOptions){.frames = 60,
                                        .fps = 25,
                                        .gop = 10,
                                        .bframes = kind[k].bframes,
                                        .resize_at = 37});
        for (int i = 0; i < kind[k].parts; i++)
            for (int mode = CUT_COPY; mode <= CUT_EXACT; mode++) {
                CutReport r;
                Error e;
                const CutPart one = {.from = at(part[i].from),
                                     .to = at(part[i].to),
                                     .at = at(part[i].at),
                                     .mode = mode,
                                     .path = p.out};
                if (cut_file(p.in, &one, &r, &e) != 0)
                    FAIL_MSG("%s from %d: %s", kind[k].name, part[i].from, e.message);
                if (mode == CUT_EXACT)
                    expect(p.out, part[i].want, kind[k].name);
                if (!strstr(r.note, part[i].note) || (!part[i].note[0] && r.note[0]))
                    FAIL_MSG("%s from %d: the note is %s", kind[k].name, part[i].from, r.note);
                AVFormatContext *f = NULL;
                assert_true(avformat_open_input(&f, p.out, NULL, NULL) >= 0);
                assert_int_equal(f->streams[0]->codecpar->width,
                                 strcmp(part[i].want, "37") > 0 ? 128 : 64);
                avformat_close_input(&f);
            }
        place_free(&p);
    }
}

static void expect_turned(const char *path, FrameTurn want)
{
    Video *v;
    VideoFrame f;
    Error e;
    if (video_open(path, &(VideoOptions){0}, &v, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(video_sample(v, 0, &f, &e), 1);
    assert_int_equal(f.picture.width, want.swapped ? CLIP_HEIGHT : CLIP_WIDTH);
    assert_memory_equal(&f.picture.turn, &want, sizeof want);
    video_close(v);
}

/* Pictures that are to be shown turned still are, in parts of files, of packets, and in reels. */
static void test_turned(void **state)
{
    (void)state;
    static const FrameTurn turn[] = {
        {true, true, false}, {false, true, true}, {true, false, true}, {true, false, false}};
    for (int i = 0; i < 4; i++) {
        const Place p = place_new();
        Packet packet[40];
        const Packet *list[40];
        Error e;
        CutReport r;
        int n = 0;
        clip_write(p.in, &(ClipOptions){.frames = 40,
                                        .fps = 25,
                                        .gop = 10,
                                        .quarters = i < 3 ? i + 1 : 1,
                                        .mirrored = i == 3});
        expect_turned(p.in, turn[i]);
        assert_int_equal(cut_exactly(p.in, at(3), at(24), p.out, &r, &e), 0);
        expect_turned(p.out, turn[i]);
        expect(p.out, "3-23 ", "turned");
        Source *const s =
            source_new(p.in, &(SourceOptions){.open_timeout = 5000000, .read_timeout = 5000000});
        assert_int_equal(source_connect(s, &e), 0);
        while (n < 40 && source_read(s, &packet[n], &e) > 0)
            list[n] = &packet[n], n++;
        const int64_t first = packet[0].pts;
        assert_int_equal(cut_list(n, list, first + at(13), first + at(27), p.second, &r, &e), 0);
        expect_turned(p.second, turn[i]);
        for (int k = 0; k < n; k++)
            packet_free(&packet[k]);
        source_close(s);
        const ReelPart part[] = {{p.out, "a"}, {p.out, "b"}};
        assert_int_equal(cut_reel(2, part, p.reel, 0, &r, &e), 0);
        expect_turned(p.reel, turn[i]);
        place_free(&p);
    }
}

static void test_reel(void **state)
{
    (void)state;
    const Place p = place_new();
    CutReport r;
    Error e;
    clip_write(p.in, &(ClipOptions){.frames = 100, .fps = 25, .gop = 12, .bframes = 2});
    assert_int_equal(cut_exactly(p.in, at(50), at(70), p.out, &r, &e), 0);
    assert_int_equal(cut_exactly(p.in, at(5), at(30), p.second, &r, &e), 0);
    const ReelPart part[] = {{p.out, "a win"}, {p.second, "a loss"}};
    assert_int_equal(cut_reel(2, part, p.reel, 0, &r, &e), 0);
    assert_int_equal(r.copied, 45);
    expect(p.reel, "50-69 5-29 ", "reel");
    AVFormatContext *f = NULL;
    assert_true(avformat_open_input(&f, p.reel, NULL, NULL) >= 0);
    assert_int_equal(f->nb_chapters, 2);
    assert_string_equal(av_dict_get(f->chapters[1]->metadata, "title", NULL, 0)->value, "a loss");
    assert_in_range(av_rescale_q(f->chapters[1]->start, f->chapters[1]->time_base,
                                 (AVRational){1, 1000}),
                    799, 801);
    avformat_close_input(&f);
    assert_int_equal(cut_reel(0, part, p.reel, 0, &r, &e), ERR_INVALID);
    clip_write(p.in, &(ClipOptions){.frames = 20, .fps = 25, .gop = 10});
    const ReelPart odd[] = {{p.out, NULL}, {p.in, NULL}};
    /* no B-frames: other parameter sets */
    assert_int_equal(cut_reel(2, odd, p.reel, 0, &r, &e), ERR_INVALID);
    place_free(&p);
}

static int by_time(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* Pictures follow each other as in the parts: none has the time of another, also where one part
 * goes over into the next. */
static void expect_even(const char *path, int frames, const char *what)
{
    AVFormatContext *f = NULL;
    AVPacket *p = av_packet_alloc();
    int64_t pts[400], last = INT64_MIN;
    int n = 0;
    assert_true(avformat_open_input(&f, path, NULL, NULL) >= 0);
    for (; av_read_frame(f, p) >= 0; av_packet_unref(p)) {
        assert_true(p->dts > last && n < 400);
        last = p->dts;
        pts[n++] = av_rescale_q(p->pts, f->streams[0]->time_base, (AVRational){1, 1000000});
    }
    assert_int_equal(n, frames);
    qsort(pts, (size_t)n, sizeof *pts, by_time);
    for (int i = 1; i < n; i++)
        if (pts[i] - pts[i - 1] < 39000 || pts[i] - pts[i - 1] > 41000)
            FAIL_MSG("%s: pictures %d and %d are at %lld and %lld us", what, i - 1, i,
                     (long long)pts[i - 1], (long long)pts[i]);
    av_packet_free(&p);
    avformat_close_input(&f);
}

static void test_even_reels(void **state)
{
    (void)state;
    const Place p = place_new();
    CutReport r;
    Error e;
    static const int part[][4] = {
        {50, 70, 5, 30}, {3, 9, 47, 49}, {10, 11, 12, 13}, {0, 12, 12, 24}, {1, 60, 30, 100}};
    for (int bframes = 0; bframes < 4; bframes++) {
        clip_write(p.in, &(ClipOptions){.frames = 100, .fps = 25, .gop = 12, .bframes = bframes});
        for (int i = 0; i < 5; i++) {
            assert_int_equal(cut_exactly(p.in, at(part[i][0]), at(part[i][1]), p.out, &r, &e), 0);
            assert_int_equal(cut_exactly(p.in, at(part[i][2]), at(part[i][3]), p.second, &r, &e),
                             0);
            char what[40];
            snprintf(what, sizeof what, "%d B, %d and %d", bframes, part[i][0], part[i][2]);
            const ReelPart both[] = {{p.out, "a"}, {p.second, "b"}};
            if (cut_reel(2, both, p.reel, 0, &r, &e) ==
                0) /* a part that is encoded anew as a whole has other parameter sets */
                expect_even(p.reel, part[i][1] - part[i][0] + part[i][3] - part[i][2], what);
        }
    }
    place_free(&p);
}

static void test_refusals(void **state)
{
    (void)state;
    const Place p = place_new();
    CutReport r;
    Error e;
    clip_write(p.in, &(ClipOptions){.frames = 20, .fps = 25, .gop = 10});
    assert_int_equal(cut_exactly(p.in, at(30), at(40), p.out, &r, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "no picture between 1.200 and 1.600 s"));
    assert_int_equal(cut_exactly(p.in, at(5), at(5), p.out, &r, &e), ERR_INVALID);
    assert_int_equal(cut_exactly(p.in, 0, INT64_MAX, p.out, &r, &e), ERR_INVALID);
    assert_int_equal(cut_exactly("/nowhere.mp4", 0, 1, p.out, &r, &e), ERR_IO);
    assert_int_equal(cut_exactly(p.in, 0, at(5), "/nowhere/out.mp4", &r, &e), ERR_IO);
    struct stat st;
    assert_int_not_equal(stat(p.out, &st), 0);
    place_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_parts),
        cmocka_unit_test(test_copied_parts),
        cmocka_unit_test(test_transport_streams),
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_reel),
        cmocka_unit_test(test_turned),
        cmocka_unit_test(test_even_reels),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
