/* Sound: what the stream's ear (ear.h) told before the look. */
#include <string.h>

#include "watch/observe_parts.h"

typedef struct HeardState {
    float probability;
    const char *unknown;
} HeardState;

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)w;
    (void)host;
    (void)e;
    HeardState *const state = arena_new_of(a, HeardState);
    *state = (HeardState){.unknown = "not heard"};
    s->kind = state;
    return 0;
}

static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)l;
    HeardState *const state = s->kind;
    if (state->unknown && strcmp(state->unknown, "error") == 0) {
        state->unknown = "not heard";
        return error_set(e, ERR_INVALID, "the sound could not be judged");
    }
    if (state->unknown)
        observe_unknown(out, state->unknown);
    else
        out->score = state->probability;
    *state = (HeardState){.unknown = "not heard"};
    return 0;
}

void observer_hear(Observer *o, int signal, float probability, const char *unknown)
{
    HeardState *const state = o->signal[signal].kind;
    *state = (HeardState){probability, unknown};
}

const SignalOps audio_signal_ops = {.ungated = true, .open = open, .look = look};
