/* Coarse maps one after another; only their best places are kept. */
#include "kernel/ncc_set.h"

#include <stddef.h>

#include "kernel/ncc_inside.h"

enum {
    OF_EACH = 8,  /* places of a template's coarse map .. */
    EXACTLY = 48, /* .. and of all of these, that are looked at again */
    NEAR = 2      /* pixels of the next finer view */
};

typedef struct Place { /* of a template's top left */
    int which, x, y;
    float score;
} Place;

typedef struct Best { /* places, the best first */
    int n;
    Place at[EXACTLY];
} Best;

typedef struct Search {
    const NccTemplate *const *t;
    int n;
    const NccVariant *v;
    NccImage view[3]; /* as it is, half, a quarter; what is too small for that has no pixels */
    char *mem;
} Search;

static int64_t rounded_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t ncc_set_scratch(const NccTemplate *const *t, int n, int width, int height)
{
    int64_t most = 64;
    for (int i = 0; i < n; i++) {
        const int64_t size = ncc_scratch(t[i], width, height);
        most = size > most ? size : most;
    }
    return most + ncc_half_bytes(width, height) + ncc_half_bytes(width / 2, height / 2);
}

static Search search_make(const NccTemplate *const *t, int n, const NccImage *image,
                          SimdLevel level, void *scratch)
{
    Search s = {.t = t, .n = n, .v = ncc_variant(level), .view = {*image}, .mem = scratch};
    for (int i = 1; i < 3; i++) {
        uint8_t *const to = (uint8_t *)s.mem;
        s.mem += ncc_half_bytes(s.view[i - 1].width, s.view[i - 1].height);
        ncc_halve(&s.view[i - 1], to, &s.view[i]);
    }
    return s;
}

/* Of the coarse view for a template; -1: it is found nowhere. */
static int coarse_level(const Search *s, const NccTemplate *t)
{
    if (t->level[0].flat || !ncc_fits(&t->level[0], &s->view[0]))
        return -1;
    int level = 0;
    while (level + 1 < t->levels) {
        const NccKernel *const k = &t->level[level + 1];
        if (k->flat || k->width < NCC_SET_COARSEST || k->height < NCC_SET_COARSEST ||
            !ncc_fits(k, &s->view[level + 1]))
            break;
        level++;
    }
    return level;
}

static void keep(Best *b, const Place *p)
{
    if (b->n == EXACTLY && p->score <= b->at[b->n - 1].score)
        return;
    int i = b->n < EXACTLY ? b->n++ : b->n - 1;
    for (; i > 0 && b->at[i - 1].score < p->score; i--)
        b->at[i] = b->at[i - 1];
    b->at[i] = *p;
}

/* The best places of a template's coarse view, none next to another. */
static void look_coarse(const Search *s, int which, int level, Best *out)
{
    const NccKernel *const k = &s->t[which]->level[level];
    const NccPlaces all = ncc_all_places(k, &s->view[level]);
    const int64_t n = (int64_t)all.width * all.height;
    float *const map = (float *)s->mem;
    ncc_map(k, &s->view[level], &all, s->v, s->mem + rounded_up(n * 4), map);
    for (int i = 0; i < OF_EACH; i++) {
        const int64_t at = ncc_largest(map, n);
        if (map[at] == NCC_NOTHING)
            return;
        const int x = (int)(at % all.width), y = (int)(at / all.width);
        keep(out, &(Place){which, x, y, map[at]});
        for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < all.height; v++)
            for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < all.width; u++)
                map[(ptrdiff_t)v * all.width + u] = NCC_NOTHING;
    }
}

static Place look(const Search *s, int which, int level, int x, int y, int reach)
{
    const NccKernel *const k = &s->t[which]->level[level];
    const NccPlaces p = ncc_near(k, &s->view[level], x, y, reach);
    const NccMatch m = ncc_search_at(k, &s->view[level], &p, s->v, s->mem);
    return (Place){which, m.x, m.y, m.flat ? NCC_NOTHING : m.score};
}

/* All templates with their middle at that of `best`, or next to it; again from what is better,
 * until nothing is. */
static Place climb(const Search *s, Place best)
{
    for (Place before = {.score = NCC_NOTHING}; best.score > before.score;) {
        before = best;
        const NccKernel *const at = &s->t[before.which]->level[0];
        for (int i = 0; i < s->n; i++) {
            if (coarse_level(s, s->t[i]) < 0)
                continue;
            const NccKernel *const k = &s->t[i]->level[0];
            const int dx = (at->width - k->width) / 2, dy = (at->height - k->height) / 2;
            const Place p = look(s, i, 0, before.x + dx, before.y + dy, 1);
            if (p.score > best.score)
                best = p;
        }
    }
    return best;
}

/* The first that may be found, exhaustively. */
static NccSetMatch first_of(const Search *s, SimdLevel level)
{
    for (int i = 0; i < s->n; i++)
        if (coarse_level(s, s->t[i]) >= 0)
            return (NccSetMatch){ncc_search(s->t[i], &s->view[0], level, s->mem), i};
    return (NccSetMatch){.match.flat = true};
}

NccSetMatch ncc_set_search(const NccTemplate *const *t, int n, const NccImage *image,
                           SimdLevel level, void *scratch)
{
    const Search s = search_make(t, n, image, level, scratch);
    Best coarse = {0};
    for (int i = 0; i < n; i++) {
        const int from = coarse_level(&s, t[i]);
        if (from >= 0)
            look_coarse(&s, i, from, &coarse);
    }
    Place best = {.score = NCC_NOTHING};
    for (int i = 0; i < coarse.n; i++) {
        Place p = coarse.at[i];
        for (int finer = coarse_level(&s, t[p.which]) - 1; finer >= 0; finer--)
            p = look(&s, p.which, finer, 2 * p.x, 2 * p.y, NEAR);
        if (p.score > best.score)
            best = p;
    }
    if (best.score == NCC_NOTHING)
        return first_of(&s, level);
    best = climb(&s, best);
    const NccKernel *const k = &t[best.which]->level[0];
    const NccPlaces p = ncc_near(k, image, best.x, best.y, 1); /* which has the peak's neighbours */
    return (NccSetMatch){ncc_search_at(k, image, &p, s.v, s.mem), best.which};
}

NccSetMatch ncc_set_search_all(const NccTemplate *const *t, int n, const NccImage *image,
                               SimdLevel level, void *scratch)
{
    NccSetMatch best = {.match.flat = true};
    for (int i = 0; i < n; i++) {
        const NccMatch m = ncc_search(t[i], image, level, scratch);
        if (!m.flat && (best.match.flat || m.score > best.match.score))
            best = (NccSetMatch){m, i};
    }
    return best;
}
