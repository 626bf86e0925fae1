/* A small video with sound for tests: H.264 of noise, AAC of what is given. */
#ifndef LATHE_TESTS_WATCH_SOUND_CLIP_H
#define LATHE_TESTS_WATCH_SOUND_CLIP_H

#include "game/movie.h"

#define SOUND_CLIP_FPS 25

typedef struct SoundClip {
    double seconds;    /* of pictures */
    const Sound *sound; /* NULL: none */
} SoundClip;

/* A tone of 440 Hz in every other second: on in the second one, and so on. */
static inline const Sound *sound_tone(Arena *a, double seconds)
{
    Sound *const s = arena_new_of(a, Sound);
    *s = (Sound){.rate = 48000, .n = (int)(seconds * 48000)};
    s->at = arena_array_of(a, s->n, float);
    for (int i = 0; i < s->n; i++)
        s->at[i] =
            i / 48000 % 2 == 1 ? 0.5f * sinf(6.2831853f * 440 * (float)(i % 48000) / 48000) : 0;
    return s;
}

static inline void sound_clip_write(const char *path, const SoundClip *o)
{
    Arena *const a = arena_new();
    Movie *m;
    Error e = {0};
    const MovieOptions opt = {.width = 64,
                              .height = 48,
                              .fps_num = SOUND_CLIP_FPS,
                              .fps_den = 1,
                              .bitrate = 200000,
                              .gop = 25,
                              .preset = "ultrafast",
                              .sound = o->sound};
    int code = movie_open(a, path, &opt, &m, &e);
    const Yuv y = yuv_new(a, 64, 48);
    for (int i = 0; i < (int)(o->seconds * SOUND_CLIP_FPS) && code == 0; i++) {
        for (int k = 0; k < 48; k++)
            memset(y.plane[0] + k * y.stride[0], 20 + (i * 7 + k * 3) % 200, 64);
        code = movie_add(m, &y, &e);
    }
    if (code != 0 || movie_close(m, &e) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

#endif
