/* Cross-correlation: plain C against the definition in doubles, every variant against plain C to
 * the bit, known places, and what nothing can be said about. */
#include "check.h"

#include <math.h>

#include "base/heap.h"
#include "kernel/ncc_inside.h"

extern const NccVariant ncc_pair; /* the correlations of AVX-512 on AVX2 */

static int variants(const NccVariant *list[4])
{
    const SimdLevel best = simd_level();
    int n = 0;
    if (best >= SIMD_256) {
        list[n++] = &ncc_avx2;
        list[n++] = &ncc_pair;
    }
    if (best >= SIMD_512)
        list[n++] = &ncc_avx512;
    if (best >= SIMD_512_VNNI)
        list[n++] = &ncc_vnni;
    return n;
}

static uint64_t next(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r * 0x2545f4914f6cdd1d;
}

static int below(uint64_t *r, int n)
{
    return (int)((next(r) >> 33) % (uint64_t)n);
}

static int upto(uint64_t *r, int n) /* 1 to n */
{
    return 1 + below(r, n);
}

/* A picture that ends with its last pixel. Kinds: noise, little noise, extremes, one level. */
static NccImage make_image(int width, int height, int kind, uint64_t *r)
{
    const int stride = width + (int)(next(r) % 9), base = kind ? (int)(next(r) % 200) : 0;
    uint8_t *const p = malloc((size_t)stride * (size_t)(height - 1) + (size_t)width);
    for (int i = 0; i < stride * (height - 1) + width; i++) {
        const int v = (int)(next(r) >> 40) & 255;
        p[i] = (uint8_t)(kind == 0   ? v
                         : kind == 1 ? base + v % 6
                         : kind == 2 ? (v & 1) * 255
                                     : base);
    }
    return (NccImage){.width = width, .height = height, .stride = stride, .at = p};
}

static void free_image(NccImage *i)
{
    free((void *)(uintptr_t)i->at);
}

static void paste(NccImage *onto, const NccImage *what, int x, int y)
{
    uint8_t *const to = (uint8_t *)(uintptr_t)onto->at;
    for (int j = 0; j < what->height; j++)
        memcpy(to + (y + j) * onto->stride + x, what->at + j * what->stride, (size_t)what->width);
}

static double weight(const NccImage *mask, int x, int y)
{
    return mask ? mask->at[y * mask->stride + x] : 255;
}

/* The score of a place by the formula at the top of ncc.h; NCC_NOTHING where it is flat. */
static double defined(const NccImage *t, const NccImage *mask, const NccImage *image, int px,
                      int py)
{
    double m = 0, mi = 0, mt = 0;
    for (int y = 0; y < t->height; y++)
        for (int x = 0; x < t->width; x++) {
            const double w = weight(mask, x, y);
            m += w;
            mi += w * image->at[(py + y) * image->stride + px + x];
            mt += w * t->at[y * t->stride + x];
        }
    if (m == 0)
        return NCC_NOTHING;
    double it = 0, ii = 0, tt = 0;
    for (int y = 0; y < t->height; y++)
        for (int x = 0; x < t->width; x++) {
            const double w = weight(mask, x, y),
                         i = image->at[(py + y) * image->stride + px + x] - mi / m;
            const double v = t->at[y * t->stride + x] - mt / m;
            it += w * i * v;
            ii += w * i * i;
            tt += w * v * v;
        }
    return ii < NCC_FLAT * m || tt < NCC_FLAT * m ? (double)NCC_NOTHING : it / sqrt(ii * tt);
}

static NccMatch searched(const NccTemplate *t, const NccImage *image, const NccVariant *v,
                         bool coarse)
{
    const size_t size = (size_t)ncc_scratch(t, image->width, image->height);
    uint8_t *const scratch = heap_alloc(size + 64, 64);
    memset(scratch, 0x7f, size + 64); /* what was there before makes no difference */
    const NccMatch m =
        coarse ? ncc_coarse_by(t, image, v, scratch) : ncc_search_by(t, image, v, scratch);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(scratch[size + i], 0x7f);
    heap_free(scratch);
    assert_false(isnan(m.score) || isnan(m.dx) || isnan(m.dy));
    return m;
}

static void assert_same(const NccMatch *a, const NccMatch *b)
{
    assert_int_equal(a->flat, b->flat);
    assert_int_equal(a->x, b->x);
    assert_int_equal(a->y, b->y);
    assert_memory_equal(&a->score, &b->score, sizeof a->score);
    assert_memory_equal(&a->dx, &b->dx, sizeof a->dx);
    assert_memory_equal(&a->dy, &b->dy, sizeof a->dy);
}

static float *map_of(const NccTemplate *t, const NccImage *image, const NccPlaces *p,
                     const NccVariant *v)
{
    const size_t size = (size_t)ncc_map_scratch(&t->level[0], p->width, p->height);
    char *const scratch = heap_alloc(size, 64);
    float *const map = malloc((size_t)p->width * (size_t)p->height * sizeof *map);
    ncc_map(&t->level[0], image, p, v, scratch, map);
    heap_free(scratch);
    return map;
}

static void check_case(Arena *a, const NccImage *t, const NccImage *mask, const NccImage *image,
                       bool by_definition)
{
    const NccTemplate *const made = ncc_template(a, t, mask);
    const NccPlaces all = {0, 0, image->width - t->width + 1, image->height - t->height + 1};
    const NccVariant *list[4];
    const int n = variants(list);
    const size_t places = all.width > 0 && all.height > 0 && !made->level[0].flat
                              ? (size_t)all.width * (size_t)all.height
                              : 0;
    float *const want = places ? map_of(made, image, &all, NULL) : NULL;
    for (size_t i = 0; i < places && by_definition; i++) {
        const double d = defined(t, mask, image, (int)i % all.width, (int)i / all.width);
        assert_true(fabs((double)want[i] - d) < 1e-5);
    }
    for (int k = 0; k < n; k++) {
        float *const got = places ? map_of(made, image, &all, list[k]) : NULL;
        for (size_t i = 0; i < places; i++)
            if (memcmp(&got[i], &want[i], sizeof *got))
                FAIL_MSG("variant %d: %dx%d in %dx%d%s, place %zu: %.9g, not %.9g", k, t->width,
                         t->height, image->width, image->height, mask ? ", masked" : "", i,
                         (double)got[i], (double)want[i]);
        free(got);
        for (int coarse = 0; coarse < 2; coarse++) {
            const NccMatch fast = searched(made, image, list[k], coarse),
                           plain = searched(made, image, NULL, coarse);
            assert_same(&fast, &plain);
        }
    }
    free(want);
}

static void random_cases(void **state)
{
    (void)state;
    uint64_t r = 20261121;
    for (int i = 0; i < 500; i++) {
        Arena *const a = arena_new();
        const int kind = (int)(next(&r) % 4);
        const int w = upto(&r, 24), h = upto(&r, 24);
        NccImage t = make_image(w, h, kind, &r), mask = make_image(w, h, i % 4 == 1 ? 2 : 0, &r);
        NccImage image =
            make_image(upto(&r, 60), upto(&r, 40), i % 5 ? kind : (int)(next(&r) % 4), &r);
        if (i % 3 == 0 && image.width >= w && image.height >= h)
            paste(&image, &t, upto(&r, image.width - w + 1) - 1,
                  upto(&r, image.height - h + 1) - 1);
        check_case(a, &t, i % 2 ? &mask : NULL, &image, true);
        free_image(&t);
        free_image(&mask);
        free_image(&image);
        arena_free(a);
    }
}

/* The largest template, with the largest sums: black and white, masked and not; sums do not
 * overflow. */
static void largest(void **state)
{
    (void)state;
    uint64_t r = 11;
    for (int i = 0; i < 2; i++) {
        Arena *const a = arena_new();
        NccImage t = make_image(512, 512, 2, &r), mask = make_image(512, 512, 0, &r),
                 image = make_image(514, 513, 2, &r);
        uint8_t *const m = (uint8_t *)(uintptr_t)mask.at;
        for (int k = 0; k < 511 * mask.stride + 512; k++)
            m[k] = (uint8_t)(255 - (m[k] & 1));
        memset((uint8_t *)(uintptr_t)t.at, 0, 512); /* and all of one sign */
        paste(&image, &t, 1, 1);
        check_case(a, &t, i ? &mask : NULL, &image, true);
        free_image(&t);
        free_image(&mask);
        free_image(&image);
        arena_free(a);
    }
}

static void known_places(void **state)
{
    (void)state;
    uint64_t r = 5;
    for (int i = 0; i < 60; i++) {
        Arena *const a = arena_new();
        const int w = 8 + upto(&r, 40), h = 8 + upto(&r, 40);
        NccImage t = make_image(w, h, 0, &r), image = make_image(150, 100, 0, &r);
        const int x = upto(&r, 151 - w) - 1, y = upto(&r, 101 - h) - 1;
        paste(&image, &t, x, y);
        const NccTemplate *const made = ncc_template(a, &t, NULL);
        const NccMatch m = searched(made, &image, NULL, false);
        assert_false(m.flat);
        assert_float_equal(m.score, 1, 0);
        assert_int_equal(m.x, x);
        assert_int_equal(m.y, y);
        /* inverted, it fits as badly as can be */
        uint8_t *const p = (uint8_t *)(uintptr_t)image.at;
        for (int k = 0; k < 99 * image.stride + 150; k++)
            p[k] = (uint8_t)(255 - p[k]);
        const NccPlaces one = {x, y, 1, 1};
        float *const score = map_of(made, &image, &one, NULL);
        assert_float_equal(*score, -1, 0);
        free(score);
        free_image(&t);
        free_image(&image);
        arena_free(a);
    }
}

/* Of two equal places the first wins; what the mask leaves out does not count. */
static void mask_and_order(void **state)
{
    (void)state;
    uint64_t r = 9;
    Arena *const a = arena_new();
    NccImage t = make_image(12, 10, 0, &r), mask = make_image(12, 10, 3, &r),
             image = make_image(90, 60, 0, &r);
    uint8_t *const m = (uint8_t *)(uintptr_t)mask.at;
    for (int y = 0; y < 10; y++)
        for (int x = 0; x < 12; x++)
            m[y * mask.stride + x] = x < 6 ? 255 : 0;
    paste(&image, &t, 50, 30);
    paste(&image, &t, 20, 30);
    NccMatch found = searched(ncc_template(a, &t, NULL), &image, NULL, false);
    assert_int_equal(found.x, 20);
    uint8_t *const p = (uint8_t *)(uintptr_t)image.at;
    for (int k = 0; k < 10; k++)
        memset(p + (30 + k) * image.stride + 26, 77, 6); /* half of it is gone */
    found = searched(ncc_template(a, &t, &mask), &image, NULL, false);
    assert_int_equal(found.x, 20);
    assert_float_equal(found.score, 1, 0);
    found = searched(ncc_template(a, &t, NULL), &image, NULL, false);
    assert_int_equal(found.x, 50);
    free_image(&t);
    free_image(&mask);
    free_image(&image);
    arena_free(a);
}

static void nothing_to_say(void **state)
{
    (void)state;
    uint64_t r = 13;
    Arena *const a = arena_new();
    NccImage t = make_image(16, 16, 0, &r), one = make_image(16, 16, 3, &r),
             none = make_image(16, 16, 3, &r);
    memset((uint8_t *)(uintptr_t)none.at, 0, (size_t)(15 * none.stride + 16));
    const NccVariant *list[4];
    const int n = variants(list);
    for (int k = -1; k < n; k++)
        for (int coarse = 0; coarse < 2; coarse++) {
            const NccVariant *const v = k < 0 ? NULL : list[k];
            for (int level = 0; level < 256; level += 51) {
                NccImage image = make_image(70, 50, 3, &r);
                memset((uint8_t *)(uintptr_t)image.at, level, (size_t)(49 * image.stride + 70));
                assert_true(searched(ncc_template(a, &t, NULL), &image, v, coarse).flat);
                /* a flat template */
                assert_true(searched(ncc_template(a, &one, NULL), &image, v, coarse).flat);
                /* nothing of it counts */
                assert_true(searched(ncc_template(a, &t, &none), &image, v, coarse).flat);
                free_image(&image);
            }
            NccImage narrow = make_image(15, 50, 0, &r), low = make_image(50, 15, 0, &r);
            assert_true(searched(ncc_template(a, &t, NULL), &narrow, v, coarse).flat);
            assert_true(searched(ncc_template(a, &t, NULL), &low, v, coarse).flat);
            free_image(&narrow);
            free_image(&low);
        }
    free_image(&t);
    free_image(&one);
    free_image(&none);
    arena_free(a);
}

/* A smooth blob, somewhere between pixels, under noise; levels from 40 to 200. */
static NccImage blobs(int width, int height, double cx, double cy, int noise, uint64_t *r)
{
    NccImage image = make_image(width, height, 3, r);
    uint8_t *const p = (uint8_t *)(uintptr_t)image.at;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const double dx = x - cx, dy = y - cy;
            const double v = 40 + 160 * exp(-(dx * dx + dy * dy) / 60) +
                             40 * exp(-((dx - 8) * (dx - 8) + dy * dy) / 20);
            p[y * image.stride + x] =
                (uint8_t)(v + (double)((int)(next(r) >> 40) % (2 * noise + 1) - noise));
        }
    return image;
}

/* The coarse search finds what the exact one finds, and its score is exact. */
static void coarse(void **state)
{
    (void)state;
    uint64_t r = 17;
    for (int i = 0; i < 40; i++) {
        Arena *const a = arena_new();
        const int side = 16 + upto(&r, 32);
        NccImage t = blobs(side, side, side / 2.0, side / 2.0, 0, &r);
        NccImage image = blobs(160, 120, 40 + upto(&r, 80), 40 + upto(&r, 40), 8, &r);
        const NccTemplate *const made = ncc_template(a, &t, NULL);
        assert_int_equal(made->levels, side < 32 ? 2 : 3);
        const NccMatch exact = searched(made, &image, NULL, false),
                       quick = searched(made, &image, NULL, true);
        assert_int_equal(quick.x, exact.x);
        assert_int_equal(quick.y, exact.y);
        assert_memory_equal(&quick.score, &exact.score, sizeof exact.score);
        assert_float_equal(quick.dx, exact.dx, 0);
        assert_float_equal(quick.dy, exact.dy, 0);
        free_image(&t);
        free_image(&image);
        arena_free(a);
    }
}

/* Decoys that look the same from far off do not take all the candidates; of equal places the first
 * wins, even where the coarse view likes the second one better. */
static void decoys(void **state)
{
    (void)state;
    uint64_t r = 23;
    for (int i = 0; i < 20; i++) {
        Arena *const a = arena_new();
        NccImage decoy = blobs(20, 20, 8, 10, 0, &r), t = blobs(20, 20, 8, 10, 0, &r);
        uint8_t *const fine = (uint8_t *)(uintptr_t)t.at;
        for (int y = 0; y < 20; y++)
            for (int x = 0; x < 20; x++)
                /* gone at half the size */
                fine[y * t.stride + x] = (uint8_t)(fine[y * t.stride + x] + (x & 1 ? 25 : -25));
        NccImage image = make_image(200, 100, 3, &r);
        const int target = below(&r, 5);
        for (int k = 0; k < 5; k++)
            paste(&image, k == target ? &t : &decoy, 10 + 36 * k, 40);
        const NccMatch m = searched(ncc_template(a, &t, NULL), &image, NULL, true);
        assert_int_equal(m.x, 10 + 36 * target);
        assert_int_equal(m.y, 40);
        free_image(&decoy);
        free_image(&t);
        free_image(&image);
        t = blobs(24, 24, 8, 10, 0, &r);
        image = make_image(200, 100, 3, &r);
        paste(&image, &t, 101, 21); /* its half is a little another picture than the template's */
        paste(&image, &t, 40, 24);
        assert_int_equal(searched(ncc_template(a, &t, NULL), &image, NULL, true).x, 101);
        free_image(&t);
        free_image(&image);
        arena_free(a);
    }
}

static void between_pixels(void **state)
{
    (void)state;
    uint64_t r = 19;
    Arena *const a = arena_new();
    NccImage t = blobs(33, 33, 16, 16, 0, &r);
    const NccTemplate *const made = ncc_template(a, &t, NULL);
    for (int i = 0; i < 9; i++) {
        const double dx = i % 3 * 0.25 - 0.25, dy = i / 3 * 0.25 - 0.25;
        NccImage image = blobs(120, 90, 60 + dx, 40 + dy, 0, &r);
        const NccMatch m = searched(made, &image, NULL, true);
        assert_int_equal(m.x, 44);
        assert_int_equal(m.y, 24);
        assert_float_equal(m.dx, dx, 0.08);
        assert_float_equal(m.dy, dy, 0.08);
        free_image(&image);
    }
    free_image(&t);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_cases),   cmocka_unit_test(largest),
        cmocka_unit_test(known_places),   cmocka_unit_test(mask_and_order),
        cmocka_unit_test(nothing_to_say), cmocka_unit_test(coarse),
        cmocka_unit_test(decoys),         cmocka_unit_test(between_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
