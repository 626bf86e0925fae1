/* Layout: how the elements of a tensor lie in memory. One struct for graph values, stage tensors,
 * program buffers, constants and runtime tensors.
 *
 * A layout lists the physical dims, outermost first. Each is a part of a logical axis: `block` 0 is
 * the outer part (what is left of the axis), `block` b > 0 an inner block of b elements. An axis
 * that is split lists its outer part once, anywhere, and its blocks in order from outer to inner;
 * the outer extent is ceil(dim / product of its blocks): the axis is rounded up, its tail elements
 * are pad.
 *
 *     x (N,C,H,W) as NCHW8c:      n=5  (0,0) (1,0) (2,0) (3,0) (1,8)      text "0 1 2 3 1:8"
 *     b (K,N) in panels of 16 n:  n=3  (1,0) (0,0) (1,16)                 text "1 0 1:16"
 *     w (C,R), even R, then odd:  n=3  (1,2) (0,0) (1,0)                  text "1:2 0 1"
 *
 * n == 0 is the plain row-major layout of any rank. Pad lanes are zero where a contraction reads
 * them. */
#ifndef LATHE_TENSOR_LAYOUT_H
#define LATHE_TENSOR_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/lex.h"
#include "base/str.h"

#define MAX_RANK 8
#define MAX_LAYOUT_DIMS 12

typedef struct LayoutDim {
    int8_t axis;   /* logical axis */
    int32_t block; /* 0: the outer part */
} LayoutDim;

typedef struct Layout {
    int8_t n; /* physical dims; 0: row-major */
    LayoutDim dim[MAX_LAYOUT_DIMS];
} Layout;

static inline bool layout_is_plain(const Layout *l) { return l->n == 0; }
bool layout_equal(const Layout *a, const Layout *b);
/* Product of the blocks of `axis`; 1 if it is not split. */
int64_t layout_block(const Layout *l, int axis);
/* Every axis of `rank` has exactly one outer part, and blocks are > 1. */
bool layout_valid(const Layout *l, int rank);
/* Elements in memory, pad included. */
int64_t layout_elements(const Layout *l, int rank, const int64_t *dims);
/* Position in memory (elements) of the element at logical `index`. */
int64_t layout_offset(const Layout *l, int rank, const int64_t *dims, const int64_t *index);
/* "0 1 2 3 1:8"; "plain" for row-major. Parsing stops before the first token that does not fit. */
void layout_print(const Layout *l, Str *out);
Layout layout_parse(Lexer *lex);

#endif
