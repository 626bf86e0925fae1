/* Frames as the kernels see them, for frames.py: reads the planes from stdin, writes the levels (H,
 * W, C) to stdout.
 *
 *     frame-run FORMAT WIDTH HEIGHT MATRIX FULL X Y W H FILTER OUT_WIDTH OUT_HEIGHT CHANNELS
 *
 * FORMAT, MATRIX and FILTER are numbers of kernel/frame.h; planes follow each other without
 * gaps. Runs plain C and the best this CPU has, and fails if they differ. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "kernel/frame.h"

static const uint8_t *read_planes(Arena *a, Frame *f)
{
    const int cw = (f->width + 1) / 2, ch = (f->height + 1) / 2;
    const int w[3] = {f->format >= FRAME_RGB24 ? 3 * f->width : f->width,
                      f->format == FRAME_I444 ? f->width : f->format == FRAME_NV12 ? 2 * cw : cw,
                      f->format == FRAME_I444 ? f->width : cw};
    const int h = f->format == FRAME_I422 || f->format == FRAME_I444 ? f->height : ch;
    const int planes = f->format >= FRAME_GRAY ? 1 : f->format == FRAME_NV12 ? 2 : 3;
    for (int p = 0; p < planes; p++) {
        const size_t bytes = (size_t)w[p] * (size_t)(p ? h : f->height);
        uint8_t *const at = arena_alloc(a, bytes);
        if (fread(at, 1, bytes, stdin) != bytes)
            return NULL;
        f->plane[p] = at;
        f->stride[p] = w[p];
    }
    return f->plane[0];
}

static uint8_t *converted(Arena *a, const Frame *f, const FrameBox *box, FrameFilter filter,
                          FrameTensor t, SimdLevel level)
{
    t.data = arena_alloc(a, (size_t)t.width * (size_t)t.height * (size_t)t.channels);
    frame_to_tensor(f, box, filter, &t, level,
                    arena_alloc_aligned(a, (size_t)frame_scratch(f, box, filter, &t), 64));
    return t.data;
}

int main(int argc, char **argv)
{
    if (argc != 14)
        return 2;
    Frame f = {.format = (FrameFormat)atoi(argv[1]),
               .width = atoi(argv[2]),
               .height = atoi(argv[3]),
               .matrix = (FrameMatrix)atoi(argv[4]),
               .full = atoi(argv[5])};
    const FrameBox box = {atof(argv[6]), atof(argv[7]), atof(argv[8]), atof(argv[9])};
    const FrameFilter filter = (FrameFilter)atoi(argv[10]);
    const FrameTensor t = {.dtype = DT_U8,
                           .order = FRAME_NHWC,
                           .width = atoi(argv[11]),
                           .height = atoi(argv[12]),
                           .channels = atoi(argv[13]),
                           .scale = {1, 1, 1}};
    Arena *const a = arena_new();
    if (!read_planes(a, &f))
        return 2;
    const size_t bytes = (size_t)t.width * (size_t)t.height * (size_t)t.channels;
    const uint8_t *const plain = converted(a, &f, &box, filter, t, SIMD_PLAIN);
    const uint8_t *const best = converted(a, &f, &box, filter, t, simd_level());
    const bool good = memcmp(plain, best, bytes) == 0 && fwrite(best, 1, bytes, stdout) == bytes;
    arena_free(a);
    return good ? 0 : 1;
}
