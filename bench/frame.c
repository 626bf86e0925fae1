/* Frame to tensor against libswscale and a pass to floats: build/bench/frame [ROUNDS [LEVEL]]
 *
 * Each case is timed in turn with its peer, round after round; the least time of each counts. The
 * frames are noise over smooth surfaces and lie in memory as a decoder leaves them: several are
 * taken in turn, so that none is in L2. CSV to stdout. Peer: sws_scale (bilinear, area) of the box
 * to RGB24 or gray, then one loop value * scale + shift to planes of floats, which the compiler
 * makes vectors of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libswscale/swscale.h>

#include "base/arena.h"
#include "kernel/frame.h"

enum { FRAMES = 8 }; /* 8 of 1080p: 25 MB */

typedef struct Case {
    const char *name;
    int width, height;
    FrameBox box;
    FrameFilter filter;
    FrameFormat format;
    int out_width, out_height, channels;
} Case;

static const Case cases[] = {
    {"1080p to 640x360, bilinear",
     1920,
     1080,
     {0, 0, 1920, 1080},
     FRAME_BILINEAR,
     FRAME_I420,
     640,
     360,
     3},
    {"1080p to 640x360, bilinear, NV12",
     1920,
     1080,
     {0, 0, 1920, 1080},
     FRAME_BILINEAR,
     FRAME_NV12,
     640,
     360,
     3},
    {"1080p to 640x360, area", 1920, 1080, {0, 0, 1920, 1080}, FRAME_AREA, FRAME_I420, 640, 360, 3},
    {"1080p to 320x320, bilinear",
     1920,
     1080,
     {0, 0, 1920, 1080},
     FRAME_BILINEAR,
     FRAME_I420,
     320,
     320,
     3},
    {"720p to 640x384, bilinear",
     1280,
     720,
     {0, 0, 1280, 720},
     FRAME_BILINEAR,
     FRAME_I420,
     640,
     384,
     3},
    {"1080p, 160x48 to 160x48",
     1920,
     1080,
     {800, 500, 160, 48},
     FRAME_BILINEAR,
     FRAME_I420,
     160,
     48,
     3},
    {"1080p, 60x26 to 110x48",
     1920,
     1080,
     {1180, 196, 60, 26},
     FRAME_BILINEAR,
     FRAME_I420,
     110,
     48,
     3},
    {"1080p luma to 178x100, area",
     1920,
     1080,
     {0, 0, 1920, 1080},
     FRAME_AREA,
     FRAME_I420,
     178,
     100,
     1},
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void make_frames(Arena *a, const Case *c, Frame *f)
{
    uint32_t r = 1;
    for (int k = 0; k < FRAMES; k++) {
        const bool nv12 = c->format == FRAME_NV12;
        f[k] = (Frame){
            .format = c->format, .width = c->width, .height = c->height, .matrix = FRAME_BT709};
        for (int p = 0; p < (nv12 ? 2 : 3); p++) {
            const int w = p && !nv12 ? c->width / 2 : c->width, h = p ? c->height / 2 : c->height;
            uint8_t *const to = arena_alloc_aligned(a, (size_t)w * (size_t)h, 64);
            for (int i = 0; i < w * h; i++) {
                r = r * 1664525 + 1013904223;
                to[i] = (uint8_t)(64 + (i % w) / 16 + (r >> 27));
            }
            f[k].plane[p] = to;
            f[k].stride[p] = w;
        }
    }
}

typedef struct Peer {
    struct SwsContext *sws;
    uint8_t *bytes;
} Peer;

static Peer peer_make(Arena *a, const Case *c)
{
    const bool gray = c->channels == 1;
    const enum AVPixelFormat colour =
        c->format == FRAME_NV12 ? AV_PIX_FMT_NV12 : AV_PIX_FMT_YUV420P;
    const enum AVPixelFormat from = gray ? AV_PIX_FMT_GRAY8 : colour,
                             to = gray ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_RGB24;
    const int flags = c->filter == FRAME_AREA ? SWS_AREA : SWS_BILINEAR;
    return (Peer){
        .sws = sws_getContext((int)c->box.width, (int)c->box.height, from, c->out_width,
                              c->out_height, to, flags, NULL, NULL, NULL),
        .bytes = arena_alloc_aligned(a, (size_t)c->out_width * (size_t)c->out_height * 3 + 64, 64)};
}

/* Time of sws_scale alone in *scale. */
static double peer_run(const Peer *p, const Case *c, const Frame *f, const FrameTensor *t,
                       double *scale)
{
    const double start = now_ms();
    const uint8_t *plane[4] = {0};
    const int x = (int)c->box.x, y = (int)c->box.y;
    plane[0] = f->plane[0] + (ptrdiff_t)y * f->stride[0] + x;
    for (int k = 1; k < 3 && f->plane[k]; k++)
        plane[k] = f->plane[k] + (ptrdiff_t)(y / 2) * f->stride[k] +
                   (c->format == FRAME_NV12 ? x / 2 * 2 : x / 2);
    const int stride[4] = {f->stride[0], f->stride[1], f->stride[2]};
    const int row = c->out_width * c->channels;
    sws_scale(p->sws, plane, stride, 0, (int)c->box.height, &p->bytes, &row);
    *scale = now_ms() - start;
    const int64_t pixels = (int64_t)c->out_width * c->out_height;
    float *restrict const r = t->data, *restrict const g = r + pixels,
                          *restrict const b = g + pixels;
    const uint8_t *restrict const in = p->bytes;
    if (c->channels == 1)
        for (int64_t i = 0; i < pixels; i++)
            r[i] = (float)in[i] * t->scale[0] + t->shift[0];
    else
        for (int64_t i = 0; i < pixels; i++) {
            r[i] = (float)in[3 * i] * t->scale[0] + t->shift[0];
            g[i] = (float)in[3 * i + 1] * t->scale[1] + t->shift[1];
            b[i] = (float)in[3 * i + 2] * t->scale[2] + t->shift[2];
        }
    return now_ms() - start;
}

static double ours_run(const Case *c, const Frame *f, const FrameTensor *t, SimdLevel level,
                       void *scratch)
{
    const double start = now_ms();
    frame_to_tensor(f, &c->box, c->filter, t, level, scratch);
    return now_ms() - start;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static const char *const level_names[] = {"plain", "avx2", "avx512", "avx512-vnni", "avx512-vbmi"};

/* The level of that name, if this CPU has it; else the best it has. */
static SimdLevel level_of(const char *name)
{
    const SimdLevel best = simd_level();
    for (int k = 0; name && k <= (int)best; k++)
        if (!strcmp(level_names[k], name))
            return (SimdLevel)k;
    return best;
}

static void print_machine(SimdLevel level)
{
    FILE *const f = fopen("/proc/cpuinfo", "r");
    char line[256], name[200] = "unknown CPU";
    while (f && fgets(line, sizeof line, f) && sscanf(line, "model name : %199[^\n]", name) != 1)
        ;
    if (f)
        fclose(f);
    printf("%s (%s)", name, level_names[level]);
}

static void bench(const Case *c, int rounds, SimdLevel level)
{
    Arena *const a = arena_new();
    Frame frames[FRAMES];
    make_frames(a, c, frames);
    FrameTensor t = {.dtype = DT_F32,
                     .width = c->out_width,
                     .height = c->out_height,
                     .channels = c->channels,
                     .scale = {1 / 127.5F, 1 / 127.5F, 1 / 127.5F},
                     .shift = {-1, -1, -1}};
    t.data = arena_alloc_aligned(a, (size_t)t.width * (size_t)t.height * 12, 64);
    void *const scratch =
        arena_alloc_aligned(a, (size_t)frame_scratch(frames, &c->box, c->filter, &t), 64);
    const Peer peer = peer_make(a, c);
    double ours = 1e9, plain = 1e9, sws = 1e9, both = 1e9;
    for (int k = 0; k < rounds; k++) {
        const Frame *const f = &frames[k % FRAMES];
        double scale;
        ours = least(ours, ours_run(c, f, &t, level, scratch));
        both = least(both, peer_run(&peer, c, f, &t, &scale));
        sws = least(sws, scale);
        if (k % 8 == 0)
            plain = least(plain, ours_run(c, f, &t, SIMD_PLAIN, scratch));
    }
    printf("\"%s\",%.4f,%.3f,%.3f,%.3f,%.1f\n", c->name, ours, plain, sws, both, both / ours);
    fflush(stdout);
    sws_freeContext(peer.sws);
    arena_free(a);
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 200;
    const SimdLevel level = level_of(argc > 2 ? argv[2] : NULL);
    const unsigned v = swscale_version();
    printf("# f32 planes (NCHW), one thread, least of %d rounds; ", rounds);
    print_machine(level);
    printf("; libswscale %u.%u.%u (bilinear, area) and a loop to floats\n", v >> 16, v >> 8 & 255,
           v & 255);
    printf("case,lathe_ms,plain_ms,swscale_ms,swscale_and_floats_ms,ratio\n");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        bench(&cases[k], rounds, level);
}
