/* From a decoded frame to a model's input in one pass: crop, resize, colour, normalise, layout,
 * type.
 *
 *     planes Y, U, V  ->  box of the frame  ->  width x height  ->  R, G, B  ->  value * scale + shift  ->  tensor
 *
 * **Sampling.** The box is continuous: pixel (i, j) of luma covers [i, i+1) x [j, j+1). Output
 * pixel (i, j) has its centre at box.x + (i + 0.5) * box.width / width, likewise y.
 *   FRAME_BILINEAR  the four pixels around it, weights in 1/2048 (11 bits, as OpenCV's INTER_LINEAR has them); outside the
 *                   frame the nearest pixel.
 *   FRAME_AREA      the mean of what the output pixel covers, by area (OpenCV's INTER_AREA); along an axis on which it covers
 *                   no more than a pixel, bilinear.
 * Each plane is sampled in its own resolution at the same place (chroma 4:2:0 sited left, as H.264
 * has it, unless `centre`), then converted: a frame is never converted as a whole, and a pixel
 * outside the box, but for neighbours, is never read.
 *
 * **Colour.** y' = (Y - 16) / 219, c' = (C - 128) / 224, or Y / 255 and (C - 128) / 255 of full
 * range; then R = y' + 2(1-kr) v, B = y' + 2(1-kb) u, G from the sum (ITU-R BT.601 2.5, BT.709 3.3,
 * BT.2020), in fixed point of 13 bits behind the point (so that coefficients are 16-bit numbers: an
 * error of 0.02 levels), rounded once, clamped to 0..255. One channel is y' * 255 alone; of RGB24
 * and BGR24, kr R + kg G + kb B.
 *
 * **Turned frames.** Phones store a picture as the sensor lies, and say how it is to be shown. Such
 * a frame says so in `turn`; its width and height, and all boxes, are as it is shown. Nothing is
 * turned but what comes out: the box is taken as it lies, and the tensor written turned.
 *
 * The result of every variant (AVX2, AVX-512, plain C) is the same to the bit: sums are of
 * integers, areas are divided by one multiplication of floats, and value * scale + shift is one
 * fused multiply-add. */
#ifndef LATHE_KERNEL_FRAME_H
#define LATHE_KERNEL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/simd_level.h"
#include "tensor/dtype.h"

typedef enum FrameFormat {
    FRAME_I420,
    FRAME_I422,
    FRAME_I444,
    FRAME_NV12,
    FRAME_GRAY,
    FRAME_RGB24,
    FRAME_BGR24
} FrameFormat;
typedef enum FrameMatrix { FRAME_BT601, FRAME_BT709, FRAME_BT2020 } FrameMatrix;
typedef enum FrameFilter { FRAME_BILINEAR, FRAME_AREA } FrameFilter;
typedef enum FrameOrder { FRAME_NCHW, FRAME_NHWC, FRAME_NCHW_BLOCKED } FrameOrder;

/* How a picture that is shown lies in memory: its x axis along the rows, or, swapped, along the
 * columns; backwards. All false: as it is shown. A quarter clockwise: swapped, flip_x; a half: both
 * flips; mirrored: flip_x. */
typedef struct FrameTurn {
    bool swapped, flip_x, flip_y;
} FrameTurn;

typedef struct Frame {
    FrameFormat format;
    int width, height;      /* 1 to 16384; as shown */
    FrameTurn turn;
    const uint8_t *plane[3]; /* NV12: two; RGB24: one */
    int stride[3];          /* bytes a row, may be negative */
    FrameMatrix matrix;
    bool full;              /* range 0..255, not 16..235; RGB24 and BGR24 always are */
    bool centre;            /* chroma sited in the middle of its pixels (MPEG-1, JPEG) */
} Frame;

typedef struct FrameBox { /* luma pixels; may reach over the frame's edge */
    double x, y, width, height;
} FrameBox;

typedef struct FrameTensor {
    void *data;         /* of one image */
    DType dtype;        /* DT_F32, DT_U8, DT_I8: rounded to nearest even, clamped */
    FrameOrder order;
    int width, height;  /* to be written */
    int channels;       /* 3, or 1: gray */
    bool bgr;           /* channel 0 is blue */
    /* of FRAME_NCHW_BLOCKED: channels are innermost, padded with zeros to so many */
    int block;
    int64_t row, plane;       /* elements from row to row and from plane to plane (NCHW); 0: dense.
                               * Writing into part of a larger       tensor, as letterboxes and right-padded
                               * lines need, is a matter of data and these two */
    float scale[3], shift[3]; /* by channel of the output, of 0..255 */
} FrameTensor;

/* A frame that lies in memory, as it is to be shown; the other way round, and a box of it there. */
Frame frame_shown(const Frame *stored, FrameTurn turn);
Frame frame_stored(const Frame *f);
FrameBox frame_stored_box(const Frame *f, const FrameBox *box);

/* Bytes of scratch, at least 64-byte aligned, that a call needs. */
int64_t frame_scratch(const Frame *f, const FrameBox *box, FrameFilter filter,
                      const FrameTensor *out);
/* Writes out->data. Arguments must be legal: sizes of at least 1, a box of positive size. Runs on
 * the calling thread. */
void frame_to_tensor(const Frame *f, const FrameBox *box, FrameFilter filter,
                     const FrameTensor *out, SimdLevel level, void *scratch);

#endif
