/* What nodes cost in each of their forms, measured: rows for a table of costs (pass/cost_table.h).
 *
 * A node is compiled alone, as a graph of its own, in each form that the choice of layouts weighs:
 *
 *     x -> identity -> x', in the form's layout -> node, by its variant -> y, in the form's layout
 *
 * and only its own kernels are timed, on one thread. Before each run other memory is read until the
 * second-level cache holds nothing of the node: what the node before has just made, x', is near,
 * its weights are not. A border that a convolution reads lies in x' already, where pass/halo.c
 * mostly puts it. All forms of a node are timed in turns, the least time of many counts, so that
 * what else the machine does falls on all alike.
 *
 * What a node costs inside a network differs: it may be fused, and neighbours compete for
 * caches. */
#ifndef LATHE_TUNE_NODE_COSTS_H
#define LATHE_TUNE_NODE_COSTS_H

#include "compile/compile.h"
#include "pass/cost_table.h"

typedef struct NodeCostOptions {
    CompileOptions compile; /* the target must run here */
    int rounds;
    /* May be NULL. */
    void (*progress)(void *arg, const char *what, int done, int total);
    void *progress_arg;
} NodeCostOptions;

typedef struct NodeCostResult {
    /* forms of nodes, and copies: new in the table, there before, not compiled or run */
    int measured, known, failed;
    /* by the table: what is chosen by estimates, and by the table */
    double estimated_ns, chosen_ns;
} NodeCostResult;

/* Adds what the choice of layouts and variants weighs on g, of model_early, and the table lacks. */
int node_costs_measure(const Graph *g, const NodeCostOptions *opt, CostTable *table,
                       NodeCostResult *out, Error *e);

#endif
