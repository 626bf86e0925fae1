/* Sampling of videos: the right frames whatever is skipped, clocks that jump, and other sides that
 * do not answer. */
#include "check.h"

#include <arpa/inet.h>
#include <libavcodec/avcodec.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/clip.h"
#include "watch/isolated.h"
#include "watch/pictures.h"
#include "watch/video.h"

static char path[64];
static int64_t isolate; /* VideoOptions.isolate of all */

static const char *temporary(const char *suffix)
{
    snprintf(path, sizeof path, "/tmp/lathe_video_%d%s", (int)getpid(), suffix);
    return path;
}

/* width: 3 + the place of its format above. Red, green and blue of all pixels are value, value + 1,
 * value + 2. */
static void picture_write(const char *name, enum AVPixelFormat format, uint8_t value)
{
    const AVCodec *const codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    AVFrame *f = av_frame_alloc();
    AVPacket *p = av_packet_alloc();
    static const int step[] = {3, 4, 1, 1, 6, 8, 2, 2};
    const int kind = (value - 10) / 20 % 8;
    c->width = f->width = 3 + kind;
    c->height = f->height = 4;
    c->pix_fmt = format;
    c->time_base = (AVRational){1, 1};
    f->format = (int)format;
    assert_int_equal(avcodec_open2(c, codec, NULL), 0);
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width * step[kind]; x++) {
            /* two bytes a sample, high one first */
            const int byte = x % step[kind], wide = kind == 4 || kind == 5 || kind == 6;
            f->data[0][y * f->linesize[0] + x] =
                (uint8_t)(kind == 3 ? 5 : value + (wide ? byte / 2 : byte));
        }
    if (format == AV_PIX_FMT_PAL8)
        for (uint32_t i = 0; i < 256; i++)
            ((uint32_t *)f->data[1])[i] =
                0xff000000 | (value << 16 | (value + 1) << 8 | (value + 2)) * (uint32_t)(i == 5);
    assert_int_equal(avcodec_send_frame(c, f), 0);
    assert_int_equal(avcodec_receive_packet(c, p), 0);
    Error e;
    assert_int_equal(file_write(name, p->data, (size_t)p->size, &e), 0);
    av_packet_free(&p);
    av_frame_free(&f);
    avcodec_free_context(&c);
}

static Video *must_open(const char *name, const VideoOptions *opt)
{
    Error e = {0};
    Video *v = NULL;
    VideoOptions o = *opt;
    o.isolate = isolate;
    if (video_open(name, &o, &v, &e) != 0)
        FAIL_MSG("%s", e.message);
    return v;
}

/* Frame i is at i / fps: the frame at or after t is known. `promise`: it is known that these alone
 * are wanted. Returns how many packets were thrown away. */
static int64_t check_samples_if(const ClipOptions *o, int64_t step, bool promise)
{
    Video *const v = must_open(path, &(VideoOptions){.grid = promise ? (double)step : 0});
    VideoFrame f;
    Error e;
    int64_t dropped = 0;
    int n = 0;
    for (int64_t t = 0;; t += step) {
        const int code = video_sample(v, t, &f, &e);
        if (code == 0)
            break;
        assert_int_equal(code, 1);
        const int64_t want = (t * o->fps + 999999) / 1000000; /* rounded up */
        if (clip_number(&f.picture) != (int)want)
            FAIL_MSG("gop %d, %d b-frames, step %lld%s: at %lld us frame %d instead of %lld",
                     o->gop, o->bframes, (long long)step, promise ? ", promised" : "", (long long)t,
                     clip_number(&f.picture), (long long)want);
        assert_int_equal(f.epoch, 0);
        assert_true(f.t >= t && f.t < t + 1000000 / o->fps + 2000);
        /* Keyframes alone. Of the first group clocks are not known yet; behind the last no keyframe
         * follows. */
        if (promise && (int64_t)o->gop * 1000000 / o->fps == step && n > 1 &&
            want + o->gop < o->frames)
            assert_int_equal(video_counts(v).dropped, dropped + o->gop - 1);
        dropped = video_counts(v).dropped;
        n++;
    }
    assert_int_equal(n, (int)((int64_t)(o->frames - 1) * 1000000 / o->fps / step) + 1);
    const VideoCounts c = video_counts(v);
    assert_int_equal(c.errors, 0);
    assert_int_equal(c.packets, o->frames);
    if (step >= 1000000 && o->gop <= o->fps / 2)
        assert_true(c.decoded < o->frames / 2); /* most was never decoded */
    video_close(v);
    return c.dropped;
}

static void check_samples(const ClipOptions *o, const char *suffix, int64_t step)
{
    clip_write(temporary(suffix), o);
    const int64_t dropped = check_samples_if(o, step, false);
    assert_true(check_samples_if(o, step, true) >= dropped);
    unlink(path);
}

static void samples_are_exact(void **state)
{
    (void)state;
    static const int gop[] = {1, 7, 12, 25, 250}, bframes[] = {0, 3};
    static const int64_t step[] = {40000, 100000, 500000, 1000000, 1700000};
    for (size_t g = 0; g < 5; g++)
        for (size_t b = 0; b < 2; b++)
            for (size_t s = 0; s < 5; s++)
                check_samples(&(ClipOptions){.frames = 130,
                                             .fps = 25,
                                             .gop = gop[g],
                                             .bframes = bframes[b]},
                              ".mkv", step[s]);
}

/* A step that is longer than a jump of the clock; all between two samples is left out, or nothing
 * can be. */
static void steps_that_are_long(void **state)
{
    (void)state;
    for (int gop = 5; gop <= 500; gop *= 10) {
        check_samples(&(ClipOptions){.frames = 400,
                                     .fps = 5,
                                     .gop = gop,
                                     .bframes = gop == 50 ? 2 : 0},
                      ".mp4", 23000000);
        check_samples(&(ClipOptions){.frames = 400, .fps = 5, .gop = gop}, ".ts", 35000000);
    }
}

static void containers(void **state)
{
    (void)state;
    static const char *const suffix[] = {".mp4", ".ts", ".flv", ".mov"};
    for (size_t i = 0; i < 4; i++)
        check_samples(&(ClipOptions){.frames = 90, .fps = 30, .gop = 15, .bframes = i == 2 ? 0 : 2},
                      suffix[i], 500000);
}

/* The number in what is shown: each block by where it must have come to. */
static int shown_number(const Frame *f, int quarters, bool mirrored)
{
    static uint8_t luma[CLIP_WIDTH * CLIP_WIDTH];
    Arena *const a = arena_new();
    const FrameBox all = {0, 0, f->width, f->height};
    const FrameTensor t = {.data = luma,
                           .dtype = DT_U8,
                           .width = f->width,
                           .height = f->height,
                           .channels = 1,
                           .scale = {1}};
    frame_to_tensor(f, &all, FRAME_BILINEAR, &t, simd_level(),
                    arena_alloc_aligned(a, (size_t)frame_scratch(f, &all, FRAME_BILINEAR, &t), 64));
    int number = 0;
    for (int bit = 0; bit < CLIP_BITS; bit++) {
        int x = bit % 4 * CLIP_BLOCK + 5, y = bit / 4 * CLIP_BLOCK + 7, width = CLIP_WIDTH,
            height = CLIP_HEIGHT;
        for (int k = 0; k < quarters; k++) { /* clockwise: what was at the top is to the right */
            const int from = x, side = width;
            x = height - 1 - y;
            y = from;
            width = height;
            height = side;
        }
        assert_true(width == f->width && height == f->height);
        x = mirrored ? width - 1 - x : x;
        number |= (luma[y * width + x] > 125) << bit;
    }
    arena_free(a);
    return number;
}

/* Pictures are as they are to be shown. */
static void turned(void **state)
{
    (void)state;
    static const char *const suffix[] = {".mp4", ".mov"};
    for (int i = 0; i < 16; i++) {
        const ClipOptions o = {.frames = 40,
                               .fps = 25,
                               .gop = 10,
                               .first = 2730,
                               .quarters = i % 4,
                               .mirrored = i / 4 % 2};
        clip_write(temporary(suffix[i / 8]), &o);
        Video *const v = must_open(path, &(VideoOptions){.isolate = isolate});
        VideoFrame f;
        Error e;
        for (int64_t t = 0; t < 1600000; t += 400000) {
            assert_int_equal(video_sample(v, t, &f, &e), 1);
            const int want = 2730 + (int)(t / 40000),
                      got = shown_number(&f.picture, o.quarters, o.mirrored);
            if (got != want)
                FAIL_MSG("%d quarters, mirrored %d: frame %d instead of %d", o.quarters, o.mirrored,
                         got, want);
        }
        video_close(v);
        unlink(path);
    }
}

static void keyframes_only(void **state)
{
    (void)state;
    const ClipOptions o = {.frames = 100, .fps = 25, .gop = 20};
    clip_write(temporary(".mkv"), &o);
    Video *const v = must_open(path, &(VideoOptions){.keyframes = true});
    VideoFrame f;
    Error e;
    int64_t t = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(video_sample(v, t, &f, &e), 1);
        assert_int_equal(clip_number(&f.picture), 20 * i);
        assert_true(f.key);
        t = f.t + 1;
    }
    assert_int_equal(video_sample(v, t, &f, &e), 0);
    assert_int_equal(video_counts(v).decoded, 5);
    video_close(v);
    unlink(path);
}

/* All frames come, in order, in as many epochs as there are; times start anew. */
static void check_jump(int64_t jump, int epochs)
{
    Arena *const a = arena_new();
    Error e = {0};
    File half[2];
    for (int k = 0; k < 2; k++) { /* two transport streams behind each other are one */
        clip_write(temporary(".ts"), &(ClipOptions){.frames = 30,
                                                    .fps = 25,
                                                    .gop = 10,
                                                    .first = 30 * k,
                                                    .start = k * (30 + jump)});
        assert_int_equal(file_read(a, path, &half[k], &e), 0);
    }
    const FilePart part[] = {{half[0].at, half[0].size}, {half[1].at, half[1].size}};
    assert_int_equal(file_write_parts(path, 2, part, false, &e), 0);
    Video *const v = must_open(path, &(VideoOptions){.isolate = isolate});
    VideoFrame f;
    int n = 0, epoch = 0;
    int64_t t = 0;
    while (video_sample(v, t, &f, &e) == 1) {
        assert_int_equal(clip_number(&f.picture), n);
        if (f.epoch != epoch)
            assert_int_equal(f.t, 0);
        epoch = f.epoch;
        t = f.t + 1;
        n++;
    }
    assert_int_equal(n, 60);
    assert_int_equal(epoch + 1, epochs);
    assert_int_equal(video_counts(v).epochs, epochs);
    video_close(v);
    unlink(path);
    arena_free(a);
}

static void clocks_that_jump(void **state)
{
    (void)state;
    check_jump(100 * 25, 2); /* 100 s forward */
    check_jump(-20, 2);      /* back */
    check_jump(5 * 25, 1);   /* 5 s forward: packets were lost */
}

/* ---- pictures ---- */

static void numbers_in_names(void **state)
{
    (void)state;
    static const char *const sorted[] = {"",     "a",   "a1", "a01",  "a2",    "a10",
                                         "a10b", "a11", "b",  "b3x7", "b3x20", "b20"};
    enum { N = sizeof sorted / sizeof *sorted };
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            const int order = pictures_compare(sorted[i], sorted[k]);
            if ((order > 0) - (order < 0) != (i > k) - (i < k))
                FAIL_MSG("'%s' and '%s'", sorted[i], sorted[k]);
        }
}

/* Pictures of every kind of pixels that PNG has, written by libav, with their number in their
 * colour: in order, a frame each. */
static void folders(void **state)
{
    (void)state;
    static const enum AVPixelFormat format[] = {
        AV_PIX_FMT_RGB24,   AV_PIX_FMT_RGBA,     AV_PIX_FMT_GRAY8,    AV_PIX_FMT_PAL8,
        AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGBA64BE, AV_PIX_FMT_GRAY16BE, AV_PIX_FMT_YA8};
    char folder[] = "/tmp/lathe_shots_XXXXXX", name[96];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "%s/shot%d.png", folder, i);
        picture_write(name, format[i % 8], (uint8_t)(20 * i + 10));
    }
    snprintf(name, sizeof name, "%s/notes.txt", folder);
    Error e = {0};
    assert_int_equal(file_write(name, "no picture", 10, &e), 0);
    for (int pattern = 0; pattern < 2; pattern++) {
        snprintf(name, sizeof name, pattern ? "%s/shot?.*" : "%s", folder);
        Video *const v = must_open(name, &(VideoOptions){.picture_rate = 4});
        VideoFrame f;
        int n = 0;
        for (int64_t t = 0; video_sample(v, t, &f, &e) == 1; t = f.t + 1) {
            assert_int_equal(f.t, n * 250000);
            assert_int_equal(f.number, n);
            assert_int_equal(f.picture.width, 3 + n % 8);
            const uint8_t *const last =
                f.picture.plane[0] + f.picture.stride[0] + (f.picture.format == FRAME_GRAY ? 1 : 3);
            assert_int_equal(last[0], 20 * n + 10);
            if (f.picture.format == FRAME_RGB24) {
                assert_int_equal(last[1], 20 * n + 11);
                assert_int_equal(last[2], 20 * n + 12);
            }
            n++;
        }
        assert_int_equal(n, pattern ? 10 : 12);
        assert_int_equal(video_duration(v), n * 250000);
        video_close(v);
    }
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    Video *v = NULL;
    assert_int_equal(video_open("/tmp/no_such_*.png", &(VideoOptions){.isolate = isolate}, &v, &e),
                     ERR_INVALID);
}

/* One frame of H.264. */
static void frame_write(const char *name, int width, int height)
{
    const AVCodec *const codec = avcodec_find_encoder(AV_CODEC_ID_H264);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    AVFrame *f = av_frame_alloc();
    AVPacket *p = av_packet_alloc();
    AVDictionary *option = NULL;
    av_dict_set(&option, "preset", "ultrafast", 0);
    c->width = f->width = width;
    c->height = f->height = height;
    c->pix_fmt = AV_PIX_FMT_GRAY8;
    c->time_base = (AVRational){1, 25};
    f->format = AV_PIX_FMT_GRAY8;
    assert_int_equal(avcodec_open2(c, codec, &option), 0);
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    memset(f->data[0], 100, (size_t)f->linesize[0] * (size_t)height);
    f->pts = 0;
    assert_int_equal(avcodec_send_frame(c, f), 0);
    assert_int_equal(avcodec_send_frame(c, NULL), 0);
    assert_int_equal(avcodec_receive_packet(c, p), 0);
    Error e;
    assert_int_equal(file_write(name, p->data, (size_t)p->size, &e), 0);
    av_dict_free(&option);
    av_packet_free(&p);
    av_frame_free(&f);
    avcodec_free_context(&c);
}

/* One pixel is a picture; 8K is; what is larger is refused before its memory is taken. */
static void sizes(void **state)
{
    (void)state;
    static const int size[][2] = {{1, 1}, {7680, 4320}, {8192, 4368}};
    for (int i = 0; i < 3; i++) {
        frame_write(temporary(".h264"), size[i][0], size[i][1]);
        Video *v = NULL;
        VideoFrame f;
        Error e = {0};
        int code = video_open(path, &(VideoOptions){.isolate = isolate}, &v, &e);
        if (code == 0)
            code = video_sample(v, 0, &f, &e);
        if (i < 2) {
            assert_int_equal(code, 1);
            assert_int_equal(f.picture.width, size[i][0]);
            assert_int_equal(f.picture.height, size[i][1]);
            assert_in_range(f.picture.plane[0][0], 99, 101);
        } else {
            assert_true(code <= 0);
            assert_true(code < 0 || video_counts(v).errors > 0);
        }
        video_close(v);
        unlink(path);
    }
}

static void bad_files(void **state)
{
    (void)state;
    Error e = {0};
    Video *v = NULL;
    assert_int_equal(video_open("/nowhere/at/all.mp4", &(VideoOptions){.isolate = isolate}, &v, &e),
                     ERR_IO);
    assert_non_null(strstr(e.message, "/nowhere/at/all.mp4"));
    const ClipOptions o = {.frames = 100, .fps = 25, .gop = 10};
    clip_write(temporary(".mkv"), &o);
    Arena *const a = arena_new();
    File whole;
    assert_int_equal(file_read(a, path, &whole, &e), 0);
    uint8_t *const bytes = arena_dup(a, whole.at, whole.size);
    assert_int_equal(file_write(path, bytes, 40, &e), 0);
    assert_true(video_open(path, &(VideoOptions){.isolate = isolate}, &v, &e) < 0);
    for (size_t i = 600; i < whole.size;
         i += 17) /* damage of every kind: no frame is right, nothing is wrong */
        bytes[i] ^= (uint8_t)(i * 31);
    assert_int_equal(file_write(path, bytes, whole.size, &e), 0);
    if (video_open(path, &(VideoOptions){.isolate = isolate}, &v, &e) == 0) {
        VideoFrame f;
        int64_t t = 0;
        int n = 0;
        while (video_sample(v, t, &f, &e) == 1 && n++ < 1000)
            t = f.t + 1;
        assert_true(n < 1000);
        video_close(v);
    }
    unlink(path);
    arena_free(a);
}

/* A server that accepts and says nothing. */
static int silent_server(int *port)
{
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s, 4), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return s;
}

static void deadlines(void **state)
{
    (void)state;
    static const char *const protocol[] = {"http", "rtsp", "rtmp", "tcp"};
    for (size_t i = 0; i < 4; i++) {
        int port;
        const int s = silent_server(&port);
        char url[64];
        snprintf(url, sizeof url, "%s://127.0.0.1:%d/x", protocol[i], port);
        Error e = {0};
        Video *v = NULL;
        const double start = time_now();
        assert_int_equal(video_open(url,
                                    &(VideoOptions){.isolate = isolate, .open_timeout = 300000}, &v,
                                    &e),
                         ERR_IO);
        const double took = time_now() - start; /* if nobody asks it is 10 s */
        if (took < 0.2 || took > 8)
            FAIL_MSG("%s: %.2f s instead of 0.3: %s", url, took, e.message);
        assert_non_null(strstr(e.message, "too long"));
        close(s);
    }
}

typedef struct Caller {
    Video *video;
    atomic_bool now;
} Caller;

/* Once it waits, or soon will. */
static void *interrupt(void *arg)
{
    Caller *const c = arg;
    while (!atomic_load(&c->now))
        usleep(1000);
    usleep(50000);
    video_interrupt(c->video);
    return NULL;
}

typedef struct Sender {
    int listener;
    const File *file;
} Sender;

/* Sends half of a file, and then nothing, until the other side is gone. */
static void *send_half(void *arg)
{
    const Sender *const s = arg;
    const int to = accept(s->listener, NULL, NULL);
    size_t sent = 0;
    while (sent < s->file->size / 2) {
        const ssize_t n = write(to, s->file->at + sent, s->file->size / 2 - sent);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    char byte;
    while (read(to, &byte, 1) > 0)
        ;
    close(to);
    return NULL;
}

/* Whoever waits for a stream that has stopped can be called back, and else its own deadline does
 * it. */
static void streams_that_stop(void **state)
{
    (void)state;
    const ClipOptions o = {.frames = 400, .fps = 25, .gop = 10};
    clip_write(temporary(".ts"), &o);
    Arena *const a = arena_new();
    Error e = {0};
    File whole;
    assert_int_equal(file_read(a, path, &whole, &e), 0);
    for (int by_deadline = 0; by_deadline < 2; by_deadline++) {
        int port;
        Sender sender = {silent_server(&port), &whole};
        pthread_t send, call;
        pthread_create(&send, NULL, send_half, &sender);
        char url[64];
        snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
        Video *const v = must_open(
            url, &(VideoOptions){.read_timeout = by_deadline ? 1000000 : INT64_C(3600000000)});
        Caller caller = {.video = v};
        if (!by_deadline)
            pthread_create(&call, NULL, interrupt, &caller);
        VideoFrame f;
        int64_t t = 0;
        int n = 0, code;
        while ((code = video_sample(v, t, &f, &e)) == 1) {
            assert_int_equal(clip_number(&f.picture), n++);
            t = f.t + 1;
            atomic_store(&caller.now, n > 50);
        }
        assert_int_equal(code, ERR_IO);
        assert_true(n > 50);
        if (!by_deadline)
            pthread_join(call, NULL);
        video_close(v);
        pthread_join(send, NULL);
        close(sender.listener);
    }
    unlink(path);
    arena_free(a);
}

/* With the argument "isolated" all of it with libav in processes of its own. */
int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    isolate = argc > 1 ? ISOLATED_MEMORY : 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_exact),
        cmocka_unit_test(containers),
        cmocka_unit_test(steps_that_are_long),
        cmocka_unit_test(keyframes_only),
        cmocka_unit_test(turned),
        cmocka_unit_test(clocks_that_jump),
        cmocka_unit_test(numbers_in_names),
        cmocka_unit_test(folders),
        cmocka_unit_test(sizes),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(streams_that_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
