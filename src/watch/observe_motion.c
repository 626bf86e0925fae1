/* Motion: how much of a small view of the region differs from the view before. */
#include <math.h>
#include <string.h>

#include "kernel/change.h"
#include "watch/observe_parts.h"

#define VIEW_WIDTH 178 /* at most; means over its pixels leave little of the noise */
#define VIEW_HEIGHT 100

typedef struct MotionState {
    int width, height;
    bool seen;
    uint8_t *before;
} MotionState;

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)host, (void)w, (void)e;
    MotionState *const state = arena_new_of(a, MotionState);
    s->kind = state;
    const double scale =
        fmin(1, fmin(VIEW_WIDTH / (double)s->region.width, VIEW_HEIGHT / (double)s->region.height));
    state->width = (int)fmax(1, round((double)s->region.width * scale));
    state->height = (int)fmax(1, round((double)s->region.height * scale));
    state->before = arena_alloc(a, (size_t)state->width * (size_t)state->height);
    return 0;
}

static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)e;
    MotionState *const state = s->kind;
    const int n = state->width * state->height;
    const uint8_t *const now = look_gray(l, s->region, state->width, state->height);
    out->score = change_share(now, state->width, state->before, state->width, state->width,
                              state->height, (int)s->signal->motion.threshold);
    memcpy(state->before, now, (size_t)n);
    if (!state->seen)
        observe_unknown(out, "first");
    state->seen = true;
    return 0;
}

static void reset(SignalState *s) { ((MotionState *)s->kind)->seen = false; }

const SignalOps motion_signal_ops = {.ungated = true, .open = open, .look = look, .reset = reset};
