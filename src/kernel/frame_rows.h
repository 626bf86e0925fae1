/* Inside frame.c and its variants: what one row of output goes through.
 *
 *     source rows (u8) -> vertical -> t: one row, 128 * level (i16) -> horizontal -> levels (i16, 0..255)
 *     three such rows -> colour -> three rows -> normalise -> (interleave ->) output
 *
 * Rows in scratch hold one element after the other, whatever the source's step (1 planar, 2
 * NV12, 3 RGB24), and have FRAME_SLACK elements behind them that may be read and written. */
#ifndef LATHE_KERNEL_FRAME_ROWS_H
#define LATHE_KERNEL_FRAME_ROWS_H

#include <stddef.h>

#include "kernel/frame.h"

#define FRAME_SLACK 64
#define FRAME_LINEAR 2048  /* unit of bilinear weights */
#define FRAME_FINE 128     /* unit of levels between the vertical and the horizontal step */
#define FRAME_COLOUR 13    /* bits behind the point of colours' coefficients */
#define FRAME_FOURTH 128   /* the fourth component of every colour */

/* How the outputs along one axis are made of the elements of a plane. Bilinear: (1 - w) x[first] +
 * w x[first + 1]; where w is 0, x[first + 1] may lie outside. Area: inverse * sum w[k] x[first +
 * k]. */
typedef struct FrameAxis {
    int count;       /* outputs */
    int lo, hi;      /* elements [lo, hi) have a part in them */
    bool area;
    /* area: weights an output has room for, a multiple of 8, zeros behind those used */
    int taps;
    int32_t *first;
    int32_t *used;   /* area: taps of each output */
    int16_t *weight; /* bilinear: (count), of the second; area: (count, taps) */
    float *inverse;  /* area */
    /* horizontal: pairs of neighbours that make one output; 0: too far apart for `shuffle` */
    int pairs;
    /* horizontal, bilinear as the vertical one is: bytes from element to element; else 0 */
    int step;
    bool at_once;    /* `prepare` found that `bilinear` can be used */
    void *shuffle;   /* horizontal: what `prepare` made */
} FrameAxis;

/* Rows of a plane as the vertical step takes them: component c of n pixels, step bytes apart. */
typedef struct FrameSource {
    const uint8_t *row; /* the first, at the first pixel */
    ptrdiff_t stride;
    /* from here to what the next output row begins with, to be fetched; 0: not known */
    ptrdiff_t ahead;
    int step, component, n;
} FrameSource;

/* out = (m[0] a + m[1] b + m[2] c + m[3] * FRAME_FOURTH) >> FRAME_COLOUR, clamped to 0..255 */
typedef struct FrameColour {
    int16_t m[4];
} FrameColour;

typedef struct FrameRows {
    /* (1 - weight) of the first row and weight of the second, in 1/2048; weight 0: the second is
     * not read. */
    void (*vertical_bilinear)(const FrameSource *s, int weight, int16_t *t);
    /* inverse * sum of weight[k] * row k; inverse makes the sum 128 * level. */
    void (*vertical_area)(const FrameSource *s, int taps, const int16_t *weight, float inverse,
                          int16_t *t);
    /* fills x->shuffle if there are pairs; NULL: nothing needed */
    void (*prepare)(FrameAxis *x);
    /* vertical_bilinear and horizontal_bilinear at once. */
    void (*bilinear)(const FrameSource *s, const FrameAxis *x, int weight, int16_t *out);
    /* t[0] is element x->lo. */
    void (*horizontal_bilinear)(const FrameAxis *x, const int16_t *t, int16_t *out);
    void (*horizontal_area)(const FrameAxis *x, const int16_t *t, int16_t *out);
    /* in[0..2] -> out[0..nout); rows may not overlap. */
    void (*colour)(const FrameColour *m, int nout, int n, const int16_t *const *in,
                   int16_t *const *out);
    void (*normalise)(const int16_t *in, int n, float scale, float shift, DType t, void *out);
    /* colour and normalise at once, row k by scale[k] and shift[k]; NULL: one after the other */
    void (*colour_f32)(const FrameColour *m, int nout, int n, const int16_t *const *in,
                       const float *scale, const float *shift, float *const *out);
    /* Rows of `size` bytes an element, side by side: `block` elements a pixel, zeros behind the
     * channels. */
    void (*interleave)(const void *const *in, int channels, int block, int n, int size, void *out);
} FrameRows;

extern const FrameRows frame_rows_plain, frame_rows_avx2, frame_rows_avx512, frame_rows_vbmi;

/* frame_to_tensor with the given routines. */
void frame_by_rows(const Frame *f, const FrameBox *box, FrameFilter filter, const FrameTensor *out,
                   const FrameRows *rows, void *scratch);

/* frame_turn.c: the same of frames with a turn. */
bool frame_is_turned(const Frame *f);
int64_t frame_turned_scratch(const Frame *f, const FrameBox *box, FrameFilter filter,
                             const FrameTensor *out);
void frame_turned(const Frame *f, const FrameBox *box, FrameFilter filter, const FrameTensor *out,
                  const FrameRows *rows, void *scratch);

/* Bytes that `prepare` may fill for so many outputs of so many pairs. Per 16 outputs: 8 offsets and
 * masks of 16 bytes, 16 weights of each pair; the widest variant takes 32 outputs at a time. */
static inline int64_t frame_shuffle_bytes(int count, int pairs)
{
    return ((int64_t)count + 31) / 32 * 2 * (8 * 4 + 8 * 16 + 16 * 4 * pairs) + 64;
}

/* The widest step between outputs, in elements, that `prepare` can serve: with it four outputs
 * begin within two loads. Of bilinear pixels farther apart, most elements have no part in any
 * output, and they are better made one by one (frame.c). */
#define FRAME_WIDEST 6.0

#endif
