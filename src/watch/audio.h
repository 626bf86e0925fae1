/* The sound of a file beside its pictures: how probable it is that somebody speaks, at the times of samples.
 *
 *     Audio *s;
 *     audio_open(a, url, voice, &s, &e)
 *     ... audio_until(s, t, &heard)          // t: media time of a sample, in order
 *
 * Sound is decoded by a reader of its own, made mono and 16 kHz (libswresample), and given to the model of voice (voice.h) 32 ms at
 * a time. A sample hears the most probable of all steps that ended since the sample before: so a word between two samples is not
 * lost. Times are those of the video: 0 is its first frame.
 *
 * Of files alone, so far: a live stream's sound comes by the connection of its pictures. */
#ifndef LATHE_WATCH_AUDIO_H
#define LATHE_WATCH_AUDIO_H

#include "watch/voice.h"

typedef struct Audio Audio;

typedef struct Heard {
    const char *unknown; /* why nothing can be said: "no sound" (there is none at this time), "error"; NULL: */
    float probability;
} Heard;

/* Closed with the arena. ERR_UNSUPPORTED: no file, or no decoder; ERR_INVALID: it has no sound. */
int audio_open(Arena *a, const char *url, Voice *voice, Audio **out, Error *e);
/* The sound after the last t up to this one. Never fails: what cannot be heard is unknown; *e then says why, if anything is wrong. */
Heard audio_until(Audio *s, int64_t t, Error *e);

#endif
