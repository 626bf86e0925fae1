/* What the passes over quantized products share. Private to pass/. */
#ifndef LATHE_PASS_QUANTIZED_H
#define LATHE_PASS_QUANTIZED_H

#include "graph/graph.h"
#include "target/target.h"

/* A product of bytes: where its inputs are; -1: the op has no such input. */
typedef struct Quantized {
    int a, b, a_zero, b_zero, bias;
    bool conv, needs_zeros; /* zero points may not be omitted */
} Quantized;
/* Is node n one that rewriting may gain by? In the main block, of bytes, not depthwise. */
bool quantized_product(const Graph *g, const Node *n, Quantized *q);

ValueId quantized_input(const Node *n, int k); /* -1 */
/* The zero point is omitted, or known to be 0 throughout. */
bool zero_point_is_zero(const Graph *g, ValueId v);
bool zero_point_is_single(const Graph *g, ValueId v);
/* Has the target an instruction for products of these types, as they are? */
bool target_multiplies(const Target *t, DType a, DType b);
/* Inserts `op` in front of a node, a cast to the type `to`, and infers it. */
ValueId insert_inferred(Graph *g, NodeId before, OpCode op, const char *what, DType to, int n,
                        const ValueId *in);

#endif
