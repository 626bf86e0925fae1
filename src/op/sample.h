/* Reading a tensor between its elements: GridSample and DeformConv. */
#ifndef LATHE_OP_SAMPLE_H
#define LATHE_OP_SAMPLE_H

#include "op/window.h"

typedef enum SampleMode { SAMPLE_LINEAR, SAMPLE_NEAREST, SAMPLE_CUBIC } SampleMode;
typedef enum SamplePadding { SAMPLE_ZEROS, SAMPLE_BORDER, SAMPLE_REFLECTION } SamplePadding;

typedef struct Sample {
    Stages *s;
    int tensor;           /* (lead..., spatial...) */
    int lead, n;          /* dims of each kind */
    Expr index[MAX_RANK]; /* of the leading dims */
    Expr at[MAX_SPATIAL]; /* places, of the tensor's compute type (a float), in elements */
    SampleMode mode;
    SamplePadding padding;
    bool align_corners; /* reflection is about the centres of the corners, not their edges */
} Sample;

/* The value there, in the tensor's compute type, a float. */
Expr sample(const Sample *p);

#endif
