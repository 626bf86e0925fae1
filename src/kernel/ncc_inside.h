/* Inside ncc.c and its variants: templates as integers, and the sums that make a score.
 *
 * Levels are taken less 128, which changes no score. With M = sum m, A = sum m T, B = sum m T^2 of
 * the template and C = sum m T I, S1 = sum m I, S2 = sum m I^2 of a place,
 *
 *     r = (C - A S1 / M) / sqrt((S2 - S1^2 / M) (B - A^2 / M))
 *
 * The sums are exact: integers below 2^53, in doubles. Only the last formula rounds, and one
 * function computes it. */
#ifndef LATHE_KERNEL_NCC_INSIDE_H
#define LATHE_KERNEL_NCC_INSIDE_H

#include <stddef.h>

#include "kernel/ncc.h"

#define NCC_NOTHING -2.0F /* the score of a place about which nothing can be said */
#define NCC_ROWS 4        /* rows of places that a correlation makes at once */
#define NCC_WIDEST 32     /* places beside each other that the widest variant makes at once */

/* A template of one size. Rows have pairs * 2 elements, zeros behind the last. */
typedef struct NccKernel {
    int width, height, pairs;
    int16_t *product; /* m T */
    int16_t *mask;    /* m; NULL: all 1 */
    bool flat;
    double mass;      /* M */
    double mean;      /* A / M */
    double spread;    /* B - A^2 / M */
    int rows;         /* so many rows of products add up within 31 bits, whatever the picture */
} NccKernel;

struct NccTemplate {
    int levels; /* 1 to 3 */
    NccKernel level[3]; /* full size, half, a quarter */
};

/* Scores of n places. */
void ncc_scores(const NccKernel *k, int n, const double *c, const double *s1, const double *s2,
                float *score);

/* sum of image[(y + j) * stride + x + i] * kernel[j * 2 * pairs + i] for `rows` (1 to NCC_ROWS)
 * rows of places and as many columns x as the variant is wide, into out (rows, 2, wide / 2): first
 * the even columns, then the odd ones. Reads up to wide + 2 * pairs elements of a row. */
typedef void NccCorrelate(const int16_t *image, ptrdiff_t stride, int rows, const int16_t *kernel,
                          int height, int pairs, int32_t *out);

typedef struct NccVariant {
    int wide;
    NccCorrelate *correlate;
} NccVariant;

extern const NccVariant ncc_avx2, ncc_avx512, ncc_vnni;

/* Places of a picture: all, or some of them. */
typedef struct NccPlaces {
    int x, y, width, height;
} NccPlaces;

/* Scores of places, (height, width), row by row; NULL: one place after the other, by the
 * definition. */
void ncc_map(const NccKernel *k, const NccImage *image, const NccPlaces *at, const NccVariant *v,
             void *scratch, float *map);
int64_t ncc_map_scratch(const NccKernel *k, int width, int height); /* of so many places */

/* Means of two by two, into `to`, which is half->at then; what is odd is left out. */
void ncc_halve(const NccImage *from, uint8_t *to, NccImage *half);
int64_t ncc_half_bytes(int width, int height); /* rounded up to 64 */
bool ncc_fits(const NccKernel *k, const NccImage *image);
NccPlaces ncc_all_places(const NccKernel *k, const NccImage *image);
/* Those within `reach` of (x, y) that there are; the one that is nearest to it if there is none. */
NccPlaces ncc_near(const NccKernel *k, const NccImage *image, int x, int y, int reach);
/* The best of some places, with scratch for so many. */
NccMatch ncc_search_at(const NccKernel *k, const NccImage *image, const NccPlaces *p,
                       const NccVariant *v, void *scratch);
/* of all places in a picture of this size */
int64_t ncc_search_scratch(const NccKernel *k, int width, int height);
/* The first of the largest of n > 0. */
int64_t ncc_largest(const float *v, int64_t n);

const NccVariant *ncc_variant(SimdLevel level); /* NULL: plain */

/* ncc_search and ncc_search_coarse by a variant; NULL: plain. */
NccMatch ncc_search_by(const NccTemplate *t, const NccImage *image, const NccVariant *v,
                       void *scratch);
NccMatch ncc_coarse_by(const NccTemplate *t, const NccImage *image, const NccVariant *v,
                       void *scratch);

#endif
