/* The loop interpreter: runs loops of either form, one scalar at a time, with the scalar semantics
 * of expr/ and the storage rules of tensor/dtype.h. It shares nothing with code generation, so that
 * it is the reference for it, for lowering and for expansion.
 *
 * Every access is checked: indices against the (rounded up) dims in the structured form, offsets
 * against the buffer's elements in the expanded form; and no register is read before it is set.
 * Scratch, local buffers and registers are filled with garbage for each value of the parallel
 * loop. */
#ifndef LATHE_LOOP_INTERP_H
#define LATHE_LOOP_INTERP_H

#include "loop/loops.h"

/* bufs[k], of buf_elements[k] elements of the type of the buffers with arg k; syms in the order of
 * l->sym. Fails with ERR_INTERNAL, naming statement, buffer and place, where an access is wrong. */
void loops_interpret(Context *ctx, const Loops *l, void *const *bufs, const int64_t *buf_elements,
                     const int64_t *syms);

#endif
