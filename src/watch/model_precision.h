/* What a watch's models of pictures compute in: `model: {precision: ..}`. */
#ifndef LATHE_WATCH_MODEL_PRECISION_H
#define LATHE_WATCH_MODEL_PRECISION_H

typedef enum ModelPrecision {
    MODEL_AUTO, /* bf16 where this CPU multiplies it by tiles (several times as fast as f32), else
                   f32 */
    MODEL_F32,
    MODEL_BF16 /* products that gain by it; sums are in f32 (pass/lower_precision.c) */
} ModelPrecision;

#endif
