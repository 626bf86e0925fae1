/* From a node of class K to the call of its host routine. */
#ifndef LATHE_OP_HOST_CALL_H
#define LATHE_OP_HOST_CALL_H

#include "graph/graph.h"
#include "kernel/host.h"

/* The routine of node `n`, and all of `call` that the graph knows: the count, dtype and rank of
 * inputs and outputs (DT_NONE: absent) and the attributes as ints and floats. Dims and data are
 * left to whoever runs it. */
const HostRow *op_host_call(const Graph *g, NodeId n, HostCall *call);

#endif
