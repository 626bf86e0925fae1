/* The reference executor: runs an inferred graph node by node, class S through the oracle, class K
 * through the host routines, class C by walking blocks. Slow and plain: what everything faster is
 * compared with.
 *
 * Symbols get their values from tensors: a dim (or an element, of a block input) that is a bare
 * symbol binds it, whenever such a value is set; in a loop, at every iteration anew. */
#ifndef LATHE_OP_REFERENCE_H
#define LATHE_OP_REFERENCE_H

#include "graph/graph.h"

typedef struct Reference {
    Context *ctx; /* tensors made here are released with its arena */
    const Graph *g;
    Tensor **value; /* by value id; NULL: not computed yet */
    int64_t *sym;   /* by var id of the graph's pool */
    bool *bound;
} Reference;

/* in: one tensor for each graph input. out: one reference for each graph output, the caller's.
 * Fails if a tensor does not fit its input, or an assumption of inference does not hold. */
void reference_run(Context *ctx, const Graph *g, Tensor *const *in, Tensor **out);

/* Chosen elements (row-major) of `out`, a result of the last of `node`: class S nodes that stand in
 * this order and whose other results nobody needs to know. They are defined in one Stages and
 * evaluated in double from the tensors that r holds; magnitude: see loop/oracle.h. Only what these
 * elements need is computed. r stays as it was, and may be used so by several threads: memory is
 * ctx's, and failures go there. */
void reference_elements(Context *ctx, const Reference *r, int nnode, const NodeId *node,
                        ValueId out, int64_t n, const int64_t *index, Scalar *value,
                        double *magnitude);
/* An executor for the same graph that knows what r knows: memory and failures are ctx's. */
Reference *reference_fork(Context *ctx, const Reference *r);

/* ---- its parts ---- */
Reference *reference_new(Context *ctx, const Graph *g);
/* A new tensor that lives as long as the executor. */
Tensor *reference_tensor(Reference *r, DType t, int rank, const int64_t *dims);
Tensor *reference_get(const Reference *r, ValueId v); /* computed, or a constant */
void reference_set(Reference *r, ValueId v,
                   Tensor *t); /* takes a reference of its own; binds symbols */
bool reference_eval(const Reference *r, Expr dim,
                    int64_t *value); /* false: a symbol has no value yet */
void reference_block(Reference *r, int block);
void reference_node(Reference *r, NodeId n);
void reference_host(Reference *r, NodeId n);    /* class K: reference_host.c */
void reference_control(Reference *r, NodeId n); /* class C: reference_control.c */

#endif
