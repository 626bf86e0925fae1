/* Pictures as encoders want them: planar 4:2:0, BT.709, limited range, chroma sited left as H.264
 * has it. */
#ifndef LATHE_GAME_YUV_H
#define LATHE_GAME_YUV_H

#include "vision/picture.h"

typedef struct Yuv {
    int width, height; /* even */
    uint8_t *plane[3];
    int stride[3];
} Yuv;

Yuv yuv_new(Arena *a, int width, int height);
void yuv_from_picture(const Yuv *out, const Picture *p);
/* What a camera or a bad line adds: Gaussian noise on luma, `sigma` levels, the same for the same
 * seed and frame. */
void yuv_add_noise(const Yuv *y, double sigma, uint64_t seed, int frame);

#endif
