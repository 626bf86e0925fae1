/* Template matching: build/bench/ncc [ROUNDS] times the searches; bench/ncc.py holds them against
 * OpenCV.
 *
 * One line a case: name, picture, template, least milliseconds of the exact search, the coarse one
 * and the plain one. The pictures are noise over smooth surfaces with the template somewhere in
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "kernel/ncc.h"

typedef struct Case {
    int width, height, side;
    bool mask, exact;
} Case;

static const Case cases[] = {
    {64, 64, 32, false, true},     {200, 80, 32, false, true}, {320, 180, 48, false, true},
    {420, 160, 40, false, true},   {200, 80, 32, true, true},  {320, 180, 48, true, true},
    {1280, 720, 48, false, false},
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static NccImage picture(Arena *a, int width, int height, uint32_t seed)
{
    uint8_t *const p = arena_alloc(a, (size_t)width * (size_t)height);
    for (int i = 0; i < width * height; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (uint8_t)(80 + (i % width) / 8 % 64 + i / width / 8 % 32 + (seed >> 26));
    }
    return (NccImage){.width = width, .height = height, .stride = width, .at = p};
}

typedef NccMatch Search(const NccTemplate *t, const NccImage *image, SimdLevel level,
                        void *scratch);

static double least_of(int rounds, Search *search, const NccTemplate *t, const NccImage *image,
                       SimdLevel level, void *scratch)
{
    double least = 1e9;
    for (int k = 0; k < rounds; k++) {
        const double start = now_ms();
        search(t, image, level, scratch);
        const double ms = now_ms() - start;
        least = ms < least ? ms : least;
    }
    return least;
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 100;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const Case *const c = &cases[k];
        Arena *const a = arena_new();
        const NccImage image = picture(a, c->width, c->height, 1);
        const NccImage t = {.width = c->side,
                            .height = c->side,
                            .stride = image.stride,
                            .at = image.at + (ptrdiff_t)(c->height / 3) * image.stride +
                                  c->width / 3};
        NccImage mask = picture(a, c->side, c->side, 2);
        for (int i = 0; i < c->side * c->side; i++)
            ((uint8_t *)(uintptr_t)mask.at)[i] = i % c->side < c->side / 4 ? 0 : 255;
        const NccTemplate *const made = ncc_template(a, &t, c->mask ? &mask : NULL);
        void *const scratch =
            arena_alloc_aligned(a, (size_t)ncc_scratch(made, c->width, c->height), 64);
        const SimdLevel best = simd_level();
        const double exact =
            least_of(c->exact ? rounds : 2, ncc_search, made, &image, best, scratch);
        const double coarse = least_of(rounds, ncc_search_coarse, made, &image, best, scratch);
        const double plain =
            c->exact ? least_of(2, ncc_search, made, &image, SIMD_PLAIN, scratch) : 0;
        printf("%d,%d,%d,%d,%.4f,%.4f,%.2f\n", c->width, c->height, c->side, c->mask, exact, coarse,
               plain);
        arena_free(a);
    }
}
