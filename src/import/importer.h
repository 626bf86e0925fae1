/* Inside the ONNX importer: its state, and what its files offer each other.
 *
 *     onnx.c          the file, the model's inputs and outputs, bindings
 *     onnx_graph.c    a graph's nodes in order, names, sub-graphs
 *     onnx_function.c functions and opsets
 *     onnx_node.c     one node: attributes, constants
 *     convert*.c      older forms of ops -> the newest
 *     onnx_tensor.c   tensors; wire.c: bytes */
#ifndef LATHE_IMPORT_IMPORTER_H
#define LATHE_IMPORT_IMPORTER_H

#include "base/map.h"
#include "graph/graph.h"
#include "import/onnx.h"
#include "import/onnx_tensor.h"

#define IMPORT_MAX_DEPTH 200           /* of sub-graphs and function calls */
#define IMPORT_MAX_NODES (1000 * 1000) /* functions inlined */

/* The names that are visible in a graph: its own, then its parent's. A function body has none. */
typedef struct Scope {
    const struct Scope *parent;
    StrMap value;                 /* name -> ValueId */
    StrMap type;                  /* name -> index into info->value_info */
    const Onnx__GraphProto *info; /* what the model says of its values; NULL: nothing */
    StrMap rename;                /* function bodies: output -> index into `renamed` */
    const char **renamed;         /* its name at the call */
    const char *prefix;           /* of other names made here: "" or "call/" */
    int block;
    int depth;
} Scope;

/* What a body of nodes is read with: opset version, and the attributes of the call (functions). */
typedef struct Frame {
    int opset; /* of the default domain; 0: not imported */
    int nattr;
    const char **attr_name; /* the function's attributes that have a value */
    const Onnx__AttributeProto **attr;
} Frame;

typedef struct Importer {
    Context *ctx;
    Graph *g;
    const OnnxOptions *opt;
    OnnxMemory *memory;
    const Onnx__ModelProto *model;
    StrMap function; /* "domain\x1fname\x1foverload" -> index */
    StrMap dim;      /* dim_param or "input.dim2" -> its expression */
    StrMap symbol;   /* names of symbols taken */
    StrMap bound;    /* dim_param or symbol -> index into bound_value */
    VEC(int64_t) bound_value;
    int visited;      /* nodes, each time they are inlined */
    IntMap type_hint; /* ValueId -> dtype, as declared by the model */
    IntMap rank_hint; /* ValueId -> rank */
} Importer;

/* "node 'fc1' (Gemm): ..." */
_Noreturn void import_fail(const Importer *im, const Onnx__NodeProto *p, int code,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/* onnx_graph.c */
Scope scope_new(Importer *im, const Scope *parent, int block);
enum { NO_VALUE = -2 };
ValueId scope_find(const Scope *s, const char *name); /* NO_VALUE if there is none */
/* Binds a name; fails if this graph has it already. `by` may be NULL (inputs, initializers). */
void scope_define(Importer *im, Scope *s, const char *name, ValueId v, const Onnx__NodeProto *by);
/* What a value that this scope calls `name` is called in the graph. */
const char *scope_value_name(const Importer *im, const Scope *s, const char *name);
/* A value not inferred yet, with the type hints of the scope's value_info; not bound. */
ValueId scope_new_value(Importer *im, const Scope *s, const char *name);
void import_initializers(Importer *im, Scope *s, const Onnx__GraphProto *p);
void import_nodes(Importer *im, Scope *s, const Frame *f, Onnx__NodeProto *const *node, size_t n);
/* The body of an If, Loop or Scan: a new block. */
int import_subgraph(Importer *im, const Scope *parent, const Frame *f, const Onnx__GraphProto *p,
                    const Onnx__NodeProto *owner);

/* onnx_function.c */
void import_functions(Importer *im);
/* "" for ONNX's own, of which "ai.onnx" is another name. */
const char *domain_name(const char *domain);
const Onnx__FunctionProto *find_function(const Importer *im, const Onnx__NodeProto *p);
void import_call(Importer *im, Scope *s, const Frame *f, const Onnx__NodeProto *p,
                 const Onnx__FunctionProto *function);
/* Version of the default domain; 0 if it is not imported. */
int import_opset(const Importer *im, Onnx__OperatorSetId *const *set, size_t n);
/* An attribute, or what it refers to in the call; NULL if that is not given. */
const Onnx__AttributeProto *frame_attr(const Frame *f, const Onnx__AttributeProto *a);

/* attr_kind.c: a bit for each AttrKind that an attribute of this name may be; 0: any. */
unsigned attr_kinds(const char *name);
const char *attr_kinds_text(Arena *a, unsigned kinds); /* "an int or a float" */
/* Is it one that passes set (op/op.h, op/winograd.h, op/strassen.h)? In a file it says nothing,
 * like any that its op does not have. */
bool attr_is_of_passes(const char *name);

/* onnx_node.c */
void import_node(Importer *im, Scope *s, const Frame *f, const Onnx__NodeProto *p);
ValueId import_read(const Importer *im, const Scope *s, const Onnx__NodeProto *p, const char *name);
Tensor *import_tensor(const Importer *im, const Onnx__TensorProto *p); /* the caller's reference */
Tensor *import_initializer(const Importer *im, int k); /* of the main graph; likewise */

#endif
