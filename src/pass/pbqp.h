/* One of a few choices for each of many variables, so that the sum of costs is least: of each
 * choice by itself, and of pairs of choices of variables that an edge connects. (Partitioned
 * Boolean quadratic problem; for layouts and primitives of networks: Anderson and Gregg, "Optimal
 * DNN Primitive Selection with PBQP", 2018.)
 *
 * Dynamic programming. A variable with one neighbour, or two, is optimised for each choice of those
 * and disappears into their costs: exact, and enough for chains, trees, residual connections and
 * branches that join. What is left has three neighbours or more each: one variable is tried with
 * each of its choices, again and again, up to a bound on the number of attempts; after that it gets
 * what looks best beside the best of its neighbours, and in the end single choices are changed as
 * long as that helps. */
#ifndef LATHE_PASS_PBQP_H
#define LATHE_PASS_PBQP_H

#include <stdbool.h>

#include "base/vec.h"

#define PBQP_CHOICES 9

typedef struct PbqpEdge {
    int a, b;
    double cost[PBQP_CHOICES][PBQP_CHOICES]; /* by choice of a and of b */
} PbqpEdge;

typedef struct PbqpVariable {
    int n;                     /* choices */
    double cost[PBQP_CHOICES];
    VEC(int) edge;             /* those that are there no more included */
} PbqpVariable;

typedef struct Pbqp {
    Arena *arena;
    VEC(PbqpVariable) variable;
    VEC(PbqpEdge) edge;
} Pbqp;

typedef struct PbqpResult {
    int *choice; /* by variable */
    double cost;
    bool exact;  /* proven to be the least */
} PbqpResult;

Pbqp pbqp_new(Arena *a);
/* 1 to PBQP_CHOICES choices; returns its number. Costs are finite. */
int pbqp_variable(Pbqp *p, int n, const double *cost);
/* The edge of two different variables, a new one with costs 0 if there was none. */
PbqpEdge *pbqp_edge(Pbqp *p, int a, int b);
/* p is used up. */
PbqpResult pbqp_solve(Pbqp *p);
double pbqp_cost(const Pbqp *p, const int *choice);

#endif
