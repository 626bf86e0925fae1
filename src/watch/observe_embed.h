/* `method: embed` of icons and screens. */
#ifndef LATHE_WATCH_OBSERVE_EMBED_H
#define LATHE_WATCH_OBSERVE_EMBED_H

#include "watch/observe_parts.h"

typedef struct EmbedState EmbedState;
/* Compiles the model, if nobody did, and reads the references. */
int embed_open(Arena *a, ObserveHost *host, const Signal *s, Box region, EmbedState **out, Error *e);
/* Score, second, and of screens the label. */
int embed_look(const EmbedState *state, const Look *l, const SignalState *s, Observation *out, Error *e);

#endif
