/* The test server, seen through libavformat: frames arrive whole and in order, clocks are as
 * chosen, and each fault does what it says. */
#include "check.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "game/counter.h"
#include "game/movie.h"
#include "rtsp/serve.h"
#include "vision/draw.h"

#define FRAMES 60 /* of each film, 30 a second */
#define MOST 400

static char film[2][64]; /* 320 x 180 and 640 x 360 */

/* Moving noise, so that frames have several packets each, and their numbers. */
static void make_film(const char *path, int width, int height)
{
    Arena *const a = arena_new();
    Error e = {0};
    Picture *const p = picture_new(a, width, height);
    const Yuv y = yuv_new(a, width, height);
    const MovieOptions opt = {.width = width,
                              .height = height,
                              .fps_num = 30,
                              .fps_den = 1,
                              .bitrate = 3000000,
                              .gop = 30,
                              .preset = "superfast"};
    Movie *m = NULL;
    assert_int_equal(movie_open(a, path, &opt, &m, &e), 0);
    for (int i = 0; i < FRAMES; i++) {
        draw_fill(p, (Colour){60, 80, 100});
        draw_rectangle(p, i * 3, height / 2, 40, 40, (Colour){200, 60, 20});
        counter_draw(p, (uint32_t)i);
        yuv_from_picture(&y, p);
        yuv_add_noise(&y, 4, 1, i);
        assert_int_equal(movie_add(m, &y, &e), 0);
    }
    assert_int_equal(movie_close(m, &e), 0);
    arena_free(a);
}

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        strcpy(film[i], "/tmp/lathe_film_XXXXXX.mp4");
        close(mkstemps(film[i], 4));
        make_film(film[i], i ? 640 : 320, i ? 360 : 180);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        unlink(film[i]);
    return 0;
}

/* What a client sees. */
typedef struct Seen {
    int n, error;          /* frames; what ended the reading, 0: enough */
    uint32_t number[MOST]; /* of frames that could be read; -1 else */
    double pts[MOST];      /* seconds */
    double at[MOST];       /* since the first, by the clock */
    int width[MOST];
    double realtime;       /* of the start, seconds since 1970, by RTCP */
} Seen;

static int on_time(void *arg) { return time_now() > *(double *)arg; }

static void decode(AVCodecContext *c, const AVPacket *packet, AVFrame *f, const AVStream *stream,
                   double start, Seen *out)
{
    avcodec_send_packet(c, packet);
    while (out->n < MOST && avcodec_receive_frame(c, f) == 0) {
        uint32_t number = UINT32_MAX;
        counter_read(f->data[0], f->linesize[0], f->width, f->height, &number);
        out->number[out->n] = number;
        out->pts[out->n] = (double)f->best_effort_timestamp * av_q2d(stream->time_base);
        out->at[out->n] = time_now() - start;
        out->width[out->n] = f->width;
        out->n++;
    }
}

/* Reads until `frames` were decoded, the stream ends, or a minute is over. */
static void watch(const char *url, int frames, Seen *out)
{
    memset(out, 0, sizeof *out);
    double limit = time_now() + 60;
    AVFormatContext *f = avformat_alloc_context();
    f->interrupt_callback = (AVIOInterruptCB){on_time, &limit};
    AVDictionary *options = NULL;
    av_dict_set(&options, "rtsp_transport", "tcp", 0);
    av_dict_set(&options, "analyzeduration", "200000", 0);
    out->error = avformat_open_input(&f, url, NULL, &options);
    av_dict_free(&options);
    if (out->error < 0)
        return;
    assert_true(avformat_find_stream_info(f, NULL) >= 0);
    const AVStream *const stream = f->streams[0];
    AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
    avcodec_parameters_to_context(c, stream->codecpar);
    assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    const double begin = time_now();
    while (out->n < frames && (out->error = av_read_frame(f, packet)) >= 0) {
        decode(c, packet, frame, stream, begin, out);
        av_packet_unref(packet);
    }
    out->realtime = (double)f->start_time_realtime * 1e-6;
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&c);
    avformat_close_input(&f);
}

static void serve(const char *const *option, int frames, Seen *out)
{
    Child s = rtsp_serve(film[0], option);
    watch(s.said, frames, out);
    child_stop(&s);
}

/* Twice round the film: numbers in turn, times a thirtieth apart, also over the seam. */
static void frames_in_order(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    serve(RTSP_OPTIONS("--speed", "8", "--wall", "1000000000"), 100, s);
    assert_int_equal(s->n, 100);
    for (int i = 0; i < s->n; i++) {
        assert_int_equal(s->number[i], i % FRAMES);
        /* libavformat gives the first frame of an RTSP stream no time. */
        assert_true(i == 0 || fabs(s->pts[i] - s->pts[1] - (i - 1) / 30.0) < 1e-3);
    }
    assert_true(fabs(s->realtime - 1e9) < 0.2);
    test_free(s);
}

static void two_at_once(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    Child server = rtsp_serve(film[0], RTSP_OPTIONS("--speed", "8"));
    const pid_t other = fork();
    if (other == 0) {
        watch(server.said, 50, s);
        _exit(s->n >= 50 && s->number[49] == 49 ? 0 : 1);
    }
    watch(server.said, 50, s);
    int status = -1;
    waitpid(other, &status, 0);
    child_stop(&server);
    assert_int_equal(s->number[49], 49);
    assert_int_equal(status, 0);
    test_free(s);
}

static double longest_wait(const Seen *s)
{
    double most = 0;
    for (int i = 1; i < s->n; i++)
        most = fmax(most, s->at[i] - s->at[i - 1]);
    return most;
}

/* Whether the frames that were read are numbered in turn, and how many are missing or damaged. */
static int missing(const Seen *s)
{
    int n = 0;
    for (int i = 1; i < s->n; i++)
        n += s->number[i] != (s->number[i - 1] + 1) % FRAMES;
    return n;
}

static void stall(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    serve(RTSP_OPTIONS("--speed", "8", "--fault", "stall@1:2"), 50, s);
    assert_int_equal(s->n, 50);
    assert_int_equal(missing(s), 0);
    assert_true(longest_wait(s) > 0.5);
    test_free(s);
}

static void endings(void **state)
{
    (void)state;
    static const char *const fault[] = {"cut@1", "tear@1", "end@1"};
    for (int i = 0; i < 3; i++) {
        Seen *const s = test_malloc(sizeof *s);
        serve(RTSP_OPTIONS("--speed", "8", "--fault", fault[i]), 100, s);
        assert_true(s->error < 0);
        /* libavcodec may keep the last ones; a connection that is reset takes with it what a slow
         * client has not read */
        assert_in_range(s->n, strncmp(fault[i], "end", 3) == 0 ? 25 : 1, 33);
        test_free(s);
    }
}

/* A client finds its way through noise between packets, and through damaged and lost ones. */
static void damage(void **state)
{
    (void)state;
    static const char *const fault[] = {"garbage@1:3000", "corrupt@1:6", "loss@1:6"};
    for (int i = 0; i < 3; i++) {
        Seen *const s = test_malloc(sizeof *s);
        serve(RTSP_OPTIONS("--speed", "8", "--fault", fault[i]), 90, s);
        assert_true(s->n >= 60);
        assert_true(i == 0 || missing(s) > 0);
        assert_int_equal(s->number[s->n - 1], (s->number[s->n - 2] + 1) % FRAMES); /* well again */
        test_free(s);
    }
}

static void jump(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    serve(RTSP_OPTIONS("--speed", "8", "--fault", "jump@1:100"), 60, s);
    assert_int_equal(s->n, 60);
    assert_int_equal(missing(s), 0);
    int jumps = 0;
    for (int i = 2; i < s->n; i++) {
        const double by = s->pts[i] - s->pts[i - 1];
        assert_true(fabs(by - 1 / 30.0) < 1e-3 || fabs(by - 100 - 1 / 30.0) < 1e-3);
        jumps += by > 50;
    }
    assert_int_equal(jumps, 1);
    test_free(s);
}

static void other_size(void **state)
{
    (void)state;
    char fault[80];
    assert_true(snprintf(fault, sizeof fault, "change@1:%s", film[1]) < (int)sizeof fault);
    Seen *const s = test_malloc(sizeof *s);
    serve(RTSP_OPTIONS("--speed", "8", "--fault", fault), 60, s);
    assert_int_equal(s->width[0], 320);
    assert_int_equal(s->width[s->n - 1], 640);
    for (int i = 1; i < s->n; i++)
        assert_true(s->width[i] == s->width[i - 1] || s->number[i] == 0);
    test_free(s);
}

/* Frames before the first key frame cannot be decoded, or not well; then all is in order. */
static void middle(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    serve(RTSP_OPTIONS("--speed", "8", "--middle"), 60, s);
    int first = 0;
    while (first < s->n && s->number[first] != 30)
        first++;
    assert_true(first < 25);
    assert_int_equal(s->n, 60);
    for (int i = first; i < s->n; i++)
        assert_int_equal(s->number[i], (uint32_t)(30 + i - first) % FRAMES);
    test_free(s);
}

static void refusal(void **state)
{
    (void)state;
    Seen *const s = test_malloc(sizeof *s);
    Child server = rtsp_serve(film[0], RTSP_OPTIONS("--refuse", "2", "--speed", "8"));
    for (int i = 0; i < 3; i++) {
        watch(server.said, 10, s);
        assert_true(i < 2 ? s->n == 0 && s->error < 0 : s->n >= 10);
    }
    child_stop(&server);
    test_free(s);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET); /* damage is what is tested */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_in_order), cmocka_unit_test(two_at_once), cmocka_unit_test(stall),
        cmocka_unit_test(endings),         cmocka_unit_test(damage),      cmocka_unit_test(jump),
        cmocka_unit_test(other_size),      cmocka_unit_test(middle),      cmocka_unit_test(refusal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
