/* Icons and positions: the best place of a template, in several sizes or rotations. */
#include <math.h>

#include "base/vec.h"
#include "watch/observe_embed.h"

typedef struct Variant { /* of a template */
    NccTemplate *ncc;
    int width, height;
} Variant;

typedef struct IconState {
    VEC(Variant) variant;
    void *scratch;
    int64_t scratch_size;
    bool placed; /* of positions: where it was seen last, pixels of the region */
    double x, y;
    EmbedState *embed; /* NULL: by correlation */
} IconState;

static int add_reference(Arena *a, IconState *state, const Reference *r, Box region, bool mask, int nscale,
                         const double *scale, int nrotation, Error *e)
{
    Arena *const tmp = arena_new();
    Gray g;
    int code = gray_read(tmp, r->path, mask, &g, e);
    if (code == 0 && gray_is_flat(&g))
        code = error_set(e, ERR_INVALID, "%s: a template of one colour, or all transparent, is found nowhere", r->path);
    for (int i = 0; i < nscale * nrotation && code == 0; i++) {
        const Gray v = gray_transform(tmp, &g, scale[i % nscale], 360.0 * (i / nscale) / nrotation);
        if (v.width > NCC_MAX_SIDE || v.height > NCC_MAX_SIDE) {
            code = error_set(e, ERR_UNSUPPORTED, "%s: a template of %d x %d; at most %d each way", r->path, v.width, v.height,
                             NCC_MAX_SIDE);
            break;
        }
        if (v.width > box_width(region) || v.height > box_height(region)) {
            code = error_set(e, ERR_INVALID, "%s: a template of %d x %d does not fit the region of %d x %d", r->path, v.width,
                             v.height, box_width(region), box_height(region));
            break;
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
    (void)w;
    const IconSignal *const icon = &s->signal->icon;
    IconState *const state = arena_new_of(a, IconState);
    s->kind = state;
    if (icon->method == ICON_EMBED)
        return embed_open(a, host, s->signal, s->region, &state->embed, e);
    for (int i = 0; i < icon->nref; i++) {
        const int code = add_reference(a, state, &icon->ref[i], s->region, icon->mask, icon->nscale, icon->scale, 1, e);
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
        const int code = add_reference(a, state, &p->ref[i], s->region, true, 1, &one, p->nrotation, e);
        if (code != 0)
            return code;
    }
    take_scratch(a, state, s->region);
    return 0;
}

/* Work of an exact search: places times pixels of the template. Up to the first it comes at once; up to the second after a
 * coarse one that found nothing sure, which may have missed an icon at an odd place. */
#define EXACT_AT_ONCE 4e6
#define EXACT_AT_ALL 6e7

/* `sure`: a score that needs no second look. */
static NccMatch find(const Variant *v, const NccImage *image, double sure, void *scratch)
{
    const double places = fmax(0, image->width - v->width + 1) * fmax(0, image->height - v->height + 1);
    const double work = places * v->width * v->height;
    const SimdLevel level = simd_level();
    NccMatch m = {.flat = true};
    if (work > EXACT_AT_ONCE) {
        m = ncc_search_coarse(v->ncc, image, level, scratch);
        if (work > EXACT_AT_ALL || (!m.flat && (double)m.score >= sure))
            return m;
    }
    return ncc_search(v->ncc, image, level, scratch);
}

/* The best variant's best place in a part of the region: false if nothing can be said of any. */
static bool search(const IconState *state, const NccImage *image, double sure, NccMatch *best, const Variant **which)
{
    *best = (NccMatch){.flat = true};
    for (int i = 0; i < state->variant.len; i++) {
        const Variant *const v = &state->variant.at[i];
        const NccMatch m = find(v, image, sure, state->scratch);
        if (m.flat || (!best->flat && m.score <= best->score))
            continue;
        *best = m;
        *which = v;
    }
    return !best->flat;
}

static NccImage region_image(const Look *l, const SignalState *s)
{
    const int width = box_width(s->region), height = box_height(s->region);
    return (NccImage){width, height, width, look_gray(l, s->region, width, height)};
}

#define NEAR 24 /* pixels that what has a position moves between two samples, mostly */

/* Exactly, near the place where it was: what a coarse look at all of the region may miss. */
static bool search_near(const SignalState *s, const NccImage *image, NccMatch *best, const Variant **which)
{
    const IconState *const state = s->kind;
    if (!state->placed)
        return false;
    int side = 0;
    for (int i = 0; i < state->variant.len; i++) {
        const Variant *const v = &state->variant.at[i];
        side = v->width > side ? v->width : side;
        side = v->height > side ? v->height : side;
    }
    const int half = side / 2 + NEAR;
    const int x0 = (int)fmax(0, state->x - half), y0 = (int)fmax(0, state->y - half);
    const int x1 = (int)fmin(image->width, state->x + half), y1 = (int)fmin(image->height, state->y + half);
    const NccImage part = {x1 - x0, y1 - y0, image->stride, image->at + (ptrdiff_t)y0 * image->stride + x0};
    if (!search(state, &part, s->signal->position.on, best, which))
        return false;
    best->x += x0;
    best->y += y0;
    return true;
}

/* The better of the place near by and the best one anywhere. */
static bool search_place(const SignalState *s, const NccImage *image, NccMatch *best, const Variant **which)
{
    NccMatch m;
    const Variant *v = NULL;
    const bool near = search_near(s, image, best, which);
    /* a sure place near by needs no second look elsewhere */
    const bool sure = near && (double)best->score >= s->signal->position.on;
    if (!search(s->kind, image, sure ? -1 : s->signal->position.on, &m, &v))
        return near;
    if (!near || m.score > best->score) {
        *best = m;
        *which = v;
    }
    return true;
}

/* Of icons by embedding. The region itself is the place. */
static int more_icon(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const IconState *const state = s->kind;
    const int code = embed_take(state->embed, l, s, out, e);
    if (code != 0)
        return code;
    Found *const found = arena_new_of(s->hold, Found);
    *found = (Found){.box = s->region, .score = out->score};
    out->nfound = 1;
    out->found = found;
    return 0;
}

static int look_icon(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const IconState *const state = s->kind;
    (void)e;
    if (state->embed) {
        embed_ask(state->embed, l, s);
        return 0;
    }
    NccMatch m;
    const Variant *v = NULL;
    const NccImage image = region_image(l, s);
    if (!search(s->kind, &image, s->signal->icon.on, &m, &v)) {
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
    IconState *const state = s->kind;
    const NccImage image = region_image(l, s);
    if (!search_place(s, &image, &m, &v)) {
        observe_unknown(out, "flat");
        return 0;
    }
    const double *const map = s->signal->position.map;
    const double x = m.x + (double)m.dx + 0.5 * v->width, y = m.y + (double)m.dy + 0.5 * v->height;
    state->placed = (double)m.score >= s->signal->position.on;
    state->x = x;
    state->y = y;
    out->score = m.score;
    out->x = map[0] * x + map[1] * y + map[2];
    out->y = map[3] * x + map[4] * y + map[5];
    return 0;
}

static void reset_position(SignalState *s) { ((IconState *)s->kind)->placed = false; }

const SignalOps icon_signal_ops = {.open = open_icon, .look = look_icon, .more = more_icon};
const SignalOps position_signal_ops = {.open = open_position, .look = look_position, .reset = reset_position};
