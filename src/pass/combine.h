/* Products side by side that become one: what combine_parallel and combine_batch share.
 *
 * Parts are affine nodes that are alike, each followed by a chain of pointwise nodes, which are
 * alike too. Both passes find parts in their own way, and make one node of them, of each row of the
 * chain, and a Split. Private to pass/. */
#ifndef LATHE_PASS_COMBINE_H
#define LATHE_PASS_COMBINE_H

#include "pass/affine.h"

enum {
    MAX_PARTS = 16,
    MAX_CHAIN = 8,
};

typedef struct Parts {
    int n, length;
    Affine part[MAX_PARTS];
    NodeId chain[MAX_CHAIN][MAX_PARTS]; /* what follows, `length` rows */
    ValueId end[MAX_PARTS];             /* what the last one makes */
} Parts;

typedef struct Parallel {
    Graph *g;
    const int *uses;
    NodeId *reader; /* by value: one of the nodes that read it; -1 */
    const PassOptions *opt;
} Parallel;

/* Finds readers and uses, anew after each change. */
void parallel_look(Parallel *c);

/* Where n reads v; -1: nowhere, or twice. */
int position_of(const Node *n, ValueId v);
/* The bias is missing, or has an element for each channel. */
bool has_plain_bias(const Graph *g, const Affine *l);
/* The rows of the chain: what follows all parts alike, but for constants of each channel. */
void parallel_follow(const Parallel *c, Parts *p);

/* What a product takes: the larger of the cycles of its multiplications, at the target's rate, and
 * of reading its weights from the second-level cache. Dims that are not known count with their
 * upper bound. */
double product_cycles(const Parallel *c, const Affine *l);
/* Starting a step, its threads included, is a tenth of such a product or more; it runs on one
 * core. */
bool is_short_product(double cycles);

/* A term may be computed after `before`: it moves in front of it. */
void hoist_term(Graph *g, ValueId v, NodeId before);
/* concat of v, in front of `before`. */
ValueId parallel_join(Graph *g, NodeId before, int n, const ValueId *v, int axis);
/* The first part's node, with other inputs, in front of `before`. */
ValueId parallel_copy(Graph *g, NodeId like, NodeId before, const ValueId *in);
/* A term of the channels of each part as one for the whole. */
typedef ValueId (*JoinTerms)(Graph *g, const Parts *p, const ValueId *term, NodeId before);
/* The chain behind `whole`; returns what its end makes. */
ValueId parallel_chain(Graph *g, const Parts *p, NodeId before, ValueId whole, JoinTerms join);
/* p->end, the boxes of `whole` along the axis, in the place of `before`; parts and chain go. */
void parallel_split(Graph *g, const Parts *p, NodeId before, ValueId whole, int axis,
                    const int64_t *sizes);

#endif
