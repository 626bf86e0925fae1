/* What each op means: shape inference and definition in stages.
 *
 * An op is a row of graph/op.def: its class and the names of two functions in this folder,
 * `infer_NAME` and `define_NAME` (shared by ops of one family; `none` where there is none), which
 * op/table.h declares:  void infer_NAME(const Infer *f);  void define_NAME(Define *d);
 *
 * infer   sets dtype, rank and dims of the outputs, all ops; checks attributes and shapes; fails
 * with graph_fail. May ask for the *values* of inputs (op_ints, op_elems): shape, axes, pads... If
 * they are not known, ERR_NEED_VALUE: `run` then binds the model inputs on which they depend;
 * `compile` asks for --bind. define  class S: writes the op as stages. A definition may make as
 * many stages as it wants, using the helpers here and the definitions of others; it decides nothing
 * about how they run. Class K ops have a kernel/ routine (op/host.def), class C are control flow.
 *
 * Value propagation needs no code per op: small outputs of class S ops whose inputs are known are
 * evaluated through define (stages_eval_symbolic).
 */
#ifndef LATHE_OP_OP_H
#define LATHE_OP_OP_H

#include "graph/graph.h"
#include "loop/stage.h"

/* Element k of a row-major constant, in its compute type. */
Expr constant_element(Exprs *x, const Tensor *t, int64_t k);

/* Attribute `widen` (pass/lower_precision sets it; no model has it): the node reads inputs of small
 * float types as what they are computed in, so that a product of bf16 has an f32 result, and types
 * of inputs may be mixed. */
bool op_widens(const Node *n, DType input);
/* Attribute `narrow_state` (likewise): a recurrence's products read the state of the step before as
 * bf16. */
bool op_narrows_state(const Node *n);

/* ---- inference ---- */
typedef struct Infer {
    Context *ctx;
    Graph *g;
    Exprs *x;
    NodeId id;
    const Node *node; /* of g; do not keep across graph_node/graph_value */
} Infer;

/* Infers every node of the model in order, propagating element values. Output dims that the model
 * itself declares are not needed. Fails with the first node that does not fit. */
void op_infer_graph(Graph *g);
/* A block whose inputs are inferred: what the infer functions of If, Loop and Scan call for their
 * bodies. */
void op_infer_block(Graph *g, int block);
void op_infer_node(Graph *g, NodeId n);

const Value *infer_in(const Infer *f, int k); /* NULL if absent */
bool infer_has(const Infer *f, int k);
void infer_out(const Infer *f, int k, DType t, int rank,
               const Expr *dims);               /* no-op for an absent output */
void infer_same(const Infer *f, int k, int in); /* output k like input `in` */
/* Sets the element values of output k (after infer_out): i64 or whatever its compute type is. */
void infer_set_elems(const Infer *f, int k, int n, const Expr *elems);
/* Elements of input k as expressions; fails with ERR_NEED_VALUE if unknown. *n gets the count. */
const Expr *infer_elems(const Infer *f, int k, int *n);
/* The same as constants; fails with ERR_NEED_VALUE if they are not numbers. Returns the count, at
 * most `max`. */
int infer_ints(const Infer *f, int k, int64_t *v, int max);
/* Attribute `name` if present, else input k's constants: forms that moved from attribute to input.
 * -1: neither. */
int infer_ints_or_attr(const Infer *f, const char *attr, int k, int64_t *v, int max);
bool infer_known(const Infer *f, int k);                 /* are infer_elems of input k known? */
int infer_axis(const Infer *f, int64_t axis, int rank);  /* negative wraps; out of range fails */
bool infer_dim_is(const Infer *f, Expr dim, int64_t *v); /* a constant dim? */
Expr infer_product(const Infer *f, int n, const Expr *dims);
/* Multidirectional broadcasting of two shapes; records assumptions for symbolic dims that must be
 * equal. */
int infer_broadcast(const Infer *f, int ra, const Expr *a, int rb, const Expr *b, Expr *out);
/* a == b: if provably different fails; if unknown records an assumption. */
void infer_require_equal(const Infer *f, Expr a, Expr b, const char *what);
/* An axis has something to read from, if `reads` (at least 0) is not 0; else the node has no
 * result. Noted as an Assumption, min(dim, min(reads, 1)) == min(reads, 1), where it depends on
 * open sizes. */
void infer_require_some(const Infer *f, Expr dim, Expr reads);
Expr infer_fresh_sym(const Infer *f, const char *what, int64_t low,
                     int64_t high); /* size that depends on data */
_Noreturn void infer_fail(const Infer *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void infer_unsupported(const Infer *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- definition ---- */
#define MAX_OP_IO 64 /* variadic ops with more inputs allocate */

typedef struct Define {
    Context *ctx;
    const Graph *g;
    NodeId id;
    const Node *node;
    Stages *s;
    Exprs *x;      /* s->x */
    const int *in; /* stage tensor per input, -1 absent */
    int *out;      /* to be set by define_out: stage tensor per output */
    Expr *var_map; /* graph pool -> stage pool */
    bool variants; /* as the node's attributes ask for (op/winograd.h); else the plain definition */
} Define;

/* Defines `node` in s: `in` are tensors of s with the values' shapes; fills out[]. */
void op_define(Context *ctx, const Graph *g, NodeId n, Stages *s, Expr *var_map, const int *in,
               int *out);
/* By the variant that pass/choose_variants took: the same values but for rounding. What is compiled
 * is defined so; what an op means, and so what others learn about it and what checks go by, is its
 * plain definition. */
void op_define_variant(Context *ctx, const Graph *g, NodeId n, Stages *s, Expr *var_map,
                       const int *in, int *out);
bool op_has_define(OpCode op);

bool define_has(const Define *d, int k);
const StageTensor *define_in(const Define *d, int k);
int define_rank(const Define *d, int k);
Expr define_dim(const Define *d, int k, int axis); /* of input k */
void define_out_dims(const Define *d, int k,
                     Expr *dims); /* inferred dims of output k, in s's pool */
int define_out_rank(const Define *d, int k);
DType define_out_type(const Define *d, int k);
Expr define_load(const Define *d, int k, const Expr *index); /* input k, compute type */
/* Input k broadcast to an output of `rank` with index[rank]: size-1 dims read index 0. */
Expr define_load_broadcast(const Define *d, int k, int rank, const Expr *index);
/* Known elements of input k in s's pool (NULL: unknown), and constants as in infer_ints. */
const Expr *define_elems(const Define *d, int k, int *n);
int define_ints(const Define *d, int k, int64_t *v, int max);
int define_ints_or_attr(const Define *d, const char *attr, int k, int64_t *v, int max);
double define_float(const Define *d, const char *attr, double missing); /* attributes of the node */
int64_t define_int(const Define *d, const char *attr, int64_t missing);
int define_axis(int64_t axis, int rank); /* checked by infer: negative wraps */
_Noreturn void define_fail(const Define *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The element of a one-element input k, whatever its rank, in its compute type. */
Expr define_load_scalar(const Define *d, int k);
void define_out(Define *d, int k,
                int tensor); /* cast or copy stage added if type differs or it is an input */
/* Elementwise helper: output k = value over its own axes: begin gives the build, then
 * define_map. */
StageBuild define_begin(const Define *d, int k);
void define_map(Define *d, int k, const StageBuild *b,
                Expr value); /* value is cast to the output's compute type */

/* Building blocks used by several families (op/blocks.c): all return a TEMP tensor id. */
int block_cast(Stages *s, int tensor, DType to);
int block_reshape(Stages *s, int tensor, int rank,
                  const Expr *dims); /* same elements, row-major order */
int block_transpose(Stages *s, int tensor, const int *perm);
int block_softmax(Stages *s, int tensor, int axis); /* f32 inside; three stages */
/* Reduction over the axes in mask (bit k = axis k). */
typedef enum ReduceKind {
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_PROD,
    REDUCE_SUMSQ,
    REDUCE_MAX_NUMBER /* passes over NaNs: those of a softmax make its sum NaN anyhow */
} ReduceKind;
/* The value that changes nothing: 0, 1, the type's lowest (-inf) or highest (+inf). Compute
 * types. */
Expr reduce_identity(Exprs *x, ReduceKind kind, DType t);
/* state and one more value, or another partial result. The least and the largest of values with a
 * NaN among them is NaN, wherever it stands and however the reduction is split. */
Expr reduce_join(Exprs *x, ReduceKind kind, Expr state, Expr v);
int block_reduce(Stages *s, int tensor, uint32_t axes, bool keep, ReduceKind kind, DType acc);

/* Contraction structure of the *stages* (not the op) is derived by loop/classify. */

#endif
