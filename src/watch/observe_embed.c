/* Icons and screens by what a model makes of the region as a whole, beside what it makes of
 * reference pictures. */
#include "watch/observe_embed.h"

#include <math.h>
#include <string.h>

#include "watch/embedder.h"

typedef struct EmbedReference {
    const char *label; /* of screens */
    bool other;        /* of icons: what it is not */
    const float *vector;
} EmbedReference;

struct EmbedState {
    Embedder *embedder;
    int nref;
    EmbedReference *ref;
};

static int add(Arena *a, EmbedState *state, const Reference *r, Box region, bool other, Error *e)
{
    EmbedReference *const ref = &state->ref[state->nref++];
    *ref = (EmbedReference){.label = r->label, .other = other};
    const bool icon = r->label == NULL;
    return embedder_read(state->embedder, a, r->path, icon ? box_width(region) : 0,
                         icon ? box_height(region) : 0, &ref->vector, e);
}

int embed_open(Arena *a, ObserveHost *host, const Watch *w, const Signal *s, Box region,
               EmbedState **out, Error *e)
{
    const bool icon = s->kind == SIGNAL_ICON;
    const int n = icon ? s->icon.nref : s->screen.nref, nother = icon ? s->icon.nother : 0;
    const Reference *const ref = icon ? s->icon.ref : s->screen.ref;
    EmbedState *const state = arena_new_of(a, EmbedState);
    state->ref = arena_array_of(a, n + nother, EmbedReference);
    *out = state;
    const char *model, *output;
    int code = embedder_model(a, s, &model, &output, e);
    if (code == 0)
        code = host_embedder(host, model, output, w->precision,
                             icon ? &s->icon.input : &s->screen.input, &state->embedder, e);
    for (int i = 0; i < n && code == 0; i++)
        code = add(a, state, &ref[i], region, false, e);
    for (int i = 0; i < nother && code == 0; i++)
        code = add(a, state, &s->icon.other[i], region, true, e);
    return code;
}

/* Best and second best, each of another label, or of what it is and what it is not. */
static void compare(const EmbedState *state, const float *vector, Observation *out)
{
    out->score = out->second = -1;
    for (int i = 0; i < state->nref; i++) {
        const EmbedReference *const r = &state->ref[i];
        const float c = embedder_cosine(state->embedder, vector, r->vector);
        const bool first = r->label ? out->text && strcmp(out->text, r->label) == 0 : !r->other;
        if (first) {
            out->score = fmaxf(out->score, c);
        } else if (r->label && (!out->text || c > out->score)) {
            out->second = out->text ? out->score : -1;
            out->score = c;
            out->text = r->label;
        } else {
            out->second = fmaxf(out->second, c);
        }
    }
}

void embed_ask(const EmbedState *state, const Look *l, SignalState *s)
{
    const FrameBox box = look_box(l, s->region);
    embedder_ask(state->embedder, l, &box, look_ask(l, s, 1));
}

int embed_take(const EmbedState *state, const Look *l, const SignalState *s, Observation *out,
               Error *e)
{
    float *const vector = arena_array_of(l->tmp, embedder_size(state->embedder), float);
    const int code = embedder_take(state->embedder, l->tmp, &s->now.asked[0], vector, e);
    if (code == 0)
        compare(state, vector, out);
    return code;
}
