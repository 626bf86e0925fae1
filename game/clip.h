/* Reads the pictures of a video file one after another, from the start again at its end: what the
 * HUD is drawn over in place of the game's own background. */
#ifndef LATHE_GAME_CLIP_H
#define LATHE_GAME_CLIP_H

#include "vision/picture.h"

typedef struct Clip Clip;

/* Closed with the arena. ERR_UNSUPPORTED: no video, or pixels that are not 8-bit planar YUV. */
int clip_open(Arena *a, const char *path, Clip **out, Error *e);
/* The next picture, made as large as `out` by taking the nearest pixel. */
int clip_next(Clip *c, Picture *out, Error *e);
/* Luma of the picture that was read last, at the clip's own size; NULL before the first. For
 * tests. */
const uint8_t *clip_luma(const Clip *c, int *stride, int *width, int *height);
bool clip_turned(const Clip *c); /* the last picture was the first of a new round */

#endif
