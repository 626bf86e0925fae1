/* `method: embed` of icons and screens. */
#ifndef LATHE_WATCH_OBSERVE_EMBED_H
#define LATHE_WATCH_OBSERVE_EMBED_H

#include "watch/observe_parts.h"

typedef struct EmbedState EmbedState;
/* Compiles the model, if nobody did, and reads the references. */
int embed_open(Arena *a, ObserveHost *host, const Watch *w, const Signal *s, Box region,
               EmbedState **out, Error *e);
/* Of SignalOps.look; then, of SignalOps.more: score, second, and of screens the label. */
void embed_ask(const EmbedState *state, const Look *l, SignalState *s);
int embed_take(const EmbedState *state, const Look *l, const SignalState *s, Observation *out,
               Error *e);

#endif
