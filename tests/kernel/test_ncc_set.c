/* Several templates searched for together: as the exhaustive search has it where the picture tells
 * them apart, plain C and vectors to the bit, and what nothing can be said about. Of generated
 * games: tests/game/test_position.c. */
#include "check.h"

#include <math.h>

#include "base/heap.h"
#include "kernel/ncc_set.h"

#define TURNS 12

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

/* A bright wedge with a dark rim, turned; outside it is 0, as the mask is. */
static int wedge(double x, double y, double turn, int *mask)
{
    const double u = x * cos(turn) + y * sin(turn), v = y * cos(turn) - x * sin(turn);
    const double edge = fmin(v + 9, (9 - v) / 2 - fabs(u) + 1);
    *mask = edge > 0 ? 255 : 0;
    return edge <= 0 ? 0 : edge < 2 ? 20 : 200 + (int)(2 * v);
}

typedef struct Set {
    const NccTemplate *t[TURNS];
    int n;
} Set;

static Set wedges(Arena *a, int side)
{
    Set s = {.n = TURNS};
    for (int i = 0; i < TURNS; i++) {
        uint8_t *const luma = arena_array_of(a, side * side, uint8_t), *const mask =
                                                                           arena_array_of(a,
                                                                                          side *
                                                                                              side,
                                                                                          uint8_t);
        for (int k = 0; k < side * side; k++) {
            int m;
            luma[k] = (uint8_t)wedge(k % side + 0.5 - side / 2.0, k / side + 0.5 - side / 2.0,
                                     2 * M_PI * i / TURNS, &m);
            mask[k] = (uint8_t)m;
        }
        const NccImage image = {side, side, side, luma}, weights = {side, side, side, mask};
        s.t[i] = ncc_template(a, &image, &weights);
    }
    return s;
}

static NccImage noise(Arena *a, int width, int height, int base, int levels, uint64_t *r)
{
    uint8_t *const p = arena_array_of(a, width * height, uint8_t);
    for (int i = 0; i < width * height; i++)
        p[i] = (uint8_t)(base + below(r, levels));
    return (NccImage){width, height, width, p};
}

static void draw(const NccImage *image, double x, double y, double turn)
{
    uint8_t *const p = (uint8_t *)(uintptr_t)image->at;
    for (int i = 0; i < image->width * image->height; i++) {
        int m;
        const int v = wedge(i % image->width + 0.5 - x, i / image->width + 0.5 - y, turn, &m);
        p[i] = m ? (uint8_t)v : p[i];
    }
}

typedef NccSetMatch Search(const NccTemplate *const *t, int n, const NccImage *image,
                           SimdLevel level, void *scratch);

static NccSetMatch searched(Search *search, const Set *s, const NccImage *image, SimdLevel level)
{
    const size_t size = (size_t)ncc_set_scratch(s->t, s->n, image->width, image->height);
    uint8_t *const scratch = heap_alloc(size + 64, 64);
    memset(scratch, 0x7f, size + 64);
    const NccSetMatch m = search(s->t, s->n, image, level, scratch);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(scratch[size + i], 0x7f);
    heap_free(scratch);
    return m;
}

static void assert_same(const NccSetMatch *a, const NccSetMatch *b)
{
    assert_int_equal(a->match.flat, b->match.flat);
    if (a->match.flat)
        return;
    assert_int_equal(a->which, b->which);
    assert_int_equal(a->match.x, b->match.x);
    assert_int_equal(a->match.y, b->match.y);
    assert_memory_equal(&a->match.score, &b->match.score, sizeof a->match.score);
    assert_memory_equal(&a->match.dx, &b->match.dx, sizeof a->match.dx);
    assert_memory_equal(&a->match.dy, &b->match.dy, sizeof a->match.dy);
}

/* At any place, the picture's edge included, and at any turn, under noise. */
static void finds_what_all_find(void **state)
{
    (void)state;
    uint64_t r = 3;
    for (int i = 0; i < 60; i++) {
        Arena *const a = arena_new();
        const Set s = wedges(a, 24);
        const NccImage image =
            noise(a, 70 + below(&r, 60), 60 + below(&r, 40), 60, 10 + 60 * (i % 2), &r);
        const double x = 12 + below(&r, 10 * (image.width - 24)) / 10.0,
                     y = 12 + below(&r, 10 * (image.height - 24)) / 10.0;
        draw(&image, i % 10 == 1 ? 12 : x, i % 10 == 2 ? image.height - 12 : y,
             below(&r, 360) * M_PI / 180);
        const NccSetMatch all = searched(ncc_set_search_all, &s, &image, simd_level());
        const NccSetMatch plain = searched(ncc_set_search, &s, &image, SIMD_PLAIN);
        const NccSetMatch fast = searched(ncc_set_search, &s, &image, simd_level());
        assert_same(&fast, &plain);
        assert_same(&fast, &all);
        assert_true(fast.match.score > 0.6F);
        arena_free(a);
    }
}

/* Noise that halving takes below what counts as flat at full size still says something; and its
 * score is that of its place. */
static void noise_alone(void **state)
{
    (void)state;
    uint64_t r = 5;
    for (int levels = 10; levels < 200; levels += 30) {
        Arena *const a = arena_new();
        const Set s = wedges(a, 24);
        const NccImage image = noise(a, 90, 80, 20, levels, &r);
        const NccSetMatch all = searched(ncc_set_search_all, &s, &image, simd_level());
        const NccSetMatch got = searched(ncc_set_search, &s, &image, simd_level());
        assert_false(got.match.flat);
        assert_true(got.match.score <= all.match.score && got.match.score > 0.5F * all.match.score);
        const NccImage at = {24, 24, image.stride,
                             image.at + got.match.y * image.stride + got.match.x};
        const NccMatch there =
            searched(ncc_set_search_all, &(Set){{s.t[got.which]}, 1}, &at, SIMD_PLAIN).match;
        assert_memory_equal(&there.score, &got.match.score, sizeof there.score);
        arena_free(a);
    }
}

/* Templates too small for a coarse view, or larger than the picture, beside others. */
static void sizes(void **state)
{
    (void)state;
    uint64_t r = 7;
    for (int i = 0; i < 40; i++) {
        Arena *const a = arena_new();
        Set s = {.n = 1 + below(&r, TURNS)};
        for (int k = 0; k < s.n; k++) {
            const NccImage t = noise(a, 1 + below(&r, 50), 1 + below(&r, 50), 0, 256, &r);
            s.t[k] = ncc_template(a, &t, NULL);
        }
        const NccImage image = noise(a, 1 + below(&r, 60), 1 + below(&r, 60), 0, 256, &r);
        const NccSetMatch all = searched(ncc_set_search_all, &s, &image, simd_level());
        const NccSetMatch plain = searched(ncc_set_search, &s, &image, SIMD_PLAIN);
        const NccSetMatch fast = searched(ncc_set_search, &s, &image, simd_level());
        assert_same(&fast, &plain);
        assert_int_equal(fast.match.flat, all.match.flat);
        arena_free(a);
    }
}

static void flat(void **state)
{
    (void)state;
    uint64_t r = 9;
    Arena *const a = arena_new();
    const Set s = wedges(a, 24);
    const NccImage one = noise(a, 80, 70, 99, 1, &r), small = noise(a, 23, 70, 0, 256, &r);
    assert_true(searched(ncc_set_search, &s, &one, simd_level()).match.flat);
    assert_true(searched(ncc_set_search, &s, &small, simd_level()).match.flat);
    const NccImage level = noise(a, 24, 24, 50, 1, &r);
    const Set dull = {{ncc_template(a, &level, NULL)}, 1};
    const NccImage image = noise(a, 80, 70, 0, 256, &r);
    assert_true(searched(ncc_set_search, &dull, &image, simd_level()).match.flat);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_all_find),
        cmocka_unit_test(noise_alone),
        cmocka_unit_test(sizes),
        cmocka_unit_test(flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
