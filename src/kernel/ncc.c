/* Normalised cross-correlation: templates, and the searches. The sums of places are made in
 * ncc_map.c. */
#include "kernel/ncc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/ncc_inside.h"

/* ---- templates ---- */

/* Whether all weights are 255, or `other`. */
static bool only_full_or(int other, const NccImage *mask)
{
    for (int y = 0; y < mask->height; y++)
        for (int x = 0; x < mask->width; x++) {
            const uint8_t m = mask->at[(ptrdiff_t)y * mask->stride + x];
            if (m != other && m != 255)
                return false;
        }
    return true;
}

static void kernel_make(Arena *a, NccKernel *k, const NccImage *image, const NccImage *mask)
{
    *k = (NccKernel){
        .width = image->width, .height = image->height, .pairs = (image->width + 1) / 2};
    k->product = arena_array_of(a, 2 * k->pairs * k->height, int16_t);
    if (mask)
        k->mask = arena_array_of(a, 2 * k->pairs * k->height, int16_t);
    /* A mask of 0 and 255 is one of 0 and 1: a smaller sum, the same scores. */
    const int unit = mask && !only_full_or(0, mask) ? 1 : 255;
    int64_t mass = 0, sum = 0, squares = 0, largest = 1;
    for (int y = 0; y < k->height; y++)
        for (int x = 0; x < k->width; x++) {
            const int m = mask ? mask->at[(ptrdiff_t)y * mask->stride + x] / unit : 1;
            const int v = image->at[(ptrdiff_t)y * image->stride + x] - 128;
            const int64_t at = (int64_t)y * 2 * k->pairs + x;
            k->product[at] = (int16_t)(m * v);
            if (mask)
                k->mask[at] = (int16_t)m;
            mass += m;
            sum += m * v;
            squares += m * v * v;
            largest = m > largest ? m : largest;
        }
    k->mass = (double)mass;
    k->mean = mass ? (double)sum / k->mass : 0;
    k->spread = (double)squares - (double)sum * k->mean;
    k->flat = mass == 0 || k->spread < NCC_FLAT * k->mass;
    /* |product| <= 128 largest times |level| <= 128, and mask times a square: 2^14 largest each. */
    const int64_t fit = INT32_MAX / (largest << 14) / (2 * k->pairs);
    assert(fit >= 1); /* as the width is 512 at most */
    k->rows = fit < k->height ? (int)fit : k->height;
}

/* Means of two by two; what is odd is left out. */
void ncc_halve(const NccImage *from, uint8_t *to, NccImage *half)
{
    *half = (NccImage){
        .width = from->width / 2, .height = from->height / 2, .stride = from->width / 2, .at = to};
    for (int y = 0; y < half->height; y++) {
        const uint8_t *const a = from->at + (ptrdiff_t)2 * y * from->stride, *const b =
                                                                                 a + from->stride;
        for (int x = 0; x < half->width; x++)
            to[(ptrdiff_t)y * half->stride + x] =
                (uint8_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2);
    }
}

/* Means of two by two, each with its weight: what lies outside of the mask has no part in them. */
static void halve_masked(const NccImage *from, const NccImage *mask, uint8_t *to, NccImage *half)
{
    *half = (NccImage){
        .width = from->width / 2, .height = from->height / 2, .stride = from->width / 2, .at = to};
    for (int y = 0; y < half->height; y++)
        for (int x = 0; x < half->width; x++) {
            int sum = 0, weight = 0;
            for (int i = 0; i < 4; i++) {
                const ptrdiff_t u = 2 * x + i % 2, v = 2 * y + i / 2;
                const int m = mask->at[v * mask->stride + u];
                sum += m * from->at[v * from->stride + u];
                weight += m;
            }
            to[(ptrdiff_t)y * half->stride + x] =
                (uint8_t)(weight > 0 ? (sum + weight / 2) / weight : 0);
        }
}

static int64_t rounded_up(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

int64_t ncc_half_bytes(int width, int height)
{
    return rounded_up((int64_t)(width / 2) * (height / 2));
}

enum { COARSEST = 8 }; /* a template's least side in a coarse view: smaller ones look alike */

NccTemplate *ncc_template(Arena *a, const NccImage *image, const NccImage *mask)
{
    assert(image->width >= 1 && image->height >= 1 && image->width <= NCC_MAX_SIDE &&
           image->height <= NCC_MAX_SIDE);
    assert(!mask || (mask->width == image->width && mask->height == image->height));
    if (mask && only_full_or(255, mask))
        mask = NULL;
    NccTemplate *const t = arena_new_of(a, NccTemplate);
    NccImage view = *image, view_mask = mask ? *mask : (NccImage){0};
    for (;;) {
        kernel_make(a, &t->level[t->levels++], &view, mask ? &view_mask : NULL);
        if (t->levels == 3 || view.width < 2 * COARSEST || view.height < 2 * COARSEST)
            return t;
        const size_t bytes = (size_t)ncc_half_bytes(view.width, view.height);
        NccImage half, half_mask = {0};
        if (mask) {
            uint8_t *const luma = arena_alloc(a, bytes);
            ncc_halve(&view_mask, arena_alloc(a, bytes), &half_mask);
            halve_masked(&view, &view_mask, luma, &half);
        } else {
            ncc_halve(&view, arena_alloc(a, bytes), &half);
        }
        view = half;
        view_mask = half_mask;
    }
}

/* ---- searches ---- */

bool ncc_fits(const NccKernel *k, const NccImage *image)
{
    return image->width >= k->width && image->height >= k->height;
}

NccPlaces ncc_all_places(const NccKernel *k, const NccImage *image)
{
    return (NccPlaces){0, 0, image->width - k->width + 1, image->height - k->height + 1};
}

/* Of a parabola through three scores, how far its top is from the middle one. */
static float top(float before, float middle, float after)
{
    const float bend = before - 2 * middle + after;
    if (before == NCC_NOTHING || after == NCC_NOTHING || !(bend < 0))
        return 0;
    const float d = 0.5F * (before - after) / bend;
    return d < -0.5F ? -0.5F : d > 0.5F ? 0.5F : d;
}

static float map_at(const float *map, const NccPlaces *p, int x, int y)
{
    return x < 0 || y < 0 || x >= p->width || y >= p->height ? NCC_NOTHING
                                                             : map[(ptrdiff_t)y * p->width + x];
}

/* Many are compared side by side, which the compiler makes vectors of. */
int64_t ncc_largest(const float *v, int64_t n)
{
    float most[16];
    for (int k = 0; k < 16; k++)
        most[k] = v[0];
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            most[k] = v[i + k] > most[k] ? v[i + k] : most[k];
    for (; i < n; i++)
        most[0] = v[i] > most[0] ? v[i] : most[0];
    for (int k = 1; k < 16; k++)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    for (i = 0; v[i] < most[0]; i++)
        ;
    return i;
}

static NccMatch best_of(const float *map, const NccPlaces *p)
{
    const int64_t best = ncc_largest(map, (int64_t)p->width * p->height);
    if (map[best] == NCC_NOTHING)
        return (NccMatch){.flat = true};
    const int x = (int)(best % p->width), y = (int)(best / p->width);
    return (NccMatch){.score = map[best], .x = p->x + x, .y = p->y + y,
                      .dx = top(map_at(map, p, x - 1, y), map[best], map_at(map, p, x + 1, y)),
                      .dy = top(map_at(map, p, x, y - 1), map[best], map_at(map, p, x, y + 1))};
}

NccMatch ncc_search_at(const NccKernel *k, const NccImage *image, const NccPlaces *p,
                       const NccVariant *v, void *scratch)
{
    float *const map = scratch;
    ncc_map(k, image, p, v, (char *)scratch + rounded_up((int64_t)p->width * p->height * 4), map);
    return best_of(map, p);
}

int64_t ncc_search_scratch(const NccKernel *k, int width, int height)
{
    if (width < k->width || height < k->height)
        return 64;
    const int x = width - k->width + 1, y = height - k->height + 1;
    return rounded_up((int64_t)x * y * 4) + ncc_map_scratch(k, x, y);
}

NccMatch ncc_search_by(const NccTemplate *t, const NccImage *image, const NccVariant *v,
                       void *scratch)
{
    const NccKernel *const k = &t->level[0];
    if (k->flat || !ncc_fits(k, image))
        return (NccMatch){.flat = true};
    const NccPlaces all = ncc_all_places(k, image);
    return ncc_search_at(k, image, &all, v, scratch);
}

/* The best places of a coarse view, none next to another. Each is looked at again in the finer
 * views. */
enum { CANDIDATES = 6, NEAR = 2 };

typedef struct Candidates {
    int count, x[CANDIDATES], y[CANDIDATES];
} Candidates;

/* Takes the best, and all around it out of the map, again and again. */
static Candidates candidates_of(float *map, const NccPlaces *p)
{
    Candidates c = {0};
    while (c.count < CANDIDATES) {
        const NccMatch m = best_of(map, p);
        if (m.flat)
            break;
        c.x[c.count] = m.x;
        c.y[c.count++] = m.y;
        for (int y = m.y - 1; y <= m.y + 1; y++)
            for (int x = m.x - 1; x <= m.x + 1; x++)
                if (map_at(map, p, x, y) != NCC_NOTHING)
                    map[(ptrdiff_t)y * p->width + x] = NCC_NOTHING;
    }
    return c;
}

static int within(int v, int least, int most)
{
    return v < least ? least : v > most ? most : v;
}

NccPlaces ncc_near(const NccKernel *k, const NccImage *image, int x, int y, int reach)
{
    const NccPlaces all = ncc_all_places(k, image);
    const int x0 = within(x - reach, 0, all.width - 1), y0 = within(y - reach, 0, all.height - 1);
    const int x1 = within(x + reach, 0, all.width - 1), y1 = within(y + reach, 0, all.height - 1);
    return (NccPlaces){x0, y0, x1 - x0 + 1, y1 - y0 + 1};
}

/* Views of the picture in half the size and a quarter, as far as the template has them and they are
 * large enough. */
static int views_make(const NccTemplate *t, const NccImage *image, NccImage view[3], char **scratch)
{
    view[0] = *image;
    int n = 1;
    for (; n < t->levels; n++) {
        const NccImage *const from = &view[n - 1];
        if (t->level[n].flat || from->width / 2 < t->level[n].width ||
            from->height / 2 < t->level[n].height)
            break;
        uint8_t *const to = (uint8_t *)*scratch;
        *scratch += ncc_half_bytes(from->width, from->height);
        ncc_halve(from, to, &view[n]);
    }
    return n;
}

NccMatch ncc_coarse_by(const NccTemplate *t, const NccImage *image, const NccVariant *v,
                       void *scratch)
{
    char *mem = scratch;
    NccImage view[3];
    if (t->level[0].flat || !ncc_fits(&t->level[0], image))
        return (NccMatch){.flat = true};
    const int coarsest = views_make(t, image, view, &mem) - 1;
    if (coarsest == 0)
        return ncc_search_by(t, image, v, scratch);
    const NccKernel *const k = &t->level[coarsest];
    const NccPlaces all = ncc_all_places(k, &view[coarsest]);
    float *const map = (float *)mem;
    ncc_map(k, &view[coarsest], &all, v, mem + rounded_up((int64_t)all.width * all.height * 4),
            map);
    Candidates c = candidates_of(map, &all);
    NccMatch best = {.flat = true};
    for (int i = 0; i < c.count; i++) {
        NccMatch m = {.x = c.x[i], .y = c.y[i]};
        for (int n = coarsest - 1; n >= 0 && !m.flat; n--) {
            const NccPlaces p = ncc_near(&t->level[n], &view[n], 2 * m.x, 2 * m.y, NEAR);
            m = ncc_search_at(&t->level[n], &view[n], &p, v, mem);
        }
        if (!m.flat && (best.flat || m.score > best.score || (m.score == best.score &&
                        (m.y < best.y || (m.y == best.y && m.x < best.x)))))
            best = m;
    }
    if (best.flat)
        return best;
    /* climbs, and knows its neighbours */
    const NccPlaces p = ncc_near(&t->level[0], image, best.x, best.y, 1);
    return ncc_search_at(&t->level[0], image, &p, v, mem);
}

const NccVariant *ncc_variant(SimdLevel level)
{
    static const NccVariant *const variants[] = {[SIMD_PLAIN] = NULL,
                                                 [SIMD_256] = &ncc_avx2,
                                                 [SIMD_512] = &ncc_avx512,
                                                 [SIMD_512_VNNI] = &ncc_vnni,
                                                 [SIMD_512_VBMI] = &ncc_vnni};
    return variants[level];
}

int64_t ncc_scratch(const NccTemplate *t, int width, int height)
{
    return ncc_search_scratch(&t->level[0], width, height) + ncc_half_bytes(width, height) +
           ncc_half_bytes(width / 2, height / 2);
}

NccMatch ncc_search(const NccTemplate *t, const NccImage *image, SimdLevel level, void *scratch)
{
    return ncc_search_by(t, image, ncc_variant(level), scratch);
}

NccMatch ncc_search_coarse(const NccTemplate *t, const NccImage *image, SimdLevel level,
                           void *scratch)
{
    return ncc_coarse_by(t, image, ncc_variant(level), scratch);
}
