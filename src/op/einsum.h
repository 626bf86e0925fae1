/* Equations of Einsum, as other folders read them. */
#ifndef LATHE_OP_EINSUM_H
#define LATHE_OP_EINSUM_H

#include "graph/graph.h"

/* The labels of an operand or of the result, a dim each: a letter, or a number above all letters
 * for a dim of an ellipsis, counted from the right. */
typedef struct EinsumTerm {
    int n;
    int label[MAX_RANK];
} EinsumTerm;

typedef struct EinsumEquation {
    int nin;
    EinsumTerm *in;
    EinsumTerm out;
} EinsumEquation;

/* Fails where the equation is none, or is not of `nin` operands with these ranks. */
EinsumEquation einsum_equation(const Graph *g, NodeId id, int nin, const int *rank);

#endif
