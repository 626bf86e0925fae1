/* The oracle: what stages mean, evaluated one scalar at a time straight from the stages, with
 * neither schedule nor loops nor generated code between. Everything fast is checked against it.
 *
 * Two modes:
 *   ORACLE_EXACT   every op in its own type, as expr.h says: the bits of a plain implementation
 *                  that reduces in order and contracts nothing.
 *   ORACLE_DOUBLE  every float op in double, and with each value a *magnitude* m, so that any order
 *                  of summing, with or without fma, gives  |got - value| <= c * ORACLE_EPS * m  for
 *                  a small c (about the square root of the number of terms). m of a sum is the sum
 *                  of the terms' m; rounding to f16 adds what it loses, in units of ORACLE_EPS; where
 *                  a comparison or a rounding to integer may go either way, the jump is added.
 *
 * A load outside of a tensor gives 0: it can only stand in the side of a select that is not
 * taken. */
#ifndef LATHE_LOOP_ORACLE_H
#define LATHE_LOOP_ORACLE_H

#include "loop/stage.h"
#include "tensor/tensor.h"

#define ORACLE_EPS 0x1p-24 /* f32's unit roundoff */

typedef enum OracleMode { ORACLE_EXACT, ORACLE_DOUBLE } OracleMode;

/* Computes all elements of the outputs, exactly typed. `sym`: values by variable id of s->x; NULL
 * if no symbol is used. `tensor`: by tensor id, inputs and constants filled, outputs made with the
 * right type and dims (any layout); others are ignored. Fails with ERR_INVALID where dims
 * differ. */
void oracle_run(const Stages *s, const int64_t *sym, Tensor **tensor);

/* Chosen elements of one computed tensor (an output or a temporary), by row-major index; only what
 * they need is computed. `tensor`: inputs and constants. `magnitude` may be NULL in ORACLE_EXACT.
 * In ORACLE_DOUBLE float values are not rounded to their type. */
void oracle_elements(const Stages *s, const int64_t *sym, Tensor **tensor, OracleMode mode,
                     int which, int64_t n, const int64_t *index, Scalar *value, double *magnitude);

/* The elements of `tensor`, row-major, as expressions, given those of some inputs: known[t] for
 * t < nknown, NULL where not known (in the compute type, or i64 for any integer). All of them, or
 * false: if they depend on what is not known, or it is too much work. Extents of reductions must be
 * constant. */
bool stages_eval_symbolic(Stages *s, int tensor, int nknown, const Expr *const *known, Expr *out);

#endif
