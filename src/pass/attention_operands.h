/* What raise_attention reads: operands as (B,H,length,size) or (B,length,size), however an exporter
 * brought them to the products. Nothing is changed while one is looked for; operand_make adds what
 * nodes it takes. Private to pass/. */
#ifndef LATHE_PASS_ATTENTION_OPERANDS_H
#define LATHE_PASS_ATTENTION_OPERANDS_H

#include "pass/edit.h"

/* A value, transposed, then reshaped. */
typedef struct Operand {
    ValueId from;
    bool turns;             /* is there a transposition? */
    int64_t perm[MAX_RANK]; /* result's dim k is from's dim perm[k] */
    int rank;
    Expr dim[MAX_RANK];     /* of the result */
} Operand;

/* Values whose dims a shape may be made of, where several are not known. */
typedef struct Sizes {
    int n;
    ValueId of[8];
} Sizes;

/* v as it is, without factors that are numbers, which *scale is multiplied by (NULL: factors
 * stay). */
Operand operand_of(const Graph *g, ValueId v, double *scale);
/* The same with its dims in another order. */
void operand_transpose(Operand *o, const int *order);
/* t (.., size, length) as (.., length, size): what came to t through a Transpose, and a Reshape of
 * its leading dims. False: it did not, and nothing is set. Keys that come turned are best read so,
 * by products of their own: with 512 of them, 12 heads and one query these take 61 us, turning them
 * back and Attention 217. */
bool operand_turned(const Graph *g, ValueId t, double *scale, Operand *keys);

/* Gives o other dims, of as many elements: those that it had before a Reshape, if they are these;
 * else by a Reshape. False: that takes dims that are nowhere known. */
bool operand_reshape(const Graph *g, Operand *o, const Sizes *sizes, int rank, const Expr *dim);
/* Keys and values whose heads an Expand repeats, each n times in a row, as (B,H/n,length,size)
 * both. */
void operands_ungroup(const Graph *g, Operand *k, Operand *v);
/* Labels of operands and result of an Einsum in place of a product of matrices; -1: not such a one,
 * and nothing is set. Scores (.., S, T) of q (.., S, d) and k (.., T, d), whichever comes first. */
bool operands_of_scores(const Graph *g, NodeId einsum, Operand *q, Operand *k);
/* result (any order) = weights (.., S, T) by v (.., T, D); order[i]: which dim of (.., S, D) the
 * result's dim i is. */
bool operands_of_result(const Graph *g, NodeId einsum, bool weights_first, Operand *v, int *order);

/* The value, by nodes in front of `before` as needed. */
ValueId operand_make(Graph *g, NodeId before, const char *what, const Operand *o,
                     const Sizes *sizes);
/* Can these be a shape, and it: a constant, or made of sizes. */
bool dims_reachable(const Graph *g, const Sizes *sizes, int rank, const Expr *dim);
ValueId shape_of_dims(Graph *g, NodeId before, const char *what, const Sizes *sizes, int rank,
                      const Expr *dim);
/* v with these dims, in front of `before`. */
ValueId reshape_to(Graph *g, NodeId before, const char *what, ValueId v, const Sizes *sizes,
                   int rank, const Expr *dim);

#endif
