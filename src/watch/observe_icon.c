/* Icons and positions: the best place of a template, in several sizes or rotations. */
#include <math.h>

#include "base/vec.h"
#include "watch/observe_parts.h"

typedef struct Variant { /* of a template */
    NccTemplate *ncc;
    int width, height;
} Variant;

typedef struct IconState {
    VEC(Variant) variant;
    void *scratch;
    int64_t scratch_size;
} IconState;

static int add_reference(Arena *a, IconState *state, const Reference *r, bool mask, int nscale, const double *scale,
                         int nrotation, Error *e)
{
    Arena *const tmp = arena_new();
    Gray g;
    const int code = gray_read(tmp, r->path, mask, &g, e);
    for (int i = 0; i < nscale * nrotation && code == 0; i++) {
        const Gray v = gray_transform(tmp, &g, scale[i % nscale], 360.0 * (i / nscale) / nrotation);
        if (v.width > NCC_MAX_SIDE || v.height > NCC_MAX_SIDE) {
            arena_free(tmp);
            return error_set(e, ERR_UNSUPPORTED, "%s: a template of %d x %d; at most %d each way", r->path, v.width, v.height,
                             NCC_MAX_SIDE);
        }
        vec_push(a, &state->variant, ((Variant){gray_template(a, &v), v.width, v.height}));
    }
    arena_free(tmp);
    return code;
}

/* Scratch for a region of this size is taken once. */
static void take_scratch(Arena *a, IconState *state, Box region)
{
    for (int i = 0; i < state->variant.len; i++) {
        const int64_t size = ncc_scratch(state->variant.at[i].ncc, box_width(region), box_height(region));
        state->scratch_size = size > state->scratch_size ? size : state->scratch_size;
    }
    state->scratch = arena_alloc_aligned(a, (size_t)state->scratch_size, 64);
}

static int open_icon(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)host;
    const IconSignal *const icon = &s->signal->icon;
    IconState *const state = arena_new_of(a, IconState);
    s->kind = state;
    if (icon->method == ICON_EMBED)
        return error_set(e, ERR_UNSUPPORTED, "%s:%d:%d: signal '%s': 'method: embed' is not there yet", w->path,
                         s->signal->place.line, s->signal->place.column, s->signal->name);
    for (int i = 0; i < icon->nref; i++) {
        const int code = add_reference(a, state, &icon->ref[i], icon->mask, icon->nscale, icon->scale, 1, e);
        if (code != 0)
            return code;
    }
    take_scratch(a, state, s->region);
    return 0;
}

static int open_position(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)host, (void)w;
    static const double one = 1;
    const PositionSignal *const p = &s->signal->position;
    IconState *const state = arena_new_of(a, IconState);
    s->kind = state;
    for (int i = 0; i < p->nref; i++) {
        const int code = add_reference(a, state, &p->ref[i], true, 1, &one, p->nrotation, e);
        if (code != 0)
            return code;
    }
    take_scratch(a, state, s->region);
    return 0;
}

/* Places times pixels of the template above which a coarse look comes first. */
#define EXACT_WORK 4000000

static NccMatch find(const Variant *v, const NccImage *image, void *scratch)
{
    const double places = fmax(0, image->width - v->width + 1) * fmax(0, image->height - v->height + 1);
    const NccLevel level = ncc_best_level();
    return places * v->width * v->height <= EXACT_WORK ? ncc_search(v->ncc, image, level, scratch)
                                                       : ncc_search_coarse(v->ncc, image, level, scratch);
}

/* The best variant's best place: false if nothing can be said of any. */
static bool search(const Look *l, SignalState *s, NccMatch *best, const Variant **which)
{
    const IconState *const state = s->kind;
    const int width = box_width(s->region), height = box_height(s->region);
    const NccImage image = {width, height, width, look_gray(l, s->region, width, height)};
    *best = (NccMatch){.flat = true};
    for (int i = 0; i < state->variant.len; i++) {
        const Variant *const v = &state->variant.at[i];
        const NccMatch m = find(v, &image, state->scratch);
        if (m.flat || (!best->flat && m.score <= best->score))
            continue;
        *best = m;
        *which = v;
    }
    return !best->flat;
}

static int look_icon(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)e;
    NccMatch m;
    const Variant *v = NULL;
    if (!search(l, s, &m, &v)) {
        observe_unknown(out, "flat");
        return 0;
    }
    Found *const found = arena_new_of(s->hold, Found);
    *found = (Found){.box = {s->region.x + (float)m.x + m.dx, s->region.y + (float)m.y + m.dy, (float)v->width, (float)v->height},
                     .score = m.score};
    out->score = m.score;
    out->nfound = 1;
    out->found = found;
    return 0;
}

static int look_position(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)e;
    NccMatch m;
    const Variant *v = NULL;
    if (!search(l, s, &m, &v)) {
        observe_unknown(out, "flat");
        return 0;
    }
    const double *const map = s->signal->position.map;
    const double x = m.x + (double)m.dx + 0.5 * v->width, y = m.y + (double)m.dy + 0.5 * v->height;
    out->score = m.score;
    out->x = map[0] * x + map[1] * y + map[2];
    out->y = map[3] * x + map[4] * y + map[5];
    return 0;
}

const SignalOps icon_signal_ops = {.open = open_icon, .look = look_icon};
const SignalOps position_signal_ops = {.open = open_position, .look = look_position};
