/* What moves behind the HUD: sky, hills, ground and bushes made of noise, each passing at a speed
 * of its own, and dust in the air. */
#ifndef LATHE_GAME_BACKDROP_H
#define LATHE_GAME_BACKDROP_H

#include "game/look.h"

/* Value noise in octaves (Perlin's fractal sum), 0 to 1; repeats every `period` along x. */
float backdrop_noise(float x, float y, int period, uint32_t seed);

typedef struct Backdrop Backdrop;
Backdrop *backdrop_new(Arena *a, uint64_t seed, const Look *look, int width, int height);
/* The whole picture, at t seconds. */
void backdrop_draw(const Backdrop *b, Picture *p, double t);

#endif
