/* How far outputs in a lower precision are from those in f32. */
#ifndef LATHE_TOOLS_ACCURACY_H
#define LATHE_TOOLS_ACCURACY_H

#include "tensor/tensor.h"

#define ACCURACY_CLASSES 6 /* a last dim from here on may hold scores of classes */

typedef struct Accuracy { /* of one output, over all that was added */
    int64_t elements;
    double max_abs;
    double error2, want2, got2, dot; /* sums of (got - want)^2, want^2, got^2, got * want */
    /* rows of class scores; those whose best class is the same; is among the five best */
    int64_t rows, top1, top5;
    bool broken;              /* another shape, or no number where there was one */
} Accuracy;

void accuracy_add(Accuracy *a, const Tensor *got, const Tensor *want);
/* |got - want| / |want|, as vectors; infinite if broken. */
double accuracy_relative(const Accuracy *a);
double accuracy_cosine(const Accuracy *a); /* of the angle between them */

#endif
