/* Is anybody speaking? Silero's voice activity detector, 32 ms at a time.
 *
 *     sound at 16 kHz, mono -> [64 samples before | 512 new] + state -> probability, new state
 *
 * Any model with its inputs will do: `input` f32 (1,576), `state` f32 (2,1,128) and `sr` i64,
 * which is bound to 16000; of its outputs the first is the probability, the second the new
 * state. */
#ifndef LATHE_WATCH_VOICE_H
#define LATHE_WATCH_VOICE_H

#include "watch/picture_net.h"

#define VOICE_RATE 16000
#define VOICE_STEP 512

/* The model, which any number of voices share, and one voice: what it heard so far. */
typedef struct VoiceModel VoiceModel;
typedef struct Voice Voice;

/* Compiles the model. path: NULL: silero-vad's of the search path. Freed with the arena. */
int voice_open(Arena *a, const NetHost *nets, const char *path, VoiceModel **out, Error *e);
/* Freed with the arena, before the model. Belongs to one thread at a time. */
int voice_new(Arena *a, const VoiceModel *m, Voice **out, Error *e);
/* What follows does not go on from what was heard. */
void voice_reset(Voice *v);
/* -1 to 1. ERR_INVALID: what the model gives is no probability; it is then as reset. */
int voice_step(Voice *v, const float sound[VOICE_STEP], float *probability, Error *e);

#endif
