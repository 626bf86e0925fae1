/* Elements of values that are numbers already. Private to pass/. */
#ifndef LATHE_PASS_KNOWN_H
#define LATHE_PASS_KNOWN_H

#include "graph/graph.h"

/* A constant's, or those that inference found. */
typedef struct Known {
    DType dtype;
    int64_t count;
    const Tensor *tensor; /* plain; NULL: elems */
    const Expr *elems;
    const Exprs *x;
} Known;
bool known_elements(const Graph *g, ValueId v, Known *k);
double known_float(const Known *k, int64_t i);  /* as dtype_read */
int64_t known_int(const Known *k, int64_t i);   /* integers and bool */
/* All of them, integers, at most `max`: how many; -1: not known, or more. */
int known_ints(const Graph *g, ValueId v, int64_t *to, int max);
/* All elements are equal, bit by bit but for NaN: their number. False: no elements, or unknown. */
bool known_uniform(const Graph *g, ValueId v, double *number);

#endif
