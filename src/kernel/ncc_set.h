/* Several templates of one thing, as it is turned or in other sizes: the best place of the best of
 * them.
 *
 *     all places of all templates, coarse        best of each: . x . X . .
 *     the best of these, exactly                               X 0.81    x 0.93
 *     all templates around the best of these     X 0.93        -> the result
 *
 * The coarse view is half the size or a quarter, but none in which a template has a side below
 * NCC_SET_COARSEST: with fewer pixels turns look alike.
 *
 * What it gives is the exact score of the place and the template that it gives. That is what an
 * exhaustive search finds but where the best place does not stand out in the coarse view:
 * tests/game/test_position.c says how often. Where the coarse view is flat all over, no template
 * is there; the first one's best place then says whether the picture is flat, too. */
#ifndef LATHE_KERNEL_NCC_SET_H
#define LATHE_KERNEL_NCC_SET_H

#include "kernel/ncc.h"

#define NCC_SET_COARSEST 10

typedef struct NccSetMatch {
    NccMatch match;
    int which; /* template, if not flat */
} NccSetMatch;

/* Bytes of scratch, 64-byte aligned, for n templates in pictures of this size. */
int64_t ncc_set_scratch(const NccTemplate *const *t, int n, int width, int height);
/* Templates that are flat or do not fit the picture are not found; if none is left the result is
 * flat. */
NccSetMatch ncc_set_search(const NccTemplate *const *t, int n, const NccImage *image,
                           SimdLevel level, void *scratch);
/* By an exhaustive search: ncc_search of each template, the first of the best. */
NccSetMatch ncc_set_search_all(const NccTemplate *const *t, int n, const NccImage *image,
                               SimdLevel level, void *scratch);

#endif
