/* The game's sound: speech, given as a WAV file, said now and then over a soft noise; and when it
 * is said.
 *
 *     {"event":"voice","key":null,"t_start":3.1,"t_end":7.9,"value":null}
 *
 * Where the speech is loud enough to be heard somebody speaks; pauses of less than SOUND_PAUSE
 * are part of it. */
#ifndef LATHE_GAME_SOUND_H
#define LATHE_GAME_SOUND_H

#include "base/error.h"
#include "base/str.h"
#include "base/vec.h"

#define SOUND_PAUSE 0.9 /* seconds */

typedef struct Spoken { /* seconds */
    double from, to;
} Spoken;

typedef struct Sound {
    int rate, n;
    float *at; /* -1 to 1, mono */
    VEC(Spoken) spoken;
} Sound;

/* The WAV (16 bits, one channel) from second 2 or so on, again and again with 4 to 7 s between, all
 * in `seconds` of sound. ERR_INVALID: it is no such file. */
int sound_new(Arena *a, const char *wav, uint64_t seed, double seconds, Sound **out, Error *e);
void sound_truth(Str *out, const Sound *s); /* one line each, with newlines */

#endif
