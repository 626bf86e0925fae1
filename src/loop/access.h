/* How a stage reads its tensors: what templates need to know, derived from index maps alone. */
#ifndef LATHE_LOOP_ACCESS_H
#define LATHE_LOOP_ACCESS_H

#include "loop/stage.h"

/* Is it the sum + a * b that a product reduction updates to: fma(a, b, sum) of loads, or sum +
 * i32(a) * i32(b) of loads of integers of 8 or 16 bits? */
bool product_terms(const Exprs *x, Expr update, Expr *a, Expr *b, Expr *sum);

/* A product reduction: update = state + A[..] * B[..] (product_terms) with single loads as
 * factors. */
typedef struct Contraction {
    int stage;
    /* the two load terms; B is the side that is vectorised (constant if one is) */
    Expr a, b;
    int a_tensor, b_tensor;
    uint32_t in_a, in_b;    /* axes that their indices use, bit by axis */
    int vector_axis; /* domain axis used by B only: the last that counts along a dim of B (k, g*32 +
                      * k, but not r*2 + u), else the last; but for one that fills few lanes where
                      * an earlier one fills more; -1: none */
    uint32_t row_axes;      /* domain axes used by A only */
} Contraction;

/* Is `stage` one? Looks at stage form and body only. */
bool contraction_of(const Stages *s, int stage, Contraction *out);

/* Does the stage load the tensor? */
bool stage_loads(const Stages *s, const Stage *st, int tensor);
/* The last stage that produces something this one loads; -1. */
int last_producer(const Stages *s, const Stage *st);
/* Stages that read any result of `stage`; the last one in *reader. */
int count_readers(const Stages *s, int stage, int *reader);
/* Does `reader` (a MAP) read every result of `stage` only at its own point: t[i0, i1, ...] with the
 * axes in order? Then `stage` can be computed inside any loop of the reader. */
bool reads_pointwise(const Stages *s, int reader, int stage);
/* Memory stride (elements) of a load in `var`; false if it is not linear or not constant. */
bool load_stride(const Stages *s, Expr load, Expr var, int64_t *stride);
/* The dim of the load that goes from element to element as the axis does, whatever else is reduced:
 * its index is the axis plus *rest, without other reduction axes. -1: none. */
int load_dim_along(const Stages *s, const Stage *st, Expr load, int axis, Expr *rest);
/* The dim of `tensor` that the stage's first load of it indexes by `var` itself; -1: none. */
int load_dim_of(const Stages *s, const Stage *st, int tensor, Expr var);
/* The only load of `tensor` by a MAP; 0: there are none or several. */
Expr load_of(const Stages *s, const Stage *st, int tensor);
/* The domain axis along which memory runs where the stage reads across it (far apart) along `axis`:
 * it transposes. -1: it does not. */
int load_axis_across(const Stages *s, const Stage *st, int axis);
/* Is it known how far each load of a MAP moves in memory as this domain axis runs? Not where it is
 * clamped, as at a border. */
bool loads_are_straight(const Stages *s, const Stage *st, int axis);
/* Do all loads of a REDUCE go along memory (stride 1 or 0) as its last reduction axis runs? */
bool reduction_is_contiguous(const Stages *s, int stage);
/* Is the index the stage's domain axis itself? (Of an axis of extent 1 the pool makes 0.) */
bool is_axis(const Exprs *x, const Stage *st, int axis, Expr index);
/* Rough cost of computing one point, in flops; transcendental functions count 20. */
int point_cost(const Stages *s, const Stage *st);

#endif
