/* Icons and positions: the best place of a template, in several sizes or rotations. */
#include <math.h>

#include "base/vec.h"
#include "kernel/ncc_set.h"
#include "watch/observe_embed.h"

typedef struct Variant { /* of a template */
    NccTemplate *ncc;
    int width, height;
} Variant;

typedef struct IconState {
    VEC(Variant) variant;
    const NccTemplate **set; /* of positions: of all variants */
    void *scratch;
    EmbedState *embed; /* NULL: by correlation */
} IconState;

static int add_reference(Arena *a, IconState *state, const Reference *r, Box region, bool mask,
                         int nscale, const double *scale, int nrotation, Error *e)
{
    Arena *const tmp = arena_new();
    Gray g;
    int code = gray_read(tmp, r->path, mask, &g, e);
    if (code == 0 && gray_is_flat(&g))
        code = error_set(e, ERR_INVALID,
                         "%s: a template of one colour, or all transparent, is found nowhere",
                         r->path);
    for (int i = 0; i < nscale * nrotation && code == 0; i++) {
        const Gray v = gray_transform(tmp, &g, scale[i % nscale], 360.0 * (i / nscale) / nrotation);
        if (v.width > NCC_MAX_SIDE || v.height > NCC_MAX_SIDE) {
            code = error_set(e, ERR_UNSUPPORTED, "%s: a template of %d x %d; at most %d each way",
                             r->path, v.width, v.height, NCC_MAX_SIDE);
            break;
        }
        if (v.width > box_width(region) || v.height > box_height(region)) {
            code = error_set(e, ERR_INVALID,
                             "%s: a template of %d x %d does not fit the region of %d x %d",
                             r->path, v.width, v.height, box_width(region), box_height(region));
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
    int64_t most = 0;
    for (int i = 0; i < state->variant.len; i++) {
        const int64_t size =
            ncc_scratch(state->variant.at[i].ncc, box_width(region), box_height(region));
        most = size > most ? size : most;
    }
    state->scratch = arena_alloc_aligned(a, (size_t)most, 64);
}

static int open_icon(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    const IconSignal *const icon = &s->signal->icon;
    IconState *const state = arena_new_of(a, IconState);
    s->kind = state;
    if (icon->method == ICON_EMBED)
        return embed_open(a, host, w, s->signal, s->region, &state->embed, e);
    for (int i = 0; i < icon->nref; i++) {
        const int code = add_reference(a, state, &icon->ref[i], s->region, icon->mask, icon->nscale,
                                       icon->scale, 1, e);
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
        const int code =
            add_reference(a, state, &p->ref[i], s->region, true, 1, &one, p->nrotation, e);
        if (code != 0)
            return code;
    }
    const int n = state->variant.len;
    state->set = arena_array_of(a, n, const NccTemplate *);
    for (int i = 0; i < n; i++)
        state->set[i] = state->variant.at[i].ncc;
    state->scratch =
        arena_alloc_aligned(a,
                            (size_t)ncc_set_scratch(state->set, n, box_width(s->region),
                                                    box_height(s->region)),
                            64);
    return 0;
}

/* Work of an exact search: places times pixels of the template. Up to the first it comes at once;
 * up to the second after a coarse one that found nothing sure, which may have missed an icon at an
 * odd place. */
#define EXACT_AT_ONCE 4e6
#define EXACT_AT_ALL 6e7

/* `sure`: a score that needs no second look. */
static NccMatch find(const Variant *v, const NccImage *image, double sure, void *scratch)
{
    const double places =
        fmax(0, image->width - v->width + 1) * fmax(0, image->height - v->height + 1);
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

/* The best variant's best place in the region: false if nothing can be said of any. */
static bool search(const IconState *state, const NccImage *image, double sure, NccMatch *best,
                   const Variant **which)
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
    *found = (Found){.box = {s->region.x + (float)m.x + m.dx, s->region.y + (float)m.y + m.dy,
                             (float)v->width, (float)v->height},
                     .score = m.score};
    out->score = m.score;
    out->nfound = 1;
    out->found = found;
    return 0;
}

static int look_position(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)e;
    const IconState *const state = s->kind;
    const NccImage image = region_image(l, s);
    const NccSetMatch best =
        ncc_set_search(state->set, state->variant.len, &image, simd_level(), state->scratch);
    const NccMatch *const m = &best.match;
    if (m->flat) {
        observe_unknown(out, "flat");
        return 0;
    }
    const Variant *const v = &state->variant.at[best.which];
    const double *const map = s->signal->position.map;
    const double x = m->x + (double)m->dx + 0.5 * v->width,
                 y = m->y + (double)m->dy + 0.5 * v->height;
    out->score = m->score;
    out->x = map[0] * x + map[1] * y + map[2];
    out->y = map[3] * x + map[4] * y + map[5];
    return 0;
}

const SignalOps icon_signal_ops = {.open = open_icon, .look = look_icon, .more = more_icon};
const SignalOps position_signal_ops = {.open = open_position, .look = look_position};
