/* Graph: ops on tensors, SSA values.
 *
 * Values and nodes live in flat arrays and are named by ids. Nodes are ordered in blocks: block 0
 * is the model, every sub-graph of an If, Loop or Scan is another block whose nodes may use any
 * value that is visible where the node stands (so captured values need no list). Every value is
 * defined once: as a graph input, a constant, a block input, or by one node.
 *
 * Shapes. A dim is an i64 expression over symbols in the graph's pool `x`. Symbols come from the
 * model's dim_params, from unknown dims (named after their input, "x.dim2"), and from results whose
 * size depends on data. A value of up to 64 elements may also carry its *elements* as expressions
 * (`elems`), so that shapes computed in the graph are understood.
 *
 * Ops have one meaning, that of the newest opset (op.def); importers convert older forms.
 * Passes are functions `Graph *pass(Context *, const Graph *)`; graph_copy makes the copy they
 * change.
 */
#ifndef LATHE_GRAPH_GRAPH_H
#define LATHE_GRAPH_GRAPH_H

#include "base/map.h"
#include "expr/expr.h"
#include "tensor/tensor.h"

#define OPEN_SIZE_MAX ((int64_t)1 << 31) /* what a size may be of which nothing is known */

typedef int ValueId; /* -1: absent (an omitted optional input or output) */
typedef int NodeId;

typedef enum OpCode {
#define OP(id, name, onnx, min_in, max_in, min_out, max_out, class, types, infer, define) OP_##id,
#include "graph/op.def"
#undef OP
    OP_COUNT
} OpCode;

typedef struct OpRow {
    const char *name;                     /* snake_case: the id */
    const char *onnx;                     /* ONNX op_type; of other domains "domain.op_type" */
    int min_in, max_in, min_out, max_out; /* max -1: variadic */
    char class;                           /* S stages, K kernel routine, C control flow */
    const char *types;                    /* a letter an input (op.def) */
} OpRow;
extern const OpRow op_rows[OP_COUNT];
OpCode op_find_onnx(const char *op_type); /* OP_COUNT: unknown */
OpCode op_find(const char *name);

typedef enum AttrKind {
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR
} AttrKind;

typedef struct Attr {
    const char *name;
    AttrKind kind;
    int n; /* of the list kinds */
    union {
        int64_t i;
        double f;
        const char *s;
        const int64_t *ints;
        const double *floats;
        const char *const *strings;
        Tensor *tensor;
    };
} Attr;

#define MAX_ELEMS 64

typedef struct Value {
    const char *name; /* the model's, unique in the graph */
    DType dtype;      /* DT_NONE: not inferred yet */
    int rank;         /* -1: not inferred yet */
    Expr dim[MAX_RANK];
    Layout layout;     /* owned by the layout pass */
    ValueId within;    /* a view: it lies in this value's memory (pass/views); -1: in its own */
    const Expr *at;    /* of a view: element i is element i + at there; NULL: the same elements in
                          the same order under other dims, both row-major */
    NodeId producer;   /* -1: graph input, block input or constant */
    int output;        /* which output of the producer */
    Tensor *constant;  /* not NULL: a constant (held by the graph's arena) */
    const Expr *elems; /* elements in row-major order as expressions of the value's compute type;
                          NULL: unknown */
    int nelems;
} Value;

#define MAX_BLOCKS_OF_NODE 2

typedef struct Node {
    OpCode op;
    const char *name; /* origin: the model's node, for messages; never NULL */
    int nin, nout, nattr, nblock;
    ValueId *in, *out; /* -1: absent */
    Attr *attr;
    int block[MAX_BLOCKS_OF_NODE]; /* If: then, else. Loop, Scan: body */
    int home;                      /* the block it stands in */
    int group;                     /* fusion group, -1: none (pass/fuse) */
} Node;

typedef struct Block {
    VEC(NodeId) node; /* in order: producers first */
    VEC(ValueId) input, output;
} Block;

typedef struct Assumption { /* a == b, checked at run time; `node` for the message */
    Expr a, b;
    NodeId node;
} Assumption;

typedef struct Declared { /* what the file says of an output of the model, to be compared with what
                             is inferred */
    DType dtype;          /* DT_NONE: nothing */
    int rank;             /* -1: nothing */
    int64_t dim[MAX_RANK]; /* -1: nothing */
} Declared;

typedef struct Graph {
    Context *ctx;
    Exprs *x;
    VEC(Value) value;
    VEC(Node) node;   /* removed nodes stay here, in no block */
    VEC(Block) block; /* 0: the model */
    VEC(Assumption) assume;
    VEC(Declared) declared; /* of the model's outputs, in order; empty: nothing, as in copies */
    const char *origin; /* file name, for messages */
    StrMap names;       /* value names taken */
} Graph;

Graph *graph_new(Context *ctx);
Graph *graph_copy(Context *ctx,
                  const Graph *g); /* with a pool of its own; tensors are shared (ref) */
ValueId graph_value(Graph *g, const char *name, DType t, int rank,
                    const Expr *dims);                         /* name made unique */
ValueId graph_constant(Graph *g, const char *name, Tensor *t); /* takes over the reference */
ValueId graph_const_ints(Graph *g, const char *name, int n, const int64_t *v); /* i64[n] */
ValueId graph_const_scalar(Graph *g, const char *name, DType t, double v);
int graph_block(Graph *g);
/* Appends a node to `block`. Output values are made (not inferred yet) for out == NULL, named after
 * the node. */
NodeId graph_node(Graph *g, int block, OpCode op, const char *name, int nin, const ValueId *in,
                  int nout, const ValueId *out);
void node_set_int(Graph *g, NodeId n, const char *name, int64_t v);
void node_set_float(Graph *g, NodeId n, const char *name, double v);
void node_set_string(Graph *g, NodeId n, const char *name, const char *v);
void node_set_ints(Graph *g, NodeId n, const char *name, int count, const int64_t *v);
void node_set_attr(Graph *g, NodeId n, Attr a);         /* payload is not copied */
const Attr *node_attr(const Node *n, const char *name); /* NULL: absent */
int64_t node_int(const Node *n, const char *name, int64_t missing);
double node_float(const Node *n, const char *name, double missing);
const char *node_string(const Node *n, const char *name, const char *missing);
/* Count, and the list (NULL if absent: returns 0). */
int node_ints(const Node *n, const char *name, const int64_t **v);

/* "conv 'backbone/conv1' (x f32[1,3,224,224], w f32[64,3,7,7])": for messages. */
const char *graph_describe_node(const Graph *g, NodeId n);
const char *graph_describe_value(const Graph *g, ValueId v); /* "x f32[N,3,224,224]" */
/* fail() with the node's description in front. */
_Noreturn void graph_fail(const Graph *g, NodeId n, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Uses of each value, graph and block outputs counted: arena array by value id. */
int *graph_count_uses(const Graph *g);
void graph_replace_uses(Graph *g, ValueId from, ValueId to); /* everywhere, outputs too */
/* The value whose memory v lies in: itself, if it is no view. */
ValueId graph_home(const Graph *g, ValueId v);
/* Does the node do nothing, because its results are views of its first input or its inputs of its
 * result? */
bool node_is_view(const Graph *g, NodeId n);
/* Structure: ids in range, one definition, order, arity per op.def, dtypes known after inference.
 * False: why. */
bool graph_verify(const Graph *g, bool inferred, Str *why);

/* Text both ways (graph_print.c tells all of the form). A constant of more than 16 elements, unless
 * they are all equal, prints as `const name f32[64,3,7,7] #hash` and does not parse back.
 *     graph "resnet"
 *     sym N 1 64
 *     input x f32[N,3,224,224]
 *     const two f32[] = 2.0
 *     y = add(x, two) "node_name"
 *     z = conv(y, w) strides=[2,2] auto_pad="NOTSET"
 *     output z */
void graph_print(const Graph *g, Str *out);
void graph_print_attr(const Attr *a, Str *out); /* strides=[2,2] */
Graph *graph_parse(Context *ctx, const char *name, const char *text, size_t size);

#endif
