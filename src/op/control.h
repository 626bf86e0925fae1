/* Control flow in graphs. */
#ifndef LATHE_OP_CONTROL_H
#define LATHE_OP_CONTROL_H

#include "graph/graph.h"

/* Replaces every If whose condition is known by the nodes of its branch, in every block. The If's
 * outputs keep their ids: Identity nodes make them. Call after inference; op_infer_graph does.
 *     r = if(true) { a = relu(x); a } { ... }   ->   a = relu(x); r = identity(a)
 * Returns how many were replaced. */
int control_fold(Graph *g);

/* How the body of a Loop or Scan is wired. */
typedef struct LoopParts {
    bool is_loop; /* Loop, else Scan */
    int body;     /* block */
    int carried,
        scanned;   /* values carried from one iteration to the next; inputs taken apart (Scan) */
    int collected; /* outputs put together from all iterations */
    int first_in;  /* node input that holds the first carried value; scanned ones follow */
    int body_in, body_out; /* block input and output of the first carried value */
} LoopParts;
LoopParts control_loop_parts(const Graph *g, NodeId n);
/* Entry k of a list attribute of Scan, 0 if it is not given: axes (of `rank`, made positive),
 * directions. */
int control_scan_axis(const Node *n, const char *attr, int k, int rank);
bool control_scan_reversed(const Node *n, const char *attr, int k);

#endif
