/* How fast a stored video is watched: build/bench/stored DIR ROUNDS [SAMPLES_A_SECOND]
 *
 * DIR is a generated game (build/game/game --gop 1s -o DIR). Its whole watch, on one core: at 1
 * sample a second if not said otherwise, looking at any frame (`frames`) and at keyframes alone
 * (`keyframes`); beside it, in turns, libav decoding each frame of the same file, on one thread,
 * and the keyframes alone (`libav`, `libav-keyframes`). A line of CSV for each, of its fastest
 * round: CPU seconds; how many times faster than the video plays; and its speed as a share of that
 * of libav decoding each frame. */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "compile/cache.h"
#include "runtime/pool.h"
#include "watch/config.h"
#include "watch/stream.h"

typedef struct ReadJob {
    const char *dir;
    const Watch *watch;
} ReadJob;

static void read_job(Context *ctx, void *arg)
{
    ReadJob *const j = arg;
    j->watch = config_read(ctx, path_join(ctx->arena, j->dir, "game.yaml"));
}

static double cpu_now(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

typedef struct Round {
    double cpu, media; /* seconds */
    int64_t samples, frames;         /* judged; decoded */
} Round;

static void no_event(void *arg, const EventRecord *r) { (void)arg, (void)r; }

static int watch_round(ObserveHost *host, const Watch *w, const char *path, bool keyframes,
                       Round *out, Error *e)
{
    const StreamOptions opt = {
        .name = "game", .url = path, .watch = w, .event = no_event, .video.keyframes = keyframes};
    StreamReport r;
    const double start = cpu_now();
    const int code = stream_run(host, &opt, &r, e);
    *out = (Round){.cpu = cpu_now() - start, .samples = r.samples, .frames = r.video.decoded};
    return code;
}

/* A bare loop, as an ordinary program has it. */
static int libav_round(const char *path, bool keyframes, Round *out, Error *e)
{
    AVFormatContext *f = NULL;
    const AVCodec *codec;
    *out = (Round){0};
    const double start = cpu_now();
    if (avformat_open_input(&f, path, NULL, NULL) < 0 || avformat_find_stream_info(f, NULL) < 0)
        return error_set(e, ERR_IO, "%s: not read", path);
    const int stream = av_find_best_stream(f, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(c, f->streams[stream]->codecpar);
    c->thread_count = 1;
    c->skip_frame = keyframes ? AVDISCARD_NONKEY : AVDISCARD_DEFAULT;
    AVPacket *p = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    if (stream < 0 || avcodec_open2(c, codec, NULL) < 0)
        return error_set(e, ERR_INVALID, "%s: no video", path);
    for (bool more = true; more;) {
        more = av_read_frame(f, p) >= 0;
        if (!more || p->stream_index == stream)
            avcodec_send_packet(c, more ? p : NULL);
        av_packet_unref(p);
        while (avcodec_receive_frame(c, frame) >= 0)
            out->frames++;
    }
    out->media = (double)f->duration / AV_TIME_BASE;
    av_frame_free(&frame);
    av_packet_free(&p);
    avcodec_free_context(&c);
    avformat_close_input(&f);
    out->cpu = cpu_now() - start;
    return 0;
}

enum { FRAMES, KEYFRAMES, LIBAV, LIBAV_KEYFRAMES, KINDS };

static int one(int kind, ObserveHost *host, const Watch *w, const char *path, Round *r, Error *e)
{
    return kind < LIBAV ? watch_round(host, w, path, kind == KEYFRAMES, r, e)
                        : libav_round(path, kind == LIBAV_KEYFRAMES, r, e);
}

static int measure(ObserveHost *host, const Watch *w, const char *path, int rounds, Round *best,
                   Error *e)
{
    int code = 0;
    for (int i = 0; i <= rounds && code == 0;
         i++) /* the first one compiles models, and does not count */
        for (int k = 0; k < KINDS && code == 0; k++) {
            Round r;
            code = one(k, host, w, path, &r, e);
            if (i == 1 || (i > 1 && r.cpu < best[k].cpu))
                best[k] = r;
        }
    return code;
}

int main(int argc, char **argv)
{
    static const char *const name[] = {"frames", "keyframes", "libav", "libav-keyframes"};
    if (argc < 3) {
        fprintf(stderr, "stored DIR ROUNDS [SAMPLES_A_SECOND]\n");
        return 2;
    }
    Arena *const a = arena_new();
    ReadJob j = {.dir = argv[1]};
    NetHost nets = {.threads = 1, .cache = cache_directory(a)};
    Error e;
    Round best[KINDS] = {0};
    int code = job_run(a, read_job, &j, &e, NULL);
    if (code == 0)
        code = pool_new(1, &nets.pool, &e);
    if (code == 0) {
        Watch w = *j.watch;
        w.fps = w.max_fps = argc > 3 ? atof(argv[3]) : 1;
        code = measure(observe_host_new(a, &nets, NULL), &w, path_join(a, argv[1], "game.mp4"),
                       atoi(argv[2]), best, &e);
    }
    if (code != 0)
        fprintf(stderr, "stored: %s\n", e.message);
    printf("what,samples,frames_decoded,cpu_s,times_real_time,of_libav\n");
    for (int k = 0; k < KINDS && code == 0; k++)
        printf("%s,%lld,%lld,%.3f,%.1f,%.2f\n", name[k], (long long)best[k].samples,
               (long long)best[k].frames, best[k].cpu, best[LIBAV].media / best[k].cpu,
               best[LIBAV].cpu / best[k].cpu);
    pool_free(nets.pool);
    arena_free(a);
    return code != 0;
}
